"""The Satellite double answers as Foreman 3.12 does: one test for each measured quirk."""

import re
import threading

import pytest
import requests

from .satellite import (
    ANSIBLE,
    LOCATION,
    ORGANIZATION,
    PUPPET,
    RHSM,
    DeletionFault,
    Effect,
    Host,
    Report,
    Satellite,
    User,
)
from .server import DROPPED, Answer, expect_unknown

ADMIN = ("admin", "changeme")
CLEANER = ("cleaner", "secret")
MINIMUM = frozenset({"view_hosts", "view_facts", "destroy_hosts"})
UUID = "d9cfa777-571e-5252-92d9-0bcdebe7a3c9"
UNAUTHORIZED = {"error": {"message": "Unable to authenticate user admin"}}
UNKNOWN_ROUTE = {"status": 404, "error": "Not Found"}


class Api:
    """Requests to one Satellite that keep the connection, but no cookie."""

    def __init__(self, url, http, auth=ADMIN):
        self.url, self.http, self.auth = url, http, auth

    def as_user(self, *auth):
        return Api(self.url, self.http, auth)

    def __call__(self, method, path, headers=None, **how):
        how.setdefault("auth", self.auth)
        return self.http.request(
            method, self.url + path, headers=headers, timeout=10, **how
        )

    def get(self, path, **params):
        return self("GET", path, params=params)

    def listed(self, path, **params):
        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ids(self, **params):
        return [row["id"] for row in self.listed("/api/hosts", **params)["results"]]

    def delete(self, key, **params):
        return self("DELETE", f"/api/hosts/{key}", params=params)


@pytest.fixture
def satellite():
    return Satellite(
        users=[User(*ADMIN), User(*CLEANER, permissions=MINIMUM, tokens={"a-token"})]
    )


@pytest.fixture
def api(shared, satellite):
    return Api(*shared.show(satellite))


@pytest.fixture
def cleaner(api):
    return api.as_user(*CLEANER)


def guest(name="web1.example.com", uuid=UUID, **more):
    return Host(
        name, facts={RHSM: {"virt::uuid": uuid, "virt::is_guest": "true"}}, **more
    )


def add_guests(satellite, count):
    return [
        satellite.add(guest(f"web{number}.example.com", f"uuid-{number}"))
        for number in range(1, count + 1)
    ]


# Logging in


def test_the_right_password_is_accepted(api):
    assert api.get("/api/status").json() == {
        "result": "ok",
        "status": 200,
        "version": "3.12.0",
        "api_version": 2,
    }


@pytest.mark.parametrize(
    ("auth", "login"),
    [
        (("admin", "wrong"), "admin"),
        (("nobody", "changeme"), "nobody"),
        (("admin", ""), "admin"),
    ],
)
def test_a_wrong_password_is_a_401_that_names_the_login(api, auth, login):
    answer = api.as_user(*auth).get("/api/status")
    assert (answer.status_code, answer.json()) == (
        401,
        {"error": {"message": f"Unable to authenticate user {login}"}},
    )
    assert "Set-Cookie" not in answer.headers
    assert "Foreman_version" not in answer.headers


@pytest.mark.parametrize("header", [None, "Bearer a-token", "Basic", "Basic !"])
def test_without_a_login_the_401_has_an_empty_name(api, header):
    answer = api(
        "GET",
        "/api/hosts",
        auth=None,
        headers={"Authorization": header} if header else None,
    )
    assert (answer.status_code, answer.json()) == (
        401,
        {"error": {"message": "Unable to authenticate user "}},
    )


def test_a_token_is_a_password(api):
    assert api.as_user("cleaner", "a-token").get("/api/status").status_code == 200


def test_a_token_is_a_password_of_its_own_user_only(api):
    answer = api.as_user("admin", "a-token").get("/api/status")
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


def test_after_thirty_failures_the_right_password_is_refused_too(satellite, api):
    session = api.get("/api/status").cookies["_session_id"]
    for _ in range(29):
        api.as_user("admin", "wrong").get("/api/status")
    assert api.get("/api/status").status_code == 200
    assert api.as_user("admin", "wrong").get("/api/status").json() == UNAUTHORIZED
    for user in (api, api.as_user(*CLEANER)):
        answer = user.get("/api/status")
        assert (answer.status_code, answer.json()) == (
            401,
            {
                "error": {
                    "message": "Too many tries, please try again in a few minutes."
                }
            },
        )
    assert (
        api(
            "GET", "/api/status", auth=None, cookies={"_session_id": session}
        ).status_code
        == 200
    )


def test_a_limit_of_zero_means_no_limit(satellite, api):
    satellite.settings["failed_login_attempts_limit"] = 0
    api.as_user("admin", "wrong").get("/api/status")
    assert api.get("/api/status").status_code == 200


def test_a_session_is_as_good_as_a_password(satellite, api):
    host = satellite.add(guest())
    cookies = api.get("/api/status").cookies
    answer = api("DELETE", f"/api/hosts/{host.id}", auth=None, cookies=cookies)
    assert answer.status_code == 200
    assert satellite.deleted == [host.id]


def test_every_login_starts_a_session_but_a_session_does_not_start_another(api):
    first = api.get("/api/status").cookies
    assert first["_session_id"] != api.get("/api/status").cookies["_session_id"]
    assert "Set-Cookie" not in api("GET", "/api/status", cookies=first).headers


def test_an_expired_session_alone_is_an_empty_401_in_plain_text(satellite, api):
    cookies = api.get("/api/status").cookies
    satellite.sessions.clear()
    answer = api("GET", "/api/status", auth=None, cookies=cookies)
    assert (answer.status_code, answer.text) == (401, "")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_an_expired_session_beside_a_password_is_ignored(satellite, api):
    cookies = api.get("/api/status").cookies
    satellite.sessions.clear()
    answer = api("GET", "/api/status", cookies=cookies)
    assert answer.status_code == 200
    assert answer.cookies["_session_id"] in satellite.sessions


# Every answer


@pytest.mark.parametrize(
    ("params", "organization", "location"),
    [
        ({}, "; ANY", "; ANY"),
        ({"organization_id": 1}, "1; Default Organization", "; ANY"),
        (
            {"organization_id": "Default Organization"},
            "1; Default Organization",
            "; ANY",
        ),
        (
            {"organization_id": "1", "location_id": "2"},
            "1; Default Organization",
            "2; Default Location",
        ),
        ({"organization_id": ""}, "; ANY", "; ANY"),
    ],
)
def test_headers_name_the_version_the_organization_and_the_location(
    api, params, organization, location
):
    headers = api.get("/api/hosts", **params).headers
    assert (headers["Foreman_version"], headers["Foreman_api_version"]) == (
        "3.12.0",
        "2",
    )
    assert headers["Foreman_current_organization"] == organization
    assert headers["Foreman_current_location"] == location
    assert headers["Date"].endswith(" GMT")


@pytest.mark.parametrize(
    "path",
    [
        "/api/hosts",
        "/api/v2/hosts",
        "//api/v2/hosts",
        "/api/v2/hosts/",
        "/api/hosts.json",
    ],
)
def test_one_list_has_many_paths(satellite, api, path):
    satellite.add(guest())
    assert api.listed(path, thin="1")["results"] == [
        {"id": 1, "name": "web1.example.com"}
    ]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/nosuch"),
        ("GET", "/api/v1/status"),
        ("GET", "/apis/status"),
        ("DELETE", "/api/hosts"),
        ("POST", "/api/status"),
        ("GET", "/api/hosts/1/nosuch"),
        ("GET", "/"),
        ("HEAD", "/api/hosts"),
        ("DELETE", "/api/hosts/bulk"),
        ("GET", "/api/hosts/1/facts"),
    ],
)
def test_a_route_that_is_not_simulated_fails_the_test(api, method, path):
    with expect_unknown(f"^{method} {path}: the route$"):
        assert api(method, path, auth=None).status_code == 501


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/hosts?seach=name=x", "seach"),
        ("/api/hosts?per_pages=5", "per_pages"),
        ("/api/hosts?include[]=parameter", "parameter"),
        ("/api/hosts/1?thin=1", "thin"),
        ("/api/fact_values?root_name=items", "root_name"),
        ("/api/status?page=1", "page"),
        ("/api/hosts?search=id=1&search=id=2", "several values of search"),
        ("/api/hosts?search=model=x", "model"),
        ("/api/fact_values?search=host.hostgroup=x", "host.hostgroup"),
        ("/api/hosts?search=last_checkin<2026/01/01", "2026/01/01"),
        ("/api/hosts?order=id+downwards", "id downwards"),
    ],
)
def test_a_parameter_that_is_not_simulated_fails_the_test(satellite, api, path, name):
    satellite.add(guest())
    with expect_unknown(re.escape(name) + "'?$"):
        assert api.get(path).status_code == 501


