"""ack: take a record that needs attention out of the mails of cron."""

import click

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.open_records import (
    OpenRecord,
    acknowledge,
    end_acknowledgement,
    open_records,
)
from foreman_hooks.cleanup.progress import utc_now
from foreman_hooks.commands.app import App, satellite_of, user
from foreman_hooks.commands.usage import usage_error
from foreman_hooks.rules.model import Decision
from foreman_hooks.satellite.errors import SatelliteNotFound

LONGEST_REASON = 200  # characters


def _one_line(context: click.Context, option: click.Parameter, value: str) -> str:
    text = " ".join(value.split())
    if len(text) > LONGEST_REASON:
        raise click.BadParameter(f"at most {LONGEST_REASON} characters")
    return text


@click.command()
@click.argument("host")
@click.option(
    "--reason",
    default="",
    metavar="TEXT",
    callback=_one_line,
    help="Why nothing has to be done; 'status' shows it.",
)
@click.option("--undo", is_flag=True, help="Put the record back into the mails.")
@click.pass_obj
def ack(app: App, host: str, reason: str, undo: bool) -> int:
    """Take a record that needs attention out of cron's mails.

    HOST is a name, or else an id. The record is mailed again as soon as something about it changes:
    why it needs attention, its UUID, or its termination. 'status' still shows it. Exits with 128 if
    no such record needs attention.
    """
    if undo and reason:
        raise usage_error("--undo or --reason, not both")
    settings = app.settings()
    satellite = satellite_of(settings).url
    with Journal.open(settings.journal) as journal:
        record = _find(open_records(journal, satellite), host)
        if undo:
            end_acknowledgement(journal, record)
        else:
            acknowledge(journal, record, user(), reason, utc_now())
    what = (
        "back in the mails" if undo else "not mailed until something about it changes"
    )
    app.say_line(f"{record.name} (id {record.host_id}): {what}; {record.reason.value}")
    return 0


def _find(records: list[OpenRecord], host: str) -> OpenRecord:
    """The record of that name or id that needs attention.

    Raises SatelliteNotFound if there is none, and UsageError if several have that name.
    """
    records = [record for record in records if record.decision is Decision.KEEP]
    named = [record for record in records if record.name == host.lower()]
    if not named:
        named = [record for record in records if str(record.host_id) == host]
    if not named:
        raise SatelliteNotFound(
            f"no record {host!r} needs attention; see 'satellite-osp-cleanup status'"
        )
    if len(named) > 1:
        ids = ", ".join(str(record.host_id) for record in named)
        raise usage_error(f"several records are named {host}; name its id: {ids}")
    return named[0]
