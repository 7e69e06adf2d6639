"""Of each host: whether its machine runs, is off or is gone; and what that costs both servers."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from conftest import DAY, Stage
from sandbox.instances import Instance
from sandbox.satellite import Satellite, User
from sandbox.world import guest_facts, named_uuid

from foreman_hooks.cleanup import states as module
from foreman_hooks.cleanup.progress import silent as no_progress
from foreman_hooks.cleanup.states import HostState, StateReader, States
from foreman_hooks.osp_checker import CloudScope, LocalChecker, Manners, swap_bytes
from foreman_hooks.rules.model import Policy
from foreman_hooks.rules.states import State
from foreman_hooks.satellite.client import MANNERS, Login
from foreman_hooks.satellite.client import Satellite as Client
from foreman_hooks.satellite.inventory import Scope

LONG = 9 * DAY.total_seconds()
PAGE = 10


def read(
    stage: Stage,
    *wanted: State,
    policy: Policy | None = None,
    search: str = "",
    regions: tuple[str, ...] = ("RegionOne",),
    manners: Manners = MANNERS,
) -> States:
    policy = policy or Policy()
    client = Client(Login(stage.foreman.url, "admin", "changeme"), manners)
    reader = StateReader(
        satellite=client,
        checker=LocalChecker([CloudScope("prod", regions, manners=manners)]),
        policy=policy,
        scope=Scope(search),
        progress=no_progress,
        now=stage.now,
    )
    return reader.read(wanted)


def by_name(states: States) -> dict[str, HostState]:
    return {host.name.split(".")[0]: host for host in states.hosts}


def states_of(stage: Stage, **how: Any) -> dict[str, str]:
    """Short host name -> state."""
    hosts = by_name(read(stage, **how))
    return {name: host.machine.state.value for name, host in hosts.items()}


# What Nova says


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("ACTIVE", "running"),
        ("REBOOT", "running"),
        ("MIGRATING", "running"),
        ("VERIFY_RESIZE", "running"),
        ("SHUTOFF", "off"),
        ("PAUSED", "paused"),
        ("SUSPENDED", "suspended"),
        ("SHELVED", "shelved"),
        ("SHELVED_OFFLOADED", "shelved"),
        ("ERROR", "error"),
        ("RESCUE", "rescued"),
        ("BUILD", "building"),
        ("SOFT_DELETED", "soft-deleted"),
    ],
)
def test_a_host_is_in_the_state_that_nova_says(
    stage: Stage, status: str, state: str
) -> None:
    stage.host("web", server=status)
    web = by_name(read(stage))["web"]
    assert web.machine.state.value == state
    assert (web.machine.cloud, web.machine.region) == ("prod", "RegionOne")
    if state != "running":
        assert (web.machine.status, bool(web.machine.project)) == (status, True)


def test_one_in_another_byte_order_has_the_same_state(stage: Stage) -> None:
    for name, status in (("off", "SHUTOFF"), ("soft", "SOFT_DELETED")):
        uuid = named_uuid(name)
        stage.host(name, server=None, uuid=swap_bytes(uuid))
        stage.openstack.add("RegionOne", Instance(uuid, name, status=status))
    states = states_of(stage)
    assert (states["off"], states["soft"]) == ("off", "soft-deleted")


def test_one_that_is_gone_says_since_when_if_nova_still_knows(stage: Stage) -> None:
    stage.terminated("gone", ago=2 * DAY)
    stage.archived("archived")
    hosts = by_name(read(stage))
    gone, archived = hosts["gone"].machine, hosts["archived"].machine
    assert gone.state is State.TERMINATED
    assert gone.terminated_at is not None
    assert abs(gone.terminated_at - (stage.now - 2 * DAY)) < timedelta(minutes=5)
    assert (archived.state, archived.terminated_at) == (State.ABSENT, None)


def test_what_is_no_instance_or_cannot_be_told_is_not_called_gone(stage: Stage) -> None:
    vmware = guest_facts(named_uuid("other"), vendor="VMware, Inc.", product="VMware7")
    stage.host("vmware", server=None, facts=vmware)
    stage.host("blank", server=None, facts={})
    states = states_of(stage)
    assert (states["vmware"], states["blank"]) == ("not-openstack", "unidentified")


def test_a_region_that_fails_makes_its_hosts_unknown(stage: Stage) -> None:
    stage.terminated("gone")
    stage.host("web")
    states = states_of(stage, regions=("RegionOne", "RegionTwo"))
    assert states == {"gone": "unknown", "web": "running", "witness": "running"}
    stage.use_cloud(password="wrong")
    assert set(states_of(stage).values()) == {"unknown"}


def test_without_the_list_of_those_that_do_not_run_nobody_is_said_to_run(
    stage: Stage,
) -> None:
    stage.host("web")
    stage.osp.fail("/servers/detail.*status=SHUTOFF", 500)
    states = read(stage)
    assert {host.machine.state for host in states.hosts} == {State.UNKNOWN}
    assert len(states.failed) == 1


# Check-ins


def test_one_that_runs_and_is_silent_comes_first_with_its_project(stage: Stage) -> None:
    stage.host("broken", checked_in=LONG)
    stage.host("off", server="SHUTOFF", checked_in=LONG)
    states = read(stage)
    first = states.hosts[0]
    assert first.name == "broken.example.com"
    assert (first.machine.state, first.machine.status) == (State.SILENT, "ACTIVE")
    assert first.machine.project
    assert first.last_checkin is not None
    assert by_name(states)["off"].machine.state is State.OFF
    assert states.counts == {State.SILENT: 1, State.OFF: 1, State.RUNNING: 1}


def test_one_that_cannot_be_asked_about_is_still_in_the_list(stage: Stage) -> None:
    uuid = stage.host("broken", checked_in=LONG)
    stage.osp.fail(f"GET .*/servers/{uuid}", 404, "<html>a proxy</html>")
    broken = by_name(read(stage))["broken"].machine
    assert (broken.state, broken.status, broken.project) == (State.SILENT, "", "")


@pytest.mark.parametrize(
    ("hours", "silent"), [(1, False), (23, False), (25, True), (None, True)]
)
def test_silent_is_one_that_has_not_checked_in_for_the_silence_of_the_policy(
    stage: Stage, hours: float | None, silent: bool
) -> None:
    stage.host("web", checked_in=None if hours is None else hours * 3600.0)
    web = by_name(read(stage))["web"]
    assert web.silent is silent
    assert web.machine.state is (State.SILENT if silent else State.RUNNING)
    patient = by_name(read(stage, policy=Policy(silence=timedelta.max)))["web"]
    assert patient.silent is (hours is None)


def test_without_katello_the_last_report_counts(stage: Stage) -> None:
    satellite = Satellite(users=[User("admin", "changeme")], katello=False)
    stage.satellite, stage.foreman.handle = satellite, satellite.handle
    stage.world = stage.world._replace(satellite=satellite)
    facts = {"PuppetFactName": {"dmi::product::uuid": named_uuid("web")}}
    stage.host("web", facts=facts, subscription=None)
    stage.openstack.add("RegionOne", Instance(named_uuid("web"), "web"))
    host = next(iter(satellite.hosts.values()))
    for reported, state in (
        (stage.now, "running"),
        (stage.now - 9 * DAY, "running-silent"),
    ):
        host.record["last_report"] = (
            f"{reported - timedelta(hours=1):%Y-%m-%d %H:%M:%S} UTC"
        )
        web = by_name(read(stage))["web"]
        assert web.machine.state.value == state
        assert web.last_checkin is not None


def test_a_host_that_satellite_cannot_show_is_only_without_its_time(
    stage: Stage,
) -> None:
    stage.host("odd", server="SHUTOFF")
    stage.host("web", server="SHUTOFF")
    odd = next(host for host in stage.satellite.hosts.values() if "odd" in host.name)
    stage.foreman.fail(rf"search=id \^ \(.*\b{odd.id}\b", 500)
    hosts = by_name(read(stage))
    assert (hosts["odd"].machine.state, hosts["odd"].last_checkin) == (State.OFF, None)
    assert hosts["web"].last_checkin is not None


def test_the_time_is_read_only_of_hosts_in_a_state_that_few_are_in(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEW", 1)
    stage.host("web")
    stage.host("broken", checked_in=LONG)
    stage.host("off", server="SHUTOFF")
    stage.terminated("gone")
    hosts = by_name(read(stage))
    assert {name for name, host in hosts.items() if host.last_checkin} == {
        "broken",
        "off",
        "gone",
    }
    assert not hosts["web"].silent


# Which hosts


def test_only_the_hosts_in_scope_are_read_and_the_sums_are_of_all_of_them(
    stage: Stage,
) -> None:
    stage.host("app-1", server="SHUTOFF")
    stage.host("app-2", checked_in=LONG)
    stage.host("db", server="SHUTOFF", checked_in=LONG)
    states = read(stage, State.OFF, search="name ~ app or name ~ none")
    assert [host.name for host in states.hosts] == ["app-1.example.com"]
    assert states.counts == {State.OFF: 1, State.SILENT: 1}


def test_it_works_while_a_run_holds_the_journal_and_notes_nothing(stage: Stage) -> None:
    stage.plan()
    stage.vanished("absent")
    file = stage.folder / "journal.sqlite3"
    with stage.journal() as journal:
        before, missed = file.read_bytes(), journal.missed()
        assert states_of(stage)["absent"] == "absent"
        assert (file.read_bytes(), journal.missed()) == (before, missed)


def test_it_works_without_a_journal_and_with_a_damaged_one(stage: Stage) -> None:
    file = stage.folder / "journal.sqlite3"
    assert states_of(stage) == {"witness": "running"}
    assert not file.exists()
    file.write_text("not a database, whatever its name says")
    assert states_of(stage) == {"witness": "running"}


# What it costs


def cost(stage: Stage, *wanted: State) -> tuple[int, int]:
    """How many requests Satellite and OpenStack get."""
    stage.foreman.requests.clear()
    stage.osp.requests.clear()
    read(stage, *wanted, manners=Manners(workers=3, page_size=PAGE))
    assert {request.method for request in stage.foreman.requests} == {"GET"}
    return len(stage.foreman.requests), len(stage.osp.requests)


def test_living_hosts_cost_three_requests_a_window_and_the_pages_of_the_servers(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEW", 0)
    few = cost(stage)
    for number in range(59):
        stage.host(f"app-{number}")
    many = cost(stage)
    windows = 60 // PAGE
    assert many[0] - few[0] == 3 * (windows - 1)
    ends = 4  # pages that begin and end the two parts of the list
    assert many[1] - few[1] <= windows + ends
    assert stage.foreman.count(r"GET /api/hosts/\d") == 0


def test_hosts_that_do_not_run_cost_pages_and_no_request_each(stage: Stage) -> None:
    for number in range(59):
        stage.host(f"app-{number}", server="SHUTOFF" if number % 2 else "ACTIVE")
    off = 59 // 2
    satellite, nova = cost(stage)
    assert satellite <= 3 * 6 + math.ceil(off / 100) + 6
    assert nova <= math.ceil(60 / PAGE) + math.ceil(off / PAGE) + 14
    without_times, _ = cost(stage, State.SILENT)  # no host is listed then
    assert without_times == satellite - 1


def test_terminated_instances_cost_the_pages_of_their_rows(stage: Stage) -> None:
    few = cost(stage)
    for number in range(40):
        stage.terminated(f"old-{number}")
    many = cost(stage)
    assert many[1] - few[1] <= math.ceil(40 / PAGE) + 2


def test_many_silent_hosts_are_not_asked_about_one_by_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEW", 5)
    for number in range(9):
        stage.host(f"app-{number}", checked_in=LONG)
    states = read(stage)
    assert states.counts[State.SILENT] == 9
    assert stage.osp.count(r"GET .*/servers/[0-9a-f-]{36}") <= 1
