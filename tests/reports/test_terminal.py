"""A plan as people read it: in groups, in any window, with nothing that a terminal would obey."""

import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from foreman_hooks.osp_checker import OSPError
from foreman_hooks.reports.terminal import outcome_listing, plan_listing, sums
from foreman_hooks.reports.window import Window, cells
from foreman_hooks.rules.model import (
    NEEDS_ATTENTION,
    UNKNOWN_REASONS,
    Basis,
    Decision,
    Outcome,
    Reason,
    Result,
    Verdict,
)
from foreman_hooks.rules.plan import Hold, Plan, PlanRegion
from foreman_hooks.rules.verdicts import verdicts_of
from foreman_hooks.times import iso_z

UUID = "7f3c1f0e-5b1d-4a57-9f5e-0123456789ab"
NOW = datetime(2025, 3, 1, 12, 30, 5, tzinfo=timezone.utc)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PIPE = Window()
HOSTILE = "\x1b[2J\x1b]0;title\x07a\nb\r\x00\x9b31m\u2028\u202e\t\ud800"


def verdict(
    name: str = "web-7.example.com",
    decision: Decision = Decision.DELETE,
    reason: Reason = Reason.TERMINATED,
    detail: str = "",
    host_id: int = 7,
    **times: datetime,
) -> Verdict:
    texts = {key: iso_z(when) for key, when in times.items()}
    basis = Basis(cloud="prod", region="RegionOne", **texts)
    return Verdict(host_id, name, UUID, decision, reason, detail, basis=basis)


def kept(reason: Reason, **more: Any) -> Verdict:
    return verdict(decision=Decision.KEEP, reason=reason, **more)


def plan(verdicts: Any, regions: Any = (), scope: str = "all hosts") -> Plan:
    url = "https://satellite.example.com"
    return Plan(url, NOW, scope, tuple(regions), verdicts_of(verdicts))


ALL = plan(
    [
        verdict("old.example.com", terminated_at=NOW - 3 * DAY, detail="d1"),
        verdict(
            "waits.example.com",
            Decision.WAIT,
            Reason.QUIET,
            terminated_at=NOW - HOUR,
            due=NOW + 3.5 * HOUR,
        ),
        kept(
            Reason.CHECKED_IN,
            name="talks.example.com",
            terminated_at=NOW - DAY,
            last_checkin=NOW - 2 * HOUR,
        ),
        kept(Reason.PROTECTED, name="safe.example.com"),
        kept(Reason.UNKNOWN, name="dark.example.com"),
        kept(Reason.ALIVE),
        kept(Reason.ALIVE),
        kept(Reason.NO_FACTS),
    ],
    [PlanRegion("prod", "RegionOne", 120, "server x was read", alive=2)],
)


def test_each_group_has_its_count_and_its_records_with_times_from_now() -> None:
    assert plan_listing(ALL, Window(70)) == (
        "DELETE (1)\n"
        "  old.example.com  terminated 3 days ago\n"
        "\n"
        "NEEDS ATTENTION (1)\n"
        "  talks.example.com  checked in 2 hours ago, terminated 1 day ago\n"
        "\n"
        "WAITING (1)\n"
        "  waits.example.com  can go in 3h 30m: terminated 1 hour ago\n"
        "\n"
        "PROTECTED (1)\n"
        "  safe.example.com  protected by host parameter\n"
        "\n"
        "UNKNOWN (1)\n"
        "     1  OpenStack could not be asked\n"
        "\n"
        "KEPT (3)\n"
        "     2  instance exists\n"
        "     1  no identifying facts\n"
        "\n"
        "REGIONS\n"
        "  prod/RegionOne: 120 servers, 2 hosts alive\n"
        "\n"
    )
    assert sums(ALL) == (
        "8 host records (all hosts): 1 to delete, 1 needs attention, 1 waiting, "
        "1 protected, 1 unknown, 3 kept"
    )


def test_in_full_every_record_has_its_line_and_details_have_room() -> None:
    text = plan_listing(ALL, Window(70), in_full=True)
    assert "  old.example.com  terminated 3 days ago\n      d1\n" in text
    assert "KEPT (3)\n  web-7.example.com  instance exists\n" in text
    assert "2 hosts alive; server x was" in text


def test_a_wide_window_also_shows_the_place_and_then_the_uuid() -> None:
    assert "terminated 3 days ago  prod/RegionOne\n" in plan_listing(ALL, Window(100))
    line = f"terminated 3 days ago  prod/RegionOne  {UUID}"
    assert line in plan_listing(ALL, Window(140))


def test_a_pipe_gets_every_column_whole() -> None:
    name = f"{'a' * 200}.example.com"
    text = plan_listing(plan([verdict(name, detail="d " * 200)]), PIPE)
    (line,) = [line for line in text.splitlines() if name in line]
    assert UUID in line and line.endswith("d " * 199 + "d")


NAMES = [
    "web-7.example.com",
    f"{'compute-worker' * 4}-0012.prod.eu-central.example.com",
    "東京" * 20 + ".example.com",
    "cafe\u0301" * 12,
    HOSTILE * 3,
]


