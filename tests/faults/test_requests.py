"""A fault at every request of a run that deletes: nothing goes wrong, and nothing is lost."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from conftest import Stage
from sandbox.server import Answer
from sandbox.server import Fault as Injected

from .faults import FAULTS, Fault, end_answers
from .scene import (
    Snapshot,
    Target,
    build,
    check_all_done,
    check_nothing_wrong,
    check_words,
    pattern,
    servers,
    targets,
)
from .trials import SOAK, chosen, try_all

SHARES = 8 if SOAK else 2
APPLY = ["run", "--apply"]
# The first one is enough, unless the machine is busy with other things.
DEADLINES = ("1s", "10s", "60s")
# An answer to a deletion that says too much, too little, or nothing.
TREACHEROUS = {
    "200 {}",
    "404 of a host",
    "204",
    "500 after",
    "504 after",
    "reset after",
}


class Pair(NamedTuple):
    """A request, and the fault that it meets."""

    target: Target
    fault: Fault

    def __str__(self) -> str:
        return f"{self.fault.name} at {self.target}"


def inject(stage: Stage, pair: Pair) -> Injected:
    target, fault = pair
    server = servers(stage)[target.server]

    def change(answer: Answer) -> Any:
        if fault.goes_down:
            server.fail("", reset=True)  # on connections that are open
            server.stop()
        return fault.change(answer)

    return server.fail(
        pattern(target), skip=target.earlier, times=1, change=change, acts=fault.acts
    )


def run_with(before: Snapshot, stage: Stage, call: Any, pair: Pair) -> None:
    """One run with the fault, then one without."""
    for deadline in DEADLINES if pair.fault.is_endless else ("1h",):
        before.restore()
        config = stage.config(policy={"max_fraction": 1.0}, deadline=deadline)
        struck = inject(stage, pair)
        code, out, err = call("--config", config, *APPLY)
        if pair.fault.goes_down:
            servers(stage)[pair.target.server].restart()
        check_nothing_wrong(stage)
        check_words(code, out, err)
        assert code != 70, err
        if struck.hits > pair.target.earlier:
            break
    assert struck.hits > pair.target.earlier, "the request was never sent"
    for server in servers(stage).values():
        server.faults.clear()
    config = stage.config(policy={"max_fraction": 1.0})
    code, _, err = call("--config", config, *APPLY)
    check_nothing_wrong(stage)
    check_all_done(stage, code, err)


def pairs(all_targets: Sequence[Target]) -> list[Pair]:
    """Which request meets which fault: all meet all in the long form, else half of the faults one.

    The first deletion meets some more.
    """
    if SOAK:
        return [Pair(target, fault) for target in all_targets for fault in FAULTS]
    half = chosen(FAULTS, len(FAULTS) // 2)
    some = map(Pair, chosen(all_targets, len(half)), half)
    deletion = next(t for t in all_targets if t.line.startswith("DELETE"))
    treacherous = [fault for fault in FAULTS if fault.name in TREACHEROUS]
    return [*some, *(Pair(deletion, fault) for fault in treacherous)]


@pytest.mark.parametrize("share", range(SHARES))
def test_a_fault_at_any_request_deletes_no_living_machine_and_loses_nothing(
    stage: Stage, call: Any, waited: list[float], share: int
) -> None:
    build(stage)
    before = Snapshot(stage)
    call("--config", stage.config(policy={"max_fraction": 1.0}), *APPLY)
    all_targets = targets(stage)
    assert len(all_targets) > 60

    def try_it(pair: Pair) -> None:
        run_with(before, stage, call, pair)

    try:
        try_all(pairs(all_targets)[share::SHARES], try_it)
    finally:
        end_answers()
