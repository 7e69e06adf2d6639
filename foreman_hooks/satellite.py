"""Satellite's API (Foreman's, with or without Katello) as hammer speaks it: /api/..., version 2, JSON, English.

The server does not validate what it is asked: a misspelt parameter is ignored, a malformed search can match
nothing or everything, a role that may see nothing answers 200 and an empty list (all measured on Foreman 3.12).
So every 2xx body is checked here for its shape, and an answer that is short or odd is an error, never a result.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, NoReturn, Optional, Union
from urllib.parse import urlencode

import requests
import requests.auth

from .harmless import is_harmless
from .model import Record
from .osp_checker import PATIENCE, TRIES, Manners, heed_environment, rest, retry_after

log = logging.getLogger(__name__)

MANY = 10_000_000           # rows in one page: "all" is not understood everywhere, and there is no maximum
MANNERS = Manners(workers=4)
FULL_PAGE = 100             # whole records in one page: each costs Satellite 12 to 15 ms (measured)
TIMEOUT = (10.0, 120.0)     # seconds to connect, and for an answer (hammer's request_timeout)
CLOCK_SKEW = timedelta(minutes=5)
_DESTROYS = "destroy_vm_on_host_delete"
_HEADERS = {"Accept": "application/json;version=2", "Accept-Language": "en"}


class SatelliteError(Exception):
    """Satellite could not be reached, or its answer made no sense.

    SatelliteError
      +- SatelliteLoginError    401: wrong user, password or token; never tried twice
      +- SatelliteForbidden     403, or a role that sees nothing
      +- SatelliteRefused       a well-formed refusal of one request (400, 404, 422)
      +- SatelliteNotFound      no host or organization of that name
    """


class SatelliteLoginError(SatelliteError):
    """Satellite refused the log-in."""


class SatelliteForbidden(SatelliteError):
    """The login works but its role lacks a permission, an organization or a location."""


class SatelliteRefused(SatelliteError):
    """Satellite refused one request with a reason.

    A 404 has three shapes that must not be mixed up: `no_resource` (no such host, or out of sight),
    `no_route` (the plugin is not there), and neither (the organization asked for is not visible).
    """

    def __init__(self, status: int, message: str, body: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.no_resource = status == 404 and isinstance(body.get("error"), dict)
        self.no_route = status == 404 and isinstance(body.get("error"), str)


class SatelliteNotFound(SatelliteError):
    """No host or organization of that name is visible."""


class About(NamedTuple):
    """What is at the other end; `katello` is its version, None on a Foreman without it."""

    version: str
    katello: Optional[str]


@dataclass(frozen=True)
class Login:
    """Where Satellite is and who asks.  `verify`: a CA file, True for the system's, False for no check."""

    url: str
    username: str
    password: str
    verify: Union[bool, str] = True

    def __repr__(self) -> str:
        return f"Login({self.url}, {self.username})"        # never the password


