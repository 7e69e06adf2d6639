"""The behaviour of a real Keystone and Nova that this project relies on, and the switches."""

from __future__ import annotations

import datetime
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keystoneauth1.exceptions as ka
import novaclient.client
import novaclient.exceptions as nc
import pytest
import requests
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from openstack.config.loader import OpenStackConfig

from .cloud import Cloud
from .environment import LiveCloudError

pytestmark = pytest.mark.live

LONG_AGO = "2000-01-01T00:00:00Z"


def get(
    cloud: Cloud,
    path: str,
    user: str = "admin",
    microversion: str = "2.1",
    region: str = "RegionOne",
) -> requests.Response:
    """Nova's response to a request of that user."""
    headers = {
        "X-Auth-Token": cloud.token(user),
        "OpenStack-API-Version": f"compute {microversion}",
    }
    return requests.get(cloud.compute_url(region) + path, headers=headers, timeout=60)


def get_server(
    cloud: Cloud, label: str, user: str = "admin", microversion: str = "2.1"
) -> requests.Response:
    return get(cloud, f"/servers/{cloud.instances[label]}", user, microversion)


def labels_in(cloud: Cloud, answer: requests.Response) -> set[str]:
    """The labels of the servers in a list, which must be a 200."""
    assert answer.status_code == 200, answer.text
    names = {uuid: label for label, uuid in cloud.instances.items()}
    return {names[server["id"]] for server in answer.json()["servers"]}


def listed(
    cloud: Cloud, filters: str = "", user: str = "admin", microversion: str = "2.1"
) -> set[str]:
    return labels_in(
        cloud, get(cloud, f"/servers?all_tenants=1{filters}", user, microversion)
    )


def tombstones(cloud: Cloud, label: str, user: str = "admin") -> list[dict[str, Any]]:
    """The row of one instance: a list of at most one server with all details."""
    path = f"/servers/detail?all_tenants=1&uuid={cloud.instances[label]}&changes-since={LONG_AGO}"
    servers: list[dict[str, Any]] = get(cloud, path, user).json()["servers"]
    return servers


def cloud_session(path: Path, name: str) -> Session:
    """A session for a cloud of clouds.yaml, as openstacksdk reads the file."""
    region = OpenStackConfig(config_files=[str(path)], load_envvars=False).get_one(
        cloud=name
    )
    session: Session = region.get_session()
    return session


# -- lists and states


def test_an_admin_lists_the_servers_of_every_project_and_cell(cloud: Cloud) -> None:
    assert {
        "cell1/active",
        "cell1/active-project-a",
        "cell2/active",
        "building-request-only",
    } <= listed(cloud)


def test_no_plain_list_has_a_soft_deleted_server_although_it_can_be_read(
    cloud: Cloud,
) -> None:
    answer = get_server(cloud, "cell1/soft-deleted")
    assert (answer.status_code, answer.json()["server"]["status"]) == (
        200,
        "SOFT_DELETED",
    )
    assert "cell1/soft-deleted" not in listed(cloud)


def test_no_list_has_a_server_in_a_cross_cell_resize_although_it_can_be_read(
    cloud: Cloud,
) -> None:
    assert get_server(cloud, "cell1/hidden").status_code == 200
    assert "cell1/hidden" not in listed(cloud)


def test_a_server_without_a_cell_mapping_is_listed_although_its_get_is_a_404(
    cloud: Cloud,
) -> None:
    assert get_server(cloud, "cell1/no-mapping").status_code == 404
    assert "cell1/no-mapping" in listed(cloud)


@pytest.mark.parametrize(
    ("label", "status"),
    [
        ("building-request-only", "BUILD"),
        ("cell1/stopped", "SHUTOFF"),
        ("cell2/shelved-offloaded", "SHELVED_OFFLOADED"),
        ("cell1/resize-confirm", "VERIFY_RESIZE"),
        ("cell0/error-no-host", "ERROR"),
        ("cell2/deleting", "ACTIVE"),
    ],
)
def test_a_server_that_is_not_running_exists(
    cloud: Cloud, label: str, status: str
) -> None:
    answer = get_server(cloud, label)
    assert (answer.status_code, answer.json()["server"]["status"]) == (200, status)
    assert label in listed(cloud)


def test_a_uuid_in_capitals_is_not_found(cloud: Cloud) -> None:
    """So it is on SQLite; MariaDB would find it."""
    assert (
        get(cloud, f"/servers/{cloud.instances['cell1/active'].upper()}").status_code
        == 404
    )


