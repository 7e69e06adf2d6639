"""What a quick run looks at: only hosts whose instance was deleted since the last run.

It asks Nova for the rows that were deleted since then, and Satellite for the hosts that name them,
so it costs the same however many hosts there are.  It finds proof only: absence, and rows that it
missed (archived, clocks that were set), are the business of the full run.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.journal_rows import read_time, time_text
from foreman_hooks.cleanup.open_records import OpenRecord, open_records
from foreman_hooks.cleanup.progress import Progress, stage
from foreman_hooks.osp_checker import (
    Checker,
    OSPError,
    Place,
    Presence,
    RegionAnswer,
    Server,
    Survey,
    both_orders,
)
from foreman_hooks.osp_checker.checker import joined
from foreman_hooks.rules.model import Reason
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.inventory import ListedHost, Scope
from foreman_hooks.satellite.shared_uuids import hosts_naming
from foreman_hooks.times import read_iso_z

OVERLAP = timedelta(hours=1)  # for clocks that differ, and rows that are written late
FURTHEST = timedelta(days=2)  # older terminations are the full run's business
WITNESSES = 5  # servers of each region that it must still know, alive or deleted
# The open records that may go as soon as time has passed.
_MAY_GO = frozenset({Reason.QUIET, Reason.TERMINATED})


class DeletedHosts(NamedTuple):
    """The hosts that name a deleted server.

    `survey`: how the regions answered.  `since`: no later than any of the terminations (aware).
    """

    survey: Survey
    hosts: list[ListedHost]
    since: datetime


@dataclass(frozen=True)
class QuickRun:
    """Finds the hosts that a quick run looks at.

    `scope`: which hosts it may judge.  `described`: the same in words, for the journal.
    """

    satellite: Satellite
    checker: Checker
    journal: Journal
    scope: Scope
    described: str
    progress: Progress

    def find_hosts(self, now: datetime) -> DeletedHosts:
        """The hosts in scope that name a server which was deleted since the last run.

        Records that have waited long enough since an earlier run are looked at again; those that
        still wait are not.  `now`: aware.  Raises SatelliteError and JournalError.  A cloud that
        fails raises nothing: the survey holds its error.
        """
        since = self._last_read(now) - OVERLAP
        report = stage(self.progress, "deleted servers")
        answer = self.checker.deleted(since, report)
        waiting, due = self._open_records(now)
        servers = [server for server in answer.servers if server.uuid not in waiting]
        uuids = {server.uuid for server in servers}
        uuids.update(record.uuid for record in due)
        hosts = hosts_naming(self.satellite, sorted(uuids), self.scope)
        survey = Survey(answer.regions, {}, {}, answer.at)
        return DeletedHosts(survey, hosts, _earliest(since, servers, due) - OVERLAP)

    def _last_read(self, now: datetime) -> datetime:
        """Up to when the deleted rows of every region have been judged.

        A time in the future says nothing: the clock was set back since.
        """
        times = deleted_rows_read(self.journal, self.satellite.url, self.described)
        earliest = now - FURTHEST
        last = min(times.values(), default=earliest)
        return last if earliest <= last <= now else earliest

    def _open_records(self, now: datetime) -> tuple[set[str], list[OpenRecord]]:
        """The UUIDs of records that wait, in both byte orders; and the records that may go."""
        waiting: list[str] = []
        due: list[OpenRecord] = []
        for record in open_records(self.journal, self.satellite.url):
            if record.reason not in _MAY_GO:
                continue
            when = read_iso_z(record.due)
            if when and when > now:
                waiting.append(record.uuid)
            else:
                due.append(record)
        return both_orders(waiting), due


def _earliest(
    since: datetime, servers: Iterable[Server], due: Iterable[OpenRecord]
) -> datetime:
    """The time of the earliest termination of these, but not later than `since`."""
    times = [server.terminated_at for server in servers]
    times += [read_iso_z(record.terminated_at) for record in due]
    return min([since, *filter(None, times)])


def check_witnesses(survey: Survey, witnesses: Mapping[Place, Sequence[str]]) -> Survey:
    """The survey, with an error for each region that no longer knows any of its witnesses.

    Then it is another region than the one that the last full run saw, or was emptied.
    """
    errors: list[RegionAnswer] = []
    for place, uuids in witnesses.items():
        presences = _presences(survey, place, uuids)
        if presences == {Presence.ABSENT}:
            error = OSPError(
                f"{place}: Nova knows none of {len(uuids)} servers that the last full run saw "
                "alive there, so nothing is deleted; the next full run finds out why"
            )
            errors.append(RegionAnswer(*place, error=error))
    if not errors:
        return survey
    return joined(survey.asked, [survey, Survey(tuple(errors), {}, {})])


def _presences(survey: Survey, place: Place, uuids: Collection[str]) -> set[Presence]:
    presences: set[Presence] = set()
    for uuid in uuids:
        for sighting in survey.of(uuid):
            if sighting.place == place:
                presences.add(sighting.presence)
    return presences


# Up to when the deleted rows of each region have been judged


def deleted_rows_read(
    journal: Journal, satellite: str, scope: str
) -> dict[Place, datetime]:
    """Place -> up to when its deleted rows were judged for the hosts of that scope (aware).

    Raises JournalError.
    """
    times: dict[Place, datetime] = {}
    with journal.reading() as database:
        rows = database.execute(
            "SELECT cloud, region, at FROM deleted_rows WHERE satellite = ? AND scope = ?",
            (satellite, scope),
        ).fetchall()
        for cloud, region, at in rows:
            place = Place(cloud, region)
            times[place] = read_time(at, f"the deleted rows of {place}")
    return times


def note_deleted_rows(
    journal: Journal,
    satellite: str,
    scope: str,
    regions: Collection[RegionAnswer],
    now: datetime,
) -> None:
    """Note that the deleted rows of all regions have been judged up to `now` (aware).

    If a region failed, nothing is noted, since no host could be judged.  Raises JournalError.
    """
    if any(region.error for region in regions):
        return
    at = time_text(now)
    rows = [(satellite, scope, *region.place, at) for region in regions]
    with journal.writing() as database:
        database.execute(
            "DELETE FROM deleted_rows WHERE satellite = ? AND scope = ?",
            (satellite, scope),
        )
        database.executemany("INSERT INTO deleted_rows VALUES (?, ?, ?, ?, ?)", rows)
