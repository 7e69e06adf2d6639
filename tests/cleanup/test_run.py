"""Whole runs against both doubles: what goes, what stays, and what the journal has of it."""

import fcntl
import sqlite3
from contextlib import ExitStack, closing
from datetime import timedelta
from typing import Any, Optional

import hypothesis
import pytest
from hypothesis import strategies as st
from sandbox.satellite import RHSM, Host, User
from sandbox.world import add_host, add_instance, guest_facts, named_uuid, registration

from foreman_hooks.cleanup.journal import JournalError
from foreman_hooks.cleanup.run import Target
from foreman_hooks.hooks.event import CREATED, DESTROYED, FACTS, Note
from foreman_hooks.hooks.spool import SpoolBusy, leave
from foreman_hooks.osp_checker import swap_bytes
from foreman_hooks.paths import spool_of
from foreman_hooks.rules.model import Decision, Policy
from foreman_hooks.rules.plan import PlanError, dump, load
from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.errors import (
    SatelliteError,
    SatelliteForbidden,
    SatelliteLoginError,
    SatelliteNotFound,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


# What must go: a termination that nothing speaks against


def test_a_terminated_instance_goes_in_the_same_run_that_sees_it(stage: Any) -> None:
    stage.terminated("old")
    outcomes = stage.run()
    assert [(outcome.name, outcome.result) for outcome in outcomes] == [
        ("old.example.com", "deleted")
    ]
    assert stage.left == {"witness"}


def test_with_a_quiet_of_zero_an_instance_terminated_minutes_ago_goes(
    stage: Any,
) -> None:
    stage.terminated("old", ago=timedelta(minutes=10), checked_in=timedelta(minutes=12))
    assert [
        outcome.result
        for outcome in stage.run(Policy(max_fraction=1.0, quiet=timedelta(0)))
    ] == ["deleted"]


def test_a_terminated_instance_waits_one_check_in_interval_as_its_disk_may_live_on(
    stage: Any,
) -> None:
    stage.terminated("old", ago=timedelta(hours=4), checked_in=timedelta(hours=5))
    assert stage.run() == []
    stage.now += HOUR
    assert [outcome.result for outcome in stage.run()] == ["deleted"]


def test_an_instance_without_a_trace_goes_after_enough_misses_over_the_grace_period(
    stage: Any,
) -> None:
    stage.archived("old")
    for hours in (0, 30, 60):
        assert stage.run() == [], hours
        stage.now += 30 * HOUR
    assert [outcome.result for outcome in stage.run()] == ["deleted"]


def test_the_grace_period_alone_is_not_enough_without_the_misses(stage: Any) -> None:
    stage.archived("old")
    stage.run()
    stage.now += 100 * HOUR
    assert stage.reasons()["old"] == "GRACE"


def test_misses_alone_are_not_enough_before_the_grace_period_has_passed(
    stage: Any,
) -> None:
    stage.archived("old")
    for _ in range(5):
        assert stage.run() == []
    assert stage.left == {"witness", "old"}


def test_the_count_of_misses_restarts_when_the_instance_is_seen_again(
    stage: Any,
) -> None:
    uuid = stage.archived("back")
    for _ in range(3):
        stage.run()
        stage.now += 30 * HOUR
    add_instance(stage.world, "back", uuid)
    assert stage.reasons()["back"] == "ALIVE"
    stage.openstack.terminate("RegionOne", uuid, stage.now.timestamp())
    stage.openstack.archive("RegionOne", uuid)
    stage.now += HOUR
    verdict = next(
        verdict for verdict in stage.plan().verdicts if verdict.name.startswith("back")
    )
    assert verdict.decision is Decision.WAIT
    assert "in 1 run (3 needed)" in verdict.detail


def test_a_run_with_a_cloud_that_cannot_answer_counts_as_no_miss(stage: Any) -> None:
    stage.archived("old")
    stage.run()
    stage.now += 30 * HOUR
    fault = stage.osp.fail("/servers", 503)
    assert stage.reasons()["old"] == "UNKNOWN"
    assert stage.reasons()["old"] == "UNKNOWN"
    stage.osp.faults.remove(fault)
    assert "in 2 runs (3 needed)" in next(
        verdict.detail
        for verdict in stage.plan().verdicts
        if verdict.name.startswith("old")
    )


def test_a_clock_that_goes_back_restarts_the_count_of_misses(stage: Any) -> None:
    stage.archived("old")
    for _ in range(4):
        stage.run()
    stage.now -= 200 * HOUR
    stage.plan()
    stage.now += 100 * HOUR
    assert stage.reasons()["old"] == "GRACE"


def test_many_deletions_are_all_done_and_all_in_the_journal(stage: Any) -> None:
    for number in range(25):  # more than are asked about together
        stage.terminated(f"old-{number}")
    outcomes = stage.run()
    assert len(outcomes) == 25
    assert {outcome.result for outcome in outcomes} == {"deleted"}
    with stage.journal() as journal:
        assert [row.result for row in journal.deletions()] == ["deleted"] * 25


def test_a_plain_foreman_works_as_well_with_the_last_report_as_sign_of_life(
    stage: Any,
) -> None:
    stage.satellite.katello = False
    witness = stage.satellite.hosts[1]
    witness.subscription = None
    witness.facts = {
        "PuppetFactName": {
            "dmi::product::uuid": named_uuid("witness"),
            "is_virtual": "true",
        }
    }
    facts = {
        "PuppetFactName": {
            "dmi::product::uuid": named_uuid("old"),
            "is_virtual": "true",
            "dmi::manufacturer": "OpenStack Foundation",
            "dmi::product::name": "OpenStack Nova",
        }
    }
    alive = {
        "PuppetFactName": {
            **facts["PuppetFactName"],
            "dmi::product::uuid": named_uuid("new"),
        }
    }
    report = {"last_report": registration(3 * 86400.0)["last_checkin"]}
    stage.terminated("old", facts=facts, subscription=None, record=report)
    stage.host("new", facts=alive, subscription=None, record=report)
    stage.terminated(
        "unreported",
        subscription=None,
        facts={
            "PuppetFactName": {
                **facts["PuppetFactName"],
                "dmi::product::uuid": named_uuid("unreported"),
            }
        },
    )
    reasons = stage.reasons()
    assert (reasons["old"], reasons["new"], reasons["unreported"]) == (
        "TERMINATED",
        "ALIVE",
        "NO_CHECKIN",
    )
    assert [outcome.result for outcome in stage.run()] == ["deleted"]


# What must stay


@pytest.mark.parametrize(
    "status",
    [
        "SHUTOFF",
        "SHELVED",
        "SHELVED_OFFLOADED",
        "ERROR",
        "BUILD",
        "RESCUE",
        "PAUSED",
        "SUSPENDED",
        "VERIFY_RESIZE",
        "SOFT_DELETED",
    ],
)
def test_a_server_in_any_status_but_deleted_keeps_its_record(
    stage: Any, status: str
) -> None:
    stage.host("quiet", server=status, checked_in=90 * 86400.0)
    assert stage.reasons()["quiet"] == "ALIVE"


def test_with_a_cell_down_nothing_of_it_is_deleted(stage: Any) -> None:
    """Half the servers vanish from the list, without an error."""
    for number in range(4):
        stage.host(f"app-{number}", checked_in=90 * 86400.0)
        stage.openstack.instances["RegionOne"][
            named_uuid(f"app-{number}")
        ].cell = "cell2"
    stage.terminated("old")
    stage.openstack.down_cells.add("cell2")
    plan = stage.plan()
    assert plan.deletions == ()
    assert plan.unknown == 5
    assert "500" in str(plan.regions[0].error)


def test_a_cell_that_goes_down_between_plan_and_apply_stops_the_deletion(
    stage: Any,
) -> None:
    stage.terminated("old")
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal)
        plan = cleanup.plan()
        stage.openstack.down_cells.add("cell1")
        assert [outcome.result for outcome in cleanup.apply(plan)] == ["kept"]
    assert "old" in stage.left


