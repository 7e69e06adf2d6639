"""The spool of notes: it belongs to another user, and several processes use it at once."""

import fcntl
import json
import os
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreman_hooks import settings
from foreman_hooks.hooks.event import CREATED, DESTROYED, FACTS, Note
from foreman_hooks.hooks.spool import (
    SpoolBusy,
    SpoolError,
    SpoolForbidden,
    journal_of,
    leave,
    take,
)

NOW = datetime(2025, 3, 1, 12, tzinfo=timezone.utc)
WEB = "web01.example.com"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3.events"


def notes_in(spool: Path, now: datetime = NOW) -> list[Note]:
    taken: list[Note] = []
    take(spool, lambda notes, _: taken.extend(notes), now)
    return taken


def test_a_note_is_one_line_in_a_file_that_only_its_user_can_read(spool: Path) -> None:
    leave(spool, Note(CREATED, 1, WEB, NOW))
    leave(spool, Note(DESTROYED, 0, WEB, NOW))
    assert spool.read_text().count("\n") == 2
    assert spool.stat().st_mode & 0o777 == 0o600
    assert notes_in(spool) == [Note(CREATED, 1, WEB, NOW), Note(DESTROYED, 0, WEB, NOW)]
    assert spool.read_bytes() == b""
    assert notes_in(spool) == []


def test_notes_of_many_events_at_once_all_arrive_whole(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This machine may be busy.
    monkeypatch.setattr("foreman_hooks.hooks.spool.EVENT_WAIT", 30.0)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    threads = [
        threading.Thread(
            target=lambda thread: [
                leave(spool, Note(FACTS, thread * 100 + number, WEB, NOW))
                for number in range(1, 26)
            ],
            args=(number,),
        )
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({note.host_id for note in notes_in(spool)}) == 200


def test_notes_stay_in_the_spool_until_they_are_kept(spool: Path) -> None:
    leave(spool, Note(CREATED, 1, WEB, NOW))

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take(spool, fail, NOW)
    assert len(notes_in(spool)) == 1


def test_a_missing_spool_holds_no_notes_and_is_not_created_by_a_run(
    spool: Path,
) -> None:
    assert notes_in(spool) == []
    assert not spool.exists()


def test_invalid_lines_are_left_out_and_a_time_in_the_future_becomes_now(
    spool: Path,
) -> None:
    good = {
        "event": FACTS,
        "host_id": 1,
        "name": WEB,
        "at": "2031-01-01T00:00:00+00:00",
    }
    bad = [
        {**good, "event": "delete"},
        {**good, "host_id": "1"},
        {**good, "host_id": True},
        {**good, "name": "A B"},
        {**good, "name": None},
        {**good, "host_id": 0, "name": ""},
        {**good, "at": 5},
        {**good, "at": "soon"},
        {**good, "host_id": 2**63},
        {**good, "at": "0001-01-01T00:00:00+23:00"},
        [],
        None,
        7,
    ]
    spool.write_bytes(
        b"\n".join(
            [
                *(json.dumps(line).encode() for line in bad),
                b"\xff\0",
                b"[" * 10_000,
                json.dumps(good).encode()[:-3],
                json.dumps(good).encode(),
            ]
        )
    )
    assert notes_in(spool) == [Note(FACTS, 1, WEB, NOW)]


@given(st.binary(max_size=300))
def test_a_run_goes_on_whatever_the_spool_contains(
    tmp_path_factory: pytest.TempPathFactory, text: bytes
) -> None:
    spool = tmp_path_factory.getbasetemp() / "any.events"
    spool.write_bytes(text)
    assert notes_in(spool) == []
    assert spool.read_bytes() == b""


@pytest.mark.parametrize(
    "make",
    [lambda path: path.symlink_to(path.with_name("secret")), os.mkfifo, Path.mkdir],
    ids=["a link", "a pipe", "a folder"],
)
def test_only_a_regular_file_is_written_or_read(make: Any, spool: Path) -> None:
    secret = spool.with_name("secret")
    secret.write_text("kept")
    make(spool)
    for action in (
        lambda: leave(spool, Note(CREATED, 1, WEB, NOW)),
        lambda: notes_in(spool),
    ):
        with pytest.raises(SpoolError):
            action()
    assert secret.read_text() == "kept"


def test_a_full_spool_takes_no_more_and_the_next_run_knows_that_it_was_full(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foreman_hooks.hooks.spool.MAX_SPOOL", 500)
    for number in range(1, 5):
        leave(spool, Note(FACTS, number, WEB, NOW))
    for _ in range(3):
        with pytest.raises(SpoolBusy, match="full"):
            leave(spool, Note(FACTS, 9, WEB, NOW))
    assert spool.stat().st_size == 500
    calls: list[Any] = []
    take(spool, lambda notes, full: calls.extend((len(notes), full)), NOW)
    assert calls == [4, True]
    leave(spool, Note(FACTS, 9, WEB, NOW))
    take(spool, lambda notes, full: calls.extend((len(notes), full)), NOW)
    assert calls[2:] == [1, False]


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        (b'{"event": "host_cr', True),
        (b"\0\0\0\n", True),
        (b"\n \n", False),
        (b"", False),
    ],
)
def test_an_invalid_line_counts_as_a_check_in_that_may_be_lost(
    spool: Path, text: bytes, lost: bool
) -> None:
    leave(spool, Note(FACTS, 1, WEB, NOW))
    with spool.open("ab") as file:
        file.write(text)
    calls: list[Any] = []
    take(spool, lambda notes, gone: calls.extend((len(notes), gone)), NOW)
    assert calls == [1, lost]


def test_a_spool_that_cannot_be_looked_for_is_an_error_and_not_an_empty_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError):
        notes_in(tmp_path / "file" / "journal.events")


