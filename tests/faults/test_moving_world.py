"""A world that moves under full, quick and single runs: both promises after every run.

No record that a living machine uses goes, and every provable termination goes in the first run
after 'quiet'; what waits goes within its grace period and misses; the journal accounts for all.
"""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Optional

import pytest
from conftest import Stage
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from sandbox.satellite import User

from foreman_hooks.cleanup.run import Target
from foreman_hooks.cleanup.run_log import begin_run, end_run
from foreman_hooks.osp_checker.uuids import both_orders, parse_uuid
from foreman_hooks.rules.model import Outcome, Policy, Result
from foreman_hooks.rules.plan import Kind, Plan
from foreman_hooks.satellite.times import parse_time

from .moving import HOUR, REGIONS, UP, Machine, MovingWorld
from .trials import SEED, SOAK, WrongDeletionError, note

FLEET = 150 if SOAK else 10  # machines in the beginning
EXAMPLES, STEPS = (60, 120) if SOAK else (12, 25)
POLICY = Policy(max_fraction=1.0, max_deletions=10_000, max_absent=10_000)
QUIET = POLICY.quiet.total_seconds()
STATUSES = ("SHUTOFF", "SHELVED_OFFLOADED", "ERROR", "PAUSED", "SOFT_DELETED", UP)
LIMITED = ("view_hosts", "view_facts", "destroy_hosts")

numbers = st.integers(min_value=0, max_value=10**6)
figures = {"decisions": 0, "runs": 0, "deletions": 0}


