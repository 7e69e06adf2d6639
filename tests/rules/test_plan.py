"""The plan: guard rails at, below and above their limits, and a file that shows any change."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreman_hooks.osp_checker import OSPError, Place
from foreman_hooks.rules.guard_rails import (
    count_instances,
    with_guard_rails,
    with_holds,
)
from foreman_hooks.rules.model import Decision, Fingerprint, Policy, Reason, Verdict
from foreman_hooks.rules.plan import (
    Absence,
    Hold,
    Plan,
    PlanError,
    PlanRegion,
    check_applicable,
    dump,
    load,
)
from foreman_hooks.rules.verdicts import Alike, verdicts_of

NOW = datetime(2025, 3, 1, 12, tzinfo=timezone.utc)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
URL = "https://satellite.example.com"
# No cap at all, so that a test can set the one that it is about.
CAPLESS = Policy(max_deletions=10**9, max_fraction=1.0, max_shrink=1.0)
CAPS = replace(CAPLESS, max_shrink=0.3)
WHERE = ("prod", "RegionOne")


def verdict(
    number: int = 1,
    decision: Decision = Decision.DELETE,
    reason: Reason = Reason.TERMINATED,
) -> Verdict:
    return Verdict(
        number,
        f"web-{number}.example.com",
        f"7f3c1f0e-5b1d-4a57-9f5e-{number:012}",
        decision,
        reason,
        "terminated 2025/01/30",
        Fingerprint("c0ffee", None, "2025-01-30T11:00:00+00:00")
        if decision is Decision.DELETE
        else None,
    )


def region(servers: Any = 100, name: str = "RegionOne", **more: Any) -> PlanRegion:
    return PlanRegion("prod", name, servers, **more)


def plan(
    deletions: int = 0,
    instances: int = 0,
    others: Sequence[Reason] = (),
    regions: Sequence[PlanRegion] = (),
) -> Plan:
    """A plan that deletes `deletions` of `instances`, and keeps hosts for the reasons `others`."""
    kept = [Reason.ALIVE] * (instances - deletions) + list(others)
    return Plan(
        URL,
        NOW,
        "all hosts",
        tuple(regions),
        verdicts_of(
            [
                *(verdict(number) for number in range(deletions)),
                *(
                    verdict(deletions + number, Decision.KEEP, reason)
                    for number, reason in enumerate(kept)
                ),
            ]
        ),
    )


def refusals(made: Plan, policy: Policy, before: int = 0) -> tuple[str, ...]:
    return with_guard_rails(made, policy, {WHERE: before} if before else {}).refusals


# The cap on the number


@pytest.mark.parametrize("doomed", [1, 2, 50])
def test_a_cap_of_zero_allows_no_deletion(doomed: int) -> None:
    records = "1 record is" if doomed == 1 else f"{doomed} records are"
    assert refusals(plan(doomed, 100), replace(CAPLESS, max_deletions=0)) == (
        f"{records} to be deleted, max_deletions is 0",
    )


def test_a_cap_of_zero_does_not_mind_that_none_goes() -> None:
    assert refusals(plan(0, 100), Policy(max_deletions=0, max_fraction=0.0)) == ()


@pytest.mark.parametrize("cap", [1, 3, 50])
def test_as_many_as_the_cap_may_go_and_not_one_more(cap: int) -> None:
    """A real termination is removed: the rail at its limit does not bite."""
    policy = replace(CAPLESS, max_deletions=cap)
    assert (
        refusals(plan(cap - 1, 100), policy) == refusals(plan(cap, 100), policy) == ()
    )
    assert refusals(plan(cap + 1, 100), policy) == (
        f"{cap + 1} records are to be deleted, max_deletions is {cap}",
    )


def test_the_caps_are_on_unless_somebody_sets_them_otherwise() -> None:
    assert refusals(plan(50, 500), Policy()) == ()
    assert len(refusals(plan(51, 500), Policy())) == 2


# The cap on the fraction


@pytest.mark.parametrize(
    ("doomed", "fleet", "fraction"),
    [
        (0, 0, 0.1),
        (0, 5, 0.0),
        (1, 10, 0.1),
        (1, 19, 0.1),
        (2, 20, 0.1),
        (3, 30, 0.1),
        (10, 100, 0.1),
        (1, 1, 1.0),
        (7, 7, 1.0),
        (1, 4, 0.25),
        (29, 100, 0.29),
        (57, 100, 0.57),
        (7, 100, 0.07),
        (1, 3, 0.34),
    ],
)
def test_up_to_the_fraction_may_go(doomed: int, fleet: int, fraction: float) -> None:
    assert refusals(plan(doomed, fleet), replace(CAPLESS, max_fraction=fraction)) == ()


@pytest.mark.parametrize(
    ("doomed", "fleet", "fraction", "told"),
    [
        (1, 1000, 0.0, "1 of 1000"),
        (1, 9, 0.1, "1 of 9 instances (11%)"),
        (2, 10, 0.1, "2 of 10 instances (20%)"),
        (2, 19, 0.1, "2 of 19"),
        (11, 100, 0.1, "11 of 100"),
        (1, 1, 0.99, "1 of 1 instances (100%)"),
        (8, 100, 0.07, "8 of 100"),
        (
            37,
            120,
            0.05,
            "37 of 120 instances (31%) are to be deleted, max_fraction is 5%",
        ),
    ],
)
def test_more_than_the_fraction_is_refused_with_the_numbers_in_a_small_fleet_too(
    doomed: int, fleet: int, fraction: float, told: str
) -> None:
    """No number of records is exempt."""
    (refusal,) = refusals(plan(doomed, fleet), replace(CAPLESS, max_fraction=fraction))
    assert refusal.startswith(told)


@pytest.mark.parametrize(
    "reason",
    [
        Reason.NOT_OPENSTACK,
        Reason.NOT_A_GUEST,
        Reason.NO_FACTS,
        Reason.NO_UUID,
        Reason.NO_PROOF,
    ],
)
def test_hosts_that_are_no_instances_do_not_make_the_fleet_larger(
    reason: Reason,
) -> None:
    """2 of 4 virtual machines are half, whatever bare metal stands beside them."""
    (refusal,) = refusals(
        plan(2, 4, [reason] * 1000), replace(CAPLESS, max_fraction=0.1)
    )
    assert refusal.startswith("2 of 4 instances (50%)")


@pytest.mark.parametrize(
    "reason",
    [Reason.ALIVE, Reason.UNKNOWN, Reason.GRACE, Reason.PROTECTED, Reason.SHARED_UUID],
)
def test_instances_that_stay_are_part_of_the_fleet(reason: Reason) -> None:
    assert refusals(plan(1, 1, [reason] * 9), replace(CAPLESS, max_fraction=0.1)) == ()


# The shrinkage of a cloud


@pytest.mark.parametrize(
    ("before", "servers", "limit"),
    [
        (100, 70, 0.3),
        (100, 100, 0.3),
        (100, 200, 0.3),
        (10, 7, 0.3),
        (1, 1, 0.3),
        (0, 0, 0.3),
        (0, 5, 0.0),
        (100, 100, 0.0),
        (100, 0, 1.0),
        (100, 90, 0.1),
        (100, 58, 0.42),
        (3, 1, 0.3),
        (1, 0, 0.3),
        (100, 98, 0.0),
    ],
)
def test_a_cloud_may_shrink_up_to_the_limit(
    before: int, servers: int, limit: float
) -> None:
    made = with_guard_rails(
        plan(1, 10, regions=[region(servers)]),
        replace(CAPLESS, max_shrink=limit),
        {WHERE: before},
    )
    assert (made.refusals, made.shrunk) == ((), False)


@pytest.mark.parametrize(
    ("before", "servers", "limit"),
    [
        (100, 69, 0.3),
        (100, 0, 0.3),
        (10, 6, 0.3),
        (100, 97, 0.0),
        (100, 0, 0.99),
        (4, 1, 0.3),
    ],
)
def test_a_cloud_that_shrank_by_more_stops_the_run(
    before: int, servers: int, limit: float
) -> None:
    made = with_guard_rails(
        plan(1, 10, regions=[region(servers)]),
        replace(CAPLESS, max_shrink=limit),
        {WHERE: before},
    )
    (refusal,) = made.refusals
    assert refusal.startswith(
        f"prod/RegionOne shrank from {before} to {servers} servers ("
    )
    assert made.shrunk


def test_servers_that_are_proven_terminated_are_not_lost() -> None:
    """Three servers, and all are terminated: nobody has to approve that."""
    made = with_guard_rails(
        plan(1, 10, regions=[region(40, terminated=60)]), CAPS, {WHERE: 100}
    )
    assert made.refusals == ()
    made = with_guard_rails(
        plan(1, 10, regions=[region(40, terminated=10)]), CAPS, {WHERE: 100}
    )
    assert made.refusals == (
        "prod/RegionOne shrank from 100 to 40 servers (60%), 10 of them proven terminated since "
        "the last good run, max_shrink is 30%",
    )


# Many that are absent at once, without proof

HOME = "prod/RegionOne"


def absent(
    count: int, hours: float = 0, home: str = HOME, first: int = 0
) -> list[Absence]:
    """As many hosts that are first missed at the same time, or so many hours apart."""
    return [
        Absence(first + number, home, NOW - 100 * DAY + number * hours * 60 * MINUTE)
        for number in range(count)
    ]


def vanishing(count: int, first: int = 0) -> Plan:
    """A plan that deletes so many hosts without proof."""
    return replace(
        plan(0, 100),
        verdicts=verdicts_of(
            verdict(first + number, reason=Reason.MISSING) for number in range(count)
        ),
    )


@pytest.mark.parametrize("count", [1, 5])
def test_as_many_absent_hosts_as_the_cap_says_may_go_at_once(count: int) -> None:
    assert with_holds(vanishing(count), Policy(), absent(count)).holds == ()


def test_one_more_needs_an_approval_for_all_of_them() -> None:
    """A small cell that loses its rows stays below every other cap."""
    (hold,) = with_holds(vanishing(6), Policy(), absent(6)).holds
    assert hold.host_ids == tuple(range(6))
    assert (
        hold.why
        == "6 hosts of prod/RegionOne are absent at once, without proof; max_absent is 5"
    )


def test_those_that_still_wait_count_as_well() -> None:
    (hold,) = with_holds(vanishing(2), Policy(), absent(9)).holds
    assert hold.host_ids == (0, 1)


def test_hosts_of_other_regions_or_missed_on_other_days_do_not_count() -> None:
    assert (
        with_holds(
            vanishing(10),
            Policy(),
            absent(5) + absent(5, home="prod/RegionTwo", first=5),
        ).holds
        == ()
    )
    assert with_holds(vanishing(10), Policy(), absent(10, hours=25)).holds == ()


def test_proven_terminations_are_not_held_back() -> None:
    mixed = replace(
        vanishing(6), verdicts=verdicts_of([*vanishing(6).verdicts, verdict(50)])
    )
    assert set(with_holds(mixed, Policy(), absent(6)).held) == set(range(6))


def test_a_cap_of_zero_holds_back_every_host_without_proof() -> None:
    (hold,) = with_holds(vanishing(1), Policy(max_absent=0), absent(1)).holds
    assert hold.host_ids == (0,)


def test_an_emptied_cell_database_is_noticed_before_anything_is_to_go() -> None:
    """Its hosts wait for the end of their grace period; the empty region must not become normal."""
    made = with_guard_rails(plan(0, 100, regions=[region(0)]), Policy(), {WHERE: 500})
    assert made.shrunk
    assert made.refusals == (
        "prod/RegionOne shrank from 500 to 0 servers (100%) since the last good run, "
        "max_shrink is 30%",
    )


def test_a_cloud_that_is_seen_for_the_first_time_did_not_shrink() -> None:
    assert not with_guard_rails(plan(regions=[region(3)]), Policy(), {}).refusals


def test_a_region_is_held_against_its_own_size_only() -> None:
    before = {
        WHERE: 10,
        Place("prod", "RegionTwo"): 1000,
        Place("test", "RegionOne"): 1000,
    }
    seen = [region(10), region(500, "RegionTwo")]
    made = with_guard_rails(plan(regions=seen), Policy(), before)
    shrunk, left = made.refusals
    assert shrunk.startswith("prod/RegionTwo shrank from 1000 to 500")
    assert left.startswith(
        "test/RegionOne was asked in the last good run and is out of scope now"
    )
    assert made.unasked == ("test/RegionOne",)


def test_a_region_that_gave_no_list_is_not_said_to_have_shrunk() -> None:
    """It is unknown, and its hosts with it: that is the judge's to say."""
    made = with_guard_rails(
        plan(regions=[region(None, error=OSPError("gave 503"))]), Policy(), {WHERE: 100}
    )
    assert (made.refusals, made.shrunk) == ((), False)


