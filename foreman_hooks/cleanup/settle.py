"""Settle deletions that never ended, because a run was killed or a response was lost."""

import logging
from datetime import timedelta
from typing import Optional

from foreman_hooks.cleanup.journal import Journal, Unfinished
from foreman_hooks.cleanup.progress import Clock
from foreman_hooks.rules.model import Outcome, Result
from foreman_hooks.satellite.access import measure_visibility
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.deletion import is_gone
from foreman_hooks.satellite.errors import SatelliteError, SatelliteLoginError
from foreman_hooks.satellite.records import fetch_record

log = logging.getLogger(__name__)


def settle(satellite: Satellite, journal: Journal, clock: Clock) -> None:
    """Note in the journal how each unfinished deletion ended, if that can be found out.

    Raises SatelliteLoginError and JournalError.  Another failure of Satellite is logged, and the
    deletion stays unfinished.
    """
    for deletion in journal.unfinished(satellite.url):
        try:
            record_is_gone = _is_gone(deletion, satellite, journal)
        except SatelliteLoginError:
            raise
        except SatelliteError as error:
            log.warning(
                "%s (host %d): its deletion is unfinished: %s",
                deletion.name,
                deletion.host_id,
                error,
            )
            continue
        if record_is_gone is None:
            log.warning(
                "%s (host %d): its deletion is unfinished; this login cannot see the record any "
                "more, but it also sees less than before; give it back its earlier rights",
                deletion.name,
                deletion.host_id,
            )
            continue
        outcome = _outcome(deletion, record_is_gone)
        journal.end_deletion(deletion.id, outcome, clock())


def _is_gone(
    deletion: Unfinished,
    satellite: Satellite,
    journal: Journal,
) -> Optional[bool]:
    """Whether the record is gone; None if nobody knows.  Raises SatelliteError.

    A 404 means nothing if this login may see less than it did when the deletion began.
    """
    if fetch_record(satellite, deletion.host_id) is not None:
        return False
    if not is_gone(satellite, deletion.host_id):
        return False
    if not _sees_as_before(deletion, satellite, journal):
        return None
    return True


def _sees_as_before(
    deletion: Unfinished,
    satellite: Satellite,
    journal: Journal,
) -> bool:
    """Whether this login sees as much as it did when the deletion began.

    Hosts that were deleted since, and a few more, may be missing.
    """
    now = measure_visibility(satellite)
    before = deletion.visibility
    hosts_before = before.get("hosts")
    if {**now, "hosts": 0} != {**before, "hosts": 0} or type(hosts_before) is not int:
        return False
    since = deletion.begun - timedelta(seconds=1)
    deleted = journal.deleted_since(satellite.url, since)
    return hosts_before - now["hosts"] <= deleted + max(2, hosts_before // 20)


def _outcome(deletion: Unfinished, is_gone: bool) -> Outcome:
    result, state = Result.FAILED, "still there"
    if is_gone:
        result, state = Result.DELETED, "gone"
    return Outcome(
        host_id=deletion.host_id,
        name=deletion.name,
        uuid=deletion.uuid,
        result=result,
        detail=f"the run did not see how the deletion ended; the record is {state}",
    )
