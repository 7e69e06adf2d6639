"""doctor: what it checks of Satellite, that it goes on after a failure, and what it advises."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import stat
import subprocess
import sys
import tempfile
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from conftest import Stage
from sandbox.satellite import RHSM, User
from satellites import UNKNOWN_ROUTE

from foreman_hooks.cleanup.doctor import Finding, State
from foreman_hooks.cleanup.doctor.facts import excludes
from foreman_hooks.cleanup.doctor.files import readable_by_others
from foreman_hooks.cleanup.doctor.policy import examine_policy
from foreman_hooks.cleanup.doctor.role import TO_CHECK, examine_parameters
from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.rules.model import Policy

SMALLEST = frozenset({"view_hosts", "view_facts", "destroy_hosts", "view_params"})
MARKS = {"[ OK ]": State.OK, "[WARN]": State.WARNING, "[FAIL]": State.FAIL}
OPENSTACK = re.compile("prod/RegionOne|cloud ")


def examined(call: Any, stage: Stage, **sections: Any) -> dict[str, Finding]:
    """The findings of doctor by their text, after a check that its exit code agrees."""
    code, out, err = call("--config", stage.config(**sections), "doctor")
    checks, _, to_do = f"\n{out}".partition("\n\nTo ")
    findings = parsed(checks)
    for what, finding in parsed(to_do).items():
        assert finding.advice and finding.state == findings[what].state
        findings[what] = finding
    wrong = [finding for finding in findings.values() if finding.state != "ok"]
    assert len(wrong) == len(parsed(to_do))
    failed = len(states(findings, "fail"))
    assert code == (1 if failed else 0)
    warnings = len(wrong) - failed
    nouns = "warning" if warnings == 1 else "warnings"
    end = f"{len(findings) - len(wrong)} ok, {warnings} {nouns}, {failed} failed\n"
    assert (err if failed else out).endswith(end)
    assert failed or err == ""
    return findings


def parsed(lines: str) -> dict[str, Finding]:
    """The findings in lines that doctor printed, by their text."""
    findings: dict[str, Finding] = {}
    last = ""
    for line in lines.splitlines():
        if line.startswith("["):
            mark, last = line[:6], line[7:]
            assert last not in findings, "reported twice"
            findings[last] = Finding(MARKS[mark], last)
        elif line.startswith(f"{'':7}-> "):
            findings[last] = findings[last]._replace(advice=line[10:])
    return findings


def only(findings: dict[str, Finding], text: str) -> Finding:
    """The only finding that contains this text."""
    matching = [finding for finding in findings.values() if text in finding.what]
    assert len(matching) == 1, list(findings)
    return matching[0]


def states(findings: dict[str, Finding], state: str) -> list[str]:
    return [finding.what for finding in findings.values() if finding.state == state]


def limited(stage: Stage, *lacking: str, more: frozenset[str] = frozenset()) -> None:
    """Let the login have the smallest role, less these permissions."""
    stage.satellite.users["admin"] = User(
        "admin", "changeme", (SMALLEST | more) - set(lacking)
    )


def test_a_good_setup_has_no_failure(stage: Stage, call: Any) -> None:
    findings = examined(call, stage)
    assert states(findings, "fail") == []
    assert states(findings, "warning") == ["TLS of Satellite is not checked"]
    assert "Katello 4.14" in only(findings, "is Foreman 3.12").what
    assert (
        "can see other projects' servers (example: "
        in only(findings, "prod/RegionOne: the login").what
    )


def test_tls_that_is_not_checked_is_a_warning_each_time(
    stage: Stage, call: Any
) -> None:
    section = {
        "url": stage.foreman.url,
        "username": "admin",
        "password": "changeme",
        "verify_tls": False,
    }
    findings = examined(call, stage, satellite=section)
    assert only(findings, "TLS of Satellite is not checked").state == "warning"
    assert not any("TLS are fine" in text for text in findings)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (
            lambda stage: stage.use_cloud(password="wrong"),
            r"\[FAIL\] .*Keystone refuses",
        ),
        (
            lambda stage: stage.use_cloud("reader"),
            r"\[FAIL\] .*may not list the servers of all projects",
        ),
        (
            lambda stage: stage.openstack.no_endpoint.add("RegionOne"),
            r"\[FAIL\] .*no compute endpoint",
        ),
        (
            lambda stage: stage.foreman.fail("/api", 502, "<html>"),
            r"\[FAIL\] .*returned 502",
        ),
        (
            lambda stage: stage.foreman.fail("/api/settings", 403, {}),
            r"\[WARN\] the setting destroy_vm.*cannot be read",
        ),
        (
            lambda stage: stage.foreman.fail("/api/status", 401, {}),
            r"\[FAIL\] .*login of admin was refused",
        ),
        (lambda stage: (stage.folder / "journal.sqlite3").mkdir(), r"\[FAIL\] journal"),
    ],
)
def test_each_fault_is_named(stage: Stage, call: Any, spoil: Any, text: str) -> None:
    spoil(stage)
    code, out, _ = call("--config", stage.config(), "doctor")
    assert re.search(text, out)
    assert code == (0 if "WARN" in text else 1)


def test_with_q_only_failures_are_printed_and_on_stderr(
    stage: Stage, call: Any
) -> None:
    config = stage.config()
    assert call("-q", "--config", config, "doctor") == (0, "", "")
    limited(stage, "destroy_hosts", "view_params")
    code, out, err = call("-q", "--config", config, "doctor")
    assert (code, out) == (1, "")
    assert "this login may not delete hosts; add destroy_hosts to its role" in err
    assert "view_params" in err
    assert "warning" not in err


def test_what_is_wrong_is_listed_again_at_the_end_failures_first(
    stage: Stage, call: Any
) -> None:
    limited(stage, "destroy_hosts")
    code, out, err = call("--config", stage.config(), "doctor")
    end = out[out.index("To repair, in this order:") :]
    marks = re.findall(r"^\[.{4}\]", end, re.MULTILINE)
    assert marks == ["[FAIL]", *["[WARN]"] * (len(marks) - 1)]
    assert len(marks) > 2
    repair = (
        "this login may not delete hosts\n       -> add destroy_hosts to its role\n"
    )
    assert out.count(repair) == 1
    assert end.startswith(f"To repair, in this order:\n[FAIL] {repair}\nTo consider")
    assert (code, err.count("\n")) == (1, 1)


def test_the_files_that_were_read_are_named(
    stage: Stage, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hammer = Path(os.environ["HOME"], ".hammer", "cli_config.yml")
    secure = stage.folder / "secure.yaml"
    monkeypatch.setenv("OS_CLIENT_SECURE_FILE", str(secure))
    hammer.parent.mkdir()
    for path in (hammer, secure):
        path.write_text("{}\n")
    findings = examined(call, stage)
    config = stage.folder / "config.yml"
    only(findings, f"configuration: {config}; hammer's files: {hammer}")
    only(findings, f"clouds: {stage.folder / 'clouds.yaml'}, {secure}")


def test_without_any_file_the_sources_are_named(
    stage: Stage, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OS_CLIENT_CONFIG_FILE")
    monkeypatch.setenv("OS_AUTH_URL", f"{stage.osp.url}/v3")
    _, out, _ = call("doctor")
    assert re.search(r"^\[ OK \] configuration: no /etc/\S+,.*files: none$", out, re.M)
    assert "[ OK ] clouds: no clouds.yaml, so OS_* variables\n" in out


def test_colours_are_for_a_terminal_only_and_not_with_no_color(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["--config", str(stage.config()), "doctor"]
    assert "\x1b" not in in_a_terminal(command, NO_COLOR="1")
    coloured = in_a_terminal(command)
    assert "\x1b[1;32m[ OK ]\x1b[0m configuration:" in coloured
    assert "\x1b[1;33m[WARN]\x1b[0m TLS of Satellite is not checked" in coloured
    lines = re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines()
    assert max(map(len, lines)) <= 60


def in_a_terminal(command: list[str], **variables: str) -> str:
    """What the program prints in a terminal of 60 columns."""
    reader, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm", **variables}
    program = "from foreman_hooks.commands.main import entry_point; entry_point()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *command],
        stdout=terminal,
        stderr=terminal,
        env=environment,
    )
    os.close(terminal)
    output = b""
    with contextlib.suppress(OSError):  # EIO: the program has ended
        while chunk := os.read(reader, 65536):
            output += chunk
    os.close(reader)
    assert process.wait() == 0
    return output.decode()


# It goes on after a failure


def test_an_unreachable_satellite_skips_its_checks_and_no_others(
    stage: Stage, call: Any
) -> None:
    section = {"url": "http://127.0.0.1:1", "username": "admin", "password": "changeme"}
    findings = examined(call, stage, satellite=section)
    (failed,) = states(findings, "fail")
    assert "connection refused" in failed
    assert (
        findings[failed].advice
        == "fix this first; the other checks of Satellite were skipped"
    )
    assert any(map(OPENSTACK.search, states(findings, "ok")))


def test_a_wrong_password_is_tried_once(stage: Stage, call: Any) -> None:
    section = {"url": stage.foreman.url, "username": "admin", "password": "wrong"}
    assert len(states(examined(call, stage, satellite=section), "fail")) == 1
    assert len(stage.foreman.requests) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/katello/api/ping",
        "/api/organizations",
        "/api/hosts",
        "/api/permissions",
        "/api/job_templates",
        "/api/fact_values",
        "/api/settings",
    ],
)
def test_a_request_that_fails_leaves_out_only_what_depends_on_it(
    stage: Stage, call: Any, path: str
) -> None:
    stage.foreman.fail(path, 500, {"error": {"message": "reset has failed"}})
    findings = examined(call, stage)
    failed = states(findings, "fail")
    assert failed
    assert all("returned 500: reset has failed" in text for text in failed)
    for pattern, text in (
        ("ping", "Candlepin answers"),
        ("organizations", "organizations visible"),
        ("hosts", "hosts visible"),
        ("permissions", "host parameters are visible"),
        ("(permissions|job_templates)", "may publish"),
        ("(fact_values|settings)", "facts that identify hosts are visible"),
        ("settings", "destroy_vm_on_host_delete is"),
    ):
        reported = any(text in what for what in findings)
        assert reported is not bool(re.search(f"/{pattern}$", path)), text


# Clocks


@pytest.mark.parametrize(
    ("header", "state", "text"),
    [
        (None, "ok", "Satellite's clock and ours agree"),
        ("Sun, 01 Nov 2015 12:00:00 GMT", "fail", "minutes apart"),
        ("Fri, 31 Dec 9999 23:59:59 -2359", "fail", "minutes apart"),
        ("no time", "warning", "cannot be compared"),
    ],
)
def test_the_clocks_are_compared_and_the_other_checks_are_made_too(
    stage: Stage, call: Any, header: str | None, state: str, text: str
) -> None:
    if header:
        stage.monkeypatch.setattr(
            BaseHTTPRequestHandler, "date_time_string", lambda *_: header
        )
    findings = examined(call, stage)
    assert only(findings, text).state == state
    assert only(findings, "facts that identify hosts are visible").state == "ok"


# Candlepin

DOWN = {
    "status": "FAIL",
    "message": "Failed to open TCP connection to localhost:23443 (Connection refused)",
}


def ping(stage: Stage, **services: dict[str, str]) -> None:
    names = ("candlepin", "candlepin_auth", "foreman_tasks", "pulp3")
    stage.foreman.fail(
        "/katello/api/ping",
        200,
        {
            "status": "FAIL",
            "services": {
                name: services.get(name, {"status": "ok", "duration_ms": "1"})
                for name in names
            },
        },
    )


def test_if_candlepin_fails_doctor_says_that_every_deletion_would_fail(
    stage: Stage, call: Any
) -> None:
    ping(stage, candlepin=DOWN)
    finding = only(examined(call, stage), "Candlepin is failing")
    assert finding.state == "fail"
    assert "candlepin (Failed to open TCP connection to localhost:23443" in finding.what
    assert "every deletion of a registered host would fail (500)" in finding.what
    assert "satellite-maintain service status" in finding.advice


def test_services_that_no_deletion_needs_may_be_down(stage: Stage, call: Any) -> None:
    ping(stage, pulp3=DOWN, foreman_tasks=DOWN)
    assert states(examined(call, stage), "fail") == []


@pytest.mark.parametrize(
    "body", [{}, {"services": []}, {"services": {"candlepin": "ok"}}]
)
def test_an_invalid_answer_to_the_ping_fails_that_check_alone(
    stage: Stage, call: Any, body: Any
) -> None:
    stage.foreman.fail("/katello/api/ping", 200, body)
    findings = examined(call, stage)
    assert [findings[text].advice for text in states(findings, "fail")] == [
        "the checks that depend on this were skipped"
    ]


# Permissions


def test_the_smallest_role_fails_nothing(stage: Stage, call: Any) -> None:
    limited(stage)
    assert states(examined(call, stage), "fail") == []


def test_parameters_are_judged_by_the_permission_and_not_by_what_a_host_shows(
    stage: Stage, call: Any
) -> None:
    """A login without view_params is shown the global ones, and Foreman seeds three."""
    stage.satellite.parameters["host_packages"] = ""
    limited(stage, "view_params")
    finding = only(examined(call, stage), "nothing is deleted without view_params")
    assert finding.state == "fail"
    assert "osp_cleanup_protect" in finding.what
    limited(stage)
    assert only(examined(call, stage), "host parameters are visible").state == "ok"


def test_without_a_parameter_that_protects_view_params_is_not_needed(
    stage: Stage,
) -> None:
    assert examine_parameters(frozenset(), "") == Finding(
        "ok", "no host parameter protects a record (policy.protect_parameter is '')"
    )


def test_a_login_that_may_not_read_reports_is_a_warning_that_says_what_follows(
    stage: Stage, call: Any
) -> None:
    limited(stage)
    finding = only(examined(call, stage), "view_config_reports")
    assert finding.state == "warning"
    assert "counts as a sign of life" in finding.what
    limited(stage, more=frozenset({"view_config_reports"}))
    assert only(examined(call, stage), "may read reports").state == "ok"


def test_permissions_that_publishing_lacks_are_named(stage: Stage, call: Any) -> None:
    limited(stage)
    assert (
        "this one lacks create_job_templates"
        in only(examined(call, stage), "needs another login").what
    )


def test_without_remote_execution_no_other_login_is_asked_for(
    stage: Stage, call: Any
) -> None:
    stage.foreman.fail("/api/job_templates", 404, UNKNOWN_ROUTE)
    findings = examined(call, stage)
    assert only(findings, "remote execution is not installed").state == "ok"
    assert not any("another login" in text for text in findings)


def test_a_check_job_without_remote_execution_is_a_failure(
    stage: Stage, call: Any
) -> None:
    stage.foreman.fail("/api/job_templates", 404, UNKNOWN_ROUTE)
    findings = examined(
        call,
        stage,
        checker={
            "job_template": "OSP - Check instances",
            "search": "name = osp-checker",
        },
    )
    assert only(findings, "remote execution is not installed").state == "fail"


@pytest.mark.parametrize("lacking", TO_CHECK)
def test_permissions_that_the_check_job_lacks_are_named_with_filters_that_work(
    stage: Stage, call: Any, lacking: str
) -> None:
    """Without view_params remote execution does not heed the host's own user and port."""
    limited(stage, lacking, more=frozenset(TO_CHECK))
    findings = examined(
        call,
        stage,
        checker={
            "job_template": "OSP - Check instances",
            "search": "name = osp-checker",
        },
    )
    finding = only(findings, "may not run the check job")
    assert (finding.state, finding.what) == (
        "fail",
        f"this login may not run the check job; it lacks {lacking}",
    )
    assert (
        'name = "OSP - Check instances" on create_template_invocations or view_job_templates'
        in finding.advice
    )
    assert (
        "a filter by host on create_template_invocations leads to a 500"
        in finding.advice
    )


