"""The verdict on one record: what keeps it, what makes it wait, and what deletes it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, Optional

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from foreman_hooks.osp_checker import Place, Presence, Sighting, swap_bytes
from foreman_hooks.rules.identity import identify
from foreman_hooks.rules.model import (
    Basis,
    Decision,
    History,
    Identity,
    Policy,
    Reason,
    Record,
)
from foreman_hooks.rules.verdict import Case, judge, needs_record, outlook, steps
from foreman_hooks.times import iso_z

PRESENT, DELETED, ABSENT, UNKNOWN, INVALID = (
    Presence.PRESENT,
    Presence.DELETED,
    Presence.ABSENT,
    Presence.UNKNOWN,
    Presence.INVALID,
)
NOW = datetime(2025, 3, 1, 12, tzinfo=timezone.utc)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
SKEW = timedelta(minutes=5)  # how far the clocks of both sides may be apart
POLICY = Policy(grace=72 * HOUR, misses=3, silence=24 * HOUR)
QUIET = POLICY.quiet  # one check-in interval
HOME = Place("prod", "RegionOne")
UUID = "7f3c1f0e-5b1d-4a57-9f5e-0123456789ab"
OTHER = "5f0c4b1e-9d2a-4c6b-8a37-2b1f0e9d8c7a"
# When the instance of `terminated` ended; its last check-in is an hour older.
ENDED = NOW - 30 * DAY


def sighting(
    presence: Presence,
    uuid: str = UUID,
    cloud: str = "prod",
    region: str = "RegionOne",
    at: Optional[datetime] = None,
) -> Sighting:
    return Sighting(
        uuid,
        cloud,
        region,
        presence,
        "",
        at or (ENDED if presence is DELETED else None),
    )


def record(**changes: Any) -> Record:
    """The record of a guest that registered long ago and is silent since an hour before its end."""
    return replace(
        Record(
            7,
            "web-7.example.com",
            "c0ffee",
            registered=True,
            registered_at=ENDED - 90 * DAY,
            last_checkin=ENDED - HOUR,
        ),
        **changes,
    )


def terminated(**changes: Any) -> Case:
    """A host whose instance is proven terminated; nothing keeps it."""
    return replace(
        Case(
            7,
            "web-7.example.com",
            Identity((UUID,)),
            (sighting(DELETED),),
            record(),
            parameters_shown=True,
        ),
        **changes,
    )


def vanished(**changes: Any) -> Case:
    """A host of which OpenStack has had no trace for long enough; nothing keeps it."""
    return replace(
        terminated(
            sightings=(sighting(ABSENT),),
            witnessed=frozenset({HOME}),
            checkins_arrive=True,
            history=missed(3, NOW - 72 * HOUR),
        ),
        **changes,
    )


def missed(
    misses: int, since: Optional[datetime], homes: tuple[Any, ...] = (HOME,)
) -> History:
    """The history of one that was seen alive before."""
    return History(misses, since, frozenset(homes))


def verdict(
    case: Case, policy: Policy = POLICY, now: datetime = NOW
) -> tuple[Decision, Reason]:
    found = judge(case, policy, now)
    return found.decision, found.reason


DELETE_WITH_PROOF, DELETE_MISSING = (
    (Decision.DELETE, Reason.TERMINATED),
    (Decision.DELETE, Reason.MISSING),
)
KEEP, WAIT = Decision.KEEP, Decision.WAIT
dead = pytest.mark.parametrize("dead", [terminated, vanished])  # both ways to be dead


# What must go


def test_a_provable_termination_is_removed_at_once() -> None:
    """It needs no history of misses."""
    found = judge(terminated(history=History()), POLICY, NOW)
    assert (found.decision, found.reason) == DELETE_WITH_PROOF
    assert (found.host_id, found.name, found.uuid) == (7, "web-7.example.com", UUID)


def test_a_termination_of_this_minute_is_removed_where_no_quiet_is_wanted() -> None:
    at = NOW - 60 * SECOND
    case = terminated(
        sightings=(sighting(DELETED, at=at),), record=record(last_checkin=at - SECOND)
    )
    assert verdict(case, replace(POLICY, quiet=timedelta())) == DELETE_WITH_PROOF
    assert verdict(case) == (WAIT, Reason.QUIET)


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (QUIET, DELETE_WITH_PROOF),
        (QUIET - SECOND, (WAIT, Reason.QUIET)),
        (timedelta(), (WAIT, Reason.QUIET)),
    ],
)
def test_for_one_check_in_interval_a_terminated_instance_waits(
    age: timedelta, expected: Any
) -> None:
    """A machine made anew from the same disk is silent until rhsmcertd's next check-in."""
    case = terminated(
        sightings=(sighting(DELETED, at=NOW - age),),
        record=record(last_checkin=NOW - DAY),
    )
    assert verdict(case) == expected
    assert (
        "can go after 2025/03/01 16:30:00 UTC"
        in judge(
            replace(case, sightings=(sighting(DELETED, at=NOW),)), POLICY, NOW
        ).detail
    )


def test_one_without_a_trace_is_removed_after_the_misses_the_grace_and_the_silence() -> (
    None
):
    assert verdict(vanished()) == DELETE_MISSING


def test_a_deletion_carries_what_the_record_looked_like() -> None:
    """So that the same record taken over by a new machine can be told from it."""
    case = terminated()
    assert case.record
    assert judge(case, POLICY, NOW).fingerprint == case.record.fingerprint
    assert judge(vanished(twins=twins(TWIN)), POLICY, NOW).fingerprint is None


# Every reason that speaks against a deletion, whatever the proof

TWIN = replace(record(), id=8, name="web-8.example.com")


def twins(*records: Record) -> dict[str, Optional[Record]]:
    """Their names -> the records, as if all could be read."""
    return {record.name: record for record in records}


