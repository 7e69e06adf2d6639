"""Signs of life that need more requests: reports, and the check-ins of other hosts.

Satellite's side also writes reports about dead machines; these failed as a whole.  So if only the
last report speaks against a deletion, the reports themselves are read.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Optional

from foreman_hooks.osp_checker.session import CLOCK_SKEW
from foreman_hooks.rules.model import Record
from foreman_hooks.satellite.check_ins import recent_checkins, reports_failed
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.records import RecordOrReason

BEGINNING = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class SignsOfLife:
    """Reads signs of life from Satellite, as of `now` (aware).

    `silence`: how long a machine must have been silent if there is no proof of its termination.
    """

    satellite: Satellite
    silence: timedelta
    now: datetime

    def check_reports(
        self, record: RecordOrReason, end: Optional[datetime]
    ) -> RecordOrReason:
        """The record, with `report_failed` set if its reports since the end failed as a whole.

        The reports are only read if nothing but the last one speaks against a deletion.  `end`:
        when the instance was terminated (aware); None without proof.  Raises SatelliteError.
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
        twin_records: Mapping[str, RecordOrReason],
        twins: Mapping[int, Iterable[str]],
        ends: Mapping[int, Optional[datetime]],
    ) -> dict[str, RecordOrReason]:
        """Name -> record of the twins, with their reports checked as in `check_reports`.

        `twins`: host id -> names of its twins.  `ends`: host id -> when its instance was terminated
        (aware); None without proof.  Raises SatelliteError.
        """
        checked = dict(twin_records)
        for host_id, end in ends.items():
            for name in twins.get(host_id, ()):
                if name in checked:
                    checked[name] = self.check_reports(checked[name], end)
        return checked

    def others_check_in(self, host_ids: Collection[int]) -> bool:
        """Whether any host other than these checked in recently; raises SatelliteError.

        If none did, check-ins may not arrive at all, and the silence of a host means nothing.
        """
        since = before(self.now, self.silence)
        recent = recent_checkins(self.satellite, since)
        return not recent <= set(host_ids)


def before(when: datetime, span: timedelta) -> datetime:
    """The time `span` before `when` (aware), but not before 1970, which Satellite cannot represent.

    The span may be a million days: nothing limits the durations of a policy.
    """
    return when - min(span, when - BEGINNING)
