"""The search language: how Foreman reads a search, malformed ones included."""

from datetime import datetime, timedelta, timezone

import pytest

from . import search_checks
from .search import Field, Fields, Window, compile_search, order_by, single
from .search_checks import (
    boolean_check,
    date_check,
    fact_check,
    flag_check,
    identifier_check,
    moment,
    number_check,
    text_check,
)
from .search_parser import DatabaseError, Mark, QueryError, parse, take
from .server import UnknownRequestError

NOW = datetime.now(timezone.utc)


def ago(**span):
    return (NOW - timedelta(**span)).strftime("%Y-%m-%d %H:%M:%S UTC")


ROWS = [
    {
        "id": 1,
        "name": "web-1.example.com",
        "comment": "",
        "build": False,
        "seen": ago(hours=1),
        "facts": {"cpus": "4"},
    },
    {
        "id": 2,
        "name": "web-2.example.com",
        "comment": "the Old one",
        "build": True,
        "seen": ago(days=40),
        "facts": {"cpus": "16", "dmi": None},
    },
    {
        "id": 3,
        "name": "db_1.example.com",
        "comment": "",
        "build": False,
        "seen": None,
        "facts": {"cpus": "many"},
    },
]


def column(name):
    return single(lambda row: row.get(name))


def named_facts(row, name):
    key = name.partition(".")[2]
    return [value for fact, value in row["facts"].items() if fact == key]


FIELDS = Fields(
    {
        "name": Field(column("name"), text_check, Mark.LIKE),
        "comment": Field(column("comment"), text_check, Mark.LIKE),
        "id": Field(column("id"), identifier_check),
        "size": Field(column("id"), number_check),
        "build": Field(column("build"), flag_check),
        "hypervisor": Field(column("build"), boolean_check),
        "seen": Field(column("seen"), date_check),
        "facts.": Field(named_facts, fact_check),
    },
    missing=("model", "params."),
)


def matching_ids(text):
    test = compile_search(parse(text), FIELDS)
    return [row["id"] for row in ROWS if test is None or test(row)]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", [1, 2, 3]),
        ("name = web-1.example.com", [1]),
        ('name = "web-1.example.com"', [1]),
        ("name == web-1.example.com", [1]),
        ("name = WEB-1.example.com", []),
        ("name != web-1.example.com", [2, 3]),
        ("name <> web-1.example.com", [2, 3]),
        ("name ~ WEB", [1, 2]),
        ("name !~ web", [3]),
        ("name ~ web*1*", [1]),
        ("name ~ *.com", [1, 2, 3]),
        ("name ~ b_1", [1, 3]),
        ("name ~ we_-1", [1]),
        ("name ^ (web-1.example.com, db_1.example.com)", [1, 3]),
        ("name !^ (web-1.example.com,db_1.example.com)", [2]),
        ("name < web", [3]),
        ("id = 2", [2]),
        ("id > 1", [2, 3]),
        ("id>=2", [2, 3]),
        ("id < 2", [1]),
        ("id<=2", [1, 2]),
        ("id ^ (1,3)", [1, 3]),
        ("id !^ (1,3)", [2]),
        ("build = true", [2]),
        ("build != true", [1, 3]),
        ("build = false", [1, 3]),
        ("build", [2]),
        *((f"hypervisor = {word}", [2]) for word in ("true", "t", "TRUE", "1")),
        *((f"hypervisor = {word}", [1, 3]) for word in ("false", "f", "0")),
        ("web", [1, 2]),
        ("OLD", [2]),
        ('"the old"', [2]),
        ("~ old", [2]),
        ("= web-1.example.com", [1]),
        ("^ (web-1.example.com, web-2.example.com)", [1, 2]),
        ("!^ (web-1.example.com)", [1, 2, 3]),
    ],
)
def test_a_term_finds(text, ids):
    assert matching_ids(text) == ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("name ~ web and id = 2", [2]),
        ("name ~ web AND id = 2", [2]),
        ("name ~ web && id = 2", [2]),
        ("name ~ web id = 2", [2]),
        ("name ~ web, id = 2", [2]),
        ("web, and id = 2", [2]),
        ("id = 1 or id = 3", [1, 3]),
        ("id = 1 | id = 3", [1, 3]),
        ("not id = 1", [2, 3]),
        ("not not id = 1", [1]),
        ("!(id = 1)", [2, 3]),
        ("-web", [3]),
        ("not id = 1 and not id = 3", [2]),
        ("(id = 1 or id = 3) and name ~ web", [1]),
        ("id = 1 or (id = 3 and name ~ web)", [1]),
        ("has seen", [1, 2]),
        ("set? seen", [1, 2]),
        ("null? seen", [3]),
        ("not has seen", [3]),
    ],
)
def test_terms_are_joined(text, ids):
    assert matching_ids(text) == ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("id = 3 and name ~ web or id = 1", []),  # id = 3 and (name ~ web or id = 1)
        ("id = 1 or id = 3 and name ~ web", [1]),  # id = 1 or (id = 3 and name ~ web)
        ("id = 1 or id = 3 name ~ web", [1]),  # (id = 1 or id = 3) and name ~ web
    ],
)
def test_and_and_or_bind_equally_and_to_the_right(text, ids):
    assert matching_ids(text) == ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("=", [1, 2, 3]),
        ("()", [1, 2, 3]),
        ("and", [1, 2, 3]),
        ("(name = web-1.example.com", [1]),
        ("(name = a", []),
        ("name = ", []),  # looks for the word "name"
        ('name = "abc', []),
        ('name = "web-1.example.com', [1]),
        ("id = 1)", [1]),
        ("id = 1) or id = 2", [1]),  # what follows is not read
        ("and id = 1", [1]),
        ("id = 1 and and name ~ web", [1]),
        ("id^(1,2)", []),  # the words "id^", 1 and 2
    ],
)
def test_malformed_text_is_not_refused(text, ids):
    assert matching_ids(text) == ids


