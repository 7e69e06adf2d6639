"""event: leave a note of an event of Foreman for the next run.

An event has to be quick, so it gets only the path of the configuration (see LIGHT in `main`), not
an App.
"""

from datetime import datetime, timezone
from pathlib import Path
from typing import Optional

import click

from foreman_hooks.commands.output import complain
from foreman_hooks.errors import code_of
from foreman_hooks.hooks.event import (
    CLASSIC,
    EVENTS,
    MAX_BODY,
    EventError,
    event_named,
    note_of,
    read_body,
)
from foreman_hooks.hooks.spool import SpoolError, journal_of, leave
from foreman_hooks.paths import spool_of


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)
@click.option(
    "--spool",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File for the note.  [default: the configured 'journal', with .events appended]",
)
@click.argument("name")
@click.argument("host", default="")
@click.argument("host_id", metavar="[ID]", default="")
@click.pass_obj
def event(
    config: Optional[Path], spool: Optional[Path], name: str, host: str, host_id: str
) -> int:
    """Leave a note of an event of Foreman for the next run.

    Deletes nothing and sends no requests. NAME is host_created, host_facts_updated or
    host_destroyed, with or without .event.foreman, or the name that foreman_hooks uses
    (after_create, after_update, after_destroy ...). If HOST or ID is missing, it is read from the
    event's JSON on standard input.

    With a name of foreman_hooks the exit code is 0 even if no note could be left, since a hook
    that fails makes Foreman undo its action.
    """
    known = event_named(name)
    if known is None:
        return complain(
            f"unknown event {name[:40]!r}; known events: {', '.join(EVENTS)}", 64
        )
    try:
        body = read_body()
        if len(body) > MAX_BODY:
            warning = (
                f"the body of the event is longer than {MAX_BODY} bytes and was ignored"
            )
            click.echo(warning, err=True)
        note = note_of(known, host, host_id, body, datetime.now(timezone.utc))
        leave(spool or spool_of(journal_of(config)), note)
    except (EventError, SpoolError) as error:
        code = 0 if name in CLASSIC else code_of(error)
        return complain(str(error), code)
    return 0
