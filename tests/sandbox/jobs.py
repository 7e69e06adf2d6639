"""Remote execution of the Satellite in memory: job invocations, how they run, and what can be read
of them.

    satellite.jobs.targets[host.id] = lambda script, stop: Ran(b"hello\\n", 0)     # scripted
    satellite.jobs.targets[host.id] = Process(tmp_path, {})                        # really executed
    satellite.jobs.settle()                                                        # wait until nothing runs

A host without a target is unreachable.  The first look at a job finds it running; from the second
look on everything that is no Process has ended.  What is said to be measured was seen on Foreman
3.12.0 with remote execution 13.2.
"""

import re
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, dropwhile
from typing import TYPE_CHECKING, Any, Callable, Optional

from .calls import Call, RefusedError, leading_number, not_found, server_error, truth
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
from .search import parse
from .server import Answer, utc
from .targets import EXCEPTION, LOST, SILENT, Process, Ran, Target, unreachable

if TYPE_CHECKING:
    from .satellite import Satellite

__all__ = ["EXCEPTION", "LOST", "ROUTES", "SILENT", "Jobs", "Process", "Ran", "Target"]

LAG = 3  # looks at a job for which it still "runs" after its hosts are done; measured: 16 s
PATIENCE = 10.0  # seconds for which a look waits for a scripted target; they should take none
DESCRIPTION = 255  # characters, the rest is cut off (measured)

NO_PROXY = (
    'Could not use any proxy for the ["SSH", "Script"] job. Consider configuring '
    "remote_execution_global_proxy, remote_execution_fallback_proxy in settings"
)
PROXY_DOWN = "The only applicable proxy proxy.example.com is down"
PROXY_FORGOT = "Error loading data from proxy: RestClient::NotFound - 404 Not Found"
EXIT_STATUS = {
    "en": "Exit status: ",
    "de": "Exit-Status: ",
    "es": "Estado de salida: ",
    "fr": "Statut de sortie : ",
}


@dataclass
class Invocation:
    """A job: one template with its inputs on all hosts that it was started for."""

    id: int
    template: JobTemplate
    description: str
    values: list[tuple[TemplateInput, str]]
    query: str
    kind: str
    effective_user: str
    login: str
    runs: list[Run]
    started: float = field(default_factory=time.time)
    task: str = field(default_factory=lambda: str(uuid.uuid4()))
    looks: int = 0
    lag: int = LAG

    @property
    def begun(self) -> bool:
        """Whether its hosts are being worked on; not yet at the first look (measured)."""
        return self.looks > 1

    @property
    def stopped(self) -> bool:
        """Whether it admits that it is over."""
        return self.lag < 0


