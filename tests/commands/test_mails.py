"""What cron mails, hour by hour: `run --news`, and `ack`."""

import json
import math
import re
import sqlite3
import subprocess
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest
from conftest import PROGRAM
from sandbox.world import guest_facts, named_uuid

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Cron:
    """Runs `run --apply --news` every hour, and keeps what it prints."""

    def __init__(self, stage: Any, call: Any) -> None:
        self.stage, self.call = stage, call
        self.start = datetime.now(timezone.utc) - 30 * DAY
        self.hour: float = 0
        self.options: tuple[str, ...] = ()
        self.codes: dict[float, int] = {}
        self.mails: dict[float, str] = {}
        clock = SimpleNamespace(now=lambda zone: stage.now)
        stage.monkeypatch.setattr("foreman_hooks.cleanup.progress.datetime", clock)
        self.configure()
        self.wait(0)

    def configure(self, **sections: Any) -> None:
        """Write the configuration of the next runs."""
        self.config = self.stage.config(**sections)

    def wait(self, hour: float) -> None:
        """It is so many hours after the start."""
        self.hour = hour
        self.stage.now = self.start + hour * HOUR

    def run(self, *options: str) -> str:
        """Run once; returns what cron mails."""
        words = ("run", *options, "--apply", "--news", *self.options)
        code, out, err = self.call("--config", self.config, *words)
        self.codes[self.hour] = code
        if out or err:
            self.mails[self.hour] = err + out
        return err + out

    def days(self, hour: int) -> None:
        """Until that hour: a quick run every hour, and a full run at half past three."""
        while self.hour < hour:
            self.run("--recent")
            if self.hour % 24 == 3:
                self.wait(self.hour + 0.5)
                self.run()
            self.wait(math.floor(self.hour) + 1)

    def until(self, hour: int) -> None:
        """Run at every hour before that one."""
        while self.hour < hour:
            self.run()
            self.wait(self.hour + 1)

    def terminate(self, name: str, ago: timedelta, seen: timedelta) -> None:
        """A server was deleted `ago`, and its machine checked in last as long ago as `seen`."""
        ahead = datetime.now(timezone.utc) - self.stage.now
        self.stage.terminated(name, ahead + ago, ahead + seen)

    def removed(self, name: str) -> None:
        """A server was deleted five hours ago: its record goes with the next run."""
        self.terminate(name, 5 * HOUR, 6 * HOUR)

    def returned(self, name: str) -> None:
        """A machine checks in an hour after its server was deleted, and needs attention."""
        self.terminate(name, 20 * HOUR, 19 * HOUR)

    def by_hand(self, *words: Any) -> str:
        """Call another command; it must succeed.  Returns what it prints."""
        code, out, err = self.call("--config", self.config, *words)
        assert (code, err) == (0, ""), err
        return out


@pytest.fixture
def cron(stage: Any, call: Any, waited: Any) -> Cron:
    return Cron(stage, call)


def labels(mail: str) -> list[str]:
    """The beginning of each line: its label and the short name of the host."""
    return [line.split(".example.com")[0] for line in mail.splitlines()]


