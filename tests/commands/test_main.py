"""The command line as a person or cron meets it: what is printed, where, and the exit code."""

import contextlib
import json
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import PROGRAM
from sandbox.records import Host
from sandbox.targets import Process
from sandbox.world import named_uuid

from foreman_hooks.cleanup.run_log import last_run
from foreman_hooks.commands.main import main
from foreman_hooks.reports import logs
from foreman_hooks.times import hammer_time


def one_line(text: str) -> str:
    assert text.count("\n") == 1, text
    assert text.startswith("error: ")
    return text


# plan, apply, run


def test_plan_lists_what_would_be_deleted_and_deletes_nothing(
    stage: Any, call: Any
) -> None:
    stage.terminated("old")
    code, out, err = call("--config", stage.config(), "plan")
    assert (code, err) == (0, "")
    assert re.search(r"DELETE \(1\)\n  old\.example\.com +terminated 2 days ago ", out)
    assert "\n2 host records (all hosts): 1 to delete, 1 kept\n" in out
    assert "witness" not in out
    assert stage.left == {"old", "witness"}


def test_plan_in_json_lists_every_record(stage: Any, call: Any) -> None:
    stage.terminated("old")
    code, out, err = call(
        "--config",
        stage.config(),
        "plan",
        "--output",
        "json",
        "--fields",
        "Name,Decision",
    )
    assert code == 0
    assert json.loads(out)["hosts"] == [
        {"name": "witness.example.com", "decision": "keep"},
        {"name": "old.example.com", "decision": "delete"},
    ]


def test_detailed_exitcode_says_that_deletions_are_pending(
    stage: Any, call: Any
) -> None:
    config = stage.config()
    assert call("--config", config, "plan", "--detailed-exitcode")[0] == 0
    stage.terminated("old")
    assert call("--config", config, "plan", "--detailed-exitcode")[0] == 2


def test_show_hammer_prints_the_same_deletions_by_id(stage: Any, call: Any) -> None:
    stage.terminated("old")
    _, out, _ = call("--config", stage.config(), "plan", "--show-hammer")
    assert "hammer host delete --id 2\n" in out


def test_a_plan_that_was_written_can_be_applied(stage: Any, call: Any) -> None:
    stage.terminated("old")
    config, path = stage.config(), stage.folder / "plan.json"
    code, _, err = call("--config", config, "plan", "--out", path)
    assert (code, path.stat().st_mode & 0o777) == (0, 0o600)
    assert re.fullmatch(r"plan [0-9a-f]{12} written to .*plan\.json\n", err)
    code, out, err = call("--config", config, "apply", path)
    assert (code, err) == (0, "")
    assert "1 of 1 records deleted" in out
    assert stage.left == {"witness"}


def test_a_plan_that_is_applied_again_says_what_it_has_deleted(
    stage: Any, call: Any
) -> None:
    stage.terminated("old")
    config, path = stage.config(policy={"max_deletions": 0}), stage.folder / "plan.json"
    call("--config", config, "plan", "--out", path)
    approval = ["--approve", json.loads(path.read_text())["digest"]]
    assert call("--config", config, "apply", path, *approval)[0] == 0
    (at,) = (hammer_time(deletion.ended) for deletion in deletions(stage))
    again = f"old.example.com: already deleted on {at} by this plan\n"
    assert call("--config", config, "apply", path) == (0, again, "")
    assert call("--config", config, "apply", path, *approval) == (0, again, "")
    code, out, err = call("--config", config, "apply", path, "--output", "json")
    document = json.loads(out)
    assert (code, err, document["counts"]["deleted"]) == (0, "", 1)
    (row,) = (row for row in document["hosts"] if row["result"])
    assert (row["name"], row["result"]) == ("old.example.com", "deleted")
    assert row["result_detail"] == f"already deleted on {at} by this plan"
    assert len(deletions(stage)) == 1


def test_a_plan_that_another_run_was_quicker_to_carry_out_says_so(
    stage: Any, call: Any
) -> None:
    stage.terminated("old")
    config, path = stage.config(), stage.folder / "plan.json"
    call("--config", config, "plan", "--out", path)
    assert call("--config", config, "run", "--apply")[0] == 0
    code, out, err = call("--config", config, "apply", path)
    assert (code, err) == (0, "")
    assert out.startswith("old.example.com: already deleted on ")
    assert out.endswith(" by another run\n")


def test_a_plan_that_is_applied_again_goes_on_with_what_is_left(
    stage: Any, call: Any
) -> None:
    stage.terminated("old")
    stage.terminated("older")
    config, path = stage.config(), stage.folder / "plan.json"
    call("--config", config, "plan", "--out", path)
    stage.foreman.fail("DELETE /api/hosts/3", 500, {})
    assert call("--config", config, "apply", path)[0] == 1
    assert stage.left == {"older", "witness"}
    stage.foreman.faults.clear()
    code, out, err = call("--config", config, "apply", path)
    assert (code, err, stage.left) == (0, "", {"witness"})
    assert out.startswith("old.example.com: already deleted on ")
    assert "older.example.com: already" not in out
    assert [row.name for row in deletions(stage) if row.result == "deleted"] == [
        "old.example.com",
        "older.example.com",
    ]