def test_regions_know_only_their_own_servers(cloud: Cloud) -> None:
    mine = f"/servers/{cloud.instances['r2/active']}"
    assert get(cloud, mine).status_code == 404
    assert get(cloud, mine, region="RegionTwo").status_code == 200
    answer = get(cloud, "/servers?all_tenants=1", region="RegionTwo")
    assert labels_in(cloud, answer) == {"r2/active", "r2/active-project-a"}


def test_novaclient_silently_returns_one_page_unless_it_is_asked_for_all(
    cloud: Cloud,
) -> None:
    cloud.max_limit(10)
    servers = novaclient.client.Client(
        "2.1", session=cloud.session(), region_name="RegionOne"
    ).servers
    everywhere = {"all_tenants": 1}
    assert len(servers.list(detailed=False, search_opts=everywhere)) == 10
    assert len(servers.list(detailed=False, search_opts=everywhere, limit=25)) == 10
    assert len(servers.list(detailed=False, search_opts=everywhere, limit=-1)) > 20


def test_a_list_cannot_continue_after_a_server_without_a_cell_mapping(
    cloud: Cloud,
) -> None:
    """So a list ends with an error if a page happens to end with that server."""
    answer = get(
        cloud, f"/servers?all_tenants=1&marker={cloud.instances['cell1/no-mapping']}"
    )
    assert (answer.status_code, "marker" in answer.text) == (400, True)


# -- tombstones


def test_the_row_of_a_deleted_server_proves_when_it_was_terminated(
    cloud: Cloud,
) -> None:
    cloud.add("terminated", cell="cell2", project="project-c")
    assert get_server(cloud, "terminated").status_code == 200
    cloud.terminate("terminated", datetime.datetime(2026, 2, 3, 4, 5, 6))
    assert get_server(cloud, "terminated").status_code == 404
    (tombstone,) = tombstones(cloud, "terminated")
    assert (tombstone["id"], tombstone["status"]) == (
        cloud.instances["terminated"],
        "DELETED",
    )
    assert tombstone["OS-SRV-USG:terminated_at"] == "2026-02-03T04:05:06.000000"
    assert tombstone["updated"] == "2026-02-03T04:05:06Z"


def test_an_archived_server_leaves_no_trace(cloud: Cloud) -> None:
    cloud.add("archived")
    cloud.terminate("archived")
    cloud.purge("archived")
    for label in ("archived", "purged"):
        assert get_server(cloud, label).status_code == 404
        assert tombstones(cloud, label) == []


@pytest.mark.parametrize(
    ("label", "status"),
    [
        ("cell1/active", "ACTIVE"),
        ("building-request-only", "BUILD"),
        ("cell1/soft-deleted", "SOFT_DELETED"),
        ("cell2/deleted", "DELETED"),
    ],
)
def test_the_query_by_change_finds_a_server_in_any_state(
    cloud: Cloud, label: str, status: str
) -> None:
    assert [server["status"] for server in tombstones(cloud, label)] == [status]


def test_the_query_by_change_misses_a_server_that_never_changed(cloud: Cloud) -> None:
    """Its updated_at is NULL, which is not later than any date."""
    assert tombstones(cloud, "cell1/never-saved") == []
    assert listed(cloud, f"&uuid={cloud.instances['cell1/never-saved']}") == {
        "cell1/never-saved"
    }


# -- who sees what


def test_a_server_of_another_project_is_not_found_for_a_reader(cloud: Cloud) -> None:
    assert get_server(cloud, "cell1/active-project-a", "reader-a").status_code == 200
    assert get_server(cloud, "cell1/active", "reader-a").status_code == 404


def test_an_admin_of_any_project_sees_all_projects(cloud: Cloud) -> None:
    assert get_server(cloud, "cell1/active", "admin-a").status_code == 200
    assert "cell2/active" in listed(cloud, user="admin-a")


def test_a_service_role_does_not_even_find_a_live_server(cloud: Cloud) -> None:
    assert get_server(cloud, "cell1/active", "svc").status_code == 404


def test_a_filter_by_uuid_is_silently_dropped_for_a_reader(cloud: Cloud) -> None:
    answer = get(cloud, f"/servers?uuid={cloud.instances['purged']}", "reader-a")
    assert "cell1/active-project-a" in labels_in(cloud, answer)


def test_the_custom_role_may_not_list_all_projects_under_the_default_policy(
    cloud: Cloud,
) -> None:
    assert get(cloud, "/servers?all_tenants=1", "checker").status_code == 403