def test_the_mails_of_a_week(cron: Cron, stage: Any) -> None:
    cron.returned("ghost")
    cron.returned("known")
    cron.until(10)
    cron.removed("web")
    cron.until(24)
    # A day without the region.  For some hours of it, Keystone refuses the login as well.
    outage = stage.osp.fail("/servers", 503)
    cron.until(30)
    cron.removed("late")
    login = stage.osp.fail("/auth/tokens", 401, {"error": {"message": "no"}})
    cron.until(36)
    stage.osp.faults.remove(login)
    cron.until(40)
    stage.osp.faults.append(login)
    cron.until(42)
    stage.osp.faults.clear()
    stage.osp.faults.append(outage)
    cron.until(48)
    stage.osp.faults.clear()
    cron.until(60)
    cron.by_hand("ack", "known.example.com", "--reason", "rebuilt by hand")
    cron.until(72)
    # More terminations than the cap allows; hours later somebody approves them.
    cron.configure(policy={"max_deletions": 3})
    for number in range(23):
        cron.removed(f"batch-{number:02}")
    cron.until(75)
    cron.removed("batch-23")
    cron.until(78)
    plan = stage.folder / "plan.json"
    cron.call("--config", cron.config, "plan", "--out", plan)
    digest = json.loads(plan.read_text())["digest"]
    stage.monkeypatch.setenv("SUDO_USER", "alice")
    cron.by_hand("apply", plan, "--approve", digest)
    stage.monkeypatch.delenv("SUDO_USER")
    cron.until(120)
    stage.foreman.fail("/api", 503)
    cron.until(126)
    stage.foreman.faults.clear()
    cron.until(169)

    assert sorted(cron.mails) == [0, 10, 24, 30, 48, 72, 75, 78, 120, 126, 168]
    mails = {hour: labels(mail) for hour, mail in cron.mails.items()}
    day = {hours: f"{cron.start + hours * HOUR:%Y-%m-%d}" for hours in (0, 24, 72)}
    before = "as before: {} (since {}), see 'satellite-osp-cleanup status'".format
    two = before("2 need attention", day[0])
    one = before("1 needs attention", day[0])
    assert mails[0] == ["needs attention  ghost", "needs attention  known"]
    assert mails[10] == ["deleted          web", two]
    assert re.fullmatch(
        r"error: prod/RegionOne: .*503.*\n" + re.escape(two) + "\n", cron.mails[24]
    )
    assert re.match(r"error: .*Keystone refuses the login \(401", cron.mails[30])
    began = f"{cron.start + 24 * HOUR:%Y-%m-%d %H:%M} UTC"
    assert mails[48] == [
        f"over             prod/RegionOne answers again; the trouble began {began}",
        "deleted          late",
        two,
    ]
    assert mails[72] == [
        "refused: 23 records are to be deleted, max_deletions is 3; nothing is deleted",
        mails[72][1],
        mails[72][2],
        *(f"refused          batch-{number:02}" for number in range(20)),
        f"{'':<17}... and 3 more, see 'satellite-osp-cleanup status'",
        one,
    ]
    assert mails[75][0] == "refused          batch-23"
    assert mails[75][1:] == [
        f"as before: 1 problem (since {day[72]}), 23 to delete (since {day[72]}), "
        f"1 needs attention (since {day[0]}), see 'satellite-osp-cleanup status'"
    ]
    assert mails[78][0].startswith(
        "over             no guard rail stops a deletion any"
    )
    assert mails[78][1:21] == [f"deleted          batch-{n:02}" for n in range(20)]
    assert mails[78][21:] == [
        f"{'':<17}... and 4 more, see 'satellite-osp-cleanup history list'",
        one,
    ]
    assert cron.mails[78].count("(by alice)") == 20
    assert re.match(r"error: http\S+: .*503", cron.mails[120])
    assert mails[126][0].startswith(
        "over             the runs work again; the trouble began "
    )
    assert mails[168] == [
        "everything that is open, listed again ('repeat_news'):",
        "needs attention  ghost",
    ]
    assert f"(since {day[0]})" in cron.mails[168]
    # The exit codes stay as they are, mail or not.
    assert {cron.codes[hour] for hour in range(24, 30)} == {69}
    assert {cron.codes[hour] for hour in range(30, 36)} == {129}
    assert {cron.codes[hour] for hour in range(72, 78)} == {3}
    assert {cron.codes[hour] for hour in range(126, 169)} == {0}
    assert stage.left == {"witness", "ghost", "known"}


def test_the_mails_of_days_with_quick_runs_between_full_ones(
    cron: Cron, stage: Any
) -> None:
    cron.returned("ghost")
    cron.days(10)  # the first quick run is a full one
    cron.terminate("web", timedelta(0), HOUR)
    cron.days(20)
    outage = stage.osp.fail("/servers", 503)
    cron.days(30)
    stage.osp.faults.remove(outage)
    cron.days(34)
    cron.terminate("late", timedelta(0), HOUR)
    cron.configure(policy={"max_deletions": 0})
    cron.days(54)
    cron.configure()
    cron.days(78)

    mails = {hour: labels(mail) for hour, mail in cron.mails.items()}
    day = f"{cron.start:%Y-%m-%d}"
    one = f"1 needs attention (since {day}), see 'satellite-osp-cleanup status'"
    assert mails.pop(0) == ["needs attention  ghost"]
    assert mails.pop(15) == ["deleted          web", f"as before: {one}"]
    assert mails.pop(20)[0].startswith("error: prod/RegionOne: ")
    # A full run met it, too; but a quick run sees that the region answers.
    assert mails.pop(30)[0].startswith(
        "over             prod/RegionOne answers again; the trouble began "
    )
    refused = mails.pop(39)
    assert refused[0].startswith("refused: 1 record is to be deleted")
    assert "refused          late" in refused
    # Only a full run can tell that nothing is refused any more.
    assert mails.pop(54) == [
        "deleted          late",
        f"as before: 1 problem (since {cron.start + 39 * HOUR:%Y-%m-%d}), {one}",
    ]
    assert mails.pop(75.5)[0].startswith(
        "over             no guard rail stops a deletion any more"
    )
    assert mails == {}
    assert stage.left == {"witness", "ghost"}
    fields = ("--output", "csv", "--no-headers", "--fields", "Host,Run")
    rows = cron.by_hand("history", "list", *fields).splitlines()
    assert rows == ["web.example.com,quick", "late.example.com,quick"]


