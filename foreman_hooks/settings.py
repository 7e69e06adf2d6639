"""Where to look and how sure to be: our configuration file, hammer's own files, and the
environment.

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

from foreman_hooks import times as durations
from foreman_hooks.osp_checker import region as osp_checker
from foreman_hooks.osp_checker.checker import CloudScope
from foreman_hooks.osp_checker.pace import Manners
from foreman_hooks.paths import CONFIG, JOURNAL, SATELLITE_CA
from foreman_hooks.rules.model import Policy
from foreman_hooks.satellite import client as satellite
from foreman_hooks.satellite import hammer as hammers_files
from foreman_hooks.satellite import search_language as searches
from foreman_hooks.satellite.check_job import CheckJob
from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.hammer import Hammer
from foreman_hooks.times import DEADLINE

_URL_VARIABLES = ("FOREMAN_SERVER_URL", "FOREMAN_SERVER", "FOREMAN_URL")


class SettingsError(Exception):
    """A configuration that cannot be used; says in one line which file, which key, and what is
    right.
    """

    exit_code = 78

    def __init__(self, message: str) -> None:
        line = " ".join(message.split())
        super().__init__(line if len(line) < 600 else f"{line[:400]} ... {line[-100:]}")


@dataclass(frozen=True)
class Settings:
    """Everything that is configured.

    `login` is None where no Satellite is: `check` works without.  `checker` is None where the
    clouds are asked from here.  `deadline`: when a command ends, whatever it waits for.
    `warnings`: what was passed over in hammer's files. `secret_files`: those that hold a password
    of Satellite's.
    """

    login: Optional[Login]
    manners: Manners
    search: str
    clouds: tuple[CloudScope, ...]
    checker: Optional[CheckJob]
    journal: Path
    policy: Policy
    deadline: timedelta = DEADLINE
    warnings: tuple[str, ...] = ()
    secret_files: tuple[Path, ...] = ()


def load(config: Optional[Path] = None, environ: Optional[Mapping[str, str]] = None) -> Settings:
    """The settings from `config` (default: CONFIG, which may be missing), hammer's files and the
    environment.

    Raises SettingsError.  URL and user come from the environment, else from our file, else from
    hammer's, as hammer does it; a password that stands in a file is only ever used with the user
    who stands beside it, and hammer's only with hammer's Satellite.
    """
    environ = os.environ if environ is None else environ
    path = config or CONFIG
    where = str(path)
    content = _read_yaml(path) if config or path.exists() else {}
    _check_keys(
        where, "", content, ("satellite", "clouds", "checker", "journal", "deadline", "policy")
    )
    section = _mapping(where, "satellite", content.get("satellite"))
    _check_keys(
        where,
        "satellite",
        section,
        (
            "url",
            "username",
            "password",
            "password_file",
            "ca_file",
            "verify_tls",
            "search",
            *Manners._fields,
        ),
    )
    clouds = _clouds(where, content.get("clouds"), environ)
    hammer = hammers_files.read(Path(environ["HOME"]) if environ.get("HOME") else None)
    return Settings(
        login=_login(where, section, environ, hammer),
        manners=_manners(where, "satellite", section, satellite.MANNERS),
        search=_search(where, "satellite.search", section.get("search") or ""),
        clouds=clouds,
        checker=_checker(where, content.get("checker"), clouds),
        journal=_path(where, "journal", content.get("journal", str(JOURNAL))),
        policy=_policy(where, content.get("policy")),
        deadline=_deadline(where, "deadline", content.get("deadline", durations.spell(DEADLINE))),
        warnings=hammer.warnings,
        secret_files=_secret_files(path, section, hammer),
    )


def _login(
    where: str, section: Mapping[str, Any], environ: Mapping[str, str], hammer: Hammer
) -> Optional[Login]:
    url = _url(where, section, environ, hammer)
    if not url:
        return None
    hammers = hammer.text("foreman", "username")
    own = _first(environ, "FOREMAN_USERNAME", "FOREMAN_USER") or _text(
        where, "satellite.username", section.get("username") or ""
    )
    user = own or hammers
    password = environ.get("FOREMAN_PASSWORD")
    if not password and user and user == section.get("username"):
        password = _password(where, section)
    if (
        not password
        and (url, user) == (hammer.text("foreman", "host").rstrip("/"), hammers)
        and not hammer.method
    ):
        password = hammer.text("foreman", "password")
    if user and password:
        return Login(url, user, password, _verify(where, section, hammer, url))
    method = "" if own else hammer.method or hammer.session
    if method:
        raise SettingsError(
            f"hammer logs in by {method}, which is not supported; this program needs a user and a "
            f"personal access token: set satellite.username and satellite.password_file in {where}, or "
            "FOREMAN_USERNAME and FOREMAN_PASSWORD"
        )
    if not user:
        raise SettingsError(
            f"{where}: no user for {url}; set satellite.username or FOREMAN_USERNAME"
        )
    if not own:
        where = f"{hammer.where('foreman', 'username')} is {user}, and hammer asks for the password; {where}"
    raise SettingsError(
        f"{where}: no password for {user}; set satellite.password_file or FOREMAN_PASSWORD"
    )


def _url(where: str, section: Mapping[str, Any], environ: Mapping[str, str], hammer: Hammer) -> str:
    """Satellite's URL without a slash at its end; "" where nothing names one."""
    variable = next((name for name in _URL_VARIABLES if environ.get(name)), None)
    entry = hammer.entries.get(("foreman", "host"))
    if variable:
        value, source = environ[variable], variable
    elif section.get("url"):
        value, source = section["url"], f"{where}: satellite.url"
    elif entry:
        value, source = entry.value, hammer.where("foreman", "host")
    else:
        return ""
    if not isinstance(value, str) or not re.fullmatch(
        r"(?i:https?)://[^/\s@?#]+(/[^\s?#]*)?", value.strip()
    ):
        raise SettingsError(
            f"{source} must look like https://satellite.example.com, not {_shown(value)}"
        )
    scheme, _, remainder = value.strip().partition("://")
    return f"{scheme.lower()}://{remainder.rstrip('/')}"


