"""schedule install and remove, below a root of their own; the files are given to the tools that
will read them.
"""

import io
import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from foreman_hooks import settings
from foreman_hooks.commands import schedule as commands
from foreman_hooks.hooks import files, install, maintenance
from foreman_hooks.hooks.files import Choice, Origin, ScheduleError
from foreman_hooks.reports import logs
from foreman_hooks.rules.model import Policy

NAME = "satellite-osp-cleanup"
CRON, SERVICE, TIMER = (Path(path.lstrip("/")) for path in (files.CRON, files.SERVICE, files.TIMER))
LOGROTATE, CONFIG = Path(files.LOGROTATE.lstrip("/")), Path(files.CONFIG.lstrip("/"))
SHELLHOOK = Path(files.SHELLHOOK.lstrip("/"))
LOOK = maintenance.look


@pytest.fixture(autouse=True)
def no_maintenance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "look", lambda: ("table ip filter\n", False))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def do(call: Any, root: Path) -> Any:
    """`schedule ...` below root, which has to work; what it did to each path."""

    def run(*argv: str) -> dict[str, str]:
        code, out, err = call("schedule", *argv, "--root", root)
        assert (code, err) == (0, "")
        found = re.findall(rf"^(\w+) +{root}/(\S+)", out, re.MULTILINE)
        return {path: state for state, path in found}

    return run


