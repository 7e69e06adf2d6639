"""The commands on a terminal, as a person meets them: what stays on the screen, what is asked."""

import re
import signal
import subprocess
from datetime import timedelta
from typing import Any

import pytest
from terminals import in_terminal

HEADS = re.compile(r"^([A-Z][A-Z ,]+) \((\d+)\)$", re.MULTILINE)
QUESTION = "Delete 3 host records on 127.0.0.1? [y/N]:"


def groups(text: str) -> list[tuple[str, str]]:
    return HEADS.findall(text)


@pytest.fixture
def leftovers(stage: Any) -> Any:
    """The configuration, and three records to delete."""
    for number in range(3):
        stage.terminated(f"old-{number}")
    return stage.config()


# The screen


@pytest.mark.parametrize("columns", [40, 100])
def test_nothing_of_a_plan_is_lost_or_wrapped_however_wide_the_window(
    stage: Any, leftovers: Any, columns: int
) -> None:
    stage.archived("waits")
    stage.terminated("talks", checked_in=timedelta(hours=1))
    with in_terminal("--config", leftovers, "plan", columns=columns) as session:
        assert session.end() == 0
    screen = session.screen
    assert groups(screen.text) == [
        ("DELETE", "3"),
        ("NEEDS ATTENTION", "1"),
        ("WAITING", "1"),
        ("KEPT", "1"),
    ]
    assert screen.text.startswith("DELETE (3)\n  old-0.exam")
    for number in range(3):
        assert re.search(rf"  old-{number}\..*  terminated 2 days ago", screen.text)
    assert screen.text.endswith("--out plan.json\n")
    # Only the path of the configuration may be longer than the window.
    assert screen.wrapped <= -(-len(str(leftovers)) // columns)
    assert screen.coloured and screen.cursor_shown


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_switched_off(leftovers: Any, variable: dict[str, str]) -> None:
    quiet_bars = {"COLUMNS": "100", **variable}
    with in_terminal("--config", leftovers, "plan", environment=quiet_bars) as session:
        assert session.end() == 0
    assert "\x1b[1;31mDELETE" not in session.received
    assert "DELETE (3)\n" in session.screen.text


def test_columns_is_obeyed(leftovers: Any) -> None:
    narrow = {"COLUMNS": "40"}
    with in_terminal("--config", leftovers, "plan", environment=narrow) as session:
        assert session.end() == 0
    assert re.search(r"^  old-0.*…", session.screen.text, re.MULTILINE)


def test_log_lines_stay_on_the_screen_above_the_bars(
    stage: Any, leftovers: Any
) -> None:
    log = stage.folder / "log"
    options = ("-d", "--log-file", log, "--config", leftovers)
    with in_terminal(*options, "plan", columns=200) as session:
        assert session.end() == 0
    # A long line goes on in the next one.
    screen = re.sub(r"\s", "", session.screen.text)
    logged = [line for line in log.read_text().splitlines() if " DEBUG " in line]
    assert len(logged) > 5
    for line in logged:
        _, text = line.split(" DEBUG ")
        assert re.sub(r"\s", "", f"DEBUG {text}") in screen


# Deleting by hand


def test_run_apply_asks_once_and_keeps_its_last_lines(
    stage: Any, leftovers: Any
) -> None:
    with in_terminal("--config", leftovers, "run", "--apply") as session:
        session.read_question(QUESTION)
        assert len(stage.left) == 4
        session.type("y\n")
        assert session.end() == 0
    text = session.screen.text
    assert text.count("[y/N]") == 1
    assert groups(text)[-1] == ("DELETED", "3")
    assert text.endswith(
        "DELETED (3)\n"
        "  old-0.example.com\n"
        "  old-1.example.com\n"
        "  old-2.example.com\n"
        "\n"
        "3 of 3 records deleted\n"
    )
    assert stage.left == {"witness"}


@pytest.mark.parametrize("answer", ["n", ""])
def test_without_a_yes_nothing_is_deleted(
    stage: Any, leftovers: Any, answer: str
) -> None:
    with in_terminal("--config", leftovers, "run", "--apply") as session:
        session.read_question(QUESTION)
        session.type(f"{answer}\n")
        assert session.end() == 0
    assert session.screen.text.endswith("\nNothing was deleted.\n")
    assert len(stage.left) == 4


@pytest.mark.parametrize("keys", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_ctrl_c_at_the_question_deletes_nothing(
    stage: Any, leftovers: Any, keys: str
) -> None:
    with in_terminal("--config", leftovers, "run", "--apply") as session:
        session.read_question(QUESTION)
        session.type(keys)
        assert session.end() == 130
    *_, question, result, line, end = session.screen.text.split("\n")
    assert question.startswith(QUESTION)
    assert result == "Nothing was deleted."
    assert (line[:18], end) == ("error: interrupted", "")
    assert len(stage.left) == 4


def test_the_deadline_also_ends_the_question(stage: Any, leftovers: Any) -> None:
    with in_terminal("--config", leftovers, "run", "--apply") as session:
        session.read_question(QUESTION)
        session.process.send_signal(signal.SIGALRM)  # the kernel's timer sends it
        assert session.end() == 75
    assert "\nerror: not finished within " in session.screen.text
    assert len(stage.left) == 4


def test_what_changed_during_the_question_is_looked_at_again(
    stage: Any, leftovers: Any
) -> None:
    with in_terminal("--config", leftovers, "run", "--apply") as session:
        session.read_question(QUESTION)
        (host,) = [
            host
            for host in stage.satellite.hosts.values()
            if host.name.startswith("old-1.")
        ]
        host.subscription["last_checkin"] = f"{stage.now:%Y-%m-%d %H:%M:%S} UTC"
        session.type("y\n")
        assert session.end() == 1
    assert groups(session.screen.text)[-2:] == [("DELETED", "2"), ("KEPT", "1")]
    assert stage.left == {"witness", "old-1"}


def test_ctrl_c_during_the_deletions_leaves_the_outcomes_on_the_screen(
    stage: Any,
) -> None:
    for number in range(6):
        stage.terminated(f"old-{number}")
    config = stage.config()
    with in_terminal("--config", config, "run", "--apply", "--yes") as session:
        session.read_while(lambda: not stage.foreman.count("^DELETE"))
        session.type("\x03")
        assert session.end() == 130
    text = session.screen.text
    deleted = stage.foreman.count("^DELETE")
    assert 1 <= deleted < 6
    assert groups(text)[-2:] == [("DELETED", str(deleted)), ("KEPT", str(6 - deleted))]
    for number in range(6):
        assert text.count(f"  old-{number}.example.com") == 2  # the plan, its outcome
    line = f"interrupted; {deleted} of 6 records were deleted, all are in the journal"
    assert line in " ".join(text.split())
    assert session.screen.cursor_shown


def test_ctrl_c_during_the_plan_leaves_one_line(stage: Any, leftovers: Any) -> None:
    with in_terminal("--config", leftovers, "plan") as session:
        session.read_until("hosts of Satellite")
        session.type("\x03")
        assert session.end() == 130
    (line,) = [line for line in session.screen.text.splitlines() if line]
    assert line == "error: interrupted; what was done before is in the journal"
    assert session.screen.cursor_shown


def test_yes_does_not_ask(stage: Any, leftovers: Any) -> None:
    with in_terminal("--config", leftovers, "run", "--apply", "--yes") as session:
        assert session.end() == 0
    assert "[y/N]" not in session.screen.text
    assert stage.left == {"witness"}


def test_a_person_whose_output_goes_into_a_file_is_asked_too(
    stage: Any, leftovers: Any
) -> None:
    with in_terminal(
        "--config",
        leftovers,
        "run",
        "--apply",
        streams={"stdout": subprocess.DEVNULL},
    ) as session:
        session.read_question("[y/N]")
        session.type("n\r")
        assert session.end() == 0
    assert stage.left != {"witness"}


@pytest.mark.parametrize("stream", ["stdin", "stderr"])
def test_nobody_is_asked_who_could_not_read_the_question_or_answer_it(
    stage: Any, leftovers: Any, stream: str
) -> None:
    """A job of Satellite or cron could not answer."""
    with in_terminal(
        "--config",
        leftovers,
        "run",
        "--apply",
        streams={stream: subprocess.DEVNULL},
    ) as session:
        assert session.end() == 0
    assert "[y/N]" not in session.screen.text
    assert stage.left == {"witness"}


def test_the_history_fits_the_window(leftovers: Any, call: Any) -> None:
    assert call("--config", leftovers, "run", "--apply")[0] == 0
    with in_terminal("--config", leftovers, "history", "list") as session:
        assert session.end() == 0
    assert session.screen.wrapped == 0
    assert "| RESTORED" in session.screen.text
    assert "UUID" not in session.screen.text
