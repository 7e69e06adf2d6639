"""Signs of life for which Satellite is asked again: reports, and the check-ins of other hosts.

Satellite's side writes reports that failed as a whole, of dead machines as well.  So if the last
report alone speaks against a deletion, the reports themselves are read.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Optional, Union

from foreman_hooks.osp_checker.session import CLOCK_SKEW
from foreman_hooks.rules.model import Record
from foreman_hooks.satellite.check_ins import recent_checkins, reports_failed
from foreman_hooks.satellite.client import Satellite

# A host record, or a text that says why it cannot be read.
RecordOrProblem = Union[Record, str]

BEGINNING = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class SignsOfLife:
    """Reads signs of life from Satellite, as of `now` (aware).

    `silence`: how long a host without proof of its termination must have been silent.
    """

    satellite: Satellite
    silence: timedelta
    now: datetime

    def check_reports(
        self, record: RecordOrProblem, end: Optional[datetime]
    ) -> RecordOrProblem:
        """The record, with `report_failed` set if its reports since the end failed as a whole.

        The reports are only read where the last one alone speaks against a deletion.  `end`: when
        the instance was terminated, None without proof.  Raises SatelliteError.
        """
        if not isinstance(record, Record):
            return record
        if record.report is None or record.report != record.last_sign:
            return record
        limit = end + CLOCK_SKEW if end else before(self.now, self.silence)
        if record.report <= limit:
            return record
        other_sign = replace(record, report_failed=True).last_sign
        if other_sign is not None and other_sign > limit:
            return record
        return replace(
            record, report_failed=reports_failed(self.satellite, record, limit)
        )

    def check_twin_reports(
        self,
        twin_records: Mapping[str, RecordOrProblem],
        twins: Mapping[int, Iterable[str]],
        ends: Mapping[int, Optional[datetime]],
    ) -> dict[str, RecordOrProblem]:
        """The records of the twins by name, each checked against the end of that instance.

        `twins`: host id -> names of its twins.  `ends`: host id -> when it was terminated, None
        without proof.
        """
        checked = dict(twin_records)
        for host_id, end in ends.items():
            for name in twins.get(host_id, ()):
                if name in checked:
                    checked[name] = self.check_reports(checked[name], end)
        return checked

    def others_check_in(self, host_ids: Collection[int]) -> bool:
        """Whether any host other than these checked in lately.

        If none did, check-ins may not arrive at all, and the silence of a host says nothing.
        """
        since = before(self.now, self.silence)
        recent = recent_checkins(self.satellite, since)
        return not recent <= set(host_ids)


def before(when: datetime, span: timedelta) -> datetime:
    """That time less a span, but never before 1970, which Satellite could not represent.

    The span may be a million days: nothing limits what a policy says.
    """
    return when - min(span, when - BEGINNING)
