"""LocalChecker against two simulated clouds: if one cannot answer, the server is unknown."""

import gc
import json
import re
import threading
import weakref
from datetime import datetime, timedelta, timezone

import pytest
from sandbox.openstack import Account, Instance, OpenStack, project_id
from sandbox.server import Server

from foreman_hooks.osp_checker.checker import CloudScope, LocalChecker, ServerLists
from foreman_hooks.osp_checker.errors import (
    OSPConfigError,
    OSPError,
    OSPForbidden,
    OSPLoginError,
)
from foreman_hooks.osp_checker.pace import Manners
from foreman_hooks.osp_checker.sightings import Presence, Sighting, Survey
from foreman_hooks.osp_checker.uuids import swap_bytes

PRESENT, DELETED, ABSENT, UNKNOWN, INVALID = Presence
X = "1b4e28ba-2fa1-41d2-883f-b9a761bde3fb"
Y = "2c5f39cb-3fb2-42e3-984f-caa872cef40c"
CANARY = "0a11afee-0000-4000-8000-000000000001"  # lower than X and Y, so it is examined first
DIED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
ONE, TWO = "RegionOne", "RegionTwo"
PROD, LAB = CloudScope("prod"), CloudScope("lab")
# Canaries are searched by project, lowest id first: a login of HIGH finds another's server first.
LOW, HIGH = sorted(("ops", "shop"), key=project_id)


class Cloud:
    """One simulated OpenStack behind HTTP, and its entry in clouds.yaml."""

    def __init__(self, server, handlers):
        self.server, self.handlers = server, handlers
        self.regions = {"region_name": ONE}
        self.double = OpenStack(
            regions=(ONE, TWO),
            accounts=[
                Account("admin", "changeme", HIGH, ("admin",)),
                Account("lister", "changeme", HIGH, ("lister",)),
            ],
        )
        self.double.policy["lister"] = {
            "index",
            "detail",
            "index:get_all_tenants",
            "detail:get_all_tenants",
            "allow_all_filters",
        }
        self.double.skip_down_cells = False
        self.auth = {
            "auth_url": server.url + "/v3",
            "username": "admin",
            "password": "changeme",
            "project_name": HIGH,
            "user_domain_id": "default",
            "project_domain_id": "default",
        }
        handlers[:] = [self.double.handle]
        server.faults.clear()
        server.requests.clear()
        for region in (ONE, TWO):
            self.add(CANARY, region)

    def add(self, uuid, region=ONE, **more):
        self.double.add(region, Instance(uuid, **{"project": LOW, **more}))

    def terminate(self, uuid, region=ONE):
        self.double.terminate(region, uuid, DIED.timestamp())

    def add_dead(self, uuid, region=ONE):
        self.add(uuid, region)
        self.terminate(uuid, region)

    def count(self, pattern=""):
        return self.server.count(pattern)


class Clouds:
    """Both clouds, as clouds.yaml names them."""

    def __init__(self, file, prod, lab):
        self.file, self.prod, self.lab = file, prod, lab

    def checker(self, *scopes):
        """A new LocalChecker that reads the current clouds.yaml."""
        self.file.write_text(
            json.dumps(
                {
                    "clouds": {
                        name: {"auth": cloud.auth, **cloud.regions}
                        for name, cloud in (("prod", self.prod), ("lab", self.lab))
                    }
                }
            )
        )
        return LocalChecker(scopes or (PROD,))

    def survey(self, uuids, *scopes):
        """Survey the UUIDs as a run does."""
        checker = self.checker(*scopes)
        lists = checker.prepare()
        return checker.survey(uuids, lists)


@pytest.fixture(scope="module")
def wires():
    """Two servers for the whole file, because stopping takes time."""
    first, second = [], []
    with (
        Server(lambda request: first[0](request)) as prod_server,
        Server(lambda request: second[0](request)) as lab_server,
    ):
        yield (prod_server, first), (lab_server, second)


@pytest.fixture
def clouds(wires, tmp_path, monkeypatch):
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    yield Clouds(tmp_path / "clouds.yaml", *(Cloud(*wire) for wire in wires))
    # A look that failed leaves requests in progress.
    for thread in threading.enumerate():
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join(10)