_REQUESTS = (
    "/v3/auth/tokens",
    "/servers/detail",
    r"/servers\?",
    "/servers/[0-9a-f]{8}",
)
_FAILURES: "tuple[dict[str, Any], ...]" = (
    {"status": 500},
    {"status": 404},
    {"status": 403},
    {"status": 200},
    {"cut": True},
)


@pytest.mark.parametrize(
    ("broken", "how"),
    [
        (broken, how)
        for broken in _REQUESTS
        for how in _FAILURES
        if (broken, how) != (_REQUESTS[3], {"status": 403})
    ],
)  # a role that may list and not show, see below
def test_no_failure_of_openstack_deletes_anything(
    stage: Any, broken: str, how: dict[str, Any]
) -> None:
    stage.terminated("old")
    stage.host("quiet", server="SOFT_DELETED", checked_in=90 * 86400.0)
    stage.osp.fail(broken, **how)
    plan = stage.plan(
        Policy(max_fraction=1.0, grace=timedelta(0), misses=1, silence=timedelta(0))
    )
    assert "quiet" not in {verdict.name.split(".")[0] for verdict in plan.deletions}
    assert plan.deletions == ()


def test_a_role_that_may_list_but_not_show_proves_by_the_list_alone(stage: Any) -> None:
    stage.terminated("old")
    stage.host("quiet", server="SOFT_DELETED", checked_in=90 * 86400.0)
    stage.archived("gone")
    stage.openstack.policy["host_checker"] = {
        "index",
        "detail",
        "index:get_all_tenants",
        "detail:get_all_tenants",
        "allow_all_filters",
    }
    stage.use_cloud("checker")
    reasons = stage.reasons(
        Policy(max_fraction=1.0, grace=timedelta(0), misses=1, silence=timedelta(0))
    )
    assert (reasons["old"], reasons["quiet"], reasons["gone"]) == (
        "TERMINATED",
        "ALIVE",
        "UNKNOWN",
    )


def test_both_of_two_regions_have_to_answer(stage: Any) -> None:
    stage.terminated("old")
    # RegionTwo has no server: nothing can be proven.
    plan = stage.plan(regions=("RegionOne", "RegionTwo"))
    assert plan.deletions == ()
    assert "no active server" in str(plan.regions[1].error)


def test_an_instance_of_another_region_is_alive(stage: Any) -> None:
    uuid = stage.host("far", server=None, checked_in=90 * 86400.0)
    stage.openstack.instances["RegionTwo"][uuid] = stage.openstack.instances[
        "RegionOne"
    ].pop(named_uuid("witness"))
    add_instance(stage.world, "near", stage.host("near", server=None))
    stage.openstack.instances["RegionTwo"][uuid].uuid = uuid
    assert stage.reasons(regions=("RegionOne", "RegionTwo"))["far"] == "ALIVE"


def test_an_emptied_cloud_never_deletes_anything(stage: Any) -> None:
    """The mapping of a cell points to an empty database, so every GET is a 404."""
    for number in range(5):
        stage.host(f"app-{number}", checked_in=90 * 86400.0)
    policy = Policy(max_fraction=1.0)
    stage.plan(policy)
    for number in range(5):
        stage.openstack.archive("RegionOne", named_uuid(f"app-{number}"))
    for _ in range(6):
        stage.now += 30 * HOUR
        plan = stage.plan(policy)
        assert "shrank from 6 to 1 servers" in plan.refusals[0]
    assert len(plan.deletions) == 5
    with stage.journal() as journal, pytest.raises(PlanError, match="shrank"):
        list(stage.cleanup(journal).apply(plan))
    assert len(stage.left) == 6


def test_hosts_of_a_region_that_leaves_the_scope_are_not_gone(stage: Any) -> None:
    """A line of the configuration is lost."""
    add_instance(stage.world, "here", stage.host("here", server=None))
    far = stage.host("far", server=None)
    add_instance(stage.world, "far", far)
    stage.openstack.instances["RegionTwo"][far] = stage.openstack.instances[
        "RegionOne"
    ].pop(far)
    hasty = Policy(
        max_fraction=1.0,
        max_shrink=1.0,
        grace=timedelta(0),
        misses=1,
        silence=timedelta(0),
    )
    assert stage.run(hasty, regions=("RegionOne", "RegionTwo")) == []
    plan = stage.plan(hasty)
    assert plan.deletions == ()  # no run saw it alive in a region that is in scope now
    assert plan.refusals == (
        "prod/RegionTwo was asked in the last good run and is out of scope now; its hosts would "
        "look absent",
    )


def test_without_a_living_host_of_its_kind_in_the_same_region_nothing_goes_without_proof(
    stage: Any,
) -> None:
    stage.archived("old")
    stage.terminated("proven")
    stage.satellite.hosts.pop(1)  # the witness's record; its server still lives
    stage.host(
        "other",
        facts=guest_facts(
            named_uuid("other"), vendor="OpenStack Foundation", product="OpenStack Nova"
        ),
    )
    reasons = stage.reasons()
    assert (reasons["old"], reasons["proven"]) == ("NO_WITNESS", "TERMINATED")


