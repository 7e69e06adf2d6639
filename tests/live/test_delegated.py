"""Two teams without shared credentials: the check as a job, from Satellite to a real Nova."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from sandbox.satellite import Host, Satellite, User
from sandbox.server import Server
from sandbox.targets import Process

from foreman_hooks.osp_checker import Checker, CloudScope, LocalChecker, Servers
from foreman_hooks.satellite.check_job import CheckJob, JobChecker
from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.client import Satellite as Client
from foreman_hooks.satellite.jobs import RemoteExecution
from satellite_remote_exec.build import build
from satellite_remote_exec.publish import publish

from .cloud import Cloud
from .conftest import registered

pytestmark = pytest.mark.live

PASSWORD = "of-satellite-alone"  # noqa: S105  never on the job's side
SECRET = "live-admin"  # noqa: S105  never on the Satellite's side
CHECKER = (
    "{job_template: OSP - Check instances, search: name = osp-checker.example.com}"
)
PROGRAM = [
    sys.executable,
    "-c",
    "from foreman_hooks.commands.main import entry_point; entry_point()",
]
BIN = str(Path(sys.executable).parent)


class Teams:
    """A Satellite with a record for each instance, a checker host, and a home for each side."""

    def __init__(
        self, cloud: Cloud, folder: Path, satellite: Satellite, server: Server
    ) -> None:
        self.cloud, self.folder, self.satellite, self.server = (
            cloud,
            folder,
            satellite,
            server,
        )
        registered(satellite, cloud)
        self.ours, self.theirs = folder / "satellite", folder / "checker"
        self.ours.mkdir()
        (self.theirs / ".config" / "openstack").mkdir(parents=True)
        self.clouds_yaml = cloud.clouds_yaml(
            self.theirs / ".config" / "openstack" / "clouds.yaml"
        )
        host = satellite.add(Host("osp-checker.example.com"))
        satellite.jobs.targets[host.id] = Process(
            self.theirs,
            {"PATH": f"{BIN}:/usr/bin:/bin"},
            banner=b"Authorized use only. ",
        )
        list(publish(Client(Login(server.url, "cleaner", PASSWORD)), build()))

    def config(
        self,
        checker: str = CHECKER,
        cloud: str = "admin",
        policy: str = "{max_fraction: 1.0, quiet: 0s}",
    ) -> Path:
        path = self.ours / "config.yml"
        path.write_text(
            f"satellite: {{url: '{self.server.url}', username: cleaner, password: {PASSWORD}}}\n"
            f"clouds: [{{cloud: {cloud}, regions: [RegionOne, RegionTwo]}}]\nchecker: {checker}\n"
            f"journal: {self.ours}/journal.sqlite3\npolicy: {policy}\n"
        )
        return path

    def command(self, *argv: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*PROGRAM, "--config", str(self.config()), *argv],
            text=True,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": BIN, "HOME": str(self.ours), **environment},
        )

    @property
    def left(self) -> set[str]:
        return {host.name for host in self.satellite.hosts.values()}


@pytest.fixture
def teams(cloud: Cloud, tmp_path: Path) -> Iterator[Teams]:
    satellite = Satellite(users=[User("cleaner", PASSWORD)])
    with Server(satellite.handle) as server:
        yield Teams(cloud, tmp_path, satellite, server)
        satellite.jobs.close()


def memory_holds(pid: int, *needles: str) -> set[str]:
    """Those of the texts that are in the writable memory of a process, environment included."""
    needles_in_memory: set[str] = set()
    with contextlib.suppress(OSError), Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            area = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if area:
                begin, end = (int(text, 16) for text in area.groups())
                with contextlib.suppress(OSError, ValueError):
                    memory.seek(begin)
                    content = memory.read(end - begin)
                    needles_in_memory |= {
                        needle for needle in needles if needle.encode() in content
                    }
    return needles_in_memory


def job_processes() -> list[int]:
    """The ids of our children that run a job's script."""
    ids = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (
                b"foreman-ssh-cmd-" in (folder / "cmdline").read_bytes()
                and f"PPid:\t{os.getpid()}\n" in (folder / "status").read_text()
            ):
                ids.append(int(folder.name))
    return ids


