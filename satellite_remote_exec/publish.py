"""Publish the job templates to Satellite through its API, and say what changed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from foreman_hooks.satellite.client import MANY, Satellite, quoted
from foreman_hooks.satellite.errors import SatelliteError, SatelliteNotFound
from foreman_hooks.satellite.installation import has_remote_execution
from satellite_remote_exec.build import JobTemplate

CHECK = "OSP - Check instances"
AS_ROOT = ("OSP - Clean up terminated hosts", "OSP - Publish instance identity")
# Foreman's word for organizations and locations; plural (in paths) and singular (in parameters).
_TAXONOMIES = {"organizations": "organization", "locations": "location"}
_COMPARED_FIELDS = (
    "template",
    "job_category",
    "description_format",
    "provider_type",
    "description",
)
_COMPARED_FIELDS_OF_INPUTS = (
    "name",
    "input_type",
    "value_type",
    "required",
    "default",
    "options",
    "advanced",
    "description",
)
Row = Mapping[str, Any]  # a JSON object of Satellite's API
Titles = Mapping[int, str]  # organizations or locations: id -> title
Targets = Mapping[str, Titles]  # "organizations" and "locations": those to publish to


class Published(NamedTuple):
    """What happened to one template.

    `change`: created, updated or unchanged.  `detail`: what changed, and what stays although
    another value was asked for.
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
    """Import each template into these organizations and locations, and yield what happened to it.

    `organizations`, `locations`: titles; empty: all that the login can see.
    `check_user`: the effective user of the check, unless the template already has another.
    Raises SatelliteNotFound if there is no remote execution, or no organization or location with
    that title, before anything is changed; SatelliteError, which on a 403 names the permission.
    """
    if not has_remote_execution(satellite):
        raise SatelliteNotFound(
            f"{satellite.url}: remote execution is not installed, so there are no job templates; "
            "install it, or work without them"
        )
    targets = {
        "organizations": _select(satellite, "organizations", organizations),
        "locations": _select(satellite, "locations", locations),
    }
    for template in templates:
        user = _user_for(template, check_user)
        yield _publish_template(satellite, template, targets, user)


def _select(satellite: Satellite, kind: str, titles: Sequence[str]) -> Titles:
    """The organizations or locations with these titles; all visible ones if there are none."""
    visible = _titles(satellite.listing(f"/api/{kind}", per_page=MANY))
    unknown = set(titles) - set(visible.values())
    if unknown:
        names = ", ".join(sorted(unknown))
        raise SatelliteNotFound(
            f"{satellite.url}: this login can see no {_TAXONOMIES[kind]} named {names}"
        )
    if not titles:
        return visible
    return {key: title for key, title in visible.items() if title in titles}


def _titles(rows: Optional[Iterable[Row]]) -> dict[int, str]:
    """Id -> title of the organizations or locations in these rows, if there are any."""
    titles = {}
    for row in rows or ():
        key = row.get("id")
        if isinstance(key, int):
            titles[key] = str(row.get("title"))
    return titles


def _user_for(template: JobTemplate, check_user: Optional[str]) -> Optional[str]:
    """The effective user that a template should have; None: what Satellite's setting says."""
    if template.name == CHECK:
        return check_user
    if template.name in AS_ROOT:
        return "root"
    return None


def _publish_template(
    satellite: Satellite,
    template: JobTemplate,
    targets: Targets,
    user: Optional[str],
) -> Published:
    before = _find(satellite, template.name)
    template_id = _import(satellite, template, _context(before, targets))
    imported = _show(satellite, template_id)
    missing = _missing(imported, targets, user)
    if missing:
        path = f"/api/job_templates/{template_id}"
        satellite.call("PUT", path, json={"job_template": missing})
    after = _show(satellite, template_id)
    if before is None:
        description = _describe_new(after, targets)
        return Published(template.name, "created", description)
    details = _changes(before, after)
    change = "updated" if details else "unchanged"
    if user and _user(after) != user:
        details.append(f"effective user stays {_user(after)}, not {user}")
    return Published(template.name, change, ", ".join(details))


def _find(satellite: Satellite, name: str) -> Optional[Row]:
    """The template with this name as Satellite has it now, or None."""
    search = f"name = {quoted(name)}"
    for row in satellite.listing("/api/job_templates", search=search, per_page=2):
        if row.get("name") == name and isinstance(row.get("id"), int):
            return _show(satellite, row["id"])
    return None


def _show(satellite: Satellite, template_id: int) -> Row:
    return satellite.get(f"/api/job_templates/{template_id}")


def _context(before: Optional[Row], targets: Targets) -> dict[str, int]:
    """The organization and location in which to import, as parameters of the request.

    A limited login has to name one of each.  An existing template is found, and overwritten, only
    in an organization and a location that it belongs to.
    """
    context = {}
    for kind, singular in _TAXONOMIES.items():
        titles = targets[kind]
        if before is not None:
            titles = _titles(before.get(kind))
        if titles:
            context[f"{singular}_id"] = min(titles)
    return context


def _import(
    satellite: Satellite, template: JobTemplate, context: Mapping[str, int]
) -> int:
    """Create or overwrite a template; returns its id in Satellite."""
    body = {"template": template.text, "overwrite": True, **context}
    imported = satellite.call("POST", "/api/job_templates/import", json=body)
    template_id = imported.get("id")
    if isinstance(template_id, int) and imported.get("name") == template.name:
        return template_id
    raise SatelliteError(
        f"{satellite.url}: the import of {template.name} returned another template"
    )


def _missing(current: Row, targets: Targets, user: Optional[str]) -> dict[str, Any]:
    """The fields to set after the import.

    No organization or location is taken away, and an effective user that is already set stays.
    """
    fields: dict[str, Any] = {}
    for kind, singular in _TAXONOMIES.items():
        current_ids = set(_titles(current.get(kind)))
        all_ids = current_ids.union(targets[kind])
        if all_ids != current_ids:
            fields[f"{singular}_ids"] = sorted(all_ids)
    if user and not _user(current):
        fields["effective_user_attributes"] = {"value": user}
    return fields


def _user(template: Row) -> str:
    """The effective user that is set in a template, or ""."""
    user = template.get("effective_user")
    if not isinstance(user, dict):
        return ""
    return str(user.get("value") or "")


def _describe_new(template: Row, targets: Targets) -> str:
    """Where a new template can be used, and as whom it runs."""
    names = [", ".join(titles.values()) for titles in targets.values() if titles]
    text = f"in {' / '.join(names) or 'no organization'}"
    user = _user(template)
    if user:
        text += f", as {user}"
    return text


def _changes(before: Row, after: Row) -> list[str]:
    """The names of the fields that differ, with the new organizations, locations and user."""
    changed = [name for name in _COMPARED_FIELDS if before.get(name) != after.get(name)]
    changes = [name.replace("_", " ") for name in changed]
    if _inputs(before) != _inputs(after):
        changes.append("inputs")
    if _user(before) != _user(after):
        changes.append(f"effective user {_user(after)}")
    for kind in _TAXONOMIES:
        new = _titles(after.get(kind))
        for key in _titles(before.get(kind)):
            new.pop(key, None)
        if new:
            changes.append(f"{kind} {', '.join(new.values())}")
    return changes


def _inputs(template: Row) -> list[list[str]]:
    """The inputs of a template in a form that can be compared; their order does not matter."""
    rows = template.get("template_inputs") or ()
    return sorted(_comparable(row) for row in rows if isinstance(row, dict))


def _comparable(row: Row) -> list[str]:
    return [str(row.get(name)) for name in _COMPARED_FIELDS_OF_INPUTS]
