"""Quick runs: only what was deleted since the last run, by the same rules as a full run."""

import time
from datetime import timedelta
from typing import Any, Optional

import pytest
from sandbox.instances import Instance
from sandbox.satellite import RHSM
from sandbox.world import guest_facts

from foreman_hooks.cleanup.open_records import open_records
from foreman_hooks.cleanup.run_log import begin_run, end_run, last_run
from foreman_hooks.osp_checker.uuids import swap_bytes
from foreman_hooks.rules.model import Outcome, Policy, Reason
from foreman_hooks.rules.plan import Kind, Plan

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
OTHER = "77777777-0000-4000-8000-777777777777"
FREE = Policy(max_fraction=1.0, quiet=HOUR)


class Fleet:
    """A fleet that a full run saw three hours ago; since then servers were deleted."""

    def __init__(self, stage: Any, size: int = 8, **how: Any) -> None:
        self.stage = stage
        self.how = how
        self.uuids = [stage.host(f"app-{number}") for number in range(size)]
        self.full_run_before()

    def full_run_before(self) -> None:
        self.pass_time(-3 * HOUR)
        self.full()
        self.pass_time(3 * HOUR)

    def full(self, policy: Policy = FREE) -> Plan:
        """A full run up to the plan, noted in the journal as the command does."""
        with self.stage.journal() as journal:
            cleanup = self.stage.cleanup(journal, policy, **self.how)
            url = cleanup.satellite.url
            number = begin_run(
                journal, url, "run", Kind.FULL, "all hosts", "root", self.stage.now
            )
            plan: Plan = cleanup.plan()
            end_run(journal, number, 0, self.stage.now, plan=plan)
            return plan

    def quick(self, policy: Policy = FREE) -> Plan:
        """A quick run up to the plan."""
        self.stage.foreman.requests.clear()
        self.stage.osp.requests.clear()
        with self.stage.journal() as journal:
            plan: Plan = self.stage.cleanup(journal, policy, **self.how).plan_quick()
            return plan

    def apply(self, policy: Policy = FREE) -> list[Outcome]:
        """A quick run with deletions."""
        with self.stage.journal() as journal:
            cleanup = self.stage.cleanup(journal, policy, **self.how)
            return list(cleanup.apply(cleanup.plan_quick()))

    def reasons(self, policy: Policy = FREE) -> dict[str, str]:
        verdicts = self.quick(policy).verdicts
        return {verdict.name.split(".")[0]: verdict.reason.name for verdict in verdicts}

    def pass_time(self, span: timedelta) -> None:
        self.stage.now += span

    def terminate(
        self,
        number: int,
        ago: timedelta = 2 * HOUR,
        silent: timedelta = DAY,
        region: str = "RegionOne",
    ) -> str:
        """The server of that host was deleted, and the machine is silent since before."""
        uuid: str = self.uuids[number]
        when = self.stage.now.timestamp()
        self.stage.openstack.terminate(region, uuid, when - ago.total_seconds())
        self.silence(f"app-{number}", silent)
        return uuid

    def silence(self, name: str, span: timedelta) -> None:
        for host in self.stage.satellite.hosts.values():
            if host.name.startswith(f"{name}."):
                last = self.stage.now - span
                host.subscription["last_checkin"] = f"{last:%Y-%m-%d %H:%M:%S} UTC"

    def requests(self) -> int:
        return len(self.stage.foreman.requests) + len(self.stage.osp.requests)

    def open(self) -> dict[str, Reason]:
        with self.stage.journal() as journal:
            records = open_records(journal, self.stage.foreman.url)
        return {record.name.split(".")[0]: record.reason for record in records}


@pytest.fixture
def fleet(stage: Any) -> Fleet:
    return Fleet(stage)


# What it finds


def test_a_quick_run_deletes_the_record_of_an_instance_that_was_deleted_lately(
    fleet: Fleet,
) -> None:
    fleet.terminate(3)
    (outcome,) = fleet.apply()
    assert (outcome.name, outcome.result) == ("app-3.example.com", "deleted")
    assert "app-3" not in fleet.stage.left
    assert len(fleet.stage.left) == 8  # with the witness


