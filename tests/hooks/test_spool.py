"""Events of Foreman: both ways of calling, hostile input, and a spool that belongs to somebody
else.
"""

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreman_hooks import settings
from foreman_hooks.commands import main as cli
from foreman_hooks.hooks import spool as events
from foreman_hooks.hooks.spool import (
    CREATED,
    DESTROYED,
    FACTS,
    EventError,
    Note,
    SpoolBusy,
    SpoolError,
)

NOW = datetime(2025, 3, 1, 12, tzinfo=timezone.utc)
WEB = "web01.example.com"
PROGRAM = "from foreman_hooks.commands.main import entry_point; entry_point()"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3.events"


@pytest.fixture
def call(spool: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Run one event in this process, with that body on standard input: exit code, what it printed,
    the notes.
    """
    stdin = os.dup(0)

    def run(
        *argv: str, body: bytes = b"", options: tuple[str, ...] = ()
    ) -> tuple[int, str, list[Any]]:
        (tmp_path / "body").write_bytes(body)
        with (tmp_path / "body").open("rb") as file:
            os.dup2(file.fileno(), 0)
        code = cli.main(
            [*options, "event", *(() if options else ("--spool", str(spool))), "--", *argv]
        )
        lines = spool.read_text().splitlines() if spool.is_file() else []
        out, err = capfd.readouterr()
        assert not out
        return code, err, [tuple(json.loads(line).values())[:3] for line in lines]

    yield run
    os.dup2(stdin, 0)
    os.close(stdin)


def one_line(text: str) -> str:
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    assert len(text) < 400
    assert text[:-1].isprintable()
    return text


def took(spool: Path, now: datetime = NOW) -> list[Note]:
    found: list[Note] = []
    events.take(spool, lambda notes, _: found.extend(notes), now)
    return found


# Both ways of calling


@pytest.mark.parametrize(
    ("spelling", "event"),
    [
        *(
            (name + suffix, name)
            for name in (CREATED, FACTS, DESTROYED)
            for suffix in ("", ".event.foreman")
        ),
        ("create", CREATED),
        ("postcreate", CREATED),
        ("after_create", CREATED),
        ("update", FACTS),
        ("postupdate", FACTS),
        ("after_update", FACTS),
        ("after_save", FACTS),
        ("destroy", DESTROYED),
        ("before_destroy", DESTROYED),
        ("after_destroy", DESTROYED),
    ],
)
def test_every_spelling_of_an_event_is_known(spelling: str, event: str) -> None:
    assert events.known(spelling) == event


@pytest.mark.parametrize(
    "name",
    [
        "",
        "host_updated",
        "HOST_CREATED",
        "create.event.foreman",
        "after_build",
        "a" * 10**5,
        "\x1b[31m",
        "$(reboot)",
        "--apply",
        "host_created\n",
        "\udcff",
    ],
)
def test_an_unknown_event_is_a_usage_error_in_one_line(name: str, call: Any) -> None:
    code, err, notes = call(name, WEB)
    assert (code, notes) == (64, [])
    assert "known are host_created, host_facts_updated, host_destroyed" in one_line(err)


def test_a_shellhook_hands_over_name_and_id_as_arguments_and_its_body_is_not_needed(
    call: Any,
) -> None:
    assert call("host_created.event.foreman", "Web01.Example.com", "17") == (
        0,
        "",
        [(CREATED, 17, WEB)],
    )


def test_the_default_payload_of_a_webhook_has_the_id_alone(call: Any) -> None:
    body = json.dumps(
        {"id": 17, "context": {}, "event_name": "host_destroyed.event.foreman", "webhook_id": 3}
    )
    assert call("host_destroyed.event.foreman", body=body.encode()) == (
        0,
        "",
        [(DESTROYED, 17, "")],
    )


def test_a_foreman_hook_gets_the_name_as_argument_and_the_host_in_a_root_of_its_own(
    call: Any,
) -> None:
    body = json.dumps(
        {"host": {"id": 17, "name": WEB, "parameters": [{"name": "secret", "value": "x"}]}}
    ).encode()
    assert call("after_update", WEB, body=body) == (0, "", [(FACTS, 17, WEB)])


def test_more_arguments_than_are_known_do_no_harm(call: Any) -> None:
    assert call(CREATED, WEB, "17", "more", "--spool", "/etc/passwd") == (
        0,
        "",
        [(CREATED, 17, WEB)],
    )


# Hostile input


@pytest.mark.parametrize(
    "host",
    [
        "$(reboot)",
        "a;b",
        "a b",
        "a`id`",
        "a|b",
        "../../etc/passwd",
        "a/b",
        "a\nb",
        "\x1b[2J",
        "-h",
        "--help",
        ".",
        "a.",
        "ä.example.com",
        "\udcff\udcfe",
        "a" * 256,
        "a" * 10**5,
        "'",
        '"',
        "%s",
        "\u202eweb",
    ],
)
def test_what_is_no_name_of_a_host_is_refused_in_one_line_and_never_noted(
    host: str, call: Any
) -> None:
    code, err, notes = call(CREATED, host)
    assert (code, notes) == (65, [])
    assert "is no name of a host" in one_line(err)


BODIES = {
    "nothing": b"",
    "broken UTF-8": b'{"host": {"id": 1, "name": "\xff\xfe"}}',
    "NUL": b"\0" * 1000,
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "a list": b"[1]",
    "a text": b'"host"',
    "null": b"null",
    "wrong types": b'{"host": {"id": "1", "name": ["a"]}}',
    "a bool for an id": b'{"id": true}',
    "a host that is a list": b'{"host": []}',
    "an endless number": b'{"id": ' + b"9" * 10_000 + b"}",
    "an id too large": b'{"id": 9223372036854775808}',
    "a negative id": b'{"id": -1}',
    "no finite": b'{"id": NaN}',
    "shell": b"$(reboot); rm -rf /\n",
    "cut": b'{"host": {"id": 1',
    "a fraction": b'{"id": 1.5}',
}


@pytest.mark.parametrize("body", list(BODIES.values()), ids=list(BODIES))
def test_a_body_without_sense_is_passed_over_where_the_arguments_say_enough(
    body: bytes, call: Any
) -> None:
    assert call(FACTS, WEB, body=body) == (0, "", [(FACTS, 0, WEB)])


@pytest.mark.parametrize("body", list(BODIES.values()), ids=list(BODIES))
def test_a_body_without_sense_is_refused_where_it_has_to_name_the_host(
    body: bytes, call: Any
) -> None:
    code, err, notes = call(FACTS, body=body)
    assert (code, notes) == (65, [])
    assert "names no host" in one_line(err)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "$(reboot)", "a" * 100_000, "\0"])
def test_a_hostile_name_in_a_body_is_refused_as_well(name: str, call: Any) -> None:
    code, err, notes = call(FACTS, body=json.dumps({"name": name}).encode())
    assert (code, notes) == (65, [])
    one_line(err)


def test_a_body_of_ten_megabytes_is_not_parsed_and_it_says_so(call: Any) -> None:
    body = json.dumps({"host": {"id": 17, "name": WEB, "comment": "x" * 10_000_000}}).encode()
    code, err, notes = call(CREATED, WEB, body=body)
    assert (code, notes) == (0, [(CREATED, 0, WEB)])
    assert err == "the event's body is longer than 1048576 bytes and was not read\n"


def test_all_of_a_long_body_is_taken_so_that_its_writer_gets_no_broken_pipe() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as file:
        thread = threading.Thread(target=lambda: (file.write(b"x" * 3_000_000), file.close()))
        thread.start()
        assert len(events.read_body(reader)) == events.MAX_BODY + 1
        thread.join()
    os.close(reader)


def test_an_input_that_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "WAIT", 0.05)
    reader, writer = os.pipe()
    os.write(writer, b'{"id": 17}')
    assert events.read_body(reader) == b'{"id": 17}'
    for one in (reader, writer):
        os.close(one)
    assert events.read_body(reader) == b""  # closed


@given(
    st.text(max_size=300),
    st.text(max_size=30),
    st.one_of(
        st.binary(max_size=100),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(st.sampled_from(["host", "id", "name", "x"]), inner)
            ),
            max_leaves=6,
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
def test_whatever_an_event_is_given_makes_a_note_that_can_be_read_again_or_is_refused(
    host: str, host_id: str, body: bytes
) -> None:
    try:
        note = events.note_of(CREATED, host, host_id, body, NOW)
    except EventError as error:
        assert str(error)[:200].isprintable()
    else:
        line = json.dumps({**note._asdict(), "at": note.at.isoformat()}).encode()
        assert b"\n" not in line
        assert events._parsed(line, NOW) == note


# What may not go wrong for whoever calls


def test_an_event_loads_nothing_that_takes_long_to_load(spool: Path, tmp_path: Path) -> None:
    """The program's start is all the time that an event takes."""
    config = tmp_path / "config.yml"
    config.write_text(f"journal: {tmp_path / 'journal.sqlite3'}\n")
    code = (
        "import sys\nfrom foreman_hooks.commands import main as cli\n"
        "codes = [cli.main(['--config', sys.argv[1], 'event', *args.split()]) for args in sys.argv[2:]]\n"
        "print(codes, *sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, config, f"create {WEB}", f"{FACTS} a$b", "no_event x"],
        input="{}",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stdout.startswith("[0, 65, 64]")
    slow = {
        "requests",
        "urllib3",
        "keystoneauth1",
        "novaclient",
        "openstack",
        "rich",
        "jinja2",
        "sqlite3",
        "foreman_hooks.reports.listings",
        "foreman_hooks.settings",
        "foreman_hooks.commands.app",
    }
    assert not slow.intersection(ran.stdout.split())
    assert spool.exists()


def test_a_user_who_may_not_write_there_is_told_whose_the_spool_has_to_be(spool: Path) -> None:
    spool.touch(0o000)
    if os.geteuid() == 0:
        os.seteuid(65534)  # root may write anywhere
    try:
        with pytest.raises(
            events.SpoolForbidden, match="has to belong to the user that runs the events"
        ):
            events.leave(spool, Note(CREATED, 1, WEB, NOW))
    finally:
        os.seteuid(os.getuid())


@pytest.mark.parametrize(
    ("error", "code"),
    [(events.SpoolForbidden("forbidden"), 77), (SpoolError("broken"), 70), (SpoolBusy("full"), 75)],
)
def test_a_spool_that_cannot_be_written_fails_a_shellhook_but_never_what_foreman_is_doing(
    error: SpoolError, code: int, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """foreman_hooks takes the action back where a hook fails (exec_hook raises)."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(events, "leave", fail)
    assert call(CREATED, WEB) == (code, f"error: {error}\n", [])
    assert call("create", WEB) == (0, f"error: {error}\n", [])
    assert call("before_destroy", "a b")[0] == 0


# Where the spool is


def test_the_spool_is_beside_the_journal_of_the_configuration(call: Any, tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text(
        f"journal: {tmp_path / 'journal.sqlite3'}\nsatellite: {{password_file: /nonexistent}}\n"
    )
    assert call("after_create", WEB, options=("--config", str(config))) == (
        0,
        "",
        [(CREATED, 0, WEB)],
    )


@pytest.mark.parametrize(
    "text",
    [
        "journal: [",
        "journal: 5",
        "[1]",
        "journal: ~nobody-there/x",
        "\xff\0",
        "- a",
        "journal: !!python/object:os.system {}",
    ],
)
def test_a_configuration_without_sense_is_an_error_in_one_line(
    text: str, call: Any, tmp_path: Path
) -> None:
    config = tmp_path / "config.yml"
    config.write_text(text, encoding="latin-1")
    code, err, _ = call(CREATED, WEB, options=("--config", str(config)))
    assert code == 70
    one_line(err)


def test_a_configuration_that_was_named_has_to_be_there(call: Any, tmp_path: Path) -> None:
    code, err, _ = call(CREATED, WEB, options=("--config", str(tmp_path / "none.yml")))
    assert code == 70
    assert "No such file" in one_line(err)


def test_without_a_configuration_the_journal_is_where_a_run_has_it(tmp_path: Path) -> None:
    assert events.journal_of(tmp_path / "none.yml", must_exist=False) == settings.JOURNAL


# The spool


def test_a_note_is_one_line_in_a_file_of_its_users_own(spool: Path) -> None:
    events.leave(spool, Note(CREATED, 1, WEB, NOW))
    events.leave(spool, Note(DESTROYED, 0, WEB, NOW))
    assert spool.read_text().count("\n") == 2
    assert spool.stat().st_mode & 0o777 == 0o600
    assert took(spool) == [Note(CREATED, 1, WEB, NOW), Note(DESTROYED, 0, WEB, NOW)]
    assert spool.read_bytes() == b""
    assert took(spool) == []


def test_notes_of_many_events_at_once_all_arrive_whole(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "WAIT", 30.0)  # a busy machine is no failure
    monkeypatch.setattr(os, "fsync", lambda _: None)
    threads = [
        threading.Thread(
            target=lambda one: [
                events.leave(spool, Note(FACTS, one * 100 + number, WEB, NOW))
                for number in range(1, 26)
            ],
            args=(one,),
        )
        for one in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({note.host_id for note in took(spool)}) == 200


def test_notes_that_were_not_kept_are_still_there(spool: Path) -> None:
    events.leave(spool, Note(CREATED, 1, WEB, NOW))

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        events.take(spool, fail, NOW)
    assert len(took(spool)) == 1


def test_no_spool_is_no_notes(spool: Path) -> None:
    assert took(spool) == []
    assert not spool.exists()


def test_what_is_no_note_is_left_out_and_one_from_the_future_is_of_now(spool: Path) -> None:
    good = {"event": FACTS, "host_id": 1, "name": WEB, "at": "2031-01-01T00:00:00+00:00"}
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
                *(json.dumps(one).encode() for one in bad),
                b"\xff\0",
                b"[" * 10_000,
                json.dumps(good).encode()[:-3],
                json.dumps(good).encode(),
            ]
        )
    )
    assert took(spool) == [Note(FACTS, 1, WEB, NOW)]


@given(st.binary(max_size=300))
def test_whatever_stands_in_the_spool_a_run_goes_on(
    tmp_path_factory: pytest.TempPathFactory, text: bytes
) -> None:
    spool = tmp_path_factory.getbasetemp() / "any.events"
    spool.write_bytes(text)
    assert took(spool) == []
    assert spool.read_bytes() == b""


@pytest.mark.parametrize(
    "make",
    [lambda path: path.symlink_to(path.with_name("secret")), os.mkfifo, Path.mkdir],
    ids=["a link", "a pipe", "a folder"],
)
def test_what_is_no_regular_file_is_neither_written_nor_read(make: Any, spool: Path) -> None:
    secret = spool.with_name("secret")
    secret.write_text("kept")
    make(spool)
    for action in (lambda: events.leave(spool, Note(CREATED, 1, WEB, NOW)), lambda: took(spool)):
        with pytest.raises(SpoolError):
            action()
    assert secret.read_text() == "kept"


def test_a_full_spool_takes_no_more_and_the_run_that_empties_it_knows(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_SPOOL", 500)
    for number in range(1, 5):
        events.leave(spool, Note(FACTS, number, WEB, NOW))
    for _ in range(3):
        with pytest.raises(SpoolBusy, match="full"):
            events.leave(spool, Note(FACTS, 9, WEB, NOW))
    assert spool.stat().st_size == 500
    found: list[Any] = []
    events.take(spool, lambda notes, full: found.extend((len(notes), full)), NOW)
    assert found == [4, True]
    events.leave(spool, Note(FACTS, 9, WEB, NOW))
    events.take(spool, lambda notes, full: found.extend((len(notes), full)), NOW)
    assert found[2:] == [1, False]


@pytest.mark.parametrize(
    ("text", "lost"),
    [(b'{"event": "host_cr', True), (b"\0\0\0\n", True), (b"\n \n", False), (b"", False)],
)
def test_a_line_that_is_no_note_may_have_been_a_sign_of_life(
    spool: Path, text: bytes, lost: bool
) -> None:
    events.leave(spool, Note(FACTS, 1, WEB, NOW))
    with spool.open("ab") as file:
        file.write(text)
    found: list[Any] = []
    events.take(spool, lambda notes, gone: found.extend((len(notes), gone)), NOW)
    assert found == [1, lost]


def test_a_spool_that_nobody_can_look_for_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError):
        took(tmp_path / "file" / "journal.events")


def test_a_note_that_did_not_fit_on_the_disk_spoils_no_other(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events.leave(spool, Note(FACTS, 1, WEB, NOW))
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, line: write(file, line[:20]))
        with pytest.raises(SpoolError, match="No space left"):
            events.leave(spool, Note(FACTS, 2, WEB, NOW))
    events.leave(spool, Note(FACTS, 3, WEB, NOW))
    assert [note.host_id for note in took(spool)] == [1, 3]


def test_a_spool_that_somebody_holds_is_not_waited_for(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "WAIT", 0.02)
    monkeypatch.setattr(events, "RUN_WAIT", 0.02)
    events.leave(spool, Note(FACTS, 1, WEB, NOW))
    with spool.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SpoolBusy, match="somebody else holds it"):
            events.leave(spool, Note(FACTS, 2, WEB, NOW))
        with pytest.raises(SpoolBusy):
            took(spool)
    assert len(took(spool)) == 1
