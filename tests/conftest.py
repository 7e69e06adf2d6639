"""What tests get: a clean environment, loopback only, and fixtures with both doubles."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Optional

import hypothesis
import pytest
import requests
import yaml
from sandbox.openstack import Account, OpenStack
from sandbox.satellite import Host, Satellite, User
from sandbox.server import Answer, Server, unknown_requests
from sandbox.world import World, add_host, add_instance
from satellites import MINIMUM, guest

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.run import Cleanup
from foreman_hooks.commands.main import main
from foreman_hooks.hooks import hooks_d
from foreman_hooks.osp_checker import Checker, CloudScope, LocalChecker, Manners
from foreman_hooks.rules.model import Outcome, Policy
from foreman_hooks.rules.plan import Plan
from foreman_hooks.satellite.client import MANNERS, Login
from foreman_hooks.satellite.client import Satellite as Client
from foreman_hooks.satellite.inventory import Scope

DAY = timedelta(days=1)
# The words that start the program in a process of its own.
PROGRAM = [
    sys.executable,
    "-c",
    "from foreman_hooks.commands.main import entry_point; entry_point()",
]

# No deadline, because a busy machine is not a failure. The same examples in each run, so that a
# failure comes from the change at hand; for new examples: pytest --hypothesis-profile long
hypothesis.settings.register_profile(
    "quick", max_examples=25, deadline=None, derandomize=True
)
hypothesis.settings.register_profile("long", max_examples=1000, deadline=None)
hypothesis.settings.load_profile("quick")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the variables and files of the person who runs the tests."""
    for name in list(os.environ):
        if name.startswith(("OS_", "FOREMAN_", "REQUESTS_")) or name.lower().endswith(
            "_proxy"
        ):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setattr(hooks_d, "HOOKS_D", home / "hooks.d")


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that connects to another machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            assert address[0] in ("127.0.0.1", "::1", "localhost"), address
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def nothing_unknown_is_requested() -> Iterator[None]:
    """Fail a test that sends a request which the sandbox does not know, even if it was caught."""
    unknown_requests.clear()
    yield
    assert not unknown_requests, unknown_requests


