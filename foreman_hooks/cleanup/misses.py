"""Count in how many runs in a row an instance is missing; a sign of life starts the count over."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain, product
from typing import Optional

from foreman_hooks.cleanup import check_ins
from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.observation import Observation
from foreman_hooks.osp_checker import Place, Presence
from foreman_hooks.rules.model import History, Policy, Verdict
from foreman_hooks.satellite.inventory import ListedHost

# Misses of daily runs count as consecutive, however short the grace period is.
GAP = timedelta(hours=25)


@dataclass(frozen=True)
class Misses:
    """The counts of misses in the journal; `satellite`: its URL."""

    journal: Journal
    satellite: str
    policy: Policy

    def count(
        self,
        observation: Observation,
        now: datetime,
        targets: Optional[Iterable[ListedHost]] = None,
    ) -> Observation:
        """Count the misses of a run; return the observation with the new counts.

        A run in which a cloud could not answer counts for no host: it neither adds nor removes a
        miss.  With `targets`, only their misses count, and only if the last one is long enough ago,
        so that the required misses take the whole grace period.  A host that gave a sign of life
        starts over in any case.  Raises JournalError.
        """
        alive = self._alive_uuids(observation)
        missing = {
            host.identity.uuids[0] for host in observation.missing_hosts()
        } - alive
        spacing = timedelta()
        if targets is not None:
            missing &= set(chain.from_iterable(host.uuids for host in targets))
            spacing = self._spacing
        reported = check_ins.of_hosts(self.journal, observation.everyone(), now)
        places = [region.place for region in observation.survey.regions]
        rows = [
            (uuid, place.cloud, place.region)
            for uuid, place in product(missing, places)
        ]
        self.journal.note_misses(
            rows,
            alive | reported.uuids,
            observation.made_at,
            spacing,
            reported.notes,
            gap=self._gap,
        )
        check_ins.note_removals(self.journal, self.satellite, observation.everyone())
        return self._with_histories(observation, places)

    def _with_histories(
        self, observation: Observation, places: Sequence[Place]
    ) -> Observation:
        """The observation with the present histories of its missing hosts."""
        histories: dict[int, History] = {}
        for host in observation.missing_hosts():
            uuid = host.identity.uuids[0]
            histories[host.id] = self.journal.history(
                self.satellite, host.id, uuid, places
            )
        missing = replace(observation.missing, histories=histories)
        return replace(observation, missing=missing)

    def _alive_uuids(self, observation: Observation) -> set[str]:
        """The UUIDs that are alive now, of those that may have a miss in the journal."""
        missed = self.journal.missed()
        alive: set[str] = set()
        for group in observation.alive:
            alive.update(uuid for _, _, uuid in group.hosts if uuid in missed)
        for uuid, sightings in observation.survey.asked.items():
            if any(sighting.presence is Presence.PRESENT for sighting in sightings):
                alive.add(uuid)
        return alive

    def heed_check_ins(self, planned: Iterable[Verdict], now: datetime) -> None:
        """Start the counts over for hosts that checked in after the plan was made.

        Raises JournalError.
        """
        check_ins.collect(self.journal, now)
        hosts = (
            ListedHost(verdict.host_id, verdict.name, (verdict.uuid,))
            for verdict in planned
        )
        reported = check_ins.of_hosts(self.journal, hosts, now)
        if reported.uuids:
            self.journal.note_misses(
                (),
                reported.uuids,
                now,
                used=reported.notes,
                gap=self._gap,
            )

    @property
    def _spacing(self) -> timedelta:
        """The time between two misses of a target, so that they take the whole grace period."""
        spacing = self.policy.grace / self.policy.misses
        return min(spacing, check_ins.KEEP_NOTES)

    @property
    def _gap(self) -> timedelta:
        """The time without a miss after which the count starts over."""
        return max(self.policy.grace, GAP)