@pytest.mark.parametrize(
    ("method", "path", "body", "name"),
    [
        ("POST", "/api/hosts", {"host": {"name": "new", "nmae": "x"}}, "nmae"),
        (
            "POST",
            "/api/hosts",
            {"host": {"name": "new", "host_parameters_attributes": [{"key": "a"}]}},
            "key",
        ),
        (
            "POST",
            "/api/hosts",
            {"host": {"name": "new"}, "validate": False},
            "validate",
        ),
        ("PUT", "/api/hosts/1/disassociate", {"force": True}, "force"),
        ("DELETE", "/api/hosts/1", {"force": True}, "the body of a DELETE"),
    ],
)
def test_a_key_that_is_not_simulated_fails_the_test(
    satellite, api, method, path, body, name
):
    satellite.add(guest())
    with expect_unknown(f"{name}$"):
        assert api(method, path, json=body).status_code == 501


def test_json_that_cannot_be_read_is_a_400_before_any_login(api):
    answer = api(
        "POST",
        "/api/hosts",
        auth=None,
        data='{"name":',
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert answer.json()["error"].startswith(
        "There was a problem in the JSON you submitted: "
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/hosts"),
        ("PUT", "/api/hosts/1/disassociate"),
    ],
)
@pytest.mark.parametrize("kind", ["", "text/plain"])
def test_a_body_that_is_not_json_is_a_415(satellite, api, method, path, kind):
    satellite.add(guest(record={"uuid": "a-vm", "compute_resource_id": 1}))
    answer = api(method, path, data="{}", headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert answer.json()["error"]["message"].startswith(
        f"Media type in 'Content-Type: {kind}' is unsupported"
    )
    assert satellite.hosts[1].record["uuid"] == "a-vm"


@pytest.mark.parametrize(("length", "status"), [(9_800, 200), (13_000, 400)])
def test_a_query_has_to_stay_below_ten_kilobytes(api, length, status):
    answer = api.get("/api/hosts", search="x" * length)
    assert answer.status_code == status
    assert bool(answer.text) == (status == 200)


@pytest.mark.parametrize(
    ("noun", "key"),
    [
        ("organization", "999"),
        ("organization", "2"),
        ("location", "1"),
        ("organization", "nosuch"),
    ],
)
@pytest.mark.parametrize("path", ["/api/hosts", "/api/fact_values", "/api/hosts/1"])
def test_an_unknown_organization_or_location_is_a_404_of_another_shape(
    api, noun, key, path
):
    answer = api.get(path, **{f"{noun}_id": key})
    assert (answer.status_code, answer.json()) == (
        404,
        {"message": f"{noun.capitalize()} with id {key} not found"},
    )


def test_an_organization_of_others_is_unknown(satellite, api, cleaner):
    satellite.organizations[7] = "Other"
    assert api.get("/api/hosts", organization_id=7).status_code == 200
    assert cleaner.get("/api/hosts", organization_id=7).json() == {
        "message": "Organization with id 7 not found"
    }


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("GET", "/api/hosts", "view_hosts"),
        ("GET", "/api/hosts/1", "view_hosts"),
        ("DELETE", "/api/hosts/1", "destroy_hosts"),
        ("PUT", "/api/hosts/1/disassociate", "edit_hosts"),
        ("GET", "/api/fact_values", "view_facts"),
        ("GET", "/api/settings", "view_settings"),
        ("GET", "/api/organizations", "view_organizations"),
        ("GET", "/api/locations", "view_locations"),
    ],
)
def test_a_403_names_the_permission_that_is_missing(
    satellite, api, method, path, permission
):
    satellite.add(guest())
    satellite.users["limited"] = User("limited", "x", permissions=frozenset())
    answer = api.as_user("limited", "x")(method, path, json={})
    assert (answer.status_code, answer.json()) == (
        403,
        {
            "error": {
                "message": "Access denied",
                "details": f"Missing one of the required permissions: {permission}",
                "missing_permissions": [permission],
            }
        },
    )
    assert 1 in satellite.hosts
    satellite.users["limited"].permissions = frozenset({permission})
    body = {} if method == "PUT" else None
    assert api.as_user("limited", "x")(method, path, json=body).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/hosts/9",
        "/api/hosts?search=nosuch=1",
        "/api/hosts?page=0",
        "/api/hosts?organization_id=9",
        "/api/hosts",
        "/katello/api/status",
    ],
)
def test_nothing_is_answered_in_html(api, path):
    assert api.get(path).headers["Content-Type"] == "application/json; charset=utf-8"


# Status and the like


def test_status_needs_a_login_but_no_role(satellite, api):
    satellite.users["limited"] = User("limited", "x", permissions=frozenset())
    assert api.as_user("limited", "x").get("/api/status").status_code == 200
    assert api("GET", "/api/status", auth=None).status_code == 401


def test_katello_shows_its_version_without_a_login(api):
    answer = api("GET", "/katello/api/status", auth=None)
    assert (answer.status_code, answer.json()["version"]) == (200, "4.14.3")
    assert answer.json()["timeUTC"].endswith(" UTC")


def test_katello_pings_its_services(api):
    body = api.listed("/katello/api/ping")
    assert (body["status"], body["services"]["candlepin"]["status"]) == ("ok", "ok")


@pytest.mark.parametrize("path", ["/katello/api/status", "/katello/api/ping"])
def test_without_katello_its_routes_are_unknown(shared, path):
    answer = Api(*shared.show(Satellite(katello=False))).get(path)
    assert (answer.status_code, answer.json()) == (404, UNKNOWN_ROUTE)


@pytest.mark.parametrize(
    ("path", "names", "wanted"),
    [
        ("/api/organizations", "organizations", "Default Organization"),
        ("/api/locations", "locations", "Default Location"),
    ],
)
def test_organizations_and_locations_are_found_by_name(
    satellite, api, path, names, wanted
):
    getattr(satellite, names)[7] = "Other"
    body = api.listed(path, search=f'name="{wanted}"', per_page=1)
    assert [row["name"] for row in body["results"]] == [wanted]
    assert (body["total"], body["subtotal"], body["per_page"]) == (2, 1, 1)


@pytest.mark.parametrize("noun", ["organization", "location"])
def test_only_the_organizations_and_locations_of_the_login_are_listed(
    satellite, api, noun
):
    getattr(satellite, f"{noun}s")[7] = "Other"
    satellite.users["limited"] = User(
        "limited", "x", permissions=frozenset({f"view_{noun}s"})
    )
    assert api.listed(f"/api/{noun}s")["total"] == 2
    body = api.as_user("limited", "x").listed(f"/api/{noun}s")
    assert (body["total"], [row["name"] for row in body["results"]]) == (
        1,
        [f"Default {noun.capitalize()}"],
    )


# Settings


def test_a_setting_is_found_by_search_while_total_is_zero(api):
    body = api.listed("/api/settings", search="name=destroy_vm_on_host_delete")
    assert (body["total"], body["subtotal"]) == (0, 1)
    (setting,) = body["results"]
    assert (
        setting["id"],
        setting["value"],
        setting["default"],
        setting["settings_type"],
    ) == (
        "destroy_vm_on_host_delete",
        False,
        False,
        "boolean",
    )


def test_all_settings_have_neither_total_nor_subtotal(api):
    body = api.listed("/api/settings", per_page="all")
    assert (body["total"], body["subtotal"]) == (0, 0)
    assert "destroy_vm_on_host_delete" in [setting["id"] for setting in body["results"]]


def test_an_unknown_setting_is_an_empty_list(api):
    assert api.listed("/api/settings", search="name=nosuch")["results"] == []


# Lists of hosts


def test_the_envelope_counts_all_hosts_and_matching_hosts(satellite, api):
    add_guests(satellite, 3)
    body = api.listed("/api/hosts", search="name = web2.example.com")
    assert [host["name"] for host in body.pop("results")] == ["web2.example.com"]
    assert body == {
        "total": 3,
        "subtotal": 1,
        "page": 1,
        "per_page": 20,
        "search": "name = web2.example.com",
        "sort": {"by": None, "order": None},
    }


