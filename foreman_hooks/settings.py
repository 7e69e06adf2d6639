"""Where to look and how sure to be: our configuration file, hammer's own files, and the environment.

Nothing needs to be configured where hammer already works and clouds.yaml is in place.
"""

import difflib
import os
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Optional, Union

import yaml

from . import osp_checker, satellite
from .model import Policy
from .osp_checker import Manners
from .satellite import Login
from .survey import CloudScope

CONFIG = Path("/etc/satellite-osp-cleanup/config.yml")
JOURNAL = Path("/var/lib/satellite-osp-cleanup/journal.sqlite3")
HAMMER = (Path("/etc/hammer"), Path("~/.hammer"))
SATELLITE_CA = Path("/etc/pki/katello/certs/katello-server-ca.crt")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


class SettingsError(Exception):
    """A configuration that cannot be used; says in one line which file, which key, and what is right."""

    def __init__(self, message: str) -> None:
        line = " ".join(message.split())
        super().__init__(line if len(line) < 600 else f"{line[:400]} ... {line[-100:]}")


@dataclass(frozen=True)
class CheckJob:
    """The remote execution job that asks the clouds in our place: its template, and the hosts that `search` finds.

    `clouds_yaml` is a path there ("": where openstacksdk looks); what has not ended after `deadline` is unknown.
    """

    template: str
    search: str
    clouds_yaml: str = ""
    deadline: timedelta = timedelta(minutes=15)


@dataclass(frozen=True)
class Settings:
    """Everything that is configured.

    `login` is None where no Satellite is: `check` works without.  `checker` is None where the clouds are asked from
    here.
    """

    login: Optional[Login]
    manners: Manners
    search: str
    clouds: tuple[CloudScope, ...]
    checker: Optional[CheckJob]
    journal: Path
    policy: Policy


def load(config: Optional[Path] = None, environ: Optional[Mapping[str, str]] = None) -> Settings:
    """The settings from `config` (default: CONFIG, which may be missing), hammer's files and the environment.

    Raises SettingsError.  URL and user come from the environment, else from our file, else from hammer's, as hammer
    does it; a password that stands in a file is only ever used with the user who stands beside it, and hammer's only
    with hammer's Satellite.
    """
    environ = os.environ if environ is None else environ
    path = config or CONFIG
    where = str(path)
    content = _read_yaml(path) if config or path.exists() else {}
    _check_keys(where, "", content, ("satellite", "clouds", "checker", "journal", "policy"))
    section = _mapping(where, "satellite", content.get("satellite"))
    _check_keys(where, "satellite", section,
                ("url", "username", "password", "password_file", "ca_file", "verify_tls", "search", *Manners._fields))
    clouds = _clouds(where, content.get("clouds"), environ)
    return Settings(
        login=_login(where, section, environ),
        manners=_manners(where, "satellite", section, satellite.MANNERS),
        search=_text(where, "satellite.search", section.get("search") or ""),
        clouds=clouds,
        checker=_checker(where, content.get("checker"), clouds),
        journal=_path(where, "journal", content.get("journal", str(JOURNAL))),
        policy=_policy(where, content.get("policy")))


def _login(where: str, section: Mapping[str, Any], environ: Mapping[str, str]) -> Optional[Login]:
    hammer = read_hammer(Path(environ.get("HOME") or "/nonexistent"))
    url = _first(environ, "FOREMAN_SERVER_URL", "FOREMAN_SERVER", "FOREMAN_URL") or section.get("url") or hammer.get(
        "host")
    user = _first(environ, "FOREMAN_USERNAME", "FOREMAN_USER") or section.get("username") or hammer.get("username")
    if not url:
        return None
    url, user = _text(where, "satellite.url", url), _text(where, "satellite.username", user or "")
    if not re.fullmatch(r"https?://[^/\s@]+(/\S*)?", url):
        raise SettingsError(f"{where}: satellite.url must look like https://satellite.example.com, not {url!r}")
    if not user:
        raise SettingsError(f"{where}: no user for {url}; set satellite.username or FOREMAN_USERNAME")
    password = environ.get("FOREMAN_PASSWORD")
    if not password and user == section.get("username"):
        password = _password(where, section)
    if not password and (url.rstrip("/"), user) == (str(hammer.get("host")).rstrip("/"), hammer.get("username")):
        password = hammer.get("password")
    if not password:
        raise SettingsError(f"{where}: no password for {user}; set satellite.password_file or FOREMAN_PASSWORD")
    return Login(url, user, str(password), _verify(where, section, hammer))


def _password(where: str, section: Mapping[str, Any]) -> Optional[str]:
    name = section.get("password_file")
    if not name:
        return _text(where, "satellite.password", section["password"]) if section.get("password") else None
    try:
        text = _path(where, "satellite.password_file", name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where}: satellite.password_file {name}: {_why(error)}") from error
    if not text or len(text.splitlines()) > 1:
        raise SettingsError(f"{where}: satellite.password_file {name} must hold the password alone, in one line")
    return text


