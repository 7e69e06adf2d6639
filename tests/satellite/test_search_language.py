"""Searches that Satellite would misread are refused; those that it reads as meant are not."""

import pytest
from sandbox.search_checks import date_check
from sandbox.search_parser import Mark, parse

from foreman_hooks.satellite.search_language import is_date, problem

GOOD = [
    "today",
    "yesterday",
    "Tomorrow",
    "30 days ago",
    "1 day ago",
    "2 hours ago",
    "5 minutes from now",
    "3 weeks ago",
    "1 month ago",
    "2 years  from  now",
    "2026-11-03",
    "2026-11-03 10:30",
    "2026-11-03 10:30:05 UTC",
    "2026-11-03T10:30:05Z",
    "2026-11-03T10:30:05.123+01:00",
    "2026-11-03 10:30:05 -0400",
]
MORE = ["2026/11/03", "2026-11", "3 Nov 2026", "Nov 3, 2026", "November 3, 2026"]
BAD = [
    "garbage",
    "",
    "30",
    "30 days",
    "days ago",
    "x days ago",
    "-3 days ago",
    "1.5 days ago",
    "last week",
    "Sunday",
    "never",
    "2026",
    "2026-02-31",
    "2026-13-01",
    "2026-11-03 25:00",
    "now",
    "30d",
    "today garbage",
    "1 fortnight ago",
]


@pytest.mark.parametrize("value", GOOD + MORE)
def test_a_usual_date_is_a_date_in_every_field_of_time(value: str) -> None:
    assert is_date(value)
    for field in (
        "last_checkin",
        "last_report",
        "registered_at",
        "created_at",
        "installed_at",
        "boot_time",
        "reported.boot_time",
        "reported_at",
        "updated_at",
    ):
        assert problem(f'{field} < "{value}"') == ""


@pytest.mark.parametrize("value", GOOD)
def test_satellite_reads_every_accepted_date_as_a_date(value: str) -> None:
    assert date_check("last_checkin", Mark.LT, value) is not None


@pytest.mark.parametrize("value", BAD)
def test_anything_but_a_date_is_refused_wherever_one_is_needed(value: str) -> None:
    assert not is_date(value)
    for search in (
        f'last_checkin < "{value}"',
        f'name = web and (registered_at >= "{value}" or build = true)',
        f'not created_at = "{value}"',
        f'last_report before "{value}"',
        f'boot_time AFTER "{value}"',
        f'LAST_CHECKIN !="{value}"',
        f'installed_at ^ ("{value}")',
        f'updated_at ~ "{value}"',
    ):
        assert (
            "not a date; Satellite would leave the term out and match every host"
            in problem(search)
        ), search


@pytest.mark.parametrize(
    "search",
    ["last_checkin < 30 days ago", "last_checkin<garbage", "last_checkin > -1"],
)
def test_a_date_without_its_quotes_is_refused(search: str) -> None:
    assert "not a date" in problem(search)


@pytest.mark.parametrize(
    "search", ['< "garbage"', "name = web and > garbage", "(>= 5)"]
)
def test_a_comparison_without_a_field_is_refused(search: str) -> None:
    assert "there is no field before" in problem(search)


@pytest.mark.parametrize(
    "search",
    [
        "(name = a",
        "name = a)",
        'name = "a',
        "=",
        "()",
        "name =",
        "(name = )",
        "name = web and",
        "last_checkin <",
    ],
)
def test_a_malformed_search_is_refused(search: str) -> None:
    assert "is malformed" in problem(search)


@pytest.mark.parametrize(
    "search",
    [
        "",
        " ",
        "web",
        "name = web01.example.com",
        "name ~ web and not build = true",
        "name ^ (a, b)",
        'comment = "last_checkin < garbage"',
        'name = "(a"',
        'comment ~ "say \\"no\\" ("',
        "facts.boot_time = garbage",
        "params.changed_at = soon",
        "facts.virt::uptime > 5",
        "set? last_checkin",
        "has registered_at",
        "null? last_report",
        'organization = "A & B" or location = x',
        'last_checkin > today and last_report < "2 days ago"',
        "-name = web",
        "id > 5 and id <= 100",
        "! hostgroup = web-servers",
        "last_checkin ^ (2026-01-01)",
    ],
)
def test_a_search_that_satellite_reads_as_meant_passes(search: str) -> None:
    assert problem(search) == ""
    parse(search)


@pytest.mark.parametrize("char", ["\n", "\x1b", "\u2028", "\udcff"])
def test_a_search_that_cannot_be_printed_is_refused(char: str) -> None:
    """It stands in messages and in the command lines that are shown."""
    message = problem(f'name = "a{char}"')
    assert message.endswith("has a character that cannot be printed")
    assert message.isprintable()
