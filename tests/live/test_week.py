"""A week of the installed schedule: the lines that cron runs, the real logrotate, and our clock.

Six hours pass between two quick runs, and a day between two full ones.  Python programs get the
clock from their start-up file, logrotate from libfaketime.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.live

BIN = Path(sys.executable).parent
LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
START = datetime.datetime(2026, 11, 2, 0, 30)
STEP = datetime.timedelta(hours=6)
BETWEEN = datetime.timedelta(minutes=5)
LIVING = 12

# Python runs this first (sitecustomize): a clock that starts at START_AT (seconds since 1970).
CLOCK = """
import datetime, os, time
ahead = float(os.environ["START_AT"]) - time.time()
now = time.time
time.time = lambda: now() + ahead
class Moved(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)
datetime.datetime = Moved
"""

SERVERS = """
import json, sys, time

true, clock = (time.time, time.gmtime), [0.0]
time.time = lambda: clock[0] or true[0]()
time.gmtime = lambda seconds=None: true[1](time.time() if seconds is None else seconds)

from sandbox.instances import Instance
from sandbox.openstack import OpenStack
from sandbox.satellite import Host, Satellite
from sandbox.server import Server
from sandbox.world import guest_facts, named_uuid, registration

openstack, satellite = OpenStack(), Satellite()
silent = set()

def add_host(name):
    facts = guest_facts(named_uuid(name))
    satellite.add(Host(name + ".example.com", facts=facts, subscription=registration(0)))
    then = time.time() - 1e6
    openstack.add("RegionOne", Instance(named_uuid(name), name, "shop", created=then, updated=then))

def terminate(name):
    silent.add(name)
    openstack.terminate("RegionOne", named_uuid(name), time.time())

def vanish(name):
    silent.add(name)
    del openstack.instances["RegionOne"][named_uuid(name)]

def tick(now):
    clock[0] = now
    for host in satellite.hosts.values():
        if host.name.split(".")[0] not in silent:
            host.subscription = registration(0)
    return sorted(host.name.split(".")[0] for host in satellite.hosts.values())

with Server(openstack.handle) as osp, Server(satellite.handle) as foreman:
    print(json.dumps([osp.url, foreman.url]), flush=True)
    for line in sys.stdin:
        print(json.dumps(eval(line)), flush=True)