class Satellite:
    """One Satellite, asked with one login.  `organization` (an id) narrows every list to it."""

    def __init__(self, login: Login, manners: Manners = MANNERS) -> None:
        self.manners = manners
        self.url = login.url.rstrip("/")
        self.organization: Optional[int] = None
        self._session = requests.Session()
        self._session.headers.update(_HEADERS)
        # bytes, since requests would send a text as Latin-1
        self._session.auth = requests.auth.HTTPBasicAuth(login.username.encode(), login.password.encode())
        # given with each request: REQUESTS_CA_BUNDLE would win over a file of ours otherwise
        self._verify = heed_environment(self._session, login.verify)
        self._username = login.username
        self._refused = False
        self._about: Optional[About] = None

    # What is asked

    def about(self) -> About:
        """Versions of Foreman and Katello; asked once.

        Katello is found out by its own status route, which a plain Foreman does not have.
        """
        if self._about is None:
            version = self.get("/api/status").get("version")
            try:
                katello = self.get("/katello/api/status").get("version") or ""
            except SatelliteRefused as refusal:
                if not refusal.no_route:
                    raise
                katello = None
            if not isinstance(version, str) or not (katello is None or (isinstance(katello, str) and katello)):
                self.odd("/api/status", "no version")
            self._about = About(version, katello)
        return self._about

    @property
    def katello(self) -> bool:
        """Whether Katello is there: the facts and check-ins of registered machines, not only reports."""
        return self.about().katello is not None

    def organization_id(self, name: str) -> int:
        """The id of an organization by its exact name; raises SatelliteNotFound where none is visible."""
        for found in self.listing("/api/organizations", search=f"name = {quoted(name)}", per_page=2):
            if found.get("name") == name and isinstance(found.get("id"), int):
                return found["id"]
        raise SatelliteNotFound(f"{self.url}: no organization {name!r} is visible to {self._username}")

    def organizations(self) -> list[str]:
        """The names of the organizations that this login sees; none where it lacks view_organizations."""
        try:
            return [str(one.get("name")) for one in self.listing("/api/organizations", per_page=MANY)]
        except SatelliteForbidden:
            return []

    def id_of(self, kind: str, field: str, value: str) -> Optional[int]:
        """The id of what is called so: `kind` as the API names it (organizations, locations, hostgroups).

        None where there is none or this login may not look.
        """
        try:
            found = self.listing(f"/api/{kind}", search=f"{field} = {quoted(value)}", per_page=2)
        except (SatelliteForbidden, SatelliteRefused):
            return None
        return next((one["id"] for one in found if one.get(field) == value and isinstance(one.get("id"), int)), None)

    def newest_host(self) -> tuple[int, int]:
        """The highest host id and the number of hosts visible; raises SatelliteForbidden where none is.

        Not with `thin`: a thin list is sorted by name, whatever `order` says (hosts_controller, reorder(:name)).
        """
        body = self.page("/api/hosts", list, order="id DESC", per_page=1)
        if not body["results"]:
            raise SatelliteForbidden(f"{self.url}: {self._username} sees no host at all; it needs view_hosts and "
                                     "membership of the hosts' organizations and locations")
        highest, total = body["results"][0]["id"], body.get("total")
        if not isinstance(total, int) or highest < total:
            self.odd("/api/hosts", f"{total} hosts and a highest id of {highest}")
        return highest, total

    def thin_hosts(self, low: int, high: int, search: str) -> dict[str, int]:
        """Name -> id of the hosts with low < id <= high; as many as Satellite announces, or it is an error."""
        window = f"id > {low} and id <= {high}"
        body = self.page("/api/hosts", list, thin="true", per_page=high - low + 1,
                         search=f"({search}) and {window}" if search else window)
        names = {host["name"]: host["id"] for host in body["results"]}
        ids = {host_id for host_id in names.values() if low < host_id <= high}
        if not len(ids) == len(names) == len(body["results"]) == body.get("subtotal"):
            self.odd("/api/hosts", f"{len(ids)} hosts in {window} where {body.get('subtotal')} were announced")
        return names

    def find_host(self, text: str) -> tuple[int, str]:
        """Id and name of a host, given its exact name or its id; raises SatelliteNotFound."""
        field = "id" if re.fullmatch(r"[0-9]+", text) else "name"
        for host in self.listing("/api/hosts", search=f"{field} = {quoted(text.lower())}", thin="true", per_page=2):
            if str(host[field]) == text.lower():
                return host["id"], host["name"]
        raise SatelliteNotFound(f"{self.url}: no host {text!r} is visible to {self._username}")

    def hosts_with_parameter(self, parameter: str, host_id: Optional[int] = None) -> set[int]:
        """The ids of the hosts (or of that one) whose parameter, inherited or their own, means yes.

        Asked as a search since a login without view_params is shown every host with no parameters at all.  A name
        with dots cannot be asked: Foreman looks for what stands behind the last one.
        """
        search = " or ".join(f"params.{parameter} {test}" for test in (
            "~ true", "~ yes", "~ on", "= 1", "= t", "= T", "= y", "= Y"))     # ~ does not mind the case
        if host_id is not None:
            search = f"({search}) and id = {host_id}"
        return {host["id"] for host in self.listing("/api/hosts", search=search, thin="true", per_page=MANY)}

    def record(self, host_id: int) -> Optional[Record]:
        """The record with that id; None where Satellite shows none (gone, or out of sight: it looks the same).

        Also None where a host *named* like that number stands before it.
        """
        body = self._host(host_id)
        record = read_record(body, self.katello, self.url) if body is not None else None
        return record if record and record.id == host_id else None

    def records(self, host_ids: Sequence[int]) -> dict[int, Record]:
        """Those of these records that Satellite shows, by id; FULL_PAGE of them at most."""
        if not host_ids:
            return {}
        found = self.listing("/api/hosts", search=f"id ^ ({','.join(map(str, host_ids))})", per_page=FULL_PAGE,
                             **{"include[]": "all_parameters"})
        if not {host["id"] for host in found} <= set(host_ids):
            self.odd("/api/hosts", "other hosts than were asked for")
        return {host["id"]: read_record(host, self.katello, self.url) for host in found}

    def is_gone(self, host_id: int) -> bool:
        """Whether that host is a 404: only to a login that could read it before does that mean "deleted"."""
        return self._host(host_id) is None

    def _host(self, host_id: int) -> Optional[dict[str, Any]]:
        """What GET of that host answers; None for the 404 of a host."""
        try:
            return self.get(f"/api/hosts/{host_id}")
        except SatelliteRefused as refusal:
            if not refusal.no_resource:
                raise
            return None

    def destroys_vms(self) -> Optional[bool]:
        """The setting destroy_vm_on_host_delete; None where it cannot be read."""
        try:
            settings = self.listing("/api/settings", search=f"name = {_DESTROYS}", per_page=2)
        except (SatelliteForbidden, SatelliteRefused):
            return None
        value = settings[0].get("value") if [one.get("name") for one in settings] == [_DESTROYS] else None
        return value if isinstance(value, bool) else None

    def permissions(self, host_id: int) -> Mapping[str, bool]:
        """What this login may do with that host: permission -> bool."""
        found = self.get(f"/api/hosts/{host_id}").get("permissions")
        return found if isinstance(found, dict) else {}

    def own_permissions(self) -> frozenset[str]:
        """The names of all permissions of this login (filters of the role may narrow them)."""
        path = "/api/permissions/current_permissions"
        found = self.get(path).get("results")
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            self.odd(path, "no list")
        return frozenset(str(one.get("name")) for one in found)

    # What is changed

    def disassociate(self, record: Record) -> None:
        """Cut the link to the compute resource, so that deleting the record can never destroy the VM."""
        self._must_still_be(record, "detached")
        self.call("PUT", f"/api/hosts/{record.id}/disassociate", json={})

    def delete(self, record: Record) -> bool:
        """Delete that very record; whether it is gone.

        The numeric id only, and only after a GET of it in which id and name are the record's: a *name* of digits
        can be taken for the id of another host (measured).  A 200 proves nothing, Katello answers it whether the
        host went or not: gone is a 404 to the login that could read the record a moment before.
        """
        self._must_still_be(record, "deleted")
        answer = self.call("DELETE", f"/api/hosts/{record.id}")
        if answer.get("id") not in (None, record.id):
            raise SatelliteError(f"{self.url}: the DELETE of host {record.id} met host {answer.get('id')}; "
                                 "look at it at once")
        return self.is_gone(record.id)

    def create_host(self, attributes: Mapping[str, Any]) -> int:
        """Make a host entry that nothing provisions; its id.  Raises SatelliteRefused where the name is taken."""
        body = self.call("POST", "/api/hosts", json={"host": {**attributes, "managed": False, "build": False,
                                                              "overwrite": False}})
        if not _is_host(body) or body["name"] != attributes["name"]:
            self.odd("/api/hosts", "something else than the host that was to be made")
        return body["id"]

    def _must_still_be(self, record: Record, to_be: str) -> None:
        now = self.record(record.id)
        if now is None or now.name != record.name:
            raise SatelliteError(f"{self.url}: host {record.id} is no longer {record.name}; not {to_be}")

    # How it is asked

    def listing(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """The results of a list that fits in one page, each checked to be an object."""
        body = self.page(path, list, **query)
        if len(body["results"]) != body.get("subtotal"):
            self.odd(path, f"{len(body['results'])} results where {body.get('subtotal')} were announced")
        return body["results"]

    def page(self, path: str, kind: type, **query: Any) -> dict[str, Any]:
        """The body of a list whose `results` are of that type; of hosts and facts, those of the organization."""
        if self.organization is not None and path in ("/api/hosts", "/api/fact_values"):
            query["organization_id"] = self.organization
        body = self.get(path, **query)
        results: Any = body.get("results")
        if not isinstance(results, kind) or body.get("per_page") != query["per_page"]:
            self.odd(path, "no list")
        entries: Any = results.values() if isinstance(results, dict) else results
        if not all(isinstance(entry, dict) for entry in entries) or (
                path == "/api/hosts" and not all(map(_is_host, entries))):
            self.odd(path, "an entry that is none")
        return body

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """The object that a GET answers; raises SatelliteError."""
        return self.call("GET", path, params=query)

    def call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """One request; the parsed object of a 2xx, or the SatelliteError that names what went wrong."""
        if self._refused:               # 30 failures lock out every login from this address for minutes
            raise SatelliteLoginError(f"{self.url}: the log-in of {self._username} was refused before")
        try:
            response = self._patiently(method, path, **body)
        except requests.exceptions.SSLError as error:
            raise SatelliteError(f"{self.url}: TLS check failed ({_gist(error)}); set ca_file, on a Satellite "
                                 "/etc/pki/katello/certs/katello-server-ca.crt") from error
        except OSError as error:        # requests' own errors are OSErrors; so is a CA file that is missing
            raise SatelliteError(f"{self.url}: not reachable ({_gist(error)})") from error
        log.debug("%s %s: %s", method, path, response.status_code)
        parsed = _parsed(response)
        if not 200 <= response.status_code < 300:
            self._fail(method, path, response, parsed)
        if not isinstance(parsed, dict) or "error" in parsed:
            self.odd(path, f"a {response.status_code} that is no JSON object" if not isinstance(parsed, dict)
                      else f"a {response.status_code} with an error in it")
        self._check_clock(response)
        self._check_organization(path, body.get("params", {}), response)
        return parsed

    def _patiently(self, method: str, path: str, **body: Any) -> requests.Response:
        """One request; a question is put again where Satellite asks for patience, a change never is."""
        if "params" in body:            # lists of ids stay short enough only with their commas as they are
            body["params"] = urlencode(body["params"], safe=",:")
        for attempt in range(1, TRIES + 1):
            response = self._session.request(method, self.url + path, timeout=TIMEOUT, verify=self._verify,
                                             allow_redirects=False, **body)
            wait = retry_after(response.status_code, response.headers)
            again = method == "GET" and attempt < TRIES and wait is not None and wait <= PATIENCE
            rest(wait if again and wait else self.manners.pause)
            if not again:
                break
        return response

    def _fail(self, method: str, path: str, response: requests.Response, body: Any) -> NoReturn:
        status, message = response.status_code, _message(body)
        where = f"{self.url}: {method} {path} gave {status}"
        if status == 401:
            self._refused = True
            raise SatelliteLoginError(f"{self.url}: the log-in of {self._username} is refused"
                                      f"{f' ({message})' if message else ''}; check user and password or token")
        if status == 403:
            raise SatelliteForbidden(f"{where}: {message or 'forbidden (a wrong host name in the URL?)'}")
        if 300 <= status < 400:
            raise SatelliteError(f"{where}, a redirect to {response.headers.get('Location')}; put that into the URL")
        if isinstance(body, dict) and status in (400, 404, 422):
            raise SatelliteRefused(status, f"{where}: {message}", body)
        raise SatelliteError(f"{where}: {message or 'no JSON (a proxy, or Satellite is starting?)'}")

    def odd(self, path: str, what: str) -> NoReturn:
        """Raise SatelliteError for a 2xx that makes no sense."""
        raise SatelliteError(f"{self.url}: {path} gave {what}; is this a Satellite, and does the role see all hosts?")

    def _check_clock(self, response: requests.Response) -> None:
        """A clock that jumped makes every machine look silent."""
        try:
            there = parsedate_to_datetime(response.headers.get("Date", ""))
        except (TypeError, ValueError):
            return
        apart = abs(datetime.now(timezone.utc) - (there if there.tzinfo else there.replace(tzinfo=timezone.utc)))
        if apart > CLOCK_SKEW:
            raise SatelliteError(f"{self.url}: its clock and ours are {apart.total_seconds() / 60:.0f} minutes apart; "
                                 "nothing can be said of silence and grace, synchronise them")

    def _check_organization(self, path: str, query: Mapping[str, Any], response: requests.Response) -> None:
        wanted, told = query.get("organization_id"), response.headers.get("Foreman_current_organization")
        if wanted is not None and told and not told.startswith(f"{wanted};"):
            self.odd(path, f"organization {told!r} where {wanted} was asked for")


def read_record(body: Mapping[str, Any], katello: bool, where: str = "Satellite", *,
                parameters_shown: bool = True) -> Record:
    """The Record of a GET /api/hosts/:id; raises SatelliteError where the answer is no host.

    `parameters_shown`: whether this login may read parameters at all (without view_params it is shown none).
    """
    facet, infrastructure = body.get("subscription_facet_attributes") or {}, body.get("infrastructure_facet") or {}
    inherited, own, collections = (body.get(key) for key in ("all_parameters", "parameters", "host_collections"))
    if not _is_host(body) or not isinstance(facet, dict) or not isinstance(infrastructure, dict) or not (
            _is_list_of_named(inherited) and all(_is_list_of_named(one) for one in (own, collections) if one)):
        raise SatelliteError(f"{where}: GET of a host gave something else")
    report = moment(body.get("last_report"))
    return Record(
        body["id"], body["name"], consumer=facet.get("uuid"), registered=bool(facet.get("uuid")) if katello else True,
        registered_at=moment(facet.get("registered_at")), last_report=report,
        last_checkin=moment(facet.get("last_checkin")) if katello else report,
        build=body.get("build") is not False, hypervisor=bool(facet.get("hypervisor")),
        infrastructure=any(infrastructure.values()), compute_resource=_compute_resource(body),
        parameters={one["name"]: str(one.get("value")) for one in inherited or []},
        snapshot=_snapshot(body, parameters_shown))


def _is_host(body: Mapping[str, Any]) -> bool:
    return type(body.get("id")) is int and isinstance(body.get("name"), str)


def _is_list_of_named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in value)