# All of them together


def test_every_rail_that_is_broken_is_named() -> None:
    made = with_guard_rails(plan(60, 100, regions=[region(10)]), Policy(), {WHERE: 100})
    assert [refusal.split(",")[-1] for refusal in made.refusals] == [
        " max_deletions is 50",
        " max_fraction is 10%",
        " max_shrink is 30%",
    ]


def test_only_a_shrunken_cloud_is_not_taken_for_normal() -> None:
    assert not with_guard_rails(
        plan(60, 100, regions=[region()]), Policy(), {WHERE: 100}
    ).shrunk


def test_refusals_of_before_do_not_outlive_their_cause_nor_hide_a_new_one() -> None:
    """A plan is held against the rails again when it is applied, with the policy of that moment."""
    made = plan(3, 30)
    stale = replace(made, refusals=("an old one",), shrunk=True)
    assert with_guard_rails(stale, Policy(), {}) == made
    assert with_guard_rails(made, Policy(max_deletions=2), {}).refusals == (
        "3 records are to be deleted, max_deletions is 2",
    )


def test_the_rails_change_nothing_else() -> None:
    made = plan(60, 100, regions=[region(10)])
    held = with_guard_rails(made, Policy(), {WHERE: 100})
    assert replace(held, refusals=(), shrunk=False) == made


