"""hammer's own files, read as hammer reads them: Satellite's URL, the user, and the trusted CA.

hammer continues wherever it can: a broken or unknown file in its folders is only a warning.  If a
key appears twice, the last one counts; a later file overrides an earlier one.  Keys are Ruby
symbols (`:host:`).

hammer reads the folder of the system, the folder of the user, and ./config.  This program does not
read ./config: otherwise anybody who can write to the current folder could choose the Satellite.
"""

import re
import reprlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Optional
from urllib.parse import urlsplit

import yaml

from foreman_hooks.osp_checker.yaml_limits import LimitedDocument
from foreman_hooks.paths import HAMMER_FOLDERS
from foreman_hooks.unreadable import UNREADABLE, why_unreadable

CERTIFICATES = "certs"  # in the user's folder; `hammer --fetch-ca-cert` writes there
_SECTIONS = ("foreman", "ssl")
_NOT_PLAIN = (list, dict, set, tuple, bytes)
_BASIC_AUTH = "Basic_Auth"
_METHODS = {
    "Basic_Auth_External": "an external login (Basic_Auth_External)",
    "Negotiate_Auth": "Kerberos (Negotiate_Auth)",
    "Oauth_Password_Grant": "OpenID Connect (Oauth_Password_Grant)",
    "Oauth_Authentication_Code_Grant": "OpenID Connect (Oauth_Authentication_Code_Grant)",
}


class Entry(NamedTuple):
    """A value, and the file that holds it."""

    value: Any
    path: Path


Name = tuple[str, str]  # section and key, without colons


@dataclass(frozen=True)
class HammerFiles:
    """What hammer's files say.

    `entries`: (section, key) -> value and file, without empty values.  `home`: the user's folder of
    hammer, None without one.  `warnings`: one line for each file or part of it that is ignored.
    `files`: those that were read, in this order.  `secrets`: the files that hold a password.
    """

    entries: Mapping[Name, Entry] = field(default_factory=dict)
    home: Optional[Path] = None
    warnings: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    secrets: tuple[Path, ...] = ()

    def text(self, section: str, key: str) -> str:
        """A value as Ruby prints it (100123, true); "" for a list, a mapping, or no value."""
        value = self._value(section, key)
        if value is None or isinstance(value, _NOT_PLAIN):
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        return str(value)

    def where(self, section: str, key: str) -> str:
        """The file that holds a value, and its key, for the beginning of a message."""
        path = self.entries[section, key].path
        return f"{path}: :{section}: :{key}:"

    def is_true(self, section: str, key: str) -> bool:
        """Whether there is a value that is true in Ruby: anything except false and nil."""
        value = self._value(section, key)
        return value is not None and value is not False

    @property
    def verifies(self) -> bool:
        """Whether hammer checks TLS: not if `:verify_ssl:` is false ('false' is true in Ruby)."""
        return self._value("ssl", "verify_ssl") is not False

    @property
    def method(self) -> str:
        """How hammer logs in, for a message; "" if with the user and password of its files.

        A session is not such a method: its user may still have a password in the files.
        """
        if self._uses_client_certificate():
            return f"a client certificate ({self.where('ssl', 'ssl_client_cert')})"
        method = self.text("foreman", "default_auth_type")
        if method in ("", _BASIC_AUTH):
            return ""
        words = _METHODS.get(method, repr(method))
        return f"{words} ({self.where('foreman', 'default_auth_type')})"

    @property
    def session(self) -> str:
        """The session by which hammer logs in, for a message; "" if sessions are off."""
        if not self.is_true("foreman", "use_sessions"):
            return ""
        return f"a session ({self.where('foreman', 'use_sessions')})"

    def stored_ca(self, url: str) -> Optional[Path]:
        """The CA file that `hammer --fetch-ca-cert` stored for the Satellite at `url`, or None."""
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            return None
        folder = self._ca_folder()
        if folder is None:
            return None
        port = parts.port or 443
        for name in (f"{parts.hostname}_{port}.pem", f"{parts.hostname}.pem"):
            path = folder / name
            if _is_file(path):
                return path
        return None

    def _value(self, section: str, key: str) -> Any:
        """The value that hammer uses; None if there is none."""
        entry = self.entries.get((section, key))
        if entry is None:
            return None
        return entry.value

    def _uses_client_certificate(self) -> bool:
        has_certificate = self.is_true("ssl", "ssl_client_cert")
        has_key = self.is_true("ssl", "ssl_client_key")
        with_password = self.is_true("ssl", "ssl_with_basic_auth")
        return has_certificate and has_key and not with_password

    def _ca_folder(self) -> Optional[Path]:
        configured = self.text("ssl", "local_ca_store_path")
        if configured:
            try:
                return Path(configured).expanduser()
            except (RuntimeError, ValueError):  # the user after ~ does not exist
                return None
        if self.home:
            return self.home / CERTIFICATES
        return None