def test_a_note_that_does_not_fit_on_the_disk_damages_no_other_note(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(spool, Note(FACTS, 1, WEB, NOW))
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, line: write(file, line[:20]))
        with pytest.raises(SpoolError, match="No space left"):
            leave(spool, Note(FACTS, 2, WEB, NOW))
    leave(spool, Note(FACTS, 3, WEB, NOW))
    assert [note.host_id for note in notes_in(spool)] == [1, 3]


def test_nobody_waits_long_for_a_spool_that_is_locked(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foreman_hooks.hooks.spool.EVENT_WAIT", 0.02)
    monkeypatch.setattr("foreman_hooks.hooks.spool.RUN_WAIT", 0.02)
    leave(spool, Note(FACTS, 1, WEB, NOW))
    with spool.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SpoolBusy, match="locked by another process"):
            leave(spool, Note(FACTS, 2, WEB, NOW))
        with pytest.raises(SpoolBusy):
            notes_in(spool)
    assert len(notes_in(spool)) == 1


def test_a_user_who_may_not_write_to_the_spool_learns_who_must_own_it(
    spool: Path,
) -> None:
    spool.touch(0o000)
    if os.geteuid() == 0:
        os.seteuid(65534)  # root may write anywhere
    try:
        with pytest.raises(
            SpoolForbidden, match="must belong to the user that runs the events"
        ):
            leave(spool, Note(CREATED, 1, WEB, NOW))
    finally:
        os.seteuid(os.getuid())


def test_without_a_configuration_the_journal_is_where_a_run_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foreman_hooks.hooks.spool.CONFIG", tmp_path / "none.yml")
    assert journal_of(None) == settings.JOURNAL


@pytest.mark.parametrize("text", ["", "{}", "policy: {misses: 3}"])
def test_a_configuration_without_a_journal_has_the_usual_one(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    assert journal_of(path) == settings.JOURNAL


@pytest.mark.parametrize(
    "text", ["journal: 5", "journal:", "journal: [a]", "a", "[a]", "[[a]]", '"ab"']
)
def test_a_journal_that_is_not_a_path_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    with pytest.raises(SpoolError, match="not a valid configuration"):
        journal_of(path)


def test_a_note_of_a_time_from_which_nothing_can_be_subtracted_is_none(
    spool: Path,
) -> None:
    at = "0001-01-01T00:00+00:00"
    note = {"event": CREATED, "host_id": 1, "name": WEB, "at": at}
    spool.write_text(json.dumps(note) + "\n")
    assert notes_in(spool) == []


def test_only_the_journal_is_made_of_a_configuration(tmp_path: Path) -> None:
    """The rest of it may stand for gigabytes."""
    lines = ["a0: &a0 {x: 1}"]
    for number in range(1, 30):
        aliases = ", ".join([f"*a{number - 1}"] * 9)
        lines.append(f"a{number}: &a{number} {{<<: [{aliases}]}}")
    path = tmp_path / "config.yml"
    path.write_text("\n".join([*lines, "journal: /srv/journal"]))
    assert journal_of(path) == Path("/srv/journal")
