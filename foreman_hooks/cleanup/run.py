"""The story of a run: observe both sides, judge every record, plan, and apply what the plan says.

Nothing here decides: `judge` does, from what is gathered here, and once more from what is gathered
again immediately before each deletion.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Optional, Union

from foreman_hooks.cleanup import check_ins as signs
from foreman_hooks.cleanup.journal import Journal, JournalError, Unfinished
from foreman_hooks.osp_checker.checker import Checker, ask_further
from foreman_hooks.osp_checker.pace import workers
from foreman_hooks.osp_checker.sightings import Place, Presence, RegionAnswer, Sighting, Survey
from foreman_hooks.osp_checker.uuids import swap_bytes
from foreman_hooks.rules import plan as plans
from foreman_hooks.rules.model import (
    Decision,
    History,
    Identity,
    Outcome,
    Policy,
    Reason,
    Record,
    Result,
    Verdict,
)
from foreman_hooks.rules.plan import Absence, Plan, PlanError, PlanRegion
from foreman_hooks.rules.verdict import CLOCK_SKEW, Case, judge, steps, tombstone
from foreman_hooks.satellite.access import measure_visibility
from foreman_hooks.satellite.batches import FAILURES
from foreman_hooks.satellite.check_ins import recent_checkins, reports_failed
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.deletion import confirm_unchanged, delete_record, disassociate, is_gone
from foreman_hooks.satellite.errors import (
    SatelliteChanged,
    SatelliteError,
    SatelliteForbidden,
    SatelliteLoginError,
    SatelliteNotFound,
    SatelliteOutcomeUnknown,
)
from foreman_hooks.satellite.installation import destroys_vms
from foreman_hooks.satellite.inventory import (
    EVERYTHING,
    IdentifiedHost,
    ListedHost,
    Scope,
    check_facts_still_visible,
    firmware_kinds,
    identify_hosts,
    identity_now,
    list_hosts,
)
from foreman_hooks.satellite.records import (
    FULL_PAGE,
    fetch_record,
    fetch_records,
    fetch_records_named,
)
from foreman_hooks.satellite.shared_uuids import hosts_sharing_uuids

log = logging.getLogger(__name__)

BATCH = 20  # deletions whose instances are asked about again together, a few seconds before
WITNESSES = (
    3  # living hosts of one kind that a plan remembers for each region: one may end until 'apply'
)
CANARIES = 3  # hosts whose facts were seen first, and have to be seen still at the end
GAP = timedelta(hours=25)  # misses of daily runs are in a row, however short the grace period is

HOUR = timedelta(hours=1)
BEGINNING = datetime(1970, 1, 1, tzinfo=timezone.utc)

Progress = Callable[[str, int, int], None]  # what is done, done, total (0: not known)
Clock = Callable[[], datetime]


class Target(NamedTuple):
    """The one instance that a run is about: by its UUID (as parse_uuid gives it), or by the name of
    its record.
    """

    uuid: str = ""
    name: str = ""

    def is_of(self, host: ListedHost) -> bool:
        """Whether it is that host; a UUID in either byte order, and also one that is not the first
        of the host's.
        """
        if self.uuid:
            return bool({self.uuid, swap_bytes(self.uuid)}.intersection(host.uuids))
        return host.name.lower() == self.name.lower()

    def __str__(self) -> str:
        return f"UUID {self.uuid}" if self.uuid else f"host {self.name}"


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(timezone.utc)


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True)
class Missing:
    """What is known of the hosts that every cloud was asked about and none has alive.

    `records`: by host id; a text says why one cannot be read.  `twins`: host id -> the names of the
    other records that name its instance; `twin_records` has these by name.  `witnesses`: (place,
    kind) -> UUIDs of living hosts.
    """

    records: Mapping[int, Union[Record, str]] = field(default_factory=dict)
    histories: Mapping[int, History] = field(default_factory=dict)
    twins: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    twin_records: Mapping[str, Union[Record, str]] = field(default_factory=dict)
    witnesses: Mapping[tuple[Place, str], tuple[str, ...]] = field(default_factory=dict)
    checkins_arrive: bool = False
    parameters_shown: bool = False
    detachable: bool = True


@dataclass(frozen=True)
class Observation:
    """All that a run saw: enough to judge every host, and nothing of the servers' raw answers.

    `alive`: the verdicts on those whose instance a list of servers has, `hosts`: all others in
    scope, looked at closely.  `counts`: how many hosts of this Satellite are alive in each place,
    in scope or not.
    """

    made_at: datetime
    alive: Sequence[Verdict]
    hosts: Sequence[IdentifiedHost]
    survey: Survey
    counts: Mapping[Place, int]
    missing: Missing

    def everyone(self) -> Iterator[ListedHost]:
        """Every host in scope, with the UUIDs it is known by."""
        yield from (
            ListedHost(verdict.host_id, verdict.name, (verdict.uuid,)) for verdict in self.alive
        )
        yield from (ListedHost(host.id, host.name, host.identity.uuids) for host in self.hosts)

    def case(self, host: IdentifiedHost) -> Case:
        """Everything that was seen of one host."""
        sightings = tuple(
            sighting for uuid in host.identity.uuids for sighting in self.survey.of(uuid)
        )
        record = self.missing.records.get(host.id)
        return _case(
            host,
            sightings,
            self.survey.regions,
            self.missing,
            record,
            self.missing.witnesses.keys(),
        )


def _case(
    host: IdentifiedHost,
    sightings: tuple[Sighting, ...],
    regions: Iterable[RegionAnswer],
    missing: Missing,
    record: Union[Record, str, None],
    witnessed: Collection[tuple[Place, str]],
) -> Case:
    names = missing.twins.get(host.id, ())
    twin_records = {
        name: missing.twin_records[name] for name in names if name in missing.twin_records
    }
    whole = record if isinstance(record, Record) else None
    return Case(
        host.id,
        host.name,
        host.identity,
        sightings,
        whole,
        record if isinstance(record, str) else "",
        tuple(twin for twin in twin_records.values() if isinstance(twin, Record)),
        tuple(name for name, twin in twin_records.items() if isinstance(twin, str)),
        missing.histories.get(host.id, History()),
        tuple(f"{region.cloud}/{name}" for region in regions for name in region.unlisted),
        frozenset(place for place, kind in witnessed if kind == host.identity.kind),
        missing.checkins_arrive,
        missing.parameters_shown,
        missing.detachable or not (whole and whole.compute_resource),
    )


class _Glances(NamedTuple):
    """What the lists of both sides tell.

    `survey`: how the regions answered.  `verdicts`: those on the hosts in scope that a list of
    servers has.  `rest`: all others in scope.  `alive`: place -> the hosts that are alive there, in
    scope or not.  `elsewhere`: the UUIDs of all others out of scope.  `canaries`: some of all that
    showed a fact.
    """

    survey: Survey
    verdicts: list[Verdict]
    rest: list[ListedHost]
    alive: dict[Place, list[ListedHost]]
    elsewhere: list[str]
    canaries: list[ListedHost]


@dataclass(frozen=True)
class Cleanup:
    """What a run works with.  `scope` selects the hosts that it may judge; `described` says so, for
    people.
    """

    satellite: Satellite
    checker: Checker
    journal: Journal
    policy: Policy
    scope: Scope = EVERYTHING
    described: str = "all hosts"
    progress: Progress = silent
    clock: Clock = utc_now

    # Observe

    def observe(self, closely: Collection[int] = ()) -> Observation:
        """Look at both sides at once, then closer at every host that no list has, and at those with
        these ids.

        Raises SatelliteError.  A cloud that fails raises nothing: its hosts are unknown.
        """
        now = self.clock()
        self._same_satellite()
        glances = self._at_a_glance(closely, now)
        hosts = list(
            identify_hosts(
                self.satellite,
                glances.rest,
                self.policy.openstack_names,
                self._stage("hosts looked at closely"),
            )
        )
        instances = [host for host in hosts if host.identity.reason is None]
        survey = ask_further(
            self.checker,
            glances.survey,
            list(dict.fromkeys(uuid for host in instances for uuid in host.identity.uuids)),
            self._stage("instances asked about"),
        )
        counts = Counter({place: len(living) for place, living in glances.alive.items()})
        for host in instances:
            counts.update(_homes_now(host, survey).keys())
        self._note_alive(glances, instances, survey)
        missing = [host for host in instances if _is_missing(host, survey)]
        looked = (
            self._look_at_missing(missing, survey, glances.alive, now) if missing else Missing()
        )
        self._must_see_facts(glances.canaries, hosts, missing)
        return Observation(now, glances.verdicts, hosts, survey, counts, looked)

    def _must_see_facts(
        self,
        canaries: Sequence[ListedHost],
        hosts: Sequence[IdentifiedHost],
        missing: Sequence[IdentifiedHost],
    ) -> None:
        """Raise SatelliteError where this run may have been blind: without facts no host is an
        instance.
        """
        blank = [host for host in hosts if host.identity.reason is Reason.NO_FACTS]
        if canaries and (missing or blank):
            check_facts_still_visible(self.satellite, canaries)
        elif blank and len(blank) == len(hosts) and not self.scope:
            raise SatelliteError(
                f"{self.satellite.url}: not one of {len(hosts)} hosts shows a fact that identifies "
                "it; see 'doctor' (view_facts for all hosts, the setting excluded_facts)"
            )

    def _same_satellite(self) -> None:
        """Raise SatelliteError where Katello was there and is not: its facts and check-ins would be
        taken for gone.
        """
        had = self.journal.had_katello(self.satellite.url)
        if had and not self.satellite.katello:
            raise SatelliteError(
                f"{self.satellite.url}: earlier runs met Katello there, and now it is gone; if it "
                f"was removed, move the journal {self.journal.path} away to begin anew"
            )
        if self.satellite.katello and not had:
            self.journal.note_katello(self.satellite.url, True)

    def _at_a_glance(self, closely: Collection[int], now: datetime) -> _Glances:
        """The lists of both sides, read at once, and what they settle.

        What a list of servers has is alive, whoever it is: so the verdict on one such host of a
        region, judged as any other, is that on all of them.
        """
        with workers(1) as beside:
            prepared = beside.submit(self.checker.prepare, self._stage("servers of OpenStack"))
            hosts = list(list_hosts(self.satellite, self.scope, self._stage("hosts of Satellite")))
            prepared.result()
        survey = self.checker.listed(
            [uuid for host in hosts for uuid in host.uuids], self._stage("servers looked up")
        )
        judged: dict[Place, Verdict] = {}
        alive: dict[Place, list[ListedHost]] = {}
        verdicts: list[Verdict] = []
        rest: list[ListedHost] = []
        elsewhere: list[str] = []
        canaries = list(islice((host for host in hosts if host.uuids), CANARIES))
        hosts.reverse()
        while hosts:  # taken out one by one, so that of many nothing is kept twice
            host = hosts.pop()
            uuid = next(filter(survey.alive.__contains__, host.uuids), None)
            if uuid is None or host.id in closely:
                if host.in_scope:
                    rest.append(host)
                else:
                    elsewhere += host.uuids
                continue
            place = survey.alive[uuid]
            alive.setdefault(place, []).append(host)
            if place not in judged:
                judged[place] = judge(
                    Case(host.id, host.name, Identity((uuid,)), survey.of(uuid)), self.policy, now
                )
            if host.in_scope:
                verdicts.append(Verdict(host.id, host.name, uuid, *judged[place][3:]))
        return _Glances(replace(survey, alive={}), verdicts, rest, alive, elsewhere, canaries)

    def _note_alive(
        self, glances: _Glances, instances: Sequence[IdentifiedHost], survey: Survey
    ) -> None:
        """Put on file who is alive where; a run in which a region failed saw too few."""
        if any(region.error for region in survey.regions):
            return
        homes: dict[Place, list[str]] = {region.place: [] for region in survey.regions}
        for place, hosts in glances.alive.items():
            homes[place] += [uuid for host in hosts for uuid in host.uuids]
        for host in instances:
            for place, uuids in _homes_now(host, survey).items():
                homes[place] += uuids
        named = [*glances.elsewhere, *(uuid for host in instances for uuid in host.identity.uuids)]
        self.journal.note_alive(self.satellite.url, homes, named)

    def _look_at_missing(
        self,
        missing: Sequence[IdentifiedHost],
        survey: Survey,
        alive: Mapping[Place, Sequence[ListedHost]],
        now: datetime,
    ) -> Missing:
        """Their records, those of all who share a UUID with them, and who could witness their
        absence.
        """
        names = hosts_sharing_uuids(self.satellite, missing)
        ends = {host.id: _end_of(host, survey) for host in missing}
        records = self._records(missing)
        twin_records = fetch_records_named(
            self.satellite, sorted({name for group in names.values() for name in group})
        )
        places = [region.place for region in survey.regions]
        absent = [host for host in missing if not ends[host.id]]
        return Missing(
            {
                host.id: self._weighed(records[host.id], ends[host.id], now)
                for host in missing
                if host.id in records
            },
            {
                host.id: self.journal.history(
                    self.satellite.url, host.id, host.identity.uuids[0], places
                )
                for host in missing
            },
            names,
            self._weighed_twins(missing, names, twin_records, ends, now),
            self._witnesses(absent, alive),
            self._checkins_arrive(absent, now),
            self.satellite.has_permission("view_params"),
            self._detachable(records.values()),
        )

    def _records(self, hosts: Sequence[IdentifiedHost]) -> dict[int, Union[Record, str]]:
        stage = self._stage("records of missing instances")
        ids = [host.id for host in hosts]
        pages = [ids[start : start + FULL_PAGE] for start in range(0, len(ids), FULL_PAGE)]
        records: dict[int, Union[Record, str]] = {}
        with workers(self.satellite.manners.workers) as pool:
            for number, page in enumerate(
                pool.map(partial(fetch_records, self.satellite), pages), 1
            ):
                records.update(page)
                stage(min(number * FULL_PAGE, len(ids)), len(ids))
        return records

    def _weighed(
        self, record: Union[Record, str], end: Optional[datetime], now: datetime
    ) -> Union[Record, str]:
        """The record; where its last report alone speaks against a deletion, with a look at the
        reports since.
        """
        if (
            not isinstance(record, Record)
            or record.report is None
            or record.report != record.last_sign
        ):
            return record
        without = replace(record, report_failed=True).last_sign
        limit = end + CLOCK_SKEW if end else _before(now, self.policy.silence)
        if record.report <= limit or (without is not None and without > limit):
            return record
        return replace(record, report_failed=reports_failed(self.satellite, record, limit))

    def _weighed_twins(
        self,
        missing: Iterable[IdentifiedHost],
        names: Mapping[int, Iterable[str]],
        records: Mapping[str, Union[Record, str]],
        ends: Mapping[int, Optional[datetime]],
        now: datetime,
    ) -> dict[str, Union[Record, str]]:
        weighed = dict(records)
        for host in missing:
            for name in names.get(host.id, ()):
                if name in weighed:
                    weighed[name] = self._weighed(weighed[name], ends[host.id], now)
        return weighed

    def _detachable(self, records: Iterable[Union[Record, str]]) -> bool:
        linked = any(isinstance(record, Record) and record.compute_resource for record in records)
        return not linked or destroys_vms(self.satellite) is not None

    def _witnesses(
        self, absent: Sequence[IdentifiedHost], alive: Mapping[Place, Sequence[ListedHost]]
    ) -> dict[tuple[Place, str], tuple[str, ...]]:
        """(place, kind) -> UUIDs of some living hosts, for each kind of the absent ones."""
        wanted = {host.identity.kind for host in absent} - {""}
        witnesses: dict[tuple[Place, str], tuple[str, ...]] = {}
        for place, hosts in alive.items():
            open_kinds = set(wanted)
            for uuid, kind in (
                firmware_kinds(self.satellite, hosts, self.policy.openstack_names) if wanted else ()
            ):
                if kind in open_kinds:
                    witnesses[place, kind] = (*witnesses.get((place, kind), ()), uuid)
                    open_kinds -= {kind} if len(witnesses[place, kind]) == WITNESSES else set()
                if not open_kinds:
                    break
        return witnesses

    def _checkins_arrive(self, absent: Sequence[IdentifiedHost], now: datetime) -> bool:
        """Whether other hosts checked in lately: if none did, that of an absent one says nothing."""
        if not absent:
            return False
        recent = recent_checkins(self.satellite, _before(now, self.policy.silence))
        return bool(recent - {host.id for host in absent})

    def _stage(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: self.progress(what, done, total)

    # Plan

    def plan(self) -> Plan:
        """Observe, put on file what is missing, judge every host, and hold the whole against the
        guard rails.
        """
        self.settle()
        signs.take(self.journal, self.clock())
        plan = self._guarded(self._judged(self.note(self.observe())))
        if not plan.shrunk:
            self._note_servers(plan)
        return plan

    def plan_one(self, target: Target) -> Plan:
        """The plan for one instance alone; raises SatelliteNotFound where no host in scope is it.

        Everything is observed as ever: whether it is alone with its UUID, and has a witness, others
        decide.  What a run leaves for later ones, this leaves for its target alone, and no cloud's
        size: however often this is called, it does not take the place of the runs that are apart in
        time.
        """
        self.settle()
        signs.take(self.journal, self.clock())
        observation = self.observe()
        hosts = [host for host in observation.everyone() if target.is_of(host)]
        label = str(target)
        with_id = [
            host for host in observation.everyone() if target.name and str(host.id) == target.name
        ]
        if with_id:  # a name of digits comes before an id, as it does in Foreman
            label += f", by its name; {with_id[0].name} has that id" if hosts else ", by its id"
        hosts = hosts or with_id
        if not hosts:
            raise SatelliteNotFound(
                f"{self.satellite.url}: no host record of {target} ({self.described})"
            )
        plan = self._judged(self.note(observation, hosts))
        return self._guarded(plans.only(plan, {host.id for host in hosts}, label))

    def _judged(self, observation: Observation) -> Plan:
        judged = list(self._verdicts(observation))
        verdicts = sorted([*observation.alive, *judged], key=lambda verdict: verdict.host_id)
        plan = Plan(
            self.satellite.url,
            observation.made_at,
            self.described,
            self._regions(observation),
            tuple(verdicts),
        )
        return plans.with_holds(plan, self.policy, _absences(judged, observation.missing.histories))

    def _verdicts(self, observation: Observation) -> Iterator[Verdict]:
        """On each that was looked at; those that are no instances, all in the same words, are
        judged once.
        """
        strangers: dict[tuple[Reason, str], Verdict] = {}
        for host in observation.hosts:
            identity = host.identity
            if identity.reason is None:
                yield judge(observation.case(host), self.policy, observation.made_at)
                continue
            key = (identity.reason, identity.facts)
            if key not in strangers:
                strangers[key] = judge(observation.case(host), self.policy, observation.made_at)
            yield Verdict(
                host.id, host.name, identity.uuids[0] if identity.uuids else "", *strangers[key][3:]
            )

    def _guarded(self, plan: Plan) -> Plan:
        before = (
            0
            if plan.fleet is None
            else self.journal.deleted_since(plan.satellite, self.clock() - HOUR)
        )
        sizes = {place: count for place, (count, _) in self.journal.servers_before().items()}
        return plans.with_guard_rails(plan, self.policy, sizes, before)

    def note(
        self, observation: Observation, targets: Optional[Iterable[ListedHost]] = None
    ) -> Observation:
        """Count the misses of a run in which every cloud answered; the observation with the new
        counts.

        A run with a cloud that could not answer counts for nobody: it neither adds a miss nor takes
        one back.  With `targets` only theirs count, and only where their last one is long enough
        ago: as many as are needed take the whole grace period.  Whoever gave a sign of life begins
        anew, in any case.
        """
        survey = observation.survey
        missed = self.journal.missed()
        alive = {verdict.uuid for verdict in observation.alive if verdict.uuid in missed}
        alive |= {
            uuid
            for uuid, sightings in survey.asked.items()
            if any(sighting.presence is Presence.PRESENT for sighting in sightings)
        }
        leaders = {
            host.id: host.identity.uuids[0]
            for host in observation.hosts
            if host.id in observation.missing.histories
        }
        missing, spacing = set(leaders.values()) - alive, timedelta()
        if targets is not None:
            missing &= {uuid for host in targets for uuid in host.uuids}
            spacing = min(self.policy.grace / self.policy.misses, signs.LAST)
        spoken, used = signs.of_life(self.journal, observation.everyone(), self.clock())
        regions = [region.place for region in survey.regions]
        self.journal.note_misses(
            [(uuid, *place) for uuid in missing for place in regions],
            alive | spoken,
            observation.made_at,
            spacing,
            used,
            gap=max(self.policy.grace, GAP),
        )
        signs.note_removals(self.journal, self.satellite.url, observation.everyone())
        histories = {
            host_id: self.journal.history(self.satellite.url, host_id, uuid, regions)
            for host_id, uuid in leaders.items()
        }
        return replace(observation, missing=replace(observation.missing, histories=histories))

    def _heed(self, batch: Iterable[Verdict]) -> None:
        """Let what events told since the plan was made count against the deletions that rest on
        misses.
        """
        now = self.clock()
        signs.take(self.journal, now)
        hosts = (ListedHost(verdict.host_id, verdict.name, (verdict.uuid,)) for verdict in batch)
        spoken, used = signs.of_life(self.journal, hosts, now)
        if spoken:
            self.journal.note_misses((), spoken, now, used=used, gap=max(self.policy.grace, GAP))

    def _regions(self, observation: Observation) -> tuple[PlanRegion, ...]:
        before = self.journal.servers_before()
        return tuple(
            self._region(region, observation, before) for region in observation.survey.regions
        )

    @staticmethod
    def _region(
        region: RegionAnswer, observation: Observation, before: Mapping[Place, tuple[int, datetime]]
    ) -> PlanRegion:
        place = region.place
        witnesses = [
            (kind, uuid)
            for (where, kind), uuids in observation.missing.witnesses.items()
            if where == place
            for uuid in uuids
        ]
        since = before[place][1] if place in before else None
        ends = [
            sighting.terminated_at
            for sightings in observation.survey.asked.values()
            for sighting in sightings
            if sighting.presence is Presence.DELETED and sighting.place == place
        ]
        return PlanRegion(
            *place,
            region.servers,
            region.proof,
            region.error,
            region.unlisted,
            alive=observation.counts.get(place, 0),
            witnesses=tuple(witnesses),
            terminated=sum(
                end is not None and (since is None or end > since - CLOCK_SKEW) for end in ends
            ),
        )

    def _note_servers(self, plan: Plan) -> None:
        """Good runs only: one that a region spoiled says nothing of the others' normal size either."""
        if not any(region.error for region in plan.regions):
            self.journal.note_servers(
                {
                    region.place: region.servers
                    for region in plan.regions
                    if region.servers is not None
                },
                plan.made_at,
            )

    # Apply

    def settle(self) -> None:
        """Find out what became of deletions that never ended: a run was killed, or an answer was
        lost.

        What cannot be found out stays unfinished.  A 404 says nothing to a login that may see less
        than it did then.
        """
        for row in self.journal.unfinished(self.satellite.url):
            try:
                record = fetch_record(self.satellite, row.host_id)
                gone = record is None and is_gone(self.satellite, row.host_id)
                if gone and not self._sees_as_then(row):
                    log.warning(
                        "%s (host %d): its deletion is unfinished; it is out of sight now, but so is more than "
                        "that: give the login back the rights that it had",
                        row.name,
                        row.host_id,
                    )
                    continue
            except SatelliteLoginError:
                raise
            except SatelliteError as error:
                log.warning(
                    "%s (host %d): its deletion is unfinished: %s", row.name, row.host_id, error
                )
                continue
            self.journal.end_deletion(
                row.id,
                Outcome(
                    row.host_id,
                    row.name,
                    row.uuid,
                    Result.DELETED if gone else Result.FAILED,
                    "the run did not see its end; the record is "
                    + ("gone" if gone else "still there"),
                ),
                self.clock(),
            )

    def _sees_as_then(self, row: Unfinished) -> bool:
        """Whether this login sees what it saw when the deletion was begun, but for what was deleted
        and a few hosts.
        """
        now, then = measure_visibility(self.satellite), row.visibility
        hosts = then.get("hosts")
        if {**now, "hosts": 0} != {**then, "hosts": 0} or type(hosts) is not int:
            return False
        ours = self.journal.deleted_since(self.satellite.url, row.begun - timedelta(seconds=1))
        return hosts - now["hosts"] <= ours + max(2, hosts // 20)

    def check(self, plan: Plan) -> tuple[str, ...]:
        """The guard rails that refuse the plan at this moment; raises PlanError where it is old or
        is not ours.
        """
        plans.check_applicable(plan, self.satellite.url, self.clock())
        return self._guarded(plan).refusals

    def approve(self, plan: Plan, who: str) -> None:
        """Put on file who lifted the caps for this plan; the clouds' present size becomes the
        normal one.
        """
        self.journal.note_approval(plan.digest, who, self.clock())
        self._note_servers(plan)

    def apply(
        self, plan: Plan, stopped: Callable[[], bool] = lambda: False, *, approved: bool = False
    ) -> Iterator[Outcome]:
        """Carry out the deletions of a plan; an Outcome for each, as it happens.

        Raises PlanError where `check` refuses it; `approved` says that `approve` put the lifting of
        the caps on file. Every one is judged anew from what both servers say at this moment.  A
        failure is that host's own, until several different hosts in a row fail; what failed in an
        earlier run comes last.  What was not reached is reported as kept.
        """
        refusals = self.check(plan)
        if refusals and not approved:
            raise PlanError("; ".join(refusals))
        held = {} if approved else plan.held
        yield from (
            _kept(verdict, f"needs an approval: {held[verdict.host_id]}")
            for verdict in plan.deletions
            if verdict.host_id in held
        )
        failures = self.journal.failures(self.satellite.url)
        todo = sorted(
            (verdict for verdict in plan.deletions if verdict.host_id not in held),
            key=lambda verdict: verdict.host_id in failures,
        )
        if todo:
            self.journal.check_writable()
            yield from self._apply(plan, todo, stopped)

    def _apply(
        self, plan: Plan, todo: Sequence[Verdict], stopped: Callable[[], bool]
    ) -> Iterator[Outcome]:
        visibility = measure_visibility(self.satellite)  # asks for the permissions anew
        if not self.satellite.has_permission("destroy_hosts"):
            raise SatelliteForbidden(
                f"{self.satellite.url}: this login may not delete hosts; give its role "
                "destroy_hosts (nothing was deleted)"
            )
        broken, in_a_row = "", 0
        for start in range(0, len(todo), BATCH):
            batch = todo[start : start + BATCH]
            if not broken and not stopped():
                try:
                    self._heed(batch)
                    survey = self._ask_again(plan, batch)
                except (SatelliteError, JournalError) as error:
                    broken = f"not reached: {error}"
            for number, verdict in enumerate(batch, start + 1):
                if broken or stopped():
                    yield _kept(verdict, broken or "not reached: interrupted")
                    continue
                outcome, stop = self._delete_one(plan, verdict, survey, visibility)
                in_a_row = 0 if outcome.result in ("deleted", "kept") else in_a_row + 1
                if stop or in_a_row >= FAILURES:
                    broken = "not reached: " + (stop or f"{in_a_row} deletions in a row failed")
                yield outcome
                self.progress("deletions", number, len(todo))

    def _ask_again(self, plan: Plan, batch: Iterable[Verdict]) -> Survey:
        """The clouds' word on the batch, and on some hosts that were alive in each region, as of
        now.

        Raises PlanError where a region of the plan is not asked any more: an instance could be
        alive there.
        """
        absent = any(verdict.reason is Reason.MISSING for verdict in batch)
        witnesses = [uuid for region in plan.regions for _, uuid in region.witnesses if absent]
        survey = self.checker.ask(dict.fromkeys([*(verdict.uuid for verdict in batch), *witnesses]))
        left = {region.place for region in plan.regions} - {
            region.place for region in survey.regions
        }
        if left and not any(region.error for region in survey.regions):
            raise PlanError(
                f"{', '.join(sorted(map('/'.join, left)))} was asked for the plan and is out of scope now; "
                "make a new plan"
            )
        return survey

    def _delete_one(
        self, plan: Plan, planned: Verdict, survey: Survey, visibility: Mapping[str, Any]
    ) -> tuple[Outcome, str]:
        """The outcome for one host, and why nothing more can be deleted ("" where it can)."""
        try:
            return self._delete(plan, planned, survey, visibility), ""
        except SatelliteChanged as error:
            return _kept(planned, f"{Reason.CHANGED.value}: {error}"), ""
        except SatelliteOutcomeUnknown as error:
            return _outcome(
                planned, "unfinished", f"{error}; the next run finds out what became of it"
            ), ""
        except SatelliteLoginError as error:
            return _outcome(planned, "failed", str(error)), str(error)
        except SatelliteError as error:
            return _outcome(planned, "failed", str(error)), ""
        except JournalError as error:
            return _outcome(planned, "failed", str(error)), str(error)

    def _delete(
        self, plan: Plan, planned: Verdict, survey: Survey, visibility: Mapping[str, Any]
    ) -> Outcome:
        """Judge one host anew, put it on file, delete its record, and see that it is gone."""
        case = self._case_now(plan, planned, survey)
        now = self.clock()
        verdict = judge(case, self.policy, now)
        if verdict.decision is not Decision.DELETE:
            return _kept(planned, f"{verdict.reason.value}: {verdict.detail}")
        record = case.record
        assert record  # no verdict says delete without one
        if (verdict.uuid, verdict.fingerprint, verdict.reason) != (
            planned.uuid,
            planned.fingerprint,
            planned.reason,
        ):
            return _kept(
                planned,
                f"{Reason.CHANGED.value}: UUID, registration, check-in or proof is another now",
            )
        if record.compute_resource:
            if not self._detach(record):
                return _kept(planned, Reason.COMPUTE_RESOURCE.value)
            record = replace(record, compute_resource=None)
        confirm_unchanged(self.satellite, record)
        evidence = {**self._evidence(case, now), "visibility": visibility}
        number = self.journal.begin_deletion(
            plan.satellite, plan.digest, verdict, evidence, record, now
        )
        return self._send(number, planned, record, verdict.detail)

    def _send(self, number: int, planned: Verdict, record: Record, detail: str) -> Outcome:
        """The deletion itself, which is on file as `number`; where its end is not clear it stays
        unfinished there.
        """
        try:
            gone = delete_record(self.satellite, record)
        except SatelliteOutcomeUnknown:
            raise
        except SatelliteError as error:
            self.journal.end_deletion(number, _outcome(planned, "failed", str(error)), self.clock())
            raise
        outcome = (
            _outcome(planned, "deleted", detail)
            if gone
            else _outcome(
                planned,
                "failed",
                "Satellite answered the DELETE, but the record is still there, perhaps unregistered; "
                "the next run tries again, see Satellite's production.log",
            )
        )
        self.journal.end_deletion(number, outcome, self.clock())
        return outcome

    def _case_now(self, plan: Plan, planned: Verdict, survey: Survey) -> Case:
        """The host and its twins as both servers show them now."""
        record = fetch_record(self.satellite, planned.host_id)
        identity = (
            identity_now(self.satellite, record.id, record.name, self.policy.openstack_names)
            if record
            else (Identity((), Reason.NO_FACTS))
        )
        host = IdentifiedHost(planned.host_id, planned.name, identity)
        asked = (
            survey
            if set(identity.uuids) <= survey.asked.keys()
            else self.checker.ask(identity.uuids)
        )
        sightings = tuple(sighting for uuid in identity.uuids for sighting in asked.of(uuid))
        end = _end_of(host, asked)
        now = self.clock()
        names = hosts_sharing_uuids(self.satellite, [host])
        twin_records = self._weighed_twins(
            [host], names, fetch_records_named(self.satellite, names[host.id]), {host.id: end}, now
        )
        places = [region.place for region in plan.regions]
        history = (
            History()
            if not identity.uuids
            else self.journal.history(plan.satellite, host.id, identity.uuids[0], places)
        )
        weighed = self._weighed(record, end, now) if record else None
        return _case(
            host,
            sightings,
            plan.regions,
            Missing(
                {},
                {host.id: history},
                names,
                twin_records,
                {},
                end is not None
                or bool(
                    recent_checkins(self.satellite, _before(now, self.policy.silence)) - {host.id}
                ),
                self.satellite.has_permission("view_params"),
                self._detachable([record] if record else []),
            ),
            weighed,
            _still_alive(plan, survey),
        )

    def _detach(self, record: Record) -> bool:
        """Cut the link to the compute resource and see that it is cut."""
        try:
            disassociate(self.satellite, record)
        except SatelliteChanged:
            raise
        except SatelliteError as error:
            log.warning("%s: %s", record.name, error)
            return False
        now = fetch_record(self.satellite, record.id)
        return now is not None and now.compute_resource is None

    def _evidence(self, case: Case, now: datetime) -> dict[str, Any]:
        """Every point of the promise as it was seen, for the journal."""
        return {
            "rules": [[step.rule, step.observed] for step in steps(case, self.policy, now)],
            "sightings": [
                [
                    sighting.uuid,
                    sighting.cloud,
                    sighting.region,
                    sighting.presence.value,
                    sighting.detail,
                ]
                for sighting in case.sightings
            ],
        }


def _is_missing(host: IdentifiedHost, survey: Survey) -> bool:
    """Whether every cloud answered and none has it: only then is there a reason to look at its
    record.
    """
    sightings = [sighting for uuid in host.identity.uuids for sighting in survey.of(uuid)]
    return bool(sightings) and all(
        sighting.presence in (Presence.ABSENT, Presence.DELETED) for sighting in sightings
    )


def _homes_now(host: IdentifiedHost, survey: Survey) -> dict[Place, list[str]]:
    """Where it is alive, by which of its UUIDs."""
    homes: dict[Place, list[str]] = {}
    for uuid in host.identity.uuids:
        for sighting in survey.of(uuid):
            if sighting.presence is Presence.PRESENT:
                homes.setdefault(sighting.place, []).append(uuid)
    return homes


def _end_of(host: IdentifiedHost, survey: Survey) -> Optional[datetime]:
    """When it was terminated, with proof; None without."""
    sightings = tuple(sighting for uuid in host.identity.uuids for sighting in survey.of(uuid))
    proof = tombstone(sightings)
    return proof.terminated_at if proof else None


def _absences(verdicts: Iterable[Verdict], histories: Mapping[int, History]) -> list[Absence]:
    """The hosts that are missing without proof and are, or soon may be, deleted."""
    absences = []
    for verdict in verdicts:
        history = histories.get(verdict.host_id, History())
        if verdict.reason in (Reason.MISSING, Reason.GRACE, Reason.SILENCE) and history.since:
            homes = sorted("/".join(place) for place in history.homes)
            absences.append(Absence(verdict.host_id, homes[0] if homes else "", history.since))
    return absences


def _still_alive(plan: Plan, survey: Survey) -> set[tuple[Place, str]]:
    """(place, kind) of the plan's witnesses that are alive now."""
    return {
        (region.place, kind)
        for region in plan.regions
        for kind, uuid in region.witnesses
        if any(
            sighting.presence is Presence.PRESENT and sighting.place == region.place
            for sighting in survey.of(uuid)
        )
    }


def _before(when: datetime, span: timedelta) -> datetime:
    """That time less a span, and not before the times that Satellite can hold: a policy may say a
    million days.
    """
    return when - min(span, when - BEGINNING)


def _outcome(verdict: Verdict, result: str, detail: str) -> Outcome:
    return Outcome(verdict.host_id, verdict.name, verdict.uuid, Result(result), detail)


def _kept(verdict: Verdict, why: str) -> Outcome:
    return _outcome(verdict, "kept", why)
