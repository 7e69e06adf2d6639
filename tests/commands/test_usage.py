"""A command line that cannot be understood: help, or one line that says where help is."""

import re
import subprocess
from pathlib import Path
from typing import Any, Optional

import pytest
from conftest import PROGRAM

from foreman_hooks.commands.main import osp_check
from foreman_hooks.errors import EXIT_CODES, USAGE, is_failure

ROOT = Path(__file__).parents[2]
COMMANDS = ROOT / "foreman_hooks" / "commands"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "doctor     Examine both sides"),
        (["history"], "prune      Forget deletions"),
        (["schedule"], "install  Install"),
        (["templates"], "publish  "),
    ],
)
def test_without_a_command_the_help_is_shown_as_it_is_and_nothing_is_done(
    call: Any, words: list[str], says: str
) -> None:
    code, out, err = call(*words)
    assert (code, out) == (USAGE, "")
    path = " ".join(["satellite-osp-cleanup", *words])
    assert err.startswith(f"Usage: {path} [OPTIONS] COMMAND")
    assert "error" not in err.splitlines()[0]
    assert says in err


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["nosuch"], ""),
        (["--config", "x"], ""),
        (["plan", "--nosuch"], " plan"),
        (["plan", "--search", "name ="], " plan"),
        (["plan", "--output", "xml"], " plan"),
        (["run", "--uuid", "a", "--host", "b"], " run"),
        (["explain"], " explain"),
        (["history", "nosuch"], " history"),
        (["history", "prune"], " history prune"),
        (["history", "prune", "--older-than", "1h"], " history prune"),
        (["schedule", "install", "--foreman-hook", "x"], " schedule install"),
        (["states", "--erratum", "CVE-2026-1"], " states"),
        (["states", "--state", "dead"], " states"),
        (["unmanaged", "--older-than", "soon"], " unmanaged"),
    ],
)
def test_a_usage_error_is_one_line_that_says_where_help_is(
    stage: Any, call: Any, words: list[str], path: str
) -> None:
    config = [] if "--config" in words else ["--config", stage.config()]
    code, out, err = call(*config, *words)
    assert (code, out, err.count("\n")) == (USAGE, "", 1)
    assert re.fullmatch(
        f"error: .*[.?!)] See: satellite-osp-cleanup{path} --help\n", err
    )


@pytest.mark.parametrize(
    ("words", "meant"),
    [(["aply"], "apply"), (["history", "lst"], "list"), (["nosuch"], None)],
)
def test_a_misspelt_command_is_answered_with_the_one_that_was_meant(
    call: Any, words: list[str], meant: Optional[str]
) -> None:
    _, _, err = call(*words)
    assert f"error: No such command '{words[-1]}'." in err
    assert (f" Did you mean '{meant}'? See: " in err) == (meant is not None)


def test_osp_check_names_its_own_help(capfd: Any) -> None:
    assert osp_check(["--nosuch"]) == USAGE
    assert capfd.readouterr().err.endswith(" See: osp-check --help\n")


def test_every_command_raises_usage_errors_that_know_their_help() -> None:
    for path in COMMANDS.glob("*.py"):
        assert "raise click.UsageError" not in path.read_text()


def test_the_help_has_every_exit_code(call: Any) -> None:
    _, out, _ = call("--help")
    section = " ".join(out.split("Exit codes:")[1].split())
    for code, text in EXIT_CODES.items():
        assert f"{code} {text}" in section


def test_pending_deletions_and_a_busy_journal_are_no_failures() -> None:
    assert [code for code in EXIT_CODES if not is_failure(code)] == [0, 2, 75]


def test_a_closed_output_is_an_error_before_anything_is_done(stage: Any) -> None:
    """Otherwise the news of a run would be lost, and count as mailed."""
    stage.terminated("old")
    words = ["--config", str(stage.config()), "run", "--apply", "--news"]
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM, *words],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert (closed.returncode, closed.stderr) == (
        64,
        "error: standard output is closed; to drop it, use >/dev/null\n",
    )
    assert "old" in stage.left


def test_a_log_file_without_room_is_named_once_and_the_command_goes_on(
    stage: Any, tmp_path: Path
) -> None:
    file = tmp_path / "log"
    words = ["--config", str(stage.config()), "-v", "--log-file", str(file), "status"]
    limit = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh"]
    ended = subprocess.run(
        [*limit, *PROGRAM, *words], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (0, 1)
    assert f"log file {file}: File too large; not logged any more" in ended.stderr
    assert "Full run     none yet" in ended.stdout


def test_errors_that_cannot_be_printed_leave_the_exit_code() -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*PROGRAM, "paln"], stderr=full, check=False)
    assert ended.returncode == 64
