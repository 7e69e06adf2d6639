"""What the journal keeps of a host record, so that `restore` can create the host again.

Fields are chosen by name, and secrets are left out: only what is known to be harmless is kept.
"""

from foreman_hooks.satellite.harmless import is_harmless
from foreman_hooks.satellite.response import JsonObject

NOT_KEPT = "(not kept)"  # in place of the value of a parameter that may be a secret

_FIELDS = (
    "id",
    "name",
    "comment",
    "created_at",
    "last_report",
    "build",
    "managed",
    "enabled",
    "ip",
    "mac",
    "uuid",
    "organization_id",
    "organization_name",
    "location_id",
    "location_name",
    "hostgroup_id",
    "hostgroup_title",
    "owner_id",
    "owner_name",
    "owner_type",
    "model_name",
    "operatingsystem_name",
    "architecture_name",
    "compute_resource_id",
    "compute_resource_name",
)
_FACET_FIELDS = {
    "subscription_facet_attributes": (
        "uuid",
        "last_checkin",
        "registered_at",
        "release_version",
        "service_level",
        "purpose_role",
        "purpose_usage",
        "activation_keys",
    ),
    "content_facet_attributes": (
        "content_view",
        "lifecycle_environment",
        "content_view_environments",
        "content_source_name",
    ),
}


def snapshot_of(body: JsonObject, parameters_shown: bool) -> JsonObject:
    """What is needed to create the host again, from the response to GET /api/hosts/:id.

    `parameters_shown`: whether this login may read parameters; if not, `parameters` is None.
    """
    snapshot = _selected(body, _FIELDS)
    for facet, fields in _FACET_FIELDS.items():
        if isinstance(body.get(facet), dict):
            snapshot[facet] = _selected(body[facet], fields)
    collections = body.get("host_collections") or []
    snapshot["host_collections"] = [
        collection.get("name") for collection in collections
    ]
    snapshot["parameters"] = _own_parameters(body) if parameters_shown else None
    return snapshot


def _selected(body: JsonObject, fields: tuple[str, ...]) -> JsonObject:
    return {name: body[name] for name in fields if name in body}


def _own_parameters(body: JsonObject) -> JsonObject:
    """Name -> value of the host's own parameters, without the inherited ones."""
    parameters = {}
    for parameter in body.get("parameters") or []:
        name, value = parameter["name"], parameter.get("value")
        is_hidden = parameter.get("hidden_value?")
        is_kept = not is_hidden and is_harmless(name, value)
        parameters[name] = value if is_kept else NOT_KEPT
    return parameters
