"""What Foreman's events told, put to use by a run: signs of life, and hosts that somebody else
removed.

Events leave notes in a spool (hooks/spool.py); here they come into the journal and count.  They can only
keep a record.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.hooks import spool
from foreman_hooks.hooks.event import DESTROYED, Note
from foreman_hooks.osp_checker.uuids import swap_bytes
from foreman_hooks.paths import spool_of
from foreman_hooks.satellite.inventory import ListedHost

log = logging.getLogger(__name__)

LAST = timedelta(days=30)  # how long what an event told of a host that no run sees is kept


def take(journal: Journal, now: datetime) -> None:
    """Bring what events left into the journal; raises JournalError.

    Where signs of life may be lost, since the spool was full, damaged, or cannot be read at all,
    any machine may have given one, and all misses begin anew.
    """

    def keep(notes: Sequence[Note], lost: bool) -> None:
        if lost:
            log.warning(
                "notes of Foreman's events were lost, since their spool was full or damaged; signs of life "
                "may be among them, so all misses begin anew; run more often"
            )
        journal.note_events(notes, lost)

    try:
        spool.take(spool_of(journal.path), keep, now)
    except spool.SpoolError as error:
        log.warning(
            "notes of Foreman's events cannot be read (%s); signs of life may be among them, so all misses "
            "begin anew",
            error,
        )
        journal.note_events((), lost=True)


def of_life(
    journal: Journal, hosts: Iterable[ListedHost], now: datetime
) -> tuple[set[str], list[Note]]:
    """The UUIDs, in both byte orders, of those hosts of which an event told, and those notes.

    A note of a host that no run sees is dropped after some time; a run of other hosts leaves it
    alone.
    """
    notes = [note for note in journal.events() if note.event != DESTROYED]
    if not notes:
        return set(), []
    ids, names = {note.host_id for note in notes} - {0}, {note.name for note in notes} - {""}
    found = [host for host in hosts if host.id in ids or host.name.lower() in names]
    spoken = {form for host in found for uuid in host.uuids for form in (uuid, swap_bytes(uuid))}
    seen_ids, seen_names = {host.id for host in found}, {host.name.lower() for host in found}
    return spoken, [
        note
        for note in notes
        if note.host_id in seen_ids or note.name in seen_names or note.at < now - LAST
    ]


def note_removals(journal: Journal, satellite: str, hosts: Iterable[ListedHost]) -> None:
    """Put on file whom somebody else removed.  A host that is still listed was not: Foreman took
    that back.
    """
    notes = [note for note in journal.events() if note.event == DESTROYED]
    if not notes:
        return
    listed = {(host.id, host.name.lower()) for host in hosts}
    ids, names = {key for key, _ in listed}, {name for _, name in listed}
    journal.note_removals(
        satellite,
        [
            note
            for note in notes
            if not (note.host_id in ids if note.host_id else note.name in names)
            and not journal.is_ours(satellite, note)
        ],
        notes,
    )
