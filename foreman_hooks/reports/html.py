"""The HTML report: a plan and its outcomes on one page, for people to read, sort and keep."""

from foreman_hooks.cleanup.past import NO_PAST, Past
from foreman_hooks.reports import overview
from foreman_hooks.reports.listings import ORDER, Outcomes
from foreman_hooks.reports.page import LONG, fill, portions
from foreman_hooks.reports.page_lists import page_lists
from foreman_hooks.reports.pictures import MARKS, leftovers_picture, weeks_picture
from foreman_hooks.rules.model import NEEDS_ATTENTION, Result, Verdict
from foreman_hooks.rules.plan import DIGEST_LENGTH, Plan
from foreman_hooks.times import hammer_time


def render(plan: Plan, outcomes: Outcomes = None, past: Past = NO_PAST) -> str:
    """The HTML report of a plan; with `outcomes`, also of what became of its deletions.

    `past`: what the journal says of the last year; without it, the page has no pictures of it.
    """
    verdicts = sorted(plan.verdicts, key=_position)
    return fill(
        "report.html.j2",
        plan=plan,
        headline=overview.headline(plan, outcomes),
        made_at=hammer_time(plan.made_at),
        digest=plan.digest[:DIGEST_LENGTH],
        groups=overview.groups(plan, outcomes),
        failed=[region for region in plan.regions if region.error],
        causes=overview.causes(plan),
        lists=list(page_lists(plan, verdicts, outcomes)),
        marks=MARKS,
        weeks=weeks_picture(past),
        leftovers=leftovers_picture(past),
        portions=list(portions(verdicts)),
        long=plan.hosts > LONG,
        css_class=overview.css_class,
        gone=_gone(outcomes),
    )


# The table of every record


def _position(verdict: Verdict) -> tuple[int, bool, str, str]:
    """Where the table has a verdict: by decision, what needs attention first."""
    return (
        ORDER.index(verdict.decision),
        verdict.reason not in NEEDS_ATTENTION,
        verdict.reason.value,
        verdict.name,
    )


def _gone(outcomes: Outcomes) -> frozenset[int]:
    """The ids of the hosts that were deleted, so that Satellite has no page of them."""
    return frozenset(
        outcome.host_id
        for outcome in outcomes or ()
        if outcome.result is Result.DELETED
    )
