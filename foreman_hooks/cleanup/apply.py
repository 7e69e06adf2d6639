"""Apply a plan: judge each host again, note the deletion in the journal, delete the record."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, NamedTuple

from foreman_hooks.cleanup.journal import Journal, JournalError
from foreman_hooks.cleanup.last_look import LastLook
from foreman_hooks.cleanup.misses import Misses
from foreman_hooks.cleanup.progress import Clock, Progress
from foreman_hooks.osp_checker import Survey
from foreman_hooks.rules.model import (
    Decision,
    Outcome,
    Policy,
    Reason,
    Record,
    Result,
    Verdict,
)
from foreman_hooks.rules.plan import Plan
from foreman_hooks.rules.verdict import Case, judge
from foreman_hooks.satellite.access import measure_visibility
from foreman_hooks.satellite.batches import FAILURES
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.deletion import (
    confirm_unchanged,
    delete_record,
    disassociate,
)
from foreman_hooks.satellite.errors import (
    SatelliteChanged,
    SatelliteError,
    SatelliteForbidden,
    SatelliteHitAnotherHost,
    SatelliteLoginError,
    SatelliteOutcomeUnknown,
)
from foreman_hooks.satellite.records import fetch_record

log = logging.getLogger(__name__)

# How many instances are asked about again together, a few seconds before their deletions.
BATCH = 20
# How old an answer about an instance may be when its record is deleted.  Satellite, and the hooks
# that run after each deletion, can take many seconds.
MAX_AGE = timedelta(minutes=1)


class _NotNoted(JournalError):
    """A deletion was tried, and the journal could not note how it ended."""


class _Answers(NamedTuple):
    """What the clouds said about the next hosts, and when (aware)."""

    host_ids: frozenset[int]
    survey: Survey
    at: datetime

    def cover(self, host_id: int, now: datetime) -> bool:
        """Whether they are about that host, and new enough to delete its record.

        Nobody knows how old they are after the clock was set back.
        """
        is_new = timedelta() <= now - self.at <= MAX_AGE
        return is_new and host_id in self.host_ids


_NO_ANSWERS = _Answers(
    frozenset(), Survey((), {}, {}), datetime.min.replace(tzinfo=timezone.utc)
)


@dataclass(frozen=True)
class Deletions:
    """Carries out the deletions of one plan."""

    plan: Plan
    satellite: Satellite
    journal: Journal
    policy: Policy
    last_look: LastLook
    who: str
    progress: Progress
    clock: Clock

    def carry_out(
        self, deletions: Sequence[Verdict], stopped: Callable[[], bool]
    ) -> Iterator[Outcome]:
        """Yield an Outcome for each deletion, as it happens; KEPT for those not reached.

        `stopped`: whether to stop before the next deletion.  Raises SatelliteForbidden if this
        login may not delete, or another SatelliteError; PlanError if a region of the plan is not
        asked any more.
        """
        visibility = self._check_may_delete()
        obstacle = ""  # why no further deletion is tried
        failures_in_a_row = 0
        answers = _NO_ANSWERS
        for done, verdict in enumerate(deletions):
            is_reached = not obstacle and not stopped()
            if is_reached and not answers.cover(verdict.host_id, self.clock()):
                try:
                    answers = self._ask_again(deletions[done : done + BATCH])
                except (SatelliteError, JournalError) as error:
                    obstacle = f"not reached: {error}"
            if obstacle or stopped():
                yield kept(verdict, obstacle or "not reached: interrupted")
                continue
            outcome, why = self._delete_safely(verdict, answers.survey, visibility)
            failed = outcome.result not in ("deleted", "kept")
            failures_in_a_row = failures_in_a_row + 1 if failed else 0
            if why:
                obstacle = f"not reached: {why}"
            elif failures_in_a_row >= FAILURES:
                obstacle = f"not reached: {failures_in_a_row} deletions in a row failed"
            yield outcome
            self.progress("deletions", done + 1, len(deletions))

    def _check_may_delete(self) -> Mapping[str, Any]:
        """What this login sees now; raises SatelliteForbidden if it may not delete hosts."""
        # This also requests the permissions again.
        visibility = measure_visibility(self.satellite)
        if not self.satellite.has_permission("destroy_hosts"):
            raise SatelliteForbidden(
                f"{self.satellite.url}: this login may not delete hosts; give its role "
                "destroy_hosts (nothing was deleted)"
            )
        return visibility

    def _ask_again(self, batch: Sequence[Verdict]) -> _Answers:
        misses = Misses(self.journal, self.satellite.url, self.policy)
        misses.heed_check_ins(batch, self.clock())
        survey = self.last_look.ask_clouds(batch)
        host_ids = frozenset(verdict.host_id for verdict in batch)
        return _Answers(host_ids, survey, self.clock())

    def _delete_safely(
        self,
        planned: Verdict,
        survey: Survey,
        visibility: Mapping[str, Any],
    ) -> tuple[Outcome, str]:
        """The outcome for one host, and why nothing more can be deleted; "" if more can."""
        try:
            return self._delete(planned, survey, visibility), ""
        except SatelliteChanged as error:
            return kept(planned, f"{Reason.CHANGED.value}: {error}"), ""
        except (SatelliteHitAnotherHost, _NotNoted) as error:
            return _outcome(planned, Result.UNFINISHED, str(error)), str(error)
        except SatelliteOutcomeUnknown as error:
            detail = f"{error}; the next run finds out what became of it"
            return _outcome(planned, Result.UNFINISHED, detail), ""
        except (SatelliteLoginError, JournalError) as error:
            return _outcome(planned, Result.FAILED, str(error)), str(error)
        except SatelliteError as error:
            return _outcome(planned, Result.FAILED, str(error)), ""

    def _delete(
        self,
        planned: Verdict,
        survey: Survey,
        visibility: Mapping[str, Any],
    ) -> Outcome:
        """Judge one host again, note the deletion, delete the record, check that it is gone."""
        case = self.last_look.case(planned, survey)
        now = self.clock()
        verdict = judge(case, self.policy, now)
        if verdict.decision is not Decision.DELETE:
            return kept(planned, f"{verdict.reason.value}: {verdict.detail}")
        if not _same_grounds(verdict, planned):
            changed = Reason.CHANGED.value
            return kept(
                planned, f"{changed}: its UUID, registration, check-in or proof differs"
            )
        record = case.record
        assert record  # no verdict says delete without one
        if record.compute_resource:
            if not self._detach(record):
                return kept(planned, Reason.COMPUTE_RESOURCE.value)
            record = replace(record, compute_resource=None)
        confirm_unchanged(self.satellite, record)
        number = self._begin(verdict, case, record, visibility, now)
        return self._send(number, planned, record, verdict.detail)

    def _detach(self, record: Record) -> bool:
        """Cut the link to the compute resource, and check that it is cut."""
        try:
            disassociate(self.satellite, record)
        except SatelliteChanged:
            raise
        except SatelliteError as error:
            log.warning("%s: %s", record.name, error)
            return False
        record_now = fetch_record(self.satellite, record.id)
        return record_now is not None and record_now.compute_resource is None

    def _begin(
        self,
        verdict: Verdict,
        case: Case,
        record: Record,
        visibility: Mapping[str, Any],
        now: datetime,
    ) -> int:
        """Note the deletion and its evidence in the journal, and return its number there."""
        evidence = self.last_look.evidence(case, now)
        evidence["visibility"] = visibility
        return self.journal.begin_deletion(
            satellite=self.plan.satellite,
            plan=self.plan.digest,
            verdict=verdict,
            evidence=evidence,
            record=record,
            who=self.who,
            now=now,
            run=self.plan.kind,
        )

    def _send(
        self,
        number: int,
        planned: Verdict,
        record: Record,
        detail: str,
    ) -> Outcome:
        """Delete the record, and note in the journal what became of deletion `number`.

        It stays unfinished there as long as nobody knows how it ended: SatelliteOutcomeUnknown,
        _NotNoted.
        """
        try:
            is_gone = delete_record(self.satellite, record)
        except SatelliteOutcomeUnknown:
            raise
        except SatelliteError as error:
            self._end(number, _outcome(planned, Result.FAILED, str(error)))
            raise
        if is_gone:
            outcome = _outcome(planned, Result.DELETED, detail)
        else:
            outcome = _outcome(
                planned,
                Result.FAILED,
                "Satellite answered the DELETE, but the record is still there, perhaps "
                "unregistered; the next run tries again, see Satellite's production.log",
            )
        return self._end(number, outcome)

    def _end(self, number: int, outcome: Outcome) -> Outcome:
        """Note in the journal how deletion `number` ended; return the outcome with its time."""
        now = self.clock()
        try:
            self.journal.end_deletion(number, outcome, now)
        except JournalError as error:
            raise _NotNoted(
                f"{outcome.result.value}, which could not be noted: {error}"
            ) from error
        return outcome._replace(at=now)


def _same_grounds(verdict: Verdict, planned: Verdict) -> bool:
    """Whether the verdict rests on the same UUID, record and reason as the planned one."""
    return (
        verdict.uuid == planned.uuid
        and verdict.fingerprint == planned.fingerprint
        and verdict.reason == planned.reason
    )


def kept(verdict: Verdict, why: str) -> Outcome:
    """The outcome for a record that the plan would delete, but that is kept; `why`: for people."""
    return _outcome(verdict, Result.KEPT, why)


def _outcome(verdict: Verdict, result: Result, detail: str) -> Outcome:
    return Outcome(verdict.host_id, verdict.name, verdict.uuid, result, detail)
