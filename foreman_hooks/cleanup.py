"""The story of a run: observe both sides, judge every record, plan, and apply what the plan says.

Nothing here decides: `judge` does, from what is gathered here, and once more from what is gathered again
immediately before each deletion.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple, Optional

from . import plan as plans
from . import signs
from .checkers import Checker, ask_further
from .identity import identify
from .inventory import Glance, Host, facts_now, glance, look_closely
from .journal import Journal, JournalError
from .judge import Case, judge, steps
from .model import Decision, History, Identity, Outcome, Policy, Reason, Record, Verdict
from .osp_checker import Presence, swap_bytes, workers
from .plan import Plan, PlanError, RegionSeen
from .satellite import FULL_PAGE, Satellite, SatelliteError, SatelliteNotFound, SatelliteRefused
from .survey import Place, Survey

log = logging.getLogger(__name__)

BATCH = 20                  # deletions whose instances are asked about again together, a few seconds before

HOUR = timedelta(hours=1)

Progress = Callable[[str, int, int], None]      # what is done, done, total (0: not known)
Clock = Callable[[], datetime]


class Target(NamedTuple):
    """The one instance that a run is about: by its UUID (as parse_uuid gives it), or by the name of its record."""

    uuid: str = ""
    name: str = ""

    def is_of(self, host: Glance) -> bool:
        """Whether it is that host; a UUID in either byte order, and also one that is not the first of the host's."""
        if self.uuid:
            return bool({self.uuid, swap_bytes(self.uuid)}.intersection(host.uuids))
        return host.name.lower() == self.name.lower()

    def __str__(self) -> str:
        return f"UUID {self.uuid}" if self.uuid else f"host {self.name}"


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(timezone.utc)


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True)
class Observation:
    """All that a run saw: enough to judge every host, and nothing of the servers' raw answers.

    `alive`: the verdicts on those whose instance a list of servers has, `hosts`: all others, looked at closely.
    """

    made_at: datetime
    alive: Sequence[Verdict]
    hosts: Sequence[Host]
    survey: Survey
    records: Mapping[int, Record]
    histories: Mapping[str, History]
    shared: Mapping[str, tuple[str, ...]]       # UUID -> names of the hosts that have it, where several do
    protected: frozenset[int]
    witnesses: Mapping[Place, tuple[int, str]]  # how many hosts are alive there, and the UUID of one
    detachable: bool

    def everyone(self) -> Iterator[Glance]:
        """Every host in scope, with the UUIDs it is known by."""
        yield from (Glance(one.host_id, one.name, (one.uuid,)) for one in self.alive)
        yield from (Glance(host.id, host.name, host.identity.uuids) for host in self.hosts)

    def case(self, host: Host) -> Case:
        """Everything that was seen of one host."""
        uuids, record = host.identity.uuids, self.records.get(host.id)
        return Case(
            host.id, host.name, host.identity, tuple(one for uuid in uuids for one in self.survey.of(uuid)), record,
            tuple(name for name in self.shared.get(uuids[0], ()) if name != host.name) if uuids else (),
            self.histories.get(uuids[0], History()) if uuids else History(), frozenset(self.witnesses),
            host.id in self.protected, self.detachable or not (record and record.compute_resource))


class _Glances(NamedTuple):
    """What the lists of both sides tell.

    `found`: how the regions answered.  `alive`: the verdicts on the hosts that a list of servers has.  `rest`: all
    others.  `witnesses`: how many are alive in each place, and the UUID of one.
    """

    found: Survey
    alive: list[Verdict]
    rest: list[Glance]
    witnesses: dict[Place, tuple[int, str]]


