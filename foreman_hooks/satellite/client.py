"""Speak to Satellite's API (Foreman's, with or without Katello): requests, pages, checks.

This is version 2 of /api/..., in JSON and English, as hammer uses it.

The server does not validate requests: it ignores a misspelt parameter, a malformed search can match
nothing or everything, and a role that may see nothing gets 200 and an empty list (all measured on
Foreman 3.12).  So the shape of every 2xx body is checked here, and a response that is short or
unexpected is an error, never a result.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, NoReturn, Optional, Union
from urllib.parse import urlencode

import requests
import requests.auth
from urllib3.exceptions import HTTPError

from foreman_hooks.osp_checker import Manners
from foreman_hooks.osp_checker.pace import TRIES, retry_in, wait
from foreman_hooks.osp_checker.session import heed_environment
from foreman_hooks.satellite.connection import shorten, why
from foreman_hooks.satellite.errors import (
    SatelliteBroken,
    SatelliteError,
    SatelliteFault,
    SatelliteForbidden,
    SatelliteInvalid,
    SatelliteLoginError,
    SatelliteRefused,
    SatelliteUnreachable,
)
from foreman_hooks.satellite.response import (
    JsonObject,
    describe_flaw,
    error_message,
    missing_permissions,
    parse_json,
    redirect_advice,
)

log = logging.getLogger(__name__)

MANNERS = Manners(workers=4)
# Rows a page: not every list understands "all", and there is no maximum.
MANY = 10_000_000
MAX_ID = 2**31 - 1  # Foreman's ids are 32-bit integers
# Seconds to connect, and to wait for data (hammer's request_timeout).
TIMEOUT = (10.0, 120.0)
CLOCK_SKEW = timedelta(minutes=5)
_HEADERS = {"Accept": "application/json;version=2", "Accept-Language": "en"}
_REFUSALS = (400, 404, 409, 410, 422)


class About(NamedTuple):
    """The versions of Foreman and of Katello; `katello` is None without Katello."""

    version: str
    katello: Optional[str]


@dataclass(frozen=True)
class Login:
    """The address of Satellite, and a user's login.

    `verify`: the path of a CA file, True for the system's CAs, False for no check.
    """

    url: str
    username: str
    password: str
    verify: Union[bool, str] = True

    def __repr__(self) -> str:
        return f"Login({self.url}, {self.username})"  # never the password


class _Session(requests.Session):
    """A session that never looks at the Location of a redirect.

    requests parses it, and fails on a bad one, even with allow_redirects=False.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, so that nothing is followed."""


class Satellite:
    """One Satellite, used with one login.

    `check_clock`: whether to raise SatelliteError if the clocks differ by more than CLOCK_SKEW.
    `clock_offset`: how far Satellite's clock is ahead of ours, by the latest response; None if it
    is not known.
    """

    def __init__(self, login: Login, manners: Manners = MANNERS) -> None:
        self.url = login.url.rstrip("/")
        self.username = login.username
        self.manners = manners
        self.check_clock = True
        self.clock_offset: Optional[timedelta] = None
        self._session = _Session()
        self._session.headers.update(_HEADERS)
        # As bytes, because requests sends text as Latin-1.
        self._session.auth = requests.auth.HTTPBasicAuth(
            login.username.encode(), login.password.encode()
        )
        # Passed with each request: otherwise REQUESTS_CA_BUNDLE would win over our own file.
        self._verify = heed_environment(self._session, login.verify)
        self._login_refused = False
        self._about: Optional[About] = None
        self._permissions: Optional[frozenset[str]] = None

    # The versions, and what this login may do

    def about(self) -> About:
        """The versions of Foreman and Katello; requested once.  Raises SatelliteError."""
        if self._about is None:
            version = self.get("/api/status").get("version")
            if not isinstance(version, str):
                self.raise_unexpected("/api/status", "no version")
            self._about = About(version, self._katello_version())
        return self._about

    @property
    def katello(self) -> bool:
        """Whether Katello is installed: if so, hosts have RHSM facts and check in."""
        return self.about().katello is not None

    def _katello_version(self) -> Optional[str]:
        """The version that Katello's own status route returns; None on a plain Foreman.

        A single 404 must not decide this (there may be a proxy, or a plugin that is not loaded), so
        hosts and facts must not show traces of Katello.
        """
        path = "/katello/api/status"
        try:
            version = self.get(path).get("version")
        except SatelliteRefused as refusal:
            if not refusal.no_route:
                raise
            self._check_traces_of_katello()
            return None
        if not isinstance(version, str) or not version:
            self.raise_unexpected(path, "no version")
        return version

    def _check_traces_of_katello(self) -> None:
        """Raise SatelliteError if a host or a fact shows that Katello is installed after all."""
        page = self.page("/api/fact_values", dict, search="origin ~ Rhsm", per_page=1)
        hosts = self._sample_of_hosts()
        if page["results"] or any(
            "subscription_facet_attributes" in host for host in hosts
        ):
            raise SatelliteError(
                f"{self.url}: /katello/api/status says that Katello is not installed, but hosts "
                "have its facts or registrations; check the Katello plugin, or a proxy in between"
            )

    def _sample_of_hosts(self) -> list[JsonObject]:
        """The newest host, or the oldest if Satellite cannot show the newest; empty without any."""
        try:
            page = self.page("/api/hosts", list, order="id DESC", per_page=1)
        except SatelliteFault:
            page = self.page("/api/hosts", list, order="id ASC", per_page=1)
        return page["results"]

    def has_permission(self, name: str) -> bool:
        """Whether this login has a permission at all (a filter of its role may narrow it).

        The permissions are requested once; `own_permissions` requests them again.  Raises
        SatelliteError.
        """
        permissions = self._permissions
        if permissions is None:
            permissions = self.own_permissions()
        return name in permissions

    def own_permissions(self) -> frozenset[str]:
        """The names of all permissions that this login has now; raises SatelliteError."""
        path = "/api/permissions/current_permissions"
        permissions: Any = self.get(path).get("results")
        if not is_list_of_objects(permissions):
            self.raise_unexpected(path, "no list")
        self._permissions = frozenset(
            str(permission.get("name")) for permission in permissions
        )
        return self._permissions

    # Requests

    def listing(self, path: str, **query: Any) -> list[JsonObject]:
        """The results of a list that fits on one page: JSON objects.  Raises SatelliteError."""
        body = self.page(path, list, **query)
        results, announced = body["results"], body.get("subtotal")
        if len(results) != announced:
            self.raise_unexpected(
                path, f"{len(results)} results where {announced} were announced"
            )
        return results

    def page(self, path: str, kind: type, **query: Any) -> JsonObject:
        """The body of one page of a list, whose `results` are of type `kind` (list or dict).

        `query` must have per_page.  Raises SatelliteError.
        """
        body = self.get(path, **query)
        results: Any = body.get("results")
        if not isinstance(results, kind) or body.get("per_page") != query["per_page"]:
            self.raise_unexpected(path, "no list")
        entries: Any = results
        if isinstance(results, dict):
            entries = list(results.values())
        if not is_list_of_objects(entries):
            self.raise_unexpected(path, "an entry that is not an object")
        if path == "/api/hosts" and not all(map(is_host, entries)):
            self.raise_unexpected(path, "an entry that is not a host")
        return body

    def get(self, path: str, **query: Any) -> JsonObject:
        """The JSON object that a GET returns; raises SatelliteError."""
        return self.call("GET", path, params=query)

    def call(self, method: str, path: str, **body: Any) -> JsonObject:
        """Send one request and return the JSON object in its 2xx response.

        `body`: `params` (a mapping) or `json`, as requests takes them.  Raises the SatelliteError
        that fits what went wrong.
        """
        # 30 failures lock out all logins from this address for minutes.
        if self._login_refused:
            raise SatelliteLoginError(
                f"{self.url}: the login of {self.username} was refused before"
            )
        try:
            response = self._send(method, path, body)
        # HTTPError is of urllib3: requests lets some of them pass.
        except (OSError, HTTPError, UnicodeError) as error:
            raise SatelliteUnreachable(f"{self.url}: {why(error)}") from error
        log.debug("%s %s: %s", method, path, response.status_code)
        value = self._check_response(method, path, response)
        self._check_clock(response)
        self._check_organization(path, body.get("params", {}), response)
        return value

    def _send(self, method: str, path: str, body: JsonObject) -> requests.Response:
        """Send one request; only a GET is sent again if Satellite asks us to wait."""
        arguments = dict(body)
        # Commas stay as they are, so that a list of ids is short enough for a URL.
        if "params" in body:
            arguments["params"] = urlencode(body["params"], safe=",:")
        for attempt in range(1, TRIES + 1):
            response = self._session.request(
                method,
                self.url + path,
                timeout=TIMEOUT,
                verify=self._verify,
                allow_redirects=False,
                **arguments,
            )
            seconds = retry_in(response, attempt) if method == "GET" else None
            wait(seconds or self.manners.pause)
            if seconds is None:
                break
        return response

    # Checks of a response

    def _check_response(
        self,
        method: str,
        path: str,
        response: requests.Response,
    ) -> JsonObject:
        """The JSON object in a response; raises SatelliteError for anything else."""
        status = response.status_code
        if 300 <= status < 400:
            advice = redirect_advice(self.url, path, response.headers.get("Location"))
            raise SatelliteError(f"{self.url}: {method} {path} is redirected{advice}")
        flaw = ""
        try:
            value = parse_json(response.content)
        except (ValueError, RecursionError) as error:
            value, flaw = None, describe_flaw(error)
        if not 200 <= status < 300:
            message = error_message(value, response.request)
            self._raise_failure(method, path, status, value, message)
        if not isinstance(value, dict):
            self.raise_unexpected(path, f"a {status} that is not a JSON object{flaw}")
        if "error" in value:
            self.raise_unexpected(path, f"a {status} with an error in it")
        return value

    def _raise_failure(
        self,
        method: str,
        path: str,
        status: int,
        body: Any,
        message: str,
    ) -> NoReturn:
        """Raise the SatelliteError for an error status; `message`: that of the body."""
        where = f"{self.url}: {method} {path} returned {status}"
        if status == 401:
            self._login_refused = True
            reason = f" ({message})" if message else ""
            raise SatelliteLoginError(
                f"{self.url}: the login of {self.username} was refused{reason}; "
                "check user and password or token"
            )
        if status == 403:
            reason = message or "forbidden (a wrong host name in the URL?)"
            raise SatelliteForbidden(f"{where}: {reason}", missing_permissions(body))
        if isinstance(body, dict) and status in _REFUSALS:
            is_change = method in ("POST", "PUT")
            refusal = (
                SatelliteInvalid if status == 422 and is_change else SatelliteRefused
            )
            raise refusal(status, f"{where}: {message}", body)
        if isinstance(body, dict) and status == 500 and message:
            raise SatelliteFault(f"{where}: {message}")
        if not message:
            message = "no JSON (a proxy, or Satellite is starting?)"
            if status == 400 and self.url.startswith("http://"):
                message = "no JSON (is https:// needed in satellite.url?)"
        raise SatelliteBroken(f"{where}: {message}")

    def raise_unexpected(self, path: str, what: str) -> NoReturn:
        """Raise SatelliteError for an invalid 2xx response: `path` returned `what`."""
        raise SatelliteError(
            f"{self.url}: {path} returned {shorten(what)}; "
            "is this a Satellite, and does the role see all hosts?"
        )

    def _check_clock(self, response: requests.Response) -> None:
        """Raise SatelliteError if the clocks differ: every machine might look silent."""
        try:
            date = parsedate_to_datetime(response.headers.get("Date", ""))
            if date.tzinfo is None:
                date = date.replace(tzinfo=timezone.utc)
            self.clock_offset = date - datetime.now(timezone.utc)
        except (TypeError, ValueError, OverflowError):
            return
        difference = abs(self.clock_offset)
        if self.check_clock and difference > CLOCK_SKEW:
            minutes = difference.total_seconds() / 60
            raise SatelliteError(
                f"{self.url}: its clock and ours are {minutes:.0f} minutes apart, so silence and "
                "grace periods cannot be measured; synchronise both (chrony)"
            )

    def _check_organization(
        self,
        path: str,
        query: JsonObject,
        response: requests.Response,
    ) -> None:
        """Raise SatelliteError if the response is about another organization than requested."""
        requested = query.get("organization_id")
        current = response.headers.get("Foreman_current_organization")
        if requested is None or not current:
            return
        if not current.startswith(f"{requested};"):
            what = f"organization {current!r} where {requested} was requested"
            self.raise_unexpected(path, what)


def quoted(text: str) -> str:
    """A text as a quoted value of Satellite's search language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def is_list_of_objects(value: Any) -> bool:
    """Whether a JSON value is a list of objects only."""
    return isinstance(value, list) and set(map(type, value)) <= {dict}


def is_host(body: JsonObject) -> bool:
    """Whether a JSON object has the id and the name of a host."""
    number = body.get("id")
    if type(number) is not int or not 0 < number <= MAX_ID:
        return False
    return isinstance(body.get("name"), str)