def _verify(where: str, section: Mapping[str, Any], hammer: Mapping[str, Any]) -> Union[bool, str]:
    """A CA file that exists, or the system's; no check only where the configuration says so in so many words."""
    verify = section.get("verify_tls", hammer.get("verify_ssl", True))
    if not isinstance(verify, bool):
        raise SettingsError(f"{where}: satellite.verify_tls must be true or false, not {_shown(verify)}")
    ca_file = section.get("ca_file") or hammer.get("ssl_ca_file")
    if not verify or not ca_file:
        return verify and (str(SATELLITE_CA) if SATELLITE_CA.exists() else True)
    path = _path(where, "satellite.ca_file", ca_file)
    try:
        path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{where}: CA file {ca_file}: {_why(error)}; correct satellite.ca_file, or hammer's "
                            ":ssl_ca_file") from error
    return str(path)


def read_hammer(home: Path) -> dict[str, Any]:
    """host, username, password, ssl_ca_file and verify_ssl as hammer would read them; later files win.

    hammer's keys are Ruby symbols (`:host:`), which YAML reads as texts with a colon in front.
    """
    found: dict[str, Any] = {}
    for folder in (HAMMER[0], home / HAMMER[1].name) if home.is_absolute() else HAMMER[:1]:
        try:
            paths = [folder / "cli_config.yml", *sorted((folder / "cli.modules.d").glob("*.yml"))]
            texts = {path: path.read_text(encoding="utf-8") for path in paths if path.is_file()
                     and os.access(path, os.R_OK)}
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{folder}: {_why(error)}") from error
        for path, text in texts.items():
            content = _plain_keys(_parse_yaml(path, text))
            for section in ("foreman", "ssl"):
                part = content.get(section)
                found.update(_plain_keys(part) if isinstance(part, dict) else {})
    return {key: value for key, value in found.items() if value not in (None, "")}


def _plain_keys(content: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key).lstrip(":"): value for key, value in content.items()}


def _clouds(where: str, value: Any, environ: Mapping[str, str]) -> tuple[CloudScope, ...]:
    if value is None:
        return (CloudScope(environ.get("OS_CLOUD")),)
    if not isinstance(value, list) or not value:
        raise SettingsError(f"{where}: clouds must be a list of entries such as '- cloud: prod'")
    scopes = []
    for number, entry in enumerate(value, 1):
        key = f"clouds[{number}]"
        entry = _mapping(where, key, entry)
        _check_keys(where, key, entry, ("cloud", "regions", "lists_fail_on_down_cell", *Manners._fields))
        regions = entry.get("regions", [])
        fails = entry.get("lists_fail_on_down_cell", False)
        if not isinstance(regions, list) or not isinstance(fails, bool):
            raise SettingsError(f"{where}: {key}: regions must be a list, lists_fail_on_down_cell true or false")
        scopes.append(CloudScope(_name(where, f"{key}.cloud", entry.get("cloud")),
                                 tuple(_name(where, f"{key}.regions", region) for region in regions), fails,
                                 _manners(where, key, entry, osp_checker.MANNERS)))
    if len({scope.cloud for scope in scopes}) < len(scopes):
        raise SettingsError(f"{where}: clouds names the same cloud twice; put its regions into one entry")
    return tuple(scopes)


def _checker(where: str, value: Any, clouds: Sequence[CloudScope]) -> Optional[CheckJob]:
    """The check job, None for `local`; its clouds have to be named, so that one that does not answer is missed."""
    if value in (None, "local"):
        return None
    if not isinstance(value, dict):
        raise SettingsError(f"{where}: checker must be local, or hold job_template and search, not {_shown(value)}")
    _check_keys(where, "checker", value, ("job_template", "search", "clouds_yaml", "deadline"))
    for scope in clouds:
        if scope.manners != osp_checker.MANNERS:
            raise SettingsError(f"{where}: {', '.join(Manners._fields)} of clouds are for those that are asked from "
                                "here, not by a checker.job_template")
        for name in (scope.cloud, *scope.regions):
            if not name or re.search(r"[\s,/]", name):
                raise SettingsError(f"{where}: with checker.job_template, clouds must name every cloud, and no name "
                                    "may hold white space, a comma or a slash")
    return CheckJob(_name(where, "checker.job_template", value.get("job_template")),
                    _name(where, "checker.search", value.get("search")),
                    _text(where, "checker.clouds_yaml", value.get("clouds_yaml", "")).strip(),
                    _deadline(where, value.get("deadline", "15m")))


def _manners(where: str, name: str, section: Mapping[str, Any], default: Manners) -> Manners:
    """How much to ask of that server at once."""
    found = default
    for key, most in (("workers", 64), ("page_size", 10_000)):
        if key in section:
            found = found._replace(**{key: _count(where, f"{name}.{key}", section[key], least=1, most=most)})
    if "pause" in section:
        found = found._replace(pause=duration(where, f"{name}.pause", section["pause"]).total_seconds())
    return found


