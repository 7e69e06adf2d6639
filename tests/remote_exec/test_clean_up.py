"""The job "OSP - Clean up terminated hosts" runs the command, and fails if the run failed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest
from conftest import Stage
from oldest_python import PYTHON_36, needs_python_36
from sandbox.satellite import Host
from sandbox.targets import Process

from foreman_hooks.errors import is_failure
from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.client import Satellite as Client
from satellite_remote_exec.build import build
from satellite_remote_exec.publish import publish
from satellite_remote_exec.scripts import clean_up


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a command with this Python text into a folder that is alone on PATH."""

    def put(text: str) -> Path:
        command = tmp_path / "bin" / clean_up.COMMAND
        command.parent.mkdir(exist_ok=True)
        command.write_text(f"#!{sys.executable}\n{text}")
        command.chmod(0o755)
        monkeypatch.setenv("PATH", str(command.parent))
        return command

    return put


@pytest.mark.parametrize(
    ("inputs", "argv"),
    [
        (("plan",), ["plan"]),
        (("apply",), ["run", "--apply"]),
        (("plan", "", None, "", None), ["plan"]),
        (
            ("apply", "name ~ web", "Default Organization", "5", "csv"),
            [
                "run",
                "--apply",
                "--search=name ~ web",
                "--organization=Default Organization",
                "--max-deletions=5",
                "--output=csv",
            ],
        ),
        (("plan", "--apply", "-x"), ["plan", "--search=--apply", "--organization=-x"]),
    ],
)
def test_inputs_become_arguments_and_blank_ones_are_left_out(
    install: Any, capfd: Any, inputs: Any, argv: list[str]
) -> None:
    install("import sys; print(sys.argv[1:])")
    assert clean_up.main(*inputs) == 0
    assert capfd.readouterr().out == f"{argv}\n"


@pytest.mark.parametrize(
    ("code", "expected"),
    [(0, 0), (1, 1), (3, 3), (69, 69), (70, 70), (75, 0), (129, 129)],
)
def test_the_job_fails_if_the_run_failed(
    install: Any, code: int, expected: int
) -> None:
    """75: another run is in progress, and the next one does the work."""
    install(f"raise SystemExit({code})")
    assert clean_up.main("apply") == expected
    assert bool(expected) == is_failure(code)


def test_characters_outside_of_ascii_are_escaped(install: Any, capfd: Any) -> None:
    """One such character can end a job."""
    install(
        "import sys; sys.stdout.buffer.write('pröd € \\U0001f600\\n'.encode() + b'\\xff\\n')"
    )
    assert clean_up.main("plan") == 0
    assert capfd.readouterr().out == "pr\\xf6d \\u20ac \\U0001f600\n\\ufffd\n"


def test_a_run_without_output_prints_nothing_to_do(install: Any, capfd: Any) -> None:
    install("")
    assert clean_up.main("apply") == 0
    assert capfd.readouterr().out == "nothing to do\n"


@pytest.mark.parametrize(
    ("inputs", "code", "message"),
    [
        (("delete",), 64, "the mode must be one of plan, apply"),
        (("",), 64, "the mode must be one of"),
        (("plan", "a\0b"), 64, "has a NUL"),
        (("plan", None, "x" * 200_000), 64, "too long"),
    ],
)
def test_invalid_inputs_start_nothing(
    install: Any, capfd: Any, inputs: Any, code: int, message: str
) -> None:
    install("print('started')")
    assert clean_up.main(*inputs) == code
    out = capfd.readouterr().out
    assert message in out and out.startswith("error: ") and out.count("\n") == 1


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is alone on PATH and in the list; the login shell is bash."""
    folder = tmp_path / "nowhere"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(clean_up, "FOLDERS", (str(folder),))
    root = SimpleNamespace(pw_shell=shutil.which("bash", path="/bin"))
    monkeypatch.setattr(clean_up, "pwd", SimpleNamespace(getpwuid=lambda uid: root))
    return folder


@pytest.mark.parametrize(
    "profile", ["", "exit 0", "while :; do :; done", "echo /no/such/file"]
)
def test_a_host_without_the_command_says_where_it_looked(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any, profile: str
) -> None:
    (Path.home() / ".bash_profile").write_text(f"PATH={nowhere}:/bin\n{profile}\n")
    monkeypatch.setattr(clean_up, "LOGIN_SECONDS", 0.5)
    assert clean_up.main("plan") == 69
    assert capfd.readouterr().out == (
        "error: satellite-osp-cleanup is not installed on this host: it is not in "
        f"{nowhere}, nor on the PATH of this job or of a login of its user\n"
    )


def test_the_command_is_found_where_the_rpm_and_the_manual_put_it() -> None:
    assert clean_up.FOLDERS == (
        "/usr/bin",
        "/opt/satellite-osp-cleanup/bin",
        "/usr/local/bin",
    )


def test_the_command_is_found_in_a_folder_that_is_not_on_path(
    install: Any, nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder may exist without the command, as that of the RPM's libraries does."""
    command = install("print('it ran')")
    monkeypatch.setenv("PATH", str(nowhere))
    folders = (str(nowhere), f"{tmp_path}/missing", str(command.parent))
    monkeypatch.setattr(clean_up, "FOLDERS", folders)
    assert clean_up.main("plan") == 0