def test_a_quick_run_finds_what_a_full_run_finds(fleet: Fleet) -> None:
    for number in (1, 4, 5):
        fleet.terminate(number)
    fleet.terminate(6, ago=MINUTE)
    quick = fleet.reasons()
    full = {
        verdict.name.split(".")[0]: verdict.reason.name
        for verdict in fleet.full().verdicts
        if verdict.is_open
    }
    assert quick == full
    assert sorted(quick.values()) == ["QUIET", *["TERMINATED"] * 3]


def test_a_fact_in_the_other_byte_order_and_in_upper_case_is_found(stage: Any) -> None:
    fleet = Fleet(stage)
    uuid = stage.host("odd", facts=guest_facts("0" * 8 + "-0000-4000-8000-" + "0" * 12))
    for host in stage.satellite.hosts.values():
        if host.name.startswith("odd."):
            host.facts = guest_facts(swap_bytes(uuid).upper())
    fleet.full_run_before()
    fleet.uuids.append(uuid)
    fleet.terminate(-1)
    fleet.silence("odd", DAY)
    assert fleet.reasons() == {"odd": "TERMINATED"}


def test_a_record_that_waits_goes_in_the_first_quick_run_after_quiet(
    fleet: Fleet,
) -> None:
    fleet.terminate(3, ago=MINUTE)
    assert fleet.reasons() == {"app-3": "QUIET"}
    fleet.pass_time(30 * MINUTE)
    assert fleet.reasons() == {}  # it still waits, so nothing was asked
    assert fleet.open() == {"app-3": Reason.QUIET}
    fleet.pass_time(31 * MINUTE)
    (outcome,) = fleet.apply()
    assert outcome.result == "deleted"
    assert fleet.open() == {}


def test_a_record_that_only_was_planned_is_looked_at_again(fleet: Fleet) -> None:
    fleet.terminate(3)
    assert fleet.reasons() == {"app-3": "TERMINATED"}
    fleet.pass_time(3 * HOUR)
    assert fleet.reasons() == {"app-3": "TERMINATED"}


def test_a_termination_that_a_full_run_saw_within_quiet_goes_in_a_quick_run(
    fleet: Fleet,
) -> None:
    fleet.terminate(3, ago=MINUTE)
    fleet.full()
    fleet.pass_time(2 * HOUR)
    assert fleet.reasons() == {"app-3": "TERMINATED"}


def test_two_regions_have_to_answer_about_every_uuid(stage: Any) -> None:
    stage.openstack.add("RegionTwo", Instance(OTHER, project="bank"))
    fleet = Fleet(stage, regions=("RegionOne", "RegionTwo"))
    stage.openstack.add("RegionTwo", Instance(fleet.uuids[0], project="bank"))
    fleet.terminate(0)
    fleet.terminate(1)
    assert fleet.reasons() == {"app-0": "ALIVE", "app-1": "TERMINATED"}


# What it leaves to the full run


def test_an_absent_instance_is_the_business_of_the_full_run(fleet: Fleet) -> None:
    fleet.full()
    fleet.stage.openstack.archive("RegionOne", fleet.uuids[3])
    assert fleet.reasons() == {}
    before = fleet.open()
    assert fleet.reasons() == {}
    assert fleet.open() == before


def test_misses_are_not_counted_in_quick_runs(fleet: Fleet) -> None:
    uuid = fleet.terminate(3)
    fleet.stage.openstack.archive("RegionOne", uuid)
    for _ in range(5):
        fleet.pass_time(DAY)
        fleet.quick()
    with fleet.stage.journal() as journal:
        assert journal.missed() == set()


def test_a_soft_deleted_server_is_not_terminated(fleet: Fleet) -> None:
    row = fleet.stage.openstack.instances["RegionOne"][fleet.uuids[3]]
    row.status = "SOFT_DELETED"
    row.updated = time.time()
    fleet.stage.openstack.add("RegionOne", row)
    assert fleet.reasons() == {}


def test_terminations_of_more_than_two_days_ago_are_left_to_the_full_run(
    fleet: Fleet,
) -> None:
    fleet.pass_time(9 * DAY)
    fleet.terminate(1, ago=8 * DAY, silent=9 * DAY)
    fleet.terminate(2, ago=47 * HOUR, silent=9 * DAY)
    assert fleet.reasons() == {"app-2": "TERMINATED"}


