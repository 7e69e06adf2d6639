"""history and restore: what was deleted and why, and a host entry made again."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Optional

import click

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.run import utc_now
from foreman_hooks.commands.app import App, satellite_of
from foreman_hooks.commands.options import output_options
from foreman_hooks.commands.output import complain
from foreman_hooks.osp_checker.uuids import parse_uuid
from foreman_hooks.reports import listings as report
from foreman_hooks.reports.listings import Row, Style
from foreman_hooks.satellite.client import SatelliteNotFound
from foreman_hooks.satellite.restore import restore as make_again
from foreman_hooks.section import SettingsError, as_duration

TIME = "%Y/%m/%d %H:%M:%S"
DATE = click.DateTime(["%Y-%m-%d", "%Y/%m/%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", TIME])


def _utc(
    context: click.Context, option: click.Parameter, value: Optional[datetime]
) -> Optional[datetime]:
    return value and value.replace(tzinfo=timezone.utc)


@click.group()
def history() -> None:
    """What was deleted, when, and why."""


@history.command("list")
@click.option("--host", metavar="NAME", help="Only records of this name.")
@click.option("--uuid", metavar="UUID", help="Only this instance.")
@click.option(
    "--since", metavar="DATE", type=DATE, callback=_utc, help="Only from that day on, in UTC."
)
@click.option(
    "--until", metavar="DATE", type=DATE, callback=_utc, help="Only before that day, in UTC."
)
@output_options
@click.pass_obj
def history_list(
    app: App,
    host: Optional[str],
    uuid: Optional[str],
    since: Optional[datetime],
    until: Optional[datetime],
    style: Style,
) -> int:
    """List the deletions on file, the oldest first.

    Also hosts that somebody else removed, where Foreman's events are noted ('event').
    """
    if uuid is not None and parse_uuid(uuid) is None:
        return complain(f"not a UUID: {uuid!r}", 65)
    with Journal.peek(app.settings().journal) as journal:
        found = [*journal.deletions(), *map(_removal, journal.removals())]
    wanted = [
        one
        for one in sorted(found, key=lambda one: one["begun"])
        if host in (None, one["name"])
        and (uuid is None or one["uuid"] == parse_uuid(uuid))
        and (since is None or _moment(one["begun"]) >= since)
        and (until is None or _moment(one["begun"]) < until)
    ]
    app.say(report.render(map(_row, wanted), style))
    return 0


def _removal(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an event told, in the shape of a deletion."""
    return {
        **told,
        "id": "",
        "uuid": "",
        "begun": told["at"],
        "result": "removed",
        "reason": "by somebody else",
        "detail": "as an event of Foreman told",
    }


def _row(deletion: Mapping[str, Any]) -> Row:
    return {
        "Id": deletion["id"],
        "Host": deletion["name"],
        "Host id": deletion["host_id"],
        "UUID": deletion["uuid"],
        "At": _moment(deletion["begun"]).strftime(TIME),
        "Result": deletion["result"] or "unfinished",
        "Reason": deletion["reason"],
        "Detail": deletion["detail"] or "",
    }


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@history.command("show")
@click.argument("number", type=int, metavar="ID")
@click.pass_obj
def history_show(app: App, number: int) -> int:
    """Show one deletion with everything that it rested on.

    ID is the number that 'history list' shows.
    """
    deletion = _deletion(app, number=number)
    for label, value in _row(deletion).items():
        app.say(report.plain(f"{label + ':':<9}{value}"))
    app.say(report.plain(f"{'Plan:':<9}{deletion['plan']} at {deletion['satellite']}"))
    app.say("Rules:")
    for rule, seen in deletion["evidence"]["rules"]:
        app.say(report.plain(f"  {rule}: {seen}"))
    app.say("Sightings:")
    for uuid, cloud, region, presence, detail in deletion["evidence"]["sightings"]:
        app.say(report.plain(f"  {uuid} in {cloud}/{region}: {presence} ({detail})"))
    app.say("Snapshot:")
    for name, value in deletion["snapshot"].items():
        if name == "parameters":  # their values are kept for 'restore' alone
            value = list(value) if value is not None else "could not be read"
        app.say(report.plain(f"  {name}: {json.dumps(value, ensure_ascii=False)}"))
    return 0


def _deletion(
    app: App, number: Optional[int] = None, name: Optional[str] = None
) -> Mapping[str, Any]:
    """The deletion of that number, or the last one of that name; raises SatelliteNotFound."""
    with Journal.peek(app.settings().journal) as journal:
        for deletion in reversed(journal.deletions()):
            if number == deletion["id"] or name == deletion["name"]:
                return deletion
    raise SatelliteNotFound(f"no deletion {number if name is None else f'of {name}'} is on file")


@history.command("prune")
@click.option("--older-than", required=True, metavar="SPAN", help="As 365d or 720h.")
@click.pass_obj
def history_prune(app: App, older_than: str) -> int:
    """Forget deletions that ended longer ago.

    Their snapshots go as well, so that they cannot be restored any more. What is missing or under
    way is kept.
    """
    try:
        span = as_duration("history prune: --older-than", older_than)
        before = utc_now() - span
    except (SettingsError, OverflowError) as error:
        raise click.UsageError(str(error)) from error
    if span < timedelta(days=1):
        raise click.UsageError("--older-than must be at least 1d")
    with Journal.open(app.settings().journal) as journal:
        count = journal.prune(before)
    app.say(f"{count} deletions forgotten")
    return 0


def _nothing_to_restore(deletion: Mapping[str, Any], consumer: Optional[str]) -> str:
    """Why an entry that is still there is left alone, and what its deletion took from it."""
    facet = deletion["snapshot"].get("subscription_facet_attributes") or {}
    text = (
        f"{deletion['name']} is still there as host {deletion['host_id']}, nothing has to be restored; deletion "
        f"{deletion['id']} is on file as {deletion['result'] or 'unfinished'}"
    )
    if deletion["detail"]:
        text += f" ({deletion['detail']})"
    if facet.get("uuid") and not consumer:
        text += "; it lost its registration: register the machine again if it is alive"
    return text


@click.command()
@click.argument("host")
@click.pass_obj
def restore(app: App, host: str) -> int:
    """Restore a deleted host record.

    HOST is a name, or the number that 'history list' shows. Name, organization, location, host
    group, parameters, comment and owner come back from the snapshot; what cannot come back, such as
    the registration, is listed with what to do. An entry that exists is never touched. Of a
    deletion that is on file as failed or unfinished Satellite is asked whether the entry is gone
    all the same.
    """
    number = int(host) if host.isascii() and host.isdigit() else None
    deletion = _deletion(app, number, None if number is not None else host.lower())
    satellite = satellite_of(app.settings())
    if deletion["satellite"] != satellite.url:
        return complain(
            f"{deletion['name']} was deleted at {deletion['satellite']}, not at {satellite.url}", 65
        )
    if deletion["result"] != "deleted":
        there = satellite.record(deletion["host_id"])
        if there:
            return complain(_nothing_to_restore(deletion, there.consumer), 65)
    made = make_again(satellite, deletion["snapshot"])
    app.say(
        report.plain(f"restored {made.name} as host {made.host_id} (was {deletion['host_id']})")
    )
    for what, advice in made.lost:
        app.say(report.plain(f"not restored: {what} -> {advice}"))
    return 0
