"""What Foreman's events reported: signs of life, and hosts that somebody else removed.

Events leave notes in a spool (hooks/spool.py).  Here the notes move to the journal, and count.
They can only keep a record, never delete one.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.hooks import spool
from foreman_hooks.hooks.event import DESTROYED, Note
from foreman_hooks.osp_checker import both_orders
from foreman_hooks.paths import spool_of
from foreman_hooks.satellite.inventory import ListedHost

log = logging.getLogger(__name__)

KEEP_NOTES = timedelta(days=30)  # how long a note about a host that no run sees is kept


class CheckIns(NamedTuple):
    """Check-ins that events reported.

    `uuids`: of the hosts with a sign of life, in both byte orders.  `notes`: the notes that can be
    dropped, because they have been used or are too old.
    """

    uuids: set[str]
    notes: list[Note]


def collect(journal: Journal, now: datetime) -> None:
    """Move the notes that events left from the spool into the journal; raises JournalError.

    If the spool was full, is damaged, or cannot be read, signs of life may be lost.  Then any
    machine may have given one, so all counts of misses start over.
    """

    def keep(notes: Sequence[Note], lost: bool) -> None:
        if lost:
            log.warning(
                "notes of Foreman's events were lost, because their spool was full or damaged; "
                "signs of life may be among them, so all counts of misses start over; run more "
                "often"
            )
        journal.note_events(notes, lost)

    try:
        spool.take(spool_of(journal.path), keep, now)
    except spool.SpoolError as error:
        log.warning(
            "notes of Foreman's events cannot be read (%s); signs of life may be among them, so "
            "all counts of misses start over",
            error,
        )
        journal.note_events((), lost=True)


def of_hosts(journal: Journal, hosts: Iterable[ListedHost], now: datetime) -> CheckIns:
    """The check-ins of these hosts that events reported; raises JournalError.

    A note about a host that is not among these stays for other runs, for KEEP_NOTES at most.
    """
    notes = [note for note in journal.events() if note.event != DESTROYED]
    if not notes:
        return CheckIns(set(), [])
    noted_ids = {note.host_id for note in notes} - {0}
    noted_names = {note.name for note in notes} - {""}
    uuids: set[str] = set()
    ids: set[int] = set()
    names: set[str] = set()
    for host in hosts:
        name = host.name.lower()
        if host.id in noted_ids or name in noted_names:
            uuids.update(host.uuids)
            ids.add(host.id)
            names.add(name)
    used: list[Note] = []
    for note in notes:
        is_known = note.host_id in ids or note.name in names
        if is_known or note.at < now - KEEP_NOTES:
            used.append(note)
    return CheckIns(both_orders(uuids), used)


def note_removals(
    journal: Journal,
    satellite: str,
    hosts: Iterable[ListedHost],
) -> None:
    """Note in the journal which hosts somebody else removed; raises JournalError.

    A host that is still listed was not removed: Foreman rolled back its deletion.
    """
    notes = [note for note in journal.events() if note.event == DESTROYED]
    if not notes:
        return
    ids: set[int] = set()
    names: set[str] = set()
    for host in hosts:
        ids.add(host.id)
        names.add(host.name.lower())
    removals: list[Note] = []
    for note in notes:
        is_listed = note.host_id in ids if note.host_id else note.name in names
        if not is_listed and not journal.is_ours(satellite, note):
            removals.append(note)
    journal.note_removals(satellite, removals, notes)