@pytest.fixture
def prod(clouds):
    return clouds.prod


@pytest.fixture
def lab(clouds):
    return clouds.lab


def presences(survey, uuid=X):
    """Cloud/region -> the presence of one UUID there."""
    return {
        f"{sighting.cloud}/{sighting.region}": sighting.presence
        for sighting in survey.of(uuid)
    }


def errors(survey):
    return {
        f"{region.cloud}/{region.region}": type(region.error)
        for region in survey.regions
        if region.error
    }


def numbered(count, kind=1):
    return [
        f"ffff{number:04}-0000-4000-8000-{kind:012}" for number in range(1, count + 1)
    ]


# A survey: a listed server is alive, the others are asked about


def test_a_listed_server_is_alive_and_the_others_are_asked(clouds, prod):
    prod.add(X)
    prod.add_dead(Y)
    survey = clouds.survey([X, Y])
    assert survey.alive == {X: ("prod", ONE)}
    assert survey.of(X) == (Sighting(X, "prod", ONE, PRESENT, "listed"),)
    assert presences(survey, Y) == {"prod/RegionOne": DELETED}
    assert survey.of(Y)[0].terminated_at == DIED


def test_a_uuid_that_was_not_asked_has_no_sightings(clouds):
    assert clouds.survey([X]).of(Y) == ()


def test_a_survey_says_what_it_is_based_on(clouds, prod):
    prod.add(X)
    [region] = clouds.survey([X]).regions
    assert (region.cloud, region.region, region.servers, region.error) == (
        "prod",
        ONE,
        2,
        None,
    )
    assert (
        region.proof == f"the login can see other projects' servers (example: {CANARY})"
    )


def test_a_server_listed_in_the_other_byte_order_is_alive(clouds, prod):
    prod.add(swap_bytes(X))
    assert clouds.survey([X]).alive == {X: ("prod", ONE)}
    assert prod.count(f"/servers/{X}") == 0


@pytest.mark.parametrize(
    "row",
    [{"status": "SOFT_DELETED"}, {"hidden": True}],
    ids=["restorable", "resizing"],
)
def test_a_living_server_that_no_list_shows_is_found_by_asking(clouds, prod, row):
    prod.add(X, **row)
    survey = clouds.survey([X])
    assert not survey.alive
    assert presences(survey) == {"prod/RegionOne": PRESENT}


def test_the_checker_keeps_no_list_after_its_caller_drops_it(clouds, prod):
    """The list of a large cloud is large."""
    prod.add(X)
    checker = clouds.checker(CloudScope("prod", (ONE,)))
    lists = checker.prepare()
    assert checker.listed([X, Y], lists).alive == {X: ("prod", ONE)}
    reference = weakref.ref(lists)
    del lists
    gc.collect()
    assert reference() is None


def test_without_the_lists_no_server_counts_as_listed(clouds, prod):
    prod.add(X)
    checker = clouds.checker(CloudScope("prod", (ONE,)))
    checker.prepare()
    survey = checker.listed([X], ServerLists())
    assert (survey.alive, survey.asked, survey.regions[0].servers) == ({}, {}, 2)
    assert presences(checker.ask([X])) == {"prod/RegionOne": PRESENT}


def test_listed_alone_asks_nothing_about_a_uuid_that_is_in_no_list(clouds, prod):
    checker = clouds.checker(CloudScope("prod", (ONE,)))
    lists = checker.prepare()
    assert checker.listed([X], lists).asked == {}
    assert prod.count(f"/servers/{X}") == prod.count("uuid=") == 0


def test_a_uuid_in_capitals_is_still_found(clouds, prod):
    prod.add(X)
    survey = clouds.survey([X.upper()])
    assert {sighting.presence for sighting in survey.of(X.upper())} == {PRESENT}


def test_a_survey_of_nothing_asks_nothing_beyond_the_lists(clouds, prod):
    survey = clouds.survey([])
    assert (
        survey.alive,
        survey.asked,
        [region.servers for region in survey.regions],
    ) == (
        {},
        {},
        [1],
    )
    assert prod.count("uuid=") == 0