class Jobs:
    """The jobs of one Satellite; `targets`, `proxy_down` and `second` are for tests to set."""

    def __init__(self, satellite: "Satellite") -> None:
        self.targets: dict[int, Target] = {}  # by host id
        self.proxy_down = False
        self.second = 1.0  # of execution_timeout_interval, in true seconds
        self.templates = JobTemplates(satellite)
        self.invocations: dict[int, Invocation] = {}
        self._satellite = satellite
        self._changed = threading.Condition(satellite.lock)
        self._ids, self._run_ids, self._chunk_ids = count(1), count(1), count(1)

    def ids_of_jobs(self, host_id: int) -> list[int]:
        """The invocations that this host has a part in."""
        return [
            invocation.id
            for invocation in self.invocations.values()
            if any(run.host_id == host_id for run in invocation.runs)
        ]

    def settle(self, timeout: float = 30.0) -> bool:
        """Wait until every target has answered; False where they have not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: all(run.ran for run in self._runs()), timeout)

    def close(self) -> None:
        """End everything that still runs."""
        with self._changed:
            for run in self._runs():
                run.end(End.ABORT)
        self.settle()

    def _runs(self) -> Iterator[Run]:
        return (run for invocation in self.invocations.values() for run in invocation.runs)

    # Starting

    def start(self, call: Call) -> Answer:
        """POST /job_invocations."""
        given = call.given("job_invocation") or {}
        template = self._template(call, given.get("job_template_id"))
        values = _input_values(template, given.get("inputs") or {})
        query = given.get("search_query") or ""
        problems = [
            *_targeting_problems(query, given.get("targeting_type")),
            *_input_problems(template, values),
        ]
        if problems:
            raise server_error("Validation failed: " + ", ".join(problems))
        if any("\0" in value for _, value in values):
            raise server_error("string contains null byte")
        hosts = self._targeted(call, query)
        pattern = next(self._run_ids)
        permission = "create_template_invocations"
        if not call.user.may(permission) or permission in call.user.host_filtered:  # measured, both
            raise server_error(
                'PG::NotNullViolation: ERROR:  null value in column "template_id" of relation '
                '"template_invocations" violates not-null constraint\nDETAIL:  Failing row contains '
                f"({pattern}, null, null, null, null, null, null).\n"
            )
        runs = [Run(next(self._run_ids), host.id, self._chunk_ids) for host in hosts]
        invocation = Invocation(
            next(self._ids),
            template,
            _description(template, values, given),
            values,
            query,
            given["targeting_type"],
            _effective_user(call, template, given),
            call.user.login,
            runs,
            lag=LAG if runs else 0,
        )
        self.invocations[invocation.id] = invocation
        interval = given.get("execution_timeout_interval") or template.execution_timeout_interval
        for run, host in zip(runs, hosts):
            self._launch(call, invocation, run, host, leading_number(str(interval or 0)))
        return Answer(201, self._entry(call, invocation))

    def _template(self, call: Call, key: Any) -> JobTemplate:
        template = self.templates.visible(call.user, leading_number(str(key)))
        if template is None or template.snippet or not call.user.may("view_job_templates"):
            raise not_found(f"Template with id '{'' if key is None else key}' was not found")
        return template

    def _targeted(self, call: Call, query: str) -> list[Host]:
        """The hosts of the query that the login sees and may use; the others are left out in
        silence (measured).
        """
        user, hosts = (
            call.user,
            self._satellite.matching_hosts(parse(query), self._satellite.sight(call)),
        )
        if not user.may("view_hosts"):
            return []
        if not user.may("execute_jobs_on_infrastructure_hosts"):
            hosts = [host for host in hosts if not _is_infrastructure(host)]
        return sorted(hosts, key=lambda host: (host.name, host.id))

    def _launch(
        self, call: Call, invocation: Invocation, run: Run, host: Host, interval: int
    ) -> None:
        """Render the script and hand it to the target, in a thread of its own; or fail at once,
        without one.
        """
        trouble = (
            PROXY_DOWN
            if self.proxy_down
            else ""
            if call.user.may("view_smart_proxies")
            else NO_PROXY
        )
        script = ""
        try:
            script = render(
                invocation.template.template, _rendered_values(invocation), invocation.template.name
            )
        except RenderError as error:
            trouble = trouble or f"Failed rendering template: error during rendering: {error}"
        if trouble:
            run.fail(trouble)
            return
        target = self.targets.get(host.id) or unreachable(host.name)
        run.slow = isinstance(target, Process)
        script = script.replace("\r", "").rstrip("\n") + "\n"  # measured: the file ends with one
        clock = threading.Timer(interval * self.second, self._expire, (run,))
        clock.daemon = True
        threading.Thread(
            target=self._execute, args=(run, target, script, clock), daemon=True
        ).start()
        if interval:
            clock.start()

    # Running

    def _execute(self, run: Run, target: Target, script: str, clock: threading.Timer) -> None:
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

    def show(self, call: Call) -> Answer:
        """GET /job_invocations/:id."""
        invocation = self._find(call)
        self._look(invocation)
        if all(run.result for run in invocation.runs) and (invocation.begun or not invocation.runs):
            invocation.lag -= 1
        entry = self._entry(call, invocation, truth(call.first("host_status")))
        runs = self._runs_in_sight(call, invocation)
        if invocation.begun and runs:
            shown = [
                {
                    "template_input_name": each.name,
                    "template_input_id": each.id,
                    "value": "*****" if each.hidden_value else value,
                }
                for each, value in invocation.values
            ]
            entry["template_invocations"] = [
                {
                    "template_id": invocation.template.id,
                    "template_name": invocation.template.name,
                    "host_id": run.host_id,
                    "template_invocation_input_values": shown,
                }
                for run in runs
            ]
        return Answer(200, entry)

    def output(self, call: Call) -> Answer:
        """GET /job_invocations/:id/hosts/:host_id."""
        invocation, run = self._find_run(call)
        return Answer(200, _output(call, invocation, run, []))

    def raw_output(self, call: Call) -> Answer:
        """GET /job_invocations/:id/hosts/:host_id/raw: all of it in one text; `since` is not
        heeded.
        """
        invocation, run = self._find_run(call)
        return Answer(200, _output(call, invocation, run, None, raw=True, since=""))

    def outputs(self, call: Call) -> Answer:
        """GET /job_invocations/:id/outputs: of all hosts, or of those that `search_query` finds."""
        invocation, raw = self._find(call), truth(call.first("raw"))
        self._look(invocation)
        query = parse(call.first("search_query"))
        found = {
            host.id for host in self._satellite.matching_hosts(query, self._satellite.sight(call))
        }
        return Answer(
            200,
            {
                "outputs": [
                    {
                        **_output(call, invocation, run, "" if raw else [], raw=raw),
                        "host_id": run.host_id,
                    }
                    for run in self._runs_in_sight(call, invocation)
                    if run.host_id in found
                ]
            },
        )

    def cancel(self, call: Call) -> Answer:
        """POST /job_invocations/:id/cancel; `force` does not wait for the proxy."""
        invocation = self._known(call)
        if invocation is None:
            raise not_found(f"Resource job_invocation not found by id '{call.args['id']}'")
        if invocation.stopped:
            raise RefusedError(422, {"message": "The job could not be cancelled."})
        invocation.looks = max(invocation.looks, 1)
        for run in invocation.runs:
            run.end(End.ABORT if call.given("force") else End.CANCEL)
        return Answer(200, {"cancelled": True, "id": invocation.id})

    def _known(self, call: Call) -> Optional[Invocation]:
        key = call.args["id"]
        return self.invocations.get(int(key)) if key.isdigit() else None

    def _owned(self, call: Call) -> Optional[Invocation]:
        """Their own jobs everybody may see (measured), those of others with view_job_invocations."""
        invocation = self._known(call)
        may = invocation and (
            invocation.login == call.user.login or call.user.may("view_job_invocations")
        )
        return invocation if may else None

    def _find(self, call: Call) -> Invocation:
        invocation = self._owned(call)
        if invocation is None:
            raise not_found(f"Resource job_invocation not found by id '{call.args['id']}'")
        return invocation

    def _find_run(self, call: Call) -> tuple[Invocation, Run]:
        invocation, host_id = self._owned(call), call.args["host_id"]
        if invocation is None:
            raise RefusedError(
                404, {"message": f"Job invocation not found by id '{call.args['id']}'"}
            )
        self._look(invocation)
        for run in self._runs_in_sight(call, invocation):
            if run.host_id == int(host_id):
                return invocation, run
        raise not_found(f"Host with id '{host_id}' was not found")

    def _look(self, invocation: Invocation) -> None:
        """Count a look; from the second on wait for what is scripted, while other requests are
        answered.
        """
        invocation.looks += 1
        if invocation.begun:
            self._changed.wait_for(
                lambda: all(run.ran or run.slow for run in invocation.runs), PATIENCE
            )

    def _runs_in_sight(self, call: Call, invocation: Invocation) -> list[Run]:
        """Those whose host still has a record, and one that the login sees."""
        sight, hosts = self._satellite.sight(call), self._satellite.hosts
        return [
            run
            for run in invocation.runs
            if call.user.may("view_hosts")
            and run.host_id in hosts
            and (sight is None or sight(hosts[run.host_id]))
        ]

    def _entry(
        self, call: Call, invocation: Invocation, with_status: bool = False
    ) -> dict[str, Any]:
        results = [run.result if invocation.begun else "" for run in invocation.runs]
        total, template, hosts = len(results), invocation.template, self._satellite.hosts
        good = results.count("success") == total
        code, label = (
            (3, "running")
            if not invocation.stopped
            else (0, "succeeded")
            if good
            else (1, "failed")
        )
        state = "stopped" if invocation.stopped else "running" if invocation.looks else "planned"
        pending = "running" if invocation.begun else "N/A"
        shown = [
            {
                "name": hosts[run.host_id].name,
                "id": run.host_id,
                "display_name": hosts[run.host_id].name,
                **(
                    {"job_status": run.result if invocation.begun and run.result else pending}
                    if with_status
                    else {}
                ),
            }
            for run in self._runs_in_sight(call, invocation)
        ]
        users = list(self._satellite.users)
        return {
            "id": invocation.id,
            "description": invocation.description,
            "job_category": template.job_category,
            "targeting_id": invocation.id,
            "status": code,
            "start_at": utc(invocation.started),
            "status_label": label,
            "ssh_user": None,
            "time_to_pickup": None,
            "dynflow_task": {"id": invocation.task, "state": state},
            "template_id": template.id,
            "template_name": template.name,
            "effective_user": invocation.effective_user,
            "succeeded": results.count("success"),
            "failed": results.count("error"),
            "pending": results.count(""),
            "cancelled": results.count("cancelled"),
            "total": total,
            "missing": sum(run.host_id not in hosts for run in invocation.runs),
            "total_hosts": total,
            "targeting": {
                "bookmark_id": None,
                "search_query": invocation.query,
                "targeting_type": invocation.kind,
                "user_id": 4 + users.index(invocation.login),
                "randomized_ordering": None,
                "hosts": shown,
            },
            "task": {"id": invocation.task, "state": state},
        }


# What a job is started with


def _input_values(template: JobTemplate, given: Any) -> list[tuple[TemplateInput, str]]:
    """Inputs and their values, stripped (measured); a default stands for one that is not given."""
    known = {each.name: each for each in template.inputs}
    for name in given:
        if name not in known:
            raise server_error(
                f"ERF42-7285 [Foreman::Exception]: Unknown input {name} for template {template.name}"
            )
    values = {
        **{name: each.default for name, each in known.items() if each.default is not None},
        **given,
    }
    return [
        (each, "" if values[name] is None else str(values[name]).strip(BLANKS.replace("\0", "")))
        for name, each in known.items()
        if name in values
    ]


def _rendered_values(invocation: Invocation) -> dict[str, Optional[str]]:
    """What input() gives: null for one that may be left out, and was."""
    optional = {
        each.name: None
        for each in invocation.template.inputs
        if not each.required and each.input_type == "user"
    }
    return {**optional, **{each.name: value for each, value in invocation.values}}


def _targeting_problems(query: str, kind: Any) -> Iterator[str]:
    wanted = "Must select a bookmark or enter a search query"
    problems = []
    if kind not in ("static_query", "dynamic_query"):
        problems += ["Targeting type can't be blank"] if not kind else []
        problems += ["Targeting type is not included in the list"]
    if not query.strip():
        problems += [f"Bookmark {wanted}", f"Search query {wanted}"]
    if problems:
        yield "Targeting: " + ", ".join(problems)


def _input_problems(
    template: JobTemplate, values: list[tuple[TemplateInput, str]]
) -> Iterator[str]:
    """Measured: the message puts the template's name in small letters."""
    given = {each.name for each, _ in values}
    missing = [each.name for each in template.inputs if each.required and each.name not in given]
    problems = [
        f"Input {each.name}: Value can't be blank"
        for each, value in values
        if each.required and not value
    ]
    problems += [
        f"Input {each.name}: Value is not included in the list"
        for each, value in values
        if each.choices() and value not in each.choices() and (value or each.required)
    ]
    if missing:
        problems.append(
            "Not all required inputs have values. Missing inputs: " + ", ".join(missing)
        )
    if problems:
        yield f"{f'Template {template.name}'.capitalize()}: " + ", ".join(problems)