def test_a_login_that_sees_one_project_only_deletes_nothing(stage: Any) -> None:
    """The servers of all other projects are a 404 to it."""
    stage.terminated("old")
    stage.use_cloud("reader")
    assert stage.reasons()["old"] == "UNKNOWN"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"infrastructure": {"foreman_instance": True}}, "INFRASTRUCTURE"),
        (
            {"infrastructure": {"foreman_instance": False, "smart_proxy_id": 3}},
            "INFRASTRUCTURE",
        ),
        ({"record": {"build": True}}, "BUILDING"),
        ({"subscription": None}, "NO_CHECKIN"),
        ({"parameters": {"osp_cleanup_protect": "true"}}, "PROTECTED"),
        ({"parameters": {"osp_cleanup_protect": "because I say so"}}, "PROTECTED"),
    ],
)
def test_records_that_are_never_touched_stay_even_with_proof(
    stage: Any, more: dict[str, Any], reason: str
) -> None:
    stage.terminated("kept", **more)
    assert stage.reasons()["kept"] == reason


@pytest.mark.parametrize(
    ("name", "more", "reason"),
    [
        ("virt-who-node-1", {}, "HYPERVISOR"),
        ("nested", {"subscription": registration(9e5, hypervisor=True)}, "HYPERVISOR"),
        ("unregistered", {"subscription": None}, "NOT_REGISTERED"),
        ("silent", {"subscription": registration(None)}, "NO_CHECKIN"),
    ],
)
def test_without_proof_records_stay_if_absence_says_nothing_about_them(
    stage: Any, name: str, more: dict[str, Any], reason: str
) -> None:
    """As long as it only waits, its record is not read, and nobody knows yet."""
    stage.archived(name, **more)
    assert stage.reasons()[name] == "GRACE"
    assert stage.reasons(Policy(grace=timedelta(0), misses=1))[name] == reason


def test_without_view_params_nothing_is_deleted(stage: Any) -> None:
    """Such a login sees only the global parameters, and a search for the others misses some."""
    stage.terminated("old")
    limited = limited_user(stage, "view_hosts", "view_facts", "destroy_hosts")
    assert stage.reasons(login=limited)["old"] == "HIDDEN_PARAMETERS"
    assert stage.run(login=limited) == []
    assert (
        stage.reasons(Policy(max_fraction=1.0, protect_parameter=""), login=limited)[
            "old"
        ]
        == "TERMINATED"
    )


def test_a_parameter_set_to_false_protects_nothing(stage: Any) -> None:
    stage.terminated("old", parameters={"osp_cleanup_protect": "false"})
    assert stage.reasons()["old"] == "TERMINATED"


def test_a_machine_that_checked_in_after_its_termination_stays(stage: Any) -> None:
    stage.terminated("talking", ago=2 * DAY, checked_in=DAY)
    assert stage.reasons()["talking"] == "CHECKED_IN"
    assert stage.run() == []


def test_two_records_of_one_terminated_instance_go_together_if_neither_gave_a_sign_since(
    stage: Any,
) -> None:
    uuid = stage.terminated("one")
    stage.host("other", server=None, uuid=uuid.upper(), checked_in=9e5)
    assert [(outcome.name, outcome.result) for outcome in stage.run()] == [
        ("one.example.com", "deleted"),
        ("other.example.com", "deleted"),
    ]


def test_two_records_with_one_uuid_stay_where_nothing_proves_its_termination(
    stage: Any,
) -> None:
    uuid = stage.archived("one")
    stage.host("other", server=None, uuid=uuid.upper(), checked_in=9e5)
    reasons = stage.reasons()
    assert (reasons["one"], reasons["other"]) == ("SHARED_UUID", "SHARED_UUID")


def test_a_host_whose_facts_were_wiped_stays(stage: Any) -> None:
    """A registration is under way."""
    stage.terminated("wiped", facts={})
    stage.terminated(
        "half",
        facts={
            RHSM: {"virt::is_guest": "true", "dmi::system::manufacturer": "OpenStack"}
        },
    )
    reasons = stage.reasons()
    assert (reasons["wiped"], reasons["half"]) == ("NO_FACTS", "NO_UUID")


def test_stale_facts_of_another_source_that_name_a_living_instance_keep_the_record(
    stage: Any,
) -> None:
    alive = stage.host("new")
    old = named_uuid("mixed")
    facts = {
        **guest_facts(old),
        "ForemanAnsible::FactName": {
            "ansible_product_uuid": alive,
            "ansible_product_name": "OpenStack Compute",
        },
    }
    stage.terminated("mixed", facts=facts)
    assert stage.reasons()["mixed"] == "ALIVE"


def test_hosts_that_are_not_instances_cost_no_extra_request(stage: Any) -> None:
    for number in range(30):
        stage.host(
            f"vmware-{number}",
            server=None,
            facts=guest_facts(
                named_uuid(f"vmware-{number}"),
                vendor="VMware, Inc.",
                product="VMware7,1",
            ),
        )
    before = stage.foreman.count(), stage.osp.count()
    assert stage.reasons()["vmware-7"] == "NOT_OPENSTACK"
    plain = stage.foreman.count() - before[0], stage.osp.count() - before[1]
    # status twice, newest, hosts, facts twice, count; version, token, canary, its GET, list twice
    assert plain == (7, 6)


# At a glance


def test_the_quick_look_keeps_only_what_a_closer_look_would_keep_too(
    stage: Any,
) -> None:
    """A host that a list of servers has is alive, whatever its other facts say."""
    stage.host("plain")
    stage.host(
        "ambiguous",
        facts={
            "Katello::RhsmFactName": {
                **guest_facts(named_uuid("ambiguous"))["Katello::RhsmFactName"],
                "dmi::system::uuid": named_uuid("other"),
            }
        },
    )
    stage.host(
        "foreign",
        facts=guest_facts(
            named_uuid("foreign"), vendor="VMware, Inc.", product="VMware7,1"
        ),
    )
    stage.host(
        "contradicted",
        facts={
            **guest_facts(named_uuid("contradicted")),
            "PuppetFactName": {"dmi::manufacturer": "Dell Inc.", "is_virtual": "false"},
        },
    )
    stage.terminated("old")
    everyone = list(stage.satellite.hosts)
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal)
        glanced, closely = cleanup.observe(), cleanup.observe(closely=everyone)
        plans = [
            cleanup.judge(cleanup.count_misses(observation))
            for observation in (glanced, closely)
        ]
    assert [len(group.hosts) for group in glanced.alive] == [5]
    assert not closely.alive
    assert [(verdict.name, verdict.decision) for verdict in plans[0].verdicts] == [
        (verdict.name, verdict.decision) for verdict in plans[1].verdicts
    ]
    assert [verdict.name for verdict in plans[0].deletions] == ["old.example.com"]


