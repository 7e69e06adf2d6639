"""The delegated check: what a job answers counts as if we had asked, and what it does not answer is
unknown.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable

import pytest
from conftest import Stage
from sandbox.instances import Instance
from sandbox.records import Host, User
from sandbox.server import Answer, Request
from sandbox.targets import EXCEPTION, LOST, SILENT, Process, Ran
from sandbox.world import named_uuid
from satellites import change

from foreman_hooks.cleanup.doctor.openstack import examine_check_job
from foreman_hooks.cleanup.run_log import begin_run, end_run
from foreman_hooks.osp_checker import (
    CloudScope,
    LocalChecker,
    OSPConfigError,
    OSPError,
    OSPForbidden,
    OSPLoginError,
    Presence,
    RegionAnswer,
    Servers,
    Sighting,
    Survey,
    swap_bytes,
)
from foreman_hooks.osp_checker.wire import MARK, Question, dump, load, load_servers
from foreman_hooks.rules.model import Policy
from foreman_hooks.rules.plan import Kind
from foreman_hooks.satellite import check_job
from foreman_hooks.satellite.check_job import JobChecker
from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.client import Satellite as Client
from foreman_hooks.satellite.jobs import RemoteExecution
from foreman_hooks.settings import CheckJob
from satellite_remote_exec.build import build
from satellite_remote_exec.scripts import check_instances

NAME = "osp-checker.example.com"
GONE = "11111111-0000-4000-8000-000000000000"
TO_CHECK = frozenset(
    {
        "create_job_invocations",
        "view_job_templates",
        "view_hosts",
        "create_template_invocations",
        "view_smart_proxies",
        "cancel_job_invocations",
    }
)


TEMPLATE = next(one.text for one in build() if one.name == "OSP - Check instances")


def inputs_of(script: str) -> tuple[Question, str]:
    """The arguments with which the rendered script would call its main function."""
    call = script[script.rindex("sys.exit(main(") + len("sys.exit(") :].rstrip()[:-1]
    return eval(
        call,
        {
            "main": lambda question, path: (question, path),
            "Question": Question,
            "null": None,
        },
    )


def answering(
    *known: str, change: Callable[[str], Any] = str
) -> Callable[[str, threading.Event], Ran]:
    """A checker host that knows these clouds and runs the script's own functions; `change` spoils
    its output.
    """

    def run(script: str, stop: threading.Event) -> Ran:
        changed = change(check_instances.answer(inputs_of(script)[0], known))
        return changed if isinstance(changed, Ran) else Ran(f"{changed}\n".encode())

    return run


class JobStage:
    """A stage whose Satellite has the check's template and a host that runs it."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.jobs = stage, stage.satellite.jobs
        client = Client(Login(stage.foreman.url, "admin", "changeme"))
        client.call(
            "POST",
            "/api/job_templates/import",
            json={"template": TEMPLATE, "organization_id": 1, "location_id": 2},
        )
        self.checker_host = self.add_host(NAME, answering("prod"))

    def add_host(self, name: str, target: Any, **more: Any) -> Host:
        host = self.stage.satellite.add(Host(name, **more))
        self.jobs.targets[host.id] = target
        return host

    def answers(self, target: Any) -> None:
        """Set what the checker host does from now on."""
        self.jobs.targets[self.checker_host.id] = target

    def checker(
        self,
        *scopes: CloudScope,
        search: str = f"name = {NAME}",
        login: str = "admin",
        seconds: float = 30,
        template: str = "OSP - Check instances",
    ) -> JobChecker:
        client = Client(Login(self.stage.foreman.url, login, "changeme"))
        return JobChecker(
            RemoteExecution(client),
            CheckJob(template, search, deadline=timedelta(seconds=seconds)),
            scopes
            or [CloudScope("prod", ("RegionOne",), ignore_regions=("RegionTwo",))],
            pause=0.01,
        )

    @property
    def started(self) -> int:
        return self.stage.foreman.count("^POST /api/job_invocations$")


@pytest.fixture
def job(stage: Stage) -> Iterator[JobStage]:
    with ExitStack() as stack:
        stack.callback(stage.satellite.jobs.close)
        yield JobStage(stage)


def all_unknown(survey: Survey) -> bool:
    found = [one.presence for sightings in survey.asked.values() for one in sightings]
    return (
        bool(found)
        and set(found) == {Presence.UNKNOWN}
        and all(seen.error for seen in survey.regions)
    )


# What is answered


def in_region_two(stage: Stage) -> str:
    """A server in RegionTwo, without which that region proves nothing; its UUID."""
    uuid = named_uuid("in region two")
    stage.openstack.add("RegionTwo", Instance(uuid, "two", project="bank"))
    return uuid