def _description(
    template: JobTemplate, values: list[tuple[TemplateInput, str]], given: dict[str, Any]
) -> str:
    known = {
        "job_category": template.job_category,
        "template_name": template.name,
        **{each.name: "***" if each.hidden_value else value for each, value in values},
    }
    form = given.get("description_format") or template.described()
    return re.sub(r"%{([^}]+)}", lambda match: known.get(match[1], "''"), form)[:DESCRIPTION]


def _effective_user(call: Call, template: JobTemplate, given: dict[str, Any]) -> str:
    wanted, default = (given.get("ssh") or {}).get("effective_user"), template.effective_user
    if wanted and default["overridable"]:
        return str(wanted)
    return call.user.login if default["current_user"] else str(default["value"] or "root")


def _is_infrastructure(host: Host) -> bool:
    facet = host.infrastructure or {}
    return bool(facet.get("foreman_instance") or facet.get("smart_proxy_id"))


# Output


def _output(
    call: Call,
    invocation: Invocation,
    run: Run,
    nothing: Any,
    raw: bool = False,
    since: Optional[str] = None,
) -> dict[str, Any]:
    """What one host printed so far.  `nothing`: the answer while the host has no task yet."""
    pending = not (invocation.begun and run.result)
    since = call.first("since") if since is None else since
    output = nothing
    if invocation.begun:
        last = float((re.match(r"\s*-?\d+(\.\d+)?", since) or "0")[0])
        chunks = [
            _shown(chunk, run, call)
            for chunk in dropwhile(
                lambda chunk: bool(since) and chunk.timestamp <= last, run.chunks
            )
        ]
        if pending and run.ran and run.ran.status == LOST:
            chunks.append({"output_type": "debug", "output": PROXY_FORGOT, "timestamp": now()})
        output = "".join(chunk["output"] for chunk in chunks) if raw else chunks
    return {"complete": not pending, "refresh": pending, "output": output}


