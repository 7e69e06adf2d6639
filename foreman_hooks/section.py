"""One section of the configuration file: check its keys and values, and explain errors.

Every message names the file, the key, and what would be valid.
"""

import difflib
import reprlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Optional, Union

import yaml

from foreman_hooks import times
from foreman_hooks.osp_checker.values import is_utf8
from foreman_hooks.osp_checker.yaml_limits import LimitedDocument
from foreman_hooks.unreadable import UNREADABLE, why_unreadable

Kinds = Union[type, tuple[type, ...]]
# A few lines of YAML can stand for gigabytes: a message shows only the beginning of a value.
shown = reprlib.repr
# bool comes first: in Python, True is an int as well.
_KINDS: tuple[tuple[Kinds, str], ...] = (
    (bool, "true or false"),
    ((int, float), "a number"),
    (list, "a list"),
    (dict, "a mapping"),
)


class SettingsError(Exception):
    """The configuration cannot be used.

    The message is one line that names the file, the key, and what would be valid.
    """

    exit_code = 78

    def __init__(self, message: str) -> None:
        line = " ".join(message.split())
        if len(line) >= 600:
            line = f"{line[:400]} ... {line[-100:]}"
        super().__init__(line)


@dataclass(frozen=True)
class Section:
    """The `values` of one section of a `file`; `name` is "" for the file as a whole.

    Each method reads one key.  It returns the default if the key is missing, and raises
    SettingsError if the value is of the wrong kind.
    """

    file: str
    name: str
    values: Mapping[str, Any]

    def where(self, key: str) -> str:
        """The file and the full name of a key, for the beginning of a message."""
        return f"{self.file}: {self._full_name(key)}"

    def check_keys(self, *known: str) -> None:
        """Raise SettingsError for an unknown key: a misspelt guard rail would have no effect."""
        for key in self.values:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, 1, 0.5)
                hint = (
                    f"did you mean {near[0]}?"
                    if near
                    else f"known are {', '.join(known)}"
                )
                raise SettingsError(
                    f"{self.file}: unknown key {self._full_name(key)}; {hint}"
                )

    def section(self, key: str) -> "Section":
        """The section under a key; empty if the key is missing."""
        value = self.values.get(key)
        return self._below(key, value)

    def sections(self, key: str, example: str) -> list["Section"]:
        """A list of at least one section; their names are key[1], key[2], ..."""
        entries = self.values.get(key)
        if not isinstance(entries, list) or not entries:
            raise self._error(key, f"must be a list of entries such as '{example}'")
        sections = []
        for number, entry in enumerate(entries, 1):
            section = self._below(f"{key}[{number}]", entry)
            sections.append(section)
        return sections

    def text(self, key: str, default: str) -> str:
        """Any text."""
        value = self.values.get(key, default)
        return _as_text(self.where(key), value)

    def optional_text(self, key: str) -> str:
        """Any text; "" if the key is missing or empty."""
        value = self.values.get(key) or ""
        return _as_text(self.where(key), value)

    def required_text(self, key: str) -> str:
        """A text that is not missing and not blank, without white space around it."""
        value = self.values.get(key)
        text = _as_text(self.where(key), value)
        if not text.strip():
            raise self._error(key, "is empty")
        return text.strip()

    def names(self, key: str) -> tuple[str, ...]:
        """A list of texts that are not blank, each stripped; empty if the key is missing."""
        entries = self.values.get(key, [])
        if not isinstance(entries, list):
            raise self._must_be(key, "a list of names")
        names = []
        for entry in entries:
            is_name = isinstance(entry, str) and entry.strip()
            if not is_name or not is_utf8(entry):
                raise self._must_be(key, "a list of names")
            names.append(entry.strip())
        return tuple(names)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self._must_be(key, "true or false")
        return value

    def count(self, key: str, default: int, least: int = 0) -> int:
        """A whole number, `least` or more."""
        value = self.values.get(key, default)
        if not _is_whole(value) or value < least:
            raise self._must_be(key, f"a whole number, {least} or more")
        return value

    def count_up_to(self, most: int, key: str, default: int) -> int:
        """A whole number from 1 to `most`."""
        value = self.values.get(key, default)
        if not _is_whole(value) or value < 1 or value > most:
            raise self._must_be(key, f"a whole number from 1 to {most}")
        return value

    def fraction(self, key: str, default: float) -> float:
        """A number from 0 to 1."""
        value = self.values.get(key, default)
        is_number = isinstance(value, float) or _is_whole(value)
        if not is_number or not 0 <= value <= 1:
            raise self._must_be(key, "a number from 0 to 1")
        return float(value)

    def duration(self, key: str, default: timedelta) -> timedelta:
        """A time span such as 90s, 30m, 72h, 3d or 4h30m."""
        if key not in self.values:
            return default
        value = self.values[key]
        return as_duration(self.where(key), value)

    def path(self, key: str, default: Optional[Path] = None) -> Path:
        """A path, in which ~ is the home of the user; required if there is no default."""
        if key not in self.values and default is not None:
            return default
        value = self.values.get(key)
        return as_path(self.where(key), value)

    def _full_name(self, key: object) -> str:
        return f"{self.name}.{key}" if self.name else str(key)

    def _below(self, key: str, value: Any) -> "Section":
        values = _as_mapping(self.where(key), value)
        return Section(self.file, self._full_name(key), values)

    def _error(self, key: str, problem: str) -> SettingsError:
        return SettingsError(f"{self.where(key)} {problem}")

    def _must_be(self, key: str, kind: str) -> SettingsError:
        value = shown(self.values[key])
        return self._error(key, f"must be {kind}, not {value}")