def test_without_a_search_the_envelope_says_null(api):
    assert api.listed("/api/hosts")["search"] is None


def test_hosts_are_listed_by_name(satellite, api):
    for name in ("c.example.com", "a.example.com", "b.example.com"):
        satellite.add(Host(name))
    assert api.ids() == [2, 3, 1]


@pytest.mark.parametrize(
    ("order", "ids", "sort"),
    [
        ("id", [1, 2, 3], ["id", "ASC"]),
        ("id ASC", [1, 2, 3], ["id", "ASC"]),
        ("id DESC", [3, 2, 1], ["id", "DESC"]),
        ("name DESC", [1, 3, 2], ["name", "DESC"]),
        ("comment DESC", [3, 1, 2], ["comment", "DESC"]),
    ],
)
def test_hosts_are_listed_in_the_order_asked_for(satellite, api, order, ids, sort):
    for name, comment in (
        ("c.example.com", "m"),
        ("a.example.com", "l"),
        ("b.example.com", "z"),
    ):
        satellite.add(Host(name, record={"comment": comment}))
    body = api.listed("/api/hosts", order=order)
    assert [host["id"] for host in body["results"]] == ids
    assert list(body["sort"].values()) == sort


def test_per_page_cuts_after_the_order(satellite, api):
    add_guests(satellite, 5)
    assert api.ids(order="id DESC", per_page=2, page=2) == [3, 2]


@pytest.mark.parametrize("thin", ["1", "true", "false", ""])
def test_thin_false_is_still_thin(satellite, api, thin):
    satellite.add(guest())
    assert api.listed("/api/hosts", thin=thin)["results"] == [
        {"id": 1, "name": "web1.example.com"}
    ]


def test_thin_ignores_the_order(satellite, api):
    for name in ("c.example.com", "a.example.com", "b.example.com"):
        satellite.add(Host(name))
    assert api.ids(order="id DESC", thin="1") == [2, 3, 1]
    assert api.ids(order="id DESC", thin="1", per_page=1) == [2]
    assert api.ids(order="id DESC", per_page=1) == [3]


def test_thin_refuses_a_wrong_order_all_the_same(api):
    answer = api.get("/api/hosts", thin="1", order="bogus DESC")
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "error": {
                "message": "the field 'bogus' in the order statement is not valid field for search",
                "class": "ScopedSearch::QueryNotSupported",
            }
        },
    )


@pytest.mark.parametrize(
    ("per_page", "shown", "count"),
    [
        ("2", 2, 2),
        ("all", 25, 25),
        ("0", 0, 0),
        ("abc", 0, 0),
        ("3x", 3, 3),
        ("100000", 100000, 25),
    ],
)
def test_per_page_is_read_leniently(satellite, api, per_page, shown, count):
    add_guests(satellite, 25)
    body = api.listed("/api/hosts", per_page=per_page)
    assert (body["total"], body["subtotal"]) == (25, 25)
    assert (body["page"], body["per_page"], len(body["results"])) == (1, shown, count)


def test_the_setting_decides_the_length_of_a_page(satellite, api):
    add_guests(satellite, 25)
    assert len(api.ids()) == 20
    satellite.settings["entries_per_page"] = 7
    assert len(api.ids()) == 7


@pytest.mark.parametrize("path", ["/api/hosts", "/api/fact_values"])
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"page": "0"}, "invalid page: 0"),
        ({"page": "-1"}, "invalid page: -1"),
        ({"page": "abc"}, 'invalid value for Integer(): "abc"'),
        (
            {"per_page": "-5"},
            "PG::InvalidRowCountInLimitClause: ERROR:  LIMIT must not be negative\n",
        ),
    ],
)
def test_an_impossible_page_is_a_500(api, path, params, message):
    answer = api.get(path, **params)
    assert (answer.status_code, answer.json()) == (500, {"error": {"message": message}})


def test_a_page_after_the_last_one_is_empty(satellite, api):
    add_guests(satellite, 3)
    body = api.listed("/api/hosts", page=2, per_page=3)
    assert (body["page"], body["subtotal"], body["results"]) == (2, 3, [])


@pytest.mark.parametrize("path", ["/api/hosts", "/api/fact_values"])
def test_an_unknown_field_is_a_400(api, path):
    answer = api.get(path, search="nosuchfield = 1")
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "error": {
                "message": "Field 'nosuchfield' not recognized for searching!",
                "class": "ScopedSearch::QueryNotSupported",
            }
        },
    )


@pytest.mark.parametrize(
    ("search", "ids"),
    [("=", [1]), ("(name = a", []), ("name = ", []), ('name = "abc', [])],
)
def test_malformed_text_is_not_refused(satellite, api, search, ids):
    satellite.add(guest())
    assert api.ids(search=search) == ids


SEARCHED = {
    "name": "web2.example.com",
    "organization_id": 7,
    "location_id": 8,
    "parameters": {"role": "shop"},
    "errata": ("RHSA-2026:1234", "RHSA-2026:5678"),
    "subscription": {
        "uuid": "consumer",
        "last_checkin": "2026-01-01 10:00:00 UTC",
        "registered_at": "2025-01-01 10:00:00 UTC",
        "hypervisor": True,
    },
    "infrastructure": {"foreman_instance": True, "smart_proxy_id": 3},
    "facts": {
        RHSM: {"virt::uuid": "OTHER", "cpus": "16"},
        PUPPET: {"virt::uuid": "third"},
    },
    "record": {
        "build": True,
        "comment": "Old",
        "uuid": "a-vm",
        "compute_resource_id": 4,
        "compute_resource_name": "osp",
        "created_at": "2024-01-01 10:00:00 UTC",
        "last_report": "2026-01-01 10:00:00 UTC",
        "managed": True,
        "hostgroup_id": 9,
    },
}


@pytest.mark.parametrize(
    "search",
    [
        "id = 2",
        "id ^ (2, 5)",
        "name ~ WEB2",
        "organization_id = 7",
        'organization = "Other"',
        "location_id = 8",
        "location = Elsewhere",
        f"not facts.virt::uuid = {UUID}",
        "facts.virt::uuid = OTHER",
        "facts.virt::uuid = third",
        "facts.virt::uuid ~ other",
        "facts.cpus > 9",
        "has facts.cpus",
        "hypervisor = true",
        'last_checkin < "2026-02-01"',
        "has last_checkin",
        'registered_at < "2026-02-01"',
        "subscription_uuid = consumer",
        "applicable_errata = RHSA-2026:1234",
        'created_at < "2024-06-01"',
        'last_report < "2026-02-01"',
        "build = true",
        "build",
        "managed = true",
        "comment = Old",
        "old",
        "a-vm",
        "consumer",
        "osp",
        "uuid = a-vm",
        "compute_resource_id = 4",
        "compute_resource = osp",
        "has compute_resource_id",
        "hostgroup_id = 9",
        "infrastructure_facet.foreman = true",
        "infrastructure_facet.smart_proxy_id = 3",
        "name !~ web1 and id > 1",
    ],
)
def test_a_host_is_found_by(satellite, api, search):
    satellite.organizations[7], satellite.locations[8] = "Other", "Elsewhere"
    satellite.add(guest())
    satellite.add(Host(**SEARCHED))
    assert api.ids(search=search) == [2]
    assert api.listed("/api/hosts", search=search, thin="1")["subtotal"] == 1


@pytest.mark.parametrize(
    ("search", "ids"),
    [
        ("hypervisor = false", [1]),
        ("applicable_errata = RHSA-2026:9999", []),
        ("not hypervisor = true", [1, 2]),
        ("null? subscription_uuid", [2]),
        ('last_checkin < "garbage"', [1, 2]),
        ('not last_checkin > "2020-01-01"', [1, 2]),
        (f"facts.virt::uuid = {UUID.upper()}", []),
        (f"facts.virt::uuid ~ {UUID.upper()}", [1]),
        ("null? facts.virt::uuid", []),
        ("null? facts.virt", [1]),
        ("has facts.virt", []),
        ("params_nosuch", []),
    ],
)
def test_hosts_are_found_with_surprises(satellite, api, search, ids):
    satellite.add(guest(subscription={"uuid": "consumer"}))
    satellite.add(Host("web2.example.com"))
    assert api.ids(search=search, order="id") == ids


def test_a_capsule_is_not_the_satellite(satellite, api):
    satellite.add(Host("capsule.example.com", infrastructure={"smart_proxy_id": 3}))
    satellite.add(guest())
    assert api.ids(search="infrastructure_facet.foreman = true") == []
    assert api.ids(search="infrastructure_facet.foreman = false") == [1]


