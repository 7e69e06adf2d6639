"""The lists of the HTML report as values: what is deleted, what needs attention, what waits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Optional

from foreman_hooks.reports.listings import Outcomes
from foreman_hooks.reports.overview import css_class
from foreman_hooks.reports.pictures import Strip, strip
from foreman_hooks.rules.model import Outcome, Result, Verdict
from foreman_hooks.rules.plan import Plan

LISTED = 1000  # rows of a list; the table of all records has the others


class Line(NamedTuple):
    """One record in a list.

    `result`: what became of its deletion; "" if nothing was applied.  `problem`: why it was not
    deleted, or needs an approval; "" if nothing is against it.
    """

    verdict: Verdict
    result: str
    problem: str
    strip: Optional[Strip]


@dataclass(frozen=True)
class PageList:
    """The records on which people want to look first: all of one class of the style sheet.

    `records`: how many there are, of which the first have lines.  `applied`: its lines have a
    result.
    """

    css_class: str
    title: str
    introduction: str
    lines: Sequence[Line]
    records: int
    applied: bool


def page_lists(
    plan: Plan, verdicts: Sequence[Verdict], outcomes: Outcomes
) -> Iterator[PageList]:
    """The lists of a plan that are not empty; `verdicts`: those of the plan, in order."""
    by_class: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        name = css_class(verdict.decision, verdict.reason)
        by_class.setdefault(name, []).append(verdict)
    by_host = {outcome.host_id: outcome for outcome in outcomes or ()}
    for name, (title, introduction) in _titles(plan, outcomes).items():
        own = by_class.get(name)
        if not own:
            continue
        applied = outcomes is not None and name == "delete"
        lines = [
            _line(plan, verdict, by_host.get(verdict.host_id), applied)
            for verdict in own[:LISTED]
        ]
        yield PageList(name, title, introduction, lines, len(own), applied)


def _titles(plan: Plan, outcomes: Outcomes) -> Mapping[str, tuple[str, str]]:
    """Class of the style sheet -> title and introduction of its list."""
    deletions = "What is to be deleted"
    if outcomes is not None:
        deletions = "What became of the deletions"
    elif plan.refusals:
        deletions = "What would be deleted"
    return {
        "delete": (deletions, ""),
        "attention": (
            "What needs attention",
            "The servers contradict each other about these records, or something has to be "
            "configured first. None of them is deleted until then.",
        ),
        "wait": (
            "What waits",
            "A later run can delete these records, if nothing speaks against it by then.",
        ),
    }


def _line(
    plan: Plan,
    verdict: Verdict,
    outcome: Optional[Outcome],
    applied: bool,
) -> Line:
    result = ""
    problem = ""
    if applied:
        result = outcome.result.value if outcome else "not reached"
        if outcome and outcome.result is not Result.DELETED:
            problem = outcome.detail
    elif verdict.host_id in plan.held:
        problem = f"needs an approval: {plan.held[verdict.host_id]}"
    return Line(verdict, result, problem, strip(verdict, outcome, plan.made_at))