def fill(stage: Stage) -> dict[str, str]:
    """Instances in every state."""
    return {
        "alive": stage.host("alive"),
        "off": stage.host("off", server="SHUTOFF"),
        "terminated": stage.terminated("terminated"),
        "archived": stage.archived("archived"),
        "soft": stage.host("soft", server="SOFT_DELETED"),
    }


def test_the_answer_is_that_of_the_local_check(job: JobStage) -> None:
    uuids = list(fill(job.stage).values())
    in_region_two(job.stage)
    local = LocalChecker([CloudScope("prod", ("RegionOne", "RegionTwo"))])
    lists = local.prepare()
    delegated = job.checker(CloudScope("prod", ("RegionOne", "RegionTwo")))
    assert delegated.survey(uuids) == local.survey(uuids, lists)
    assert delegated.ask(uuids).asked == local.ask(uuids).asked


def test_the_error_of_a_region_reads_as_in_the_local_check(job: JobStage) -> None:
    """RegionTwo has no server, so that it proves nothing."""
    both = CloudScope("prod", ("RegionOne", "RegionTwo"))
    local = LocalChecker([both])
    lists = local.prepare()
    found, known = job.checker(both).survey([GONE]), local.survey([GONE], lists)
    assert [str(seen.error) for seen in found.regions] == [
        str(seen.error) for seen in known.regions
    ]
    assert {one.presence for one in found.asked[GONE]} == {Presence.UNKNOWN}


def test_a_plan_says_the_same_and_an_apply_removes_the_same(job: JobStage) -> None:
    fill(job.stage)
    with job.stage.journal() as journal:
        local = job.stage.cleanup(journal)
        delegated = job.stage.cleanup(journal, checker=job.checker())
        assert [one[:5] for one in delegated.plan().verdicts] == [
            one[:5] for one in local.plan().verdicts
        ]
        outcomes = list(delegated.apply(delegated.plan()))
    assert [(one.name, one.result) for one in outcomes] == [
        ("terminated.example.com", "deleted")
    ]
    assert job.stage.left == {
        "witness",
        "alive",
        "off",
        "archived",
        "soft",
        "osp-checker",
    }


def test_an_instance_that_is_alive_again_before_its_deletion_is_kept(
    job: JobStage,
) -> None:
    uuid = job.stage.terminated("terminated")
    with job.stage.journal() as journal:
        cleanup = job.stage.cleanup(journal, checker=job.checker())
        plan = cleanup.plan()
        assert len(plan.deletions) == 1
        job.stage.openstack.instances["RegionOne"][uuid] = Instance(uuid, "restored")
        assert [one.result for one in cleanup.apply(plan)] == ["kept"]


def test_one_question_is_one_job_on_the_checker_host_alone(job: JobStage) -> None:
    job.checker().survey([GONE])
    assert job.started == 1
    (invocation,) = job.jobs.invocations.values()
    assert [run.host_id for run in invocation.runs] == [job.checker_host.id]


def test_what_is_listed_is_one_job_that_asks_about_nobody(job: JobStage) -> None:
    alive = named_uuid("witness")
    found = job.checker().listed([alive, GONE])
    assert (found.alive, found.asked) == ({alive: ("prod", "RegionOne")}, {})
    assert job.started == 1
    assert job.stage.osp.count(GONE) == 0


def test_without_any_uuid_the_regions_answer_all_the_same(job: JobStage) -> None:
    """Otherwise a region would look as if it had left the scope."""
    (seen,) = job.checker().listed([]).regions
    assert (seen.region, seen.servers, seen.error) == ("RegionOne", 1, None)


def test_a_large_question_is_split_into_jobs(job: JobStage) -> None:
    asked: list[int] = []

    def target(script: str, stop: threading.Event) -> Ran:
        question = inputs_of(script)[0]
        uuids = question.uuids.split()
        asked.append(len(uuids))
        row = [0, "absent", "no row of it is left", None]
        return Ran(
            check_instances.dump(
                question,
                Survey(
                    (RegionAnswer("prod", "RegionOne", 1, "seen", None),),
                    {},
                    {
                        uuid: (
                            Sighting(
                                uuid, "prod", "RegionOne", Presence.ABSENT, str(row[2])
                            ),
                        )
                        for uuid in uuids
                    },
                ),
            ).encode()
        )

    job.answers(target)
    uuids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(10_001)]
    told: list[tuple[int, int]] = []
    survey = job.checker().survey(
        uuids, progress=lambda done, total: told.append((done, total))
    )
    assert asked == [10_000, 1]
    assert list(survey.asked) == uuids
    assert {found[0].presence for found in survey.asked.values()} == {Presence.ABSENT}
    assert told == [(0, 10_001), (10_000, 10_001), (10_001, 10_001)]