AGAINST: dict[Reason, Callable[[Case], Case]] = {
    **{
        reason: lambda case, reason=reason: replace(
            case, identity=Identity((UUID,), reason)
        )
        for reason in (Reason.NOT_OPENSTACK, Reason.NO_FACTS, Reason.NO_UUID)
    },
    Reason.ALIVE: lambda case: replace(
        case, sightings=(*case.sightings, sighting(PRESENT, region="RegionTwo"))
    ),
    Reason.UNKNOWN: lambda case: replace(
        case, sightings=(*case.sightings, sighting(UNKNOWN, region="RegionTwo"))
    ),
    Reason.OUT_OF_SIGHT: lambda case: replace(case, record=None),
    Reason.CHANGED: lambda case: replace(case, record=record(name="db-1.example.com")),
    Reason.INFRASTRUCTURE: lambda case: replace(
        case, record=record(infrastructure=True)
    ),
    Reason.BUILDING: lambda case: replace(case, record=record(build=True)),
    Reason.HIDDEN_PARAMETERS: lambda case: replace(case, parameters_shown=False),
    Reason.PROTECTED: lambda case: replace(
        case, record=record(parameters={"osp_cleanup_protect": "true"})
    ),
    Reason.COMPUTE_RESOURCE: lambda case: replace(
        case, record=record(compute_resource="osp"), detachable=False
    ),
    Reason.NO_CHECKIN: lambda case: replace(
        case, record=record(last_checkin=None, registered_at=None)
    ),
}
# What speaks against absence only: against a proof none of it weighs anything.
AGAINST_ABSENCE: dict[Reason, Callable[[Case], Case]] = {
    **{
        reason: lambda case, reason=reason: replace(
            case, identity=case.identity._replace(doubt=reason)
        )
        for reason in (
            Reason.NOT_A_GUEST,
            Reason.UNKNOWN_MAKER,
            Reason.AMBIGUOUS_UUID,
            Reason.CONTRADICTING_FACTS,
            Reason.NO_PROOF,
        )
    },
    Reason.HYPERVISOR: lambda case: replace(case, record=record(hypervisor=True)),
    Reason.NOT_REGISTERED: lambda case: replace(case, record=record(registered=False)),
    Reason.SHARED_UUID: lambda case: replace(case, twins=twins(TWIN)),
    Reason.UNLISTED_REGION: lambda case: replace(case, unlisted=("prod/RegionTwo",)),
    Reason.NEVER_SEEN: lambda case: replace(
        case, history=case.history._replace(homes=frozenset())
    ),
    Reason.NO_WITNESS: lambda case: replace(case, witnessed=frozenset()),
}
# Below, each at its edges.
OF_TIME = {
    Reason.CHECKED_IN,
    Reason.CLOCKS_DISAGREE,
    Reason.QUIET,
    Reason.GRACE,
    Reason.SILENCE,
    Reason.NO_CHECKINS,
}


@pytest.mark.parametrize("reason", AGAINST, ids=lambda reason: reason.name)
@dead
def test_one_thing_against_it_keeps_the_record_and_is_named(
    dead: Callable[..., Case], reason: Reason
) -> None:
    assert verdict(AGAINST[reason](dead())) == (KEEP, reason)


@pytest.mark.parametrize("reason", AGAINST_ABSENCE, ids=lambda reason: reason.name)
def test_a_doubt_keeps_what_is_only_absent_and_holds_nothing_that_is_proven(
    reason: Reason,
) -> None:
    assert verdict(AGAINST_ABSENCE[reason](vanished())) == (KEEP, reason)
    assert verdict(AGAINST_ABSENCE[reason](terminated())) == DELETE_WITH_PROOF


def test_all_doubts_together_hold_nothing_that_is_proven() -> None:
    case = terminated()
    for change in AGAINST_ABSENCE.values():
        case = change(case)
    assert verdict(case) == DELETE_WITH_PROOF


def test_there_is_no_reason_that_no_test_knows() -> None:
    assert {
        *AGAINST,
        *AGAINST_ABSENCE,
        *OF_TIME,
        Reason.UNLISTED_LEADER,
        Reason.TERMINATED,
        Reason.MISSING,
    } == set(Reason)


# Identity


@dead
def test_an_identity_without_a_uuid_is_never_deleted(dead: Callable[..., Case]) -> None:
    """Nothing was asked about, so nothing can have answered."""
    assert verdict(dead(identity=Identity(), sightings=()))[0] is KEEP
    assert verdict(dead(identity=Identity()))[0] is KEEP


# Presence


@pytest.mark.parametrize(
    "status",
    ["ACTIVE", "SHUTOFF", "SHELVED_OFFLOADED", "ERROR", "SOFT_DELETED", "UNKNOWN"],
)
def test_whatever_its_status_a_server_that_exists_keeps_its_record(status: str) -> None:
    found = judge(
        vanished(sightings=(Sighting(UUID, "prod", "RegionOne", PRESENT, status),)),
        POLICY,
        NOW,
    )
    assert (found.decision, found.reason) == (KEEP, Reason.ALIVE)
    assert status in found.detail


@pytest.mark.parametrize("living", [OTHER, "00e2d778-d6b7-fe4c-b7a9-5700e8094df3"])
def test_any_uuid_that_is_alive_keeps_even_one_that_the_facts_do_not_name(
    living: str,
) -> None:
    assert verdict(
        terminated(sightings=(sighting(DELETED), sighting(PRESENT, living)))
    ) == (
        KEEP,
        Reason.ALIVE,
    )


def test_alive_anywhere_counts_more_than_unknown_elsewhere() -> None:
    seen = (
        sighting(UNKNOWN, region="RegionTwo"),
        sighting(PRESENT),
        sighting(ABSENT, region="RegionThree"),
    )
    assert verdict(terminated(sightings=seen)) == (KEEP, Reason.ALIVE)


@pytest.mark.parametrize("presence", [UNKNOWN, INVALID])
@pytest.mark.parametrize("first", [DELETED, ABSENT])
def test_one_region_that_could_not_answer_keeps(
    first: Presence, presence: Presence
) -> None:
    """Proof in one region included; nobody knows what a cell that is down holds."""
    seen = (sighting(first), sighting(presence, region="RegionTwo"))
    assert verdict(vanished(sightings=seen)) == (KEEP, Reason.UNKNOWN)


def test_why_a_cloud_could_not_answer_is_told() -> None:
    seen = Sighting(UUID, "prod", "RegionTwo", UNKNOWN, "GET /servers gave 503")
    found = judge(terminated(sightings=(sighting(DELETED), seen)), POLICY, NOW)
    assert found.detail == "prod/RegionTwo: unknown (GET /servers gave 503)"


@dead
def test_a_host_that_nobody_asked_about_is_unknown(dead: Callable[..., Case]) -> None:
    assert verdict(dead(sightings=())) == (KEEP, Reason.UNKNOWN)


@dead
def test_one_uuid_that_was_not_asked_keeps(dead: Callable[..., Case]) -> None:
    assert verdict(dead(identity=Identity((UUID, OTHER)))) == (KEEP, Reason.UNKNOWN)


@dead
def test_one_uuid_that_was_not_asked_in_one_of_the_regions_keeps(
    dead: Callable[..., Case],
) -> None:
    """OTHER may live in RegionTwo."""
    seen = (
        *dead().sightings,
        sighting(ABSENT, region="RegionTwo"),
        sighting(ABSENT, OTHER),
    )
    case = dead(identity=Identity((UUID, OTHER)), sightings=seen)
    assert verdict(case) == (KEEP, Reason.UNKNOWN)
    assert (
        verdict(
            replace(
                case, sightings=(*seen, sighting(ABSENT, OTHER, region="RegionTwo"))
            )
        )[0]
        is Decision.DELETE
    )


def test_proof_in_one_region_is_enough_where_all_others_answered() -> None:
    seen = (
        sighting(ABSENT, cloud="test"),
        sighting(DELETED),
        sighting(ABSENT, region="RegionTwo"),
    )
    assert verdict(terminated(sightings=seen)) == DELETE_WITH_PROOF


def test_the_end_of_any_uuid_that_the_facts_name_is_proof_where_no_other_lives_or_is_unknown() -> (
    None
):
    case = terminated(
        identity=Identity((UUID, OTHER)),
        sightings=(sighting(ABSENT), sighting(DELETED, OTHER)),
    )
    assert verdict(case) == DELETE_WITH_PROOF
    assert judge(case, POLICY, NOW).uuid == OTHER
    for presence, reason in ((PRESENT, Reason.ALIVE), (UNKNOWN, Reason.UNKNOWN)):
        other = (sighting(presence), sighting(DELETED, OTHER))
        assert verdict(replace(case, sightings=other)) == (KEEP, reason)


