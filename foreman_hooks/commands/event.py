"""event: what an event of Foreman leaves for the next run.

Takes the options of the program bare and needs nothing of `common`: it has to be quick.
"""

from datetime import datetime, timezone
from pathlib import Path
from typing import Optional

import click

from foreman_hooks.commands.output import complain
from foreman_hooks.errors import code_of
from foreman_hooks.hooks import spool as events
from foreman_hooks.paths import CONFIG


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.option(
    "--spool",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to leave the note.  [default: the configuration's 'journal' with .events behind it]",
)
@click.argument("name")
@click.argument("host", default="")
@click.argument("host_id", metavar="[ID]", default="")
@click.pass_obj
def event(config: Optional[Path], spool: Optional[Path], name: str, host: str, host_id: str) -> int:
    """Leave a note of an event of Foreman for the next run.

    Deletes nothing and asks nobody. NAME is host_created, host_facts_updated or host_destroyed,
    with or without .event.foreman, or what foreman_hooks calls them (after_create, after_update,
    after_destroy ...). What HOST and ID do not say is looked for in the event's JSON on standard
    input.

    A classic name exits with 0 even where no note could be left, since foreman_hooks would take
    Foreman's own action back.
    """
    found = events.known(name)
    if found is None:
        return complain(
            f"unknown event {name[:40]!r}; known are host_created, host_facts_updated, host_destroyed",
            64,
        )
    try:
        body = events.read_body()
        if len(body) > events.MAX_BODY:
            click.echo(
                f"the event's body is longer than {events.MAX_BODY} bytes and was not read",
                err=True,
            )
        note = events.note_of(found, host, host_id, body, datetime.now(timezone.utc))
        if spool is None:
            spool = events.spool_of(
                events.journal_of(config or CONFIG, must_exist=config is not None)
            )
        events.leave(spool, note)
    except (events.EventError, events.SpoolError) as error:
        return complain(str(error), 0 if name in events.CLASSIC else code_of(error))
    return 0
