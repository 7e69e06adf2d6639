"""The rows that the double of Nova answers from, and the search that picks some of them."""

import re
import time
from dataclasses import dataclass, field
from typing import Any, Callable, NamedTuple, Optional

from .keystone import project_id

# (key, "asc" or "desc"), the most important first.
SortSpec = tuple[tuple[str, str], ...]


class State(NamedTuple):
    """What Nova keeps for a status that its API shows."""

    vm_state: str
    task_state: Optional[str]
    power_state: int


STATES: dict[str, State] = {
    "ACTIVE": State("active", None, 1),
    "BUILD": State("building", "scheduling", 0),
    "DELETED": State("deleted", None, 0),
    "ERROR": State("error", None, 1),
    "HARD_REBOOT": State("active", "rebooting_hard", 1),
    "MIGRATING": State("active", "migrating", 1),
    "PASSWORD": State("active", "updating_password", 1),
    "PAUSED": State("paused", None, 3),
    "REBOOT": State("active", "rebooting", 1),
    "REBUILD": State("active", "rebuilding", 1),
    "RESCUE": State("rescued", None, 1),
    "RESIZE": State("active", "resize_prep", 1),
    "REVERT_RESIZE": State("resized", "resize_reverting", 1),
    "SHELVED": State("shelved", None, 4),
    "SHELVED_OFFLOADED": State("shelved_offloaded", None, 4),
    "SHUTOFF": State("stopped", None, 4),
    "SOFT_DELETED": State("soft-delete", None, 4),
    "SUSPENDED": State("suspended", None, 4),
    "VERIFY_RESIZE": State("resized", None, 1),
}


@dataclass
class Instance:
    """A row of a cell's instances table, and its mapping. Times are epoch seconds, UTC.

    Fields can be changed in place, but after a change of a field that lists are sorted by
    (`created`, `updated`, `project`, `name`, `cell`) call `OpenStack.add` again.

    `project`: a name; `project_id` makes the id of it.
    `status`: a key of STATES but DELETED.
    `cell`: "" for a build request, which is not in any cell yet.
    `updated`: None for NULL, which changes-since never finds.
    `terminated`: set for a tombstone: GET is a 404, only lists that ask for such show it.
    `hidden`: the other half of a cross-cell resize: in no list, but GET finds it.
    `mapped`: False: in lists, but GET does not find it.
    `deleting`: a delete is under way: shown with the status it had.
    """

    uuid: str
    name: str = ""
    project: str = "project-a"
    status: str = "ACTIVE"
    cell: str = "cell1"
    created: float = field(default_factory=time.time)
    updated: Optional[float] = field(default_factory=time.time)
    terminated: Optional[float] = None
    hidden: bool = False
    mapped: bool = True
    deleting: bool = False

    @property
    def shown_status(self) -> str:
        """The status that the API shows."""
        return self.status if self.terminated is None else "DELETED"

    @property
    def vm_state(self) -> str:
        """Nova's internal state, which a filter by status is turned into."""
        return STATES[self.shown_status].vm_state

    @property
    def task_state(self) -> Optional[str]:
        """What is being done to it, as Nova names it."""
        if self.deleting and self.terminated is None:
            return "deleting"
        return STATES[self.shown_status].task_state

    @property
    def queued_for_delete(self) -> bool:
        """What the mapping says; at 2.69 and later, GET in a down cell relies on it."""
        return self.deleting or self.shown_status in ("DELETED", "SOFT_DELETED")


SORTABLE: dict[str, Callable[[Instance], Any]] = {
    "created_at": lambda row: row.created,
    "display_name": lambda row: row.name,
    "project_id": lambda row: project_id(row.project),
    "terminated_at": lambda row: (row.terminated is not None, row.terminated),
    "updated_at": lambda row: (row.updated is not None, row.updated),
    "uuid": lambda row: row.uuid,
    "vm_state": lambda row: row.vm_state,
}


class Order(NamedTuple):
    """The rows of one region in one order, and the position of each.

    `builds`: the rows that are not in a cell yet.
    """

    table: dict[str, Instance]
    size: int
    rows: list[Instance]
    builds: list[Instance]
    position: dict[str, int]
    cells: frozenset[str]

    @classmethod
    def of(cls, table: dict[str, Instance], spec: SortSpec) -> "Order":
        """Sort the table."""
        everything = list(table.values())
        for key, direction in reversed(spec):
            everything.sort(key=SORTABLE[key], reverse=direction == "desc")
        rows = [row for row in everything if row.cell]
        builds = [row for row in everything if not row.cell]
        position = {row.uuid: place for place, row in enumerate(rows)}
        cells = frozenset(row.cell for row in rows)
        return cls(table, len(table), rows, builds, position, cells)

    def is_of(self, table: dict[str, Instance]) -> bool:
        """Whether it is still valid, even if rows came or went without `OpenStack.add`."""
        return self.table is table and self.size == len(table)


@dataclass
class Search:
    """What a list is limited to; None: not limited.

    `project` is an id, `name` a regular expression; `since` and `before` are epoch seconds.
    `deleted`: None for rows deleted or not.
    """

    uuid: Optional[str] = None
    project: Optional[str] = None
    name: Optional[str] = None
    vm_states: Optional[set[str]] = None
    task_states: Optional[set[Optional[str]]] = None
    since: Optional[float] = None
    before: Optional[float] = None
    deleted: Optional[bool] = False
    soft_deleted: bool = False

    def fits(self, row: Instance) -> bool:
        """Whether the row passes the filters that apply to build requests too."""
        if self.uuid is not None and row.uuid != self.uuid:
            return False
        if self.project is not None and project_id(row.project) != self.project:
            return False
        if self.vm_states is not None and row.vm_state not in self.vm_states:
            return False
        if self.task_states is not None and row.task_state not in self.task_states:
            return False
        return self.name is None or re.search(self.name, row.name) is not None

    def finds(self, row: Instance) -> bool:
        """Whether a row of a cell belongs in the list."""
        if (
            row.hidden
            or not self._takes_deletion_of(row)
            or not self._takes_change_of(row)
        ):
            return False
        return self.fits(row)

    def _takes_deletion_of(self, row: Instance) -> bool:
        if self.deleted is None:
            return True
        is_tombstone = row.terminated is not None
        is_soft_deleted = not is_tombstone and row.status == "SOFT_DELETED"
        if self.deleted:
            return is_tombstone or (is_soft_deleted and self.soft_deleted)
        return not is_tombstone and (self.soft_deleted or not is_soft_deleted)

    def _takes_change_of(self, row: Instance) -> bool:
        if self.since is None and self.before is None:
            return True
        if row.updated is None:
            return False
        if self.since is not None and row.updated < self.since:
            return False
        return self.before is None or row.updated <= self.before
