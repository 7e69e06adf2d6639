"""hooks.d: which files are run, what they are told, and that no failure of theirs matters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Callable

import pytest
from conftest import Stage
from oldest_python import PYTHON_36, needs_python_36
from sandbox.server import Answer, Server

from foreman_hooks import paths
from foreman_hooks.commands.announcing import announced
from foreman_hooks.commands.deadline import Deadline
from foreman_hooks.hooks import hooks_d
from foreman_hooks.reports.metrics import RunRecord
from foreman_hooks.rules.model import Outcome, Result
from foreman_hooks.rules.plan import PlanError

EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "hooks.d"
LIMIT = 60  # seconds after which a test gives up
EVENT = {"event": hooks_d.HOST_DELETED}
PROGRAM = """
import os, sys
from pathlib import Path
from foreman_hooks.commands.main import entry_point
from foreman_hooks.hooks import hooks_d
hooks_d.HOOKS_D, hooks_d.OWNER = Path(sys.argv.pop(1)), os.geteuid()
hooks_d.SECONDS = 1000
entry_point()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hooks.d, of the user who runs the tests instead of root."""
    folder = tmp_path / "etc" / "hooks.d"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    folder.parent.chmod(0o755)
    monkeypatch.setattr(hooks_d, "HOOKS_D", folder)
    monkeypatch.setattr(hooks_d, "OWNER", os.geteuid())
    return folder


@pytest.fixture
def put(folder: Path) -> Callable[..., Path]:
    """A function that puts a hook with these lines of shell into the folder."""

    def put(name: str, script: str = "cat >/dev/null", mode: int = 0o755) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(mode)
        return path

    return put


@pytest.fixture
def events(put: Any, tmp_path: Path) -> Callable[[], list[Any]]:
    """A hook that keeps its events; the function reads them."""
    log = tmp_path / "events"
    put("50-keep", f"cat >>{log}")
    return lambda: [json.loads(line) for line in log.read_text().splitlines()]


# What a hook is told


def test_a_hook_hears_of_each_deletion_and_of_the_end_of_the_run(
    stage: Stage, call: Any, events: Any
) -> None:
    uuid = stage.terminated("old")
    code, _, err = call("--config", stage.config(), "run", "--apply")
    assert (code, err) == (0, "")
    deleted, finished = events()
    digest = deleted.pop("plan")
    assert len(digest) == 64
    host = deleted.pop("host")
    assert host.pop("id") in range(1, 9) and len(host.pop("project")) == 32
    assert host == {
        "name": "old.example.com",
        "uuid": uuid,
        "cloud": "prod",
        "region": "RegionOne",
    }
    times = ("last_checkin", "terminated_at", "deleted_at")
    moments = [datetime.fromisoformat(deleted.pop(key)[:-1]) for key in times]
    assert moments == sorted(moments)
    assert deleted == {
        "event": "host_deleted",
        "satellite": stage.foreman.url,
        "reason_code": "TERMINATED",
    }
    assert finished.pop("finished_at").endswith("Z")
    assert finished == {
        "event": "run_finished",
        "satellite": stage.foreman.url,
        "plan": digest,
        "exit_code": 0,
        "results": {"deleted": 1, "kept": 0, "failed": 0, "unfinished": 0},
    }


def test_apply_calls_the_hooks_as_well(
    stage: Stage, call: Any, events: Any, tmp_path: Path
) -> None:
    stage.terminated("old")
    config, plan = stage.config(), tmp_path / "plan.json"
    assert call("--config", config, "plan", "--out", plan)[0] == 0
    assert call("--config", config, "apply", plan)[0] == 0
    deleted, finished = events()
    assert deleted["plan"] == finished["plan"] == json.loads(plan.read_text())["digest"]


def test_only_deletions_that_were_verified_are_announced(
    stage: Stage, call: Any, events: Any
) -> None:
    for name in ("first", "second"):
        stage.terminated(name)
    stage.foreman.fail("^DELETE", 500, skip=1)
    assert call("--config", stage.config(), "run", "--apply")[0] == 1
    deleted, finished = events()
    assert deleted["host"]["name"] == "first.example.com"
    assert finished["exit_code"] == 1
    assert finished["results"] == {
        "deleted": 1,
        "kept": 0,
        "failed": 0,
        "unfinished": 1,
    }


def test_the_exit_code_of_an_error_that_ends_a_run_is_announced(
    stage: Stage, events: Any
) -> None:
    stage.terminated("old")
    plan = stage.plan()
    (verdict,) = plan.deletions
    outcome = Outcome(verdict.host_id, verdict.name, verdict.uuid, Result.DELETED)
    record = RunRecord(code=0, plan=plan, outcomes=[outcome])
    with (
        pytest.raises(PlanError),
        announced(record, lambda: stage.now, Deadline()) as announcer,
    ):
        announcer.outcome(outcome)
        raise PlanError("a region is not asked any more")
    assert [event.get("exit_code") for event in events()] == [None, 65]
    assert record.code == 65


def test_a_run_that_deletes_nothing_calls_no_hook(
    stage: Stage, call: Any, put: Any, tmp_path: Path
) -> None:
    put("10-hook", f"touch {tmp_path}/called")
    assert call("--config", stage.config(), "run", "--apply")[0] == 0
    stage.terminated("old")
    assert call("--config", stage.config(), "plan")[0] == 0
    assert call("--config", stage.config(), "run")[0] == 0
    refused = stage.config(policy={"max_deletions": 0})
    assert call("--config", refused, "run", "--apply")[0] == 3
    assert not (tmp_path / "called").exists()


def test_a_hook_gets_a_small_environment_without_secrets(
    put: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREMAN_PASSWORD", "changeme")
    monkeypatch.setenv("OS_PASSWORD", "changeme")
    hook = put("10-hook", f"env >{tmp_path}/env; pwd >>{tmp_path}/env")
    assert hooks_d.call_hook(hook, EVENT) == ""
    *lines, working_folder = (tmp_path / "env").read_text().splitlines()
    names = {line.split("=")[0] for line in lines}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "LANG", "HOME"}
    assert working_folder == "/"


# Failures


def test_failures_are_one_warning_for_each_hook_and_change_no_exit_code(
    stage: Stage, call: Any, put: Any
) -> None:
    for name in ("first", "second"):
        stage.terminated(name)
    bad = put("10-bad", "printf 'no \\033[31mzone\\nmore\\n' >&2; echo out; exit 7")
    put("20-good", "exit 0")
    code, out, err = call("--config", stage.config(), "run", "--apply")
    assert code == 0
    assert "2 of 2 records deleted" in out
    assert err == (
        f"warning: hook {bad} failed for first.example.com: exit code 7: no  [31mzone "
        "(and 2 more times)\n"
    )


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 3", "exit code 3"),
        ("kill -9 $$", "signal 9"),
        ("printf '%0999d' 7 >&2; exit 1", "exit code 1: " + "0" * 200),
        ("head -c 1000000 /dev/zero >&2", ""),
        ("exec <&-; exit 0", ""),
    ],
)
def test_how_a_hook_ended_is_told_in_few_words(put: Any, script: str, why: str) -> None:
    assert hooks_d.call_hook(put("10-hook", script), EVENT) == why


def test_a_hook_that_cannot_be_started_says_why(folder: Path) -> None:
    hook = folder / "10-hook"
    hook.write_text("#!/no/such/interpreter\n")
    hook.chmod(0o755)
    assert (
        hooks_d.call_hook(hook, EVENT)
        == "it cannot be started: No such file or directory"
    )


def test_a_slow_hook_is_killed_with_its_whole_process_group(
    put: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe that its child holds ends only with that child."""
    monkeypatch.setattr(hooks_d, "SECONDS", 0.3)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    hook = put("10-slow", f"exec 3>{pipe}; echo begun >&3; sleep 1000 & wait")
    assert hooks_d.call_hook(hook, EVENT) == "it was killed after 0.3 s"
    os.set_blocking(reader, True)
    with os.fdopen(reader) as file:
        assert file.read() in ("begun\n", "")