def _password(where: str, section: Mapping[str, Any]) -> Optional[str]:
    name = section.get("password_file")
    if not name:
        return (
            _text(where, "satellite.password", section["password"])
            if section.get("password")
            else None
        )
    try:
        text = _path(where, "satellite.password_file", name).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where}: satellite.password_file {name}: {_why(error)}") from error
    if not text or len(text.splitlines()) > 1:
        raise SettingsError(
            f"{where}: satellite.password_file {name} must hold the password alone, in one line"
        )
    return text


def _verify(where: str, section: Mapping[str, Any], hammer: Hammer, url: str) -> Union[bool, str]:
    """What to check TLS against: a CA file or folder that exists, or the system's CAs (True).

    False, no check, only where the configuration says so in so many words.  The order is ours, then
    hammer's own.
    """
    if not _flag(where, "satellite.verify_tls", section.get("verify_tls", hammer.verifies)):
        return False
    if section.get("ca_file"):
        return _ca(
            f"{where}: satellite.ca_file",
            _path(where, "satellite.ca_file", section["ca_file"]),
            False,
        )
    for key in ("ssl_ca_file", "ssl_ca_path"):
        entry = hammer.entries.get(("ssl", key))
        if entry:
            source = hammer.where("ssl", key)
            return _ca(source, _path(source, "it is", entry.value), key == "ssl_ca_path")
    stored = hammer.stored_ca(url)
    if stored:
        return _ca("hammer --fetch-ca-cert", stored, False)
    return str(SATELLITE_CA) if SATELLITE_CA.exists() else True


def _ca(source: str, path: Path, is_folder: bool) -> str:
    """That path, read; raises SettingsError where it cannot be."""
    try:
        if is_folder:
            next(path.iterdir(), None)
        else:
            path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{source}: CA {'folder' if is_folder else 'file'} {path}: {_why(error)}"
        ) from error
    return str(path)


