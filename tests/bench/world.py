"""Both servers in a separate process, with as many hosts as a benchmark needs.

    python tests/bench/world.py HOSTS FOLDER

A third of the hosts are VMware guests, all others instances; there are as many servers as hosts.
UUIDs are random, as Nova's are.  FOLDER gets configurations for these servers.  The commands are
lines on standard input, each answered with one line of JSON:

    spent              what both servers did since the last `spent`
    keep               write down for replay.py what was asked until the last `spent`
    terminate N HOURS  terminate N more instances, as of so many hours ago
    slow SECONDS       from now on take so long for each page of a list of servers
"""

import gc
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from typing import Any, Callable, Optional
from urllib.parse import urlencode

import yaml
from sandbox.instances import Instance, Order, Search
from sandbox.openstack import Account, OpenStack
from sandbox.satellite import Host, Satellite
from sandbox.server import Answer, Request, Server
from sandbox.world import guest_facts, registration

DAY = 86400.0
LOGIN = {"username": "admin", "password": "changeme"}
REGION = "RegionOne"
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# A search for the facts that have one of some values.
BY_VALUE = re.compile(rf"\((value [=~] {UUID}( or )?)+\)", re.IGNORECASE)


def is_foreign(number: int) -> bool:
    """Whether the host of that number is a VMware guest."""
    return number % 3 == 2


def uuid_of(number: int, foreign: bool = False) -> str:
    """The UUID of an instance, or of a VMware guest: it looks random."""
    digits = md5(f"{number} {foreign}".encode()).hexdigest()
    return "-".join(
        (
            digits[:8],
            digits[8:12],
            f"4{digits[13:16]}",
            f"8{digits[17:20]}",
            digits[20:],
        )
    )


def instances(count: int) -> Iterator[int]:
    """The numbers of the hosts in the order in which they are terminated."""
    for first in range(50):
        for number in range(first, count, 50):
            if not is_foreign(number):
                yield number


class Nova(OpenStack):
    """An OpenStack that finds deleted rows by an index, as a database does.

    `seconds_a_page`: how long a page of a list takes, however short, unless it is empty; one with
    all details takes five times that for every thousand servers (a real Nova: 1 s and 5 s).
    """

    seconds_a_page = 0.0

    def __init__(self) -> None:
        super().__init__(
            regions=(REGION,), accounts=[Account(LOGIN["username"], LOGIN["password"])]
        )
        self._gone: list[Instance] = []

    def handle(self, request: Request) -> Answer:
        """Answer, after the time that it takes; requests wait side by side."""
        answer = super().handle(request)
        if self.seconds_a_page and answer.status == 200:
            time.sleep(self.seconds_a_page * _pages(request, answer))
        return answer

    def terminate(self, region: str, uuid: str, when: float) -> None:
        """Make the row a tombstone; no list here is sorted by what changes."""
        row = self.instances[region][uuid]
        row.terminated = row.updated = when
        self._gone.append(row)

    def _rows(self, search: Search, order: Order, start: int) -> Iterator[Instance]:
        if not search.deleted or search.uuid:
            return super()._rows(search, order, start)
        places = sorted(order.position[row.uuid] for row in self._gone)
        rows = (order.rows[place] for place in places if place >= start)
        return filter(search.finds, rows)


def _pages(request: Request, answer: Answer) -> float:
    """How many times the time of a page of names that request takes."""
    if not request.path.endswith(("/servers", "/servers/detail")):
        return 0.0
    servers = len(answer.body["servers"])
    if request.path.endswith("/detail"):
        return 5 * servers / 1000
    return 1.0 if servers else 0.0


class Foreman(Satellite):
    """A Satellite that finds facts by their value by an index.  `records`: how many it showed."""

    def __init__(self) -> None:
        super().__init__()
        self.records = 0
        self._by_value: dict[str, int] = {}
        self._wanted: Optional[set[int]] = None

    def add(self, host: Host) -> Host:
        """Add a host, and index its UUID."""
        super().add(host)
        for facts in host.facts.values():
            self._by_value[str(facts["virt::uuid"])] = host.id
        return host

    def handle(self, request: Request) -> Answer:
        """Answer one request, and count the whole records."""
        with self.lock:
            self._wanted = self._ids_in(request.first("search"))
            answer = super().handle(request)
            self.records += _whole_records(request, answer)
            return answer

    def _ids_in(self, search: str) -> Optional[set[int]]:
        """The hosts that a search by value or time can find; None for another search."""
        if search.startswith("last_checkin > "):
            return set()  # all hosts are silent for days
        if not BY_VALUE.search(search):
            return None
        uuids = re.findall(UUID, search.lower())
        return {self._by_value[uuid] for uuid in uuids if uuid in self._by_value}

    def hosts_in_window(self, terms: Any) -> list[Host]:
        """The hosts of a window; of a search by value, only those that can match."""
        if self._wanted is None:
            return super().hosts_in_window(terms)
        return [self.hosts[number] for number in sorted(self._wanted)]


