"""The configuration: our own file, hammer's files, and the environment.

If hammer already works and clouds.yaml is in place, nothing needs to be configured.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union
from urllib.parse import urlsplit

from foreman_hooks.osp_checker import CloudScope, Manners, region
from foreman_hooks.osp_checker.values import is_utf8
from foreman_hooks.paths import CONFIG, JOURNAL, SATELLITE_CA
from foreman_hooks.rules.model import Policy
from foreman_hooks.satellite import client, search_language
from foreman_hooks.satellite.check_job import CheckJob
from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.hammer import HammerFiles, read_hammer_files
from foreman_hooks.section import (
    Section,
    SettingsError,
    as_path,
    read_file,
    shown,
)
from foreman_hooks.times import DEADLINE
from foreman_hooks.unreadable import why_unreadable

Environ = Mapping[str, str]

_MANNERS = ("workers", "page_size", "pause")
_KEYS = (
    "satellite",
    "clouds",
    "checker",
    "journal",
    "deadline",
    "repeat_news",
    "policy",
)
_SATELLITE_KEYS = (
    "url",
    "username",
    "password",
    "password_file",
    "ca_file",
    "verify_tls",
    "search",
    *_MANNERS,
)
_CLOUD_KEYS = (
    "cloud",
    "regions",
    "ignore_regions",
    "lists_fail_on_down_cell",
    *_MANNERS,
)
_CHECKER_KEYS = (
    "job_template",
    "search",
    "clouds_yaml",
    "deadline",
)
_POLICY_KEYS = tuple(field.name for field in fields(Policy))

REPEAT_NEWS = timedelta(days=7)
_URL_VARIABLES = ("FOREMAN_SERVER_URL", "FOREMAN_SERVER", "FOREMAN_URL")
_USER_VARIABLES = ("FOREMAN_USERNAME", "FOREMAN_USER")
_URL = re.compile(r"(?i:https?)://[^/\s@?#]+(/[^\s?#]*)?")


@dataclass(frozen=True)
class Settings:
    """Everything that is configured.

    `login`: None if no Satellite is configured; `check` works without one.  `search`: which hosts a
    run may judge, "" for all.  `checker`: None if this machine asks the clouds itself.  `deadline`:
    after how long a command ends, whatever it waits for.  `repeat_news`: after how long cron's
    mail lists everything again that is open; 0: never.  `warnings`: one line for each thing in
    hammer's files that is ignored.  `file`: ours; None if there is none.  `hammer_files`: those of
    hammer that were read.  `secret_files`: the files that hold a password for Satellite.
    """

    login: Optional[Login]
    manners: Manners
    search: str
    clouds: tuple[CloudScope, ...]
    checker: Optional[CheckJob]
    journal: Path
    policy: Policy
    deadline: timedelta = DEADLINE
    repeat_news: timedelta = REPEAT_NEWS
    warnings: tuple[str, ...] = ()
    file: Optional[Path] = None
    hammer_files: tuple[Path, ...] = ()
    secret_files: tuple[Path, ...] = ()


def load(config: Optional[Path] = None, environ: Optional[Environ] = None) -> Settings:
    """The settings from `config`, hammer's files and the environment.

    `config`: None for CONFIG, if that file exists.  `environ`: None for os.environ.  URL and user
    come from the environment, else from our file, else from hammer's, as in hammer itself.  A
    password in a file is used only for the user that the same file names, and hammer's password
    only at hammer's Satellite.  Raises SettingsError.
    """
    environ = os.environ if environ is None else environ
    path = config or CONFIG
    file = Section(str(path), "", {})
    is_there = config is not None or path.exists()
    if is_there:
        file = read_file(path)
    file.check_keys(*_KEYS)
    satellite = file.section("satellite")
    satellite.check_keys(*_SATELLITE_KEYS)
    home = environ.get("HOME")
    hammer = read_hammer_files(Path(home) if home else None)
    clouds = _clouds(file, environ)
    return Settings(
        login=_login(_LoginSources(satellite, environ, hammer)),
        manners=_manners(satellite, client.MANNERS),
        search=_search(satellite, satellite.optional_text("search")),
        clouds=clouds,
        checker=_checker(file, clouds),
        journal=file.path("journal", JOURNAL),
        policy=_policy(file),
        deadline=_deadline(file, DEADLINE),
        repeat_news=file.duration("repeat_news", REPEAT_NEWS),
        warnings=hammer.warnings,
        file=path if is_there else None,
        hammer_files=hammer.files,
        secret_files=_secret_files(path, satellite, hammer),
    )


# Each section of the file


def _manners(section: Section, default: Manners) -> Manners:
    """How fast to ask the server of this section.

    `workers` is also the number of readers of a list; without it there are few.
    """
    default_pause = timedelta(seconds=default.pause)
    pause = section.duration("pause", default_pause)
    workers = section.count_up_to(64, "workers", default.workers)
    is_default = section.values.get("workers") is None
    return Manners(
        workers=workers,
        page_size=section.count_up_to(10_000, "page_size", default.page_size),
        pause=pause.total_seconds(),
        readers=default.readers if is_default else workers,
    )


def _search(section: Section, search: str) -> str:
    """The search; raises SettingsError if Satellite would search for something else."""
    problem = search_language.problem(search)
    if problem:
        raise SettingsError(f"{section.where('search')}: {problem}")
    return search


def _clouds(file: Section, environ: Environ) -> tuple[CloudScope, ...]:
    if file.values.get("clouds") is None:
        return (CloudScope(environ.get("OS_CLOUD")),)
    entries = file.sections("clouds", example="- cloud: prod")
    scopes = tuple(_cloud(entry) for entry in entries)
    names = {scope.cloud for scope in scopes}
    if len(names) < len(scopes):
        raise SettingsError(
            f"{file.where('clouds')} names the same cloud twice; put its regions into one entry"
        )
    return scopes


def _cloud(section: Section) -> CloudScope:
    section.check_keys(*_CLOUD_KEYS)
    regions = section.names("regions")
    ignored = section.names("ignore_regions")
    both = ", ".join(name for name in regions if name in ignored)
    if both:
        raise SettingsError(
            f"{section.file}: {section.name}: {both} is in regions and in ignore_regions; "
            "remove it from one"
        )
    return CloudScope(
        cloud=section.required_text("cloud"),
        regions=regions,
        lists_fail_on_down_cell=section.flag("lists_fail_on_down_cell", False),
        manners=_manners(section, region.MANNERS),
        ignore_regions=ignored,
    )


def _checker(file: Section, clouds: Sequence[CloudScope]) -> Optional[CheckJob]:
    """The check job; None if this machine asks the clouds itself (`local`)."""
    value = file.values.get("checker")
    if value in (None, "local"):
        return None
    if not isinstance(value, dict):
        raise SettingsError(
            f"{file.where('checker')} must be local, or hold job_template and search, "
            f"not {shown(value)}"
        )
    section = file.section("checker")
    section.check_keys(*_CHECKER_KEYS)
    for scope in clouds:
        _check_scope_of_job(file, scope)
    return CheckJob(
        template=section.required_text("job_template"),
        search=_search(section, section.required_text("search")),
        clouds_yaml=section.text("clouds_yaml", "").strip(),
        deadline=_deadline(section, CheckJob.deadline),
    )


def _check_scope_of_job(file: Section, scope: CloudScope) -> None:
    """Raise SettingsError for a cloud that a check job could not ask.

    Every cloud must have a name: otherwise nobody would notice that no host answers for it.
    """
    if scope.manners != region.MANNERS:
        raise SettingsError(
            f"{file.file}: {', '.join(_MANNERS)} of clouds work only if this machine asks "
            "the clouds itself, not with checker.job_template"
        )
    names = (scope.cloud, *scope.regions, *scope.ignore_regions)
    for name in names:
        if not name or re.search(r"[\s,/]", name):
            raise SettingsError(
                f"{file.file}: with checker.job_template, clouds must name every cloud, and no "
                "name may hold white space, a comma or a slash"
            )


def _deadline(section: Section, default: timedelta) -> timedelta:
    span = section.duration("deadline", default)
    if span < timedelta(seconds=1):
        raise SettingsError(f"{section.where('deadline')} must be at least 1s")
    return span


def _policy(file: Section) -> Policy:
    section = file.section("policy")
    section.check_keys(*_POLICY_KEYS)
    default = Policy()
    return Policy(
        quiet=section.duration("quiet", default.quiet),
        all_clouds_listed=section.flag("all_clouds_listed", default.all_clouds_listed),
        grace=section.duration("grace", default.grace),
        misses=section.count("misses", default.misses, least=1),
        silence=section.duration("silence", default.silence),
        max_deletions=section.count("max_deletions", default.max_deletions),
        max_fraction=section.fraction("max_fraction", default.max_fraction),
        max_absent=section.count("max_absent", default.max_absent),
        max_shrink=section.fraction("max_shrink", default.max_shrink),
        protect_parameter=_protect_parameter(section, default.protect_parameter),
        openstack_names=_openstack_names(section, default.openstack_names),
    )


def _protect_parameter(section: Section, default: str) -> str:
    """The name of a host parameter, which becomes part of a search; "" for none."""
    name = section.text("protect_parameter", default)
    if not re.fullmatch(r"[A-Za-z0-9_]*", name):
        raise SettingsError(
            f"{section.where('protect_parameter')} must be a name of letters, digits and _, "
            f"or '' for none, not {shown(name)}"
        )
    return name


def _openstack_names(section: Section, default: tuple[str, ...]) -> tuple[str, ...]:
    """At least one name, and no empty one: an empty text is part of every maker's name."""
    if "openstack_names" not in section.values:
        return default
    names = section.names("openstack_names")
    if not names:
        raise SettingsError(
            f"{section.where('openstack_names')} must be a list of names, not an empty one"
        )
    return names


