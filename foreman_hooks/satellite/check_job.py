"""Where sightings come from: the clouds asked from here (survey.LocalChecker), or by a job on an
OSP team's host.
"""

import logging
import secrets
import time
import uuid as uuidlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import NamedTuple, Optional, Union

from foreman_hooks.osp_checker.checker import CloudScope, ask_further, joined
from foreman_hooks.osp_checker.errors import OSPConfigError, OSPError, OSPForbidden, OSPLoginError
from foreman_hooks.osp_checker.pace import Progress
from foreman_hooks.osp_checker.session import check_drift
from foreman_hooks.osp_checker.sightings import Place, RegionAnswer, Survey
from foreman_hooks.osp_checker.wire import NoAnswer, Question, load
from foreman_hooks.satellite.client import (
    SatelliteError,
    SatelliteForbidden,
    SatelliteLoginError,
    SatelliteNotFound,
)
from foreman_hooks.satellite.jobs import Job, Output, RemoteExecution

log = logging.getLogger(__name__)

QUESTION = 10_000  # UUIDs in one job; inputs of 11 MB arrived whole, so 370 KB is no burden
PAUSE = 2.0  # seconds between two looks at a job, at most; one costs Satellite 0.2 s


@dataclass(frozen=True)
class CheckJob:
    """The remote execution job that asks the clouds in our place: its template, and the hosts that
    `search` finds.

    `clouds_yaml` is a path there ("": where openstacksdk looks); what has not ended after
    `deadline` is unknown.
    """

    template: str
    search: str
    clouds_yaml: str = ""
    deadline: timedelta = timedelta(minutes=15)


class _Result(NamedTuple):
    """What came of a job on one checker host: its whole output, or why there is none."""

    host: str
    output: Optional[Output]
    why: str = ""