def test_the_end_of_another_uuid_proves_nothing_while_the_main_one_may_live_elsewhere() -> (
    None
):
    case = terminated(
        identity=Identity((UUID, OTHER)),
        sightings=(sighting(ABSENT), sighting(DELETED, OTHER)),
        unlisted=("prod/RegionTwo",),
    )
    assert verdict(case) == (KEEP, Reason.UNLISTED_LEADER)
    proven = (sighting(DELETED), sighting(ABSENT, OTHER))
    assert verdict(replace(case, sightings=proven)) == DELETE_WITH_PROOF


def test_of_several_that_ended_the_last_end_counts() -> None:
    """A machine rebuilt from the same disk and terminated again checked in between the two."""
    between = record(last_checkin=ENDED + DAY)
    ends = (sighting(DELETED), sighting(DELETED, OTHER, at=ENDED + 2 * DAY))
    case = terminated(identity=Identity((UUID, OTHER)), sightings=ends, record=between)
    assert verdict(case) == DELETE_WITH_PROOF
    assert verdict(replace(case, sightings=(ends[0], sighting(ABSENT, OTHER)))) == (
        KEEP,
        Reason.CHECKED_IN,
    )


# What only a file on the machine calls an instance: bare metal (Ironic)

HARDWARE = "4c4c4544-0042-3510-8052-b4c04f4d3132"
METAL = {
    "virt::is_guest": "false",
    "dmi::system::uuid": HARDWARE.upper(),
    "dmi::system::manufacturer": "Dell Inc.",
    "osp::uuid": UUID,
    "osp::system_uuid": HARDWARE,
}
GUEST = {
    "virt::is_guest": "true",
    "virt::uuid": UUID,
    "dmi::system::uuid": UUID.upper(),
    "dmi::system::manufacturer": "OpenStack Foundation",
    "osp::uuid": UUID,
    "osp::system_uuid": UUID,
}


def of_facts(
    case: Case, rhsm: dict[str, str], *, katello: bool = True, **others: dict[str, str]
) -> Case:
    """The same case with these facts; UUIDs without a sighting are absent everywhere."""
    identity = identify({"RHSM": rhsm, **others}, katello=katello)
    known = {one.uuid for one in case.sightings}
    more = [sighting(ABSENT, uuid) for uuid in identity.uuids if uuid not in known]
    return replace(case, identity=identity, sightings=(*case.sightings, *more))


def test_a_terminated_instance_on_bare_metal_is_removed_with_proof() -> None:
    assert verdict(of_facts(terminated(), METAL)) == DELETE_WITH_PROOF


@pytest.mark.parametrize(
    "history", [History(), missed(3, NOW - 72 * HOUR), missed(999, NOW - 999 * DAY)]
)
@pytest.mark.parametrize(
    "policy", [POLICY, Policy(grace=timedelta(), misses=0, silence=timedelta())]
)
@pytest.mark.parametrize("witnessed", [frozenset(), frozenset({("prod", "RegionOne")})])
def test_one_on_bare_metal_without_a_trace_is_kept_for_ever(
    history: History, policy: Policy, witnessed: Any
) -> None:
    """TripleO's nodes are instances of a cloud out of scope; they look absent, off or on."""
    case = of_facts(vanished(history=history, witnessed=witnessed), METAL)
    assert verdict(case, policy) == (KEEP, Reason.NO_PROOF)


@pytest.mark.parametrize("reason", AGAINST, ids=lambda reason: reason.name)
def test_proof_lifts_no_other_rule_for_bare_metal(reason: Reason) -> None:
    case = AGAINST[reason](terminated())
    assert verdict(
        replace(case, identity=case.identity._replace(doubt=Reason.NO_PROOF))
    ) == (
        KEEP,
        reason,
    )


def test_a_node_that_is_switched_off_is_alive() -> None:
    assert verdict(of_facts(terminated(sightings=(sighting(PRESENT),)), METAL)) == (
        KEEP,
        Reason.ALIVE,
    )


def test_a_further_uuid_that_is_alive_keeps_bare_metal() -> None:
    case = terminated(sightings=(sighting(DELETED), sighting(PRESENT, OTHER)))
    assert verdict(of_facts(case, METAL, Puppet={"dmi::product::uuid": OTHER})) == (
        KEEP,
        Reason.ALIVE,
    )


@pytest.mark.parametrize("dead", [terminated, vanished])
@pytest.mark.parametrize(
    "facts",
    [
        {**METAL, "dmi::system::uuid": OTHER},
        {**METAL, "osp::system_uuid": OTHER},
        {**METAL, "osp::system_uuid": ""},
        {**METAL, "virt::is_guest": ""},
        {**METAL, "dmi::system::uuid": "Not Settable"},
    ],
)
def test_a_server_with_a_copy_of_a_terminated_nodes_disk_is_kept(
    dead: Callable[..., Case], facts: dict[str, str]
) -> None:
    """The file names an instance that is provably gone, but was not published on this hardware."""
    assert verdict(of_facts(dead(), facts)) == (KEEP, Reason.NOT_OPENSTACK)


def test_a_server_that_starts_from_a_terminated_instances_disk_again_has_checked_in_since() -> (
    None
):
    """On the same hardware only its silence shows that a machine is not the next instance."""
    case = of_facts(terminated(record=record(last_checkin=ENDED + HOUR)), METAL)
    assert verdict(case) == (KEEP, Reason.CHECKED_IN)


def test_a_node_deployed_anew_under_the_old_record_has_registered_since() -> None:
    """Until its registration is complete, and if the old disk should still be there."""
    again = record(registered_at=ENDED + HOUR, last_checkin=ENDED + HOUR)
    assert verdict(of_facts(terminated(record=again), METAL)) == (
        KEEP,
        Reason.CHECKED_IN,
    )
    fresh = {name: value for name, value in METAL.items() if not name.startswith("osp")}
    assert verdict(of_facts(terminated(record=again), fresh)) == (
        KEEP,
        Reason.NOT_OPENSTACK,
    )
    case = terminated(
        record=again, sightings=(sighting(ABSENT), sighting(PRESENT, OTHER))
    )
    assert verdict(of_facts(case, {**METAL, "osp::uuid": OTHER})) == (
        KEEP,
        Reason.ALIVE,
    )


def test_a_living_guest_made_of_a_terminated_instances_disk_is_alive() -> None:
    """Its own UUID is the firmware's; the file in the image was published on another machine."""
    case = terminated(sightings=(sighting(PRESENT, OTHER),))
    found = of_facts(case, {**GUEST, "virt::uuid": OTHER, "dmi::system::uuid": OTHER})
    assert (found.identity.uuids, verdict(found)) == ((OTHER,), (KEEP, Reason.ALIVE))


def test_a_guest_that_published_another_uuid_than_its_firmwares_needs_proof() -> None:
    assert verdict(of_facts(vanished(), {**GUEST, "osp::uuid": OTHER})) == (
        KEEP,
        Reason.AMBIGUOUS_UUID,
    )
    assert (
        verdict(of_facts(terminated(), {**GUEST, "osp::uuid": OTHER}))
        == DELETE_WITH_PROOF
    )