def test_the_least_privilege_role_gets_exactly_the_server_that_it_filters_for(
    cloud: Cloud,
) -> None:
    cloud.policy("least-privilege")
    for label in ("cell1/active", "cell2/active-project-a"):
        assert listed(cloud, f"&uuid={cloud.instances[label]}", "checker") == {label}
    assert listed(cloud, f"&uuid={cloud.instances['purged']}", "checker") == set()
    assert [
        server["status"] for server in tombstones(cloud, "cell2/deleted", "checker")
    ] == ["DELETED"]


def test_the_least_privilege_role_still_cannot_read_the_server_of_another_project(
    cloud: Cloud,
) -> None:
    cloud.policy("least-privilege")
    assert get_server(cloud, "cell1/active-project-a", "checker").status_code == 200
    assert get_server(cloud, "cell1/active", "checker").status_code == 404


# -- a cloud that is half broken


def test_a_list_silently_misses_the_servers_of_a_cell_that_is_down(
    cloud: Cloud,
) -> None:
    cloud.cell2("down")
    answer = get(cloud, "/servers?all_tenants=1")
    assert {
        label for label in labels_in(cloud, answer) if label.startswith("cell2/")
    } == set()
    assert set(answer.json()) == {"servers"}
    assert listed(cloud, f"&uuid={cloud.instances['cell2/active']}") == set()


def test_reading_a_server_of_a_cell_that_is_down_is_an_error_up_to_2_68(
    cloud: Cloud,
) -> None:
    cloud.cell2("down")
    for microversion in ("2.1", "2.68"):
        for name in (
            "active",
            "soft-deleted",
            "deleting",
            "no-request-spec",
            "deleted",
        ):
            assert (
                get_server(
                    cloud, f"cell2/{name}", microversion=microversion
                ).status_code
                == 500
            )
        assert (
            get_server(cloud, "cell2/no-mapping", microversion=microversion).status_code
            == 404
        )


def test_a_newer_microversion_denies_a_soft_deleted_server_of_a_cell_that_is_down(
    cloud: Cloud,
) -> None:
    cloud.cell2("down")
    assert (
        get_server(cloud, "cell2/active", microversion="2.69").json()["server"][
            "status"
        ]
        == "UNKNOWN"
    )
    assert (
        get_server(cloud, "cell2/soft-deleted", microversion="2.69").status_code == 404
    )


def test_servers_whose_cell_has_another_database_are_not_found(cloud: Cloud) -> None:
    cloud.cell2("empty")
    assert get_server(cloud, "cell2/active").status_code == 404
    assert tombstones(cloud, "cell2/active") == []


def test_without_neutron_a_live_server_is_an_error_and_a_purged_one_is_not_found(
    cloud: Cloud,
) -> None:
    cloud.neutron(up=False)
    assert get_server(cloud, "cell1/active").status_code == 500
    assert get_server(cloud, "purged").status_code == 404
    assert "cell1/active" in listed(cloud)


def test_a_404_of_a_proxy_looks_like_novas_except_for_the_request_id(
    cloud: Cloud,
) -> None:
    servers = novaclient.client.Client(
        "2.1", session=cloud.session(), region_name="RegionOne"
    ).servers
    with pytest.raises(nc.NotFound) as novas:
        servers.get(cloud.instances["purged"])
    cloud.fault({"status": 404, "match": "/servers/"})
    with pytest.raises(nc.NotFound) as proxys:
        servers.get(cloud.instances["cell1/active"])
    assert novas.value.request_id and not proxys.value.request_id


def test_a_fault_is_injected_at_the_given_requests_as_often_as_requested(
    cloud: Cloud,
) -> None:
    cloud.fault(
        {
            "status": 503,
            "match": "/servers/",
            "skip": 1,
            "count": 1,
            "body": "{}",
            "type": "application/json",
        }
    )
    answers = [get_server(cloud, "cell1/active") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 503, 200]
    assert answers[1].json() == {}
    cloud.fault({"status": 500}, "keystone")
    with pytest.raises(ka.InternalServerError):
        cloud.token()


# -- logging in


@pytest.mark.parametrize(
    "name", ["admin", "admin-a", "checker", "reader", "app-cred", "token", "no-region"]
)
def test_the_right_clouds_of_clouds_yaml_can_log_in(
    cloud: Cloud, tmp_path: Path, name: str
) -> None:
    assert cloud_session(cloud.clouds_yaml(tmp_path / "clouds.yaml"), name).get_token()