@pytest.mark.parametrize(
    "text",
    ["(id = 1 and ) id = 2", "name = and x", "name = (a", "() id = 1", "not and a"],
)
def test_a_search_without_any_sense_is_refused(text):
    with pytest.raises(QueryError):
        matching_ids(text)


def test_a_comparison_without_a_value_is_an_error_that_names_it():
    with pytest.raises(QueryError, match="^Value expected but found lparen$"):
        matching_ids("name = (a")


def test_a_comparison_without_a_field_searches_the_default_fields():
    # No text field supports it: nothing remains to be tested.
    assert matching_ids("> 5") == [
        1,
        2,
        3,
    ]
    cpus = Field(single(lambda row: row["facts"]["cpus"]), fact_check, Mark.EQ)
    test = compile_search(parse("> 5"), Fields({**FIELDS, "value": cpus}))
    assert [row["id"] for row in ROWS if test(row)] == [2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nosuch = 1", "Field 'nosuch' not recognized for searching!"),
        ("nosuch.x = 1", "Field 'nosuch.x' not recognized for searching!"),
        ("has nosuch", "Field 'nosuch' not recognized for searching!"),
        (
            "name!~web",
            "Field 'name!' not recognized for searching!",
        ),  # a word ends at ~, not at !
        ("Name = a", "Field 'Name' not recognized for searching!"),
        ("id = abc", "Value 'abc' is not valid for field 'id'"),
        ("id ~ 1", "the operator 'like' is not supported for field type 'integer'"),
        (
            "build = maybe",
            "'build' should be one of 'true, false', but the query was 'maybe'",
        ),
        ("build > true", "Operator 'gt' not supported for 'build'"),
        (
            "hypervisor ~ t",
            "the operator 'like' is not supported for field type 'boolean'",
        ),
        (
            "seen ~ 2026-01-01",
            "the operator 'like' is not supported for field type 'datetime'",
        ),
    ],
)
def test_foreman_refuses(text, message):
    with pytest.raises(QueryError) as refused:
        matching_ids(text)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "text",
    [
        "size = abc",
        'size = "1,2"',
        "hypervisor = perhaps",
        "facts.cpus ^ (4, 16)",
        "not seen < garbage",
    ],
)
def test_the_database_refuses(text):
    with pytest.raises(DatabaseError):
        matching_ids(text)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("facts.cpus = 4", [1]),
        ("facts.cpus = 04", [1]),
        ("facts.cpus > 5", [2]),
        ("facts.cpus != 4", [2]),  # "many" is not a number
        ("facts.cpus ~ 4", [1]),
        ("facts.cpus = many", [3]),
        ("has facts.cpus", [1, 2, 3]),
        ("has facts.dmi", []),
        ("null? facts.dmi", [2]),  # the others have no such fact at all
        ("not has facts.dmi", [1, 2, 3]),
        ("facts.nosuch = 1", []),
    ],
)
def test_facts_compare_as_numbers_where_they_are_numbers(text, ids):
    assert matching_ids(text) == ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ('seen < "30 days ago"', [2]),
        ('seen > "30 days ago"', [1]),
        ('seen after "2 hours ago"', [1]),
        ('seen before "2 hours ago"', [2]),
        ('seen > "20 minutes ago"', []),
        ('seen < "2 weeks ago"', [2]),
        ('seen < "1 month ago"', [2]),
        ('seen < "1 year ago"', []),
        ('seen < "1 day from now"', [1, 2]),
        ("seen < tomorrow", [1, 2]),
        ('seen < "2020-01-01"', []),
        ('seen > "2020-01-01 10:00:00 UTC"', [1, 2]),
        ('seen = "MOMENT"', [2]),
        ('seen != "MOMENT"', [1]),
        ('seen = "DAY"', [2]),
        ('seen > "DAY"', [1]),  # after that day
        ('seen <= "DAY"', [2]),  # with that day
        ('seen < "DAY"', []),
    ],
)
def test_times_compare_and_null_never_matches(text, ids):
    moment = ROWS[1]["seen"]
    text = text.replace("MOMENT", moment).replace("DAY", moment[:10])
    assert matching_ids(text) == ids


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "start", "span"),
    [
        ("3 minutes ago", "2026-03-31 12:31:56 UTC", timedelta(minutes=1)),
        ("2 hours ago", "2026-03-31 10:34:56 UTC", timedelta(minutes=1)),
        ("1 hour from now", "2026-03-31 13:34:56 UTC", timedelta(minutes=1)),
        ("2 days ago", "2026-03-29 00:00:00 UTC", DAY),
        ("2 Days From  Now", "2026-04-02 00:00:00 UTC", DAY),
        ("2 weeks ago", "2026-03-17 00:00:00 UTC", DAY),
        ("1 month ago", "2026-02-28 00:00:00 UTC", DAY),
        ("13 months ago", "2025-02-28 00:00:00 UTC", DAY),
        ("3 months ago", "2025-12-31 00:00:00 UTC", DAY),
        ("1 month from now", "2026-04-30 00:00:00 UTC", DAY),
        ("1 year ago", "2025-03-31 00:00:00 UTC", DAY),
        ("today", "2026-03-31 00:00:00 UTC", DAY),
        ("Yesterday", "2026-03-30 00:00:00 UTC", DAY),
        ("tomorrow", "2026-04-01 00:00:00 UTC", DAY),
        ("2026-03-05", "2026-03-05 00:00:00 UTC", DAY),
        ("2026-03-05 10:11", "2026-03-05 10:11:00 UTC", timedelta(minutes=1)),
        ("2026-03-05 10:11:12", "2026-03-05 10:11:12 UTC", timedelta(seconds=1)),
        ("2026-03-05 10:11:12 -0400", "2026-03-05 14:11:12 UTC", timedelta(seconds=1)),
    ],
)
def test_a_time_has_a_length(monkeypatch, text, start, span):
    monkeypatch.setattr(
        search_checks,
        "_now",
        lambda: datetime(2026, 3, 31, 12, 34, 56, tzinfo=timezone.utc),
    )
    check, second = date_check("seen", Mark.EQ, text), timedelta(seconds=1)
    moments = (
        moment(start) - second,
        moment(start),
        moment(start) + span - second,
        moment(start) + span,
    )
    assert [check(f"{when:%Y-%m-%d %H:%M:%S} UTC") for when in moments] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    "date",
    ["garbage", "2026-13-45", "2026-02-30 10:00:00", "last week", "days ago", ""],
)
def test_a_term_with_an_unreadable_time_is_dropped(date):
    assert matching_ids(f'seen < "{date}"') == [1, 2, 3]
    assert matching_ids(f'seen < "{date}" and id = 2') == [2]
    assert matching_ids(f'id = 2 or seen < "{date}"') == [2]


