"""What is fed with hostile input, and what may come of it."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

from foreman_hooks.reports.texts import plain

UUID = "7f3c1f0e-0000-4000-8000-00000000cafe"
NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
LONGEST_MESSAGE = 1500  # characters
_YEAR = timedelta(days=366)
_MAX_INTEGER = 2**63  # SQLite keeps no larger one


class Parser(NamedTuple):
    """A function that makes a value of bytes from outside.

    `form`: what a valid input is: text, json, yaml or bytes.  `errors`: how it refuses any other.
    `size`: of an input that is large for it, in bytes.  `slow`: it reads files, or sends requests.
    """

    name: str
    form: str
    parse: Callable[[Path, bytes], object]
    errors: tuple[type[Exception], ...]
    samples: tuple[str, ...]
    size: int = 100_000
    slow: bool = False


def text_of(content: bytes) -> str:
    """As Python reads an argument of the command line or a variable of the environment."""
    return content.decode("utf-8", "surrogateescape")


def check(parser: Parser, folder: Path, content: bytes) -> None:
    """Parse it: a value, or one line in the words of the parser; nothing else may happen."""
    try:
        parser.parse(folder, content)
    except parser.errors as error:
        check_message(error)


def check_message(error: Exception) -> None:
    """It can be printed, in a line that a person reads."""
    message = plain(str(error))
    assert message.strip(), "no message"
    assert len(message) < LONGEST_MESSAGE, message[:300]
    check_plain(message)


def check_plain(text: str) -> None:
    assert text.isprintable(), ascii(text)


def stored(value: Any) -> Any:
    """The value, if the journal could hold every part of it, and rules could reckon with it."""
    repr(value).encode()
    _check_part(value)
    return value


def _check_part(value: Any) -> None:
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, int):
        assert -_MAX_INTEGER <= value < _MAX_INTEGER, value
    elif isinstance(value, datetime):
        assert value - _YEAR < value.astimezone(timezone.utc) < value + _YEAR
    elif isinstance(value, Exception):
        str(value).encode()
    elif isinstance(value, dict):
        for pair in value.items():
            _check_part(pair)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for entry in value:
            _check_part(entry)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            _check_part(getattr(value, name))