# What a plan says


def test_a_plan_counts_its_verdicts() -> None:
    made = plan(2, 5, [Reason.UNKNOWN, Reason.UNKNOWN, Reason.NOT_OPENSTACK])
    assert [one.host_id for one in made.deletions] == [0, 1]
    assert [
        made.counts[decision]
        for decision in (Decision.DELETE, Decision.WAIT, Decision.KEEP)
    ] == [2, 0, 6]
    assert made.unknown == 2


# Whether it may be applied


@pytest.mark.parametrize("age", [timedelta(), MINUTE, DAY, -5 * MINUTE])
def test_a_plan_of_today_and_of_this_satellite_is_applicable(age: timedelta) -> None:
    check_applicable(plan(1, 1), URL, NOW + age)


@pytest.mark.parametrize(
    ("age", "told"),
    [
        (DAY + SECOND, "hours old, the limit is 24; make a new one"),
        (timedelta(days=3), "the plan is 72 hours old"),
        (-5 * MINUTE - SECOND, "from the future"),
        (-timedelta(days=900), "check the clock"),
    ],
)
def test_an_old_plan_and_one_from_the_future_are_refused(
    age: timedelta, told: str
) -> None:
    """Not a second more than a day."""
    with pytest.raises(PlanError, match=told):
        check_applicable(plan(1, 1), URL, NOW + age)


