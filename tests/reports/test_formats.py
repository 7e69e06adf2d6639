"""What programs read: JSON, YAML and CSV, piece by piece, and safe on a terminal as well."""

import csv
import io
import json
from typing import Any

import pytest
import yaml
from hostile import HOSTILE, printable
from hypothesis import given, settings
from hypothesis import strategies as st

from foreman_hooks.reports.formats import Listing, listing_of, write
from foreman_hooks.reports.listings import Row, Style, UnknownField

ROWS: list[Row] = [
    {"Id": 7, "Name": "web-7.example.com", "Detail": 'a, "b"'},
    {"Id": 12, "Name": "db", "Detail": ""},
]
FOR_PROGRAMS = ("csv", "json", "yaml")
LOADERS = {"json": json.loads, "yaml": yaml.safe_load}


def render(rows: list[Row], style: Style) -> str:
    return "".join(write(listing_of(rows), style))


def document(*rows: tuple[Any, Any]) -> Listing:
    return Listing(("Id", "Reason code"), rows, "hosts", {"format": 1, "lost": []})


def test_csv_has_one_line_of_labels_and_quotes_what_needs_it() -> None:
    assert (
        render(ROWS, Style("csv"))
        == 'Id,Name,Detail\n7,web-7.example.com,"a, ""b"""\n12,db,\n'
    )


def test_a_row_of_json_is_a_line() -> None:
    assert render(ROWS, Style("json")) == (
        "[\n"
        '  {"id": 7, "name": "web-7.example.com", "detail": "a, \\"b\\""},\n'
        '  {"id": 12, "name": "db", "detail": ""}\n'
        "]\n"
    )


def test_yaml_is_one_document_in_the_order_of_the_columns() -> None:
    text = render(ROWS, Style("yaml"))
    assert text.startswith("---\n- id: 7\n  name: web-7.example.com\n")
    assert yaml.safe_load(text) == json.loads(render(ROWS, Style("json")))


def test_a_listing_with_a_name_is_an_object_that_ends_with_the_rows() -> None:
    listing = document((1, "ALIVE"), (2, None))
    assert "".join(write(listing, Style("json"))) == (
        "{\n"
        '  "format": 1,\n'
        '  "lost": [],\n'
        '  "hosts": [\n'
        '    {"id": 1, "reason_code": "ALIVE"},\n'
        '    {"id": 2, "reason_code": null}\n'
        "  ]\n"
        "}\n"
    )
    assert "".join(write(listing, Style("yaml"))) == (
        "---\nformat: 1\nlost: []\nhosts:\n"
        "- id: 1\n  reason_code: ALIVE\n- id: 2\n  reason_code: null\n"
    )
    assert "".join(write(listing, Style("csv"))) == "Id,Reason code\n1,ALIVE\n2,\n"


@pytest.mark.parametrize("output", ["json", "yaml"])
@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2000])
def test_a_long_listing_is_the_same_in_pieces(output: str, count: int) -> None:
    rows = [(number, "ALIVE") for number in range(count)]
    pieces = list(write(document(*rows), Style(output)))
    assert max(map(len, pieces)) < 60_000
    assert LOADERS[output]("".join(pieces)) == {
        "format": 1,
        "lost": [],
        "hosts": [{"id": number, "reason_code": "ALIVE"} for number in range(count)],
    }


def test_rows_are_read_only_as_they_are_written() -> None:
    def endless() -> Any:
        number = 0
        while True:
            yield (number, "ALIVE")
            number += 1

    for output in FOR_PROGRAMS:
        pieces = write(Listing(("Id", "Code"), endless()), Style(output))
        text = "".join(next(pieces) for _ in range(3))
        assert "ALIVE" in text


def test_letters_of_other_languages_stay_as_they_are() -> None:
    for output in FOR_PROGRAMS:
        assert "Größe 東京" in render([{"Name": "Größe 東京"}], Style(output))


# Options


@pytest.mark.parametrize(
    "fields", [("Reason code", "ID"), (" reason_code", "id"), ("REASON CODE", "Id")]
)
def test_fields_are_labels_or_keys_in_any_case(fields: tuple[str, ...]) -> None:
    style = Style("csv", fields)
    assert "".join(write(document((1, "A")), style)) == "Reason code,Id\nA,1\n"
    style = Style("json", fields)
    assert json.loads("".join(write(document((1, "A")), style)))["hosts"] == [
        {"reason_code": "A", "id": 1}
    ]


def test_a_field_that_is_named_twice_is_one_column() -> None:
    assert render(ROWS, Style("csv", ("id", "Id"))) == "Id\n7\n12\n"


@pytest.mark.parametrize("output", FOR_PROGRAMS)
def test_an_unknown_field_is_an_error_before_anything_is_written(output: str) -> None:
    with pytest.raises(UnknownField, match="no field Nmae, x; there are Id, Reason"):
        write(document(), Style(output, ("Id", "Nmae", "x")))


