"""restore: create a deleted host record again."""

import re
from typing import Optional

import click

from foreman_hooks.cleanup.journal import Deletion, Journal
from foreman_hooks.cleanup.run import utc_now
from foreman_hooks.commands.app import App, satellite_of
from foreman_hooks.commands.history import find_deletion
from foreman_hooks.errors import BadData
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.records import fetch_record
from foreman_hooks.satellite.restore import Restored
from foreman_hooks.satellite.restore import restore as restore_record


@click.command()
@click.argument("host")
@click.pass_obj
def restore(app: App, host: str) -> int:
    """Restore a deleted host record.

    HOST is a name, or the number that 'history list' shows. Name, organization, location, host
    group, parameters, comment and owner come back from the snapshot; what cannot come back, such as
    the registration, is listed with what to do. A host record that exists is never changed. If the
    journal says that the deletion failed or is unfinished, Satellite is asked whether the record is
    gone after all.
    """
    is_number = re.fullmatch("[0-9]{1,18}", host) is not None
    deletion = find_deletion(app, int(host) if is_number else host.lower())
    settings = app.settings()
    satellite = satellite_of(settings)
    with Journal.open(settings.journal) as journal:
        _check_deleted(satellite, deletion)
        restored = restore_record(satellite, deletion.snapshot)
        _show(app, restored, deletion.host_id)
        journal.note_restored(deletion.id, restored.host_id, utc_now())
    return 0


def _show(app: App, restored: Restored, old_id: int) -> None:
    app.say_line(f"restored {restored.name} as host {restored.host_id} (was {old_id})")
    for what, advice in restored.lost:
        app.say_line(f"not restored: {what} -> {advice}")


def _check_deleted(satellite: Satellite, deletion: Deletion) -> None:
    """Raise BadData if another Satellite deleted the record, or if it still exists."""
    name = deletion.name
    if deletion.satellite != satellite.url:
        raise BadData(
            f"{name} was deleted at {deletion.satellite}, not at {satellite.url}"
        )
    if deletion.result == "deleted":
        return
    record = fetch_record(satellite, deletion.host_id)
    if record:
        raise BadData(_nothing_to_restore(deletion, record.consumer))


def _nothing_to_restore(deletion: Deletion, consumer: Optional[str]) -> str:
    """Why a record that still exists is left alone, and what the deletion removed from it.

    `consumer`: the UUID of its registration; None if it is not registered.
    """
    result = deletion.result or "unfinished"
    text = (
        f"{deletion.name} still exists as host {deletion.host_id}, so there is nothing to "
        f"restore; the journal has deletion {deletion.id} as {result}"
    )
    if deletion.detail:
        text += f" ({deletion.detail})"
    facet = deletion.snapshot.get("subscription_facet_attributes") or {}
    if facet.get("uuid") and not consumer:
        text += "; it lost its registration: register the machine again if it is alive"
    return text