def test_the_quick_look_finds_a_host_by_the_other_byte_order(stage: Any) -> None:
    uuid = named_uuid("swapped")
    stage.host("swapped", server=None, uuid=swap_bytes(uuid))
    add_instance(stage.world, "swapped", uuid)
    assert stage.reasons()["swapped"] == "ALIVE"
    assert stage.osp.count(f"/servers/{swap_bytes(uuid)}") == 0


def test_a_host_registering_again_whose_other_facts_name_the_uuid_keeps_the_old_record(
    stage: Any,
) -> None:
    """A registration wipes RHSM's facts, but Ansible's still name the machine."""
    uuid = stage.terminated("old")
    stage.host(
        "anew",
        server=None,
        facts={
            "Katello::RhsmFactName": {
                "dmi::system::manufacturer": "RDO",
                "dmi::system::product_name": "OpenStack Compute",
                "virt::is_guest": "true",
            },
            "ForemanAnsible::FactName": {"ansible_product_uuid": uuid},
        },
    )
    reasons = stage.reasons()
    assert (reasons["old"], reasons["anew"]) == ("CHECKED_IN", "CHECKED_IN")


def test_a_witness_may_be_any_host_that_a_list_has(stage: Any) -> None:
    stage.archived("old")
    plan = stage.plan()
    assert [(region.alive, region.witnesses) for region in plan.regions] == [
        (1, (("red hat / openstack compute", named_uuid("witness")),))
    ]


# Between plan and apply


def planned(stage: Any) -> Any:
    stage.terminated("old")
    with stage.journal() as journal:
        return stage.cleanup(journal).plan()


def applied(stage: Any, plan: Any, **how: Any) -> Any:
    with stage.journal() as journal:
        return list(stage.cleanup(journal, **how).apply(plan))


def test_a_region_that_leaves_the_scope_between_plan_and_apply_refuses_the_plan(
    stage: Any,
) -> None:
    add_instance(stage.world, "far", stage.host("far", server=None))
    far = named_uuid("far")
    stage.openstack.instances["RegionTwo"][far] = stage.openstack.instances[
        "RegionOne"
    ].pop(far)
    stage.terminated("old")
    with stage.journal() as journal:
        plan = stage.cleanup(journal, regions=("RegionOne", "RegionTwo")).plan()
        assert [verdict.name for verdict in plan.deletions] == ["old.example.com"]
        with pytest.raises(
            PlanError,
            match="prod/RegionTwo was asked for the plan and is out of scope now",
        ):
            list(stage.cleanup(journal).apply(plan))
    assert "old" in stage.left


def test_a_record_taken_over_by_a_new_machine_stays(stage: Any) -> None:
    """Same id and name; another UUID."""
    plan = planned(stage)
    host = next(
        host for host in stage.satellite.hosts.values() if host.name.startswith("old")
    )
    new = named_uuid("the new machine")
    add_instance(stage.world, "new", new)
    host.facts = guest_facts(new)
    (outcome,) = applied(stage, plan)
    assert (outcome.result, "instance exists" in outcome.detail) == ("kept", True)


@pytest.mark.parametrize(
    "facet",
    [
        registration(3 * 86400.0),
        {**registration(0.0)},
        {
            **registration(3 * 86400.0),
            "registered_at": registration(0.0)["last_checkin"],
        },
    ],
)
def test_a_record_registered_again_or_checked_in_since_the_plan_stays(
    stage: Any, facet: dict[str, Any]
) -> None:
    """The facts are still the old ones, the registration is not."""
    plan = planned(stage)
    next(
        host for host in stage.satellite.hosts.values() if host.name.startswith("old")
    ).subscription = facet
    (outcome,) = applied(stage, plan)
    assert outcome.result == "kept"
    assert "old" in stage.left


def test_a_record_that_is_already_gone_is_reported_as_kept_not_as_failed(
    stage: Any,
) -> None:
    plan = planned(stage)
    host = next(
        host for host in stage.satellite.hosts.values() if host.name.startswith("old")
    )
    stage.satellite.hosts.pop(host.id)
    (outcome,) = applied(stage, plan)
    assert outcome.result == "kept"
    assert outcome.detail == (
        "record cannot be read: it is gone, or hidden from this login"
    )


def test_a_host_protected_since_the_plan_stays(stage: Any) -> None:
    plan = planned(stage)
    next(
        host for host in stage.satellite.hosts.values() if host.name.startswith("old")
    ).parameters["osp_cleanup_protect"] = "true"
    assert [outcome.result for outcome in applied(stage, plan)] == ["kept"]


def test_a_plan_is_refused_when_old_changed_or_of_another_satellite(stage: Any) -> None:
    plan = planned(stage)
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal)
        assert cleanup.check(load(dump(plan))) == ()
        stage.now += timedelta(hours=25)
        with pytest.raises(PlanError, match="25 hours old"):
            cleanup.check(plan)
        stage.now -= timedelta(hours=26)
        with pytest.raises(PlanError, match="from the future"):
            cleanup.check(plan)
    with pytest.raises(PlanError, match="was changed"):
        load(dump(plan).replace("old.example.com", "witness.example.com"))


def test_caps_refuse_the_whole_plan_and_an_approval_lifts_them_once(stage: Any) -> None:
    for number in range(3):
        stage.terminated(f"old-{number}")
    tight = Policy(max_deletions=2, max_fraction=1.0)
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal, tight)
        plan = cleanup.plan()
        assert plan.refusals == ("3 records are to be deleted, max_deletions is 2",)
        with pytest.raises(PlanError, match="max_deletions"):
            list(cleanup.apply(plan))
        assert len(stage.left) == 4
        cleanup.approve(plan)
        assert [outcome.result for outcome in cleanup.apply(plan, approved=True)] == [
            "deleted"
        ] * 3
        assert {row.plan for row in journal.deletions()} == {plan.digest}
        with pytest.raises(JournalError, match="already approved by root"):
            cleanup.approve(plan)