@dead
def test_a_terminated_guest_goes_as_ever_whether_it_published_or_not(
    dead: Callable[..., Case],
) -> None:
    quiet = {name: value for name, value in GUEST.items() if not name.startswith("osp")}
    for facts in (
        GUEST,
        quiet,
        {**GUEST, "osp::uuid": "junk"},
        {**GUEST, "osp::system_uuid": "junk"},
    ):
        assert verdict(of_facts(dead(), facts))[0] is Decision.DELETE


def test_the_published_form_finds_the_deleted_row_of_a_guest_whose_firmware_swaps_bytes() -> (
    None
):
    swapped = swap_bytes(UUID)
    case = of_facts(
        terminated(), {**GUEST, "virt::uuid": swapped, "dmi::system::uuid": swapped}
    )
    assert verdict(case) == DELETE_WITH_PROOF


@dead
def test_without_katello_nothing_that_was_published_can_delete(
    dead: Callable[..., Case],
) -> None:
    assert verdict(of_facts(dead(), METAL, katello=False)) == (KEEP, Reason.NO_FACTS)


def test_the_need_of_proof_is_explained() -> None:
    told = [
        step
        for step in steps(of_facts(terminated(), METAL), POLICY, NOW)
        if "Nova says" in step.rule
    ]
    assert [step.reason for step in told] == [None]
    assert (
        f"{UUID} terminated 2025/01/30 12:00:00 UTC in prod/RegionOne"
        in told[0].observed
    )
    assert "not a guest" in judge(of_facts(vanished(), METAL), POLICY, NOW).detail


# The record


@pytest.mark.parametrize(
    "other", [record(id=8), record(name="web-8.example.com"), record(id=8, name="7")]
)
@dead
def test_a_record_with_another_id_or_name_is_not_the_one_that_was_listed(
    dead: Callable[..., Case], other: Record
) -> None:
    assert verdict(dead(record=other)) == (KEEP, Reason.CHANGED)


def test_a_record_of_virt_who_is_a_hypervisor_by_its_name() -> None:
    name = "virt-who-esx1.example.com-1"
    assert verdict(vanished(name=name, record=record(name=name))) == (
        KEEP,
        Reason.HYPERVISOR,
    )
    name = "not-virt-who-1.example.com"
    assert verdict(vanished(name=name, record=record(name=name))) == DELETE_MISSING


@pytest.mark.parametrize(
    "value", ["true", "yes", "1", "on", "t", "True ", "until 2026", "ask Ann", "*****"]
)
@dead
def test_the_parameter_protects_with_any_value_but_a_no(
    dead: Callable[..., Case], value: str
) -> None:
    """What somebody wrote there and what cannot be read is a yes."""
    found = dead(record=record(parameters={"osp_cleanup_protect": value}))
    assert verdict(found) == (KEEP, Reason.PROTECTED)


@pytest.mark.parametrize("value", ["false", "no", "off", "0", "f", "n", "", " FALSE "])
@dead
def test_a_no_in_the_parameter_does_not_protect(
    dead: Callable[..., Case], value: str
) -> None:
    assert (
        verdict(dead(record=record(parameters={"osp_cleanup_protect": value})))[0]
        is Decision.DELETE
    )


@pytest.mark.parametrize("parameters", [{}, {"osp_cleanup_protect": "false"}])
@dead
def test_a_login_that_may_not_read_parameters_deletes_nothing(
    dead: Callable[..., Case], parameters: dict[str, str]
) -> None:
    """Such a login is shown the global parameters only."""
    case = dead(parameters_shown=False, record=record(parameters=parameters))
    assert verdict(case) == (KEEP, Reason.HIDDEN_PARAMETERS)
    assert verdict(case, replace(POLICY, protect_parameter=""))[0] is Decision.DELETE


def test_the_parameter_is_the_one_of_the_policy() -> None:
    case = terminated(record=record(parameters={"hands_off": "true"}))
    assert verdict(case) == DELETE_WITH_PROOF
    assert verdict(case, replace(POLICY, protect_parameter="hands_off")) == (
        KEEP,
        Reason.PROTECTED,
    )


def test_a_compute_resource_that_can_be_detached_is_no_reason_to_keep() -> None:
    assert (
        verdict(terminated(record=record(compute_resource="osp"))) == DELETE_WITH_PROOF
    )


# Witnesses


def test_absence_needs_a_witness_where_it_was_seen_alive() -> None:
    """An emptied cell database, or the wrong region, shows every host absent."""
    absent = (sighting(ABSENT), sighting(ABSENT, region="RegionTwo"))
    assert verdict(vanished(sightings=absent)) == DELETE_MISSING
    elsewhere = vanished(
        sightings=absent, witnessed=frozenset({Place("prod", "RegionTwo")})
    )
    found = judge(elsewhere, POLICY, NOW)
    assert (found.decision, found.reason, found.detail) == (
        KEEP,
        Reason.NO_WITNESS,
        "none in prod/RegionOne",
    )


def test_where_every_cloud_is_listed_absence_needs_no_past_but_a_witness_in_every_region() -> (
    None
):
    listed = replace(POLICY, all_clouds_listed=True)
    absent = (sighting(ABSENT), sighting(ABSENT, region="RegionTwo"))
    case = vanished(sightings=absent, history=missed(3, NOW - 72 * HOUR, ()))
    assert verdict(case) == (KEEP, Reason.NEVER_SEEN)
    assert verdict(case, listed) == (KEEP, Reason.NO_WITNESS)
    both = frozenset({HOME, Place("prod", "RegionTwo")})
    assert verdict(replace(case, witnessed=both), listed) == DELETE_MISSING


def test_where_nobody_checks_in_silence_says_nothing() -> None:
    """The Satellite was off for days, or its clock jumped: everybody looks silent."""
    assert verdict(vanished(checkins_arrive=False)) == (WAIT, Reason.NO_CHECKINS)
    assert verdict(terminated(checkins_arrive=False)) == DELETE_WITH_PROOF


# Twins: other records that name the same instance


def test_twins_of_a_terminated_instance_hold_nothing_unless_they_gave_a_sign_of_life_since() -> (
    None
):
    assert verdict(terminated(twins=twins(TWIN))) == DELETE_WITH_PROOF
    for sign in ("last_checkin", "last_report", "registered_at"):
        spoke = replace(TWIN, name="web-9.example.com", **{sign: ENDED + HOUR})
        found = judge(terminated(twins=twins(TWIN, spoke)), POLICY, NOW)
        assert (found.decision, found.reason) == (KEEP, Reason.CHECKED_IN)
        assert "of web-9.example.com, which names the same instance" in found.detail


@dead
def test_a_twin_that_cannot_be_read_keeps(dead: Callable[..., Case]) -> None:
    assert verdict(dead(twins={TWIN.name: None}))[0] is KEEP


# What an earlier deletion left: unregistered, and still there


