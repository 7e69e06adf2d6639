"""The double of Keystone and Nova, asked over HTTP by the clients of the real services.

Each test is a measured behaviour of the real services (keystone 30, nova 34).
"""

import threading
import time
import uuid as uuidlib
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any, Optional

import pytest
import requests
from keystoneauth1 import exceptions as ka
from keystoneauth1 import session
from keystoneauth1.identity import v3
from novaclient import client
from novaclient import exceptions as nc
from openstack import config as clouds
from openstack import connection

from .instances import Order
from .openstack import Account, ApplicationCredential, Instance, OpenStack, project_id
from .server import Server, expect_unknown

ONE, TWO = "RegionOne", "RegionTwo"
ADMIN = Account("admin", "changeme")
READER = Account("reader-a", "secret", "project-a", ("reader",))
SERVICE = Account("svc", "secret", "service", ("service",))
CHECKER = Account("checker", "secret", "project-a", ("host_checker",))
GOOD = ApplicationCredential("c0ffee", "hush", "admin")
LISTING = {"index", "detail", "index:get_all_tenants", "detail:get_all_tenants"}
NOON = 1_790_000_000.0  # 2026-09-21T14:13:20Z
SINCE = "changes-since=2000-01-01T00:00:00Z"


def uid(number: int) -> str:
    """A UUID that is easy to recognize, with a letter that has an upper case."""
    return f"{number:08x}-0000-4000-8000-00000000000a"


class Lab:
    """A cloud behind a server, and the requests of the tests."""

    def __init__(self, cloud: OpenStack, server: Server) -> None:
        self.cloud, self.server = cloud, server
        self._tokens: dict[str, str] = {}
        self.http = requests.Session()

    def add(
        self, number: int, project: str = "project-b", region: str = ONE, **fields: Any
    ) -> str:
        fields = {"created": NOON + number, "updated": NOON + number, **fields}
        return self.cloud.add(
            region, Instance(uid(number), f"vm-{number}", project, **fields)
        ).uuid

    def session(self, account: Account = ADMIN, **how: Any) -> session.Session:
        scope = {
            "project_name": account.project,
            "project_domain_name": "Default",
            **how,
        }
        return session.Session(
            v3.Password(
                f"{self.server.url}/v3",
                username=account.name,
                password=account.password,
                user_domain_name="Default",
                **scope,
            )
        )

    def nova(
        self, account: Account = ADMIN, microversion: str = "2.1", region: str = ONE
    ) -> Any:
        return client.Client(
            microversion, session=self.session(account), region_name=region
        )

    def token(self, account: Account = ADMIN) -> str:
        if account.name not in self._tokens:
            self._tokens[account.name] = self.session(account).get_token()
        return self._tokens[account.name]

    def get(
        self,
        path: str,
        microversion: Optional[str] = None,
        account: Account = ADMIN,
        region: str = ONE,
        method: str = "GET",
    ) -> requests.Response:
        headers = {"X-Auth-Token": self.token(account)}
        if microversion:
            headers["OpenStack-API-Version"] = f"compute {microversion}"
        return self.http.request(
            method,
            f"{self.server.url}/compute/{region}/v2.1{path}",
            headers=headers,
            timeout=10,
        )

    def listed(
        self,
        query: str = "",
        microversion: Optional[str] = None,
        account: Account = ADMIN,
        detail: bool = False,
    ) -> list[int]:
        """The numbers of the servers in a list of every project's servers."""
        page = self.get(
            f"/servers{'/detail' if detail else ''}?all_tenants=1&{query}",
            microversion,
            account,
        )
        assert page.status_code == 200, page.text
        return [int(server["id"][:8], 16) for server in page.json()["servers"]]

    def status(
        self, number: int, microversion: Optional[str] = None, account: Account = ADMIN
    ) -> int:
        return self.get(f"/servers/{uid(number)}", microversion, account).status_code

    def log_in(self, identity: Any, scope: Any = None) -> requests.Response:
        body = (
            {"identity": identity, "scope": scope} if scope else {"identity": identity}
        )
        return requests.post(
            f"{self.server.url}/v3/auth/tokens", json={"auth": body}, timeout=10
        )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One for all tests, because stopping takes longer than most of them."""
    with Server(OpenStack().handle) as server:
        yield server


@pytest.fixture
def lab(server: Server) -> Iterator[Lab]:
    cloud = OpenStack(
        regions=(ONE, TWO),
        accounts=(ADMIN, READER, SERVICE, CHECKER),
        application_credentials=[
            ApplicationCredential(GOOD.id, GOOD.secret, GOOD.account)
        ],
    )
    server.handle = cloud.handle
    server.requests.clear()
    lab = Lab(cloud, server)
    yield lab
    lab.http.close()


def fault(answer: requests.Response) -> tuple[int, str, str]:
    """Status, kind and message of an error of Nova, after a check of its code."""
    ((kind, problem),) = answer.json().items()
    assert problem["code"] == answer.status_code
    return answer.status_code, kind, problem["message"]


# Keystone


def test_novaclient_logs_in_and_finds_a_server(lab: Lab) -> None:
    lab.add(1)
    assert lab.nova().servers.get(uid(1)).name == "vm-1"


@pytest.mark.filterwarnings("ignore")  # of what openstacksdk itself calls
def test_openstacksdk_reads_clouds_yaml_and_finds_the_compute_endpoint(
    lab: Lab, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clouds.yaml").write_text(f"""
