"""What people read: hammer's table and a plan in words, without anything a terminal would obey."""

from datetime import datetime, timezone
from typing import Any

import pytest
from hostile import HOSTILE, printable
from hypothesis import given, settings
from hypothesis import strategies as st

from foreman_hooks.osp_checker import Presence, Sighting
from foreman_hooks.reports.listings import (
    Row,
    Style,
    UnknownField,
    hammer_lines,
    noteworthy,
    outcome_rows,
    render,
    sighting_rows,
    verdict_rows,
)
from foreman_hooks.rules.model import (
    NEEDS_ATTENTION,
    Decision,
    Outcome,
    Reason,
    Result,
    Verdict,
)
from foreman_hooks.rules.plan import Plan
from foreman_hooks.rules.verdicts import verdicts_of

UUID = "7f3c1f0e-5b1d-4a57-9f5e-0123456789ab"
NOW = datetime(2025, 3, 1, 12, 30, 5, tzinfo=timezone.utc)
ROWS: list[Row] = [
    {"Id": 7, "Name": "web-7.example.com", "Detail": 'a, "b"'},
    {"Id": 12, "Name": "db", "Detail": ""},
]


def verdict(
    name: str = "web-7.example.com",
    decision: Decision = Decision.DELETE,
    reason: Reason = Reason.TERMINATED,
    detail: str = "",
) -> Verdict:
    return Verdict(7, name, UUID, decision, reason, detail)


# The table


def test_a_table_looks_like_one_of_hammer() -> None:
    assert render(ROWS, Style()) == (
        "---|-------------------|-------\n"
        "ID | NAME              | DETAIL\n"
        "---|-------------------|-------\n"
        '7  | web-7.example.com | a, "b"\n'
        "12 | db                |\n"
        "---|-------------------|-------\n"
    )


# Options


def test_fields_chooses_columns_in_the_order_given_whatever_their_case() -> None:
    chosen = Style("table", (" detail", "ID"))
    assert render(ROWS, chosen).splitlines()[1] == "DETAIL | ID"
    assert render(ROWS, Style("table", ("id",))) == "--\nID\n--\n7\n12\n--\n"


def test_an_unknown_field_is_an_error_that_says_which_there_are() -> None:
    with pytest.raises(
        UnknownField, match="no field Nmae, x; there are Id, Name, Detail"
    ):
        render(ROWS, Style(fields=("Id", "Nmae", "x")))


def test_without_headers_only_the_rows_are_printed() -> None:
    assert render(ROWS, Style(headers=False)).splitlines() == [
        '7  | web-7.example.com | a, "b"',
        "12 | db                |",
    ]


def test_an_empty_table_is_nothing() -> None:
    for headers in (True, False):
        assert render([], Style(headers=headers)) == ""


# Hostile texts: a fact is whatever root of a guest writes


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_no_control_character_of_a_name_reaches_the_terminal(name: str) -> None:
    """No escape sequence, in 8 bits either, no second line, and no letters that run backwards."""
    text = render(verdict_rows([verdict(name, detail=name)]), Style())
    assert printable(text)
    assert text.count("\n") == render(verdict_rows([verdict()]), Style()).count("\n")


cells = st.tuples(st.integers(), st.text(max_size=9), st.none() | st.text(max_size=9))


@given(st.lists(cells, min_size=1, max_size=2), st.booleans())
@settings(max_examples=40)
def test_whatever_a_table_holds_a_row_is_a_row(listing: Any, headers: bool) -> None:
    rows = [dict(zip(("Id", "Name", "Detail"), row)) for row in listing]
    text = render(rows, Style(headers=headers))
    assert text.count("\n") == len(rows) + (4 if headers else 0)
    assert printable(text)


# Rows


def test_a_verdict_is_a_row_with_its_reason_in_words() -> None:
    assert verdict_rows([verdict(detail="d")]) == [
        {
            "Id": 7,
            "Name": "web-7.example.com",
            "UUID": UUID,
            "Decision": "delete",
            "Reason": "terminated, with proof",
            "Detail": "d",
        }
    ]


def test_an_outcome_is_a_row() -> None:
    assert outcome_rows(
        [Outcome(7, "web-7", UUID, Result.KEPT, "instance exists")]
    ) == [
        {
            "Id": 7,
            "Name": "web-7",
            "UUID": UUID,
            "Result": "kept",
            "Detail": "instance exists",
        }
    ]


@pytest.mark.parametrize(
    ("presence", "code", "at", "told"),
    [
        (Presence.PRESENT, 200, None, ""),
        (Presence.INVALID, 400, None, ""),
        (Presence.ABSENT, 404, None, ""),
        (Presence.DELETED, 404, NOW, "2025/03/01 12:30:05 UTC"),
        (Presence.UNKNOWN, 500, None, ""),
    ],
)
def test_a_sighting_is_a_row_with_the_code_that_people_know(
    presence: Presence, code: int, at: Any, told: str
) -> None:
    assert sighting_rows([Sighting(UUID, "prod", "RegionOne", presence, "d", at)]) == [
        {
            "UUID": UUID,
            "Cloud": "prod",
            "Region": "RegionOne",
            "Code": code,
            "Presence": presence.value,
            "Terminated at": told,
            "Detail": "d",
        }
    ]


def test_every_kind_of_row_can_be_printed() -> None:
    for rows in (
        verdict_rows([verdict()]),
        outcome_rows([Outcome(7, "web-7", UUID, Result.KEPT)]),
        sighting_rows([Sighting(UUID, "prod", "RegionOne", Presence.DELETED, "", NOW)]),
    ):
        assert UUID in render(rows, Style())


# What a person wants to read of


@pytest.mark.parametrize(
    "reason", sorted(NEEDS_ATTENTION), ids=lambda reason: reason.name
)
def test_a_contradiction_is_always_worth_a_line(reason: Reason) -> None:
    assert noteworthy(verdict(decision=Decision.KEEP, reason=reason))


def test_what_goes_waits_or_is_protected_is_worth_a_line() -> None:
    assert noteworthy(verdict())
    assert noteworthy(verdict(decision=Decision.WAIT, reason=Reason.GRACE))
    assert noteworthy(verdict(decision=Decision.KEEP, reason=Reason.PROTECTED))


@pytest.mark.parametrize(
    "reason", [Reason.ALIVE, Reason.NOT_OPENSTACK, Reason.NO_FACTS, Reason.UNKNOWN]
)
def test_what_stays_as_it_was_is_not(reason: Reason) -> None:
    assert not noteworthy(verdict(decision=Decision.KEEP, reason=reason))


# A plan


def plan(verdicts: Any) -> Plan:
    return Plan(
        "https://satellite.example.com", NOW, "all hosts", (), verdicts_of(verdicts)
    )


# hammer's own commands


def test_the_hammer_lines_read_the_record_before_they_delete_it_by_its_id() -> None:
    assert list(hammer_lines([verdict()])) == [
        "hammer host info --id 7 --fields Id,Name    # must be web-7.example.com",
        "hammer host delete --id 7",
    ]


def test_a_name_cannot_add_a_line_to_the_hammer_commands() -> None:
    """People copy them into a shell."""
    assert all(
        line.isprintable() for line in hammer_lines([verdict(" ".join(HOSTILE))])
    )
