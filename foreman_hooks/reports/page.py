"""What all HTML pages have in common: one file each, for people to read, sort and keep.

A page loads nothing else: its Content-Security-Policy allows only its own style and script, by
their hashes, so text that a guest put into its facts could not run even if it were not escaped.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any, TypeVar
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from foreman_hooks.reports.texts import plain

LIMIT = 1000  # characters of one text; the longest of our own has about 300
FIRST = 20  # rows of a list that are shown at once
LONG = 1000  # a table with more rows is laid out in portions
PORTION = 100  # rows that a browser lays out together; also in report.js and report.css

_Row = TypeVar("_Row")


def fill(template: str, **values: Any) -> str:
    """The page that a template makes of these values."""
    environment = _environment()
    style = _source(environment, "report.css")
    script = _source(environment, "report.js")
    return environment.get_template(template).render(
        version=version("satellite-osp-cleanup"),
        first=FIRST,
        host_page=_host_page,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        **values,
    )


def portions(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    """The rows of a table in the portions that a browser lays out together."""
    for start in range(0, len(rows), PORTION):
        yield rows[start : start + PORTION]


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


def _host_page(satellite: str, name: str) -> str:
    """The address of a host's page, as Satellite's own links have it.

    "" if the Satellite's URL is not a web address: a plan's file may hold any other text.
    """
    if not satellite.startswith(("https://", "http://")):
        return ""
    path = quote(name, safe="", errors="replace")
    return f"{satellite.rstrip('/')}/new/hosts/{path}"


def _shown(value: object) -> object:
    """A text as the page shows it: cut if very long, without control or bidirectional marks."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = plain(value)
    if len(text) <= LIMIT:
        return text
    return f"{text[:LIMIT]}… ({len(text):,} characters)"