# The login: the environment, our file, and hammer's files


class _LoginSources(NamedTuple):
    """Where a login can come from; `section`: `satellite` of our file."""

    section: Section
    environ: Environ
    hammer: HammerFiles

    def variable(self, *names: str) -> str:
        """The name of the first of these variables that is not empty; "" if all are."""
        for name in names:
            if self.environ.get(name):
                return name
        return ""


def _login(sources: _LoginSources) -> Optional[Login]:
    """How to log in to Satellite; None if no source names a URL."""
    url = _url(sources)
    if not url:
        return None
    own_user = _own_user(sources)
    user = own_user or sources.hammer.text("foreman", "username")
    password = _password(sources, url, user)
    if user and password:
        if not is_utf8(user + password):
            raise SettingsError(f"the user or the password for {url} is not UTF-8")
        verify = _verify(sources, url)
        return Login(url, user, password, verify)
    if not own_user:
        _check_login_method(sources)
    file = sources.section.file
    if not user:
        raise SettingsError(
            f"{file}: no user for {url}; set satellite.username or FOREMAN_USERNAME"
        )
    missing = f"{file}: no password for {user}; set satellite.password_file or FOREMAN_PASSWORD"
    if not own_user:
        where = sources.hammer.where("foreman", "username")
        raise SettingsError(
            f"{where} is {user}, and hammer asks for the password; {missing}"
        )
    raise SettingsError(missing)