def read_hammer_files(home: Optional[Path]) -> HammerFiles:
    """What hammer's files say for the user with that home folder; None for a user without one.

    Never raises: a file that cannot be read becomes a warning.
    """
    system_folder, user_folder = HAMMER_FOLDERS
    reader = _Reader()
    reader.read_folder(system_folder)
    hammer_home = None
    if home and home.is_absolute():
        hammer_home = home / user_folder.name
        reader.read_folder(hammer_home)
    reader.warn_of_verify_ssl()
    return HammerFiles(
        entries=reader.entries_with_values(),
        home=hammer_home,
        warnings=tuple(reader.warnings),
        files=tuple(reader.files),
        secrets=tuple(reader.secrets),
    )


class _Reader:
    """Reads hammer's files in hammer's order, and collects what they say."""

    def __init__(self) -> None:
        self.entries: dict[Name, Entry] = {}
        self.warnings: list[str] = []
        self.files: list[Path] = []
        self.secrets: list[Path] = []

    def read_folder(self, folder: Path) -> None:
        """Read all files of hammer in that folder."""
        modules = self._module_files(folder)
        for path in (folder / "cli_config.yml", folder / "defaults.yml", *modules):
            if _is_file(path):
                self._read_file(path)

    def entries_with_values(self) -> dict[Name, Entry]:
        """The entries that are not empty.

        Call this after the last file is read: an empty value removes the value of an earlier file.
        """
        entries = self.entries.items()
        return {name: entry for name, entry in entries if not _is_empty(entry.value)}

    def warn_of_verify_ssl(self) -> None:
        """Warn if somebody meant to turn off the TLS check, but Ruby reads the value as true."""
        entry = self.entries.get(("ssl", "verify_ssl"))
        if entry is None or _is_empty(entry.value):
            return
        if not isinstance(entry.value, bool):
            self.warnings.append(
                f"{entry.path}: :ssl: :verify_ssl: is {reprlib.repr(entry.value)}, which Ruby "
                "takes for true: TLS is checked; only false, without quotes, turns that off"
            )

    def _module_files(self, folder: Path) -> list[Path]:
        """The files of hammer's modules, sorted: cli.modules.d/*.yml, without hidden ones."""
        modules = folder / "cli.modules.d"
        try:
            paths = sorted(modules.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.warnings.append(
                f"{folder}: {error.strerror}; hammer's files there are ignored"
            )
            return []
        yaml_files = [path for path in paths if path.suffix == ".yml"]
        return [path for path in yaml_files if not path.name.startswith(".")]

    def _read_file(self, path: Path) -> None:
        """Add the entries in the first document of a file, or a warning if it cannot be read."""
        try:
            text = path.read_text(encoding="utf-8-sig")
            content = _first_document(text)
        except UNREADABLE as error:
            self._ignore_file(path, why_unreadable(error))
            return
        self.files.append(path)
        if content is None:
            return
        if not isinstance(content, dict):
            self._ignore_file(path, "no 'key: value' lines")
            return
        sections = _without_colons(content)
        for section in _SECTIONS:
            self._add_section(path, section, sections.get(section))

    def _add_section(self, path: Path, section: str, content: Any) -> None:
        if content is None:
            return
        if not isinstance(content, dict):
            self.warnings.append(
                f"{path}: :{section}: has no 'key: value' lines; it is ignored"
            )
            return
        values = _without_colons(content)
        for key, value in values.items():
            self.entries[section, key] = Entry(value, path)
        if section == "foreman" and not _is_empty(values.get("password")):
            self.secrets.append(path)

    def _ignore_file(self, path: Path, reason: str) -> None:
        self.warnings.append(f"{path}: {reason}; this hammer file is ignored")


def _is_empty(value: Any) -> bool:
    return value is None or value == ""


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return False


def _without_colons(content: Mapping[Any, Any]) -> dict[str, Any]:
    """The same mapping with keys as plain texts: `:host` becomes host."""
    values = {}
    for key, value in content.items():
        name = str(key).lstrip(":")
        values[name] = value
    return values


class _RubyLoader(LimitedDocument, yaml.SafeLoader):
    """YAML as Ruby reads it: symbols are texts; of other Ruby tags only the values count."""


def _first_document(text: str) -> Any:
    loader = _RubyLoader(text)
    try:
        if loader.check_data():
            return loader.get_data()
        return None
    finally:
        loader.dispose()


def _symbol(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    """The text of a Ruby symbol, without its colon and quotes."""
    if not isinstance(node, yaml.ScalarNode):
        return _untagged(loader, node)
    text = node.value
    if text.startswith(":"):
        text = text[1:]
    return text.strip("\"'")


def _untagged(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    """The value under an unknown tag, which is ignored: it creates no Ruby object."""
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value


_RubyLoader.add_implicit_resolver("!ruby/symbol", re.compile(r":[^:\s].*"), [":"])
for _tag in (
    "!ruby/sym",
    "!ruby/symbol",
    "tag:ruby.yaml.org,2002:sym",
    "tag:ruby.yaml.org,2002:symbol",
):
    _RubyLoader.add_constructor(_tag, _symbol)
_RubyLoader.add_constructor(None, _untagged)
