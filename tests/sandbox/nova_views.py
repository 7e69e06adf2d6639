"""What the double of Nova sends: servers, version documents and errors of nova 34.0.0."""

import hashlib
import time
import uuid
from typing import Any, NamedTuple, Optional

from .instances import STATES, Instance
from .keystone import project_id, stable_id
from .nova_query import MAXIMUM, MINIMUM, Call, Fault, Version, dotted
from .server import Answer

FAULTS = {400: "badRequest", 403: "forbidden", 404: "itemNotFound"}
NO_SUCH_PAGE = """<html>
 <head>
  <title>404 Not Found</title>
 </head>
 <body>
  <h1>404 Not Found</h1>
  The resource could not be found.<br /><br />



 </body>
</html>"""
IMAGE = str(uuid.UUID(int=7))
WITH_PROGRESS = frozenset(
    ("ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING")
)
FLAVOR = {
    "vcpus": 1,
    "ram": 2048,
    "disk": 10,
    "ephemeral": 0,
    "swap": 0,
    "original_name": "m1.small",
    "extra_specs": {},
}


class Attribute(NamedTuple):
    """A key of a server, and the first microversion that shows it."""

    first: Version
    key: str
    value: Any


LATER = (
    Attribute((2, 9), "locked", False),
    Attribute((2, 19), "description", None),
    Attribute((2, 26), "tags", []),
    Attribute((2, 47), "flavor", FLAVOR),
    Attribute((2, 63), "trusted_image_certificates", None),
    Attribute((2, 73), "locked_reason", None),
    Attribute((2, 96), "pinned_availability_zone", "nova"),
    Attribute((2, 100), "scheduler_hints", {}),
)
KEPT_IN_STUBS = (
    "image",
    "flavor",
    "user_id",
    "OS-EXT-AZ:availability_zone",
    "server_groups",
)


def brief(row: Instance, call: Call) -> dict[str, Any]:
    """The server in a list without detail."""
    return {"id": row.uuid, "name": row.name, "links": links(row, call)}


def stub(row: Instance, call: Call, right: str) -> dict[str, Any]:
    """A server of a down cell, as 2.69 and later show it; `right`: index, detail or show."""
    shown: dict[str, Any] = {
        "id": row.uuid,
        "status": "UNKNOWN",
        "links": links(row, call),
    }
    if right != "index":
        shown.update(
            {"tenant_id": project_id(row.project), "created": iso(row.created)}
        )
    if right == "show":
        whole = full(row, call, right)
        shown.update({key: whole[key] for key in KEPT_IN_STUBS if key in whole})
        shown["OS-EXT-STS:power_state"] = 0
    return shown


def full(row: Instance, call: Call, right: str) -> dict[str, Any]:
    """The server with everything that the microversion and the caller's role show."""
    shown = {**identity(row, call), **state(row)}
    later = [*LATER, *for_admins(row)] if call.caller.is_admin else LATER
    for attribute in later:
        if attribute.first <= call.version:
            shown[attribute.key] = attribute.value
    if call.version >= (2, 71) and right == "show":
        shown["server_groups"] = []
    if call.version >= (2, 90):
        shown["OS-EXT-SRV-ATTR:hostname"] = row.name
    if call.version >= (2, 98):
        shown["image"]["properties"] = {}
    return shown


def identity(row: Instance, call: Call) -> dict[str, Any]:
    """What the server is, at 2.1."""
    host = host_of(row)
    project = project_id(row.project)
    host_id = hashlib.sha224((project + host).encode()).hexdigest() if host else ""
    return {
        "accessIPv4": "",
        "accessIPv6": "",
        "addresses": {},
        "config_drive": "",
        "key_name": None,
        "metadata": {},
        "flavor": {
            "id": "1",
            "links": [{"rel": "bookmark", "href": f"{call.site}/flavors/1"}],
        },
        "hostId": host_id,
        "id": row.uuid,
        "image": {
            "id": IMAGE,
            "links": [{"rel": "bookmark", "href": f"{call.site}/images/{IMAGE}"}],
        },
        "links": links(row, call),
        "name": row.name,
        "tenant_id": project,
        "user_id": stable_id("user", row.project),
        "OS-DCF:diskConfig": "MANUAL",
        "OS-EXT-AZ:availability_zone": "nova",
        "os-extended-volumes:volumes_attached": [],
    }


def state(row: Instance) -> dict[str, Any]:
    """The state of the server, at 2.1; an updated_at of NULL is shown as the present time."""
    updated = time.time() if row.updated is None else row.updated
    shown = {
        "status": row.shown_status,
        "created": iso(row.created),
        "updated": iso(updated),
        "OS-EXT-STS:task_state": row.task_state,
        "OS-EXT-STS:vm_state": row.vm_state,
        "OS-EXT-STS:power_state": STATES[row.shown_status].power_state,
        "OS-SRV-USG:launched_at": micros(
            None if row.status == "BUILD" else row.created
        ),
        "OS-SRV-USG:terminated_at": micros(row.terminated),
    }
    if row.shown_status in WITH_PROGRESS:
        shown["progress"] = 0
    return shown


