"""What a run costs both servers, in requests: counted by the sandbox, whatever the clock says."""

import math
from datetime import timedelta
from typing import Any

import pytest
from sandbox.satellite import User
from sandbox.world import add_host, add_instance, guest_facts, named_uuid

from foreman_hooks.osp_checker import Manners
from foreman_hooks.rules.model import Decision, Policy, Reason
from foreman_hooks.satellite.client import Login

PAGE = 10  # windows and pages of ten, so that few hosts fill several
FREE = Policy(max_fraction=1.0, max_deletions=1000)


def bound(hosts: int, servers: int, leftovers: int = 0) -> int:
    return 3 * math.ceil(hosts / PAGE) + math.ceil(servers / PAGE) + 4 * leftovers + 20


def cost(stage: Any, readers: int = 2) -> tuple[int, Any]:
    """How many requests a plan sends to both servers, and the plan."""
    stage.foreman.requests.clear()
    stage.osp.requests.clear()
    manners = Manners(workers=3, page_size=PAGE, readers=readers)
    plan = stage.plan(FREE, manners=manners)
    return len(stage.foreman.requests) + len(stage.osp.requests), plan


def living(stage: Any, count: int) -> None:
    for number in range(count):
        stage.host(f"app-{number}")


VMWARE = ("VMware, Inc.", "VMware7,1", "true")


def foreign(stage: Any, numbers: range, kind: tuple[str, str, str] = VMWARE) -> None:
    vendor, product, guest = kind
    for number in numbers:
        stage.host(
            f"foreign-{number}",
            server=None,
            facts=guest_facts(
                named_uuid(f"foreign-{number}"),
                vendor=vendor,
                product=product,
                guest=guest,
            ),
        )


@pytest.mark.parametrize("count", [1, 9, 30, 95])
def test_living_instances_cost_the_pages_of_both_lists_and_no_extra_request(
    stage: Any, count: int
) -> None:
    living(stage, count)
    requests, plan = cost(stage)
    # the stage has one that lives already
    assert plan.verdicts.sums == {Reason.ALIVE: count + 1}
    # Two a window are enough.
    assert requests <= bound(count + 1, count + 1) - math.ceil((count + 1) / PAGE)


@pytest.mark.parametrize("kind", [VMWARE, ("Dell Inc.", "PowerEdge R640", "false")])
def test_machines_of_another_maker_cost_no_extra_request(
    stage: Any, kind: tuple[str, str, str]
) -> None:
    living(stage, 5)
    foreign(stage, range(10), kind)
    few, _ = cost(stage)
    foreign(stage, range(10, 40), kind)
    many, plan = cost(stage)
    assert plan.verdicts.sums[Reason.NOT_OPENSTACK] == 40
    assert many <= bound(46, 6)
    assert many - few <= 3 * 3  # three windows more


@pytest.mark.parametrize(
    ("count", "dead", "others"), [(40, 1, 0), (40, 20, 20), (10, 60, 5)]
)
def test_a_terminated_instance_costs_at_most_four_requests(
    stage: Any, count: int, dead: int, others: int
) -> None:
    living(stage, count)
    foreign(stage, range(others))
    for number in range(dead):
        stage.terminated(f"old-{number}")
    requests, plan = cost(stage)
    assert len(plan.deletions) == dead
    assert requests <= bound(count + dead + others + 1, count + 1, dead)


@pytest.mark.parametrize("readers", [1, 2, 4])
@pytest.mark.parametrize(("alive", "dead"), [(20, 1), (20, 60), (100, 20)])
def test_a_plan_costs_nova_the_pages_of_the_servers_and_of_the_deleted_rows(
    stage: Any, alive: int, dead: int, readers: int
) -> None:
    living(stage, alive)
    for number in range(dead):
        stage.terminated(f"old-{number}")
    _, plan = cost(stage, readers=readers)
    assert len(plan.deletions) == dead
    pages = math.ceil((alive + 1) / PAGE) + math.ceil(dead / PAGE)
    assert len(stage.osp.requests) <= pages + 10


def test_an_instance_without_a_trace_costs_six_requests(
    stage: Any,
) -> None:
    """Each way to ask has a hole that another one fills, and both byte orders are asked for.

    For all of them together: the rows that were deleted lately, who shares their UUIDs, of which
    kind the living are, and whether check-ins arrive.
    """
    living(stage, 20)
    without, _ = cost(stage)
    for number in range(8):
        stage.archived(f"old-{number}")
    requests, plan = cost(stage)
    assert plan.counts[Decision.WAIT] == 8
    assert requests - without <= 6 * 8 + 6 + 4


def test_a_run_in_which_nothing_is_missing_reads_no_record(stage: Any) -> None:
    living(stage, 25)
    foreign(stage, range(5))
    cost(stage)
    assert stage.foreman.count(r"GET /api/hosts/\d") == 0
    assert stage.foreman.count("include") == 0
    assert stage.foreman.count("params") == 0


