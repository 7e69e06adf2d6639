"""What a run costs both servers, in requests: counted by the sandbox, whatever the clock says."""

import math
from typing import Any

import pytest
from sandbox.world import guest_facts, named_uuid

from foreman_hooks.osp_checker import Manners
from foreman_hooks.rules.model import Decision, Policy

PAGE = 10  # windows and pages of ten, so that few hosts fill several
FREE = Policy(max_fraction=1.0, max_deletions=1000)


def bound(hosts: int, servers: int, leftovers: int = 0) -> int:
    return 3 * math.ceil(hosts / PAGE) + math.ceil(servers / PAGE) + 4 * leftovers + 20


def cost(stage: Any) -> tuple[int, Any]:
    """How many requests a plan sends to both servers, and the plan."""
    stage.foreman.requests.clear()
    stage.osp.requests.clear()
    plan = stage.plan(FREE, manners=Manners(workers=3, page_size=PAGE))
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
    assert {verdict.reason.name for verdict in plan.verdicts} == {"ALIVE"}
    assert len(plan.verdicts) == count + 1  # the stage has one that lives already
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
    assert (
        sum(verdict.reason.name == "NOT_OPENSTACK" for verdict in plan.verdicts) == 40
    )
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


@pytest.mark.parametrize("dead", [1, 60])
def test_terminated_instances_cost_nova_the_pages_of_their_rows(
    stage: Any, dead: int
) -> None:
    living(stage, 20)
    for number in range(dead):
        stage.terminated(f"old-{number}")
    _, plan = cost(stage)
    assert len(plan.deletions) == dead
    pages = math.ceil(21 / PAGE) + math.ceil(dead / PAGE)
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
    assert sum(verdict.decision is Decision.WAIT for verdict in plan.verdicts) == 8
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