@pytest.mark.parametrize(
    "other", ["https://satellite2.example.com", "http://satellite.example.com", ""]
)
def test_a_plan_for_another_satellite_is_refused(other: str) -> None:
    """The same numeric id is another host there."""
    with pytest.raises(
        PlanError, match="the plan is for https://satellite.example.com, this is"
    ):
        check_applicable(plan(1, 1), other, NOW)


# The file

words = st.text(max_size=6)
texts = st.tuples(words, words, words)
DELETIONS = [Reason.TERMINATED, Reason.MISSING]
uuids = st.uuids(version=4).map(str)
deletions = st.builds(
    lambda told, number, uuid, reason, shape: Verdict(
        number, told[0], uuid, Decision.DELETE, reason, told[1], Fingerprint(*shape)
    ),
    texts,
    st.integers(1, 10**9),
    uuids,
    st.sampled_from(DELETIONS),
    st.tuples(st.none() | words, st.none(), words),
)
others = st.builds(
    lambda told, number, uuid, reason: Verdict(
        number, told[0], uuid, reason.decision, reason, told[1]
    ),
    texts,
    st.integers(1, 10**9),
    st.just("") | uuids,
    st.sampled_from([reason for reason in Reason if reason not in DELETIONS]),
)
seen_regions = st.builds(
    lambda told, servers, alive, witnesses, unlisted: PlanRegion(
        told[0],
        told[1],
        servers,
        told[2],
        alive=alive,
        witnesses=tuple(witnesses),
        unlisted=tuple(unlisted),
    ),
    texts,
    st.none() | st.integers(0, 10**6),
    st.integers(0, 99),
    st.lists(st.tuples(words, words), max_size=2),
    st.lists(words, max_size=2),
)
plans = st.builds(
    lambda told, at, regions, verdicts, refusals, shrunk, unasked: Plan(
        told[0],
        at,
        told[1],
        tuple(regions),
        verdicts_of(verdicts),
        tuple(refusals),
        tuple(
            Hold(told[2], (verdict.host_id,)) for verdict in verdicts if verdict.is_open
        ),
        shrunk,
        tuple(unasked),
    ),
    texts,
    st.datetimes(
        datetime(1970, 1, 1), datetime(2999, 12, 31), timezones=st.just(timezone.utc)
    ),
    st.lists(seen_regions, max_size=1),
    st.lists(deletions | others, max_size=2, unique_by=lambda verdict: verdict.host_id),
    st.lists(words, max_size=1),
    st.booleans(),
    st.lists(words, max_size=1),
)


