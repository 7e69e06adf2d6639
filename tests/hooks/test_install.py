"""schedule install and remove, below a folder; cron, systemd and logrotate check the files."""

import grp
import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import pytest
import shipped
import yaml

from foreman_hooks import paths, settings
from foreman_hooks.commands import schedule
from foreman_hooks.errors import TRY_AGAIN
from foreman_hooks.hooks import install, machine, systemd
from foreman_hooks.hooks.install import Change, State
from foreman_hooks.hooks.schedule_files import (
    Choice,
    FileSpec,
    Owner,
    ScheduleError,
    required_files,
)
from foreman_hooks.hooks.seal import Origin, origin, seal
from foreman_hooks.hooks.timing import Timing, every
from foreman_hooks.rules.model import Policy
from foreman_hooks.rules.plan import Kind

# Below a root, so without the first /
NAME = paths.NAME
CONFIG = paths.CONFIG.relative_to("/")
CRON = paths.CRON.relative_to("/")
LOGROTATE = paths.LOGROTATE.relative_to("/")
SERVICE = paths.SERVICE.relative_to("/")
TIMER = paths.TIMER.relative_to("/")
QUICK_SERVICE = paths.QUICK_SERVICE.relative_to("/")
QUICK_TIMER = paths.QUICK_TIMER.relative_to("/")
UNITS = (TIMER, SERVICE, QUICK_TIMER, QUICK_SERVICE)
SHELLHOOK = paths.SHELLHOOK.relative_to("/")
HOURLY = Timing(60, 17)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def do(call: Any, root: Path) -> Any:
    """Call `schedule ...` below root, which has to succeed; the state of each path."""

    def run(*argv: str) -> dict[str, str]:
        code, out, err = call("schedule", *argv, "--root", root)
        assert (code, err) == (0, "")
        changes = re.findall(rf"^(\w[\w ]*?) +{root}/(\S+)", out, re.MULTILINE)
        return {path: state for state, path in changes}

    return run