@pytest.mark.parametrize(
    "around",
    [
        "Welcome to the machine\n{}",
        "no line end{}",
        "{}warning: x\n",
        "{}\r\n",
        "{}{}",
        f"{MARK} 0 {'0' * 64} {{}}\n{{}}",
    ],
)
def test_other_text_around_the_answer_does_no_harm(job: JobStage, around: str) -> None:
    job.answers(
        answering("prod", change=lambda line: around.replace("{}", f"\n{line}\n"))
    )
    survey = job.checker().survey([GONE])
    assert survey.asked[GONE][0].presence is Presence.ABSENT


# What is not answered is unknown


def earlier(line: str) -> str:
    """The answer to a question that differs only in its nonce."""
    return re.sub(rf"^({MARK}) \S+", rf"\1 {'0' * 32}", line)


@pytest.mark.parametrize(
    "change",
    [
        lambda line: "",
        lambda line: line[:-1],
        lambda line: line[:100],
        lambda line: line[100:],
        earlier,
        lambda line: line.replace("absent", "deleted"),
        lambda line: line.replace(GONE, GONE[::-1]),
        lambda line: Ran(f"{line}\n".encode(), 1),
        lambda line: Ran(f"{line}\n".encode(), 255),
        lambda line: Ran(f"{line}\n".encode(), EXCEPTION, "Runner error"),
        lambda line: Ran(b"", 127),
        lambda line: Ran(f"{line}\n\xff".encode("latin-1")),
        lambda line: Ran(f"{line}\n\0".encode()),
        lambda line: Ran(b"", EXCEPTION, "Could not establish connection"),
    ],
)
def test_only_a_complete_answer_to_our_own_question_counts(
    job: JobStage, change: Callable[[str], Any]
) -> None:
    job.answers(answering("prod", change=change))
    checker = job.checker()
    assert all_unknown(checker.survey([GONE]))
    assert all_unknown(checker.ask([GONE]))


@pytest.mark.parametrize("status", [SILENT, LOST])
def test_what_does_not_end_in_time_is_unknown_and_cancelled(
    job: JobStage, status: str
) -> None:
    job.answers(lambda script, stop: Ran(b"", status))
    survey = job.checker(seconds=0.05).survey([GONE])
    assert all_unknown(survey)
    assert "no answer within 0 s" in str(survey.regions[0].error)
    assert job.stage.foreman.count("^POST /api/job_invocations/1/cancel$") == 1


def test_a_failed_rendering_is_unknown_and_shows_its_message(job: JobStage) -> None:
    (template,) = job.jobs.templates.by_id.values()
    template.template = template.template.replace(
        "to_json(input('nonce'))", "input('nonce').to_json"
    )
    survey = job.checker().survey([GONE])
    assert all_unknown(survey)
    assert "Failed rendering template" in str(survey.regions[0].error)


def test_the_error_line_of_the_script_is_shown(job: JobStage) -> None:
    job.answers(
        lambda script, stop: Ran(
            b"motd\nerror: no clouds.yaml with a cloud is found\n", 78
        )
    )
    assert "no clouds.yaml with a cloud is found" in str(
        job.checker().survey([GONE]).regions[0].error
    )


def test_a_region_that_nobody_answers_for_makes_everything_unknown(
    job: JobStage,
) -> None:
    survey = job.checker(
        CloudScope("prod", ("RegionOne",)), CloudScope("other", ("North",))
    ).survey([GONE])
    assert [(seen.cloud, bool(seen.error)) for seen in survey.regions] == [
        ("prod", False),
        ("other", True),
    ]
    assert Presence.UNKNOWN in [one.presence for one in survey.asked[GONE]]


def test_an_answer_about_another_region_does_not_count(job: JobStage) -> None:
    def run(script: str, stop: threading.Event) -> Ran:
        question = inputs_of(script)[0]
        survey = LocalChecker([CloudScope("prod", ("RegionOne", "RegionTwo"))])
        return Ran(
            check_instances.dump(question, survey.ask(question.uuids.split())).encode()
        )

    job.answers(run)
    assert all_unknown(job.checker().ask([GONE]))


@pytest.mark.parametrize("ids", [[[1]], [None], [{}], [True, "1"]], ids=str)
def test_a_job_on_hosts_without_an_id_is_no_job(job: JobStage, ids: list[Any]) -> None:
    targets = [{"id": number} for number in ids]
    change(
        job.stage.foreman,
        "^POST /api/job_invocations",
        lambda body: {**body, "targeting": {"hosts": targets}, "total_hosts": 1},
    )
    survey = job.checker().survey([GONE])
    assert all_unknown(survey)
    assert "/api/job_invocations returned" in str(survey.regions[0].error)


