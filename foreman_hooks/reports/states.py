"""The states of hosts for people on a terminal: in groups, as wide as the window.  Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Optional

from foreman_hooks.cleanup.states import ALL_HOSTS, ORDINARY, HostState, States
from foreman_hooks.reports import listings
from foreman_hooks.reports.terminal import (
    Row,
    Table,
    ago,
    blocks,
    counted,
    joined,
)
from foreman_hooks.reports.texts import plain
from foreman_hooks.reports.window import Window
from foreman_hooks.rules.states import State
from foreman_hooks.times import hammer_time, rough

# What people call hosts in a state.
LABELS = {
    State.SILENT: "running but silent",
    State.ERROR: "in error",
    State.UNKNOWN: "unknown",
    State.OFF: "off",
    State.PAUSED: "paused",
    State.SUSPENDED: "suspended",
    State.SHELVED: "shelved",
    State.RESCUED: "in rescue mode",
    State.BUILDING: "being built",
    State.SOFT_DELETED: "soft-deleted",
    State.TERMINATED: "terminated",
    State.ABSENT: "absent",
    State.RUNNING: "running",
    State.UNIDENTIFIED: "without identifying facts",
    State.OTHER: "not OpenStack instances",
}
_COLOURS = {
    State.SILENT: "red",
    State.ERROR: "red",
    State.UNKNOWN: "yellow",
    State.TERMINATED: "cyan",
    State.ABSENT: "cyan",
    State.RUNNING: "green",
}


def states_listing(states: States, window: Window, in_full: bool = False) -> str:
    """The hosts in groups, one for each state.

    `in_full`: also list the hosts of which people usually only want to know how many there are.
    """
    tables = list(_tables(states, window, in_full))
    return joined(blocks(tables, window, in_full))


def sums(states: States) -> str:
    """How many hosts are in each state, in one line."""
    parts = []
    for state, label in LABELS.items():
        count = states.counts.get(state)
        if count:
            parts.append(f"{count} {label}")
    line = counted(states.total, "host")
    if states.scope != ALL_HOSTS:
        line += f" ({plain(states.scope)})"
    if states.erratum:
        line += need(states)
    return f"{line}: {', '.join(parts)}" if parts else line


def need(states: States) -> str:
    """What the hosts with an erratum have in common: the end of a sentence about them."""
    verb = "has" if states.total == 1 else "have"
    return f" {verb} not taken {states.erratum}"


def listed_hosts(states: States, in_full: bool) -> Sequence[HostState]:
    """The hosts that a plain table lists."""
    if in_full:
        return states.hosts
    return [host for host in states.hosts if host.machine.state not in ORDINARY]


def host_rows(hosts: Sequence[HostState]) -> list[listings.Row]:
    """One row for each host, for a plain table."""
    return list(map(_host_row, hosts))


def _host_row(host: HostState) -> listings.Row:
    machine = host.machine
    return {
        "Id": host.id,
        "Name": host.name,
        "UUID": host.uuid,
        "State": machine.state.value,
        "Silent": "yes" if host.silent else "no",
        "Last checkin": _time(host.last_checkin),
        "Cloud": machine.cloud,
        "Region": machine.region,
        "Project": machine.project,
        "Status": machine.status,
        "Terminated at": _time(machine.terminated_at),
        "Detail": machine.detail,
    }


def _time(when: Optional[datetime]) -> str:
    return hammer_time(when) if when else ""


def why(host: HostState, states: States) -> str:
    """What a person wants to know of the machine first: its end, and the last sign of life."""
    parts = []
    if host.machine.terminated_at:
        parts.append(f"terminated {ago(host.machine.terminated_at, states.made_at)}")
    if host.last_checkin:
        parts.append(f"last check-in {ago(host.last_checkin, states.made_at)}")
    elif host.silent:
        silence = rough(states.made_at - states.silent_since)
        parts.append(f"no check-in for {silence}")
    if host.machine.state is State.UNKNOWN:
        parts.append(host.machine.detail)
    return ", ".join(parts)


def more(host: HostState) -> str:
    """What else is known of the machine: Nova's status, the project, and details."""
    machine = host.machine
    parts = []
    if machine.status:
        parts.append(machine.status)
    if machine.project:
        parts.append(f"project {machine.project}")
    if machine.detail and machine.state is not State.UNKNOWN:
        parts.append(machine.detail)
    return ", ".join(parts)


def place(host: HostState) -> str:
    """CLOUD/REGION; "" if it is in none that is known."""
    machine = host.machine
    return f"{machine.cloud}/{machine.region}" if machine.cloud else ""


def by_state(states: States) -> dict[State, list[HostState]]:
    """The hosts of each state that has some, in the order of State."""
    groups: dict[State, list[HostState]] = {}
    for host in states.hosts:
        groups.setdefault(host.machine.state, []).append(host)
    return groups


def _tables(states: States, window: Window, in_full: bool) -> Iterator[Table]:
    for state, hosts in by_state(states).items():
        if in_full or state not in ORDINARY:
            title = f"{LABELS[state].upper()} ({len(hosts)})"
            head = window.bold(title, _COLOURS.get(state, ""))
            yield Table(head, [_line(host, states) for host in hosts])


def _line(host: HostState, states: States) -> Row:
    return Row(
        plain(host.name),
        plain(why(host, states)),
        plain(place(host)),
        host.uuid,
        plain(more(host)),
    )
