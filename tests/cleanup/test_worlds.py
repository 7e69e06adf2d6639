"""Both promises over random worlds: no living machine goes, every proven dead one does.

A record is a living machine's if any source of its facts names an instance that exists or could not
be asked about, in either byte order, or if it gave a sign of life since the end that Nova proves.
A termination is provable if Nova has the deleted row of an instance that the facts name, and of no
other that they name anything else is known.
"""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple, Optional

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandbox.openstack import Account, OpenStack
from sandbox.satellite import ANSIBLE, PUPPET, SALT, Host, Satellite, User
from sandbox.satellite import RHSM as ORIGIN
from sandbox.world import World, add_instance, registration, stamp

from foreman_hooks.osp_checker import Place, Presence, Sighting, parse_uuid, swap_bytes
from foreman_hooks.rules.identity import RHSM, UUID_NAMES, identify, same_machine
from foreman_hooks.rules.model import Decision, History, Policy, Reason, Record
from foreman_hooks.rules.verdict import CLOCK_SKEW, Case, judge

NOW = datetime(2025, 3, 1, 12, tzinfo=timezone.utc)
HOUR, DAY = 3600.0, 86400.0
UUIDS = [
    f"{number:08x}-1f0e-4a57-9f5e-{number:012x}"
    for number in range(0x10203041, 0x10203047)
]
PLACE = Place("prod", "RegionOne")

forms = st.sampled_from(UUIDS).flatmap(
    lambda uuid: st.sampled_from(
        [uuid, uuid.upper(), swap_bytes(uuid), swap_bytes(uuid).upper(), f" {uuid}\n"]
    )
)
words = st.sampled_from(
    [
        "true",
        "false",
        "guest",
        "host",
        "physical",
        "NA",
        "Unknown",
        "Not Present",
        "kvm",
        "kubevirt",
        "",
        "0",
        "yes",
    ]
)
makers = st.sampled_from(
    [
        "OpenStack Foundation",
        "OpenStack Nova",
        "Red Hat",
        "OpenStack Compute",
        "RDO",
        "NA",
        "",
        "VMware, Inc.",
        "Dell Inc.",
        "Not Specified",
    ]
)
tags = st.sampled_from(["", "OpenStack Nova", "HUAWEICLOUD", "No Asset Tag", "rack 7"])
rhsm_facts = st.fixed_dictionaries(
    {},
    optional={
        "virt::uuid": forms,
        "dmi::system::uuid": forms,
        "virt::is_guest": words,
        "dmi::system::manufacturer": makers,
        "dmi::system::product_name": makers,
        "dmi::chassis::asset_tag": tags,
    },
)
puppet_facts = st.fixed_dictionaries(
    {},
    optional={
        "dmi::product::uuid": forms,
        "is_virtual": words,
        "virtual": words,
        "dmi::manufacturer": makers,
    },
)
ansible_facts = st.fixed_dictionaries(
    {},
    optional={
        "ansible_product_uuid": forms,
        "ansible_virtualization_role": words,
        "ansible_system_vendor": makers,
    },
)
salt_facts = st.fixed_dictionaries(
    {}, optional={"uuid": forms, "manufacturer": makers, "virtual": words}
)
sources = st.fixed_dictionaries(
    {RHSM: rhsm_facts},
    optional={"Puppet": puppet_facts, "Ansible": ansible_facts, "Salt": salt_facts},
)


def named(facts: Any) -> set[str]:
    """Every instance that any source names, each in the form that Nova knows."""
    forms = {
        parse_uuid(text)
        for values in facts.values()
        for name, text in values.items()
        if name in UUID_NAMES
    }
    return {
        uuid
        for uuid in UUIDS
        if any(form and same_machine(uuid, form) for form in forms)
    }


def foreign(facts: Any) -> bool:
    """Whether the leading source names another maker; written independently of the product."""

    def texts(values: Any, *names: str) -> list[str]:
        return [
            text
            for text in map(values.get, names)
            if text and text not in ("NA", "Not Specified", "No Asset Tag")
        ]

    rhsm = facts.get(RHSM) or {}
    said = texts(rhsm, "dmi::system::manufacturer", "dmi::system::product_name")
    tag = texts(rhsm, "dmi::chassis::asset_tag")
    if (
        said
        or tag
        or rhsm.get("virt::uuid")
        or rhsm.get("dmi::system::uuid")
        or (
            rhsm.get("virt::is_guest", "")
            not in ("", "NA", "Unknown", "Not Present", "kubevirt")
        )
    ):
        return bool(said) and not any(
            "OpenStack" in text or text == "HUAWEICLOUD" for text in (*said, *tag)
        )
    others = [
        texts(values, "dmi::manufacturer", "ansible_system_vendor", "manufacturer")
        for origin, values in facts.items()
        if origin != RHSM
    ]
    said = [text for group in others for text in group]
    return bool(said) and not any("OpenStack" in text for text in said)


