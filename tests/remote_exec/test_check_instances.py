"""The script of the check: what it refuses, for somebody who starts the job by hand."""

import logging
import warnings
from collections.abc import Iterator

import pytest

from foreman_hooks.osp_checker.wire import Question
from satellite_remote_exec.scripts.check_instances import main

UUID = "11111111-0000-4000-8000-000000000000"
SINCE = "2026-11-20T12:00:00Z"
TOO_EARLY = "0001-01-01T00:00:00+14:00"  # the year 0 in UTC


@pytest.fixture(autouse=True)
def logging_again() -> Iterator[None]:
    """Undo what the script does to its own process."""
    with warnings.catch_warnings():
        yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    ("question", "code", "complaint"),
    [
        (Question("a b", "ask", UUID), 64, "letters and digits"),
        (Question("f00d", "delete", UUID), 64, "one of survey, list, ask, deleted"),
        (Question("f00d", "ask", ""), 64, "the question has no UUID"),
        (Question("f00d", "list", " ,\n"), 64, "the question has no UUID"),
        (Question("f00d", "ask", UUID, since="soon"), 64, "since must be a time"),
        (Question("f00d", "deleted", ""), 64, "in mode deleted, since must be a time"),
        (Question("f00d", "deleted", "", since=SINCE[:-1]), 64, "since must be a time"),
        (Question("f00d", "ask", UUID, since=TOO_EARLY), 64, "since must be a time"),
        (Question("f00d", "ask", f"{UUID} web1"), 65, "not a UUID: 'web1'"),
        (Question("f00d", "unmanaged", "web1"), 65, "not a UUID: 'web1'"),
    ],
)
def test_a_wrong_input_is_one_line_and_an_exit_code(
    question: Question, code: int, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(question) == code
    out = capsys.readouterr().out
    assert out.startswith("error: ") and out.count("\n") == 1
    assert complaint in out


@pytest.mark.parametrize(
    ("path", "code", "printed"),
    [
        ("a\0b", 64, "error: clouds_yaml is not a path\n"),
        ("\ud800", 64, "error: clouds_yaml is not a path\n"),
        (
            "/no\x1b[2J",
            78,
            "error: /no [2J: no such file; correct OS_CLIENT_CONFIG_FILE\n",
        ),
    ],
)
def test_a_path_that_is_none_is_one_line_that_can_be_printed(
    path: str,
    code: int,
    printed: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", "")
    assert main(Question("f00d", "ask", UUID), path) == code
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("mode", "since"), [("deleted", SINCE), ("inactive", ""), ("unmanaged", "")]
)
def test_the_lists_of_servers_need_no_uuid(
    mode: str, since: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a clouds.yaml that is the next thing to be wrong."""
    assert main(Question("f00d", mode, "", since=since)) == 78
    assert "no clouds.yaml" in capsys.readouterr().out
