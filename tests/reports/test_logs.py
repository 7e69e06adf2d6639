"""The log: its format, its file, and that every error and refusal is in it."""

import io
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from foreman_hooks.reports import logs


def test_log_lines_are_json_objects_on_request(
    call: Any, stage: Any, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    stage.terminated("old")
    code, out, _ = call(
        "--config", stage.config(), "--log-format", "json", "--log-file", log, "run"
    )
    assert code == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert all(list(line) == ["time", "level", "logger", "message"] for line in lines)
    assert all(
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])
        for line in lines
    )
    assert [line["message"] for line in lines] == [
        "run starts",
        *out.splitlines(),
        "exit code 0",
    ]


def test_json_on_stderr_is_one_object_a_line_whatever_is_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    logs.set_up(logging.INFO, "json")
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("foreman_hooks.x").warning(
            "%s\n\x1b\udc80", "two", exc_info=True
        )
    logging.getLogger(logs.SAID).error("is on the terminal already")
    (line,) = sys.stderr.getvalue().splitlines()
    assert json.loads(line)["message"] == "two\n\x1b\udc80"
    assert "ValueError: why" in json.loads(line)["traceback"]


def test_an_entry_of_the_log_is_one_line_whatever_it_contains(tmp_path: Path) -> None:
    logs.set_up(logging.WARNING, "text", tmp_path / "log")
    logging.getLogger(logs.SAID).info("%s", "a\nforged \x1b[2J\udc80")
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.endswith(r" INFO foreman_hooks.said: a\nforged \u001b[2J\udc80")
    logs.set_up(logging.WARNING)


@pytest.mark.parametrize("kind", ["a link", "a pipe", "a folder", "no folder"])
def test_a_log_file_that_cannot_be_written_is_refused_in_one_line(
    call: Any, tmp_path: Path, kind: str
) -> None:
    log, other = tmp_path / "log", tmp_path / "other"
    other.write_text("precious")
    if kind == "a link":
        log.symlink_to(other)
    elif kind == "a pipe":
        os.mkfifo(log)
    elif kind == "a folder":
        log.mkdir()
    else:
        log = tmp_path / "none" / "log"
    code, out, err = call("--log-file", log, "check")
    assert (code, out) == (64, "")
    assert re.fullmatch(rf"error: Invalid value for --log-file: {log}: .+\n", err)
    assert other.read_text() == "precious"


def test_errors_are_in_the_log_too(call: Any, tmp_path: Path) -> None:
    code, _, err = call(
        "--config", tmp_path / "none.yml", "--log-file", tmp_path / "log", "run"
    )
    assert code == 78
    assert f" ERROR foreman_hooks.said: {err}" in (tmp_path / "log").read_text()


def test_a_refusal_is_in_the_log_with_its_numbers(
    call: Any, stage: Any, tmp_path: Path
) -> None:
    stage.terminated("old")
    code, _, err = call(
        "--config",
        stage.config(policy={"max_deletions": 0}),
        "--log-file",
        tmp_path / "log",
        "run",
    )
    assert code == 3
    assert "refused: " in err
    text = (tmp_path / "log").read_text()
    assert all(line in text for line in err.splitlines())
