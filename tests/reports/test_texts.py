"""Texts of strangers: nothing in them controls the terminal."""

import pytest

from foreman_hooks.reports.texts import escaped, plain


@pytest.mark.parametrize(
    "text", ["web-1.example.com", "Größe 東京", 'a "quoted" \\ text', ""]
)
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == escaped(text) == text


def test_plain_text_has_a_blank_for_each_character_that_is_not_printable() -> None:
    assert plain("a\x1b[2Jb\nc\u202ed\ud800") == "a [2Jb c d "


def test_escaped_text_shows_each_character_that_is_not_printable() -> None:
    assert escaped("a\x1b[2Jb\nc\u202ed\ud800") == r"a\u001b[2Jb\nc\u202ed\ud800"