def test_a_checker_host_that_is_left_out_of_the_targeting_is_unknown(
    job: JobStage,
) -> None:
    """A Satellite or Capsule is left out in silence, for want of
    execute_jobs_on_infrastructure_hosts.
    """
    job.stage.satellite.users["starter"] = User("starter", "changeme", TO_CHECK)
    assert not all_unknown(job.checker(login="starter").survey([GONE]))
    job.checker_host.infrastructure = {"foreman_instance": True, "smart_proxy_id": None}
    survey = job.checker(login="starter").survey([GONE])
    assert all_unknown(survey)
    assert "left it out" in str(survey.regions[0].error)


@pytest.mark.parametrize(
    ("missing", "kind"),
    [
        ("create_job_invocations", OSPForbidden),
        ("view_job_templates", OSPForbidden),
        ("view_hosts", OSPForbidden),
        ("create_template_invocations", OSPError),
        ("view_smart_proxies", OSPError),
    ],
)
def test_without_one_of_the_permissions_everything_is_unknown(
    job: JobStage, missing: str, kind: type
) -> None:
    job.stage.satellite.users["starter"] = User(
        "starter", "changeme", TO_CHECK - {missing}
    )
    survey = job.checker(login="starter").survey([GONE])
    assert all_unknown(survey)
    assert type(survey.regions[0].error) is kind


@pytest.mark.parametrize(
    "how", [{"search": "name = nosuch.example.com"}, {"template": "No such template"}]
)
def test_a_checker_host_or_template_that_is_not_there_is_a_matter_of_configuration(
    job: JobStage, how: Any
) -> None:
    survey = job.checker(**how).survey([GONE])
    assert all_unknown(survey)
    assert type(survey.regions[0].error) is OSPConfigError
    assert job.started == 0


def test_a_login_that_is_refused_is_unknown(job: JobStage) -> None:
    survey = job.checker(login="nobody").survey([GONE])
    assert all_unknown(survey) and type(survey.regions[0].error) is OSPLoginError


POST, POLL = "^POST /api/job_invocations$", r"^GET /api/job_invocations/\d+/hosts/\d+$"


@pytest.mark.parametrize(
    ("pattern", "answer"),
    [
        (POST, (500, {"error": {"message": "ERF42"}})),
        (POST, (201, {"id": 1})),
        (POST, (201, {"id": None})),
        (POST, (201, [])),
        (POST, (201, {"id": 1, "total_hosts": 1, "targeting": {"hosts": []}})),
        (
            POST,
            (201, {"id": 1, "total_hosts": "N/A", "targeting": {"hosts": [{"id": 3}]}}),
        ),
        (
            POST,
            (201, {"id": 1, "total_hosts": 1, "targeting": {"hosts": [{"id": 999}]}}),
        ),
        (POST, (201, {"id": 1, "total_hosts": 0, "targeting": {"hosts": []}})),
        (POLL, (500, "<html>")),
        (POLL, (404, {"error": {"message": "Host with id '3' was not found"}})),
        (POLL, (200, {})),
        (POLL, (200, {"complete": True, "output": None})),
        (POLL, (200, {"complete": "yes", "output": []})),
        (POLL, (200, {"complete": True, "output": [{"output": None}]})),
        (POLL, (200, {"complete": True, "output": []})),
        (POLL, (200, {"complete": True, "output": [5]})),
    ],
)
def test_an_unexpected_response_of_satellite_is_unknown(
    job: JobStage, pattern: str, answer: tuple[int, Any]
) -> None:
    job.stage.foreman.fail(pattern, *answer)
    checker = job.checker(seconds=0.05)
    assert all_unknown(checker.survey([GONE]))
    assert all_unknown(checker.ask([GONE]))


@pytest.mark.parametrize("how", [{"cut": True}, {"reset": True}])
@pytest.mark.parametrize("pattern", [POST, POLL])
def test_a_connection_that_breaks_is_unknown(
    job: JobStage, pattern: str, how: Any
) -> None:
    job.stage.foreman.fail(pattern, **how)
    assert all_unknown(job.checker(seconds=0.05).survey([GONE]))


def test_ctrl_c_ends_the_job(job: JobStage) -> None:
    """And the interrupted job does not count as an answer."""
    begun = threading.Event()

    def forever(script: str, stop: threading.Event) -> Ran:
        begun.set()
        return Ran(b"", SILENT)

    job.answers(forever)
    checker = job.checker()

    def interrupted(*_: Any) -> Any:
        begun.wait(5)
        raise KeyboardInterrupt

    # Stands in for a signal in the middle of the wait.
    checker._wait = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        checker.survey([GONE])
    assert job.stage.foreman.count("^POST /api/job_invocations/1/cancel$") == 1


