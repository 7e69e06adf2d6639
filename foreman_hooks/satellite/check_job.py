"""Ask the clouds through a remote execution job, on a host of the OSP team that has its logins."""

import logging
import secrets
import time
import uuid as uuidlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from itertools import chain
from typing import Callable, NamedTuple, Optional, TypeVar, Union

from foreman_hooks.osp_checker import (
    CloudScope,
    OSPConfigError,
    OSPError,
    OSPForbidden,
    OSPLoginError,
    Place,
    Progress,
    RegionAnswer,
    ServerLists,
    Servers,
    Survey,
)
from foreman_hooks.osp_checker.checker import ask_further, joined, joined_servers
from foreman_hooks.osp_checker.session import check_drift
from foreman_hooks.osp_checker.wire import NoAnswer, Question, load, load_servers
from foreman_hooks.satellite.errors import (
    SatelliteError,
    SatelliteForbidden,
    SatelliteLoginError,
    SatelliteNotFound,
)
from foreman_hooks.satellite.jobs import Job, Output, RemoteExecution
from foreman_hooks.times import iso_z

log = logging.getLogger(__name__)

# UUIDs in one job: 370 KB.  Inputs of 11 MB arrived complete (measured).
QUESTION = 10_000
# UUIDs in one job if a part of them would be another question: 11 MB.
WHOLE_QUESTION = 300_000
NO_LISTS = ServerLists()  # the lists that a job makes stay on the checker host
PAUSE = 2.0  # seconds between two checks of a job, at most; each costs Satellite 0.2 s
ANY_REGION = "?"  # stands for the regions of a cloud if they are not known

_Answer = TypeVar("_Answer", Survey, Servers)
_Load = Callable[[Question, str], _Answer]
_RegionsByHost = Mapping[str, Sequence[RegionAnswer]]  # by the name of a checker host


@dataclass(frozen=True)
class CheckJob:
    """The remote execution job that asks the clouds, and where it runs.

    `template`: the name of the job template.  `search`: finds the checker hosts.  `clouds_yaml`: a
    path on these hosts; "" for where openstacksdk looks.  `deadline`: a checker host that needs
    longer gives no answer.
    """

    template: str
    search: str
    clouds_yaml: str = ""
    deadline: timedelta = timedelta(minutes=15)


class _Result(NamedTuple):
    """The output of a job on one checker host, or None and the reason (`why`)."""

    host: str
    output: Optional[Output]
    why: str = ""


