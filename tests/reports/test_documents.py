"""What programs read of each command: documents that fit their JSON Schema, one a command."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from conftest import Stage
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError
from sandbox.instances import Instance
from sandbox.world import named_uuid

from foreman_hooks.cleanup.journal import Deletion
from foreman_hooks.cleanup.states import HostState, States
from foreman_hooks.commands import status
from foreman_hooks.commands.main import cli
from foreman_hooks.osp_checker import Presence, RegionAnswer, Server, Sighting
from foreman_hooks.osp_checker.errors import KINDS
from foreman_hooks.reports import documents
from foreman_hooks.reports.formats import Listing, write
from foreman_hooks.reports.listings import Style
from foreman_hooks.rules.model import (
    Basis,
    Decision,
    Outcome,
    Reason,
    Result,
    Verdict,
)
from foreman_hooks.rules.plan import Hold, Plan, PlanRegion
from foreman_hooks.rules.states import Machine, State
from foreman_hooks.rules.verdicts import verdicts_of

SCHEMAS = Path(documents.__file__).parent / "schema"
NOW = datetime(2025, 3, 1, 12, 30, 5, 678, tzinfo=timezone.utc)
UUID = "7f3c1f0e-5b1d-4a57-9f5e-0123456789ab"
# Which schema holds for the output of a command.
SCHEMA_OF = {
    "plan": "plan",
    "run": "plan",
    "apply": "plan",
    "check": "check",
    "history list": "history-list",
    "history approvals": "history-approvals",
    "states": "states",
    "status": "status",
    "unmanaged": "unmanaged",
}


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text())


VALIDATORS = {name: Draft202012Validator(schema(name)) for name in SCHEMA_OF.values()}


def valid(listing: Listing, name: str) -> Any:
    """The document in JSON, after it is held against its schema."""
    document = json.loads("".join(write(listing, Style("json"))))
    VALIDATORS[name].validate(document)
    return document


# The schemas themselves


def test_every_schema_is_one_and_names_each_key_that_it_requires() -> None:
    for path in SCHEMAS.iterdir():
        Draft202012Validator.check_schema(json.loads(path.read_text()))
        for part in objects_in(json.loads(path.read_text())):
            assert part["additionalProperties"] is False
            assert list(part["properties"]) == part["required"]


def objects_in(part: Any) -> Iterator[Any]:
    """Every part of a schema that describes an object."""
    if isinstance(part, list):
        for item in part:
            yield from objects_in(item)
    elif isinstance(part, dict):
        if "properties" in part:
            yield part
        for value in part.values():
            yield from objects_in(value)


def test_the_schema_of_a_plan_has_every_code() -> None:
    plan, history = schema("plan"), schema("history-list")
    codes = [reason.name for reason in Reason]
    assert plan["$defs"]["reason_code"]["enum"] == codes
    assert history["items"]["properties"]["reason_code"]["enum"] == [*codes, None]
    host = plan["properties"]["hosts"]["items"]["properties"]
    assert set(host["decision"]["enum"]) == {decision.value for decision in Decision}
    assert set(host["result"]["enum"]) == {*(result.value for result in Result), None}
    assert schema("status")["$defs"]["reason_code"]["enum"] == codes
    states = schema("states")["properties"]
    state = states["hosts"]["items"]["properties"]["state"]
    assert state["enum"] == [state.value for state in State]
    error = schema("check")["properties"]["regions"]["items"]["properties"]["error"]
    codes_of_errors = error["oneOf"][1]["properties"]["exit_code"]["enum"]
    assert codes_of_errors == sorted({kind.exit_code for kind in KINDS.values()})


def test_every_command_with_a_listing_has_a_schema() -> None:
    assert set(listing_commands(cli)) == SCHEMA_OF.keys()
    files = {path.name for path in SCHEMAS.iterdir()}
    assert files == {f"{name}.schema.json" for name in VALIDATORS}


def listing_commands(group: click.Group, before: str = "") -> Iterator[str]:
    """The names of the commands with an option --output."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        if isinstance(command, click.Group):
            yield from listing_commands(command, f"{before}{name} ")
        elif any(option.name == "output" for option in command.params):
            yield f"{before}{name}"


def test_a_schema_notices_a_new_key() -> None:
    plan = Plan("https://satellite.example.com", NOW, "all hosts", (), verdicts_of(()))
    document = valid(documents.plan_document(plan), "plan")
    with pytest.raises(ValidationError):
        VALIDATORS["plan"].validate({**document, "surprise": 1})


# Any plan

