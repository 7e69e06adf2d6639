"""One host that Satellite cannot show costs the others nothing; the last look before a deletion."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Callable

import pytest
from conftest import Stage
from sandbox.records import Report
from sandbox.satellite import ANSIBLE, ORGANIZATION, RHSM, Host, Satellite, User
from sandbox.server import Answer, Server
from satellites import (
    CONSUMER,
    MINIMUM,
    UNKNOWN_HOST,
    UNKNOWN_ROUTE,
    add_guests,
    before,
    change,
    guest,
    user,
)

from foreman_hooks.rules.model import Record
from foreman_hooks.satellite.access import measure_visibility
from foreman_hooks.satellite.check_ins import RECENT, recent_checkins, reports_failed
from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.client import Satellite as Client
from foreman_hooks.satellite.deletion import confirm_unchanged, delete_record
from foreman_hooks.satellite.errors import (
    SatelliteChanged,
    SatelliteError,
    SatelliteLoginError,
    SatelliteOutcomeUnknown,
    SatelliteUnreachable,
)
from foreman_hooks.satellite.records import (
    fetch_record,
    fetch_records,
    fetch_records_named,
)

NO_METHOD = Answer(500, {"error": {"message": "undefined method"}})
THEN = "2022-11-03 11:43:54 UTC"
Connect = Callable[..., Client]


def named(*numbers: int) -> list[str]:
    return [f"web{number}.example.com" for number in numbers]


# Records that cannot be shown


def test_one_host_that_cannot_be_shown_is_named_whether_asked_for_by_id_or_by_name(
    double: Satellite, client: Client
) -> None:
    add_guests(double, 100)
    double.read_faults[42] = NO_METHOD
    by_id = fetch_records(client, range(1, 101))
    by_name = fetch_records_named(client, named(*range(1, 101)))
    assert len(by_id) == len(by_name) == 100
    assert [key for key, record in by_id.items() if isinstance(record, str)] == [42]
    assert [key for key, record in by_name.items() if isinstance(record, str)] == named(
        42
    )
    assert "undefined method" in str(by_id[42])


@pytest.mark.parametrize(
    "numbers", [(1, 2), (1, 2, 50, 51, 99, 100), range(1, 101, 3)], ids=str
)
def test_hosts_that_cannot_be_shown_are_all_named_as_long_as_others_stand_between(
    double: Satellite, client: Client, numbers: Any
) -> None:
    add_guests(double, 100)
    double.read_faults.update(dict.fromkeys(numbers, NO_METHOD))
    records = fetch_records(client, range(1, 101))
    assert [key for key, record in records.items() if isinstance(record, str)] == list(
        numbers
    )


def test_three_hosts_in_a_row_that_cannot_be_shown_are_no_matter_of_a_host(
    server: Server, double: Satellite, client: Client
) -> None:
    add_guests(double, 100)
    double.read_faults.update(dict.fromkeys((50, 51, 52), NO_METHOD))
    with pytest.raises(SatelliteError, match="undefined method"):
        fetch_records(client, range(1, 101))
    assert len(server.requests) < 30


@pytest.mark.parametrize(
    "entry",
    [None, [], "web3.example.com", {}, {"id": None, "name": None}, {"id": True}],
    ids=str,
)
def test_an_entry_that_could_be_any_host_makes_the_one_that_was_asked_for_unreadable(
    server: Server, double: Satellite, client: Client, entry: Any
) -> None:
    """Otherwise a record that shares a UUID, and checked in a minute ago, would not count."""
    add_guests(double, 5)
    change(
        server,
        "include",
        lambda body: {
            **body,
            "results": [
                entry if shown["id"] == 3 else shown for shown in body["results"]
            ],
        },
    )
    by_id, by_name = (
        fetch_records(client, range(1, 6)),
        fetch_records_named(client, named(*range(1, 6))),
    )
    assert [key for key, record in by_id.items() if isinstance(record, str)] == [3]
    assert [key for key, record in by_name.items() if isinstance(record, str)] == named(
        3
    )


@pytest.mark.parametrize(
    "flaw",
    [
        {"id": "3"},
        {"last_report": "n/a"},
        {"last_report": "0000-00-00 00:00:00 UTC"},
        {"last_compile": "n/a"},
        {"all_parameters": [None]},
        {"subscription_facet_attributes": {"registered_at": "n/a"}},
    ],
    ids=str,
)
def test_a_host_with_one_odd_value_is_unreadable_by_its_name_and_the_others_are_fine(
    server: Server, double: Satellite, client: Client, flaw: dict[str, Any]
) -> None:
    add_guests(double, 5)
    change(
        server,
        "include",
        lambda body: {
            **body,
            "results": [
                {**shown, **flaw} if shown["id"] == 3 else shown
                for shown in body["results"]
            ],
        },
    )
    records = fetch_records_named(client, named(*range(1, 6)))
    assert [key for key, record in records.items() if isinstance(record, str)] == named(
        3
    )


def test_a_name_without_a_host_has_no_record(client: Client, web1: Host) -> None:
    assert set(
        fetch_records_named(client, ["web1.example.com", "web2.example.com"])
    ) == {"web1.example.com"}


def test_hosts_that_nobody_asked_for_or_twice_the_same_are_an_error(
    server: Server, double: Satellite, client: Client
) -> None:
    """A search that Satellite ignored."""
    add_guests(double, 2)
    change(
        server,
        "include",
        lambda body: {
            **body,
            "results": [
                {**shown, "id": 1, "name": "web1.example.com"}
                for shown in body["results"]
            ],
        },
    )
    asked: list[Callable[[], Any]] = [
        lambda: fetch_records(client, [1, 2]),
        lambda: fetch_records_named(client, named(1, 2)),
        lambda: fetch_records(client, [2]),
        lambda: fetch_records_named(client, named(2)),
    ]
    for ask in asked:
        with pytest.raises(
            SatelliteError, match="the same host twice|hosts that were not requested"
        ):
            ask()


# Check-ins


def ago(**span: int) -> str:
    return (datetime.now(timezone.utc) - timedelta(**span)).strftime(
        "%Y-%m-%d %H:%M:%S UTC"
    )


def yesterday() -> datetime:
    return datetime.now(timezone.utc) - timedelta(days=1)


def add_checked_in(double: Satellite, count: int, when: str) -> None:
    for number in range(1, count + 1):
        double.add(
            guest(
                f"web{number}.example.com",
                subscription={"uuid": CONSUMER, "last_checkin": when},
            )
        )


def test_a_host_that_cannot_be_shown_hides_no_other_check_in(
    double: Satellite, client: Client
) -> None:
    add_checked_in(double, 3, ago(hours=1))
    double.read_faults[2] = NO_METHOD
    assert recent_checkins(client, yesterday()) == {1, 3}


def test_check_ins_read_host_by_host_are_compared_as_well(
    server: Server, double: Satellite, client: Client
) -> None:
    """Satellite may have ignored the term with the date, and then every host matches."""
    add_checked_in(double, 3, ago(days=9))
    double.read_faults[2] = NO_METHOD
    handle = server.handle
    server.handle = lambda request: handle(
        request._replace(query={**request.query, "search": [""]})
        if "last_checkin" in request.first("search")
        else request
    )
    assert recent_checkins(client, yesterday()) == set()


def test_an_odd_check_in_among_others_is_none(
    server: Server, double: Satellite, client: Client
) -> None:
    add_checked_in(double, 3, ago(hours=1))
    change(
        server,
        "order=last_checkin",
        lambda body: {
            **body,
            "results": [
                {**shown, "subscription_facet_attributes": {"last_checkin": "n/a"}}
                if shown["id"] == 2
                else shown
                for shown in body["results"]
            ],
        },
    )
    assert recent_checkins(client, yesterday()) == {1, 3}


def test_some_check_ins_are_enough(
    server: Server, double: Satellite, client: Client
) -> None:
    add_checked_in(double, RECENT + 5, ago(hours=1))
    assert len(recent_checkins(client, yesterday())) == RECENT
    assert server.count("GET /api/hosts") == 1


def test_without_katello_reports_are_the_check_ins(server: Server) -> None:
    double = Satellite(katello=False)
    double.add(Host("web1.example.com", record={"last_report": ago(hours=1)}))
    double.add(Host("web2.example.com", record={"last_report": ago(days=9)}))
    double.add(Host("web3.example.com"))
    server.handle = double.handle
    client = Client(Login(server.url, "admin", "changeme"))
    assert recent_checkins(client, yesterday()) == {1}
    double.read_faults[3] = NO_METHOD
    assert recent_checkins(client, yesterday()) == {1}


def test_where_nothing_answers_check_ins_are_an_error_and_not_none(
    server: Server, client: Client, web1: Host
) -> None:
    server.fail("GET /api/hosts", 502, "<html>")
    with pytest.raises(SatelliteError, match="returned 502"):
        recent_checkins(client, yesterday())


# Reports

FAILED = {"failed": 1}


def reported(hours: int, **status: int) -> Report:
    return Report(ago(hours=hours), status)


def all_failed(client: Client) -> bool:
    record = fetch_record(client, 1)
    assert record
    return reports_failed(client, record, yesterday())


@pytest.mark.parametrize(
    ("reports", "failed"),
    [
        ([reported(1, failed=1)], True),
        ([reported(1, failed=2, failed_restarts=1)], True),
        ([reported(1, failed_restarts=1)], True),
        ([reported(1, failed=1, applied=1)], False),
        ([reported(1, failed=1, skipped=1)], False),
        ([reported(1, failed=1, pending=1)], False),
        ([reported(1)], False),
        ([reported(1, applied=3)], False),
        ([], False),
        ([reported(1, failed=1), reported(2, failed=1)], True),
        ([reported(1, failed=1), reported(2)], False),
        ([reported(1, failed=1), reported(48, applied=1)], True),
        ([reported(48, failed=1)], False),
    ],
)
def test_reports_failed_if_nothing_in_any_of_them_since_went_well(
    double: Satellite, client: Client, reports: list[Report], failed: bool
) -> None:
    double.add(guest(reports=reports))
    assert all_failed(client) is failed


REPORT = {"host_id": 1, "reported_at": ago(hours=1), "status": FAILED}
ODD_REPORTS: dict[str, Any] = {
    "no time": {**REPORT, "reported_at": None},
    "an odd time": {**REPORT, "reported_at": "n/a"},
    "the year 0": {**REPORT, "reported_at": "0000-00-00 00:00:00 UTC"},
    "older than the last report": {**REPORT, "reported_at": ago(hours=3)},
    "of another host": {**REPORT, "host_id": 2},
    "of no host": {**REPORT, "host_id": None},
    "no status": {**REPORT, "status": None},
    "a status of words": {**REPORT, "status": "failed"},
    "a status that is a list": {**REPORT, "status": ["failed"]},
    "an empty status": {**REPORT, "status": {}},
    "a count that is a text": {**REPORT, "status": {"failed": 1, "applied": "1"}},
    "a count that is no whole number": {
        **REPORT,
        "status": {"failed": 1, "applied": 1.0},
    },
    "a count that is true": {**REPORT, "status": {"failed": True}},
    "no object": "failed",
}


@pytest.mark.parametrize("report", ODD_REPORTS.values(), ids=ODD_REPORTS)
def test_a_report_that_cannot_be_read_is_no_failed_one(
    server: Server, double: Satellite, client: Client, report: Any
) -> None:
    double.add(guest(reports=[reported(1, failed=1)]))
    assert all_failed(client) is True
    change(
        server,
        "config_reports",
        lambda body: {**body, "results": [report], "subtotal": 1},
    )
    assert all_failed(client) is False


REFUSALS = [
    (403, {"error": {"message": "Access denied"}}),
    (404, UNKNOWN_HOST),
    (404, UNKNOWN_ROUTE),
    (500, {"error": {"message": "no"}}),
    (504, "<html>"),
    (410, {"message": "gone"}),
    (200, []),
    (302, ""),
]


@pytest.mark.parametrize("answer", REFUSALS, ids=str)
def test_reports_that_satellite_does_not_show_are_no_failed_ones(
    server: Server, double: Satellite, client: Client, answer: Any
) -> None:
    double.add(guest(reports=[reported(1, failed=1)]))
    server.fail("config_reports", *answer)
    assert all_failed(client) is False


def test_a_connection_that_is_lost_over_reports_is_an_error(
    server: Server, double: Satellite, client: Client
) -> None:
    double.add(guest(reports=[reported(1, failed=1)]))
    server.fail("config_reports", reset=True)
    with pytest.raises(SatelliteUnreachable):
        all_failed(client)


@pytest.mark.parametrize("answer", REFUSALS, ids=str)
def test_a_host_whose_reports_cannot_be_read_stays_and_holds_up_no_other(
    stage: Stage, answer: Any
) -> None:
    stage.terminated("old-1")
    stage.terminated("dead", reports=[reported(1, failed=1)])
    stage.terminated("old-2")
    stage.foreman.fail("config_reports", *answer)
    assert [
        outcome.name.split(".")[0]
        for outcome in stage.run()
        if outcome.result == "deleted"
    ] == ["old-1", "old-2"]
    assert stage.left == {"witness", "dead"}
    stage.foreman.faults.clear()
    assert [outcome.result for outcome in stage.run()] == ["deleted"]


# The last look

CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "renamed": ({"name": "web2.example.com"}, "name"),
    "unregistered": ({"subscription": None}, "consumer"),
    "another consumer": ({"subscription": {"uuid": "another"}}, "consumer"),
    "registered again": (
        {"subscription": {"uuid": CONSUMER, "registered_at": THEN}},
        "registered at",
    ),
    "checked in": (
        {"subscription": {"uuid": CONSUMER, "last_checkin": THEN}},
        "last checkin",
    ),
    "reported": ({"record": {"last_report": THEN}}, "last report"),
    "facts uploaded": ({"record": {"last_compile": THEN}}, "facts at"),
    "in build mode": ({"record": {"build": True}}, "build"),
    "a hypervisor": (
        {"subscription": {"uuid": CONSUMER, "hypervisor": True}},
        "hypervisor",
    ),
    "a Capsule": ({"infrastructure": {"smart_proxy_id": 1}}, "infrastructure"),
    "linked to a VM": ({"record": {"compute_resource_id": 3}}, "compute resource"),
    "protected": ({"parameters": {"osp_cleanup_protect": "hush"}}, "parameters"),
}


@pytest.mark.parametrize(("changes", "said"), CHANGES.values(), ids=CHANGES)
def test_the_last_look_refuses_a_record_that_changed_and_says_in_what(
    client: Client, web1: Host, changes: dict[str, Any], said: str
) -> None:
    record = fetch_record(client, 1)
    assert record
    confirm_unchanged(client, record)
    for name, value in changes.items():
        setattr(web1, name, value)
    with pytest.raises(SatelliteChanged, match="is no longer the same: ") as raised:
        confirm_unchanged(client, record)
    assert said in str(raised.value).partition("same: ")[2]
    assert "hush" not in str(raised.value)  # the value of a parameter may be a secret


def test_a_parameter_that_is_inherited_from_now_on_is_a_change_too(
    double: Satellite, client: Client, web1: Host
) -> None:
    record = fetch_record(client, 1)
    assert record
    double.parameters["osp_cleanup_protect"] = "true"
    with pytest.raises(SatelliteChanged, match="parameters changed"):
        confirm_unchanged(client, record)


def test_what_does_not_matter_to_a_verdict_may_change(
    client: Client, web1: Host
) -> None:
    record = fetch_record(client, 1)
    assert record
    web1.record.update(comment="shop", ip="192.0.2.7", owner_name="somebody")
    confirm_unchanged(client, record)


def test_a_record_that_is_gone_is_said_to_be_that(
    double: Satellite, client: Client, web1: Host
) -> None:
    record = fetch_record(client, 1)
    assert record
    double.hosts.clear()
    with pytest.raises(
        SatelliteChanged, match=r"host 1 \(web1.example.com\) no longer exists"
    ):
        confirm_unchanged(client, record)


def at_the_last_look(stage: Stage, host: Host, act: Callable[[], Any]) -> None:
    """Do something between the two reads of a host before its deletion."""
    path = f"^GET /api/hosts/{host.id}$"
    before(stage.foreman, path, lambda: before(stage.foreman, path, act))


def old(stage: Stage) -> Host:
    stage.terminated("old")
    return next(
        host for host in stage.satellite.hosts.values() if host.name.startswith("old")
    )


@pytest.mark.parametrize(
    "protect",
    [
        lambda stage, host: host.parameters.update(osp_cleanup_protect="true"),
        lambda stage, host: stage.satellite.parameters.update(
            osp_cleanup_protect="true"
        ),
        lambda stage, host: host.record.update(build=True),
        lambda stage, host: host.record.update(
            compute_resource_id=1, compute_resource_name="osp", uuid="vm"
        ),
        lambda stage, host: (
            host.facts[RHSM].update({"virt::uuid": "x"})
            or host.record.update(last_compile=ago(hours=0))
        ),
    ],
    ids=[
        "its parameter",
        "an inherited parameter",
        "build mode",
        "a compute resource",
        "facts",
    ],
)
def test_what_protects_a_record_at_the_last_moment_keeps_it(
    stage: Stage, protect: Any
) -> None:
    stage.satellite.settings["destroy_vm_on_host_delete"] = True
    host = old(stage)
    at_the_last_look(stage, host, lambda: protect(stage, host))
    (outcome,) = stage.run()
    assert (outcome.result, "old" in stage.left) == ("kept", True)
    assert outcome.detail.startswith("record changed in the meantime: ")
    assert stage.foreman.count("^DELETE") == 0
    assert stage.satellite.destroyed_vms == []


def test_a_record_that_was_detached_passes_the_last_look(stage: Stage) -> None:
    stage.satellite.settings["destroy_vm_on_host_delete"] = True
    old(stage).record.update(
        compute_resource_id=1, compute_resource_name="osp", uuid="vm"
    )
    assert [outcome.result for outcome in stage.run()] == ["deleted"]
    assert stage.foreman.count("disassociate") == 1
    assert stage.satellite.destroyed_vms == []


# The deletion


def test_a_login_that_is_refused_in_between_deletes_nothing_and_asks_no_more(
    server: Server, client: Client, web1: Host
) -> None:
    record = fetch_record(client, 1)
    assert record
    server.fail("^DELETE", 401, {"error": {"message": "Unable to authenticate user"}})
    server.requests.clear()
    with pytest.raises(SatelliteLoginError):
        delete_record(client, record)
    assert [request.method for request in server.requests] == ["DELETE"]


@pytest.mark.parametrize(
    "look",
    [
        (502, "<html>"),
        (500, {"error": {"message": "no"}}),
        (200, []),
        (404, "<html>"),
        (404, UNKNOWN_ROUTE),
        (403, {"error": {"message": "no"}}),
        (401, {}),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "deletion",
    [None, (504, "<html>"), (500, {"error": {"message": "no"}}), (404, UNKNOWN_HOST)],
    ids=str,
)
def test_if_the_check_after_a_delete_fails_the_outcome_is_unknown(
    server: Server, client: Client, web1: Host, deletion: Any, look: Any
) -> None:
    record = fetch_record(client, 1)
    assert record
    if deletion:
        server.fail("^DELETE", *deletion)
    server.fail("^GET /api/hosts/1$", *look)
    with pytest.raises(SatelliteOutcomeUnknown, match="the check afterwards failed"):
        delete_record(client, record)


def test_a_dropped_connection_leaves_it_open_as_long_as_the_record_is_there(
    server: Server, double: Satellite, client: Client, web1: Host
) -> None:
    record = fetch_record(client, 1)
    assert record
    double.stubborn.add(1)
    server.fail("^DELETE", reset=True)
    with pytest.raises(
        SatelliteOutcomeUnknown, match="still there, and the deletion may be under way"
    ):
        delete_record(client, record)


# What this login sees


def test_what_a_login_sees_is_the_same_as_long_as_nothing_changes(
    double: Satellite, connect: Connect, web1: Host
) -> None:
    assert measure_visibility(connect()) == measure_visibility(connect())
    assert measure_visibility(connect())["hosts"] == 1


@pytest.mark.parametrize(
    ("narrow", "differs"),
    [
        (
            lambda limited, double: setattr(
                limited, "permissions", limited.permissions - {"view_params"}
            ),
            {"permissions"},
        ),
        (
            lambda limited, double: setattr(
                limited, "permissions", limited.permissions - {"view_organizations"}
            ),
            {"permissions", "organizations"},
        ),
        (
            lambda limited, double: setattr(
                limited, "organizations", frozenset({ORGANIZATION})
            ),
            {"organizations", "hosts"},
        ),
        (
            lambda limited, double: setattr(limited, "sees", lambda host: host.id > 1),
            {"hosts"},
        ),
        (lambda limited, double: double.hosts.pop(1), {"hosts"}),
    ],
    ids=[
        "a permission",
        "organizations",
        "an organization",
        "a filter",
        "a host that went",
    ],
)
def test_what_a_login_sees_differs_when_it_sees_less(
    double: Satellite, connect: Connect, narrow: Any, differs: set[str]
) -> None:
    double.organizations[7] = "Second"
    add_guests(double, 2)
    double.add(guest("web3.example.com", organization_id=7))
    login = user(
        double,
        *MINIMUM,
        "view_params",
        "view_organizations",
        organizations=frozenset({ORGANIZATION, 7}),
    )
    before_that = measure_visibility(connect(*login))
    assert before_that["hosts"] == 3
    narrow(double.users["limited"], double)
    now = measure_visibility(connect(*login))
    assert {name for name in now if now[name] != before_that[name]} == differs


def test_another_login_sees_something_else_whatever_its_rights(
    double: Satellite, connect: Connect, web1: Host
) -> None:
    double.users["root"] = User("root", "changeme")
    assert {**measure_visibility(connect()), "login": ""} == {
        **measure_visibility(connect("root", "changeme")),
        "login": "",
    }
    assert measure_visibility(connect()) != measure_visibility(
        connect("root", "changeme")
    )


# Katello or not


def without_katello_for_once(server: Server) -> None:
    server.fail("/katello/api/status", 404, UNKNOWN_ROUTE)


@pytest.mark.parametrize(
    "host",
    [
        guest(),
        guest(subscription=None),
        guest(facts={ANSIBLE: {"ansible_fqdn": "a"}}),
        Host("web1.example.com", facts={RHSM: {"uname::machine": "x86_64"}}),
    ],
    ids=["both", "RHSM facts", "a facet", "one RHSM fact"],
)
def test_one_missing_route_makes_no_plain_foreman_of_a_satellite_whose_hosts_are_registered(
    server: Server, double: Satellite, client: Client, host: Host
) -> None:
    double.add(host)
    without_katello_for_once(server)
    with pytest.raises(
        SatelliteError, match="check the Katello plugin, or a proxy in between"
    ):
        client.about()
    server.faults.clear()
    assert client.about().katello == "4.14.3"


@pytest.mark.parametrize("katello", [True, False])
def test_a_newest_host_that_cannot_be_shown_leaves_it_open_no_more_than_any_other(
    server: Server, katello: bool
) -> None:
    double = Satellite(katello=katello)
    for number in range(1, 4):
        double.add(
            Host(
                f"web{number}.example.com",
                subscription={"uuid": CONSUMER} if katello else None,
            )
        )
    double.read_faults[3] = NO_METHOD
    server.handle = double.handle
    without_katello_for_once(server)
    client = Client(Login(server.url, "admin", "changeme"))
    if katello:
        with pytest.raises(SatelliteError, match="check the Katello plugin"):
            client.about()
    else:
        assert client.about() == ("3.12.0", None)


def test_records_that_are_read_agree_with_what_the_server_is(
    server: Server, double: Satellite
) -> None:
    """A facet on a Foreman that seemed to have no Katello."""
    plain = Satellite(katello=False)
    plain.add(Host("web1.example.com"))
    server.handle = plain.handle
    client = Client(Login(server.url, "admin", "changeme"))
    assert isinstance(fetch_record(client, 1), Record)
    change(
        server,
        "/api/hosts",
        lambda body: {**body, "subscription_facet_attributes": {"uuid": CONSUMER}},
    )
    with pytest.raises(
        SatelliteError, match="registered with Katello, which is not installed"
    ):
        fetch_record(client, 1)
