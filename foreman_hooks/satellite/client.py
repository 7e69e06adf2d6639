"""Satellite's API (Foreman's, with or without Katello) as hammer speaks it: /api/..., version 2,
JSON, English.

The server does not validate what it is asked: a misspelt parameter is ignored, a malformed search
can match nothing or everything, a role that may see nothing answers 200 and an empty list (all
measured on Foreman 3.12). So every 2xx body is checked here for its shape, and an answer that is
short or odd is an error, never a result.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, NoReturn, Optional, TypeVar, Union
from urllib.parse import urlencode, urljoin, urlsplit

import requests
import requests.auth
from urllib3.exceptions import HTTPError

from foreman_hooks.osp_checker.pace import PATIENCE, TRIES, Manners, retry_after, wait
from foreman_hooks.osp_checker.session import CLOCK_SKEW, heed_environment
from foreman_hooks.rules.model import Record
from foreman_hooks.satellite.connection import shorten, why
from foreman_hooks.satellite.harmless import is_harmless

log = logging.getLogger(__name__)

MANY = 10_000_000  # rows in one page: "all" is not understood everywhere, and there is no maximum
MANNERS = Manners(workers=4)
RECENT = 20  # hosts that checked in lately: enough to show that check-ins arrive
FAILURES = (
    3  # different hosts in a row at which Satellite fails: then it is not a matter of one host
)
MANY_REPORTS = 10_000  # in one page: more than Satellite keeps of one host
FULL_PAGE = 100  # whole records in one page: each costs Satellite 12 to 15 ms (measured)
TIMEOUT = (10.0, 120.0)  # seconds to connect, and for an answer (hammer's request_timeout)
_DESTROYS = "destroy_vm_on_host_delete"
_HEADERS = {"Accept": "application/json;version=2", "Accept-Language": "en"}
_Key = TypeVar("_Key", int, str)


class SatelliteError(Exception):
    """Satellite could not be reached, or its answer made no sense.

    SatelliteError
      +- SatelliteUnreachable   no connection, or the answer broke off
      +- SatelliteLoginError    401: wrong user, password or token; never tried twice
      +- SatelliteForbidden     403, or a role that sees nothing
      +- SatelliteRefused       a well-formed refusal of one request (400, 404, 409, 410, 422)
           +- SatelliteInvalid  422 to a change: what it was sent is not accepted, such as a name that is taken
      +- SatelliteFault         Satellite itself fails at one request (500 with its own words)
      +- SatelliteBroken        something before Satellite, or one that is starting, answers for it (502, 504)
      +- SatelliteNotFound      no host or organization of that name
      +- SatelliteChanged       the host is not any more what it was a moment ago
      +- SatelliteUnclear       nobody knows whether a deletion was carried out
    """

    exit_code = 69


class SatelliteUnreachable(SatelliteError):
    """There is no connection to Satellite, or its answer broke off."""


class SatelliteLoginError(SatelliteError):
    """Satellite refused the log-in."""

    exit_code = 129


class SatelliteForbidden(SatelliteError):
    """The login works but its role lacks a permission, an organization or a location.

    `missing` are the permissions of which any would do, as Satellite names them; empty where it
    names none.
    """

    exit_code = 77

    def __init__(self, message: str, missing: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.missing = tuple(missing)


class SatelliteRefused(SatelliteError):
    """Satellite refused one request with a reason.

    A 404 has three shapes that must not be mixed up: `no_resource` (no such host, or out of sight),
    `no_route` (the plugin is not there), and neither (the organization asked for is not visible).
    """

    def __init__(self, status: int, message: str, body: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.no_resource = status == 404 and isinstance(body.get("error"), dict)
        self.no_route = status == 404 and isinstance(body.get("error"), str)


class SatelliteInvalid(SatelliteRefused):
    """Satellite does not accept what it was sent (422)."""

    exit_code = 65


class SatelliteFault(SatelliteError):
    """Satellite answered one request with a 500 of its own: that request failed, others need not."""


class SatelliteBroken(SatelliteError):
    """An error status without Satellite's own words: a proxy's, or of a Satellite that is starting."""


class SatelliteChanged(SatelliteError):
    """The host is not any more what it was when it was judged; it was not touched."""


class SatelliteUnclear(SatelliteError):
    """A deletion was sent, and no answer tells what became of it: it may still be under way."""


class SatelliteNotFound(SatelliteError):
    """No host or organization of that name is visible."""

    exit_code = 128


# What may be a matter of one host in the answer, and none of the whole server.
OF_ONE_REQUEST = (SatelliteFault, SatelliteBroken, SatelliteRefused, SatelliteForbidden)


class About(NamedTuple):
    """What is at the other end; `katello` is its version, None on a Foreman without it."""

    version: str
    katello: Optional[str]


@dataclass(frozen=True)
class Login:
    """Where Satellite is and who asks.  `verify`: a CA file, True for the system's, False for no
    check.
    """

    url: str
    username: str
    password: str
    verify: Union[bool, str] = True

    def __repr__(self) -> str:
        return f"Login({self.url}, {self.username})"  # never the password


class _Session(requests.Session):
    """Looks at no Location of a redirect: requests would parse it, and fail, even where it need not
    follow it.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: there is nothing to follow."""


class Satellite:
    """One Satellite, asked with one login."""

    def __init__(self, login: Login, manners: Manners = MANNERS) -> None:
        self.manners = manners
        self.heeds_clock = True  # raise where the clocks are apart
        self.clock_offset: Optional[timedelta] = (
            None  # Satellite's clock less ours, by its latest answer
        )
        self.url = login.url.rstrip("/")
        self._session = _Session()
        self._session.headers.update(_HEADERS)
        # bytes, since requests would send a text as Latin-1
        self._session.auth = requests.auth.HTTPBasicAuth(
            login.username.encode(), login.password.encode()
        )
        # given with each request: REQUESTS_CA_BUNDLE would win over a file of ours otherwise
        self._verify = heed_environment(self._session, login.verify)
        self._username = login.username
        self._refused = False
        self._about: Optional[About] = None
        self._permissions: Optional[frozenset[str]] = None

    # What is asked

    def about(self) -> About:
        """Versions of Foreman and Katello; asked once.

        Katello is found out by its own status route, which a plain Foreman does not have.  One odd
        answer to that must not decide (a proxy, a plugin that is not loaded): what Katello leaves
        in hosts and facts contradicts it.
        """
        if self._about is None:
            version = self.get("/api/status").get("version")
            try:
                katello = self.get("/katello/api/status").get("version") or ""
            except SatelliteRefused as refusal:
                if not refusal.no_route:
                    raise
                katello = None
            if not isinstance(version, str) or not (
                katello is None or (isinstance(katello, str) and katello)
            ):
                self.odd("/api/status", "no version")
            if katello is None:
                self._must_be_plain()
            self._about = About(version, katello)
        return self._about

    def _must_be_plain(self) -> None:
        """Raise SatelliteError where a host or a fact shows that Katello is there all the same."""
        facts = self.page("/api/fact_values", dict, search="origin ~ Rhsm", per_page=1)["results"]
        if facts or any("subscription_facet_attributes" in host for host in self._any_hosts()):
            raise SatelliteError(
                f"{self.url}: /katello/api/status says that Katello is not there, but hosts have its "
                "facts or registrations; look at the Katello plugin, or at a proxy in between"
            )

    def _any_hosts(self) -> list[dict[str, Any]]:
        """The newest host or, where Satellite cannot show that, the oldest; none where there is
        none.
        """
        try:
            return self.page("/api/hosts", list, order="id DESC", per_page=1)["results"]
        except SatelliteFault:
            return self.page("/api/hosts", list, order="id ASC", per_page=1)["results"]

    @property
    def katello(self) -> bool:
        """Whether Katello is there: the facts and check-ins of registered machines, not only
        reports.
        """
        return self.about().katello is not None

    def may(self, permission: str) -> bool:
        """Whether this login has a permission at all (filters of its role may narrow it); asked
        once.
        """
        if self._permissions is None:
            self._permissions = self.own_permissions()
        return permission in self._permissions

    def visibility(self) -> dict[str, Any]:
        """How much this login may see now: a 404 says nothing to one that may see less than before.

        `hosts`: how many; `organizations`: which; `permissions`: a digest of their names.
        """
        self._permissions = self.own_permissions()
        names = hashlib.sha256(" ".join(sorted(self._permissions)).encode()).hexdigest()
        return {
            "login": self._username,
            "permissions": names,
            "organizations": sorted(self.organizations()),
            "hosts": self.newest_host()[1],
        }

    def organization_id(self, name: str) -> int:
        """The id of an organization by its exact name; raises SatelliteNotFound where none is
        visible.
        """
        for found in self.listing(
            "/api/organizations", search=f"name = {quoted(name)}", per_page=2
        ):
            if found.get("name") == name and isinstance(found.get("id"), int):
                return found["id"]
        raise SatelliteNotFound(
            f"{self.url}: no organization {name!r} is visible to {self._username}"
        )

    def organizations(self) -> list[str]:
        """The names of the organizations that this login sees; none where it lacks
        view_organizations.
        """
        try:
            return [
                str(one.get("name")) for one in self.listing("/api/organizations", per_page=MANY)
            ]
        except SatelliteForbidden:
            return []

    def id_of(self, kind: str, field: str, value: str) -> Optional[int]:
        """The id of what is called so: `kind` as the API names it (organizations, locations,
        hostgroups).

        None where there is none or this login may not look.
        """
        try:
            found = self.listing(f"/api/{kind}", search=f"{field} = {quoted(value)}", per_page=2)
        except (SatelliteForbidden, SatelliteRefused):
            return None
        return next(
            (
                one["id"]
                for one in found
                if one.get(field) == value and isinstance(one.get("id"), int)
            ),
            None,
        )

    def newest_host(self) -> tuple[int, int]:
        """The highest host id and the number of hosts visible; raises SatelliteForbidden where none
        is.

        Not with `thin`: a thin list is sorted by name, whatever `order` says (hosts_controller,
        reorder(:name)).
        """
        try:
            body = self.page("/api/hosts", list, order="id DESC", per_page=1)
        except OF_ONE_REQUEST:
            return self._newest_by_counting()
        if not body["results"]:
            raise SatelliteForbidden(
                f"{self.url}: {self._username} sees no host at all; it needs view_hosts and "
                "membership of the hosts' organizations and locations"
            )
        highest, total = body["results"][0]["id"], body.get("total")
        if not isinstance(total, int) or highest < total:
            self.odd("/api/hosts", f"{total} hosts and a highest id of {highest}")
        return highest, total

    def _newest_by_counting(self) -> tuple[int, int]:
        """The same by some 40 counts, where the newest record cannot be shown."""
        total = self.page("/api/hosts", list, thin="true", per_page=1).get("total")
        low, high = 0, 1
        while self._count(f"id > {high}"):
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._count(f"id > {middle}") else (low, middle)
        if type(total) is not int or not 0 < total <= high:
            self.odd("/api/hosts", f"{total} hosts and a highest id of {high}")
        return high, total

    def count_hosts(self, highest: int) -> int:
        """How many hosts with an id up to `highest` are visible."""
        return self._count(f"id <= {highest}")

    def _count(self, search: str) -> int:
        subtotal = self.page("/api/hosts", list, thin="true", per_page=1, search=search).get(
            "subtotal"
        )
        if type(subtotal) is not int:
            self.odd("/api/hosts", "a list without a subtotal")
        return subtotal

    def thin_hosts(
        self, low: int, high: int, search: str = "", organization: Optional[int] = None
    ) -> dict[str, int]:
        """Name -> id of the hosts with low < id <= high, of those that match `search` and are in
        `organization`.

        As many as Satellite announces, or it is an error.
        """
        window = f"id > {low} and id <= {high}"
        narrow = {} if organization is None else {"organization_id": organization}
        body = self.page(
            "/api/hosts",
            list,
            thin="true",
            per_page=high - low + 1,
            search=f"({search}) and {window}" if search else window,
            **narrow,
        )
        names = {host["name"]: host["id"] for host in body["results"]}
        ids = {host_id for host_id in names.values() if low < host_id <= high}
        if not len(ids) == len(names) == len(body["results"]) == body.get("subtotal"):
            self.odd(
                "/api/hosts",
                f"{len(ids)} hosts in {window} where {body.get('subtotal')} were announced",
            )
        return names

    def find_host(self, text: str) -> tuple[int, str]:
        """Id and name of a host, given its exact name or its id; raises SatelliteNotFound.

        The name first, as Foreman does: a host may be *named* like another's id.
        """
        name = text.lower()
        by_id = re.fullmatch(r"[0-9]+", text)
        search = f"name = {quoted(name)}" + (f" or id = {text}" if by_id else "")
        hosts = self.listing("/api/hosts", search=search, thin="true", per_page=2)
        for host in sorted(hosts, key=lambda host: host["name"] != name):
            if host["name"] == name or (by_id and str(host["id"]) == text):
                return host["id"], host["name"]
        raise SatelliteNotFound(f"{self.url}: no host {text!r} is visible to {self._username}")

    def record(self, host_id: int) -> Optional[Record]:
        """The record with that id; None where Satellite shows none (gone, or out of sight: it looks
        the same).

        Also None where a host *named* like that number stands before it.
        """
        body = self._host(host_id)
        if body is None:
            return None
        record = read_record(body, self.katello, self.url, parameters_shown=self.may("view_params"))
        return record if record.id == host_id else None

    def records(self, host_ids: Sequence[int]) -> dict[int, Union[Record, str]]:
        """Those of these records that Satellite shows, by id; a text says why that one cannot be
        read.
        """
        return self._records_by("id", host_ids, str, FULL_PAGE)

    def records_named(self, names: Sequence[str]) -> dict[str, Union[Record, str]]:
        """The same by name; a name without a host is not in the result."""
        return self._records_by("name", names, quoted, FULL_PAGE // 4)

    def _records_by(
        self, field: str, wanted: Sequence[_Key], written: Callable[[_Key], str], size: int
    ) -> dict[_Key, Union[Record, str]]:
        """Whole records by their id or name, at most `size` in one request."""

        def ask(some: Sequence[_Key]) -> dict[_Key, Union[Record, str]]:
            bodies = self._whole_hosts(field, f"{field} ^ ({','.join(map(written, some))})")
            if not bodies.keys() <= set(some):
                self.odd("/api/hosts", "other hosts than were asked for")
            return {key: self._read(body) for key, body in bodies.items()}

        def spoilt(key: _Key, error: SatelliteError) -> dict[_Key, Union[Record, str]]:
            return {key: str(error)}

        answers: dict[_Key, Union[Record, str]] = {}
        for part in in_parts(wanted, ask, spoilt, size):
            answers.update(part)
        return answers

    def _whole_hosts(self, field: str, search: str) -> dict[Any, dict[str, Any]]:
        """Whole hosts by that field.  An entry without it could be any host of them:
        SatelliteFault, as for a 500.
        """
        path = "/api/hosts"
        body = self.get(path, search=search, per_page=FULL_PAGE, **{"include[]": "all_parameters"})
        results = body.get("results")
        if (
            not isinstance(results, list)
            or len(results) != body.get("subtotal")
            or body.get("per_page") != FULL_PAGE
        ):
            self.odd(path, "no list, or fewer hosts than it announced")
        kind = int if field == "id" else str
        if not all(isinstance(entry, dict) and type(entry.get(field)) is kind for entry in results):
            raise SatelliteFault(f"{self.url}: {path} shows a host without {field}")
        bodies = {entry[field]: entry for entry in results}
        if len(bodies) < len(results):
            self.odd(path, "the same host twice")
        return bodies

    def _read(self, body: Mapping[str, Any]) -> Union[Record, str]:
        try:
            return read_record(
                body, self.katello, self.url, parameters_shown=self.may("view_params")
            )
        except SatelliteError as error:
            return str(error)

    def _recent_by_record(self, search: str, since: datetime) -> set[int]:
        """The ids of such hosts, from records that are read in parts, so that one of them spoils no
        other.
        """
        hosts = self.page("/api/hosts", list, search=search, thin="true", per_page=RECENT)[
            "results"
        ]
        records = self.records([host["id"] for host in hosts]).values()
        return {
            record.id
            for record in records
            if isinstance(record, Record) and record.contact and record.contact > since
        }

    def recent_checkins(self, since: datetime) -> set[int]:
        """The ids of some hosts that checked in (without Katello: reported) after that time."""
        field = "last_checkin" if self.katello else "last_report"
        at = since.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
        search = f'{field} > "{at}"'
        try:
            bodies = self.page(
                "/api/hosts", list, search=search, order=f"{field} DESC", per_page=RECENT
            )["results"]
        except (SatelliteLoginError, SatelliteUnreachable):
            raise
        except SatelliteError:  # Satellite may be unable to show one of them
            return self._recent_by_record(search, since)
        recent = set()
        for (
            body
        ) in bodies:  # compared here again: a date that Satellite cannot read matches every host
            facet = body.get("subscription_facet_attributes") if self.katello else body
            with suppress(SatelliteError):
                when = moment(facet.get(field)) if isinstance(facet, dict) else None
                recent |= {body["id"]} if when and when > since else set()
        return recent

    def reports_failed(self, record: Record, since: datetime) -> bool:
        """Whether every report of that host after `since` failed as a whole; False where that
        cannot be known.

        Ansible's callback reports hosts that it could not reach as well, and Foreman takes the time
        of any report for last_report (config_report_importer.rb).  So an older report may be the
        sign of life.
        """
        at = since.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
        search = f'host_id = {record.id} and reported > "{at}"'
        try:
            reports = self.listing("/api/config_reports", search=search, per_page=MANY_REPORTS)
            times = [moment(report.get("reported_at")) for report in reports]
        except (SatelliteLoginError, SatelliteUnreachable):
            raise
        except SatelliteError:  # a matter of this host: its reports count, and it stays
            return False
        newest = max((when for when in times if when), default=None)
        if newest is None or record.last_report is None or newest < record.last_report - CLOCK_SKEW:
            return False
        return all(report.get("host_id") == record.id and _failed(report) for report in reports)

    def is_gone(self, host_id: int) -> bool:
        """Whether that host is a 404: only to a login that could read it before does that mean
        "deleted".

        Raises SatelliteError, also where another host is shown, unless it is one *named* like that
        number.
        """
        body = self._host(host_id)
        if body is not None and body.get("id") != host_id and body.get("name") != str(host_id):
            self.odd(f"/api/hosts/{host_id}", f"host {body.get('id')}")
        return body is None

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
        value = self._setting(_DESTROYS)
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

    def has_remote_execution(self) -> bool:
        """Whether there are job templates at all; without the plugin no permission of it exists
        either.
        """
        try:
            self.page("/api/job_templates", list, per_page=1)
        except SatelliteForbidden:  # it is there, for others
            return True
        except SatelliteRefused as refusal:
            if not refusal.no_route:
                raise
            return False
        return True

    def failing_services(self) -> dict[str, str]:
        """Katello's backend services that are not well, each with what Katello says of it; no
        permission is needed.

        A deletion of a registered host asks Candlepin first, and is a 500 where that does not
        answer.
        """
        path = "/katello/api/ping"
        if not self.katello:
            return {}
        services = self.get(path).get("services")
        if not isinstance(services, dict) or not all(
            isinstance(one, dict) for one in services.values()
        ):
            self.odd(path, "no services")
        return {
            name: shorten(one.get("message") or one.get("status") or "no status", 120)
            for name, one in services.items()
            if one.get("status") != "ok"
        }

    def excluded_facts(self) -> Optional[tuple[str, ...]]:
        """The patterns of the setting excluded_facts; None where it cannot be read."""
        value = self._setting("excluded_facts")
        return tuple(map(str, value)) if isinstance(value, list) else None

    def has_fact(self, names: Sequence[str], rhsm: bool) -> bool:
        """Whether any host that this login sees has one of these facts, from RHSM or from all other
        sources.
        """
        rows: dict[str, dict[str, Any]] = self.page(
            "/api/fact_values",
            dict,
            order="host_id ASC",
            per_page=1,
            search=f"fact ^ ({','.join(names)}) and origin {'~' if rhsm else '!~'} Rhsm",
        )["results"]
        return any(rows.values())

    def _setting(self, name: str) -> Any:
        """The value of a setting; None where it cannot be read."""
        try:
            settings = self.listing("/api/settings", search=f"name = {name}", per_page=2)
        except (SatelliteForbidden, SatelliteRefused):
            return None
        return settings[0].get("value") if [one.get("name") for one in settings] == [name] else None

    # What is changed

    def disassociate(self, record: Record) -> None:
        """Cut the link to the compute resource, so that deleting the record can never destroy the
        VM.
        """
        self.confirm(record)
        self.call("PUT", f"/api/hosts/{record.id}/disassociate", json={})

    def confirm(self, record: Record) -> None:
        """The last look: raise SatelliteChanged unless Satellite still shows that very record,
        unchanged.
        """
        now = self.record(record.id)
        if now is None:
            raise SatelliteChanged(f"host {record.id} ({record.name}) is not there any more")
        changed = _changes(record, now)
        if changed:
            raise SatelliteChanged(
                f"host {record.id} ({record.name}) is not what it was a moment ago: "
                f"{', '.join(changed)} changed"
            )

    def delete(self, record: Record) -> bool:
        """Delete the record with that id, which `confirm` has just seen; whether it is gone.

        The numeric id only: a *name* of digits can be taken for the id of another host (measured).
        A 200 proves nothing, Katello answers it whether the host went or not: gone is a 404 to the
        login that could read the record a moment before.  Raises SatelliteUnclear where no answer
        tells; any other SatelliteError: it was not deleted.
        """
        problem: Optional[SatelliteError] = None
        try:
            answer = self.call("DELETE", f"/api/hosts/{record.id}")
            if answer.get("id") not in (None, record.id):
                problem = SatelliteUnclear(
                    f"{self.url}: the DELETE of host {record.id} met host {answer.get('id')}; "
                    "look at it at once"
                )
        except (SatelliteLoginError, SatelliteForbidden):
            raise
        except SatelliteError as error:
            problem = error
        try:
            gone = self.is_gone(record.id)
        except SatelliteError as error:
            raise SatelliteUnclear(
                f"{problem or 'the DELETE was answered'}; looking for it then: {error}"
            ) from error
        if gone or problem is None:
            return gone
        if isinstance(
            problem, (SatelliteRefused, SatelliteFault)
        ):  # Satellite's own word: nothing was done
            raise problem
        raise SatelliteUnclear(
            f"{problem}; the record is still there, the deletion may be under way"
        ) from problem

    def create_host(self, attributes: Mapping[str, Any]) -> int:
        """Make a host entry that nothing provisions; its id.  Raises SatelliteRefused where the
        name is taken.
        """
        body = self.call(
            "POST",
            "/api/hosts",
            json={"host": {**attributes, "managed": False, "build": False, "overwrite": False}},
        )
        if not _is_host(body) or body["name"] != attributes["name"]:
            self.odd("/api/hosts", "something else than the host that was to be made")
        return body["id"]

    # How it is asked

    def listing(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """The results of a list that fits in one page, each checked to be an object."""
        body = self.page(path, list, **query)
        if len(body["results"]) != body.get("subtotal"):
            self.odd(
                path, f"{len(body['results'])} results where {body.get('subtotal')} were announced"
            )
        return body["results"]

    def page(self, path: str, kind: type, **query: Any) -> dict[str, Any]:
        """The body of a list whose `results` are of that type."""
        body = self.get(path, **query)
        results: Any = body.get("results")
        if not isinstance(results, kind) or body.get("per_page") != query["per_page"]:
            self.odd(path, "no list")
        entries: Any = results.values() if isinstance(results, dict) else results
        if not all(isinstance(entry, dict) for entry in entries) or (
            path == "/api/hosts" and not all(map(_is_host, entries))
        ):
            self.odd(path, "an entry that is none")
        return body

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """The object that a GET answers; raises SatelliteError."""
        return self.call("GET", path, params=query)

    def call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """One request; the parsed object of a 2xx, or the SatelliteError that names what went
        wrong.
        """
        if self._refused:  # 30 failures lock out every login from this address for minutes
            raise SatelliteLoginError(
                f"{self.url}: the log-in of {self._username} was refused before"
            )
        try:
            response = self._patiently(method, path, **body)
        except (
            OSError,
            HTTPError,
            UnicodeError,
        ) as error:  # requests' own errors, and those it lets pass
            raise SatelliteUnreachable(f"{self.url}: {why(error)}") from error
        log.debug("%s %s: %s", method, path, response.status_code)
        if 300 <= response.status_code < 400:
            raise SatelliteError(
                f"{self.url}: {method} {path} is redirected"
                f"{_new_address(self.url, path, response.headers.get('Location'))}"
            )
        try:
            parsed, flaw = _parsed(response.content), ""
        except (ValueError, RecursionError) as error:
            parsed, flaw = None, _flaw(error)
        if not 200 <= response.status_code < 300:
            self._fail(method, path, response, parsed)
        if not isinstance(parsed, dict) or "error" in parsed:
            self.odd(
                path,
                f"a {response.status_code} that is no JSON object{flaw}"
                if not isinstance(parsed, dict)
                else f"a {response.status_code} with an error in it",
            )
        self._check_clock(response)
        self._check_organization(path, body.get("params", {}), response)
        return parsed

    def _patiently(self, method: str, path: str, **body: Any) -> requests.Response:
        """One request; a question is put again where Satellite asks for patience, a change never
        is.
        """
        if "params" in body:  # lists of ids stay short enough only with their commas as they are
            body["params"] = urlencode(body["params"], safe=",:")
        for attempt in range(1, TRIES + 1):
            response = self._session.request(
                method,
                self.url + path,
                timeout=TIMEOUT,
                verify=self._verify,
                allow_redirects=False,
                **body,
            )
            asked = retry_after(response.status_code, response.headers)
            again = method == "GET" and attempt < TRIES and asked is not None and asked <= PATIENCE
            wait(asked if again and asked else self.manners.pause)
            if not again:
                break
        return response

    def _fail(self, method: str, path: str, response: requests.Response, body: Any) -> NoReturn:
        status, message = response.status_code, _message(body)
        where = f"{self.url}: {method} {path} gave {status}"
        if status == 401:
            self._refused = True
            raise SatelliteLoginError(
                f"{self.url}: the log-in of {self._username} is refused"
                f"{f' ({message})' if message else ''}; check user and password or token"
            )
        if status == 403:
            raise SatelliteForbidden(
                f"{where}: {message or 'forbidden (a wrong host name in the URL?)'}",
                _missing_permissions(body),
            )
        if isinstance(body, dict) and status in (400, 404, 409, 410, 422):
            kind = (
                SatelliteInvalid
                if status == 422 and method in ("POST", "PUT")
                else SatelliteRefused
            )
            raise kind(status, f"{where}: {message}", body)
        if message and isinstance(body, dict) and status == 500:
            raise SatelliteFault(f"{where}: {message}")
        if status == 400 and self.url.startswith("http://"):
            message = message or "no JSON (is https:// needed in satellite.url?)"
        raise SatelliteBroken(
            f"{where}: {message or 'no JSON (a proxy, or Satellite is starting?)'}"
        )

    def odd(self, path: str, what: str) -> NoReturn:
        """Raise SatelliteError for a 2xx that makes no sense."""
        raise SatelliteError(
            f"{self.url}: {path} gave {what}; is this a Satellite, and does the role see all hosts?"
        )

    def _check_clock(self, response: requests.Response) -> None:
        """A clock that jumped makes every machine look silent."""
        try:
            there = parsedate_to_datetime(response.headers.get("Date", ""))
            there = there if there.tzinfo else there.replace(tzinfo=timezone.utc)
            self.clock_offset = there - datetime.now(timezone.utc)
        except (TypeError, ValueError, OverflowError):
            return
        if self.heeds_clock and abs(self.clock_offset) > CLOCK_SKEW:
            apart = abs(self.clock_offset).total_seconds() / 60
            raise SatelliteError(
                f"{self.url}: its clock and ours are {apart:.0f} minutes apart; "
                "nothing can be said of silence and grace, synchronise them"
            )

    def _check_organization(
        self, path: str, query: Mapping[str, Any], response: requests.Response
    ) -> None:
        wanted, told = (
            query.get("organization_id"),
            response.headers.get("Foreman_current_organization"),
        )
        if wanted is not None and told and not told.startswith(f"{wanted};"):
            self.odd(path, f"organization {told!r} where {wanted} was asked for")


def read_record(
    body: Mapping[str, Any],
    katello: bool,
    where: str = "Satellite",
    *,
    parameters_shown: bool = True,
) -> Record:
    """The Record of a GET /api/hosts/:id; raises SatelliteError where the answer is no host.

    `parameters_shown`: whether this login may read parameters at all (without view_params it is
    shown none).
    """
    facet, infrastructure = (
        body.get("subscription_facet_attributes") or {},
        body.get("infrastructure_facet") or {},
    )
    inherited, own, collections = (
        body.get(key) for key in ("all_parameters", "parameters", "host_collections")
    )
    if (
        not _is_host(body)
        or not isinstance(facet, dict)
        or not isinstance(infrastructure, dict)
        or not (
            _is_list_of_named(inherited)
            and all(_is_list_of_named(one) for one in (own, collections) if one)
        )
    ):
        raise SatelliteError(
            f"{where}: the record of host {body.get('name') or body.get('id')} cannot be read"
        )
    if facet and not katello:
        raise SatelliteError(
            f"{where}: host {body['name']} is registered with Katello, which is not there"
        )
    return Record(
        body["id"],
        body["name"],
        consumer=facet.get("uuid"),
        registered=bool(facet.get("uuid")) if katello else True,
        registered_at=moment(facet.get("registered_at")),
        last_report=moment(body.get("last_report")),
        last_checkin=moment(facet.get("last_checkin")),
        facts_at=moment(body.get("last_compile")),
        katello=katello,
        build=body.get("build") is not False,
        hypervisor=bool(facet.get("hypervisor")),
        infrastructure=any(infrastructure.values()),
        compute_resource=_compute_resource(body),
        parameters={one["name"]: str(one.get("value")) for one in inherited or []},
        snapshot=_snapshot(body, parameters_shown),
    )


def _failed(report: Mapping[str, Any]) -> bool:
    """Whether a report failed as a whole: nothing in it went well."""
    counts = report.get("status")
    if not isinstance(counts, dict) or not all(type(count) is int for count in counts.values()):
        return False
    failures = sum(count for name, count in counts.items() if name.startswith("failed"))
    return 0 < failures == sum(counts.values())


def _changes(then: Record, now: Record) -> list[str]:
    """In what two looks at a record differ, in words without values.

    Everything counts that a verdict does: who the machine is, whether it spoke, and what protects
    it or its VM.
    """
    ours = ("report_failed", "snapshot")  # the former is no part of Satellite's answer
    names = (field.name for field in fields(Record) if field.name not in ours)
    return [name.replace("_", " ") for name in names if getattr(then, name) != getattr(now, name)]


def _is_host(body: Mapping[str, Any]) -> bool:
    return type(body.get("id")) is int and isinstance(body.get("name"), str)


def _is_list_of_named(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in value
    )


def _compute_resource(body: Mapping[str, Any]) -> Optional[str]:
    if body.get("compute_resource_id") is None:
        return None
    return str(body.get("compute_resource_name") or body["compute_resource_id"])


_KEPT = (
    "id",
    "name",
    "comment",
    "created_at",
    "last_report",
    "build",
    "managed",
    "enabled",
    "ip",
    "mac",
    "uuid",
    "organization_id",
    "organization_name",
    "location_id",
    "location_name",
    "hostgroup_id",
    "hostgroup_title",
    "owner_id",
    "owner_name",
    "owner_type",
    "model_name",
    "operatingsystem_name",
    "architecture_name",
    "compute_resource_id",
    "compute_resource_name",
)
_KEPT_OF_FACETS = {
    "subscription_facet_attributes": (
        "uuid",
        "last_checkin",
        "registered_at",
        "release_version",
        "service_level",
        "purpose_role",
        "purpose_usage",
        "activation_keys",
    ),
    "content_facet_attributes": (
        "content_view",
        "lifecycle_environment",
        "content_view_environments",
        "content_source_name",
    ),
}
NOT_KEPT = "(not kept)"  # stands for the value of a parameter that may be a secret


def _snapshot(body: Mapping[str, Any], parameters_shown: bool) -> dict[str, Any]:
    """What is needed to make the entry again.  Chosen by name: what is not known to be harmless
    stays out.

    `parameters` is None where this login is not shown any.
    """
    kept: dict[str, Any] = {name: body[name] for name in _KEPT if name in body}
    for facet, names in _KEPT_OF_FACETS.items():
        if isinstance(body.get(facet), dict):
            kept[facet] = {name: body[facet][name] for name in names if name in body[facet]}
    kept["host_collections"] = [one.get("name") for one in body.get("host_collections") or []]
    kept["parameters"] = (
        {
            each["name"]: each.get("value") if _may_be_kept(each) else NOT_KEPT
            for each in body.get("parameters") or []
        }
        if parameters_shown
        else None
    )
    return kept


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_parts(
    items: Sequence[_Item],
    ask: Callable[[Sequence[_Item]], _Result],
    spoilt: Callable[[_Item, SatelliteError], _Result],
    size: int,
) -> Iterator[_Result]:
    """What `ask` answers about all of these, some at a time; a part that Satellite fails at is
    halved.

    So one host that it cannot show spoils nobody else's answer: of that one `spoilt` is the result.
    Several in a row that fail are no matter of a host, and the error is raised.
    """
    in_a_row = 0
    todo = [items[start : start + size] for start in range(0, len(items), size)][::-1]
    while todo:
        part = todo.pop()
        try:
            yield ask(part)
            in_a_row = 0
        except OF_ONE_REQUEST as error:
            if (
                isinstance(error, SatelliteForbidden) and error.missing
            ):  # a permission is no matter of one host
                raise
            if len(part) > 1:
                todo += [part[len(part) // 2 :], part[: len(part) // 2]]
                continue
            in_a_row += 1
            if in_a_row >= FAILURES:
                raise
            yield spoilt(part[0], error)


def _may_be_kept(parameter: Mapping[str, Any]) -> bool:
    return not parameter.get("hidden_value?") and is_harmless(
        parameter["name"], parameter.get("value")
    )


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


def _new_address(url: str, path: str, location: Optional[str]) -> str:
    """What to do about a redirect: the address of a Satellite without the path of one request."""
    try:
        parts = urlsplit(urljoin(url + path, location or ""))
        netloc = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        parts, netloc = urlsplit(""), ""
    base = (
        f"{parts.scheme}://{netloc}{parts.path[: -len(path)] if parts.path.endswith(path) else ''}"
    )
    if not netloc or parts.scheme not in ("http", "https") or base == url:
        return "; is there a proxy or a log-in page before Satellite?"
    return f" to {base}; set satellite.url to that"


def _missing_permissions(body: Any) -> tuple[str, ...]:
    """The permissions that a 403 names."""
    error = body.get("error") if isinstance(body, dict) else None
    names = error.get("missing_permissions") if isinstance(error, dict) else None
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONGEST_NUMBER = 40  # digits; Satellite's largest has 19, and Python takes long over long ones


def _parsed(content: bytes) -> Any:
    """The JSON of an answer; raises ValueError or RecursionError.

    Stricter than json alone: of two values of one name the wrong one might count, NaN is equal to
    nothing, and half a character could not be written to the journal.
    """
    parsed = json.loads(
        content.decode(),
        object_pairs_hook=_object,
        parse_constant=_no_constant,
        parse_int=_whole_number,
    )
    if _SURROGATE.search(content):
        json.dumps(parsed, ensure_ascii=False).encode()
    return parsed


class _FlawError(ValueError):
    """Valid for json, but nothing that Satellite would say."""


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise _FlawError("a name stands twice in it")
    return value


def _no_constant(name: str) -> NoReturn:
    raise _FlawError(f"{name} in it")


def _whole_number(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise _FlawError(f"a number of {len(text)} digits in it")
    return int(text)


def _flaw(error: Exception) -> str:
    """What is wrong with an answer that is not JSON, where that is known."""
    what = {
        UnicodeDecodeError: "not UTF-8",
        UnicodeEncodeError: "half a character in it",
        RecursionError: "nested too deep",
    }.get(type(error), str(error) if isinstance(error, _FlawError) else "")
    return f" ({what})" if what else ""


def _message(body: Any) -> str:
    """What an error body says; four shapes of it are known (measured).

    Where Candlepin failed behind Katello, what it said, and what to look at.
    """
    error = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(error, dict):
        messages = error.get("full_messages")
        details = error.get("details") or (
            "; ".join(map(str, messages)) if isinstance(messages, list) else ""
        )
        error = details or error.get("message")
    message = " ".join(str(error or "").split())
    if "Candlepin" not in message:
        return shorten(message)
    answer = re.search(r'Consumer: (.{1,60}?) \{ ?"displayMessage" ?: ?"([^"]*)"', message)
    said = f"Candlepin answered {answer[1]} ({answer[2]})" if answer else message
    return f"{shorten(said)}; see 'satellite-maintain service status' on Satellite"
