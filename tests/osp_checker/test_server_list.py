"""The list of a region's servers, read in parts: no server is left out, whatever happens."""

import random
import threading
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from sandbox.openstack import Account, Instance, OpenStack, project_id
from sandbox.server import Request, Server

from foreman_hooks.osp_checker import Manners
from foreman_hooks.osp_checker.region import Region
from foreman_hooks.osp_checker.server_list import list_uuids

LOW, HIGH = sorted(("ops", "shop"), key=project_id)
COUNT = 100


class Cloud:
    """A simulated OpenStack behind HTTP, with a hundred servers."""

    def __init__(self, server: Server, handlers: list[Any], config: Any) -> None:
        self.server = server
        self.double = OpenStack(
            regions=("RegionOne",),
            accounts=[Account("admin", "changeme", HIGH, ("admin",))],
        )
        self.before: Callable[[Request], None] = lambda request: None
        handlers[:] = [self.answer]
        self.random = random.Random(1)
        self.uuids = sorted(self.new() for _ in range(COUNT))
        config.write_text(
            "clouds: {prod: {region_name: RegionOne, auth: {"
            f"auth_url: '{server.url}/v3', username: admin, password: changeme, "
            f"project_name: {HIGH}, user_domain_id: default, project_domain_id: default}}}}}}"
        )

    def answer(self, request: Request) -> Any:
        self.before(request)
        return self.double.handle(request)

    def new(self, **more: Any) -> str:
        """Add a server with a random UUID."""
        uuid = "-".join(
            f"{self.random.randrange(16**n):0{n}x}" for n in (8, 4, 4, 4, 12)
        )
        self.double.add("RegionOne", Instance(uuid, **{"project": LOW, **more}))
        return uuid

    def read(self, known: Any = None, **manners: Any) -> set[str]:
        """Read the list; by default the workers know every second server."""
        known = self.uuids[::2] if known is None else known
        region = Region.open("prod", "RegionOne", manners=Manners(**manners))
        return list_uuids(region, known)

    def pages(self) -> list[str]:
        """The marker of each page that was read, "" without one."""
        pages = [r for r in self.server.requests if r.first("sort_key") == "uuid"]
        return [request.first("marker") for request in pages]


@pytest.fixture(scope="module")
def wire() -> Iterator[tuple[Server, list[Any]]]:
    handlers: list[Any] = []
    with Server(lambda request: handlers[0](request)) as server:
        yield server, handlers


@pytest.fixture
def cloud(wire: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    server, handlers = wire
    server.faults.clear()
    server.requests.clear()
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    return Cloud(server, handlers, tmp_path / "clouds.yaml")


@pytest.mark.parametrize("readers", [1, 2, 3, 4, 16])
@pytest.mark.parametrize("page_size", [1, 7, 50, 1000])
def test_every_server_is_listed_in_however_many_parts(
    cloud: Cloud, readers: int, page_size: int
) -> None:
    listed = cloud.read(readers=readers, page_size=page_size)
    assert listed == set(cloud.uuids)


def test_each_reader_begins_at_a_known_server_and_stops_where_the_next_began(
    cloud: Cloud,
) -> None:
    cloud.read(readers=4, page_size=5)
    pages = cloud.pages()
    known = cloud.uuids[::2]
    assert {"", known[12], known[25], known[37]} <= set(pages)
    assert len(pages) <= COUNT / 5 + 4 * 2  # each part begins and ends within a page
    assert len(set(pages)) == len(pages)


def test_readers_work_at_the_same_time(cloud: Cloud) -> None:
    known = cloud.uuids[::2]
    starts = {"", known[16], known[33]}
    meeting = threading.Barrier(3, timeout=10)

    def meet(request: Request) -> None:
        if request.first("sort_key") == "uuid" and request.first("marker") in starts:
            meeting.wait()

    cloud.before = meet
    assert cloud.read(known, readers=3) == set(cloud.uuids)
    assert not meeting.broken


@pytest.mark.parametrize("page_size", [3, 10, 1000])
@pytest.mark.parametrize("builds", [1, 30])
def test_build_requests_are_listed_and_end_no_part(
    cloud: Cloud, builds: int, page_size: int
) -> None:
    """They stand first, in no order; one taken for the end of a part lost 516 servers."""
    waiting = [cloud.new(status="BUILD", cell="") for _ in range(builds)]
    listed = cloud.read(readers=3, page_size=page_size)
    assert listed == {*cloud.uuids, *waiting}


def test_a_marker_that_was_purged_is_replaced_by_its_neighbour(cloud: Cloud) -> None:
    known = cloud.uuids[::2]
    cloud.double.archive("RegionOne", known[25])
    listed = cloud.read(known, readers=2, page_size=10)
    assert listed == set(cloud.uuids) - {known[25]}
    assert known[26] in cloud.pages()


def test_markers_that_nova_does_not_know_leave_no_gap(cloud: Cloud) -> None:
    unknown = [
        f"{number:08x}-0000-4000-8000-000000000000" for number in range(0, 90, 9)
    ]
    assert cloud.read(unknown, readers=4, page_size=10) == set(cloud.uuids)


def test_a_neighbour_that_lies_behind_the_next_start_leaves_no_gap(
    cloud: Cloud,
) -> None:
    """One that was purged at the start of the second part, and one that stays behind the third."""
    known = [cloud.uuids[number] for number in (10, 30, 31, 60)]
    cloud.double.archive("RegionOne", known[1])
    cloud.double.archive("RegionOne", known[2])
    listed = cloud.read(known, readers=4, page_size=7)
    assert listed == set(cloud.uuids) - {known[1], known[2]}


def test_a_marker_that_was_deleted_leaves_no_gap(cloud: Cloud) -> None:
    known = cloud.uuids[::2]
    cloud.double.terminate("RegionOne", known[25], 1.0)
    assert cloud.read(known, readers=2, page_size=10) == set(cloud.uuids) - {known[25]}


@pytest.mark.parametrize("seed", range(5))
def test_a_list_that_changes_while_it_is_read_has_every_server_that_stays(
    cloud: Cloud, seed: int
) -> None:
    chance = random.Random(seed)
    passing: set[str] = set()

    def change(request: Request) -> None:
        if request.first("sort_key") == "uuid":
            passing.add(cloud.new())
            doomed = chance.choice(sorted(passing))
            cloud.double.terminate("RegionOne", doomed, 1.0)
            passing.add(cloud.new(status="BUILD", cell=""))

    cloud.before = change
    listed = cloud.read(readers=3, page_size=4)
    assert set(cloud.uuids) <= listed <= {*cloud.uuids, *passing}
