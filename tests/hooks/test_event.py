"""Events of Foreman: every way of calling, and hostile input."""

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

from foreman_hooks.commands.main import main
from foreman_hooks.hooks.event import (
    CREATED,
    DESTROYED,
    FACTS,
    MAX_BODY,
    EventError,
    event_named,
    note_of,
    read_body,
)
from foreman_hooks.hooks.spool import SpoolBusy, SpoolError, SpoolForbidden, _note_in

NOW = datetime(2025, 3, 1, 12, tzinfo=timezone.utc)
WEB = "web01.example.com"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3.events"


@pytest.fixture
def call(
    spool: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Iterator[Any]:
    """Run one event in this process with that body: exit code, standard error, notes."""
    stdin = os.dup(0)

    def run(
        *argv: str, body: bytes = b"", options: tuple[str, ...] = ()
    ) -> tuple[int, str, list[Any]]:
        (tmp_path / "body").write_bytes(body)
        with (tmp_path / "body").open("rb") as file:
            os.dup2(file.fileno(), 0)
        code = main(
            [
                *options,
                "event",
                *(() if options else ("--spool", str(spool))),
                "--",
                *argv,
            ]
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
    assert event_named(spelling) == event


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
    assert "known events: host_created, host_facts_updated, host_destroyed" in one_line(
        err
    )


def test_a_shellhook_hands_over_name_and_id_as_arguments_and_its_body_is_not_needed(
    call: Any,
) -> None:
    assert call("host_created.event.foreman", "Web01.Example.com", "17") == (
        0,
        "",
        [(CREATED, 17, WEB)],
    )


def test_the_default_payload_of_a_webhook_names_the_host_by_id_only(call: Any) -> None:
    body = json.dumps(
        {
            "id": 17,
            "context": {},
            "event_name": "host_destroyed.event.foreman",
            "webhook_id": 3,
        }
    )
    assert call("host_destroyed.event.foreman", body=body.encode()) == (
        0,
        "",
        [(DESTROYED, 17, "")],
    )


def test_foreman_hooks_gives_the_name_as_an_argument_and_the_host_below_a_key_in_the_body(
    call: Any,
) -> None:
    body = json.dumps(
        {
            "host": {
                "id": 17,
                "name": WEB,
                "parameters": [{"name": "secret", "value": "x"}],
            }
        }
    ).encode()
    assert call("after_update", WEB, body=body) == (0, "", [(FACTS, 17, WEB)])


def test_extra_arguments_are_ignored(call: Any) -> None:
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
def test_an_invalid_host_name_is_refused_in_one_line_and_never_noted(
    host: str, call: Any
) -> None:
    code, err, notes = call(CREATED, host)
    assert (code, notes) == (65, [])
    assert "is not a valid host name" in one_line(err)


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
def test_an_invalid_body_is_ignored_where_the_arguments_name_the_host(
    body: bytes, call: Any
) -> None:
    assert call(FACTS, WEB, body=body) == (0, "", [(FACTS, 0, WEB)])


@pytest.mark.parametrize("body", list(BODIES.values()), ids=list(BODIES))
def test_an_invalid_body_is_refused_where_it_would_have_to_name_the_host(
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


def test_a_body_of_ten_megabytes_is_ignored_with_a_warning(call: Any) -> None:
    body = json.dumps(
        {"host": {"id": 17, "name": WEB, "comment": "x" * 10_000_000}}
    ).encode()
    code, err, notes = call(CREATED, WEB, body=body)
    assert (code, notes) == (0, [(CREATED, 0, WEB)])
    assert err == "the body of the event is longer than 1048576 bytes and was ignored\n"


def test_all_of_a_long_body_is_taken_so_that_its_writer_gets_no_broken_pipe() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as file:
        thread = threading.Thread(
            target=lambda: (file.write(b"x" * 3_000_000), file.close())
        )
        thread.start()
        assert len(read_body(reader)) == MAX_BODY + 1
        thread.join()
    os.close(reader)


def test_an_input_that_never_ends_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("foreman_hooks.hooks.event.BODY_WAIT", 0.05)
    reader, writer = os.pipe()
    os.write(writer, b'{"id": 17}')
    assert read_body(reader) == b'{"id": 17}'
    for descriptor in (reader, writer):
        os.close(descriptor)
    assert read_body(reader) == b""  # closed


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
        note = note_of(CREATED, host, host_id, body, NOW)
    except EventError as error:
        assert str(error)[:200].isprintable()
    else:
        line = json.dumps({**note._asdict(), "at": note.at.isoformat()}).encode()
        assert b"\n" not in line
        assert _note_in(line, NOW) == note


# What the caller relies on


def test_an_event_loads_nothing_that_takes_long_to_load(
    spool: Path, tmp_path: Path
) -> None:
    """An event takes hardly longer than the start of the program."""
    config = tmp_path / "config.yml"
    config.write_text(f"journal: {tmp_path / 'journal.sqlite3'}\n")
    code = (
        "import sys\nfrom foreman_hooks.commands.main import main\n"
        "codes = [main(['--config', sys.argv[1], 'event', *args.split()])\n"
        "         for args in sys.argv[2:]]\n"
        "print(codes, *sys.modules)"
    )
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            config,
            f"create {WEB}",
            f"{FACTS} a$b",
            "no_event x",
        ],
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


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SpoolForbidden("forbidden"), 77),
        (SpoolError("broken"), 70),
        (SpoolBusy("full"), 75),
    ],
)
def test_a_spool_that_cannot_be_written_fails_a_shellhook_but_never_what_foreman_is_doing(
    error: SpoolError, code: int, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook that fails makes Foreman undo its action (exec_hook raises)."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("foreman_hooks.commands.event.leave", fail)
    assert call(CREATED, WEB) == (code, f"error: {error}\n", [])
    assert call("create", WEB) == (0, f"error: {error}\n", [])
    assert call("before_destroy", "a b")[0] == 0


# Where the spool is


def test_the_spool_is_beside_the_journal_of_the_configuration(
    call: Any, tmp_path: Path
) -> None:
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
def test_an_invalid_configuration_is_an_error_in_one_line(
    text: str, call: Any, tmp_path: Path
) -> None:
    config = tmp_path / "config.yml"
    config.write_text(text, encoding="latin-1")
    code, err, _ = call(CREATED, WEB, options=("--config", str(config)))
    assert code == 70
    one_line(err)


def test_a_configuration_named_with_config_must_exist(
    call: Any, tmp_path: Path
) -> None:
    code, err, _ = call(CREATED, WEB, options=("--config", str(tmp_path / "none.yml")))
    assert code == 70
    assert "No such file" in one_line(err)