def _compute_resource(body: Mapping[str, Any]) -> Optional[str]:
    if body.get("compute_resource_id") is None:
        return None
    return str(body.get("compute_resource_name") or body["compute_resource_id"])


_KEPT = ("id", "name", "comment", "created_at", "last_report", "build", "managed", "enabled", "ip", "mac", "uuid",
         "organization_id", "organization_name", "location_id", "location_name", "hostgroup_id", "hostgroup_title",
         "owner_id", "owner_name", "owner_type", "model_name", "operatingsystem_name", "architecture_name",
         "compute_resource_id", "compute_resource_name")
_KEPT_OF_FACETS = {
    "subscription_facet_attributes": ("uuid", "last_checkin", "registered_at", "release_version", "service_level",
                                      "purpose_role", "purpose_usage", "activation_keys"),
    "content_facet_attributes": ("content_view", "lifecycle_environment", "content_view_environments",
                                 "content_source_name")}
NOT_KEPT = "(not kept)"     # stands for the value of a parameter that may be a secret


def _snapshot(body: Mapping[str, Any], parameters_shown: bool) -> dict[str, Any]:
    """What is needed to make the entry again.  Chosen by name: what is not known to be harmless stays out.

    `parameters` is None where this login is not shown any.
    """
    kept: dict[str, Any] = {name: body[name] for name in _KEPT if name in body}
    for facet, names in _KEPT_OF_FACETS.items():
        if isinstance(body.get(facet), dict):
            kept[facet] = {name: body[facet][name] for name in names if name in body[facet]}
    kept["host_collections"] = [one.get("name") for one in body.get("host_collections") or []]
    kept["parameters"] = {
        each["name"]: each.get("value") if _may_be_kept(each) else NOT_KEPT
        for each in body.get("parameters") or []} if parameters_shown else None
    return kept


