"""The checker against the simulated Keystone and Nova: a living server is never called gone."""

import json
import os
import re
import sys
import threading
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from uuid import UUID

import pytest
import requests
import responses
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sandbox.nova import STATES
from sandbox.openstack import (
    Account,
    ApplicationCredential,
    Instance,
    OpenStack,
    project_id,
)
from sandbox.server import Answer, Fault, Server

from foreman_hooks.osp_checker.config import region_names
from foreman_hooks.osp_checker.errors import (
    KINDS,
    OSPConfigError,
    OSPError,
    OSPForbidden,
    OSPLoginError,
)
from foreman_hooks.osp_checker.pace import PATIENCE, TRIES, Manners
from foreman_hooks.osp_checker.region import Region
from foreman_hooks.osp_checker.server_list import list_uuids
from foreman_hooks.osp_checker.session import heed_environment
from foreman_hooks.osp_checker.sightings import Presence
from foreman_hooks.osp_checker.uuids import parse_uuid, swap_bytes

PRESENT, DELETED, ABSENT, UNKNOWN, INVALID = Presence
GONE = {DELETED, ABSENT}
WORKERS = Manners().workers
X = "1b4e28ba-2fa1-41d2-883f-b9a761bde3fb"
CANARY = "0a11afee-0000-4000-8000-000000000001"  # lower than X and OTHER, so it is examined first
OTHER = "0dd0b0d1-0000-4000-8000-000000000002"
SWAPPED = swap_bytes(X)
# Canaries are searched by project, lowest id first: a login of LOW finds its own servers first.
LOW, HIGH = sorted(("ops", "shop"), key=project_id)
ADMIN = Account("admin", "changeme", LOW, ("admin",))
READER = Account("reader", "changeme", LOW, ("reader",))
LISTER = Account("lister", "changeme", LOW, ("lister",))
RIGHTS = {
    "index",
    "detail",
    "index:get_all_tenants",
    "detail:get_all_tenants",
    "allow_all_filters",
}
CREDENTIAL = ("5ca1ab1e", "open sesame")
DIED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
CHANGED = DIED.timestamp() - 86400
REQUEST_ID = {"x-openstack-request-id": "req-1"}
LIST = r"/servers\?all_tenants=1&limit=1000"
CANARY_LIST = "sort_key=project_id"
ASKING_GET = f"/servers/{X}$"
TOMBSTONE = f"uuid={X}.*changes-since"
PLAIN_ROW = f"uuid={X}&limit=2$"


class Lab:
    """The simulated OpenStack behind HTTP, and a clouds.yaml that points to it."""

    def __init__(self, server, handlers, folder, monkeypatch):
        self.server, self.config = server, folder / "clouds.yaml"
        self.cloud = OpenStack(
            regions=("RegionOne", "RegionTwo"),
            accounts=(ADMIN, READER, LISTER),
            application_credentials=[
                ApplicationCredential(*CREDENTIAL, account="admin")
            ],
        )
        self.cloud.policy["lister"] = set(RIGHTS)
        self.release = threading.Event()
        handlers[:] = [self.cloud.handle]
        self.handlers = handlers
        server.faults.clear()
        server.requests.clear()
        monkeypatch.setattr(
            "foreman_hooks.osp_checker.region._MORE_TRIES", {401: 0.0, 503: 0.001}
        )
        monkeypatch.setattr(
            "foreman_hooks.osp_checker.session._ONE_MORE_TRY", {503: 0.001, 504: 0.001}
        )
        # Also for `quiet`, which starts before any test has its own environment.
        for name in list(os.environ):
            if name.startswith("OS_") or name.lower().endswith("_proxy"):
                monkeypatch.delenv(name)
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(self.config))
        self.log_in_as(ADMIN)

    def configure(self, **entry):
        """Write a clouds.yaml with one entry, the cloud prod."""
        auth = {"auth_url": self.server.url + "/v3", **entry.pop("auth")}
        named = {"region_name": "RegionOne", **entry}
        self.write(
            {
                "prod": {
                    "auth": auth,
                    **{key: value for key, value in named.items() if value is not None},
                }
            }
        )

    def write(self, clouds):
        self.config.write_text(json.dumps({"clouds": clouds}))

    def log_in_as(self, account, **entry):
        self.configure(
            auth={
                "username": account.name,
                "password": account.password,
                "project_name": account.project,
                "user_domain_id": "default",
                "project_domain_id": "default",
            },
            **entry,
        )

    def log_in_with_credential(self):
        self.configure(
            auth_type="v3applicationcredential",
            auth={
                "application_credential_id": CREDENTIAL[0],
                "application_credential_secret": CREDENTIAL[1],
            },
        )
        return self.cloud.application_credentials[0]

    def log_in_with_token(self):
        token = self.open().nova.session.get_token()
        self.configure(
            auth_type="v3token",
            auth={
                "token": token,
                "project_name": ADMIN.project,
                "project_domain_id": "default",
            },
        )

    def add(self, uuid=X, region="RegionOne", **more):
        return self.cloud.add(
            region,
            Instance(
                uuid,
                **{"project": HIGH, "created": CHANGED, "updated": CHANGED, **more},
            ),
        )

    def add_dead(self, uuid=X, region="RegionOne", **more):
        self.add(uuid, region, **more)
        self.cloud.terminate(region, uuid, DIED.timestamp())

    def open(self, region="RegionOne", **how):
        """Log in; every further try comes at once."""
        region = Region.open("prod", region, **how)
        region.nova.connect_retry_delay = 0.001
        return region

    def fail(
        self, pattern, status=503, body="<html>injected</html>", headers=None, **how
    ):
        """As `Server.fail`, but optionally with headers."""
        if headers is None:
            return self.server.fail(pattern, status, body, **how)
        self.server.faults.append(Fault(pattern, Answer(status, body, headers), **how))
        return self.server.faults[-1]

    def hang(self, pattern):
        """Do not answer matching requests until the test is over."""

        def handle(request):
            if re.search(pattern, request.line):
                self.release.wait(30)
            return self.cloud.handle(request)

        self.handlers[:] = [handle]

    def settle(self):
        """Wait for the requests that are in progress after a failed look."""
        self.release.set()
        for thread in threading.enumerate():
            if thread.name.startswith("ThreadPoolExecutor"):
                thread.join(10)

    def lines(self, pattern=""):
        return [
            request.line
            for request in self.server.requests
            if re.search(pattern, request.line)
        ]


@pytest.fixture(scope="module")
def wire():
    """One server for the whole file, because stopping takes time."""
    handlers = []
    with Server(lambda request: handlers[0](request)) as server:
        yield server, handlers


@pytest.fixture
def bare(wire, tmp_path, monkeypatch):
    """A cloud without any server."""
    lab = Lab(*wire, tmp_path, monkeypatch)
    yield lab
    lab.settle()


@pytest.fixture
def lab(bare):
    """A cloud with one server of another project, which proves visibility."""
    bare.add(CANARY)
    return bare