# Facts


def forget(stage: Stage, pattern: str) -> None:
    """Let Satellite have no fact that matches."""
    for host in stage.satellite.hosts.values():
        host.facts[RHSM] = {
            name: value
            for name, value in host.facts[RHSM].items()
            if not re.search(pattern, name)
        }


@pytest.mark.parametrize(
    ("pattern", "fact", "state", "text"),
    [
        (
            "dmi*",
            "^dmi",
            "fail",
            "no maker (dmi::system::manufacturer, dmi::system::product_name) is stored for any "
            "host",
        ),
        (
            "product_name",
            "product_name",
            "warning",
            "no maker (dmi::system::product_name) is stored for any host",
        ),
        (
            "is_guest",
            "is_guest",
            "fail",
            "no guest flag (virt::is_guest) is stored for any host",
        ),
        (
            "virt::uuid",
            "virt::uuid",
            "fail",
            "no UUID (virt::uuid) is stored for any host",
        ),
    ],
)
def test_facts_that_are_excluded_are_named_with_the_pattern(
    stage: Stage, call: Any, pattern: str, fact: str, state: str, text: str
) -> None:
    forget(stage, fact)
    stage.satellite.settings["excluded_facts"] = ["lo", "docker*", pattern]
    findings = examined(call, stage)
    assert only(findings, "is stored for any host") == Finding(
        state,
        text,
        f"remove '{pattern}' from the setting excluded_facts, and let the hosts upload their facts "
        "again",
    )