def tool(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if not found:
        pytest.skip(f"{name} is not installed here")
    return found


def text(root: Path, path: Path) -> str:
    return (root / path).read_text(encoding="utf-8")


def tree(root: Path) -> dict[str, tuple[int, int, str]]:
    """Every path below root: its mode, and of a file when it was written, and what stands in it."""
    return {
        str(path): (path.lstat().st_mode, path.lstat().st_mtime_ns, path.read_text())
        if path.is_file()
        else (path.lstat().st_mode, 0, "")
        for path in root.rglob("*")
    }


def cron_job(content: str) -> tuple[list[str], str, str]:
    """Times, user and command of the one job, as cron reads a file of /etc/cron.d; asserts whatever
    cron would refuse.

    crontab(5): NAME=value or five fields, a user and a command, up to a % that has no backslash; a
    last line without an end is ignored.
    """
    assert content.endswith("\n")
    jobs = [line for line in content.splitlines() if line and not re.match(r"#|[A-Z]+=\S*$", line)]
    assert len(jobs) == 1
    *times, user, command = jobs[0].split(None, 6)
    assert not re.search(r"(?<!\\)%", command)
    return times, user, command.replace("\\%", "%")


# What is installed


def test_a_first_install_makes_everything_with_its_mode_even_under_a_strict_umask(
    do: Any, root: Path
) -> None:
    before = os.umask(0o077)
    try:
        assert set(do("install").values()) == {"created"}
    finally:
        os.umask(before)
    modes = {str(path.relative_to(root)): path.stat().st_mode & 0o7777 for path in root.rglob("*")}
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
    assert "created" in out
    assert re.search(r"^ {4}\+MAILTO=root$", out, re.MULTILINE)
    do("install")
    before = tree(root)
    code, out, err = call("schedule", "install", "--root", root, "--apply", "--dry-run")
    assert (code, err, tree(root)) == (0, "", before)
    assert re.search(r"^updated +\S+cron\.d/satellite-osp-cleanup$", out, re.MULTILINE)
    assert re.search(r"^ {4}-\d+ \* \* \* \* root .* run$", out, re.MULTILINE)
    assert re.search(r"^ {4}\+\d+ \* \* \* \* root .* run --apply$", out, re.MULTILINE)


@pytest.mark.parametrize("how", ["--cron", "--systemd"])
def test_only_apply_lets_it_delete_and_only_until_the_next_install(
    do: Any, root: Path, how: str
) -> None:
    path = CRON if how == "--cron" else SERVICE
    do("install", how)
    assert re.search(r"run$", text(root, path), re.MULTILINE)
    assert "--apply" not in text(root, path)
    do("install", how, "--apply")
    assert re.search(r"run --apply$", text(root, path), re.MULTILINE)
    do("install")
    assert "--apply" not in text(root, path)


def test_a_configuration_that_is_there_is_never_touched(do: Any, root: Path) -> None:
    do("install")
    (root / CONFIG).write_text("policy: {misses: 5}\n")
    (root / CONFIG).chmod(0o600)
    assert do("install", "--systemd")[str(CONFIG)] == "unchanged"
    assert text(root, CONFIG) == "policy: {misses: 5}\n"
    assert (root / CONFIG).stat().st_mode & 0o777 == 0o600
    do("remove")
    assert (root / CONFIG).exists()


def test_the_example_configuration_shows_every_key_with_its_default(do: Any, root: Path) -> None:
    do("install")
    assert settings.load(root / CONFIG).policy == Policy()
    shown = yaml.safe_load(re.sub(r"^#(?! )|^#(?=  )", "", text(root, CONFIG), flags=re.MULTILINE))
    assert set(shown) == {"satellite", "clouds", "checker", "journal", "deadline", "policy"}
    (root / CONFIG).write_text(
        yaml.safe_dump({key: shown[key] for key in shown if key != "satellite"})
    )
    found = settings.load(root / CONFIG)
    assert (found.policy, found.journal, found.checker) == (Policy(), settings.JOURNAL, None)


def test_the_program_is_called_by_its_absolute_path_and_with_the_configuration_that_was_named(
    call: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yml").write_text(f"journal: {tmp_path}/there/j.sqlite3\n")
    assert call("--config", "mine.yml", "schedule", "install", "--systemd", "--root", root)[0] == 0
    program = Path(sys.executable).with_name(NAME)
    assert f"ExecStart={program} --config {tmp_path}/mine.yml run\n" in text(root, SERVICE)
    assert f"ReadWritePaths={tmp_path}/there\n" in text(root, SERVICE)
    assert not (root / CONFIG).exists()


def test_a_program_that_is_not_installed_is_said_so(
    monkeypatch: pytest.MonkeyPatch, call: Any, root: Path
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")
    code, _, err = call("schedule", "install", "--root", root)
    assert code == 78
    assert "install the package with pip first" in err


def test_the_minute_depends_on_the_host_alone_and_is_spread() -> None:
    minutes = [files.minute(f"satellite{number}.example.com") for number in range(600)]
    assert minutes == [files.minute(f"satellite{number}.example.com") for number in range(600)]
    assert set(minutes) == set(range(60))


# Cron


def test_cron_reads_what_was_meant(do: Any, root: Path) -> None:
    do("install", "--apply")
    assert re.fullmatch(r"[A-Za-z0-9_-]+", CRON.name)  # run-parts' rule: cron passes over any other
    times, user, command = cron_job(text(root, CRON))
    assert 0 <= int(times[0]) < 60
    assert (times[1:], user) == (["*"] * 4, "root")
    assert shlex.split(command)[1:] == ["--log-file", files.LOG, "run", "--apply"]
    assert Path(shlex.split(command)[0]).is_absolute()
    assert {"SHELL=/bin/sh", "MAILTO=root"} < set(text(root, CRON).splitlines())


def test_crontab_takes_the_lines_that_are_installed(do: Any, root: Path) -> None:
    """It checks users' tables, which have no user in their lines."""
    do("install", "--apply")
    table = root / "table"
    table.write_text(
        re.sub(r"^(\d+ \* \* \* \*) root ", r"\1 ", text(root, CRON), flags=re.MULTILINE)
    )
    usage = subprocess.run(
        [tool("crontab"), "--help"], capture_output=True, text=True, check=False
    ).stderr
    check = next(
        (option for option in ("-T", "-n") if re.search(rf"^\s*{option}\b", usage, re.MULTILINE)),
        None,
    )
    if not check or os.geteuid() != 0:
        pytest.skip("this crontab cannot check a file, or not without root")
    done = subprocess.run(
        [tool("crontab"), check, str(table)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    table.write_text(table.read_text().replace(" * * * * ", " 61 * * * "))
    assert (
        subprocess.run(
            [tool("crontab"), check, str(table)], capture_output=True, check=False
        ).returncode
        != 0
    )


def test_odd_paths_survive_cron_sh_and_systemd() -> None:
    command = ('/opt/it\'s 100% $HOME "x"/bin/run',)
    found = {item.path: item.text or "" for item in files.wanted(Choice(command, "h"))}
    assert shlex.split(cron_job(found[files.CRON])[2])[0] == command[0]
    found = {item.path: item.text or "" for item in files.wanted(Choice(command, "h", "systemd"))}
    assert 'ExecStart="/opt/it\'s 100%% $$HOME \\"x\\"/bin/run" run\n' in found[files.SERVICE]
    with pytest.raises(ScheduleError, match="cannot stand in a file"):
        files.wanted(Choice(("/opt/a\nb",), "h"))


def test_a_run_by_cron_prints_news_for_its_mail_and_logs_every_run(
    stage: Any, do: Any, call: Any, root: Path, tmp_path: Path
) -> None:
    assert (
        call("--config", stage.config(), "schedule", "install", "--apply", "--root", root)[0] == 0
    )
    log = tmp_path / "cron.log"
    command = cron_job(text(root, CRON))[2].replace(files.LOG, str(log))

    def run() -> tuple[int, str, str]:
        done = subprocess.run(
            ["/bin/sh", "-c", command], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    assert run() == (0, "", "")
    stage.terminated("old")
    code, out, err = run()
    assert (code, err) == (0, "")
    assert "1 of 1 records deleted" in out
    assert stage.left == {"witness"}
    lines = log.read_text().splitlines()
    assert len([line for line in lines if line.endswith(" run starts")]) == 2
    assert len([line for line in lines if line.endswith(" exit code 0")]) == 2
    assert all(any(line.endswith(printed) for line in lines) for printed in out.splitlines())
    assert log.stat().st_mode & 0o777 == 0o640


# The log


def test_log_lines_are_json_objects_where_that_is_asked_for(
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
    assert [line["message"] for line in lines] == ["run starts", *out.splitlines(), "exit code 0"]


def test_json_on_stderr_is_one_object_a_line_whatever_is_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    logs.set_up(logging.INFO, "json")
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("foreman_hooks.x").warning("%s\n\x1b\udc80", "two", exc_info=True)
    logging.getLogger(logs.SAID).error("is on the terminal already")
    (line,) = sys.stderr.getvalue().splitlines()
    assert json.loads(line)["message"] == "two\n\x1b\udc80"
    assert "ValueError: why" in json.loads(line)["traceback"]


def test_a_line_of_the_log_is_one_line_whatever_stands_in_it(tmp_path: Path) -> None:
    logs.set_up(logging.WARNING, "text", tmp_path / "log")
    logging.getLogger(logs.SAID).info("%s", "a\nforged \x1b[2J\udc80")
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.endswith(r" INFO foreman_hooks.said: a\nforged \u001b[2J\udc80")
    logs.set_up(logging.WARNING)


@pytest.mark.parametrize("kind", ["a link", "a pipe", "a folder", "no folder"])
def test_a_log_that_cannot_be_one_is_refused_in_one_line(
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
    code, _, err = call("--config", tmp_path / "none.yml", "--log-file", tmp_path / "log", "run")
    assert code == 78
    assert f" ERROR foreman_hooks.said: {err}" in (tmp_path / "log").read_text()


def test_a_refusal_is_in_the_log_with_its_numbers(call: Any, stage: Any, tmp_path: Path) -> None:
    stage.terminated("old")
    code, _, err = call(
        "--config", stage.config(policy={"max_deletions": 0}), "--log-file", tmp_path / "log", "run"
    )
    assert code == 3
    assert "refused: " in err
    text = (tmp_path / "log").read_text()
    assert all(line in text for line in err.splitlines())


def test_logrotate_takes_what_is_installed(do: Any, root: Path) -> None:
    do("install")
    done = subprocess.run(
        [tool("logrotate"), "-d", "-s", str(root / "state"), str(root / LOGROTATE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert f"rotating pattern: {files.LOG}  weekly (12 rotations)" in done.stderr
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
    ],
)
def test_two_that_rotate_one_log_are_avoided(do: Any, root: Path, head: str, rotates: bool) -> None:
    do("install")
    (root / LOGROTATE).with_name("foreman").write_text(f"{head}\n  daily\n  copytruncate\n}}\n")
    assert do("install")[str(LOGROTATE)] == ("removed" if rotates else "unchanged")


# systemd


def test_systemd_takes_what_is_installed(do: Any, root: Path) -> None:
    do("install", "--systemd", "--apply")
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", "--man=no", str(root / SERVICE), str(root / TIMER)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_may_write_to_the_journals_folder_alone(do: Any, root: Path) -> None:
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
        "SuccessExitStatus=75",
    } < set(lines)
    assert {"OnCalendar=hourly", "Persistent=true", "RandomizedDelaySec=15min"} < set(
        text(root, TIMER).splitlines()
    )


def test_systemd_is_told_what_changed_and_no_more() -> None:
    def told(*states: tuple[str, str]) -> list[tuple[str, ...]]:
        changes = [
            install.Change(state, files.Item(path, 0o644, ""), Path(path)) for path, state in states
        ]
        return install.systemctl_before(changes) + [("files",)] + install.systemctl_after(changes)

    timer = "satellite-osp-cleanup.timer"
    both = (files.SERVICE, files.TIMER)
    assert told(*((path, "created") for path in both)) == [
        ("files",),
        ("daemon-reload",),
        ("enable", "--now", timer),
    ]
    assert told(*((path, "unchanged") for path in both)) == [("files",), ("enable", "--now", timer)]
    assert told(*((path, "removed") for path in both)) == [
        ("disable", "--now", timer),
        ("files",),
        ("daemon-reload",),
    ]
    assert told((files.CRON, "created")) == [("files",)]


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
        install.systemctl("daemon-reload")
    assert str(error.value) == says


# Changing one's mind


def test_switching_removes_the_other_so_that_nothing_runs_twice(do: Any, root: Path) -> None:
    do("install")
    done = do("install", "--systemd")
    assert (done[str(CRON)], done[str(LOGROTATE)], done[str(TIMER)]) == (
        "removed",
        "removed",
        "created",
    )
    assert str(TIMER) in do("install")  # it stays with systemd until somebody says otherwise
    assert not (root / CRON).exists()
    done = do("install", "--cron")
    assert (done[str(CRON)], done[str(SERVICE)], done[str(TIMER)]) == (
        "created",
        "removed",
        "removed",
    )


def test_a_timer_that_does_not_start_leaves_cron_in_place(
    do: Any, call: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do("install")
    monkeypatch.setattr(
        commands, "_tell_systemd", lambda _, words: 1 if ("daemon-reload",) in words else 0
    )
    code, out, _ = call("schedule", "install", "--systemd", "--root", root)
    assert code == 1
    assert "removed" not in out
    assert "runs it every hour" not in out
    assert (root / CRON).exists()


def test_a_schedule_of_somebody_else_under_our_name_stops_the_switch(
    do: Any, call: Any, root: Path
) -> None:
    do("install", "--systemd")
    (root / CRON).parent.mkdir()
    (root / CRON).write_text("1 * * * * root satellite-osp-cleanup run\n")
    before = tree(root)
    code, out, err = call("schedule", "install", "--systemd", "--root", root)
    assert (code, out) == (78, "")
    assert "not of ours, and would run as well" in err
    assert tree(root) == before


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("17 * * * * root /opt/satellite-osp-cleanup/bin/satellite-osp-cleanup run --apply", 1),
        ("17 * * * * root satellite-osp-cleanup --config /x run", 1),
        ("#17 * * * * root satellite-osp-cleanup run", 0),
        ("17 * * * * root satellite-osp-cleanup doctor", 0),
    ],
)
def test_a_schedule_written_by_hand_is_told_of_and_left(
    call: Any, root: Path, line: str, code: int
) -> None:
    path = (root / CRON).with_name("osp-cleanup")
    path.parent.mkdir(parents=True)
    path.write_text(f"{line}\n")
    done, _, err = call("schedule", "install", "--root", root)
    assert (done, err) == (code, f"error: {path} runs it as well; take that out\n" if code else "")
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
    do("install", "--systemd", "--shellhook", "--foreman-hook", files.FOREMAN_HOOKS)
    journal = root / files.JOURNAL.lstrip("/")
    journal.write_text("journal")
    spool = journal.with_name("journal.sqlite3.events")
    assert set(do("remove").values()) == {"removed"}
    assert {path for path in root.rglob("*") if path.is_file()} == {journal, spool, root / CONFIG}
    assert do("remove") == {}


def test_remove_leaves_what_is_not_of_ours_and_says_so(call: Any, root: Path) -> None:
    (root / CRON).parent.mkdir(parents=True)
    (root / CRON).write_text("# mine\n")
    code, out, _ = call("schedule", "remove", "--root", root)
    assert (code, out) == (1, f"kept      {root / CRON} (not of ours)\n")
    assert text(root, CRON) == "# mine\n"


def test_remove_in_a_dry_run_removes_nothing(do: Any, root: Path) -> None:
    do("install")
    before = tree(root)
    assert do("remove", "--dry-run") == {str(CRON): "removed", str(LOGROTATE): "removed"}
    assert tree(root) == before


@pytest.mark.parametrize("content", ["a\nb\n", "#!/bin/sh\na\n", "", "#!/bin/sh\n"])
def test_a_file_of_ours_is_known_until_a_byte_of_it_changes(content: str) -> None:
    sealed = files.seal(content)
    assert files.origin(sealed) is Origin.OURS
    assert files.origin(f"{sealed} ") is Origin.CHANGED
    assert files.origin(f"x{sealed}") is Origin.FOREIGN or content.startswith("#!")
    assert files.origin(content) is Origin.FOREIGN
    assert sealed.startswith("#!/bin/sh\n") == content.startswith("#!")


# Where it may write


def test_without_root_rights_the_machine_is_left_alone_in_one_line(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(install, "carry_out", lambda *_: pytest.fail("written"))
    monkeypatch.setattr(install, "systemctl", lambda *_: pytest.fail("systemd was told"))
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


def test_a_folder_in_the_way_of_a_file_is_said_so(call: Any, root: Path) -> None:
    (root / CRON).mkdir(parents=True)
    code, _, err = call("schedule", "install", "--root", root)
    assert code == 78
    assert "is in the way: it should be a file" in err


def test_a_write_that_fails_leaves_the_old_file_and_no_half_one(
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
    assert re.fullmatch(r"[a-z0-9_-]+", SHELLHOOK.name)  # shellhooks answers no other name
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
        assert run_script(script, tmp_path, "after_create", "a.example.com", exits=9)[0] == 0


def run_script(
    script: Path, folder: Path, *arguments: str, exits: int = 0
) -> tuple[int, list[str], str]:
    """The script with a double of the program: its exit code, what the program was called with, and
    its input.
    """
    double = folder / "double"
    double.write_text(
        f'#!/bin/sh\nprintf "%s\\0" "$@" >{folder}/args\ncat >{folder}/body\nexit {exits}\n'
    )
    double.chmod(0o755)
    copy = folder / "script"
    copy.write_text(script.read_text().replace(install.program(), str(double)))
    copy.chmod(0o755)
    done = subprocess.run([str(copy), *arguments], input="body", text=True, check=False)
    return (
        done.returncode,
        (folder / "args").read_text().split("\0")[:-1],
        (folder / "body").read_text(),
    )


def test_the_spool_of_events_can_be_reached_and_stays_so(do: Any, root: Path) -> None:
    do("install", "--shellhook")
    folder = root / "var/lib/satellite-osp-cleanup"
    assert folder.stat().st_mode & 0o777 == 0o711
    assert (folder / "journal.sqlite3.events").stat().st_mode & 0o777 == 0o600
    do("install", "--systemd")
    assert folder.stat().st_mode & 0o777 == 0o711


def test_the_spool_belongs_to_the_users_that_run_the_events() -> None:
    def owner(**more: Any) -> tuple[tuple[str, str], int]:
        found = files.wanted(Choice(("/x",), "h", **more))
        return next((item.owner, item.mode) for item in found if item.path.endswith(".events"))

    assert owner(shellhook=True) == (("foreman-proxy", "foreman-proxy"), 0o600)
    assert owner(hooks="/h") == (("foreman", "foreman"), 0o600)
    assert owner(shellhook=True, hooks="/h") == (("foreman-proxy", "foreman"), 0o660)


def test_where_there_is_no_such_user_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install.pwd, "getpwnam", {}.__getitem__)
    with pytest.raises(ScheduleError, match="is this a Satellite or a Capsule"):
        install.compare(Path("/"), files.wanted(Choice(("/x",), "h", shellhook=True))[3:], [])


# foreman-maintain's maintenance mode


@pytest.mark.parametrize(
    ("tables", "chain", "on"),
    [
        ("table ip filter\ntable inet FOREMAN_MAINTAIN_TABLE\n", False, True),
        ("table ip filter\ntable inet firewalld\n", False, False),
        ("table inet NOT_FOREMAN_MAINTAIN_TABLE\n", False, False),
        ("", False, False),
        (None, True, True),
        (None, False, False),
        ("", True, False),
    ],
)
def test_maintenance_mode_is_what_foreman_maintain_goes_by(
    tables: Any, chain: bool, on: bool
) -> None:
    assert maintenance.is_on(tables, chain) is on


@pytest.mark.parametrize(
    ("tool", "script", "on"),
    [
        ("nft", '[ "$*" = "list tables" ] && echo "table inet FOREMAN_MAINTAIN_TABLE"', True),
        ("nft", "echo table ip x", False),
        ("nft", 'echo "Operation not permitted (you must be root)" >&2; exit 1', False),
        ("iptables", '[ "$*" = "-n -L FOREMAN_MAINTAIN" ]', True),
        ("iptables", "echo No chain/target/match by that name >&2; exit 1", False),
        ("other", "exit 0", False),
    ],
)
def test_the_packet_filter_is_asked_and_what_it_does_not_say_is_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str, script: str, on: bool
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}")
    monkeypatch.setattr(maintenance, "SBIN", ())
    (tmp_path / tool).write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / tool).chmod(0o755)
    assert maintenance.is_on(*LOOK()) is on


@pytest.mark.parametrize("words", [["run"], ["run", "--apply"], ["apply", "plan.json"]])
def test_in_maintenance_mode_a_run_ends_with_75_and_one_line(
    stage: Any, call: Any, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    stage.terminated("old")
    monkeypatch.setattr(maintenance, "look", lambda: ("table inet FOREMAN_MAINTAIN_TABLE", False))
    code, out, err = call("--config", stage.config(), *words)
    assert (code, out) == (75, "")
    assert (
        err
        == "error: foreman-maintain's maintenance mode is on; nothing was looked at, nothing deleted\n"
    )
    assert stage.left == {"old", "witness"}


def test_a_plan_can_be_made_in_maintenance_mode(
    stage: Any, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "look", lambda: ("table inet FOREMAN_MAINTAIN_TABLE", False))
    assert call("--config", stage.config(), "plan")[0] == 0
