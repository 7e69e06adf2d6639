"""Ask OpenStack whether instances still exist: the lightweight checker library.

    from foreman_hooks.osp_checker import Region

    region = Region.open("prod", "RegionOne")            # names from clouds.yaml, or OS_* variables
    for sighting in region.look(["7f3c1f0e-..."]).sightings.values():
        print(sighting.uuid, sighting.presence, sighting.code, sighting.detail)

The library is this file and four beside it, from the outside in: osp_login (a log-in and its
catalog), osp_config (clouds.yaml), osp_session (manners towards Keystone), osp_errors (what went
wrong, in words).  It needs keystoneauth1 and openstacksdk, and nothing else of this package, so
that it can also travel inside a job template.

How "terminated" is decided (every step was measured on Keystone 30 and Nova 34):

1. The token is fetched on its own: a deleted application credential is a 404 of the log-in and must
   never be taken for the 404 of a server.
2. The login must be able to see: a server of another project is read (`Region.prove_visibility`).
3. GET /servers/UUID at microversion 2.1 (`MICROVERSION`): 200 about that very server is PRESENT,
   whatever its status.  Only Nova's own 404 (itemNotFound, the UUID in its message, a request id) goes on.
4. The deleted row, the tombstone, is asked for: one row with status DELETED is DELETED, with the time.
   Any other status is PRESENT.  No row at all is ABSENT: no evidence, and no proof.
5. Everything else is UNKNOWN.  A 5xx, a refused log-in or a lost connection makes the whole region
   unknown: it is how a cell that is down shows itself.
"""

import re
import threading
import uuid as uuidlib
from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any, Callable, NamedTuple, Optional

from foreman_hooks.osp_checker.config import cloud_entry
from foreman_hooks.osp_checker.config import cloud_names as cloud_names
from foreman_hooks.osp_checker.config import region_names as region_names
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
from foreman_hooks.osp_checker.session import (
    BREATH,
    PATIENCE,
    TRIES,
    check_drift,
    clock_drift,
    rest,
    retry_after,
)
from foreman_hooks.osp_checker.session import heed_environment as heed_environment

# At 2.1 a GET of a server in a cell that is down is always a 500.  From 2.69 it can be a 404 that
# is false (soft-deleted and deleting servers, measured), so this must stay at or below 2.68.
MICROVERSION = "2.1"
PAGE = 1000  # Nova's max_limit by default; a larger limit is cut to it in silence
BEGINNING = "2000-01-01T00:00:00Z"  # changes-since: older than any server, deleted rows included
# The filter for active servers lets busy ones pass (REBOOT, MIGRATING, ...), and must not let
# these.
_NO_CANARY = (None, "BUILD", "DELETED", "SOFT_DELETED", "UNKNOWN")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NO_IDENTITY = ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff")

Progress = Callable[[int, int], None]  # done, total


class Presence(str, Enum):
    """What Nova says of one UUID.  Unknown is a value of its own; nothing turns it into "gone"."""

    PRESENT = "present"
    DELETED = "deleted"
    ABSENT = "absent"
    UNKNOWN = "unknown"
    INVALID = "invalid"


_CODES = {
    Presence.PRESENT: 200,
    Presence.INVALID: 400,
    Presence.DELETED: 404,
    Presence.ABSENT: 404,
    Presence.UNKNOWN: 500,
}


class Sighting(NamedTuple):
    """One UUID in one cloud and region.

    `detail` is the server's status where it is PRESENT, else what the answer rests on;
    `terminated_at` (aware, UTC) is set where it is DELETED.
    """

    uuid: str
    cloud: str
    region: str
    presence: Presence
    detail: str = ""
    terminated_at: Optional[datetime] = None

    @property
    def code(self) -> int:
        """200 exists, 400 not a UUID, 404 does not exist, 500 not known."""
        return _CODES[self.presence]


class Manners(NamedTuple):
    """How much is asked of a server at once: `workers` questions, rows in a page, and a rest (s)
    after each answer.
    """

    workers: int = 8
    page_size: int = PAGE
    pause: float = 0.0


MANNERS = Manners()


class _Unclear(Exception):
    """An answer that cannot be read, about one UUID: that UUID is unknown."""


class _BadMarker(OSPError):
    """Nova does not take that server as the marker of a page."""