texts = st.text(max_size=5)
times = st.sampled_from(["", "2025-03-01T12:30:05Z"])
verdicts = st.builds(
    Verdict,
    st.integers(1, 9),
    texts,
    st.sampled_from(["", UUID]),
    st.sampled_from(Decision),
    st.sampled_from(Reason),
    texts,
    st.none(),
    st.builds(Basis, texts, texts, texts, times, times, times),
)
outcomes = st.builds(
    Outcome,
    st.integers(1, 9),
    texts,
    st.just(UUID),
    st.sampled_from(Result),
    texts,
    st.none() | st.just(NOW),
)
errors = st.none() | st.sampled_from([kind("no") for kind in KINDS.values()])
counts = st.integers(0, 9)
regions = st.builds(
    PlanRegion,
    texts,
    texts,
    st.none() | counts,
    texts,
    errors,
    st.lists(texts, max_size=1).map(tuple),
    alive=counts,
    terminated=counts,
)
plans = st.builds(
    Plan,
    texts,
    st.just(NOW),
    texts,
    st.lists(regions, max_size=2).map(tuple),
    st.lists(verdicts, max_size=3, unique_by=lambda one: one.host_id).map(verdicts_of),
    st.lists(texts, max_size=1).map(tuple),
    st.lists(st.builds(Hold, texts, st.tuples(counts)), max_size=1).map(tuple),
)


@given(plans, st.none() | st.lists(outcomes, max_size=2))
def test_whatever_a_plan_holds_its_document_fits_the_schema(
    plan: Plan, outcomes: Any
) -> None:
    document = valid(documents.plan_document(plan, outcomes), "plan")
    assert [host["id"] for host in document["hosts"]] == [
        verdict.host_id for verdict in plan.verdicts
    ]
    assert document["applied"] is (outcomes is not None)
    listing = documents.plan_document(plan, outcomes)
    assert yaml.safe_load("".join(write(listing, Style("yaml")))) == document


def test_a_host_has_stable_codes_and_times_beside_the_words() -> None:
    basis = Basis(
        "prod",
        "RegionOne",
        "p1",
        "2025-02-27T11:00:00Z",
        "2025-02-27T10:00:00Z",
        "",
    )
    verdict = Verdict(
        7, "web", UUID, Decision.DELETE, Reason.TERMINATED, "why", None, basis
    )
    plan = Plan("https://sat", NOW, "all hosts", (), verdicts_of([verdict]))
    outcome = Outcome(7, "web", UUID, Result.DELETED, "gone", NOW)
    (host,) = valid(documents.plan_document(plan, [outcome]), "plan")["hosts"]
    assert host == {
        "id": 7,
        "name": "web",
        "uuid": UUID,
        "decision": "delete",
        "reason": "terminated, with proof",
        "detail": "why",
        "reason_code": "TERMINATED",
        "cloud": "prod",
        "region": "RegionOne",
        "project": "p1",
        "terminated_at": "2025-02-27T11:00:00Z",
        "last_checkin": "2025-02-27T10:00:00Z",
        "due": None,
        "result": "deleted",
        "result_detail": "gone",
        "deleted_at": "2025-03-01T12:30:05Z",
    }


def test_only_a_deleted_record_has_a_time_of_deletion() -> None:
    verdict = Verdict(7, "web", UUID, Decision.DELETE, Reason.TERMINATED)
    plan = Plan("https://sat", NOW, "all hosts", (), verdicts_of([verdict]))
    for result in set(Result) - {Result.DELETED}:
        outcome = Outcome(7, "web", UUID, result, "why", NOW)
        (host,) = valid(documents.plan_document(plan, [outcome]), "plan")["hosts"]
        assert (host["result"], host["deleted_at"]) == (result.value, None)


def test_refusals_of_now_count_more_than_those_of_the_plan() -> None:
    plan = Plan(
        "https://sat", NOW, "all hosts", (), verdicts_of(()), refusals=("then",)
    )
    document = valid(documents.plan_document(plan, refusals=("now",)), "plan")
    assert (document["refusals"], document["digest"]) == (["now"], plan.digest)


# Other listings


@given(st.lists(st.sampled_from(Presence)), st.lists(regions))
def test_whatever_a_check_says_fits_the_schema(
    presences: list[Presence], regions: list[RegionAnswer]
) -> None:
    sightings = [Sighting("x", "", "", presence, "d", NOW) for presence in presences]
    document = valid(documents.check_document(regions, sightings), "check")
    assert len(document["sightings"]) == len(presences)