def test_a_list_of_facts_is_a_500(api):
    answer = api.get("/api/hosts", search="facts.virt::uuid ^ (a, b)")
    assert answer.status_code == 500
    assert answer.json()["error"]["message"].startswith("PG::SyntaxError")


def test_without_katello_its_fields_are_unknown(shared):
    api = Api(*shared.show(Satellite(katello=False)))
    for search in ("last_checkin > 2026-01-01", "applicable_errata = RHSA-2026:1"):
        assert api.get("/api/hosts", search=search).status_code == 400


def test_a_window_of_ids_is_walked_without_losses(satellite, api):
    hosts = add_guests(satellite, 10)
    listed = [0]
    while page := api.ids(search=f"id > {listed[-1]}", order="id ASC", per_page=3):
        listed += page
        api.delete(page[0])
    assert listed == [0, *(host.id for host in hosts)]


def test_pages_skip_hosts_when_some_are_deleted_in_between(satellite, api):
    add_guests(satellite, 4)
    first = api.ids(order="id", per_page=2, page=1)
    for key in first:
        api.delete(key)
    assert api.ids(order="id", per_page=2, page=2) == []
    assert len(satellite.hosts) == 2


def test_parameters_are_listed_only_when_included(satellite, api):
    satellite.parameters["site"] = "berlin"
    satellite.add(Host("web1.example.com", parameters={"role": "shop"}))
    (plain,) = api.listed("/api/hosts")["results"]
    assert "parameters" not in plain
    assert "all_parameters" not in plain
    (host,) = api.listed(
        "/api/hosts", **{"include[]": ["parameters", "all_parameters"]}
    )["results"]
    assert [(row["name"], row["value"]) for row in host["parameters"]] == [
        ("role", "shop")
    ]
    assert [(row["name"], row["value"]) for row in host["all_parameters"]] == [
        ("role", "shop"),
        ("site", "berlin"),
    ]


def test_a_listed_host_has_facets_but_neither_facts_nor_permissions(satellite, api):
    satellite.add(
        guest(
            subscription={"uuid": "consumer", "dmi_uuid": UUID},
            infrastructure={"smart_proxy_id": 1},
        )
    )
    (host,) = api.listed("/api/hosts")["results"]
    assert host["subscription_facet_attributes"]["uuid"] == "consumer"
    assert "dmi_uuid" not in host["subscription_facet_attributes"]
    assert host["infrastructure_facet"] == {
        "foreman_instance": False,
        "smart_proxy_id": 1,
    }
    assert not {"facts", "permissions"} & set(host)


def test_a_host_that_is_not_registered_has_no_facets(satellite, api):
    satellite.add(guest())
    assert not {name for name in api.listed("/api/hosts/1") if "facet" in name}


# Who sees which hosts


def put_elsewhere(satellite):
    """Five hosts of which only the first is in the organization and location of the login."""
    satellite.organizations[7], satellite.locations[8] = "Other", "Elsewhere"
    for number, (organization, location) in enumerate(
        [(1, 2), (7, 2), (1, 8), (None, 2), (1, None)], start=1
    ):
        satellite.add(
            guest(
                f"web{number}.example.com",
                organization_id=organization,
                location_id=location,
            )
        )


def test_an_administrator_sees_every_host(satellite, api):
    put_elsewhere(satellite)
    assert api.ids(order="id") == [1, 2, 3, 4, 5]
    assert api.ids(order="id", organization_id=1) == [1, 3, 5]
    assert api.ids(order="id", organization_id=1, location_id=2) == [1]


def test_others_see_the_hosts_of_their_organizations_and_locations(satellite, cleaner):
    put_elsewhere(satellite)
    body = cleaner.listed("/api/hosts", thin="1")
    assert [host["id"] for host in body["results"]] == [1]
    assert (body["total"], body["subtotal"]) == (1, 1)
    assert list(cleaner.listed("/api/fact_values")["results"]) == ["web1.example.com"]
    assert [cleaner.get(f"/api/hosts/{key}").status_code for key in range(1, 6)] == [
        200,
        404,
        404,
        404,
        404,
    ]


def test_without_an_organization_everything_is_silently_empty(satellite, cleaner):
    satellite.add(guest())
    satellite.users["cleaner"].organizations = frozenset()
    assert cleaner.listed("/api/hosts")["total"] == 0
    assert (
        cleaner.listed("/api/fact_values", search="fact = virt::uuid")["results"] == {}
    )


def test_a_filter_hides_hosts_everywhere(satellite, cleaner):
    satellite.users["cleaner"].sees = lambda host: host.name != "web2.example.com"
    add_guests(satellite, 2)
    body = cleaner.listed("/api/hosts")
    assert (body["total"], [host["id"] for host in body["results"]]) == (1, [1])
    assert list(cleaner.listed("/api/fact_values")["results"]) == ["web1.example.com"]
    assert cleaner.get("/api/hosts/2").status_code == 404
    assert cleaner.delete(2).status_code == 404
    assert 2 in satellite.hosts


def test_a_named_organization_needs_a_permission_itself(satellite, cleaner):
    satellite.add(guest())
    assert cleaner.listed("/api/hosts", organization_id=1)["total"] == 0
    assert cleaner.delete(1, organization_id=1).status_code == 404
    satellite.users["cleaner"].permissions = MINIMUM | {
        "view_organizations",
        "edit_organizations",
    }
    assert cleaner.listed("/api/hosts", organization_id=1)["total"] == 1
    assert cleaner.delete(1, organization_id=1).status_code == 200


# One host


def test_a_host_is_found_by_name_and_by_number(satellite, api):
    satellite.add(guest())
    assert (
        api.listed("/api/hosts/1")["name"]
        == api.listed("/api/hosts/web1.example.com")["name"]
        == "web1.example.com"
    )


@pytest.mark.parametrize(
    "key", ["2", "WEB1.example.com", "web1.example.com.json", "nosuch", "0", "-1"]
)
def test_an_unknown_host_is_a_404_that_repeats_the_key(satellite, api, key):
    satellite.add(guest())
    answer = api.get(f"/api/hosts/{key}")
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": {"message": f"Resource host not found by id '{key}'"}},
    )


@pytest.mark.parametrize("key", ["1-foo", "1.example.com", "1%20x"])
def test_a_number_at_the_start_is_enough(satellite, api, key):
    satellite.add(guest())
    assert api.listed(f"/api/hosts/{key}")["id"] == 1


def test_a_name_of_digits_shadows_an_id(satellite, api):
    satellite.add(guest())
    satellite.add(Host("1"))
    assert api.listed("/api/hosts/1")["id"] == 2
    api.delete(1)
    assert satellite.deleted == [2]
    assert api.listed("/api/hosts/1")["id"] == 1


def test_a_name_out_of_sight_does_not_shadow_an_id(satellite, cleaner):
    satellite.add(guest())
    satellite.add(Host("1", organization_id=None))
    assert cleaner.listed("/api/hosts/1")["id"] == 1


def test_a_host_is_found_by_the_name_that_a_test_gave_it_later(satellite, api):
    satellite.add(guest()).name = "renamed.example.com"
    assert api.listed("/api/hosts/renamed.example.com")["id"] == 1
    assert api.get("/api/hosts/web1.example.com").status_code == 404
    assert api.ids(search="name = renamed.example.com") == [1]


def test_a_host_by_itself_has_everything(satellite, api):
    satellite.parameters.update(site="berlin", role="none")
    satellite.add(
        guest(
            parameters={"role": "shop"},
            record={"comment": "mine", "root_pass": "$6$secret"},
            subscription={
                "uuid": "consumer",
                "last_checkin": "2026-01-01 10:00:00 UTC",
            },
        )
    )
    host = api.listed("/api/hosts/1")
    assert (host["comment"], host["build"], host["uuid"]) == ("mine", False, None)
    assert (host["organization_name"], host["location_name"]) == (
        "Default Organization",
        "Default Location",
    )
    assert (
        host["subscription_facet_attributes"]["last_checkin"]
        == "2026-01-01 10:00:00 UTC"
    )
    assert host["subscription_facet_attributes"]["hypervisor"] is False
    assert host["subscription_facet_attributes"]["virtual_guests"] == []
    assert host["content_facet_attributes"]["uuid"] == "consumer"
    assert host["facts"] == {"virt": None, "virt::uuid": UUID, "virt::is_guest": "true"}
    assert [(row["name"], row["value"]) for row in host["parameters"]] == [
        ("role", "shop")
    ]
    assert [
        (row["name"], row["value"], row["associated_type"], row["priority"])
        for row in host["all_parameters"]
    ] == [("role", "shop", "host", 70), ("site", "berlin", "global", 0)]
    assert "$6$secret" not in str(host)