def _deadline(where: str, value: Any) -> timedelta:
    found = duration(where, "checker.deadline", value)
    if found < timedelta(seconds=1):
        raise SettingsError(f"{where}: checker.deadline must be at least 1s")
    return found


def _policy(where: str, value: Any) -> Policy:
    section = _mapping(where, "policy", value)
    defaults = Policy()
    _check_keys(where, "policy", section, [field.name for field in fields(Policy)])
    checked: dict[str, Any] = {}
    for key, given in section.items():
        name, default = f"policy.{key}", getattr(defaults, key)
        if isinstance(default, timedelta):
            checked[key] = duration(where, name, given)
        elif isinstance(default, float):
            checked[key] = _fraction(where, name, given)
        elif isinstance(default, int):
            checked[key] = _count(where, name, given, least=1 if key == "misses" else 0)
        elif isinstance(default, tuple):
            checked[key] = _names(where, name, given)
        elif not re.fullmatch(r"[A-Za-z0-9_]+", _text(where, name, given)):     # it becomes part of a search
            raise SettingsError(f"{where}: {name} must be a name of letters, digits and _, not {_shown(given)}")
        else:
            checked[key] = given
    return Policy(**checked)


def duration(where: str, name: str, value: Any) -> timedelta:
    """A time span written 90s, 30m, 72h or 3d; raises SettingsError."""
    found = re.fullmatch(r"([0-9]{1,9})(ms|[smhd])", value.strip()) if isinstance(value, str) else None
    if not found:
        raise SettingsError(f"{where}: {name} must be a duration such as 90s, 30m, 72h or 3d, not {_shown(value)}")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


# A few lines of YAML can stand for gigabytes; an error shows the beginning only.
_shown = reprlib.repr


def _fraction(where: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise SettingsError(f"{where}: {name} must be a number from 0 to 1, not {_shown(value)}")
    return float(value)


def _count(where: str, name: str, value: Any, least: int, most: Optional[int] = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        raise SettingsError(f"{where}: {name} must be a whole number from {least} "
                            f"{'on' if most is None else f'to {most}'}, not {_shown(value)}")
    return value


def _names(where: str, name: str, value: Any) -> tuple[str, ...]:
    """Texts that are not empty: an empty one would be part of every maker's name."""
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one.strip() for one in value):
        raise SettingsError(f"{where}: {name} must be a list of names, not {_shown(value)}")
    return tuple(one.strip() for one in value)


def _path(where: str, name: str, value: Any) -> Path:
    text = _text(where, name, value)
    try:
        if b"\0" in text.encode() or not text.strip():
            raise ValueError("empty, or a NUL in it")
        return Path(text).expanduser()
    except (ValueError, RuntimeError) as error:         # RuntimeError: the home of a user who does not exist
        raise SettingsError(f"{where}: {name} {text!r} is no path ({error})") from error


def _name(where: str, name: str, value: Any) -> str:
    if not _text(where, name, value).strip():
        raise SettingsError(f"{where}: {name} is empty")
    return str(value).strip()


def _text(where: str, name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SettingsError(f"{where}: {name} must be a text, not {_shown(value)}" if value is not None
                            else f"{where}: {name} is missing")
    return value


def _mapping(where: str, name: str, value: Any) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise SettingsError(f"{where}: {name or 'the file'} must hold 'key: value' lines")
    return value or {}


def _check_keys(where: str, name: str, section: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise SettingsError for a key that nobody reads: a misspelt guard rail would be no guard rail."""
    for key in section:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1, 0.5)
            raise SettingsError(f"{where}: unknown key {f'{name}.' if name else ''}{key}; "
                                + (f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"))


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {_why(error)}") from error
    return _parse_yaml(path, text)


class _Loader(yaml.SafeLoader):
    """A safe loader that takes no key twice: of two caps the laxer one might win."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node; raises ConstructorError for a key that stands there twice."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} stands there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _parse_yaml(path: Path, text: str) -> Mapping[str, Any]:
    try:
        return _mapping(str(path), "", yaml.load(text, _Loader))
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, TypeError, AttributeError) as error:
        # the last four are what PyYAML raises for a value that is not what its tag says
        problem = getattr(error, "problem", None) or f"{type(error).__name__}: {error}"
        mark = getattr(error, "problem_mark", None)
        raise SettingsError(f"{path}: no YAML: {problem}{f', line {mark.line + 1}' if mark else ''}") from error


def _first(environ: Mapping[str, str], *names: str) -> Optional[str]:
    return next((environ[name] for name in names if environ.get(name)), None)


def _why(error: Union[OSError, UnicodeDecodeError]) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "not UTF-8"