@pytest.mark.parametrize(
    "date",
    [
        "3 Nov 2026",
        "2026/11/03",
        "2026-11",
        "Sunday",
        "30 dayz ago",
        "99999 years ago",
        "30",
    ],
)
def test_a_date_that_only_a_real_server_can_read_fails_the_test(date):
    with pytest.raises(UnknownRequestError, match=date):
        matching_ids(f'seen < "{date}"')


@pytest.mark.parametrize(
    "text",
    ["model = x", "has model", "not model ~ x", "id = 1 or model = x", "params.a = b"],
)
def test_a_field_that_only_a_real_server_knows_fails_the_test(text):
    with pytest.raises(UnknownRequestError, match="the search field"):
        matching_ids(text)


def test_an_order_that_is_not_known_fails_the_test():
    for order in ("model", "id down", "id ASC, name"):
        with pytest.raises(UnknownRequestError):
            order_by(order, FIELDS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "2026-11-22 12:47:41 UTC",
            datetime(2026, 11, 22, 12, 47, 41, tzinfo=timezone.utc),
        ),
        (
            "2026-11-22T12:47:41.123Z",
            datetime(2026, 11, 22, 12, 47, 41, tzinfo=timezone.utc),
        ),
        (
            "2026-11-22 12:47:41 -0430",
            datetime(2026, 11, 22, 17, 17, 41, tzinfo=timezone.utc),
        ),
        (
            "2026-11-22 12:47:41 +02:00",
            datetime(2026, 11, 22, 10, 47, 41, tzinfo=timezone.utc),
        ),
    ],
)
def test_times_are_read_as_foreman_writes_them(text, expected):
    assert moment(text) == expected


