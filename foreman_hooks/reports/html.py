"""A plan, and what became of it, as one HTML page: for the administrator, the boss, the file
cabinet.

The page needs nothing but itself: its Content-Security-Policy allows its own style and script by
their hashes and nothing else, so what a guest wrote into its facts could not run even if it were
not escaped.
"""

import hashlib
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timezone
from importlib.metadata import version
from typing import Optional

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from foreman_hooks.reports.listings import plain
from foreman_hooks.rules.model import LOUD, UNKNOWN_REASONS, Decision, Outcome, Reason, Verdict
from foreman_hooks.rules.plan import Plan

LIMIT = 1000  # characters of one text; the longest of our own is some 300
LISTED = 500  # rows of the lists on top; the table of all records has the rest
LONG = 1000  # rows from which a table is laid out portion by portion
PORTION = 100  # rows that a browser lays out together; known to report.js and report.css as well
_ORDER = {Decision.DELETE: 0, Decision.WAIT: 1, Decision.KEEP: 2}
_THIN = 5.0  # the narrowest part of the bar, of 1000: one record of 50,000 has to be seen, too


@dataclass(frozen=True)
class Part:
    """One part of the bar of verdicts: how many records, where it begins, and how wide it is, of
    1000.
    """

    decision: str
    reason: str
    look: str
    count: int
    left: float
    width: float


def render(plan: Plan, outcomes: Optional[Sequence[Outcome]] = None) -> str:
    """The page of a plan; with `outcomes`, also of what was done of it."""
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    sources = {
        name: environment.loader.get_source(environment, f"report.{name}")[0]  # type: ignore[union-attr]
        for name in ("css", "js")
    }
    ordered = sorted(
        plan.verdicts,
        key=lambda one: (_ORDER[one.decision], one.reason not in LOUD, one.reason.value, one.name),
    )
    return environment.get_template("report.html.j2").render(
        plan=plan,
        headline=headline(plan, outcomes),
        version=version("satellite-osp-cleanup"),
        made_at=plan.made_at.astimezone(timezone.utc).strftime("%Y/%m/%d %H:%M:%S UTC"),
        counts={decision.value: plan.counts[decision] for decision in Decision},
        doomed=[one for one in ordered if one.decision is Decision.DELETE],
        listed=LISTED,
        results={one.host_id: one for one in outcomes} if outcomes is not None else None,
        loud=[one for one in ordered if one.reason in LOUD],
        parts=list(bar(plan.verdicts)),
        portions=[ordered[start : start + PORTION] for start in range(0, len(ordered), PORTION)],
        long=len(ordered) > LONG,
        looks=_look,
        decisions=[decision.value for decision in _ORDER],
        style=Markup(sources["css"]),
        script=Markup(sources["js"]),  # noqa: S704  ours, and no host's
        style_hash=_hash(sources["css"]),
        script_hash=_hash(sources["js"]),
    )


def headline(plan: Plan, outcomes: Optional[Sequence[Outcome]] = None) -> str:
    """What there is to say in one line."""
    doomed = len(plan.deletions)
    if outcomes is not None:
        return f"{sum(one.result == 'deleted' for one in outcomes):,} of {doomed:,} host records deleted"
    if plan.refusals:
        return "Refused by a guard rail: nothing is deleted"
    if not doomed:
        return "Nothing to delete"
    return f"{doomed:,} of {len(plan.verdicts):,} host records to delete"


def bar(verdicts: Iterable[Verdict]) -> Iterator[Part]:
    """The parts of the bar, in the order of the table: by decision, the larger first; together 1000
    wide.
    """
    counts = Counter((one.decision, one.reason) for one in verdicts)
    total, left = sum(counts.values()), 0.0
    for (decision, reason), count in sorted(
        counts.items(), key=lambda item: (_ORDER[item[0][0]], -item[1])
    ):
        width = _THIN + (1000 - _THIN * len(counts)) * count / total
        yield Part(
            decision.value,
            reason.value,
            _look(decision, reason),
            count,
            round(left, 2),
            round(width, 2),
        )
        left += width


def _look(decision: Decision, reason: Reason) -> str:
    """The class of the style sheet for a verdict."""
    if decision is not Decision.KEEP:
        return decision.value
    return (
        "loud"
        if reason in LOUD
        else "unknown"
        if reason in UNKNOWN_REASONS
        else ("alive" if reason is Reason.ALIVE else "keep")
    )


def _shown(value: object) -> object:
    """Every text of the page without control characters and marks that turn writing round, and none
    without end.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = plain(value)
    return text if len(text) <= LIMIT else f"{text[:LIMIT]}… ({len(text):,} characters)"


def _hash(text: str) -> str:
    """A source of Content-Security-Policy for exactly this text."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