class Visibility(NamedTuple):
    """How this login was shown to see other projects' servers.

    `by_get`: a GET reads them.  Otherwise (the least-privilege role) only the filtered list does,
    and it has no 500 that betrays a cell that is down.  `proof` says what was seen, or what is
    relied upon.
    """

    by_get: bool
    proof: str


@dataclass(frozen=True)
class Look:
    """What one region answered: a Sighting for each UUID asked, and how far it can be trusted.

    `error` is why the whole region is unknown, None where it answered.
    """

    cloud: str
    region: str
    sightings: dict[str, Sighting]
    error: Optional[OSPError] = None


@contextmanager
def workers(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool that an error or Ctrl-C leaves at once: what has not begun never does, what hangs is
    not waited for.
    """
    pool = ThreadPoolExecutor(max(count, 1))
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def parse_uuid(text: object) -> Optional[str]:
    """The lower-case dashed form of a UUID; None where `text` is none or names no machine.

    Nova answers 404, never 400, to anything that is not exactly this form, so it is checked here.
    All zeros and all F are what firmware without an identity reports.
    """
    if not text:
        return None
    form = str(text).strip().lower()
    if not _UUID.fullmatch(form) or form in _NO_IDENTITY:
        return None
    return form


def swap_bytes(form: str) -> str:
    """The UUID with its first three fields in the other byte order, in dashed lower case.

    SMBIOS before and after 2.6 disagrees on that order, and so do the tools that read it (Candlepin
    looks up both as well).  The function is its own inverse.
    """
    # by hand: called for every host, and ten times as fast as uuid.UUID
    return (
        f"{form[6:8]}{form[4:6]}{form[2:4]}{form[:2]}-{form[11:13]}{form[9:11]}-{form[16:18]}{form[14:16]}"
        f"{form[18:]}"
    )


class _Answer(NamedTuple):
    status: int
    body: Any  # parsed JSON; None where the body is no JSON
    request_id: str


@dataclass
class Region:
    """One region of one cloud, asked with one login.

    `empty_is_absent`: for the least-privilege role, whether an empty filtered list may count as
    ABSENT. True only where the cloud sets list_records_by_skipping_down_cells to false, so that a
    list fails when a cell is down, and lets nobody resize across cells (policy
    compute:servers:resize:cross_cell, "!" by default), since no list shows a server while both of
    its rows are hidden; the API shows neither setting.
    """

    cloud: str
    region: str
    nova: Any  # keystoneauth1's adapter to it, at MICROVERSION
    project_id: str  # of the login
    roles: tuple[str, ...] = ()  # of the login, by name
    empty_is_absent: bool = False
    manners: Manners = MANNERS
    visibility: Optional[Visibility] = None  # once it is proven
    log_in: Optional[LogIn] = None
    endpoint: Optional[Nova] = None
    _date: Optional[str] = field(
        default=None, repr=False
    )  # of the last answer whose clock was right
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
        """Log in to `cloud` of clouds.yaml (None: the default one, or OS_*) and find its Nova in
        `region`.

        `log_ins` are those of this run so far, which are shared.  Raises OSPConfigError,
        OSPLoginError or OSPError.
        """
        from keystoneauth1.adapter import LegacyJsonAdapter

        entry = cloud_entry(cloud, region)
        log_in = (log_ins or LogIns()).get(entry)
        nova = log_in.nova(entry)
        # one more try for a connection that fails, by keystoneauth; for a 503 see _get
        adapter = LegacyJsonAdapter(
            log_in.session,
            service_type="compute",
            region_name=region,
            endpoint_override=nova.url.replace("%", "%%"),
            default_microversion=MICROVERSION,
            connect_retries=1,
        )
        return cls(
            entry.name,
            region,
            adapter,
            log_in.access.project_id,
            tuple(log_in.access.role_names),
            empty_is_absent,
            manners,
            log_in=log_in,
            endpoint=nova,
        )

    @property
    def name(self) -> str:
        """`CLOUD/REGION`, for people."""
        return f"{self.cloud}/{self.region}"

    def look(self, uuids: Iterable[str], progress: Optional[Progress] = None) -> Look:
        """Ask about each UUID (any form), some at a time; never raises for what the cloud does."""
        todo = list(dict.fromkeys(uuids))
        queue, sightings = iter(todo), {}
        failed: list[BaseException] = []

        def work() -> None:
            for text in queue:  # of all workers: each takes what is next
                if failed:  # another one found the region unknown: it is not asked any more
                    raise failed[0]
                try:
                    sightings[text] = self.ask(text)
                except BaseException as error:
                    failed.append(error)
                    raise
                if progress:
                    progress(len(sightings), len(todo))

        try:
            with workers(self.manners.workers) as pool:
                for done in as_completed(
                    [pool.submit(work) for _ in range(min(self.manners.workers, len(todo)))]
                ):
                    done.result()
        except OSPError as error:
            return unknown_look(self.cloud, self.region, todo, error)
        return Look(self.cloud, self.region, {text: sightings[text] for text in todo})

    def list_servers(self, progress: Optional[Progress] = None) -> Set[str]:
        """The UUIDs of all servers that the region lists, of every project; visibility is proven
        first.

        Raises OSPError.  In the list means alive.  Not in it means nothing yet: soft-deleted and
        hidden servers and those of a cell that is down are missing from it (measured), so they have
        to be asked one by one.
        """
        listed: set[str] = set()
        for page in self.pages("/servers", progress):
            listed.update(server["id"] for server in page)
        return listed

    def pages(
        self, path: str, progress: Optional[Progress] = None
    ) -> Iterator[list[dict[str, Any]]]:
        """The pages of a list of all servers, at /servers or /servers/detail, each server as Nova
        describes it.

        Visibility is proven first; raises OSPError.
        """
        self.prove_visibility()
        firsts: set[str] = set()
        count = 0
        page = self._servers(path, all_tenants=1, limit=self.manners.page_size)
        while page:
            if page[0]["id"] in firsts:
                raise OSPError(f"{self.name}: Nova gave the same page of servers twice")
            firsts.add(page[0]["id"])
            count += len(page)
            if progress:
                progress(count, 0)
            yield page
            page = self._page_after(path, page)

    def _page_after(self, path: str, page: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The page that follows, empty at the end.

        A server without instance mapping, and one purged since, is a 400 as marker (measured): then
        the one before it is the marker, and what was listed already is dropped.
        """
        for number in reversed(range(len(page))):
            with suppress(_BadMarker):
                following = self._servers(
                    path, all_tenants=1, limit=self.manners.page_size, marker=page[number]["id"]
                )
                known = {server["id"] for server in page[number + 1 :]}
                return [server for server in following if server["id"] not in known]
        raise OSPError(
            f"{self.name}: Nova takes no server of a whole page as the marker of the next one"
        )

    def ask(self, text: str) -> Sighting:
        """What this region knows of one UUID; asks for the other byte order where that one is
        absent.

        Raises OSPError where the region cannot answer.  A match of the other byte order counts as
        one of this: the same 128 bits name no other instance.  `detail` says which form it was.
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
            return swapped._replace(detail=f"{swapped.detail} (as {other}, the other byte order)")
        return sighting

    def _ask_form(self, text: str, form: str) -> Sighting:
        try:
            status = (
                self._get_server(form)
                if self.visibility is None or self.visibility.by_get
                else None
            )
            if status:
                return self._saw(text, Presence.PRESENT, status)
            visibility = self.prove_visibility()
            if status is None and visibility.by_get:
                raise _Unclear(f"{self.name}: this login may read other servers but not {form}")
            return self._ask_tombstone(text, form, visibility)
        except _Unclear as unclear:
            return self._saw(text, Presence.UNKNOWN, str(unclear))

    def _get_server(self, form: str) -> Optional[str]:
        """The server's status, '' where Nova itself says that there is none to see, None where the
        role may not ask.
        """
        answer = self._get(f"/servers/{form}")
        if answer.status == 200:
            server = _member(answer.body, "server", dict)
            if server is None or server.get("id") != form:
                raise _Unclear(f"{self.name}: GET of server {form} gave a 200 that is not about it")
            return str(server.get("status") or "without status")
        if answer.status == 403:  # a role that may list but not show; the list must answer
            return None
        problem = _member(answer.body, "itemNotFound", dict)
        if (
            answer.status == 404
            and problem
            and form in str(problem.get("message"))
            and answer.request_id
        ):
            return ""
        raise _Unclear(
            f"{self.name}: GET of server {form} gave a {answer.status} that is not Nova's own "
            "'itemNotFound' (a proxy, or an endpoint that points elsewhere?)"
        )

    def _ask_tombstone(self, text: str, form: str, visibility: Visibility) -> Sighting:
        row = self._row(form, **{"changes-since": BEGINNING})
        if row is None:
            row = self._row(
                form
            )  # a row whose updated_at is NULL is missed by changes-since (measured)
        if row is not None and row.get("status") != "DELETED":
            return self._saw(text, Presence.PRESENT, str(row.get("status") or "without status"))
        if row is not None:
            ended = row.get("OS-SRV-USG:terminated_at")
            if (
                ended is None
            ):  # `updated` does not stand in for it: where that is NULL Nova prints now
                return self._saw(
                    text, Presence.ABSENT, f"its deleted row has no time; {visibility.proof}"
                )
            when = _moment(ended)
            if when is None:
                raise _Unclear(
                    f"{self.name}: the deleted row of {form} has a time that cannot be read"
                )
            return self._saw(
                text, Presence.DELETED, f"Nova's row says DELETED; {visibility.proof}", when
            )
        if visibility.by_get or self.empty_is_absent:
            return self._saw(text, Presence.ABSENT, f"no row of it is left; {visibility.proof}")
        raise _Unclear(
            f"{self.name}: no row of {form}, but this role's lists are silent about a cell that is down "
            "(set lists_fail_on_down_cell where the cloud does not skip down cells)"
        )

    def _row(self, form: str, **more: Any) -> Optional[dict[str, Any]]:
        """The one row, deleted or not, that the filtered list has of a UUID; None where it has
        none.

        `uuid` is dropped in silence for roles without allow_all_filters: then other servers come
        back.
        """
        page = self._servers("/servers/detail", all_tenants=1, uuid=form, limit=2, **more)
        if len(page) > 1 or any(server["id"] != form for server in page):
            raise _Unclear(
                f"{self.name}: the list filtered for {form} holds other servers: the filter was ignored"
            )
        return page[0] if page else None

    def prove_visibility(self) -> Visibility:
        """Show that this login sees the servers of other projects; kept for the life of this
        object.

        A reader of one project gets 404 for the living servers of all others, so without this no
        404 means anything.  Raises OSPForbidden where it cannot be shown, OSPError where there is
        no server.
        """
        with self._proving:  # the first of many workers does it for all
            if self.visibility is None:
                canary, own = self._canary()
                try:
                    self.visibility = self._prove_by_get(canary, own) or self._prove_by_filter(
                        canary, own
                    )
                except _Unclear as unclear:
                    raise OSPForbidden(
                        f"{unclear}; so nothing shows that this login sees all projects, it needs "
                        "Nova's admin role, or the custom role of the README"
                    ) from unclear
            return self.visibility

    def _canary(self) -> tuple[dict[str, Any], bool]:
        """An active server, of another project if there is any; and whether it is of our own.

        Sorted by project, the first or the last is of another project if any is.  Only active ones:
        servers that are still requests to build stand before all others whatever the order, and
        everybody's GET of them is a 200, so they would prove nothing (measured on Nova 34).
        """
        server: dict[str, Any] = {}
        for direction in ("asc", "desc"):
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
                    f"{self.name}: Nova lists no active server, so nothing shows that this login sees any; "
                    "take an empty region out of the configuration"
                )
            server = page[0]
            if server.get("status") in _NO_CANARY or not isinstance(server.get("tenant_id"), str):
                raise OSPError(
                    f"{self.name}: the list of active servers holds {server['id']}, which is none"
                )
            if server["tenant_id"] != self.project_id:
                return server, False
        return server, True

    def _prove_by_get(self, canary: dict[str, Any], own: bool) -> Optional[Visibility]:
        if not self._get_server(canary["id"]):
            return None
        if not own:
            return Visibility(True, f"server {canary['id']} of another project was read")
        if "admin" in self.roles:
            return Visibility(
                True, "all servers are of the login's own project; relies on its role admin"
            )
        return None

    def _prove_by_filter(self, canary: dict[str, Any], own: bool) -> Visibility:
        if self._row(canary["id"]) is None or self._row(str(uuidlib.uuid4())) is not None:
            raise OSPForbidden(
                f"{self.name}: this login cannot read server {canary['id']} of "
                f"{'its own' if own else 'another'} project; it needs Nova's admin role, or the "
                "custom role of the README"
            )
        if own:
            return Visibility(
                False,
                "all servers are of the login's own project; relies on all_tenants being honoured",
            )
        return Visibility(False, f"server {canary['id']} of another project was listed by its UUID")

    def _servers(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """One page of a list of servers, each checked to be one."""
        answer = self._get(path, **query)
        if answer.status == 403 and _member(answer.body, "forbidden", dict) is None:
            raise OSPError(f"{self.name}: GET {path} gave a 403 that is not Nova's own (a proxy?)")
        if answer.status == 403:
            raise OSPForbidden(
                f"{self.name}: this login may not list the servers of all projects; it needs Nova's "
                "admin role, or the custom role of the README"
            )
        if answer.status == 400 and "marker" in query:
            raise _BadMarker(f"{self.name}: GET {path} refuses the marker {query['marker']}")
        page = _member(answer.body, "servers", list)
        if answer.status != 200 or page is None:
            raise OSPError(f"{self.name}: GET {path} gave {answer.status} and no list of servers")
        for server in page:
            if (
                not isinstance(server, dict)
                or server.get("id") is None
                or parse_uuid(server["id"]) != server["id"]
            ):
                raise OSPError(f"{self.name}: GET {path} gave an entry that is no server")
        return page

    def _get(self, path: str, **query: Any) -> _Answer:
        """One request; raises OSPError for what concerns the whole region (5xx, log-in, connection,
        clock).
        """
        for attempt in range(1, TRIES + 1):
            with translated(self.name, getattr(self.nova, "session", None)):
                # redirect: one that leads to a log-in page would come back as a 200
                response, body = self.nova.get(path, params=query, raise_exc=False, redirect=False)
            log.debug("%s GET %s %s: %s", self.name, path, query, response.status_code)
            wait = self._wait(response, attempt)
            rest(wait or self.manners.pause)
            if wait is None:
                break
        self._check_answer(path, response)
        headers = response.headers
        return _Answer(
            response.status_code,
            body,
            headers.get("x-openstack-request-id") or headers.get("x-compute-request-id") or "",
        )

    def _check_answer(self, path: str, response: Any) -> None:
        status, date = response.status_code, response.headers.get("Date")
        if status == 401:
            raise OSPLoginError(
                f"{self.name}: Nova refuses the token, and a new one could not be had"
            )
        target = shown(response.headers.get("Location", ""))
        if 300 <= status < 400 and target.startswith(("http://", "https://")):
            raise OSPConfigError(
                f"{self.name}: Nova's endpoint redirects to {target}, which is not "
                "followed; have the catalog's URL corrected, or set "
                "compute_endpoint_override in clouds.yaml"
            )
        if status == 429 or (status == 503 and retry_after(status, response.headers) is not None):
            raise OSPError(f"{self.name}: Nova is busy (GET {path} gave {status}); try again later")
        if status >= 500:
            raise OSPError(
                f"{self.name}: GET {path} gave {status} (a cell that is down, or Nova itself)"
            )
        if date != self._date:  # it changes once a second
            with translated(self.name):
                check_drift(clock_drift(response.headers), "Nova")
            self._date = date

    def _wait(self, response: Any, attempt: int) -> Optional[float]:
        """How long to wait before the same question is put again; None where the answer stands.

        A busy server may ask for patience.  Without that one more try for a 503, which a busy Nova
        gives, and for a 401: keystoneauth logs in again by itself, but of workers that are refused
        together only the first one does. A cell that is down is a 500 and is not tried again.
        """
        asked = retry_after(response.status_code, response.headers)
        if asked is not None:
            return asked if asked <= PATIENCE and attempt < TRIES else None
        if attempt > 1:
            return None
        return {401: 0.0, 503: BREATH}.get(response.status_code)

    def _saw(
        self, text: str, presence: Presence, detail: str, when: Optional[datetime] = None
    ) -> Sighting:
        return Sighting(text, self.cloud, self.region, presence, detail, when)


def unknown_look(cloud: str, region: str, uuids: Collection[str], error: OSPError) -> Look:
    """The Look of a region that could not answer: every UUID is UNKNOWN (INVALID where it is none)."""
    return Look(
        cloud,
        region,
        {
            text: Sighting(text, cloud, region, Presence.UNKNOWN, str(error))
            if parse_uuid(text)
            else Sighting(text, cloud, region, Presence.INVALID, "not a UUID")
            for text in uuids
        },
        error=error,
    )


def _member(body: Any, key: str, kind: type) -> Any:
    """`body[key]` where body is an object and the member is of that type, else None."""
    value = body.get(key) if isinstance(body, dict) else None
    return value if isinstance(value, kind) else None


def _moment(text: object) -> Optional[datetime]:
    """A time as Nova prints it (UTC, with or without Z or fractions of a second); None where it is
    none.
    """
    try:
        return datetime.strptime(str(text)[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