# Satellite's side fails


def test_a_role_without_organization_is_an_error_and_not_an_empty_satellite(
    stage: Any,
) -> None:
    stage.satellite.users["nobody"] = User(
        "nobody",
        "changeme",
        permissions=frozenset({"view_hosts", "view_facts"}),
        organizations=frozenset(),
    )
    with pytest.raises(SatelliteForbidden, match="sees no host at all"):
        stage.plan(login=Login(stage.foreman.url, "nobody", "changeme"))


def limited_user(stage: Any, *permissions: str) -> Login:
    stage.satellite.users["limited"] = User(
        "limited", "changeme", permissions=frozenset(permissions)
    )
    return Login(stage.foreman.url, "limited", "changeme")


def test_the_smallest_role_is_enough_for_a_whole_run(stage: Any) -> None:
    stage.terminated("old")
    login = limited_user(
        stage, "view_hosts", "view_facts", "view_params", "destroy_hosts"
    )
    assert [outcome.result for outcome in stage.run(login=login)] == ["deleted"]


def test_a_deletion_that_satellite_only_claims_is_a_failure(stage: Any) -> None:
    stage.terminated("old")
    stage.satellite.stubborn.add(2)
    (outcome,) = stage.run()
    assert outcome.result == "failed"
    assert "still there" in outcome.detail


def test_a_host_out_of_sight_after_the_plan_is_not_taken_for_deleted(
    stage: Any,
) -> None:
    plan = planned(stage)
    login = limited_user(
        stage, "view_hosts", "view_facts", "view_params", "destroy_hosts"
    )
    stage.satellite.users["limited"].sees = lambda host: not host.name.startswith("old")
    with stage.journal() as journal:
        (outcome,) = list(stage.cleanup(journal, login=login).apply(plan))
        assert outcome.result == "kept"
        assert journal.deletions() == []


def test_after_a_deletion_of_another_host_nothing_more_is_deleted(stage: Any) -> None:
    """Whatever made Satellite do that may happen again at the next host."""
    for number in range(3):
        stage.terminated(f"dead-{number}")
    stage.foreman.fail("^DELETE", 200, {"id": 99, "name": "2"})
    first, *others = stage.run()
    assert first.result == "unfinished"
    assert "hit host 99; check that host at once" in first.detail
    assert [outcome.result for outcome in others] == ["kept", "kept"]
    assert all("not reached" in outcome.detail for outcome in others)
    assert stage.foreman.count("^DELETE") == 1


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (403, "failed"),
        (409, "failed"),
        (500, "unfinished"),
        (502, "unfinished"),
        (504, "unfinished"),
        (301, "unfinished"),
    ],
)
def test_three_hosts_in_a_row_that_cannot_be_deleted_end_the_deletions(
    stage: Any, status: int, result: str
) -> None:
    for number in range(5):
        stage.terminated(f"old-{number}")
    stage.foreman.fail(
        "^DELETE", status, {"message": "no"} if result == "failed" else ""
    )
    outcomes = stage.run()
    assert [outcome.result for outcome in outcomes] == [result] * 3 + ["kept"] * 2
    assert stage.foreman.count("^DELETE") == 3


def test_a_login_that_is_refused_ends_the_deletions_at_once(stage: Any) -> None:
    for number in range(3):
        stage.terminated(f"old-{number}")
    stage.foreman.fail("^DELETE", 401)
    assert [outcome.result for outcome in stage.run()] == ["failed", "kept", "kept"]
    assert stage.foreman.count("^DELETE") == 1


def test_a_refusal_of_one_host_does_not_stop_the_others(stage: Any) -> None:
    """A 422 is about that host."""
    for number in range(3):
        stage.terminated(f"old-{number}")
    stage.foreman.fail(
        "^DELETE", 422, {"error": {"id": 2, "full_messages": ["DNS says no"]}}, times=1
    )
    assert [outcome.result for outcome in stage.run()] == [
        "failed",
        "deleted",
        "deleted",
    ]


def test_a_wrong_password_is_sent_once(stage: Any) -> None:
    with pytest.raises(SatelliteLoginError, match="refused"):
        stage.plan(login=Login(stage.foreman.url, "admin", "wrong"))
    assert stage.foreman.count() == 1


def test_a_satellite_that_answers_html_ends_the_run(stage: Any) -> None:
    stage.foreman.fail("/api/hosts", 200, "<html>welcome</html>")
    with pytest.raises(SatelliteError, match="not a JSON object"):
        stage.plan()


@pytest.mark.parametrize("setting", [True, False])
def test_a_compute_resource_is_detached_first_and_its_vm_never_destroyed(
    stage: Any, setting: bool
) -> None:
    stage.satellite.settings["destroy_vm_on_host_delete"] = setting
    stage.terminated(
        "old",
        record={"compute_resource_id": 1, "compute_resource_name": "osp", "uuid": "x"},
    )
    assert [outcome.result for outcome in stage.run()] == ["deleted"]
    assert stage.satellite.destroyed_vms == []
    assert stage.foreman.count("^PUT .*/disassociate") == 1


@pytest.mark.parametrize("permissions", [{"edit_hosts"}, {"view_settings"}])
def test_a_compute_resource_that_cannot_be_detached_for_sure_keeps_the_record(
    stage: Any, permissions: set[str]
) -> None:
    """The setting cannot be read, or the link cannot be cut."""
    stage.satellite.settings["destroy_vm_on_host_delete"] = True
    stage.terminated("old", record={"compute_resource_id": 1, "uuid": "x"})
    login = limited_user(
        stage, "view_hosts", "view_facts", "destroy_hosts", *permissions
    )
    assert [outcome.result for outcome in stage.run(login=login)] in ([], ["kept"])
    assert "old" in stage.left
    assert stage.satellite.destroyed_vms == []


def test_names_in_digits_never_lead_to_another_host(stage: Any) -> None:
    witness_id = next(
        host.id
        for host in stage.satellite.hosts.values()
        if host.name.startswith("witness")
    )
    uuid = named_uuid("digits")
    add_instance(stage.world, "digits", uuid, terminated=2 * 86400.0)
    stage.satellite.add(
        Host(
            str(witness_id),
            facts=guest_facts(uuid),
            parameters={},
            subscription=registration(9e5),
        )
    )
    stage.run()
    assert "witness" in stage.left


# The journal