def _clouds(where: str, value: Any, environ: Mapping[str, str]) -> tuple[CloudScope, ...]:
    if value is None:
        return (CloudScope(environ.get("OS_CLOUD")),)
    if not isinstance(value, list) or not value:
        raise SettingsError(f"{where}: clouds must be a list of entries such as '- cloud: prod'")
    scopes = []
    for number, entry in enumerate(value, 1):
        key = f"clouds[{number}]"
        entry = _mapping(where, key, entry)
        _check_keys(
            where,
            key,
            entry,
            ("cloud", "regions", "ignore_regions", "lists_fail_on_down_cell", *Manners._fields),
        )
        regions = _regions(where, f"{key}.regions", entry.get("regions", []))
        ignored = _regions(where, f"{key}.ignore_regions", entry.get("ignore_regions", []))
        both = ", ".join(name for name in regions if name in ignored)
        if both:
            raise SettingsError(
                f"{where}: {key}: {both} is in regions and in ignore_regions; remove it from one"
            )
        scopes.append(
            CloudScope(
                _name(where, f"{key}.cloud", entry.get("cloud")),
                regions,
                _flag(
                    where,
                    f"{key}.lists_fail_on_down_cell",
                    entry.get("lists_fail_on_down_cell", False),
                ),
                _manners(where, key, entry, osp_checker.MANNERS),
                ignored,
            )
        )
    if len({scope.cloud for scope in scopes}) < len(scopes):
        raise SettingsError(
            f"{where}: clouds names the same cloud twice; put its regions into one entry"
        )
    return tuple(scopes)


def _regions(where: str, name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise SettingsError(f"{where}: {name} must be a list of names, not {_shown(value)}")
    return tuple(_name(where, name, region) for region in value)


def _checker(where: str, value: Any, clouds: Sequence[CloudScope]) -> Optional[CheckJob]:
    """The check job, None for `local`; its clouds have to be named, so that one that does not
    answer is missed.
    """
    if value in (None, "local"):
        return None
    if not isinstance(value, dict):
        raise SettingsError(
            f"{where}: checker must be local, or hold job_template and search, not {_shown(value)}"
        )
    _check_keys(where, "checker", value, ("job_template", "search", "clouds_yaml", "deadline"))
    for scope in clouds:
        if scope.manners != osp_checker.MANNERS:
            raise SettingsError(
                f"{where}: {', '.join(Manners._fields)} of clouds are for those that are asked from "
                "here, not by a checker.job_template"
            )
        for name in (scope.cloud, *scope.regions, *scope.ignore_regions):
            if not name or re.search(r"[\s,/]", name):
                raise SettingsError(
                    f"{where}: with checker.job_template, clouds must name every cloud, and no name "
                    "may hold white space, a comma or a slash"
                )
    return CheckJob(
        _name(where, "checker.job_template", value.get("job_template")),
        _search(where, "checker.search", _name(where, "checker.search", value.get("search"))),
        _text(where, "checker.clouds_yaml", value.get("clouds_yaml", "")).strip(),
        _deadline(where, "checker.deadline", value.get("deadline", "15m")),
    )


def _manners(where: str, name: str, section: Mapping[str, Any], default: Manners) -> Manners:
    """How much to ask of that server at once."""
    found = default
    for key, most in (("workers", 64), ("page_size", 10_000)):
        if key in section:
            found = found._replace(
                **{key: _count(where, f"{name}.{key}", section[key], least=1, most=most)}
            )
    if "pause" in section:
        found = found._replace(
            pause=duration(where, f"{name}.pause", section["pause"]).total_seconds()
        )
    return found


def _deadline(where: str, name: str, value: Any) -> timedelta:
    span = duration(where, name, value)
    if span < timedelta(seconds=1):
        raise SettingsError(f"{where}: {name} must be at least 1s")
    return span


def _search(where: str, name: str, value: Any) -> str:
    """A search that Satellite cannot take for another one."""
    text = _text(where, name, value)
    problem = searches.problem(text)
    if problem:
        raise SettingsError(f"{where}: {name}: {problem}")
    return text


def _policy(where: str, value: Any) -> Policy:
    section = _mapping(where, "policy", value)
    defaults = Policy()
    _check_keys(where, "policy", section, [field.name for field in fields(Policy)])
    checked: dict[str, Any] = {}
    for key, given in section.items():
        name, default = f"policy.{key}", getattr(defaults, key)
        if isinstance(default, timedelta):
            checked[key] = duration(where, name, given)
        elif isinstance(default, bool):  # before int, which a bool is as well
            checked[key] = _flag(where, name, given)
        elif isinstance(default, float):
            checked[key] = _fraction(where, name, given)
        elif isinstance(default, int):
            checked[key] = _count(where, name, given, least=1 if key == "misses" else 0)
        elif isinstance(default, tuple):
            checked[key] = _names(where, name, given)
        elif not re.fullmatch(
            r"[A-Za-z0-9_]*", _text(where, name, given)
        ):  # it becomes part of a search
            raise SettingsError(
                f"{where}: {name} must be a name of letters, digits and _, or '' for none, not "
                f"{_shown(given)}"
            )
        else:
            checked[key] = given
    return Policy(**checked)


def duration(where: str, name: str, value: Any) -> timedelta:
    """A time span written 90s, 30m, 72h, 3d or 4h30m; raises SettingsError."""
    span = durations.parse(value) if isinstance(value, str) else None
    if span is None:
        raise SettingsError(
            f"{where}: {name} must be a duration such as 90s, 30m, 72h, 3d or 4h30m, not "
            f"{_shown(value)}"
        )
    return span


# A few lines of YAML can stand for gigabytes; an error shows the beginning only.
_shown = reprlib.repr


def _flag(where: str, name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise SettingsError(f"{where}: {name} must be true or false, not {_shown(value)}")
    return value


def _fraction(where: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise SettingsError(f"{where}: {name} must be a number from 0 to 1, not {_shown(value)}")
    return float(value)


def _count(where: str, name: str, value: Any, least: int, most: Optional[int] = None) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or value < least
        or (most is not None and value > most)
    ):
        raise SettingsError(
            f"{where}: {name} must be a whole number from {least} "
            f"{'on' if most is None else f'to {most}'}, not {_shown(value)}"
        )
    return value


def _names(where: str, name: str, value: Any) -> tuple[str, ...]:
    """Texts that are not empty: an empty one would be part of every maker's name."""
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(one, str) and one.strip() for one in value)
    ):
        raise SettingsError(f"{where}: {name} must be a list of names, not {_shown(value)}")
    return tuple(one.strip() for one in value)


