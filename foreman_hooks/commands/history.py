"""history: what was deleted, when and why."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from operator import attrgetter
from typing import Any, NamedTuple, Optional, Union

import click

from foreman_hooks.cleanup.journal import Deletion, Journal, Removal
from foreman_hooks.cleanup.run import utc_now
from foreman_hooks.commands.app import App
from foreman_hooks.commands.options import bundled, output_options
from foreman_hooks.commands.usage import Group, usage_error
from foreman_hooks.errors import BadData
from foreman_hooks.osp_checker import parse_uuid
from foreman_hooks.reports import documents
from foreman_hooks.reports.listings import Row, Style
from foreman_hooks.rules.plan import DIGEST_LENGTH
from foreman_hooks.satellite.errors import SatelliteNotFound
from foreman_hooks.section import SettingsError, as_duration
from foreman_hooks.times import hammer_time

# The last one is how times are printed.
DATE = click.DateTime(
    [
        "%Y-%m-%d",
        "%Y/%m/%d",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M:%S",
        "%Y/%m/%d %H:%M:%S",
        "%Y/%m/%d %H:%M:%S UTC",
    ]
)


class Filter(NamedTuple):
    """Which deletions to list; None: no limit.  The times are aware, UTC."""

    host: Optional[str] = None
    uuid: Optional[str] = None
    since: Optional[datetime] = None
    until: Optional[datetime] = None

    def matches(self, deletion: Deletion) -> bool:
        """Whether to list a deletion."""
        if self.host not in (None, deletion.name):
            return False
        if self.uuid not in (None, deletion.uuid):
            return False
        if self.since and deletion.begun < self.since:
            return False
        return not (self.until and deletion.begun >= self.until)


def _as_utc(
    context: click.Context,
    option: click.Parameter,
    value: Optional[datetime],
) -> Optional[datetime]:
    return value and value.replace(tzinfo=timezone.utc)


filter_options = bundled(
    "wanted",
    Filter,
    [
        click.option("--host", metavar="NAME", help="Only host records of this name."),
        click.option("--uuid", metavar="UUID", help="Only this instance."),
        click.option(
            "--since",
            metavar="DATE",
            type=DATE,
            callback=_as_utc,
            help="Only from this day on, in UTC.",
        ),
        click.option(
            "--until",
            metavar="DATE",
            type=DATE,
            callback=_as_utc,
            help="Only before this day, in UTC.",
        ),
    ],
)


@click.group(cls=Group)
def history() -> None:
    """What was deleted, when, and why."""


@history.command("list")
@filter_options
@output_options
@click.pass_obj
def history_list(app: App, wanted: Filter, style: Style) -> int:
    """List the deletions in the journal, the oldest first.

    Also lists hosts that somebody else removed, if Foreman's events are noted ('event'). On a
    terminal only the columns that fit most windows are shown; --fields has others.
    """
    if wanted.uuid is not None:
        uuid = parse_uuid(wanted.uuid)
        if uuid is None:
            raise BadData(f"not a UUID: {wanted.uuid!r}")
        wanted = wanted._replace(uuid=uuid)
    settings = app.settings()
    with Journal.peek(settings.journal) as journal:
        removals = [_as_deletion(removal) for removal in journal.removals()]
        deletions = [*journal.deletions(), *removals]
    deletions.sort(key=attrgetter("begun"))
    deletions = [deletion for deletion in deletions if wanted.matches(deletion)]
    if style.for_programs:
        app.show(documents.deletions_listing(deletions), style)
    else:
        if app.window.width and not style.fields:
            style = replace(style, fields=_NARROW)
        app.show_rows(list(map(_row, deletions)), style)
    return 0


def _as_deletion(removal: Removal) -> Deletion:
    """A host record that somebody else removed, in the shape of a deletion; its id is 0."""
    return Deletion(
        id=0,
        satellite=removal.satellite,
        plan="",
        host_id=removal.host_id,
        name=removal.name,
        uuid="",
        reason="by somebody else",
        evidence={},
        snapshot={},
        begun=removal.at,
        result="removed",
        detail="reported by an event of Foreman",
        ended=None,
    )


_NARROW = ("Id", "Host", "At", "By", "Result", "Restored")


def _row(deletion: Deletion) -> Row:
    return {
        "Id": deletion.id or "",
        "Host": deletion.name,
        "Host id": deletion.host_id,
        "UUID": deletion.uuid,
        "At": hammer_time(deletion.begun),
        "By": deletion.who,
        "Run": deletion.run,
        "Result": deletion.result or "unfinished",
        "Restored": _restored(deletion),
        "Reason": deletion.reason,
        "Detail": deletion.detail or "",
    }


def _restored(deletion: Deletion) -> str:
    """When the record came back, and as which host; "" if it did not."""
    if deletion.restored_at is None:
        return ""
    return f"{hammer_time(deletion.restored_at)} as host {deletion.restored_as}"


@history.command("approvals")
@output_options
@click.pass_obj
def history_approvals(app: App, style: Style) -> int:
    """List who lifted the caps for which plan, the oldest first.

    'apply --approve' does that. Also shows how many records the plan has deleted.
    """
    with Journal.peek(app.settings().journal) as journal:
        approvals = journal.approvals()
        deleted = Counter(
            deletion.plan
            for deletion in journal.deletions()
            if deletion.result == "deleted"
        )
    if style.for_programs:
        app.show(documents.approvals_listing(approvals, deleted), style)
        return 0
    rows = [
        {
            "Plan": approval.plan[:DIGEST_LENGTH],
            "By": approval.who,
            "At": hammer_time(approval.at),
            "Deleted": deleted[approval.plan],
        }
        for approval in approvals
    ]
    app.show_rows(rows, style)
    return 0


@history.command("show")
@click.argument("number", type=int, metavar="ID")
@click.pass_obj
def history_show(app: App, number: int) -> int:
    """Show one deletion with all of its evidence.

    ID is the number that 'history list' shows.
    """
    deletion = find_deletion(app, number)
    for label, value in _row(deletion).items():
        app.say_line(f"{label + ':':<10}{value}")
    app.say_line(f"{'Plan:':<10}{deletion.plan} at {deletion.satellite}")
    _show_evidence(app, deletion.evidence)
    _show_snapshot(app, deletion.snapshot)
    return 0


def _show_evidence(app: App, evidence: Mapping[str, Any]) -> None:
    app.say("Rules:")
    for rule, observed in evidence["rules"]:
        app.say_line(f"  {rule}: {observed}")
    app.say("Sightings:")
    for uuid, cloud, region, presence, detail in evidence["sightings"]:
        app.say_line(f"  {uuid} in {cloud}/{region}: {presence} ({detail})")


def _show_snapshot(app: App, snapshot: Mapping[str, Any]) -> None:
    """Print the record as it was; of its parameters only the names, as values may be secret."""
    app.say("Snapshot:")
    for name, value in snapshot.items():
        if name == "parameters":
            value = _parameter_names(value)
        text = json.dumps(value, ensure_ascii=False)
        app.say_line(f"  {name}: {text}")


def _parameter_names(parameters: Any) -> Any:
    if parameters is None:
        return "could not be read"
    return list(parameters)


def find_deletion(app: App, key: Union[int, str]) -> Deletion:
    """The deletion with this number, or the last one of this name; raises SatelliteNotFound."""
    settings = app.settings()
    with Journal.peek(settings.journal) as journal:
        for deletion in reversed(journal.deletions()):
            if key in (deletion.id, deletion.name):
                return deletion
    raise SatelliteNotFound(f"the journal has no such deletion: {key}")


@history.command("prune")
@click.option(
    "--older-than",
    required=True,
    metavar="SPAN",
    help="A time span such as 365d or 720h.",
)
@click.pass_obj
def history_prune(app: App, older_than: str) -> int:
    """Forget deletions older than a time span.

    Their snapshots are deleted too, so these records can no longer be restored. Unfinished
    deletions and instances that are missing are kept.
    """
    try:
        span = as_duration("history prune: --older-than", older_than)
        before = utc_now() - span
    except (SettingsError, OverflowError) as error:
        raise usage_error(str(error)) from error
    if span < timedelta(days=1):
        raise usage_error("--older-than must be at least 1d")
    with Journal.open(app.settings().journal) as journal:
        count = journal.prune(before)
    app.say(f"{count} deletions forgotten")
    return 0