@given(plans)
def test_what_is_written_is_read_again(made: Plan) -> None:
    read = load(dump(made))
    assert replace(read, verdicts=made.verdicts) == made
    assert tuple(read.verdicts) == read.verdicts.open == made.verdicts.open
    assert (read.hosts, read.counts) == (made.hosts, made.counts)
    assert read.digest == made.digest
    assert dump(read) == dump(made)


SAMPLE = with_guard_rails(
    replace(
        plan(
            3,
            5,
            [Reason.UNKNOWN],
            [region(alive=2), region(None, "RegionTwo", error=OSPError("gave 503"))],
        ),
        scope='search "ä \\ \u2028"',
    ),
    Policy(),
    {WHERE: 200},
)
SAMPLE = replace(
    SAMPLE,
    verdicts=verdicts_of(
        [
            *SAMPLE.verdicts,
            verdict(10, Decision.WAIT, Reason.GRACE),
            verdict(11, Decision.KEEP, Reason.CHECKED_IN),
        ]
    ),
)
TEXT = dump(SAMPLE)
ROWS = json.loads(TEXT)["verdicts"]
SUMS = json.loads(TEXT)["sums"]


@given(
    st.integers(TEXT.index('"verdicts"'), len(TEXT) - 1),
    st.characters(codec="utf-8") | st.sampled_from(TEXT),
)
def test_any_changed_character_of_the_verdicts_is_refused(at: int, char: str) -> None:
    """Unless it is the same character, or blank space that changes nothing of what it says."""
    try:
        read = load(TEXT[:at] + char + TEXT[at + 1 :])
    except PlanError:
        return
    assert char == TEXT[at] or char.isspace()
    assert dump(read) == TEXT