@dataclass
class JobChecker:
    """Asks through a remote execution job, on hosts whose credentials we never see.

    One job runs on all checker hosts; each answers for those clouds in scope that its clouds.yaml
    names.  Unless each region is answered for exactly once, and exactly as requested, every UUID is
    unknown.  `scopes` must name their clouds.  `pause`: at most so many seconds between two checks
    of a job.
    """

    jobs: RemoteExecution
    job: CheckJob
    scopes: Sequence[CloudScope]
    pause: float = PAUSE
    _template: int = 0
    _hosts: dict[int, str] = field(default_factory=dict)

    def prepare(self, progress: Optional[Progress] = None) -> ServerLists:
        """Do nothing: a job can only be asked about UUIDs."""
        return NO_LISTS

    def listed(
        self,
        uuids: Sequence[str],
        lists: ServerLists = NO_LISTS,
        progress: Optional[Progress] = None,
    ) -> Survey:
        """Which UUIDs a list of servers contains; the regions answer even without UUIDs."""
        distinct = _distinct(uuids)
        if not distinct:
            distinct = [str(uuidlib.uuid4())]
        answers = self._ask_all("list", distinct, progress)
        return joined((), list(answers))

    def ask(
        self,
        uuids: Iterable[str],
        progress: Optional[Progress] = None,
        since: Optional[datetime] = None,
    ) -> Survey:
        """Ask about each UUID in every region; see Checker.ask."""
        distinct = _distinct(uuids)
        answers = self._ask_all("ask", distinct, progress, since)
        return joined(distinct, list(answers))

    def survey(
        self,
        uuids: Sequence[str],
        lists: ServerLists = NO_LISTS,
        progress: Optional[Progress] = None,
    ) -> Survey:
        """UUIDs in a list are alive; all others are asked about one by one, in every region.

        Each checker host knows only its own lists.  So if there are several, the UUIDs that no list
        contains need a second job.
        """
        distinct = _distinct(uuids)
        try:
            self._look_up()
        except SatelliteError as error:
            failed = self._all_failed(_as_osp_error(error))
            return joined(distinct, [Survey(tuple(failed), {}, {})])
        if len(self._hosts) == 1:
            answers = self._ask_all("survey", distinct, progress)
            return joined(distinct, list(answers))
        listed = self.listed(distinct, lists, progress)
        unlisted = [uuid for uuid in distinct if uuid not in listed.alive]
        return ask_further(self, listed, unlisted, progress)

    def deleted(self, since: datetime, progress: Optional[Progress] = None) -> Servers:
        """The servers that were deleted since a time (aware); see servers.deleted_servers."""
        return self._ask_for_servers(self._question("deleted", (), since))

    def inactive(self, progress: Optional[Progress] = None) -> Servers:
        """The servers that do not run; see servers.inactive_servers."""
        return self._ask_for_servers(self._question("inactive", ()))

    def unmanaged(
        self, known: Collection[str], progress: Optional[Progress] = None
    ) -> Servers:
        """The servers that none of these UUIDs names, in either byte order.

        One job gets all UUIDs: with a part of them, it would return all servers that the others
        name.
        """
        distinct = _distinct(known)
        if len(distinct) > WHOLE_QUESTION:
            error = OSPConfigError(
                f"a job takes at most {WHOLE_QUESTION:,} UUIDs of host records, and there are "
                f"{len(distinct):,}; use a configuration with 'checker: local', where clouds.yaml "
                "is"
            )
            return Servers(tuple(self._all_failed(error)), ())
        return self._ask_for_servers(self._question("unmanaged", distinct))

    def _ask_for_servers(self, question: Question) -> Servers:
        """The servers of each region that exactly one checker host answers for."""
        answers, errors = self._ask_in_one_job(question, load_servers)
        return joined_servers([*answers, Servers(tuple(errors), ())])

    def _look_up(self) -> None:
        """Find the template and the checker hosts, once; raises SatelliteError."""
        if not self._hosts:
            self._template = self.jobs.template_id(self.job.template)
            self._hosts = self.jobs.hosts(self.job.search)
        if not self._hosts:
            raise SatelliteNotFound(
                f"no host that this login sees matches checker.search {self.job.search!r}"
            )

    def _ask_all(
        self,
        mode: str,
        uuids: Sequence[str],
        progress: Optional[Progress],
        since: Optional[datetime] = None,
    ) -> Iterator[Survey]:
        """The answers to a question of any size, from as many jobs as it needs."""
        for start in range(0, len(uuids), QUESTION):
            if progress:
                progress(start, len(uuids))
            question = self._question(mode, uuids[start : start + QUESTION], since)
            answers, errors = self._ask_in_one_job(question, load)
            yield from answers
            yield Survey(tuple(errors), {}, {})
        if progress:
            progress(len(uuids), len(uuids))

    def _question(
        self, mode: str, uuids: Sequence[str], since: Optional[datetime] = None
    ) -> Question:
        clouds: list[str] = []
        fails: list[str] = []
        for scope in self.scopes:
            if scope.regions:
                clouds += [f"{scope.cloud}/{region}" for region in scope.regions]
            else:
                clouds.append(str(scope.cloud))
            if scope.lists_fail_on_down_cell:
                fails.append(str(scope.cloud))
        return Question(
            nonce=secrets.token_hex(16),
            mode=mode,
            uuids="\n".join(uuids),
            clouds="\n".join(clouds),
            fails="\n".join(fails),
            since=iso_z(since) if since else "",
        )

    def _ask_in_one_job(
        self, question: Question, load: _Load[_Answer]
    ) -> tuple[list[_Answer], list[RegionAnswer]]:
        """The answers of the checker hosts, and an error for each region without exactly one."""
        began = datetime.now(timezone.utc)
        answers: list[_Answer] = []
        regions: dict[str, Sequence[RegionAnswer]] = {}
        failures: list[str] = []
        try:
            self._look_up()
            results = self._run(question)
        except SatelliteError as error:
            return [], self._all_failed(_as_osp_error(error))
        for result in results:
            answer = self._answer(question, result, began, load)
            if isinstance(answer, (Survey, Servers)):
                answers.append(self._without_ignored_regions(answer))
                regions[result.host] = answer.regions
            else:
                failures.append(f"{result.host}: {answer}")
        errors = [
            *_regions_answered_twice(regions),
            *self._regions_not_answered(regions, "; ".join(failures)),
        ]
        return answers, errors

    def _answer(
        self,
        question: Question,
        result: _Result,
        began: datetime,
        load: _Load[_Answer],
    ) -> Union[_Answer, NoAnswer, OSPError]:
        """The answer of one checker host, or why it does not count."""
        try:
            answer = self._read(question, result, load)
            _check_clock(answer.at, began, result.host)
        except (NoAnswer, OSPError) as error:
            return error
        return answer

    def _read(
        self, question: Question, result: _Result, load: _Load[_Answer]
    ) -> _Answer:
        """The answer of one checker host; raises NoAnswer if it does not count."""
        output = result.output
        if output is None:
            raise NoAnswer(result.why)
        if output.status != "0":
            raise NoAnswer(
                f"the job failed with exit status {output.status or 'unknown'}: "
                f"{_job_error(output)}"
            )
        answer = load(question, output.text)
        others = [
            f"{region.cloud}/{region.region}"
            for region in answer.regions
            if not self._is_in_scope(region)
        ]
        if others:
            raise NoAnswer(
                f"the answer is about {', '.join(others)}, which was not asked for"
            )
        return answer

    def _is_in_scope(self, region: RegionAnswer) -> bool:
        for scope in self.scopes:
            if scope.cloud != region.cloud:
                continue
            if not scope.regions or region.region in scope.regions:
                return True
        return False

    def _without_ignored_regions(self, answer: _Answer) -> _Answer:
        """The answer without the ignored regions, which a checker host does not know."""
        regions = []
        for region in answer.regions:
            ignored: set[str] = set()
            for scope in self.scopes:
                if scope.cloud == region.cloud:
                    ignored.update(scope.ignore_regions)
            names = [name for name in region.unlisted if not _is_ignored(name, ignored)]
            regions.append(replace(region, unlisted=tuple(names)))
        return replace(answer, regions=tuple(regions))

    def _regions_not_answered(
        self, answers: _RegionsByHost, failures: str
    ) -> Iterator[RegionAnswer]:
        """An error for each region in scope for which no checker host answers."""
        for scope in self.scopes:
            answered = _answered_regions(answers, scope.cloud)
            expected = scope.regions
            if not expected and not answered:
                expected = (ANY_REGION,)
            for region in expected:
                if region not in answered and ANY_REGION not in answered:
                    reason = failures or "none has it in its clouds.yaml"
                    error = OSPError(
                        f"{scope.cloud}/{region}: no checker host answers for it ({reason})"
                    )
                    yield _failed_region(scope.cloud, region, error)

    def _all_failed(self, error: OSPError) -> list[RegionAnswer]:
        """The same error for every region in scope."""
        regions: list[RegionAnswer] = []
        for scope in self.scopes:
            names = scope.regions or (ANY_REGION,)
            regions += [_failed_region(scope.cloud, name, error) for name in names]
        return regions

    def _run(self, question: Question) -> list[_Result]:
        """Run one job; return a result for each checker host.  Raises SatelliteError."""
        seconds = self.job.deadline.total_seconds()
        inputs = {
            "question": question.uuids,
            "mode": question.mode,
            "nonce": question.nonce,
            "clouds": question.clouds,
            "lists_fail_on_down_cell": question.fails,
            "since": question.since,
            "clouds_yaml": self.job.clouds_yaml,
        }
        timeout = max(1, round(seconds))
        job = self.jobs.start(self._template, self._hosts, inputs, timeout)
        names = ", ".join(self._hosts.values())
        log.info("job %d on %s: %s", job.id, names, question.mode)
        try:
            if job.hosts - self._hosts.keys():
                raise SatelliteError(
                    f"job {job.id} runs on hosts that were not asked for"
                )
            outputs = self._wait(job, seconds)
        except BaseException:  # Ctrl-C as well
            self.jobs.cancel(job)
            raise
        if len(outputs) < len(job.hosts):
            self.jobs.cancel(job)
        results = []
        for host_id, name in self._hosts.items():
            why = f"no answer within {seconds:.0f} s"
            if host_id not in job.hosts:
                why = (
                    "Satellite left it out of the job (on a Satellite or Capsule that needs "
                    "execute_jobs_on_infrastructure_hosts)"
                )
            results.append(_Result(name, outputs.get(host_id), why))
        return results

    def _wait(self, job: Job, seconds: float) -> dict[int, Output]:
        """Host id -> output of the hosts that finished within that time.

        The job as a whole ends up to 15 s after its hosts (measured), so we check each host.
        """
        outputs: dict[int, Output] = {}
        began = time.monotonic()
        while True:
            for host_id in job.hosts - outputs.keys():
                output = self.jobs.output(job, host_id)
                if output.complete:
                    outputs[host_id] = output
            waited = time.monotonic() - began
            if len(outputs) == len(job.hosts) or waited > seconds:
                return outputs
            pause = max(0.5, waited / 4)
            time.sleep(min(self.pause, pause))


