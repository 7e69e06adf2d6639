"""Read clouds.yaml and the OS_* variables; an error names the key and the file.

openstacksdk does the reading, as for the openstack command.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional
from urllib.parse import urlsplit

from foreman_hooks.osp_checker.errors import OSPConfigError, gist, log, shown
from foreman_hooks.osp_checker.session import session_class
from foreman_hooks.osp_checker.yaml_limits import YAMLTooLarge, safe_loader
from foreman_hooks.osp_checker.yaml_problems import UNFIT, yaml_problem

_SCOPE = (
    "project_id",
    "project_name",
    "project_domain_id",
    "project_domain_name",
    "domain_id",
    "domain_name",
    "system_scope",
    "trust_id",
    "default_domain_id",
    "default_domain_name",
    "unscoped",
)
_BESIDE_AUTH = (
    "insecure",
    "verify",
    "cacert",
    "cert",
    "key",
    "region_name",
    "interface",
)


class CloudEntry(NamedTuple):
    """One cloud of clouds.yaml for one region, and where it comes from.

    `config`: openstacksdk's CloudRegion.  `source`: the file, or "OS_* variables".
    """

    config: Any
    source: str

    @property
    def name(self) -> str:
        """The cloud's name."""
        return str(self.config.name)

    @property
    def auth(self) -> Mapping[str, Any]:
        """The section `auth`; holds secrets."""
        return self.config.config.get("auth") or {}

    @property
    def auth_url(self) -> str:
        """Keystone's URL, without a password in it."""
        return shown(self.auth.get("auth_url", ""))

    @property
    def verified(self) -> bool:
        """Whether TLS is checked (keys verify and insecure)."""
        return bool(self.config.get_requests_verify_args()[0])

    @property
    def login_key(self) -> str:
        """Equal for entries that can share one login; holds secrets."""
        return json.dumps(
            [
                self.config.config.get("auth_type"),
                dict(self.auth),
                self.config.config.get("api_timeout"),
                self.config.get_requests_verify_args(),
            ],
            sort_keys=True,
            default=str,
        )

    @property
    def credential_key(self) -> str:
        """Equal for entries whose refused logins Keystone counts together; holds secrets."""
        who = {key: value for key, value in self.auth.items() if key not in _SCOPE}
        who["auth_url"] = str(who.get("auth_url", "")).rstrip("/")
        return json.dumps(who, sort_keys=True, default=str)


def region_names(cloud: Optional[str]) -> list[str]:
    """The regions of `cloud` according to clouds.yaml, a vendor profile or OS_REGION_NAME.

    `cloud`: None for the default cloud, or that of the OS_* variables.  Raises OSPConfigError if no
    region is named, or if the configuration cannot be read.
    """
    reader, source = _reader(cloud)
    name = cloud or reader.default_cloud
    try:
        regions = [str(region["name"]).strip() for region in reader._get_regions(name)]
    # openstacksdk raises errors of any kind for what is wrong in the file.
    except Exception as error:
        raise _explained(reader, source, name, error) from error
    names = [region for region in dict.fromkeys(regions) if region]
    if not names:
        default = _entry(reader, source, name, "").config.region_name
        names = [default] if default else []
    if not names:
        raise OSPConfigError(
            f"{_who(cloud)}: no region is named; set region_name in {source}, or OS_REGION_NAME"
        )
    return names


def cloud_names() -> list[str]:
    """The clouds that clouds.yaml names, sorted; raises OSPConfigError if it names none."""
    reader, _ = _reader(None)
    names = sorted(map(str, reader.get_cloud_names()))
    # Without any file, openstacksdk itself makes a cloud of this name.
    if names in ([], ["defaults"]):
        raise OSPConfigError(
            "no clouds.yaml names a cloud; put one into ~/.config/openstack of this user, or into "
            "/etc/openstack"
        )
    return names