@given(st.integers(0, len(TEXT) - 2))
def test_a_plan_that_was_cut_is_refused(end: int) -> None:
    """A full disk, or an interrupted copy."""
    with pytest.raises(PlanError):
        load(TEXT[:end])


def row(number: int, at: int, value: Any) -> dict[str, Any]:
    """The change of one cell of the verdicts."""
    return {
        "verdicts": [
            [
                value if (number, at) == (line, column) else cell
                for column, cell in enumerate(cells)
            ]
            for line, cells in enumerate(ROWS)
        ]
    }


def first_key(change: dict[str, Any]) -> str:
    return next(iter(change))


@pytest.mark.parametrize(
    "change",
    [
        row(3, 3, "delete"),
        row(0, 3, "keep"),
        row(0, 0, 99),
        row(0, 0, "0"),
        row(0, 0, 0.0),
        row(0, 1, "db"),
        row(0, 2, ""),
        row(0, 6, None),
        row(0, 6, [None] * 3),
        {"verdicts": ROWS[1:]},
        {"verdicts": ROWS[::-1]},
        {"verdicts": ROWS * 2},
        {"verdicts": []},
        {"refusals": []},
        {"shrunk": False},
        {"shrunk": 1},
        {"unasked": ["x"]},
        {"sums": {**SUMS, "instance exists": 10**6}},
        {"satellite": "https://satellite2.example.com"},
        {"made_at": "2025-03-02T12:00:00+00:00"},
        {"scope": "all hosts"},
        {"regions": []},
        {"digest": ""},
        {"digest": None},
        {"digest": "0" * 64},
        {"more": 1},
    ],
    ids=first_key,
)
def test_a_plan_that_was_changed_by_hand_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match="was changed after it was made"):
        load(json.dumps({**json.loads(TEXT), **change}))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_plan_is_a_file_for_people_with_one_line_for_each_verdict(count: int) -> None:
    lines = dump(plan(count, count)).split("\n")
    start = lines.index(' "verdicts": [') + 1
    assert [
        f"web-{number}.example.com" in lines[start + number] for number in range(count)
    ] == [True] * count
    assert lines[start + max(count, 1) :] == [" ]", "}", ""]


def living(count: int) -> Alike:
    """As many living hosts that share one verdict; their ids come after those of SAMPLE."""
    shared = verdict(0, Decision.KEEP, Reason.ALIVE)
    hosts = [(100 + number, f"living-{number}", shared.uuid) for number in range(count)]
    return Alike(shared, hosts)


def test_the_file_of_a_large_fleet_has_only_what_is_open_and_the_sums() -> None:
    made = replace(SAMPLE, verdicts=verdicts_of(SAMPLE.verdicts.open, [living(10_000)]))
    text = dump(made)
    assert "living" not in text
    assert len(text) < len(TEXT) + 100
    read = load(text)
    assert read.verdicts.sums == made.verdicts.sums
    assert (read.hosts, read.counts[Decision.KEEP]) == (10_005, 10_001)
    assert read.digest == made.digest


def test_a_plan_from_a_file_meets_the_same_guard_rails() -> None:
    made = replace(plan(4), verdicts=verdicts_of(plan(4).verdicts, [living(35)]))
    read = load(dump(made))
    assert count_instances(read) == count_instances(made) == 39
    policy = replace(CAPLESS, max_fraction=0.1)
    assert with_guard_rails(read, policy, {}).refusals == refusals(made, policy)
    assert refusals(made, policy) == (
        "4 of 39 instances (10%) are to be deleted, max_fraction is 10%",
    )