def test_a_record_that_a_failed_deletion_unregistered_is_tried_again() -> None:
    half = record(
        consumer=None, registered=False, registered_at=None, last_checkin=None
    )
    assert verdict(terminated(record=half)) == (KEEP, Reason.NO_CHECKIN)
    assert (
        verdict(terminated(record=half, history=History(tried=True)))
        == DELETE_WITH_PROOF
    )
    tried = missed(3, NOW - 72 * HOUR)._replace(tried=True)
    assert verdict(vanished(record=half)) == (KEEP, Reason.NOT_REGISTERED)
    assert verdict(vanished(record=half, history=tried)) == DELETE_MISSING


# Time: check-ins


def test_a_host_that_never_checked_in_is_not_infinitely_old() -> None:
    """A report or registration does not replace it, unless the termination is proven."""
    assert verdict(
        vanished(record=record(last_checkin=None, last_report=ENDED - DAY))
    ) == (
        KEEP,
        Reason.NO_CHECKIN,
    )
    assert (
        verdict(terminated(record=record(last_checkin=None, last_report=ENDED - DAY)))
        == DELETE_WITH_PROOF
    )


@dead
def test_a_report_that_failed_as_a_whole_is_no_sign_of_life(
    dead: Callable[..., Case],
) -> None:
    """Satellite's side writes it, of a machine that it cannot reach."""
    failed = record(last_report=NOW - HOUR, report_failed=True)
    assert verdict(dead(record=failed))[0] is Decision.DELETE
    assert (
        verdict(dead(record=replace(failed, report_failed=False)))[0]
        is not Decision.DELETE
    )


def test_without_katello_a_failed_report_is_no_check_in_either() -> None:
    plain = record(
        katello=False, last_checkin=None, registered_at=None, last_report=ENDED - DAY
    )
    assert verdict(vanished(record=plain)) == DELETE_MISSING
    assert verdict(vanished(record=replace(plain, report_failed=True))) == (
        KEEP,
        Reason.NO_CHECKIN,
    )


@pytest.mark.parametrize("sign", ["last_checkin", "last_report", "registered_at"])
@dead
def test_every_sign_of_life_counts_not_the_check_in_alone(
    dead: Callable[..., Case], sign: str
) -> None:
    """A new machine took the record over, or the old one still reports."""
    expected = (
        (KEEP, Reason.CHECKED_IN) if dead is terminated else (WAIT, Reason.SILENCE)
    )
    assert verdict(dead(record=record(**{sign: NOW - HOUR}))) == expected


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (-DAY, DELETE_WITH_PROOF),
        (timedelta(), DELETE_WITH_PROOF),
        (SECOND, DELETE_WITH_PROOF),
        (SKEW, DELETE_WITH_PROOF),
        (SKEW + SECOND, (KEEP, Reason.CHECKED_IN)),
        (DAY, (KEEP, Reason.CHECKED_IN)),
        (31 * DAY, (KEEP, Reason.CHECKED_IN)),
    ],
)
def test_a_check_in_after_the_termination_contradicts_it(
    late: timedelta, expected: Any
) -> None:
    """Later than the clocks may be apart, and however long ago."""
    assert verdict(terminated(record=record(last_checkin=ENDED + late))) == expected


def test_a_check_in_just_after_the_termination_has_to_age() -> None:
    """It may be the clocks, or the machine."""
    spoke = NOW - QUIET
    case = terminated(
        record=record(last_checkin=spoke),
        sightings=(sighting(DELETED, at=spoke - SKEW),),
    )
    assert verdict(case) == DELETE_WITH_PROOF
    assert verdict(case, now=NOW - SECOND) == (WAIT, Reason.QUIET)


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        (timedelta(), (WAIT, Reason.QUIET)),
        (SKEW, (WAIT, Reason.QUIET)),
        (SKEW + SECOND, (KEEP, Reason.CLOCKS_DISAGREE)),
        (365 * DAY, (KEEP, Reason.CLOCKS_DISAGREE)),
    ],
)
def test_a_termination_in_the_future_means_that_clocks_disagree(
    ahead: timedelta, expected: Any
) -> None:
    assert (
        verdict(terminated(sightings=(sighting(DELETED, at=NOW + ahead),))) == expected
    )


def test_a_termination_without_a_time_is_no_proof_of_silence() -> None:
    seen = (Sighting(UUID, "prod", "RegionOne", DELETED),)
    assert verdict(terminated(sightings=seen)) == (KEEP, Reason.CLOCKS_DISAGREE)


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (24 * HOUR, DELETE_MISSING),
        (24 * HOUR - SECOND, (WAIT, Reason.SILENCE)),
        (timedelta(), (WAIT, Reason.SILENCE)),
        (-HOUR, (WAIT, Reason.SILENCE)),
    ],
)
def test_one_without_a_trace_has_to_be_silent_for_long_enough(
    age: timedelta, expected: Any
) -> None:
    """A check-in in the future is none of long ago."""
    assert verdict(vanished(record=record(last_checkin=NOW - age))) == expected


# Time: grace and misses


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (72 * HOUR, DELETE_MISSING),
        (72 * HOUR - SECOND, (WAIT, Reason.GRACE)),
        (90 * DAY, DELETE_MISSING),
        (timedelta(), (WAIT, Reason.GRACE)),
        (-DAY, (WAIT, Reason.GRACE)),
    ],
)
def test_absence_has_to_last_for_the_grace_period(
    age: timedelta, expected: Any
) -> None:
    assert verdict(vanished(history=missed(9, NOW - age))) == expected


@pytest.mark.parametrize(
    ("misses", "expected"),
    [
        (0, (WAIT, Reason.GRACE)),
        (2, (WAIT, Reason.GRACE)),
        (3, DELETE_MISSING),
        (4, DELETE_MISSING),
    ],
)
def test_absence_has_to_be_seen_in_enough_runs(misses: int, expected: Any) -> None:
    assert verdict(vanished(history=missed(misses, NOW - 90 * DAY))) == expected


@pytest.mark.parametrize(
    "policy",
    [
        POLICY,
        Policy(grace=timedelta(), misses=1, silence=timedelta()),
        Policy(grace=timedelta(), misses=0, silence=timedelta()),
    ],
)
def test_absence_without_a_history_never_deletes(policy: Policy) -> None:
    assert verdict(vanished(history=missed(0, None)), policy) == (WAIT, Reason.GRACE)


def test_a_wait_says_from_when_on_it_may_go() -> None:
    found = judge(vanished(history=missed(2, NOW - DAY)), POLICY, NOW)
    assert found.detail == (
        "missing in 2 runs (3 needed), since 2025/02/28 12:00:00 UTC; "
        "can go after 2025/03/03 12:00:00 UTC"
    )
    found = judge(vanished(record=record(last_checkin=NOW - HOUR)), POLICY, NOW)
    assert (
        found.detail
        == "last sign of life 2025/03/01 11:00:00 UTC; can go after 2025/03/02 11:00:00 UTC"
    )


def test_times_are_told_in_utc_whatever_zone_they_came_in() -> None:
    """Older Satellites answer with an offset."""
    zone = timezone(-4 * HOUR)
    found = judge(
        vanished(record=record(last_checkin=(NOW - HOUR).astimezone(zone))), POLICY, NOW
    )
    assert found.detail.startswith("last sign of life 2025/03/01 11:00:00 UTC")