def _shown(chunk: Chunk, run: Run, call: Call) -> dict[str, Any]:
    if chunk.kind == "exit":
        return {
            "output_type": "stdout",
            "output": _exit_text(call) + chunk.text,
            "timestamp": chunk.timestamp,
        }
    plain = {"output_type": chunk.kind, "output": chunk.text, "timestamp": chunk.timestamp}
    known = {
        "id": chunk.id,
        "template_invocation_id": run.id,
        "meta": None,
        "sequence_id": chunk.sequence,
    }
    return {**known, **plain} if chunk.id else plain


def _exit_text(call: Call) -> str:
    """In the first language of the caller that is known."""
    wanted = re.findall(
        r"(?:^|,)\s*([a-z]+)", (call.request.headers.get("Accept-Language") or "").lower()
    )
    return EXIT_STATUS[next((language for language in wanted if language in EXIT_STATUS), "en")]


Handler = Callable[[Jobs, Call], Answer]

ROUTES: tuple[
    tuple[str, str, str, Handler], ...
] = (  # method, path, permission ("": any login), handler
    (
        "GET",
        "/api/job_templates",
        "view_job_templates",
        lambda jobs, call: jobs.templates.index(call),
    ),
    (
        "POST",
        "/api/job_templates/import",
        "create_job_templates",
        lambda jobs, call: jobs.templates.import_text(call),
    ),
    (
        "GET",
        "/api/job_templates/:id",
        "view_job_templates",
        lambda jobs, call: jobs.templates.show(call),
    ),
    (
        "PUT",
        "/api/job_templates/:id",
        "edit_job_templates",
        lambda jobs, call: jobs.templates.change(call),
    ),
    (
        "DELETE",
        "/api/job_templates/:id",
        "destroy_job_templates",
        lambda jobs, call: jobs.templates.delete(call),
    ),
    (
        "GET",
        "/api/job_templates/:id/export",
        "view_job_templates",
        lambda jobs, call: jobs.templates.export(call),
    ),
    ("POST", "/api/job_invocations", "create_job_invocations", Jobs.start),
    ("GET", "/api/job_invocations/:id", "", Jobs.show),
    ("GET", r"/api/job_invocations/:id/hosts/(?P<host_id>\d+)", "", Jobs.output),
    ("GET", r"/api/job_invocations/:id/hosts/(?P<host_id>\d+)/raw", "", Jobs.raw_output),
    ("GET", "/api/job_invocations/:id/outputs", "", Jobs.outputs),
    ("POST", "/api/job_invocations/:id/cancel", "cancel_job_invocations", Jobs.cancel),
)
