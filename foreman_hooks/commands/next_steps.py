"""What to do after a plan: what to look at, and the next command, whole, to paste."""

from collections.abc import Sequence
from typing import NamedTuple, Optional

from foreman_hooks.commands.app import App
from foreman_hooks.commands.options import AS_CONFIGURED, ScopeOptions
from foreman_hooks.reports import terminal
from foreman_hooks.reports.texts import plain
from foreman_hooks.rules.plan import DIGEST_LENGTH, Plan

PLAN_FILE = "plan.json"  # where a plan is written if nobody named a file


class Step(NamedTuple):
    """A command to go on with, and what it does, as an imperative."""

    purpose: str
    command: Sequence[str]


class NextSteps(NamedTuple):
    """How to go on after a plan.

    `apply`: deletes what the plan says, or comes closer to it; None while that is being done.
    `approve`: lifts the caps, or comes closer to it.
    """

    apply: Optional[Step]
    approve: Step


def plan_in_file(app: App, plan: Plan, path: object) -> NextSteps:
    """The steps after a plan that is in a file."""
    digest = plan.digest[:DIGEST_LENGTH]
    command = app.command("apply", path)
    return NextSteps(
        Step("carry out this plan", command),
        Step("lift the caps for this plan, once", [*command, "--approve", digest]),
    )


def write_plan(app: App, scope: ScopeOptions = AS_CONFIGURED) -> NextSteps:
    """The steps after a plan that is in no file: write one to a file."""
    command = app.command("plan", *scope.words(), "--out", PLAN_FILE)
    return NextSteps(
        Step("write the plan to a file, for 'apply'", command),
        Step("write the plan to a file, to approve it", command),
    )


def after_refusal(app: App, plan: Plan, steps: NextSteps) -> tuple[str, Sequence[str]]:
    """What to look at if guard rails refuse a plan or hold back deletions, and the next command.

    No approval is offered if the plan does not know a region that an earlier run knew: an approval
    would make that normal.
    """
    doctor = app.command("doctor")
    if any(region.error for region in plan.regions):
        look = "A region did not answer, so nobody knows what lives there."
        return f"{look} Examine both sides:", doctor
    if plan.unasked:
        places = ", ".join(plan.unasked)
        look = (
            f"Look at 'clouds' in the configuration: is {places} misspelt or left out by mistake? "
            "If it is gone for good, see --approve in 'apply --help'."
        )
        return f"{look} Examine both sides:", doctor
    count = len(plan.deletions) if plan.refusals else len(plan.held)
    records = "the record" if count == 1 else f"each of the {count} records"
    look = f"Look at {records}: was its instance terminated on purpose?"
    if plan.shrunk:
        look = "Look for the missing servers: were they all terminated on purpose?"
    return f"{look} If so, {steps.approve.purpose}:", steps.approve.command


def after_plan(app: App, plan: Plan, steps: NextSteps) -> Optional[Step]:
    """The next step after a plan that no guard rail refuses; None if there is nothing to do."""
    if any(region.error for region in plan.regions):
        return Step("find out why a region did not answer", app.command("doctor"))
    if len(plan.deletions) > len(plan.held):
        return steps.apply
    for verdict in terminal.attention(plan):
        name = plain(verdict.name)
        return Step(f"see why {name} needs attention", app.command("explain", name))
    return None