clouds:
  prod:
    auth: {{auth_url: "{lab.server.url}/v3", username: admin, password: changeme,
           project_name: admin, user_domain_name: Default, project_domain_name: Default}}
    region_name: {TWO}
""")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    lab.add(1, region=TWO)
    cloud = clouds.OpenStackConfig().get_one("prod")
    nova = client.Client(
        "2.1", session=cloud.get_session(), region_name=cloud.region_name
    )
    assert nova.servers.get(uid(1)).id == uid(1)


@pytest.mark.filterwarnings("ignore")  # of what openstacksdk itself calls
def test_openstacksdk_talks_to_the_compute_service_itself(lab: Lab) -> None:
    lab.add(1)
    cloud = connection.Connection(session=lab.session(), region_name=ONE)
    assert [server.id for server in cloud.compute.servers(all_projects=True)] == [
        uid(1)
    ]
    assert cloud.compute.find_server(uid(2)) is None


def test_an_application_credential_logs_in_with_its_accounts_project_and_roles(
    lab: Lab,
) -> None:
    auth = v3.ApplicationCredential(
        f"{lab.server.url}/v3",
        application_credential_id=GOOD.id,
        application_credential_secret=GOOD.secret,
    )
    access = auth.get_access(session.Session())
    assert access.project_id == project_id("admin")
    assert {"admin", "reader"} <= set(access.role_names)


def test_a_token_logs_in_again(lab: Lab) -> None:
    auth = v3.Token(
        f"{lab.server.url}/v3",
        lab.token(),
        project_name="admin",
        project_domain_name="Default",
    )
    assert session.Session(auth).get_project_id() == project_id("admin")


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "x"},
        {"username": "nobody"},
        {"project_name": "nowhere"},
        {"user_domain_name": "Nope"},
    ],
)
def test_a_wrong_login_is_unauthorized_whatever_is_wrong(
    lab: Lab, wrong: dict[str, str]
) -> None:
    right = {
        "username": "admin",
        "password": "changeme",
        "project_name": "admin",
        "user_domain_name": "Default",
    }
    auth = v3.Password(
        f"{lab.server.url}/v3", project_domain_name="Default", **{**right, **wrong}
    )
    with pytest.raises(ka.http.Unauthorized):
        session.Session(auth).get_token()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"deleted": True}, ka.http.NotFound),
        ({"expired": True}, ka.http.Unauthorized),
        ({"secret": "other"}, ka.http.Unauthorized),
    ],
)
def test_a_deleted_application_credential_is_a_404_but_an_expired_or_wrong_one_a_401(
    lab: Lab, change: dict[str, Any], error: Any
) -> None:
    vars(lab.cloud.application_credentials[0]).update(change)
    auth = v3.ApplicationCredential(
        f"{lab.server.url}/v3",
        application_credential_id=GOOD.id,
        application_credential_secret=GOOD.secret,
    )
    with pytest.raises(error):
        session.Session(auth).get_token()


def test_an_application_credential_deleted_during_a_run_is_a_404_for_a_living_server(
    lab: Lab,
) -> None:
    lab.add(1)
    auth = v3.ApplicationCredential(
        f"{lab.server.url}/v3",
        application_credential_id=GOOD.id,
        application_credential_secret=GOOD.secret,
    )
    nova = client.Client("2.1", session=session.Session(auth), region_name=ONE)
    assert nova.servers.get(uid(1))
    lab.cloud.application_credentials[0].deleted = True
    with pytest.raises(ka.http.NotFound, match="Could not find Application Credential"):
        nova.servers.get(uid(1))


def test_an_auth_url_with_a_wrong_path_is_a_404_in_html(lab: Lab) -> None:
    answer = requests.post(
        f"{lab.server.url}/nothing/v3/auth/tokens", json={}, timeout=10
    )
    assert (answer.status_code, answer.headers["Content-Type"]) == (
        404,
        "text/html; charset=utf-8",
    )


def test_a_region_without_an_endpoint_is_not_in_the_catalog(lab: Lab) -> None:
    lab.cloud.no_endpoint.add(TWO)
    with pytest.raises(ka.EndpointNotFound):
        lab.nova(region=TWO).servers.list()


def test_a_region_can_have_a_second_compute_service_and_another_address(
    lab: Lab,
) -> None:
    lab.cloud.more_compute.append(("nova-two", ONE, "{url}/compute/RegionTwo/v2.1"))
    lab.cloud.compute_urls[TWO] = "http://nova.example.com/v2.1"
    current = lab.session()
    catalog = current.auth.get_access(current).service_catalog
    assert set(catalog.get_urls("compute", region_name=ONE)) == {
        f"{lab.server.url}/compute/{region}/v2.1" for region in (ONE, TWO)
    }
    assert catalog.get_urls("compute", region_name=TWO) == (
        "http://nova.example.com/v2.1",
    )


def test_the_clocks_of_both_services_can_be_wrong(lab: Lab) -> None:
    lab.cloud.keystone_ahead, lab.cloud.nova_ahead = 3600.0, -3600.0
    dates = {
        path: parsedate_to_datetime(
            requests.get(lab.server.url + path, timeout=10).headers["Date"]
        ).timestamp()
        for path in ("/v3", "/compute/RegionOne")
    }
    assert dates["/v3"] - dates["/compute/RegionOne"] == pytest.approx(7200.0, abs=60)


def test_an_unscoped_token_has_no_catalog(lab: Lab) -> None:
    unscoped = lab.session(project_name=None, project_domain_name=None, unscoped=True)
    with pytest.raises(ka.EmptyCatalog):
        client.Client("2.1", session=unscoped, region_name=ONE).servers.list()


def test_the_catalog_has_public_and_internal_endpoints_and_no_admin_one(
    lab: Lab,
) -> None:
    assert lab.session().get_endpoint(
        service_type="compute", region_name=ONE, interface="internal"
    )
    with pytest.raises(ka.EndpointNotFound):
        lab.session().get(
            f"/servers/{uid(1)}",
            endpoint_filter={"service_type": "compute", "interface": "admin"},
        )


def test_password_clients_log_in_again_when_their_token_dies_while_paging(
    lab: Lab,
) -> None:
    for number in range(5):
        lab.add(number)
    lab.cloud.max_limit = 2
    nova = lab.nova()
    assert (
        len(nova.servers.list(detailed=False, limit=-1, search_opts={"all_tenants": 1}))
        == 5
    )
    lab.cloud.expire_tokens()
    assert (
        len(nova.servers.list(detailed=False, limit=-1, search_opts={"all_tenants": 1}))
        == 5
    )
    assert lab.server.count("POST /v3/auth/tokens") == 2


def test_a_dead_token_is_a_401_in_keystones_form(lab: Lab) -> None:
    lab.token()
    lab.cloud.expire_tokens()
    answer = lab.get("/servers")
    assert answer.status_code == 401
    assert answer.json()["error"]["title"] == "Unauthorized"
    assert answer.headers["WWW-Authenticate"] == f'Keystone uri="{lab.server.url}/v3"'
    assert "OpenStack-API-Version" not in answer.headers


def test_a_token_lives_as_long_as_it_says(lab: Lab) -> None:
    lab.cloud.token_seconds = -1
    assert lab.get("/servers").status_code == 401


def test_a_login_without_a_domain_is_malformed(lab: Lab) -> None:
    answer = lab.log_in(
        {
            "methods": ["password"],
            "password": {"user": {"name": "admin", "password": "changeme"}},
        }
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(
        "Expecting to find domain in user."
    )


def test_the_version_documents_need_no_token(lab: Lab) -> None:
    for path, status in (
        ("/", 300),
        ("/v3", 200),
        ("/v3/", 200),
        (f"/compute/{ONE}/", 200),
        (f"/compute/{ONE}/v2.1", 200),
        (f"/compute/{ONE}/v2.1/", 200),
    ):
        assert requests.get(lab.server.url + path, timeout=10).status_code == status, (
            path
        )
    assert (
        requests.head(f"{lab.server.url}/compute/{ONE}/v2.1/", timeout=10).status_code
        == 200
    )


# single servers


def test_a_server_that_never_existed_is_a_404_of_nova_with_a_request_id(
    lab: Lab,
) -> None:
    answer = lab.get(f"/servers/{uid(1)}")
    assert fault(answer) == (
        404,
        "itemNotFound",
        f"Instance {uid(1)} could not be found.",
    )
    assert (
        answer.headers["x-openstack-request-id"]
        == answer.headers["x-compute-request-id"]
    )
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    assert answer.headers["OpenStack-API-Version"] == "compute 2.1"
    with pytest.raises(nc.NotFound) as raised:
        lab.nova().servers.get(uid(1))
    assert raised.value.request_id


@pytest.mark.parametrize(
    "form",
    [
        uid(10).upper(),
        uid(10).replace("-", ""),
        f"{{{uid(10)}}}",
        f"urn:uuid:{uid(10)}",
        f" {uid(10)}",
        uid(10)[:-1],
        "not-a-uuid",
        "None",
        "1",
    ],
)
def test_any_other_form_of_an_id_is_a_404_and_never_a_400(lab: Lab, form: str) -> None:
    lab.add(10)
    assert fault(lab.get(f"/servers/{form}")) == (
        404,
        "itemNotFound",
        f"Instance {form} could not be found.",
    )


def test_the_id_detail_is_the_detailed_list(lab: Lab) -> None:
    assert lab.get("/servers/detail").json() == {"servers": []}


def test_a_path_that_does_not_exist_is_a_404_in_html(lab: Lab) -> None:
    for path in (
        "/nothing",
        f"/servers/{uid(1)}/nothing",
        "/servers/",
        f"/servers/{uid(1)}/",
    ):
        assert lab.get(path).headers["Content-Type"] == "text/html; charset=UTF-8", path


@pytest.mark.parametrize(
    "status",
    [
        "ACTIVE",
        "SHUTOFF",
        "ERROR",
        "BUILD",
        "VERIFY_RESIZE",
        "SHELVED_OFFLOADED",
        "PAUSED",
        "SOFT_DELETED",
    ],
)
def test_a_server_is_found_whatever_its_status(lab: Lab, status: str) -> None:
    lab.add(1, status=status)
    assert lab.get(f"/servers/{uid(1)}").json()["server"]["status"] == status


def test_a_terminated_server_is_a_404_with_and_without_its_row(lab: Lab) -> None:
    lab.add(1)
    lab.cloud.terminate(ONE, uid(1), NOON)
    assert lab.status(1) == 404
    lab.cloud.archive(ONE, uid(1))
    assert lab.status(1) == 404


def test_regions_do_not_know_the_servers_of_each_other(lab: Lab) -> None:
    lab.add(1, region=TWO)
    assert lab.status(1) == 404
    assert lab.get(f"/servers/{uid(1)}", region=TWO).status_code == 200


def test_a_change_of_a_server_fails_the_test(lab: Lab) -> None:
    lab.add(1)
    with expect_unknown(f"DELETE /v2.1/servers/{uid(1)}$"):
        assert lab.get(f"/servers/{uid(1)}", method="DELETE").status_code == 501
    assert lab.status(1) == 200


# lists


def test_lists_are_newest_first_and_at_one_moment_lowest_uuid_first(lab: Lab) -> None:
    for number, created in (
        (3, NOON),
        (1, NOON),
        (2, NOON),
        (4, NOON - 1),
        (5, NOON + 1),
    ):
        lab.add(number, created=created)
    assert lab.listed() == [5, 1, 2, 3, 4]


def test_a_list_follows_every_change(lab: Lab) -> None:
    lab.add(1)
    lab.add(2)
    assert lab.listed() == [2, 1]
    lab.add(3)
    lab.cloud.terminate(ONE, uid(2), NOON)
    assert lab.listed() == [3, 1]
    lab.cloud.archive(ONE, uid(1))
    assert lab.listed() == [3]
    del lab.cloud.instances[ONE][uid(3)]
    assert lab.listed() == []


def test_a_page_ends_silently_at_max_limit_and_links_to_the_next(lab: Lab) -> None:
    for number in range(7):
        lab.add(number)
    lab.cloud.max_limit = 3
    body = lab.get("/servers?limit=5000&all_tenants=1").json()
    assert [server["name"] for server in body["servers"]] == ["vm-6", "vm-5", "vm-4"]
    servers = f"{lab.server.url}/compute/{ONE}/v2.1/servers"
    href = f"{servers}?all_tenants=1&limit=5000&marker={uid(4)}"
    assert body["servers_links"] == [{"rel": "next", "href": href}]
    assert lab.listed(f"marker={uid(4)}") == [3, 2, 1]
    assert (
        "servers_links" not in lab.get(f"/servers?all_tenants=1&marker={uid(1)}").json()
    )


def test_novaclient_pages_to_the_end_only_with_limit_minus_one(lab: Lab) -> None:
    for number in range(7):
        lab.add(number)
    lab.cloud.max_limit = 3
    nova, everyone = lab.nova(), {"all_tenants": 1}
    assert len(nova.servers.list(detailed=False, limit=-1, search_opts=everyone)) == 7
    assert len(nova.servers.list(detailed=False, search_opts=everyone)) == 3
    assert len(nova.servers.list(detailed=False, limit=5, search_opts=everyone)) == 3


def test_a_list_without_all_tenants_is_of_the_own_project_even_for_an_admin(
    lab: Lab,
) -> None:
    lab.add(1)
    assert lab.nova().servers.list(detailed=False, limit=-1) == []


def test_a_limit_of_zero_is_an_empty_page_and_a_negative_one_is_refused(
    lab: Lab,
) -> None:
    lab.add(1)
    assert lab.get("/servers?all_tenants=1&limit=0").json() == {"servers": []}
    assert fault(lab.get("/servers?limit=-1")) == (
        400,
        "badRequest",
        "Invalid input for query parameters limit. Value: -1. '-1' does not match '^[0-9]*$'",
    )


def test_a_marker_can_be_a_deleted_row_but_not_an_unknown_or_unmapped_one(
    lab: Lab,
) -> None:
    lab.add(1)
    lab.add(2)
    lab.add(3, mapped=False)
    lab.cloud.terminate(ONE, uid(2), NOON)
    assert lab.listed(f"marker={uid(2)}") == [1]
    lab.cloud.archive(ONE, uid(2))
    for number in (2, 3):
        assert fault(lab.get(f"/servers?marker={uid(number)}")) == (
            400,
            "badRequest",
            f"marker [{uid(number)}] not found",
        )


def test_soft_deleted_and_hidden_servers_are_in_no_plain_list_but_get_finds_them(
    lab: Lab,
) -> None:
    lab.add(1, status="SOFT_DELETED")
    lab.add(2, hidden=True)
    assert lab.listed() == []
    assert (lab.status(1), lab.status(2)) == (200, 200)
    assert lab.listed("deleted=True") == lab.listed("soft_deleted=True") == [1]


def test_a_server_without_a_mapping_is_in_the_list_but_get_does_not_find_it(
    lab: Lab,
) -> None:
    lab.add(1, mapped=False)
    assert lab.listed() == [1]
    assert lab.status(1) == 404


def test_a_build_request_comes_first_whatever_the_order_and_survives_changes_since(
    lab: Lab,
) -> None:
    lab.add(9, project="zoo")
    lab.add(1, project="middle", status="BUILD", cell="", updated=None)
    lab.add(5, project="ark")
    assert lab.listed() == [1, 9, 5]
    for direction in ("asc", "desc"):
        assert lab.listed(f"sort_key=project_id&sort_dir={direction}&limit=1") == [1]
    assert lab.listed(f"marker={uid(1)}") == [9, 5]
    assert lab.listed("changes-since=2100-01-01T00:00:00Z") == [1]


def test_sorting_by_project_puts_another_project_first_or_last(lab: Lab) -> None:
    for number, project in enumerate(["admin", "ark", "zoo", "admin"]):
        lab.add(number, project=project)
    ids = sorted(map(project_id, ("admin", "ark", "zoo")))
    for direction, project in (("asc", ids[0]), ("desc", ids[-1])):
        page = lab.get(
            f"/servers/detail?all_tenants=1&limit=1&sort_key=project_id&sort_dir={direction}"
        ).json()
        assert [server["tenant_id"] for server in page["servers"]] == [project]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "sort_key=nonsense",
            "Invalid input for query parameters sort_key. Value: nonsense.",
        ),
        (
            "sort_dir=up",
            "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'",
        ),
        (
            "changes-since=yesterday",
            "Invalid input for query parameters changes-since. Value: yesterday.",
        ),
        (
            "changes-since=2026-01-01T00:00:00+00:00",
            "Invalid input for query parameters changes-since.",
        ),
        (
            "name=*",
            "Invalid input for query parameters name. Value: *. '*' is not a 'regex'",
        ),
        (
            "all_tenants=perhaps",
            "Unrecognized value 'perhaps', acceptable values are: '0', '1', 'f', 'false'",
        ),
        ("metadata=x", "Invalid filter field: metadata."),
    ],
)
def test_a_bad_parameter_is_refused_with_the_message_of_nova(
    lab: Lab, query: str, message: str
) -> None:
    status, kind, text = fault(lab.get(f"/servers?{query}"))
    assert (status, kind) == (400, "badRequest")
    assert text.startswith(message)


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("/servers?all_tenants=1&flavor=1", "the filter flavor"),
        ("/servers?sort_key=launched_at", "the sort_key launched_at"),
        (f"/servers/{uid(1)}?all_tenants=1", "parameters of one server: all_tenants"),
        ("/flavors/detail", "GET /v2.1/flavors/detail"),
        ("/os-services", "GET /v2.1/os-services"),
        (f"/servers/{uid(1)}/os-instance-actions", "os-instance-actions"),
    ],
)
def test_what_nova_has_and_the_double_does_not_fails_the_test(
    lab: Lab, path: str, refused: str
) -> None:
    with expect_unknown(f"{refused}$"):
        assert lab.get(path).status_code == 501


@pytest.mark.parametrize("path", ["/v3/users", "/v3/projects/1", "/v3/projects?name=x"])
def test_what_keystone_has_and_the_double_does_not_fails_the_test(
    lab: Lab, path: str
) -> None:
    with expect_unknown("GET /v3"):
        answer = lab.http.get(
            lab.server.url + path, headers={"X-Auth-Token": lab.token()}, timeout=10
        )
    assert answer.status_code == 501


# filters and tombstones


def test_a_tombstone_is_shown_by_deleted_by_status_and_by_changes_since(
    lab: Lab,
) -> None:
    lab.add(1)
    lab.add(2)
    lab.cloud.terminate(ONE, uid(1), NOON + 60)
    assert lab.listed() == [2]
    for query in ("deleted=True", "status=DELETED", f"uuid={uid(1)}&{SINCE}"):
        assert lab.listed(query, detail=True) == [1], query
    (row,) = lab.get(
        f"/servers/detail?all_tenants=1&uuid={uid(1)}&deleted=True"
    ).json()["servers"]
    assert (row["status"], row["OS-EXT-STS:vm_state"]) == ("DELETED", "deleted")
    assert row["OS-SRV-USG:terminated_at"] == "2026-09-21T14:14:20.000000"
    assert row["updated"] == "2026-09-21T14:14:20Z"
    lab.cloud.archive(ONE, uid(1))
    assert lab.listed(f"uuid={uid(1)}&{SINCE}") == []


@pytest.mark.parametrize("status", ["ACTIVE", "BUILD", "SOFT_DELETED", "ERROR"])
def test_uuid_and_changes_since_find_a_living_server_in_one_call(
    lab: Lab, status: str
) -> None:
    lab.add(1, status=status)
    lab.add(2)
    assert lab.listed(f"uuid={uid(1)}&{SINCE}&limit=2", detail=True) == [1]


def test_changes_since_misses_a_row_that_was_never_updated(lab: Lab) -> None:
    lab.add(1, updated=None)
    assert lab.listed(f"uuid={uid(1)}&{SINCE}") == []
    assert lab.listed(f"uuid={uid(1)}") == [1]


def test_changes_since_is_later_or_equal(lab: Lab) -> None:
    lab.add(1, updated=NOON)
    assert lab.listed("changes-since=2026-09-21T14:13:20Z") == [1]
    assert lab.listed("changes-since=2026-09-21T14:13:21Z") == []


def test_of_a_repeated_uuid_the_last_one_counts_and_joined_ones_find_nothing(
    lab: Lab,
) -> None:
    lab.add(1)
    lab.add(2)
    assert lab.listed(f"uuid={uid(1)}&uuid={uid(2)}") == [2]
    assert lab.listed(f"uuid={uid(2)}&uuid={uid(1)}") == [1]
    assert lab.listed(f"uuid={uid(1)},{uid(2)}") == []
    assert lab.listed(f"uuid={uid(10).upper()}") == []


def test_an_unknown_filter_is_ignored_before_2_75_and_refused_from_it(lab: Lab) -> None:
    lab.add(1)
    assert lab.listed("bogus=1", "2.74") == [1]
    assert fault(lab.get("/servers?bogus=1", "2.75")) == (
        400,
        "badRequest",
        "'bogus' does not match any of the regexes: '^_'",
    )


def test_a_status_that_does_not_exist_finds_nothing_before_2_38_and_is_refused_from_it(
    lab: Lab,
) -> None:
    lab.add(1)
    assert lab.listed("status=nonsense", "2.37") == []
    assert (
        fault(lab.get("/servers?status=nonsense", "2.38"))[2] == "Invalid status value"
    )


def test_filters_by_name_project_and_status_work(lab: Lab) -> None:
    lab.add(1, status="SHUTOFF")
    lab.add(2, project="project-c")
    assert lab.listed("name=m-1") == lab.listed("status=shutoff") == [1]
    assert lab.listed(f"project_id={project_id('project-c')}") == [2]
    assert lab.listed("status=SHUTOFF&status=ACTIVE") == [2, 1]


# who sees what


def test_all_tenants_is_forbidden_to_a_reader(lab: Lab) -> None:
    assert fault(lab.get("/servers?all_tenants=1", account=READER)) == (
        403,
        "forbidden",
        "Policy doesn't allow os_compute_api:servers:index:get_all_tenants to be performed.",
    )
    with pytest.raises(nc.Forbidden):
        lab.nova(READER).servers.list(search_opts={"all_tenants": 1})


def test_a_reader_sees_its_own_project_and_404_for_the_living_servers_of_all_others(
    lab: Lab,
) -> None:
    lab.add(1, "project-a")
    lab.add(2, "project-b")
    assert [server.id for server in lab.nova(READER).servers.list()] == [uid(1)]
    assert (lab.status(1, account=READER), lab.status(2, account=READER)) == (200, 404)


def test_uuid_and_deleted_are_silently_dropped_for_a_reader_but_changes_since_works(
    lab: Lab,
) -> None:
    for number in (1, 2, 3):
        lab.add(number, "project-a")
    lab.cloud.terminate(ONE, uid(3), NOON)

    def own(query: str) -> list[str]:
        page = lab.get(f"/servers?{query}", account=READER).json()["servers"]
        return [server["name"] for server in page]

    assert (
        own(f"uuid={uid(1)}")
        == own("deleted=True")
        == own(f"uuid={uid(9)}")
        == ["vm-2", "vm-1"]
    )
    assert own(SINCE) == ["vm-3", "vm-2", "vm-1"]
    assert fault(lab.get("/servers?status=DELETED", account=READER)) == (
        403,
        "forbidden",
        "Only administrators may list deleted instances",
    )


def test_a_service_role_may_not_list_and_finds_nothing(lab: Lab) -> None:
    lab.add(1)
    assert lab.get("/servers", account=SERVICE).status_code == 403
    assert lab.status(1, account=SERVICE) == 404


def test_a_custom_role_that_can_list_gets_403_for_its_own_and_404_for_other_projects(
    lab: Lab,
) -> None:
    lab.cloud.policy["host_checker"] = LISTING
    lab.add(1, "project-a")
    lab.add(2, "project-b")
    assert (
        lab.listed(account=CHECKER)
        == lab.listed(f"uuid={uid(1)}", account=CHECKER)
        == [2, 1]
    )
    assert (lab.status(1, account=CHECKER), lab.status(2, account=CHECKER)) == (
        403,
        404,
    )


def test_no_right_to_show_reveals_the_server_of_another_project(lab: Lab) -> None:
    lab.cloud.policy["host_checker"] = LISTING | {"show"}
    lab.add(1, "project-a")
    lab.add(2, "project-b")
    assert (lab.status(1, account=CHECKER), lab.status(2, account=CHECKER)) == (
        200,
        404,
    )


def test_a_right_to_show_reveals_the_build_request_of_another_project(lab: Lab) -> None:
    lab.cloud.policy["host_checker"] = LISTING | {"show"}
    lab.add(1, "project-b", status="BUILD", cell="")
    assert (lab.status(1, account=CHECKER), lab.status(1, account=READER)) == (200, 403)


def test_a_custom_role_with_all_filters_finds_one_server_and_its_tombstone(
    lab: Lab,
) -> None:
    lab.cloud.policy["host_checker"] = LISTING | {"show", "allow_all_filters"}
    lab.add(1)
    lab.add(2)
    lab.cloud.terminate(ONE, uid(1), NOON)
    assert lab.listed(f"uuid={uid(2)}", account=CHECKER) == [2]
    assert lab.listed(f"uuid={uid(1)}&deleted=True", account=CHECKER) == [1]
    assert (
        lab.get("/servers?all_tenants=1&status=DELETED", account=CHECKER).status_code
        == 403
    )
    assert (
        "OS-EXT-SRV-ATTR:host"
        not in lab.get("/servers/detail?all_tenants=1", account=CHECKER).json()[
            "servers"
        ][0]
    )


# a cell that is down


@pytest.fixture
def half(lab: Lab) -> Lab:
    """Server 1 is in a cell that answers, 2 to 4 are in one that does not.

    2 is active, 3 soft-deleted, 4 terminated.
    """
    lab.add(1)
    lab.add(2, cell="cell2")
    lab.add(3, cell="cell2", status="SOFT_DELETED")
    lab.add(4, cell="cell2")
    lab.cloud.terminate(ONE, uid(4), NOON)
    lab.cloud.down_cells.add("cell2")
    return lab


@pytest.mark.parametrize("microversion", ["2.1", "2.68"])
def test_before_2_69_a_list_silently_misses_a_down_cell_and_get_is_a_500(
    half: Lab, microversion: str
) -> None:
    for query in (
        "",
        "limit=5",
        f"deleted=True&uuid={uid(4)}",
        f"uuid={uid(2)}",
        f"uuid={uid(2)}&{SINCE}",
    ):
        assert 2 not in half.listed(query, microversion)
        assert 4 not in half.listed(query, microversion)
    assert [half.status(number, microversion) for number in (1, 2, 3, 4, 5)] == [
        200,
        500,
        500,
        500,
        404,
    ]
    with pytest.raises(nc.ClientException) as raised:
        half.nova(microversion=microversion).servers.get(uid(2))
    assert raised.value.code == 500
    status, kind, message = fault(half.get(f"/servers/{uid(2)}", microversion))
    assert (status, kind, message.split("\n")[1]) == (
        500,
        "computeFault",
        "<class 'nova.exception.NovaException'>",
    )


@pytest.mark.parametrize(
    ("microversion", "status"),
    [("2.69", 200), ("2.97", 200), ("2.98", 500), ("2.104", 500)],
)
def test_from_2_69_a_down_cell_gives_a_stub_or_a_500_and_a_false_404_for_the_soft_deleted(
    half: Lab, microversion: str, status: int
) -> None:
    assert [half.status(number, microversion) for number in (1, 2, 3, 4)] == [
        200,
        status,
        404,
        404,
    ]


def test_a_server_that_is_being_deleted_is_there_but_a_down_cell_makes_it_a_false_404_too(
    half: Lab,
) -> None:
    half.add(5, deleting=True)
    half.add(6, cell="cell2", deleting=True)
    assert (
        half.get(f"/servers/{uid(5)}").json()["server"]["OS-EXT-STS:task_state"]
        == "deleting"
    )
    assert (half.status(6, "2.1"), half.status(6, "2.69")) == (500, 404)


def test_from_2_69_stubs_are_listed_only_without_limit_marker_and_filter(
    half: Lab,
) -> None:
    assert half.listed("", "2.69") == [2, 1]
    stub = half.get("/servers/detail?all_tenants=1", "2.69").json()["servers"][0]
    assert (stub["status"], stub["tenant_id"], "name" in stub) == (
        "UNKNOWN",
        project_id("project-b"),
        False,
    )
    for query in ("limit=5", f"uuid={uid(2)}", "name=vm", "sort_key=uuid"):
        assert 2 not in half.listed(query, "2.69"), query


def test_from_2_69_stubs_are_listed_only_while_the_others_fit_in_one_page(
    half: Lab,
) -> None:
    half.cloud.max_limit = 1
    assert half.listed("", "2.69") == [1]
    half.cloud.max_limit = 2
    assert half.listed("", "2.69") == [2, 1]


def test_a_marker_in_a_down_cell_is_a_500(half: Lab) -> None:
    for number in (2, 4):
        assert (
            half.get(f"/servers?all_tenants=1&limit=5&marker={uid(number)}").status_code
            == 500
        )


def test_a_list_fails_on_a_down_cell_that_nova_is_configured_not_to_skip(
    half: Lab,
) -> None:
    half.cloud.skip_down_cells = False
    for query in ("", "limit=1", f"uuid={uid(1)}", f"deleted=True&uuid={uid(4)}"):
        assert half.get(f"/servers?all_tenants=1&{query}").status_code == 500, query
    assert half.listed("limit=0") == []
    assert half.listed("", "2.69") == [2, 1]
    assert half.get(f"/servers?all_tenants=1&uuid={uid(1)}", "2.69").status_code == 500
    assert half.get("/servers?all_tenants=1", region=TWO).status_code == 200


def test_a_reader_learns_of_another_projects_server_while_its_cell_is_down(
    half: Lab,
) -> None:
    assert half.status(2, "2.1", READER) == 500
    assert half.status(2, "2.69", READER) == 403


def test_a_cell_that_is_up_again_answers_as_before(half: Lab) -> None:
    half.cloud.down_cells.clear()
    assert half.listed() == [2, 1]
    assert [half.status(number) for number in (1, 2, 3, 4)] == [200, 200, 200, 404]


# microversions


def test_an_unknown_microversion_is_not_acceptable(lab: Lab) -> None:
    answer = lab.get("/servers", "2.999")
    assert fault(answer) == (
        406,
        "computeFault",
        "Version 2.999 is not supported by the API. Minimum is 2.1 and maximum is 2.104.",
    )
    assert answer.headers["OpenStack-API-Version"] == "compute 2.999"
    assert fault(lab.get("/servers", "x"))[0] == 400
    with pytest.raises(ka.http.NotAcceptable):
        lab.session().get(
            "/servers",
            endpoint_filter={"service_type": "compute", "region_name": ONE},
            headers={"OpenStack-API-Version": "compute 2.999"},
        )


def test_the_microversion_is_read_from_either_header_and_returned(lab: Lab) -> None:
    url, token = (
        f"{lab.server.url}/compute/{ONE}/v2.1/servers",
        {"X-Auth-Token": lab.token()},
    )
    for header, value, version in (
        ("OpenStack-API-Version", "compute 2.40", "2.40"),
        ("X-OpenStack-Nova-API-Version", "2.38", "2.38"),
        ("OpenStack-API-Version", "volume 3.1", "2.1"),
        ("OpenStack-API-Version", "compute latest", "2.104"),
    ):
        answer = requests.get(url, headers={**token, header: value}, timeout=10)
        assert answer.headers["X-OpenStack-Nova-API-Version"] == version


def test_later_microversions_show_more_and_admins_see_more(lab: Lab) -> None:
    lab.add(1, "project-a")
    old, new, narrow = (
        lab.get(f"/servers/{uid(1)}", *how).json()["server"]
        for how in (("2.1",), ("2.104",), ("2.104", READER))
    )
    assert "locked" not in old
    assert {"locked", "server_groups", "tags", "host_status"} <= set(new)
    assert set(new) - set(narrow) >= {"OS-EXT-SRV-ATTR:host", "host_status"}
    assert (old["flavor"]["id"], new["flavor"]["vcpus"]) == ("1", 1)


# size and threads


def test_a_hundred_thousand_servers_are_sorted_once_and_not_for_each_page(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    sort, sorts = Order.of, []

    def counted(*how: Any) -> Order:
        sorts.append(how)
        return sort(*how)

    monkeypatch.setattr(Order, "of", counted)
    lab.cloud.instances[ONE].update(
        (uid(number), Instance(uid(number), created=NOON + number, updated=NOON))
        for number in range(100_000)
    )
    start = time.perf_counter()
    marker = uid(99_000)
    for _ in range(10):
        marker = lab.get(f"/servers?all_tenants=1&marker={marker}").json()["servers"][
            -1
        ]["id"]
    assert lab.listed(f"uuid={uid(77)}&{SINCE}") == [77]
    assert (marker, len(sorts)) == (uid(89_000), 1)
    assert time.perf_counter() - start < 5  # some 0.5 s on an idle machine


def test_lists_and_changes_from_many_threads_do_not_disturb_each_other(
    lab: Lab,
) -> None:
    for number in range(200):
        lab.add(number)
    lab.token()
    lists: list[set[int]] = []
    readers = [
        threading.Thread(target=lambda: lists.append(set(lab.listed())))
        for _ in range(8)
    ]
    for reader in readers:
        reader.start()
    for number in range(200, 300):
        lab.add(number)
        lab.cloud.archive(ONE, uid(number))
    for reader in readers:
        reader.join()
    assert len(lists) == 8
    assert all(set(range(200)) <= numbers for numbers in lists)


def test_an_instance_cannot_be_added_with_a_status_that_nova_does_not_have(
    lab: Lab,
) -> None:
    for status in ("DELETED", "GONE"):
        with pytest.raises(ValueError, match="not a status of a row"):
            lab.cloud.add(ONE, Instance(str(uuidlib.uuid4()), status=status))