def test_a_text_that_is_not_a_time_is_an_error():
    with pytest.raises(ValueError, match="not a time: 'garbage'"):
        moment("garbage")


def test_a_thousand_terms_are_not_too_many():
    assert matching_ids(" or ".join(f"id = {number}" for number in range(2, 2000))) == [
        2,
        3,
    ]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("id", [1, 2, 3]),
        ("id DESC", [3, 2, 1]),
        ("name", [3, 1, 2]),
        ("seen asc", [3, 2, 1]),
        ("seen DESC", [1, 2, 3]),
    ],
)
def test_nulls_are_the_least_in_an_order(text, ids):
    rows = list(ROWS)
    order_by(text, FIELDS).sort(rows)
    assert [row["id"] for row in rows] == ids


def test_order_by_an_unknown_field_is_refused():
    with pytest.raises(
        QueryError,
        match="the field 'name;' in the order statement is not valid field for search",
    ):
        order_by("name; drop", FIELDS)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("id > 10", list(range(11, 21))),
        ("id >= 10 and id < 13", [10, 11, 12]),
        ("id > 3 and name ~ x and id <= 5", [4, 5]),
        ("(id > 3) id <= 5", [4, 5]),
        ("id = 7", [7]),
        ("id ^ (9, 3, 30)", [3, 9, 30]),
        ("id ^ (9, 3) and id > 5", [9]),
        ("id ^ (9, 3) and id ^ (3, 4)", [3]),
        ("name = five", [5]),
        ("name = 7", [17]),
        ("host = 7", [7]),
        ("host = five", [5]),
        ("host_id <= 2", [1, 2]),
        ("name = nobody", []),
        (
            "id = 3 or id = 4",
            list(range(1, 21)),
        ),  # not one that every match must fulfil
        ("not id = 3", list(range(1, 21))),
        ("id != 3", list(range(1, 21))),
        ("id = abc", list(range(1, 21))),
    ],
)
def test_a_window_of_ids_is_found_without_looking_at_the_rows(text, left):
    terms, _ = take(parse(text), Window.takes)
    named = {"five": [5], "7": [17]}
    window = Window(terms, lambda name: named.get(name, []))
    assert list(window.of(range(1, 21))) == left
    assert [key for key in range(1, 21) if window.holds(key)] == [
        key for key in left if key <= 20
    ]


def test_what_a_window_does_not_take_remains_to_be_tested():
    _, node = take(parse("id > 1 and name ~ web and not id = 3"), Window.takes)
    test = compile_search(node, FIELDS)
    assert [row["id"] for row in ROWS if test(row)] == [1, 2]


def test_nothing_remains_of_a_search_that_is_a_window():
    _, node = take(parse("id > 1 and id < 9"), Window.takes)
    assert compile_search(node, FIELDS) is None