def deletions(stage: Any) -> list[Any]:
    with stage.journal() as journal:
        return list(journal.deletions())


def test_a_refused_plan_exits_3_and_says_how_to_go_on(stage: Any, call: Any) -> None:
    stage.terminated("old")
    config, path = stage.config(policy={"max_deletions": 0}), stage.folder / "plan.json"
    code, out, err = call("--config", config, "plan", "--out", path)
    assert code == 3
    assert (
        "refused: 1 record is to be deleted, max_deletions is 0; nothing is deleted"
        in err
    )
    code, _, err = call("--config", config, "apply", path)
    digest = json.loads(path.read_text())["digest"]
    command = f"satellite-osp-cleanup --config {config} apply {path} --approve"
    assert (code, f"  {command} {digest[:12]}\n" in err) == (3, True)
    assert "old" in stage.left
    assert call("--config", config, "apply", path, "--approve", "0123456789ab")[0] == 65
    assert "old" in stage.left
    assert call("--config", config, "apply", path, "--approve", digest[:12])[0] == 0
    assert "old" not in stage.left


@pytest.mark.parametrize(
    ("regions", "look"),
    [
        (["RegionOne"], "is prod/RegionTwo misspelt or left out by mistake?"),
        (["RegionOne", "RegionTo"], "A region did not answer"),
    ],
)
def test_no_approval_is_offered_where_a_region_is_misspelt_or_left_out(
    stage: Any, call: Any, regions: list[str], look: str
) -> None:
    """With it, the size of an unknown region would count as normal."""
    path = stage.folder / "plan.json"
    far = stage.host("far")
    servers = stage.openstack.instances
    servers["RegionTwo"][far] = servers["RegionOne"].pop(far)
    both = [{"cloud": "prod", "regions": ["RegionOne", "RegionTwo"]}]
    assert call("--config", stage.config(clouds=both), "plan")[0] == 0
    other = {"cloud": "prod", "regions": regions, "ignore_regions": ["RegionTwo"]}
    config = stage.config(clouds=[other])
    for command in (("plan", "--out", path), ("apply", path)):
        code, out, err = call("--config", config, *command)
        assert code == 3
        assert "prod/RegionTwo was asked in the last good run" in err
        assert look in err
        assert "--approve " + json.loads(path.read_text())["digest"][:12] not in err
        assert err.endswith(f"  satellite-osp-cleanup --config {config} doctor\n")
        assert "Next" not in out


def test_a_region_that_shrank_can_be_approved_after_a_look_for_its_servers(
    stage: Any, call: Any
) -> None:
    for number in range(9):
        stage.host(f"web-{number}")
    config = stage.config()
    assert call("--config", config, "plan")[0] == 0
    for uuid in list(stage.openstack.instances["RegionOne"])[1:]:
        del stage.openstack.instances["RegionOne"][uuid]
    code, _, err = call("--config", config, "plan")
    assert (code, "shrank from 10 to 1 servers" in err) == (3, True)
    assert "Look for the missing servers: were they all terminated on purpose?" in err
    assert err.endswith(" plan --out plan.json\n")


def test_the_next_command_has_the_options_of_this_one(stage: Any, call: Any) -> None:
    stage.terminated("old")
    config, path = stage.config(), stage.folder / "my plan.json"
    program = f"  satellite-osp-cleanup --config {config}"
    options = ("--search", 'name ~ "old"', "--max-deletions", "5")
    quoted = "--search 'name ~ \"old\"' --max-deletions 5"
    _, out, _ = call("--config", config, "plan", *options)
    assert out.endswith(f"{program} plan {quoted} --out plan.json\n")
    _, out, _ = call("-v", "--config", config, "run", *options)
    assert out.endswith(f"{program} run {quoted} --apply\n")
    _, out, _ = call("--config", config, "plan", *options, "--out", path)
    assert out.endswith(f"{program} apply '{path}'\n")
    _, out, _ = call("--config", config, "run", "--host", "old.example.com")
    assert out.endswith(f"{program} run --host old.example.com --apply\n")