class Stage:
    """Both doubles behind HTTP, with one living host in RegionOne, and the real client.

    The times of records and servers are relative to the real time.
    """

    def __init__(
        self, folder: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.satellite = Satellite(users=[User("admin", "changeme")])
        self.openstack = OpenStack(
            regions=("RegionOne", "RegionTwo"),
            accounts=[
                Account("admin", "changeme"),
                Account("reader", "changeme", project="shop", roles=("reader",)),
                Account("checker", "changeme", project="shop", roles=("host_checker",)),
            ],
        )
        self.world = World(self.satellite, self.openstack, {})
        self.foreman = stack.enter_context(Server(self.satellite.handle))
        self.osp = stack.enter_context(Server(self.openstack.handle))
        self.host("witness")
        self.now = datetime.now(timezone.utc)
        self.use_cloud()

    @property
    def now(self) -> datetime:
        """The time of the next run."""
        return self._now

    @now.setter
    def now(self, when: datetime) -> None:
        """Time passes, and the witness keeps checking in."""
        self._now = when
        checked_in = (when - timedelta(hours=1)).astimezone(timezone.utc)
        for host in self.satellite.hosts.values():
            if host.name.startswith("witness") and host.subscription:
                host.subscription["last_checkin"] = (
                    f"{checked_in:%Y-%m-%d %H:%M:%S} UTC"
                )
                return

    def host(
        self,
        name: str,
        *,
        server: Optional[str] = "ACTIVE",
        project: str = "bank",
        **more: Any,
    ) -> str:
        """Add a registered guest and its server with that status (None: no server).

        Returns its UUID.
        """
        uuid = add_host(self.world, name, "", **more)
        if server:
            add_instance(self.world, name, uuid, project=project, status=server)
        return uuid

    def terminated(
        self,
        name: str,
        ago: timedelta = 2 * DAY,
        checked_in: timedelta = 3 * DAY,
        **more: Any,
    ) -> str:
        """Add a guest whose server was deleted `ago`; returns its UUID."""
        uuid = add_host(
            self.world, name, "", checked_in=checked_in.total_seconds(), **more
        )
        add_instance(self.world, name, uuid, terminated=ago.total_seconds())
        return uuid

    def archived(self, name: str, checked_in: timedelta = 9 * DAY, **more: Any) -> str:
        """Add a guest that an earlier run saw alive and that left no trace in Nova; its UUID."""
        uuid = add_host(
            self.world, name, "", checked_in=checked_in.total_seconds(), **more
        )
        add_instance(self.world, name, uuid)
        with self.journal() as journal:
            self.cleanup(journal).observe()
        del self.openstack.instances["RegionOne"][uuid]
        return uuid

    def vanished(self, name: str, checked_in: timedelta = 9 * DAY, **more: Any) -> str:
        """Add a guest that left no trace in Nova and that no run ever saw alive; its UUID."""
        return add_host(
            self.world, name, "", checked_in=checked_in.total_seconds(), **more
        )

    def use_cloud(
        self, account: str = "admin", password: str = "changeme", **entry: Any
    ) -> Path:
        """Write a clouds.yaml with one cloud, `prod`, and use it; `entry`: more of its keys."""
        auth = {
            "auth_url": f"{self.osp.url}/v3",
            "username": account,
            "password": password,
            "project_name": "shop" if account in ("reader", "checker") else "admin",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        cloud = {"region_name": "RegionOne", "auth": auth, **entry}
        path = self.folder / "clouds.yaml"
        path.write_text(yaml.safe_dump({"clouds": {"prod": cloud}}))
        self.monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
        return path

    def cleanup(
        self,
        journal: Journal,
        policy: Optional[Policy] = None,
        *,
        regions: tuple[str, ...] = ("RegionOne",),
        login: Optional[Login] = None,
        search: str = "",
        checker: Optional[Checker] = None,
        manners: Manners = MANNERS,
        organization: Optional[int] = None,
    ) -> Cleanup:
        """The real client against both doubles; by default no cap is reached."""
        scope = CloudScope(
            "prod", regions, manners=manners, ignore_regions=self.ignored(regions)
        )
        return Cleanup(
            Client(login or Login(self.foreman.url, "admin", "changeme"), manners),
            checker or LocalChecker([scope]),
            journal,
            policy or Policy(max_fraction=1.0),
            Scope(search, organization),
            who="root",
            clock=lambda: self.now,
        )

    def ignored(self, regions: tuple[str, ...]) -> tuple[str, ...]:
        """The regions of the catalog that are ignored by name."""
        return tuple(sorted(set(self.openstack.instances) - set(regions)))

    def journal(self) -> Journal:
        """The journal that all runs of this test share."""
        return Journal.open(self.folder / "journal.sqlite3")

    def plan(self, policy: Optional[Policy] = None, **how: Any) -> Plan:
        """Run up to the plan."""
        with self.journal() as journal:
            return self.cleanup(journal, policy, **how).plan()

    def run(self, policy: Optional[Policy] = None, **how: Any) -> list[Outcome]:
        """Run with deletions."""
        with self.journal() as journal:
            cleanup = self.cleanup(journal, policy, **how)
            return list(cleanup.apply(cleanup.plan()))

    def reasons(self, policy: Optional[Policy] = None, **how: Any) -> dict[str, str]:
        """Short host name -> reason, by a run up to the plan."""
        verdicts = self.plan(policy, **how).verdicts
        return {verdict.name.split(".")[0]: verdict.reason.name for verdict in verdicts}

    @property
    def left(self) -> set[str]:
        """The short names of the host records that Satellite still has."""
        return {host.name.split(".")[0] for host in self.satellite.hosts.values()}

    def config(self, **sections: Any) -> Path:
        """Write a configuration file for both doubles; `sections` replace or add to it."""
        login = {"url": self.foreman.url, "username": "admin", "password": "changeme"}
        cloud = {
            "cloud": "prod",
            "regions": ["RegionOne"],
            "ignore_regions": ["RegionTwo"],
        }
        content = {
            "satellite": login,
            "clouds": [cloud],
            "journal": str(self.folder / "journal.sqlite3"),
            "policy": {"max_fraction": 1.0},
            **sections,
        }
        path = self.folder / "config.yml"
        path.write_text(yaml.safe_dump(content))
        return path


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(tmp_path, stack, monkeypatch)


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Any:
    """A function that runs a command line in this process: exit code, stdout, stderr."""

    def run(*argv: Any) -> tuple[int, str, str]:
        code = main([str(word) for word in argv])
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of the client in seconds, which do not really happen."""
    seconds: list[float] = []
    clock = SimpleNamespace(sleep=seconds.append)
    monkeypatch.setattr("foreman_hooks.osp_checker.pace.time", clock)
    return seconds


class Shared:
    """One server for a whole file, because stopping takes time; each test gives it a Satellite."""

    def __init__(self) -> None:
        self.satellite = Satellite()
        self.server = Server(lambda request: self.satellite.handle(request))
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def show(self, satellite: Satellite) -> tuple[str, requests.Session]:
        """Its address, and a session that keeps connections but no cookie."""
        self.satellite = satellite
        return self.server.url, self.http


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    shared = Shared()
    with shared.server, shared.http:
        yield shared


# The client and the inventory against a Satellite alone


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    """One for a whole file, because stopping takes time."""
    with Server(lambda request: Answer(503)) as server:
        yield server


@pytest.fixture
def double() -> Satellite:
    return Satellite(
        users=[
            User("admin", "changeme"),
            User("cleaner", "secret", permissions=MINIMUM, tokens={"a-token"}),
        ]
    )


@pytest.fixture
def server(
    shared_server: Server, double: Satellite, monkeypatch: pytest.MonkeyPatch
) -> Server:
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    shared_server.requests.clear()
    shared_server.faults.clear()
    shared_server.handle = double.handle
    return shared_server


@pytest.fixture
def connect(server: Server) -> Callable[..., Client]:
    """A function that makes a client for a login; `manners` replace some of MANNERS."""
    return lambda user="admin", password="changeme", **manners: Client(
        Login(server.url, user, password), MANNERS._replace(**manners)
    )


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    return connect()


@pytest.fixture
def cleaner(connect: Callable[..., Client]) -> Client:
    return connect("cleaner", "secret")


@pytest.fixture
def web1(double: Satellite) -> Host:
    return double.add(guest())