@pytest.mark.parametrize("columns", range(40, 141, 20))
@pytest.mark.parametrize("in_full", [False, True])
def test_no_line_is_wider_than_the_window(columns: int, in_full: bool) -> None:
    verdicts = []
    for name in NAMES:
        verdicts.append(verdict(name, terminated_at=NOW - DAY, detail="word " * 40))
        verdicts += [kept(reason, name=name, detail="x" * 200) for reason in Reason]
    region = PlanRegion("prod", "RegionOne", 1, "word " * 40, unlisted=("R" * 150,))
    window = Window(columns)
    listing = plan_listing(plan(verdicts, [region]), window, in_full)
    outcomes = [
        Outcome(1, name, UUID, result, "word " * 40)
        for name in NAMES
        for result in Result
    ]
    for line in (listing + outcome_listing(outcomes, window)).splitlines():
        assert cells(line) <= columns, line


@pytest.mark.parametrize("window", [PIPE, Window(40), Window(140)])
def test_no_control_character_of_a_server_reaches_the_terminal(window: Window) -> None:
    hostile = plan(
        [verdict(HOSTILE, detail=HOSTILE)],
        [
            PlanRegion("prod", "RegionOne", 1, HOSTILE, unlisted=(HOSTILE,)),
            PlanRegion(HOSTILE, HOSTILE, None, error=OSPError(HOSTILE)),
        ],
        HOSTILE,
    )
    outcomes = [Outcome(7, HOSTILE, UUID, result, HOSTILE) for result in Result]
    text = plan_listing(hostile, window, in_full=True) + sums(hostile)
    text += outcome_listing(outcomes, window)
    assert all(line.isprintable() for line in text.split("\n"))


def heads(text: str) -> list[str]:
    return re.findall(r"^([A-Z ,]+ \(\d+\))$", text, re.MULTILINE)


def test_refused_and_held_deletions_are_not_shown_as_if_they_went() -> None:
    deletions = [verdict(host_id=number) for number in (1, 2, 3)]
    made = replace(plan(deletions), holds=(Hold("many", (2, 3)),))
    assert heads(plan_listing(made, PIPE)) == ["DELETE (1)", "HELD BACK (2)"]
    assert "1 to delete, 2 held back" in sums(made)
    refused = replace(plan(deletions), refusals=("too many",))
    assert heads(plan_listing(refused, PIPE)) == ["DELETE, REFUSED (3)"]


@pytest.mark.parametrize(
    "reason", sorted(NEEDS_ATTENTION), ids=lambda reason: reason.name
)
def test_a_contradiction_is_always_listed(reason: Reason) -> None:
    made = plan([kept(reason), kept(reason)])
    assert heads(plan_listing(made, PIPE)) == ["NEEDS ATTENTION (2)"]
    assert "2 need attention" in sums(made)


def test_what_could_not_be_known_is_never_counted_as_kept_for_a_reason() -> None:
    for reason in UNKNOWN_REASONS:
        assert "KEPT" not in plan_listing(plan([kept(reason)]), PIPE)


def test_a_region_without_an_answer_and_one_that_is_not_asked_are_named() -> None:
    regions = [
        PlanRegion("prod", "RegionOne", 1, alive=1, unlisted=("RegionThree",)),
        PlanRegion("prod", "RegionTwo", None, error=OSPError("gave 503")),
    ]
    assert plan_listing(plan([], regions), PIPE) == (
        "REGIONS\n"
        "  prod/RegionOne: 1 server, 1 host alive\n"
        "  prod: the catalog also has RegionThree, not asked; nothing is deleted without proof "
        "until 'regions' or 'ignore_regions' names all of it\n"
        "  prod/RegionTwo: no answer\n"
        "\n"
    )


def test_a_record_that_may_be_of_another_cloud_is_explained() -> None:
    text = plan_listing(plan([kept(Reason.NEVER_SEEN)]), PIPE)
    assert "1 absent record was never seen alive here" in text


@pytest.mark.parametrize(
    ("shown", "record"),
    [
        (
            "absent, last check-in 9 days ago",
            verdict(reason=Reason.MISSING, last_checkin=NOW - 9 * DAY),
        ),
        (
            "can go in 2d 1h: absent, within the grace period",
            verdict(decision=Decision.WAIT, reason=Reason.GRACE, due=NOW + 49 * HOUR),
        ),
        (
            "absent, within the grace period",
            verdict(decision=Decision.WAIT, reason=Reason.GRACE, due=NOW - HOUR),
        ),
        (
            "checked in after its termination",  # a twin did
            kept(
                Reason.CHECKED_IN, terminated_at=NOW - DAY, last_checkin=NOW - 2 * DAY
            ),
        ),
        ("terminated 0 minutes ago", verdict(terminated_at=NOW + HOUR / 60)),
        ("terminated, with proof", verdict()),
    ],
)
def test_a_reason_tells_its_times(shown: str, record: Verdict) -> None:
    assert f".com  {shown}  prod/" in plan_listing(plan([record]), PIPE)


def test_the_plan_of_nothing_is_a_line() -> None:
    assert plan_listing(plan([]), Window(80)) == ""
    assert sums(plan([])) == "0 host records (all hosts): 0 to delete"


def test_outcomes_are_grouped_with_failures_last_and_say_why() -> None:
    outcomes = [
        Outcome(1, "a.example.com", UUID, Result.FAILED, "Satellite said no"),
        Outcome(2, "b.example.com", UUID, Result.DELETED, "terminated " + "long " * 20),
        Outcome(3, "c.example.com", UUID, Result.KEPT, "instance exists"),
    ]
    assert outcome_listing(outcomes, Window(60)) == (
        "DELETED (1)\n"
        "  b.example.com\n"
        "\n"
        "KEPT (1)\n"
        "  c.example.com  instance exists\n"
        "\n"
        "FAILED (1)\n"
        "  a.example.com  Satellite said no\n"
        "\n"
    )