def test_living_hosts_are_listed_only_where_everything_is(
    stage: Any, call: Any
) -> None:
    """They share one verdict, and are not in the plan's file."""
    names = [f"alive-{number}.example.com" for number in range(3)]
    for name in names:
        stage.host(name.split(".")[0])
    stage.terminated("old")
    config, file, page = stage.config(), stage.folder / "plan", stage.folder / "page"

    def lists(*argv: Any) -> list[bool]:
        _, out, _ = call("--config", config, *argv)
        return [out.count(name) == 1 for name in names]

    assert lists("plan", "--out", file, "--report", page) == [False] * 3
    assert lists("plan", "--no-headers") == [False] * 3
    for output in ("csv", "json", "yaml"):
        assert lists("plan", "--output", output) == [True] * 3
    _, out, _ = call("-v", "--config", config, "plan")
    assert [name in out for name in names] == [True] * 3
    assert [name in page.read_text() for name in names] == [True] * 3
    assert [name in file.read_text() for name in names] == [False] * 3


def test_if_nothing_can_be_deleted_the_next_command_explains_what_needs_attention(
    stage: Any, call: Any
) -> None:
    config = stage.config()
    assert "Next" not in call("--config", config, "plan")[1]
    stage.terminated("talks", checked_in=timedelta(hours=1))
    out = call("--config", config, "plan")[1]
    assert out.endswith(f"--config {config} explain talks.example.com\n")


@pytest.mark.parametrize("options", [("--fields", "Name"), ("--no-headers",)])
def test_options_of_columns_ask_for_the_table_of_hammer_and_nothing_else(
    stage: Any, call: Any, options: Any
) -> None:
    stage.terminated("old")
    code, out, _ = call("--config", stage.config(), "plan", *options)
    assert code == 0
    lines = [line for line in out.splitlines() if not line.startswith(("-", "NAME"))]
    assert len(lines) == 1 and "old.example.com" in lines[0]