# The rules alone


class Truth(NamedTuple):
    """What Nova says of one instance; `end` where it is deleted."""

    presence: Presence
    end: Optional[datetime] = None


ends = st.integers(0, 10**6).map(lambda seconds: NOW - timedelta(seconds=seconds))
truths = st.one_of(
    st.just(Truth(Presence.ABSENT)),
    st.just(Truth(Presence.ABSENT)),
    st.just(Truth(Presence.PRESENT)),
    st.just(Truth(Presence.UNKNOWN)),
    ends.map(lambda end: Truth(Presence.DELETED, end)),
    ends.map(lambda end: Truth(Presence.DELETED, end)),
)
signs = st.one_of(
    st.none(),
    st.integers(-(10**5), 2 * 10**6).map(
        lambda seconds: NOW - timedelta(seconds=seconds)
    ),
)
policies = st.builds(
    Policy,
    quiet=st.sampled_from(
        [timedelta(0), timedelta(hours=4, minutes=30), timedelta(days=2)]
    ),
    all_clouds_listed=st.booleans(),
    grace=st.just(timedelta(0)),
    misses=st.just(1),
    silence=st.just(timedelta(0)),
)


@st.composite
def cases(draw: Any) -> tuple[Any, dict[str, Truth], Case]:
    """Facts, the truth about every instance, and the case; only these two can hold the record."""
    facts, truth = draw(sources), {uuid: draw(truths) for uuid in UUIDS}
    identity = identify(facts, katello=True)
    sightings = []
    for form in identity.uuids:
        presence, end = truth[next(uuid for uuid in UUIDS if same_machine(uuid, form))]
        sightings.append(Sighting(form, *PLACE, presence, "", end))
    record = Record(
        7,
        "web",
        "c",
        draw(st.booleans()),
        draw(signs),
        draw(signs),
        draw(signs),
        draw(st.booleans()),
        hypervisor=draw(st.booleans()),
    )
    twins = {
        f"twin-{number}": Record(8 + number, f"twin-{number}", last_checkin=when)
        for number, when in enumerate(draw(st.lists(signs, max_size=2)))
    }
    history = History(
        9,
        NOW - timedelta(days=99),
        draw(st.sampled_from([frozenset(), frozenset({PLACE})])),
    )
    case = Case(
        7,
        "web",
        identity,
        tuple(sightings),
        record,
        twins=twins,
        history=history,
        unlisted=draw(st.sampled_from([(), (), ("prod/RegionTwo",)])),
        witnessed=frozenset({PLACE}),
        checkins_arrive=True,
        parameters_shown=True,
    )
    return facts, truth, case


@given(cases(), policies)
@settings(max_examples=300)
def test_no_facts_of_any_source_can_delete_a_record_that_names_a_living_instance(
    example: Any, policy: Policy
) -> None:
    facts, truth, case = example
    verdict = judge(case, policy, NOW)
    if verdict.decision is Decision.DELETE:
        assert named(facts)
        assert {truth[uuid].presence for uuid in named(facts)} <= {
            Presence.ABSENT,
            Presence.DELETED,
        }
        if verdict.reason is Reason.TERMINATED:
            end = max(
                truth[uuid].end or datetime.min.replace(tzinfo=timezone.utc)
                for uuid in named(facts)
            )
            assert case.record
            latest = [
                record.last_sign
                for record in (case.record, *case.twins.values())
                if record and record.last_sign
            ]
            assert max(latest) <= end + CLOCK_SKEW
            assert NOW - end >= policy.quiet
        else:
            assert not case.twins
            assert case.identity.doubt is None