machines = st.builds(
    Machine,
    st.sampled_from(State),
    texts,
    texts,
    texts,
    texts,
    st.none() | st.just(NOW),
    texts,
)
host_states = st.builds(
    HostState,
    st.integers(1, 9),
    texts,
    st.sampled_from(["", UUID]),
    machines,
    st.booleans(),
    st.none() | st.just(NOW),
)


@given(st.lists(host_states, max_size=3), st.lists(regions, max_size=2))
def test_whatever_the_states_are_their_document_fits_the_schema(
    hosts: list[HostState], regions: list[RegionAnswer]
) -> None:
    counts = Counter(host.machine.state for host in hosts)
    states = States(
        "https://sat", NOW, NOW, "all", "RHSA-2026:1", regions, counts, hosts
    )
    document = valid(documents.states_document(states), "states")
    assert document["counts"]["hosts"] == len(document["hosts"]) == len(hosts)


def test_a_deletion_of_the_journal_has_what_is_known_of_it() -> None:
    whole = Deletion(
        id=3,
        satellite="https://sat",
        plan="d1",
        host_id=7,
        name="web",
        uuid=UUID,
        reason=Reason.MISSING.value,
        evidence={},
        snapshot={},
        begun=NOW,
        result=None,
        detail=None,
        ended=None,
        who="root",
        restored_at=NOW,
        restored_as=9,
        run="quick",
    )
    removed = whole._replace(
        id=0, uuid="", reason="by somebody else", result="removed", run=""
    )
    rows = valid(documents.deletions_listing([whole, removed]), "history-list")
    assert (rows[0]["result"], rows[0]["reason_code"]) == ("unfinished", "MISSING")
    assert (rows[0]["at"], rows[0]["restored_as"]) == ("2025-03-01T12:30:05Z", 9)
    assert [row["run"] for row in rows] == ["quick", None]
    assert [rows[1][key] for key in ("id", "uuid", "reason_code")] == [None] * 3


def test_a_server_has_the_id_and_the_name_of_its_project() -> None:
    server = Server(
        UUID, "prod", "RegionOne", "web", "ACTIVE", "p1", "shop", created=NOW
    )
    rows = valid(
        documents.servers_listing([server, server._replace(created=None)]), "unmanaged"
    )
    assert (rows[0]["project"], rows[0]["project_name"]) == ("p1", "shop")
    assert (rows[0]["created"], rows[1]["created"]) == ("2025-03-01T12:30:05Z", None)
    assert rows[0]["image"] is None


# The commands


@pytest.fixture
def output(stage: Stage, call: Any) -> Any:
    """Run a command with JSON output: exit code, the valid document, stderr."""

    def run(*argv: Any, **sections: Any) -> tuple[int, Any, str]:
        config = stage.config(**sections)
        code, out, err = call("--config", config, *argv, "--output", "json")
        words = " ".join(map(str, argv))
        name = next(name for name in SCHEMA_OF if f"{words} ".startswith(f"{name} "))
        document = json.loads(out)  # fails if there are two
        VALIDATORS[SCHEMA_OF[name]].validate(document)
        return code, document, err

    return run


def results(document: Any) -> dict[str, Any]:
    return {
        host["name"].split(".")[0]: host["result"]
        for host in document["hosts"]
        if host["result"]
    }


def test_a_plan_for_programs_has_its_times_and_places(
    stage: Stage, output: Any
) -> None:
    stage.terminated("old")
    stage.archived("waits")
    code, document, err = output("plan")
    assert (code, err, document["applied"]) == (0, "", False)
    assert document["counts"] == {
        "hosts": 3,
        "instances": 3,
        "delete": 1,
        "wait": 1,
        "keep": 1,
        "unknown": 0,
        "deleted": 0,
    }
    old = next(host for host in document["hosts"] if host["name"].startswith("old"))
    assert (old["cloud"], old["region"]) == ("prod", "RegionOne")
    assert old["last_checkin"] < old["terminated_at"] < document["made_at"]
    assert old["project"]
    assert [region["error"] for region in document["regions"]] == [None]


def test_a_plan_and_what_became_of_it_are_one_document(
    stage: Stage, output: Any
) -> None:
    stage.terminated("old")
    code, document, err = output("run", "--apply")
    assert (code, err, document["applied"]) == (0, "", True)
    assert results(document) == {"old": "deleted"}
    assert document["counts"]["deleted"] == 1
    old = next(host for host in document["hosts"] if host["name"].startswith("old"))
    assert old["deleted_at"] >= document["made_at"]


def test_a_run_with_nothing_to_delete_is_a_document_as_well(output: Any) -> None:
    code, document, err = output("run", "--apply")
    assert (code, err, document["applied"]) == (0, "", False)
    assert len(document["hosts"]) == 1