def as_duration(where: str, value: Any) -> timedelta:
    """The time span in a text such as 90s, 30m, 72h, 3d or 4h30m.

    Raises SettingsError, whose message begins with `where`.
    """
    span = None
    if isinstance(value, str):
        span = times.parse(value)
    if span is None:
        raise SettingsError(
            f"{where} must be a duration such as 90s, 30m, 72h, 3d or 4h30m, not {shown(value)}"
        )
    return span


def as_path(where: str, value: Any) -> Path:
    """The path in a text; raises SettingsError, whose message begins with `where`."""
    text = _as_text(where, value)
    if not text.strip():
        raise SettingsError(f"{where} {text!r} is not a path (it is empty)")
    try:
        if b"\0" in text.encode():
            raise SettingsError(f"{where} {text!r} is not a path (it holds a NUL)")
        return Path(text).expanduser()
    # ValueError: UTF-8 cannot hold the text.  RuntimeError: the user after ~ does not exist.
    except (ValueError, RuntimeError) as error:
        raise SettingsError(f"{where} {text!r} is not a path ({error})") from error


def read_file(path: Path) -> Section:
    """The whole configuration file; raises SettingsError if it is not a YAML mapping.

    It is raised without its cause: the text of a parser's error has lines of the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, _Loader)
    except UNREADABLE as error:
        raise SettingsError(f"{path}: {why_unreadable(error)}") from None
    values = _as_mapping(f"{path}: the file", content)
    return Section(str(path), "", values)


class _Loader(LimitedDocument, yaml.SafeLoader):
    """A safe loader that refuses a key that appears twice: of two caps, the laxer one might win."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node; raises ConstructorError for a key that appears twice."""
        keys: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # the call below refuses it
            if key in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} appears twice", node.start_mark
                )
            keys.add(key)
        return super().construct_mapping(node, deep)


def _is_whole(value: object) -> bool:
    """Whether a value is a whole number; True is an int in Python, but not one here."""
    return isinstance(value, int) and not isinstance(value, bool)


def _as_mapping(where: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SettingsError(f"{where} must hold 'key: value' lines")
    return value


def _as_text(where: str, value: Any) -> str:
    """The value itself; raises SettingsError without the value, which may be a password."""
    if value is None:
        raise SettingsError(f"{where} is missing")
    if not isinstance(value, str):
        raise SettingsError(f"{where} must be a text, not {_kind(value)}")
    if not is_utf8(value):
        raise SettingsError(f"{where} cannot be sent: it is not UTF-8")
    return value


def _kind(value: object) -> str:
    """What YAML takes a value for."""
    for kind, words in _KINDS:
        if isinstance(value, kind):
            return words
    return "a date"