def test_a_quick_run_that_meets_another_run_ends_without_a_word(
    cron: Cron, stage: Any
) -> None:
    cron.run()
    with stage.journal():
        assert cron.run("--recent") == ""
        assert cron.codes[cron.hour] == 75
        assert "another run" in cron.run()
    assert cron.run("--recent") == ""
    assert cron.codes[cron.hour] == 0


# What is news


def test_a_record_that_waits_causes_no_mail_and_is_listed_in_the_next_one(
    cron: Cron,
) -> None:
    cron.terminate("tired", 2 * HOUR, 3 * HOUR)
    assert cron.run() == ""
    cron.returned("ghost")
    assert labels(cron.run()) == ["needs attention  ghost", "waits            tired"]
    cron.terminate("weary", 2 * HOUR, 3 * HOUR)
    assert cron.run() == ""


def test_a_mail_that_could_not_be_written_is_sent_by_the_next_run(
    stage: Any, call: Any
) -> None:
    stage.terminated("old")
    config = stage.config()
    command = [*PROGRAM, "--config", str(config), "run", "--apply", "--news"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: standard output: No space left on device; ")
    assert "old" not in stage.left
    news = ("--config", config, "run", "--apply", "--news")
    code, out, err = call(*news)
    assert (code, err) == (0, "")
    assert out.startswith("deleted          old.example.com: ")
    assert call(*news) == (0, "", "")


def test_a_deletion_that_fails_in_the_same_way_each_time_is_mailed_once(
    cron: Cron, stage: Any
) -> None:
    cron.removed("stuck")
    stage.foreman.fail("^DELETE", 403)
    assert labels(cron.run()) == ["failed           stuck"]
    assert cron.codes[cron.hour] == 1
    for _ in range(3):
        assert cron.run() == ""
        assert cron.codes[cron.hour] == 1
    stage.foreman.faults.clear()
    stage.foreman.fail("^DELETE", 500)
    assert labels(cron.run()) == ["unfinished       stuck"]
    stage.foreman.faults.clear()
    # The run settles the unfinished one first.
    assert labels(cron.run()) == ["failed           stuck", "deleted          stuck"]


def test_a_deletion_that_fails_before_it_begins_is_mailed_once(
    cron: Cron, stage: Any
) -> None:
    cron.removed("stuck")
    stage.foreman.fail(r"^GET /api/hosts/\d+\b", 422)
    assert "error: stuck.example.com: " in cron.run()
    assert cron.run() == ""


def test_everything_is_listed_again_as_often_as_configured(cron: Cron) -> None:
    cron.returned("ghost")
    cron.configure(repeat_news="2h")
    cron.until(6)
    assert sorted(cron.mails) == [0, 2, 4]
    assert "listed again ('repeat_news')" in cron.mails[2]


def test_0s_lists_nothing_again(cron: Cron) -> None:
    cron.returned("ghost")
    cron.configure(repeat_news="0s")
    for days in (0, 8, 80):
        cron.wait(days * 24)
        cron.run()
    assert sorted(cron.mails) == [0]


def test_a_record_that_is_in_order_for_a_while_is_news_again(
    cron: Cron, stage: Any
) -> None:
    cron.returned("ghost")
    cron.run()
    cron.by_hand("ack", "ghost.example.com")
    (host,) = (h for h in stage.satellite.hosts.values() if h.name[0] == "g")
    named, host.facts = host.facts, guest_facts(named_uuid("witness"))
    assert cron.run() == ""
    host.facts = named
    assert labels(cron.run()) == ["needs attention  ghost"]


def test_two_schedules_with_different_hosts_do_not_end_each_others_problems(
    cron: Cron,
) -> None:
    cron.configure(policy={"max_deletions": 0})
    cron.removed("old")
    cron.run()
    cron.options = ("--search", "name = witness.example.com")
    assert cron.run() == ""
    cron.options = ()
    assert cron.run() == ""


@pytest.mark.parametrize(
    "options",
    [("--uuid", "0" * 32), ("--host", "web"), ("--output", "json"), ("--fields", "Id")],
)
def test_news_does_not_go_with_options_that_show_something_else(
    call: Any, stage: Any, options: tuple[str, ...]
) -> None:
    stage.satellite.hosts.clear()
    code, out, err = call("--config", stage.config(), "run", "--news", *options)
    assert (code == 64 or "not a UUID" in err, out) == (True, "")


def test_news_does_not_go_with_quiet(call: Any, stage: Any) -> None:
    assert call("-q", "--config", stage.config(), "run", "--news")[0] == 64


# What goes wrong before there is a plan


def test_what_a_run_cannot_remember_is_said_by_each_run(cron: Cron, stage: Any) -> None:
    with stage.journal():
        for _ in range(2):
            assert "another run" in cron.run()
            assert cron.codes[0] == 75
    cron.configure(polcy={})
    for _ in range(2):
        assert "did you mean policy?" in cron.run()
        assert cron.codes[0] == 78


def test_an_organization_that_cannot_be_looked_up_is_mailed_once(
    cron: Cron, stage: Any
) -> None:
    cron.options = ("--organization", "Default Organization")
    stage.foreman.fail("/api", 503)
    cron.until(3)
    assert sorted(cron.mails) == [0]
    assert set(cron.codes.values()) == {69}


def test_a_warning_of_every_run_is_mailed_once(cron: Cron, stage: Any) -> None:
    """A deletion whose end nobody can find out is a warning in the log of each run."""
    cron.removed("lost")
    stage.foreman.fail("^DELETE", 500)
    assert labels(cron.run()) == ["unfinished       lost"]
    stage.foreman.fail("GET /api/hosts/2", 500)
    news = ("--config", cron.config, "run", "--news")
    _, _, err = cron.call(*news)
    assert "warning: lost.example.com (host 2): its deletion is unfinished" in err
    assert cron.call(*news)[1:] == ("", "")


def test_the_log_has_every_run_and_what_was_not_mailed(
    cron: Cron, stage: Any, call: Any
) -> None:
    log = stage.folder / "log"
    stage.osp.fail("/servers", 503)
    for _ in range(3):
        call("--config", cron.config, "--log-file", log, "run", "--news")
    lines = log.read_text().splitlines()
    assert sum("error: prod/RegionOne" in line for line in lines) == 3
    assert sum(line.endswith("exit code 69") for line in lines) == 3


# ack


def rows(stage: Any) -> list[tuple[Optional[str], Optional[str]]]:
    with (
        closing(sqlite3.connect(stage.folder / "journal.sqlite3")) as database,
        database,
    ):
        return database.execute(
            "SELECT acked_by, ack_reason FROM open_records ORDER BY host_id"
        ).fetchall()


def test_ack_notes_who_and_why_and_undo_forgets_it(cron: Cron, stage: Any) -> None:
    cron.returned("ghost")
    cron.run()
    stage.monkeypatch.setenv("SUDO_USER", "alice")
    out = cron.by_hand("ack", "GHOST.example.com", "--reason", " rebuilt\n by hand ")
    assert out == (
        "ghost.example.com (id 2): not mailed until something about it changes; "
        "checked in after its termination\n"
    )
    assert rows(stage) == [("alice", "rebuilt by hand")]
    assert "back in the mails" in cron.by_hand("ack", "2", "--undo")
    assert rows(stage) == [(None, None)]


def test_an_acknowledged_record_is_in_no_mail(cron: Cron) -> None:
    cron.returned("ghost")
    cron.run()
    cron.by_hand("ack", "ghost.example.com")
    cron.wait(24 * 8)
    assert cron.run() == ""
    cron.removed("web")
    assert labels(cron.run()) == ["deleted          web"]


@pytest.mark.parametrize("host", ["nobody.example.com", "99", "tired.example.com"])
def test_only_a_record_that_needs_attention_can_be_acknowledged(
    cron: Cron, host: str
) -> None:
    cron.terminate("tired", 2 * HOUR, 3 * HOUR)
    cron.run()
    code, out, err = cron.call("--config", cron.config, "ack", host)
    assert (code, out) == (128, "")
    assert err.startswith(f"error: no record '{host}' needs attention; see ")


def test_of_several_records_with_one_name_one_is_named_by_its_id(
    cron: Cron, stage: Any
) -> None:
    cron.returned("ghost")
    cron.returned("other")
    cron.run()
    with (
        closing(sqlite3.connect(stage.folder / "journal.sqlite3")) as database,
        database,
    ):
        database.execute("UPDATE open_records SET name = 'ghost.example.com'")
    code, _, err = cron.call("--config", cron.config, "ack", "ghost.example.com")
    assert (code, "name its id: 2, 3" in err) == (64, True)
    cron.by_hand("ack", "3")
    assert [who is None for who, _ in rows(stage)] == [True, False]


@pytest.mark.parametrize(
    "options", [("--reason", "x" * 201), ("--undo", "--reason", "x")]
)
def test_ack_refuses_bad_options(cron: Cron, options: tuple[str, ...]) -> None:
    assert cron.call("--config", cron.config, "ack", "ghost", *options)[0] == 64
