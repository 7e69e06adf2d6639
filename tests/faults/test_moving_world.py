"""A world that moves under full, quick and single runs: both promises after every run.

First stories, each of one thing that could go wrong; then whatever hypothesis draws.
"""

from collections.abc import Iterator
from typing import Any, Callable, Optional

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from sandbox.satellite import ANSIBLE, PUPPET

from foreman_hooks.cleanup.run import Target
from foreman_hooks.rules.plan import Kind

from .moves import (
    ABSENT,
    EXAMPLES,
    FEW,
    MOVES,
    POLICY,
    SHARE,
    STEPS,
    Moves,
    figures,
)
from .moving import EDGE, ONE, PROTECTION, TWO, Machine
from .trials import SEED, SHARES, SOAK, WrongDeletionError, note

Story = Callable[[Moves], None]
stories: list[Story] = []


def story(function: Story) -> Story:
    """One of the stories."""
    stories.append(function)
    return function


def machines(moves: Moves, place: Any) -> list[Machine]:
    """The living machines of a place that may move."""
    movable = moves.world.machines[len(moves.world.fixed) :]
    return [m for m in movable if m.place == place and m.lives]


def end(moves: Moves, machine: Machine, purge: bool = False) -> str:
    """Its instance ends, and perhaps its row is purged at once; returns the UUID."""
    uuid = machine.uuid
    moves.world.delete(machine)
    if purge:
        moves.world.archive(machine.place, uuid)
    return uuid


def run(
    moves: Moves,
    hours: float,
    kind: Kind = Kind.FULL,
    *,
    target: Optional[Target] = None,
    move: str = "",
    approved: bool = False,
) -> int:
    """A run after so many hours, with a move between plan and apply; how many records went."""
    moves.world.pass_time(hours)
    before = len(moves.gone)
    changes = [(move, 1)] if move else []
    moves.carry_out(kind, target, moves=changes, approved=approved)
    return len(moves.gone) - before


@story
def quiet_ends(moves: Moves) -> None:
    """Before, nothing goes; then it goes, by a full run or a quick one that came by earlier."""
    for kind in (Kind.FULL, Kind.QUICK):
        end(moves, machines(moves, ONE)[0])
        assert run(moves, 0.2, kind) == 0
        assert run(moves, 4.2, kind) == 0
        assert run(moves, 0.2, kind) == 1


@story
def a_quick_run_comes_late(moves: Moves) -> None:
    """What was terminated since the last run goes at once."""
    end(moves, machines(moves, ONE)[0])
    end(moves, machines(moves, EDGE)[0])
    assert run(moves, 5, Kind.QUICK) == 2


@story
def a_single_run_is_about_one(moves: Moves) -> None:
    """The other one stays."""
    first, second = machines(moves, ONE)[:2]
    end(moves, first)
    end(moves, second)
    target = Target(name=first.host.name)
    assert run(moves, 5, Kind.SINGLE, target=target) == 1


@story
def an_off_machine_carries_facts_of_a_dead_one(moves: Moves) -> None:
    """Only its own instance keeps its record, so it has to be asked about, everywhere."""
    for place, status in ((EDGE, "SHUTOFF"), (TWO, "SOFT_DELETED")):
        machine = machines(moves, place)[0]
        moves.world.set_status(machine, status)
        moves.world.pass_time(1)
        dead = end(moves, machines(moves, ONE)[0])
        moves.world.add_facts(machine, PUPPET, **{"dmi::product::uuid": dead})
        assert run(moves, 5) == 1
        cloud = moves.world.clouds[place.cloud]
        cloud.down_cells = {moves.world.row(machine).cell}
        assert run(moves, 1) == 0
        cloud.down_cells = set()
        server = moves.world.server_of(place)
        moves.down = (place,)
        server.fail(f"/compute/{place.region}/", 500)
        assert run(moves, 1) == 0
        server.faults.clear()
        moves.down = ()
    moves.narrow = True  # the last machine is in a region that is not asked any more
    assert run(moves, 1) == 0
    assert run(moves, 1, approved=True) == 0


@story
def two_instances_ended(moves: Moves) -> None:
    """Of all that the facts name, the one that ended last decides."""
    first, second = machines(moves, ONE)[:2]
    end(moves, first)
    moves.world.pass_time(4)
    uuid = end(moves, second)
    moves.world.add_facts(first, PUPPET, uuid=uuid)
    assert run(moves, 1) == 0
    assert run(moves, 4) == 2


@story
def only_another_source_names_the_present_instance(moves: Moves) -> None:
    """The machine is off, and the facts that lead name an instance that ended."""
    machine = machines(moves, ONE)[0]
    machine.loses_facts = True
    moves.world.make_again(machine, TWO)
    moves.world.add_facts(machine, ANSIBLE, ansible_product_uuid=machine.uuid)
    moves.world.set_status(machine, "SHUTOFF")
    assert run(moves, 5) == 0


@story
def a_dead_machine_comes_back_before_its_deletion(moves: Moves) -> None:
    """Its facts name another instance then, and it has checked in."""
    machine = machines(moves, ONE)[0]
    moves.lively = [machine]
    end(moves, machine)
    assert run(moves, 5, move="dead_machine_comes_back") == 0


@story
def a_record_changes_before_its_deletion(moves: Moves) -> None:
    """It is protected, or renamed."""
    for move in ("doomed_is_protected", "record_is_renamed"):
        machine = machines(moves, ONE)[0]
        moves.lively = [machine]
        end(moves, machine)
        assert run(moves, 5, move=move) == 0


