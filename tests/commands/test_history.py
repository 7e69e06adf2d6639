"""history shows what was deleted, and restore creates a host record again."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from conftest import Stage
from sandbox.records import User

from foreman_hooks.rules.model import Decision, Outcome, Reason, Record, Verdict
from foreman_hooks.satellite.records import fetch_record

RECORD = {
    "comment": 'Röntgen\'s "box" | 1',
    "ip": "192.0.2.7",
    "mac": "52:54:00:00:00:07",
    "hostgroup_id": 3,
    "hostgroup_title": "base/web",
    "hostgroup_name": "web",
    "owner_id": 4,
    "owner_name": "Admin User",
    "owner_type": "User",
}

UUID = "7f3c1f0e-5b1d-4a57-9f5e-0123456789ab"


@pytest.fixture
def gone(stage: Stage) -> Any:
    """The options for a stage that has just deleted old.example.com.

    The record had everything that a record can have.
    """
    stage.satellite.hostgroups[3] = "base/web"
    stage.terminated(
        "old", record=dict(RECORD), parameters={"role": "shop", "db_password": "s3cret"}
    )
    assert [one.result for one in stage.run()] == ["deleted"]
    return ("--config", stage.config())


def restored(stage: Stage) -> Any:
    (host,) = [
        host
        for host in stage.satellite.hosts.values()
        if host.name == "old.example.com"
    ]
    return host


# history


def test_a_deletion_is_listed_with_its_reason(call: Any, gone: Any) -> None:
    code, out, err = call(*gone, "history", "list", "--output", "json")
    (row,) = json.loads(out)
    assert (code, err, row["host"], row["result"], row["reason"]) == (
        0,
        "",
        "old.example.com",
        "deleted",
        "terminated, with proof",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["at"])
    assert (row["by"], row["restored_at"]) == ("root", None)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--host", "old.example.com"], 1),
        (["--host", "other.example.com"], 0),
        (["--since", "2020-01-01"], 1),
        (["--since", "2999-01-01"], 0),
        (["--until", "2020-01-01"], 0),
        (["--since", "2020/01/01 12:30:00 UTC"], 1),
        (["--until", "2999-01-01 12:00"], 1),
        (["--uuid", "11111111-0000-4000-8000-000000000000"], 0),
    ],
)
def test_the_list_can_be_narrowed(
    call: Any, gone: Any, options: list[str], count: int
) -> None:
    assert (
        len(json.loads(call(*gone, "history", "list", "--output", "json", *options)[1]))
        == count
    )


def test_a_deletion_is_listed_by_its_uuid_in_any_case(
    stage: Stage, call: Any, gone: Any
) -> None:
    with stage.journal() as journal:
        uuid = journal.deletions()[0].uuid
    assert uuid in call(*gone, "history", "list", "--uuid", uuid.upper())[1]


def test_a_deletion_is_shown_with_its_evidence(call: Any, gone: Any) -> None:
    code, out, err = call(*gone, "history", "show", "1")
    assert (code, err) == (0, "")
    assert (
        "Nova says that it was terminated" in out
        and "silent since it was terminated" in out
    )
    assert 'parameters: ["role", "db_password"]' in out
    assert "shop" not in out and "s3cret" not in out


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["show", "9"], 128),
        (["show", "x"], 64),
        (["list", "--since", "yesterday"], 64),
        (["list", "--uuid", "x"], 65),
        (["prune"], 64),
        (["prune", "--older-than", "soon"], 64),
        (["prune", "--older-than", "1h"], 64),
        (["prune", "--older-than", "999999999d"], 64),
    ],
)
def test_bad_input_is_one_line(
    call: Any, gone: Any, argv: list[str], code: int
) -> None:
    actual, out, err = call(*gone, "history", *argv)
    assert (actual, out, err.count("\n")) == (code, "", 1)


def test_before_the_first_run_there_is_no_history(stage: Stage, call: Any) -> None:
    code, out, err = call("--config", stage.config(), "history", "list")
    assert (code, out) == (70, "") and "the first run creates it" in err
    assert not (stage.folder / "journal.sqlite3").exists()


def test_the_history_can_be_read_while_a_run_holds_the_journal(
    stage: Stage, call: Any, gone: Any
) -> None:
    with stage.journal():
        assert call(*gone, "history", "list")[0] == 0
        assert call(*gone, "history", "prune", "--older-than", "30d")[0] == 75


def test_prune_forgets_old_deletions_and_nothing_that_a_run_needs(
    stage: Stage, call: Any, gone: Any
) -> None:
    now = datetime.now(timezone.utc)
    with stage.journal() as journal:
        for age, ended in ((400, True), (300, True), (500, False)):
            when = now - timedelta(days=age)
            verdict = Verdict(
                age, f"h{age}", "u", Decision.DELETE, Reason.TERMINATED, ""
            )
            number = journal.begin_deletion(
                "s", f"p{age}", verdict, {}, Record(1, "x"), "root", when
            )
            if ended:
                journal.end_deletion(
                    number, Outcome(age, f"h{age}", "u", "deleted", ""), when
                )
        journal.note_misses(
            [(UUID, "prod", "RegionOne")], (), now - timedelta(days=900)
        )
        journal.note_servers({("prod", "RegionOne"): 5}, now - timedelta(days=900))
        journal.note_approval("old", "ann", now - timedelta(days=900))
    assert call(*gone, "history", "prune", "--older-than", "365d") == (
        0,
        "1 deletions forgotten\n",
        "",
    )
    with stage.journal() as journal:
        assert [deletion.name for deletion in journal.deletions()] == [
            "old.example.com",
            "h300",
            "h500",
        ]
        assert journal.history("s", 1, UUID, [("prod", "RegionOne")]).misses == 1
        assert journal.servers_before() == {
            ("prod", "RegionOne"): (5, now - timedelta(days=900))
        }
        # The old approval is forgotten, so this is not a second one.
        journal.note_approval("old", "ann", now)


def test_a_file_that_is_not_a_journal_is_an_error(stage: Stage, call: Any) -> None:
    (stage.folder / "journal.sqlite3").write_text("no journal\n" * 100)
    code, out, err = call("--config", stage.config(), "history", "list")
    assert (code, out, err.count("\n")) == (70, "", 1)


def test_what_somebody_else_removed_is_listed_as_well(
    stage: Stage, call: Any, gone: Any
) -> None:
    stage.host("other")
    call(*gone, "event", "host_destroyed", "removed.example.com", "77")
    stage.plan()
    rows = json.loads(call(*gone, "history", "list", "--output", "json")[1])
    assert sorted((row["host"], row["result"]) for row in rows) == [
        ("old.example.com", "deleted"),
        ("removed.example.com", "removed"),
    ]
    assert call(*gone, "restore", "removed.example.com")[0] == 128


def test_approvals_are_listed_with_what_their_plans_deleted(
    stage: Stage, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "ann")
    stage.terminated("old")
    config = stage.config(policy={"max_deletions": 0})
    plan = stage.folder / "plan.json"
    call("--config", config, "plan", "--out", plan)
    digest = json.loads(plan.read_text())["digest"]
    assert call("--config", config, "apply", plan, "--approve", digest)[0] == 0
    code, out, err = call("--config", config, "history", "approvals")
    assert (code, err) == (0, "")
    row = rf"{digest[:12]} \| ann \| \d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d UTC \| 1"
    assert re.search(rf"^{row}$", out, re.MULTILINE)


# restore


def test_a_record_comes_back_as_it_was(stage: Stage, call: Any, gone: Any) -> None:
    code, out, err = call(*gone, "restore", "old.example.com")
    assert (code, err) == (0, "")
    host = restored(stage)
    kept = ("comment", "ip", "mac", "hostgroup_id", "owner_id", "owner_type")
    assert [host.record.get(name) for name in kept] == [RECORD[name] for name in kept]
    assert (host.organization_id, host.location_id, host.parameters) == (
        1,
        2,
        {"role": "shop"},
    )
    assert host.record.get("managed") is False and host.record.get("build") is False
    assert f"restored old.example.com as host {host.id} (was 2)" in out


def test_the_list_says_when_a_record_was_restored_and_as_which_host(
    stage: Stage, call: Any, gone: Any
) -> None:
    call(*gone, "restore", "old.example.com")
    out = call(*gone, "history", "list", "--fields", "By,At,Restored")[1]
    time = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d UTC"
    row = rf"root \| {time} \| {time} as host {restored(stage).id}"
    assert re.search(rf"^{row}$", out, re.MULTILINE)


def test_a_record_is_not_restored_while_a_run_holds_the_journal(
    stage: Stage, call: Any, gone: Any
) -> None:
    """Otherwise the journal could not say that it came back."""
    with stage.journal():
        code, out, err = call(*gone, "restore", "old.example.com")
    assert (code, out) == (75, "") and "another run holds the journal" in err
    assert "old" not in stage.left


def test_a_restore_that_fails_is_not_noted(stage: Stage, call: Any, gone: Any) -> None:
    stage.host("old")
    assert call(*gone, "restore", "old.example.com")[0] == 65
    (row,) = json.loads(call(*gone, "history", "list", "--output", "json")[1])
    assert row["restored_at"] is None


def test_what_cannot_come_back_is_listed_with_what_to_do(call: Any, gone: Any) -> None:
    out = call(*gone, "restore", "1")[1]
    assert (
        "not restored: the registration -> on the machine: subscription-manager clean;"
        in out
    )
    assert (
        "not restored: parameter db_password -> its value was hidden, or might have been a secret"
        in out
    )
    assert (
        "not restored: content view Default Organization View, lifecycle environment Library -> "
        "comes with the activation key"
    ) in out


def test_every_content_view_of_a_host_is_named(stage: Stage, call: Any) -> None:
    pairs = [
        {
            "content_view": {"name": view},
            "lifecycle_environment": {"name": "Production"},
        }
        for view in "AB"
    ]
    stage.terminated(
        "old", content={"content_view_environments": pairs, "content_view": None}
    )
    stage.run()
    out = call("--config", stage.config(), "restore", "old.example.com")[1]
    assert all(
        f"content view {view}, lifecycle environment Production" in out for view in "AB"
    )


def test_parameters_that_could_not_be_read_are_named_as_such(
    stage: Stage, call: Any, gone: Any
) -> None:
    with stage.journal() as journal:
        row = journal.deletions()[0]
        record = Record(
            2,
            "blind.example.com",
            snapshot={**row.snapshot, "name": "blind.example.com", "parameters": None},
        )
        verdict = Verdict(
            2, "blind.example.com", row.uuid, Decision.DELETE, Reason.TERMINATED, ""
        )
        number = journal.begin_deletion(
            row.satellite, "p", verdict, row.evidence, record, "root", stage.now
        )
        journal.end_deletion(
            number, Outcome(2, "blind.example.com", row.uuid, "deleted", ""), stage.now
        )
    assert (
        'parameters: "could not be read"' in call(*gone, "history", "show", number)[1]
    )
    code, out, _ = call(*gone, "restore", "blind.example.com")
    assert code == 0
    assert (
        "not restored: its parameters -> they could not be read before the deletion"
        in out
    )
    assert "view_params" in out


def test_a_host_group_or_owner_that_no_longer_exists_is_listed_too(
    stage: Stage, call: Any, gone: Any
) -> None:
    stage.satellite.hostgroups.clear()
    stage.satellite.owners.clear()
    out = call(*gone, "restore", "old.example.com")[1]
    assert (
        "not restored: hostgroup base/web" in out
        and "not restored: owner Admin User" in out
    )
    assert "hostgroup_id" not in restored(stage).record


def test_a_host_group_that_was_created_again_is_found_by_its_title(
    stage: Stage, call: Any, gone: Any
) -> None:
    stage.satellite.hostgroups.clear()
    stage.satellite.hostgroups[8] = "base/web"
    call(*gone, "restore", "old.example.com")
    assert restored(stage).record["hostgroup_id"] == 8


def test_a_record_that_exists_is_never_changed(
    stage: Stage, call: Any, gone: Any
) -> None:
    stage.host("old")
    before = restored(stage)
    code, out, err = call(*gone, "restore", "old.example.com")
    assert (code, out, err.count("\n")) == (65, "", 1) and "already been taken" in err
    assert restored(stage) is before


def test_a_restored_record_is_not_deleted_again(
    stage: Stage, call: Any, gone: Any
) -> None:
    """It is not registered until somebody registers the machine again."""
    call(*gone, "restore", "old.example.com")
    assert stage.run() == []
    assert "old" in stage.left


@pytest.mark.parametrize(
    ("host", "code"), [("other.example.com", 128), ("7", 128), ("", 128)]
)
def test_what_was_never_deleted_cannot_be_restored(
    call: Any, gone: Any, host: str, code: int
) -> None:
    actual, out, err = call(*gone, "restore", host)
    assert (actual, out, err.count("\n")) == (code, "", 1)


def test_a_deletion_of_another_satellite_is_not_restored_at_this_one(
    stage: Stage, call: Any, gone: Any
) -> None:
    section = {
        "url": stage.foreman.url.replace("127.0.0.1", "localhost"),
        "username": "admin",
        "password": "changeme",
    }
    code, _, err = call(
        "--config", stage.config(satellite=section), "restore", "old.example.com"
    )
    assert code == 65 and "was deleted at http://127.0.0.1" in err


@pytest.fixture
def begun(stage: Stage) -> Any:
    """A function that adds a deletion with a result to the journal, and returns the options."""

    def begin(result: str | None) -> Any:
        stage.terminated("old", parameters={"role": "shop"})
        verdict = Verdict(
            2, "old.example.com", "u", Decision.DELETE, Reason.TERMINATED, ""
        )
        with stage.journal() as journal:
            client = stage.cleanup(journal).satellite
            record = fetch_record(client, 2)
            assert record is not None
            number = journal.begin_deletion(
                client.url, "p", verdict, {}, record, "root", stage.now
            )
            if result:
                journal.end_deletion(
                    number,
                    Outcome(2, "old.example.com", "u", result, "gave 504"),
                    stage.now,
                )
        return ("--config", stage.config())

    return begin


@pytest.mark.parametrize("host", ["old.example.com", "1"])
@pytest.mark.parametrize(
    ("result", "message"), [("failed", "failed (gave 504)"), (None, "unfinished")]
)
def test_a_deletion_that_did_not_happen_is_not_restored(
    call: Any, begun: Any, stage: Stage, result: str | None, message: str, host: str
) -> None:
    config = begun(result)
    before = restored(stage)
    code, out, err = call(*config, "restore", host)
    assert (code, out) == (65, "")
    assert (
        "still exists as host 2, so there is nothing to restore; the journal has deletion 1 "
        f"as {message}" in err
    )
    assert restored(stage) is before


@pytest.mark.parametrize("result", ["failed", None])
def test_a_record_that_is_gone_after_all_comes_back(
    call: Any, begun: Any, stage: Stage, result: str | None
) -> None:
    config = begun(result)
    del stage.satellite.hosts[2]
    code, out, err = call(*config, "restore", "old.example.com")
    assert (code, err) == (0, "") and "restored old.example.com as host" in out
    assert restored(stage).parameters == {"role": "shop"}


def test_restore_reports_a_record_that_lost_its_registration(
    call: Any, begun: Any, stage: Stage
) -> None:
    config = begun("failed")
    stage.satellite.hosts[2].subscription = None
    assert (
        "it lost its registration: register the machine again"
        in call(*config, "restore", "old.example.com")[2]
    )


def test_a_record_that_the_login_cannot_see_is_not_created_twice(
    call: Any, begun: Any, stage: Stage
) -> None:
    config = begun(None)
    stage.satellite.users["admin"] = User(
        "admin",
        "changeme",
        frozenset({"view_hosts", "create_hosts"}),
        sees=lambda host: host.id != 2,
    )
    code, _, err = call(*config, "restore", "old.example.com")
    assert code == 65 and "already been taken" in err


def test_a_deletion_without_a_result_is_listed_as_unfinished(
    call: Any, begun: Any
) -> None:
    (row,) = json.loads(call(*begun(None), "history", "list", "--output", "json")[1])
    assert row["result"] == "unfinished"


def test_without_create_hosts_nothing_is_created(
    stage: Stage, call: Any, gone: Any
) -> None:
    stage.satellite.users["admin"] = User(
        "admin", "changeme", frozenset({"view_hosts"})
    )
    code, _, err = call(*gone, "restore", "old.example.com")
    assert code == 77 and "create_hosts" in err
    assert stage.left == {"witness"}
