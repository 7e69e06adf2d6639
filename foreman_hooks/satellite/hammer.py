"""hammer's own files, read as hammer reads them: where Satellite is, who logs in, and which CA it
trusts.

hammer goes on where it can.  What is broken or foreign in its folders is a warning; of a key that
stands there twice the last one counts, and so does a later file; keys are Ruby symbols (`:host:`).
Its folders are the system's and the user's: hammer also looks into ./config, we do not, since
whoever may write to the folder that a run happens to start in would choose the Satellite.
"""

import re
import reprlib
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Optional
from urllib.parse import urlsplit

import yaml

FOLDERS = (Path("/etc/hammer"), Path("~/.hammer"))
CERTIFICATES = "certs"  # in the user's folder: what `hammer --fetch-ca-cert` stored
_SECTIONS = ("foreman", "ssl")
_BASIC = "Basic_Auth"
_METHODS = {
    "Basic_Auth_External": "an external log-in (Basic_Auth_External)",
    "Negotiate_Auth": "Kerberos (Negotiate_Auth)",
    "Oauth_Password_Grant": "OpenID Connect (Oauth_Password_Grant)",
    "Oauth_Authentication_Code_Grant": "OpenID Connect (Oauth_Authentication_Code_Grant)",
}


class Entry(NamedTuple):
    """One value and the file in which it stands."""

    value: Any
    path: Path


@dataclass(frozen=True)
class Hammer:
    """What hammer's files say.

    `entries`: (section, key) -> value and file; empty values are left out.  `home`: the user's
    folder, None without one.  `warnings`: one line for each file or part that was passed over.
    `secrets`: the files that hold a password.
    """

    entries: Mapping[tuple[str, str], Entry] = field(default_factory=dict)
    home: Optional[Path] = None
    warnings: tuple[str, ...] = ()
    secrets: tuple[Path, ...] = ()

    def text(self, section: str, key: str) -> str:
        """A value as Ruby would print it (100123, true); "" where there is none or it is no plain
        value.
        """
        entry = self.entries.get((section, key))
        return _ruby_text(entry.value) if entry else ""

    def where(self, section: str, key: str) -> str:
        """The file in which a value stands, and hammer's name of it, for messages."""
        return f"{self.entries[section, key].path}: :{section}: :{key}:"

    def truthy(self, section: str, key: str) -> bool:
        """Whether Ruby takes the value for true: everything is, but false and nil."""
        entry = self.entries.get((section, key))
        return entry is not None and entry.value is not False

    @property
    def verifies(self) -> bool:
        """Whether hammer checks TLS: unless `:verify_ssl:` is false; the text 'false' is true to
        Ruby.
        """
        entry = self.entries.get(("ssl", "verify_ssl"))
        return entry is None or entry.value is not False

    @property
    def method(self) -> str:
        """How hammer logs in, where it passes over the user and password of its files: in words; ""
        where it uses them.

        A session alone is not such a method: who allows sessions may have a password in the files
        all the same.
        """
        if (
            self.truthy("ssl", "ssl_client_cert")
            and self.truthy("ssl", "ssl_client_key")
            and not self.truthy("ssl", "ssl_with_basic_auth")
        ):
            return f"a client certificate ({self.where('ssl', 'ssl_client_cert')})"
        kind = self.text("foreman", "default_auth_type")
        if kind in ("", _BASIC):
            return ""
        return f"{_METHODS.get(kind, repr(kind))} ({self.where('foreman', 'default_auth_type')})"

    @property
    def session(self) -> str:
        """That hammer logs in by a session, in words; "" where sessions are off."""
        if not self.truthy("foreman", "use_sessions"):
            return ""
        return f"a session ({self.where('foreman', 'use_sessions')})"

    def stored_ca(self, url: str) -> Optional[Path]:
        """The CA certificate that `hammer --fetch-ca-cert` stored for that Satellite; None where
        there is none.
        """
        folder = self.text("ssl", "local_ca_store_path")
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or not (folder or self.home):
            return None
        store = Path(folder).expanduser() if folder else Path(self.home or "") / CERTIFICATES
        names = (f"{parts.hostname}_{parts.port or 443}.pem", f"{parts.hostname}.pem")
        return next((store / name for name in names if _is_file(store / name)), None)