def _distinct(uuids: Iterable[str]) -> list[str]:
    """Each UUID once, in order."""
    return list(dict.fromkeys(uuids))


def _job_error(output: Output) -> str:
    """Why a job failed: the last error line of its script, or what Satellite says."""
    errors = [line for line in output.text.splitlines() if line.startswith("error: ")]
    if errors:
        return errors[-1].strip()
    return output.complaint or "see it in Satellite"


def _check_clock(at: Optional[datetime], began: datetime, host: str) -> None:
    """Raise OSPError if the clock of a checker host differs too much from ours.

    `at`: when the host answered, by its clock.  `began`: when the job was started, by our clock;
    the host answered between then and now.
    """
    if at is None:
        return
    ahead = at - datetime.now(timezone.utc)
    behind = min(at - began, timedelta(0))
    check_drift(max(ahead, behind), host)


def _is_ignored(name: str, ignored: Collection[str]) -> bool:
    """Whether a region, or REGION/SERVICE, is ignored by name."""
    region, _, _ = name.partition("/")
    return name in ignored or region in ignored


def _regions_answered_twice(answers: _RegionsByHost) -> Iterator[RegionAnswer]:
    """An error for each region for which several checker hosts answer."""
    hosts: dict[Place, list[str]] = {}
    for host, regions in answers.items():
        for region in regions:
            hosts.setdefault(region.place, []).append(host)
    for (cloud, region_name), names in hosts.items():
        if len(names) > 1:
            error = OSPConfigError(
                f"{cloud}/{region_name}: {' and '.join(names)} both answer for it; "
                "narrow checker.search"
            )
            yield _failed_region(cloud, region_name, error)


def _answered_regions(answers: _RegionsByHost, cloud: Optional[str]) -> set[str]:
    """The regions of a cloud for which at least one checker host answers."""
    names = set()
    for region in chain.from_iterable(answers.values()):
        if region.cloud == cloud:
            names.add(region.region)
    return names


def _failed_region(cloud: Optional[str], region: str, error: OSPError) -> RegionAnswer:
    """The answer for a region that gave none."""
    return RegionAnswer(str(cloud), region, servers=None, proof="", error=error)


def _as_osp_error(error: SatelliteError) -> OSPError:
    """A failure on the way to the checker host, as an error of the clouds."""
    if isinstance(error, SatelliteForbidden):
        return OSPForbidden(str(error))
    if isinstance(error, SatelliteLoginError):
        return OSPLoginError(str(error))
    if isinstance(error, SatelliteNotFound):
        return OSPConfigError(str(error))
    return OSPError(str(error))