# Which files are run


def test_hooks_run_in_the_order_of_their_names_and_leftovers_are_ignored(
    put: Any, folder: Path
) -> None:
    for name in ("20-b", "10-a", "9-c", "Z"):
        put(name)
    for name in (".hidden", "10-a~", "10-a.rpmsave", "10-a.rpmnew", ".10-a.swp"):
        put(name)
    hooks = hooks_d.find_hooks()
    assert [path.name for path in hooks.paths] == ["10-a", "20-b", "9-c", "Z"]
    assert hooks.refused == ()


def test_a_site_without_hooks_is_told_nothing(folder: Path) -> None:
    assert hooks_d.find_hooks() == hooks_d.Hooks()
    folder.rmdir()
    folder.parent.chmod(0o777)
    assert hooks_d.find_hooks() == hooks_d.Hooks()


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        (0o775, "can be written by others than root"),
        (0o757, "can be written by others than root"),
        (0o644, "is not executable"),
    ],
)
def test_a_file_that_others_can_write_or_nobody_can_run_is_no_hook(
    put: Any, mode: int, why: str
) -> None:
    good, bad = put("20-good"), put("10-bad", mode=mode)
    hooks = hooks_d.find_hooks()
    assert hooks == hooks_d.Hooks((good,), (f"a hook is not run: {bad} {why}",))