def test_the_command_is_found_on_the_path_of_a_login_whatever_the_profile_prints(
    install: Any, nowhere: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    command = install("print('it ran')")
    monkeypatch.setenv("PATH", str(nowhere))
    profile = f"echo Welcome\nPATH=$PATH:{command.parent}\n"
    (Path.home() / ".bash_profile").write_text(profile)
    assert clean_up.main("plan") == 0
    assert capfd.readouterr().out == "it ran\n"


def test_a_command_without_its_python_is_an_error_in_one_line(
    install: Any, capfd: Any
) -> None:
    """The virtual environment is broken, for example after an upgrade of RHEL."""
    command = install("")
    command.write_text("#!/no/such/python\n")
    assert clean_up.main("plan") == 69
    assert capfd.readouterr().out == (
        f"error: {command} cannot be started: No such file or directory\n"
    )


def test_a_cancelled_job_lets_the_command_end_in_order(
    install: Any, tmp_path: Path
) -> None:
    """The command gets the signal, and what it prints afterwards still appears."""
    command = install(
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('in order', flush=True) or exit(130))\n"
        "print('begun', flush=True)\nwhile True: time.sleep(9)"
    )
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from satellite_remote_exec.scripts import clean_up\n"
            "raise SystemExit(clean_up.main('apply'))",
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": str(command.parent)},
    ) as process:
        assert process.stdout and process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "in order\n"
    assert process.returncode == 130


@needs_python_36
def test_the_oldest_python_runs_the_script_of_the_template(
    install: Any, tmp_path: Path
) -> None:
    """The python3 of the host may be older than the one that runs the command."""
    command = install("import sys; print(sys.argv[1:])")
    (template,) = [job for job in build() if job.file_name == "clean_up.erb"]
    _, header_end, script = template.text.partition("%>\n")
    assert header_end
    inputs = iter(['"plan"', '"name ~ web"', "null", '"5"', '"csv"'])
    script = re.sub("<%=.*?%>", lambda _: next(inputs), script).replace("<%%", "<%")
    file = tmp_path / "script.py"
    file.write_text(script)
    done = subprocess.run(
        [PYTHON_36, "-I", "-B", file],
        env={"PATH": str(command.parent)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    expected = ["plan", "--search=name ~ web", "--max-deletions=5", "--output=csv"]
    assert done.stdout == f"{expected}\n"


def job_runner(stage: Stage, command: Path) -> Callable[[str], str]:
    """Publish the templates; returns a function that runs the job and gives its output."""
    client = Client(Login(stage.foreman.url, "admin", "changeme"))
    list(publish(client, build()))
    host = stage.satellite.add(Host("satellite.example.com"))
    jobs = stage.satellite.jobs
    home = stage.folder / "satellite"
    home.mkdir()
    environment = {
        "PATH": f"{command.parent}:{Path(sys.executable).parent}:/usr/bin:/bin",
        "OS_CLIENT_CONFIG_FILE": str(stage.use_cloud()),
    }
    jobs.targets[host.id] = Process(home, environment)
    (template_id,) = [
        key
        for key, template in jobs.templates.by_id.items()
        if template.name == "OSP - Clean up terminated hosts"
    ]

    def run(mode: str) -> str:
        invocation = {
            "job_template_id": template_id,
            "targeting_type": "static_query",
            "search_query": f"id = {host.id}",
            "inputs": {"mode": mode, "output": "table"},
        }
        body = {"job_invocation": invocation}
        job = client.call("POST", "/api/job_invocations", json=body)
        assert jobs.settle()
        path = f"/api/job_invocations/{job['id']}/hosts/{host.id}"
        while not client.get(path)["complete"]:
            pass
        return "".join(chunk["output"] for chunk in client.get(path)["output"])

    return run


def test_the_job_cleans_up(stage: Stage, install: Any) -> None:
    """The published template runs on a host where the command is installed and configured."""
    stage.terminated("old")
    command = install(
        f"import sys\nsys.path[:0] = {sys.path!r}\nfrom foreman_hooks.commands.main import main\n"
        f"sys.exit(main(['--config', {str(stage.config())!r}, *sys.argv[1:]]))\n"
    )
    run = job_runner(stage, command)
    planned = run("plan")
    assert "old.example.com" in planned and "1 to delete" in planned
    assert planned.endswith("Exit status: 0")
    assert stage.left == {"old", "witness", "satellite"}
    assert "1 of 1 records deleted" in run("apply")
    assert stage.left == {"witness", "satellite"}
    again = run("apply")
    assert "2 host records (all hosts): 0 to delete" in again
    assert again.endswith("Exit status: 0")