def _check_login_method(sources: _LoginSources) -> None:
    """Raise SettingsError if hammer does not log in with the user and password of its files."""
    method = sources.hammer.method or sources.hammer.session
    if method:
        raise SettingsError(
            f"hammer logs in by {method}, which is not supported; this program needs a user and a "
            "personal access token: set satellite.username and satellite.password_file in "
            f"{sources.section.file}, or FOREMAN_USERNAME and FOREMAN_PASSWORD"
        )


def _url(sources: _LoginSources) -> str:
    """Satellite's URL without a slash at the end; "" if no source names one."""
    variable = sources.variable(*_URL_VARIABLES)
    configured = sources.section.values.get("url")
    entry = sources.hammer.entries.get(("foreman", "host"))
    value: Any
    if variable:
        value, where = sources.environ[variable], variable
    elif configured:
        value, where = configured, sources.section.where("url")
    elif entry:
        value, where = entry.value, sources.hammer.where("foreman", "host")
    else:
        return ""
    text = value.strip() if isinstance(value, str) else ""
    if not _is_url(text):
        raise SettingsError(
            f"{where} must look like https://satellite.example.com, not {_shown_url(value)}"
        )
    scheme, address = text.split("://", 1)
    return f"{scheme.lower()}://{address.rstrip('/')}"


