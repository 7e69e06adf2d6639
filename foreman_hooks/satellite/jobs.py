"""Satellite's remote execution: start a job template on hosts, and read what it printed (measured
on 3.12).

A job that matches no host "succeeds", a host that the login may not use is left out without a word,
a rendering that fails has no exit status, and a peer that says nothing runs for ever: so everything
is compared with what was asked, and whoever waits needs a deadline.
"""

import textwrap
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from foreman_hooks.satellite.client import (
    MANY,
    Satellite,
    SatelliteError,
    SatelliteNotFound,
    quoted,
)


class Job(NamedTuple):
    """One job invocation; `hosts` are the ids of those that it really runs on."""

    id: int
    hosts: frozenset[int]


class Output(NamedTuple):
    """What one host printed so far: `text` is stdout and stderr together, in the order in which
    they arrived.

    `status` is what stands after "Exit status:", "" where there is none (yet); `complaint` is what
    Satellite and the proxy say themselves.
    """

    complete: bool
    text: str
    status: str
    complaint: str


class RemoteExecution:
    """Jobs of one Satellite; every method raises SatelliteError."""

    def __init__(self, satellite: Satellite) -> None:
        self._satellite = satellite

    def template_id(self, name: str) -> int:
        """The id of the job template of that name; raises SatelliteNotFound."""
        for found in self._satellite.listing(
            "/api/job_templates", search=f"name = {quoted(name)}", per_page=2
        ):
            if found.get("name") == name and type(found.get("id")) is int:
                return found["id"]
        raise SatelliteNotFound(
            f"{self._satellite.url}: no job template {name!r} is visible to this login; "
            "'templates publish' brings it, and the role needs view_job_templates"
        )

    def hosts(self, search: str) -> dict[int, str]:
        """Id -> name of the hosts that match."""
        return {
            host["id"]: host["name"]
            for host in self._satellite.listing(
                "/api/hosts", search=search, thin="true", per_page=MANY
            )
        }

    def start(
        self, template_id: int, hosts: Collection[int], inputs: Mapping[str, str], seconds: int
    ) -> Job:
        """Start it on these hosts and no others; Satellite ends it after `seconds`."""
        body = self._satellite.call(
            "POST",
            "/api/job_invocations",
            json={
                "job_invocation": {
                    "job_template_id": template_id,
                    "targeting_type": "static_query",
                    "search_query": f"id ^ ({', '.join(map(str, sorted(hosts)))})",
                    "inputs": dict(inputs),
                    "execution_timeout_interval": seconds,
                }
            },
        )
        if type(body.get("id")) is not int:
            self._satellite.odd("/api/job_invocations", "a job without an id")
        return Job(body["id"], self._targets(body))

    def _targets(self, body: Mapping[str, Any]) -> frozenset[int]:
        targeting = body.get("targeting")
        hosts = targeting.get("hosts") if isinstance(targeting, dict) else None
        if not isinstance(hosts, list) or not all(isinstance(host, dict) for host in hosts):
            self._satellite.odd("/api/job_invocations", "a job without its hosts")
        ids = frozenset(host.get("id") for host in hosts)
        if body.get("total_hosts") != len(ids):
            self._satellite.odd(
                "/api/job_invocations", f"{body.get('total_hosts')} hosts, and names {len(ids)}"
            )
        return ids

    def output(self, job: Job, host_id: int) -> Output:
        """What that host printed so far.

        All of it each time: `since` can lose the chunk with the exit status (measured).
        """
        path = f"/api/job_invocations/{job.id}/hosts/{host_id}"
        body = self._satellite.get(path)
        chunks = body.get("output")
        if (
            not isinstance(body.get("complete"), bool)
            or not isinstance(chunks, list)
            or not all(
                isinstance(chunk, dict) and isinstance(chunk.get("output"), str) for chunk in chunks
            )
        ):
            self._satellite.odd(path, "no output of a job")
        text, status = _parted(chunks, body["complete"])
        complaints = [chunk["output"] for chunk in chunks if chunk.get("output_type") == "debug"]
        return Output(
            body["complete"],
            text,
            status,
            textwrap.shorten(" ".join(complaints), 300, placeholder=" ..."),
        )

    def cancel(self, job: Job) -> None:
        """End it, if that can be done: there is nothing to be done about a job that cannot be
        cancelled.
        """
        try:
            self._satellite.call("POST", f"/api/job_invocations/{job.id}/cancel", json={})
        except SatelliteError:
            return


def _parted(chunks: "list[dict[str, Any]]", complete: bool) -> tuple[str, str]:
    """What was printed, and the exit status: a number, EXCEPTION, or blank where there is none
    (yet).

    Satellite's own last line, "Exit status: N" in the login's language, is the chunk without an id
    (measured).  Before foreman_remote_execution 8 no chunk has one: then it is the last chunk of
    stdout, once the job is complete.
    """
    printed = [chunk for chunk in chunks if chunk.get("output_type") in ("stdout", "stderr")]
    last = [chunk for chunk in printed if chunk["output_type"] == "stdout"][-1:] if complete else []
    if any(chunk.get("id") is not None for chunk in chunks):
        last = [
            chunk
            for chunk in printed
            if chunk["output_type"] == "stdout" and chunk.get("id") is None
        ]
        printed = [chunk for chunk in printed if chunk.get("id") is not None]
    text = "".join(chunk["output"] for chunk in printed if not (last and chunk is last[-1]))
    words = last[-1]["output"].split() if last else []
    return text, words[-1] if words else ""
