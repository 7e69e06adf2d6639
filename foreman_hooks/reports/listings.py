"""Rows as hammer prints them: table, csv, json, yaml; and the summary of a plan."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from foreman_hooks.osp_checker.sightings import Sighting
from foreman_hooks.rules.model import LOUD, UNKNOWN_REASONS, Decision, Outcome, Reason, Verdict
from foreman_hooks.rules.plan import Plan

FORMATS = ("table", "csv", "json", "yaml")
Row = Mapping[str, Any]  # label -> value; every row of a listing has the same labels


@dataclass(frozen=True)
class Style:
    """How rows are printed; `fields` (labels, case does not matter) empty means all."""

    output: str = "table"
    fields: tuple[str, ...] = ()
    headers: bool = True
    separator: str = ","


class UnknownField(ValueError):
    """`--fields` names a column that the listing does not have."""

    exit_code = 64


def render(rows: Iterable[Row], style: Style) -> str:
    """The rows as text, with a line end after the last; raises UnknownField."""
    chosen = [_chosen(row, style.fields) for row in rows]
    if style.output == "json":
        return (
            "".join(
                char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1]
                for char in json.dumps(chosen, indent=2, ensure_ascii=False)
            )
            + "\n"
        )
    if style.output == "yaml":
        import yaml  # here: slow to load, and seldom asked for

        text = yaml.safe_dump(chosen, sort_keys=False, width=1000, allow_unicode=True)
        if not text.replace("\n", "").isprintable():
            text = yaml.safe_dump(chosen, sort_keys=False, width=1000)  # with all but ASCII escaped
        return f"---\n{text}"
    if style.output == "csv":
        return _csv(chosen, style)
    return _table(chosen, style)


def _chosen(row: Row, fields: Sequence[str]) -> dict[str, Any]:
    if not fields:
        return dict(row)
    labels = {label.lower(): label for label in row}
    unknown = [field for field in fields if field.strip().lower() not in labels]
    if unknown:
        raise UnknownField(f"no field {', '.join(unknown)}; there are {', '.join(row)}")
    return {labels[field.strip().lower()]: row[labels[field.strip().lower()]] for field in fields}


def _csv(rows: Sequence[Row], style: Style) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=style.separator, lineterminator="\n")
    if style.headers and rows:
        writer.writerow(rows[0])
    writer.writerows(
        [_without_formulas(value, style.separator) for value in row.values()] for row in rows
    )
    return text.getvalue()


# What makes a spreadsheet take a cell for a formula; full-width signs are read as their plain ones.
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20\u2212"


def _without_formulas(value: Any, separator: str) -> str:
    """The cell, with an apostrophe before what a spreadsheet would carry out; servers' names are
    strangers' texts.

    Also after what another spreadsheet takes for the end of a cell: which separator it is depends
    on the country.
    """
    cell = _cell(value)
    if isinstance(value, (int, float)):
        return cell
    ends = "".join({";", ",", "|"} - {separator})
    return re.sub(rf"(^\s*|[{ends}]\s*)(?=[{_SIGNS}])", r"\1'", cell)


def _table(rows: Sequence[Row], style: Style) -> str:
    """hammer's table: rules of dashes, columns parted by bars, labels in capitals."""
    if not rows:
        return ""
    head = [label.upper() for label in rows[0]]
    body = [[_cell(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *body)]
    rule = "-|-".join("-" * width for width in widths)

    def line(cells: Sequence[str]) -> str:
        return " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()

    lines = [rule, line(head), rule] if style.headers else []
    return "\n".join([*lines, *map(line, body), *([rule] if style.headers else [])]) + "\n"


def _cell(value: Any) -> str:
    return "" if value is None else plain(str(value))


def plain(text: str) -> str:
    """One line of printable text: names, facts and error messages may hold anything, escape
    sequences as well.
    """
    return (
        text
        if text.isprintable()
        else "".join(char if char.isprintable() else " " for char in text)
    )


def verdict_rows(verdicts: Iterable[Verdict]) -> list[Row]:
    """One row for each verdict."""
    return [
        {
            "Id": one.host_id,
            "Name": one.name,
            "UUID": one.uuid,
            "Decision": one.decision.value,
            "Reason": one.reason.value,
            "Detail": one.detail,
        }
        for one in verdicts
    ]


def outcome_rows(outcomes: Iterable[Outcome]) -> list[Row]:
    """One row for each deletion that was planned."""
    return [
        {
            "Id": one.host_id,
            "Name": one.name,
            "UUID": one.uuid,
            "Result": one.result,
            "Detail": one.detail,
        }
        for one in outcomes
    ]


def sighting_rows(sightings: Iterable[Sighting]) -> list[Row]:
    """One row for each UUID, cloud and region."""
    return [
        {
            "UUID": one.uuid,
            "Cloud": one.cloud,
            "Region": one.region,
            "Code": one.code,
            "Presence": one.presence.value,
            "Terminated at": one.terminated_at.strftime("%Y/%m/%d %H:%M:%S")
            if one.terminated_at
            else "",
            "Detail": one.detail,
        }
        for one in sightings
    ]


def noteworthy(verdict: Verdict) -> bool:
    """Whether a person wants to read of it: what goes, what waits, and what needs attention."""
    return (
        verdict.decision is not Decision.KEEP
        or verdict.reason in LOUD
        or verdict.reason is Reason.PROTECTED
    )


_EXAMPLES = 5  # of what is one thing, most often: why OpenStack could not be asked, what a refused plan holds


def brief(plan: Plan, outcomes: Optional[Sequence[Outcome]] = None) -> str:
    """What cron mails: what was deleted (or would be), what needs attention, what waits and until
    when.

    Nothing where nothing is to be done: that something waits as it did before is no news.
    """
    done = {one.host_id: (one.result, one.detail) for one in outcomes or ()}
    otherwise = "refused" if plan.refusals else "to delete" if outcomes is None else "not done"
    lines = []
    for one in plan.deletions:
        needs = "held back" if one.host_id in plan.held and not plan.refusals else otherwise
        result, detail = done.get(one.host_id, (needs, one.detail))
        lines.append(f"{result:<17}{one.name}: {one.reason.value}; {detail}")
    if (
        plan.refusals and len(lines) > _EXAMPLES
    ):  # a plan that breaks a cap can be of thousands, every hour
        lines[_EXAMPLES:] = [f"{'':<17}and {len(lines) - _EXAMPLES} more: see 'plan'"]
    lines += [
        f"{'needs attention':<17}{one.name}: {one.reason.value}; {one.detail}"
        for one in plan.verdicts
        if one.reason in LOUD - UNKNOWN_REASONS
    ]
    if plan.unknown:
        lines.append(
            f"{'needs attention':<17}{plan.unknown} of {len(plan.verdicts)} records: nothing could be learned "
            "about them"
        )
        lines += list(
            dict.fromkeys(
                f"{'':<17}{one.reason.value}: {one.detail}"
                for one in plan.verdicts
                if one.reason in UNKNOWN_REASONS
            )
        )[:_EXAMPLES]
    if lines:
        lines += [
            f"{'waits':<17}{one.name}: {one.reason.value}; {one.detail}"
            for one in plan.verdicts
            if one.decision is Decision.WAIT
        ]
    return "".join(f"{plain(line)}\n" for line in lines)


def summary(plan: Plan) -> str:
    """The numbers of a plan: decisions, reasons, and how each region answered."""
    counts = plan.counts
    lines = [
        f"{len(plan.verdicts)} host records ({plain(plan.scope)}): {counts[Decision.DELETE]} to delete, "
        f"{counts[Decision.WAIT]} waiting, {counts[Decision.KEEP]} kept"
    ]
    reasons = Counter((one.decision.value, one.reason.value) for one in plan.verdicts)
    lines += [
        f"  {count:>6} {decision:<6} {reason}"
        for (decision, reason), count in sorted(
            reasons.items(),
            key=lambda item: (["delete", "wait", "keep"].index(item[0][0]), -item[1]),
        )
    ]
    for seen in plan.regions:
        told = (
            "no answer"
            if seen.error
            else f"{seen.servers} servers, {seen.alive} hosts alive; {seen.proof}"
        )
        lines.append(plain(f"  {seen.cloud}/{seen.region}: {told}"))
        if seen.unlisted:
            lines.append(
                plain(
                    f"  {seen.cloud}: the catalog also has {', '.join(seen.unlisted)}, not asked; nothing is deleted "
                    "without proof until 'regions' or 'ignore_regions' names all of it"
                )
            )
    backlog = sum(one.reason is Reason.NEVER_SEEN for one in plan.verdicts)
    if backlog:
        records = "1 absent record was" if backlog == 1 else f"{backlog} absent records were"
        lines.append(
            f"  {records} never seen alive here and may belong to another cloud; if every cloud is listed, "
            "policy.all_clouds_listed: true lets such records go after the grace period"
        )
    return "\n".join(lines) + "\n"


def hammer_lines(verdicts: Iterable[Verdict]) -> list[str]:
    """The hammer commands that would do the same, id by id; hammer itself checks nothing of what we
    do.
    """
    return [
        line
        for one in verdicts
        for line in (
            f"hammer host info --id {one.host_id} --fields Id,Name    # must be {plain(one.name)}",
            f"hammer host delete --id {one.host_id}",
        )
    ]