def test_without_content_a_host_shows_no_facts(satellite, api):
    satellite.add(guest(subscription=None))
    assert "facts" not in api.listed("/api/hosts/1")


def test_a_registered_host_shows_its_content(satellite, api):
    satellite.add(guest(subscription={"uuid": "consumer", "hypervisor": True}))
    host = api.listed("/api/hosts/1")
    facet = host["content_facet_attributes"]
    assert facet["uuid"] == "consumer"
    assert facet["content_view"] == {
        "id": 1,
        "name": "Default Organization View",
        "composite": False,
    }
    assert (
        facet["lifecycle_environment"]
        == host["lifecycle_environment"]
        == {"id": 1, "name": "Library"}
    )
    (both,) = facet["content_view_environments"]
    assert (
        both["content_view"]["name"],
        both["lifecycle_environment"]["name"],
        both["candlepin_name"],
    ) == ("Default Organization View", "Library", "Library")
    assert not {"content_view_name", "lifecycle_environment_name"} & set(facet)


def test_a_host_that_was_unregistered_keeps_facts_and_an_empty_facet_of_content(
    satellite, api
):
    satellite.add(guest(content={}))
    host = api.listed("/api/hosts/1")
    facet = host["content_facet_attributes"]
    assert (
        facet["uuid"],
        facet["content_view"],
        facet["content_view_environments"],
    ) == (
        None,
        None,
        [],
    )
    assert "subscription_facet_attributes" not in host
    assert host["facts"]["virt::uuid"] == UUID


def test_host_collections_are_shown_only_with_a_single_host(satellite, api):
    satellite.add(guest(record={"host_collections": [{"id": 3, "name": "shop"}]}))
    assert api.listed("/api/hosts/1")["host_collections"] == [{"id": 3, "name": "shop"}]
    assert "host_collections" not in api.listed("/api/hosts")["results"][0]


def test_without_katello_a_host_has_neither_facts_nor_facets(shared):
    satellite = Satellite(katello=False)
    satellite.add(guest(subscription={"uuid": "consumer"}))
    host = Api(*shared.show(satellite)).listed("/api/hosts/1")
    assert not {
        "facts",
        "subscription_facet_attributes",
        "content_facet_attributes",
    } & set(host)


def test_without_their_permission_only_the_global_parameters_are_shown(
    satellite, cleaner
):
    satellite.parameters.update(site="berlin", role="none")
    satellite.organization_parameters[ORGANIZATION] = {"team": "red"}
    satellite.add(guest(parameters={"role": "shop"}))
    host = cleaner.listed("/api/hosts/1")
    assert host["parameters"] == []
    assert [(row["name"], row["value"]) for row in host["all_parameters"]] == [
        ("site", "berlin"),
        ("role", "none"),
    ]
    satellite.users["cleaner"].permissions = MINIMUM | {"view_params"}
    assert [
        (row["name"], row["value"])
        for row in cleaner.listed("/api/hosts/1")["all_parameters"]
    ] == [("role", "shop"), ("team", "red"), ("site", "berlin")]


def test_the_parameter_of_the_highest_level_wins(satellite, api):
    satellite.parameters.update(
        a="global", b="global", c="global", d="global", e="global"
    )
    satellite.organization_parameters[ORGANIZATION] = dict.fromkeys(
        "bcde", "organization"
    )
    satellite.location_parameters[LOCATION] = dict.fromkeys("cde", "location")
    satellite.hostgroup_parameters[7] = dict.fromkeys("de", "host group")
    satellite.add(guest(parameters={"e": "host"}, record={"hostgroup_id": 7}))
    host = api.listed("/api/hosts/1")
    assert {row["name"]: row["value"] for row in host["all_parameters"]} == {
        "a": "global",
        "b": "organization",
        "c": "location",
        "d": "host group",
        "e": "host",
    }
    assert all(row["value"] == row["associated_type"] for row in host["all_parameters"])
    assert [row["priority"] for row in host["all_parameters"]] == [70, 60, 20, 10, 0]
    assert [row["name"] for row in host["parameters"]] == ["e"]


def test_a_parameter_that_is_not_text_has_another_type(satellite, api):
    satellite.parameters.update(switch=True, number=4, some=[1])
    satellite.add(guest())
    rows = api.listed("/api/hosts/1")["all_parameters"]
    assert [(row["parameter_type"], row["value"]) for row in rows] == [
        ("boolean", True),
        ("integer", 4),
        ("json", [1]),
    ]


def test_permissions_are_those_of_the_caller(satellite, api, cleaner):
    satellite.add(guest())
    assert set(api.listed("/api/hosts/1")["permissions"].values()) == {True}
    permissions = cleaner.listed("/api/hosts/1")["permissions"]
    assert {name for name, allowed in permissions.items() if allowed} == {
        "view_hosts",
        "destroy_hosts",
    }
    assert {"create_hosts", "edit_hosts"} <= set(permissions)


# Facts


def test_facts_are_keyed_by_name_of_host_and_fact(satellite, api):
    add_guests(satellite, 2)
    body = api.listed("/api/fact_values", search="fact = virt::uuid")
    assert body["results"] == {
        "web1.example.com": {"virt::uuid": "uuid-1"},
        "web2.example.com": {"virt::uuid": "uuid-2"},
    }
    assert body["sort"] == {"by": None, "order": None}


def test_subtotal_is_the_number_of_hosts_on_the_page(satellite, api):
    add_guests(satellite, 5)
    body = api.listed(
        "/api/fact_values",
        search="fact ^ (virt::uuid, virt::is_guest)",
        per_page=6,
        order="host_id",
    )
    assert (body["total"], body["subtotal"], len(body["results"])) == (15, 3, 3)


def test_without_a_search_subtotal_is_total_and_search_is_empty(satellite, api):
    add_guests(satellite, 5)
    body = api.listed("/api/fact_values", per_page=1)
    assert (body["total"], body["subtotal"], body["search"]) == (15, 15, "")
    satellite.hosts[1].facts[RHSM]["cpus"] = "4"
    assert api.listed("/api/fact_values", per_page=1)["total"] == 16


def test_the_total_of_facts_follows_the_hosts(satellite, api):
    def total():
        return api.listed(
            "/api/fact_values", search="fact = cpus", organization_id=ORGANIZATION
        )["total"]

    add_guests(satellite, 2)
    assert total() == 6
    satellite.add(guest("more.example.com"))
    satellite.add(guest("other.example.com", organization_id=None))
    assert total() == 9
    api.delete(1)
    assert total() == 6
    api.delete(3)
    assert total() == 3


def test_the_total_of_facts_is_zero_unless_the_login_is_an_administrator(
    satellite, cleaner
):
    add_guests(satellite, 2)
    body = cleaner.listed("/api/fact_values", search="fact = virt::uuid")
    assert (body["total"], body["subtotal"], len(body["results"])) == (0, 2, 2)
    body = cleaner.listed("/api/fact_values")
    assert (body["total"], body["subtotal"], len(body["results"])) == (0, 0, 2)


def test_a_page_counts_facts_and_not_hosts(satellite, api):
    satellite.add(
        Host(
            "web1.example.com",
            facts={RHSM: {f"fact{number}": "x" for number in range(25)}},
        )
    )
    assert len(api.listed("/api/fact_values")["results"]["web1.example.com"]) == 20
    assert (
        len(api.listed("/api/fact_values", page=2)["results"]["web1.example.com"]) == 5
    )


def test_per_page_all_gives_no_facts(satellite, api):
    satellite.add(guest())
    body = api.listed("/api/fact_values", search="fact = virt::uuid", per_page="all")
    assert (body["results"], body["per_page"], body["subtotal"]) == ({}, 3, 0)


def test_the_id_of_a_host_has_no_pattern(api):
    answer = api.get("/api/fact_values", search="host ~ 40")
    assert answer.status_code == 500
    assert "operator does not exist" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("per_page", "count"), [("0", 0), ("abc", 0), ("100000", 3)])
def test_per_page_is_respected_in_facts(satellite, api, per_page, count):
    add_guests(satellite, 3)
    assert (
        len(
            api.listed(
                "/api/fact_values", search="fact = virt::uuid", per_page=per_page
            )["results"]
        )
        == count
    )