@dead
def test_the_zone_of_a_time_does_not_change_the_verdict(
    dead: Callable[..., Case],
) -> None:
    case, zone = dead(), timezone(14 * HOUR)
    assert case.record and case.record.last_checkin and case.record.registered_at
    moved = replace(
        case,
        record=record(
            last_checkin=case.record.last_checkin.astimezone(zone),
            registered_at=case.record.registered_at.astimezone(zone),
        ),
    )
    assert verdict(moved, now=NOW.astimezone(timezone(-11 * HOUR))) == verdict(case)


@pytest.mark.parametrize(
    "longest",
    [timedelta(days=365 * 20), timedelta(seconds=999999999 * 3600), timedelta.max],
)
def test_the_longest_waits_that_can_be_configured_only_wait(longest: timedelta) -> None:
    never = replace(POLICY, grace=longest)
    assert verdict(vanished(), never) == (WAIT, Reason.GRACE)
    assert verdict(vanished(), replace(POLICY, silence=longest)) == (
        WAIT,
        Reason.SILENCE,
    )


# The steps that `explain` prints


@dead
def test_the_steps_of_a_deletion_tell_every_point_and_stop_at_none(
    dead: Callable[..., Case],
) -> None:
    told = list(steps(dead(), POLICY, NOW))
    assert [step.reason for step in told] == [None] * len(told)
    assert all(step.rule for step in told)
    text = " ".join(step.rule for step in told)
    points = {
        terminated: ("Nova says", "no other instance", "check-in interval"),
        vanished: (
            "OpenStack guest",
            "hypervisor",
            "registered",
            "no other record",
            "every region",
            "an earlier run saw it alive here",
            "another host of its kind",
            "check-ins arrive",
            "missing in",
        ),
    }
    for point in (
        "name an instance",
        "every cloud and region answered",
        "read host parameters",
        "record is the one",
        "Satellite or a Capsule",
        "build mode",
        "osp_cleanup_protect",
        "compute resource",
        "check-in time",
        "silent",
        *points[dead],
    ):
        assert point in text


@pytest.mark.parametrize("reason", AGAINST, ids=lambda reason: reason.name)
def test_the_steps_of_a_keep_end_with_the_one_that_decides(reason: Reason) -> None:
    told = list(steps(AGAINST[reason](terminated()), POLICY, NOW))
    assert [step.reason for step in told] == [None] * (len(told) - 1) + [reason]


@pytest.mark.parametrize(
    ("case", "reasons"),
    [
        (terminated(), []),
        (
            terminated(
                sightings=(sighting(DELETED, at=NOW),), record=record(build=True)
            ),
            [Reason.QUIET, Reason.BUILDING],
        ),
        (
            vanished(
                checkins_arrive=False,
                history=missed(1, NOW),
                record=record(last_checkin=NOW),
            ),
            [Reason.NO_CHECKINS, Reason.GRACE, Reason.SILENCE],
        ),
        (vanished(witnessed=frozenset(), checkins_arrive=False), [Reason.NO_WITNESS]),
    ],
)
def test_the_outlook_goes_on_after_a_rule_that_waits_and_ends_with_one_that_keeps(
    case: Case, reasons: list[Reason]
) -> None:
    ahead = [step.reason for step in outlook(case, POLICY, NOW)]
    assert [reason for reason in ahead if reason] == reasons
    assert judge(case, POLICY, NOW).reason in (reasons[:1] or [Reason.TERMINATED])


@dead
def test_of_several_reasons_the_one_that_says_most_is_named(
    dead: Callable[..., Case],
) -> None:
    """First whether it is an instance at all, then whether it is alive, and last its record."""
    case = dead()
    for reason in reversed(AGAINST):
        if reason is not Reason.OUT_OF_SIGHT:
            case = replace(
                AGAINST[reason](case),
                sightings=(*case.sightings, *AGAINST[reason](dead()).sightings),
            )
    assert verdict(case)[1] is Reason.NOT_OPENSTACK
    assert verdict(replace(case, identity=Identity((UUID,))))[1] is Reason.ALIVE


# Properties

UUIDS = (UUID, OTHER, "0a1b2c3d-4e5f-4a6b-9c8d-7e6f5a4b3c2d")
PLACES = (HOME, Place("prod", "RegionTwo"), Place("test", "RegionOne"))
near = st.one_of(
    st.just(NOW),
    st.integers(-400, 400).map(lambda hours: NOW + hours * HOUR),
    st.integers(-400, 400).map(lambda seconds: NOW + seconds * SECOND),
)
past = st.integers(1, 10**7).map(lambda seconds: ENDED - seconds * SECOND)
lengths = st.integers(0, 10**6).map(lambda seconds: timedelta(seconds=seconds))
policies = st.builds(
    Policy, quiet=lengths, grace=lengths, misses=st.integers(0, 5), silence=lengths
)
doubts = st.sampled_from(
    [
        None,
        None,
        *(reason for reason in AGAINST_ABSENCE if reason.value.startswith("absent")),
    ]
)
grids = st.integers(1, 3).flatmap(
    lambda uuids: st.integers(1, 3).map(
        lambda places: [
            (uuid, *place) for uuid in UUIDS[:uuids] for place in PLACES[:places]
        ]
    )
)


def seen_as(
    where: tuple[str, str, str], presence: Presence, at: Optional[datetime] = ENDED
) -> Sighting:
    return Sighting(*where, presence, "", at if presence is DELETED else None)


@st.composite
def gaps(draw: Any) -> Case:
    """A case that only one sighting keeps, or only the lack of one."""
    grid = draw(grids)
    seen = {where: seen_as(where, ABSENT) for where in grid}
    if draw(st.booleans()):
        seen[grid[0]] = seen_as(grid[0], DELETED)
    at, answer = (
        draw(st.sampled_from(grid)),
        draw(st.sampled_from([PRESENT, UNKNOWN, INVALID, None])),
    )
    del seen[at]
    if answer:
        seen[at] = seen_as(at, answer)
    # Where nothing at all was asked of a region, only who asked can know that it is missing.
    assume(not seen or {where[1:] for where in seen} == {where[1:] for where in grid})
    return vanished(
        identity=Identity(tuple(dict.fromkeys(uuid for uuid, *_ in grid))),
        sightings=tuple(seen.values()),
        witnessed=frozenset(PLACES),
    )


@given(gaps())
def test_one_sighting_that_is_alive_unknown_or_missing_always_keeps(case: Case) -> None:
    """Whatever the other sightings prove."""
    assert verdict(case) in ((KEEP, Reason.ALIVE), (KEEP, Reason.UNKNOWN))


