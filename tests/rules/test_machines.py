"""The state of a machine, from what the clouds say of the UUIDs of its host."""

from datetime import datetime, timezone
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreman_hooks.osp_checker import Place, Presence, Sighting
from foreman_hooks.osp_checker.servers import NOT_RUNNING
from foreman_hooks.rules.model import Identity, Reason
from foreman_hooks.rules.states import State, listed_machine, machine_of, state_of

ENDED = datetime(2025, 3, 1, 12, tzinfo=timezone.utc)
UUIDS = ("7f3c1f0e-5b1d-4a57-9f5e-0123456789ab", "5f0c4b1e-9d2a-4c6b-8a37-2b1f0e9d8c7a")
BOTH = Identity(UUIDS)


def seen(presence: Presence, detail: str = "", region: str = "RegionOne") -> Sighting:
    ended = ENDED if presence is Presence.DELETED else None
    return Sighting(UUIDS[0], "prod", region, presence, detail, ended, "p1")


ALIVE = seen(Presence.PRESENT, "SHUTOFF")
GONE = seen(Presence.DELETED)
NO_TRACE = seen(Presence.ABSENT, "no row of it is left")
UNCLEAR = seen(Presence.UNKNOWN, "a cell is down", "RegionTwo")


@pytest.mark.parametrize(
    ("sightings", "state"),
    [
        ([NO_TRACE, GONE, UNCLEAR, ALIVE], State.OFF),
        ([NO_TRACE, GONE, UNCLEAR], State.UNKNOWN),
        ([NO_TRACE, UNCLEAR], State.UNKNOWN),
        ([NO_TRACE, GONE], State.TERMINATED),
        ([NO_TRACE], State.ABSENT),
        ([], State.UNKNOWN),
    ],
)
def test_what_exists_counts_most_and_unknown_is_never_gone(
    sightings: list[Sighting], state: State
) -> None:
    assert machine_of(BOTH, sightings, silent=True).state is state
    assert machine_of(BOTH, sightings[::-1], silent=True).state is state


@given(st.lists(st.sampled_from([ALIVE, GONE, NO_TRACE, UNCLEAR])))
def test_only_one_that_no_region_doubts_is_called_gone(
    sightings: list[Sighting],
) -> None:
    state = machine_of(BOTH, sightings, silent=True).state
    if state in (State.TERMINATED, State.ABSENT):
        assert {sighting.presence for sighting in sightings} <= {
            Presence.DELETED,
            Presence.ABSENT,
        }
    if state is State.TERMINATED:
        assert GONE in sightings


def test_a_machine_has_the_place_the_project_and_the_time_that_nova_says() -> None:
    off, gone = machine_of(BOTH, [ALIVE], False), machine_of(BOTH, [GONE], False)
    assert (off.cloud, off.region, off.project) == ("prod", "RegionOne", "p1")
    assert (off.status, off.terminated_at) == ("SHUTOFF", None)
    assert (gone.status, gone.terminated_at) == ("", ENDED)


def test_words_after_the_status_are_no_part_of_it() -> None:
    swapped = seen(Presence.PRESENT, "PAUSED (as x, the other byte order)")
    machine = machine_of(BOTH, [swapped], False)
    assert (machine.state, machine.status) == (State.PAUSED, "PAUSED")


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        (Reason.NOT_OPENSTACK, State.OTHER),
        (Reason.NO_FACTS, State.UNIDENTIFIED),
        (Reason.NO_UUID, State.UNIDENTIFIED),
        (Reason.OUT_OF_SIGHT, State.UNKNOWN),
    ],
)
def test_a_host_about_which_nobody_is_asked_says_why(
    reason: Reason, state: State
) -> None:
    machine = machine_of(Identity(reason=reason), [], silent=True)
    assert (machine.state, machine.detail) == (state, reason.value)
    told = machine_of(Identity(reason=reason, facts="RHSM: VMware"), [], silent=True)
    assert told.detail == "RHSM: VMware"


@pytest.mark.parametrize("doubt", [None, Reason.UNKNOWN_MAKER])
def test_one_that_is_absent_says_what_speaks_against_an_instance(
    doubt: Optional[Reason],
) -> None:
    machine = machine_of(Identity(UUIDS, doubt=doubt), [NO_TRACE], silent=True)
    assert machine.detail == (doubt.value if doubt else NO_TRACE.detail)


def test_only_one_that_runs_can_be_silent_although_it_runs() -> None:
    assert state_of("ACTIVE", silent=True) is State.SILENT
    assert state_of("ACTIVE", silent=False) is State.RUNNING
    assert state_of("SHUTOFF", silent=True) is State.OFF
    place = Place("prod", "RegionOne")
    assert listed_machine(place, silent=True).state is State.SILENT
    assert listed_machine(place, silent=False).state is State.RUNNING


@pytest.mark.parametrize("status", ["UNKNOWN", "DELETED", "without", "NEW_WORD"])
def test_a_word_that_says_nothing_here_is_unknown(status: str) -> None:
    assert state_of(status, silent=False) is State.UNKNOWN


def test_every_status_that_is_listed_as_not_running_has_a_state() -> None:
    states = {state_of(status, silent=False) for status in NOT_RUNNING}
    assert not states & {State.RUNNING, State.SILENT, State.UNKNOWN}