def test_a_run_that_cannot_ask_deletes_nothing(job: JobStage) -> None:
    job.stage.terminated("terminated")
    job.answers(answering("prod", change=lambda line: line[:-1]))
    with job.stage.journal() as journal:
        cleanup = job.stage.cleanup(journal, checker=job.checker())
        plan = cleanup.plan()
        assert plan.deletions == () or not list(cleanup.apply(plan))
    assert "terminated" in job.stage.left


# Lists of servers


LONG_AGO = datetime(2000, 1, 1, tzinfo=timezone.utc)
MODES = ["deleted", "inactive", "unmanaged"]


def ask_for(checker: Any, mode: str, known: Any = ()) -> Servers:
    """The servers of that list."""
    arguments = {"deleted": [LONG_AGO], "inactive": [], "unmanaged": [known]}
    answer: Servers = getattr(checker, mode)(*arguments[mode])
    return answer


def nothing_known(answer: Servers) -> bool:
    """Whether every region has an error, and no server is listed."""
    return not answer.servers and all(region.error for region in answer.regions)


@pytest.mark.parametrize("mode", MODES)
def test_a_list_of_servers_is_that_of_the_local_check(job: JobStage, mode: str) -> None:
    known = [fill(job.stage)["alive"]]
    in_region_two(job.stage)
    both = CloudScope("prod", ("RegionOne", "RegionTwo"))
    delegated = ask_for(job.checker(both), mode, known)
    local = ask_for(LocalChecker([both]), mode, known)
    moved = {"updated": None}  # Nova prints the present time
    assert [server._replace(**moved) for server in delegated.servers] == [
        server._replace(**moved) for server in local.servers
    ]
    assert (delegated.regions, delegated.servers != ()) == (local.regions, True)
    assert job.started == 1


def test_unmanaged_gets_all_uuids_in_one_job(job: JobStage) -> None:
    """With a part of them, the servers of the other part would look unmanaged."""
    alive = job.stage.host("alive")
    known = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(20_000)]
    answer = job.checker().unmanaged([*known, named_uuid("witness"), swap_bytes(alive)])
    assert (answer.servers, answer.regions[0].error) == ((), None)
    assert answer.regions[0].servers == 2
    assert job.started == 1


def test_more_uuids_than_a_job_takes_are_refused_before_it_starts(
    job: JobStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_job, "WHOLE_QUESTION", 2)
    answer = job.checker().unmanaged([GONE, GONE.replace("1", "2")])
    assert answer.regions[0].error is None
    answer = job.checker().unmanaged([f"{n}{GONE[1:]}" for n in "123"])
    assert nothing_known(answer)
    assert type(answer.regions[0].error) is OSPConfigError
    assert "at most 2 UUIDs of host records, and there are 3" in str(
        answer.regions[0].error
    )
    assert job.started == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "change",
    [
        lambda line: "",
        lambda line: line[:-1],
        earlier,
        lambda line: line.replace("RegionOne", "regionone"),
        lambda line: Ran(f"{line}\n".encode(), 1),
        lambda line: Ran(b"", EXCEPTION, "Could not establish connection"),
    ],
)
def test_only_a_complete_list_in_answer_to_our_own_question_counts(
    job: JobStage, mode: str, change: Callable[[str], Any]
) -> None:
    fill(job.stage)
    job.answers(answering("prod", change=change))
    assert nothing_known(ask_for(job.checker(), mode))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ahead", [timedelta(minutes=-7), timedelta(minutes=7)])
def test_no_list_counts_from_a_host_whose_clock_is_far_from_ours(
    job: JobStage, mode: str, ahead: timedelta
) -> None:
    def target(script: str, stop: threading.Event) -> Ran:
        question = inputs_of(script)[0]
        answer = load_servers(question, check_instances.answer(question, ["prod"]))
        there = datetime.now(timezone.utc) + ahead
        return Ran(dump(question, replace(answer, at=there)).encode())

    job.answers(target)
    answer = ask_for(job.checker(), mode)
    assert nothing_known(answer)
    assert f"the clock of {NAME} is" in str(answer.regions[0].error)