def test_parents_of_facts_come_first_and_are_null(satellite, api):
    satellite.add(
        Host("web1.example.com", facts={RHSM: {"dmi::system::uuid": "X", "a": "1"}})
    )
    facts = api.listed("/api/fact_values")["results"]["web1.example.com"]
    assert list(facts.items()) == [
        ("dmi", None),
        ("dmi::system", None),
        ("a", "1"),
        ("dmi::system::uuid", "X"),
    ]


def test_facts_are_sorted_by_value_with_capitals_first(satellite, api):
    for number, uuid in enumerate(("b", "a", "C"), start=1):
        satellite.add(guest(f"web{number}.example.com", uuid))
    body = api.listed("/api/fact_values", search="fact = virt::uuid")
    assert [facts["virt::uuid"] for facts in body["results"].values()] == [
        "C",
        "a",
        "b",
    ]


def read_in_pages(api, **params):
    names, number = [], 1
    while page := api.listed("/api/fact_values", page=number, **params)["results"]:
        names, number = names + list(page), number + 1
    return names


def test_equal_values_get_lost_between_pages(satellite, api):
    add_guests(satellite, 8)
    names = read_in_pages(api, search="fact = virt::is_guest", per_page=3)
    assert len(names) == 8
    assert len(set(names)) < 8


@pytest.mark.parametrize("order", ["host ASC", "host_id ASC", "host_id DESC"])
def test_sorted_by_host_nothing_gets_lost(satellite, api, order):
    add_guests(satellite, 8)
    names = read_in_pages(api, search="fact = virt::is_guest", per_page=3, order=order)
    assert sorted(names) == sorted(host.name for host in satellite.hosts.values())


def test_facts_are_ordered_by_host_as_text_and_by_host_id_as_number(satellite, api):
    for name in ("c.example.com", "a.example.com"):
        satellite.add(guest(name))
    by_host = api.listed(
        "/api/fact_values", search="fact = virt::uuid", order="host ASC"
    )
    assert (list(by_host["results"]), by_host["sort"]) == (
        ["a.example.com", "c.example.com"],
        {"by": "host", "order": "ASC"},
    )
    by_id = api.listed("/api/fact_values", search="fact = virt::uuid", order="host_id")
    assert list(by_id["results"]) == ["c.example.com", "a.example.com"]


@pytest.mark.parametrize("order", ["id ASC", "bogus"])
def test_facts_are_not_ordered_by_id(api, order):
    assert (
        api.get("/api/fact_values", search="fact = virt::uuid", order=order).status_code
        == 400
    )


@pytest.mark.parametrize(
    ("search", "names"),
    [
        ("fact = virt::uuid", {"virt::uuid"}),
        ("name = virt::uuid", {"virt::uuid"}),
        ("fact ^ (virt::uuid, cpus)", {"virt::uuid", "cpus"}),
        ("fact = virt::uuid or fact = cpus", {"virt::uuid", "cpus"}),
        ("fact = virt", {"virt"}),
        ("fact ~ VIRT", {"virt", "virt::uuid", "virt::is_guest"}),
        ("fact_short_name = uuid", {"virt::uuid"}),
        ("short_name = uuid", {"virt::uuid"}),
        ("value = 4", {"cpus"}),
        ("value > 3", {"cpus"}),
        ("facts.virt::is_guest = true", {"virt::is_guest"}),
        (f"facts.virt::uuid ~ {UUID.upper()}", {"virt::uuid"}),
        ("fact = virt::uuid and facts.cpus = 4", set()),  # both of the same row
        ("fact = virt::uuid and fact = cpus", set()),
        ("type = PuppetFactName", {"os"}),
        ("origin ~ Rhsm and fact !~ virt", {"cpus"}),
        (f"{UUID} and host_id = 1", {"virt::uuid"}),
        ("os", {"os"}),
    ],
)
def test_facts_are_found_by(satellite, api, search, names):
    satellite.add(
        Host(
            "web1.example.com",
            facts={
                RHSM: {"virt::uuid": UUID, "virt::is_guest": "true", "cpus": "4"},
                PUPPET: {"os": "RedHat"},
            },
        )
    )
    body = api.listed("/api/fact_values", search=search)
    assert set(body["results"].get("web1.example.com", {})) == names


@pytest.mark.parametrize(
    ("search", "keys"),
    [
        ("host = web2.example.com", [2]),
        ("host = 2", [2]),
        ("host ~ web", [1, 2, 3]),
        ("host != web2.example.com", [1, 3]),
        ("host_id = 2", [2]),
        ("host_id ^ (1,3)", [1, 3]),
        ("host_id > 1 and host_id <= 2", [2]),
        ("host_id >= 2", [2, 3]),
        ("organization_id = 7", [3]),
        ("organization = Other", [3]),
        ("location_id = 2", [1, 2, 3]),
        ('location = "Default Location"', [1, 2, 3]),
        ("host = nosuch", []),
        ("not host = 2", [1, 3]),
    ],
)
def test_facts_are_found_by_host(satellite, api, search, keys):
    satellite.organizations[7] = "Other"
    add_guests(satellite, 3)[2].organization_id = 7
    names = list(
        api.listed(
            "/api/fact_values",
            search=f"fact = virt::uuid and {search}",
            order="host_id",
        )["results"]
    )
    assert names == [f"web{key}.example.com" for key in keys]


@pytest.mark.parametrize(
    "search", ["host ^ (a, b)", "value ^ (a, b)", "facts.x ^ (a, b)", "host !^ (a, b)"]
)
def test_lists_of_hosts_and_values_are_a_500(api, search):
    answer = api.get("/api/fact_values", search=f"{search} and fact = virt::uuid")
    assert answer.status_code == 500
    assert answer.json()["error"]["message"].startswith(
        "PG::SyntaxError: ERROR:  syntax error at or near \"'a,b'\""
    )


def test_facts_are_listed_within_an_organization(satellite, api):
    satellite.organizations[7] = "Other"
    add_guests(satellite, 2)[1].organization_id = 7
    body = api.listed("/api/fact_values", search="fact = virt::uuid", organization_id=7)
    assert (list(body["results"]), body["total"]) == (["web2.example.com"], 3)


def test_two_origins_with_one_fact_become_one_and_the_last_row_wins(satellite, api):
    satellite.add(
        Host(
            "web1.example.com",
            facts={RHSM: {"uuid": "first"}, ANSIBLE: {"uuid": "last"}},
        )
    )
    query = {"search": "fact = uuid", "order": "host_id"}
    body = api.listed("/api/fact_values", **query)
    assert (body["results"], body["total"]) == (
        {"web1.example.com": {"uuid": "last"}},
        2,
    )
    query["search"] = f"fact = uuid and origin = {RHSM}"
    assert api.listed("/api/fact_values", **query)["results"] == {
        "web1.example.com": {"uuid": "first"}
    }


def test_without_view_hosts_facts_are_silently_empty(satellite, cleaner):
    satellite.add(guest())
    satellite.users["cleaner"].permissions = frozenset({"view_facts"})
    assert (
        cleaner.listed("/api/fact_values", search="fact = virt::uuid")["results"] == {}
    )


def test_the_timestamp_is_not_a_fact(satellite, api):
    satellite.add(
        Host("web1.example.com", facts={RHSM: {"_timestamp": "2026-01-01", "a": "1"}})
    )
    assert api.listed("/api/fact_values")["results"] == {"web1.example.com": {"a": "1"}}


def test_facts_of_a_window_of_ids_are_read_without_losses(satellite, api):
    add_guests(satellite, 9)
    names = []
    for low in (0, 3, 6):
        search = f"fact ^ (virt::uuid, virt::is_guest) and host_id > {low} and host_id <= {low + 3}"
        body = api.listed(
            "/api/fact_values", search=search, order="host_id ASC", per_page=1000
        )
        names += body["results"]
        assert all(
            set(facts) == {"virt::uuid", "virt::is_guest"}
            for facts in body["results"].values()
        )
    assert names == [f"web{number}.example.com" for number in range(1, 10)]


