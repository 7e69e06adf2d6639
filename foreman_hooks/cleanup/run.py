"""The story of a run: observe both sides, count misses, judge every host, and apply the plan.

Nothing here decides: rules.verdict does, from what is gathered here, and again from what is
gathered immediately before each deletion.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Callable, Optional

from foreman_hooks.cleanup import check_ins
from foreman_hooks.cleanup.apply import Deletions, kept
from foreman_hooks.cleanup.guard_rails import guard, note_servers
from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.judge_all import judge_all
from foreman_hooks.cleanup.last_look import LastLook
from foreman_hooks.cleanup.misses import Misses
from foreman_hooks.cleanup.observation import Observation
from foreman_hooks.cleanup.observe import Observer
from foreman_hooks.cleanup.open_records import note_open_records
from foreman_hooks.cleanup.progress import Clock, Progress, silent, utc_now
from foreman_hooks.cleanup.quick_run import QuickRun, note_deleted_rows
from foreman_hooks.cleanup.run_log import Run, last_observation
from foreman_hooks.cleanup.settle import settle
from foreman_hooks.cleanup.target import Target
from foreman_hooks.osp_checker import Checker
from foreman_hooks.rules.guard_rails import only
from foreman_hooks.rules.model import Outcome, Policy, Verdict
from foreman_hooks.rules.plan import Kind, Plan, PlanError, check_applicable
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.errors import SatelliteNotFound
from foreman_hooks.satellite.inventory import EVERYTHING, ListedHost, Scope

DAY = timedelta(hours=25)  # between two daily runs, which never start to the second

__all__ = ["Cleanup", "Clock", "Progress", "Target", "silent", "utc_now"]


@dataclass(frozen=True)
class Cleanup:
    """A run, and what it works with.

    `scope`: which hosts it may judge.  `described`: the scope in words, for people.  `who`: the
    user that runs it, for the journal.  Every method may raise JournalError, and SatelliteError if
    it sends requests.
    """

    satellite: Satellite
    checker: Checker
    journal: Journal
    policy: Policy
    scope: Scope = EVERYTHING
    described: str = "all hosts"
    who: str = ""
    progress: Progress = silent
    clock: Clock = utc_now

    def plan(self) -> Plan:
        """Observe, count the misses, judge every host, and check the guard rails."""
        self.settle()
        self.collect_check_ins()
        observation = self.count_misses(self.observe())
        plan = self.guard(self.judge(observation))
        if not plan.shrunk:
            note_servers(plan, self.journal)
        self._note_open_records(plan)
        self._note_deleted_rows(plan)
        return plan

    def needs_full_run(self) -> bool:
        """Whether a quick run has to be a full run: the last one is longer ago than a day.

        A quick run needs to know how large the fleet is, and what the last full run saw alive.  If
        the last full run was in the future, the clock was set back, and nobody knows how long ago.
        """
        last = self._last_full_run()
        return last is None or not timedelta() <= self.clock() - last.began <= DAY

    def plan_quick(self) -> Plan:
        """The plan for the hosts whose instance was deleted since the last run.

        Of a fleet that no full run has counted, nothing may be deleted.
        """
        last = self._last_full_run()
        fleet = last.instances if last else 0
        self.settle()
        self.collect_check_ins()
        now = self.clock()
        quick_run = QuickRun(
            satellite=self.satellite,
            checker=self.checker,
            journal=self.journal,
            scope=self.scope,
            described=self.described,
            progress=self.progress,
        )
        deleted = quick_run.find_hosts(now)
        observation = self._observer().observe_deleted(deleted, now)
        plan = self.judge(observation)
        plan = self.guard(replace(plan, kind=Kind.QUICK, fleet=fleet))
        self._note_open_records(plan)
        self._note_deleted_rows(plan)
        return plan

    def plan_one(self, target: Target) -> Plan:
        """The plan for one instance alone.

        All hosts are observed as in any run, because the verdict depends on twins and on witnesses.
        But only the misses of this instance are counted, and no region's size is noted: frequent
        calls do not replace runs at different times.  Raises SatelliteNotFound if no host in scope
        has that UUID, name or id.
        """
        self.settle()
        self.collect_check_ins()
        observation = self.observe()
        hosts, label = target.find(observation.everyone())
        if not hosts:
            raise SatelliteNotFound(
                f"{self.satellite.url}: no host record of {target} ({self.described})"
            )
        plan_of_all = self.judge(self.count_misses(observation, hosts))
        host_ids = {host.id for host in hosts}
        plan = self.guard(only(plan_of_all, host_ids, label))
        self._note_open_records(plan)
        return plan

    def apply(
        self,
        plan: Plan,
        stopped: Callable[[], bool] = lambda: False,
        *,
        approved: bool = False,
    ) -> Iterator[Outcome]:
        """Carry out the deletions of a plan; yield an Outcome for each, as it happens.

        Each host is judged again, by what both sides say then.  A failure concerns only that host,
        until several hosts in a row fail.  Hosts whose last deletion failed come last.  Hosts that
        are not reached are KEPT.  Hosts that were deleted since the plan was made are left out.

        `stopped`: whether to stop before the next deletion.  `approved`: whether the caps are
        lifted, as `approve` noted.  Raises PlanError if `check` refuses the plan.
        """
        refusals = self.check(plan)
        if refusals and not approved:
            raise PlanError("; ".join(refusals))
        held = {} if approved else plan.held
        deleted = self.journal.hosts_deleted(plan.satellite, plan.made_at)
        deletions: list[Verdict] = []
        for verdict in plan.deletions:
            if verdict.host_id in deleted:
                continue
            if verdict.host_id in held:
                yield kept(verdict, f"needs an approval: {held[verdict.host_id]}")
            else:
                deletions.append(verdict)
        if deletions:
            failures = self.journal.failures(self.satellite.url)
            deletions.sort(key=lambda verdict: verdict.host_id in failures)
            self.journal.check_writable()
            yield from self._deletions(plan).carry_out(deletions, stopped)

    # The steps

    def settle(self) -> None:
        """Find out what became of deletions that never ended."""
        settle(self.satellite, self.journal, self.clock)

    def collect_check_ins(self) -> None:
        """Move what Foreman's events reported into the journal."""
        check_ins.collect(self.journal, self.clock())

    def observe(self, closely: Collection[int] = ()) -> Observation:
        """Take a quick look at both sides, then a closer one at every host that is in no list.

        `closely`: ids of hosts to look at closely in any case.  Raises SatelliteError.  A cloud
        that fails raises nothing: its hosts are unknown.
        """
        return self._observer().observe(closely, self.clock())

    def _observer(self) -> Observer:
        return Observer(
            satellite=self.satellite,
            checker=self.checker,
            journal=self.journal,
            policy=self.policy,
            scope=self.scope,
            progress=self.progress,
        )

    def count_misses(
        self, observation: Observation, targets: Optional[Iterable[ListedHost]] = None
    ) -> Observation:
        """Count the misses of this run, or only of `targets`; return the observation with them."""
        misses = Misses(self.journal, self.satellite.url, self.policy)
        return misses.count(observation, self.clock(), targets)

    def judge(self, observation: Observation) -> Plan:
        """The plan of the verdicts on all hosts, not yet checked against the guard rails."""
        return judge_all(
            observation,
            policy=self.policy,
            satellite=self.satellite.url,
            scope=self.described,
            servers_before=self.journal.servers_before(),
        )

    def guard(self, plan: Plan) -> Plan:
        """The plan with the guard rails that it breaks now."""
        return guard(plan, self.journal, self.policy, self.clock())

    def check(self, plan: Plan) -> tuple[str, ...]:
        """The guard rails that the plan breaks now; empty if it may be applied.

        Raises PlanError if the plan is too old or for another Satellite.
        """
        check_applicable(plan, self.satellite.url, self.clock())
        return self.guard(plan).refusals

    def approve(self, plan: Plan) -> None:
        """Note in the journal who lifted the caps for this plan.

        The sizes of the regions in the plan become their normal sizes.
        """
        self.journal.note_approval(plan.digest, self.who, self.clock())
        note_servers(plan, self.journal)

    def is_complete(self, plan: Plan) -> bool:
        """Whether the plan has the verdicts on all hosts of the Satellite.

        Its scope may be another than that of this run, which may only carry it out.
        """
        is_ours = plan.scope == self.described and plan.kind is Kind.FULL
        return is_ours and self.scope == EVERYTHING

    def _note_open_records(self, plan: Plan) -> None:
        note_open_records(
            self.journal, plan, self.described, self.is_complete(plan), self.clock()
        )

    def _last_full_run(self) -> Optional[Run]:
        return last_observation(self.journal, self.satellite.url, self.described)

    def _note_deleted_rows(self, plan: Plan) -> None:
        note_deleted_rows(
            self.journal,
            self.satellite.url,
            self.described,
            plan.regions,
            plan.made_at,
        )

    def _deletions(self, plan: Plan) -> Deletions:
        last_look = LastLook(
            plan=plan,
            satellite=self.satellite,
            checker=self.checker,
            journal=self.journal,
            policy=self.policy,
            clock=self.clock,
        )
        return Deletions(
            plan=plan,
            satellite=self.satellite,
            journal=self.journal,
            policy=self.policy,
            last_look=last_look,
            who=self.who,
            progress=self.progress,
            clock=self.clock,
        )
