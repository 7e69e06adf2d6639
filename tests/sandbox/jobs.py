"""Remote execution of the Satellite double: job invocations, how they run, and their output.

    satellite.jobs.targets[host.id] = lambda script, stop: Ran(b"hello\\n", 0)  # scripted
    satellite.jobs.targets[host.id] = Process(tmp_path, {})                     # really executed
    satellite.jobs.settle()                                                     # wait for the end

A host without a target is unreachable. The first request for the output finds the job running;
from the second on, everything that is not a Process has ended. What is called "measured" was seen
on Foreman 3.12.0 with remote execution 13.2.
"""

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from .calls import (
    LIST_PARAMETERS,
    Call,
    RefusedError,
    check_names,
    leading_number,
    not_found,
    server_error,
)
from .job_runs import Chunk, End, Run, now
from .job_templates import (
    BLANKS,
    JobTemplate,
    JobTemplates,
    RenderError,
    TemplateInput,
    render,
)
from .records import Host
from .search_parser import parse
from .server import Answer, utc
from .targets import EXCEPTION, LOST, SILENT, Process, Ran, Target, unreachable

if TYPE_CHECKING:
    from .satellite import Satellite

__all__ = ["EXCEPTION", "LOST", "ROUTES", "SILENT", "Jobs", "Process", "Ran", "Target"]

PATIENCE = 10.0  # seconds for which a request waits for scripted targets; they should need none

NO_PROXY = (
    'Could not use any proxy for the ["SSH", "Script"] job. Consider configuring '
    "remote_execution_global_proxy, remote_execution_fallback_proxy in settings"
)
PROXY_FORGOT = "Error loading data from proxy: RestClient::NotFound - 404 Not Found"
_STARTED_WITH = (
    "execution_timeout_interval",
    "inputs",
    "job_template_id",
    "search_query",
    "targeting_type",
)

Value = tuple[TemplateInput, str]


@dataclass
class Invocation:
    """A job: one template with its inputs on all hosts that it was started for.

    `looks`: how often its output was asked for.
    """

    id: int
    template: JobTemplate
    values: list[Value]
    query: str
    targeting_type: str
    login: str
    runs: list[Run]
    task: str = field(default_factory=lambda: str(uuid.uuid4()))
    looks: int = 0

    @property
    def has_begun(self) -> bool:
        """Whether its hosts are being worked on; not yet at the first look (measured)."""
        return self.looks > 1

    def is_answered(self) -> bool:
        """Whether every target has answered that requests wait for."""
        return all(run.ran or run.is_slow for run in self.runs)