def _may_be_kept(parameter: Mapping[str, Any]) -> bool:
    return not parameter.get("hidden_value?") and is_harmless(parameter["name"], parameter.get("value"))


def quoted(text: str) -> str:
    """A value for Satellite's search language."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# What stands at the end of a time, in any of the three forms.
_ZONE = re.compile(r" ?UTC$|Z$| ?([+-]\d\d):?(\d\d)$")


def moment(text: object) -> Optional[datetime]:
    """A time as any of Foreman's answers print it, aware; None where there is none.

    Lists say `2022-11-03 11:43:54 UTC`, older servers `2016-05-26 10:46:18 -0400`, DELETE
    `2022-11-25T11:51:59.179Z`.  Raises SatelliteError for a text that is none of these.
    """
    if text is None or text == "":
        return None
    zone = "+00:00" if str(text).endswith(("UTC", "Z")) else r"\1:\2"
    try:
        when = datetime.fromisoformat(_ZONE.sub(zone, str(text)))
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise SatelliteError(f"a time that cannot be read: {str(text)[:40]!r}")
    return when


def _parsed(response: requests.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def _message(body: Any) -> str:
    """What an error body says; four shapes of it are known (measured)."""
    error = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(error, dict):
        messages = error.get("full_messages")
        details = error.get("details") or ("; ".join(map(str, messages)) if isinstance(messages, list) else "")
        return " ".join(str(details or error.get("message") or "").split())[:300]
    return str(error or "")[:300]


def _gist(error: BaseException) -> str:
    """The innermost cause, in a line."""
    while error.args and isinstance(getattr(error.args[0], "reason", error.args[0]), BaseException):
        error = getattr(error.args[0], "reason", error.args[0])
    return " ".join(str(error).split())[:200] or type(error).__name__