def test_a_letter_that_the_encoding_lacks_is_escaped(stage: Any) -> None:
    stage.terminated("東京")
    done = subprocess.run(
        [*PROGRAM, "--config", str(stage.config()), "plan"],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u6771\u4eac.example.com" in done.stdout


def test_run_without_apply_deletes_nothing_and_with_it_does(
    stage: Any, call: Any
) -> None:
    stage.terminated("old")
    config = stage.config()
    assert call("--config", config, "run")[0] == 0
    assert "old" in stage.left
    code, out, _ = call("--config", config, "run", "--apply")
    assert (code, stage.left) == (0, {"witness"})
    assert "1 of 1 records deleted" in out


def test_run_prints_the_listing_also_into_a_pipe(stage: Any, call: Any) -> None:
    stage.archived("waits")
    code, out, err = call("--config", stage.config(), "run", "--apply")
    assert (code, err) == (0, "")
    assert "2 host records (all hosts): 0 to delete, 1 waiting, 1 kept" in out


def test_quiet_prints_errors_only(stage: Any, call: Any) -> None:
    stage.terminated("old")
    assert call("-q", "--config", stage.config(), "plan") == (0, "", "")


def test_a_plan_with_an_unknown_cloud_exits_with_the_reason(
    stage: Any, call: Any
) -> None:
    stage.terminated("old")
    stage.use_cloud(password="wrong")
    code, out, err = call("--config", stage.config(), "run", "--apply")
    assert code == 129
    assert "Keystone refuses" in one_line(err)
    assert "old" in stage.left


def test_one_cloud_of_two_unknown_exits_1(stage: Any, call: Any) -> None:
    config = stage.config(
        clouds=[{"cloud": "prod", "regions": ["RegionOne", "RegionTwo"]}]
    )
    code, _, err = call("--config", config, "plan")
    assert code == 1
    assert "RegionTwo" in one_line(err)


def test_a_second_run_at_the_same_time_exits_75(stage: Any, call: Any) -> None:
    with stage.journal():
        code, _, err = call("--config", stage.config(), "plan")
    assert code == 75
    assert "another run" in one_line(err)


def test_search_and_organization_narrow_the_hosts(stage: Any, call: Any) -> None:
    stage.terminated("old")
    stage.terminated("older")
    config = stage.config()
    _, out, _ = call(
        "--config",
        config,
        "plan",
        "--search",
        "name = old.example.com",
        "--output",
        "csv",
        "--no-headers",
        "--fields",
        "Name",
        "--csv-separator",
        ";",
    )
    assert out == "old.example.com\n"
    code, out, _ = call(
        "--config", config, "plan", "--organization", "Default Organization"
    )
    assert "3 host records (organization Default Organization)" in out
    assert call("--config", config, "plan", "--organization", "Nope")[0] == 128


# explain, check, doctor


def test_explain_shows_every_rule_up_to_the_one_that_keeps(
    stage: Any, call: Any
) -> None:
    stage.terminated("old")
    stage.terminated("talking", checked_in=stage.now - stage.now)
    config = stage.config()
    code, out, _ = call("--config", config, "explain", "old.example.com")
    assert code == 0
    assert out.splitlines()[-1] == "verdict: delete"
    assert len([line for line in out.splitlines() if line.startswith("  ok")]) == 14
    _, out, _ = call("--config", config, "explain", "talking.example.com")
    assert "  stop silent since it was terminated" in out
    assert "not deleted, checked in after its termination" in out.splitlines()[-1]


def test_explain_looks_beyond_a_rule_that_only_waits(stage: Any, call: Any) -> None:
    """The run does not read the record before its time, but explain does."""
    protected = {"osp_cleanup_protect": "true"}
    stage.terminated("young", ago=timedelta(hours=1), parameters=protected)
    code, out, _ = call("--config", stage.config(), "explain", "young.example.com")
    assert code == 0
    *_, wait, _, _, _, stop, last = out.splitlines()
    assert wait.startswith("  wait one check-in interval (4h30m) has passed since: ")
    assert stop == (
        "  stop host parameter osp_cleanup_protect does not protect it: "
        "osp_cleanup_protect = 'true'"
    )
    assert last == "verdict: not deleted, terminated, waiting one check-in interval"
    assert stage.reasons()["young"] == "QUIET"


def test_explain_counts_no_miss(stage: Any, call: Any) -> None:
    stage.archived("old")
    for _ in range(3):
        call("--config", stage.config(), "explain", "old.example.com")
    assert "in 1 run (3 needed)" in next(
        verdict.detail
        for verdict in stage.plan().verdicts
        if verdict.name.startswith("old")
    )


def test_check_says_200_404_500_and_400(stage: Any, call: Any) -> None:
    alive, gone = named_uuid("witness"), stage.terminated("old")
    config = stage.config()
    assert call("--config", config, "check", alive)[0] == 0
    code, out, _ = call(
        "--config",
        config,
        "check",
        alive,
        gone,
        "--output",
        "csv",
        "--fields",
        "Code,Presence",
    )
    assert (code, out) == (128, "Code,Presence\n200,present\n404,deleted\n")
    code, out, err = call(
        "--config",
        config,
        "check",
        "x; rm -rf /",
        alive,
        "--output",
        "csv",
        "--fields",
        "Code",
    )
    assert (code, out) == (65, "Code\n400\n200\n")
    assert one_line(err) == "error: not a UUID: 'x; rm -rf /'\n"
    stage.osp.fail("/servers/", 500)
    code, _, err = call("--config", config, "check", alive)
    assert (code, "gave 500" in one_line(err)) == (69, True)


def test_check_of_a_living_instance_costs_a_token_and_one_get(
    stage: Any, call: Any
) -> None:
    call("--config", stage.config(), "check", named_uuid("witness"))
    # version, token, server
    assert [request.method for request in stage.osp.requests] == ["GET", "POST", "GET"]


def test_check_loads_no_client_of_a_service_that_it_does_not_ask(stage: Any) -> None:
    """openstacksdk itself imports those of all services, which takes longer than a check."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"""
import sys
from foreman_hooks.cleanup.run_log import last_run
from foreman_hooks.commands.main import main
from foreman_hooks.commands import process
def check():
    code = main(["--config", {str(stage.config())!r}, "check", {named_uuid("witness")!r}])
    print([name for name in ("openstack.connection", "rich", "jinja2") if name in sys.modules])
    return code
process.run_and_exit(check)
""",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == ""


def test_check_of_bad_uuids_alone_asks_nobody(stage: Any, call: Any) -> None:
    assert call("--config", stage.config(), "check", "nonsense", "")[0] == 65
    assert stage.osp.count() == 0


def test_osp_check_reads_standard_input_and_needs_no_configuration(stage: Any) -> None:
    program = [
        sys.executable,
        "-c",
        "from foreman_hooks.commands.main import check_entry_point; check_entry_point()",
    ]
    lines = "\n".join(
        [named_uuid("witness"), "", f"  {named_uuid('nobody').upper()}  "]
    )
    done = subprocess.run(
        [*program, "--cloud", "prod", "--output", "json"],
        input=lines,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 128
    sightings = json.loads(done.stdout)["sightings"]
    assert [row["presence"] for row in sightings] == ["present", "absent"]
    assert done.stderr == f"no such instance: {named_uuid('nobody')}\n"


def test_check_of_many_lists_the_servers_once(stage: Any, call: Any) -> None:
    uuids = [stage.host(f"app-{number}") for number in range(60)]
    code, out, _ = call("--config", stage.config(), "check", "--output", "json", *uuids)
    assert (code, len(json.loads(out)["sightings"])) == (0, 60)
    assert stage.osp.count("/servers/[0-9a-f]{8}") == 1  # the canary


# A check by a job


@pytest.fixture
def delegated(stage: Any) -> Any:
    """A configuration with a check job; the checker host runs it as a process with its own home."""
    home = stage.folder / "checker"
    (home / ".config" / "openstack").mkdir(parents=True)
    stage.use_cloud().rename(home / ".config" / "openstack" / "clouds.yaml")
    host = stage.satellite.add(Host("osp-checker.example.com"))
    stage.satellite.jobs.targets[host.id] = Process(
        home, {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    )
    config = stage.config(
        checker={"job_template": "OSP - Check instances", "search": f"id = {host.id}"}
    )
    assert main(["-q", "--config", str(config), "templates", "publish"]) == 0
    yield config
    stage.satellite.jobs.close()


def test_check_explain_and_doctor_work_through_the_job(
    stage: Any, call: Any, delegated: Path
) -> None:
    uuid = stage.terminated("old")
    code, out, err = call("--config", delegated, "check", "--output", "json", uuid)
    assert (code, err, json.loads(out)["sightings"][0]["code"]) == (
        128,
        f"no such instance: {uuid}\n",
        404,
    )
    code, out, err = call("--config", delegated, "explain", "old.example.com")
    assert (code, err) == (0, "") and "verdict: delete" in out
    code, out, err = call("--config", delegated, "doctor")
    assert (code, err) == (0, "")
    assert re.search(
        r"\[ OK \] the check job 'OSP - Check instances' took \d+\.\d s", out
    )
    assert re.search(
        r"\[ OK \] prod/RegionOne: 1 servers; the login can see other projects' servers",
        out,
    )


def test_max_deletions_can_lower_the_cap_but_not_raise_it(
    stage: Any, call: Any
) -> None:
    for number in range(3):
        stage.terminated(f"old-{number}")
    config = stage.config(policy={"max_fraction": 1.0, "max_deletions": 2})
    for cap in ("1", "99"):
        code, _, err = call(
            "--config", config, "run", "--apply", "--max-deletions", cap
        )
        assert code == 3 and "refused" in err
    assert len(stage.left) == 4
    assert (
        call("--config", stage.config(), "run", "--apply", "--max-deletions", "3")[0]
        == 0
    )
    assert stage.left == {"witness"}


# Bad input


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["paln"], 64, "No such command"),
        (["plan", "--serach", "x"], 64, "--search"),
        (["plan", "--output", "xml"], 64, "xml"),
        (["plan", "--fields", "Nonsense"], 64, "no field Nonsense"),
        (["plan", "--csv-separator", "ab"], 64, "one character"),
        (["plan", "--search", "(name = a"], 64, "malformed"),
        (["plan", "--search", "="], 64, "malformed"),
        (["plan", "--search", "name ="], 64, "malformed"),
        (
            ["run", "--search", 'last_checkin < "garbage"'],
            64,
            "--search: last_checkin < 'garbage': not a date",
        ),
        (["plan", "--search", "nosuch = 1"], 69, "nosuch"),
        (["apply", "/nowhere/plan.json"], 65, "No such file"),
        (["apply", "/dev/null"], 65, "not a plan"),
        (["explain", "nobody.example.com"], 128, "no host"),
        (["--config", "/nowhere.yml", "plan"], 78, "No such file"),
        (["plan", "--out", "/nowhere/plan.json"], 65, "No such file"),
    ],
)
def test_bad_input_gets_one_line_and_its_exit_code(
    stage: Any, call: Any, argv: list[str], code: int, message: str
) -> None:
    stage.terminated("old")
    actual, _, err = call("--config", stage.config(), *argv)
    assert (actual, message in one_line(err)) == (code, True), err
    assert "old" in stage.left


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"plicy": {}}, "did you mean policy"),
        ({"policy": {"max_deletion": 1}}, "did you mean max_deletions"),
        ({"policy": {"grace": "soon"}}, "must be a duration"),
        ({"satellite": {"url": "satellite"}}, "must look like https://"),
        (
            {"satellite": {"search": "created_at > soon"}},
            "satellite.search: created_at > 'soon': not a date",
        ),
        (
            {
                "satellite": {
                    "url": "https://localhost",
                    "username": "a",
                    "password": "b",
                    "ca_file": "/nowhere.pem",
                }
            },
            "CA file /nowhere.pem: No such file",
        ),
    ],
)
def test_a_bad_configuration_is_named_with_what_is_right(
    stage: Any, call: Any, section: dict[str, Any], message: str
) -> None:
    code, _, err = call("--config", stage.config(**section), "plan")
    assert (code, message in one_line(err)) == (78, True), err


def test_a_wrong_satellite_password_exits_129(stage: Any, call: Any) -> None:
    config = stage.config(
        satellite={"url": stage.foreman.url, "username": "admin", "password": "wrong"}
    )
    code, _, err = call("--config", config, "plan")
    assert (code, "login of admin was refused" in one_line(err)) == (129, True)
    assert "wrong" not in err


def test_a_satellite_that_is_down_exits_69(stage: Any, call: Any) -> None:
    config = stage.config(
        satellite={
            "url": "http://127.0.0.1:9",
            "username": "admin",
            "password": "changeme",
        }
    )
    code, _, err = call("--config", config, "plan")
    assert (code, "not reachable" in one_line(err)) == (69, True)


def test_the_files_of_hammer_are_enough_configuration(stage: Any, call: Any) -> None:
    folder = Path(os.environ["HOME"], ".hammer/cli.modules.d")
    folder.mkdir(parents=True)
    (folder / "foreman.yml").write_text(
        yaml.safe_dump(
            {
                ":foreman": {
                    ":host": stage.foreman.url,
                    ":username": "admin",
                    ":password": "changeme",
                }
            }
        )
    )
    path = stage.folder / "only-journal.yml"
    path.write_text(
        f"journal: {stage.folder}/journal.sqlite3\nclouds: [{{cloud: prod}}]\n"
    )
    code, out, err = call("--config", path, "plan")
    assert (code, err) == (0, "")
    assert "1 host record (all hosts)" in out


def test_no_secret_is_ever_printed(
    stage: Any, call: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """With every log switched on."""
    stage.terminated("old", record={"root_pass": "hunter2"})
    path = stage.folder / "plan.json"
    config = stage.config()
    outputs = [
        call("-d", "-v", "--config", config, *argv)
        for argv in (
            ["plan", "--out", str(path)],
            ["doctor"],
            ["explain", "old.example.com"],
            ["apply", str(path)],
        )
    ]
    journal = (stage.folder / "journal.sqlite3").read_bytes().decode("latin1")
    text = f"{outputs}{caplog.text}{path.read_text()}{journal}"
    assert "hunter2" not in text
    assert "changeme" not in text


# A code that is not 0 always has its reason on stderr


@pytest.mark.parametrize("options", [[], ["-q"]])
@pytest.mark.parametrize(
    ("spoil", "command", "code"),
    [
        (lambda stage: stage.terminated("old"), ["plan", "--detailed-exitcode"], 2),
        (lambda stage: stage.terminated("old"), ["run", "--detailed-exitcode"], 2),
        (lambda stage: stage.use_cloud(password="wrong"), ["run"], 129),
        (lambda stage: stage.use_cloud(password="wrong"), ["doctor"], 1),
        (
            lambda stage: stage.foreman.fail("/api", 502, "<html>"),
            ["explain", "witness.example.com"],
            69,
        ),
        (lambda stage: None, ["check", named_uuid("nobody")], 128),
        (lambda stage: None, ["check", "x"], 65),
        (lambda stage: None, ["history", "list"], 70),
        (lambda stage: None, ["restore", "nobody"], 70),
        (lambda stage: None, ["plan", "--nosuch"], 64),
        (lambda stage: None, ["nosuch"], 64),
    ],
)
def test_a_command_that_fails_says_why_on_stderr(
    stage: Any, call: Any, options: list[str], spoil: Any, command: list[str], code: int
) -> None:
    spoil(stage)
    actual, out, err = call(*options, "--config", stage.config(), *command)
    assert (actual, err.strip() != "") == (code, True)
    assert not options or out == ""


def test_what_is_ignored_in_the_files_of_hammer_is_a_warning_unless_quiet(
    stage: Any, call: Any
) -> None:
    path = Path(os.environ["HOME"], ".hammer/cli_config.yml")
    path.parent.mkdir()
    path.write_text(":katello:\n\t:enable_module: true\n")
    code, _, err = call("--config", stage.config(), "plan")
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith(f"warning: {path}: not valid YAML")
    assert call("-q", "--config", stage.config(), "plan") == (0, "", "")


def test_no_response_of_a_server_controls_the_terminal(stage: Any) -> None:
    """Its text is part of errors, and with -d of the log on stderr."""
    stage.foreman.fail(
        "/api/status", 500, {"error": {"message": "\x1b]0;owned\x07\x1b[2J\x9b1m"}}
    )
    done = subprocess.run(
        [*PROGRAM, "-d", "--config", str(stage.config()), "plan"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "owned" in done.stderr
    assert not set("\x1b\x07\x9b") & set(done.stderr)


def test_a_log_line_on_stderr_escapes_what_cannot_be_seen(capfd: Any) -> None:
    logs.set_up(logging.WARNING)
    try:
        raise ValueError("\x1b[2J")
    except ValueError:
        logging.getLogger("foreman_hooks.satellite.client").exception(
            "a name: %s", "\x1b[2J\n"
        )
    err = capfd.readouterr().err
    assert err.startswith(
        "ERROR foreman_hooks.satellite.client: a name: \\u001b[2J\\n\nTraceback"
    )
    assert "\x1b" not in err


# Files that are written


def test_a_plan_is_not_written_through_a_link_that_somebody_prepared(
    stage: Any, call: Any
) -> None:
    victim, path = stage.folder / "victim", stage.folder / "plan.json"
    victim.write_text("mine")
    path.symlink_to(victim)
    stage.folder.joinpath(f".plan.json.{os.getpid()}").symlink_to(victim)
    assert call("--config", stage.config(), "plan", "--out", path)[0] == 0
    assert victim.read_text() == "mine"
    assert path.is_file() and not path.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_special_file_is_not_replaced_by_a_regular_one(stage: Any, call: Any) -> None:
    """Else a run as root could replace /dev/null."""
    pipe = stage.folder / "pipe"
    os.mkfifo(pipe)
    code, _, err = call("--config", stage.config(), "plan", "--out", pipe)
    assert (code, "not a regular file" in one_line(err)) == (65, True)
    assert pipe.is_fifo()


# A host named like another's id


def test_digits_are_a_name_rather_than_an_id_and_both_commands_say_so(
    stage: Any, call: Any
) -> None:
    stage.terminated("old")
    host = stage.satellite.add(Host("2"))
    config = stage.config()
    assert host.id == 3
    code, out, _ = call("--config", config, "explain", "2")
    assert (code, out.splitlines()[0]) == (0, "2 (id 3)")
    assert (
        "note: 2 is also the id of old.example.com; the host of that name is explained"
        in out
    )
    code, out, _ = call("--config", config, "run", "--host", "2", "--apply")
    assert code == 0
    assert "(host 2, by its name; old.example.com has that id)" in out
    assert stage.left == {"witness", "old", "2"}
    code, out, _ = call("--config", config, "run", "--host", "1")
    assert (code, "(host 1, by its id)" in out) == (0, True)
    assert call("--config", config, "explain", "1")[1].startswith(
        "witness.example.com (id 1)\n"
    )


# Interruptions


def test_ctrl_c_lets_the_deletion_under_way_finish_and_reports(stage: Any) -> None:
    for number in range(6):
        stage.terminated(f"old-{number}")
    process = subprocess.Popen(
        [*PROGRAM, "--config", str(stage.config()), "run", "--apply"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not stage.foreman.count("^DELETE"):
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    deleted = stage.foreman.count("^DELETE")
    assert process.returncode == 130
    assert 1 <= deleted < 6
    assert (
        f"interrupted; {deleted} of 6 records were deleted, all are in the journal"
        in err
    )
    with stage.journal() as journal:
        assert [row.result for row in journal.deletions()] == ["deleted"] * deleted


def test_a_killed_run_leaves_a_journal_that_the_next_run_can_use(
    stage: Any, call: Any
) -> None:
    """The process gets kill -9 in the middle of the deletions."""
    for number in range(6):
        stage.terminated(f"old-{number}")
    config = stage.config()
    process = subprocess.Popen(
        [*PROGRAM, "--config", str(config), "run", "--apply"], stdout=subprocess.DEVNULL
    )
    while stage.foreman.count("^DELETE") < 2:
        assert process.poll() is None
    process.kill()
    process.wait()
    assert call("--config", config, "run", "--apply")[0] == 0
    assert stage.left == {"witness"}
    with stage.journal() as journal:
        rows = journal.deletions()
    assert {row.result for row in rows} <= {"deleted", "failed"}
    assert {row.name for row in rows if row.result == "deleted"} == {
        f"old-{n}.example.com" for n in range(6)
    }


def test_a_reader_that_closes_the_pipe_is_not_an_error(stage: Any) -> None:
    done = subprocess.run(
        " ".join(
            [
                "exec 2>&1;",
                sys.executable,
                "-c",
                "'from foreman_hooks.commands.main import entry_point; entry_point()'",
                "--help",
                "| true",
            ]
        ),
        shell=True,
        capture_output=True,
        text=True,
    )
    assert "rror" not in done.stdout


def test_an_internal_error_is_one_line_and_an_exit_code(stage: Any, call: Any) -> None:
    stage.foreman.fail(
        "/api/hosts/2$",
        200,
        {
            "id": 2,
            "name": "old.example.com",
            "all_parameters": [],
            "host_collections": 7,
        },
    )
    stage.terminated("old")
    code, _, err = call("--config", stage.config(), "run", "--apply")
    assert code in (1, 69, 70)
    one_line(err)


def test_after_an_error_nothing_waits_for_requests_to_the_other_server(
    stage: Any,
) -> None:
    """The servers of a large cloud take minutes to list, and nobody needs them any more."""
    release = threading.Event()
    answer = stage.osp.handle

    def hang(request: Any) -> Any:
        release.wait(60)
        return answer(request)

    stage.osp.handle = hang
    config = stage.config(
        satellite={"url": stage.foreman.url, "username": "admin", "password": "wrong"}
    )
    try:
        done = subprocess.run(
            [*PROGRAM, "--config", str(config), "plan"],
            capture_output=True,
            text=True,
            timeout=50,
        )
    finally:
        release.set()
    assert done.returncode == 129
    assert "login of admin was refused" in one_line(done.stderr)


def test_a_terminal_gets_a_progress_bar_on_stderr_and_a_pipe_gets_none(
    stage: Any,
) -> None:
    for number in range(8):
        stage.archived(f"old-{number}")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, "--config", str(stage.config()), "plan"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
        text=True,
    ) as running:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            while chunk := os.read(ours, 65536):
                shown += chunk
        out, _ = running.communicate(timeout=60)
    os.close(ours)
    assert running.returncode == 0
    frames = shown.decode().split("hosts of Satellite")
    assert len(frames) > 2
    # Once a frame, though many workers report it.
    assert max(frame.count("instances asked about") for frame in frames) == 1
    assert "\x1b" not in out


# run, for one instance at once


def test_run_for_one_instance_with_proof_deletes_its_record_at_once(
    stage: Any, call: Any
) -> None:
    uuid = stage.terminated("old")
    stage.terminated("other")
    code, out, err = call(
        "--config", stage.config(), "run", "--uuid", uuid.upper(), "--apply"
    )
    assert (code, err) == (0, "")
    assert f"1 host record (UUID {uuid}): 1 to delete" in out
    assert "1 of 1 records deleted" in out
    assert stage.left == {"witness", "other"}
    code, _, err = call("--config", stage.config(), "run", "--uuid", uuid, "--apply")
    assert code == 128
    assert f"no host record of UUID {uuid}" in one_line(err)


def test_run_for_one_instance_without_proof_says_that_it_waits_and_until_when(
    stage: Any, call: Any
) -> None:
    stage.archived("old")
    for _ in range(3):
        code, out, err = call(
            "--config", stage.config(), "run", "--host", "OLD.example.com", "--apply"
        )
        assert (code, err) == (0, "")
        assert re.search(
            r"old\.example\.com .*: absent, within the grace period .* missing in 1 run ",
            out,
        )
        assert "can go after" in out
    assert stage.left == {"witness", "old"}


def test_run_for_one_instance_shows_why_it_is_kept_where_a_run_for_all_lists_nothing(
    stage: Any, call: Any
) -> None:
    assert "witness" not in call("--config", stage.config(), "run")[1]
    code, out, _ = call(
        "--config", stage.config(), "run", "--host", "witness.example.com"
    )
    assert code == 0
    assert re.search(r"KEPT \(1\)\n  witness\.example\.com +instance exists ", out)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--uuid", "web01"), 65, "not a UUID: 'web01'"),
        (("--uuid", ""), 65, "not a UUID"),
        (("--uuid", "0" * 8 + "-0000-0000-0000-" + "0" * 12), 65, "not a UUID"),
        (("--uuid", "$(reboot)\n\x1b[2J"), 65, "not a UUID"),
        (("--host", " "), 64, "--host is empty"),
        (("--uuid", "x", "--host", "y"), 64, "not both"),
        (("--host", "y", "--search", "name = y"), 64, "do not go with"),
        (("--host", "y", "--organization", "ACME"), 64, "do not go with"),
    ],
)
def test_run_for_one_instance_refuses_bad_options_before_it_asks_any_server(
    options: Any, code: int, message: str, call: Any, tmp_path: Path
) -> None:
    actual, out, err = call("--config", tmp_path / "none.yml", "run", *options)
    assert (actual, out) == (code, "")
    assert message in one_line(err)


def test_the_next_run_uses_an_event(stage: Any, call: Any) -> None:
    stage.archived("old")
    config = stage.config()
    for _ in range(2):
        call("--config", config, "plan")
    assert call(
        "--config",
        config,
        "event",
        "host_facts_updated.event.foreman",
        "old.example.com",
    ) == (0, "", "")
    assert "in 1 run (3 needed)" in call("--config", config, "plan")[1]


def test_a_field_that_outcomes_lack_is_refused_before_anything_is_deleted(
    stage: Any, call: Any
) -> None:
    stage.terminated("dead")
    code, _, err = call(
        "--config", stage.config(), "run", "--apply", "--fields", "Reason"
    )
    assert code == 64
    assert "no field Reason; there are Id, Name, UUID, Result, Detail" in err
    assert "dead" in stage.left


def test_a_plan_of_some_hosts_that_is_applied_is_no_run_over_all_hosts(
    stage: Any, call: Any
) -> None:
    stage.terminated("old")
    config, path = stage.config(), stage.folder / "plan.json"
    search = ["--search", "name = old.example.com"]
    assert call("--config", config, "plan", *search, "--out", path)[0] == 0
    assert call("--config", config, "apply", path)[0] == 0
    with stage.journal() as journal:
        run = last_run(journal, stage.foreman.url)
    assert (run.command, run.deleted, run.complete) == ("apply", 1, False)