def test_the_lists_and_the_questions_report_their_progress(clouds, prod):
    prod.double.max_limit = 1
    prod.add(X)
    checker, listed, asked = clouds.checker(CloudScope("prod", (ONE, TWO))), [], []
    lists = checker.prepare(lambda *step: listed.append(step))
    checker.survey([X, Y, *numbered(2)], lists, lambda *step: asked.append(step))
    # The total is known only at the end.
    assert sorted(listed)[-2:] == [(3, 0), (3, 3)]
    assert sorted(asked)[0] == (1, 6) and sorted(asked)[-1] == (6, 6)


# What it costs


def test_a_survey_costs_the_pages_and_two_requests_for_each_dead_uuid(clouds, prod):
    prod.double.max_limit = 10
    alive, dead = numbered(25), numbered(2, kind=2)
    for uuid in alive:
        prod.add(uuid)
    for uuid in dead:
        prod.add_dead(uuid)
    survey = clouds.survey([*alive, *dead])
    assert set(survey.alive) == set(alive)
    assert [presences(survey, uuid) for uuid in dead] == [
        {"prod/RegionOne": DELETED}
    ] * 2
    assert {
        what: prod.count(what)
        for what in (
            "GET /v3$",
            "POST",
            "sort_key",
            f"/servers/{CANARY}",
            "limit=1000",
            "/servers/ffff",
            "changes-since",
        )
    } == {
        "GET /v3$": 1,
        "POST": 1,
        "sort_key": 1,
        f"/servers/{CANARY}": 1,  # visibility
        "limit=1000": 4,  # 26 servers: 10 + 10 + 6 + the empty page
        "/servers/ffff": 2,  # for each dead UUID a GET and a tombstone
        "changes-since": 2,
    }
    assert prod.count() == 2 + 2 + 4 + 4


def test_a_server_that_one_region_lists_is_not_asked_about_in_the_other(clouds, prod):
    prod.add(X)
    survey = clouds.survey([X], CloudScope("prod", (ONE, TWO)))
    assert survey.of(X) == (Sighting(X, "prod", ONE, PRESENT, "listed"),)
    assert prod.count(X) == 0


def test_one_question_costs_one_login_for_all_regions_and_one_get_in_each(clouds, prod):
    prod.add(X)
    prod.add(X, TWO)
    clouds.checker(CloudScope("prod", (ONE, TWO))).ask([X])
    assert prod.count("POST /v3/auth/tokens") == 1
    assert prod.count(f"/servers/{X}") == 2
    assert prod.count("GET /v3$") == 1
    assert prod.count() == 4


def test_a_login_serves_the_whole_run(clouds, prod):
    checker = clouds.checker()
    lists = checker.prepare()
    checker.survey([X], lists)
    checker.ask([X])
    checker.ask([Y])
    assert prod.count("POST") == 1
    assert prod.count("sort_key") == prod.count(f"/servers/{CANARY}") == 1


# If a cloud or region cannot answer, everything that was not listed is unknown

SCOPES = (CloudScope("prod", (ONE, TWO)), LAB)


def test_every_region_of_both_clouds_has_its_own_sighting(clouds, prod, lab):
    prod.add_dead(X, TWO)
    lab.add(Y)
    survey = clouds.survey([X, Y], *SCOPES)
    assert presences(survey) == {
        "prod/RegionOne": ABSENT,
        "prod/RegionTwo": DELETED,
        "lab/RegionOne": ABSENT,
    }
    assert survey.alive == {Y: ("lab", ONE)}
    assert [
        (region.cloud, region.region, region.servers) for region in survey.regions
    ] == [
        ("prod", ONE, 1),
        ("prod", TWO, 1),
        ("lab", ONE, 2),
    ]


def test_a_cloud_that_refuses_the_login_makes_everything_unknown_that_is_not_listed(
    clouds, prod, lab
):
    lab.auth["password"] = "wrong"
    prod.add(X)
    prod.add_dead(Y)
    survey = clouds.survey([X, Y], *SCOPES)
    assert errors(survey) == {"lab/RegionOne": OSPLoginError}
    assert survey.alive == {X: ("prod", ONE)}
    assert presences(survey, Y) == {"lab/RegionOne": UNKNOWN}
    assert "lab" in survey.of(Y)[0].detail


