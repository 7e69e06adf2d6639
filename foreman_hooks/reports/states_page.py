"""The HTML page of the states of hosts: what is broken first, and every host in a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from foreman_hooks.cleanup.states import HostState, States
from foreman_hooks.reports.page import LONG, fill, portions
from foreman_hooks.reports.states import (
    LABELS,
    by_state,
    more,
    need,
    place,
    sums,
    why,
)
from foreman_hooks.reports.terminal import counted
from foreman_hooks.rules.states import State
from foreman_hooks.times import hammer_time

LISTED = 1000  # rows of a list; the table of all hosts has the others
# Somebody has to look at hosts in these states, so the page begins with them.
_INTRODUCTIONS = {
    State.SILENT: "OpenStack says that these machines run, but they do not check in: look at "
    "their network, at subscription-manager, and at whether the machine hangs.",
    State.ERROR: "Nova could not do with these machines what it was told.",
    State.UNKNOWN: "Nothing could be learned about these machines.",
}


@dataclass(frozen=True)
class PageList:
    """The hosts in one state, of which the page shows the first ones by themselves."""

    state: State
    title: str
    introduction: str
    hosts: Sequence[HostState]
    count: int


def render(states: States) -> str:
    """The HTML page of these states."""
    groups = by_state(states)
    lists = []
    for state, introduction in _INTRODUCTIONS.items():
        hosts = groups.get(state, [])
        if hosts:
            title = _capital(LABELS[state])
            first = hosts[:LISTED]
            lists.append(PageList(state, title, introduction, first, len(hosts)))
    return fill(
        "states.html.j2",
        states=states,
        headline=_headline(states),
        sums=sums(states),
        made_at=hammer_time(states.made_at),
        silent_since=hammer_time(states.silent_since),
        groups=groups,
        labels=LABELS,
        lists=lists,
        portions=list(portions(states.hosts)),
        long=len(states.hosts) > LONG,
        place=place,
        why=lambda host: why(host, states),
        more=more,
    )


def _headline(states: States) -> str:
    text = counted(states.total, "host")
    if states.erratum:
        text += need(states)
    silent = states.counts.get(State.SILENT, 0)
    return f"{text}; {silent:,} {LABELS[State.SILENT]}" if silent else text


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