class Moves(RuleBasedStateMachine):
    """What may happen, and the runs in between."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(TemporaryDirectory()))
        patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        self.stage = Stage(folder, self._stack, patch)
        self.world = MovingWorld(self.stage)
        self.blind = False  # the login does not see parameters
        self.down: Optional[str] = None  # the region that does not answer
        self.last_good: Optional[float] = None  # when a run last read all regions
        self.absent_since: dict[int, float] = {}

    def teardown(self) -> None:
        """Stop both servers."""
        self._stack.close()

    @initialize(swapped=st.booleans())
    def start(self, swapped: bool) -> None:
        """A fleet, and a first run."""
        for number in range(FLEET):
            region = REGIONS[number % len(REGIONS)]
            self.world.create(region, swapped and number == 0)
        self.world.pass_time(5)
        self.full_run()

    # Machines

    def pick(self, number: int, status: str = "") -> Optional[Machine]:
        """A living machine without a clone, perhaps one with that status."""
        candidates = [
            machine
            for machine in self.world.machines
            if machine.lives and not machine.copied_by
        ]
        if status:
            candidates = [m for m in candidates if self.world.row(m).status == status]
        return candidates[number % len(candidates)] if candidates else None

    @rule(number=numbers)
    def machine_comes(self, number: int) -> None:
        """A new instance."""
        self.world.create(REGIONS[number % 2], swapped=number % 7 == 0)

    @rule(number=numbers, count=st.integers(1, 4))
    def machines_go(self, number: int, count: int) -> None:
        """Instances are deleted."""
        for offset in range(count):
            machine = self.pick(number + offset)
            if machine:
                self.world.delete(machine)

    @rule(number=numbers, status=st.sampled_from(STATUSES))
    def status_changes(self, number: int, status: str) -> None:
        """An instance is stopped, shelved, soft-deleted, restored, started."""
        machine = self.pick(number)
        # One that never spoke since it was made cannot be told from the instance before it.
        if machine and machine.has_spoken:
            self.world.set_status(machine, status)

    @rule(number=numbers, elsewhere=st.booleans())
    def machine_is_made_again(self, number: int, elsewhere: bool) -> None:
        """From the same disk, under another UUID."""
        machine = self.pick(number, UP)
        if machine:
            place = REGIONS.index(machine.region)
            self.world.rebirth(machine, REGIONS[(place + elsewhere) % 2])

    @rule(number=numbers)
    def clone_comes(self, number: int) -> None:
        """An image of a running machine boots, and checks in as the original."""
        machine = self.pick(number, UP)
        if machine:
            self.world.clone(machine)

    @rule(number=numbers, registers=st.booleans())
    def clone_changes(self, number: int, registers: bool) -> None:
        """A clone registers as itself, or is deleted."""
        originals = [m for m in self.world.machines if m.copied_by]
        if not originals:
            return
        machine = originals[number % len(originals)]
        if registers:
            self.world.clone_registers(machine)
        else:
            self.world.clone_goes(machine)

    @rule(number=numbers)
    def machine_registers_again(self, number: int) -> None:
        """It has two records then."""
        machine = self.pick(number, UP)
        if machine:
            self.world.register_again(machine)

    @rule(number=numbers, other=numbers)
    def old_facts_come_up(self, number: int, other: int) -> None:
        """Another source names an instance that was, or is, somebody else's."""
        machine = self.pick(number)
        rows = sorted(self.stage.openstack.instances[REGIONS[other % 2]])
        if machine:
            self.world.add_old_facts(machine, rows[other % len(rows)])

    @rule(number=numbers)
    def record_is_renamed(self, number: int) -> None:
        """Somebody renames a record."""
        machine = self.pick(number)
        if machine:
            self.world.serial += 1
            machine.host.name = f"renamed-{self.world.serial}.example.com"

    @rule(number=numbers)
    def rows_are_archived(self, number: int) -> None:
        """The operator archives some deleted rows."""
        rows = self.stage.openstack.instances[REGIONS[number % 2]]
        dead = sorted(uuid for uuid, row in rows.items() if row.terminated)
        for uuid in dead[: number % 3]:
            self.stage.openstack.archive(REGIONS[number % 2], uuid)

    # The servers

    @rule(region=st.sampled_from((*REGIONS, "")))
    def region_goes_down_or_comes_back(self, region: str) -> None:
        """Nova of a region gives a 500, or all answer again."""
        self.stage.osp.faults.clear()
        self.down = region or None
        if region:
            self.stage.osp.fail(f"/compute/{region}/", 500)

    @rule(down=st.booleans())
    def cell_goes_down_or_comes_back(self, down: bool) -> None:
        """Lists skip a cell that is down, and say nothing."""
        self.stage.openstack.down_cells = {"cell1"} if down else set()

    @rule(blind=st.booleans())
    def role_changes(self, blind: bool) -> None:
        """The login loses view_params, or has it again."""
        self.blind = blind
        permissions = frozenset(LIMITED) if blind else None
        self.stage.satellite.users["admin"] = User(
            "admin", "changeme", permissions=permissions
        )

    @rule(hours=st.sampled_from([0.2, 1.0, 3.5, 5.0, 13.0, 30.0]))
    def time_passes(self, hours: float) -> None:
        """Running machines check in every four hours."""
        self.world.pass_time(hours)
        self.stage._now = self.world.moment

    # Runs

    @property
    def is_sound(self) -> bool:
        """Whether every server answers, and shows everything."""
        return not (self.down or self.stage.openstack.down_cells or self.blind)

    @rule()
    def full_run(self) -> None:
        """Over all hosts, with deletions."""
        self.carry_out(Kind.FULL)

    @rule()
    def quick_run(self) -> None:
        """Over the instances that were deleted since; a full run if that is due."""
        self.carry_out(Kind.QUICK)

    @rule(number=numbers)
    def single_run(self, number: int) -> None:
        """For one host."""
        if self.world.machines:
            machine = self.world.machines[number % len(self.world.machines)]
            if self.world.is_listed(machine):
                self.carry_out(Kind.SINGLE, Target(name=machine.host.name))

    @rule(hours=st.sampled_from([0.0, 1.0, 5.0]), number=numbers)
    def world_moves_between_plan_and_apply(self, hours: float, number: int) -> None:
        """A machine is made again, and time passes, before the plan is carried out."""

        def move() -> None:
            self.machine_is_made_again(number, False)
            self.status_changes(number, "SHUTOFF")
            self.time_passes(hours)

        self.carry_out(Kind.FULL, move=move)

    def carry_out(
        self, kind: Kind, target: Optional[Target] = None, move: Any = None
    ) -> None:
        """One run with deletions, and everything that must be true after it."""
        self.stage._now = self.world.moment
        before = set(self.stage.satellite.hosts)
        due = set() if move else self.provable(kind)
        with self.stage.journal() as journal:
            cleanup = self.stage.cleanup(journal, POLICY, regions=REGIONS)
            if kind is Kind.QUICK and cleanup.needs_full_run():
                kind = Kind.FULL
            url, at = cleanup.satellite.url, self.world.moment
            number = begin_run(journal, url, "run", kind, "all hosts", "root", at)
            if target:
                plan = cleanup.plan_one(target)
            else:
                plan = cleanup.plan_quick() if kind is Kind.QUICK else cleanup.plan()
            end_run(journal, number, 0, at, plan=plan, complete=kind is Kind.FULL)
            if move:
                move()
            outcomes: list[Outcome] = []
            if not plan.refusals:
                outcomes = list(cleanup.apply(plan))
            on_file = {row.host_id: row.result for row in journal.deletions()}
        self.count(plan, outcomes)
        gone = before - set(self.stage.satellite.hosts)
        self.check(gone, outcomes, on_file)
        if self.is_sound and kind is not Kind.SINGLE and not plan.refusals:
            missed = due - gone
            assert not missed, f"a provable termination stayed: {self.names(missed)}"
        all_answer = not self.down and not self.stage.openstack.down_cells
        if all_answer and kind is not Kind.SINGLE:
            self.last_good = self.world.now

    def count(self, plan: Plan, outcomes: list[Outcome]) -> None:
        """Add to the figures."""
        figures["decisions"] += sum(plan.counts.values())
        figures["runs"] += 1
        figures["deletions"] += len(outcomes)

    def check(
        self, gone: set[int], outcomes: list[Outcome], on_file: dict[int, Any]
    ) -> None:
        """No living machine's record went, and all that went is on file."""
        wrong = gone & self.world.living_hosts()
        if wrong:
            raise WrongDeletionError(
                f"a living machine's record went: {self.shown(wrong)}"
            )
        deleted = {o.host_id for o in outcomes if o.result is Result.DELETED}
        assert deleted == gone
        for host_id in gone:
            assert on_file[host_id] == "deleted"
        for host_id, result in on_file.items():
            assert result != "deleted" or host_id not in self.stage.satellite.hosts

    def names(self, host_ids: set[int]) -> list[str]:
        """The machines of these records."""
        return [m.name for m in self.world.machines if m.host.id in host_ids]

    def shown(self, host_ids: set[int]) -> str:
        """What is known of these records, for the reader of a failure."""
        texts = []
        for machine in self.world.machines:
            if machine.host.id not in host_ids:
                continue
            row = self.world.row(machine) if machine.uuid else None
            hours = (self.world.now - machine.checked_in) / HOUR
            texts.append(
                f"{machine.name}: {machine.uuid} {row and row.status}, checked in {hours:.1f}h "
                f"ago, clone {machine.copied_by}; facts {sorted(_uuids(machine.host))}"
            )
        return "; ".join(texts)

    def provable(self, kind: Kind) -> set[int]:
        """The records that have to go now: all that they name is proven terminated, and silent."""
        rows: dict[str, Optional[float]] = {}
        for region in REGIONS:
            for uuid, row in self.stage.openstack.instances[region].items():
                rows[uuid] = row.terminated
        named = {
            host.id: both_orders(_uuids(host)) & rows.keys()
            for host in self.stage.satellite.hosts.values()
        }
        due: set[int] = set()
        for host in self.stage.satellite.hosts.values():
            ends = [rows[uuid] for uuid in named[host.id]]
            if not ends or None in ends or len(ends) < len(_uuids(host)):
                continue
            latest = max(end for end in ends if end)
            sharing = [i for i, uuids in named.items() if uuids & named[host.id]]
            signs = [_checked_in(self.stage.satellite.hosts[i]) for i in sharing]
            if max(signs) > latest or self.world.now < latest + QUIET + 60:
                continue
            if kind is Kind.QUICK and not self.was_seen(latest):
                continue
            due.add(host.id)
        return due

    def was_seen(self, end: float) -> bool:
        """Whether a quick run has to find a termination: it was after the last good run."""
        return (
            self.last_good is not None
            and end > self.last_good
            and self.world.now - end < 47 * HOUR
        )


def _uuids(host: Any) -> set[str]:
    names = ("virt::uuid", "dmi::system::uuid", "ansible_product_uuid")
    uuids = set()
    for facts in host.facts.values():
        for name in names:
            uuid = parse_uuid(facts.get(name) or "")
            if uuid:
                uuids.add(uuid)
    return uuids


def _checked_in(host: Any) -> float:
    when = parse_time(host.subscription["last_checkin"])
    assert when
    return when.timestamp()


@pytest.mark.usefixtures("own_environment")
def test_in_a_world_that_moves_only_the_dead_go_and_all_that_are_provable_do() -> None:
    figures.update(decisions=0, runs=0, deletions=0)
    run_state_machine_as_test(
        seed(SEED)(Moves),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
    assert figures["deletions"] > 0
    note(figures["decisions"])