def test_records_of_missing_instances_come_in_pages(stage: Any) -> None:
    for number in range(30):
        stage.terminated(f"old-{number}")
    cost(stage)
    assert stage.foreman.count("include") == 1
    assert stage.foreman.count(r"GET /api/hosts/\d") == 0


def records_read(stage: Any) -> set[int]:
    """The ids of the hosts whose whole records the last plan read."""
    ids: set[int] = set()
    for request in stage.foreman.requests:
        searches_ids = request.first("search").startswith("id ^")
        if searches_ids and request.first("include[]") == "all_parameters":
            _, _, values = request.first("search").partition("id ^ ")
            ids.update(map(int, values.strip("()").split(",")))
    return ids


def ids_of(stage: Any, prefix: str) -> set[int]:
    hosts = stage.satellite.hosts.values()
    return {host.id for host in hosts if host.name.startswith(prefix)}


def archived(stage: Any, count: int) -> None:
    """Instances that an earlier run saw alive, and that left no trace in Nova."""
    uuids = []
    for number in range(count):
        uuids.append(add_host(stage.world, f"gone-{number}", "", checked_in=9 * 86400))
        add_instance(stage.world, f"gone-{number}", uuids[-1])
    stage.plan(FREE)
    for uuid in uuids:
        del stage.openstack.instances["RegionOne"][uuid]


def test_no_record_of_an_absent_instance_is_read_before_the_grace_period_is_over(
    stage: Any,
) -> None:
    archived(stage, 40)
    for _ in range(3):
        _, plan = cost(stage)
        assert sum(verdict.reason.name == "GRACE" for verdict in plan.verdicts) == 40
        assert records_read(stage) == set()
        stage.now += timedelta(hours=24)
    _, plan = cost(stage)  # the run that counts the last miss
    assert sum(verdict.reason.name == "MISSING" for verdict in plan.verdicts) == 40
    assert records_read(stage) == ids_of(stage, "gone-")
    assert stage.foreman.count("include") == 1


def test_the_record_of_a_terminated_instance_is_read_after_one_check_in_interval(
    stage: Any,
) -> None:
    for number in range(20):
        stage.terminated(f"young-{number}", ago=timedelta(hours=number % 4 + 0.2))
        stage.terminated(f"old-{number}", ago=timedelta(hours=5 + number))
    _, plan = cost(stage)
    assert sum(verdict.reason.name == "QUIET" for verdict in plan.verdicts) == 20
    assert records_read(stage) == ids_of(stage, "old-")
    stage.now += timedelta(hours=5)
    _, plan = cost(stage)
    assert len(plan.deletions) == 40
    assert records_read(stage) == ids_of(stage, "old-") | ids_of(stage, "young-")


def test_no_record_of_an_instance_of_another_cloud_is_ever_read(stage: Any) -> None:
    for number in range(30):
        stage.vanished(f"elsewhere-{number}")
    for _ in range(5):
        _, plan = cost(stage)
        assert sum(item.reason.name == "NEVER_SEEN" for item in plan.verdicts) == 30
        assert records_read(stage) == set()
        stage.now += timedelta(hours=48)


def test_no_record_is_read_for_a_login_that_may_not_read_host_parameters(
    stage: Any,
) -> None:
    stage.terminated("old")
    permissions = frozenset({"view_hosts", "view_facts", "destroy_hosts"})
    stage.satellite.users["limited"] = User("limited", "changeme", permissions)
    login = Login(stage.foreman.url, "limited", "changeme")
    assert stage.reasons(login=login)["old"] == "HIDDEN_PARAMETERS"
    assert records_read(stage) == set()


def test_the_records_of_twins_are_read_only_with_that_of_their_host(stage: Any) -> None:
    for name, hours in (("young", 1), ("old", 30)):
        uuid = stage.terminated(name, ago=timedelta(hours=hours))
        stage.host(f"{name}-twin", server=None, facts=guest_facts(uuid))
    cost(stage)
    named = [
        request.first("search")
        for request in stage.foreman.requests
        if request.first("search").startswith("name ^")
        and request.first("include[]") == "all_parameters"
    ]
    assert len(named) == 1
    assert "old-twin" in named[0] and "young" not in named[0]


def test_only_virt_uuid_is_read_of_a_living_host(stage: Any) -> None:
    """A row of facts costs Satellite 0.15 ms: nine each of 100,000 hosts took two minutes."""
    living(stage, 25)
    cost(stage)
    searches = [
        request.first("search")
        for request in stage.foreman.requests
        if request.path == "/api/fact_values"
    ]
    assert searches
    assert all(
        search.startswith("fact ^ (virt::uuid) and host_id > ") for search in searches
    )