def for_admins(row: Instance) -> tuple[Attribute, ...]:
    """The attributes that only admins see."""
    prefix = "OS-EXT-SRV-ATTR:"
    host = host_of(row)
    instance_name = f"instance-{row.uuid[:8]}" if row.cell else ""
    return (
        Attribute((2, 1), prefix + "host", host or None),
        Attribute((2, 1), prefix + "hypervisor_hostname", host or None),
        Attribute((2, 1), prefix + "instance_name", instance_name),
        Attribute((2, 3), prefix + "hostname", row.name),
        Attribute((2, 3), prefix + "kernel_id", None),
        Attribute((2, 3), prefix + "launch_index", 0),
        Attribute((2, 3), prefix + "ramdisk_id", None),
        Attribute((2, 3), prefix + "reservation_id", f"r-{row.uuid[:8]}"),
        Attribute((2, 3), prefix + "root_device_name", "/dev/vda"),
        Attribute((2, 3), prefix + "user_data", None),
        Attribute((2, 16), "host_status", "UP" if host else ""),
    )


def host_of(row: Instance) -> str:
    """The hypervisor that it runs on; empty if there is none."""
    return "" if row.shown_status in ("BUILD", "SHELVED_OFFLOADED") else "compute-1"


def links(row: Instance, call: Call) -> list[dict[str, str]]:
    """The addresses of the server."""
    return [
        {"rel": "self", "href": f"{call.site}/v2.1/servers/{row.uuid}"},
        {"rel": "bookmark", "href": f"{call.site}/servers/{row.uuid}"},
    ]


def iso(seconds: float) -> str:
    """Epoch seconds as most of the API writes them."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def micros(seconds: Optional[float]) -> Optional[str]:
    """Epoch seconds as OS-SRV-USG writes them: no zone, six zeros."""
    if seconds is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000", time.gmtime(seconds))


def versions(site: str) -> Answer:
    """The list of versions, which is at the root and needs no token."""
    offered = version_document(site)
    del offered["media-types"], offered["links"][1:]
    return Answer(200, {"versions": [offered]}, {"Content-Type": "application/json"})


def version_document(site: str) -> dict[str, Any]:
    """What the version 2.1 offers."""
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": dotted(MAXIMUM),
        "min_version": dotted(MINIMUM),
        "updated": "2013-07-23T11:33:21Z",
        "links": [
            {"rel": "self", "href": f"{site}/v2.1/"},
            {
                "rel": "describedby",
                "type": "text/html",
                "href": "http://docs.openstack.org/",
            },
        ],
        "media-types": [
            {
                "base": "application/json",
                "type": "application/vnd.openstack.compute+json;version=2.1",
            }
        ],
    }


def reply(status: int, body: Any, version: Optional[Version] = None) -> Answer:
    """An answer with Nova's headers; `version`: None if the request failed before it was read."""
    request_id = f"req-{uuid.uuid4()}"
    headers = {
        "x-openstack-request-id": request_id,
        "x-compute-request-id": request_id,
        "Content-Type": "application/json"
        if status < 400
        else "application/json; charset=UTF-8",
    }
    if version is not None:
        text = dotted(version)
        headers.update(
            {
                "OpenStack-API-Version": f"compute {text}",
                "X-OpenStack-Nova-API-Version": text,
                "Vary": "OpenStack-API-Version, X-OpenStack-Nova-API-Version",
            }
        )
    return Answer(status, body, headers)


def fault_reply(fault: Fault, version: Optional[Version]) -> Answer:
    """The answer for a Fault."""
    name = FAULTS.get(fault.status, "computeFault")
    return reply(
        fault.status, {name: {"code": fault.status, "message": str(fault)}}, version
    )


def no_such_page() -> Answer:
    """The 404 of a path that does not exist: HTML, while that of a server is JSON."""
    answer = reply(404, NO_SUCH_PAGE)
    return answer._replace(
        headers={**answer.headers, "Content-Type": "text/html; charset=UTF-8"}
    )


def unauthorized(url: str) -> Answer:
    """No token, or an invalid one: the middleware answers, before Nova does."""
    error = {
        "code": 401,
        "title": "Unauthorized",
        "message": "The request you have made requires authentication.",
    }
    answer = reply(401, {"error": error})
    headers = {
        **answer.headers,
        "Content-Type": "application/json",
        "WWW-Authenticate": f'Keystone uri="{url}/v3"',
    }
    return answer._replace(headers=headers)