def test_the_order_of_its_parts_and_its_layout_are_no_change() -> None:
    document = json.loads(TEXT)
    assert dump(load(json.dumps(dict(reversed(document.items())), indent=4))) == TEXT


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "null",
        "1",
        "true",
        '"plan"',
        "[]",
        "{}",
        "{",
        '{"digest": 1}',
        '{"format": 1}',
        "\0",
        "NaN",
        "[" * 100_000,
        '{"a":' * 100_000,
        "9" * 5000,
        '{"digest": {}, "format": 1}',
        "\ufeff" + TEXT,
        TEXT + TEXT,
    ],
    ids=lambda text: repr(text[:9]),
)
def test_what_is_no_plan_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(PlanError) as caught:
        load(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def signed(**changes: Any) -> str:
    """A plan with its true digest that `dump` did not write."""
    document = {**json.loads(TEXT), **changes}
    del document["digest"]
    head = {key: value for key, value in document.items() if key != "verdicts"}
    rows = document["verdicts"] if isinstance(document["verdicts"], list) else []
    text = json.dumps(head, sort_keys=True) + "".join(
        f"{json.dumps(row)}\n" for row in rows
    )
    return json.dumps({**document, "digest": hashlib.sha256(text.encode()).hexdigest()})


def test_a_plan_of_another_version_says_so() -> None:
    assert dump(load(signed())) == TEXT
    with pytest.raises(
        PlanError, match="format 1, this version reads 4; make a new one"
    ):
        load(signed(format=1))
    with pytest.raises(PlanError) as caught:
        load(signed(format="4\n" * 999))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "change",
    [
        row(0, 3, "maybe"),
        row(0, 4, "because"),
        {"verdicts": [[1, "x"]]},
        row(0, 6, ["a"]),
        {"verdicts": 5},
        {"verdicts": [None]},
        {"regions": [[]]},
        {"regions": None},
        {"made_at": "yesterday"},
        {"made_at": 5},
        {"made_at": None},
        row(0, 0, "0"),
        row(0, 0, 0.5),
        row(0, 0, -1),
        row(0, 0, True),
        row(0, 1, 5),
        row(0, 2, "x"),
        row(0, 2, "../../etc"),
        row(0, 5, None),
        row(0, 6, [1, 2, 3]),
        row(0, 6, "abc"),
        {"satellite": 5},
        {"satellite": "\ud800"},
        {"made_at": "0001-01-01T00:00:00+00:00"},
        {"made_at": "9999-12-31T23:59:59+00:00"},
        {"regions": [["prod", "RegionOne", 10**40, "", "", "", 0, [], 0, []]]},
        {"regions": [["prod", "RegionOne", 1, "", "", "", -1, [], 0, []]]},
        row(0, 0, 2**31),
        row(0, 1, "\udfff"),
        {"scope": None},
        {"refusals": [1]},
        {"refusals": "no"},
        {"shrunk": 1},
        {"unasked": [1]},
        {"unasked": "no"},
        {"holds": [["x"]]},
        {"holds": 5},
        {"holds": [[1, []]]},
        {"sums": None},
        {"sums": []},
        {"sums": {**SUMS, "because": 1}},
        {"sums": {**SUMS, "instance exists": -1}},
        {"sums": {**SUMS, "instance exists": 0}},
        {"sums": {**SUMS, "instance exists": True}},
        {"sums": {**SUMS, "instance exists": 2.0}},
        {"sums": {**SUMS, "instance exists": "2"}},
        {"sums": {**SUMS, "instance exists": 2**64}},
        {"regions": [["prod", "RegionOne", "many", "", "", "", 0, [], 0, []]]},
        {"regions": [["prod", "RegionOne", 1, "", "", "", "x", [], 0, []]]},
    ],
    ids=first_key,
)
def test_a_plan_with_a_true_digest_and_parts_that_are_none_is_refused(
    change: dict[str, Any],
) -> None:
    with pytest.raises(PlanError, match="not a plan"):
        load(signed(**change))