def test_every_rule_and_the_record_are_in_the_journal_before_the_delete(
    stage: Any,
) -> None:
    stage.terminated(
        "old",
        record={"comment": "rack 7", "root_pass": "hunter2"},
        parameters={"role": "web"},
    )
    stage.foreman.fail("^DELETE", 500)  # so what is on file was there before
    stage.run()
    with stage.journal() as journal:
        (row,) = journal.deletions()
    assert (row.name, row.uuid, row.reason) == (
        "old.example.com",
        named_uuid("old"),
        "terminated, with proof",
    )
    rules = [rule for rule, _ in row.evidence["rules"]]
    assert any("silent" in rule for rule in rules)
    assert any("terminated" in rule for rule in rules)
    assert row.snapshot["comment"] == "rack 7"
    assert row.snapshot["parameters"] == {"role": "web"}
    assert "hunter2" not in str(row)


def test_without_a_writable_journal_nothing_is_deleted(stage: Any) -> None:
    """The disk fills up under the journal."""
    stage.terminated("old")
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal)
        plan = cleanup.plan()
        journal._database.execute("PRAGMA query_only = ON")
        with pytest.raises(JournalError, match="nothing more is deleted"):
            list(cleanup.apply(plan))
    assert "old" in stage.left
    assert stage.foreman.count("^DELETE") == 0


def test_a_journal_that_fails_at_the_deletion_itself_stops_that_deletion(
    stage: Any,
) -> None:
    stage.terminated("old")
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal)
        plan = cleanup.plan()
        journal._database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON deletions "
            "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
        (outcome,) = list(cleanup.apply(plan))
    assert outcome.result == "failed"
    assert stage.foreman.count("^DELETE") == 0


def test_the_next_run_settles_a_deletion_during_which_a_run_was_killed(
    stage: Any,
) -> None:
    """Killed before the DELETE, or after it but before its outcome was in the journal."""
    for name in ("first", "second"):
        stage.terminated(name)
    stage.run()
    stage.terminated("second")
    with (
        closing(sqlite3.connect(stage.folder / "journal.sqlite3")) as database,
        database,
    ):
        database.execute(
            "UPDATE deletions SET result = NULL, detail = NULL, ended = NULL"
        )
        newest = max(stage.satellite.hosts)
        database.execute(
            "UPDATE deletions SET host_id = ? WHERE name LIKE 'second%'", (newest,)
        )
    stage.plan()
    with stage.journal() as journal:
        assert [row.result for row in journal.deletions()] == ["deleted", "failed"]


def test_an_interrupted_run_reports_what_it_did_not_reach(stage: Any) -> None:
    for number in range(3):
        stage.terminated(f"old-{number}")
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal)
        plan = cleanup.plan()
        done: list[Any] = []
        outcomes = cleanup.apply(plan, stopped=lambda: bool(done))
        done.append(next(outcomes))
        done.extend(outcomes)
    assert [outcome.result for outcome in done] == ["deleted", "kept", "kept"]
    assert "interrupted" in done[-1].detail


@pytest.mark.parametrize("jump", [timedelta(minutes=2), timedelta(minutes=-2)])
def test_after_a_deletion_that_took_long_or_set_the_clock_back_the_clouds_are_asked_again(
    stage: Any, jump: timedelta
) -> None:
    """Both hosts are asked about together; then one of them comes back."""
    stage.terminated("first")
    uuid = stage.terminated("second")
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal)
        outcomes = cleanup.apply(cleanup.plan())
        assert next(outcomes).result == "deleted"
        instance = stage.openstack.instances["RegionOne"][uuid]
        instance.terminated, instance.status = None, "ACTIVE"
        stage.now += jump
        (kept,) = outcomes
    assert kept.result == "kept"
    assert kept.detail.startswith("instance exists")
    assert stage.left == {"second", "witness"}


# What Foreman's events reported


def tell(
    stage: Any,
    event: str,
    name: str = "",
    host_id: int = 0,
    ago: timedelta = timedelta(),
) -> None:
    leave(
        spool_of(stage.folder / "journal.sqlite3"),
        Note(event, host_id, f"{name}.example.com" if name else "", stage.now - ago),
    )


def waiting(stage: Any, name: str) -> str:
    """What the run says of a record that waits."""
    verdict = next(
        verdict for verdict in stage.plan().verdicts if verdict.name.startswith(name)
    )
    assert verdict.decision is Decision.WAIT
    return verdict.detail


def test_uploaded_facts_restart_the_grace_period_of_a_waiting_record(
    stage: Any,
) -> None:
    stage.archived("old")
    for _ in range(3):
        stage.plan()
        stage.now += 36 * HOUR
    tell(stage, FACTS, "old")
    assert stage.run() == []
    stage.now += 71 * HOUR
    assert "in 2 runs (3 needed)" in waiting(stage, "old")
    assert stage.run() == []
    stage.now += HOUR
    assert [outcome.result for outcome in stage.run()] == ["deleted"]


def test_a_sign_of_life_by_id_or_of_a_record_with_the_same_uuid_counts_as_well(
    stage: Any,
) -> None:
    uuid = stage.archived("old")
    stage.archived("other")
    stage.plan()
    host_id = next(
        host.id
        for host in stage.satellite.hosts.values()
        if host.name.startswith("old")
    )
    tell(stage, FACTS, host_id=host_id)
    assert "in 1 run (3 needed)" in waiting(stage, "old")
    assert "in 3 runs (3 needed)" in waiting(stage, "other")
    add_host(stage.world, "twin", "", uuid=swap_bytes(uuid), checked_in=9 * 86400.0)
    stage.plan()
    tell(stage, CREATED, "twin")
    stage.plan()
    with stage.journal() as journal:
        assert (
            journal.history(
                stage.foreman.url, host_id, uuid, [("prod", "RegionOne")]
            ).misses
            == 1
        )


def test_a_sign_of_life_waits_for_a_run_that_sees_its_host(stage: Any) -> None:
    stage.archived("old")
    stage.plan()
    tell(stage, FACTS, "old")
    stage.plan(search="name = witness.example.com")
    assert "in 1 run (3 needed)" in waiting(stage, "old")
    assert "in 2 runs (3 needed)" in waiting(stage, "old")  # put to use once


def test_a_sign_of_life_of_a_host_that_no_run_sees_is_forgotten_in_the_end(
    stage: Any,
) -> None:
    tell(stage, FACTS, "elsewhere")
    tell(stage, FACTS, "long-ago", ago=31 * DAY)
    stage.plan()
    with stage.journal() as journal:
        assert [note.name for note in journal.events()] == ["elsewhere.example.com"]


