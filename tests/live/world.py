"""The contents of the cloud before a test changes anything: plain data, no I/O.

Labels name instances: "cell1/active" is in that cell of RegionOne, "r2/active" is in RegionTwo.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, replace

REGIONS = {"RegionOne": ("cell1", "cell2"), "RegionTwo": ("cell1",)}  # and a cell0 each
PROJECTS = ("project-a", "project-b", "project-c", "service")
CUSTOM_ROLE = "host_checker"  # a role that operators would create for this product
SYSTEM = "system"  # in place of a project: a role on the whole cloud

# user -> (password, ((role, project or SYSTEM), …)); the first project is used to log in
USERS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "admin": ("live-admin", (("admin", "admin"),)),
    "nova": ("live-nova", (("admin", "service"), ("service", "service"))),
    "admin-a": ("live-admin-a", (("admin", "project-a"),)),
    "member-a": ("live-member-a", (("member", "project-a"),)),
    "reader-a": ("live-reader-a", (("reader", "project-a"),)),
    "checker": ("live-checker", ((CUSTOM_ROLE, "project-a"),)),
    "svc": ("live-svc", (("service", "service"),)),
    "sys-reader": ("live-sys-reader", (("reader", SYSTEM),)),
}
OWNER = "member-a"  # the user that owns every instance

# The least that CUSTOM_ROLE needs to list the servers of all projects and to filter that list: what
# docs/roles.md shows.
DOCUMENTED_POLICY = {
    **{
        f"os_compute_api:servers:{action}": f"rule:project_reader_or_admin or role:{CUSTOM_ROLE}"
        for action in ("index", "detail")
    },
    **{
        f"os_compute_api:servers:{action}": f"rule:context_is_admin or role:{CUSTOM_ROLE}"
        for action in (
            "index:get_all_tenants",
            "detail:get_all_tenants",
            "allow_all_filters",
        )
    },
}
LEAST_PRIVILEGE_POLICY = {
    **DOCUMENTED_POLICY,
    "os_compute_api:servers:show": f"rule:project_reader_or_admin or role:{CUSTOM_ROLE}",
}


@dataclass(frozen=True)
class Instance:
    """How an instance looks in the databases; the states are those of nova.compute.vm_states."""

    cell: str | None = "cell1"  # None: only requested, in no cell yet
    region: str = "RegionOne"
    project: str = "project-b"
    vm_state: str = "active"
    task_state: str | None = None
    hidden: bool = False  # the half of a cross-cell resize that is not shown
    on_a_host: bool = True
    age_days: int = 30  # since it was booted; lists begin with the newest
    ever_saved: bool = True  # False: updated_at is NULL, as after its creation
    mapped: bool = True  # False: nova-api does not know its cell
    request_spec: bool = True
    queued_for_delete: bool = False
    terminated: bool = False  # deleted a moment ago; its row is not archived yet


def uuid_of(label: str) -> str:
    """A UUID that depends only on the label and looks random."""
    return str(uuid.UUID(bytes=hashlib.sha256(label.encode()).digest()[:16], version=4))


def _states() -> dict[str, Instance]:
    """The instances in each cell of RegionOne."""
    soft_deleted = Instance(vm_state="soft-delete", queued_for_delete=True)
    deleted = Instance(terminated=True)
    return {
        "active": Instance(),
        "active-project-a": Instance(project="project-a"),
        "stopped": Instance(vm_state="stopped"),
        "error": Instance(vm_state="error"),
        "paused": Instance(vm_state="paused"),
        "shelved-offloaded": Instance(vm_state="shelved_offloaded", on_a_host=False),
        "resize-confirm": Instance(vm_state="resized"),
        "migrating": Instance(task_state="migrating"),
        "soft-deleted": soft_deleted,
        "soft-deleted-project-a": replace(soft_deleted, project="project-a"),
        "deleting": Instance(task_state="deleting", queued_for_delete=True),
        "delete-failed-queued": Instance(vm_state="error", queued_for_delete=True),
        "hidden": Instance(hidden=True),
        "never-saved": Instance(ever_saved=False),
        # Young, because no list can continue after a page that ends with it: see test_cloud.py.
        "no-mapping": Instance(mapped=False, age_days=1),
        "no-request-spec": Instance(request_spec=False),
        "deleted": deleted,
        "deleted-2": deleted,
        "deleted-project-a": replace(deleted, project="project-a"),
    }


INSTANCES: dict[str, Instance] = {
    **{
        f"{cell}/{name}": replace(look, cell=cell)
        for cell in REGIONS["RegionOne"]
        for name, look in _states().items()
    },
    "cell0/error-no-host": Instance(cell="cell0", vm_state="error", on_a_host=False),
    "building-request-only": Instance(
        cell=None, vm_state="building", task_state="scheduling", on_a_host=False
    ),
    "r2/active": Instance(region="RegionTwo"),
    "r2/active-project-a": Instance(region="RegionTwo", project="project-a"),
    "r2/deleted": Instance(region="RegionTwo", terminated=True),
}
# The label of an instance that existed once and left no trace in any database.
PURGED = "purged"
