"""Delete a host record: the last look, the deletion itself, and the proof that it is gone."""

from dataclasses import fields
from typing import Optional

from foreman_hooks.rules.model import Record
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.errors import (
    SatelliteChanged,
    SatelliteError,
    SatelliteFault,
    SatelliteForbidden,
    SatelliteHitAnotherHost,
    SatelliteLoginError,
    SatelliteOutcomeUnknown,
    SatelliteRefused,
)
from foreman_hooks.satellite.records import fetch_host, fetch_record

# Not compared: `report_failed` is our own conclusion, and no rule looks at the snapshot.
_NOT_COMPARED = ("report_failed", "snapshot")


def confirm_unchanged(satellite: Satellite, record: Record) -> None:
    """Raise SatelliteChanged unless Satellite still shows exactly this record.

    This is the last request before the deletion.  Raises any other SatelliteError, too.
    """
    current = fetch_record(satellite, record.id)
    if current is None:
        raise SatelliteChanged(
            f"host {record.id} ({record.name}) no longer exists, or is hidden from this login"
        )
    changes = _changed_fields(record, current)
    if changes:
        raise SatelliteChanged(
            f"host {record.id} ({record.name}) is no longer the same: "
            f"{', '.join(changes)} changed"
        )


def _changed_fields(before: Record, after: Record) -> list[str]:
    """The names of the fields in which a record differs now, as words, without their values.

    Everything that a verdict rests on is compared: the identity of the machine, its signs of life,
    and what protects the record or its VM.
    """
    changed = []
    for field in fields(Record):
        is_equal = getattr(before, field.name) == getattr(after, field.name)
        if field.name not in _NOT_COMPARED and not is_equal:
            changed.append(field.name.replace("_", " "))
    return changed


def disassociate(satellite: Satellite, record: Record) -> None:
    """Cut the link to the compute resource, so that deleting the record cannot destroy the VM.

    Raises SatelliteChanged if the record changed, and any other SatelliteError.
    """
    confirm_unchanged(satellite, record)
    satellite.call("PUT", f"/api/hosts/{record.id}/disassociate", json={})


def delete_record(satellite: Satellite, record: Record) -> bool:
    """Delete the record that `confirm_unchanged` has just read; return whether it is gone.

    By its numeric id only: Satellite can mistake a *name* of digits for the id of another host
    (measured).  A 200 proves nothing, since Katello returns it whether or not it deleted the host.
    A host is gone if the login that could read it a moment ago now gets a 404.

    Raises SatelliteOutcomeUnknown if no response shows what happened; any other SatelliteError
    means that the record was not deleted.
    """
    problem = _send_deletion(satellite, record)
    try:
        gone = is_gone(satellite, record.id)
    except SatelliteError as error:
        raise SatelliteOutcomeUnknown(
            f"{problem or 'the DELETE was answered'}; the check afterwards failed: {error}"
        ) from error
    if gone or problem is None:
        return gone
    # Satellite itself says that it did nothing.
    if isinstance(problem, (SatelliteRefused, SatelliteFault)):
        raise problem
    raise SatelliteOutcomeUnknown(
        f"{problem}; the record is still there, and the deletion may be under way"
    ) from problem


def _send_deletion(satellite: Satellite, record: Record) -> Optional[SatelliteError]:
    """Send the DELETE; return what went wrong, since only `is_gone` can show what it means.

    Raises SatelliteLoginError and SatelliteForbidden, after which Satellite did nothing, and
    SatelliteHitAnotherHost if it deleted another host, whatever became of ours.
    """
    try:
        answer = satellite.call("DELETE", f"/api/hosts/{record.id}")
    except (SatelliteLoginError, SatelliteForbidden):
        raise
    except SatelliteError as error:
        return error
    if answer.get("id") in (None, record.id):
        return None
    raise SatelliteHitAnotherHost(
        f"{satellite.url}: the DELETE of host {record.id} hit host {answer.get('id')}; "
        "check that host at once"
    )


def is_gone(satellite: Satellite, host_id: int) -> bool:
    """Whether GET of that host is a 404, which is proof only if this login could read it before.

    Raises SatelliteError, also if Satellite shows another host, unless the *name* of that host is
    this id.
    """
    body = fetch_host(satellite, host_id)
    if body is None:
        return True
    shown, name = body.get("id"), body.get("name")
    if shown != host_id and name != str(host_id):
        satellite.raise_unexpected(f"/api/hosts/{host_id}", f"host {shown}")
    return False
