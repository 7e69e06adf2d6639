"""The top of the HTML report as values: its headline, and the numbers of its verdicts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from foreman_hooks.reports.listings import Outcomes, count_reasons
from foreman_hooks.rules.model import (
    NEEDS_ATTENTION,
    UNKNOWN_REASONS,
    Decision,
    Outcome,
    Reason,
    Result,
    count_deleted,
)
from foreman_hooks.rules.plan import Plan

_EXAMPLES = 5  # causes of what could not be known
_BAR = 1000  # the width of the bar of verdicts
_THINNEST = 5.0  # the least width of a part: 1 record of 50,000 has to be visible
# Class of the style sheet -> what its records are, in the order of the bar.
_GROUPS = {
    "delete": "to delete",
    "wait": "waiting",
    "attention": "need attention",
    "unknown": "not known",
    "alive": "instance exists",
    "keep": "kept otherwise",
}


def css_class(decision: Decision, reason: Reason) -> str:
    """The class of the style sheet for a verdict."""
    if decision is not Decision.KEEP:
        return decision.value
    if reason in NEEDS_ATTENTION:
        return "attention"
    if reason in UNKNOWN_REASONS:
        return "unknown"
    return "alive" if reason is Reason.ALIVE else "keep"


# The headline


def headline(plan: Plan, outcomes: Outcomes = None) -> str:
    """The report in one line, which says so if something could not be known."""
    failed = sum(region.error is not None for region in plan.regions)
    if outcomes is not None:
        text = _result(plan, outcomes)
    elif plan.refusals:
        return "Refused by a guard rail: nothing is deleted"
    elif plan.deletions:
        text = _planned(plan)
    elif plan.regions and failed == len(plan.regions):
        return "Nothing could be decided: OpenStack did not answer"
    elif plan.unknown and plan.unknown == plan.hosts:
        return "Nothing could be decided: nothing could be learned about any record"
    else:
        text = "Nothing to delete"
    if plan.unknown:
        text += f"; {plan.unknown:,} could not be known"
    elif failed:
        text += f"; {failed} of {len(plan.regions)} regions did not answer"
    return text


def _planned(plan: Plan) -> str:
    text = f"{len(plan.deletions):,} of {plan.hosts:,} host records to delete"
    if plan.held:
        text += f", {len(plan.held):,} of them held back"
    return text


def _result(plan: Plan, outcomes: Sequence[Outcome]) -> str:
    counts = Counter(outcome.result for outcome in outcomes)
    text = f"{counts[Result.DELETED]:,} of {len(plan.deletions):,} host records deleted"
    for result in (Result.FAILED, Result.UNFINISHED):
        if counts[result]:
            text += f", {counts[result]:,} {result}"
    return text


def causes(plan: Plan) -> list[tuple[str, int]]:
    """Why nothing could be learned about records, and about how many: the most frequent causes.

    A region that did not answer is not repeated here.
    """
    errors = [str(region.error) for region in plan.regions if region.error]
    counter: Counter[str] = Counter()
    for verdict in plan.verdicts:
        if verdict.reason not in UNKNOWN_REASONS:
            continue
        if not any(error in verdict.detail for error in errors):
            counter[f"{verdict.reason.value}: {verdict.detail}"] += 1
    return counter.most_common(_EXAMPLES)


# The numbers


@dataclass(frozen=True)
class Part:
    """One part of the bar of verdicts: how many records, its left edge and its width."""

    decision: str
    reason: str
    css_class: str
    records: int
    left: float
    width: float


@dataclass(frozen=True)
class Group:
    """The records of one class of the style sheet, and the parts of the bar that they are."""

    css_class: str
    label: str
    parts: tuple[Part, ...]

    @property
    def records(self) -> int:
        """How many they are; the groups together are all records."""
        return sum(part.records for part in self.parts)


def groups(plan: Plan, outcomes: Outcomes = None) -> list[Group]:
    """Every group, also an empty one, in the order of the bar; each reason is a part."""
    labels = {**_GROUPS, "delete": _deletions_label(plan, outcomes)}
    parts = tuple(_bar(plan))
    rows = []
    for name, label in labels.items():
        own = tuple(part for part in parts if part.css_class == name)
        rows.append(Group(name, label, own))
    return rows


def _deletions_label(plan: Plan, outcomes: Outcomes) -> str:
    """What the records with the verdict delete are called."""
    if outcomes is not None:
        return f"to delete; {count_deleted(outcomes):,} deleted"
    if plan.refusals:
        return "would be deleted"
    return _GROUPS["delete"]


def _bar(plan: Plan) -> Iterator[Part]:
    """The parts of the bar of verdicts, by group, the larger first; together 1000 wide."""
    rows = count_reasons(plan)
    order = list(_GROUPS)
    rows.sort(key=lambda row: order.index(css_class(row.decision, row.reason)))
    to_share = _BAR - _THINNEST * len(rows)
    left = 0.0
    for row in rows:
        width = _THINNEST + to_share * row.records / plan.hosts
        yield Part(
            row.decision.value,
            row.reason.value,
            css_class(row.decision, row.reason),
            row.records,
            round(left, 2),
            round(width, 2),
        )
        left += width
