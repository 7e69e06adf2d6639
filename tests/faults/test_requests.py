"""A fault at every request of a run that deletes: nothing goes wrong, and nothing is lost."""

import os
from typing import Any

import pytest
from conftest import Stage
from sandbox.server import Answer
from sandbox.server import Fault as Injected

from .faults import FAULTS, Fault
from .scene import (
    Target,
    build,
    check_all_done,
    check_nothing_wrong,
    check_words,
    pattern,
    servers,
    targets,
)

SOAK = bool(os.environ.get("SOAK"))
SHARES = 16  # of the work, so that several processes can do it


def inject(stage: Stage, target: Target, fault: Fault) -> Injected:
    how: dict[str, Any] = {"change": fault.change}
    answer = None
    if not fault.acts:
        how = {}
        answer = fault.change(Answer(0))
        assert isinstance(answer, Answer)
    made = servers(stage)[target.server].fail(
        pattern(target), skip=target.earlier, times=1, **how
    )
    made.answer = answer
    return made


def run_with(stage: Stage, call: Any, target: Target, fault: Fault) -> None:
    """One run with the fault, then one without."""
    build(stage)
    config = stage.config(policy={"max_fraction": 1.0})
    if fault.is_endless:
        config = stage.config(policy={"max_fraction": 1.0}, deadline="1s")
    struck = inject(stage, target, fault)
    code, out, err = call("--config", config, "run", "--apply")
    assert struck.hits > target.earlier, "the request was never sent"
    check_nothing_wrong(stage)
    check_words(code, out, err)
    for server in servers(stage).values():
        server.faults.clear()
    config = stage.config(policy={"max_fraction": 1.0})
    code, _, err = call("--config", config, "run", "--apply")
    check_nothing_wrong(stage)
    check_all_done(stage, code, err)


def pairs(all_targets: list[Target]) -> list[tuple[Target, Fault]]:
    """Which request meets which fault: all with all in the long form, else each once."""
    if SOAK:
        return [(target, fault) for target in all_targets for fault in FAULTS]
    chosen = []
    for number in range(max(len(all_targets), len(FAULTS))):
        target = all_targets[number % len(all_targets)]
        fault = FAULTS[number * 7 % len(FAULTS)]
        chosen.append((target, fault))
    return chosen


@pytest.mark.parametrize("share", range(SHARES))
def test_a_fault_at_any_request_deletes_no_living_machine_and_loses_nothing(
    stage: Stage, call: Any, waited: list[float], share: int
) -> None:
    build(stage)
    call("--config", stage.config(policy={"max_fraction": 1.0}), "run", "--apply")
    all_targets = targets(stage)
    assert len(all_targets) > 60
    wrong = []
    for target, fault in pairs(all_targets)[share::SHARES]:
        try:
            run_with(stage, call, target, fault)
        except AssertionError as error:
            wrong.append(f"{fault.name} at {target}: {str(error)[:300]}")
    assert wrong == []