@pytest.mark.parametrize("mode", MODES)
def test_a_region_that_failed_there_has_its_error_and_no_servers_here(
    job: JobStage, mode: str
) -> None:
    fill(job.stage)
    both = CloudScope("prod", ("RegionOne", "RegionTwo"))  # RegionTwo has no server
    answer = ask_for(job.checker(both), mode)
    errors = {region.region: region.error for region in answer.regions}
    assert errors["RegionOne"] is None and "no active server" in str(
        errors["RegionTwo"]
    )
    assert {server.region for server in answer.servers} == {"RegionOne"}


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lambda job: job.stage.foreman.fail(POST, 500, {}), OSPError),
        (lambda job: job.jobs.templates.by_id.clear(), OSPConfigError),
        (lambda job: job.stage.satellite.users.clear(), OSPLoginError),
    ],
)
def test_without_a_job_no_region_has_a_list(
    job: JobStage, spoil: Callable[[JobStage], None], kind: type
) -> None:
    checker = job.checker()
    spoil(job)
    for mode in MODES:
        answer = ask_for(checker, mode)
        assert nothing_known(answer)
        assert type(answer.regions[0].error) is kind


def test_servers_without_a_record_are_listed_by_a_job(job: JobStage, call: Any) -> None:
    config = job.stage.config(
        checker={"job_template": "OSP - Check instances", "search": f"name = {NAME}"}
    )
    job.stage.openstack.add("RegionOne", Instance(GONE, "forgotten"))
    job.stage.host("known")
    code, out, err = call("--config", config, "unmanaged")
    assert (code, err) == (0, "")
    assert "forgotten" in out and "known" not in out
    assert "1 of 3 servers have no host record" in out
    job.answers(answering("prod", change=lambda line: line[:-1]))
    code, out, err = call("--config", config, "unmanaged")
    assert (code, out, err.count("\n")) == (69, "", 1)
    assert "no checker host answers for it" in err


def test_the_states_of_hosts_come_from_three_jobs(job: JobStage, call: Any) -> None:
    """The list of all servers, the list of those that do not run, and what is asked further."""
    config = job.stage.config(
        checker={"job_template": "OSP - Check instances", "search": f"name = {NAME}"}
    )
    job.stage.host("off", server="SHUTOFF")
    job.stage.host("broken", checked_in=9 * 86400.0)
    job.stage.terminated("gone")
    columns = ["--output", "csv", "--fields", "name,state,status"]
    code, out, err = call("--config", config, "states", *columns)
    assert (code, err) == (0, "")
    assert out.splitlines()[1:4] == [
        "broken.example.com,running-silent,ACTIVE",
        "off.example.com,off,SHUTOFF",
        "gone.example.com,terminated,",
    ]
    assert job.started == 3
    job.answers(answering("prod", change=lambda line: line[:-1]))
    code, out, err = call("--config", config, "states")
    assert (code, err.count("\n")) == (69, 1)
    assert "4 unknown" in out and "running" not in out


def test_a_quick_run_removes_by_a_job_what_was_deleted_since_the_last_run(
    job: JobStage,
) -> None:
    stage = job.stage
    stage.now -= timedelta(hours=3)
    policy = Policy(max_fraction=1.0, quiet=timedelta(hours=1))
    with stage.journal() as journal:
        cleanup = stage.cleanup(journal, policy, checker=job.checker())
        url = stage.foreman.url
        begun = begin_run(journal, url, "run", Kind.FULL, "all hosts", "me", stage.now)
        end_run(journal, begun, 0, stage.now, plan=cleanup.plan())
        stage.now += timedelta(hours=3)
        uuid = stage.terminated("terminated", timedelta(hours=2))
        plan = cleanup.plan_quick()
        assert [verdict.uuid for verdict in plan.deletions] == [uuid]
        assert [outcome.result for outcome in cleanup.apply(plan)] == ["deleted"]
    assert "terminated" not in stage.left


# Several checker hosts


@pytest.fixture
def two(job: JobStage) -> JobStage:
    """A second checker host, for a second cloud (another name for the same one)."""
    import yaml

    path = job.stage.use_cloud()
    clouds = yaml.safe_load(path.read_text())["clouds"]
    path.write_text(
        yaml.safe_dump(
            {
                "clouds": {
                    "prod": clouds["prod"],
                    "north": {**clouds["prod"], "region_name": "RegionTwo"},
                }
            }
        )
    )
    job.add_host("osp-checker2.example.com", answering("north"))
    in_region_two(job.stage)
    return job


BOTH = (CloudScope("prod", ("RegionOne",)), CloudScope("north", ("RegionTwo",)))


def ask_both(job: JobStage, uuids: list[str]) -> Survey:
    return job.checker(*BOTH, search="name ~ osp-checker").survey(uuids)


def test_each_checker_host_answers_for_its_own_clouds(two: JobStage) -> None:
    uuids = [*fill(two.stage).values(), GONE]
    local = LocalChecker(BOTH)
    lists = local.prepare()
    found, known = ask_both(two, uuids), local.survey(uuids, lists)
    assert (found.alive, found.asked) == (known.alive, known.asked)
    regions = [replace(answer, unlisted=()) for answer in found.regions]
    assert sorted(regions, key=str) == sorted(known.regions, key=str)