@st.composite
def cases(draw: Any) -> tuple[Case, set[Reason]]:
    """Any case, and what is known to keep it; often nothing, so that many are deleted."""
    grid, times = draw(grids), st.one_of(past, past, near, st.none())
    presences = [
        draw(st.sampled_from([ABSENT] * 19 + [PRESENT, UNKNOWN, INVALID, None]))
        for _ in grid
    ]
    if draw(st.booleans()):
        presences[draw(st.integers(0, len(grid) - 1))] = DELETED
    seldom = st.sampled_from([False] * 9 + [True])
    case = Case(
        7,
        "web-7.example.com",
        Identity(tuple(dict.fromkeys(uuid for uuid, *_ in grid)), doubt=draw(doubts)),
        tuple(
            seen_as(where, presence, draw(times))
            for where, presence in zip(grid, presences)
            if presence
        ),
        record(
            registered_at=draw(times),
            last_checkin=draw(times),
            last_report=draw(times),
            registered=not draw(seldom),
            hypervisor=draw(seldom),
        ),
        twins={
            f"twin-{when}": None if draw(seldom) else replace(TWIN, last_checkin=when)
            for when in draw(st.sampled_from([[], [], [ENDED - HOUR], [NOW, ENDED]]))
        },
        history=missed(
            draw(st.integers(0, 9)),
            draw(times),
            draw(st.sampled_from([(), PLACES[:1], PLACES[:2]])),
        )._replace(tried=draw(seldom)),
        unlisted=draw(st.sampled_from([(), (), ("prod/RegionNine",)])),
        checkins_arrive=draw(st.booleans()),
        witnessed=frozenset(
            draw(st.sampled_from([PLACES, PLACES, PLACES[1:], PLACES[:1]]))
        ),
        parameters_shown=True,
    )
    against = draw(st.sets(st.sampled_from(list(AGAINST)), max_size=1))
    for reason in against:
        case = AGAINST[reason](case)
    return case, against


def may_go(case: Case, policy: Policy) -> bool:
    """The promise once more, independent of the rules: all of its points, in no order."""
    rows = [seen for seen in case.sightings if seen.presence is DELETED]
    return (
        is_dead_everywhere(case)
        and is_itself_and_unprotected(case, policy)
        and (is_proven(case, rows, policy) if rows else is_absent(case, policy))
    )


def is_dead_everywhere(case: Case) -> bool:
    places = {seen.place for seen in case.sightings}
    answers = {
        (seen.uuid, seen.place): seen.presence in (DELETED, ABSENT)
        for seen in case.sightings
    }
    every = {(uuid, place) for uuid in case.identity.uuids for place in places}
    return not case.identity.reason and all(answers.values()) and every == set(answers)


def is_itself_and_unprotected(case: Case, policy: Policy) -> bool:
    if case.record is None:
        return False
    itself = (case.record.id, case.record.name) == (case.host_id, case.name)
    special = case.record.infrastructure or case.record.build
    protected = case.record.parameters.get(policy.protect_parameter, "no") != "no"
    visible = case.parameters_shown
    if case.record.compute_resource and not case.detachable:
        return False
    return itself and visible and not special and not protected


def is_proven(case: Case, rows: list[Sighting], policy: Policy) -> bool:
    [row] = rows
    end = row.terminated_at
    assert case.record
    if end is None or not all(case.twins.values()):
        return False
    signs = [case.record.last_sign] if case.record.last_sign else []
    of_twins = [twin.last_sign for twin in case.twins.values() if twin]
    elsewhere = case.unlisted and row.uuid != case.identity.uuids[0]
    return (
        (bool(signs) or case.history.tried)
        and not elsewhere
        and end <= NOW + SKEW
        and max(end, *signs, *filter(None, of_twins)) <= end + SKEW
        and NOW - max(end, *signs) >= policy.quiet
    )


def is_absent(case: Case, policy: Policy) -> bool:
    record, history = case.record, case.history
    assert record
    silent = record.last_sign is None or NOW - record.last_sign >= policy.silence
    return (
        not case.identity.doubt
        and not case.twins
        and not case.unlisted
        and not record.hypervisor
        and (history.tried or (record.registered and record.last_checkin is not None))
        and bool(history.homes)
        and history.homes <= case.witnessed
        and case.checkins_arrive
        and history.misses >= policy.misses
        and history.since is not None
        and NOW - history.since >= policy.grace
        and silent
    )


ENDS = (NOW + SKEW + SECOND, NOW - QUIET + SECOND, NOW - QUIET, NOW - QUIET - SKEW)
SIGNS = (
    None,
    NOW - QUIET + SECOND,
    NOW - QUIET,
    NOW - 24 * HOUR + SECOND,
    NOW - 24 * HOUR,
    ENDED + SKEW + SECOND,
    ENDED + SKEW,
)


def change_record(case: Case, **changes: Any) -> Case:
    return replace(case, record=replace(case.record or record(), **changes))


def end_at(case: Case, at: Optional[datetime]) -> Case:
    rows = [
        seen._replace(terminated_at=at) if seen.presence is DELETED else seen
        for seen in case.sightings
    ]
    return replace(case, sightings=tuple(rows))


def lead_by_other(case: Case, unlisted: tuple[str, ...]) -> Case:
    """Its facts name another instance first, which is absent."""
    seen = (sighting(ABSENT, OTHER), *case.sightings)
    identity = case.identity._replace(uuids=(OTHER, UUID))
    return replace(case, identity=identity, sightings=seen, unlisted=unlisted)


def remember(case: Case, **changes: Any) -> Case:
    return replace(case, history=case.history._replace(**changes))


# Each a strategy of functions that change one thing, most of them at an edge.
CHANGES = st.one_of(
    st.sampled_from([*AGAINST.values(), *AGAINST_ABSENCE.values()]),
    st.sampled_from([None, *ENDS]).map(lambda at: lambda case: end_at(case, at)),
    st.sampled_from(SIGNS).map(
        lambda at: lambda case: change_record(case, last_checkin=at)
    ),
    st.tuples(st.sampled_from(ENDS), st.sampled_from(SIGNS)).map(
        lambda times: (
            lambda case: change_record(end_at(case, times[0]), last_report=times[1])
        )
    ),
    st.sampled_from(SIGNS).map(
        lambda at: lambda case: change_record(case, registered_at=at)
    ),
    st.sampled_from(SIGNS).map(
        lambda at: (
            lambda case: replace(case, twins=twins(replace(TWIN, last_report=at)))
        )
    ),
    st.just(lambda case: replace(case, twins={TWIN.name: None})),
    st.just(lambda case: replace(case, checkins_arrive=False)),
    st.just(lambda case: replace(case, detachable=False)),
    st.just(lambda case: replace(case, witnessed=frozenset({PLACES[1]}))),
    st.just(lambda case: remember(case, tried=True)),
    st.sampled_from([0, 2, 4]).map(lambda n: lambda case: remember(case, misses=n)),
    st.sampled_from([None, NOW - 72 * HOUR + SECOND, NOW - 73 * HOUR]).map(
        lambda at: lambda case: remember(case, since=at)
    ),
    st.sampled_from([(), ("prod/RegionNine",)]).map(
        lambda unlisted: lambda case: lead_by_other(case, unlisted)
    ),
)


@st.composite
def nearly_dead(draw: Any) -> Case:
    """A case that nothing keeps, and at most three changes to it."""
    case: Case = draw(st.sampled_from([terminated, vanished]))()
    for change in draw(st.lists(CHANGES, max_size=3)):
        case = change(case)
    return case


def check_the_promise(case: Case, policy: Policy) -> None:
    decision, reason = verdict(case, policy)
    assert (decision is Decision.DELETE) == may_go(case, policy)
    if decision is Decision.DELETE:
        rows = any(seen.presence is DELETED for seen in case.sightings)
        assert reason is (Reason.TERMINATED if rows else Reason.MISSING)