def test_open_records_that_it_does_not_look_at_stay_open(fleet: Fleet) -> None:
    fleet.stage.openstack.archive("RegionOne", fleet.uuids[3])
    fleet.full()
    assert fleet.open() == {"app-3": Reason.GRACE}
    fleet.terminate(4)
    fleet.apply()
    assert fleet.open() == {"app-3": Reason.GRACE}


# What keeps a record


def test_a_machine_that_checked_in_after_its_termination_is_kept(fleet: Fleet) -> None:
    fleet.terminate(3, silent=MINUTE)
    assert fleet.reasons() == {"app-3": "CHECKED_IN"}


def test_a_host_that_names_a_living_instance_as_well_is_kept(fleet: Fleet) -> None:
    uuid = fleet.terminate(3)
    facts = guest_facts(uuid)
    facts[RHSM]["dmi::system::uuid"] = fleet.uuids[4]
    for host in fleet.stage.satellite.hosts.values():
        if host.name.startswith("app-3."):
            host.facts = facts
    assert fleet.reasons()["app-3"] == "ALIVE"


def test_a_twin_outside_of_the_scope_that_checked_in_keeps_the_record(
    stage: Any,
) -> None:
    fleet = Fleet(stage, search="name ~ app")
    uuid = fleet.terminate(3)
    stage.host("twin", server=None, facts=guest_facts(uuid))
    assert fleet.reasons() == {"app-3": "CHECKED_IN"}


def test_hosts_outside_of_the_scope_are_not_judged(stage: Any) -> None:
    fleet = Fleet(stage, search="name ~ app-1")
    fleet.terminate(1)
    fleet.terminate(2)
    assert fleet.reasons() == {"app-1": "TERMINATED"}


def test_what_is_deleted_within_an_hour_counts_together(fleet: Fleet) -> None:
    policy = Policy(max_fraction=1.0, max_deletions=2, quiet=HOUR)
    fleet.terminate(1)
    fleet.terminate(2)
    assert len(fleet.apply(policy)) == 2
    fleet.terminate(3, ago=HOUR)
    assert "max_deletions is 2" in fleet.quick(policy).refusals[0]


def test_the_fraction_is_that_of_the_fleet_that_the_last_full_run_saw(
    fleet: Fleet,
) -> None:
    policy = Policy(max_fraction=0.2, quiet=HOUR)  # of nine: one
    fleet.terminate(1)
    assert fleet.quick(policy).refusals == ()
    fleet.terminate(2, ago=HOUR)
    (refusal,) = fleet.quick(policy).refusals
    assert "2 of 9 instances" in refusal


def test_a_fraction_that_allows_none_allows_none_in_a_quick_run(fleet: Fleet) -> None:
    fleet.terminate(1)
    assert fleet.quick(Policy(max_fraction=0.1, quiet=HOUR)).refusals


def test_nothing_goes_before_a_full_run_has_counted_the_fleet(stage: Any) -> None:
    stage.terminated("old-1")
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal)
        assert cleanup.needs_full_run()
        plan = cleanup.plan_quick()
    assert plan.refusals or not plan.deletions


def test_a_full_run_in_the_future_does_not_put_off_the_next_one(fleet: Fleet) -> None:
    """The clock was a year ahead during that run."""
    fleet.pass_time(365 * DAY)
    fleet.full()
    fleet.pass_time(-365 * DAY)
    with fleet.stage.journal() as journal:
        assert fleet.stage.cleanup(journal).needs_full_run()


def test_a_quick_run_looks_back_as_far_as_it_can_after_the_clock_was_set_back(
    fleet: Fleet,
) -> None:
    fleet.pass_time(5 * HOUR)
    fleet.full()
    fleet.pass_time(-5 * HOUR)
    fleet.terminate(5)
    assert fleet.reasons() == {"app-5": "TERMINATED"}


# When it cannot know