def test_a_cloud_that_refused_the_login_is_not_asked_again(clouds, lab):
    lab.auth["password"] = "wrong"
    checker = clouds.checker(*SCOPES)
    lists = checker.prepare()
    checker.survey([X], lists)
    assert presences(checker.ask([X])) == {"lab/RegionOne": UNKNOWN}
    assert lab.count("POST") == 1


FAULTS = {
    "its list": "limit=1000",
    "its canary": "sort_key",
    "its canary's GET": f"RegionTwo.*/servers/{CANARY}$",
}


@pytest.mark.parametrize("pattern", FAULTS.values(), ids=FAULTS)
def test_a_region_that_could_not_be_listed_stops_the_questions_to_all_others(
    clouds, prod, pattern
):
    prod.add(X)
    prod.add_dead(Y)
    prod.server.fail(
        f"RegionTwo.*{pattern}" if "Region" not in pattern else pattern, 500
    )
    survey = clouds.survey([X, Y], *SCOPES)
    assert survey.alive == {X: ("prod", ONE)}
    assert presences(survey, Y) == {"prod/RegionTwo": UNKNOWN}
    assert errors(survey) == {"prod/RegionTwo": OSPError}
    assert prod.count(Y) == clouds.lab.count(Y) == 0


def test_a_region_that_failed_has_no_number_of_servers_and_no_proof(clouds, prod):
    prod.server.fail("RegionTwo.*limit=1000", 500)
    regions = clouds.survey([X], *SCOPES).regions
    by_place = {(region.cloud, region.region): region for region in regions}
    assert len(by_place) == len(regions) == 3
    assert by_place["prod", ONE].servers == 1
    assert by_place["prod", ONE].proof
    failed = by_place["prod", TWO]
    assert failed.servers is None
    assert failed.error
    assert not failed.proof


def test_a_region_that_fails_while_it_is_asked_makes_its_part_unknown(clouds, prod):
    prod.add_dead(X)
    prod.server.fail(f"RegionTwo.*{X}", 500)
    survey = clouds.survey([X], *SCOPES)
    assert presences(survey) == {
        "prod/RegionOne": DELETED,
        "prod/RegionTwo": UNKNOWN,
        "lab/RegionOne": ABSENT,
    }
    assert errors(survey) == {"prod/RegionTwo": OSPError}
    assert [region.servers for region in survey.regions] == [1, None, 1]


def test_a_region_that_fails_once_while_it_is_asked_may_answer_the_next_time(
    clouds, prod
):
    prod.add_dead(X)
    prod.server.fail(f"/servers/{X}$", 500, times=1)
    checker = clouds.checker()
    checker.prepare()
    assert [presences(checker.ask([X])) for _ in range(2)] == [
        {"prod/RegionOne": UNKNOWN},
        {"prod/RegionOne": DELETED},
    ]


def test_with_a_cell_down_nothing_in_its_region_is_gone(clouds, prod):
    prod.double.skip_down_cells = True
    prod.add(X, cell="cell2")
    prod.add_dead(Y)
    prod.double.down_cells.add("cell2")
    survey = clouds.survey([Y, X])
    assert presences(survey, X) == presences(survey, Y) == {"prod/RegionOne": UNKNOWN}


def test_an_emptied_region_makes_all_unknown(clouds, prod):
    prod.double.archive(TWO, CANARY)
    prod.add_dead(X)
    assert presences(clouds.survey([X], *SCOPES)) == {"prod/RegionTwo": UNKNOWN}


def test_a_region_without_compute_endpoint_makes_all_unknown(clouds, prod):
    prod.double.no_endpoint.add(TWO)
    prod.add_dead(X)
    survey = clouds.survey([X], *SCOPES)
    assert presences(survey) == {"prod/RegionTwo": UNKNOWN}
    assert errors(survey) == {"prod/RegionTwo": OSPConfigError}


