"""Ask one region of OpenStack whether instances still exist.

How "terminated" is decided (every step was measured on Keystone 30 and Nova 34):

1. Fetch the token in a separate request.  If an application credential was deleted, the login gets
   a 404, which must never be mistaken for the 404 of a server.
2. Prove that the login can see: read a server of another project (`Region.prove_visibility`).
3. GET /servers/UUID at microversion 2.1 (`MICROVERSION`).  A 200 about exactly that server means
   PRESENT, whatever its status.  Only Nova's own 404 (itemNotFound, the UUID in its message, a
   request id) leads to step 4.
4. Ask for the deleted row, the tombstone.  A row with status DELETED means DELETED, with the time.
   A row with any other status means PRESENT.  No row at all means ABSENT: neither alive nor proven
   terminated.
5. Everything else means UNKNOWN.  A 5xx, a refused login or a lost connection makes the whole
   region unknown, because that is what a cell that is down looks like.
"""

import threading
import uuid as uuidlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker.config import cloud_entry
from foreman_hooks.osp_checker.errors import (
    OSPConfigError,
    OSPError,
    OSPForbidden,
    OSPLoginError,
    log,
    shown,
    translated,
)
from foreman_hooks.osp_checker.login import LogIn, LogIns, Nova
from foreman_hooks.osp_checker.pace import (
    BREATH,
    MANNERS,
    TRIES,
    Manners,
    Progress,
    retry_after,
    retry_in,
    wait,
    workers,
)
from foreman_hooks.osp_checker.session import check_drift, clock_drift
from foreman_hooks.osp_checker.sightings import Place, Presence, RegionAnswer, Sighting
from foreman_hooks.osp_checker.uuids import parse_uuid, swap_bytes
from foreman_hooks.osp_checker.values import moment, text_of

# At 2.1, a GET of a server in a cell that is down is always a 500.  From 2.69 it can be a false 404
# (for soft-deleted and deleting servers, measured), so this must stay at or below 2.68.
MICROVERSION = "2.1"
BEGINNING = (
    "2000-01-01T00:00:00Z"  # for changes-since: older than any server or deleted row
)
# A busy Nova gives a 503.  After a 401 keystoneauth1 logs in again without our help; but if several
# workers get one together, only the first does.  A cell that is down is a 500: no second try.
_MORE_TRIES = {401: 0.0, 503: BREATH}
# The filter for active servers lets busy ones pass (REBOOT, MIGRATING, ...), but never these.
_NO_CANARY = (None, "BUILD", "DELETED", "SOFT_DELETED", "UNKNOWN")


class _UnreadableError(Exception):
    """An answer about one UUID is invalid: only that UUID is unknown."""


class BadMarker(Exception):
    """Nova does not accept that server as the marker of a page."""


class Visibility(NamedTuple):
    """What shows that this login sees the servers of other projects.

    `by_get`: GET shows them.  Otherwise (with the least-privilege role) only the filtered list
    does, and it gives no 500 while a cell is down.  `proof`: names a server that the login can see,
    or says what the proof relies on.
    """

    by_get: bool
    proof: str


class _Answer(NamedTuple):
    status: int
    body: Any  # parsed JSON; None if the body is not JSON
    request_id: str


