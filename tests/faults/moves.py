"""What may happen in a world that moves, the runs in between, and what must be true after each.

No record that a living machine uses goes, and every provable termination goes in the first run
after 'quiet'; what waits goes within its grace period and misses; the journal accounts for all.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable, Optional

import pytest
from conftest import Stage
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
)
from sandbox.satellite import ANSIBLE, RHSM, User
from sandbox.server import Answer, Server

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.run import Cleanup, Target
from foreman_hooks.cleanup.run_log import begin_run, end_run
from foreman_hooks.rules.model import Outcome, Policy, Result
from foreman_hooks.rules.plan import Kind, Plan, PlanError
from foreman_hooks.satellite.client import MANNERS, Login
from foreman_hooks.satellite.client import Satellite as Client
from foreman_hooks.satellite.errors import SatelliteError

from .account import ROUNDING, Account, Record
from .moving import (
    CELLS,
    EDGE,
    HOUR,
    ONE,
    PLACES,
    PROTECTION,
    SOURCES,
    TWO,
    UP,
    Machine,
    MovingWorld,
)
from .trials import SOAK, WrongDeletionError

FLEET = 800 if SOAK else 10  # machines in the beginning
EXAMPLES, STEPS = (18, 20) if SOAK else (2, 6)
LIVELY = 16  # machines that moved last, of which most that move are
POLICY = Policy(max_fraction=1.0, max_deletions=10_000, max_absent=10_000)
# Each cap alone.
FEW = Policy(max_fraction=1.0, max_deletions=3, max_absent=10_000)
SHARE = Policy(max_fraction=0.25, max_deletions=10_000, max_absent=10_000)
ABSENT = Policy(max_fraction=1.0, max_deletions=10_000, max_absent=1)
STATUSES = ("SHUTOFF", "SHELVED_OFFLOADED", "ERROR", "PAUSED", "SOFT_DELETED", UP)
ROLES: dict[str, dict[str, Any]] = {
    "whole": {"permissions": None},
    "without parameters": {
        "permissions": frozenset(("view_hosts", "view_facts", "destroy_hosts"))
    },
    "without facts": {
        "permissions": frozenset(("view_hosts", "view_params", "destroy_hosts"))
    },
    "without deletion": {
        "permissions": frozenset(("view_hosts", "view_facts", "view_params"))
    },
    "half of the hosts": {"permissions": None, "sees": lambda host: host.id % 2},
}
HOURS = (0.2, 1.0, 3.5, 5.0, 13.0, 30.0)
SCOPE = "all hosts"
FAILURES = (SatelliteError, PlanError)  # that refuse a plan in another world
OUTAGES = (
    "places_go_down_or_come_back",
    "cell_goes_down_or_comes_back",
    "role_changes",
    "scope_changes",
)
MOVES = (
    "machine_comes",
    "machines_go",
    "status_changes",
    "machine_is_made_again",
    "dead_machine_comes_back",
    "clone_comes",
    "clone_changes",
    "machine_registers_again",
    "other_source_speaks",
    "facts_change",
    "facts_get_lost",
    "record_is_renamed",
    "protection_changes",
    "doomed_is_protected",
    "rows_are_archived",
    "hours_pass",
    *OUTAGES,
)
numbers = st.integers(min_value=0, max_value=10**6)
moves = st.tuples(st.sampled_from(MOVES), numbers)
days = st.tuples(moves, st.sampled_from(HOURS), st.booleans())
figures: Counter[str] = Counter()


def option(number: int, *options: Any) -> Any:
    """One of these, by other digits of the number than those that pick a machine."""
    return options[number // (4 * LIVELY) % len(options)]


def seldom(number: int, good: Any, *bad: Any) -> Any:
    """Most often the good state: otherwise nothing goes."""
    return option(number, *bad, *[good] * 7 * len(bad))


class Moves(RuleBasedStateMachine):
    """What may happen, and the runs in between."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(TemporaryDirectory()))
        patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        self.stage = Stage(folder, self._stack, patch)
        edge = self._stack.enter_context(Server(lambda request: Answer(503)))
        self.world = MovingWorld(self.stage, edge)
        self.account = Account(self.world)
        self.lively: list[Machine] = []  # the last one that moved comes last
        self.policy = POLICY
        self.role = "whole"
        self.narrow = False  # a region of the catalog is out of scope
        self.down: Sequence[Any] = ()  # the regions that do not answer
        self.last_good: Optional[float] = None  # when a run last read all regions
        self.gone: set[int] = set()  # the ids of all records that were deleted
        self.gone_at: list[float] = []

    def teardown(self) -> None:
        """Stop all servers."""
        self._stack.close()

    @initialize(policy=st.sampled_from((POLICY, FEW, SHARE, ABSENT)))
    def start(self, policy: Policy, fleet: int = FLEET) -> None:
        """A fleet, and a first run."""
        self.policy = policy
        for number in range(fleet):
            # Most are in one place: while another one does not answer, few cost requests.
            place = PLACES[number % 3] if number < LIVELY else EDGE
            machine = self.world.create(place, swapped=number % 7 == 0)
            if number < LIVELY:
                self.touch(machine)
        self.world.pass_time(5)
        self.full_run(approved=False)

    # Machines

    def touch(self, machine: Machine) -> None:
        """It moves now."""
        if machine in self.lively:
            self.lively.remove(machine)
        self.lively.append(machine)
        del self.lively[:-LIVELY]

    def pick(
        self, number: int, is_wanted: Callable[[Machine], bool]
    ) -> Optional[Machine]:
        """A machine that moves now, most often one that moved a short time ago."""
        candidates = [m for m in self.lively if is_wanted(m)]
        if number % 4 == 0 or not candidates:
            fixed = len(self.world.fixed)
            candidates = [m for m in self.world.machines[fixed:] if is_wanted(m)]
        if not candidates:
            return None
        machine = candidates[number // 4 % len(candidates)]
        self.touch(machine)
        return machine

    def living(self, number: int) -> Optional[Machine]:
        """A living machine without a clone."""
        return self.pick(number, lambda m: m.lives and not m.copied_by)

    def running(self, number: int) -> Optional[Machine]:
        """A running machine without a clone."""
        return self.pick(
            number, lambda m: not m.copied_by and m.lives and self.world.runs(m)
        )

    def machine_comes(self, number: int) -> None:
        """A new instance."""
        place = option(number, *PLACES)
        self.touch(self.world.create(place, swapped=number % 7 == 0))

    def machines_go(self, number: int) -> None:
        """Instances are deleted, and sometimes their rows are purged at once."""
        for offset in range(option(number, 1, 2, 3, 4)):
            machine = self.living(number + offset)
            if machine is None:
                return
            place, uuid = machine.place, machine.uuid
            self.world.delete(machine)
            if number % 3 == 0:
                self.world.archive(place, uuid)

    def status_changes(self, number: int) -> None:
        """An instance is stopped, shelved, soft-deleted, restored, started."""
        machine = self.living(number)
        # While its record names only the instance before it or a clone's, it has to run: if it
        # never checks in, nobody can tell it from that one.
        if machine and machine.is_named:
            self.world.set_status(machine, option(number, *STATUSES))

    def machine_is_made_again(self, number: int) -> None:
        """From an image or a volume, under another UUID, perhaps elsewhere."""
        machine = self.running(number)
        if machine:
            self.world.make_again(machine, option(number, *PLACES))

    def dead_machine_comes_back(self, number: int) -> None:
        """From the volume that is left of it."""
        machine = self.pick(number, lambda m: not m.lives and m.has_disk)
        if machine:
            self.world.restore(machine, option(number, *PLACES))

    def clone_comes(self, number: int) -> None:
        """An image of a running machine boots, and checks in as the original."""
        machine = self.running(number)
        if machine:
            self.world.clone(machine)

    def clone_changes(self, number: int) -> None:
        """A clone registers as itself, or is deleted, or its original is."""
        machine = self.pick(number, lambda m: m.copied_by is not None)
        if machine is None:
            return
        world = self.world
        change = option(
            number, world.register_clone, world.end_clone, world.end_original
        )
        change(machine)

    def machine_registers_again(self, number: int) -> None:
        """It makes a second record, or uses its record again."""
        machine = self.running(number)
        if machine:
            option(number, self.world.renew, self.world.register_again)(machine)

    def other_source_speaks(self, number: int) -> None:
        """It names the machine's instance, that of another one that lives or not, or none."""
        machine = self.pick(number, lambda m: True)
        if machine is None:
            return
        rows = sorted(self.world.rows(PLACES[number % 3]))
        uuids = (machine.uuid, option(number // 3, *rows), self.world.new_uuid())
        origin, name = SOURCES[number % len(SOURCES)]
        self.world.add_facts(machine, origin, **{name: option(number, *uuids)})

    def facts_change(self, number: int) -> None:
        """A wrong maker; a UUID that a job publishes, or one that Katello makes up."""
        machine = self.running(number)
        if machine is None:
            return
        what = option(number, "maker", "publication", "made up")
        if what == "maker":
            self.world.add_facts(machine, ANSIBLE, ansible_system_vendor="VMware, Inc.")
        elif what == "publication":
            machine.published = machine.uuid
        else:
            machine.dmi = self.world.new_uuid()
        self.world.check_in(machine)

    def facts_get_lost(self, number: int) -> None:
        """From now on Satellite loses what subscription-manager uploads, but no check-in."""
        machine = self.running(number)
        if machine:
            machine.loses_facts = True

    def record_is_renamed(self, number: int) -> None:
        """Somebody renames a record."""
        machine = self.pick(number, lambda m: True)
        if machine:
            self.world.serial += 1
            machine.host.name = f"renamed-{self.world.serial}.example.com"

    def protection_changes(self, number: int) -> None:
        """A host parameter protects the record of a machine that lives or not, or goes."""
        machine = self.pick(number, lambda m: True)
        if machine:
            machine.host.parameters = option(number, {}, {PROTECTION: "true"})

    def doomed_is_protected(self, number: int) -> None:
        """Somebody protects the record of a dead machine."""
        machine = self.pick(number, lambda m: not m.lives and self.world.is_listed(m))
        if machine:
            machine.host.parameters = {PROTECTION: "true"}

    def rows_are_archived(self, number: int) -> None:
        """The operator archives and purges some deleted rows."""
        place = PLACES[number % 3]
        rows = self.world.rows(place)
        dead = sorted(uuid for uuid, row in rows.items() if row.terminated)
        for uuid in dead[: option(number, 1, 2, 3, 4)]:
            self.world.archive(place, uuid)

    # The servers

    def places_go_down_or_come_back(self, number: int) -> None:
        """Nova of a region gives a 500, or Keystone and Nova of a whole cloud; or all answer."""
        for place in PLACES:
            self.world.server_of(place).faults.clear()
        self.down = down = seldom(
            number, (), (ONE,), (TWO,), (ONE, TWO), (ONE,), (TWO,), (EDGE,)
        )
        if len(down) == 1 and down[0] != EDGE:
            self.stage.osp.fail(f"/compute/{down[0].region}/", 500)
        elif down:
            self.world.server_of(down[0]).fail("", 500)

    def cell_goes_down_or_comes_back(self, number: int) -> None:
        """Lists skip a cell that is down, and say nothing."""
        for cloud in self.world.clouds.values():
            cloud.down_cells = set()
        cell = seldom(number, "", *CELLS)
        if cell:
            self.world.clouds[PLACES[number % 3].cloud].down_cells = {cell}

    def role_changes(self, number: int) -> None:
        """The login loses a permission or sees fewer hosts, or has everything again."""
        self.become(seldom(number, *ROLES))

    def become(self, role: str) -> None:
        """The login has that one of the ROLES."""
        self.role = role
        user = User("admin", "changeme", **ROLES[role])
        self.stage.satellite.users["admin"] = user

    def scope_changes(self, number: int) -> None:
        """A region of the catalog is no longer asked, or is asked again."""
        self.narrow = seldom(number, False, True)

    def hours_pass(self, number: int) -> None:
        """Running machines check in every four hours."""
        self.world.pass_time(option(number, *HOURS))

    # Runs

    @property
    def answers(self) -> bool:
        """Whether every region is asked and answers, although a cell may be down."""
        return not (self.down or self.narrow)

    @property
    def is_sound(self) -> bool:
        """Whether every server answers, and shows everything."""
        has_down_cell = any(cloud.down_cells for cloud in self.world.clouds.values())
        return self.answers and not has_down_cell and self.role == "whole"

    @rule(move=moves)
    def something_moves(self, move: tuple[str, int]) -> None:
        """Between two runs."""
        self.move(*move)

    @rule(approved=st.booleans())
    def full_run(self, approved: bool) -> None:
        """Over all hosts, with deletions; somebody may lift the caps."""
        self.carry_out(Kind.FULL, approved=approved)

    @rule()
    def quick_run(self) -> None:
        """Over the instances that were deleted since; a full run if that is due."""
        self.carry_out(Kind.QUICK)

    @rule(number=numbers, by_uuid=st.booleans())
    def single_run(self, number: int, by_uuid: bool) -> None:
        """For one host."""
        machine = self.pick(number, self.world.is_listed)
        if machine is None:
            return
        target = Target(name=machine.host.name)
        if by_uuid:
            target = Target(uuid=machine.host.facts[RHSM]["virt::uuid"] or "")
        self.carry_out(Kind.SINGLE, target)

    @rule(changes=st.lists(moves, min_size=1, max_size=4))
    def world_moves_between_plan_and_apply(
        self, changes: list[tuple[str, int]]
    ) -> None:
        """A plan is carried out in another world than that in which it was made."""
        self.carry_out(Kind.FULL, moves=changes)

    @rule(days=st.lists(days, min_size=2, max_size=8))
    def life_goes_on(self, days: list[tuple[tuple[str, int], float, bool]]) -> None:
        """Machines come, move and go, time passes, and there are runs on schedule."""
        for (name, number), hours, is_full in days:
            self.move(name, number)
            self.move(("machines_go", "machine_comes")[number % 2], number)
            self.world.pass_time(hours)
            if is_full:
                self.full_run(approved=number % 5 == 0)
            else:
                self.quick_run()

    @rule(
        changes=st.lists(moves, min_size=4, max_size=4), with_quick_runs=st.booleans()
    )
    def all_is_well_for_days(
        self, changes: list[tuple[str, int]], with_quick_runs: bool
    ) -> None:
        """Everything answers and shows everything, so all that waits goes."""
        for (name, number), hours in zip(changes, (1.0, 25.0, 24.0, 24.0)):
            self.move(name, number)
            self.repair()
            self.world.pass_time(hours)
            self.full_run(approved=True)
            if with_quick_runs:
                self.quick_run()

    def repair(self) -> None:
        """Everything answers, and shows everything."""
        for name in OUTAGES:
            self.move(name, -1)

    def move(self, name: str, number: int) -> None:
        """One of the MOVES."""
        figures[name] += 1
        getattr(self, name)(number)

    def carry_out(
        self,
        kind: Kind,
        target: Optional[Target] = None,
        *,
        moves: Sequence[tuple[str, int]] = (),
        approved: bool = False,
    ) -> None:
        """One run with deletions, and everything that must be true after it."""
        hosts = list(self.stage.satellite.hosts.values())
        may_fail = not self.is_sound
        with self.stage.journal() as journal:
            cleanup = self.cleanup(journal)
            if kind is Kind.QUICK and cleanup.needs_full_run():
                kind = Kind.FULL
            run = Run(kind, approved, self.account.records(hosts))
            with logged(run, journal, cleanup):
                with suppress(SatelliteError) if may_fail else nullcontext():
                    run.plan = self.make_plan(cleanup, kind, target)
                is_judged = run.plan is not None and not (moves or may_fail)
                if is_judged:
                    run.due |= self.due(run)
                self.learn(run)
                if is_judged:
                    run.waited |= self.overdue(run)
                for name, number in moves:
                    self.move(name, number)
                run.records = self.account.records(hosts)
                may_fail = may_fail or bool(moves)
                with suppress(*FAILURES) if may_fail else nullcontext():
                    self.apply(run, self.cleanup(journal))
            on_file = [r.host_id for r in journal.deletions() if r.result == "deleted"]
        run.gone = run.records.keys() - self.stage.satellite.hosts.keys()
        self.check(run, Counter(on_file))

    def cleanup(self, journal: Journal) -> Cleanup:
        """The product, with the scope and the login of this moment."""
        login = Login(self.stage.foreman.url, "admin", "changeme")
        return Cleanup(
            Client(login, MANNERS),
            self.world.checker(self.narrow),
            journal,
            self.policy,
            described=SCOPE,
            who="root",
            clock=lambda: self.world.moment,
        )

    def make_plan(
        self, cleanup: Cleanup, kind: Kind, target: Optional[Target]
    ) -> Optional[Plan]:
        """The plan of a run of that kind; None if its target cannot be seen."""
        if kind is Kind.QUICK:
            return cleanup.plan_quick()
        return cleanup.plan_one(target) if target else cleanup.plan()

    def apply(self, run: "Run", cleanup: Cleanup) -> None:
        """Carry out the plan, unless it is refused and nobody lifts the caps."""
        plan = run.plan
        if plan is None:
            return
        run.refused = bool(cleanup.check(plan)) and not run.approved
        if run.approved and (plan.refusals or plan.holds):
            cleanup.approve(plan)
        if not run.refused:
            run.outcomes += cleanup.apply(plan, approved=run.approved)

    def learn(self, run: "Run") -> None:
        """Note what later runs have to know of what this one saw."""
        plan = run.plan
        if run.kind is not Kind.QUICK:
            judged = {verdict.host_id for verdict in plan.verdicts} if plan else set()
            if self.answers and self.role == "half of the hosts":
                self.account.homes.clear()  # of records that no run names any more
            counts = judged if self.answers else set()
            self.account.note_run(
                run.records, counts, self.is_sound and run.kind is Kind.FULL
            )
        if plan is None:
            return
        if run.kind is not Kind.SINGLE and self.answers:
            # What a quick run does not see while a cell is down, or because the login sees no
            # parameters or not all hosts, is left to the next full run.
            self.last_good = self.world.now
        self.account.note_waiting(plan, run.records)

    def due(self, run: "Run") -> set[int]:
        """The ids of the records that this run has to delete, if caps do not refuse it."""
        assert run.plan
        account = self.account
        if run.kind is Kind.SINGLE:
            return {verdict.host_id for verdict in run.plan.verdicts} & {
                host_id for host_id, _ in account.due(run.records)
            }
        return {
            host_id
            for host_id, end in account.due(run.records)
            if run.kind is Kind.FULL or self.is_seen(host_id, end)
        }

    def overdue(self, run: "Run") -> set[int]:
        """The ids of the records without proof that this run has to delete."""
        assert run.plan
        if run.kind is not Kind.FULL:
            return set()
        held: Collection[int] = () if run.approved else run.plan.held
        return set(self.account.overdue(run.records)).difference(held)

    def is_seen(self, host_id: int, end: float) -> bool:
        """Whether a quick run has to look at a record: the others are the full run's business."""
        when, announced_end = self.account.announced.get(host_id, (0.0, 0.0))
        if announced_end == end and when + ROUNDING <= self.world.now:
            return True
        is_new = self.last_good is not None and end > self.last_good
        return is_new and self.world.now - end < 47 * HOUR

    # What must be true

    def check(self, run: "Run", on_file: "Counter[int]") -> None:
        """All promises."""
        self.count(run)
        self.check_gone(run)
        self.check_journal(run, on_file)
        if not run.approved:
            self.check_caps(run)
        self.gone_at += [self.world.now] * len(run.gone)
        if run.refused:
            assert not run.gone
            return
        missed = run.due - run.gone
        assert not missed, f"a provable termination stayed: {self.shown(missed)}"
        missed = run.waited - run.gone
        assert not missed, f"a record waits for too long: {self.shown(missed)}"

    def count(self, run: "Run") -> None:
        """Add to the figures."""
        figures["runs"] += 1
        figures["deletions"] += len(run.gone)
        if run.plan:
            figures["decisions"] += run.plan.hosts
        if run.refused:
            figures["refused"] += 1
        elif run.gone:
            figures[f"deletions by {run.kind.value} runs"] += len(run.gone)
        for host_id in run.gone:
            if not run.records[host_id].ends:
                figures["deletions without proof"] += 1

    def check_gone(self, run: "Run") -> None:
        """Every living machine has its record, and whatever went was allowed to."""
        wrong = self.world.living_hosts() - self.stage.satellite.hosts.keys()
        if wrong:
            raise WrongDeletionError(
                f"a living machine's record went: {self.shown(wrong)}"
            )
        for host_id in run.gone:
            reason = self.account.why_not(run.records[host_id])
            if reason:
                raise WrongDeletionError(
                    f"went although {reason}: {self.shown({host_id})}"
                )

    def check_journal(self, run: "Run", on_file: "Counter[int]") -> None:
        """Each record that went has exactly one line, and no other record has any."""
        reported = [o.host_id for o in run.outcomes if o.result is Result.DELETED]
        assert sorted(reported) == sorted(run.gone)
        self.gone |= run.gone
        assert on_file == Counter(self.gone)

    def check_caps(self, run: "Run") -> None:
        """No run deletes more than the caps say; small runs together neither, in one hour."""
        now = self.world.now
        count = len(run.gone)
        fleet = len(run.records)
        if run.kind is not Kind.FULL and count:
            count += sum(now - when < HOUR for when in self.gone_at)
        assert count <= self.policy.max_deletions
        floor = 1 if run.kind is Kind.SINGLE else 0
        assert count <= max(self.policy.max_fraction * fleet, floor)
        unproven = {host_id for host_id in run.gone if not run.records[host_id].ends}
        for place in PLACES:
            count = self.account.count_at_once(unproven & self.ids_in(place))
            assert count <= self.policy.max_absent

    def ids_in(self, place: Any) -> set[int]:
        """The ids of the records of the machines that are, or were, in that place."""
        return {m.host.id for m in self.world.machines if m.place == place}

    def shown(self, host_ids: set[int]) -> str:
        """What is known of these records, for the reader of a failure."""
        texts = []
        for machine in self.world.machines:
            if machine.host.id not in host_ids:
                continue
            row = self.world.row(machine) if machine.uuid else None
            hours = (self.world.now - machine.checked_in) / HOUR
            texts.append(
                f"{machine.name} ({machine.host.id}): {machine.uuid} {row and row.status}, "
                f"checked in {hours:.1f}h ago, clone {machine.copied_by}; {machine.host.facts}"
            )
        return "; ".join(texts)


@dataclass
class Run:
    """One run.

    `records`: what is true of all records when it begins; once the plan is made, when it is carried
    out.  `due`, `waited`: the records that have to go, with and without proof.  `gone`: those that
    went.
    """

    kind: Kind
    approved: bool
    records: dict[int, Record]
    plan: Optional[Plan] = None
    outcomes: list[Outcome] = field(default_factory=list)
    refused: bool = False
    due: set[int] = field(default_factory=set)
    waited: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)


@contextmanager
def logged(run: Run, journal: Journal, cleanup: Cleanup) -> Iterator[None]:
    """Note in the journal that the run begins and ends, as the commands do."""
    number = begin_run(
        journal, cleanup.satellite.url, "run", run.kind, SCOPE, "root", cleanup.clock()
    )
    yield
    end_run(
        journal,
        number,
        0,
        cleanup.clock(),
        plan=run.plan,
        complete=run.kind is Kind.FULL,
        outcomes=run.outcomes,
    )