def test_two_kinds_that_are_missing_are_both_named(stage: Stage, call: Any) -> None:
    forget(stage, "^virt")
    findings = examined(call, stage)
    assert states(findings, "fail") == [
        "no UUID (virt::uuid) is stored for any host",
        "no guest flag (virt::is_guest) is stored for any host",
    ]


def test_a_setting_that_cannot_be_read_is_named_too(stage: Stage, call: Any) -> None:
    forget(stage, "^dmi")
    limited(stage)
    assert (
        "see the setting excluded_facts, which this login cannot read"
        in only(examined(call, stage), "no maker").advice
    )


def test_a_pattern_is_named_before_the_last_stored_fact_is_gone(
    stage: Stage, call: Any
) -> None:
    stage.satellite.settings["excluded_facts"] = ["virt"]
    findings = examined(call, stage)
    assert states(findings, "warning")[1:] == [
        "no UUID will be stored for new hosts",
        "no guest flag will be stored for new hosts",
    ]


def test_if_no_identifying_fact_is_visible_the_permission_is_named(
    stage: Stage, call: Any
) -> None:
    forget(stage, "")
    assert only(
        examined(call, stage), "no fact that identifies a host is visible"
    ).advice == ("add view_facts for all hosts to its role")
    stage.satellite.settings["excluded_facts"] = ["dmi*", "virt*"]
    assert only(examined(call, stage), "no fact that identifies").advice.startswith(
        "remove 'dmi*', 'virt*' from the"
    )


