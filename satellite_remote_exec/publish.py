"""Bring the job templates into Satellite over its API, and say what changed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from foreman_hooks.satellite.client import (
    MANY,
    Satellite,
    SatelliteError,
    SatelliteNotFound,
    quoted,
)

from .build import JobTemplate

CHECK = "OSP - Check instances"
AS_ROOT = ("OSP - Clean up terminated hosts", "OSP - Publish instance identity")
_COMPARED = ("template", "job_category", "description_format", "provider_type", "description")
_COMPARED_OF_INPUTS = (
    "name",
    "input_type",
    "value_type",
    "required",
    "default",
    "options",
    "advanced",
    "description",
)


class Published(NamedTuple):
    """`change` is created, updated or unchanged; `detail` says what, and what stays though
    something else was asked.
    """

    name: str
    change: str
    detail: str


def publish(
    satellite: Satellite,
    templates: Sequence[JobTemplate],
    organizations: Sequence[str] = (),
    locations: Sequence[str] = (),
    check_user: Optional[str] = None,
) -> Iterator[Published]:
    """Import each template, into these organizations and locations (none named: all that are
    visible).

    `check_user` becomes the effective user of the check, unless somebody chose another.  Raises
    SatelliteError; on a 403 it names the permission.
    """
    if not satellite.has_remote_execution():
        raise SatelliteNotFound(
            f"{satellite.url}: remote execution is not installed there, so there are no job "
            "templates; install it, or do without"
        )
    where = {
        "organizations": _ids(satellite, "organizations", organizations),
        "locations": _ids(satellite, "locations", locations),
    }
    for template in templates:
        user = (
            check_user if template.name == CHECK else "root" if template.name in AS_ROOT else None
        )
        yield _publish_one(satellite, template, where, user)


def _ids(satellite: Satellite, kind: str, names: Sequence[str]) -> dict[int, str]:
    """Id -> name of the organizations or locations of these names, or of all that are visible."""
    visible = {
        one.get("id"): str(one.get("title"))
        for one in satellite.listing(f"/api/{kind}", per_page=MANY)
    }
    unknown = set(names) - set(visible.values())
    if unknown:
        raise SatelliteNotFound(
            f"{satellite.url}: no such {kind[:-1]} is visible: {', '.join(sorted(unknown))}"
        )
    return {
        key: name
        for key, name in visible.items()
        if isinstance(key, int) and (not names or name in names)
    }


def _publish_one(
    satellite: Satellite,
    template: JobTemplate,
    where: Mapping[str, Mapping[int, str]],
    user: Optional[str],
) -> Published:
    before = _find(satellite, template.name)
    # a limited login has to name one of each; and a template is found, to be overwritten, in its
    # own ones only
    context = {
        f"{kind[:-1]}_id": min(ids)
        for kind, ids in (
            where if before is None else {kind: _named(before, kind) for kind in where}
        ).items()
        if ids
    }
    imported = satellite.call(
        "POST",
        "/api/job_templates/import",
        json={"template": template.text, "overwrite": True, **context},
    )
    if imported.get("name") != template.name or not isinstance(imported.get("id"), int):
        raise SatelliteError(f"{satellite.url}: the import of {template.name} gave something else")
    wanted = _wanted(_show(satellite, imported["id"]), where, user)
    if wanted:
        satellite.call("PUT", f"/api/job_templates/{imported['id']}", json={"job_template": wanted})
    after = _show(satellite, imported["id"])
    if before is None:
        names = [", ".join(ids.values()) for ids in where.values()]
        return Published(
            template.name,
            "created",
            f"in {' / '.join(filter(None, names)) or 'no organization'}"
            + (f", as {_user(after)}" if _user(after) else ""),
        )
    changes = _changes(before, after)
    stays = (
        [f"effective user stays {_user(after)}, not {user}"]
        if user and _user(after) != user
        else []
    )
    return Published(
        template.name, "updated" if changes else "unchanged", ", ".join(changes + stays)
    )


def _find(satellite: Satellite, name: str) -> Optional[dict[str, Any]]:
    for found in satellite.listing(
        "/api/job_templates", search=f"name = {quoted(name)}", per_page=2
    ):
        if found.get("name") == name and isinstance(found.get("id"), int):
            return _show(satellite, found["id"])
    return None


def _show(satellite: Satellite, template_id: int) -> dict[str, Any]:
    return satellite.get(f"/api/job_templates/{template_id}")


def _wanted(
    now: Mapping[str, Any], where: Mapping[str, Mapping[int, str]], user: Optional[str]
) -> dict[str, Any]:
    """What the import leaves to be set: nothing is taken away, and an effective user that somebody
    chose stays.
    """
    wanted: dict[str, Any] = {}
    for kind, ids in where.items():
        there = set(_named(now, kind))
        if not there >= set(ids):
            wanted[f"{kind[:-1]}_ids"] = sorted(there | set(ids))
    if user and not _user(now):
        wanted["effective_user_attributes"] = {"value": user}
    return wanted


def _user(template: Mapping[str, Any]) -> str:
    user = template.get("effective_user")
    return str(user.get("value") or "") if isinstance(user, dict) else ""


def _named(template: Mapping[str, Any], kind: str) -> dict[int, str]:
    return {
        one["id"]: str(one.get("title"))
        for one in template.get(kind) or ()
        if isinstance(one.get("id"), int)
    }


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What is another now, in words."""
    changes = [name.replace("_", " ") for name in _COMPARED if before.get(name) != after.get(name)]
    changes += ["inputs"] if _inputs(before) != _inputs(after) else []
    changes += [f"effective user {_user(after)}"] if _user(before) != _user(after) else []
    for kind in ("organizations", "locations"):
        new = [name for key, name in _named(after, kind).items() if key not in _named(before, kind)]
        changes += [f"{kind} {', '.join(new)}"] if new else []
    return changes


def _inputs(template: Mapping[str, Any]) -> list[list[Any]]:
    return sorted(
        [str(one.get(name)) for name in _COMPARED_OF_INPUTS]
        for one in template.get("template_inputs") or ()
        if isinstance(one, dict)
    )