def test_a_run_that_satellite_stops_does_not_lose_what_events_reported(
    stage: Any,
) -> None:
    stage.archived("old")
    stage.plan()
    tell(stage, FACTS, "old")
    fault = stage.foreman.fail("/api/fact_values", 500)
    with pytest.raises(SatelliteError):
        stage.plan()
    stage.foreman.faults.remove(fault)
    assert "in 1 run (3 needed)" in waiting(stage, "old")


def test_a_sign_of_life_after_the_plan_was_made_keeps_the_record_that_has_no_proof(
    stage: Any,
) -> None:
    stage.archived("old")
    stage.terminated("proven")
    for _ in range(3):
        stage.plan()
        stage.now += 36 * HOUR
    plan = stage.plan()
    assert len(plan.deletions) == 2
    tell(stage, FACTS, "old")
    tell(stage, FACTS, "proven")
    with stage.journal() as journal:
        outcomes = {
            outcome.name.split(".")[0]: outcome
            for outcome in stage.cleanup(journal).apply(plan)
        }
    assert (outcomes["old"].result, outcomes["proven"].result) == ("kept", "deleted")
    assert "in 0 runs (3 needed)" in outcomes["old"].detail


def test_a_journal_whose_events_cannot_be_read_stops_the_deletions(stage: Any) -> None:
    stage.terminated("old")
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal)
        plan = cleanup.plan()
        journal._database.execute("DROP TABLE notes")
        (outcome,) = cleanup.apply(plan)
    assert (outcome.result, stage.left) == ("kept", {"witness", "old"})
    assert "no such table" in outcome.detail