def test_facts_cost_a_request_each_however_many_hosts_there_are(
    stage: Stage, call: Any
) -> None:
    for number in range(30):
        stage.host(f"app-{number}")
    examined(call, stage)
    assert stage.foreman.count("^GET /api/fact_values") == 4
    assert all(
        request.first("per_page") == "1"
        for request in stage.foreman.requests
        if request.path == "/api/fact_values"
    )


def test_without_katello_the_facts_of_other_sources_count(
    stage: Stage, call: Any
) -> None:
    stage.satellite.katello = False
    for host in stage.satellite.hosts.values():
        host.facts, host.subscription = {}, None
    assert only(examined(call, stage), "no fact that identifies a host").state == "fail"
    for host in stage.satellite.hosts.values():
        host.facts = {
            "PuppetFactName": {
                "uuid": "7f3c1f0e-52b3-4ff4-8b0c-5d4f3d0f5a3c",
                "is_virtual": "true",
            }
        }
    assert only(examined(call, stage), "no maker (").state == "fail"
    for host in stage.satellite.hosts.values():
        host.facts["PuppetFactName"]["manufacturer"] = "OpenStack Foundation"
    assert (
        only(examined(call, stage), "facts that identify hosts are visible").state
        == "ok"
    )


@pytest.mark.parametrize(
    ("pattern", "fact", "hit"),
    [
        ("dmi*", "dmi::system::manufacturer", True),
        ("dmi", "dmi::system::manufacturer", True),
        ("system", "dmi::system::manufacturer", True),
        ("name", "dmi::system::product_name", True),
        ("*::uuid", "virt::uuid", True),
        ("virt::*", "virt::uuid", True),
        ("guest", "virt::is_guest", True),
        ("DMI*", "dmi::system::manufacturer", False),
        ("product", "dmi::system::product_name", False),
        ("lo", "virt::host_type", False),
        ("[uv]*", "virt::uuid", False),
        ("uui?", "virt::uuid", True),
    ],
)
def test_a_pattern_matches_as_it_does_in_foreman(
    pattern: str, fact: str, hit: bool
) -> None:
    assert excludes(pattern, fact) is hit