def _whole_records(request: Request, answer: Answer) -> int:
    if answer.status != 200 or request.method != "GET":
        return 0
    if re.fullmatch(r"/api/hosts/\d+", request.path):
        return 1
    # A list of one is about the newest host, whose id is asked for.
    is_short = "thin" in request.query or request.first("per_page") == "1"
    if request.path == "/api/hosts" and not is_short:
        return len(answer.body["results"])
    return 0


def _serve(count: int, folder: Path) -> None:
    openstack, satellite = _build(count)
    doomed = instances(count)
    with Server(openstack.handle) as osp, Server(satellite.handle) as foreman:
        _write(folder, osp.url, foreman.url)
        cpu_before = time.process_time()
        sides = {"satellite": foreman, "openstack": osp}
        asked: dict[str, Any] = {}

        def spent() -> dict[str, float]:
            nonlocal cpu_before
            for side, server in sides.items():
                asked[side] = [_path(request) for request in server.requests]
                asked["token"] = _token(server.requests) or asked.get("token")
            cpu = time.process_time()
            figures = {
                "nova": osp.count("/compute/"),
                "requests": len(osp.requests) + len(foreman.requests),
                "records": satellite.records,
                "cpu": cpu - cpu_before,
            }
            osp.requests.clear()
            foreman.requests.clear()
            satellite.records, cpu_before = 0, cpu
            return figures

        def terminate(number: str, hours: str) -> int:
            when = time.time() - 3600 * float(hours)
            for _ in range(int(number)):
                openstack.terminate(REGION, uuid_of(next(doomed)), when)
            return int(number)

        def slow(seconds: str) -> float:
            openstack.seconds_a_page = float(seconds)
            return openstack.seconds_a_page

        def keep() -> None:
            """Write down what was asked before the last `spent`, for replay.py."""
            (folder / "requests.json").write_text(json.dumps(asked))

        commands: dict[str, Callable[..., Any]] = {
            "keep": keep,
            "spent": spent,
            "terminate": terminate,
            "slow": slow,
        }
        print("ready", flush=True)
        for line in sys.stdin:
            command, *words = line.split()
            print(json.dumps(commands[command](*words)), flush=True)


def _path(request: Request) -> str:
    """What a GET asks for; the log-in, the only other request, becomes one."""
    if request.method != "GET":
        return "/v3"
    return f"{request.path}?{urlencode(request.query, doseq=True)}"


def _token(asked: list[Request]) -> Optional[str]:
    """The token that Nova was asked with."""
    tokens = [request.headers.get("X-Auth-Token") for request in asked]
    return next(filter(None, reversed(tokens)), None)


def _build(count: int) -> tuple[Nova, Foreman]:
    """Both servers with their contents; a million hosts take half a minute."""
    openstack, satellite = Nova(), Foreman()
    now = time.time()
    vmware = {"vendor": "VMware, Inc.", "product": "VMware7,1"}
    registered = registration(9 * DAY)
    gc.disable()
    for number in range(count):
        foreign = is_foreign(number)
        host = Host(
            f"host{number}.example.com",
            facts=guest_facts(uuid_of(number, foreign), **(vmware if foreign else {})),
            subscription={**registered, "uuid": uuid_of(-1 - number)},
        )
        satellite.add(host)
        server = Instance(
            uuid_of(number),
            "app",
            project=f"project-{number % 50}",
            created=now - 99 * DAY + number,
            updated=now - 9 * DAY,
        )
        openstack.add(REGION, server)
    gc.freeze()  # otherwise the collector looks at all of this again and again
    gc.enable()
    return openstack, satellite


def _write(folder: Path, osp: str, foreman: str) -> None:
    login = {
        "auth_url": f"{osp}/v3",
        **LOGIN,
        "project_name": "admin",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }
    prod = {"region_name": REGION, "auth": login}
    (folder / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {"prod": prod}}))
    policy = {"max_fraction": 1.0, "max_deletions": 10_000_000}
    cloud = {"cloud": "prod"}
    _write_config(folder, "config", foreman, cloud, policy)
    _write_config(folder, "four", foreman, {**cloud, "workers": 4}, policy)
    _write_config(folder, "recent", foreman, cloud, {**policy, "quiet": "0s"})
    _write_config(folder, "waiting", foreman, cloud, {**policy, "quiet": "9d"})
    (folder / "urls.json").write_text(
        json.dumps({"openstack": osp, "satellite": foreman})
    )


def _write_config(
    folder: Path, name: str, foreman: str, cloud: dict[str, Any], policy: dict[str, Any]
) -> None:
    config = {
        "satellite": {"url": foreman, **LOGIN},
        "clouds": [cloud],
        "journal": str(folder / "journal" / "journal.sqlite3"),
        "policy": policy,
    }
    (folder / f"{name}.yml").write_text(yaml.safe_dump(config))


class World:
    """The process with the servers, and a way to send it commands."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, *words: object) -> Any:
        """Send a command, and return the answer."""
        assert self._process.stdin and self._process.stdout
        print(*words, file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


@contextmanager
def running(count: int, folder: Path) -> Iterator[World]:
    """Run the process with that many hosts until the block ends."""
    with subprocess.Popen(
        [sys.executable, __file__, str(count), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the servers did not start")
        yield World(process)
        process.stdin.close()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), Path(sys.argv[2]))