def _shown_url(value: Any) -> str:
    """A value that is not a URL, for a message; not if it may have a password in it."""
    if re.search(r"[@?#]", str(value)):
        return "one with a login or a query"
    return shown(value)


def _is_url(text: str) -> bool:
    """Whether a text is the URL of a server, with a valid port if it names one."""
    try:
        port = urlsplit(text).port
    except ValueError:
        return False
    has_form = _URL.fullmatch(text) is not None
    return has_form and port != 0 and is_utf8(text)


def _own_user(sources: _LoginSources) -> str:
    """The user that the environment or our file names; "" if neither does."""
    variable = sources.variable(*_USER_VARIABLES)
    if variable:
        return sources.environ[variable]
    return sources.section.optional_text("username")


def _password(sources: _LoginSources, url: str, user: str) -> str:
    """The password of that user at that URL; "" if no source has one.

    Never the password of another user or Satellite: thirty refused logins lock out this address.
    """
    password = sources.environ.get("FOREMAN_PASSWORD", "")
    configured_user = sources.section.values.get("username")
    if not password and user and user == configured_user:
        password = _configured_password(sources.section)
    if not password:
        password = _hammer_password(sources.hammer, url, user)
    return password


def _configured_password(section: Section) -> str:
    """The password in our file, or in the file that it names; "" if there is neither."""
    if not section.values.get("password_file"):
        return section.optional_text("password")
    path = section.path("password_file")
    where = f"{section.where('password_file')} {path}"
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where}: {why_unreadable(error)}") from None
    if len(text.splitlines()) != 1:
        raise SettingsError(f"{where} must hold the password alone, in one line")
    return text


def _hammer_password(hammer: HammerFiles, url: str, user: str) -> str:
    """hammer's password if hammer logs in with it, as that user, at that URL; else ""."""
    hammer_url = hammer.text("foreman", "host").rstrip("/")
    hammer_user = hammer.text("foreman", "username")
    if hammer.method or url != hammer_url or user != hammer_user:
        return ""
    return hammer.text("foreman", "password")


def _secret_files(
    path: Path, section: Section, hammer: HammerFiles
) -> tuple[Path, ...]:
    """The files that hold a password, of these: our file, the one that it names, and hammer's."""
    own_files = []
    if section.values.get("password"):
        own_files.append(path)
    if section.values.get("password_file"):
        own_files.append(section.path("password_file"))
    return (*own_files, *hammer.secrets)


def _verify(sources: _LoginSources, url: str) -> Union[bool, str]:
    """What to check TLS with: the path of a readable CA file or folder; True: the system's CAs.

    False (no check) only if the configuration says so.  Our file counts more than hammer's;
    hammer's keys count in hammer's own order.  Raises SettingsError.
    """
    section, hammer = sources.section, sources.hammer
    if not section.flag("verify_tls", hammer.verifies):
        return False
    if section.values.get("ca_file"):
        path = section.path("ca_file")
        return _ca_file(section.where("ca_file"), path)
    for key, readable in (("ssl_ca_file", _ca_file), ("ssl_ca_path", _ca_folder)):
        entry = hammer.entries.get(("ssl", key))
        if entry:
            where = hammer.where("ssl", key)
            path = as_path(where, entry.value)
            return readable(where, path)
    stored = hammer.stored_ca(url)
    if stored:
        return _ca_file("hammer --fetch-ca-cert", stored)
    if SATELLITE_CA.exists():
        return str(SATELLITE_CA)
    return True


def _ca_file(where: str, path: Path) -> str:
    """The path of a CA file; raises SettingsError if it cannot be read."""
    try:
        path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{where}: CA file {path}: {why_unreadable(error)}"
        ) from error
    return str(path)


def _ca_folder(where: str, path: Path) -> str:
    """The path of a CA folder; raises SettingsError if it cannot be read."""
    try:
        next(path.iterdir(), None)
    except OSError as error:
        raise SettingsError(
            f"{where}: CA folder {path}: {why_unreadable(error)}"
        ) from error
    return str(path)
