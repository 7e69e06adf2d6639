"""Text that fits a window, whatever is in it, and commands that can be pasted."""

import subprocess
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreman_hooks.reports.texts import plain
from foreman_hooks.reports.window import (
    Window,
    cells,
    command_lines,
    padded,
    shortened,
    wrapped,
)

names = st.text(st.sampled_from("aB9-.東京ü\u0301é😀"), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("text", "width"), [("web", 3), ("", 0), ("東京", 4), ("e\u0301", 1), ("ü", 1)]
)
def test_wide_letters_take_two_columns_and_combining_marks_none(
    text: str, width: int
) -> None:
    assert cells(text) == width
    assert cells(padded(text, 9)) == 9


@pytest.mark.parametrize(
    ("name", "width", "shown"),
    [
        ("web-7.example.com", 17, "web-7.example.com"),
        ("web-7.example.com", 14, "web-7.exa….com"),
        ("web-7.example.com", 10, "web-7.e…om"),
        ("web-7.example.com", 8, "web-7…"),
        ("compute-worker-0012.example.com", 14, "compute…r-0012"),
        ("compute-worker-0012", 14, "compute…r-0012"),
        ("東京東京東京", 7, "東京…京"),
    ],
)
def test_a_name_is_cut_in_the_middle_and_keeps_what_tells_hosts_apart(
    name: str, width: int, shown: str
) -> None:
    assert shortened(name, width) == shown


@given(names, st.integers(1, 80))
def test_a_shortened_name_fits_and_is_whole_where_it_can_be(
    name: str, width: int
) -> None:
    assert cells(shortened(name, width)) <= width
    if cells(name) <= width:
        assert shortened(name, width) == name


@given(st.text(max_size=200).map(plain), st.integers(10, 80))
def test_wrapped_text_fits_and_loses_no_letter(text: str, width: int) -> None:
    lines = wrapped(text, width, "  ")
    assert all(cells(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_lines_end_between_words() -> None:
    assert wrapped("nothing is deleted", 12) == ["nothing is", "deleted"]
    assert wrapped("nothing is deleted", None, "  ") == ["  nothing is deleted"]


COMMAND = [
    "satellite-osp-cleanup",
    "--config",
    "/etc/my config.yml",
    "plan",
    "--search",
    "name ~ 'web' and $x",
    "--out",
    "plan.json",
]


@pytest.mark.parametrize("width", [None, 20, 40, 60, 80, 140])
def test_a_command_is_the_same_for_the_shell_however_wide_the_window(
    width: Optional[int],
) -> None:
    text = "\n".join(command_lines(COMMAND, width))
    script = f"set -- {text.lstrip()}\nprintf '%s\\n' \"$@\""
    words = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert words.stdout.splitlines() == COMMAND


def test_an_option_stays_with_its_value_and_lines_fit() -> None:
    assert command_lines(COMMAND, 50) == [
        "  satellite-osp-cleanup \\",
        "    --config '/etc/my config.yml' plan \\",
        "    --search 'name ~ '\"'\"'web'\"'\"' and $x' \\",
        "    --out plan.json",
    ]


def test_colours_are_shown_only_where_they_are_wanted() -> None:
    assert Window(80, True).bold("KEPT") == "\x1b[1mKEPT\x1b[0m"
    assert Window(80, True).bold("DELETE", "red") == "\x1b[1;31mDELETE\x1b[0m"
    assert Window(80).bold("DELETE", "red") == "DELETE"