def _path(where: str, name: str, value: Any) -> Path:
    text = _text(where, name, value)
    try:
        if b"\0" in text.encode() or not text.strip():
            raise ValueError("empty, or a NUL in it")
        return Path(text).expanduser()
    except (
        ValueError,
        RuntimeError,
    ) as error:  # RuntimeError: the home of a user who does not exist
        raise SettingsError(f"{where}: {name} {text!r} is no path ({error})") from error


def _name(where: str, name: str, value: Any) -> str:
    if not _text(where, name, value).strip():
        raise SettingsError(f"{where}: {name} is empty")
    return str(value).strip()


def _text(where: str, name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SettingsError(
            f"{where}: {name} must be a text, not {_shown(value)}"
            if value is not None
            else f"{where}: {name} is missing"
        )
    return value


def _mapping(where: str, name: str, value: Any) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise SettingsError(f"{where}: {name or 'the file'} must hold 'key: value' lines")
    return value or {}


def _check_keys(where: str, name: str, section: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise SettingsError for a key that nobody reads: a misspelt guard rail would be no guard
    rail.
    """
    for key in section:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1, 0.5)
            raise SettingsError(
                f"{where}: unknown key {f'{name}.' if name else ''}{key}; "
                + (f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}")
            )


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
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} stands there twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def _parse_yaml(path: Path, text: str) -> Mapping[str, Any]:
    try:
        return _mapping(str(path), "", yaml.load(text, _Loader))
    except (
        yaml.YAMLError,
        RecursionError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        # the last four are what PyYAML raises for a value that is not what its tag says
        problem = getattr(error, "problem", None) or f"{type(error).__name__}: {error}"
        mark = getattr(error, "problem_mark", None)
        raise SettingsError(
            f"{path}: not valid YAML: {problem}{f', line {mark.line + 1}' if mark else ''}"
        ) from error


def _secret_files(path: Path, section: Mapping[str, Any], hammer: Hammer) -> tuple[Path, ...]:
    """Our file and hammer's where they hold a password, and the one that holds nothing else."""
    own = [path] if section.get("password") else []
    if section.get("password_file"):
        own.append(_path(str(path), "satellite.password_file", section["password_file"]))
    return (*own, *hammer.secrets)


def _first(environ: Mapping[str, str], *names: str) -> Optional[str]:
    return next((environ[name] for name in names if environ.get(name)), None)


def _why(error: Union[OSError, UnicodeDecodeError]) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "not UTF-8"