def test_a_cloud_that_clouds_yaml_does_not_name_makes_all_unknown(clouds, prod):
    prod.add_dead(X)
    survey = clouds.survey([X], PROD, CloudScope("elsewhere"))
    assert presences(survey) == {"elsewhere/?": UNKNOWN}
    assert errors(survey) == {"elsewhere/?": OSPConfigError}


def test_without_any_cloud_every_server_is_unknown(clouds):
    clouds.file.write_text("clouds: {}")
    checker = LocalChecker((CloudScope(None),))
    lists = checker.prepare()
    assert [sighting.presence for sighting in checker.survey([X], lists).of(X)] == [
        UNKNOWN
    ]


@pytest.mark.parametrize("mishap", ["<html>log in</html>", "null", '{"token": {}}'])
def test_a_login_with_an_invalid_response_makes_all_unknown(clouds, prod, lab, mishap):
    prod.add_dead(X)
    lab.server.fail("POST", 201, mishap)
    assert presences(clouds.survey([X], *SCOPES)) == {"lab/RegionOne": UNKNOWN}


@pytest.mark.parametrize(
    "page",
    [{"servers": [{}]}, {"servers": [None]}, {"servers": {}}, [], "null", "<html>"],
    ids=str,
)
def test_an_invalid_list_makes_all_unknown(clouds, prod, lab, page):
    prod.add_dead(X)
    lab.server.fail("limit=1000", 200, page)
    survey = clouds.survey([X], *SCOPES)
    assert presences(survey) == {"lab/RegionOne": UNKNOWN}
    assert list(errors(survey)) == ["lab/RegionOne"]


@pytest.mark.parametrize("row", [{}, None, {"id": None}], ids=str)
def test_an_invalid_row_is_unknown_and_ends_nothing_else(clouds, prod, row):
    prod.add(Y)
    prod.server.fail(f"uuid={X}", 200, {"servers": [row]})
    survey = clouds.survey([X, Y])
    assert presences(survey) == {"prod/RegionOne": UNKNOWN}
    assert survey.alive == {Y: ("prod", ONE)}


# Asking again, immediately before a deletion


def test_asking_ignores_earlier_lists(clouds, prod):
    prod.add(X)
    checker = clouds.checker()
    lists = checker.prepare()
    prod.terminate(X)
    assert presences(checker.survey([X], lists)) == {"prod/RegionOne": PRESENT}
    assert presences(checker.ask([X])) == {"prod/RegionOne": DELETED}


def test_asking_finds_a_server_alive_that_was_dead_before(clouds, prod):
    prod.add_dead(X)
    checker = clouds.checker()
    lists = checker.prepare()
    assert presences(checker.survey([X], lists)) == {"prod/RegionOne": DELETED}
    prod.add(X)
    assert presences(checker.ask([X])) == {"prod/RegionOne": PRESENT}


def test_asking_needs_no_list(clouds, prod):
    prod.add_dead(X)
    survey = clouds.checker(*SCOPES).ask([X, "junk"])
    assert presences(survey) == {
        "prod/RegionOne": DELETED,
        "prod/RegionTwo": ABSENT,
        "lab/RegionOne": ABSENT,
    }
    assert set(presences(survey, "junk").values()) == {INVALID}
    assert [region.servers for region in survey.regions] == [None] * 3
    assert prod.count("limit=1000") == 0


def test_after_a_failed_list_nobody_is_asked_and_all_is_unknown(clouds, prod):
    prod.add_dead(X)
    prod.server.fail("RegionTwo.*limit=1000", 500)
    checker = clouds.checker(*SCOPES)
    checker.prepare()
    assert presences(checker.ask([X])) == {"prod/RegionTwo": UNKNOWN}
    assert prod.count(X) == 0


# Scopes


def test_a_scope_without_regions_takes_those_of_clouds_yaml(clouds, prod):
    prod.regions = {"regions": [TWO, ONE]}
    prod.add_dead(X, TWO)
    assert presences(clouds.survey([X])) == {
        "prod/RegionTwo": DELETED,
        "prod/RegionOne": ABSENT,
    }


def test_a_scope_with_regions_takes_only_those(clouds, prod):
    prod.regions = {"regions": [TWO, ONE]}
    assert presences(clouds.survey([X], CloudScope("prod", (ONE,)))) == {
        "prod/RegionOne": ABSENT
    }
    assert prod.count(TWO) == 0