def test_regions_that_the_scope_ignores_are_not_named(job: JobStage) -> None:
    named = CloudScope("prod", ("RegionOne",))
    assert [seen.unlisted for seen in job.checker(named).survey([GONE]).regions] == [
        ("RegionTwo",)
    ]
    ignoring = replace(named, ignore_regions=("RegionTwo",))
    assert [seen.unlisted for seen in job.checker(ignoring).survey([GONE]).regions] == [
        ()
    ]


@pytest.mark.parametrize(
    "ahead", [timedelta(minutes=-7), timedelta(minutes=7), timedelta(hours=25)], ids=str
)
def test_a_checker_host_whose_clock_is_far_from_ours_makes_all_unknown(
    job: JobStage, ahead: timedelta
) -> None:
    def target(script: str, stop: threading.Event) -> Ran:
        question = inputs_of(script)[0]
        line = check_instances.answer(question, ["prod"])
        there = datetime.now(timezone.utc) + ahead
        return Ran(
            f"{dump(question, replace(load(question, line), at=there))}\n".encode()
        )

    job.answers(target)
    survey = job.checker().survey([GONE])
    assert all_unknown(survey)
    assert f"the clock of {NAME} is" in str(survey.regions[0].error)


def test_a_job_that_takes_long_is_not_taken_for_a_clock_that_is_behind(
    job: JobStage,
) -> None:
    """The answer was given at some time between the start of the job and its end."""

    def target(script: str, stop: threading.Event) -> Ran:
        question = inputs_of(script)[0]
        line = check_instances.answer(question, ["prod"])
        there = datetime.now(timezone.utc) - timedelta(minutes=4)
        return Ran(
            f"{dump(question, replace(load(question, line), at=there))}\n".encode()
        )

    job.answers(target)
    assert job.checker().survey([GONE]).regions[0].error is None


def without_ids(job: JobStage) -> None:
    """Let Satellite show chunks as it did before foreman_remote_execution 8."""
    current = job.stage.foreman.handle

    def old(request: Request) -> Answer:
        found = current(request)
        if not re.search(r"/job_invocations/\d+/hosts/\d+$", request.path):
            return found
        chunks = [
            {key: chunk[key] for key in ("output_type", "output", "timestamp")}
            for chunk in found.body["output"]
        ]
        return found._replace(body={**found.body, "output": chunks})

    job.stage.foreman.handle = old


def test_chunks_without_ids_end_with_the_exit_line_and_all_others_are_printed(
    job: JobStage,
) -> None:
    uuids = list(fill(job.stage).values())
    expected = job.checker().survey(uuids)
    without_ids(job)
    assert job.checker().survey(uuids) == expected


def test_chunks_without_ids_tell_a_failure_as_well(job: JobStage) -> None:
    without_ids(job)
    job.answers(lambda script, stop: Ran(b"error: it is all wrong\n", 69))
    survey = job.checker().survey([GONE])
    assert all_unknown(survey)
    assert "exit status 69: error: it is all wrong" in str(survey.regions[0].error)


def test_doctor_does_not_pass_a_check_job_that_failed(job: JobStage) -> None:
    checker = job.checker()
    assert "took" in " ".join(finding.what for finding in examine_check_job(checker))
    job.answers(lambda script, stop: Ran(b"", 1))
    findings = list(examine_check_job(checker))
    assert [finding.state for finding in findings] == ["fail"]


def test_doctor_names_the_regions_that_a_checker_host_leaves_out(job: JobStage) -> None:
    checker = job.checker(CloudScope("prod", ("RegionOne",)))
    [warning] = [
        finding for finding in examine_check_job(checker) if finding.state == "warning"
    ]
    assert "the catalog also has compute in RegionTwo" in warning.what


def test_only_what_is_in_no_list_is_asked_about(two: JobStage) -> None:
    """Otherwise each host would ask about the instances of all others, one by one."""
    uuids = [two.stage.host(f"alive{number}") for number in range(9)]
    ask_both(two, [*uuids, GONE])
    asked = {
        request.path[-36:]
        for request in two.stage.osp.requests
        if "/servers/" in request.path
    }
    # One of them may be the server that proves visibility.
    assert GONE in asked and len(set(uuids) & asked) <= 1