@pytest.mark.parametrize("zone", ["", "+01:00", "-14:00"])
def test_a_time_that_is_not_in_utc_is_refused(zone: str) -> None:
    """Without a zone, nobody knows how old such a plan is; `plan` writes no other."""
    with pytest.raises(PlanError, match="not in UTC"):
        load(signed(made_at=f"9999-12-31T23:59:59{zone}"))


def test_the_age_of_a_plan_that_is_refused_is_never_the_limit() -> None:
    plan = load(signed(made_at=(NOW - timedelta(hours=24.2)).isoformat()))
    with pytest.raises(PlanError, match="25 hours old, the limit is 24;"):
        check_applicable(plan, URL, NOW)


def test_a_deletion_of_what_is_no_instance_is_refused() -> None:
    """Judge never says so, whoever wrote it."""
    rows = [[1, "esx1.example.com", "", "delete", Reason.NOT_OPENSTACK.value, "", None]]
    with pytest.raises(PlanError):
        with_guard_rails(load(signed(verdicts=rows)), CAPLESS, {})


@pytest.mark.parametrize(
    "change",
    [
        row(0, 6, None),
        row(0, 2, ""),
        {
            "verdicts": [*ROWS, ROWS[0]],
            "sums": {**SUMS, Reason.TERMINATED.value: 4},
        },
        {"holds": [["many", [99]]]},
        {"verdicts": ROWS[1:]},
        {"verdicts": [*ROWS, [99, *ROWS[0][1:]]]},
        {"verdicts": [*ROWS, [99, "x", "", "keep", "instance exists", "", None, [""]]]},
        {"sums": {}},
        {"sums": {**SUMS, Reason.TERMINATED.value: 10**6}},
        {"sums": {**SUMS, Reason.QUIET.value: 1}},
    ],
    ids=first_key,
)
def test_a_plan_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    """A deletion without a fingerprint, a host twice, a hold of a host that is not in the plan.

    Or sums that are not those of its open verdicts.
    """
    with pytest.raises(PlanError, match="make a new one"):
        load(signed(**change))


CHANGES = [
    {"satellite": "x"},
    {"made_at": NOW + SECOND},
    {"scope": "x"},
    {"regions": ()},
    {"refusals": ()},
    {"shrunk": False},
    {"unasked": ("x",)},
    {"verdicts": verdicts_of(list(SAMPLE.verdicts)[1:])},
    {
        "verdicts": verdicts_of(
            [*SAMPLE.verdicts, verdict(99, Decision.KEEP, Reason.ALIVE)]
        )
    },
    *(
        {"verdicts": verdicts_of(changed)}
        for changed in (
            [
                one._replace(detail="") if one is opened else one
                for one in SAMPLE.verdicts
            ]
            for opened in SAMPLE.verdicts.open
        )
    ),
]


@pytest.mark.parametrize("change", CHANGES, ids=first_key)
def test_plans_that_differ_in_anything_have_different_digests(
    change: dict[str, Any],
) -> None:
    """The approval of one is that of no other."""
    assert len(SAMPLE.digest) == 64
    assert replace(SAMPLE, **change).digest != SAMPLE.digest
    assert replace(SAMPLE).digest == SAMPLE.digest


@pytest.mark.parametrize("kind", ["quick", "single"])
def test_a_plan_that_is_not_about_all_hosts_is_not_read(kind: str) -> None:
    """It is never written; and how large the fleet is, is for a run to find out."""
    with pytest.raises(PlanError, match="not about all hosts"):
        load(signed(kind=kind, fleet=10**9))