def read(home: Optional[Path]) -> Hammer:
    """What hammer's files say, for the user with that home; never raises."""
    folder = home / FOLDERS[1].name if home and home.is_absolute() else None
    entries: dict[tuple[str, str], Entry] = {}
    warnings: list[str] = []
    secrets: list[Path] = []
    for path in _files([FOLDERS[0], *([folder] if folder else [])], warnings):
        values = dict(_values(path, warnings))
        entries.update((name, Entry(value, path)) for name, value in values.items())
        if values.get(("foreman", "password")) not in (None, ""):
            secrets.append(path)
    # only now: an empty value takes back that of an earlier file
    given = {name: entry for name, entry in entries.items() if entry.value not in (None, "")}
    verify = given.get(("ssl", "verify_ssl"))
    if verify and not isinstance(verify.value, bool):
        warnings.append(
            f"{verify.path}: :ssl: :verify_ssl: is {reprlib.repr(verify.value)}, which Ruby takes for "
            "true: TLS is checked; only false, without quotes, turns that off"
        )
    return Hammer(given, folder, tuple(warnings), tuple(secrets))


def _values(path: Path, warnings: list[str]) -> Iterator[tuple[tuple[str, str], Any]]:
    """(section, key) and value of everything in a file that may concern us."""
    content = _load(path, warnings)
    for section in _SECTIONS:
        part = content.get(section)
        if isinstance(part, dict):
            yield from (((section, key), value) for key, value in _plain_keys(part).items())
        elif part is not None:
            warnings.append(f"{path}: :{section}: has no 'key: value' lines; it is ignored")


def _files(folders: list[Path], warnings: list[str]) -> Iterator[Path]:
    """hammer's files in the order in which it reads them; what is no file is passed over, as hammer
    does.
    """
    for folder in folders:
        try:
            modules = sorted(
                path
                for path in (folder / "cli.modules.d").iterdir()
                if path.suffix == ".yml" and not path.name.startswith(".")
            )
        except (FileNotFoundError, NotADirectoryError):
            modules = []
        except OSError as error:
            warnings.append(f"{folder}: {error.strerror}; what is there of hammer's is ignored")
            modules = []
        yield from filter(_is_file, (folder / "cli_config.yml", folder / "defaults.yml", *modules))


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return False


def _load(path: Path, warnings: list[str]) -> dict[str, Any]:
    """The first document of a file; a warning and nothing where it cannot be read."""
    try:
        content = _first_document(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        reason = "not UTF-8"
    except OSError as error:
        reason = error.strerror or "cannot be read"
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "cannot be parsed"
        reason = f"not valid YAML ({problem}{f', line {mark.line + 1}' if mark else ''})"
    except (RecursionError, ValueError, LookupError, TypeError, AttributeError, OverflowError):
        reason = "not valid YAML (a value is not what its tag says)"  # PyYAML lets these pass
    else:
        if content is None or isinstance(content, dict):
            return _plain_keys(content or {})
        reason = "no 'key: value' lines"
    warnings.append(f"{path}: {reason}; this file of hammer's is ignored")
    return {}


def _plain_keys(content: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key).lstrip(":"): value for key, value in content.items()}


def _ruby_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or isinstance(value, (list, dict, set, tuple, bytes)) else str(value)


class _RubyLoader(yaml.SafeLoader):
    """YAML as Ruby has it: symbols are texts, and other tags of Ruby's are passed over."""


def _first_document(text: str) -> Any:
    loader = _RubyLoader(text)
    try:
        return loader.get_data() if loader.check_data() else None
    finally:
        loader.dispose()


def _symbol(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    if not isinstance(node, yaml.ScalarNode):
        return _untagged(loader, node)
    return re.sub(r"\A:", "", node.value).strip("\"'")


def _untagged(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    """The value below a tag that is not known here; nothing is made of the tag."""
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
