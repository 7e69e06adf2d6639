"""A plan and its outcomes as people read them on a terminal: in groups, as wide as the window.

Pure.  Through a pipe the same text is printed with every column, and nothing is shortened.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Optional

from foreman_hooks.reports.texts import plain
from foreman_hooks.reports.window import Window, cells, padded, shortened, wrapped
from foreman_hooks.rules.model import (
    NEEDS_ATTENTION,
    Decision,
    Outcome,
    Reason,
    Result,
    Verdict,
)
from foreman_hooks.rules.plan import Kind, Plan, PlanRegion
from foreman_hooks.times import countdown, read_iso_z, rough

INDENT = "  "
GAP = "  "
NARROWEST = 22  # columns that the reason gets in any case: `terminated 12 days ago`


class Group(NamedTuple):
    """Records that people read about together.

    `head`: its title.  `sum`: what the line of sums calls its records, if there is 1 and if there
    are more.  `listed`: whether each record has a line; if not, its reasons are counted.
    """

    head: str
    sum: tuple[str, str]
    colour: str = ""
    listed: bool = True


DELETE = Group("DELETE", ("to delete", "to delete"), "red")
HELD = Group("HELD BACK", ("held back", "held back"), "yellow")
ATTENTION = Group("NEEDS ATTENTION", ("needs attention", "need attention"), "yellow")
WAITING = Group("WAITING", ("waiting", "waiting"), "cyan")
PROTECTED = Group("PROTECTED", ("protected", "protected"), "green")
UNKNOWN = Group("UNKNOWN", ("unknown", "unknown"), "yellow", listed=False)
KEPT = Group("KEPT", ("kept", "kept"), listed=False)
GROUPS = (DELETE, HELD, ATTENTION, WAITING, PROTECTED, UNKNOWN, KEPT)
# Failures last, right above the prompt of the shell.
RESULTS = {
    Result.DELETED: "green",
    Result.KEPT: "",
    Result.UNFINISHED: "yellow",
    Result.FAILED: "red",
}


class Row(NamedTuple):
    """The columns of a record, by how much they matter; `detail` may have a line of its own."""

    name: str
    why: str
    place: str = ""
    uuid: str = ""
    detail: str = ""


class Table(NamedTuple):
    """The records of a group under their head."""

    head: str
    rows: Sequence[Row]


# A plan


def plan_listing(plan: Plan, window: Window, in_full: bool = False) -> str:
    """The records of a plan in groups, and how each region answered.

    `in_full`: also list the records that are kept for an ordinary reason, with all details.
    """
    tables = list(_plan_tables(plan, window, in_full))
    parts = blocks(tables, window, in_full)
    backlog = _backlog(plan)
    if backlog:
        parts.append(wrapped(backlog, window.width))
    if plan.regions:
        parts.append(_regions_block(plan.regions, window, in_full))
    return joined(parts)


def sums(plan: Plan) -> str:
    """How many records each group has, in one line."""
    counts = _counts(plan)
    parts = [f"{counts[DELETE]} {DELETE.sum[0]}"]
    for group in GROUPS[1:]:
        count = counts[group]
        if count:
            parts.append(f"{count} {group.sum[count > 1]}")
    records = counted(plan.hosts, "host record")
    if plan.kind is Kind.QUICK:
        records += " of instances that were deleted lately"
    return f"{records} ({plain(plan.scope)}): {', '.join(parts)}"


def attention(plan: Plan) -> Sequence[Verdict]:
    """The verdicts that need attention."""
    return [
        verdict for verdict in plan.verdicts.open if verdict.reason in NEEDS_ATTENTION
    ]


def _counts(plan: Plan) -> Counter[Group]:
    """How many records each group has."""
    counts: Counter[Group] = Counter()
    for reason, count in plan.verdicts.sums.items():
        counts[_group(reason)] += count
    counts[HELD] = sum(verdict.host_id in plan.held for verdict in plan.deletions)
    counts[DELETE] -= counts[HELD]
    return counts


def _grouped(plan: Plan, in_full: bool) -> dict[Group, list[Verdict]]:
    """The verdicts of each group; if not `in_full`, only of the groups that are listed."""
    groups: dict[Group, list[Verdict]] = {group: [] for group in GROUPS}
    for verdict in plan.verdicts if in_full else plan.verdicts.single:
        group = _group(verdict.reason)
        if group is DELETE and verdict.host_id in plan.held:
            group = HELD
        if group.listed or in_full:
            groups[group].append(verdict)
    return groups


def _group(reason: Reason) -> Group:
    """The group of a record; that of a deletion that is held back is another."""
    if reason.decision is Decision.DELETE:
        return DELETE
    if reason.decision is Decision.WAIT:
        return WAITING
    if reason in NEEDS_ATTENTION:
        return ATTENTION
    if reason is Reason.PROTECTED:
        return PROTECTED
    return UNKNOWN if reason is Reason.UNKNOWN else KEPT


def _plan_tables(plan: Plan, window: Window, in_full: bool) -> Iterator[Table]:
    counts = _counts(plan)
    for group, verdicts in _grouped(plan, in_full).items():
        if not counts[group]:
            continue
        title = group.head
        if group is DELETE and plan.refusals:
            title = f"{title}, REFUSED"
        head = window.bold(f"{title} ({counts[group]})", group.colour)
        if group.listed or in_full:
            rows = [_verdict_row(verdict, plan.made_at) for verdict in verdicts]
        else:
            rows = _reason_rows(plan, group)
        yield Table(head, rows)


def _reason_rows(plan: Plan, group: Group) -> list[Row]:
    """How many records of a group have each reason, the most frequent first."""
    rows = []
    for reason, count in Counter(plan.verdicts.sums).most_common():
        if _group(reason) is group:
            rows.append(Row(f"{count:>4}", reason.value))
    return rows


def _verdict_row(verdict: Verdict, now: datetime) -> Row:
    basis = verdict.basis
    place = f"{basis.cloud}/{basis.region}" if basis.cloud else ""
    return Row(
        plain(verdict.name),
        plain(_why(verdict, now)),
        plain(place),
        verdict.uuid,
        plain(verdict.detail),
    )


def _why(verdict: Verdict, now: datetime) -> str:
    """The reason of a verdict, with times relative to `now` (aware)."""
    basis, reason = verdict.basis, verdict.reason
    end = read_iso_z(basis.terminated_at)
    contact = read_iso_z(basis.last_checkin)
    due = read_iso_z(basis.due)
    why = reason.value
    if reason is Reason.MISSING and contact:
        why = f"absent, last check-in {ago(contact, now)}"
    elif reason in (Reason.TERMINATED, Reason.QUIET) and end:
        why = f"terminated {ago(end, now)}"
    elif reason is Reason.CHECKED_IN and end and contact and contact > end:
        why = f"checked in {ago(contact, now)}, terminated {ago(end, now)}"
    if due and due > now:
        return f"can go in {countdown(due - now)}: {why}"
    return why


def ago(when: datetime, now: datetime) -> str:
    """How long before `now` (aware) it was, such as `2 days ago`."""
    return f"{rough(max(now - when, timedelta()))} ago"


def _backlog(plan: Plan) -> str:
    """What to do about records that no run ever saw alive; "" if there are none."""
    count = plan.verdicts.count([Reason.NEVER_SEEN])
    if not count:
        return ""
    records = "1 absent record was" if count == 1 else f"{count} absent records were"
    return (
        f"{records} never seen alive here and may belong to another cloud; if every cloud is "
        "listed, policy.all_clouds_listed: true lets such records go after the grace period"
    )


def _regions_block(
    regions: Iterable[PlanRegion], window: Window, in_full: bool
) -> list[str]:
    lines = [window.bold("REGIONS")]
    for region in regions:
        for text in _region_texts(region, in_full):
            lines += wrapped(plain(text), window.width, INDENT)
    return lines


def _region_texts(region: PlanRegion, in_full: bool) -> Iterator[str]:
    """How a region answered, and which regions of its cloud are not asked."""
    if region.error:
        yield f"{region.place}: no answer"
    else:
        text = f"{region.place}: answered"
        if region.servers is not None:
            servers = counted(region.servers, "server")
            alive = counted(region.alive, "host")
            text = f"{region.place}: {servers}, {alive} alive"
        yield f"{text}; {region.proof}" if in_full and region.proof else text
    if region.unlisted:
        yield (
            f"{region.cloud}: the catalog also has {', '.join(region.unlisted)}, not asked; "
            "nothing is deleted without proof until 'regions' or 'ignore_regions' names all of it"
        )


# Its outcomes


def outcome_listing(outcomes: Sequence[Outcome], window: Window) -> str:
    """What became of each planned deletion, in groups; why, unless it was simply deleted."""
    tables = []
    for result, colour in RESULTS.items():
        rows = [
            _outcome_row(outcome) for outcome in outcomes if outcome.result is result
        ]
        if rows:
            head = window.bold(f"{result.value.upper()} ({len(rows)})", colour)
            tables.append(Table(head, rows))
    return joined(blocks(tables, window))


def _outcome_row(outcome: Outcome) -> Row:
    name, detail = plain(outcome.name), plain(outcome.detail)
    if outcome.result is Result.DELETED:
        return Row(name, "", detail=detail)
    return Row(name, detail)


# Lines


def blocks(
    tables: Sequence[Table], window: Window, in_full: bool = False
) -> list[list[str]]:
    """The lines of each table: as many columns as fit in all of them, at least two.

    `in_full`: details that do not fit get lines of their own.
    """
    all_widths = [_widths(table.rows) for table in tables]
    shown = min(
        (_count_fitting(widths, window.width) for widths in all_widths), default=0
    )
    parts = []
    for table, widths in zip(tables, all_widths):
        lines = [table.head]
        if window.width is not None:
            widths[:2] = _narrowed(widths[0], widths[1], window.width)
        for row in table.rows:
            lines += _row_lines(row[:shown], widths, window.width)
            if in_full and row.detail and shown < len(row):
                lines += wrapped(row.detail, window.width, INDENT * 3)
        parts.append(lines)
    return parts


def _widths(rows: Iterable[Row]) -> list[int]:
    return [max(map(cells, column)) for column in zip(*rows)]


def _count_fitting(widths: Sequence[int], width: Optional[int]) -> int:
    """How many columns fit, at least two."""
    if width is None:
        return len(widths)
    taken = len(INDENT) + widths[0]
    shown = 1
    for wanted in widths[1:]:
        taken += len(GAP) + wanted
        if taken > width:
            break
        shown += 1
    return max(shown, 2)


def _narrowed(name: int, why: int, width: int) -> list[int]:
    """The widths of the name and the reason; the name stays whole as long as it can."""
    space = width - len(INDENT) - len(GAP)
    name = min(name, max(space - min(why, NARROWEST), 1))
    return [name, min(why, space - name)]


def _row_lines(
    row: Sequence[str], widths: Sequence[int], width: Optional[int]
) -> Iterator[str]:
    """The line of a record; further lines if its reason takes several."""
    name, why, *others = row
    if width is None:
        reasons = [why]
    else:
        name = shortened(name, widths[0])
        reasons = wrapped(why, widths[1])
    for number, reason in enumerate(reasons):
        texts = [name, reason, *others] if number == 0 else ["", reason]
        padded_texts = map(padded, texts, widths)
        yield (INDENT + GAP.join(padded_texts)).rstrip()


def counted(count: int, noun: str) -> str:
    """The count and the noun, such as `1 host` or `2 hosts`."""
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def joined(parts: Iterable[Sequence[str]]) -> str:
    """The blocks of lines as one text, with an empty line after each."""
    return "".join("\n".join(part) + "\n\n" for part in parts)