def test_a_region_that_fails_is_asked_again_for_the_same_time(fleet: Fleet) -> None:
    fleet.terminate(3)
    fleet.stage.osp.fail("servers/detail", status=500)
    assert fleet.quick().regions[0].error
    fleet.stage.osp.faults.clear()
    fleet.pass_time(10 * HOUR)
    assert fleet.reasons() == {"app-3": "TERMINATED"}


def test_after_a_full_run_that_a_region_did_not_answer_two_days_are_looked_at(
    stage: Any,
) -> None:
    stage.osp.fail("/compute/", status=500)
    fleet = Fleet(stage)
    stage.osp.faults.clear()
    fleet.terminate(3, ago=5 * HOUR)
    assert fleet.reasons() == {"app-3": "TERMINATED"}


def test_a_region_that_knows_none_of_its_servers_any_more_proves_nothing(
    fleet: Fleet,
) -> None:
    """Another Nova answers at that address, and has one row that looks right."""
    fleet.terminate(3)
    rows = fleet.stage.openstack.instances["RegionOne"]
    for uuid in set(rows) - {fleet.uuids[3]}:
        fleet.stage.openstack.archive("RegionOne", uuid)
    fleet.stage.openstack.add("RegionOne", Instance(OTHER, project="bank"))
    plan = fleet.quick()
    assert "knows none of" in str(plan.regions[0].error)
    assert plan.deletions == ()
    assert [verdict.reason for verdict in plan.verdicts] == [Reason.UNKNOWN]


# What it costs


@pytest.mark.parametrize("size", [3, 60])
@pytest.mark.parametrize("dead", [1, 3])
def test_a_quick_run_costs_the_same_in_a_fleet_of_any_size(
    stage: Any, size: int, dead: int
) -> None:
    fleet = Fleet(stage, size)
    for number in range(dead):
        fleet.terminate(number)
    plan = fleet.quick()
    assert len(plan.deletions) == dead
    assert fleet.requests() <= 36
    assert fleet.stage.foreman.count("host_id >") == 0
    lists = [r for r in fleet.stage.osp.requests if r.path.endswith("/servers")]
    assert lists == []


def test_without_deleted_rows_satellite_is_not_asked_for_any_host(fleet: Fleet) -> None:
    assert fleet.quick().hosts == 0
    assert fleet.stage.foreman.count("fact_values") == 0
    assert fleet.stage.foreman.count("/api/hosts") == 0
    assert fleet.requests() <= 12


# The command


def kinds(stage: Any) -> Optional[Kind]:
    with stage.journal() as journal:
        run = last_run(journal, stage.foreman.url)
    return run.kind if run else None


def test_the_first_quick_run_and_one_after_a_day_are_full_runs(
    stage: Any, call: Any
) -> None:
    config = stage.config(policy={"max_fraction": 1.0})
    assert call("--config", config, "run", "--recent")[0] == 0
    assert kinds(stage) is Kind.FULL
    assert call("--config", config, "run", "--recent")[0] == 0
    assert kinds(stage) is Kind.QUICK
    with stage.journal() as journal, journal.writing() as database:
        database.execute("UPDATE runs SET began = '2020-01-01T00:00:00+00:00'")
    assert call("--config", config, "run", "--recent")[0] == 0
    assert kinds(stage) is Kind.FULL


def test_the_command_deletes_what_was_deleted_since(stage: Any, call: Any) -> None:
    config = stage.config(policy={"max_fraction": 1.0, "quiet": "1m"})
    stage.host("app-1")
    assert call("--config", config, "run")[0] == 0
    stage.terminated("app-2", HOUR, DAY)
    code, out, err = call("--config", config, "run", "--recent", "--apply")
    assert (code, err) == (0, "")
    assert "app-2" in out
    assert "1 host record of instances that were deleted lately" in out
    assert "prod/RegionOne: answered" in out
    assert stage.left == {"witness", "app-1"}


@pytest.mark.parametrize("options", [("--uuid", "x" * 36), ("--host", "app-1")])
def test_a_quick_run_is_not_about_one_instance(
    stage: Any, call: Any, options: tuple[str, ...]
) -> None:
    code, _, err = call("--config", stage.config(), "run", "--recent", *options)
    assert code in (64, 65)
    assert err