def test_when_one_of_them_fails_nothing_is_known_to_be_gone(two: JobStage) -> None:
    uuid = two.stage.terminated("terminated")
    two.answers(lambda script, stop: Ran(b"", 1))
    survey = ask_both(two, [uuid])
    assert Presence.UNKNOWN in [one.presence for one in survey.asked[uuid]]
    assert [seen.cloud for seen in survey.regions if seen.error] == ["prod"]


def test_two_hosts_that_answer_for_one_cloud_are_one_too_many(two: JobStage) -> None:
    two.answers(answering("prod", "north"))
    survey = ask_both(two, [GONE])
    assert Presence.UNKNOWN in [one.presence for one in survey.asked[GONE]]
    assert any("both answer for it" in str(seen.error) for seen in survey.regions)


@pytest.mark.parametrize("mode", MODES)
def test_the_lists_of_two_checker_hosts_are_joined(two: JobStage, mode: str) -> None:
    fill(two.stage)
    gone = named_uuid("gone in region two")
    two.stage.openstack.add("RegionTwo", Instance(gone, "two"))
    two.stage.openstack.terminate("RegionTwo", gone, 1_700_000_000.0)
    off = named_uuid("off in region two")
    two.stage.openstack.add("RegionTwo", Instance(off, "two", status="SHUTOFF"))
    both = two.checker(*BOTH, search="name ~ osp-checker")
    answer = ask_for(both, mode)
    assert [region.error for region in answer.regions] == [None, None]
    assert {server.cloud for server in answer.servers} == {"prod", "north"}
    assert two.started == 1


@pytest.mark.parametrize("mode", MODES)
def test_no_servers_of_a_region_that_two_hosts_list_or_none(
    two: JobStage, mode: str
) -> None:
    fill(two.stage)
    both = two.checker(*BOTH, search="name ~ osp-checker")
    two.answers(answering("prod", "north"))
    answer = ask_for(both, mode)
    failed = [region.cloud for region in answer.regions if region.error]
    assert failed == ["north"]
    assert {server.cloud for server in answer.servers} == {"prod"}
    two.answers(lambda script, stop: Ran(b"", 1))
    answer = ask_for(both, mode)
    failed = [region.cloud for region in answer.regions if region.error]
    assert failed == ["prod"]
    assert {server.cloud for server in answer.servers} <= {"north"}


# The script itself, as a process of its own


def script_as_a_process(job: JobStage, home: Path) -> Process:
    """A checker host that really runs the script.

    With a home and an environment of its own, a greeting before its answer, and of our packages
    only OpenStack's.
    """
    (home / ".config" / "openstack").mkdir(parents=True)
    job.stage.use_cloud().rename(home / ".config" / "openstack" / "clouds.yaml")
    missing = (
        "foreman_hooks",
        "satellite_remote_exec",
        "click",
        "jinja2",
        "rich",
        "prometheus_client",
    )
    (home / "sitecustomize.py").write_text(
        f"import sys; sys.modules.update(dict.fromkeys({missing!r}))\n"
    )
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(home),
    }
    return Process(home, environment, banner=b"Welcome! ")


def test_the_script_lists_servers_as_a_process_of_its_own(
    job: JobStage, tmp_path: Path
) -> None:
    instances = fill(job.stage)
    job.answers(script_as_a_process(job, tmp_path / "of the checker"))
    checker = job.checker()
    listed = {}
    for mode in MODES:
        answer = ask_for(checker, mode, [instances["alive"]])
        assert answer.regions[0].error is None
        listed[mode] = {server.uuid for server in answer.servers}
    assert listed == {
        "deleted": {instances["terminated"]},
        "inactive": {instances["off"]},
        "unmanaged": {instances["off"], named_uuid("witness")},
    }


def test_ten_thousand_uuids_go_through_one_job_that_runs_as_a_process_of_its_own(
    job: JobStage, tmp_path: Path
) -> None:
    uuid = job.stage.terminated("terminated")
    living = [f"{number:08x}-0000-4000-8000-00000000000a" for number in range(9_999)]
    for each in living:
        job.stage.openstack.add("RegionOne", Instance(each, "app"))
    job.answers(script_as_a_process(job, tmp_path / "of the checker"))
    survey = job.checker().survey([*living, uuid])
    (sighting,) = survey.asked.pop(uuid)
    assert sighting.presence is Presence.DELETED and sighting.terminated_at
    assert not survey.asked and list(survey.alive) == living
    assert job.started == 1


def test_a_host_without_the_packages_says_which(job: JobStage, tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    # -S: without site-packages.
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    python.chmod(0o755)
    job.answers(Process(tmp_path, {"PATH": f"{python.parent}:/usr/bin:/bin"}))
    error = job.checker().survey([GONE]).regions[0].error
    assert "python3-keystoneauth1, python3-novaclient, python3-openstacksdk" in str(
        error
    )
