"""The servers of a cloud in three lists: those deleted since, those that do not run, those without
a record.
"""

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sandbox.openstack import Account, Instance, OpenStack, project_id
from sandbox.server import Server as Wire

from foreman_hooks.osp_checker import (
    CloudScope,
    LocalChecker,
    Manners,
    OSPError,
    OSPForbidden,
    OSPLoginError,
    Servers,
    swap_bytes,
)
from foreman_hooks.osp_checker.servers import NOT_RUNNING

LOW, HIGH = sorted(("ops", "shop"), key=project_id)
ONE, TWO = "RegionOne", "RegionTwo"
NOW = datetime.now(timezone.utc).replace(microsecond=0)
HOUR = timedelta(hours=1)
BUSY = ("REBOOT", "MIGRATING", "PASSWORD", "VERIFY_RESIZE")
SMALL_PAGES = Manners(page_size=3)


def uuid_of(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


CANARY = uuid_of(0xC)


class Cloud:
    """A simulated OpenStack of two regions behind HTTP, with an active server in each."""

    def __init__(self, wire: Wire, handlers: list[Any], config: Any) -> None:
        self.wire, self.config = wire, config
        self.double = OpenStack(
            regions=(ONE, TWO),
            accounts=[
                Account("admin", "changeme", HIGH, ("admin",)),
                Account("lister", "changeme", HIGH, ("lister",)),
                Account("owner", "changeme", LOW),
            ],
        )
        lists = ("index", "detail")
        rights = {*lists, *(f"{right}:get_all_tenants" for right in lists)}
        self.double.policy["lister"] = {*rights, "show", "allow_all_filters"}
        handlers[:] = [self.double.handle]
        self.add(CANARY)
        self.add(CANARY, TWO)

    def add(self, uuid: str, region: str = ONE, **more: Any) -> str:
        self.double.add(region, Instance(uuid, **{"project": LOW, **more}))
        return uuid

    def terminate(self, uuid: str, when: datetime, region: str = ONE) -> str:
        self.add(uuid, region)
        self.double.terminate(region, uuid, when.timestamp())
        return uuid

    def checker(self, user: str = "admin", manners: Manners = SMALL_PAGES) -> Any:
        auth = {
            "auth_url": f"{self.wire.url}/v3",
            "username": user,
            "password": "changeme",
            "project_name": HIGH,
            "user_domain_id": "default",
            "project_domain_id": "default",
        }
        self.config.write_text(json.dumps({"clouds": {"prod": {"auth": auth}}}))
        return LocalChecker([CloudScope("prod", (ONE, TWO), manners=manners)])


@pytest.fixture(scope="module")
def wire() -> Iterator[tuple[Wire, list[Any]]]:
    handlers: list[Any] = []
    with Wire(lambda request: handlers[0](request)) as server:
        yield server, handlers


@pytest.fixture
def cloud(wire: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    server, handlers = wire
    server.faults.clear()
    server.requests.clear()
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    return Cloud(server, handlers, tmp_path / "clouds.yaml")


def uuids(answer: Servers) -> list[str]:
    assert [region.error for region in answer.regions] == [None, None]
    return sorted(server.uuid for server in answer.servers)


def failures(answer: Servers) -> dict[str, type]:
    errors = {region.region: region.error for region in answer.regions}
    return {name: type(error) for name, error in errors.items() if error}


def ask(checker: Any, mode: str) -> Servers:
    """The servers of that list."""
    arguments = {"deleted": [NOW - HOUR], "inactive": [], "unmanaged": [[CANARY]]}
    answer: Servers = getattr(checker, mode)(*arguments[mode])
    return answer


# Deleted


def test_the_deleted_rows_of_all_pages_and_regions_are_listed(cloud: Cloud) -> None:
    gone = [cloud.terminate(uuid_of(number), NOW) for number in range(20, 30)]
    gone += [cloud.terminate(uuid_of(40), NOW, TWO)]
    answer = cloud.checker().deleted(NOW - HOUR)
    assert uuids(answer) == gone
    assert answer.servers[-1].region == TWO  # in the order of the regions
    pages = cloud.wire.count("RegionOne.*servers/detail.*deleted=True")
    assert pages == 5  # of three rows, the last one empty


def test_a_deleted_server_is_described_with_its_time(cloud: Cloud) -> None:
    gone = cloud.terminate(uuid_of(20), NOW - HOUR)
    (server,) = cloud.checker().deleted(NOW - 2 * HOUR).servers
    assert (server.uuid, server.place) == (gone, ("prod", ONE))
    assert (server.status, server.terminated_at) == ("DELETED", NOW - HOUR)
    assert server.project == project_id(LOW)


def test_half_a_character_in_a_name_becomes_a_question_mark(cloud: Cloud) -> None:
    """No file and no journal could hold it."""
    cloud.add(uuid_of(20), name="a\ud800b")
    cloud.double.terminate(ONE, uuid_of(20), NOW.timestamp())
    (server,) = cloud.checker().deleted(NOW - HOUR).servers
    assert server.name == "a?b"


def test_what_was_deleted_before_that_time_is_not_listed(cloud: Cloud) -> None:
    cloud.terminate(uuid_of(20), NOW - 2 * HOUR)
    new = cloud.terminate(uuid_of(21), NOW)
    elsewhere = timezone(timedelta(hours=5))
    since = (NOW - HOUR).astimezone(elsewhere)  # Nova gets it in UTC
    assert uuids(cloud.checker().deleted(since)) == [new]


def test_a_soft_deleted_server_may_come_back_and_is_not_listed(cloud: Cloud) -> None:
    cloud.add(uuid_of(20), status="SOFT_DELETED")
    gone = cloud.terminate(uuid_of(21), NOW)
    assert uuids(cloud.checker().deleted(NOW - HOUR)) == [gone]


def test_a_role_for_which_nova_drops_the_filter_is_an_error(cloud: Cloud) -> None:
    """It would get living servers."""
    cloud.terminate(uuid_of(20), NOW)
    assert uuids(cloud.checker("lister").deleted(NOW - HOUR)) == [uuid_of(20)]
    cloud.double.policy["lister"].remove("allow_all_filters")
    answer = cloud.checker("lister").deleted(NOW - HOUR)
    assert failures(answer) == {ONE: OSPForbidden, TWO: OSPForbidden}
    assert answer.servers == ()


# Inactive


@pytest.mark.parametrize("user", ["admin", "lister"])
def test_only_servers_that_do_not_run_are_listed_as_inactive(
    cloud: Cloud, user: str
) -> None:
    off = [
        cloud.add(uuid_of(number), status=status)
        for number, status in enumerate(NOT_RUNNING, start=20)
    ]
    for number, status in enumerate(BUSY, start=40):
        cloud.add(uuid_of(number), status=status)
    cloud.add(uuid_of(60), status="SOFT_DELETED")
    cloud.terminate(uuid_of(61), NOW)
    answer = cloud.checker(user).inactive()
    assert uuids(answer) == off
    assert {server.status for server in answer.servers} == set(NOT_RUNNING)


# Unmanaged


def test_servers_that_no_uuid_names_are_unmanaged_and_the_regions_say_of_how_many(
    cloud: Cloud,
) -> None:
    forgotten = cloud.add(uuid_of(20), TWO, name="web", status="SHUTOFF")
    cloud.add(uuid_of(21))
    cloud.add(uuid_of(22), TWO)
    cloud.terminate(uuid_of(23), NOW)
    known = [CANARY, uuid_of(21), swap_bytes(uuid_of(22))]
    answer = cloud.checker().unmanaged(known)
    assert uuids(answer) == [forgotten]
    (server,) = answer.servers
    assert (server.name, server.status, server.region) == ("web", "SHUTOFF", TWO)
    assert server.project_name == LOW
    assert {region.region: region.servers for region in answer.regions} == {
        ONE: 2,
        TWO: 3,
    }


def test_without_any_known_uuid_all_servers_are_unmanaged(cloud: Cloud) -> None:
    assert uuids(cloud.checker().unmanaged([])) == [CANARY, CANARY]


# What all of them have in common


@pytest.mark.parametrize("mode", ["deleted", "inactive", "unmanaged"])
def test_a_region_that_fails_has_its_error_and_no_servers(
    cloud: Cloud, mode: str
) -> None:
    """Even if it fails after the first page."""
    for number in range(20, 30):
        cloud.add(uuid_of(number), TWO, status="SHUTOFF")
        cloud.terminate(uuid_of(number + 20), NOW, TWO)
    cloud.wire.fail("RegionTwo.*marker=", 500)
    answer = ask(cloud.checker(), mode)
    assert failures(answer) == {TWO: OSPError}
    assert {server.region for server in answer.servers} <= {ONE}
    assert {region.servers for region in answer.regions if region.error} == {None}


@pytest.mark.parametrize("mode", ["deleted", "inactive", "unmanaged"])
def test_a_region_without_a_living_server_proves_nothing(
    cloud: Cloud, mode: str
) -> None:
    cloud.double.archive(TWO, CANARY)
    assert failures(ask(cloud.checker(), mode)) == {TWO: OSPError}


@pytest.mark.parametrize("mode", ["deleted", "inactive", "unmanaged"])
def test_a_login_that_is_refused_is_the_error_of_its_regions(
    cloud: Cloud, mode: str
) -> None:
    answer = ask(cloud.checker("nobody"), mode)
    assert failures(answer) == {ONE: OSPLoginError, TWO: OSPLoginError}
    assert answer.servers == ()


@pytest.mark.parametrize("mode", ["deleted", "inactive", "unmanaged"])
def test_a_region_that_failed_before_is_not_asked_again(
    cloud: Cloud, mode: str
) -> None:
    checker = cloud.checker()
    cloud.wire.fail("RegionTwo.*servers", 500)
    checker.prepare()
    cloud.wire.faults.clear()
    cloud.wire.requests.clear()
    assert failures(ask(checker, mode)) == {TWO: OSPError}
    assert cloud.wire.count("RegionTwo") == 0


def test_a_list_reports_its_progress(cloud: Cloud) -> None:
    for number in range(20, 25):
        cloud.add(uuid_of(number), created=time.time() - number)
    reports: list[int] = []
    cloud.checker().unmanaged([], lambda done, total: reports.append(done))
    assert max(reports) == 7  # five and a canary in one region, and one in the other