@story
def protection_cannot_be_seen(moves: Moves) -> None:
    """So nothing goes, even if nothing is protected."""
    machine = machines(moves, ONE)[0]
    machine.host.parameters = {PROTECTION: "true"}
    end(moves, machine)
    end(moves, machines(moves, ONE)[0])
    moves.become("without parameters")
    assert run(moves, 5) == 0
    moves.become("whole")
    assert run(moves, 1) == 1


@story
def a_machine_lives_on_and_its_facts_do_not_arrive(moves: Moves) -> None:
    """It has two records that name its earlier instance; only its check-ins show that it lives."""
    machine = machines(moves, ONE)[0]
    moves.world.register_again(machine)
    machine.loses_facts = True
    moves.world.make_again(machine, ONE)
    for _ in range(3):
        assert run(moves, 5) == 0


@story
def facts_do_not_arrive_and_rows_are_purged(moves: Moves) -> None:
    """Without proof, too, check-ins keep the record."""
    machine = machines(moves, ONE)[0]
    machine.loses_facts = True
    uuid = machine.uuid
    moves.world.make_again(machine, ONE)
    moves.world.archive(ONE, uuid)
    for _ in range(3):
        assert run(moves, 37) == 0


@story
def a_record_without_proof_waits(moves: Moves) -> None:
    """It goes after three runs and three days, and not earlier."""
    end(moves, machines(moves, ONE)[0], purge=True)
    assert run(moves, 1) == 0
    assert run(moves, 72) == 0  # two runs
    assert run(moves, 1) == 1
    end(moves, machines(moves, ONE)[0], purge=True)
    for _ in range(3):
        assert run(moves, 35) == 0
    assert run(moves, 3) == 1


@story
def doubtful_facts_keep_a_record_without_proof(moves: Moves) -> None:
    """A second UUID, another maker, or a second record of the same instance."""
    first, second, third = machines(moves, ONE)[:3]
    first.dmi = moves.world.new_uuid()
    moves.world.check_in(first)
    moves.world.add_facts(second, ANSIBLE, ansible_system_vendor="VMware, Inc.")
    moves.world.register_again(third)
    run(moves, 1)
    for machine in (first, second, third):
        end(moves, machine, purge=True)
    for _ in range(3):
        assert run(moves, 37, approved=True) == 0


@story
def caps_hold_back_deletions(moves: Moves) -> None:
    """Of one run, and of all small runs of an hour; until somebody lifts them."""
    for _ in range(8):
        moves.world.create(EDGE)
    for _ in range(2):
        end(moves, machines(moves, EDGE)[0])
    moves.world.pass_time(0.5)
    for _ in range(2):
        end(moves, machines(moves, EDGE)[0])
    moves.policy = FEW
    assert run(moves, 4.2, Kind.QUICK) == 2
    assert run(moves, 0.5, Kind.QUICK) == 0  # four in an hour
    assert run(moves, 1, Kind.QUICK) == 2
    for _ in range(5):
        end(moves, machines(moves, EDGE)[0])
    assert run(moves, 5) == 0
    moves.policy = SHARE
    assert run(moves, 0.5) == 0
    assert run(moves, 0.5, approved=True) == 5


@story
def too_many_are_absent_at_once(moves: Moves) -> None:
    """Those without proof stay until somebody lifts the cap."""
    moves.policy = ABSENT
    for _ in range(2):
        end(moves, machines(moves, ONE)[0], purge=True)
    for _ in range(3):
        assert run(moves, 37) == 0
    assert run(moves, 1, approved=True) == 2


@story
def every_move_is_made(moves: Moves) -> None:
    """Between runs, and between a plan and its deletions."""
    changes = [(name, number) for number, name in enumerate(MOVES)]
    moves.world_moves_between_plan_and_apply(changes)
    moves.life_goes_on([(change, 1.0, False) for change in changes[::4]])


@pytest.fixture
def moves() -> Iterator[Moves]:
    """A world after its first run; notes the figures."""
    figures.clear()
    moves = Moves()
    try:
        moves.start(policy=POLICY, fleet=8)
        yield moves
    finally:
        moves.teardown()
        note(figures["decisions"])


@pytest.mark.usefixtures("own_environment")
@pytest.mark.parametrize("story", stories, ids=lambda story: story.__name__)
def test_what_could_go_wrong_in_a_world_that_moves_does_not(
    moves: Moves, story: Story
) -> None:
    story(moves)


@pytest.mark.usefixtures("own_environment")
@pytest.mark.parametrize("share", range(SHARES))
def test_in_a_world_that_moves_only_the_dead_go_and_all_that_are_provable_do(
    share: int,
) -> None:
    figures.clear()
    wrong = lost = 0
    try:
        run_state_machine_as_test(
            seed(SEED * SHARES + share)(Moves),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )
    except WrongDeletionError:
        wrong = 1
        raise
    except AssertionError:
        lost = 1
        raise
    finally:
        note(figures["decisions"], wrong, lost)
    print(sorted(figures.items()))  # with -s
    if SOAK:
        for kind in (Kind.FULL, Kind.QUICK):
            assert figures[f"deletions by {kind.value} runs"]
        assert figures["deletions without proof"]
        assert not [name for name in MOVES if not figures[name]]