def test_a_region_that_only_the_catalog_names_can_be_in_scope(clouds, prod):
    prod.add_dead(X, TWO)
    assert presences(clouds.survey([X], CloudScope("prod", (TWO,)))) == {
        "prod/RegionTwo": DELETED
    }


def test_a_scope_without_a_region_anywhere_makes_all_unknown(clouds, prod):
    prod.regions = {}
    survey = clouds.survey([X])
    assert presences(survey) == {"prod/?": UNKNOWN}
    assert "no region is named" in survey.of(X)[0].detail


@pytest.fixture
def environment(clouds, prod, monkeypatch):
    """A login by OS_* variables alone."""
    for name, value in {**prod.auth, "region_name": TWO}.items():
        monkeypatch.setenv(f"OS_{name.upper()}", value)
    return LocalChecker((CloudScope(None),))


def test_the_environment_alone_is_enough(environment, prod):
    prod.add_dead(X, TWO)
    lists = environment.prepare()
    [sighting] = environment.survey([X], lists).of(X)
    assert (sighting.region, sighting.presence) == (TWO, DELETED)


def test_a_login_of_the_environment_that_is_refused_makes_all_unknown(
    environment, monkeypatch
):
    monkeypatch.setenv("OS_PASSWORD", "wrong")
    lists = environment.prepare()
    survey = environment.survey([X], lists)
    assert [region.region for region in survey.regions] == [TWO]
    assert [sighting.presence for sighting in survey.of(X)] == [UNKNOWN]


def test_os_cloud_names_the_cloud_if_the_scope_does_not(clouds, prod, monkeypatch):
    monkeypatch.setenv("OS_CLOUD", "prod")
    prod.add_dead(X)
    assert presences(clouds.survey([X], CloudScope(None))) == {
        "prod/RegionOne": DELETED
    }


def test_a_scope_says_whether_an_empty_list_may_count(clouds, prod):
    """For the least-privilege role, whose lists alone do not show that a cell is down."""
    prod.auth["username"] = "lister"
    assert presences(clouds.survey([X])) == {"prod/RegionOne": UNKNOWN}
    trusting = CloudScope("prod", lists_fail_on_down_cell=True)
    assert presences(clouds.survey([X], trusting)) == {"prod/RegionOne": ABSENT}


def test_a_login_that_cannot_see_all_projects_makes_all_unknown(clouds, prod):
    prod.auth["username"] = "lister"
    prod.double.policy["lister"].remove("allow_all_filters")
    prod.add_dead(X)
    survey = clouds.survey([X], *SCOPES)
    assert presences(survey) == {"prod/RegionOne": UNKNOWN, "prod/RegionTwo": UNKNOWN}
    assert set(errors(survey).values()) == {OSPForbidden}


def test_an_open_checker_does_not_log_in_twice(clouds, prod):
    checker = clouds.checker()
    checker.open()
    checker.open()
    checker.prepare()
    assert prod.count("POST") == 1


def test_a_survey_without_regions_has_no_sightings():
    assert Survey((), {}, {}).of(X) == ()


def test_the_regions_are_prepared_at_the_same_time(clouds, prod, wires):
    """Neither is answered before both have begun; otherwise the barrier times out."""
    both = threading.Barrier(2, timeout=10)

    def handle(request):
        if re.search("sort_dir=asc", request.line):
            both.wait()
        return prod.double.handle(request)

    checker = clouds.checker(CloudScope("prod", (ONE, TWO)))
    checker.open()
    wires[0][1][:] = [handle]
    checker.prepare()
    assert not checker.errors
    assert not both.broken


# In bulk: deleted rows in pages first, and only UUIDs without one are asked about one by one

BEFORE = DIED - timedelta(hours=1)
ROWS = "deleted=True"


def asked_one_by_one(prod):
    """The UUIDs that Nova was asked about in requests of their own."""
    paths = [request.path for request in prod.server.requests]
    return {path.rpartition("/")[2] for path in paths} & {X, Y, *numbered(100)}