def test_a_ghost_has_facts_but_no_host(satellite, api, cleaner):
    satellite.ghosts["ghost.example.com"] = {RHSM: {"virt::uuid": "of-a-ghost"}}
    satellite.add(guest())
    expected = {"ghost.example.com": {"virt::uuid": "of-a-ghost"}}
    assert api.get("/api/hosts/ghost.example.com").status_code == 404
    assert api.ids(search="name = ghost.example.com") == []
    search = "fact = virt::uuid and host = ghost.example.com"
    assert api.listed("/api/fact_values", search=search)["results"] == expected
    assert (
        api.listed("/api/fact_values", search="fact = virt::uuid and host_id < 2")[
            "results"
        ]
        == expected
    )
    assert (
        "ghost.example.com"
        in api.listed("/api/fact_values", search="fact = virt::uuid")["results"]
    )
    assert (
        api.listed("/api/fact_values", search=search, organization_id=1)["results"]
        == {}
    )
    assert api.listed("/api/fact_values")["total"] == 5
    assert api.listed("/api/fact_values", organization_id=1)["total"] == 3
    assert cleaner.listed("/api/fact_values", search=search)["results"] == {}


# Deleting


def test_a_deletion_answers_the_raw_record_with_its_secrets(satellite, api):
    satellite.add(
        guest(
            record={"root_pass": "$6$secret", "created_at": "2026-11-22 12:47:41 UTC"}
        )
    )
    answer = api.delete(1)
    body = answer.json()
    assert answer.status_code == 200
    assert (body["id"], body["name"]) == (1, "web1.example.com")
    assert (body["root_pass"], body["grub_pass"]) == ("$6$secret", None)
    assert body["created_at"] == "2026-11-22T12:47:41.000Z"
    assert "permissions" not in body


def test_a_deleted_host_is_gone_everywhere_and_the_others_are_not(satellite, api):
    add_guests(satellite, 3)
    api.delete(2)
    assert satellite.deleted == [2]
    assert api.ids(order="id") == [1, 3]
    assert api.get("/api/hosts/2").status_code == 404
    assert api.get("/api/hosts/web2.example.com").status_code == 404
    assert "web2.example.com" not in api.listed("/api/fact_values")["results"]


def test_a_second_deletion_is_a_404(satellite, api):
    satellite.add(guest())
    assert [api.delete(1).status_code for _ in range(2)] == [200, 404]


def test_by_name_the_second_deletion_hits_the_host_with_that_number(satellite, api):
    satellite.add(guest())
    satellite.add(Host("1-web.example.com"))
    assert [api.delete("1-web.example.com").json()["id"] for _ in range(2)] == [2, 1]


def test_a_login_can_delete_what_it_cannot_read(satellite, cleaner):
    satellite.add(guest())
    satellite.users["cleaner"].permissions = frozenset({"destroy_hosts"})
    assert cleaner.get("/api/hosts/1").status_code == 403
    assert cleaner.delete(1).status_code == 200


def test_a_stubborn_host_stays_although_the_answer_is_a_200(satellite, api):
    host = satellite.add(guest(subscription={"uuid": "consumer"}))
    satellite.stubborn.add(host.id)
    answer = api.delete(1)
    assert (answer.status_code, answer.json()["id"]) == (200, 1)
    body = api.listed("/api/hosts/1")
    assert not {"subscription_facet_attributes", "content_facet_attributes"} & set(body)
    facts = api.listed("/api/fact_values", search="host_id = 1")["results"]
    assert facts["web1.example.com"]["virt::uuid"] == UUID
    assert api.ids(search="set? subscription_uuid") == []
    again = api.delete(1)
    assert (again.status_code, "subscription_facet_attributes" in again.json()) == (
        200,
        False,
    )
    assert satellite.deleted == []


# DELETE that goes wrong


def test_a_deletion_shows_both_facets_of_what_it_deleted(satellite, api):
    satellite.add(
        guest(
            subscription={"uuid": "consumer", "last_checkin": "2026-01-01 10:00:00 UTC"}
        )
    )
    body = api.delete(1).json()
    facet = body["subscription_facet_attributes"]
    assert (facet["uuid"], facet["last_checkin"], facet["registered_at"]) == (
        "consumer",
        "2026-01-01T10:00:00.000Z",
        None,
    )
    assert (
        body["content_facet_attributes"]["uuid"],
        body["content_facet_attributes"]["host_id"],
    ) == ("consumer", 1)


@pytest.mark.parametrize("status", [403, 409, 410, 500, 504])
def test_a_deletion_can_fail_and_change_nothing(satellite, api, status):
    satellite.add(guest(subscription={"uuid": "consumer"}))
    satellite.add(guest("web2.example.com"))
    satellite.deletion_faults[1] = DeletionFault(status)
    assert [api.delete(key).status_code for key in (1, 2, 1)] == [status, 200, status]
    assert (
        api.listed("/api/hosts/1")["subscription_facet_attributes"]["uuid"]
        == "consumer"
    )


def test_a_test_can_choose_the_body_of_a_failure(satellite, api):
    satellite.add(guest())
    satellite.deletion_faults[1] = DeletionFault(504, "<html>Gateway Time-out</html>")
    assert api.delete(1).text == "<html>Gateway Time-out</html>"
    satellite.deletion_faults[1] = DeletionFault()
    assert api.delete(1).json() == {
        "error": {"message": "DELETE of web1.example.com failed"}
    }


def test_a_deletion_can_succeed_although_it_answers_an_error(satellite, api):
    satellite.add(guest())
    satellite.deletion_faults[1] = DeletionFault(504, effect=Effect.DELETED)
    assert (api.delete(1).status_code, api.get("/api/hosts/1").status_code) == (
        504,
        404,
    )
    assert satellite.deleted == [1]


def test_a_deletion_can_succeed_some_requests_after_its_answer(satellite, api):
    satellite.add(guest())
    satellite.deletion_faults[1] = DeletionFault(504, effect=Effect.DELETED, after=2)
    assert api.delete(1).status_code == 504
    assert [api.get("/api/hosts/1").status_code for _ in range(3)] == [200, 200, 404]
    assert satellite.deleted == [1]


@pytest.mark.parametrize(("effect", "left"), [(Effect.NONE, [1]), (Effect.DELETED, [])])
def test_the_connection_can_be_cut_instead_of_an_answer(satellite, api, effect, left):
    satellite.add(guest())
    satellite.deletion_faults[1] = DeletionFault(DROPPED, effect=effect)
    with pytest.raises(requests.ConnectionError):
        api.delete(1)
    assert api.ids() == left


def test_a_deletion_that_fails_can_unregister_the_host(satellite, api):
    satellite.add(guest(subscription={"uuid": "consumer"}))
    satellite.deletion_faults[1] = DeletionFault(500, effect=Effect.UNREGISTERED)
    assert api.delete(1).status_code == 500
    assert "subscription_facet_attributes" not in api.listed("/api/hosts/1")
    del satellite.deletion_faults[1]
    assert (api.delete(1).status_code, satellite.deleted) == (200, [1])


def test_without_candlepin_no_registered_host_is_deleted(satellite, api):
    satellite.add(guest(subscription={"uuid": "consumer"}))
    satellite.add(guest("web2.example.com"))
    satellite.candlepin_down = True
    answer = api.delete(1)
    assert (answer.status_code, answer.json()) == (
        500,
        {"error": {"message": "A backend service [ Candlepin ] is unreachable"}},
    )
    assert api.delete(2).status_code == 200
    satellite.candlepin_down = False
    assert (
        api.listed("/api/hosts/1")["subscription_facet_attributes"]["uuid"]
        == "consumer"
    )
    assert api.delete(1).status_code == 200


def test_the_state_of_candlepin_is_shown_without_a_login(satellite, api):
    body = api("GET", "/katello/api/ping", auth=None).json()
    assert (body["status"], body["services"]["candlepin"]["status"]) == ("ok", "ok")
    satellite.candlepin_down = True
    answer = api("GET", "/katello/api/ping", auth=None)
    services = answer.json()["services"]
    assert (
        answer.status_code,
        answer.json()["status"],
        services["candlepin"]["status"],
    ) == (
        200,
        "FAIL",
        "FAIL",
    )
    assert (
        services["candlepin_auth"]["message"]
        == "A backend service [ Candlepin ] is unreachable"
    )
    assert (services["foreman_tasks"]["status"], "pulp3" in services) == ("ok", False)
    assert api.get("/katello/api/status").json()["version"] == "4.14.3"


# GET that goes wrong


