"""The target of a run that is about one instance alone."""

from collections.abc import Iterable
from typing import NamedTuple

from foreman_hooks.osp_checker import both_orders
from foreman_hooks.satellite.inventory import ListedHost


class Target(NamedTuple):
    """One instance: its UUID (as parse_uuid returns it), or the name or id of its host record."""

    uuid: str = ""
    name: str = ""

    def find(self, hosts: Iterable[ListedHost]) -> tuple[list[ListedHost], str]:
        """The hosts that match, and the target as a text for people.

        A name of digits counts more than an id, as in Foreman.  Several hosts may share a UUID.
        """
        matches: list[ListedHost] = []
        with_id: list[ListedHost] = []
        for host in hosts:
            if self._matches(host):
                matches.append(host)
            if self.name and str(host.id) == self.name:
                with_id.append(host)
        if not with_id:
            return matches, str(self)
        if not matches:
            return with_id, f"{self}, by its id"
        return matches, f"{self}, by its name; {with_id[0].name} has that id"

    def _matches(self, host: ListedHost) -> bool:
        """Whether the host has this name, or this UUID in either byte order."""
        if self.uuid:
            return not both_orders([self.uuid]).isdisjoint(host.uuids)
        return host.name.lower() == self.name.lower()

    def __str__(self) -> str:
        return f"UUID {self.uuid}" if self.uuid else f"host {self.name}"