@dataclass
class JobChecker:
    """Asks through a remote execution job: on hosts that hold the clouds' credentials, which we
    never see.

    One job runs on all checker hosts; each answers for those clouds in scope that its clouds.yaml
    names.  What is not answered exactly once, and exactly as it was asked, makes every UUID
    unknown.  `scopes` name their clouds.
    """

    jobs: RemoteExecution
    job: CheckJob
    scopes: Sequence[CloudScope]
    pause: float = PAUSE
    _template: int = 0
    _hosts: dict[int, str] = field(default_factory=dict)

    def prepare(self, progress: Optional[Progress] = None) -> None:
        """Nothing: the clouds are only asked about UUIDs."""

    def listed(self, uuids: Sequence[str], progress: Optional[Progress] = None) -> Survey:
        """Which of them are in a list of servers; the regions answer in any case."""
        return joined(
            (),
            list(self._put("list", list(dict.fromkeys(uuids)) or [str(uuidlib.uuid4())], progress)),
        )

    def ask(self, uuids: Iterable[str], progress: Optional[Progress] = None) -> Survey:
        """Each one by one, in every region."""
        todo = list(dict.fromkeys(uuids))
        return joined(todo, list(self._put("ask", todo, progress)))

    def survey(self, uuids: Sequence[str], progress: Optional[Progress] = None) -> Survey:
        """Those in a list are alive; the rest is asked one by one, in every region.

        Of several checker hosts each knows its own lists only, so what is in none of them is a
        second question.
        """
        todo = list(dict.fromkeys(uuids))
        try:
            self._look_up()
        except SatelliteError as error:
            return joined(todo, [self._nobody(_translated(error))])
        if len(self._hosts) == 1:
            return joined(todo, list(self._put("survey", todo, progress)))
        found = self.listed(todo, progress)
        return ask_further(
            self, found, [uuid for uuid in todo if uuid not in found.alive], progress
        )

    def _look_up(self) -> None:
        """Find the template and the checker hosts, once."""
        if not self._hosts:
            self._template = self.jobs.template_id(self.job.template)
            self._hosts = self.jobs.hosts(self.job.search)
        if not self._hosts:
            raise SatelliteNotFound(
                f"no host that this login sees matches checker.search {self.job.search!r}"
            )

    def _put(
        self, mode: str, uuids: Sequence[str], progress: Optional[Progress]
    ) -> Iterator[Survey]:
        """Put a question of any size, in as many jobs as it needs."""
        for start in range(0, len(uuids), QUESTION):
            if progress:
                progress(start, len(uuids))
            part = uuids[start : start + QUESTION]
            try:
                self._look_up()
                yield from self._put_one(self._question(mode, part))
            except SatelliteError as error:
                yield self._nobody(_translated(error))
        if progress:
            progress(len(uuids), len(uuids))

    def _question(self, mode: str, uuids: Sequence[str]) -> Question:
        return Question(
            secrets.token_hex(16),
            mode,
            "\n".join(uuids),
            "\n".join(
                name
                for scope in self.scopes
                for name in (
                    [f"{scope.cloud}/{region}" for region in scope.regions] or [str(scope.cloud)]
                )
            ),
            "\n".join(str(scope.cloud) for scope in self.scopes if scope.lists_fail_on_down_cell),
        )

    def _put_one(self, question: Question) -> Iterator[Survey]:
        """One job; the answer of each checker host, and an error for each region that was not
        answered once.
        """
        began = datetime.now(timezone.utc)
        results = self._run(question)
        read = {
            result.host: self._timely(self._read(question, result), began, result.host)
            for result in results
        }
        answers = {host: found for host, found in read.items() if isinstance(found, Survey)}
        failures = [
            f"{host}: {found}" for host, found in read.items() if isinstance(found, NoAnswer)
        ]
        yield from map(self._without_ignored, answers.values())
        yield Survey(tuple(self._gaps(answers, "; ".join(failures))), {}, {})

    def _read(self, question: Question, result: _Result) -> Union[Survey, NoAnswer]:
        """The answer of one checker host, or why it counts for nothing."""
        output = result.output
        if output is None:
            return NoAnswer(result.why)
        if output.status != "0":
            said = [line.strip() for line in output.text.splitlines() if line.startswith("error: ")]
            return NoAnswer(
                f"the job failed with exit status {output.status or 'unknown'}: "
                f"{said[-1] if said else output.complaint or 'see it in Satellite'}"
            )
        try:
            answer = load(question, output.text)
        except NoAnswer as error:
            return error
        strange = [
            f"{seen.cloud}/{seen.region}" for seen in answer.regions if not self._in_scope(seen)
        ]
        return (
            NoAnswer(f"the answer is about {', '.join(strange)}, which was not asked for")
            if strange
            else answer
        )

    def _timely(
        self, answer: Union[Survey, NoAnswer], began: datetime, host: str
    ) -> Union[Survey, NoAnswer]:
        """The answer, or that its host's clock is not ours: it was given between `began` and now."""
        if isinstance(answer, NoAnswer) or answer.at is None:
            return answer
        try:
            check_drift(
                max(answer.at - datetime.now(timezone.utc), min(answer.at - began, timedelta(0))),
                host,
            )
        except OSPError as error:
            return NoAnswer(str(error))
        return answer

    def _without_ignored(self, answer: Survey) -> Survey:
        """The answer without what is left out on purpose, which a checker host does not know."""
        regions = []
        for seen in answer.regions:
            ignored = {
                name
                for scope in self.scopes
                if scope.cloud == seen.cloud
                for name in scope.ignore_regions
            }
            unlisted = [
                name
                for name in seen.unlisted
                if name not in ignored and name.partition("/")[0] not in ignored
            ]
            regions.append(replace(seen, unlisted=tuple(unlisted)))
        return replace(answer, regions=tuple(regions))

    def _in_scope(self, seen: RegionAnswer) -> bool:
        return any(
            scope.cloud == seen.cloud and (not scope.regions or seen.region in scope.regions)
            for scope in self.scopes
        )

    def _gaps(self, answers: Mapping[str, Survey], failures: str) -> Iterator[RegionAnswer]:
        """What is wrong with the answers as a whole: regions that nobody answered for, or several
        hosts.
        """
        hosts: dict[Place, list[str]] = {}
        for host, answer in answers.items():
            for seen in answer.regions:
                hosts.setdefault(seen.place, []).append(host)
        for place, several in hosts.items():
            if len(several) > 1:
                yield RegionAnswer(
                    *place,
                    None,
                    "",
                    OSPConfigError(
                        f"{'/'.join(place)}: {' and '.join(several)} both answer for it; narrow checker.search"
                    ),
                )
        for scope in self.scopes:
            answered = {region for cloud, region in hosts if cloud == scope.cloud}
            for region in scope.regions or (() if answered else ("?",)):
                if region not in answered and "?" not in answered:
                    yield RegionAnswer(
                        str(scope.cloud),
                        region,
                        None,
                        "",
                        OSPError(
                            f"{scope.cloud}/{region}: no checker host answers for it"
                            f" ({failures or 'it is in the clouds.yaml of none'})"
                        ),
                    )

    def _nobody(self, error: OSPError) -> Survey:
        """No answer at all."""
        return Survey(
            tuple(
                RegionAnswer(str(scope.cloud), region, None, "", error)
                for scope in self.scopes
                for region in scope.regions or ("?",)
            ),
            {},
            {},
        )

    def _run(self, question: Question) -> list[_Result]:
        """One job from start to end, with a Result for every checker host; raises SatelliteError."""
        seconds = self.job.deadline.total_seconds()
        job = self.jobs.start(
            self._template,
            self._hosts,
            {
                "question": question.uuids,
                "mode": question.mode,
                "nonce": question.nonce,
                "clouds": question.clouds,
                "lists_fail_on_down_cell": question.fails,
                "clouds_yaml": self.job.clouds_yaml,
            },
            max(1, round(seconds)),
        )
        log.info("job %d on %s: %s", job.id, ", ".join(self._hosts.values()), question.mode)
        try:
            if job.hosts - self._hosts.keys():
                raise SatelliteError(f"job {job.id} runs on hosts that were not asked for")
            ended = self._wait(job, seconds)
        except BaseException:  # Ctrl-C as well
            self.jobs.cancel(job)
            raise
        if len(ended) < len(job.hosts):
            self.jobs.cancel(job)
        return [
            _Result(
                name,
                ended.get(host_id),
                f"no answer within {seconds:.0f} s"
                if host_id in job.hosts
                else "Satellite left it out of the job (on a Satellite or Capsule that needs "
                "execute_jobs_on_infrastructure_hosts)",
            )
            for host_id, name in self._hosts.items()
        ]

    def _wait(self, job: Job, seconds: float) -> dict[int, Output]:
        """The outputs of the hosts that came to an end in time.

        The job as a whole ends up to 15 s after its hosts (measured), so the hosts are looked at.
        """
        ended: dict[int, Output] = {}
        began = time.monotonic()
        while True:
            for host_id in job.hosts - ended.keys():
                output = self.jobs.output(job, host_id)
                if output.complete:
                    ended[host_id] = output
            waited = time.monotonic() - began
            if len(ended) == len(job.hosts) or waited > seconds:
                return ended
            time.sleep(min(self.pause, max(0.5, waited / 4)))


def _translated(error: SatelliteError) -> OSPError:
    """The failure of the way to the checker host, as that of a cloud: its hosts are unknown."""
    kind = {
        SatelliteForbidden: OSPForbidden,
        SatelliteLoginError: OSPLoginError,
        SatelliteNotFound: OSPConfigError,
    }.get(type(error), OSPError)
    return kind(str(error))
