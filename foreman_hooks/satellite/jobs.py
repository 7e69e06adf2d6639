"""Satellite's remote execution: start a job template on hosts, and read what it printed.

Measured on Foreman 3.12: a job that matches no host "succeeds", a host that the login may not use
is silently left out, a template that cannot be rendered gives no exit status, and a job on a host
that never answers never ends.  So each response is compared with the request, and callers need a
deadline.
"""

import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from foreman_hooks.satellite.client import MANY, Satellite, is_list_of_objects, quoted
from foreman_hooks.satellite.errors import SatelliteError, SatelliteNotFound
from foreman_hooks.satellite.response import JsonObject

_PATH = "/api/job_invocations"
_LONGEST_COMPLAINT = 300  # characters


class Job(NamedTuple):
    """One job invocation; `hosts`: the ids of the hosts on which it really runs."""

    id: int
    hosts: frozenset[int]


class Output(NamedTuple):
    """What one host has printed so far.

    `complete`: whether it will print no more.  `text`: stdout and stderr together, in the order in
    which they arrived.  `status`: what follows "Exit status:"; "" if there is none (yet).
    `complaint`: the messages of Satellite and the Capsule, in one line.
    """

    complete: bool
    text: str
    status: str
    complaint: str


class RemoteExecution:
    """The jobs of one Satellite; every method except `cancel` raises SatelliteError."""

    def __init__(self, satellite: Satellite) -> None:
        self._satellite = satellite

    def template_id(self, name: str) -> int:
        """The id of the job template with that name; raises SatelliteNotFound."""
        search = f"name = {quoted(name)}"
        templates = self._satellite.listing(
            "/api/job_templates", search=search, per_page=2
        )
        for template in templates:
            number = template.get("id")
            if template.get("name") == name and type(number) is int:
                return number
        raise SatelliteNotFound(
            f"{self._satellite.url}: no job template {name!r} is visible to this login; "
            "create it with 'templates publish', and give the role view_job_templates"
        )

    def hosts(self, search: str) -> dict[int, str]:
        """Id -> name of the hosts that match a search."""
        hosts = self._satellite.listing(
            "/api/hosts",
            search=search,
            thin="true",
            per_page=MANY,
        )
        return {host["id"]: host["name"] for host in hosts}

    def start(
        self,
        template_id: int,
        hosts: Collection[int],
        inputs: Mapping[str, str],
        seconds: int,
    ) -> Job:
        """Run a template on exactly these hosts; Satellite ends the job after `seconds`.

        `hosts`: their ids.  `inputs`: name -> value of the template's inputs.
        """
        ids = ", ".join(map(str, sorted(hosts)))
        invocation = {
            "job_template_id": template_id,
            "targeting_type": "static_query",
            "search_query": f"id ^ ({ids})",
            "inputs": dict(inputs),
            "execution_timeout_interval": seconds,
        }
        request = {"job_invocation": invocation}
        body = self._satellite.call("POST", _PATH, json=request)
        number = body.get("id")
        if type(number) is not int:
            self._satellite.raise_unexpected(_PATH, "a job without an id")
        return Job(number, self._targets(body))

    def _targets(self, body: JsonObject) -> frozenset[int]:
        """The ids of the hosts that a job runs on."""
        targeting = body.get("targeting")
        hosts: Any = None
        if isinstance(targeting, dict):
            hosts = targeting.get("hosts")
        if not is_list_of_objects(hosts):
            self._satellite.raise_unexpected(_PATH, "a job without its hosts")
        numbers = [host.get("id") for host in hosts]
        ids = frozenset(number for number in numbers if type(number) is int)
        announced = body.get("total_hosts")
        if announced != len(ids) or len(ids) < len(hosts):
            self._satellite.raise_unexpected(
                _PATH, f"{announced} hosts, but the ids of {len(ids)}"
            )
        return ids

    def output(self, job: Job, host_id: int) -> Output:
        """What that host has printed so far.

        Always all of it: with `since`, the chunk with the exit status can get lost (measured).
        """
        path = f"{_PATH}/{job.id}/hosts/{host_id}"
        body = self._satellite.get(path)
        complete = body.get("complete")
        chunks: Any = body.get("output")
        if not isinstance(complete, bool) or not _are_chunks(chunks):
            self._satellite.raise_unexpected(path, "no output of a job")
        text, status = _text_and_status(chunks, complete)
        return Output(complete, text, status, _complaint(chunks))

    def cancel(self, job: Job) -> None:
        """End a job if possible; if not, its timeout ends it.  Never raises SatelliteError."""
        try:
            self._satellite.call("POST", f"{_PATH}/{job.id}/cancel", json={})
        except SatelliteError:
            return


def _complaint(chunks: Sequence[JsonObject]) -> str:
    """The messages of Satellite and the Capsule, in one line."""
    debug = _of_type(chunks, "debug")
    text = " ".join(chunk["output"] for chunk in debug)
    return textwrap.shorten(text, _LONGEST_COMPLAINT, placeholder=" ...")


def _of_type(chunks: Sequence[JsonObject], *types: str) -> list[JsonObject]:
    return [chunk for chunk in chunks if chunk.get("output_type") in types]


def _has_id(chunk: JsonObject) -> bool:
    return chunk.get("id") is not None


def _are_chunks(value: Any) -> bool:
    return is_list_of_objects(value) and all(
        isinstance(chunk.get("output"), str) for chunk in value
    )


def _text_and_status(chunks: Sequence[JsonObject], complete: bool) -> tuple[str, str]:
    """What a host printed, and its exit status: a number, EXCEPTION, or "" if there is none (yet).

    Satellite itself adds the last line, "Exit status: N" in the language of the user, as the only
    chunk without an id (measured).  Before foreman_remote_execution 8, no chunk has an id: then it
    is the last chunk of stdout of a complete job.
    """
    printed = _of_type(chunks, "stdout", "stderr")
    status_lines = _of_type(chunks, "stdout")
    if any(map(_has_id, chunks)):
        printed = [chunk for chunk in printed if _has_id(chunk)]
        status_lines = [chunk for chunk in status_lines if not _has_id(chunk)]
    elif not complete:
        status_lines = []
    status = ""
    if status_lines:
        status_line = status_lines[-1]
        printed = [chunk for chunk in printed if chunk is not status_line]
        status = _last_word(status_line["output"])
    text = "".join(chunk["output"] for chunk in printed)
    return text, status


def _last_word(text: str) -> str:
    words = text.split()
    return words[-1] if words else ""