"""


class Site:
    """A machine below `root` with the installed schedule, its cron, its clock and both servers."""

    def __init__(self, root: Path) -> None:
        self.root, self.now = root, START
        (root / "clock").mkdir()
        (root / "clock" / "sitecustomize.py").write_text(CLOCK)
        self.servers = subprocess.Popen(
            [sys.executable, "-c", SERVERS],
            stdin=subprocess.PIPE,
            text=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
        assert self.servers.stdout
        osp, foreman = json.loads(self.servers.stdout.readline())
        (root / "clouds.yaml").write_text(
            json.dumps(
                {
                    "clouds": {
                        "prod": {
                            "region_name": "RegionOne",
                            "auth": {
                                "auth_url": f"{osp}/v3",
                                "username": "admin",
                                "password": "changeme",
                                "project_name": "admin",
                                "user_domain_name": "Default",
                                "project_domain_name": "Default",
                            },
                        }
                    }
                }
            )
        )
        self.config = root / "config.yml"
        self.config.write_text(
            f"satellite: {{url: '{foreman}', username: admin, password: changeme}}\n"
            "clouds: [{cloud: prod}]\n"
            f"journal: {root}/var/lib/satellite-osp-cleanup/journal.sqlite3\n"
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a program sees our clock and our clouds."""
        return {
            "START_AT": str(self.seconds),
            "PYTHONPATH": str(self.root / "clock"),
            "TZ": "UTC",
            "HOME": str(self.root / "root"),
            "OS_CLIENT_CONFIG_FILE": str(self.root / "clouds.yaml"),
        }

    @property
    def seconds(self) -> float:
        return self.now.replace(tzinfo=datetime.timezone.utc).timestamp()

    def tick(self) -> set[str]:
        """Tell the servers the time, and let living hosts check in; returns the remaining names."""
        return set(self.tell(f"tick({self.seconds})"))

    def tell(self, call: str) -> Any:
        """Call one of the functions in SERVERS."""
        assert self.servers.stdin and self.servers.stdout
        self.servers.stdin.write(f"{call}\n")
        self.servers.stdin.flush()
        return json.loads(self.servers.stdout.readline())

    def command(self, *argv: str, **how: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "satellite-osp-cleanup"), "--config", str(self.config), *argv],
            text=True,
            capture_output=True,
            env={"PATH": os.environ["PATH"], **self.environment},
            **how,
        )

    def install(self) -> tuple[str, str]:
        """Install the schedule; returns the commands of its lines, with all paths below `root`."""
        ran = self.command(
            "schedule", "install", "--cron", "--apply", "--root", str(self.root)
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        table = (self.root / "etc/cron.d/satellite-osp-cleanup").read_text()
        table = table.replace("\\%", "%").replace(
            "/var/log/foreman", f"{self.root}/var/log/foreman"
        )
        full, quick = re.findall(r"^\d\S* \S+ \* \* \* root (.*)$", table, re.MULTILINE)
        assert "--recent" in quick and "--recent" not in full
        return full, quick

    def cron(self, line: str, after: datetime.timedelta) -> str:
        """Run the line as cron does; returns what cron would mail: everything that it prints."""
        self.now += after
        self.tick()
        ran = subprocess.run(
            ["/bin/sh", "-c", line],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.root,
            env={
                "PATH": "/usr/bin:/bin",
                "SHELL": "/bin/sh",
                "LOGNAME": "root",
                **self.environment,
            },
        )
        return ran.stdout

    def logrotate(self) -> None:
        """Run logrotate as its daily timer does."""
        rules = self.root / "logrotate.conf"
        text = (self.root / "etc/logrotate.d/satellite-osp-cleanup").read_text()
        rules.write_text(
            text.replace("/var/log/foreman", f"{self.root}/var/log/foreman")
        )
        subprocess.run(
            [
                shutil.which("logrotate") or "/usr/sbin/logrotate",
                "-s",
                str(self.root / "state"),
                str(rules),
            ],
            check=True,
            env={
                "PATH": "/usr/bin:/bin",
                "TZ": "UTC",
                "LD_PRELOAD": str(LIBRARY),
                "FAKETIME": f"@{self.now:%Y-%m-%d %H:%M:%S}",
            },
        )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    if LIBRARY is None or not (
        shutil.which("logrotate") or Path("/usr/sbin/logrotate").exists()
    ):
        pytest.skip("needs faketime and logrotate (apt-get install faketime logrotate)")
    (tmp_path / "root").mkdir()
    running = Site(tmp_path)
    yield running
    assert running.servers.stdin and running.servers.stdout
    running.servers.stdin.close()
    running.servers.wait(10)
    running.servers.stdout.close()


def test_a_week_of_cron(site: Site) -> None:
    site.tick()
    for name in [
        *(f"app-{number}" for number in range(LIVING)),
        "doomed",
        "archived",
        "flicker",
    ]:
        site.tell(f"add_host({name!r})")
    metrics = site.root / "osp.prom"
    full, quick = (f"{line} --metrics {metrics}" for line in site.install())
    mails: dict[int, str] = {}
    went: dict[str, int] = {}
    before = {"doomed", "archived", "flicker"}
    for number in range(1, 29):
        if number == 5:
            site.tell("terminate('doomed')")
        if number == 9:
            site.tell("vanish('archived')")
            site.tell("vanish('flicker')")
        if number == 15:  # a sign of life: its count starts again
            event = site.command(
                "event",
                "host_facts_updated.event.foreman",
                input=json.dumps({"id": 99, "name": "flicker.example.com"}),
            )
            assert (event.returncode, event.stderr) == (0, "")
        mail = site.cron(quick, STEP)
        if number % 4 == 0:
            mail += site.cron(full, BETWEEN)
        if mail:
            mails[number] = mail
        left = site.tick()
        for name in before - left:
            went[name] = number
        before &= left
        if number % 4 == 0:
            site.logrotate()
    # With proof: in the quick run that sees the termination.  Without: missing since the full run
    # of step 12, and 72 hours are 12 steps.  The event came before the full run of step 16.
    assert went == {"doomed": 5, "archived": 24, "flicker": 28}
    # Nothing else is news: not that records wait, and not that they still do.
    assert set(mails) == set(went.values())
    for name, number in went.items():
        assert mails[number].startswith(f"deleted          {name}.example.com: ")
    assert "waits            flicker.example.com: absent" in mails[went["archived"]]
    assert mails[5].count("\n") == mails[went["flicker"]].count("\n") == 1
    listed = json.loads(site.command("history", "list", "--output", "json").stdout)
    assert [(row["host"], row["result"]) for row in listed] == [
        (f"{name}.example.com", "deleted") for name in ("doomed", "archived", "flicker")
    ]
    assert [row["run"] for row in listed] == ["quick", "full", "full"]
    assert [row["at"][:10] for row in listed][:2] == ["2026-11-03", "2026-11-08"]
    for kind, ago in (("full", 0), ("quick", BETWEEN.total_seconds())):
        good = re.search(
            rf'^satellite_osp_cleanup_last_good_run\w*{{run="{kind}"}} ([\d.e+]+)$',
            metrics.read_text(),
            re.MULTILINE,
        )
        assert good and abs(site.seconds - ago - float(good[1])) < 60
    logs = sorted(path.name for path in (site.root / "var/log/foreman").iterdir())
    assert "cron-osp-cleanup.log" in logs and len(logs) > 1
