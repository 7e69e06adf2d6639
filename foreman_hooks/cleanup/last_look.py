"""The last look before a deletion: ask both sides again, seconds before the record is deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Optional

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.missing import Missing, Witnesses, can_detach
from foreman_hooks.cleanup.progress import Clock
from foreman_hooks.cleanup.signs_of_life import SignsOfLife
from foreman_hooks.cleanup.whereabouts import homes_now, sightings_of, terminated_at
from foreman_hooks.osp_checker import Checker, Place, Survey
from foreman_hooks.rules.model import History, Identity, Policy, Reason, Record, Verdict
from foreman_hooks.rules.plan import Plan, PlanError
from foreman_hooks.rules.verdict import Case, steps
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.inventory import IdentifiedHost, identity_now
from foreman_hooks.satellite.records import (
    RecordOrReason,
    fetch_record,
    fetch_records_named,
)
from foreman_hooks.satellite.shared_uuids import hosts_sharing_uuids


@dataclass(frozen=True)
class LastLook:
    """Gathers everything that verdicts rest on again, for the deletions of one plan."""

    plan: Plan
    satellite: Satellite
    checker: Checker
    journal: Journal
    policy: Policy
    clock: Clock

    def ask_clouds(self, batch: Sequence[Verdict]) -> Survey:
        """What the clouds say now about these instances, and about the witnesses in each region.

        Raises PlanError if a region of the plan is not asked any more: an instance could be alive
        there.  A cloud that fails raises nothing: the survey holds its error.
        """
        uuids = [verdict.uuid for verdict in batch]
        if any(verdict.reason is Reason.MISSING for verdict in batch):
            for region in self.plan.regions:
                uuids += [uuid for _, uuid in region.witnesses]
        survey = self.checker.ask(dict.fromkeys(uuids))
        if not any(answer.error for answer in survey.regions):
            self._check_same_regions(survey)
        return survey

    def _check_same_regions(self, survey: Survey) -> None:
        """Raise PlanError if a region of the plan is out of scope now."""
        places = {answer.place for answer in survey.regions}
        not_asked = {region.place for region in self.plan.regions} - places
        if not_asked:
            names = ", ".join(sorted(map(str, not_asked)))
            raise PlanError(
                f"{names} was asked for the plan and is out of scope now; make a new plan"
            )

    def case(self, planned: Verdict, survey: Survey) -> Case:
        """The host and its twins as both sides show them now; raises SatelliteError.

        `survey`: what `ask_clouds` returned for the batch.  If the facts name other UUIDs now, the
        clouds are asked again, about this host alone.
        """
        record = fetch_record(self.satellite, planned.host_id)
        host = IdentifiedHost(planned.host_id, planned.name, self._identity(record))
        uuids = host.identity.uuids
        answers = survey
        if not set(uuids) <= survey.asked.keys():
            answers = self.checker.ask(uuids)
        sightings = sightings_of(uuids, answers)
        missing = self._missing(host, record, answers, survey)
        return missing.case(host, sightings, self.plan.regions)

    def _identity(self, record: Optional[Record]) -> Identity:
        if record is None:
            gone = "it is gone, or hidden from this login"
            return Identity((), Reason.OUT_OF_SIGHT, gone)
        names = self.policy.openstack_names
        return identity_now(self.satellite, record.id, record.name, names)

    def _missing(
        self,
        host: IdentifiedHost,
        record: Optional[Record],
        answers: Survey,
        survey: Survey,
    ) -> Missing:
        """What is known of this host, looked up in the same way as for the plan.

        `answers`: the survey of its UUIDs.  `survey`: that of the batch and the witnesses.
        """
        end = terminated_at(host.identity.uuids, answers)
        now = self.clock()
        signs = SignsOfLife(self.satellite, self.policy.silence, now)
        names = hosts_sharing_uuids(self.satellite, [host])
        twin_records = fetch_records_named(self.satellite, names[host.id])
        twin_records = signs.check_twin_reports(twin_records, names, {host.id: end})
        history = self._history(host)
        records: dict[int, RecordOrReason] = {}
        if record:
            records[host.id] = signs.check_reports(record, end)
        return Missing(
            records=records,
            histories={host.id: history},
            twins=names,
            twin_records=twin_records,
            witnesses=self._living_witnesses(survey),
            checkins_arrive=end is not None or signs.others_check_in({host.id}),
            parameters_shown=self.satellite.has_permission("view_params"),
            detachable=can_detach(self.satellite, [record]),
        )

    def _history(self, host: IdentifiedHost) -> History:
        uuids = host.identity.uuids
        if not uuids:
            return History()
        url = self.plan.satellite
        places = [region.place for region in self.plan.regions]
        return self.journal.history(url, host.id, uuids[0], places)

    def _living_witnesses(self, survey: Survey) -> Witnesses:
        """The plan's witnesses that are still alive in the same place."""
        witnesses: dict[Place, dict[str, list[str]]] = {}
        for region in self.plan.regions:
            living = witnesses.setdefault(region.place, {})
            for kind, uuid in region.witnesses:
                if _is_alive_in(region.place, uuid, survey):
                    living.setdefault(kind, []).append(uuid)
        return witnesses

    def evidence(self, case: Case, now: datetime) -> dict[str, Any]:
        """Every rule and every sighting behind the verdict, as JSON for the journal."""
        rules = [[step.rule, step.observed] for step in steps(case, self.policy, now)]
        sightings: list[list[str]] = []
        for sighting in case.sightings:
            row = [
                sighting.uuid,
                sighting.cloud,
                sighting.region,
                sighting.presence.value,
                sighting.detail,
            ]
            sightings.append(row)
        return {"rules": rules, "sightings": sightings}


def _is_alive_in(place: Place, uuid: str, survey: Survey) -> bool:
    return place in homes_now([uuid], survey)