@given(nearly_dead())
@settings(max_examples=1000)
def test_a_record_is_deleted_exactly_if_every_point_of_the_promise_holds(
    case: Case,
) -> None:
    check_the_promise(case, POLICY)


@given(cases(), policies)
def test_the_promise_holds_for_any_case_and_any_policy(
    found: tuple[Case, set[Reason]], policy: Policy
) -> None:
    case, against = found
    check_the_promise(case, policy)
    assert not against or verdict(case, policy)[0] is not Decision.DELETE


# Which records have to be read


def unread(case: Case) -> Case:
    """The same before any record is read."""
    return replace(case, record=None, twins=dict.fromkeys(case.twins))


@given(st.one_of(nearly_dead(), cases().map(lambda found: found[0])), policies)
@settings(max_examples=300)
def test_a_record_is_needed_exactly_if_the_verdict_depends_on_it(
    case: Case, policy: Policy
) -> None:
    needed = needs_record(unread(case), policy, NOW)
    assert needed == needs_record(case, policy, NOW)
    without = judge(unread(case), policy, NOW)
    if needed:
        assert without.reason is Reason.OUT_OF_SIGHT
    else:
        with_record = judge(case, policy, NOW)
        assert without.decision is with_record.decision is not Decision.DELETE
        assert (without.reason, without.detail) == (
            with_record.reason,
            with_record.detail,
        )


@pytest.mark.parametrize(
    ("case", "needed"),
    [
        (terminated(), True),
        (terminated(sightings=(sighting(DELETED, at=NOW - QUIET),)), True),
        (terminated(sightings=(sighting(DELETED, at=NOW - QUIET + SECOND),)), False),
        (terminated(parameters_shown=False), False),
        (vanished(), True),
        (vanished(history=missed(3, NOW - 72 * HOUR + SECOND)), False),
        (vanished(history=missed(2, NOW - 72 * HOUR)), False),
        (vanished(history=missed(3, NOW - 72 * HOUR, homes=())), False),
        (vanished(witnessed=frozenset()), False),
        (vanished(checkins_arrive=False), False),
        (vanished(twins=twins(TWIN)), False),
        (vanished(sightings=(sighting(PRESENT),)), False),
        (vanished(sightings=(sighting(UNKNOWN),)), False),
    ],
)
def test_a_record_is_read_only_once_novas_row_or_the_grace_period_lets_it_go(
    case: Case, needed: bool
) -> None:
    assert needs_record(unread(case), POLICY, NOW) is needed


@given(
    grids,
    st.data(),
    policies,
    st.builds(History, st.integers(0, 9), st.one_of(st.none(), near)),
)
def test_a_provable_termination_goes_after_quiet_whatever_doubt_the_facts_leave(
    grid: Any, data: Any, policy: Policy, history: History
) -> None:
    """Whatever policy and history say, the first run after one check-in interval deletes it."""
    end = data.draw(st.one_of(past, near.filter(lambda when: when <= NOW + SKEW)))
    signs = st.integers(0, 10**7).map(lambda seconds: end - seconds * SECOND)
    proof = data.draw(st.sampled_from(grid))
    seen = [
        seen_as(where, DELETED if where == proof else ABSENT, end) for where in grid
    ]
    case = Case(
        7,
        "web-7.example.com",
        Identity(
            tuple(dict.fromkeys(uuid for uuid, *_ in grid)), doubt=data.draw(doubts)
        ),
        tuple(seen),
        record(
            last_checkin=data.draw(signs),
            last_report=data.draw(st.one_of(st.none(), signs)),
            registered_at=data.draw(st.one_of(st.none(), signs)),
            registered=data.draw(st.booleans()),
            hypervisor=data.draw(st.booleans()),
            compute_resource=data.draw(st.sampled_from([None, "osp"])),
            parameters=data.draw(
                st.sampled_from(
                    [{}, {"osp_cleanup_protect": "false"}, {"role": "true"}]
                )
            ),
        ),
        twins={
            f"twin-{when}": replace(TWIN, last_checkin=when, registered_at=None)
            for when in data.draw(st.lists(signs, max_size=2))
        },
        history=history,
        witnessed=data.draw(st.sampled_from([frozenset(), frozenset(PLACES)])),
        checkins_arrive=data.draw(st.booleans()),
        parameters_shown=True,
    )
    due = max(end + policy.quiet, NOW)
    assert verdict(case, policy, due) == DELETE_WITH_PROOF
    if due > NOW:
        assert verdict(case, policy, due - SECOND) == (WAIT, Reason.QUIET)


@given(policies.filter(lambda policy: policy.misses > 0), past, past)
def test_a_wait_turns_into_a_deletion_by_itself_and_not_a_second_too_early(
    policy: Policy, since: datetime, checkin: datetime
) -> None:
    case = vanished(
        history=missed(policy.misses, since),
        record=record(last_checkin=checkin, registered_at=None),
    )
    due = max(since + policy.grace, checkin + policy.silence)
    assert verdict(case, policy, due) == DELETE_MISSING
    assert verdict(case, policy, due - SECOND)[0] is WAIT


def test_a_verdict_names_the_uuid_that_counts() -> None:
    assert judge(terminated(identity=Identity((UUID, OTHER))), POLICY, NOW).uuid == UUID
    verdict = judge(terminated(identity=Identity((), Reason.NO_FACTS)), POLICY, NOW)
    assert (verdict.uuid, verdict.reason) == ("", Reason.NO_FACTS)


def test_a_verdict_says_what_it_rests_on() -> None:
    proof = sighting(DELETED)._replace(project="c0ffee")
    basis = judge(terminated(sightings=(proof,)), POLICY, NOW).basis
    assert basis == Basis(
        cloud="prod",
        region="RegionOne",
        project="c0ffee",
        terminated_at=iso_z(ENDED),
        last_checkin=iso_z(ENDED - HOUR),
    )


def test_a_verdict_that_waits_says_until_when() -> None:
    policy = replace(POLICY, quiet=NOW - ENDED + HOUR)
    assert judge(terminated(), policy, NOW).basis.due == iso_z(NOW + HOUR)
    assert (
        judge(terminated(), replace(policy, quiet=timedelta.max), NOW).basis.due == ""
    )


def test_an_absent_instance_was_where_an_earlier_run_saw_it_unless_that_is_two_places() -> (
    None
):
    home, other = Place("prod", "RegionOne"), Place("prod", "RegionTwo")
    for homes, region in (((home,), "RegionOne"), ((home, other), ""), ((), "")):
        history = missed(3, NOW - 72 * HOUR, homes)
        assert judge(vanished(history=history), POLICY, NOW).basis.region == region


def test_a_living_instance_is_where_it_is_alive_whatever_another_region_proves() -> (
    None
):
    alive = Sighting(UUID, "prod", "RegionTwo", PRESENT, "ACTIVE", None, "c0ffee")
    basis = judge(terminated(sightings=(sighting(DELETED), alive)), POLICY, NOW).basis
    assert (basis.region, basis.project) == ("RegionTwo", "c0ffee")
