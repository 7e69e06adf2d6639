"""The HTML report: a plan and its outcomes on one page, for people to read, sort and keep.

The page loads nothing else: its Content-Security-Policy allows only its own style and
script, by their hashes, so text that a guest put into its facts could not run even if it were
not escaped.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Optional

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from foreman_hooks.reports.listings import ORDER, Outcomes, count_reasons
from foreman_hooks.reports.texts import plain
from foreman_hooks.rules.model import (
    NEEDS_ATTENTION,
    UNKNOWN_REASONS,
    Decision,
    Outcome,
    Reason,
    Result,
    Verdict,
)
from foreman_hooks.rules.plan import Plan
from foreman_hooks.times import hammer_time

LIMIT = 1000  # characters of one text; the longest of our own has about 300
LISTED = 500  # rows of the lists on top; the table of all records has the others
LONG = 1000  # a table with more rows is laid out in portions
PORTION = 100  # rows that a browser lays out together; also in report.js and report.css
_BAR = 1000  # the width of the bar of verdicts
_THINNEST = 5.0  # the least width of a part: 1 record of 50,000 has to be visible


@dataclass(frozen=True)
class Part:
    """One part of the bar of verdicts: how many records, its left edge and its width."""

    decision: str
    reason: str
    css_class: str
    count: int
    left: float
    width: float


def render(plan: Plan, outcomes: Outcomes = None) -> str:
    """The HTML report of a plan; with `outcomes`, also of what became of its deletions."""
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    style = _source(environment, "report.css")
    script = _source(environment, "report.js")
    verdicts = sorted(plan.verdicts, key=_position)
    return environment.get_template("report.html.j2").render(
        plan=plan,
        headline=headline(plan, outcomes),
        version=version("satellite-osp-cleanup"),
        made_at=f"{hammer_time(plan.made_at)} UTC",
        counts={decision.value: plan.counts[decision] for decision in Decision},
        deletions=[
            verdict for verdict in verdicts if verdict.decision is Decision.DELETE
        ],
        outcomes=_by_host(outcomes),
        attention=[
            verdict for verdict in verdicts if verdict.reason in NEEDS_ATTENTION
        ],
        listed=LISTED,
        parts=list(bar(plan.verdicts)),
        portions=list(_portions(verdicts)),
        long=len(verdicts) > LONG,
        css_class=_css_class,
        decisions=[decision.value for decision in ORDER],
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _source(environment: Environment, name: str) -> Markup:
    """Our own style sheet or script, which contains no text of a host."""
    assert environment.loader
    text, _, _ = environment.loader.get_source(environment, name)
    return Markup(text)  # noqa: S704


def _position(verdict: Verdict) -> tuple[int, bool, str, str]:
    """Where the table has a verdict: by decision, what needs attention first."""
    return (
        ORDER.index(verdict.decision),
        verdict.reason not in NEEDS_ATTENTION,
        verdict.reason.value,
        verdict.name,
    )


def _by_host(outcomes: Outcomes) -> Optional[dict[int, Outcome]]:
    """Host id -> outcome; None if nothing was applied."""
    if outcomes is None:
        return None
    return {outcome.host_id: outcome for outcome in outcomes}


def _portions(verdicts: Sequence[Verdict]) -> Iterator[Sequence[Verdict]]:
    for start in range(0, len(verdicts), PORTION):
        yield verdicts[start : start + PORTION]


def headline(plan: Plan, outcomes: Outcomes = None) -> str:
    """The report in one line."""
    planned = len(plan.deletions)
    if outcomes is not None:
        deleted = sum(outcome.result == Result.DELETED for outcome in outcomes)
        return f"{deleted:,} of {planned:,} host records deleted"
    if plan.refusals:
        return "Refused by a guard rail: nothing is deleted"
    if not planned:
        return "Nothing to delete"
    return f"{planned:,} of {len(plan.verdicts):,} host records to delete"


def bar(verdicts: Iterable[Verdict]) -> Iterator[Part]:
    """The parts of the bar of verdicts, by decision, the larger first; together 1000 wide."""
    rows = count_reasons(verdicts)
    total = sum(row.records for row in rows)
    to_share = _BAR - _THINNEST * len(rows)
    left = 0.0
    for row in rows:
        width = _THINNEST + to_share * row.records / total
        yield Part(
            row.decision.value,
            row.reason.value,
            _css_class(row.decision, row.reason),
            row.records,
            round(left, 2),
            round(width, 2),
        )
        left += width


def _css_class(decision: Decision, reason: Reason) -> str:
    """The class of the style sheet for a verdict."""
    if decision is not Decision.KEEP:
        return decision.value
    if reason in NEEDS_ATTENTION:
        return "attention"
    if reason in UNKNOWN_REASONS:
        return "unknown"
    return "alive" if reason is Reason.ALIVE else "keep"


def _shown(value: object) -> object:
    """A text as the page shows it: cut if very long, without control or bidirectional marks."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = plain(value)
    if len(text) <= LIMIT:
        return text
    return f"{text[:LIMIT]}… ({len(text):,} characters)"


def _hash(text: str) -> str:
    """The source in a Content-Security-Policy that allows exactly this text."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{b64encode(digest).decode()}'"