class Jobs:
    """The jobs of one Satellite; tests set `targets` (by host id) and `second`.

    `second`: how long a second of execution_timeout_interval takes, in true seconds.
    """

    def __init__(self, satellite: "Satellite") -> None:
        self.targets: dict[int, Target] = {}
        self.second = 1.0
        self.templates = JobTemplates(satellite)
        self.invocations: dict[int, Invocation] = {}
        self._satellite = satellite
        self._changed = threading.Condition(satellite.lock)
        self._ids, self._run_ids, self._chunk_ids = count(1), count(1), count(1)

    def settle(self, timeout: float = 30.0) -> bool:
        """Wait until every target has answered; False if they have not after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: all(run.ran for run in self._runs()), timeout
            )

    def close(self) -> None:
        """End everything that still runs."""
        with self._changed:
            for run in self._runs():
                run.end(End.ABORT)
        self.settle()

    def _runs(self) -> Iterator[Run]:
        for invocation in self.invocations.values():
            yield from invocation.runs

    # Starting

    def start(self, call: Call) -> Answer:
        """POST /job_invocations."""
        check_names(call.body or {}, ("job_invocation",), "the key")
        given = call.given("job_invocation") or {}
        check_names(given, _STARTED_WITH, "the attribute of a job")
        template = self._template(call, given.get("job_template_id"))
        values = _input_values(template, given.get("inputs") or {})
        query = given.get("search_query") or ""
        _check_job(template, values, query, given.get("targeting_type"))
        hosts = self._targeted(call, query)
        self._check_template_invocations(call)
        runs = [Run(next(self._run_ids), host.id, self._chunk_ids) for host in hosts]
        invocation = Invocation(
            next(self._ids),
            template,
            values,
            query,
            given["targeting_type"],
            call.user.login,
            runs,
        )
        self.invocations[invocation.id] = invocation
        interval = (
            given.get("execution_timeout_interval")
            or template.execution_timeout_interval
        )
        seconds = leading_number(str(interval or 0))
        for run, host in zip(runs, hosts):
            self._launch(call, invocation, run, host, seconds)
        return Answer(201, self._entry(call, invocation))

    def _template(self, call: Call, key: Any) -> JobTemplate:
        template = self.templates.visible(call.user, leading_number(str(key)))
        if (
            template is None
            or template.snippet
            or not call.user.may("view_job_templates")
        ):
            raise not_found(
                f"Template with id '{'' if key is None else key}' was not found"
            )
        return template

    def _targeted(self, call: Call, query: str) -> list[Host]:
        """The hosts of the query that the login may use; others are left out (measured)."""
        sight = self._satellite.sight(call)
        hosts = self._satellite.matching_hosts(parse(query), sight)
        if not call.user.may("view_hosts"):
            return []
        if not call.user.may("execute_jobs_on_infrastructure_hosts"):
            hosts = [host for host in hosts if not _is_infrastructure(host)]
        return sorted(hosts, key=lambda host: (host.name, host.id))

    def _check_template_invocations(self, call: Call) -> None:
        """The permission to start is not enough; without this one it is a 500 (measured)."""
        pattern_id = next(self._run_ids)
        if not call.user.may("create_template_invocations"):
            raise server_error(
                'PG::NotNullViolation: ERROR:  null value in column "template_id" of relation '
                '"template_invocations" violates not-null constraint\n'
                f"DETAIL:  Failing row contains ({pattern_id}, null, null, null, null, null, null)"
                ".\n"
            )

    def _launch(
        self, call: Call, invocation: Invocation, run: Run, host: Host, seconds: int
    ) -> None:
        """Render the script and give it to the target, in its own thread; or fail at once.

        `seconds`: the time after which it is stopped; 0: never.
        """
        if not call.user.may("view_smart_proxies"):
            run.fail(NO_PROXY)
            return
        template = invocation.template
        try:
            script = render(
                template.template, _rendered_values(invocation), template.name
            )
        except RenderError as error:
            run.fail(f"Failed rendering template: error during rendering: {error}")
            return
        target = self.targets.get(host.id) or unreachable(host.name)
        run.is_slow = isinstance(target, Process)
        # Measured: the file ends with one.
        script = script.replace("\r", "").rstrip("\n") + "\n"
        clock = threading.Timer(seconds * self.second, self._expire, (run,))
        clock.daemon = True
        arguments = (run, target, script, clock)
        threading.Thread(target=self._execute, args=arguments, daemon=True).start()
        if seconds:
            clock.start()

    # Running

    def _execute(
        self, run: Run, target: Target, script: str, clock: threading.Timer
    ) -> None:
        ran = Ran(b"", EXCEPTION, "Runner error: the target raised an exception")
        try:
            ran = target(script, run.stop)
        finally:
            with self._changed:
                run.answer(ran)
                if run.result:
                    clock.cancel()
                self._changed.notify_all()

    def _expire(self, run: Run) -> None:
        with self._changed:
            run.end(End.TIMEOUT)

    # Reading

    def output(self, call: Call) -> Answer:
        """GET /job_invocations/:id/hosts/:host_id."""
        invocation = self._own_invocation(call)
        if invocation is None:
            message = f"Job invocation not found by id '{call.args['id']}'"
            raise RefusedError(404, {"message": message})
        self._look(invocation)
        host_id = call.args["host_id"]
        for run in self._runs_in_sight(call, invocation):
            if run.host_id == int(host_id):
                return Answer(200, _output(invocation, run))
        raise not_found(f"Host with id '{host_id}' was not found")

    def cancel(self, call: Call) -> Answer:
        """POST /job_invocations/:id/cancel; `force` does not wait for the proxy."""
        check_names(call.body or {}, ("force",), "the key")
        invocation = self._invocation(call)
        if invocation is None:
            raise not_found(
                f"Resource job_invocation not found by id '{call.args['id']}'"
            )
        invocation.looks = max(invocation.looks, 1)
        for run in invocation.runs:
            run.end(End.ABORT if call.given("force") else End.CANCEL)
        return Answer(200, {"cancelled": True, "id": invocation.id})

    def _invocation(self, call: Call) -> Optional[Invocation]:
        key = call.args["id"]
        return self.invocations.get(int(key)) if key.isdigit() else None

    def _own_invocation(self, call: Call) -> Optional[Invocation]:
        """A job of the login itself (measured), or with view_job_invocations any job."""
        invocation = self._invocation(call)
        if invocation is None:
            return None
        is_own = invocation.login == call.user.login
        return invocation if is_own or call.user.may("view_job_invocations") else None

    def _look(self, invocation: Invocation) -> None:
        """Count a look; from the second on, wait for scripted targets."""
        invocation.looks += 1
        if invocation.has_begun:
            self._changed.wait_for(invocation.is_answered, PATIENCE)

    def _runs_in_sight(self, call: Call, invocation: Invocation) -> list[Run]:
        """Those whose host still has a record that the login sees."""
        if not call.user.may("view_hosts"):
            return []
        sight = self._satellite.sight(call)
        in_sight = []
        for run in invocation.runs:
            host = self._satellite.hosts.get(run.host_id)
            if host and (sight is None or sight(host)):
                in_sight.append(run)
        return in_sight

    def _entry(self, call: Call, invocation: Invocation) -> dict[str, Any]:
        """A job that was just started."""
        template = invocation.template
        total = len(invocation.runs)
        hosts = []
        for run in self._runs_in_sight(call, invocation):
            name = self._satellite.hosts[run.host_id].name
            hosts.append({"name": name, "id": run.host_id, "display_name": name})
        users = list(self._satellite.users)
        return {
            "id": invocation.id,
            "job_category": template.job_category,
            "targeting_id": invocation.id,
            "status": 3,
            "start_at": utc(),
            "status_label": "running",
            "ssh_user": None,
            "time_to_pickup": None,
            "dynflow_task": {"id": invocation.task, "state": "planned"},
            "template_id": template.id,
            "template_name": template.name,
            "succeeded": 0,
            "failed": 0,
            "pending": total,
            "cancelled": 0,
            "total": total,
            "missing": 0,
            "total_hosts": total,
            "targeting": {
                "bookmark_id": None,
                "search_query": invocation.query,
                "targeting_type": invocation.targeting_type,
                "user_id": 4 + users.index(invocation.login),
                "randomized_ordering": None,
                "hosts": hosts,
            },
            "task": {"id": invocation.task, "state": "planned"},
        }


# What a job is started with


def _input_values(template: JobTemplate, given: dict[str, Any]) -> list[Value]:
    """Inputs and their values, stripped (measured); a default replaces a value that is absent."""
    known = {each.name for each in template.inputs}
    for name in given:
        if name not in known:
            raise server_error(
                f"ERF42-7285 [Foreman::Exception]: Unknown input {name} "
                f"for template {template.name}"
            )
    values = []
    blanks = BLANKS.replace("\0", "")
    for each in template.inputs:
        if each.name in given or each.default is not None:
            value = given.get(each.name, each.default)
            values.append((each, "" if value is None else str(value).strip(blanks)))
    return values


def _rendered_values(invocation: Invocation) -> dict[str, Optional[str]]:
    """What input() gives: null for an optional input that was left out."""
    rendered: dict[str, Optional[str]] = {}
    for each in invocation.template.inputs:
        if not each.required and each.input_type == "user":
            rendered[each.name] = None
    for each, value in invocation.values:
        rendered[each.name] = value
    return rendered


def _check_job(
    template: JobTemplate, values: list[Value], query: str, kind: Any
) -> None:
    """Raise the 500 for a job that cannot be started (measured)."""
    problems = [*_targeting_problems(query, kind), *_input_problems(template, values)]
    if problems:
        raise server_error("Validation failed: " + ", ".join(problems))
    if any("\0" in value for _, value in values):
        raise server_error("string contains null byte")


def _targeting_problems(query: str, kind: Any) -> Iterator[str]:
    wanted = "Must select a bookmark or enter a search query"
    problems = []
    if not kind:
        problems.append("Targeting type can't be blank")
    if kind not in ("static_query", "dynamic_query"):
        problems.append("Targeting type is not included in the list")
    if not query.strip():
        problems += [f"Bookmark {wanted}", f"Search query {wanted}"]
    if problems:
        yield "Targeting: " + ", ".join(problems)


def _input_problems(template: JobTemplate, values: list[Value]) -> Iterator[str]:
    """Measured: the message has the template's name in small letters."""
    problems = [*_blank_inputs(values), *_inputs_not_listed(values)]
    given = {each.name for each, _ in values}
    missing = [
        each.name
        for each in template.inputs
        if each.required and each.name not in given
    ]
    if missing:
        names = ", ".join(missing)
        problems.append(f"Not all required inputs have values. Missing inputs: {names}")
    if problems:
        yield f"Template {template.name}".capitalize() + ": " + ", ".join(problems)


