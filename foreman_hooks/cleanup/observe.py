"""Observe both sides: a quick look at all hosts, then a closer look at those in no list."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import chain

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.missing import Alive, Missing, MissingHosts
from foreman_hooks.cleanup.observation import Observation
from foreman_hooks.cleanup.progress import Progress, stage
from foreman_hooks.cleanup.quick_look import (
    CANARIES,
    QuickLook,
    read_lists,
    sort_hosts,
)
from foreman_hooks.cleanup.quick_run import WITNESSES, DeletedHosts, check_witnesses
from foreman_hooks.cleanup.whereabouts import homes_now, is_missing, terminated_at
from foreman_hooks.osp_checker import Checker, Place, Survey, both_orders
from foreman_hooks.osp_checker.checker import ask_further
from foreman_hooks.rules.model import Policy, Reason
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.errors import SatelliteError
from foreman_hooks.satellite.inventory import (
    IdentifiedHost,
    ListedHost,
    Scope,
    check_facts_still_visible,
    identify_hosts,
)

MARGIN = timedelta(hours=1)  # for clocks that differ, and rows that are written late
LONG_AGO = datetime(2000, 1, 1, tzinfo=timezone.utc)  # before any server of OpenStack


@dataclass(frozen=True)
class Observer:
    """Observes Satellite and the clouds, and notes in the journal what later runs need to know."""

    satellite: Satellite
    checker: Checker
    journal: Journal
    policy: Policy
    scope: Scope
    progress: Progress

    def observe(self, closely: Collection[int], now: datetime) -> Observation:
        """What both sides say now; `closely`: ids of hosts to look at closely in any case.

        `now`: aware.  Raises SatelliteError and JournalError.  A cloud that fails raises nothing:
        its hosts are unknown.
        """
        self._check_same_satellite()
        quick_look = self._look_quickly(closely, now)
        hosts = self._look_closely(quick_look.not_listed)
        instances = _instances(hosts)
        uuids = _uuids_of(instances)
        survey = self._ask_about(uuids, quick_look.survey, self._last_terminations())
        missing = [
            host for host in instances if is_missing(host.identity.uuids, survey)
        ]
        known = self._look_up(missing, survey, quick_look.alive, now, closely)
        self._check_facts_still_shown(quick_look.canaries, hosts, missing)
        # Only now: without facts, no host would seem to name the UUIDs that are to be kept.
        self._note_alive(quick_look, instances, survey)
        return Observation(
            made_at=now,
            alive=tuple(quick_look.verdicts.values()),
            hosts=hosts,
            survey=survey,
            counts=_count_alive(quick_look.alive, instances, survey),
            missing=known,
        )

    def observe_deleted(self, deleted: DeletedHosts, now: datetime) -> Observation:
        """What both sides say now of the hosts of a quick run, except of those that are absent.

        `now`: aware.  Raises SatelliteError and JournalError.  A cloud that fails raises nothing:
        the hosts are unknown.
        """
        self._check_same_satellite()
        hosts = self._look_closely(deleted.hosts)
        instances = _instances(hosts)
        survey = deleted.survey
        if instances:
            uuids = _uuids_of(instances)
            witnesses = self._witnesses(uuids)
            asked = [*uuids, *chain.from_iterable(witnesses.values())]
            survey = self._ask_about(asked, survey, deleted.since)
            survey = check_witnesses(survey, witnesses)
        proven = [host for host in instances if _is_proven(host, survey)]
        known = self._look_up(proven, survey, {}, now)
        with_facts = [host for host in deleted.hosts if host.uuids]
        self._check_facts_still_shown(with_facts[:CANARIES], hosts, proven)
        return Observation(
            made_at=now,
            alive=(),
            hosts=[host for host in hosts if not _is_absent(host, survey)],
            survey=survey,
            counts={},
            missing=known,
        )

    def _check_same_satellite(self) -> None:
        """Raise SatelliteError if Satellite had Katello in an earlier run, and has not now.

        The facts and check-ins that Katello shows would seem to be missing.
        """
        had_katello = self.journal.had_katello(self.satellite.url)
        if had_katello and not self.satellite.katello:
            raise SatelliteError(
                f"{self.satellite.url}: earlier runs found Katello there, and now it is gone; if "
                f"it was removed, move the journal {self.journal.path} away to start over"
            )
        if self.satellite.katello and not had_katello:
            self.journal.note_katello(self.satellite.url, True)

    def _look_quickly(self, closely: Collection[int], now: datetime) -> QuickLook:
        hosts, survey = read_lists(
            self.satellite, self.checker, self.scope, self.progress
        )
        return sort_hosts(hosts, survey, closely, self.policy, now)

    def _look_closely(self, hosts: Sequence[ListedHost]) -> list[IdentifiedHost]:
        report = stage(self.progress, "hosts looked at closely")
        names = self.policy.openstack_names
        return list(identify_hosts(self.satellite, hosts, names, report))

    def _ask_about(
        self, uuids: Iterable[str], survey: Survey, since: datetime
    ) -> Survey:
        """Complete the survey of the lists by asking about these UUIDs."""
        distinct = list(dict.fromkeys(uuids))
        report = stage(self.progress, "instances asked about")
        return ask_further(self.checker, survey, distinct, report, since)

    def _witnesses(self, uuids: Sequence[str]) -> dict[Place, list[str]]:
        """Place -> a few servers that the last full run saw alive there, none of these `uuids`."""
        judged = both_orders(uuids)
        witnesses: dict[Place, list[str]] = {}
        some = self.journal.witnesses(self.satellite.url, len(judged) + WITNESSES)
        for place, candidates in some.items():
            others = [uuid for uuid in candidates if uuid not in judged]
            witnesses[place] = others[:WITNESSES]
        return witnesses

    def _last_terminations(self) -> datetime:
        """A time after which the terminations of most hosts were that still have a record.

        That is the last good run, and before it the time for which records are kept anyway.  Hosts
        that were terminated earlier are asked about one by one.
        """
        times = [size.at for size in self.journal.servers_before().values()]
        try:
            return min(times) - self.policy.quiet - MARGIN
        except (ValueError, OverflowError):  # the first run, or an endless 'quiet'
            return LONG_AGO

    def _note_alive(
        self,
        quick_look: QuickLook,
        instances: Sequence[IdentifiedHost],
        survey: Survey,
    ) -> None:
        """Note which UUIDs are alive where, unless a region failed: then some may not be seen."""
        if any(region.error for region in survey.regions):
            return
        homes: dict[Place, list[str]] = {}
        for region in survey.regions:
            homes[region.place] = []
        for place, hosts in quick_look.alive.items():
            for listed in hosts:
                homes[place].extend(listed.uuids)
        named = list(quick_look.out_of_scope)
        for host in instances:
            named += host.identity.uuids
            for place, uuids in homes_now(host.identity.uuids, survey).items():
                homes[place] += uuids
        self.journal.note_alive(self.satellite.url, homes, named)

    def _look_up(
        self,
        missing: Sequence[IdentifiedHost],
        survey: Survey,
        alive: Alive,
        now: datetime,
        closely: Collection[int] = (),
    ) -> Missing:
        lookup = MissingHosts(
            satellite=self.satellite,
            journal=self.journal,
            policy=self.policy,
            progress=self.progress,
            now=now,
        )
        return lookup.look_up(missing, survey, alive, closely)

    def _check_facts_still_shown(
        self,
        canaries: Sequence[ListedHost],
        hosts: Sequence[IdentifiedHost],
        missing: Sequence[IdentifiedHost],
    ) -> None:
        """Raise SatelliteError if this login does not see facts, or no longer sees them.

        Otherwise all hosts would look like hosts without facts, which are not instances.
        """
        blank = [host for host in hosts if host.identity.reason is Reason.NO_FACTS]
        if canaries and (missing or blank):
            check_facts_still_visible(self.satellite, canaries)
        elif blank and len(blank) == len(hosts) and not self.scope:
            raise SatelliteError(
                f"{self.satellite.url}: none of {len(hosts)} hosts shows a fact that identifies "
                "it; see 'doctor' (view_facts for all hosts, the setting excluded_facts)"
            )


def _instances(hosts: Iterable[IdentifiedHost]) -> list[IdentifiedHost]:
    return [host for host in hosts if host.identity.reason is None]


def _uuids_of(hosts: Iterable[IdentifiedHost]) -> list[str]:
    uuids: list[str] = []
    for host in hosts:
        uuids += host.identity.uuids
    return uuids


def _is_proven(host: IdentifiedHost, survey: Survey) -> bool:
    """Whether its termination is proven, and it is alive nowhere."""
    uuids = host.identity.uuids
    return is_missing(uuids, survey) and terminated_at(uuids, survey) is not None


def _is_absent(host: IdentifiedHost, survey: Survey) -> bool:
    """Whether it is alive nowhere, and there is no proof of its termination."""
    return is_missing(host.identity.uuids, survey) and not _is_proven(host, survey)


def _count_alive(
    alive: Alive,
    instances: Sequence[IdentifiedHost],
    survey: Survey,
) -> Counter[Place]:
    """Place -> how many hosts of this Satellite are alive there, listed or not, in scope or not."""
    counts: Counter[Place] = Counter()
    for place, hosts in alive.items():
        counts[place] = len(hosts)
    for host in instances:
        counts.update(homes_now(host.identity.uuids, survey).keys())
    return counts
