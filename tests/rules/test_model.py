"""The values: what counts as a sign of life, and what must not have changed before a deletion."""

from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Optional

import pytest

from foreman_hooks.rules.model import NEEDS_ATTENTION, Policy, Reason, Record

DAY = timedelta(days=1)
THEN = datetime(2025, 1, 30, 11, tzinfo=timezone.utc)
RECORD = Record(
    7, "web-7.example.com", "c0ffee", True, THEN - 90 * DAY, THEN, THEN - DAY
)


@pytest.mark.parametrize(
    ("registered", "checkin", "report", "latest"),
    [
        (0, 3, 1, 3),
        (0, 1, 3, 3),
        (3, 1, 0, 3),
        (None, 2, None, 2),
        (1, None, 2, 2),
        (None, None, None, None),
    ],
)
def test_the_last_sign_of_life_is_the_latest_of_all_that_there_are(
    registered: Optional[int],
    checkin: Optional[int],
    report: Optional[int],
    latest: Optional[int],
) -> None:

    def moment(days: Optional[int]) -> Optional[datetime]:
        return None if days is None else THEN + days * DAY

    record = Record(
        7,
        "x",
        registered_at=moment(registered),
        last_checkin=moment(checkin),
        last_report=moment(report),
    )
    assert record.last_sign == moment(latest)


def test_a_report_that_failed_as_a_whole_is_no_sign_of_life() -> None:
    failed = replace(RECORD, last_report=THEN + DAY, report_failed=True)
    assert (failed.last_sign, failed.contact) == (THEN, THEN)
    assert replace(failed, katello=False).contact is None


def test_when_facts_arrived_counts_only_where_there_is_no_other_sign() -> None:
    assert replace(RECORD, facts_at=THEN + DAY).last_sign == THEN
    assert Record(7, "x", facts_at=THEN).last_sign == THEN


@pytest.mark.parametrize(
    "change",
    [
        {"consumer": "other"},
        {"consumer": None},
        {"registered_at": THEN},
        {"registered_at": None},
        {"last_checkin": THEN + DAY},
        {"last_report": THEN + DAY},
        {"last_checkin": None},
    ],
    ids=repr,
)
def test_whatever_a_machine_that_took_over_the_record_changes_is_in_the_fingerprint(
    change: dict[str, Any],
) -> None:
    assert replace(RECORD, **change).fingerprint != RECORD.fingerprint


def test_what_people_change_in_a_record_is_not() -> None:
    """A comment must not keep a dead one for ever."""
    assert (
        replace(
            RECORD, parameters={"role": "web"}, snapshot={"comment": "x"}
        ).fingerprint
        == RECORD.fingerprint
    )


def test_a_moment_is_the_same_in_every_zone() -> None:
    """An update of Satellite that prints times in another format has not changed its records."""
    zone = timezone(timedelta(hours=-4))
    moved = replace(
        RECORD,
        last_checkin=THEN.astimezone(zone),
        registered_at=(THEN - 90 * DAY).astimezone(zone),
    )
    assert moved.fingerprint == RECORD.fingerprint


def test_each_reason_has_a_text_of_its_own() -> None:
    """Of two with one text Python would make one."""
    assert len(Reason.__members__) == len(Reason)


def test_contradictions_need_attention() -> None:
    assert {
        Reason.CHECKED_IN,
        Reason.CLOCKS_DISAGREE,
        Reason.CONTRADICTING_FACTS,
    } <= NEEDS_ATTENTION
    assert (
        not {
            Reason.ALIVE,
            Reason.TERMINATED,
            Reason.MISSING,
            Reason.NOT_OPENSTACK,
            Reason.NO_PROOF,
        }
        & NEEDS_ATTENTION
    )


def test_without_a_configuration_the_guard_rails_are_on() -> None:
    """The defaults are those of the documentation."""
    assert Policy() == Policy(
        quiet=timedelta(hours=4, minutes=30),
        all_clouds_listed=False,
        grace=72 * DAY / 24,
        misses=3,
        silence=DAY,
        max_deletions=50,
        max_fraction=0.10,
        max_absent=5,
        max_shrink=0.30,
        protect_parameter="osp_cleanup_protect",
        openstack_names=("OpenStack",),
    )
    assert all(
        getattr(Policy(), field.name)
        for field in fields(Policy)
        if field.name != "all_clouds_listed"
    )