def _blank_inputs(values: list[Value]) -> Iterator[str]:
    for each, value in values:
        if each.required and not value:
            yield f"Input {each.name}: Value can't be blank"


def _inputs_not_listed(values: list[Value]) -> Iterator[str]:
    for each, value in values:
        is_listed = not each.choices() or value in each.choices()
        if not is_listed and (value or each.required):
            yield f"Input {each.name}: Value is not included in the list"


def _is_infrastructure(host: Host) -> bool:
    facet = host.infrastructure or {}
    return bool(facet.get("foreman_instance") or facet.get("smart_proxy_id"))


# Output


def _output(invocation: Invocation, run: Run) -> dict[str, Any]:
    """What one host printed so far."""
    is_pending = not (invocation.has_begun and run.result)
    output: list[dict[str, Any]] = []
    if invocation.has_begun:
        output = [_shown(chunk, run) for chunk in run.chunks]
        if is_pending and run.ran and run.ran.status == LOST:
            output.append(
                {"output_type": "debug", "output": PROXY_FORGOT, "timestamp": now()}
            )
    return {"complete": not is_pending, "refresh": is_pending, "output": output}


def _shown(chunk: Chunk, run: Run) -> dict[str, Any]:
    """A chunk as the API shows it; an exit status is not in the database (measured)."""
    if chunk.kind == "exit":
        text = f"Exit status: {chunk.text}"
        return {"output_type": "stdout", "output": text, "timestamp": chunk.timestamp}
    shown = {
        "output_type": chunk.kind,
        "output": chunk.text,
        "timestamp": chunk.timestamp,
    }
    if not chunk.id:
        return shown
    return {
        "id": chunk.id,
        "template_invocation_id": run.id,
        "meta": None,
        "sequence_id": chunk.sequence,
        **shown,
    }