# Policy


def test_all_clouds_listed_is_a_warning_that_says_what_it_permits(
    stage: Stage, call: Any
) -> None:
    assert only(examined(call, stage), "all_clouds_listed is false").state == "ok"
    finding = only(policy(all_clouds_listed=True), "all_clouds_listed is true")
    assert finding.state == "warning"
    assert "its living machines lose their records" in finding.advice


def test_no_quiet_time_is_a_warning(stage: Stage) -> None:
    assert only(policy(quiet=timedelta()), "policy.quiet is 0s").state == "warning"
    assert not any("quiet" in text for text in policy())


@pytest.mark.parametrize(
    "name",
    [
        "VMware",
        "Xen",
        "Microsoft",
        "QEMU",
        "Red Hat",
        "red hat inc",
        "KVM",
        "VMware, Inc.",
        "virtual",
        "Google",
        "HVM domU",
        "Standard PC",
    ],
)
def test_a_name_of_another_platform_is_a_warning(name: str) -> None:
    assert (
        only(policy(openstack_names=("OpenStack", name)), "openstack_names").state
        == "warning"
    )


@pytest.mark.parametrize(
    "name",
    ["OpenStack", "OpenStack Foundation", "OpenStack Compute", "RDO", "Acme Cloud"],
)
def test_a_name_that_only_openstack_has_is_not_a_warning(name: str) -> None:
    assert not any(
        "openstack_names" in text for text in policy(openstack_names=(name,))
    )