def tool(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if not path:
        pytest.skip(f"{name} is not installed here")
    return path


def text(root: Path, path: Path) -> str:
    return (root / path).read_text(encoding="utf-8")


def tree(root: Path) -> dict[str, tuple[int, int, str]]:
    """Every path below root: its mode, and for a file the time of writing and the text."""
    return {
        str(path): (path.lstat().st_mode, path.lstat().st_mtime_ns, path.read_text())
        if path.is_file()
        else (path.lstat().st_mode, 0, "")
        for path in root.rglob("*")
    }


def cron_job(content: str, count: int = 2) -> tuple[list[str], str, str]:
    """The job of full runs, which is the first of so many; see cron_jobs."""
    jobs = cron_jobs(content)
    assert len(jobs) == count
    assert "--recent" not in jobs[0][2]
    return jobs[0]


def cron_jobs(content: str) -> list[tuple[list[str], str, str]]:
    """Times, user and command of each job in a file of /etc/cron.d; fails as cron would.

    crontab(5): NAME=value or five fields, a user and a command, up to a % that has no backslash; a
    last line without an end is ignored.
    """
    assert content.endswith("\n")
    jobs = [
        line
        for line in content.splitlines()
        if line and not re.match(r"#|[A-Z]+=\S*$", line)
    ]
    parts = []
    for job in jobs:
        *times, user, command = job.split(None, 6)
        assert not re.search(r"(?<!\\)%", command)
        parts.append((times, user, command.replace("\\%", "%")))
    return parts


# What is installed


def test_a_first_install_makes_everything_with_its_mode_even_under_a_strict_umask(
    do: Any, root: Path
) -> None:
    before = os.umask(0o077)
    try:
        assert set(do("install").values()) == {"created"}
    finally:
        os.umask(before)
    modes = {
        str(path.relative_to(root)): path.stat().st_mode & 0o7777
        for path in root.rglob("*")
    }
    assert modes == {
        "etc": 0o755,
        "var": 0o755,
        "var/log": 0o755,
        "var/lib": 0o755,
        "etc/cron.d": 0o755,
        "etc/logrotate.d": 0o755,
        "etc/satellite-osp-cleanup": 0o750,
        "etc/satellite-osp-cleanup/config.yml": 0o640,
        "var/lib/satellite-osp-cleanup": 0o700,
        "var/log/foreman": 0o750,
        "etc/cron.d/satellite-osp-cleanup": 0o644,
        "etc/logrotate.d/satellite-osp-cleanup": 0o644,
    }


def test_a_second_install_finds_everything_unchanged_and_writes_nothing(
    do: Any, root: Path
) -> None:
    do("install", "--systemd", "--shellhook")
    before = tree(root)
    assert set(do("install", "--systemd", "--shellhook").values()) == {"unchanged"}
    assert tree(root) == before


def test_a_dry_run_shows_it_all_with_the_changed_lines_and_does_nothing(
    do: Any, call: Any, root: Path
) -> None:
    code, out, err = call("schedule", "install", "--root", root, "--dry-run")
    assert (code, err, tree(root)) == (0, "", {})
    assert re.search(r"^would create +\S+/cron.d/", out, re.MULTILINE)
    assert re.search(r"^ {4}\+MAILTO=root$", out, re.MULTILINE)
    assert "cron would start a full run every day at 03:" in out
    do("install")
    before = tree(root)
    code, out, err = call("schedule", "install", "--root", root, "--apply", "--dry-run")
    assert (code, err, tree(root)) == (0, "", before)
    assert re.search(
        r"^would change +\S+cron\.d/satellite-osp-cleanup$", out, re.MULTILINE
    )
    for recent in ("", " --recent"):
        assert re.search(
            rf"^ {{4}}-\d.* root .* run{recent} --news$", out, re.MULTILINE
        )
        assert re.search(
            rf"^ {{4}}\+\d.* root .* run{recent} --apply --news$", out, re.MULTILINE
        )


@pytest.mark.parametrize("how", ["--cron", "--systemd"])
def test_only_apply_lets_it_delete_and_only_until_the_next_install(
    do: Any, root: Path, how: str
) -> None:
    files = [CRON] if how == "--cron" else [SERVICE, QUICK_SERVICE]

    def commands() -> list[str]:
        content = "".join(text(root, path) for path in files)
        return re.findall(r" run .*--news$", content, re.MULTILINE)

    do("install", how)
    assert commands() == [" run --news", " run --recent --news"]
    do("install", how, "--apply")
    assert commands() == [" run --apply --news", " run --recent --apply --news"]
    do("install")
    assert commands() == [" run --news", " run --recent --news"]


def test_an_existing_configuration_is_never_touched(do: Any, root: Path) -> None:
    do("install")
    (root / CONFIG).write_text("policy: {misses: 5}\n")
    (root / CONFIG).chmod(0o600)
    assert do("install", "--systemd")[str(CONFIG)] == "unchanged"
    assert text(root, CONFIG) == "policy: {misses: 5}\n"
    assert (root / CONFIG).stat().st_mode & 0o777 == 0o600
    do("remove")
    assert (root / CONFIG).exists()


def test_the_example_configuration_shows_every_key_with_its_default(
    do: Any, root: Path
) -> None:
    do("install")
    assert settings.load(root / CONFIG).policy == Policy()
    shown = yaml.safe_load(
        re.sub(r"^#(?! )|^#(?=  )", "", text(root, CONFIG), flags=re.MULTILINE)
    )
    assert set(shown) == {
        "satellite",
        "clouds",
        "checker",
        "journal",
        "deadline",
        "repeat_news",
        "policy",
    }
    (root / CONFIG).write_text(
        yaml.safe_dump({key: shown[key] for key in shown if key != "satellite"})
    )
    loaded = settings.load(root / CONFIG)
    assert (loaded.policy, loaded.journal, loaded.checker) == (
        Policy(),
        settings.JOURNAL,
        None,
    )
    assert loaded.repeat_news == settings.REPEAT_NEWS


def test_the_schedule_names_the_absolute_paths_of_the_program_and_of_its_configuration(
    call: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yml").write_text(f"journal: {tmp_path}/there/j.sqlite3\n")
    assert (
        call(
            "--config", "mine.yml", "schedule", "install", "--systemd", "--root", root
        )[0]
        == 0
    )
    program = Path(sys.executable).with_name(NAME)
    assert f"ExecStart={program} --config {tmp_path}/mine.yml run --news\n" in text(
        root, SERVICE
    )
    assert f"ReadWritePaths={tmp_path}/there\n" in text(root, SERVICE)
    assert not (root / CONFIG).exists()


def test_a_program_that_is_not_installed_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, call: Any, root: Path
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")
    code, _, err = call("schedule", "install", "--root", root)
    assert code == 78
    assert "install the package with pip first" in err


# Cron


def test_cron_reads_the_line_as_intended(do: Any, root: Path) -> None:
    do("install", "--apply")
    # Run-parts' rule: cron passes over any other.
    assert re.fullmatch(r"[A-Za-z0-9_-]+", CRON.name)
    full, quick = cron_jobs(text(root, CRON))
    assert 0 <= int(full[0][0]) < 60
    assert full[0][1:] == ["03", "*", "*", "*"]
    assert re.fullmatch(r"\d-59/10", quick[0][0])
    assert quick[0][1:] == ["*"] * 4
    options = ["--log-file", str(paths.LOG)]
    for (_, user, command), recent in ((full, []), (quick, ["--recent"])):
        assert user == "root"
        words = [*options, "run", *recent, "--apply", "--news"]
        assert shlex.split(command)[1:] == words
        assert Path(shlex.split(command)[0]).is_absolute()
    assert {"SHELL=/bin/sh", "MAILTO=root"} < set(text(root, CRON).splitlines())


def test_crontab_accepts_the_installed_lines(do: Any, root: Path) -> None:
    """crontab checks the tables of users, which have no user in their lines."""
    do("install", "--apply")
    table = root / "table"
    table.write_text(
        re.sub(
            r"^(\d\S* \S+ \* \* \*) root ", r"\1 ", text(root, CRON), flags=re.MULTILINE
        )
    )
    usage = subprocess.run(
        [tool("crontab"), "--help"], capture_output=True, text=True, check=False
    ).stderr
    check = next(
        (
            option
            for option in ("-T", "-n")
            if re.search(rf"^\s*{option}\b", usage, re.MULTILINE)
        ),
        None,
    )
    if not check or os.geteuid() != 0:
        pytest.skip("this crontab cannot check a file, or not without root")
    done = subprocess.run(
        [tool("crontab"), check, str(table)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    table.write_text(table.read_text().replace(" * * * ", " 61 * * ", 1))
    assert (
        subprocess.run(
            [tool("crontab"), check, str(table)], capture_output=True, check=False
        ).returncode
        != 0
    )


def test_odd_paths_survive_cron_sh_and_systemd() -> None:
    command = ('/opt/it\'s 100% $HOME "x"/bin/run',)
    texts = {
        spec.path: spec.text or "" for spec in required_files(Choice(command, HOURLY))
    }
    assert shlex.split(cron_job(texts[paths.CRON], 1)[2])[0] == command[0]
    specs = required_files(Choice(command, HOURLY, "systemd"))
    texts = {spec.path: spec.text or "" for spec in specs}
    assert (
        'ExecStart="/opt/it\'s 100%% $$HOME \\"x\\"/bin/run" run --news\n'
        in texts[paths.SERVICE]
    )
    with pytest.raises(ScheduleError, match="cannot be written into a file"):
        required_files(Choice(("/opt/a\nb",), HOURLY))


def test_a_run_by_cron_prints_news_for_its_mail_and_logs_every_run(
    stage: Any, do: Any, call: Any, root: Path, tmp_path: Path
) -> None:
    assert (
        call(
            "--config", stage.config(), "schedule", "install", "--apply", "--root", root
        )[0]
        == 0
    )
    log = tmp_path / "cron.log"
    command = cron_job(text(root, CRON))[2].replace(str(paths.LOG), str(log))

    def run() -> tuple[int, str, str]:
        done = subprocess.run(
            ["/bin/sh", "-c", command], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    assert run() == (0, "", "")
    stage.terminated("old")
    code, out, err = run()
    assert (code, err) == (0, "")
    assert out.startswith("deleted          old.example.com: terminated, with proof; ")
    assert stage.left == {"witness"}
    lines = log.read_text().splitlines()
    assert len([line for line in lines if line.endswith(" run starts")]) == 2
    assert len([line for line in lines if line.endswith(" exit code 0")]) == 2
    assert all(
        any(line.endswith(printed) for line in lines) for printed in out.splitlines()
    )
    assert log.stat().st_mode & 0o777 == 0o640


# When it runs


@pytest.mark.parametrize(
    ("options", "fields", "calendar", "words"),
    [
        ([], "M 03 * * *", "*-*-* 03:MM:00", "every day at 03:MM (local time)"),
        (["--every", "1h"], "M * * * *", "*-*-* *:MM:00", "every hour at minute M"),
        (
            ["--every", "4h"],
            "M */4 * * *",
            "*-*-* 00/4:MM:00",
            "every 4 hours at minute M",
        ),
        (
            ["--daily"],
            "M 03 * * *",
            "*-*-* 03:MM:00",
            "every day at 03:MM (local time)",
        ),
        (
            ["--every", "1d"],
            "M 03 * * *",
            "*-*-* 03:MM:00",
            "every day at 03:MM (local time)",
        ),
        (
            ["--at", "0:05"],
            "5 00 * * *",
            "*-*-* 00:05:00",
            "every day at 00:05 (local time)",
        ),
    ],
)
def test_cron_and_systemd_run_it_at_the_same_times(
    call: Any, root: Path, options: list[str], fields: str, calendar: str, words: str
) -> None:
    minute = every(60, socket.gethostname()).minute

    def at_minute(form: str) -> str:
        return form.replace("MM", f"{minute:02}").replace("M", str(minute))

    code, out, _ = call("schedule", "install", "--root", root, *options)
    assert (code, " ".join(cron_job(text(root, CRON))[0])) == (0, at_minute(fields))
    last = out.splitlines()[-1]
    assert last.startswith(f"cron starts a full run {at_minute(words)}, next at ")
    assert last.endswith(
        " UTC, and a quick run every 10 minutes; without --apply they only report"
    )
    call("schedule", "install", "--root", root, "--systemd", *options)
    lines = text(root, TIMER).splitlines()
    assert f"OnCalendar={at_minute(calendar)}" in lines


def test_a_later_install_keeps_the_times_unless_it_names_others(
    do: Any, root: Path
) -> None:
    do("install", "--at", "04:30")
    do("install", "--apply")
    assert cron_job(text(root, CRON))[0] == ["30", "04", "*", "*", "*"]
    do("install", "--systemd")
    assert "OnCalendar=*-*-* 04:30:00" in text(root, TIMER).splitlines()
    do("install", "--every", "2h")
    assert "OnCalendar=*-*-* 00/2:" in text(root, TIMER)


@pytest.mark.parametrize("how", ["--cron", "--systemd"])
def test_quick_runs_can_be_left_out_and_come_back(
    do: Any, root: Path, how: str
) -> None:
    def span() -> Optional[int]:
        schedule = machine.current_schedule(root)
        quick = schedule and schedule.of(Kind.QUICK)
        return quick.timing.span if quick and quick.timing else None

    do("install", how, "--quick", "off")
    assert span() is None
    do("install", how, "--apply")
    assert span() is None
    do("install", how, "--quick", "5m")
    assert span() == 5
    do("install", how, "--at", "04:30")
    assert span() == 5
    do("install", how, "--quick", "off")
    assert span() is None
    assert not (root / QUICK_TIMER).exists() and not (root / QUICK_SERVICE).exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--cron", "--systemd"], "--cron or --systemd, not both"),
        (["--every", "4h", "--daily"], "only one of them"),
        (["--daily", "--at", "01:00"], "only one of them"),
        (
            ["--every", "5h"],
            "must be one of 1h, 2h, 3h, 4h, 6h, 8h, 12h, 24h",
        ),
        (["--every", "30m"], "must be one of 1h, 2h"),
        (["--every", "soon"], "must be one of 1h, 2h"),
        (["--every", "0h"], "must be one of 1h, 2h"),
        (["--quick", "1h"], "must be one of 5m, 10m, 15m, 20m, 30m"),
        (["--quick", "7m"], "must be one of 5m, 10m, 15m, 20m, 30m"),
        (["--quick", "no"], "must be one of 5m, 10m, 15m, 20m, 30m"),
        (["--at", "25:00"], "must be a time of day such as 04:30, not '25:00'"),
    ],
)
def test_options_that_contradict_each_other_or_a_day_change_nothing(
    call: Any, root: Path, options: list[str], says: str
) -> None:
    code, out, err = call("schedule", "install", "--root", root, *options)
    assert (code, out, tree(root)) == (64, "", {})
    assert says in err and "See: satellite-osp-cleanup schedule install --help" in err


@pytest.mark.parametrize("how", ["--cron", "--systemd"])
@pytest.mark.parametrize("what", [["--apply"], []])
def test_the_installed_schedule_can_be_read_back(
    do: Any, root: Path, how: str, what: list[str]
) -> None:
    assert machine.current_schedule(root) is None
    do("install", how, "--every", "6h", *what)
    schedule = machine.current_schedule(root)
    assert schedule
    assert schedule.scheduler == how[2:]
    full, quick = schedule.runs
    assert (full.kind, quick.kind) == (Kind.FULL, Kind.QUICK)
    assert full.timing == every(360, socket.gethostname())
    assert quick.timing and quick.timing.span == 10
    assert full.deletes == quick.deletes == (what == ["--apply"])
    path = CRON if how == "--cron" else TIMER
    assert schedule.path == root / path


@pytest.mark.parametrize("how", ["--cron", "--systemd"])
def test_times_that_were_written_by_hand_are_not_guessed(
    do: Any, root: Path, how: str
) -> None:
    do("install", how, "--apply")
    if how == "--cron":
        path, ours, theirs = CRON, r"^\d+ \S+ ", "*/10 8-18 "
    else:
        path, ours, theirs = TIMER, r"^OnCalendar=.*", "OnCalendar=Mon 10:00"
    changed = re.sub(ours, theirs, text(root, path), flags=re.MULTILINE)
    (root / path).write_text(changed)
    schedule = machine.current_schedule(root)
    assert schedule
    full, quick = schedule.runs
    assert (full.timing, full.deletes) == (None, True)
    assert quick.timing and quick.timing.span == 10


def test_a_kind_of_run_that_somebody_took_out_by_hand_is_not_scheduled(
    do: Any, root: Path
) -> None:
    do("install")
    content = text(root, CRON)
    (root / CRON).write_text(re.sub(r"^(.*--recent)", r"#\1", content, flags=re.M))
    schedule = machine.current_schedule(root)
    assert schedule and [run.kind for run in schedule.runs] == [Kind.FULL]


def test_a_unit_of_the_package_counts_where_there_is_none_of_ours(
    do: Any, root: Path
) -> None:
    do("install", "--systemd", "--apply")
    packaged = root / paths.PACKAGED_UNITS.relative_to("/") / SERVICE.name
    packaged.parent.mkdir(parents=True)
    packaged.write_text(text(root, SERVICE).replace(" --apply", ""))
    schedule = machine.current_schedule(root)
    assert schedule and [run.deletes for run in schedule.runs] == [True, True]
    (root / SERVICE).unlink()
    schedule = machine.current_schedule(root)
    assert schedule and [run.deletes for run in schedule.runs] == [False, True]


def test_the_timers_of_the_package_are_a_schedule_once_they_are_enabled(
    root: Path,
) -> None:
    units = root / paths.PACKAGED_UNITS.relative_to("/")
    wants = root / paths.TIMERS_ENABLED.relative_to("/")
    units.mkdir(parents=True)
    wants.mkdir(parents=True)
    for name, content in shipped.shipped_files().items():
        (units / name).write_text(content)
    assert machine.current_schedule(root) is None
    for timer, kinds in (
        (TIMER, [Kind.FULL]),
        (QUICK_TIMER, [Kind.FULL, Kind.QUICK]),
    ):
        (wants / timer.name).symlink_to(units / timer.name)
        schedule = machine.current_schedule(root)
        assert schedule and [run.kind for run in schedule.runs] == kinds
    assert [run.timing for run in schedule.runs] == [Timing(1440, 0, 3), Timing(10, 5)]


# Log rotation


def test_logrotate_accepts_the_installed_configuration(do: Any, root: Path) -> None:
    do("install")
    done = subprocess.run(
        [tool("logrotate"), "-d", "-s", str(root / "state"), str(root / LOGROTATE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert f"rotating pattern: {paths.LOG}  weekly (12 rotations)" in done.stderr
    assert "error" not in done.stderr.replace("no error", "")


@pytest.mark.parametrize(
    ("head", "rotates"),
    [
        ("/var/log/foreman/*.log {", True),
        ("/var/log/foreman/*.log /var/log/foreman/*log {", True),
        ("/var/log/foreman/production.log\n/var/log/foreman/cron*.log\n{", True),
        ('"/var/log/foreman/cron-osp-cleanup.log" {', True),
        ("/var/log/foreman/production.log {", False),
        ("/var/log/foreman-proxy/*.log {", False),
        ("# /var/log/foreman/*.log {", False),
        ('/var/log/foreman/production.log " {', False),
    ],
)
def test_a_log_that_is_rotated_already_is_not_rotated_twice(
    do: Any, root: Path, head: str, rotates: bool
) -> None:
    do("install")
    (root / LOGROTATE).with_name("foreman").write_text(
        f"{head}\n  daily\n  copytruncate\n}}\n"
    )
    assert do("install")[str(LOGROTATE)] == ("removed" if rotates else "unchanged")


# systemd


def test_systemd_accepts_the_installed_units(do: Any, root: Path) -> None:
    do("install", "--systemd", "--apply")
    done = subprocess.run(
        [
            tool("systemd-analyze"),
            "verify",
            "--man=no",
            *(str(root / unit) for unit in UNITS),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_may_write_only_to_the_folder_of_the_journal(
    do: Any, root: Path
) -> None:
    do("install", "--systemd")
    lines = text(root, SERVICE).splitlines()
    assert [line for line in lines if line.startswith("ReadWritePaths")] == [
        "ReadWritePaths=/var/lib/satellite-osp-cleanup"
    ]
    assert {
        "Type=oneshot",
        "User=root",
        "ProtectSystem=strict",
        "ProtectHome=read-only",
        "NoNewPrivileges=yes",
        "PrivateTmp=yes",
        f"SuccessExitStatus={TRY_AGAIN}",
        "KillMode=mixed",
    } < set(lines)
    assert "Persistent=true" in text(root, TIMER).splitlines()


def test_systemctl_is_called_only_for_what_changed() -> None:
    def commands(*states: tuple[Path, State]) -> list[tuple[str, ...]]:
        changes = [Change(state, path, path) for path, state in states]
        before, after = (
            systemd.commands_before(changes),
            systemd.commands_after(changes),
        )
        return [*before, ("files",), *after]

    start = [
        ("enable", "--now", "satellite-osp-cleanup.timer"),
        ("enable", "--now", "satellite-osp-cleanup-quick.timer"),
    ]
    stop = [("disable", "--now", timer) for _, _, timer in start]
    units = [Path("/") / unit for unit in UNITS]
    reload = ("daemon-reload",)
    assert commands(*((path, State.CREATED) for path in units)) == [
        ("files",),
        reload,
        *start,
    ]
    assert commands(*((path, State.UNCHANGED) for path in units)) == [
        ("files",),
        *start,
    ]
    assert commands(*((path, State.REMOVED) for path in units)) == [
        *stop,
        ("files",),
        reload,
    ]
    full, quick = units[:2], units[2:]
    without_quick = [(path, State.UNCHANGED) for path in full]
    without_quick += [(path, State.REMOVED) for path in quick]
    assert commands(*without_quick) == [stop[1], ("files",), reload, start[0]]
    assert commands((paths.CRON, State.CREATED)) == [("files",)]


def test_the_timer_of_the_package_stops_where_another_schedule_takes_over() -> None:
    full = ("disable", "--now", "satellite-osp-cleanup.timer")
    quick = ("disable", "--now", "satellite-osp-cleanup-quick.timer")
    cron = Change(State.CREATED, paths.CRON, paths.CRON)
    timer = Change(State.CREATED, paths.TIMER, paths.TIMER)
    both = [paths.TIMER, paths.QUICK_TIMER]
    assert systemd.commands_before([cron], both) == [full, quick]
    assert systemd.commands_before([], [paths.QUICK_TIMER]) == [quick]
    assert systemd.commands_before([timer], both) == [quick]
    assert systemd.commands_before([cron]) == []


def test_install_continues_with_systemd_if_the_timer_of_the_package_was_enabled(
    do: Any, root: Path
) -> None:
    link = root / (paths.TIMERS_ENABLED / TIMER.name).relative_to("/")
    link.parent.mkdir(parents=True)
    link.symlink_to("/usr/lib/systemd/system/satellite-osp-cleanup.timer")
    assert do("install")[str(TIMER)] == "created"
    assert not (root / CRON).exists()


def test_remove_says_that_it_stops_the_timer_of_the_package(
    call: Any, root: Path
) -> None:
    link = root / (paths.TIMERS_ENABLED / TIMER.name).relative_to("/")
    link.parent.mkdir(parents=True)
    link.symlink_to("/usr/lib/systemd/system/satellite-osp-cleanup.timer")
    _, out, _ = call("schedule", "remove", "--root", root)
    assert out == "satellite-osp-cleanup.timer of the package is disabled\n"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo Access denied >&2; exit 4", "systemctl daemon-reload: Access denied"),
        ("exit 5", "systemctl daemon-reload: exit code 5"),
        (None, "systemctl daemon-reload: No such file or directory"),
    ],
)
def test_a_systemctl_that_fails_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: Any, says: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if script:
        (tmp_path / "systemctl").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "systemctl").chmod(0o755)
    with pytest.raises(ScheduleError) as error:
        systemd.systemctl("daemon-reload")
    assert str(error.value) == says


# Switching, and removing


def test_switching_removes_the_other_so_that_nothing_runs_twice(
    do: Any, root: Path
) -> None:
    do("install")
    done = do("install", "--systemd")
    assert (done[str(CRON)], done[str(LOGROTATE)], done[str(TIMER)]) == (
        "removed",
        "removed",
        "created",
    )
    # It stays with systemd until somebody says otherwise.
    assert str(TIMER) in do("install")
    assert not (root / CRON).exists()
    done = do("install", "--cron")
    assert done[str(CRON)] == "created"
    assert [done[str(unit)] for unit in UNITS] == ["removed"] * 4


def test_a_timer_that_does_not_start_leaves_cron_in_place(
    do: Any, call: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do("install")
    monkeypatch.setattr(
        schedule,
        "_call_systemctl",
        lambda _, words: 1 if ("daemon-reload",) in words else 0,
    )
    code, out, _ = call("schedule", "install", "--systemd", "--root", root)
    assert code == 1
    assert "removed" not in out
    assert "systemd runs" not in out
    assert (root / CRON).exists()


def test_a_file_under_our_name_that_is_not_ours_stops_the_installation(
    do: Any, call: Any, root: Path
) -> None:
    do("install", "--systemd")
    (root / CRON).parent.mkdir()
    (root / CRON).write_text("1 * * * * root satellite-osp-cleanup run\n")
    before = tree(root)
    code, out, err = call("schedule", "install", "--systemd", "--root", root)
    assert (code, out) == (78, "")
    assert "not written by 'schedule install' and would run as well" in err
    assert tree(root) == before


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (
            "17 * * * * root /opt/satellite-osp-cleanup/bin/satellite-osp-cleanup run --apply",
            1,
        ),
        ("17 * * * * root satellite-osp-cleanup --config /x run", 1),
        ("#17 * * * * root satellite-osp-cleanup run", 0),
        ("17 * * * * root satellite-osp-cleanup doctor", 0),
    ],
)
def test_a_schedule_written_by_hand_is_reported_and_stays(
    call: Any, root: Path, line: str, code: int
) -> None:
    path = (root / CRON).with_name("osp-cleanup")
    path.parent.mkdir(parents=True)
    path.write_text(f"{line}\n")
    done, _, err = call("schedule", "install", "--root", root)
    assert (done, err) == (
        code,
        f"error: {path} also runs {NAME}; remove that line\n" if code else "",
    )
    assert path.read_text() == f"{line}\n"


def test_what_an_administrator_changed_is_kept_beside_when_it_is_replaced_or_removed(
    do: Any, root: Path
) -> None:
    do("install")
    saved = (root / CRON).with_name(f"{NAME}.rpmsave")
    (root / CRON).write_text(text(root, CRON).replace("MAILTO=root", "MAILTO=me"))
    assert do("install")[str(CRON)] == "updated"
    assert "MAILTO=root" in text(root, CRON)
    assert "MAILTO=me" in saved.read_text()
    saved.unlink()
    (root / CRON).write_text(text(root, CRON).replace("MAILTO=root", "MAILTO=you"))
    assert do("remove")[str(CRON)] == "removed"
    assert not (root / CRON).exists()
    assert "MAILTO=you" in saved.read_text()
    assert saved.stat().st_mode & 0o111 == 0


def test_remove_takes_what_it_installed_and_leaves_journal_log_and_configuration(
    do: Any, root: Path
) -> None:
    do("install", "--systemd", "--shellhook", "--foreman-hook", paths.FOREMAN_HOOKS)
    journal = root / paths.JOURNAL.relative_to("/")
    journal.write_text("journal")
    spool = journal.with_name("journal.sqlite3.events")
    assert set(do("remove").values()) == {"removed"}
    assert {path for path in root.rglob("*") if path.is_file()} == {
        journal,
        spool,
        root / CONFIG,
    }
    assert do("remove") == {}


def test_remove_leaves_a_file_that_is_not_ours_and_says_so(
    call: Any, root: Path
) -> None:
    (root / CRON).parent.mkdir(parents=True)
    (root / CRON).write_text("# mine\n")
    code, out, _ = call("schedule", "remove", "--root", root)
    assert (code, out) == (
        1,
        f"kept      {root / CRON} (not written by 'schedule install')\n",
    )
    assert text(root, CRON) == "# mine\n"


def test_remove_in_a_dry_run_removes_nothing(do: Any, root: Path) -> None:
    do("install")
    before = tree(root)
    assert do("remove", "--dry-run") == {
        str(CRON): "would remove",
        str(LOGROTATE): "would remove",
    }
    assert tree(root) == before


@pytest.mark.parametrize("content", ["a\nb\n", "#!/bin/sh\na\n", "", "#!/bin/sh\n"])
def test_a_file_of_ours_is_known_until_a_byte_of_it_changes(content: str) -> None:
    sealed = seal(content)
    assert origin(sealed) is Origin.OURS
    assert origin(f"{sealed} ") is Origin.CHANGED
    assert origin(f"x{sealed}") is Origin.FOREIGN or content.startswith("#!")
    assert origin(content) is Origin.FOREIGN
    assert sealed.startswith("#!/bin/sh\n") == content.startswith("#!")


# Where it may write


def test_without_root_rights_the_machine_is_left_alone_in_one_line(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(install, "carry_out", lambda *_: pytest.fail("written"))
    monkeypatch.setattr(
        systemd, "systemctl", lambda *_: pytest.fail("systemd was told")
    )
    for words in (["install"], ["remove"]):
        code, out, err = call("schedule", *words)
        assert (code, out) == (77, "")
        assert re.fullmatch(r"error: this needs root.*\n", err)


def test_what_the_system_refuses_is_one_line(
    call: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", "/etc/x")

    monkeypatch.setattr(Path, "mkdir", refuse)
    code, _, err = call("schedule", "install", "--root", root)
    assert (code, err) == (77, "error: /etc/x: Permission denied; this needs root\n")


def test_a_link_that_leads_out_of_root_is_not_followed(
    call: Any, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (root / "etc").mkdir()
    (root / "etc" / "cron.d").symlink_to(tmp_path / "out")
    code, _, err = call("schedule", "install", "--root", root)
    assert code == 78
    assert "leads out of" in err
    assert not list((tmp_path / "out").iterdir())
    assert not (root / "var").exists()


def test_a_file_that_is_a_link_is_replaced_and_not_followed(
    do: Any, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("precious")
    (root / CRON).parent.mkdir(parents=True)
    (root / CRON).symlink_to(tmp_path / "precious")
    assert do("install")[str(CRON)] == "updated"
    assert not (root / CRON).is_symlink()
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_folder_in_the_way_of_a_file_is_an_error(call: Any, root: Path) -> None:
    (root / CRON).mkdir(parents=True)
    code, _, err = call("schedule", "install", "--root", root)
    assert code == 78
    assert "is in the way: it should be a file" in err


def test_a_write_that_fails_leaves_the_old_file(
    do: Any, call: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do("install")
    before = tree(root)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = call("schedule", "install", "--apply", "--root", root)
    assert code == 78
    assert "No space left on device" in err
    assert tree(root) == before


# Events


def test_the_shellhook_hands_arguments_and_body_to_the_event(
    do: Any, root: Path, tmp_path: Path
) -> None:
    do("install", "--shellhook")
    assert (root / SHELLHOOK).stat().st_mode & 0o777 == 0o755
    # Shellhooks answers no other name.
    assert re.fullmatch(r"[a-z0-9_-]+", SHELLHOOK.name)
    assert run_script(root / SHELLHOOK, tmp_path, "host_created", "$(x) `y`", "-z") == (
        0,
        [
            "event",
            "--spool",
            "/var/lib/satellite-osp-cleanup/journal.sqlite3.events",
            "--",
            "host_created",
            "$(x) `y`",
            "-z",
        ],
        "body",
    )


def test_a_hook_of_foreman_never_fails_since_foreman_would_undo_its_action(
    do: Any, root: Path, tmp_path: Path
) -> None:
    do("install", "--foreman-hook", "/hooks")
    scripts = sorted((root / "hooks").rglob("50-*"))
    assert [script.parent.name for script in scripts] == [
        "after_create",
        "after_destroy",
        "after_update",
    ]
    for script in scripts:
        assert script.stat().st_mode & 0o777 == 0o755
        assert (
            run_script(script, tmp_path, "after_create", "a.example.com", exits=9)[0]
            == 0
        )


def run_script(
    script: Path, folder: Path, *arguments: str, exits: int = 0
) -> tuple[int, list[str], str]:
    """Run a script with a double of our program: exit code, arguments and input of the double."""
    double = folder / "double"
    double.write_text(
        f'#!/bin/sh\nprintf "%s\\0" "$@" >{folder}/args\ncat >{folder}/body\nexit {exits}\n'
    )
    double.chmod(0o755)
    copy = folder / "script"
    copy.write_text(script.read_text().replace(str(machine.program()), str(double)))
    copy.chmod(0o755)
    done = subprocess.run([str(copy), *arguments], input="body", text=True, check=False)
    return (
        done.returncode,
        (folder / "args").read_text().split("\0")[:-1],
        (folder / "body").read_text(),
    )


def test_the_spool_of_events_stays_reachable_for_its_users(do: Any, root: Path) -> None:
    do("install", "--shellhook")
    folder = root / "var/lib/satellite-osp-cleanup"
    assert folder.stat().st_mode & 0o777 == 0o711
    assert (folder / "journal.sqlite3.events").stat().st_mode & 0o777 == 0o600
    do("install", "--systemd")
    assert folder.stat().st_mode & 0o777 == 0o711


def test_the_spool_belongs_to_the_users_that_run_the_events() -> None:
    def owner(**more: Any) -> tuple[tuple[str, str], int]:
        specs = required_files(Choice(("/x",), HOURLY, **more))
        return next(
            (spec.owner, spec.mode) for spec in specs if spec.path.suffix == ".events"
        )

    assert owner(shellhook=True) == (("foreman-proxy", "foreman-proxy"), 0o600)
    assert owner(foreman_hooks=Path("/h")) == (("foreman", "foreman"), 0o600)
    assert owner(shellhook=True, foreman_hooks=Path("/h")) == (
        ("foreman-proxy", "foreman"),
        0o660,
    )


def test_a_new_spool_gets_the_label_that_selinux_has_for_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, log = tmp_path / "restorecon", tmp_path / "log"
    program.write_text(f'#!/bin/sh\necho "$@" >>{log}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(os.getgid())
    owner = Owner(user.pw_name, group.gr_name)
    spool = FileSpec(tmp_path / "spool", 0o600, "", owner=owner)
    other = FileSpec(tmp_path / "other", 0o600, "")
    install.carry_out(
        Path("/"), install.plan_installation(Path("/"), [spool, other], [])
    )
    assert log.read_text() == f"{tmp_path}/spool\n"


def test_where_there_is_no_such_user_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install.pwd, "getpwnam", {}.__getitem__)
    with pytest.raises(ScheduleError, match="is this a Satellite or a Capsule"):
        specs = required_files(Choice(("/x",), HOURLY, shellhook=True))
        install.plan_installation(Path("/"), specs[3:], [])