def test_a_record_that_cannot_be_shown_spoils_every_list_that_shows_it_whole(
    satellite, api
):
    add_guests(satellite, 3)
    satellite.read_faults[2] = Answer(500, {"error": {"message": "undefined method"}})
    assert [api.get(f"/api/hosts/{key}").status_code for key in (1, 2, 3)] == [
        200,
        500,
        200,
    ]
    assert api.get("/api/hosts").status_code == 500
    assert api.get("/api/hosts", search="id ^ (1,3)").status_code == 200
    assert api.ids(thin="true") == [1, 2, 3]
    assert api.delete(2).status_code == 200


def test_facts_of_one_host_can_be_unreadable_while_a_window_of_facts_is_not(
    satellite, api
):
    add_guests(satellite, 2)
    satellite.fact_faults[2] = Answer(500, {"error": {"message": "undefined method"}})
    assert api.get("/api/fact_values", search="host_id = 2").status_code == 500
    assert api.get("/api/fact_values", search="host_id = 1").status_code == 200
    assert api.get("/api/fact_values").status_code == 200


def vm(**more):
    return guest(
        record={
            "compute_resource_id": 4,
            "compute_resource_name": "osp",
            "uuid": "a-vm",
        },
        **more,
    )


def test_by_default_the_vm_of_a_host_outlives_it(satellite, api):
    satellite.add(vm())
    body = api.delete(1).json()
    assert (body["uuid"], body["compute_resource_id"]) == (None, None)
    assert satellite.destroyed_vms == []


def test_the_setting_destroys_the_vm_with_the_host(satellite, api):
    satellite.add(vm())
    satellite.add(guest("web2.example.com"))
    satellite.add(guest("web3.example.com", record={"compute_resource_id": 4}))
    satellite.add(guest("web4.example.com", record={"uuid": "of-no-compute-resource"}))
    satellite.settings["destroy_vm_on_host_delete"] = True
    assert api.delete(1).json()["uuid"] == "a-vm"
    assert [api.delete(key).status_code for key in (2, 3, 4)] == [200, 200, 200]
    assert satellite.destroyed_vms == ["a-vm"]


def test_after_disassociation_no_vm_is_destroyed(satellite, api):
    satellite.add(vm())
    satellite.settings["destroy_vm_on_host_delete"] = True
    answer = api("PUT", "/api/hosts/1/disassociate", json={})
    assert (
        answer.status_code,
        answer.json()["compute_resource_id"],
        answer.json()["uuid"],
    ) == (
        200,
        None,
        None,
    )
    assert "parameters" not in answer.json()
    assert api("PUT", "/api/hosts/1/disassociate", json={}).status_code == 200
    api.delete(1)
    assert (satellite.deleted, satellite.destroyed_vms) == ([1], [])


def test_an_empty_body_is_accepted_as_json(satellite, api):
    satellite.add(vm())
    answer = api(
        "PUT", "/api/hosts/1/disassociate", headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["uuid"]) == (200, None)


def test_to_disassociate_an_unknown_host_is_a_404(api):
    answer = api("PUT", "/api/hosts/999999/disassociate", json={})
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": {"message": "Resource host not found by id '999999'"}},
    )


# Reports

EARLY, LATE = "2026-01-01 10:00:00 UTC", "2026-01-02 10:00:00 UTC"


def test_the_newest_report_decides_the_last_report(satellite, api):
    satellite.add(
        guest(
            reports=[Report(LATE), Report(EARLY)],
            record={"last_report": "2025-01-01 10:00:00 UTC"},
        )
    )
    assert api.listed("/api/hosts/1")["last_report"] == LATE
    assert api.ids(search='last_report > "2026-01-01 12:00"') == [1]
    assert api.delete(1).json()["last_report"] == "2026-01-02T10:00:00.000Z"


def test_reports_need_a_permission_and_the_host_in_sight(satellite, cleaner):
    satellite.add(guest(reports=[Report(LATE)]))
    answer = cleaner.get("/api/config_reports")
    assert answer.status_code == 403
    assert answer.json()["error"]["missing_permissions"] == ["view_config_reports"]
    user = satellite.users["cleaner"]
    user.permissions = MINIMUM | {"view_config_reports"}
    assert len(cleaner.listed("/api/config_reports")["results"]) == 1
    user.sees = lambda host: False
    assert cleaner.listed("/api/config_reports")["results"] == []
    user.permissions, user.sees = frozenset({"view_config_reports"}), None
    assert cleaner.listed("/api/config_reports")["results"] == []


@pytest.mark.parametrize(
    ("search", "hosts"),
    [
        ("", [1, 2, 1]),
        ("host_id = 1", [1, 1]),
        ("host = web2.example.com", [2]),
        ("failed > 0", [1]),
        ("origin = Puppet", [2]),
        ('reported < "2026-01-01 12:00"', [1]),
        ("host_id = 1 and failed = 0", [1]),
    ],
)
def test_reports_are_listed_newest_first(satellite, api, search, hosts):
    satellite.add(
        guest(reports=[Report(EARLY), Report("2026-01-03 10:00:00 UTC", {"failed": 1})])
    )
    satellite.add(guest("web2.example.com", reports=[Report(LATE, origin="Puppet")]))
    body = api.listed("/api/config_reports", search=search)
    assert [row["host_id"] for row in body["results"]] == hosts
    assert (body["total"], body["subtotal"]) == (3, len(hosts))
    assert not {"logs", "summary"} & set(body["results"][0])


def test_facts_are_found_by_the_time_of_their_origin(satellite, api):
    satellite.add(
        Host(
            "web1.example.com",
            facts={
                RHSM: {"a": "1", "_timestamp": "2026-01-02 10:00:00 +0000"},
                ANSIBLE: {"b": "2", "_timestamp": EARLY},
            },
        )
    )
    body = api.listed("/api/fact_values", search='reported_at > "2026-01-01 12:00"')
    assert body["results"] == {"web1.example.com": {"a": "1"}}


def test_users_and_user_groups_are_shown_by_number(satellite, api):
    satellite.add(guest())
    satellite.usergroups[3] = "web team"
    host = api.listed("/api/hosts/1")
    assert (host["owner_id"], host["owner_name"], host["owner_type"]) == (
        4,
        "Admin User",
        "User",
    )
    assert (
        api.get("/api/users/4").status_code,
        api.get("/api/usergroups/4").status_code,
    ) == (
        200,
        404,
    )
    assert (
        api.get("/api/users/3").status_code,
        api.get("/api/usergroups/3").status_code,
    ) == (
        404,
        200,
    )


# The double itself


def test_ids_only_grow(satellite):
    assert [
        satellite.add(Host(name, id=key)).id
        for name, key in (("a", 0), ("b", 400), ("c", 0), ("d", 5))
    ] == [1, 400, 401, 402]


def test_a_name_is_taken_only_once(satellite):
    satellite.add(Host("web1.example.com"))
    with pytest.raises(ValueError, match="web1.example.com"):
        satellite.add(Host("WEB1.example.com"))


def test_a_test_can_take_hosts_away(satellite, api):
    add_guests(satellite, 3)
    del satellite.hosts[2]
    assert api.ids(order="id") == [1, 3]
    assert api.ids(search="id > 1") == [3]


def test_a_host_that_comes_while_another_goes_is_listed(satellite, api):
    add_guests(satellite, 2)
    assert api.ids(order="id") == [1, 2]
    api.delete(1)
    satellite.add(guest("new.example.com"))
    assert api.ids(order="id") == [2, 3]


def test_of_many_deletions_at_once_one_deletes_each_host(satellite, api):
    add_guests(satellite, 10)
    statuses = []

    def delete(key):
        statuses.append(api.delete(key).status_code)

    keys = [*range(1, 11)] * 2
    threads = [threading.Thread(target=delete, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 10 + [404] * 10
    assert sorted(satellite.deleted) == list(range(1, 11))


def test_a_window_of_a_big_satellite_looks_at_no_other_hosts(satellite, api):
    add_guests(satellite, 300)
    looked_at = []
    satellite.users["cleaner"].sees = lambda host: looked_at.append(host.id) or True
    body = api.as_user(*CLEANER).listed(
        "/api/fact_values",
        search="fact = virt::uuid and host_id > 100 and host_id <= 103",
        order="host_id",
    )
    assert list(body["results"]) == [
        "web101.example.com",
        "web102.example.com",
        "web103.example.com",
    ]
    assert looked_at == [101, 102, 103]
    looked_at.clear()
    search = "id > 100 and id <= 103"
    assert (
        len(
            api.as_user(*CLEANER).listed("/api/hosts", search=search, order="id")[
                "results"
            ]
        )
        == 3
    )
    assert len(looked_at) == 303  # all of them once, for the envelope's total