@given(cases(), policies)
@settings(max_examples=300)
def test_no_facts_of_any_source_can_keep_a_provable_termination_for_ever(
    example: Any, policy: Policy
) -> None:
    facts, truth, case = example
    proven = [truth[uuid].end for uuid in named(facts) if truth[uuid].end]
    others = {truth[uuid].presence for uuid in named(facts)} - {
        Presence.ABSENT,
        Presence.DELETED,
    }
    if foreign(facts) or not proven or others:
        return
    end = max(when for when in proven if when)
    old = (
        replace(
            case.record,
            registered_at=end - timedelta(days=9),
            last_checkin=None,
            last_report=None,
        )
        if case.record
        else None
    )
    twins = {
        name: replace(twin, last_checkin=end - timedelta(days=1))
        for name, twin in case.twins.items()
        if twin
    }
    quiet = replace(case, record=old, twins=twins, unlisted=())
    verdict = judge(quiet, policy, end + policy.quiet)
    assert (verdict.decision, verdict.reason) == (Decision.DELETE, Reason.TERMINATED)


# Whole runs


class Machine(NamedTuple):
    """One instance: its state in Nova, and how many hours ago it ended."""

    state: str
    ended: int


class Entry(NamedTuple):
    """One host record: its facts, and how many hours ago it checked in."""

    facts: Any
    checked_in: int


ORIGINS = {RHSM: ORIGIN, "Puppet": PUPPET, "Ansible": ANSIBLE, "Salt": SALT}
states = st.sampled_from(
    ["ACTIVE", "SHUTOFF", "SOFT_DELETED", "row", "row", "row", "none"]
)
machines = st.lists(
    st.builds(Machine, states, st.integers(1, 400)),
    min_size=len(UUIDS),
    max_size=len(UUIDS),
)
entries = st.lists(
    st.builds(Entry, sources, st.integers(1, 800)), min_size=1, max_size=6
)


def build(stage: Any, fleet: list[Machine], records: list[Entry]) -> None:
    """A new world behind the same two servers: the witness, these machines, these records."""
    stage.satellite = Satellite(users=[User("admin", "changeme")])
    stage.openstack = OpenStack(
        regions=("RegionOne", "RegionTwo"), accounts=[Account("admin", "changeme")]
    )
    stage.world = World(stage.satellite, stage.openstack, {})
    stage.foreman.handle, stage.osp.handle = (
        stage.satellite.handle,
        stage.openstack.handle,
    )
    (stage.folder / "journal.sqlite3").unlink(missing_ok=True)
    stage.host("witness")
    for uuid, (state, ended) in zip(UUIDS, fleet):
        if state != "none":
            add_instance(
                stage.world,
                uuid,
                uuid,
                status=state if state != "row" else "ACTIVE",
                terminated=ended * HOUR if state == "row" else None,
            )
    for number, (facts, checked_in) in enumerate(records):
        stage.satellite.add(
            Host(
                f"web{number}.example.com",
                subscription=registration(
                    checked_in * HOUR, registered_at=stamp(900 * DAY)
                ),
                facts={
                    ORIGINS[origin]: dict(values) for origin, values in facts.items()
                },
            )
        )


def provable(truth: dict[str, Machine], records: list[Entry], entry: Entry) -> bool:
    """Whether the record has to go: its end is proven, and no record that names it spoke since."""
    uuids = named(entry.facts)
    rows = [truth[uuid].ended for uuid in uuids if truth[uuid].state == "row"]
    if (
        foreign(entry.facts)
        or not rows
        or any(truth[uuid].state not in ("row", "none") for uuid in uuids)
    ):
        return False
    sharing = [other for other in records if uuids & named(other.facts)]
    return min(rows) > 5 and all(other.checked_in > min(rows) for other in sharing)


@given(machines, entries)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_a_whole_run_only_the_dead_go_and_all_that_are_provable_do(
    stage: Any, fleet: Any, records: Any
) -> None:
    build(stage, fleet, records)
    truth = dict(zip(UUIDS, fleet))
    stage.run(Policy(max_fraction=1.0, max_shrink=1.0))
    left = stage.left
    assert "witness" in left
    for number, entry in enumerate(records):
        uuids = named(entry.facts)
        alive = [uuid for uuid in uuids if truth[uuid].state not in ("row", "none")]
        rows = [truth[uuid].ended for uuid in uuids if truth[uuid].state == "row"]
        if alive or not rows or entry.checked_in < min(rows):
            assert f"web{number}" in left, entry
        if provable(truth, records, entry):
            assert f"web{number}" not in left, entry