def cloud_entry(cloud: Optional[str], region: str) -> CloudEntry:
    """The entry of a cloud for that region; raises OSPConfigError.

    `cloud`: None for the default cloud, or that of the OS_* variables.  A region that clouds.yaml
    does not name has the settings of the cloud's first region.
    """
    reader, source = _reader(cloud)
    entry = _entry(reader, source, cloud, region)
    entry.config.config["region_name"] = region
    _check(entry)
    written = reader.cloud_config["clouds"].get(entry.name, {}).get("auth") or {}
    blank = sorted(str(key) for key, value in written.items() if value is None)
    if blank:  # openstacksdk would send the text None
        raise OSPConfigError(
            f"{_who(entry.name)} ({source}): {', '.join(blank)} is empty in auth"
        )
    return entry


def config_files() -> list[str]:
    """The files that name clouds and their secrets, as far as they exist; raises OSPConfigError."""
    from openstack import config

    loader = config.loader
    paths = (
        _file("OS_CLIENT_CONFIG_FILE", loader.CONFIG_FILES, needed=False),
        _file("OS_CLIENT_SECURE_FILE", loader.SECURE_FILES, needed=False),
    )
    return [path for path in paths if path and _exists(path)]


def _who(cloud: Optional[str]) -> str:
    return f"cloud {cloud}" if cloud else "cloud of the environment"


def _entry(reader: Any, source: str, cloud: Optional[str], region: str) -> CloudEntry:
    known: Optional[str] = region
    try:
        regions = reader._get_regions(cloud or reader.default_cloud) if region else []
        if region and region not in [entry["name"] for entry in regions]:
            known = None
        return CloudEntry(reader.get_one(cloud=cloud, region_name=known), source)
    # openstacksdk raises errors of any kind for what is wrong in the file.
    except Exception as error:
        raise _explained(
            reader, source, cloud or reader.default_cloud, error
        ) from error


# Which file is read, and whether it can be


def _reader(cloud: Optional[str]) -> "tuple[Any, str]":
    """openstacksdk's reader of the one file that counts, and the name of that file."""
    from openstack import config

    loader = config.loader
    needed = bool(
        cloud or os.environ.get("OS_CLOUD") or not os.environ.get("OS_AUTH_URL")
    )
    path = _file("OS_CLIENT_CONFIG_FILE", loader.CONFIG_FILES, needed)
    secure = _file("OS_CLIENT_SECURE_FILE", loader.SECURE_FILES, needed)
    source = path if path and Path(path).exists() else "OS_* variables"
    try:
        reader = config.OpenStackConfig(
            app_name="satellite-osp-cleanup",
            session_constructor=session_class(),
            config_files=[path] if path else None,
            secure_files=[secure] if secure else None,
        )
    except Exception as error:
        log.debug("%s", source, exc_info=True)
        detail = f" ({gist(error)})" if _is_plain(error) else ""
        raise OSPConfigError(f"{source}: not a valid clouds.yaml{detail}") from error
    known = sorted(map(str, reader.cloud_config["clouds"])) if path else []
    if cloud and cloud not in reader.cloud_config["clouds"]:
        hint = f"it has {', '.join(known)}" if known else "there is no clouds.yaml"
        raise OSPConfigError(f"cloud {cloud}: {source} has no such cloud; {hint}")
    return reader, source


def _file(variable: str, places: Iterable[str], needed: bool) -> Optional[str]:
    """The file that the variable names, else the first of these that exists; None without any.

    The file is checked to be valid.  Raises OSPConfigError if it is not, or if the file that the
    variable names is `needed` and missing: no other file is read instead.
    """
    named = os.environ.get(variable)
    path = named or next(filter(_exists, places), None)
    if path and _exists(path):
        return _readable(path)
    if named and needed:
        raise OSPConfigError(f"{named}: no such file; correct {variable}")
    return named


