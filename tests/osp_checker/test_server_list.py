"""The list of a region's servers, read in parts: no server is left out, whatever happens."""

import random
import threading
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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
        self.handlers = handlers
        handlers[:] = [self.answer]
        config.write_text(
            "clouds: {prod: {region_name: RegionOne, auth: {"
            f"auth_url: '{server.url}/v3', username: admin, password: changeme, "
            f"project_name: {HIGH}, user_domain_id: default, project_domain_id: default}}}}}}"
        )
        self.start_over()

    def start_over(self, count: int = COUNT) -> None:
        """Throw all servers away and make new ones."""
        self.server.requests.clear()
        self.before: Callable[[Request], None] = lambda request: None
        self.random = random.Random(1)
        self.double = OpenStack(
            regions=("RegionOne",),
            accounts=[Account("admin", "changeme", HIGH, ("admin",))],
        )
        self.uuids = sorted(self.new(created=number) for number in range(count))

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

    def read(self, **manners: Any) -> set[str]:
        """Read the list."""
        region = Region.open("prod", "RegionOne", manners=Manners(**manners))
        return list_uuids(region)

    def pages(self) -> list[Request]:
        """The requests for a page of the list."""
        return [r for r in self.server.requests if is_page(r)]


def is_page(request: Request) -> bool:
    return request.path.endswith("/servers")


def in_order(request: Request) -> bool:
    return request.first("sort_key") == "uuid"


@pytest.fixture(scope="module")
def wire() -> Iterator[tuple[Server, list[Any]]]:
    handlers: list[Any] = []
    with Server(lambda request: handlers[0](request)) as server:
        yield server, handlers