def test_a_run_for_one_instance_is_a_document_about_its_records(
    stage: Stage, output: Any
) -> None:
    uuid = stage.terminated("old")
    _, document, _ = output("run", "--apply", "--uuid", uuid)
    assert results(document) == {"old": "deleted"}
    assert (document["counts"]["hosts"], document["counts"]["instances"]) == (1, 2)


def test_a_document_says_why_a_plan_is_refused(
    stage: Stage, output: Any, call: Any
) -> None:
    stage.terminated("old")
    caps = {"policy": {"max_deletions": 0, "max_fraction": 1.0}}
    path = stage.folder / "plan.json"
    for command in (["plan", "--out", path], ["run", "--apply"], ["apply", path]):
        code, document, err = output(*command, **caps)
        assert (code, document["applied"]) == (3, False)
        assert document["refusals"] == ["1 record is to be deleted, max_deletions is 0"]
        assert document["refusals"][0] in err
        assert results(document) == {}
    digest = json.loads(path.read_text())["digest"]
    code, document, _ = output("apply", path, "--approve", digest[:12], **caps)
    assert (code, document["applied"], document["digest"]) == (0, True, digest)
    assert results(document) == {"old": "deleted"}


def test_a_plan_from_a_file_lists_what_is_open_and_counts_all(
    stage: Stage, output: Any
) -> None:
    stage.terminated("old")
    stage.archived("waits")
    path = stage.folder / "plan.json"
    _, planned, _ = output("plan", "--out", path)
    names = [host["name"].split(".")[0] for host in planned["hosts"]]
    assert names == ["witness", "old", "waits"]
    assert "witness" not in path.read_text()
    code, applied, _ = output("apply", path)
    assert code == 0
    names = [host["name"].split(".")[0] for host in applied["hosts"]]
    assert names == ["old", "waits"]
    assert results(applied) == {"old": "deleted"}
    assert applied["digest"] == planned["digest"]
    assert applied["counts"] == {**planned["counts"], "deleted": 1}


def test_a_document_says_which_deletions_are_held_back(
    stage: Stage, output: Any
) -> None:
    for number in range(2):
        stage.archived(f"gone-{number}")
    policy = {
        "max_absent": 1,
        "misses": 1,
        "grace": "0s",
        "max_fraction": 1.0,
    }
    code, document, _ = output("run", "--apply", policy=policy)
    assert code == 3
    (hold,) = document["held_back"]
    assert "max_absent is 1" in hold["why"]
    ids = [host["id"] for host in document["hosts"] if host["result"] == "kept"]
    assert hold["host_ids"] == ids
    assert len(ids) == 2


def test_a_document_says_which_region_did_not_answer(stage: Stage, output: Any) -> None:
    clouds = [{"cloud": "prod", "regions": ["RegionOne", "RegionTwo"]}]
    code, document, err = output("plan", clouds=clouds)
    one, two = document["regions"]
    assert (code, one["error"], two["region"]) == (1, None, "RegionTwo")
    assert two["error"]["exit_code"] == 69
    assert two["error"]["message"] in err
    stage.use_cloud(password="wrong")
    code, document, _ = output("run", "--apply")
    assert (code, document["regions"][0]["error"]["exit_code"]) == (129, 129)
    assert document["counts"]["unknown"] == 1
    code, document, _ = output("check", UUID)
    assert (code, document["regions"][0]["error"]["exit_code"]) == (129, 129)
    assert [row["presence"] for row in document["sightings"]] == ["unknown"]


def test_a_run_that_fails_before_its_plan_prints_no_document(
    stage: Stage, call: Any
) -> None:
    stage.foreman.fail("/api", 500)
    code, out, err = call("--config", stage.config(), "plan", "--output", "json")
    assert (code, out, err.count("\n")) == (69, "", 1)


def test_deletions_that_fail_are_in_the_document(stage: Stage, output: Any) -> None:
    stage.terminated("old")
    stage.foreman.fail("^DELETE", 500)
    code, document, _ = output("run", "--apply")
    (old,) = [host for host in document["hosts"] if host["result"]]
    assert (code, old["deleted_at"]) == (1, None)
    assert old["result"] in ("failed", "unfinished")


