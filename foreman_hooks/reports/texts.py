"""Make untrusted texts safe for a terminal.

Names, facts and error messages may contain anything, including escape sequences, so a character
that is not printable is never shown as it is.
"""

import json


def plain(text: str) -> str:
    """The text as one line, with a blank for each character that is not printable."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text)


def escaped(text: str) -> str:
    r"""The text as one line, with characters that are not printable escaped, such as \u001b."""
    if text.isprintable():
        return text
    line = ""
    for char in text:
        if char.isprintable():
            line += char
        else:
            line += json.dumps(char).strip('"')
    return line
