"""The rows that the double of Nova answers from, and the search that picks some of them."""

import re
import time
from dataclasses import dataclass, field
from typing import Any, Callable, NamedTuple, Optional

from .keystone import project_id

SortSpec = tuple[tuple[str, str], ...]  # (key, "asc" or "desc"), the most important first

# status: vm_state, task_state, power_state
STATES: "dict[str, tuple[str, Optional[str], int]]" = {
    "ACTIVE": ("active", None, 1),
    "BUILD": ("building", "scheduling", 0),
    "DELETED": ("deleted", None, 0),
    "ERROR": ("error", None, 1),
    "HARD_REBOOT": ("active", "rebooting_hard", 1),
    "MIGRATING": ("active", "migrating", 1),
    "PASSWORD": ("active", "updating_password", 1),
    "PAUSED": ("paused", None, 3),
    "REBOOT": ("active", "rebooting", 1),
    "REBUILD": ("active", "rebuilding", 1),
    "RESCUE": ("rescued", None, 1),
    "RESIZE": ("active", "resize_prep", 1),
    "REVERT_RESIZE": ("resized", "resize_reverting", 1),
    "SHELVED": ("shelved", None, 4),
    "SHELVED_OFFLOADED": ("shelved_offloaded", None, 4),
    "SHUTOFF": ("stopped", None, 4),
    "SOFT_DELETED": ("soft-delete", None, 4),
    "SUSPENDED": ("suspended", None, 4),
    "VERIFY_RESIZE": ("resized", None, 1),
}


@dataclass
class Instance:
    """A row of a cell's instances table, and its mapping.  Times are epoch seconds, UTC.

    Fields may be changed in place, but those that lists are sorted by (`created`, `updated`,
    `project`, `name`, `cell`) only followed by another `OpenStack.add`.
    """

    uuid: str
    name: str = ""
    project: str = "project-a"  # a name; `project_id` makes the id of it
    status: str = "ACTIVE"  # a key of STATES but DELETED
    cell: str = "cell1"  # "": a build request, not in any cell yet
    created: float = field(default_factory=time.time)
    updated: Optional[float] = field(
        default_factory=time.time
    )  # None: NULL, which changes-since never finds
    terminated: Optional[float] = (
        None  # a tombstone: GET is 404, only lists that ask for such show it
    )
    hidden: bool = False  # the other half of a cross-cell resize: in no list, but GET finds it
    mapped: bool = True  # False: in lists, but GET does not find it
    deleting: bool = False  # a delete is under way: shown with the status it had

    @property
    def shown_status(self) -> str:
        """The status that the API shows."""
        return self.status if self.terminated is None else "DELETED"

    @property
    def vm_state(self) -> str:
        """Nova's own state, which a filter by status is turned into."""
        return STATES[self.shown_status][0]

    @property
    def task_state(self) -> Optional[str]:
        """What is being done to it, in Nova's own words."""
        return (
            "deleting"
            if self.deleting and self.terminated is None
            else STATES[self.shown_status][1]
        )

    @property
    def queued_for_delete(self) -> bool:
        """What the mapping notes: at 2.69 and later a down cell's GET takes it for deleted."""
        return self.deleting or self.shown_status in ("DELETED", "SOFT_DELETED")


SORTABLE: "dict[str, Callable[[Instance], Any]]" = {
    "created_at": lambda row: row.created,
    "display_name": lambda row: row.name,
    "project_id": lambda row: project_id(row.project),
    "terminated_at": lambda row: (row.terminated is not None, row.terminated),
    "updated_at": lambda row: (row.updated is not None, row.updated),
    "uuid": lambda row: row.uuid,
    "vm_state": lambda row: row.vm_state,
}


class Order(NamedTuple):
    """The rows of one region in one order, and where each stands in it; `builds` are not in a cell
    yet.
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
        return cls(
            table,
            len(table),
            rows,
            [row for row in everything if not row.cell],
            {row.uuid: place for place, row in enumerate(rows)},
            frozenset(row.cell for row in rows),
        )

    def is_of(self, table: dict[str, Instance]) -> bool:
        """Whether it still holds: a row put in or taken out without `OpenStack.add` or `archive`
        shows, too.
        """
        return self.table is table and self.size == len(table)


@dataclass
class Search:
    """What a list is narrowed to; None: by nothing.  `project` is an id, times are epoch seconds."""

    uuid: Optional[str] = None
    project: Optional[str] = None
    name: Optional[str] = None  # a regular expression
    vm_states: Optional[set[str]] = None
    task_states: Optional[set[str]] = None
    since: Optional[float] = None
    before: Optional[float] = None
    deleted: Optional[bool] = False  # None: deleted or not
    soft_deleted: bool = False

    def fits(self, row: Instance) -> bool:
        """Whether the row passes the filters that build requests are held against as well."""
        return (
            (self.uuid is None or row.uuid == self.uuid)
            and (self.project is None or project_id(row.project) == self.project)
            and (self.vm_states is None or row.vm_state in self.vm_states)
            and (self.task_states is None or row.task_state in self.task_states)
            and (self.name is None or re.search(self.name, row.name) is not None)
        )

    def finds(self, row: Instance) -> bool:
        """Whether a row of a cell belongs in the list."""
        return (
            not row.hidden
            and self._takes_deletion_of(row)
            and self._takes_change_of(row)
            and self.fits(row)
        )

    def _takes_deletion_of(self, row: Instance) -> bool:
        if self.deleted is None:
            return True
        soft = row.terminated is None and row.status == "SOFT_DELETED"
        if self.deleted:
            return row.terminated is not None or (soft and self.soft_deleted)
        return row.terminated is None and (self.soft_deleted or not soft)

    def _takes_change_of(self, row: Instance) -> bool:
        if self.since is None and self.before is None:
            return True
        return row.updated is not None and not (
            (self.since is not None and row.updated < self.since)
            or (self.before is not None and row.updated > self.before)
        )