@dataclass(frozen=True)
class Cleanup:
    """What a run works with.  `scope` says, for people, which hosts `search` and the organization select."""

    satellite: Satellite
    checker: Checker
    journal: Journal
    policy: Policy
    search: str = ""
    scope: str = "all hosts"
    progress: Progress = silent
    clock: Clock = utc_now

    # Observe

    def observe(self, closely: Collection[int] = ()) -> Observation:
        """Look at both sides at once, then closer at every host that no list has, and at those with these ids.

        Raises SatelliteError.  A cloud that fails raises nothing: its hosts are unknown.
        """
        now = self.clock()
        found, alive, rest, witnesses = self._at_a_glance(closely, now)
        hosts = list(look_closely(self.satellite, rest, self.policy.openstack_names,
                                  self._stage("hosts looked at closely")))
        instances = [host for host in hosts if host.identity.reason is None]
        survey = ask_further(self.checker, found, list(dict.fromkeys(
            uuid for host in instances for uuid in host.identity.uuids)), self._stage("instances asked about"))
        missing = [host for host in instances if _missing(host, survey)]
        records = self._records(missing)
        regions = [(seen.cloud, seen.region) for seen in survey.regions]
        return Observation(
            now, alive, hosts, survey, records,
            {host.identity.uuids[0]: self.journal.history(host.identity.uuids[0], regions) for host in missing},
            _shared(hosts), frozenset(self.satellite.hosts_with_parameter(self.policy.protect_parameter)
                                      if missing else ()),
            _witnesses(witnesses, instances, survey),
            not any(one.compute_resource for one in records.values()) or self.satellite.destroys_vms() is not None)

    def _at_a_glance(self, closely: Collection[int], now: datetime) -> _Glances:
        """The lists of both sides, read at once, and what they settle.

        What a list of servers has is alive, whoever it is: so the verdict on one such host of a region, judged as any
        other, is that on all of them.
        """
        with workers(1) as beside:
            prepared = beside.submit(self.checker.prepare, self._stage("servers of OpenStack"))
            seen = list(glance(self.satellite, self.search, self._stage("hosts of Satellite")))
            prepared.result()
        found = self.checker.listed([uuid for host in seen for uuid in host.uuids], self._stage("servers looked up"))
        verdicts: dict[Place, Verdict] = {}
        counts: Counter[Place] = Counter()
        alive, rest = [], []
        seen.reverse()
        while seen:                     # taken out one by one, so that of many nothing is kept twice
            host = seen.pop()
            uuid = next(filter(found.alive.__contains__, host.uuids), None)
            if uuid is None or host.id in closely:
                rest.append(host)
                continue
            place = found.alive[uuid]
            if place not in verdicts:
                verdicts[place] = judge(Case(host.id, host.name, Identity((uuid,)), found.of(uuid)), self.policy, now)
            counts[place] += 1
            alive.append(Verdict(host.id, host.name, uuid, *verdicts[place][3:]))
        return _Glances(replace(found, alive={}), alive, rest,
                        {place: (counts[place], verdict.uuid) for place, verdict in verdicts.items()})

    def _records(self, hosts: Sequence[Host]) -> dict[int, Record]:
        told = self._stage("records of missing instances")
        ids = [host.id for host in hosts]
        pages = [ids[start:start + FULL_PAGE] for start in range(0, len(ids), FULL_PAGE)]
        records: dict[int, Record] = {}
        with workers(self.satellite.manners.workers) as pool:
            for number, found in enumerate(pool.map(self.satellite.records, pages), 1):
                records.update(found)
                told(min(number * FULL_PAGE, len(ids)), len(ids))
        return records

    def _stage(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: self.progress(what, done, total)

    # Plan

    def plan(self) -> Plan:
        """Observe, put on file what is missing, judge every host, and hold the whole against the guard rails."""
        self.settle()
        signs.take(self.journal, self.clock())
        plan = self._guarded(self._judged(self.note(self.observe())))
        if not plan.shrunk:
            self._note_servers(plan)
        return plan

    def plan_one(self, target: Target) -> Plan:
        """The plan for one instance alone; raises SatelliteNotFound where no host in scope is it.

        Everything is observed as ever: whether it is alone with its UUID, and has a witness, others decide.  What a
        run leaves for later ones, this leaves for its target alone, and no cloud's size: however often this is
        called, it does not take the place of the runs that are apart in time.
        """
        self.settle()
        signs.take(self.journal, self.clock())
        observation = self.observe()
        hosts = [host for host in observation.everyone() if target.is_of(host)]
        label = str(target)
        with_id = [host for host in observation.everyone() if target.name and str(host.id) == target.name]
        if with_id:                     # a name of digits comes before an id, as it does in Foreman
            label += f", by its name; {with_id[0].name} has that id" if hosts else ", by its id"
        hosts = hosts or with_id
        if not hosts:
            raise SatelliteNotFound(f"{self.satellite.url}: no host record of {target} ({self.scope})")
        plan = self._judged(self.note(observation, hosts))
        return self._guarded(plans.only(plan, {host.id for host in hosts}, label))

    def _judged(self, observation: Observation) -> Plan:
        verdicts = sorted([*observation.alive, *self._verdicts(observation)], key=lambda one: one.host_id)
        return Plan(self.satellite.url, observation.made_at, self.scope, self._regions(observation), tuple(verdicts))

    def _verdicts(self, observation: Observation) -> Iterator[Verdict]:
        """On each that was looked at; those that are no instances, all in the same words, are judged once."""
        strangers: dict[tuple[Reason, str], Verdict] = {}
        for host in observation.hosts:
            uuids, reason, seen, _ = host.identity
            if reason is None:
                yield judge(observation.case(host), self.policy, observation.made_at)
                continue
            if (reason, seen) not in strangers:
                strangers[reason, seen] = judge(observation.case(host), self.policy, observation.made_at)
            yield Verdict(host.id, host.name, uuids[0] if uuids else "", *strangers[reason, seen][3:])

    def _guarded(self, plan: Plan) -> Plan:
        before = 0 if plan.fleet is None else self.journal.deleted_since(plan.satellite, self.clock() - HOUR)
        return plans.with_guard_rails(plan, self.policy, self.journal.servers_before(), before)

    def note(self, observation: Observation, targets: Optional[Iterable[Glance]] = None) -> Observation:
        """Count the misses of a run in which every cloud answered; the observation with the new counts.

        A run with a cloud that could not answer counts for nobody: it neither adds a miss nor takes one back.  With
        `targets` only theirs count, and only where their last one is long enough ago: as many as are needed take the
        whole grace period.  Whoever gave a sign of life begins anew, in any case.
        """
        survey = observation.survey
        missed = self.journal.missed()
        alive = {one.uuid for one in observation.alive if one.uuid in missed}
        alive |= {uuid for uuid, found in survey.asked.items()
                  if any(one.presence is Presence.PRESENT for one in found)}
        missing, spacing = observation.histories.keys() - alive, timedelta()
        if targets is not None:
            missing &= {uuid for host in targets for uuid in host.uuids}
            spacing = min(self.policy.grace / self.policy.misses, signs.LAST)
        spoken, used = signs.of_life(self.journal, observation.everyone(), self.clock())
        regions = [(seen.cloud, seen.region) for seen in survey.regions]
        self.journal.note_misses([(uuid, *where) for uuid in missing for where in regions], alive | spoken,
                                 observation.made_at, spacing, used)
        signs.note_removals(self.journal, self.satellite.url, observation.everyone())
        return replace(observation, histories={uuid: self.journal.history(uuid, regions)
                                               for uuid in observation.histories})

    def _heed(self, batch: Iterable[Verdict]) -> None:
        """Let what events told since the plan was made count against the deletions that rest on misses."""
        now = self.clock()
        signs.take(self.journal, now)
        spoken, used = signs.of_life(self.journal, (Glance(one.host_id, one.name, (one.uuid,)) for one in batch), now)
        if spoken:
            self.journal.note_misses((), spoken, now, used=used)

    @staticmethod
    def _regions(observation: Observation) -> tuple[RegionSeen, ...]:
        return tuple(RegionSeen(
            seen.cloud, seen.region, seen.servers, seen.proof, str(seen.error or ""),
            type(seen.error).__name__ if seen.error else "",
            *observation.witnesses.get((seen.cloud, seen.region), (0, ""))) for seen in observation.survey.regions)

    def _note_servers(self, plan: Plan) -> None:
        """Good runs only: one that a region spoiled says nothing of the others' normal size either."""
        if not any(seen.error for seen in plan.regions):
            self.journal.note_servers({(seen.cloud, seen.region): seen.servers for seen in plan.regions
                                       if seen.servers is not None}, plan.made_at)

    # Apply

    def settle(self) -> None:
        """Find out what became of deletions that were on file but never ended: a run was killed there."""
        for row in self.journal.unfinished(self.satellite.url):
            gone = self.satellite.is_gone(row["host_id"])
            self.journal.end_deletion(row["id"], Outcome(
                row["host_id"], row["name"], row["uuid"], "deleted" if gone else "failed",
                "the run was killed in between; the record is " + ("gone" if gone else "still there")), self.clock())

    def check(self, plan: Plan) -> tuple[str, ...]:
        """The guard rails that refuse the plan at this moment; raises PlanError where it is old or is not ours."""
        plans.check_applicable(plan, self.satellite.url, self.clock())
        return self._guarded(plan).refusals

    def approve(self, plan: Plan, who: str) -> None:
        """Put on file who lifted the caps for this plan; the clouds' present size becomes the normal one."""
        self.journal.note_approval(plan.digest, who, self.clock())
        self._note_servers(plan)

    def apply(self, plan: Plan, stopped: Callable[[], bool] = lambda: False, *,
              approved: bool = False) -> Iterator[Outcome]:
        """Carry out the deletions of a plan; an Outcome for each, as it happens.

        Raises PlanError where `check` refuses it; `approved` says that `approve` put the lifting of the caps on file.
        Every one is judged anew from what both servers say at this moment.  The first answer of Satellite that
        makes no sense ends it, and so does `stopped`; what was not reached is reported as kept.
        """
        refusals = self.check(plan)
        if refusals and not approved:
            raise PlanError("; ".join(refusals))
        todo = list(plan.deletions)
        if todo:
            self.journal.check_writable()
        failed = ""
        for start in range(0, len(todo), BATCH):
            batch = todo[start:start + BATCH]
            try:
                self._heed(batch)
            except JournalError as error:
                failed = f"not reached: {error}"
            survey = Survey((), {}, {}) if failed or stopped() else self._ask_again(plan, batch)
            for number, verdict in enumerate(batch, start + 1):
                if failed or stopped():
                    yield _kept(verdict, failed or "not reached: interrupted")
                    continue
                try:
                    yield self._delete(plan, verdict, survey)
                except SatelliteRefused as error:       # concerns this host alone
                    yield _outcome(verdict, "failed", str(error))
                except (SatelliteError, JournalError) as error:
                    failed = "not reached: an earlier deletion failed"
                    yield _outcome(verdict, "failed", str(error))
                self.progress("deletions", number, len(todo))

    def _ask_again(self, plan: Plan, batch: Iterable[Verdict]) -> Survey:
        """The clouds' word on the batch, and on one host that was alive in each region, as of now.

        Raises PlanError where a region of the plan is not asked any more: an instance could be alive there.
        """
        witnesses = [seen.witness for seen in plan.regions if seen.witness]
        survey = self.checker.ask(dict.fromkeys([*(verdict.uuid for verdict in batch), *witnesses]))
        left = {(seen.cloud, seen.region) for seen in plan.regions} - {
            (seen.cloud, seen.region) for seen in survey.regions}
        if left and not any(seen.error for seen in survey.regions):
            raise PlanError(f"{', '.join(sorted(map('/'.join, left)))} was asked for the plan and is out of scope now; "
                            "make a new plan")
        return survey

    def _delete(self, plan: Plan, planned: Verdict, survey: Survey) -> Outcome:
        """Judge one host anew, put it on file, delete its record, and see that it is gone."""
        case = self._case_now(plan, planned, survey)
        now = self.clock()
        verdict = judge(case, self.policy, now)
        if verdict.decision is not Decision.DELETE:
            return _kept(planned, f"{verdict.reason.value}: {verdict.detail}")
        record = case.record
        assert record                   # no verdict says delete without one
        if (verdict.uuid, verdict.fingerprint) != (planned.uuid, planned.fingerprint):
            return _kept(planned, f"{Reason.CHANGED.value}: UUID, registration or last check-in is another now")
        if record.compute_resource and not self._detach(record):
            return _kept(planned, Reason.COMPUTE_RESOURCE.value)
        number = self.journal.begin_deletion(plan.satellite, plan.digest, verdict, self._evidence(case, now), record,
                                             now)
        try:
            gone = self.satellite.delete(record)
        except SatelliteError as error:
            self.journal.end_deletion(number, _outcome(planned, "failed", str(error)), self.clock())
            raise
        outcome = _outcome(planned, "deleted", verdict.detail) if gone else _outcome(
            planned, "failed", "Satellite answered the DELETE, but the record is still there; see its production.log")
        self.journal.end_deletion(number, outcome, self.clock())
        return outcome

    def _case_now(self, plan: Plan, planned: Verdict, survey: Survey) -> Case:
        """The host as both servers show it now.  What other hosts say of it was settled when it was planned."""
        record = self.satellite.record(planned.host_id)
        facts = facts_now(self.satellite, record.id, record.name) if record else {}
        identity = identify(facts, katello=self.satellite.katello, openstack_names=self.policy.openstack_names)
        asked = survey if set(identity.uuids) <= survey.asked.keys() else self.checker.ask(identity.uuids)
        places = [(seen.cloud, seen.region) for seen in plan.regions]
        witnessed = {(one.cloud, one.region) for seen in plan.regions if seen.witness
                     for one in survey.of(seen.witness) if one.presence is Presence.PRESENT}
        protected = self.satellite.hosts_with_parameter(self.policy.protect_parameter, planned.host_id)
        return Case(
            planned.host_id, planned.name, identity, tuple(one for uuid in identity.uuids for one in asked.of(uuid)),
            record, (), self.journal.history(planned.uuid, places), frozenset(witnessed & set(places)),
            planned.host_id in protected,
            not (record and record.compute_resource) or self.satellite.destroys_vms() is not None)

    def _detach(self, record: Record) -> bool:
        """Cut the link to the compute resource and see that it is cut."""
        try:
            self.satellite.disassociate(record)
        except SatelliteError as error:
            log.warning("%s: %s", record.name, error)
            return False
        now = self.satellite.record(record.id)
        return now is not None and now.compute_resource is None

    def _evidence(self, case: Case, now: datetime) -> Any:
        """Every point of the promise as it was seen, for the journal."""
        return {"rules": [[step.rule, step.seen] for step in steps(case, self.policy, now)],
                "sightings": [[one.uuid, one.cloud, one.region, one.presence.value, one.detail]
                              for one in case.sightings]}


def _missing(host: Host, survey: Survey) -> bool:
    """Whether every cloud answered and none has it: only then is there a reason to look at its record."""
    found = [one for uuid in host.identity.uuids for one in survey.of(uuid)]
    return bool(found) and all(one.presence in (Presence.ABSENT, Presence.DELETED) for one in found)


def _shared(hosts: Iterable[Host]) -> dict[str, tuple[str, ...]]:
    """UUID -> the names of all hosts that have it, in either byte order, where several do.

    Of those that were looked at closely: who is alive at a glance is known by another UUID than any that is missing.
    """
    names: dict[str, list[str]] = {}
    for host in hosts:
        for uuid in host.identity.uuids:
            names.setdefault(min(uuid, swap_bytes(uuid)), []).append(host.name)
    several = {key: tuple(found) for key, found in names.items() if len(found) > 1}
    return {form: found for key, found in several.items() for form in (key, swap_bytes(key))}


def _witnesses(listed: Mapping[Place, tuple[int, str]], instances: Iterable[Host],
               survey: Survey) -> dict[Place, tuple[int, str]]:
    """(cloud, region) -> how many hosts are alive there, in a list or not, and the UUID of one of them."""
    found = dict(listed)
    for host in instances:
        uuid = host.identity.uuids[0]
        for one in survey.of(uuid):
            if one.presence is Presence.PRESENT:
                count, first = found.get((one.cloud, one.region), (0, uuid))
                found[one.cloud, one.region] = (count + 1, first)
    return found


def _outcome(verdict: Verdict, result: str, detail: str) -> Outcome:
    return Outcome(verdict.host_id, verdict.name, verdict.uuid, result, detail)


def _kept(verdict: Verdict, why: str) -> Outcome:
    return _outcome(verdict, "kept", why)
