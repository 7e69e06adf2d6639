"""Rows as a table like hammer's, and what of a plan people read about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker import Sighting
from foreman_hooks.reports.texts import plain
from foreman_hooks.rules.model import (
    Decision,
    Outcome,
    Reason,
    Verdict,
)
from foreman_hooks.rules.plan import Plan
from foreman_hooks.times import hammer_time

FORMATS = ("table", "csv", "json", "yaml")
ORDER = (Decision.DELETE, Decision.WAIT, Decision.KEEP)  # in which people read verdicts
Row = Mapping[str, Any]  # label -> value; every row of a listing has the same labels
Outcomes = Optional[Sequence[Outcome]]  # None: the plan was not applied


@dataclass(frozen=True)
class Style:
    """How rows are printed; `fields` (labels or keys, in any case): empty means all."""

    output: str = "table"
    fields: tuple[str, ...] = ()
    headers: bool = True
    separator: str = ","

    @property
    def for_programs(self) -> bool:
        """Whether a program reads the output, which has all columns and records then."""
        return self.output != "table"

    @property
    def is_grouped(self) -> bool:
        """Whether people get a listing in groups; options of columns ask for a plain table."""
        return not self.for_programs and self.headers and not self.fields


_OUTCOME_FIELDS = ("Id", "Name", "UUID", "Result", "Detail")


class UnknownField(ValueError):
    """`--fields` names a column that the listing does not have."""

    exit_code = 64


def render(rows: Iterable[Row], style: Style) -> str:
    """The rows as a table that ends with a newline; raises UnknownField."""
    chosen = []
    for row in rows:
        labels = choose(tuple(row), style.fields)
        chosen.append({label: row[label] for label in labels})
    return _table(chosen, style)


def check_outcome_fields(style: Style) -> None:
    """Raise UnknownField for a field that outcomes do not have, before anything is deleted."""
    choose(_OUTCOME_FIELDS, style.fields)


def choose(columns: Sequence[str], fields: Sequence[str]) -> list[str]:
    """The columns that the fields name, in the order of the fields; without fields all columns.

    A field is a label or a key, in upper or lower case.  Raises UnknownField.
    """
    if not fields:
        return list(columns)
    labels = {key_of(label): label for label in columns}
    unknown = [name for name in fields if key_of(name) not in labels]
    if unknown:
        raise UnknownField(
            f"no field {', '.join(unknown)}; there are {', '.join(columns)}"
        )
    return list(dict.fromkeys(labels[key_of(name)] for name in fields))


def key_of(label: str) -> str:
    """The key of a column in JSON and YAML: `terminated_at` for "Terminated at"."""
    return label.strip().lower().replace(" ", "_")


def _table(rows: Sequence[Row], style: Style) -> str:
    """hammer's table: rules of dashes, columns separated by bars, labels in capitals."""
    if not rows:
        return ""
    head = [label.upper() for label in rows[0]]
    body = [list(map(_cell, row.values())) for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *body)]
    lines = [_table_line(cells, widths) for cells in body]
    if style.headers:
        rule = "-|-".join("-" * width for width in widths)
        lines = [rule, _table_line(head, widths), rule, *lines, rule]
    return "\n".join(lines) + "\n"


def _table_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths)]
    return " | ".join(padded).rstrip()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return plain(str(value))


# Rows


def verdict_rows(verdicts: Iterable[Verdict]) -> list[Row]:
    """One row for each verdict."""
    return [
        {
            "Id": verdict.host_id,
            "Name": verdict.name,
            "UUID": verdict.uuid,
            "Decision": verdict.decision.value,
            "Reason": verdict.reason.value,
            "Detail": verdict.detail,
        }
        for verdict in verdicts
    ]


def outcome_rows(outcomes: Iterable[Outcome]) -> list[Row]:
    """One row for each planned deletion."""
    rows: list[Row] = []
    for outcome in outcomes:
        values = (
            outcome.host_id,
            outcome.name,
            outcome.uuid,
            outcome.result.value,
            outcome.detail,
        )
        rows.append(dict(zip(_OUTCOME_FIELDS, values)))
    return rows


def sighting_rows(sightings: Iterable[Sighting]) -> list[Row]:
    """One row for each UUID, cloud and region."""
    return [_sighting_row(sighting) for sighting in sightings]


def _sighting_row(sighting: Sighting) -> Row:
    end = sighting.terminated_at
    return {
        "UUID": sighting.uuid,
        "Cloud": sighting.cloud,
        "Region": sighting.region,
        "Code": sighting.code,
        "Presence": sighting.presence.value,
        "Terminated at": hammer_time(end) if end else "",
        "Detail": sighting.detail,
    }


# A plan in words


def noteworthy(verdict: Verdict) -> bool:
    """Whether people want to read about it: it is open, or somebody protects it."""
    return verdict.is_open or verdict.reason is Reason.PROTECTED


class ReasonCount(NamedTuple):
    """How many records have one decision for one reason."""

    decision: Decision
    reason: Reason
    records: int


def count_reasons(plan: Plan) -> list[ReasonCount]:
    """The counts of all decisions and reasons, by decision in ORDER, the larger first."""
    rows = []
    for reason, records in plan.verdicts.sums.items():
        rows.append(ReasonCount(reason.decision, reason, records))
    return sorted(rows, key=lambda row: (ORDER.index(row.decision), -row.records))


def hammer_lines(verdicts: Iterable[Verdict]) -> list[str]:
    """The hammer commands for the same deletions, by id; they check nothing that we check."""
    lines = []
    for verdict in verdicts:
        host_id, name = verdict.host_id, plain(verdict.name)
        lines += [
            f"hammer host info --id {host_id} --fields Id,Name    # must be {name}",
            f"hammer host delete --id {host_id}",
        ]
    return lines
