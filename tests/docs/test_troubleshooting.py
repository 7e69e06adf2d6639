"""Every message that the program can print has a row in docs/troubleshooting.md."""

import ast
import re

from docs.messages import Message, Search, Source, messages, texts
from docs.pages import ROOT, prose

PAGE = ROOT / "docs" / "troubleshooting.md"
MESSAGES = messages()
# What goes the way of a message and needs no row.
NO_ROW = {
    "the note of an event",  # of: NAME is damaged
    "the open record …",
    "the list of servers seen alive in …",
    "the approval of …",
    "no minute of the day is …",  # cannot happen
    "plan … written to …",  # nothing is wrong
}


def fragments() -> list[str]:
    """The texts in the first column of every table."""
    rows = re.findall(r"^\| (`.+?`) \|", prose(PAGE), re.MULTILINE)
    return [part for row in rows for part in re.findall(r"`([^`]+)`", row)]


FRAGMENTS = fragments()


def has_row(message: Message) -> bool:
    return any(fragment in message.text for fragment in FRAGMENTS)


def test_every_message_has_a_row() -> None:
    missing = [
        f"{message.place}: {message.text}"
        for message in MESSAGES
        if not has_row(message) and message.text not in NO_ROW
    ]
    assert not missing, "docs/troubleshooting.md has no row for\n" + "\n".join(missing)


def test_every_row_is_about_a_text_of_the_program() -> None:
    known = texts()
    assert [
        fragment
        for fragment in FRAGMENTS
        if not any(fragment in text for text in known)
    ] == []


def test_no_row_is_about_too_little_to_search_for() -> None:
    assert all(len(fragment) > 8 for fragment in FRAGMENTS)


def found_in(source: str) -> set[str]:
    file = Source("example.py", ast.parse(source))
    return {message.text for message in Search([file]).messages()}


def test_the_search_follows_variables_parameters_and_functions() -> None:
    source = """
class OurError(Exception):
    "A docstring is not a message."

def advice(code):
    if code:
        return "what to do is here"
    return "and here is more"

def refuse(path, why):
    raise OurError(f"{path}: {why}")

def main(log):
    log.debug("not this one at all")
    why = "the first cause of all"
    refuse("a", why)
    complain(f"{advice(1)}", 3)
    raise OurError(f"three words and {why} here")
"""
    assert found_in(source) == {
        "what to do is here",
        "and here is more",
        "the first cause of all",
        "three words and … here",
    }