def _exists(path: str) -> bool:
    """Whether there is such a file; raises OSPConfigError if this user may not look."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise OSPConfigError(
            f"{path}: cannot be read by this user ({error.strerror})"
        ) from error
    return True


def _readable(path: str) -> str:
    """The path, if the file is valid.

    Errors are raised without their causes, whose texts have words of the file.
    """
    import yaml

    is_json = path.endswith("json")
    try:
        with Path(path).open(encoding="utf-8") as lines:
            content = json.load(lines) if is_json else yaml.load(lines, safe_loader())
    except OSError as error:
        raise OSPConfigError(
            f"{path}: cannot be read by this user ({error.strerror})"
        ) from error
    except yaml.YAMLError as error:
        raise OSPConfigError(
            f"{path}{_yaml_line(error)}: not valid YAML ({gist(yaml_problem(error))})"
        ) from None
    except YAMLTooLarge as error:
        raise OSPConfigError(f"{path}: not valid YAML: {error}") from error
    except UNFIT as error:
        line = (
            f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        )
        kind = "JSON" if is_json else "YAML"
        raise OSPConfigError(f"{path}{line}: not valid {kind} in UTF-8") from None
    _check_shape(path, content)
    return path


def _yaml_line(error: Any) -> str:
    """The line at which PyYAML stopped, for a message; "" if it does not say."""
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}" if mark else ""


def _check_shape(path: str, content: Any) -> None:
    """Raise OSPConfigError if `clouds` is not a mapping: openstacksdk relies on it."""
    clouds = content.get("clouds", {}) if isinstance(content, dict) else None
    if not isinstance(clouds, dict):
        raise OSPConfigError(f"{path}: has no mapping called clouds")


def _is_plain(error: BaseException) -> bool:
    """Whether the text of an error is meant for users."""
    from keystoneauth1.exceptions import ClientException
    from openstack.exceptions import ConfigException

    return isinstance(error, (ClientException, ConfigException))


# What is wrong with an entry


def _explained(
    reader: Any, source: str, cloud: Optional[str], error: BaseException
) -> OSPConfigError:
    """What is wrong with a cloud's entry: names its keys, not Python's types."""
    log.debug("%s of %s", cloud, source, exc_info=True)
    place = f"{_who(cloud)} ({source})"
    entry = reader.cloud_config["clouds"].get(cloud)
    if not cloud:
        names = ", ".join(sorted(map(str, reader.get_cloud_names())))
        return OSPConfigError(f"{source}: no cloud is named; name one of {names}")
    if not isinstance(entry, dict):
        return OSPConfigError(f"{place}: the entry is empty or not a mapping")
    if not isinstance(entry.get("auth", {}), dict):
        return OSPConfigError(f"{place}: auth is empty or not a mapping")
    text = _unfit(reader, cloud, error) or _missing(error)
    if not text and _is_plain(error):
        text = gist(error)
    text = (
        text
        or "the entry is not valid; compare it with the one that the openstack command uses"
    )
    return OSPConfigError(f"{place}: {text}")


def _missing(error: BaseException) -> str:
    """Which keys a plugin needs and does not get; "" if the error is not about that."""
    names = [str(option.dest) for option in getattr(error, "options", ())]
    if not names:
        return ""
    return (
        f"{' and '.join(names)} is missing; set it in auth (or OS_{names[0].upper()})"
    )


def _unfit(reader: Any, cloud: str, error: BaseException) -> str:
    """What auth and auth_type have that does not fit together; "" if nothing is known."""
    from keystoneauth1 import exceptions as ka
    from keystoneauth1 import loading

    try:
        config = reader.get_one(cloud=cloud, validate=False).config
        auth = config.get("auth") or {}
        kind = str(config.get("auth_type") or "none")
        loader = loading.get_plugin_loader(kind)
    except ka.NoMatchingPlugin:
        return (
            f"auth_type {gist(kind)!r} is not known here; "
            "use password or v3applicationcredential"
        )
    # openstacksdk cannot read the entry even without loading a plugin.
    except Exception:
        log.debug("%s", cloud, exc_info=True)
        return ""
    if not getattr(loader, "available", True):
        return f"auth_type {kind} needs libraries that are not installed here"
    if kind == "none":
        return (
            "auth_type is empty or none, which cannot log in; remove it (OS_AUTH_TYPE): "
            "password is the default"
        )
    unfit = sorted(map(str, auth.keys() - _option_names(loader)))
    if unfit:
        return (
            f"auth_type {kind} does not take {gist(', '.join(unfit))}; {_remedy(unfit)}"
        )
    has_project = auth.get("project_name") or auth.get("project_id")
    if kind == "v3applicationcredential" and has_project:
        return (
            "an application credential brings its project along: remove project_name, project_id, "
            "project_domain_name, ... from auth (OS_PROJECT_*)"
        )
    if "secret" in str(error) and _is_plain(error):
        return _no_secret("application_credential_secret", "")
    return ""


def _option_names(loader: Any) -> set[str]:
    """Every key that a plugin takes, including deprecated names."""
    names: set[str] = set()
    for option in loader.get_options():
        names.update((option.dest, option.name))
        names.update(deprecated.name for deprecated in option.deprecated)
    return {name.replace("-", "_") for name in names}


def _remedy(unfit: list[str]) -> str:
    if any(key.startswith("application_credential") for key in unfit):
        return "set auth_type: v3applicationcredential"
    if any(key in _BESIDE_AUTH for key in unfit):
        return "these belong beside auth, not inside it"
    names = ", ".join(f"OS_{key.upper()}" for key in unfit)
    return f"remove it from auth ({gist(names)}), or set the auth_type that takes it"


def _no_secret(key: str, source: str) -> str:
    """The message for a missing secret: where to put it."""
    beside = Path(source).parent / "secure.yaml"
    if source and not os.environ.get("OS_CLIENT_SECURE_FILE") and beside.exists():
        return (
            f"no {key} is given; {beside} is read only if OS_CLIENT_SECURE_FILE names it, or both "
            "files are in ~/.config/openstack or /etc/openstack"
        )
    return (
        f"no {key} is given; put it into clouds.yaml, or into the secure.yaml that "
        "OS_CLIENT_SECURE_FILE names"
    )


def _check(entry: CloudEntry) -> None:
    """Raise OSPConfigError for an entry that cannot work, before anything is sent."""
    place = f"{_who(entry.name)} ({entry.source})"
    auth = entry.auth
    kind = entry.config.config.get("auth_type")
    if not hasattr(entry.config.get_auth(), "get_access"):
        raise OSPConfigError(
            f"{place}: auth_type {kind} cannot log in; use password or v3applicationcredential"
        )
    if not is_http(auth.get("auth_url")):
        raise OSPConfigError(
            f"{place}: auth_url {gist(entry.auth_url)!r} is not an http(s):// URL"
        )
    if kind in ("password", "v3password", "v2password"):
        if not auth.get("username") and not auth.get("user_id"):
            raise OSPConfigError(
                f"{place}: no username is given; set it in auth (or OS_USERNAME)"
            )
        if not auth.get("password"):
            raise OSPConfigError(f"{place}: {_no_secret('password', entry.source)}")
    timeout = entry.config.config.get("api_timeout")
    try:
        float(timeout or 1)
    except (TypeError, ValueError, OverflowError):
        raise OSPConfigError(
            f"{place}: api_timeout {gist(timeout)!r} is not a number of seconds"
        ) from None
    cacert = entry.config.get_requests_verify_args()[0]
    if isinstance(cacert, str) and not Path(cacert).exists():
        raise OSPConfigError(
            f"{place}: there is no CA file {gist(cacert)}; correct cacert"
        )


def is_http(url: object) -> bool:
    """Whether a text is an http(s):// URL with a host."""
    try:
        parts = urlsplit(str(url or ""))
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
        )
    except ValueError:
        return False