def test_links_and_folders_are_not_run(put: Any, folder: Path, tmp_path: Path) -> None:
    target = put("10-good").rename(tmp_path / "elsewhere")
    (folder / "20-link").symlink_to(target)
    (folder / "30-folder").mkdir()
    hooks = hooks_d.find_hooks()
    assert hooks.paths == ()
    assert [line.split(" ", 5)[-1] for line in hooks.refused] == [
        f"{folder}/20-link is not a regular file",
        f"{folder}/30-folder is not a regular file",
    ]


@pytest.mark.parametrize("level", [0, 1])
def test_no_hook_is_run_from_a_folder_that_others_can_replace(
    put: Any, folder: Path, level: int
) -> None:
    put("10-hook")
    loose = [folder, folder.parent][level]
    loose.chmod(0o775)
    line = f"no hook is run: {loose} can be written by others than root"
    assert hooks_d.find_hooks() == hooks_d.Hooks((), (line,))


def test_a_link_to_a_folder_holds_no_hooks(
    put: Any, folder: Path, tmp_path: Path
) -> None:
    put("10-hook")
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    line = f"no hook is run: {folder} is not a folder"
    assert hooks_d.find_hooks() == hooks_d.Hooks((), (line,))


def test_a_folder_of_another_user_holds_no_hooks(
    put: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("10-hook")
    monkeypatch.setattr(hooks_d, "OWNER", os.geteuid() + 1)
    (line,) = hooks_d.find_hooks().refused
    assert line.startswith(f"no hook is run: {folder} does not belong to root (uid ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_not_run(put: Any) -> None:
    hook = put("10-hook")
    os.chown(hook, 65534, 65534)
    line = f"a hook is not run: {hook} does not belong to root (uid 65534)"
    assert hooks_d.find_hooks() == hooks_d.Hooks((), (line,))


def test_the_owner_is_root_and_the_folder_is_beside_the_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    assert hooks_d.OWNER == 0
    assert hooks_d.HOOKS_D is paths.HOOKS_D
    assert paths.HOOKS_D.parent == paths.CONFIG.parent


def test_a_run_warns_once_of_files_that_are_not_run(
    stage: Stage, call: Any, put: Any
) -> None:
    for name in ("first", "second"):
        stage.terminated(name)
    bad = put("10-bad", mode=0o644)
    code, _, err = call("--config", stage.config(), "run", "--apply")
    assert code == 0
    assert err == f"warning: a hook is not run: {bad} is not executable\n"


def test_doctor_names_the_hooks_and_the_files_that_are_not_run(
    stage: Stage, call: Any, put: Any
) -> None:
    config = stage.config()
    assert "each deletion" not in call("--config", config, "doctor")[1]
    put("10-dns")
    put("20-chat")
    out = call("--config", config, "doctor")[1]
    assert "[ OK ] hooks that run after each deletion: 10-dns, 20-chat\n" in out
    bad = put("30-bad", mode=0o777)
    out = call("--config", config, "doctor")[1]
    assert (
        "[WARN] hooks that run after each deletion: 10-dns, 20-chat; a hook is not run: "
        f"{bad} can be written by others than root\n       -> a hook must be an executable"
    ) in out


# Interruptions


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_a_hook_finish_and_then_ends_the_run(
    stage: Stage, put: Any, folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """The signal goes to the whole process group, as from a terminal."""
    for name in ("first", "second"):
        stage.terminated(name)
    begun, go_on = tmp_path / "begun", tmp_path / "go-on"
    for pipe in (begun, go_on):
        os.mkfifo(pipe)
    put(
        "10-slow",
        f"grep -q run_finished && exec touch {tmp_path}/end\n"
        f"echo >{begun}; read line <{go_on}; touch {tmp_path}/done",
    )
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, folder]
        + ["--config", str(stage.config()), "run", "--apply"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        begun.read_text()
        os.killpg(process.pid, number)
        go_on.write_text("\n")
        _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert err.startswith("error: interrupted; 1 of 2 records were deleted")
    assert (tmp_path / "done").exists() and (tmp_path / "end").exists()


def test_the_deadline_ends_a_hook_that_hangs(
    stage: Stage, put: Any, folder: Path, tmp_path: Path
) -> None:
    stage.terminated("old")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    put("10-hangs", f"exec 3>{pipe}; sleep 1000")
    config = stage.config(deadline="4s")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder, "--config", config, "run", "--apply"],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 75
    assert done.stderr.splitlines()[-1].startswith("error: not finished within 4s")
    assert stage.left == {"witness"}
    os.set_blocking(reader, True)
    with os.fdopen(reader) as file:
        assert file.read() == ""


# The examples of the manual


DELETION = {
    "event": "host_deleted",
    "host": {"id": 47, "name": "web1.example.com"},
    "terminated_at": "2025-03-01T12:30:05Z",
}


def example(put: Any, name: str, path: str, other: object) -> Path:
    """An example as a hook, with another path in place of one that it names."""
    hook: Path = put(name)
    text = (EXAMPLES / name).read_text()
    assert path in text
    hook.write_text(text.replace(path, str(other)))
    return hook


@pytest.mark.parametrize("status", [200, 500])
def test_the_webhook_posts_each_event(put: Any, tmp_path: Path, status: int) -> None:
    config = tmp_path / "webhook.curl"
    usual = "/etc/satellite-osp-cleanup/webhook.curl"
    hook = example(put, "50-webhook", usual, config)
    with Server(lambda request: Answer(status, {})) as server:
        config.write_text(f'url = "{server.url}/hooks/x"\n')
        why = hooks_d.call_hook(hook, DELETION)
        (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/hooks/x")
    assert request.json() == DELETION
    assert ("500" in why) == (status == 500)


@pytest.mark.parametrize(
    "python", [sys.executable, pytest.param(PYTHON_36, marks=needs_python_36)]
)
@pytest.mark.parametrize(
    ("shown", "code", "calls", "why"),
    [
        ("krblastpwdchange: 20250301123004Z", 0, ["kinit", "show", "del"], ""),
        (
            "krblastpwdchange: 20250301123006Z",
            0,
            ["kinit", "show"],
            "exit code 1: web1.example.com is kept in IdM",
        ),
        ("", 0, ["kinit", "show"], "exit code 1: web1.example.com is kept in IdM"),
        ("", 2, ["kinit", "show"], ""),
    ],
)
def test_idm_forgets_a_host_that_did_not_enroll_again(
    put: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    python: str,
    shown: str,
    code: int,
    calls: list[str],
    why: str,
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    log = tmp_path / "calls"
    for tool in ("ipa", "kinit"):
        (tools / tool).write_text(
            f'#!/bin/sh\necho {tool} "$@" >>{log}\n'
            f'[ "$1" = host-show ] || exit 0\necho "  {shown}"\nexit {code}\n'
        )
        (tools / tool).chmod(0o755)
    monkeypatch.setattr(hooks_d, "PATH", f"{tools}:/usr/bin:/bin")
    hook = example(put, "10-idm", "/usr/bin/python3", python)
    assert hooks_d.call_hook(hook, DELETION).startswith(why)
    lines = {
        "kinit": "kinit -k -t /etc/satellite-osp-cleanup/idm.keytab osp-cleanup",
        "show": "ipa host-show --all web1.example.com",
        "del": "ipa host-del --updatedns web1.example.com",
    }
    assert log.read_text().splitlines() == [lines[call] for call in calls]


def test_idm_is_not_asked_about_other_events_and_without_proof(
    put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks_d, "PATH", "")
    hook = example(put, "10-idm", "/usr/bin/python3", sys.executable)
    assert hooks_d.call_hook(hook, {"event": "run_finished"}) == ""
    assert hooks_d.call_hook(hook, {**DELETION, "terminated_at": None}) == ""
    assert hooks_d.call_hook(hook, DELETION) != ""
