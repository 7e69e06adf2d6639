"""Faults, kills and clocks, each through whole runs: no living host goes, no dead one stays."""

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
import satellites
from conftest import Stage
from sandbox.satellite import ANSIBLE, PUPPET, RHSM, DeletionFault, Host, User
from sandbox.server import Answer, Request
from sandbox.world import add_instance, guest_facts, named_uuid, registration, stamp

from foreman_hooks.cleanup.journal import JournalBusy, JournalError
from foreman_hooks.osp_checker import swap_bytes
from foreman_hooks.paths import spool_of
from foreman_hooks.rules.model import Outcome, Policy
from foreman_hooks.rules.plan import Plan
from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.errors import SatelliteError

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ROLE = ("view_hosts", "view_facts", "view_params", "destroy_hosts")
NO_ROUTE = {"status": 404, "error": "Not Found"}
LAX = Policy(max_fraction=1.0)


def results(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.name.split(".")[0]: outcome.result for outcome in outcomes}


def record_of(stage: Stage, name: str) -> Host:
    return next(
        host
        for host in stage.satellite.hosts.values()
        if host.name.startswith(f"{name}.")
    )


def several_runs(
    stage: Stage, runs: int = 5, policy: Optional[Policy] = None, **how: Any
) -> dict[str, str]:
    """Do some runs, 30 hours apart; returns what became of each planned deletion."""
    become: dict[str, str] = {}
    for _ in range(runs):
        become.update(results(stage.run(policy, **how)))
        stage.now += 30 * HOUR
    return become


def make_plan(stage: Stage, policy: Optional[Policy] = None, **how: Any) -> Plan:
    return stage.plan(policy, **how)


def applied(
    stage: Stage, plan: Plan, policy: Optional[Policy] = None, **how: Any
) -> dict[str, str]:
    with stage.journal() as journal:
        return results(list(stage.cleanup(journal, policy, **how).apply(plan)))


def on_file(stage: Stage) -> dict[str, Optional[str]]:
    """Short name -> result of its last deletion; None while nobody knows."""
    with stage.journal() as journal:
        return {row.name.split(".")[0]: row.result for row in journal.deletions()}


def limited(stage: Stage, *permissions: str) -> Login:
    stage.satellite.users["limited"] = User(
        "limited", "changeme", permissions=frozenset(permissions)
    )
    return Login(stage.foreman.url, "limited", "changeme")


# One odd answer


def reborn_with_old_facts(stage: Stage) -> str:
    """An active machine with the Ansible facts of a deleted one that had the record before."""
    old = named_uuid("first life")
    add_instance(stage.world, "first", old, terminated=2 * DAY.total_seconds())
    return stage.host(
        "second",
        checked_in=300.0,
        record={"last_report": stamp(9e5)},
        facts={
            **guest_facts(named_uuid("second")),
            ANSIBLE: {
                "ansible_product_uuid": old,
                "ansible_system_vendor": "RDO",
                "ansible_product_name": "OpenStack Compute",
                "ansible_virtualization_role": "guest",
            },
        },
    )


@pytest.mark.parametrize("times", [1, None])
def test_a_katello_that_is_away_for_one_answer_is_not_taken_for_a_plain_foreman(
    stage: Stage, call: Any, times: Optional[int]
) -> None:
    reborn_with_old_facts(stage)
    stage.foreman.fail("/katello/api/status", 404, NO_ROUTE, times=times)
    code, _, err = call("--config", stage.config(), "run", "--apply")
    assert (code, err.count("\n")) == (69, 1)
    assert "Katello" in err
    assert stage.left == {"witness", "second"}
    stage.foreman.faults.clear()
    stage.terminated("neighbour")
    assert results(stage.run()) == {"neighbour": "deleted"}


def test_a_katello_that_is_not_loaded_any_more_is_missed_by_the_journal(
    stage: Stage,
) -> None:
    """Nothing that Satellite answers then shows that it was ever there."""
    reborn_with_old_facts(stage)
    stage.plan()
    stage.satellite.katello = False
    for host in stage.satellite.hosts.values():
        host.subscription = None
        host.facts.pop(RHSM, None)
    with pytest.raises(SatelliteError, match="earlier runs found Katello there"):
        stage.run()
    assert stage.left == {"witness", "second"}


# The last look