def test_a_delegated_run_removes_the_same_hosts_and_neither_side_has_the_others_secret(
    teams: Teams, cloud: Cloud, tmp_path: Path
) -> None:
    ours: set[str] = set()
    theirs: set[str] = set()
    with teams.command("run", "--apply") as process:
        while process.poll() is None:
            ours |= memory_holds(process.pid, PASSWORD, SECRET)
            for pid in job_processes():
                theirs |= memory_holds(pid, PASSWORD, SECRET)
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    # Each side's own secret is in memory, so the other's would have been noticed.
    assert (ours, theirs) == ({PASSWORD}, {SECRET})
    files = {
        path
        for path in teams.ours.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    }
    files |= {
        path
        for path in teams.theirs.rglob("*")
        if path.is_file() and PASSWORD.encode() in path.read_bytes()
    }
    assert not files
    assert SECRET not in out

    local = Satellite(users=[User("cleaner", PASSWORD)])
    with Server(local.handle) as server:
        folder = tmp_path / "local"
        folder.mkdir()
        other = Teams(cloud, folder, local, server)
        before = other.left
        subprocess.run(
            [
                *PROGRAM,
                "--config",
                str(other.config(checker="local")),
                "run",
                "--apply",
            ],
            check=True,
            env={
                "PATH": BIN,
                "HOME": str(other.ours),
                "OS_CLIENT_CONFIG_FILE": str(other.clouds_yaml),
            },
        )
        assert teams.left == other.left
        assert before - other.left == {
            f"{label.replace('/', '-')}.example.com"
            for label in cloud.instances
            if "/deleted" in label
        }


def test_with_a_cell_down_nothing_goes(teams: Teams, cloud: Cloud) -> None:
    cloud.cell2("down")
    before = teams.left
    with teams.command("run", "--apply") as process:
        _, err = process.communicate()
    assert process.returncode != 0 and "500" in err
    assert teams.left == before


def test_the_job_lists_what_this_machine_would_list(
    teams: Teams, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted servers, those that do not run, and those without a record."""
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(teams.clouds_yaml))
    scopes = [CloudScope("admin", ("RegionOne", "RegionTwo"))]
    jobs = RemoteExecution(Client(Login(teams.server.url, "cleaner", PASSWORD)))
    job = CheckJob("OSP - Check instances", "name = osp-checker.example.com")
    known = [cloud.instances["cell1/active"], cloud.instances["r2/active"]]
    long_ago = datetime(2000, 1, 1, tzinfo=timezone.utc)

    def lists(checker: Checker) -> list[Servers]:
        return [
            checker.deleted(long_ago),
            checker.inactive(),
            checker.unmanaged(known),
        ]

    delegated = lists(JobChecker(jobs, job, scopes))
    for answer, expected in zip(delegated, lists(LocalChecker(scopes))):
        assert answer.regions == expected.regions
        assert [region.error for region in answer.regions] == [None, None]
        assert {server.uuid for server in answer.servers} == {
            server.uuid for server in expected.servers
        }
        assert answer.servers


def test_unmanaged_lists_servers_without_a_login_of_the_cloud(
    teams: Teams, cloud: Cloud
) -> None:
    uuid = cloud.instances["cell2/stopped"]
    (record,) = [
        host
        for host in teams.satellite.hosts.values()
        if host.name == "cell2-stopped.example.com"
    ]
    del teams.satellite.hosts[record.id]
    with teams.command("unmanaged", "--output", "json") as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert [server["uuid"] for server in json.loads(out)] == [uuid]


@pytest.mark.parametrize("name", ["wrong-password", "reader", "app-cred-deleted"])
def test_a_login_of_the_checker_host_that_cannot_see_deletes_nothing(
    teams: Teams, cloud: Cloud, name: str
) -> None:
    before = teams.left
    config = teams.config(cloud=name)
    ran = subprocess.run(
        [*PROGRAM, "--config", str(config), "run", "--apply"],
        capture_output=True,
        text=True,
        env={"PATH": BIN, "HOME": str(teams.ours)},
    )
    assert ran.returncode in (69, 77, 129) and ran.stderr.startswith("error: ")
    assert teams.left == before