@pytest.fixture
def cloud(wire: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    server, handlers = wire
    server.faults.clear()
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    return Cloud(server, handlers, tmp_path / "clouds.yaml")


@pytest.mark.parametrize("readers", [1, 2, 3, 4, 16])
@pytest.mark.parametrize("page_size", [1, 7, 50, 1000])
def test_every_server_is_listed_in_however_many_parts(
    cloud: Cloud, readers: int, page_size: int
) -> None:
    listed = cloud.read(readers=readers, page_size=page_size)
    assert listed == set(cloud.uuids)
    # The first page, and for each part a page that holds its end and an empty one.
    assert len(cloud.pages()) <= COUNT / page_size + 1 + 2 * readers


def test_the_readers_share_the_list_evenly(cloud: Cloud) -> None:
    cloud.start_over(1000)
    cloud.read(readers=4, page_size=50)
    ups = [page for page in cloud.pages() if page.first("sort_dir") == "asc"]
    downs = [page for page in cloud.pages() if page.first("sort_dir") == "desc"]
    assert 5 <= len(downs) <= 8  # a quarter of the list is five pages
    assert 15 <= len(ups) <= 3 * 8
    assert len(cloud.pages()) <= 1000 / 50 + 1 + 2 * 4


def test_a_list_of_one_page_is_read_by_one_reader(cloud: Cloud) -> None:
    cloud.read(readers=4, page_size=COUNT + 1)
    assert [page.first("sort_key") for page in cloud.pages()] == ["", ""]


def test_readers_work_at_the_same_time(cloud: Cloud) -> None:
    meeting = threading.Barrier(3, timeout=10)
    waiting = iter(range(3))

    def meet(request: Request) -> None:
        if in_order(request) and next(waiting, None) is not None:
            meeting.wait()

    cloud.before = meet
    assert cloud.read(readers=3, page_size=10) == set(cloud.uuids)
    assert not meeting.broken


@pytest.mark.parametrize("page_size", [3, 10, 31, 1000])
@pytest.mark.parametrize("builds", [1, 30])
def test_build_requests_are_listed_and_end_no_part(
    cloud: Cloud, builds: int, page_size: int
) -> None:
    """They stand first, in no order; one taken for the end of a part lost 516 servers."""
    waiting = [cloud.new(status="BUILD", cell="") for _ in range(builds)]
    listed = cloud.read(readers=3, page_size=page_size)
    assert listed == {*cloud.uuids, *waiting}


def test_a_server_that_was_a_build_request_on_the_first_page_leaves_no_gap(
    cloud: Cloud,
) -> None:
    """Its UUID is where a part would begin, and by then it is where the part before would end."""
    waiting = cloud.new(status="BUILD", cell="")
    boot = Instance(waiting, project=LOW, created=0.0)

    def start(request: Request) -> None:
        if in_order(request):
            cloud.double.add("RegionOne", boot)

    cloud.before = start
    assert cloud.read(readers=16, page_size=20) == {*cloud.uuids, waiting}


def newest(cloud: Cloud, number: int) -> list[str]:
    """The UUIDs of the first page, in order."""
    rows = cloud.double.instances["RegionOne"].values()
    by_age = sorted(rows, key=lambda row: -row.created)
    return sorted(row.uuid for row in by_age[:number])


@pytest.mark.parametrize("how", ["archive", "unmap", "terminate"])
def test_a_server_that_is_no_marker_any_more_is_replaced_by_its_neighbour(
    cloud: Cloud, how: str
) -> None:
    first_page = newest(cloud, 20)
    start = next(uuid for uuid in first_page if uuid > "8")

    def remove(request: Request) -> None:
        if not in_order(request) or start not in cloud.double.instances["RegionOne"]:
            return
        if how == "archive":
            cloud.double.archive("RegionOne", start)
        elif how == "unmap":
            cloud.double.instances["RegionOne"][start].mapped = False
        else:
            cloud.double.terminate("RegionOne", start, 1.0)

    cloud.before = remove
    assert cloud.read(readers=2, page_size=20) == set(cloud.uuids)
    markers = {page.first("marker") for page in cloud.pages() if in_order(page)}
    place = first_page.index(start)
    neighbours = {first_page[place - 1], first_page[place + 1]}
    assert (neighbours <= markers) is (how != "terminate")


def test_if_a_part_cannot_begin_one_reader_reads_everything(cloud: Cloud) -> None:
    cloud.server.fail(r"sort_dir=desc", 400, {"badRequest": {"message": "marker"}})
    assert cloud.read(readers=4, page_size=20) == set(cloud.uuids)


class Change:
    """Changes the list before each request for a page of it.

    `stay`: servers that were in the list all the time.  `ever`: all that were in it.
    """

    def __init__(self, cloud: Cloud, page_size: int, chance: random.Random) -> None:
        self.double = cloud.double
        self.new = cloud.new
        self.chance = chance
        self.page_size = page_size
        self.stay = set(cloud.uuids)
        self.builds = [self._new_build() for _ in range(chance.randrange(page_size))]
        self.stay |= set(self.builds)
        self.ever = set(self.stay)
        self.purges = page_size - 1  # never a whole page
        self.lock = threading.Lock()
        self.is_over = False
        cloud.before = self

    def end(self) -> None:
        """Change nothing any more, even if a request of this list comes late."""
        with self.lock:
            self.is_over = True

    def __call__(self, request: Request) -> None:
        changes = [self.create, self.start, self.delete, self.purge, self.request]
        with self.lock:
            count = self.chance.randrange(4)
            if is_page(request) and not self.is_over:
                for change in self.chance.choices(changes, k=count):
                    change()

    def create(self) -> None:
        self.ever.add(self.new())

    def request(self) -> None:
        if len(self.builds) < self.page_size - 1:
            self.builds.append(self._new_build())
            self.ever.add(self.builds[-1])

    def start(self) -> None:
        """A build request becomes a server; it has been in the list before."""
        if self.builds:
            uuid = self.builds.pop(self.chance.randrange(len(self.builds)))
            self.double.add("RegionOne", Instance(uuid, project=LOW))

    def delete(self) -> None:
        uuid = self._any()
        self.double.terminate("RegionOne", uuid, 1.0)

    def purge(self) -> None:
        if self.purges:
            self.purges -= 1
            self.double.archive("RegionOne", self._any())

    def _new_build(self) -> str:
        return self.new(status="BUILD", cell="")

    def _any(self) -> str:
        """A server, or one that is deleted already, which is not sure to be listed any more."""
        rows = self.double.instances["RegionOne"]
        uuid = self.chance.choice(sorted(rows.keys() - set(self.builds)))
        self.stay.discard(uuid)
        return uuid


@given(
    seed=st.integers(),
    page_size=st.sampled_from([2, 3, 7, 20, 60]),
    readers=st.integers(1, 6),
    count=st.sampled_from([10, 60, 100]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_list_that_changes_while_it_is_read_has_every_server_that_stays(
    cloud: Cloud, seed: int, page_size: int, readers: int, count: int
) -> None:
    cloud.start_over(count)
    change = Change(cloud, page_size, random.Random(seed))
    listed = cloud.read(readers=readers, page_size=page_size)
    change.end()
    assert change.stay <= listed <= change.ever
    # Nothing is read twice but at the seams: here each page may bring a row that is new.
    assert len(cloud.pages()) <= 2 * len(change.ever) / page_size + 4 * readers + 4
