"""The HTML report: a plan and its outcomes on one page, for people to read, sort and keep.

The page loads nothing else: its Content-Security-Policy allows only its own style and
script, by their hashes, so text that a guest put into its facts could not run even if it were
not escaped.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from foreman_hooks.cleanup.past import NO_PAST, Past
from foreman_hooks.reports import overview
from foreman_hooks.reports.listings import ORDER, Outcomes
from foreman_hooks.reports.page_lists import page_lists
from foreman_hooks.reports.pictures import MARKS, leftovers_picture, weeks_picture
from foreman_hooks.reports.texts import plain
from foreman_hooks.rules.model import NEEDS_ATTENTION, Result, Verdict
from foreman_hooks.rules.plan import DIGEST_LENGTH, Plan
from foreman_hooks.times import hammer_time

LIMIT = 1000  # characters of one text; the longest of our own has about 300
FIRST = 20  # rows of a list that are shown at once
LONG = 1000  # a table with more rows is laid out in portions
PORTION = 100  # rows that a browser lays out together; also in report.js and report.css


def render(plan: Plan, outcomes: Outcomes = None, past: Past = NO_PAST) -> str:
    """The HTML report of a plan; with `outcomes`, also of what became of its deletions.

    `past`: what the journal says of the last year; without it, the page has no pictures of it.
    """
    environment = _environment()
    style = _source(environment, "report.css")
    script = _source(environment, "report.js")
    verdicts = sorted(plan.verdicts, key=_position)
    return environment.get_template("report.html.j2").render(
        plan=plan,
        headline=overview.headline(plan, outcomes),
        version=version("satellite-osp-cleanup"),
        made_at=hammer_time(plan.made_at),
        digest=plan.digest[:DIGEST_LENGTH],
        groups=overview.groups(plan, outcomes),
        failed=[region for region in plan.regions if region.error],
        causes=overview.causes(plan),
        lists=list(page_lists(plan, verdicts, outcomes)),
        first=FIRST,
        marks=MARKS,
        weeks=weeks_picture(past),
        leftovers=leftovers_picture(past),
        portions=list(_portions(verdicts)),
        long=plan.hosts > LONG,
        css_class=overview.css_class,
        host_page=_host_page,
        gone=_gone(outcomes),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )


def _source(environment: Environment, name: str) -> Markup:
    """Our own style sheet or script, which contains no text of a host."""
    assert environment.loader
    text, _, _ = environment.loader.get_source(environment, name)
    return Markup(text)  # noqa: S704


def _hash(text: str) -> str:
    """The source in a Content-Security-Policy that allows exactly this text."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{b64encode(digest).decode()}'"


# The table of every record


def _position(verdict: Verdict) -> tuple[int, bool, str, str]:
    """Where the table has a verdict: by decision, what needs attention first."""
    return (
        ORDER.index(verdict.decision),
        verdict.reason not in NEEDS_ATTENTION,
        verdict.reason.value,
        verdict.name,
    )


def _portions(verdicts: Sequence[Verdict]) -> Iterator[Sequence[Verdict]]:
    for start in range(0, len(verdicts), PORTION):
        yield verdicts[start : start + PORTION]


# Hosts


def _host_page(satellite: str, name: str) -> str:
    """The address of a host's page, as Satellite's own links have it.

    "" if the Satellite's URL is not a web address: a plan's file may hold any other text.
    """
    if not satellite.startswith(("https://", "http://")):
        return ""
    path = quote(name, safe="", errors="replace")
    return f"{satellite.rstrip('/')}/new/hosts/{path}"


def _gone(outcomes: Outcomes) -> frozenset[int]:
    """The ids of the hosts that were deleted, so that Satellite has no page of them."""
    return frozenset(
        outcome.host_id
        for outcome in outcomes or ()
        if outcome.result is Result.DELETED
    )


# Texts


def _shown(value: object) -> object:
    """A text as the page shows it: cut if very long, without control or bidirectional marks."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = plain(value)
    if len(text) <= LIMIT:
        return text
    return f"{text[:LIMIT]}… ({len(text):,} characters)"