def test_without_headers_csv_has_only_the_rows() -> None:
    assert (
        render(ROWS, Style("csv", headers=False))
        == '7,web-7.example.com,"a, ""b"""\n12,db,\n'
    )


@pytest.mark.parametrize(
    "sign", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\u2212"]
)
@pytest.mark.parametrize(
    "before", ["", " ", "\t", "\r", "\n", "\u3000", "\ufeff", " \t "]
)
def test_no_cell_of_csv_is_a_formula(before: str, sign: str) -> None:
    text = f'{before}{sign}HYPERLINK("http://evil.example.com";A1)'
    ((cell, number),) = csv.reader(
        io.StringIO(render([{"A": text, "B": -5}], Style("csv", headers=False)))
    )
    assert cell.lstrip().startswith(f"'{sign}")
    assert number == "-5"
    assert "'" not in render([{"A": text, "B": -5}], Style("json"))


@pytest.mark.parametrize("separator", [",", ";", "|"])
def test_no_part_of_a_cell_is_a_formula_where_another_separator_is_usual(
    separator: str,
) -> None:
    (other, _) = sorted({",", ";", "|"} - {separator})
    text = render(
        [{"A": f"web{other} =1+1"}], Style("csv", headers=False, separator=separator)
    )
    assert f"web{other} '=1+1" in text
    text = render(
        [{"A": f"web{separator}=1+1"}], Style("csv", headers=False, separator=separator)
    )
    assert list(csv.reader(io.StringIO(text), delimiter=separator)) == [
        [f"web{separator}=1+1"]
    ]


def test_what_is_no_formula_is_left_alone_in_csv() -> None:
    for text in ("web-1", "a=b", "a@b.example.com", "1+1", "a, b; c", "'x", ""):
        ((cell,),) = list(
            csv.reader(io.StringIO(render([{"A": text}], Style("csv", headers=False))))
        ) or [[""]]
        assert cell == text


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_another_separator_may_part_the_columns_of_csv(separator: str) -> None:
    text = render([{"A": "x;y|z,", "B": 1}], Style("csv", separator=separator))
    assert text.startswith(f"A{separator}B\n")
    assert list(csv.reader(io.StringIO(text), delimiter=separator)) == [
        ["A", "B"],
        ["x;y|z,", "1"],
    ]


@pytest.mark.parametrize(
    ("output", "text"), [("csv", ""), ("json", "[]\n"), ("yaml", "---\n[]\n")]
)
def test_an_empty_listing_is_still_well_formed(output: str, text: str) -> None:
    for headers in (True, False):
        assert render([], Style(output, headers=headers)) == text


@pytest.mark.parametrize("output", FOR_PROGRAMS)
def test_an_empty_listing_whose_columns_are_known_has_them(output: str) -> None:
    text = "".join(write(document(), Style(output)))
    if output == "csv":
        assert text == "Id,Reason code\n"
    else:
        assert LOADERS[output](text) == {"format": 1, "lost": [], "hosts": []}


def test_what_is_not_known_is_an_empty_cell() -> None:
    assert render([{"A": None, "B": 0}], Style("csv")) == "A,B\n,0\n"
    assert json.loads(render([{"A": None}], Style("json"))) == [{"a": None}]


# Hostile texts: a fact is whatever root of a guest writes


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("output", FOR_PROGRAMS)
def test_no_control_character_reaches_the_terminal(output: str, text: str) -> None:
    """No escape sequence, in 8 bits either, no second line, and no letters that run backwards."""
    for head in ({}, {"scope": text}):
        listing = Listing(("Name",), [(text,)], "hosts" if head else "", head)
        written = "".join(write(listing, Style(output)))
        assert printable(written)
        if output != "yaml":  # which may write a text in several lines
            harmless = Listing(("Name",), [("a",)], listing.name, head and {"a": 1})
            lines = "".join(write(harmless, Style(output))).count("\n")
            assert written.count("\n") == lines


@pytest.mark.parametrize("text", HOSTILE[:-1], ids=ascii)
@pytest.mark.parametrize("output", ["json", "yaml"])
def test_json_and_yaml_lose_nothing_of_a_text(output: str, text: str) -> None:
    listing = Listing(("Name",), [(text,)], "hosts", {"scope": text})
    assert LOADERS[output]("".join(write(listing, Style(output)))) == {
        "scope": text,
        "hosts": [{"name": text}],
    }


cells = st.tuples(st.integers(), st.text(max_size=9), st.none() | st.text(max_size=9))


@given(st.lists(cells, max_size=2), st.sampled_from(FOR_PROGRAMS), st.booleans())
@settings(max_examples=60)
def test_whatever_a_listing_holds_a_row_is_a_row(
    rows: Any, output: str, headers: bool
) -> None:
    listing = Listing(("Id", "Name", "Detail"), rows)
    text = "".join(write(listing, Style(output, headers=headers)))
    if output == "csv":
        assert text.count("\n") == len(rows) + headers
        assert printable(text)
    else:
        objects = [dict(zip(("id", "name", "detail"), row)) for row in rows]
        assert LOADERS[output](text) == objects