def policy(**changes: Any) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine_policy(Policy(**changes))}


# Files


@pytest.mark.parametrize(
    ("mode", "readable"),
    [
        (0o600, False),
        (0o640, False),
        (0o660, False),
        (0o644, True),
        (0o602, True),
        (0o666, True),
        (0o601, False),
    ],
)
def test_a_file_that_every_user_can_read_is_known_by_its_mode(
    open_folder: Path, mode: int, readable: bool
) -> None:
    path = open_folder / "config.yml"
    path.touch()
    path.chmod(mode)
    assert readable_by_others(path) is readable


def test_a_file_in_a_closed_folder_cannot_be_read_by_others(open_folder: Path) -> None:
    path = open_folder / "closed" / "config.yml"
    path.parent.mkdir(mode=0o700)
    path.touch(0o644)
    link = open_folder / "link"
    link.symlink_to(path)
    assert not readable_by_others(path)
    assert not readable_by_others(link)
    path.parent.chmod(0o711)
    assert readable_by_others(link)


def test_a_missing_file_cannot_be_read_by_others(open_folder: Path) -> None:
    loop = open_folder / "loop"
    loop.symlink_to(loop)
    for path in (open_folder / "missing", loop):
        assert not readable_by_others(path)


def test_a_journal_that_every_user_can_read_is_a_warning(
    stage: Stage, call: Any, open_folder: Path
) -> None:
    path = open_folder / "journal.sqlite3"
    Journal.open(path).close()
    assert not any(
        "every user" in text for text in examined(call, stage, journal=str(path))
    )
    path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IROTH)
    assert only(
        examined(call, stage, journal=str(path)),
        f"{path} can be read or written by every user",
    ) == Finding(
        "warning", f"{path} can be read or written by every user", f"chmod o-rwx {path}"
    )


@pytest.fixture
def open_folder() -> Any:
    """A folder that every user can enter; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)