def test_check_history_and_unmanaged_fit_their_schemas(
    stage: Stage, output: Any
) -> None:
    gone = stage.terminated("old")
    code, document, _ = output("check", named_uuid("witness"), gone, "x")
    presences = [row["presence"] for row in document["sightings"]]
    assert (code, presences) == (65, ["present", "deleted", "invalid"])
    assert document["sightings"][1]["terminated_at"]
    output("run", "--apply")
    code, rows, _ = output("history", "list")
    assert (code, rows[0]["reason_code"], rows[0]["result"]) == (
        0,
        "TERMINATED",
        "deleted",
    )
    assert rows[0]["terminated_at"] < rows[0]["at"]
    stage.openstack.add("RegionOne", Instance(UUID, "unknown", created=0))
    code, rows, _ = output("unmanaged")
    assert (code, [row["uuid"] for row in rows]) == (0, [UUID])


def test_the_states_fit_their_schema(stage: Stage, output: Any) -> None:
    stage.terminated("old")
    stage.vanished("absent")
    stage.host("off", server="SHUTOFF")
    code, document, _ = output("states")
    states = {host["name"].split(".")[0]: host["state"] for host in document["hosts"]}
    assert (code, document["erratum"]) == (0, None)
    assert states == {
        "off": "off",
        "old": "terminated",
        "absent": "absent",
        "witness": "running",
    }


def test_approvals_fit_their_schema(stage: Stage, output: Any, call: Any) -> None:
    stage.terminated("old")
    plan = stage.folder / "plan.json"
    no_caps = {"policy": {"max_deletions": 0}}
    call("--config", stage.config(**no_caps), "plan", "--out", plan)
    digest = json.loads(plan.read_text())["digest"]
    assert output("apply", plan, "--approve", digest, **no_caps)[0] == 0
    code, (approval,), _ = output("history", "approvals")
    assert (code, approval["plan"], approval["deleted"]) == (0, digest, 1)


def test_the_status_fits_its_schema_before_and_after_runs(
    stage: Stage, output: Any, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = stage.folder / "root"
    root.mkdir()
    monkeypatch.setattr(status, "ROOT", root)
    code, document, _ = output("status")
    assert (code, document["last_full_run"], document["schedule"]) == (0, None, None)
    call("schedule", "install", "--root", root, "--every", "4h")
    waiting = stage.terminated("fresh", ago=timedelta(hours=1))
    stage.terminated("odd", ago=timedelta(hours=9), checked_in=timedelta(hours=3))
    output("plan")
    output("run", "--host", "fresh.example.com")
    code, document, _ = output("status")
    assert (code, document["problems"]) == (1, ["1 record"])
    assert document["last_full_run"]["state"] == "ended"
    assert document["last_quick_run"] is None
    other = document["last_other_run"]
    assert (other["kind"], other["scope"]) == ("single", "host fresh.example.com")
    for kind, minutes in (("full", 240), ("quick", 10)):
        runs = document["schedule"][kind]
        assert (runs["every_minutes"], runs["deletes"]) == (minutes, False)
        assert document["at"] < runs["next"]
    output("run", "--recent")
    document = output("status")[1]
    assert document["last_quick_run"]["kind"] == "quick"
    assert document["deleted_by_quick_runs"] == 0
    records = {row["reason_code"]: row for row in document["records"]}
    assert records.keys() == {"QUIET", "CHECKED_IN"}
    assert records["QUIET"]["uuid"] == waiting
    assert document["at"] < records["QUIET"]["due"]
    assert records["CHECKED_IN"]["due"] is None


def test_yaml_and_csv_have_the_same_columns(stage: Stage, call: Any) -> None:
    stage.terminated("old")
    config = stage.config()
    document = yaml.safe_load(call("--config", config, "run", "--output", "yaml")[1])
    VALIDATORS["plan"].validate(document)
    text = call("--config", config, "run", "--apply", "--output", "csv")[1]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == list(documents.HOST_COLUMNS)
    assert [row["Result"] for row in rows] == ["", "deleted"]
    keys = [label.lower().replace(" ", "_") for label in rows[0]]
    assert keys == list(document["hosts"][0])


@pytest.mark.parametrize("command", [["plan"], ["run"], ["run", "--apply"]])
def test_a_wrong_field_ends_a_run_before_it_begins(
    stage: Stage, call: Any, command: list[str]
) -> None:
    stage.terminated("old")
    options = ["--output", "csv", "--fields", "id,reason_cod"]
    code, out, err = call("--config", stage.config(), *command, *options)
    assert (code, out) == (64, "")
    assert "no field reason_cod; there are Id" in err
    assert stage.foreman.count() == 0


def test_hammer_commands_do_not_spoil_a_document(stage: Stage, call: Any) -> None:
    options = ["--show-hammer", "--output", "json"]
    code, out, err = call("--config", stage.config(), "plan", *options)
    assert (code, out, "--show-hammer" in err) == (64, "", True)