@pytest.mark.parametrize("name", ["wrong-password", "app-cred-expired"])
def test_a_wrong_login_is_refused(cloud: Cloud, tmp_path: Path, name: str) -> None:
    with pytest.raises(ka.Unauthorized):
        cloud_session(cloud.clouds_yaml(tmp_path / "clouds.yaml"), name).get_token()


def test_logging_in_with_a_deleted_application_credential_is_a_404(
    cloud: Cloud, tmp_path: Path
) -> None:
    path = cloud.clouds_yaml(tmp_path / "clouds.yaml")
    with pytest.raises(ka.NotFound):
        cloud_session(path, "app-cred-deleted").get_token()


def test_an_application_credential_deleted_in_mid_run_makes_a_live_server_a_404(
    cloud: Cloud, tmp_path: Path
) -> None:
    session = cloud_session(cloud.clouds_yaml(tmp_path / "clouds.yaml"), "app-cred")
    url = f"{cloud.compute_url()}/servers/{cloud.instances['cell1/active']}"
    assert session.get(url).status_code == 200
    cloud.delete_application_credential()
    with pytest.raises(ka.NotFound):
        session.get(url)
    cloud.reset()
    assert (
        cloud_session(cloud.clouds_yaml(tmp_path / "clouds.yaml"), "app-cred")
        .get(url)
        .status_code
        == 200
    )


def test_after_a_revocation_a_password_logs_in_again_and_a_token_gets_a_404(
    cloud: Cloud,
) -> None:
    url = f"{cloud.compute_url()}/servers/{cloud.instances['cell1/active']}"
    project: dict[str, Any] = {
        "project_name": "admin",
        "project_domain_name": "Default",
    }
    with_password = cloud.session()
    with_token = Session(auth=v3.Token(cloud.auth_url, token=cloud.token(), **project))
    assert with_password.get(url).status_code == with_token.get(url).status_code == 200
    cloud.revoke_tokens("admin")
    assert with_password.get(url).status_code == 200
    with pytest.raises(ka.NotFound):
        with_token.get(url)


def test_a_single_token_can_be_revoked(cloud: Cloud) -> None:
    revoked, other = cloud.token(), cloud.token()
    cloud.revoke_token(revoked)
    codes = [
        requests.get(
            cloud.compute_url() + "/servers",
            headers={"X-Auth-Token": token},
            timeout=60,
        ).status_code
        for token in (revoked, other)
    ]
    assert codes == [401, 200]


# -- the cloud itself


def test_every_switch_goes_back_to_normal(cloud: Cloud) -> None:
    before = listed(cloud)
    cloud.cell2("empty")
    cloud.max_limit(1)
    cloud.policy("least-privilege")
    cloud.fault({"status": 500})
    cloud.neutron(up=False)
    cloud.add("passing")
    cloud.reset()
    assert "passing" not in cloud.instances
    assert listed(cloud) == before
    assert get_server(cloud, "cell2/active").status_code == 200
    assert get(cloud, "/servers?all_tenants=1", "checker").status_code == 403


def test_a_nova_that_cannot_start_is_an_error_and_reset_repairs_it(
    cloud: Cloud,
) -> None:
    with pytest.raises(LiveCloudError, match="RegionOne did not start"):
        cloud.max_limit(-1)
    cloud.reset()
    assert get_server(cloud, "cell1/active").status_code == 200


def test_shared_instances_cannot_be_terminated(cloud: Cloud) -> None:
    for change in (cloud.terminate, cloud.purge):
        with pytest.raises(ValueError, match="belongs to every test"):
            change("cell1/active")


def test_servers_can_be_added_for_longer_lists(cloud: Cloud) -> None:
    bulk = cloud.seed_bulk(30)
    assert len(bulk) == 30
    assert set(bulk) <= listed(cloud)
    assert cloud.seed_bulk(30) == bulk


# For the module: a test has its own HOME, without a cache.
@pytest.fixture(scope="module")
def other_run(cloud: Cloud) -> Iterator[subprocess.Popen[str]]:
    """A process that starts another cloud, prints its URLs in one line, and waits."""
    program = (
        "from live.cloud import Cloud; cloud = Cloud().start(); "
        "print(cloud.auth_url, cloud.compute_url(), flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_no_server_outlives_the_process_that_started_it(
    other_run: subprocess.Popen[str],
) -> None:
    assert other_run.stdout is not None
    urls = other_run.stdout.readline().split()
    assert [requests.get(url, timeout=10).status_code for url in urls] == [200, 200]
    other_run.kill()
    deadline = time.monotonic() + 30
    while any(_listens(url) for url in urls):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _listens(url: str) -> bool:
    host, port = url.split("/")[2].split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True