def test_a_full_spool_restarts_every_count_of_misses(
    stage: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage.archived("old")
    stage.plan()
    monkeypatch.setattr("foreman_hooks.hooks.spool.MAX_SPOOL", 10)
    with pytest.raises(SpoolBusy):
        tell(stage, FACTS, "other")
    assert "in 1 run (3 needed)" in waiting(stage, "old")
    assert "notes of Foreman's events were lost" in caplog.text
    assert "in 2 runs (3 needed)" in waiting(stage, "old")


def test_a_spool_that_cannot_be_read_holds_up_no_deletion_with_proof(
    stage: Any, caplog: Any
) -> None:
    stage.terminated("old")
    spool_of(stage.folder / "journal.sqlite3").mkdir()
    assert [outcome.result for outcome in stage.run()] == ["deleted"]
    assert "notes of Foreman's events cannot be read" in caplog.text


@pytest.mark.parametrize("how", ["held", "a folder", "a link", "damaged"])
def test_an_unreadable_spool_restarts_every_count_of_misses(
    stage: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Signs of life may be in it."""
    stage.archived("old")
    stage.plan()
    assert "in 2 runs (3 needed)" in waiting(stage, "old")
    spool = spool_of(stage.folder / "journal.sqlite3")
    monkeypatch.setattr("foreman_hooks.hooks.spool.RUN_WAIT", 0.02)
    with ExitStack() as stack:
        if how == "a folder":
            spool.mkdir()
        elif how == "a link":
            spool.symlink_to(stage.folder)
        else:
            spool.write_text('{"event": "host_facts_upd')
        if how == "held":
            fcntl.flock(stack.enter_context(spool.open()), fcntl.LOCK_EX)
        assert "in 1 run (3 needed)" in waiting(stage, "old")


def test_the_journal_notes_hosts_that_somebody_else_removed_but_not_our_deletions(
    stage: Any,
) -> None:
    stage.terminated("ours")
    stage.run()
    stage.now += timedelta(seconds=1)
    tell(stage, DESTROYED, "ours", 2)
    tell(stage, DESTROYED, "theirs", 77)
    tell(stage, DESTROYED, "nameless-id")
    stage.plan()
    stage.plan()
    with stage.journal() as journal:
        assert [(row.host_id, row.name) for row in journal.removals()] == [
            (0, "nameless-id.example.com"),
            (77, "theirs.example.com"),
        ]
        assert {row.satellite for row in journal.removals()} == {stage.foreman.url}


def test_a_removal_that_foreman_took_back_does_not_count(stage: Any) -> None:
    """before_destroy comes before anything is gone, and a rollback of a create calls destroy."""
    tell(stage, DESTROYED, "witness", 1)
    tell(stage, DESTROYED, "witness")
    stage.plan()
    with stage.journal() as journal:
        assert (journal.removals(), journal.events()) == ([], [])


@hypothesis.settings(
    max_examples=6,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
    notes=st.lists(
        st.tuples(
            st.sampled_from([CREATED, FACTS, DESTROYED]),
            st.sampled_from(["", "old", "proven", "witness", "late", "unknown"]),
            st.integers(0, 6),
            st.integers(0, 40),
        ),
        max_size=6,
    ),
    junk=st.binary(max_size=20),
)
def test_no_event_makes_a_run_delete_what_it_would_keep_without_it(
    stage: Any, notes: Any, junk: bytes
) -> None:
    if "old" not in stage.left:
        stage.archived("old")
        stage.archived("late")
        stage.terminated("proven")
        for _ in range(3):
            stage.plan()
            stage.now += 36 * HOUR
        (stage.folder / "before").write_bytes(
            (stage.folder / "journal.sqlite3").read_bytes()
        )
    without = {verdict.host_id for verdict in stage.plan().deletions}
    assert len(without) == 3
    (stage.folder / "journal.sqlite3").write_bytes(
        (stage.folder / "before").read_bytes()
    )
    spool = spool_of(stage.folder / "journal.sqlite3")
    spool.write_bytes(junk + b"\n")
    for event, name, host_id, days in notes:
        if name or host_id:
            tell(stage, event, name, host_id, days * DAY)
    deletions = {verdict.host_id for verdict in stage.plan().deletions}
    assert deletions <= without
    spoken = {name for event, name, *_ in notes if event != DESTROYED}
    kept = {
        host.id
        for host in stage.satellite.hosts.values()
        if host.name.split(".")[0] in spoken
    }
    assert not deletions & kept - {
        next(
            host.id
            for host in stage.satellite.hosts.values()
            if host.name.startswith("proven")
        )
    }
    (stage.folder / "journal.sqlite3").write_bytes(
        (stage.folder / "before").read_bytes()
    )


# One instance at once


def run_for_one(
    stage: Any, policy: Optional[Policy] = None, apply: bool = True, **target: str
) -> list[Any]:
    """A run for one instance: its verdicts, or what became of the deletions."""
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal, policy)
        plan = cleanup.plan_one(Target(**target))
        return list(cleanup.apply(plan)) if apply else list(plan.verdicts)


def test_with_proof_one_instance_goes_at_once_and_no_other_does(stage: Any) -> None:
    uuid = stage.terminated("old")
    stage.terminated("other")
    assert [
        (outcome.name, outcome.result)
        for outcome in run_for_one(stage, uuid=swap_bytes(uuid))
    ] == [("old.example.com", "deleted")]
    assert stage.left == {"witness", "other"}
    assert [
        outcome.result for outcome in run_for_one(stage, name="Other.example.com")
    ] == ["deleted"]


def test_without_proof_one_instance_waits_however_often_it_is_called(
    stage: Any,
) -> None:
    uuid = stage.archived("old")
    for _ in range(5):
        (verdict,) = run_for_one(stage, uuid=uuid, apply=False)
        assert verdict.decision is Decision.WAIT
        assert "in 1 run (3 needed)" in verdict.detail
    for _ in range(3):
        stage.now += 24 * HOUR
        assert stage.left == {"witness", "old"}
        outcomes = run_for_one(stage, uuid=uuid)
    assert [outcome.result for outcome in outcomes] == ["deleted"]


def test_a_run_for_one_instance_counts_no_other_miss_and_notes_no_size(
    stage: Any,
) -> None:
    uuid, other = stage.archived("old"), stage.archived("other")
    stage.plan()
    with stage.journal() as journal:
        before = journal.servers_before()
    stage.host("new")
    stage.now += 30 * HOUR
    run_for_one(stage, uuid=uuid)
    with stage.journal() as journal:
        assert [
            journal.history(stage.foreman.url, 0, form, [("prod", "RegionOne")]).misses
            for form in (uuid, other)
        ] == [2, 1]
        assert journal.servers_before() == before


@pytest.mark.parametrize(
    "target", [{"uuid": named_uuid("nobody")}, {"name": "nobody"}, {"name": "2"}]
)
def test_an_instance_without_a_record_is_not_found(stage: Any, target: Any) -> None:
    with pytest.raises(SatelliteNotFound, match="no host record of"):
        run_for_one(stage, **target)


def test_an_instance_out_of_the_configured_scope_is_not_found(stage: Any) -> None:
    uuid = stage.terminated("old")
    with stage.journal() as journal, pytest.raises(SatelliteNotFound):
        stage.cleanup(journal, search="name = witness.example.com").plan_one(
            Target(uuid)
        )


def test_several_records_with_the_uuid_are_all_shown_and_without_proof_none_goes(
    stage: Any,
) -> None:
    uuid = stage.archived("twin-a")
    stage.terminated("other")
    add_host(stage.world, "twin-b", "", uuid=swap_bytes(uuid), checked_in=3 * 86400.0)
    assert {
        verdict.reason.name for verdict in run_for_one(stage, apply=False, uuid=uuid)
    } == {"SHARED_UUID"}
    assert {
        verdict.reason.name
        for verdict in run_for_one(stage, apply=False, name="twin-a.example.com")
    } == {"SHARED_UUID"}


def test_all_rules_hold_for_one_instance_too(stage: Any) -> None:
    alive = stage.host("alive")
    talking = stage.terminated("talking", ago=2 * DAY, checked_in=DAY)
    assert [
        verdict.reason.name
        for uuid in (alive, talking)
        for verdict in run_for_one(stage, apply=False, uuid=uuid)
    ] == ["ALIVE", "CHECKED_IN"]
    uuid = stage.terminated("old")
    stage.osp.fail("/servers", 503)
    assert [
        verdict.reason.name for verdict in run_for_one(stage, apply=False, uuid=uuid)
    ] == ["UNKNOWN"]


def test_one_instance_may_go_in_a_fleet_too_small_for_the_fraction_but_not_a_second(
    stage: Any,
) -> None:
    """A loop over the cloud's servers is held by the caps of one run, an hour long."""
    first, second = stage.terminated("first"), stage.terminated("second")
    assert [outcome.result for outcome in run_for_one(stage, Policy(), uuid=first)] == [
        "deleted"
    ]
    refusal = r"2 of 2 instances \(100%\) are to be deleted within an hour, max_fraction is 10%"
    with pytest.raises(PlanError, match=refusal):
        run_for_one(stage, Policy(), uuid=second)
    refusal = "2 records are to be deleted within an hour, max_deletions is 1"
    with pytest.raises(PlanError, match=refusal):
        run_for_one(stage, Policy(max_fraction=1.0, max_deletions=1), uuid=second)
    stage.now += HOUR + timedelta(minutes=1)
    assert [
        outcome.result for outcome in run_for_one(stage, Policy(), uuid=second)
    ] == ["deleted"]


@pytest.mark.parametrize("policy", [Policy(max_fraction=0.0), Policy(max_deletions=0)])
def test_a_cap_of_0_keeps_the_one_instance_too(stage: Any, policy: Policy) -> None:
    uuid = stage.terminated("old")
    with pytest.raises(PlanError, match="(is|are) to be deleted"):
        run_for_one(stage, policy, uuid=uuid)
    assert stage.left == {"witness", "old"}


def test_a_cloud_that_shrank_holds_the_one_instance_too(stage: Any) -> None:
    servers = [stage.host(f"web-{number}") for number in range(9)]
    stage.plan()
    for uuid in servers[1:6]:
        del stage.openstack.instances["RegionOne"][uuid]
    stage.openstack.terminate("RegionOne", servers[0], stage.now.timestamp())
    with pytest.raises(PlanError, match="shrank from 10 to 4 servers"):
        run_for_one(
            stage, Policy(max_fraction=1.0, quiet=timedelta(0)), uuid=servers[0]
        )


def test_a_role_that_lost_view_params_since_the_plan_deletes_nothing(
    stage: Any,
) -> None:
    """In the same run, a moment later."""
    stage.terminated("old", parameters={"osp_cleanup_protect": "false"})
    login = limited_user(
        stage, "view_hosts", "view_facts", "view_params", "destroy_hosts"
    )
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal, login=login)
        plan = cleanup.plan()
        assert len(plan.deletions) == 1
        stage.satellite.users["limited"].permissions = frozenset(
            {"view_hosts", "view_facts", "destroy_hosts"}
        )
        (outcome,) = list(cleanup.apply(plan))
    assert outcome.result == "kept"
    assert "old" in stage.left
