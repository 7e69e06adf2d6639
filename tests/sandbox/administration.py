"""Everything but hosts in the Satellite double: status, permissions, places, settings, owners."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .calls import PERMISSIONS, Call, leading_number, listed, not_found, select
from .fields import SETTING_FIELDS, TAXONOMY_FIELDS
from .hosts import CANDLEPIN_DOWN
from .logins import VERSION
from .records import taxonomy_entry
from .server import Answer, utc

if TYPE_CHECKING:
    from .satellite import Satellite

KATELLO_VERSION = "4.14.3"


def show_status(satellite: "Satellite", call: Call) -> Answer:
    """GET /status."""
    return Answer(
        200, {"result": "ok", "status": 200, "version": VERSION, "api_version": 2}
    )


def show_katello_status(satellite: "Satellite", call: Call) -> Answer:
    """GET /katello/api/status."""
    return Answer(200, {"version": KATELLO_VERSION, "timeUTC": utc()})


def show_katello_ping(satellite: "Satellite", call: Call) -> Answer:
    """GET /katello/api/ping: a 200 whatever is down (measured)."""
    names = (
        "candlepin",
        "candlepin_auth",
        "foreman_tasks",
        "katello_events",
        "candlepin_events",
        "pulp",
        "pulp_auth",
    )
    services = {name: {"status": "ok", "duration_ms": "0"} for name in names}
    if not satellite.candlepin_down:
        return Answer(200, {"status": "ok", "services": services})
    no_connection = (
        "Failed to open TCP connection to localhost:23443 "
        '(Connection refused - connect(2) for "localhost" port 23443)'
    )
    services["candlepin"] = {"status": "FAIL", "message": no_connection}
    services["candlepin_auth"] = {"status": "FAIL", "message": CANDLEPIN_DOWN}
    return Answer(200, {"status": "FAIL", "services": services})


def list_permissions(satellite: "Satellite", call: Call) -> Answer:
    """GET /permissions/current_permissions: all of the login's, whatever page is asked for.

    An administrator has all that are known here.
    """
    own = set(PERMISSIONS) if call.user.permissions is None else call.user.permissions
    rows = []
    for number, name in enumerate(sorted({*PERMISSIONS, *own}), 1):
        if name in own:
            row = {"name": name, "id": number, "resource_type": PERMISSIONS.get(name)}
            rows.append(row)
    return listed(call, satellite.page(call, len(rows)), len(rows), len(rows), rows)


def list_organizations(satellite: "Satellite", call: Call) -> Answer:
    """GET /organizations."""
    return _list_taxonomies(satellite, call, satellite.visible_organizations(call.user))


def list_locations(satellite: "Satellite", call: Call) -> Answer:
    """GET /locations."""
    return _list_taxonomies(satellite, call, satellite.visible_locations(call.user))


def list_hostgroups(satellite: "Satellite", call: Call) -> Answer:
    """GET /hostgroups."""
    return _list_taxonomies(satellite, call, satellite.hostgroups)


def _list_taxonomies(
    satellite: "Satellite", call: Call, names: Mapping[int, str]
) -> Answer:
    rows = []
    for key, name in names.items():
        row = {
            **taxonomy_entry(key, name),
            "ancestry": None,
            "parent_id": None,
            "parent_name": None,
            "created_at": satellite.started,
            "updated_at": satellite.started,
        }
        rows.append(row)
    matching = select(call, rows, TAXONOMY_FIELDS, "title")
    page = satellite.page(call, len(rows))
    return listed(call, page, len(rows), len(matching), page.cut(matching))


def list_settings(satellite: "Satellite", call: Call) -> Answer:
    """GET /settings. Measured: `total` is 0, and without a search `subtotal` too."""
    rows = [_setting(name, value) for name, value in satellite.settings.items()]
    page = satellite.page(call, len(rows))
    shown = page.cut(select(call, rows, SETTING_FIELDS, "name"))
    subtotal = len(shown) if call.first("search") else 0
    return listed(call, page, 0, subtotal, shown)


def _setting(name: str, value: object) -> dict[str, Any]:
    kind = {bool: "boolean", int: "integer", list: "array"}.get(type(value), "string")
    title = name.replace("_", " ").capitalize()
    return {
        "description": title,
        "settings_type": kind,
        "default": False if kind == "boolean" else value,
        "updated_at": None,
        "id": name,
        "name": name,
        "full_name": title,
        "value": value,
        "category": "provisioning",
        "category_name": "Provisioning",
        "readonly": False,
        "config_file": None,
        "encrypted": False,
        "select_values": None,
    }


def show_user(satellite: "Satellite", call: Call) -> Answer:
    """GET /users/:id: only id and name, to check that the owner of a host exists."""
    return _by_number(call, "user", satellite.owners)


def show_usergroup(satellite: "Satellite", call: Call) -> Answer:
    """GET /usergroups/:id."""
    return _by_number(call, "usergroup", satellite.usergroups)


def _by_number(call: Call, kind: str, names: Mapping[int, str]) -> Answer:
    number = leading_number(call.args["id"])
    if number not in names:
        raise not_found(f"Resource {kind} not found by id '{call.args['id']}'")
    return Answer(200, {"id": number, "name": names[number]})
