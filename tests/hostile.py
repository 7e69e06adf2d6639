"""Texts that a guest may put into its facts, and what a terminal may get of them."""

HOSTILE = [
    "\x1b[2J\x1b[1;1Hall is well",
    "\x1b]0;title\x07",
    "a\nb",
    "a\r\nb",
    "a\x00b",
    "a\x7fb",
    "\x9b31mred",
    "a\x85b",
    "a\u2028b",
    "\u202egnp.exe",
    "a\tb",
    "\ud800",
]


def printable(text: str) -> bool:
    return all(char.isprintable() for line in text.split("\n") for char in line)