class Takeover:
    """Lets a new machine take the record over at the given request, before the DELETE."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.handle = stage, stage.foreman.handle
        self.left: Optional[int] = None
        self.host: Optional[Host] = None
        self.deleted = False
        stage.foreman.handle = self.watch

    def arm(self, host: Host, after: int) -> None:
        self.host, self.left, self.deleted = host, after, False

    def watch(self, request: Request) -> Answer:
        if self.host and self.left is not None:
            self.deleted |= request.method == "DELETE"
            if self.left == 0 and not self.deleted:
                self.take_over(self.host)
            self.left -= 1
        return self.handle(request)

    def take_over(self, host: Host) -> None:
        uuid = named_uuid(f"new {host.name}")
        add_instance(self.stage.world, "new", uuid)
        host.facts = guest_facts(uuid)
        host.subscription = registration(0.0, registered_at=stamp(0.0))
        self.host = None


@pytest.mark.parametrize("change", ["all", "registration", "check-in", "report"])
def test_a_record_taken_over_at_any_request_before_the_delete_stays(
    stage: Stage, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_over(self: Takeover, host: Host) -> None:
        assert host.subscription
        if change == "registration":
            host.subscription = registration(3 * DAY.total_seconds())
        elif change == "check-in":
            host.subscription["last_checkin"] = stamp(0.0)
        elif change == "report":
            host.record["last_report"] = stamp(0.0)
        self.host = None

    if change != "all":
        monkeypatch.setattr(Takeover, "take_over", take_over)
    takeover = Takeover(stage)
    for after in range(40):
        stage.terminated(f"old-{after}")
        plan = make_plan(stage, search=f"name = old-{after}.example.com")
        takeover.arm(record_of(stage, f"old-{after}"), after)
        result = applied(stage, plan, search=f"name = old-{after}.example.com")[
            f"old-{after}"
        ]
        if takeover.deleted and takeover.host is not None:
            break  # the DELETE came first
        assert (result, f"old-{after}" in stage.left) == ("kept", True), after
    else:
        raise AssertionError("no DELETE in 40 requests")
    assert after > 5  # so many requests could be its last moment


# Rebirths


@pytest.mark.parametrize("same_consumer", [True, False])
def test_a_machine_made_again_from_the_volume_of_a_terminated_one_keeps_its_record(
    stage: Stage, same_consumer: bool
) -> None:
    """The same disk, the same consumer, a new UUID; its agent speaks every four hours."""
    stage.terminated(
        "volume", ago=timedelta(minutes=10), checked_in=timedelta(hours=3, minutes=50)
    )
    stage.terminated(
        "dead", ago=timedelta(minutes=10), checked_in=timedelta(hours=3, minutes=50)
    )
    new = named_uuid("second life")
    add_instance(stage.world, "second", new)
    assert stage.run() == []
    host = record_of(stage, "volume")
    if same_consumer:
        assert host.subscription
        # The facts come with a later check-in.
        host.subscription["last_checkin"] = stamp(0.0)
    else:
        host.subscription = registration(0.0, registered_at=stamp(0.0))
    stage.now += 5 * HOUR
    assert results(stage.run()) == {"dead": "deleted"}
    host.facts = guest_facts(new)
    stage.now += DAY
    assert stage.run() == []
    assert stage.left == {"witness", "volume"}


def test_a_terminated_clone_never_takes_the_record_of_its_living_original_with_it(
    stage: Stage,
) -> None:
    """It uploaded its own facts with the consumer of the original, which then checks in again."""
    stage.terminated("clone", ago=timedelta(hours=3), checked_in=timedelta(hours=4))
    stage.host("neighbour")
    add_instance(stage.world, "original", named_uuid("original"))
    assert stage.run() == []
    host = record_of(stage, "clone")
    assert host.subscription
    host.subscription["last_checkin"] = stamp(0.0)
    stage.now += 6 * HOUR
    assert stage.run() == []
    host.facts = guest_facts(named_uuid("original"))
    assert several_runs(stage) == {}
    assert stage.left == {"witness", "clone", "neighbour"}


# Silence, and clocks


def test_where_nobody_checks_in_any_more_only_proven_terminations_go(
    stage: Stage,
) -> None:
    """Satellite was off for three days."""
    stage.archived("missing")
    stage.terminated("proven")
    for host in stage.satellite.hosts.values():
        assert host.subscription
        host.subscription["last_checkin"] = stamp(4 * DAY.total_seconds())
    record_of(
        stage, "witness"
    ).name = "quiet.example.com"  # so that it does not check in as time passes
    assert several_runs(stage) == {"proven": "deleted"}
    assert stage.reasons()["missing"] == "NO_CHECKINS"
    record_of(stage, "quiet").name = "witness.example.com"
    stage.now += timedelta(0)
    assert results(stage.run()) == {"missing": "deleted"}
    assert stage.left == {"witness"}


@pytest.mark.parametrize("hours", [25, -25, 1])
@pytest.mark.parametrize("clock", ["keystone_ahead", "nova_ahead"])
def test_nothing_goes_if_our_clock_and_satellites_jump_together(
    stage: Stage, clock: str, hours: int
) -> None:
    stage.terminated("old")
    stage.archived("missing")
    setattr(stage.openstack, clock, hours * 3600.0)
    assert several_runs(stage) == {}
    setattr(stage.openstack, clock, 0.0)
    assert results(stage.run())["old"] == "deleted"


# A small cell


def lose_a_cell(stage: Stage, lost: int, of: int) -> list[str]:
    """Shut-off servers that vanish between two runs, without a row."""
    names = [f"cell-{number}" for number in range(of)]
    for name in names:
        stage.host(name, server="SHUTOFF", checked_in=9 * DAY.total_seconds())
    stage.plan()
    for name in names[:lost]:
        del stage.openstack.instances["RegionOne"][named_uuid(name)]
    return names


@pytest.mark.parametrize(("lost", "staggered"), [(9, False), (6, False), (9, True)])
def test_many_that_vanish_from_one_region_at_once_need_an_approval(
    stage: Stage, lost: int, staggered: bool
) -> None:
    lose_a_cell(stage, lost, 40)
    stage.terminated("proven")
    if staggered:  # some of them are still listed, in the first run
        for name in ("cell-0", "cell-1"):
            add_instance(stage.world, name, named_uuid(name))
        stage.plan()
        stage.now += HOUR
        for name in ("cell-0", "cell-1"):
            del stage.openstack.instances["RegionOne"][named_uuid(name)]
    become = several_runs(stage)
    assert become.pop("proven") == "deleted"
    assert set(become.values()) == {"kept"}
    assert len(stage.left) == 41


def test_the_output_says_how_to_approve_them_and_the_approval_lets_them_go(
    stage: Stage, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_a_cell(stage, 6, 30)
    for _ in range(3):
        stage.run()
        stage.now += 30 * HOUR
    stage.now += DAY
    plan = make_plan(stage)
    assert [hold.why for hold in plan.holds] == [
        "6 hosts of prod/RegionOne are absent at once, without proof; max_absent is 5"
    ]
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal)
        cleanup.approve(plan)
        assert set(results(list(cleanup.apply(plan, approved=True))).values()) == {
            "deleted"
        }
    assert len(stage.left) == 25


def test_a_few_that_vanish_go_without_an_approval(stage: Stage) -> None:
    lose_a_cell(stage, 4, 40)
    assert list(several_runs(stage).values()) == ["deleted"] * 4


# Twins


@pytest.mark.parametrize(
    "facts",
    [
        guest_facts(swap_bytes(named_uuid("old"))),
        {PUPPET: {"dmi::product::uuid": named_uuid("old")}},
        {ANSIBLE: {"ansible_product_uuid": named_uuid("old").upper()}},
    ],
    ids=["other bytes", "Puppet", "Ansible"],
)
@pytest.mark.parametrize("when", ["before the plan", "before apply"])
def test_a_living_twin_outside_the_search_and_organization_keeps_the_record(
    stage: Stage, facts: Any, when: str
) -> None:
    stage.satellite.organizations[7] = "Other"
    stage.terminated("old")
    stage.terminated("neighbour")
    scope: dict[str, Any] = {
        "search": "name ^ (old.example.com, neighbour.example.com)",
        "organization": 1,
    }
    twin = Host(
        "twin.example.com",
        facts=facts,
        organization_id=7,
        subscription=registration(60.0),
    )
    if when == "before the plan":
        stage.satellite.add(twin)
    plan = make_plan(stage, **scope)
    if when == "before apply":
        stage.satellite.add(twin)
    assert applied(stage, plan, **scope).get("neighbour") == "deleted"
    assert stage.left == {"witness", "old", "twin"}


def test_a_twin_that_appears_after_the_facts_were_read_keeps_a_record_without_proof(
    stage: Stage,
) -> None:
    uuid = stage.archived("old")
    stage.archived("neighbour")
    for _ in range(3):
        stage.run()
        stage.now += 30 * HOUR
    plan = make_plan(stage)
    assert len(plan.deletions) == 2
    stage.satellite.add(Host("twin.example.com", facts={PUPPET: {"uuid": uuid}}))
    assert applied(stage, plan) == {"old": "kept", "neighbour": "deleted"}


# Misses


@pytest.mark.parametrize("gap", [35 * DAY, 74 * HOUR])
def test_misses_from_before_a_long_gap_do_not_count(
    stage: Stage, gap: timedelta
) -> None:
    stage.archived("off")
    stage.run()
    stage.now += HOUR
    stage.run()
    stage.now += gap
    assert stage.run() == []
    stage.now += 30 * HOUR
    assert stage.run() == []
    stage.now += 50 * HOUR
    # 80 hours and three runs after the gap.
    assert results(stage.run()) == {"off": "deleted"}


def test_signs_of_life_in_a_spool_that_cannot_be_read_count_for_all(
    stage: Stage,
) -> None:
    stage.archived("off")
    stage.terminated("proven")
    for _ in range(3):
        stage.plan()
        stage.now += 30 * HOUR
    spool = spool_of(stage.folder / "journal.sqlite3")
    spool.mkdir()
    assert results(stage.run()) == {"proven": "deleted"}
    spool.rmdir()
    for _ in range(3):
        stage.now += 30 * HOUR
        assert stage.run() == []
    stage.now += 30 * HOUR
    assert results(stage.run()) == {"off": "deleted"}


# Nothing may hang, and no record holds up the others


@pytest.mark.parametrize(
    "command",
    [
        ["run", "--apply"],
        ["plan"],
        ["doctor"],
        ["check", "7f3c1f0e-52b3-4ff4-8b0c-5d4f3d0f5a3c"],
    ],
)
def test_a_keystone_that_wants_a_log_in_for_its_versions_is_a_wrong_login(
    stage: Stage, call: Any, command: list[str]
) -> None:
    stage.terminated("old")
    stage.osp.fail(
        "^GET /v3/?$",
        401,
        {"error": {"code": 401, "message": "The request requires authentication."}},
    )
    stage.osp.fail(
        "^POST /v3/auth/tokens", 401, {"error": {"code": 401, "message": "no"}}
    )
    code, out, err = call("--config", stage.config(), *command)
    assert code == (1 if command == ["doctor"] else 129), err
    stage.osp.faults.clear()
    assert results(stage.run()) == {"old": "deleted"}  # the journal's lock is free


POISON = {
    "500": (500, {"error": {"message": "undefined method `name' for nil:NilClass"}}),
    "403": (403, {"error": {"message": "Access denied"}}),
    "409": (409, {"message": "lock", "errors": ["lock"]}),
    "410": (410, {"message": "gone", "errors": ["gone"]}),
    "504": (504, "<html>504 Gateway Time-out</html>"),
}


@pytest.mark.parametrize("answer", POISON.values(), ids=POISON)
@pytest.mark.parametrize("what", ["read_faults", "fact_faults", "deletion_faults"])
def test_one_poisoned_record_is_named_and_holds_up_no_other(
    stage: Stage, call: Any, what: str, answer: tuple[int, Any]
) -> None:
    for name in ("old-1", "poisoned", "old-2", "old-3"):
        stage.terminated(name)
    faulty = DeletionFault(*answer) if what == "deletion_faults" else Answer(*answer)
    getattr(stage.satellite, what)[record_of(stage, "poisoned").id] = faulty
    config = stage.config()
    for _ in range(2):
        code, out, err = call("--config", config, "run", "--apply")
        assert code == 1, err
        assert "poisoned.example.com" in out + err
        assert stage.left == {"witness", "poisoned"}
        stage.terminated("old-1")
        stage.satellite.hosts.pop(max(stage.satellite.hosts))
    getattr(stage.satellite, what).clear()
    assert call("--config", config, "run", "--apply")[0] == 0
    assert stage.left == {"witness"}


ODD_TIMES = ["n/a", "0000-00-00 00:00:00 UTC", "2026-13-45", "yesterday"]


@pytest.mark.parametrize("value", ODD_TIMES)
@pytest.mark.parametrize("field", ["last_checkin", "registered_at", "last_report"])
def test_one_odd_time_in_a_record_keeps_that_record_alone(
    stage: Stage, call: Any, field: str, value: str
) -> None:
    for name in ("old-1", "odd", "old-2"):
        stage.terminated(name)
    host = record_of(stage, "odd")
    assert host.subscription
    (host.record if field == "last_report" else host.subscription)[field] = value
    code, out, err = call("--config", stage.config(), "run", "--apply")
    assert (code, "odd.example.com" in out + err) == (1, True)
    assert stage.left == {"witness", "odd"}


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {"id": "x"},
        {"id": 3},
        {"name": "odd.example.com"},
        {"id": 3, "name": "odd.example.com", "all_parameters": "none"},
        {"id": 3, "name": "odd.example.com", "subscription_facet_attributes": []},
    ],
    ids=str,
)
def test_one_list_entry_that_cannot_be_read_keeps_that_record_alone(
    stage: Stage, entry: Any
) -> None:
    for name in ("old-1", "odd", "old-2"):
        stage.terminated(name)
    assert record_of(stage, "odd").id == 3

    def mend(body: Any) -> Any:
        rows = [
            entry if isinstance(row, dict) and row.get("id") == 3 else row
            for row in body["results"]
        ]
        return {**body, "results": rows}

    satellites.change(stage.foreman, r"^GET /api/hosts\?.*all_parameters", mend)
    assert results(stage.run()) == {"old-1": "deleted", "old-2": "deleted"}
    assert stage.left == {"witness", "odd"}


def kill_before_the_delete(stage: Stage, **how: Any) -> None:
    """A run that died when its deletion was on file and not yet sent."""

    class KilledError(BaseException):
        pass

    with stage.journal() as journal:
        cleanup = stage.cleanup(journal, **how)
        plan = cleanup.plan()
        with pytest.MonkeyPatch.context() as patch:
            call = cleanup.satellite.call

            def die(method: str, path: str, **body: Any) -> Any:
                if method == "DELETE":
                    raise KilledError
                return call(method, path, **body)

            patch.setattr(cleanup.satellite, "call", die)
            with pytest.raises(KilledError):
                list(cleanup.apply(plan))


@pytest.mark.parametrize("answer", [*POISON.values(), (0, "")], ids=[*POISON, "cut"])
def test_an_unfinished_deletion_that_cannot_be_looked_at_stays_so_and_holds_up_no_other(
    stage: Stage, answer: tuple[int, Any]
) -> None:
    stage.terminated("killed")
    kill_before_the_delete(stage)
    stage.terminated("other")
    host_id = record_of(stage, "killed").id
    if answer[0]:
        stage.satellite.read_faults[host_id] = Answer(*answer)
    else:
        stage.foreman.fail(f"^GET /api/hosts/{host_id}$", reset=True)
    assert results(stage.run())["other"] == "deleted"
    assert on_file(stage)["killed"] is None or on_file(stage)["killed"] == "failed"
    assert stage.left == {"witness", "killed"}
    stage.satellite.read_faults.clear()
    stage.foreman.faults.clear()
    stage.now += HOUR
    assert results(stage.run()) == {"killed": "deleted"}


def test_proven_terminations_do_not_count_as_shrinkage_in_a_tiny_region(
    stage: Stage,
) -> None:
    stage.host("two")
    stage.host("three")
    stage.host("four")
    stage.plan()
    for name in ("two", "three", "four"):
        stage.openstack.terminate(
            "RegionOne", named_uuid(name), stage.now.timestamp() - 60
        )
        subscription = record_of(stage, name).subscription
        assert subscription
        subscription["last_checkin"] = stamp(3600.0)
    assert several_runs(stage) == {
        "two": "deleted",
        "three": "deleted",
        "four": "deleted",
    }
    assert stage.left == {"witness"}


def test_one_server_less_is_never_shrinkage_however_small_the_region(
    stage: Stage,
) -> None:
    stage.host("two")
    stage.plan()
    del stage.openstack.instances["RegionOne"][named_uuid("two")]
    stage.terminated("proven")
    plan = make_plan(stage)
    assert plan.refusals == ()
    assert applied(stage, plan) == {"proven": "deleted"}


def test_a_plan_outlives_the_termination_of_one_of_its_witnesses(stage: Stage) -> None:
    for number in range(4):
        stage.host(f"living-{number}")
    stage.archived("old")
    for _ in range(3):
        stage.run()
        stage.now += 30 * HOUR
    plan = make_plan(stage)
    (region,) = plan.regions
    assert len(region.witnesses) > 1
    _, first = region.witnesses[0]
    stage.openstack.terminate("RegionOne", first, stage.now.timestamp())
    assert applied(stage, plan) == {"old": "deleted"}


def test_a_plan_does_not_outlive_all_of_its_witnesses(stage: Stage) -> None:
    stage.archived("old")
    for _ in range(3):
        stage.run()
        stage.now += 30 * HOUR
    plan = make_plan(stage)
    add_instance(stage.world, "stranger", named_uuid("stranger"))
    for _, uuid in plan.regions[0].witnesses:
        stage.openstack.terminate("RegionOne", uuid, stage.now.timestamp())
    assert applied(stage, plan) == {"old": "kept"}


# The journal's account

ODD_ANSWERS: dict[str, dict[str, Any]] = {
    "504": {"status": 504},
    "cut": {"cut": True},
    "reset": {"reset": True},
    "500 HTML": {"status": 500},
    "500 JSON": {"status": 500, "body": {"error": {"message": "boom"}}},
    "redirect": {"status": 302, "body": ""},
    "200 HTML": {"status": 200},
    "empty": {"status": 200, "body": ""},
    "list": {"status": 200, "body": []},
    "another host": {"status": 200, "body": {"id": 1, "name": "witness.example.com"}},
    "429": {"status": 429, "body": {}},
    "404": {"status": 404, "body": NO_ROUTE},
    "422": {"status": 422, "body": {}},
}


@pytest.mark.parametrize("how", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
@pytest.mark.parametrize(
    "where", ["DELETE, done", "DELETE, not done", "the look after it"]
)
def test_whatever_is_answered_the_journal_says_in_the_end_what_became_of_the_record(
    stage: Stage, how: dict[str, Any], where: str
) -> None:
    stage.terminated("old")
    stage.terminated("other")
    handle, struck = stage.foreman.handle, [0]
    if where == "DELETE, done":

        def deletes(request: Request) -> Answer:
            answer = handle(request)
            if request.method != "DELETE" or struck[0]:
                return answer
            struck[0] = 1
            return (
                Answer(0)
                if how.get("cut") or how.get("reset")
                else Answer(how["status"], how.get("body", "<html>injected</html>"))
            )

        stage.foreman.handle = deletes
    elif where == "DELETE, not done":
        if how.get("cut") or how.get("reset"):
            how = {"status": 0, "body": ""}
        stage.foreman.fail("^DELETE /api/hosts/2$", times=1, **how)
    else:

        def look(request: Request) -> Answer:
            if (
                request.method == "DELETE"
                and request.path.endswith("/2")
                and not struck[0]
            ):
                struck[0] = 1
                stage.foreman.fail("^GET /api/hosts/2$", times=1, **how)
            return handle(request)

        stage.foreman.handle = look
    stage.run()
    gone = "old" not in stage.left
    assert on_file(stage)["old"] in ({None, "deleted"} if gone else {None, "failed"})
    if how is ODD_ANSWERS["another host"] and where != "the look after it":
        assert "other" not in on_file(stage)  # nothing more is deleted in that run
    else:
        assert on_file(stage)["other"] == "deleted"
    stage.plan()
    assert on_file(stage)["old"] == ("deleted" if gone else "failed")
    stage.run()
    assert on_file(stage)["old"] == "deleted"
    assert stage.left == {"witness"}


def narrow_nothing(stage: Stage) -> None:
    """The role is as it was."""


def without_an_organization(stage: Stage) -> None:
    user = stage.satellite.users["limited"]
    user.organizations = frozenset({7})
    stage.satellite.hosts[1].organization_id = 7  # so that it still sees somebody
    stage.satellite.organizations[7] = "Other"


def with_a_filter(stage: Stage) -> None:
    stage.satellite.users["limited"].sees = lambda host: host.name.startswith("witness")


def with_less_permissions(stage: Stage) -> None:
    stage.satellite.users["limited"].permissions = frozenset(
        {"view_hosts", "view_facts", "destroy_hosts"}
    )
    stage.satellite.users["limited"].sees = lambda host: (
        not host.name.startswith("killed")
    )


@pytest.mark.parametrize(
    "narrow", [without_an_organization, with_a_filter, with_less_permissions]
)
def test_a_404_to_a_role_that_was_narrowed_is_not_a_deletion(
    stage: Stage, narrow: Callable[[Stage], None]
) -> None:
    login = limited(stage, *ROLE, "view_organizations")
    for number in range(5):
        stage.host(f"living-{number}")
    stage.terminated("killed")
    kill_before_the_delete(stage, login=login)
    narrow(stage)
    stage.now += HOUR
    stage.plan(login=login)
    assert on_file(stage) == {"killed": None}
    assert "killed" in stage.left
    limited(stage, *ROLE, "view_organizations")  # and wide again
    stage.satellite.hosts[1].organization_id = 1
    stage.satellite.organizations.pop(7, None)
    stage.now += HOUR
    assert results(stage.run(login=login)) == {"killed": "deleted"}
    assert on_file(stage) == {"killed": "deleted"}


def test_a_404_to_a_role_that_is_as_it_was_is_a_deletion(stage: Stage) -> None:
    login = limited(stage, *ROLE, "view_organizations")
    stage.terminated("killed")
    kill_before_the_delete(stage, login=login)
    stage.satellite.hosts.pop(record_of(stage, "killed").id)
    stage.plan(login=login)
    assert on_file(stage) == {"killed": "deleted"}


def test_a_journal_that_is_removed_while_a_run_is_on_ends_that_run(
    stage: Stage,
) -> None:
    for number in range(3):
        stage.terminated(f"old-{number}")
    path = stage.folder / "journal.sqlite3"
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal)
        plan = cleanup.plan()
        outcomes = cleanup.apply(plan)
        assert next(outcomes).result == "deleted"
        with pytest.raises(JournalBusy), stage.journal():
            pass
        for file in stage.folder.glob("journal.sqlite3*"):
            file.unlink()
        with stage.journal() as second:  # another run can begin now
            become = [outcome.result for outcome in outcomes]
            assert "deleted" not in become
            assert second.deletions() == []
    assert path.exists()
    assert len(stage.left) == 3


def test_a_deletion_that_the_journal_cannot_note_any_more_is_unfinished(
    stage: Stage,
) -> None:
    """The record is gone, so "failed" would be wrong; and nothing more is deleted."""
    for number in range(2):
        stage.terminated(f"old-{number}")
    path = stage.folder / "journal.sqlite3"
    handle = stage.foreman.handle

    def move_at_deletion(request: Request) -> Answer:
        if request.method == "DELETE":
            path.rename(stage.folder / "elsewhere")
        return handle(request)

    stage.foreman.handle = move_at_deletion
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal)
        first, second = cleanup.apply(cleanup.plan())
    assert first.result == "unfinished"
    assert first.detail.startswith("deleted, which could not be noted: journal ")
    assert second.result == "kept"
    assert first.name.split(".")[0] not in stage.left
    assert second.name.split(".")[0] in stage.left


def test_a_journal_that_is_replaced_by_a_copy_ends_the_run_as_well(
    stage: Stage,
) -> None:
    stage.terminated("old")
    path = stage.folder / "journal.sqlite3"
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal)
        plan = cleanup.plan()
        copy = Path(shutil.copy(path, stage.folder / "copy"))
        copy.replace(path)
        with pytest.raises(JournalError, match="removed or replaced"):
            list(cleanup.apply(plan))
    assert "old" in stage.left


def damage(
    stage: Stage, column: str, text: Any, result: Optional[str] = "deleted"
) -> None:
    with (
        closing(sqlite3.connect(stage.folder / "journal.sqlite3")) as database,
        database,
    ):
        database.execute(
            f"UPDATE deletions SET {column} = ?, result = ?", (text, result)
        )


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "\udcff".encode("utf-8", "surrogatepass"), "[" * 100_000],
    ids=["empty", "cut", "list", "null", "bytes", "deep"],
)
@pytest.mark.parametrize("column", ["evidence", "snapshot"])
def test_a_damaged_row_is_named_and_ends_no_run_that_does_not_need_it(
    stage: Stage, call: Any, column: str, text: Any
) -> None:
    stage.terminated("old")
    stage.run()
    damage(stage, column, text)
    config = stage.config()
    for command in (["history", "list"], ["history", "show", "1"], ["restore", "1"]):
        code, _, err = call("--config", config, *command)
        assert (code, err.count("\n")) == (70, 1), err
        assert "deletion 1 is damaged" in err and "error of ours" not in err
    stage.terminated("next")
    # And no row that ended is read.
    assert call("--config", config, "run", "--apply")[0] == 0
    assert stage.left == {"witness"}


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("evidence", "{"),
        ("begun", "yesterday"),
        ("begun", "2026-11-26"),
        ("evidence", '{"visibility": []}'),
        ("host_id", "x"),
    ],
)
def test_a_damaged_row_that_is_unfinished_is_named_in_one_line(
    stage: Stage, call: Any, column: str, text: str
) -> None:
    stage.terminated("old")
    kill_before_the_delete(stage)
    damage(stage, column, text, None)
    code, _, err = call("--config", stage.config(), "run", "--apply")
    assert "error of ours" not in err and "Error:" not in err
    assert (code, "deletion 1 is damaged" in err) == (70, True), (code, err)
    assert "old" in stage.left


# What people read


def empty_lists(stage: Stage, skip: int, consistent: bool) -> None:
    """From a request on every list is empty, with numbers that agree or not."""
    handle, count = stage.foreman.handle, [0]

    def blind(request: Request) -> Answer:
        answer = handle(request)
        if (
            request.method != "GET"
            or not isinstance(answer.body, dict)
            or "results" not in answer.body
        ):
            return answer
        if request.path.endswith(("current_permissions", "organizations")):
            return answer
        count[0] += 1
        if count[0] <= skip:
            return answer
        kind = type(answer.body["results"])
        return answer._replace(
            body={
                **answer.body,
                "results": kind(),
                "subtotal": 0,
                "total": 0 if consistent else answer.body["total"],
            }
        )

    stage.foreman.handle = blind


@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize("skip", range(14))
def test_a_satellite_that_goes_blind_never_ends_silently_with_exit_0(
    stage: Stage, call: Any, skip: int, consistent: bool
) -> None:
    for number in range(60):
        stage.satellite.add(
            Host(
                f"vmware-{number}.example.com",
                facts=guest_facts(
                    named_uuid(f"v{number}"), vendor="VMware, Inc.", product="VMware7,1"
                ),
                subscription=registration(600.0),
            )
        )
    stage.terminated("old")
    stage.archived("missing")
    config = stage.config(
        satellite={
            "url": stage.foreman.url,
            "username": "admin",
            "password": "changeme",
            "page_size": 20,
        }
        if skip % 2
        else {"url": stage.foreman.url, "username": "admin", "password": "changeme"}
    )
    empty_lists(stage, skip, consistent)
    code, out, err = call("--config", config, "run", "--apply")
    assert "witness" in stage.left and "missing" in stage.left
    if code == 0:
        # All that mattered was seen before.
        assert "old" not in stage.left and "deleted" in out
    else:
        assert err.startswith("error: ")


def test_with_q_the_reason_of_an_exit_code_is_still_printed(
    stage: Stage, call: Any
) -> None:
    stage.terminated("old")
    stage.terminated("bad")
    stage.satellite.deletion_faults[3] = DeletionFault(
        422, {"error": {"full_messages": ["Delete DNS failed"]}}
    )
    code, out, err = call("-q", "--config", stage.config(), "run", "--apply")
    assert (code, out) == (1, "")
    assert (
        err.count("\n") == 1 and "bad.example.com" in err and "Delete DNS failed" in err
    )
    stage.osp.fail("/servers", 503)
    code, out, err = call("-q", "--config", stage.config(), "plan")
    assert (code, out, bool(err)) == (69, "", True)


@pytest.mark.parametrize("status", [400, 404, 409, 422])
@pytest.mark.parametrize("path", ["/api/hosts", "/api/fact_values", "/api/status"])
def test_a_refusal_of_satellite_while_planning_is_no_bad_data_of_the_user(
    stage: Stage, call: Any, status: int, path: str
) -> None:
    stage.terminated("old")
    stage.foreman.fail(rf"^GET {path}\b", status, {"error": {"message": "bad"}})
    code, _, err = call("--config", stage.config(), "plan")
    assert code in (69, 1), err
    assert err.startswith("error: ")


@pytest.mark.parametrize(
    "change",
    [
        {"made_at": 5},
        {"regions": [[1]]},
        {"regions": 7},
        {"holds": [["x", [99]]]},
        {"shrunk": "no"},
        {"refusals": [1]},
        {"satellite": None},
        {"scope": {}},
        {"made_at": "2026-11-26"},
    ],
    ids=str,
)
def test_a_forged_plan_with_a_true_digest_is_bad_data(
    stage: Stage, call: Any, change: dict[str, Any]
) -> None:
    from foreman_hooks.rules import plan as plans

    stage.terminated("old")
    document = json.loads(plans.dump(make_plan(stage)))
    document.pop("digest")
    verdicts = document.pop("verdicts")
    document.update(change)
    forged = {
        "digest": plans._digest(document, verdicts),
        **document,
        "verdicts": verdicts,
    }
    path = stage.folder / "plan.json"
    path.write_text(json.dumps(forged))
    code, _, err = call("--config", stage.config(), "apply", path)
    assert (code, err.count("\n")) == (65, 1), err
    assert "old" in stage.left


@pytest.mark.parametrize(
    "row",
    [
        [True, "old.example.com"],
        [2, 7],
        [2, "witness.example.com", "no uuid"],
        "text",
        [],
        [2.0, "old.example.com"],
    ],
    ids=str,
)
def test_a_forged_verdict_with_a_true_digest_is_bad_data(
    stage: Stage, call: Any, row: Any
) -> None:
    from foreman_hooks.rules import plan as plans

    stage.terminated("old")
    document = json.loads(plans.dump(make_plan(stage)))
    document.pop("digest")
    verdicts = document.pop("verdicts")
    verdicts[-1] = (
        [*row, *verdicts[-1][len(row) :]] if isinstance(row, list) and row else row
    )
    forged = {
        "digest": plans._digest(document, verdicts),
        **document,
        "verdicts": verdicts,
    }
    path = stage.folder / "plan.json"
    path.write_text(json.dumps(forged))
    code, _, err = call("--config", stage.config(), "apply", path)
    assert (code, err.count("\n")) == (65, 1), err
    assert "old" in stage.left