@dataclass
class Region:
    """One region of one cloud, asked with one login.

    `empty_is_absent`: for the least-privilege role, whether an empty filtered list may count as
    ABSENT.  True only if the cloud sets list_records_by_skipping_down_cells to false, so that a
    list fails while a cell is down, and lets nobody resize across cells (policy
    compute:servers:resize:cross_cell, "!" by default), since no list shows a server while both of
    its rows are hidden.  The API shows neither setting.
    """

    cloud: str
    region: str
    nova: Any  # novaclient's adapter to it, at MICROVERSION
    project_id: str  # of the login
    roles: tuple[str, ...] = ()  # of the login, by name
    empty_is_absent: bool = False
    manners: Manners = MANNERS
    visibility: Optional[Visibility] = None  # None until it is proven
    log_in: Optional[LogIn] = None
    endpoint: Optional[Nova] = None
    # the Date of the last answer whose clock was right
    _date: Optional[str] = field(default=None, repr=False)
    _proving: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def open(
        cls,
        cloud: Optional[str],
        region: str,
        *,
        empty_is_absent: bool = False,
        manners: Manners = MANNERS,
        log_ins: Optional[LogIns] = None,
    ) -> "Region":
        """Log in to a cloud of clouds.yaml and find its Nova in that region.

        `cloud`: None for the default cloud, or that of the OS_* variables.  `log_ins`: the logins
        of this run, to share them.  Raises OSPConfigError, OSPLoginError or another OSPError.
        """
        entry = cloud_entry(cloud, region)
        log_in = (log_ins or LogIns()).get(entry)
        nova = log_in.nova(entry)
        return cls(
            entry.name,
            region,
            _adapter(log_in, nova, region),
            log_in.access.project_id,
            log_in.roles,
            empty_is_absent,
            manners,
            log_in=log_in,
            endpoint=nova,
        )

    @property
    def place(self) -> Place:
        """The cloud and the region."""
        return Place(self.cloud, self.region)

    @property
    def name(self) -> str:
        """`CLOUD/REGION`, for people."""
        return str(self.place)

    def look(
        self, uuids: Iterable[str], progress: Optional[Progress] = None
    ) -> RegionAnswer:
        """Ask about each UUID (in any form), in parallel; if the cloud fails, all are UNKNOWN."""
        wanted = list(dict.fromkeys(uuids))
        try:
            sightings = self._ask_all(wanted, progress)
        except OSPError as error:
            return unknown_region(self.place, wanted, error)
        proof = self.visibility.proof if self.visibility else ""
        return RegionAnswer(self.cloud, self.region, proof=proof, sightings=sightings)

    def _ask_all(
        self, uuids: Sequence[str], progress: Optional[Progress]
    ) -> dict[str, Sighting]:
        """A Sighting for each UUID; raises the first OSPError of a worker, and stops the others."""
        queue = iter(uuids)
        sightings: dict[str, Sighting] = {}
        failures: list[BaseException] = []

        def work() -> None:
            for text in queue:  # shared by all workers: each takes the next one
                if failures:  # another worker knows that the region is unknown
                    raise failures[0]
                try:
                    sightings[text] = self.ask(text)
                except BaseException as error:
                    failures.append(error)
                    raise
                if progress:
                    progress(len(sightings), len(uuids))

        count = min(self.manners.workers, len(uuids))
        with workers(count) as pool:
            for finished in as_completed([pool.submit(work) for _ in range(count)]):
                finished.result()
        return {text: sightings[text] for text in uuids}

    def pages(
        self, path: str, query: Optional[Mapping[str, Any]] = None, start: str = ""
    ) -> Iterator[list[dict[str, Any]]]:
        """The pages of a list of all servers, each server as Nova describes it.

        `path`: /servers or /servers/detail.  `query`: filters and order, as in Nova's API.
        `start`: the UUID of the server after which the list begins; "" for all of it.  Proves
        visibility first; raises OSPError, and BadMarker if Nova does not accept `start`.
        """
        self.prove_visibility()
        ends: set[tuple[str, str]] = set()
        whole = {
            "all_tenants": 1,
            "limit": self.manners.page_size,
            **(query or {}),
        }
        page = self._page(path, whole, start)
        while page:
            # The first alone may come again: as a build request, then as a server.
            both_ends = (page[0]["id"], page[-1]["id"])
            if both_ends in ends:
                raise OSPError(f"{self.name}: Nova gave the same page of servers twice")
            ends.add(both_ends)
            yield page
            start, page = self._page_after(path, whole, start, page)

    def _page_after(
        self,
        path: str,
        query: Mapping[str, Any],
        start: str,
        page: Sequence[dict[str, Any]],
    ) -> tuple[str, list[dict[str, Any]]]:
        """The marker of the page after `page`, and that page, empty at the end.

        `start`: the marker of `page`.

        A server that has no instance mapping, or was purged since, is a 400 as marker (measured).
        Then the server before it is the marker, at last that of the page itself, and servers that
        were listed already are dropped.
        """
        uuids = [server["id"] for server in page]
        markers = [start, *uuids]
        known: set[str] = set()
        while markers:
            marker = markers.pop()
            with suppress(BadMarker):
                following = self._page(path, query, marker)
                new = [server for server in following if server["id"] not in known]
                if new or len(following) < len(page):
                    return marker, new
            known.add(marker)
        raise OSPError(
            f"{self.name}: Nova accepts no server of a whole page as the marker of the next page"
        )

    def _page(
        self,
        path: str,
        query: Mapping[str, Any],
        marker: str,
    ) -> list[dict[str, Any]]:
        """The page that follows the server `marker`; the first page for ""."""
        if marker:
            return self._servers(path, **query, marker=marker)
        return self._servers(path, **query)

    def ask(self, text: str) -> Sighting:
        """What this region knows of one UUID; if absent, of the UUID in the other byte order.

        A match in the other byte order counts, since no other instance has those 128 bits; `detail`
        says which form matched.  Raises OSPError if the region cannot answer.
        """
        form = parse_uuid(text)
        if form is None:
            return self._saw(text, Presence.INVALID, "not a UUID")
        sighting = self._ask_form(text, form)
        other = swap_bytes(form)
        if sighting.presence is not Presence.ABSENT or other == form:
            return sighting
        swapped = self._ask_form(text, other)
        if swapped.presence is not Presence.ABSENT:
            return swapped._replace(
                detail=f"{swapped.detail} (as {other}, the other byte order)"
            )
        return sighting

    def _ask_form(self, text: str, form: str) -> Sighting:
        try:
            server = None
            if self.visibility is None or self.visibility.by_get:
                server = self._get_server(form)
            if server:
                return self._saw_alive(text, server)
            visibility = self.prove_visibility()
            if server is None and visibility.by_get:
                raise _UnreadableError(
                    f"{self.name}: this login may read other servers but not {form}"
                )
            return self._ask_tombstone(text, form, visibility)
        except _UnreadableError as unclear:
            return self._saw(text, Presence.UNKNOWN, str(unclear))

    def _get_server(self, form: str) -> Optional[dict[str, Any]]:
        """The server; empty after Nova's own 404, None if the role may not ask.

        Raises _UnreadableError for any other answer, and OSPError.
        """
        answer = self._get(f"/servers/{form}")
        if answer.status == 200:
            server = _member(answer.body, "server", dict)
            if server is None or server.get("id") != form:
                raise _UnreadableError(
                    f"{self.name}: GET of server {form} gave a 200 that is not about it"
                )
            return server
        # The role may list but not show: then the filtered list has to answer.
        if answer.status == 403:
            return None
        problem = _member(answer.body, "itemNotFound", dict)
        is_novas = problem and form in str(problem.get("message")) and answer.request_id
        if answer.status == 404 and is_novas:
            return {}
        raise _UnreadableError(
            f"{self.name}: GET of server {form} gave a {answer.status} that is not Nova's own "
            "'itemNotFound' (a proxy, or an endpoint that points elsewhere?)"
        )

    def _ask_tombstone(self, text: str, form: str, visibility: Visibility) -> Sighting:
        row = self._row(form, **{"changes-since": BEGINNING})
        if row is None:
            # changes-since misses a row whose updated_at is NULL (measured).
            row = self._row(form)
        if row is None:
            return self._without_row(text, form, visibility)
        if row.get("status") != "DELETED":
            return self._saw_alive(text, row)
        if row.get("OS-SRV-USG:terminated_at") is None:
            # `updated` cannot replace it: if that is NULL, Nova prints the current time.
            detail = f"its deleted row has no time; {visibility.proof}"
            return self._saw(text, Presence.ABSENT, detail)
        proof = self.proof_in(text, row)
        if proof is None:
            raise _UnreadableError(
                f"{self.name}: the deleted row of {form} has an unreadable time"
            )
        return proof

    def proof_in(self, text: str, row: Mapping[str, Any]) -> Optional[Sighting]:
        """The DELETED sighting of a UUID that its row in a list proves; None without proof."""
        when = moment(row.get("OS-SRV-USG:terminated_at"))
        if row.get("status") != "DELETED" or when is None:
            return None
        proof = self.visibility.proof if self.visibility else ""
        detail = f"Nova's row says DELETED; {proof}"
        sighting = self._saw(text, Presence.DELETED, detail)
        return sighting._replace(terminated_at=when, project=_project(row))

    def _without_row(self, text: str, form: str, visibility: Visibility) -> Sighting:
        """The sighting if there is no row: ABSENT, but only if this login's lists can show one."""
        if visibility.by_get or self.empty_is_absent:
            return self._saw(
                text, Presence.ABSENT, f"no row of it is left; {visibility.proof}"
            )
        raise _UnreadableError(
            f"{self.name}: no row of {form}, but this role's lists do not show whether a "
            "cell is down (set lists_fail_on_down_cell if the cloud does not skip down cells)"
        )

    def _row(self, form: str, **more: Any) -> Optional[dict[str, Any]]:
        """The row of a UUID in the filtered list, deleted or not; None if there is none.

        Nova silently drops the filter `uuid` for roles without allow_all_filters, and returns other
        servers.
        """
        page = self._servers(
            "/servers/detail", all_tenants=1, uuid=form, limit=2, **more
        )
        if len(page) > 1 or any(server["id"] != form for server in page):
            raise _UnreadableError(
                f"{self.name}: the list filtered for {form} holds other servers: the filter was "
                "ignored"
            )
        return page[0] if page else None

    def prove_visibility(self) -> Visibility:
        """Show that this login sees the servers of other projects; done once.

        A reader of one project gets a 404 for the living servers of all others, so without this
        proof a 404 means nothing.  Raises OSPForbidden if it cannot be shown, OSPError if there is
        no active server.
        """
        with self._proving:  # the first worker does it for all
            if self.visibility is None:
                canary, own = self._canary()
                try:
                    proof = self._prove_by_get(canary, own)
                    self.visibility = proof or self._prove_by_filter(canary, own)
                except _UnreadableError as unclear:
                    raise OSPForbidden(
                        f"{unclear}; so nothing shows that this login sees all projects; it needs "
                        "Nova's admin role, or the custom role in docs/roles.md"
                    ) from unclear
            return self.visibility

    def _canary(self) -> tuple[dict[str, Any], bool]:
        """(server, own): an active server, of another project if any is; whether it is our own.

        Sorted by project, the first or the last server is of another project if any is.  Servers
        that are still build requests come first in any order, and everybody gets a 200 for them, so
        they prove nothing (measured on Nova 34).
        """
        server: dict[str, Any] = {}
        for direction in ("asc", "desc"):
            server = self._active_server(direction)
            if server["tenant_id"] != self.project_id:
                return server, False
        return server, True

    def _active_server(self, direction: str) -> dict[str, Any]:
        """The first or the last active server, sorted by project."""
        page = self._servers(
            "/servers/detail",
            all_tenants=1,
            limit=1,
            status="ACTIVE",
            sort_key="project_id",
            sort_dir=direction,
        )
        if not page:
            raise OSPError(
                f"{self.name}: Nova lists no active server, so nothing shows that this login sees "
                "any; take an empty region out of the configuration"
            )
        server = page[0]
        if server.get("status") in _NO_CANARY or not isinstance(
            server.get("tenant_id"), str
        ):
            raise OSPError(
                f"{self.name}: the list of active servers holds {server['id']}, which is not active"
            )
        return server

    def _prove_by_get(self, canary: dict[str, Any], own: bool) -> Optional[Visibility]:
        if not self._get_server(canary["id"]):
            return None
        if not own:
            proof = (
                f"the login can see other projects' servers (example: {canary['id']})"
            )
            return Visibility(True, proof)
        if "admin" in self.roles:
            return Visibility(
                True,
                "all servers belong to the login's own project; relies on its role admin",
            )
        return None

    def _prove_by_filter(self, canary: dict[str, Any], own: bool) -> Visibility:
        whose = "its own" if own else "another"
        if (
            self._row(canary["id"]) is None
            or self._row(str(uuidlib.uuid4())) is not None
        ):
            raise OSPForbidden(
                f"{self.name}: this login cannot read server {canary['id']} of {whose} project; "
                "it needs Nova's admin role, or the custom role in docs/roles.md"
            )
        if own:
            proof = (
                "all servers belong to the login's own project; relies on all_tenants being "
                "honoured"
            )
        else:
            proof = (
                f"the login can list other projects' servers (example: {canary['id']})"
            )
        return Visibility(False, proof)

    def _servers(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """One page of a list of servers, each checked to be a server."""
        answer = self._get(path, **query)
        if answer.status == 403 and _member(answer.body, "forbidden", dict) is None:
            raise OSPError(
                f"{self.name}: GET {path} gave a 403 that is not Nova's own (a proxy?)"
            )
        if answer.status == 403:
            raise OSPForbidden(
                f"{self.name}: this login may not list the servers of all projects; it needs "
                "Nova's admin role, or the custom role in docs/roles.md"
            )
        if answer.status == 400 and "marker" in query:
            raise BadMarker(
                f"{self.name}: GET {path} refuses the marker {query['marker']}"
            )
        page = _member(answer.body, "servers", list)
        if answer.status != 200 or page is None:
            raise OSPError(
                f"{self.name}: GET {path} gave {answer.status} and no list of servers"
            )
        for server in page:
            uuid = _member(server, "id", str)
            if uuid is None or parse_uuid(uuid) != uuid:
                raise OSPError(
                    f"{self.name}: GET {path} gave an entry that is not a server"
                )
        return page

    def _get(self, path: str, **query: Any) -> _Answer:
        """Send one request; raises OSPError for anything that concerns the whole region.

        That is a 5xx, a refused login, a lost connection, or a clock that differs from ours.
        """
        for attempt in range(1, TRIES + 1):
            with translated(self.name, getattr(self.nova, "session", None)):
                # redirect=False: a redirect to a login page would end as a 200
                response, body = self.nova.get(
                    path, params=query, raise_exc=False, redirect=False
                )
            log.debug("%s GET %s %s: %s", self.name, path, query, response.status_code)
            seconds = retry_in(response, attempt, _MORE_TRIES)
            wait(seconds or self.manners.pause)
            if seconds is None:
                break
        self._check_answer(path, response)
        headers = response.headers
        request_id = headers.get("x-openstack-request-id") or headers.get(
            "x-compute-request-id"
        )
        return _Answer(response.status_code, body, request_id or "")

    def _check_answer(self, path: str, response: Any) -> None:
        status = response.status_code
        date = response.headers.get("Date")
        if status == 401:
            raise OSPLoginError(
                f"{self.name}: Nova refuses the token (401), and no valid one can be obtained"
            )
        target = shown(response.headers.get("Location", ""))
        if 300 <= status < 400 and target.startswith(("http://", "https://")):
            raise OSPConfigError(
                f"{self.name}: Nova's endpoint redirects to {target}, which is not "
                "followed; have the catalog's URL corrected, or set "
                "compute_endpoint_override in clouds.yaml"
            )
        if status == 429 or (
            status == 503 and retry_after(status, response.headers) is not None
        ):
            raise OSPError(
                f"{self.name}: Nova is busy (GET {path} gave {status}); try again later"
            )
        if status >= 500:
            raise OSPError(
                f"{self.name}: GET {path} gave {status} (a cell that is down, or Nova itself)"
            )
        if (
            date != self._date
        ):  # Date changes once a second: no need to compare more often
            with translated(self.name):
                check_drift(clock_drift(response.headers), "Nova")
            self._date = date

    def _saw(self, text: str, presence: Presence, detail: str) -> Sighting:
        return Sighting(text, self.cloud, self.region, presence, detail)

    def _saw_alive(self, text: str, server: dict[str, Any]) -> Sighting:
        status = text_of(server.get("status")) or "without status"
        sighting = self._saw(text, Presence.PRESENT, status)
        return sighting._replace(project=_project(server))


def unknown_region(
    place: Place, uuids: Collection[str], error: OSPError
) -> RegionAnswer:
    """The answer of a region that failed: every UUID is UNKNOWN (INVALID if it is not one)."""
    sightings = {}
    for text in uuids:
        if parse_uuid(text):
            sightings[text] = Sighting(text, *place, Presence.UNKNOWN, str(error))
        else:
            sightings[text] = Sighting(text, *place, Presence.INVALID, "not a UUID")
    return RegionAnswer(*place, error=error, sightings=sightings)


def _adapter(log_in: LogIn, nova: Nova, region: str) -> Any:
    """novaclient's adapter to that Nova.

    We request servers by path.  If a list is longer than Nova's max_limit, novaclient's own call
    silently returns only the first page, and its exceptions have no response headers.  Without
    these calls a start takes 0.08 s less: `import novaclient.v2.client` is not needed.
    """
    try:
        from novaclient.api_versions import APIVersion
        from novaclient.client import SessionClient
    except ImportError as error:
        raise OSPConfigError(
            f"python-novaclient cannot be loaded ({error}); install python3-novaclient"
        ) from error

    return SessionClient(
        session=log_in.session,
        service_type="compute",
        region_name=region,
        endpoint_override=nova.url.replace("%", "%%"),
        api_version=APIVersion(MICROVERSION),
        # keystoneauth1 tries a failed connection once more; for a 503 see Region._get.
        connect_retries=1,
        user_agent="satellite-osp-cleanup",
    )


def _member(body: Any, key: str, kind: type) -> Any:
    """`body[key]` if `body` is an object and the member has that type, else None."""
    value = body.get(key) if isinstance(body, dict) else None
    return value if isinstance(value, kind) else None


def _project(server: Mapping[str, Any]) -> str:
    """The id of the project that a server belongs to; "" if Nova does not say."""
    return text_of(server.get("tenant_id"))