@pytest.fixture(scope="module")
def quiet(wire, tmp_path_factory):
    """One login that many tests share, in a cloud without even a deleted row of X."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        lab = Lab(*wire, tmp_path_factory.mktemp("quiet"), monkeypatch)
        lab.add(CANARY)
        lab.add(OTHER, project=LOW)
        region = lab.open()
        region.prove_visibility()
        yield lab, region


@pytest.fixture
def fresh(quiet):
    """The shared login, whose visibility is not proven yet."""
    lab, region = quiet
    lab.handlers[:] = [lab.cloud.handle]
    lab.server.faults.clear()
    lab.server.requests.clear()
    lab.release.clear()
    yield lab, replace(region, visibility=None)
    lab.cloud.max_limit = 1000
    lab.server.faults.clear()
    lab.settle()


def only_sighting(look):
    """The only sighting of a look."""
    [sighting] = look.sightings.values()
    return sighting


def presence_of(lab, uuid=X, **how):
    """The presence of one UUID, asked with a fresh login."""
    return only_sighting(lab.open(**how).look([uuid])).presence


def error_of(lab, uuid=X):
    """Why the whole region is unknown; asserts that the UUID is unknown as well."""
    look = lab.open().look([uuid])
    assert only_sighting(look).presence is UNKNOWN
    return look.error


# The four answers


def test_a_living_server_is_present_with_its_status(lab):
    lab.add(status="SHUTOFF")
    sighting = only_sighting(lab.open().look([X]))
    assert sighting[:5] == (X, "prod", "RegionOne", PRESENT, "SHUTOFF")
    assert sighting.code == 200


def test_a_sighting_names_the_project_of_its_server(lab):
    lab.add()
    lab.add_dead(OTHER)
    sightings = lab.open().look([X, OTHER]).sightings
    assert sightings[X].project == sightings[OTHER].project == project_id(HIGH)


def test_a_terminated_server_is_deleted_with_the_time_and_the_proof(lab):
    lab.add_dead()
    sighting = only_sighting(lab.open().look([X]))
    assert (sighting.presence, sighting.terminated_at, sighting.code) == (
        DELETED,
        DIED,
        404,
    )
    assert (
        sighting.detail
        == f"Nova's row says DELETED; the login can see other projects' servers (example: {CANARY})"
    )


def test_a_server_whose_row_was_archived_is_absent_without_a_time(lab):
    lab.add_dead()
    lab.cloud.archive("RegionOne", X)
    sighting = only_sighting(lab.open().look([X]))
    assert (sighting.presence, sighting.terminated_at, sighting.code) == (
        ABSENT,
        None,
        404,
    )
    assert "can see other projects' servers" in sighting.detail


def test_a_region_that_cannot_answer_is_unknown_and_names_the_reason(lab):
    lab.fail(ASKING_GET, 503)
    look = lab.open().look([X])
    assert (only_sighting(look).presence, only_sighting(look).code) == (UNKNOWN, 500)
    assert only_sighting(look).detail == str(look.error)
    assert "prod/RegionOne" in str(look.error) and "503" in str(look.error)


def test_a_look_at_many_keeps_the_order_and_reports_its_progress(lab):
    lab.add()
    lab.add_dead(OTHER)
    steps = []
    look = lab.open().look([OTHER, X, "junk", X], lambda *step: steps.append(step))
    assert {uuid: sighting.presence for uuid, sighting in look.sightings.items()} == {
        OTHER: DELETED,
        X: PRESENT,
        "junk": INVALID,
    }
    assert list(look.sightings) == [OTHER, X, "junk"]
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_a_look_at_nothing_asks_nothing(lab):
    region = lab.open()
    lab.server.requests.clear()
    assert region.look([]).sightings == {}
    assert lab.lines() == []


# Lists and what they may miss


def test_a_page_limit_of_nova_loses_no_server(bare):
    uuids = {str(UUID(int=number << 64 | 1)) for number in range(1, 11)}
    for uuid in uuids:
        bare.add(uuid)
    bare.cloud.max_limit = 3
    steps = []
    assert list_uuids(bare.open(), lambda *step: steps.append(step)) == uuids
    assert steps == [(3, 0), (6, 0), (9, 0), (10, 0)]
    assert len(bare.lines(LIST)) == 5  # 3 + 3 + 3 + 1, and the empty page that ends it


def test_servers_of_every_project_and_cell_are_listed(lab):
    lab.add(X, project=LOW, cell="cell2")
    lab.add(OTHER, project="bank")
    assert list_uuids(lab.open()) == {CANARY, X, OTHER}


def test_every_list_asks_for_all_tenants(lab):
    """Without it an admin gets an empty list and no error."""
    region = lab.open()
    list_uuids(region)
    region.look([X])
    lists = [
        request
        for request in lab.server.requests
        if re.search(r"/servers(/detail)?$", request.path)
    ]
    assert len(lists) > 4
    assert {request.first("all_tenants") for request in lists} == {"1"}


@pytest.mark.parametrize("what", [list_uuids, Region.prove_visibility])
def test_a_login_that_may_not_list_all_projects_is_forbidden(lab, what):
    lab.log_in_as(READER)
    with pytest.raises(OSPForbidden, match="may not list the servers of all projects"):
        what(lab.open())


def test_a_404_is_not_a_termination_to_a_reader(lab):
    """The GET of another project's living server is Nova's own 404."""
    lab.add()
    lab.log_in_as(READER)
    assert isinstance(error_of(lab), OSPForbidden)
    assert len(lab.lines(ASKING_GET)) == 1


def test_a_reader_still_sees_its_own_server(lab):
    lab.add(project=LOW)
    lab.log_in_as(READER)
    assert presence_of(lab) is PRESENT


@pytest.mark.parametrize("role", [ADMIN, LISTER])
def test_a_region_without_an_active_server_knows_nothing(bare, role):
    """An emptied cell database answers 404 to everything."""
    bare.log_in_as(role)
    bare.add(CANARY, status="SHUTOFF")
    bare.add_dead()
    assert "no active server" in str(error_of(bare))
    with pytest.raises(OSPError, match="no active server"):
        list_uuids(bare.open())


def test_the_region_that_was_named_is_the_one_asked(lab):
    lab.add(region="RegionTwo")
    lab.add(OTHER, region="RegionTwo")
    assert presence_of(lab, region="RegionTwo") is PRESENT
    assert presence_of(lab, region="RegionOne") is ABSENT
    assert lab.lines(f"RegionTwo.*{X}") == [f"GET /compute/RegionTwo/v2.1/servers/{X}"]


@pytest.mark.parametrize("page", [0, 1], ids=["first page", "second page"])
@pytest.mark.parametrize(
    "entry",
    [{}, {"id": None}, {"id": 7}, {"id": "junk"}, {"id": X.upper()}, None, X, [X]],
    ids=str,
)
def test_a_list_with_an_entry_that_is_not_a_server_is_an_error(fresh, entry, page):
    lab, region = fresh
    lab.cloud.max_limit = 1
    lab.fail(LIST, 200, {"servers": [{"id": X}, entry]}, skip=page, times=1)
    with pytest.raises(OSPError, match="not a server"):
        list_uuids(region)


def test_the_same_page_twice_is_an_error_not_an_endless_loop(lab):
    lab.fail(LIST, 200, {"servers": [{"id": CANARY}, {"id": X}]}, times=5)
    with pytest.raises(OSPError, match="same page of servers twice"):
        list_uuids(lab.open())
    assert len(lab.lines(LIST)) == 2


@pytest.mark.parametrize("mapped", [False, True], ids=["not mapped", "purged since"])
def test_no_page_is_lost_after_a_server_that_cannot_be_the_marker(bare, mapped):
    """Nova answers 400 to it; then the server before it is the marker."""
    uuids = numbered(7)
    for uuid in uuids:
        bare.add(uuid, mapped=mapped or uuid not in (uuids[2], uuids[5]))
    bare.cloud.max_limit = 3
    if mapped:
        bare.fail(
            f"marker={uuids[2]}",
            400,
            {"badRequest": {"code": 400, "message": "marker not found"}},
        )
    assert list_uuids(bare.open()) == set(uuids)


def test_after_a_page_that_was_purged_the_list_goes_on(lab):
    lab.fail(LIST, 200, {"servers": [{"id": OTHER}, {"id": X}]}, times=1)
    assert list_uuids(lab.open()) == {OTHER, X, CANARY}


def test_a_page_without_any_marker_is_an_error(bare):
    for uuid in numbered(4):
        bare.add(uuid, mapped=False)
    bare.cloud.max_limit = 3
    with pytest.raises(OSPError, match="no server of a whole page"):
        list_uuids(bare.open())


@pytest.mark.parametrize("status", [403, 404, 500])
def test_only_a_400_means_a_bad_marker(lab, status):
    lab.add()
    lab.fail("marker=", status)
    with pytest.raises(OSPError):
        list_uuids(lab.open())
    assert len(lab.lines("marker=")) == 1


# A cell that is down

HIDDEN_BY_A_DOWN_CELL = {
    "active": {},
    "soft-deleted": {"status": "SOFT_DELETED"},
    "shelved": {"status": "SHELVED_OFFLOADED"},
}


@pytest.mark.parametrize(
    "row", HIDDEN_BY_A_DOWN_CELL.values(), ids=HIDDEN_BY_A_DOWN_CELL
)
def test_a_server_in_a_cell_that_is_down_is_unknown(lab, row):
    """Only at 2.1 is that GET a 500; later versions return 404 for the soft-deleted server."""
    lab.add(cell="cell2", **row)
    lab.cloud.down_cells.add("cell2")
    region = lab.open()
    assert X not in list_uuids(region)
    look = region.look([X])
    assert only_sighting(look).presence is UNKNOWN
    assert "500" in str(look.error)


def test_a_dead_server_in_a_cell_that_is_down_is_unknown(lab):
    lab.add_dead(cell="cell2")
    lab.cloud.down_cells.add("cell2")
    assert "500" in str(error_of(lab))


def test_every_question_is_asked_at_microversion_2_1(lab):
    """Even if clouds.yaml names another one."""
    lab.log_in_as(
        ADMIN, compute_default_microversion="2.90", compute_api_version="2.90"
    )
    lab.add_dead()
    list_uuids(lab.open())
    assert presence_of(lab) is DELETED
    asked = [
        request.headers for request in lab.server.requests if "/servers" in request.path
    ]
    assert len(asked) > 5
    assert {headers["X-OpenStack-Nova-API-Version"] for headers in asked} == {"2.1"}
    assert {headers["OpenStack-API-Version"] for headers in asked} <= {
        None,
        "compute 2.1",
    }


def test_a_cell_that_fails_only_the_second_question_makes_the_region_unknown(lab):
    lab.add_dead()
    lab.cloud.skip_down_cells = False
    region = lab.open()
    region.prove_visibility()
    lab.cloud.down_cells.add("cell1")
    look = region.look([X])
    assert only_sighting(look).presence is UNKNOWN and look.error


# Servers that are alive although a list or a GET does not show them


@pytest.mark.parametrize("login", [ADMIN, LISTER], ids=["by GET", "by list"])
def test_a_server_of_any_status_but_deleted_is_present(lab, login):
    lab.log_in_as(login)
    expected = {}
    for number, status in enumerate(sorted(set(STATES) - {"DELETED"}), 1):
        expected[lab.add(str(UUID(int=number << 64 | 1)), status=status).uuid] = (
            PRESENT,
            status,
        )
    look = lab.open(empty_is_absent=True).look(expected)
    assert {
        uuid: (sighting.presence, sighting.detail)
        for uuid, sighting in look.sightings.items()
    } == expected
    assert len(expected) == 18


@pytest.mark.parametrize(
    "row",
    [{"status": "SOFT_DELETED"}, {"hidden": True}],
    ids=["restorable", "resizing"],
)
def test_a_server_that_no_plain_list_shows_is_still_found(lab, row):
    """Including the hidden half of a cross-cell resize."""
    lab.add(**row)
    region = lab.open()
    assert list_uuids(region) == {CANARY}
    assert only_sighting(region.look([X])).presence is PRESENT


def test_a_build_request_without_a_cell_is_present(lab):
    lab.add(cell="", status="BUILD", updated=None)
    assert presence_of(lab) is PRESENT


@pytest.mark.parametrize("updated", [CHANGED, None], ids=["changed", "never changed"])
def test_a_server_without_instance_mapping_is_present(lab, updated):
    """Its GET is Nova's own 404, but lists have it.

    If updated_at is NULL, changes-since misses it as well.
    """
    lab.add(mapped=False, updated=updated)
    assert presence_of(lab) is PRESENT
    assert len(lab.lines(ASKING_GET)) == 1
    assert len(lab.lines(PLAIN_ROW)) == (updated is None)


def test_a_deleted_row_that_was_never_changed_is_no_proof(lab):
    lab.add_dead()
    lab.cloud.instances["RegionOne"][X].updated = None
    assert presence_of(lab) is ABSENT


# UUIDs


def test_a_uuid_is_asked_for_in_the_form_that_nova_knows(lab):
    lab.add()
    for text in (X.upper(), f"{X} ", f"\t{X}\n", X.title()):
        sighting = only_sighting(lab.open().look([text]))
        assert sighting[:5] == (text, "prod", "RegionOne", PRESENT, "ACTIVE")
    assert {line.rpartition("/")[2] for line in lab.lines("/servers/")} == {X}


JUNK = (
    "",
    " ",
    "Not Settable",
    "Not Present",
    "None",
    "detail",
    str(UUID(int=0)),
    str(UUID(int=2**128 - 1)),
    str(UUID(int=2**128 - 1)).upper(),
    f"{{{X}}}",
    f"urn:uuid:{X}",
    X.replace("-", ""),
    X[:-1],
    X + "0",
    f"{X}\n{OTHER}",
    f"../{X}",
    X.replace("b", "\uff42"),
    X.replace("1", "\u0661"),
)


@pytest.mark.parametrize("text", JUNK)
def test_a_text_that_is_not_a_uuid_is_invalid_and_never_asked_about(fresh, text):
    lab, region = fresh
    sighting = only_sighting(region.look([text]))
    assert (sighting.presence, sighting.code, sighting.uuid) == (INVALID, 400, text)
    assert lab.lines() == []


def test_junk_stays_invalid_if_the_region_is_unknown(lab):
    lab.fail(ASKING_GET, 500)
    look = lab.open().look(["junk", X])
    assert {text: sighting.presence for text, sighting in look.sightings.items()} == {
        "junk": INVALID,
        X: UNKNOWN,
    }


@given(st.uuids())
def test_a_uuid_reads_the_same_in_any_case_and_swapping_it_twice_changes_nothing(uuid):
    form = str(uuid)
    assert parse_uuid(form.upper()) == form == swap_bytes(swap_bytes(form))
    assert UUID(swap_bytes(form)).bytes == uuid.bytes_le


@given(
    st.one_of(
        st.text(),
        st.integers(),
        st.none(),
        st.uuids(),
        st.text("0123456789abcdefABCDEF-{} ", min_size=30, max_size=40),
    )
)
def test_everything_that_is_read_as_a_uuid_has_novas_form(value):
    form = parse_uuid(value)
    assert form is None or (
        form == str(UUID(form)) and form == str(value).strip().lower()
    )


def test_the_other_byte_order_keeps_a_living_server(lab):
    lab.add(SWAPPED)
    sighting = only_sighting(lab.open().look([X]))
    assert (sighting.uuid, sighting.presence) == (X, PRESENT)
    assert f"as {SWAPPED}, the other byte order" in sighting.detail


def test_the_other_byte_order_proves_a_termination_and_says_which_form_it_was(lab):
    lab.add_dead(SWAPPED)
    sighting = only_sighting(lab.open().look([X]))
    assert (sighting.uuid, sighting.presence, sighting.terminated_at) == (
        X,
        DELETED,
        DIED,
    )
    assert sighting.detail.endswith(f"(as {SWAPPED}, the other byte order)")
    assert presence_of(lab, SWAPPED) is DELETED


def test_a_living_server_counts_before_a_deleted_one_of_the_other_byte_order(lab):
    lab.add()
    lab.add_dead(SWAPPED)
    assert presence_of(lab) is PRESENT


def test_the_other_byte_order_that_cannot_be_read_is_unknown(lab):
    lab.fail(f"/servers/{SWAPPED}$", 404)
    sighting = only_sighting(lab.open().look([X]))
    assert sighting.presence is UNKNOWN and SWAPPED in sighting.detail


def test_a_uuid_that_reads_the_same_in_both_byte_orders_is_asked_about_once(lab):
    same = "11111111-2222-2222-8000-000000000003"
    assert presence_of(lab, same) is ABSENT
    assert len(lab.lines(f"/servers/{same}")) == 1


# Answers about something else


def test_a_role_whose_uuid_filter_is_dropped_is_forbidden(lab):
    """Without allow_all_filters a page of other servers comes back."""
    lab.cloud.policy["lister"].remove("allow_all_filters")
    lab.log_in_as(LISTER)
    lab.add_dead()
    error = error_of(lab)
    assert isinstance(error, OSPForbidden) and "filter was ignored" in str(error)


def test_the_filter_test_is_not_fooled_by_a_cloud_with_a_single_server(lab):
    """The filter for the canary seems to work, since there is nothing else to list."""
    lab.cloud.policy["lister"].remove("allow_all_filters")
    lab.log_in_as(LISTER)
    assert isinstance(error_of(lab), OSPForbidden)
    assert len(lab.lines("uuid=")) == 2


def row(uuid=X, status="DELETED", terminated_at="2026-01-02T03:04:05.000000", **more):
    return {
        "id": uuid,
        "status": status,
        "tenant_id": project_id(HIGH),
        "OS-SRV-USG:terminated_at": terminated_at,
        "updated": "2026-01-02T03:04:06Z",
        **more,
    }


ABOUT_OTHERS = {
    "another's": [row(OTHER)],
    "with another's": [row(), row(OTHER)],
    "another's first": [row(OTHER), row()],
    "twice": [row(), row()],
    "in capitals": [row(X.upper())],
    "in the other byte order": [row(SWAPPED)],
}


@pytest.mark.parametrize("page", ABOUT_OTHERS.values(), ids=ABOUT_OTHERS)
@pytest.mark.parametrize("login", [ADMIN, LISTER], ids=["by GET", "by list"])
def test_a_tombstone_that_is_not_one_row_about_that_server_proves_nothing(
    lab, page, login
):
    lab.log_in_as(login)
    lab.fail(TOMBSTONE, 200, {"servers": page})
    assert presence_of(lab, empty_is_absent=True) is UNKNOWN


def nova_404(uuid):
    return {
        "itemNotFound": {"code": 404, "message": f"Instance {uuid} could not be found."}
    }


NOT_NOVAS_OWN = {
    "a proxy's HTML": (404, "<html>404 Not Found</html>", REQUEST_ID),
    "about another server": (404, nova_404(OTHER), REQUEST_ID),
    "without a request id": (404, nova_404(X), {}),
    "of Keystone's form": (
        404,
        {
            "error": {
                "code": 404,
                "message": f"Could not find {X}",
                "title": "Not Found",
            }
        },
        REQUEST_ID,
    ),
    "an empty object": (404, {}, REQUEST_ID),
    "without message": (404, {"itemNotFound": {"code": 404}}, REQUEST_ID),
    "not an object": (
        404,
        {"itemNotFound": f"Instance {X} could not be found."},
        REQUEST_ID,
    ),
    "gone": (410, nova_404(X), REQUEST_ID),
    "bad request": (400, nova_404(X), REQUEST_ID),
    "a redirect": (302, "", {"Location": "/login", **REQUEST_ID}),
    "moved for good": (301, "", {"Location": "/login", **REQUEST_ID}),
    "no content": (204, "", REQUEST_ID),
    "a login page": (200, "<html>Please log in</html>", REQUEST_ID),
    "null": (200, "null", REQUEST_ID),
    "a list": (200, [], REQUEST_ID),
    "an object of a list": (200, {"servers": []}, REQUEST_ID),
    "another server": (200, {"server": row(OTHER, "ACTIVE")}, REQUEST_ID),
    "the server in capitals": (200, {"server": row(X.upper(), "ACTIVE")}, REQUEST_ID),
    "a server without id": (200, {"server": {"status": "ACTIVE"}}, REQUEST_ID),
    "a 200 with Nova's 404": (200, nova_404(X), REQUEST_ID),
}


@pytest.mark.parametrize("answer", NOT_NOVAS_OWN.values(), ids=NOT_NOVAS_OWN)
def test_a_get_that_is_not_answered_by_nova_itself_is_unknown(fresh, answer):
    """Although a row would prove the termination."""
    lab, region = fresh
    lab.fail(TOMBSTONE, 200, {"servers": [row()]})
    fault = lab.fail(ASKING_GET, *answer)
    look = region.look([X])
    assert (only_sighting(look).presence, look.error) == (UNKNOWN, None)
    assert X in only_sighting(look).detail and fault.hits == 1


def test_the_request_id_may_be_in_either_header(lab):
    lab.add_dead()
    lab.fail(ASKING_GET, 404, nova_404(X), {"x-compute-request-id": "req-1"})
    assert presence_of(lab) is DELETED


FORBIDDEN = {
    "Nova's own": {"forbidden": {"code": 403, "message": "Policy doesn't allow it."}},
    "a proxy's": "<html>Forbidden</html>",
}


@pytest.mark.parametrize("body", FORBIDDEN.values(), ids=FORBIDDEN)
@pytest.mark.parametrize("known", [True, False], ids=["proven before", "proven after"])
def test_a_403_for_this_server_alone_does_not_make_it_absent(lab, known, body):
    """Nor does the list, which lacks it too: here it is the hidden half of a resize."""
    lab.add(hidden=True)
    region = lab.open()
    if known:
        region.prove_visibility()
    lab.fail(ASKING_GET, 403, body, REQUEST_ID)
    assert only_sighting(region.look([X])).presence is UNKNOWN


# The tombstone's contents


def after_nova_404(fresh, *entries):
    """The sighting if Nova says 404 and its list has these entries."""
    lab, region = fresh
    lab.fail(TOMBSTONE, 200, {"servers": list(entries)})
    return only_sighting(region.look([X]))


@pytest.mark.parametrize("updated", [None, "2026-01-02T03:04:05Z"])
def test_a_tombstone_without_the_time_of_the_termination_is_no_proof(fresh, updated):
    """The time of the last change does not replace it: if that is NULL, Nova prints the present."""
    sighting = after_nova_404(fresh, row(terminated_at=None, updated=updated))
    assert (sighting.presence, sighting.terminated_at) == (ABSENT, None)
    assert "has no time" in sighting.detail


@pytest.mark.parametrize(
    "broken",
    [
        *("", "soon", "2026-13-01T00:00:00", 1767323045, [], {}),
        *("0001-01-01T00:00:00", "9999-12-31T23:59:59"),  # no rule could add to it
    ],
)
def test_a_value_that_is_not_a_time_is_unknown(fresh, broken):
    assert (
        after_nova_404(fresh, row(terminated_at=broken, updated=broken)).presence
        is UNKNOWN
    )


def test_the_time_is_that_of_the_termination_and_not_of_a_later_change(fresh):
    sighting = after_nova_404(fresh, row(updated="2026-02-03T04:05:06Z"))
    assert (sighting.presence, sighting.terminated_at) == (DELETED, DIED)


@pytest.mark.parametrize(
    "status",
    [
        "ACTIVE",
        "SOFT_DELETED",
        "UNKNOWN",
        "deleted",
        "DELETED ",
        "",
        None,
        0,
        ["DELETED"],
        {"DELETED": 1},
    ],
)
def test_a_row_of_any_other_status_is_alive(fresh, status):
    assert after_nova_404(fresh, row(status=status)).presence is PRESENT


@pytest.mark.parametrize(
    "entry", [{}, {"id": None}, {"id": 7}, {"id": "junk"}, None, X, [X]], ids=str
)
def test_a_row_that_is_not_a_server_is_unknown(fresh, entry):
    assert after_nova_404(fresh, entry).presence is UNKNOWN


# Visibility: without it a 404 means nothing


def proof(lab, **how):
    return lab.open(**how).prove_visibility()


def test_a_server_of_another_project_proves_visibility_by_a_get(lab):
    lab.add(OTHER, project=LOW)
    assert proof(lab) == (
        True,
        f"the login can see other projects' servers (example: {CANARY})",
    )


def test_visibility_is_proven_once_a_run(lab):
    region = lab.open()
    assert region.prove_visibility() is region.prove_visibility()
    assert len(lab.lines(CANARY)) == 1


@pytest.mark.parametrize("project", [LOW, HIGH])
def test_another_projects_server_is_found_at_either_end_of_the_list(bare, project):
    own = {LOW: HIGH, HIGH: LOW}[project]
    account = Account("someone", "changeme", own, ("admin",))
    bare.cloud.accounts.append(account)
    bare.log_in_as(account)
    bare.add(CANARY, project=project)
    for number in range(1, 6):
        bare.add(str(UUID(int=number << 64)), project=own)
    assert CANARY in proof(bare).proof


def test_an_admin_whose_cloud_has_no_other_project_relies_on_the_role(bare):
    bare.add(CANARY, project=LOW)
    assert proof(bare) == (
        True,
        "all servers belong to the login's own project; relies on its role admin",
    )
    bare.add_dead(project=LOW)
    assert presence_of(bare) is DELETED


def test_a_lister_whose_cloud_has_no_other_project_relies_on_all_tenants(bare):
    bare.log_in_as(LISTER)
    bare.cloud.policy["lister"].add("show")
    bare.add(CANARY, project=LOW)
    assert proof(bare) == (
        False,
        "all servers belong to the login's own project; relies on all_tenants being honoured",
    )


def test_a_login_that_may_show_and_list_but_not_filter_proves_nothing_by_its_own_servers(
    bare,
):
    bare.log_in_as(LISTER)
    bare.cloud.policy["lister"] = RIGHTS - {"allow_all_filters"} | {"show"}
    bare.add(CANARY, project=LOW)
    assert isinstance(error_of(bare), OSPForbidden)


def test_a_build_request_does_not_prove_visibility(bare):
    """Every login can GET it, and lists show it first."""
    bare.add(CANARY, cell="", status="BUILD")
    assert "no active server" in str(error_of(bare))


def test_a_build_request_listed_before_the_logins_own_server_does_not_prove_visibility(
    bare,
):
    bare.log_in_as(LISTER)
    bare.cloud.policy["lister"] = RIGHTS - {"allow_all_filters"} | {"show"}
    bare.add(CANARY, cell="", status="BUILD")
    bare.add(OTHER, project=LOW)
    assert isinstance(error_of(bare), OSPForbidden)
    assert not bare.lines(f"/servers/{CANARY}$")


@pytest.mark.parametrize(
    "status", ["REBOOT", "HARD_REBOOT", "MIGRATING", "PASSWORD", "REBUILD", "RESIZE"]
)
def test_a_canary_that_is_just_busy_proves_visibility(bare, status):
    """Nova filters by vm_state: asked for ACTIVE, it returns these as well."""
    bare.add(CANARY, status=status)
    assert proof(bare).by_get


NO_CANARY = {
    "a build request, the filter ignored": {
        "id": OTHER,
        "status": "BUILD",
        "tenant_id": project_id(HIGH),
    },
    "of no project": {"id": OTHER, "status": "ACTIVE"},
    "of a project that is null": {"id": OTHER, "status": "ACTIVE", "tenant_id": None},
}


@pytest.mark.parametrize("entry", NO_CANARY.values(), ids=NO_CANARY)
def test_a_canary_proves_nothing_unless_it_is_an_active_server_of_another_project(
    lab, entry
):
    lab.add_dead()
    lab.add(OTHER, cell="", status="BUILD")
    lab.fail(CANARY_LIST, 200, {"servers": [entry]})
    assert isinstance(error_of(lab), OSPError)


def test_a_canary_that_dies_before_it_is_read_proves_nothing(lab):
    lab.fail(CANARY_LIST, 200, {"servers": [row(OTHER, "ACTIVE")]})
    lab.add_dead(OTHER)
    lab.add_dead()
    assert isinstance(error_of(lab), OSPForbidden)


def test_a_canary_without_instance_mapping_is_enough_to_believe_a_tombstone(bare):
    """Its GET is a 404 for an admin too, so the filtered list has to show it."""
    bare.add(CANARY, mapped=False)
    bare.add_dead()
    assert proof(bare) == (
        False,
        f"the login can list other projects' servers (example: {CANARY})",
    )
    assert presence_of(bare) is DELETED


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"server": row(OTHER, "ACTIVE")}),
        (200, "<html>Please log in</html>"),
        (404, "<html>proxy</html>"),
        (302, ""),
        (400, {}),
    ],
)
def test_a_canary_that_cannot_be_read_proves_nothing(lab, answer):
    lab.add_dead()
    lab.fail(f"/servers/{CANARY}$", *answer)
    assert isinstance(error_of(lab), OSPForbidden)


def test_visibility_that_could_not_be_proven_is_tried_again_by_the_next_look(lab):
    lab.add_dead()
    lab.fail(CANARY_LIST, 500, times=1)
    region = lab.open()
    assert [only_sighting(region.look([X])).presence for _ in range(2)] == [
        UNKNOWN,
        DELETED,
    ]


# The least-privilege role can list and filter, but its GET of another project's server is a 404


@pytest.fixture
def lister(lab):
    lab.log_in_as(LISTER)
    return lab


def test_a_lister_proves_visibility_by_the_filtered_list(lister):
    assert proof(lister) == (
        False,
        f"the login can list other projects' servers (example: {CANARY})",
    )


def test_a_lister_sees_living_servers_and_proves_terminations(lister):
    lister.add()
    lister.add_dead(OTHER)
    look = lister.open().look([X, OTHER])
    assert (look.sightings[X].presence, look.sightings[X].detail) == (PRESENT, "ACTIVE")
    assert (look.sightings[OTHER].presence, look.sightings[OTHER].terminated_at) == (
        DELETED,
        DIED,
    )


def test_a_lister_that_may_not_show_its_own_server_finds_it_in_the_list(lister):
    lister.add(project=LOW)
    assert presence_of(lister) is PRESENT
    lister.cloud.terminate("RegionOne", X, DIED.timestamp())
    assert presence_of(lister) is DELETED


def test_the_get_of_a_lister_that_may_also_show_proves_nothing(lister):
    lister.cloud.policy["lister"].add("show")
    lister.add()
    assert not proof(lister).by_get
    assert presence_of(lister) is PRESENT


def test_an_empty_list_is_unknown_to_a_lister(lister):
    sighting = only_sighting(lister.open().look([X]))
    assert sighting.presence is UNKNOWN
    assert "lists_fail_on_down_cell" in sighting.detail


def test_an_empty_list_may_mean_absent_to_a_lister_if_lists_fail_on_a_down_cell(
    lister,
):
    lister.cloud.skip_down_cells = False
    assert presence_of(lister, empty_is_absent=True) is ABSENT
    lister.add(cell="cell2")
    lister.cloud.down_cells.add("cell2")
    assert presence_of(lister, empty_is_absent=True) is UNKNOWN


def test_the_flag_for_empty_lists_relies_on_there_being_no_cross_cell_resize(lister):
    """This role cannot tell a hidden row from a missing one, so without the flag it is unknown."""
    lister.add(hidden=True)
    assert presence_of(lister) is UNKNOWN
    assert presence_of(lister, empty_is_absent=True) is ABSENT
    lister.log_in_as(ADMIN)
    assert presence_of(lister, empty_is_absent=True) is PRESENT


def test_a_lister_does_not_see_that_a_cell_is_down_and_so_knows_nothing(lister):
    lister.add(cell="cell2")
    lister.cloud.down_cells.add("cell2")
    assert presence_of(lister) is UNKNOWN


def test_the_flag_for_empty_lists_does_not_matter_to_a_login_that_reads_by_get(lab):
    assert presence_of(lab, empty_is_absent=False) is ABSENT


def test_a_lister_without_the_detailed_list_is_forbidden(lister):
    lister.cloud.policy["lister"].remove("detail:get_all_tenants")
    assert isinstance(error_of(lister), OSPForbidden)


# Logging in


def refused(lab, region="RegionOne"):
    with pytest.raises(OSPError) as caught:
        lab.open(region)
    return caught.value


@pytest.mark.parametrize(
    "change",
    [{"password": "wrong"}, {"username": "nobody"}, {"project_name": "elsewhere"}],
)
def test_a_wrong_login_is_a_login_error(lab, change):
    lab.configure(
        auth={
            "username": "admin",
            "password": "changeme",
            "project_name": LOW,
            "user_domain_id": "default",
            "project_domain_id": "default",
            **change,
        }
    )
    assert isinstance(refused(lab), OSPLoginError)


@pytest.mark.parametrize("mishap", ["deleted", "expired"])
def test_an_application_credential_that_is_gone_is_a_refused_login(lab, mishap):
    """The deleted one is a NotFound."""
    setattr(lab.log_in_with_credential(), mishap, True)
    assert isinstance(refused(lab), OSPLoginError)


@pytest.mark.parametrize("mishap", ["deleted", "expired"])
@pytest.mark.parametrize("proven", [True, False], ids=["proven", "not proven"])
def test_an_application_credential_deleted_or_expired_in_mid_run_makes_all_unknown(
    lab, mishap, proven
):
    """That 404 is about the login and not about the server."""
    lab.add()
    credential, region = lab.log_in_with_credential(), lab.open()
    if proven:
        region.prove_visibility()
    assert only_sighting(region.look([X])).presence is PRESENT
    setattr(credential, mishap, True)
    look = region.look([X])
    assert only_sighting(look).presence is UNKNOWN
    assert isinstance(look.error, OSPLoginError)


def test_an_application_credential_deleted_while_listing_is_a_refused_login(lab):
    credential, region = lab.log_in_with_credential(), lab.open()
    region.prove_visibility()
    credential.deleted = True
    with pytest.raises(OSPLoginError):
        list_uuids(region)


def test_a_password_logs_in_again_when_the_token_expires_in_mid_run(lab):
    lab.add_dead()
    region = lab.open()
    region.prove_visibility()
    lab.cloud.expire_tokens()
    assert only_sighting(region.look([X])).presence is DELETED
    assert len(lab.lines("POST")) == 2


def test_all_workers_survive_a_token_that_expires_in_mid_run(lab):
    """If several are refused at once, keystoneauth lets only the first log in again."""
    uuids = numbered(4 * WORKERS)
    for uuid in uuids:
        lab.add(uuid)
    region = lab.open()
    lab.cloud.expire_tokens()
    together = threading.Barrier(WORKERS, timeout=10)
    stale = region.nova.session.get_token()

    def handle(request):
        if request.headers["X-Auth-Token"] == stale and "/servers/" in request.path:
            together.wait()
        return lab.cloud.handle(request)

    lab.handlers[:] = [handle]
    assert {
        sighting.presence for sighting in region.look(uuids).sightings.values()
    } == {PRESENT}


def test_a_static_token_that_expires_in_mid_run_makes_all_unknown(lab):
    lab.add_dead()
    lab.log_in_with_token()
    region = lab.open()
    assert only_sighting(region.look([X])).presence is DELETED
    lab.cloud.expire_tokens()
    look = region.look([X])
    assert only_sighting(look).presence is UNKNOWN
    assert isinstance(look.error, OSPLoginError)


def test_a_404_is_not_a_termination_to_an_admin_who_loses_the_role_in_mid_run(lab):
    lab.add()
    region = lab.open()
    assert region.prove_visibility().by_get
    [account] = [account for account in lab.cloud.accounts if account.name == "admin"]
    lab.cloud.accounts.append(replace(account, roles=("reader",)))
    lab.cloud.accounts.remove(account)
    lab.cloud.expire_tokens()
    look = region.look([X])
    assert only_sighting(look).presence is UNKNOWN
    assert isinstance(look.error, OSPForbidden)


def test_a_nova_that_refuses_even_a_new_token_makes_all_unknown(lab):
    lab.add_dead()
    lab.fail(ASKING_GET, 401, {})
    assert isinstance(error_of(lab), OSPLoginError)


def test_a_region_without_compute_endpoint_is_a_configuration_error(lab):
    lab.cloud.no_endpoint.add("RegionTwo")
    assert isinstance(refused(lab, "RegionTwo"), OSPConfigError)
    assert isinstance(refused(lab, "RegionThree"), OSPConfigError)


def test_an_interface_that_the_catalog_lacks_is_a_configuration_error(lab):
    lab.log_in_as(ADMIN, interface="admin")
    assert isinstance(refused(lab), OSPConfigError)


def test_a_catalog_that_changes_in_mid_run_does_not_lead_to_another_nova(lab):
    """Its visibility would not be proven."""
    lab.add_dead()
    region = lab.open()
    lab.cloud.compute_urls["RegionOne"] = "{url}/compute/RegionTwo/v2.1"
    lab.cloud.expire_tokens()
    assert only_sighting(region.look([X])).presence is DELETED
    assert lab.lines("RegionTwo") == []


def test_a_login_without_a_project_is_a_configuration_error(lab):
    lab.configure(
        auth={"username": "admin", "password": "changeme", "user_domain_id": "default"}
    )
    assert isinstance(refused(lab), OSPConfigError)


@pytest.mark.parametrize(
    "url, kind",
    [
        ("http://127.0.0.1:1/v3", OSPError),
        ("https://127.0.0.1:{port}/v3", OSPError),
        ("{url}/identity/v3", OSPError),
        ("nonsense", OSPError),
    ],
)
def test_an_auth_url_that_leads_nowhere_is_an_error(lab, url, kind):
    lab.configure(
        auth={
            "auth_url": url.format(
                url=lab.server.url, port=lab.server.url.rpartition(":")[2]
            ),
            "username": "admin",
            "password": "changeme",
            "project_name": LOW,
            "user_domain_id": "default",
            "project_domain_id": "default",
        }
    )
    assert isinstance(refused(lab), kind)


def test_an_auth_url_with_a_wrong_path_is_a_refused_login(lab):
    """A plugin that skips version discovery gets a 404, the class of a missing server."""
    lab.log_in_as(ADMIN, auth_type="v3password")
    lab.fail("POST /v3/auth/tokens", 404)
    assert isinstance(refused(lab), OSPLoginError)


def test_a_ca_file_that_is_missing_is_a_configuration_error(lab):
    lab.configure(
        auth={
            "auth_url": lab.server.url.replace("http", "https"),
            "username": "admin",
            "password": "changeme",
            "project_name": LOW,
            "user_domain_id": "default",
            "project_domain_id": "default",
        },
        cacert="/nowhere/ca.crt",
    )
    assert isinstance(refused(lab), OSPConfigError)


@pytest.fixture
def environment(lab, monkeypatch):
    """A login by OS_* variables alone."""
    lab.config.unlink()
    for name, value in {
        "AUTH_URL": lab.server.url + "/v3",
        "USERNAME": "admin",
        "PASSWORD": "changeme",
        "PROJECT_NAME": LOW,
        "USER_DOMAIN_ID": "default",
        "PROJECT_DOMAIN_ID": "default",
        "REGION_NAME": "RegionTwo",
    }.items():
        monkeypatch.setenv(f"OS_{name}", value)
    return lab


def test_the_environment_alone_is_enough(environment):
    environment.add(region="RegionTwo")
    assert region_names(None) == ["RegionTwo"]
    assert only_sighting(Region.open(None, "RegionTwo").look([X])).presence is PRESENT


def test_another_region_than_that_of_the_environment_can_be_asked(environment):
    environment.add()
    assert only_sighting(Region.open(None, "RegionOne").look([X])).presence is PRESENT


def test_a_region_that_only_the_catalog_names_can_be_asked(lab):
    lab.add(region="RegionTwo")
    assert presence_of(lab, region="RegionTwo") is PRESENT


def test_a_region_that_only_the_catalog_names_can_be_asked_of_the_cloud_in_os_cloud(
    lab, monkeypatch
):
    monkeypatch.setenv("OS_CLOUD", "prod")
    lab.add(region="RegionTwo")
    assert only_sighting(Region.open(None, "RegionTwo").look([X])).presence is PRESENT


def test_a_stray_variable_of_the_environment_does_not_keep_a_named_cloud_from_being_used(
    lab, monkeypatch
):
    monkeypatch.setenv("OS_COMPUTE_API_VERSION", "2.90")
    lab.add()
    assert region_names("prod") == ["RegionOne"]
    assert presence_of(lab) is PRESENT
    assert {
        request.headers["X-OpenStack-Nova-API-Version"]
        for request in lab.server.requests[2:]
    } == {"2.1"}


def test_another_cloud_that_is_broken_does_not_keep_a_named_one_from_being_used(lab):
    clouds = json.loads(lab.config.read_text())["clouds"]
    lab.write({**clouds, "staging": {"auth_type": "magic"}})
    lab.add()
    assert region_names("prod") == ["RegionOne"]
    assert presence_of(lab) is PRESENT


def test_a_cloud_that_clouds_yaml_does_not_name_is_a_configuration_error(lab):
    for ask in (
        lambda: Region.open("elsewhere", "RegionOne"),
        lambda: region_names("elsewhere"),
    ):
        with pytest.raises(OSPConfigError, match="elsewhere"):
            ask()


BROKEN_FILES = {
    "not valid YAML": "clouds: [",
    "a control character": "\0",
    "empty": "",
    "a number": "3",
    "clouds a number": "clouds: 3",
    "no cloud": "clouds: {}",
    "the cloud null": "clouds: {prod: null}",
    "the cloud a number": "clouds: {prod: 3}",
    "auth a number": "clouds: {prod: {auth: 3}}",
    "an unknown auth_type": "clouds: {prod: {auth_type: magic}}",
    "regions without name": "clouds: {prod: {regions: [{}]}}",
    "a region that is null": "clouds: {prod: {region_name: null}}",
}


@pytest.mark.parametrize("text", BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_a_broken_clouds_yaml_is_a_configuration_error(lab, text):
    lab.config.write_text(text)
    for ask in (lambda: Region.open("prod", "RegionOne"), lambda: region_names("prod")):
        with pytest.raises(OSPConfigError):
            ask()


def test_a_timeout_that_is_not_a_number_is_a_configuration_error(lab):
    lab.log_in_as(ADMIN, api_timeout="soon")
    assert isinstance(refused(lab), OSPConfigError)


def test_the_regions_are_those_of_clouds_yaml(lab):
    assert region_names("prod") == ["RegionOne"]
    lab.log_in_as(ADMIN, region_name=None, regions=["RegionTwo", {"name": "RegionOne"}])
    assert region_names("prod") == ["RegionTwo", "RegionOne"]
    lab.log_in_as(ADMIN, region_name=None)
    with pytest.raises(OSPConfigError, match="no region is named"):
        region_names("prod")


def test_a_login_and_its_secrets_are_in_no_error(lab):
    lab.configure(
        auth={
            "username": "admin",
            "password": "hunter2",
            "project_name": LOW,
            "user_domain_id": "default",
            "project_domain_id": "default",
        }
    )
    assert "hunter2" not in str(refused(lab))


# Any mishap, at any request

QUESTIONS = {
    "the first list for a canary": "sort_dir=asc",
    "the second list for a canary": "sort_dir=desc",
    "the canary's GET": f"/servers/{CANARY}$",
    "the asking GET": ASKING_GET,
    "the tombstone": TOMBSTONE,
    "the row without changes-since": PLAIN_ROW,
    "the other byte order's GET": f"/servers/{SWAPPED}$",
    "the other byte order's tombstone": f"uuid={SWAPPED}.*changes-since",
    "the other byte order's row": f"uuid={SWAPPED}&limit=2$",
}
MISHAPS = {
    "500": (500, {"computeFault": {"code": 500, "message": "Unexpected API Error."}}),
    "502": (502,),
    "503": (503,),
    "504": (504, ""),
    "429": (429, {"overLimit": {"code": 429}}),
    "401": (401, {"error": {"code": 401}}),
    "400": (400, {"badRequest": {"code": 400}}),
    "406": (406, {}),
    "403 of a proxy": (403,),
    "404 of a proxy": (404,),
    "404 in JSON": (404, {"error": {"code": 404}}),
    "302": (302, "", {"Location": "/login"}),
    "307": (307, "", {"Location": "/v3"}),
    "200 HTML": (200, "<html>"),
    "invalid JSON": (200, '{"servers": [{"id": '),
    "null": (200, "null"),
    "a string": (200, '"servers"'),
    "a list": (200, [{"id": CANARY}]),
    "an object": (200, {"server": None, "servers": None}),
    "nested too deep": (200, "[" * 100_000),
    "a number too long": (200, "1" * 10_000),
    "not text": (200, b"\xff\xfe\0"),
    "not gzip": (200, "plain", {"Content-Encoding": "gzip"}),
    "another charset": (200, b"{", {"Content-Type": "a; charset=b"}),
}


# At the requests that decide, all mishaps; at the others, one of each kind.
USUAL = (
    "500",
    "503",
    "429",
    "401",
    "403 of a proxy",
    "404 of a proxy",
    "302",
    "200 HTML",
    "invalid JSON",
    "null",
)
DECIDING = ("the asking GET", "the tombstone")
MATRIX = [
    pytest.param(pattern, mishap, id=f"{question}-{name}")
    for question, pattern in QUESTIONS.items()
    for name, mishap in MISHAPS.items()
    if question in DECIDING or name in USUAL
]


def test_without_a_mishap_every_question_is_asked_once(fresh):
    lab, region = fresh
    assert only_sighting(region.look([X])).presence is ABSENT
    assert {
        name: len(lab.lines(pattern)) for name, pattern in QUESTIONS.items()
    } == dict.fromkeys(QUESTIONS, 1)
    assert len(lab.lines()) == len(QUESTIONS)


@pytest.mark.parametrize("question, mishap", MATRIX)
def test_a_mishap_at_any_question_leaves_the_server_unknown(fresh, question, mishap):
    lab, region = fresh
    fault = lab.fail(question, *mishap)
    sighting = only_sighting(region.look([X]))
    assert fault.hits
    assert sighting.presence is UNKNOWN and sighting.detail


@pytest.mark.parametrize("status", [429, 500, 503, 504])
def test_a_nova_that_fails_or_is_too_busy_makes_the_whole_region_unknown(fresh, status):
    lab, region = fresh
    lab.fail(ASKING_GET, status)
    look = region.look([X, CANARY])
    assert str(status) in str(look.error)
    assert look.sightings[CANARY].presence is UNKNOWN


SECOND_TRIES = {
    "503": {"status": 503},
    "reset": {"reset": True},
    "401": {"status": 401},
}


@pytest.mark.parametrize("how", SECOND_TRIES.values(), ids=SECOND_TRIES)
@pytest.mark.parametrize(
    "question",
    [CANARY_LIST, f"/servers/{CANARY}$", ASKING_GET, TOMBSTONE],
    ids=[
        "the list for a canary",
        "the canary's GET",
        "the asking GET",
        "the tombstone",
    ],
)
def test_a_hiccup_at_any_question_is_overcome_by_asking_again(fresh, question, how):
    lab, region = fresh
    fault = lab.fail(question, times=1, **how)
    assert only_sighting(region.look([X])).presence is ABSENT
    assert fault.hits == 2 + (question == CANARY_LIST)


def busy(lab, text, question=ASKING_GET, status=503, **how):
    """Make Nova ask for patience with this Retry-After."""
    return lab.fail(question, status, headers={"Retry-After": text}, **how)


def http_date(seconds):
    return format_datetime(
        datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True
    )


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_any_request_is_repeated_if_nova_asks_for_patience(
    fresh, waited, question, status
):
    lab, region = fresh
    fault = busy(lab, "7", question, status, times=TRIES - 1)
    assert only_sighting(region.look([X])).presence is ABSENT
    assert (fault.hits, waited) == (TRIES, [7.0] * (TRIES - 1))


@pytest.mark.parametrize("status", [429, 503])
def test_a_nova_that_keeps_asking_for_patience_makes_the_region_unknown(
    fresh, waited, status
):
    lab, region = fresh
    fault = busy(lab, "0", status=status)
    look = region.look([X])
    assert only_sighting(look).presence is UNKNOWN
    assert str(status) in str(look.error)
    assert (fault.hits, sum(waited)) == (TRIES, 0)


def test_the_checker_waits_for_nova_up_to_its_full_patience(fresh, waited):
    lab, region = fresh
    busy(lab, f"{PATIENCE:.0f}", times=1)
    assert only_sighting(region.look([X])).presence is ABSENT
    assert waited == [PATIENCE]


@pytest.mark.parametrize(
    "text",
    [f"{PATIENCE + 1:.0f}", "86400", "9" * 400, http_date(PATIENCE + 3600)],
    ids=["a second more", "a day", "forever", "a date"],
)
def test_the_checker_does_not_wait_for_nova_beyond_its_patience(fresh, waited, text):
    lab, region = fresh
    fault = busy(lab, text, status=429)
    assert only_sighting(region.look([X])).presence is UNKNOWN
    assert (fault.hits, waited) == (1, [])


@pytest.mark.parametrize(
    ("ahead", "least", "most"), [(60, 1, 60), (-3600, 0, 0)], ids=["to come", "over"]
)
def test_nova_may_ask_for_patience_until_a_date(fresh, waited, ahead, least, most):
    lab, region = fresh
    fault = busy(lab, http_date(ahead), times=1)
    assert only_sighting(region.look([X])).presence is ABSENT
    assert fault.hits == 2
    assert least <= sum(waited) <= most


NONSENSE = (
    "",
    " ",
    "soon",
    "-1",
    "1.5",
    "1e1",
    "inf",
    "nan",
    "\xb2",
    "1 2",
    "Sun, 99 Nov 2026 12:00:00 GMT",
    "Sun, 22 Nov 99999 12:00:00 GMT",
)


@pytest.mark.parametrize("text", NONSENSE)
def test_an_invalid_retry_after_counts_as_missing(fresh, waited, text):
    lab, region = fresh
    refused = busy(lab, text, status=429)
    assert only_sighting(region.look([X])).presence is UNKNOWN
    assert (refused.hits, waited) == (1, [])


@pytest.mark.parametrize("text", NONSENSE)
def test_a_503_with_an_invalid_retry_after_is_tried_once_more_shortly_after(
    fresh, waited, text
):
    lab, region = fresh
    fault = busy(lab, text)
    assert only_sighting(region.look([X])).presence is UNKNOWN
    assert (fault.hits, waited) == (2, [0.001])


@pytest.mark.parametrize("status", [400, 403, 404, 500, 502, 504])
def test_no_other_answer_is_a_request_for_patience(fresh, waited, status):
    """A cell that is down is a 500, even if a proxy adds a Retry-After."""
    lab, region = fresh
    fault = busy(lab, "0", TOMBSTONE, status)
    assert only_sighting(region.look([X])).presence is UNKNOWN
    assert (fault.hits, waited) == (1, [])


def test_the_checker_pauses_after_each_answer(fresh, waited):
    lab, region = fresh
    region = replace(region, manners=Manners(pause=0.25))
    region.look([X, OTHER])
    list_uuids(region)
    assert waited == [0.25] * len(lab.lines())


def test_there_is_no_pause_unless_one_is_configured(fresh, waited):
    _, region = fresh
    region.look([X, OTHER])
    list_uuids(region)
    assert waited == []


def test_waiting_for_a_server_replaces_the_pause(fresh, waited):
    lab, region = fresh
    busy(lab, "3", "/servers", times=1)
    assert (
        replace(region, manners=Manners(workers=1, pause=0.25)).look([CANARY]).error
        is None
    )
    assert waited == [3.0, 0.25]


def test_a_page_of_servers_has_the_configured_size(bare):
    manners = Manners(page_size=2, readers=1)
    for uuid in numbered(5):
        bare.add(uuid)
    assert list_uuids(bare.open(manners=manners)) == set(numbered(5))
    assert [
        line.partition("limit=")[2].partition("&")[0]
        for line in bare.lines("limit=.*marker")
    ] == ["2"] * 3
    # 2 + 2 + 1, and the empty page that ends it.
    assert len(bare.lines(r"/servers\?all_tenants=1&limit=2")) == 4


def test_a_500_is_not_tried_again(fresh):
    lab, region = fresh
    fault = lab.fail(ASKING_GET, 500)
    assert region.look([X]).error
    assert fault.hits == 1


@pytest.mark.parametrize("how", ["reset", "cut"])
@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_an_answer_that_breaks_off_leaves_the_server_unknown(fresh, question, how):
    lab, region = fresh
    fault = lab.fail(question, **{how: True})
    assert only_sighting(region.look([X])).presence is UNKNOWN
    assert fault.hits


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_an_answer_that_does_not_come_leaves_the_server_unknown(lab, question):
    lab.log_in_as(ADMIN, api_timeout=0.1)
    lab.add(OTHER, project=LOW)
    region = lab.open()
    lab.hang(question)
    look = region.look([X])
    assert only_sighting(look).presence is UNKNOWN
    assert "not reachable" in str(look.error)


def test_a_cloud_without_a_configured_timeout_has_one_all_the_same(
    lab,
):
    assert lab.open().nova.session.timeout == 60


@pytest.mark.parametrize("mishap", USUAL)
@pytest.mark.parametrize("page", [0, 2], ids=["first page", "last page"])
def test_a_mishap_at_any_page_of_the_list_is_an_error(fresh, page, mishap):
    lab, region = fresh
    lab.cloud.max_limit = 1
    lab.fail(LIST, *MISHAPS[mishap], skip=page)
    with pytest.raises(OSPError):
        list_uuids(region)


@pytest.mark.parametrize("how", ["reset", "cut"])
def test_a_page_that_breaks_off_is_an_error(fresh, how):
    lab, region = fresh
    lab.cloud.max_limit = 1
    lab.fail(LIST, **{how: True}, skip=1)
    with pytest.raises(OSPError):
        list_uuids(region)


KEYSTONE_MISHAPS = {
    **{
        name: MISHAPS[name]
        for name in (
            "500",
            "503",
            "429",
            "400",
            "403 of a proxy",
            "404 of a proxy",
            "404 in JSON",
            "200 HTML",
            "invalid JSON",
            "null",
            "a string",
            "a list",
            "an object",
            "nested too deep",
        )
    },
    "a token without contents": (201, {"token": {}}, {"X-Subject-Token": "t"}),
    "a token that is null": (201, {"token": None}, {"X-Subject-Token": "t"}),
    "a token without its header": (
        201,
        {"token": {"expires_at": "2099-01-01T00:00:00.000000Z"}},
    ),
    "an invalid catalog": (
        201,
        {"token": {"expires_at": "2099-01-01T00:00:00.000000Z", "catalog": 3}},
        {"X-Subject-Token": "t"},
    ),
    "an invalid time": (
        201,
        {"token": {"expires_at": "soon"}},
        {"X-Subject-Token": "t"},
    ),
}


@pytest.mark.parametrize("mishap", KEYSTONE_MISHAPS.values(), ids=KEYSTONE_MISHAPS)
def test_a_mishap_at_the_login_is_an_osp_error(lab, mishap):
    lab.fail("POST /v3/auth/tokens", *mishap)
    assert refused(lab)


@pytest.mark.parametrize("how", ["reset", "cut"])
def test_a_login_that_breaks_off_is_an_osp_error(lab, how):
    lab.fail("POST /v3/auth/tokens", **{how: True})
    assert refused(lab)


def test_a_login_that_never_ends_is_an_osp_error(lab):
    lab.log_in_as(ADMIN, api_timeout=0.1)
    lab.hang("POST")
    assert refused(lab)


@pytest.mark.parametrize("mishap", KEYSTONE_MISHAPS.values(), ids=KEYSTONE_MISHAPS)
def test_a_mishap_at_a_second_login_leaves_the_server_unknown(lab, mishap):
    lab.add_dead()
    region = lab.open()
    region.prove_visibility()
    lab.cloud.expire_tokens()
    fault = lab.fail("POST /v3/auth/tokens", *mishap)
    assert only_sighting(region.look([X])).presence is UNKNOWN
    assert fault.hits


@pytest.mark.filterwarnings("ignore:Failed to discover")
@pytest.mark.parametrize(
    "mishap",
    [
        (500,),
        (404,),
        (200, "<html>"),
        (200, "{"),
        (200, "null"),
        (200, '"text"'),
        (200, []),
        (300, {}),
        (200, {"version": {}}),
        (200, "[" * 100_000),
    ],
    ids=lambda mishap: "-".join(str(part)[:15] for part in mishap),
)
def test_a_mishap_at_keystones_versions_is_either_overcome_or_an_osp_error(lab, mishap):
    lab.add_dead()
    fault = lab.fail("GET /v3$", *mishap)
    try:
        assert presence_of(lab) is DELETED
    except OSPError as error:
        assert "login" in str(error)
    assert fault.hits


@pytest.mark.parametrize(
    "question", [ASKING_GET, TOMBSTONE], ids=["the asking GET", "the tombstone"]
)
@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.SSLError("bad certificate"),
        requests.exceptions.ReadTimeout("slow"),
        requests.exceptions.ConnectTimeout("slow"),
        requests.exceptions.ConnectionError("no route"),
        requests.exceptions.ChunkedEncodingError("half a chunk"),
        requests.exceptions.ContentDecodingError("no gzip"),
        requests.exceptions.TooManyRedirects("round and round"),
        requests.exceptions.InvalidHeader("a header"),
        OSError("a socket"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_connection_error_leaves_the_server_unknown(fresh, question, error):
    lab, region = fresh
    lab.add_dead()
    try:
        with responses.RequestsMock() as wire:
            wire.add_passthru(lab.server.url)
            wire.get(re.compile(f"{re.escape(lab.server.url)}.*{question}"), body=error)
            look = region.look([X])
    finally:
        lab.cloud.archive("RegionOne", X)
    assert only_sighting(look).presence is UNKNOWN
    assert isinstance(look.error, OSPError)


# What it costs


def cost(lab, uuids=(X,), **how):
    """The kinds of requests that one look makes, login included."""
    lab.server.requests.clear()
    lab.open(**how).look(uuids)
    return Counter(kind(line) for line in lab.lines())


def kind(line):
    kinds = (
        ("GET /v3$", "version"),
        ("POST /v3/auth/tokens$", "token"),
        (CANARY_LIST, "canary list"),
        (LIST, "list"),
        ("changes-since", "tombstone"),
        ("uuid=", "row"),
        ("/servers/[^/?]+$", "GET"),
        ("", line),
    )
    return next(name for pattern, name in kinds if re.search(pattern, line))


def test_one_alive_uuid_costs_one_token_and_one_get(lab):
    lab.add()
    assert cost(lab) == {"version": 1, "token": 1, "GET": 1}


def test_one_dead_uuid_also_costs_the_canary_and_a_tombstone(lab):
    lab.add_dead()
    assert cost(lab) == {
        "version": 1,
        "token": 1,
        "GET": 2,
        "canary list": 1,
        "tombstone": 1,
    }


def test_the_canary_costs_one_more_list_if_the_logins_project_comes_first(lab):
    lab.add(OTHER, project=LOW)
    lab.add_dead()
    assert cost(lab) == {
        "version": 1,
        "token": 1,
        "GET": 2,
        "canary list": 2,
        "tombstone": 1,
    }


def test_one_archived_uuid_costs_a_second_row_and_the_other_byte_order(lab):
    assert cost(lab) == {
        "version": 1,
        "token": 1,
        "GET": 3,
        "canary list": 1,
        "tombstone": 2,
        "row": 2,
    }


def test_once_visibility_is_proven_a_dead_uuid_costs_two_requests(lab):
    lab.add_dead()
    region = lab.open()
    list_uuids(region)
    lab.server.requests.clear()
    assert only_sighting(region.look([X])).presence is DELETED
    assert len(lab.lines()) == 2


def test_a_lister_that_proved_its_visibility_never_asks_by_get(lister):
    lister.add()
    region = lister.open()
    region.prove_visibility()
    lister.server.requests.clear()
    assert only_sighting(region.look([X])).presence is PRESENT
    assert [kind(line) for line in lister.lines()] == ["tombstone"]


def numbered(count):
    return [str(UUID(int=number << 64 | 9)) for number in range(1, count + 1)]


def test_after_the_first_error_a_region_is_not_asked_about_the_remaining_uuids(lab):
    lab.fail("/servers/0000", 500)
    look = lab.open().look(numbered(400))
    assert {sighting.presence for sighting in look.sightings.values()} == {UNKNOWN}
    assert len(look.sightings) == 400
    lab.settle()
    assert len(lab.lines("/servers/0000")) < 100


def test_an_error_stops_the_requests_even_while_the_first_answer_is_awaited(lab):
    uuids = numbered(60)
    enough = threading.Event()
    lab.fail(f"/servers/{uuids[1]}$", 500)

    def handle(request):
        if len(lab.lines("/servers/0000")) >= len(uuids):
            enough.set()
        if request.path.endswith(uuids[0]):
            enough.wait(0.5)  # until all other requests are sent, or half a second
        return lab.cloud.handle(request)

    lab.handlers[:] = [handle]
    assert lab.open().look(uuids).error
    lab.settle()
    assert len(lab.lines("/servers/0000")) <= 3 * WORKERS


@pytest.mark.parametrize("workers", [1, 3, WORKERS])
def test_as_many_requests_are_in_progress_as_there_are_workers_and_no_more(
    lab, workers
):
    uuids = numbered(3 * workers)
    for uuid in uuids:
        lab.add(uuid)
    under_way, most, lock = [0], [0], threading.Lock()
    # With fewer requests at once, the barrier would time out.
    full = threading.Barrier(workers, timeout=10)

    def handle(request):
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        full.wait()
        with lock:
            under_way[0] -= 1
        return lab.cloud.handle(request)

    region = lab.open(manners=Manners(workers=workers))
    lab.handlers[:] = [handle]
    sightings = region.look(uuids).sightings.values()
    assert {sighting.presence for sighting in sightings} == {PRESENT}
    assert most[0] == workers


# Properties: only a response in Nova's own form means that a server is gone

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
KEYS = st.one_of(
    st.sampled_from(["server", "servers", "id", "status", "itemNotFound", "message"]),
    st.text(),
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=8,
)
IDS = st.sampled_from(
    [
        X,
        X,
        X,
        X.upper(),
        f"{X} ",
        f"{{{X}}}",
        X.replace("-", ""),
        SWAPPED,
        CANARY,
        OTHER,
        "",
        None,
        0,
        [X],
        {},
    ]
)
ROWS = st.fixed_dictionaries(
    {},
    optional={
        "id": IDS,
        "status": st.sampled_from(
            ["DELETED", "DELETED", "ACTIVE", "SOFT_DELETED", "deleted", "", None, 1, []]
        ),
        "OS-SRV-USG:terminated_at": st.sampled_from(
            ["2026-01-02T03:04:05.000000", None, "", "soon", 0]
        ),
        "updated": st.sampled_from(["2026-01-02T03:04:05Z", None, "", "soon", 0]),
        "tenant_id": st.sampled_from([project_id(LOW), project_id(HIGH), None]),
    },
)
PROBLEMS = st.fixed_dictionaries(
    {"code": st.just(404)},
    optional={
        "message": st.sampled_from(
            [
                f"Instance {X} could not be found.",
                f"Instance {OTHER} could not be found.",
                "Not found",
                "",
                None,
            ]
        )
    },
)
BODIES = st.one_of(
    ANY_JSON,
    st.text(),
    st.binary(),
    st.sampled_from(["<html>404</html>", "", "null", "{", "[" * 2000]),
    st.fixed_dictionaries(
        {
            "servers": st.one_of(
                st.lists(ROWS, max_size=2), st.lists(ROWS | ANY_JSON), ANY_JSON
            )
        }
    ),
    st.fixed_dictionaries({"server": ROWS | ANY_JSON}),
    st.fixed_dictionaries({"itemNotFound": PROBLEMS | ANY_JSON}),
)
# A 204 or 304 has no body, so other tests cover them.
STATUSES = st.one_of(
    st.sampled_from([200, 404, 403, 401, 300, 429, 500]),
    st.integers(200, 599).filter(lambda status: status not in (204, 304)),
)
HEADERS = st.sampled_from(
    [
        REQUEST_ID,
        {"x-compute-request-id": "req-2"},
        {},
        {"x-openstack-request-id": ""},
        {"Content-Type": "text/html"},
    ]
)
WILD = st.builds(Answer, STATUSES, BODIES, HEADERS)
GETS = st.one_of(
    st.just(Answer(404, nova_404(X), REQUEST_ID)),
    WILD,
    st.builds(Answer, st.just(404), BODIES, HEADERS),
    st.builds(Answer, STATUSES, st.just(nova_404(X)), HEADERS),
)
PAGES = st.one_of(
    st.just(Answer(200, {"servers": []})),
    st.just(Answer(200, {"servers": [row()]})),
    WILD,
    st.builds(Answer, st.just(200), BODIES, HEADERS),
    st.builds(Answer, STATUSES, st.just({"servers": [row()]}), HEADERS),
    st.builds(lambda server: Answer(200, {"servers": [server]}), ROWS),
)
BROAD = settings(
    max_examples=50,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def parsed(answer):
    """The body as a client reads it; {} if it is not an object."""
    body = answer.body
    if isinstance(body, (str, bytes)):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            body = None
    return body if isinstance(body, dict) else {}


def is_novas_404(answer):
    problem = parsed(answer).get("itemNotFound")
    return (
        answer.status == 404
        and isinstance(problem, dict)
        and X in str(problem.get("message"))
        and any(
            answer.headers.get(name)
            for name in ("x-openstack-request-id", "x-compute-request-id")
        )
    )


def servers_of(answer):
    """The servers in a valid list; None if it is not a valid list."""
    servers = parsed(answer).get("servers")
    return servers if answer.status == 200 and isinstance(servers, list) else None


def is_tombstone(answer):
    [only] = servers_of(answer) if len(servers_of(answer) or ()) == 1 else [None]
    return (
        isinstance(only, dict)
        and only.get("id") == X
        and only.get("status") == "DELETED"
        and any(
            str(only.get(name)).startswith("2026-01-02T03:04:05")
            for name in ("OS-SRV-USG:terminated_at", "updated")
        )
    )


@settings(BROAD, max_examples=80)
@given(GETS, PAGES, PAGES)
@example(
    Answer(404, nova_404(X), REQUEST_ID),
    Answer(200, {"servers": [{}]}),
    Answer(200, {"servers": []}),
)
@example(
    Answer(403, nova_404(X), REQUEST_ID),
    Answer(200, {"servers": []}),
    Answer(200, {"servers": []}),
)
@example(
    Answer(404, nova_404(X), {}),
    Answer(200, {"servers": [row()]}),
    Answer(200, {"servers": []}),
)
@example(
    Answer(404, nova_404(X), REQUEST_ID),
    Answer(206, {"servers": [row()]}),
    Answer(200, {"servers": []}),
)
@example(
    Answer(404, nova_404(X), REQUEST_ID),
    Answer(404, {"servers": []}),
    Answer(400, {"servers": []}),
)
def test_nothing_but_novas_own_form_says_that_a_server_is_gone(
    quiet, get, since, plain
):
    lab, region = quiet
    lab.handlers[:] = [lab.cloud.handle]
    lab.server.faults[:] = [
        Fault(ASKING_GET, get),
        Fault(TOMBSTONE, since),
        Fault(PLAIN_ROW, plain),
    ]
    sighting = only_sighting(region.look([X]))
    asked_twice = servers_of(since) == []
    proven = is_novas_404(get) and (
        is_tombstone(since) or (asked_twice and is_tombstone(plain))
    )
    empty = is_novas_404(get) and asked_twice and servers_of(plain) == []
    assert (sighting.presence is DELETED) == proven
    assert (sighting.presence is ABSENT) == empty
    assert (sighting.terminated_at == DIED) == proven


def is_read(answer):
    server = parsed(answer).get("server")
    return (
        answer.status == 200 and isinstance(server, dict) and server.get("id") == CANARY
    )


CANARY_ROWS = st.one_of(
    st.just(row(CANARY, "ACTIVE")),
    st.builds(
        lambda server, uuid: {**server, "id": uuid},
        ROWS,
        st.sampled_from([CANARY, CANARY, X, "", None]),
    ),
)
CANARY_PAGES = st.one_of(
    WILD,
    st.builds(lambda server: Answer(200, {"servers": [server]}), CANARY_ROWS),
)
CANARY_GETS = st.one_of(
    WILD,
    st.builds(lambda server: Answer(200, {"server": server}), CANARY_ROWS),
)


@BROAD
@given(CANARY_PAGES, CANARY_GETS)
@example(
    Answer(200, {"servers": [row(CANARY, "ACTIVE")]}),
    Answer(200, {"server": row(CANARY, "ACTIVE")}),
)
@example(
    Answer(200, {"servers": [{"id": None}]}),
    Answer(200, {"server": row(CANARY, "ACTIVE")}),
)
@example(Answer(200, {"servers": [{}]}), Answer(200, {"server": row(CANARY, "ACTIVE")}))
def test_nothing_says_that_a_server_is_gone_before_a_canary_was_listed_and_read(
    quiet, listed, get
):
    lab, region = quiet
    lab.handlers[:] = [lab.cloud.handle]
    lab.server.faults[:] = [
        Fault(CANARY_LIST, listed),
        Fault(f"/servers/{CANARY}$", get),
    ]
    sighting = only_sighting(replace(region, visibility=None).look([X]))
    entries = servers_of(listed) or [None]
    is_listed = isinstance(entries[0], dict) and entries[0].get("id") == CANARY
    if sighting.presence in GONE:
        # After a 403 the filtered list has to show the canary.
        assert is_listed and (is_read(get) or get.status == 403)
    else:
        assert sighting.presence is UNKNOWN
        assert not (
            listed.body == {"servers": [row(CANARY, "ACTIVE")]}
            and listed.status == 200
            and is_read(get)
        )


# Without the statuses after which a page is requested once more.
LIST_PAGES = PAGES.filter(lambda answer: answer.status not in (400, 401, 429, 503))


@BROAD
@given(LIST_PAGES, LIST_PAGES)
@example(Answer(200, {"servers": [{}]}), Answer(200, {"servers": []}))
def test_a_list_either_has_valid_ids_or_is_an_osp_error(quiet, first, second):
    lab, region = quiet
    lab.handlers[:] = [lab.cloud.handle]
    lab.server.faults[:] = [
        Fault(LIST, first, times=1),
        Fault(LIST, second, times=1),
        Fault(LIST, Answer(200, {"servers": []})),
    ]
    try:
        listed = list_uuids(region)
    except OSPError:
        return
    pages = [servers_of(first), servers_of(second) if servers_of(first) else []]
    assert listed == {server["id"] for page in pages for server in page}
    assert all(parse_uuid(uuid) == uuid for uuid in listed)


# The environment


@pytest.mark.parametrize(
    ("names", "trusts"),
    [
        ((), False),
        (("https_proxy",), True),
        (("no_proxy",), True),
        (("REQUESTS_CA_BUNDLE",), False),
    ],
)
def test_the_environment_is_read_again_only_for_proxies(monkeypatch, names, trusts):
    for name in names:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    http = requests.Session()
    heed_environment(http, True)
    assert http.trust_env is trusts


@pytest.mark.parametrize(
    ("name", "verify", "expected"),
    [
        (None, True, True),
        ("REQUESTS_CA_BUNDLE", True, "/ca.pem"),
        ("CURL_CA_BUNDLE", True, "/ca.pem"),
        ("REQUESTS_CA_BUNDLE", "/ours.pem", "/ours.pem"),
        ("REQUESTS_CA_BUNDLE", False, False),
    ],
)
def test_a_ca_file_of_the_environment_counts_if_the_configuration_names_none(
    monkeypatch, name, verify, expected
):
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    if name:
        monkeypatch.setenv(name, "/ca.pem")
    assert heed_environment(requests.Session(), verify) == expected


def test_a_login_in_netrc_is_not_sent_to_nova(lab, monkeypatch, tmp_path):
    """requests would send it with the token to any host that the file names."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    lab.add()
    lab.open().look([X])
    assert lab.server.requests
    assert not any(request.headers["Authorization"] for request in lab.server.requests)


def test_without_novaclient_the_region_says_which_package_is_missing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "novaclient.client", None)
    with pytest.raises(OSPConfigError, match="install python3-novaclient"):
        lab.open()


def test_nova_can_tell_from_its_log_who_asks(lab: Lab) -> None:
    assert "satellite-osp-cleanup" in str(lab.open().nova.user_agent)


def test_every_kind_of_error_can_travel_by_name() -> None:
    """A kind that is not known where it arrives would change the digest of a plan."""
    kinds = {OSPError, *OSPError.__subclasses__()}
    private = {kind for kind in kinds if kind.__name__.startswith("_")}
    assert kinds - private == set(KINDS.values())