def test_many_terminations_are_proven_by_the_pages_of_their_rows(clouds, prod):
    gone = numbered(50)
    for uuid in gone:
        prod.add_dead(uuid)
    survey = clouds.checker(CloudScope("prod", manners=Manners(page_size=20))).ask(
        gone, since=BEFORE
    )
    assert {survey.of(uuid)[0].presence for uuid in gone} == {DELETED}
    assert {survey.of(uuid)[0].terminated_at for uuid in gone} == {DIED}
    assert prod.count(ROWS) == 4  # an empty page ends the list
    assert asked_one_by_one(prod) == set()


def test_in_bulk_each_uuid_has_the_sighting_that_it_has_one_by_one(clouds, prod):
    prod.add_dead(X)
    prod.add(Y, status="SOFT_DELETED")
    swapped, absent, alive = numbered(3)
    prod.add_dead(swap_bytes(swapped))
    prod.add(alive)
    uuids = [absent, X, swapped, Y, alive]
    one_by_one = clouds.checker().ask(uuids)
    in_bulk = clouds.checker().ask(uuids, since=BEFORE)
    assert in_bulk == one_by_one
    assert list(in_bulk.asked) == uuids


def test_rows_that_changed_before_are_not_read_and_their_uuids_asked_about(
    clouds, prod
):
    prod.add_dead(X)
    survey = clouds.checker().ask([X], since=DIED + timedelta(hours=1))
    assert presences(survey) == {"prod/RegionOne": DELETED}
    assert asked_one_by_one(prod) == {X}


def test_no_more_pages_are_read_than_single_questions_would_cost(clouds, prod):
    prod.add_dead(X)
    for uuid in numbered(70):
        prod.add_dead(uuid)
    scope = CloudScope("prod", manners=Manners(page_size=20))
    survey = clouds.checker(scope).ask([X], since=BEFORE)
    assert presences(survey) == {"prod/RegionOne": DELETED}
    assert prod.count(ROWS) == 3
    assert asked_one_by_one(prod) == {X}


def test_a_role_for_which_nova_drops_the_filter_learns_nothing_from_living_servers(
    clouds, prod
):
    prod.double.policy["lister"].discard("allow_all_filters")
    prod.auth["username"] = "lister"
    prod.add(X)
    survey = clouds.checker().ask([X], since=BEFORE)
    assert presences(survey) != {"prod/RegionOne": DELETED}


def test_a_row_in_two_cells_proves_nothing_in_bulk(clouds, prod):
    prod.add_dead(X)
    both = []

    def twice(request):
        answer = prod.double.handle(request)
        if not request.first("deleted"):
            return answer
        (row,) = answer.body["servers"]
        both.append(row)
        return answer._replace(body={"servers": [row, row]})

    clouds.prod.handlers[:] = [twice]
    clouds.checker().ask([X], since=BEFORE)
    assert both
    assert asked_one_by_one(prod) == {X}


@pytest.mark.parametrize(
    "change",
    [
        {"OS-SRV-USG:terminated_at": None},
        {"OS-SRV-USG:terminated_at": "soon"},
        {"status": "ACTIVE"},
        {"id": Y},
    ],
)
def test_a_row_that_proves_nothing_leaves_its_uuid_to_be_asked_about(
    clouds, prod, change
):
    prod.add(X)

    def changed(request):
        answer = prod.double.handle(request)
        if not request.first("deleted"):
            return answer
        row = {
            "id": X,
            "status": "DELETED",
            "OS-SRV-USG:terminated_at": "2026-01-02T03:04:05.000000",
        }
        return answer._replace(body={"servers": [{**row, **change}]})

    clouds.prod.handlers[:] = [changed]
    survey = clouds.checker().ask([X], since=BEFORE)
    assert presences(survey) == {"prod/RegionOne": PRESENT}


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_failure_to_read_the_rows_leaves_every_uuid_unknown(clouds, prod, status):
    prod.add_dead(X)
    prod.server.fail(ROWS, status, "<html>injected</html>")
    survey = clouds.checker().ask([X, Y], since=BEFORE)
    assert presences(survey) == presences(survey, Y) == {"prod/RegionOne": UNKNOWN}
