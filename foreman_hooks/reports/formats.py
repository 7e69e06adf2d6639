"""Listings for programs: JSON, YAML and CSV.

The text is made piece by piece, since the plan of a large Satellite has 100,000 rows.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from foreman_hooks.reports.listings import Row, Style, choose, key_of
from foreman_hooks.reports.texts import escaped, plain

_BATCH = 1000  # rows that are made into one piece of text


@dataclass(frozen=True)
class Listing:
    """Rows for programs, and what they belong to.

    `columns`: the labels; `rows`: for each, its values in the order of the columns (texts, numbers
    and None).  A `name` makes an object of the listing in JSON and YAML: first `head`, then the
    rows under that name.  Without a name it is an array.  CSV has only the rows.
    """

    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]
    name: str = ""
    head: Mapping[str, Any] = field(default_factory=dict)


def listing_of(rows: Sequence[Row]) -> Listing:
    """Rows that all have the same labels, as a listing."""
    columns = tuple(rows[0]) if rows else ()
    return Listing(columns, (tuple(row.values()) for row in rows))


def write(listing: Listing, style: Style) -> Iterator[str]:
    """Yield the listing piece by piece, as `style` wants it; raises UnknownField."""
    columns = listing.columns
    if not columns:  # an empty listing, whose columns are not known
        chosen: list[str] = []
    else:
        chosen = choose(columns, style.fields)
    positions = [columns.index(label) for label in chosen]
    rows = ([row[position] for position in positions] for row in listing.rows)
    if style.output == "csv":
        return _csv(chosen, rows, style)
    keys = list(map(key_of, chosen))
    objects = (dict(zip(keys, row)) for row in rows)
    if style.output == "json":
        return _json(listing, objects)
    return _yaml(listing, objects)


def _batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


# JSON: the head in several lines, and each row in one


def _json(listing: Listing, rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """JSON with letters of all languages; control characters are escaped."""
    margin = ""
    if listing.name:
        yield _json_head(listing)
        margin = "  "
    separator = "[\n"
    for batch in _batches(rows):
        lines = [f"{margin}  {_json_line(row)}" for row in batch]
        yield separator + ",\n".join(lines)
        separator = ",\n"
    yield "[]" if separator == "[\n" else f"\n{margin}]"
    yield "\n}\n" if listing.name else "\n"


def _json_head(listing: Listing) -> str:
    """The beginning of an object, up to the key of the rows."""
    text = json.dumps({**listing.head, listing.name: []}, indent=2, ensure_ascii=False)
    lines = text[: -len("[]\n}")].split("\n")
    return "\n".join(map(escaped, lines))


def _json_line(row: Mapping[str, Any]) -> str:
    return escaped(json.dumps(row, ensure_ascii=False))


# YAML


def _yaml(listing: Listing, rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield "---\n"
    if listing.head:
        yield _yaml_text(listing.head)
    key = f"{listing.name}:" if listing.name else ""
    is_empty = True
    for batch in _batches(rows):
        if is_empty and key:
            yield f"{key}\n"
        is_empty = False
        yield _yaml_text(batch)
    if is_empty:
        yield f"{key} []\n".lstrip()


def _yaml_text(value: Any) -> str:
    """YAML with letters of all languages; if it has control characters, in ASCII."""
    import yaml  # here: slow to load, and rarely asked for

    fast = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    options: dict[str, Any] = {"sort_keys": False, "width": 1000}
    try:
        text = yaml.dump(value, Dumper=fast, allow_unicode=True, **options)
        if text.replace("\n", "").isprintable():
            return text
    except UnicodeEncodeError:  # half of a surrogate pair
        pass
    return yaml.dump(value, Dumper=yaml.SafeDumper, **options)


# CSV


def _csv(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], style: Style
) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=style.separator, lineterminator="\n")
    formula = _formula(style.separator)
    if style.headers and columns:
        writer.writerow(columns)
    for batch in _batches(rows):
        for row in batch:
            writer.writerow([_cell(value, formula) for value in row])
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()


# A cell that begins with one of these is a formula to a spreadsheet, also as full-width signs.
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20\u2212"


def _formula(separator: str) -> "re.Pattern[str]":
    """What comes before anything in a cell that a spreadsheet would run as a formula.

    Depending on the country, a spreadsheet may end a cell at another separator, so the text after
    any separator is treated in the same way.
    """
    separators = {";", ",", "|"} - {separator}
    return re.compile(rf"(^\s*|[{''.join(separators)}]\s*)(?=[{_SIGNS}])")


def _cell(value: Any, formula: "re.Pattern[str]") -> str:
    """The cell, with an apostrophe before a formula: tenants choose the names of servers."""
    if value is None:
        return ""
    cell = plain(str(value))
    if isinstance(value, (int, float)):
        return cell
    return formula.sub(r"\1'", cell)
