"""status: what it says of the runs, the schedule and the open records, and its exit code."""

import os
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from conftest import Stage

from foreman_hooks.cleanup.open_records import note_open_records
from foreman_hooks.cleanup.run_log import begin_run, end_run
from foreman_hooks.commands import status
from foreman_hooks.hooks import maintenance
from foreman_hooks.paths import CRON, TIMER
from foreman_hooks.rules.model import (
    Basis,
    Decision,
    Outcome,
    Reason,
    Result,
    Verdict,
)
from foreman_hooks.rules.plan import Kind, Plan
from foreman_hooks.rules.verdicts import verdicts_of
from foreman_hooks.times import iso_z

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the machine: without a schedule, not in maintenance mode."""
    path = tmp_path / "root"
    path.mkdir()
    monkeypatch.setattr(status, "ROOT", path)
    monkeypatch.setattr(maintenance, "look", lambda: ("", False))
    return path


@pytest.fixture
def show(stage: Stage, call: Any) -> Any:
    """A function that calls status: exit code, stdout without line breaks in facts, stderr."""

    def run(*options: str) -> tuple[int, str, str]:
        code, out, err = call(*options, "--config", stage.config(), "status")
        return code, out.replace(f"\n{'':13}", " "), err

    return run


def now() -> datetime:
    return datetime.now(timezone.utc)


def add_run(
    stage: Stage,
    code: Any = 0,
    *,
    scope: str = "all hosts",
    kind: Kind = Kind.FULL,
    ago: timedelta = 3 * HOUR,
    verdicts: tuple[Verdict, ...] = (),
    deleted: int = 0,
    **plan: Any,
) -> None:
    """Add a run with this exit code to the journal; None: one that never ended."""
    url = stage.foreman.url
    with stage.journal() as journal:
        number = begin_run(journal, url, "run --apply", kind, scope, "ann", now() - ago)
        if code is not None:
            made = Plan(url, now(), scope, (), verdicts_of(verdicts), kind=kind, **plan)
            outcome = Outcome(7, "old.example.com", "", Result.DELETED, "")
            end_run(
                journal,
                number,
                code,
                now() - ago + MINUTE,
                plan=made,
                complete=kind is Kind.FULL,
                outcomes=[outcome] * deleted,
            )
            is_full = kind is Kind.FULL
            note_open_records(journal, made, scope, is_full, now() - ago + HOUR)


def odd(host_id: int = 1, name: str = "odd.example.com") -> Verdict:
    reason, detail = Reason.CHECKED_IN, "terminated, and checked in a day later"
    return Verdict(host_id, name, "", Decision.KEEP, reason, detail)


def waiting(host_id: int = 2, name: str = "waits.example.com") -> Verdict:
    basis = Basis(due=iso_z(now() + 5 * HOUR))
    return Verdict(host_id, name, "", Decision.WAIT, Reason.QUIET, "", None, basis)


# The runs


def test_before_the_first_run_nothing_is_wrong_and_no_journal_is_made(
    stage: Stage, show: Any
) -> None:
    code, out, err = show()
    assert (code, err) == (0, "")
    assert f"Satellite    {stage.foreman.url}\n" in out
    assert "Full run     none yet\n" in out
    assert "Quick run" not in out
    assert "Next run     none is scheduled\n" in out
    assert "Schedule     none: satellite-osp-cleanup schedule install\n" in out
    assert not (stage.folder / "journal.sqlite3").exists()


def test_the_last_run_is_shown_with_its_end_its_numbers_and_the_caps(
    stage: Stage, show: Any, call: Any
) -> None:
    stage.terminated("old")
    assert call("--config", stage.config(), "run", "--apply")[0] == 0
    code, out, err = show()
    assert (code, err) == (0, "")
    assert (
        " UTC (0 minutes ago): run --apply by root, all hosts exit code 0: done" in out
    )
    assert "2 hosts: 1 deleted, 0 waiting, 0 need attention, 0 unknown\n" in out
    assert (
        "Caps         1 to delete in the last full run; allowed are 50 (max_deletions) and "
        "2 (100% of 2 instances, max_fraction)\n"
    ) in out
    assert "Deleted      1 in the last hour, 1 in the last day\n" in out


def test_no_server_is_asked(stage: Stage, show: Any) -> None:
    add_run(stage, verdicts=(odd(), waiting()))
    show()
    assert not stage.foreman.requests and not stage.osp.requests


def test_a_run_that_is_active_is_running_and_one_that_never_ended_was_killed(
    stage: Stage, show: Any
) -> None:
    add_run(stage, None)
    with stage.journal():
        code, out, err = show()
    assert (code, err) == (0, "")
    assert "is running since then (3h 1m)" in out
    code, out, err = show()
    assert (code, err) == (1, "needs attention: the last full run was killed\n")
    assert "was killed: it never ended" in out


@pytest.mark.parametrize(
    ("code", "expected"), [(0, 0), (2, 0), (75, 0), (1, 1), (3, 1), (69, 1), (129, 1)]
)
def test_it_fails_if_the_last_run_failed(
    stage: Stage, show: Any, code: int, expected: int
) -> None:
    add_run(stage, code, refusals=("too many",) if code == 3 else ())
    actual, out, err = show()
    assert actual == expected
    if expected:
        assert err == (
            f"needs attention: the last full run failed with exit code {code}\n"
        )
    assert ("guard rail: too many" in out) == (code == 3)


def test_a_run_for_one_instance_does_not_hide_that_the_last_one_over_all_failed(
    stage: Stage, show: Any, call: Any
) -> None:
    add_run(stage, 69)
    uuid = stage.terminated("old")
    assert call("--config", stage.config(), "run", "--uuid", uuid)[0] == 0
    code, out, err = show()
    assert (code, "exit code 69" in err) == (1, True)
    full, other = out[: out.index("Next run")].split("Other run")
    assert "exit code 69" in full and "all hosts" in full
    assert "exit code 0" in other and f"UUID {uuid}" in other


def test_a_run_for_one_instance_that_is_active_or_killed_is_not_the_one_over_all(
    stage: Stage, show: Any
) -> None:
    add_run(stage)
    add_run(stage, None, scope="host old.example.com")
    with stage.journal():
        out = show()[1]
    assert "run --apply by ann, host old.example.com is running" in out
    code, out, _ = show()
    assert (code, "host old.example.com was killed" in out) == (0, True)


def test_with_q_only_what_is_wrong_is_printed(stage: Stage, show: Any) -> None:
    add_run(stage, 69, verdicts=(odd(),))
    assert show("-q") == (
        1,
        "",
        "needs attention: the last full run failed with exit code 69; 1 record\n",
    )


def test_fields_are_for_programs(stage: Stage, call: Any) -> None:
    add_run(stage, verdicts=(odd(),))
    command = ["--config", stage.config(), "status", "--fields", "Name,Since"]
    code, out, err = call(*command)
    assert (code, out) == (64, "") and "--output csv, json and yaml" in err
    out = call(*command, "--output", "csv")[1]
    assert re.fullmatch(r"Name,Since\nodd.example.com,\S+Z\n", out)


# The records


def test_open_records_are_listed_with_their_times(stage: Stage, show: Any) -> None:
    doomed = Verdict(3, "old.example.com", "", Decision.DELETE, Reason.TERMINATED)
    add_run(stage, verdicts=(odd(), waiting(), doomed))
    code, out, err = show()
    assert (code, err) == (1, "needs attention: 1 record\n")
    groups = out[out.index("DELETE (1)") :]
    heads = [line for line in groups.splitlines() if line and line[0] != " "]
    assert heads == ["DELETE (1)", "NEEDS ATTENTION (1)", "WAITING (1)"]
    assert "  checked in after its termination\n    odd.example.com  since " in groups
    assert "      terminated, and checked in a day later\n" in groups
    minute = r"\d{4}/\d\d/\d\d \d\d:\d\d UTC"
    assert re.search(rf"odd.example.com  since {minute} \(2 hours ago\)\n", groups)
    assert re.search(rf"waits.example.com  until {minute} \(in 5h 0m\)\n", groups)


def test_an_acknowledged_record_is_marked_and_no_reason_to_fail(
    stage: Stage, show: Any
) -> None:
    add_run(stage, verdicts=(odd(), odd(2, "odder.example.com")))
    with stage.journal() as journal, journal.writing() as database:
        database.execute(
            "UPDATE open_records SET acked_at = ?, acked_by = 'ann', ack_reason = ? "
            "WHERE host_id = 1",
            ("2026-03-01T12:30:00.000000+00:00", "it is being moved"),
        )
    code, out, err = show()
    assert (code, err) == (1, "needs attention: 1 record\n")
    assert "acknowledged by ann at 2026/03/01 12:30 UTC: it is being moved\n" in out
    add_run(stage, verdicts=(odd(),))
    code, out, err = show()
    assert (code, err) == (0, "")
    assert "acknowledged by ann" in out


def test_it_fits_80_columns_and_names_are_whole(stage: Stage, call: Any) -> None:
    long = f"{'a-very-long-name-' * 4}1.example.com"
    add_run(
        stage,
        verdicts=(odd(1, long), odd(2), waiting(3, long), waiting(4)),
        refusals=("5 of 20 instances (25%) are to be deleted, max_fraction is 10%",)
        * 2,
    )
    lines = call("--config", stage.config(), "status")[1].splitlines()
    assert lines.count(f"    {long}") == 2
    assert [line for line in lines if len(line) > 80 and long not in line] == []


def test_no_name_controls_the_terminal(stage: Stage, show: Any) -> None:
    add_run(stage, verdicts=(odd(1, "a\x1b[2Jb"),), scope="host \x1b]0;x\x07")
    _, out, err = show()
    assert "\x1b" not in out + err and "\x07" not in out + err


# The schedule


def test_the_schedule_is_shown_with_the_next_run(
    root: Path, show: Any, call: Any
) -> None:
    call("schedule", "install", "--root", root, "--every", "4h", "--apply")
    code, out, err = show()
    assert (code, err) == (0, "")
    assert "Schedule     cron, a full run every 4 hours at minute " in out
    assert " cron, a quick run every 10 minutes; deletes host records" in out
    next_runs = out[out.index("Next run") :].splitlines()[0]
    assert re.fullmatch(
        r"Next run     full: \S+ \S+ UTC \(in .*\) quick: \S+ \S+ UTC \(in .*\)",
        next_runs,
    )
    assert "Quick run    none yet\n" in out
    call("schedule", "install", "--root", root, "--quick", "off")
    out = show()[1]
    assert out.count("; only reports") == 1
    assert "uick" not in out


def installed(root: Path, call: Any, *options: str, ago: timedelta) -> None:
    """Install a schedule by cron, so long ago."""
    call("schedule", "install", "--root", root, *options)
    when = (now() - ago).timestamp()
    os.utime(root / CRON.relative_to("/"), (when, when))


def test_a_schedule_that_starts_no_runs_is_noticed(
    root: Path, stage: Stage, show: Any, call: Any
) -> None:
    add_run(stage)  # 3 hours ago
    installed(root, call, "--every", "1h", "--quick", "off", ago=MINUTE)
    assert show()[0] == 0
    installed(root, call, "--every", "1h", "--quick", "off", ago=9 * HOUR)
    code, out, err = show()
    assert (code, err) == (1, "needs attention: the schedule starts no full runs\n")
    assert "no full run has started for much longer than that" in out
    installed(root, call, "--every", "2h", "--quick", "off", ago=9 * HOUR)
    assert show()[0] == 0


def test_each_kind_of_run_can_be_overdue(
    root: Path, stage: Stage, show: Any, call: Any
) -> None:
    installed(root, call, ago=60 * HOUR)
    add_run(stage, ago=50 * HOUR)
    add_run(stage, kind=Kind.QUICK, ago=5 * MINUTE)
    assert show()[2] == "needs attention: the schedule starts no full runs\n"
    add_run(stage, ago=3 * HOUR)
    code, out, err = show()
    assert (code, err) == (1, "needs attention: the schedule starts no quick runs\n")
    assert "no quick run has started for much longer than that" in out
    add_run(stage, kind=Kind.QUICK, ago=5 * MINUTE)
    assert show()[0] == 0


def test_no_quick_run_is_expected_while_a_full_run_is_active_or_just_ended(
    root: Path, stage: Stage, show: Any, call: Any
) -> None:
    installed(root, call, ago=60 * HOUR)
    add_run(stage, kind=Kind.QUICK, ago=4 * HOUR)
    add_run(stage, None, ago=3 * HOUR)
    with stage.journal() as journal:
        assert show()[0] == 0
        end_run(journal, 2, 0, now() - 5 * MINUTE)
    assert show()[0] == 0


def test_full_and_quick_runs_are_shown_apart(stage: Stage, show: Any) -> None:
    add_run(stage, kind=Kind.QUICK, ago=5 * HOUR, deleted=4)
    add_run(stage, verdicts=(waiting(),), ago=4 * HOUR)
    for minutes, deleted in ((20, 2), (10, 1)):
        ago = minutes * MINUTE
        add_run(stage, kind=Kind.QUICK, ago=ago, deleted=deleted, fleet=50)
    code, out, err = show()
    assert (code, err) == (0, "")
    facts = {
        line[:13].strip(): line[13:] for line in out.splitlines() if line[:1].strip()
    }
    assert "1 hosts: 0 deleted, 1 waiting, " in facts["Full run"]
    assert "(10 minutes ago)" in facts["Quick run"]
    assert "0 hosts: 1 deleted, 0 waiting, " in facts["Quick run"]
    assert facts["Deleted"].endswith("; by quick runs since the last full run: 3")
    assert "Other run" not in out
    # A quick run has not looked at it.
    assert "WAITING (1)" in out


def test_a_quick_run_that_failed_needs_attention_until_a_run_of_either_kind_does_not(
    stage: Stage, show: Any
) -> None:
    failed = "needs attention: the last quick run failed with exit code 69\n"
    add_run(stage)
    add_run(stage, 69, kind=Kind.QUICK)
    assert show()[::2] == (1, failed)
    add_run(stage, kind=Kind.QUICK)
    assert show()[0] == 0
    add_run(stage, 69, kind=Kind.QUICK)
    add_run(stage)
    assert show()[0] == 0


def test_a_quick_run_does_not_hide_that_the_full_run_failed(
    stage: Stage, show: Any
) -> None:
    add_run(stage, 69)
    add_run(stage, kind=Kind.QUICK)
    assert show()[2] == "needs attention: the last full run failed with exit code 69\n"


def test_in_maintenance_mode_no_run_is_expected(
    root: Path, show: Any, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("schedule", "install", "--root", root)
    os.utime(root / CRON.relative_to("/"), (0, 0))
    assert show()[0] == 1
    monkeypatch.setattr(
        maintenance, "look", lambda: (f"table inet {maintenance.TABLE}", False)
    )
    code, out, err = show()
    assert (code, err) == (0, "")
    assert (
        "Maintenance  foreman-maintain's maintenance mode is on: no run starts" in out
    )


def test_times_and_files_that_were_written_by_hand_are_named(
    root: Path, show: Any, call: Any
) -> None:
    other = root / "etc/cron.d/mine"
    other.parent.mkdir(parents=True)
    other.write_text("1 * * * * root satellite-osp-cleanup run\n")
    assert "cron.d/mine, written by hand" in show()[1].replace(f"\n{'':13}", "")
    call("schedule", "install", "--root", root)
    cron = root / CRON.relative_to("/")
    cron.write_text(cron.read_text().replace(" 03 * * * root", " 8-18 * * * root"))
    out = show()[1]
    assert "Next run     full: not known quick: " in out
    assert "cron, a full run at times that were changed by hand; only reports" in out


@pytest.mark.parametrize(
    ("script", "code", "expected", "wrong"),
    [
        (
            "echo ActiveState=active; "
            "echo NextElapseUSecRealtime=Fri 2099-11-27 22:17:00 UTC",
            0,
            "Next run     full: 2099/11/27 22:17:00 UTC (in ",
            "",
        ),
        (
            "echo ActiveState=inactive; echo NextElapseUSecRealtime=",
            1,
            "Next run     full: not known quick: not known\n",
            "needs attention: satellite-osp-cleanup.timer is installed but not active; "
            "satellite-osp-cleanup-quick.timer is installed but not active\n",
        ),
        ("exit 1", 0, " UTC (in ", ""),
    ],
)
def test_systemd_is_asked_for_the_state_of_the_timer(
    root: Path,
    show: Any,
    call: Any,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    code: int,
    expected: str,
    wrong: str,
) -> None:
    call("schedule", "install", "--root", root, "--systemd")
    assert (root / TIMER.relative_to("/")).exists()
    tools = root / "tools"
    tools.mkdir()
    (tools / "systemctl").write_text(
        '#!/bin/sh\n[ "$TZ" = UTC ] || exit 9\n'
        'case "$1 $2" in\n'
        f'"show satellite-osp-cleanup.timer") {script};;\n'
        f'"show satellite-osp-cleanup-quick.timer") {script};;\n'
        "*) exit 9;;\nesac\n"
    )
    (tools / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    actual, out, err = show()
    assert (actual, err) == (code, wrong)
    assert expected in out[out.index("Next run") :]
    assert out.count("systemctl enable --now") == (2 if wrong else 0)


def test_without_a_satellite_it_says_what_to_configure(call: Any, stage: Stage) -> None:
    code, out, err = call("--config", stage.config(satellite={}), "status")
    assert (code, out) == (78, "") and "no Satellite is configured" in err