Handler = Callable[[Jobs, Call], Answer]
TemplateHandler = Callable[[JobTemplates, Call], Answer]


class JobRoute(NamedTuple):
    """`permission`: what a login needs, "" for any login; `parameters`: those of the address."""

    method: str
    path: str
    permission: str
    handler: Handler
    parameters: frozenset[str] = frozenset()


def _of_templates(handler: TemplateHandler) -> Handler:
    return lambda jobs, call: handler(jobs.templates, call)


_TEMPLATES = "/api/job_templates"
_INVOCATIONS = "/api/job_invocations"
_list_templates = _of_templates(JobTemplates.index)
_import_template = _of_templates(JobTemplates.import_text)
_show_template = _of_templates(JobTemplates.show)
_change_template = _of_templates(JobTemplates.change)
_HOST_OF_JOB = rf"{_INVOCATIONS}/:id/hosts/(?P<host_id>\d+)"
ROUTES = (
    JobRoute("GET", _TEMPLATES, "view_job_templates", _list_templates, LIST_PARAMETERS),
    JobRoute("POST", f"{_TEMPLATES}/import", "create_job_templates", _import_template),
    JobRoute("GET", f"{_TEMPLATES}/:id", "view_job_templates", _show_template),
    JobRoute("PUT", f"{_TEMPLATES}/:id", "edit_job_templates", _change_template),
    JobRoute("POST", _INVOCATIONS, "create_job_invocations", Jobs.start),
    JobRoute("GET", _HOST_OF_JOB, "", Jobs.output),
    JobRoute(
        "POST", f"{_INVOCATIONS}/:id/cancel", "cancel_job_invocations", Jobs.cancel
    ),
)
