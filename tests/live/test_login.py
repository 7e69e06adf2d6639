"""Logins and the catalog against a real Keystone and Nova, and the messages of refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from foreman_hooks.osp_checker import (
    CloudScope,
    LocalChecker,
    OSPConfigError,
    OSPError,
    OSPLoginError,
    Presence,
    Region,
    region_names,
)

from .cloud import Cloud

pytestmark = pytest.mark.live
IDENTITY = {"service_type": "identity", "interface": "public"}
Write = Callable[..., None]


@pytest.fixture
def write(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """A function that writes clouds.yaml with these changes in every cloud."""
    path = tmp_path / "clouds.yaml"
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))

    def changed(**changes: Any) -> None:
        clouds = json.loads(cloud.clouds_yaml(path, **changes).read_text())["clouds"]
        for entry in clouds.values():
            entry["auth"] = {
                key: value for key, value in entry["auth"].items() if value is not None
            }
        path.write_text(json.dumps({"clouds": clouds}))

    return changed


def opened(*scopes: CloudScope) -> LocalChecker:
    checker = LocalChecker(scopes or [CloudScope("admin")])
    checker.open()
    return checker


def refused(kind: type[OSPError], name: str = "admin") -> str:
    with pytest.raises(kind) as caught:
        Region.open(name, "RegionOne")
    print(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "named", [["RegionOne", "RegionTwo"], "RegionOne,RegionTwo"], ids=str
)
def test_all_regions_in_region_name_are_asked_with_one_login(
    cloud: Cloud, write: Write, named: Any
) -> None:
    write(region_name=named)
    assert region_names("admin") == ["RegionOne", "RegionTwo"]
    checker = opened()
    survey = checker.ask([cloud.instances["r2/active"]])
    sightings = survey.of(cloud.instances["r2/active"])
    assert [sighting.presence for sighting in sightings] == [
        Presence.ABSENT,
        Presence.PRESENT,
    ]
    assert len({id(region.nova.session) for region in checker.regions.values()}) == 1
    assert set(checker.unlisted.values()) == {()}


def test_the_catalogs_second_region_is_named_until_it_is_ignored(write: Write) -> None:
    write()
    assert opened().unlisted == {("admin", "RegionOne"): ("RegionTwo",)}
    assert opened(CloudScope("admin", ignore_regions=("RegionTwo",))).unlisted == {
        ("admin", "RegionOne"): ()
    }


@pytest.mark.parametrize("key", ["compute_endpoint_override", "compute_region_name"])
def test_the_keys_for_compute_alone_select_the_nova_that_openstacksdk_asks(
    cloud: Cloud, write: Write, key: str
) -> None:
    write(
        **{
            key: cloud.compute_url("RegionTwo")
            if key == "compute_endpoint_override"
            else "RegionTwo"
        }
    )
    assert (
        Region.open("admin", "RegionOne").ask(cloud.instances["r2/active"]).presence
        is Presence.PRESENT
    )
    assert opened().unlisted == {("admin", "RegionOne"): ("RegionOne",)}


def test_an_address_without_a_version_is_completed_by_discovery(
    cloud: Cloud, write: Write
) -> None:
    write(compute_endpoint_override=cloud.compute_url().rpartition("/v2.1")[0])
    region = Region.open("admin", "RegionOne")
    assert region.endpoint and region.endpoint.url.rstrip("/").endswith("/v2.1")
    assert region.ask(cloud.instances["cell1/deleted"]).presence is Presence.DELETED


@pytest.fixture
def second_nova(cloud: Cloud) -> Iterator[None]:
    """A second service of type compute in RegionOne, whose endpoint is RegionTwo's Nova."""
    admin = cloud.session()
    service = admin.post(
        "/services",
        json={"service": {"name": "nova-two", "type": "compute"}},
        endpoint_filter=IDENTITY,
    ).json()["service"]["id"]
    admin.post(
        "/endpoints",
        json={
            "endpoint": {
                "service_id": service,
                "region_id": "RegionOne",
                "interface": "public",
                "url": cloud.compute_url("RegionTwo"),
            }
        },
        endpoint_filter=IDENTITY,
    )
    yield
    admin.delete(f"/services/{service}", endpoint_filter=IDENTITY)


@pytest.mark.usefixtures("second_nova")
def test_the_configuration_selects_one_of_two_compute_services_in_a_region(
    cloud: Cloud, write: Write
) -> None:
    write()
    assert "RegionOne has 2 compute endpoints (nova" in refused(OSPConfigError)
    write(compute_service_name="nova-two")
    assert (
        Region.open("admin", "RegionOne").ask(cloud.instances["r2/active"]).presence
        is Presence.PRESENT
    )
    assert opened().unlisted == {("admin", "RegionOne"): ("RegionOne/nova",)}


def test_the_error_says_that_a_domain_is_missing(write: Write) -> None:
    write(auth={"user_domain_name": None, "project_domain_name": None})
    assert "set user_domain_name and project_domain_name" in refused(OSPLoginError)


def test_the_error_says_what_to_remove_from_an_application_credential_with_a_scope(
    cloud: Cloud, write: Write
) -> None:
    write(auth={"project_id": cloud.projects["project-a"]})
    assert "remove project_name, project_id" in refused(OSPLoginError, "app-cred")


def test_the_error_says_to_replace_a_deleted_application_credential(
    write: Write,
) -> None:
    write()
    assert "make a new one" in refused(OSPLoginError, "app-cred-deleted")


def test_the_error_says_that_a_login_has_no_project(write: Write) -> None:
    write(auth={"project_name": None, "project_domain_name": None})
    assert "has no project" in refused(OSPConfigError)


def test_the_error_says_that_nova_does_not_serve_a_login_for_the_system(
    cloud: Cloud, write: Write
) -> None:
    user = cloud.users["sys-reader"]
    write(
        auth={
            "username": "sys-reader",
            "password": user["password"],
            "project_name": None,
            "project_domain_name": None,
            "system_scope": "all",
        }
    )
    assert "scoped to the system, which Nova does not serve" in refused(OSPConfigError)


def test_a_refused_login_is_tried_once_for_all_regions_and_entries(
    write: Write,
) -> None:
    write(auth={"password": "wrong"})
    checker = opened(
        CloudScope("admin", ("RegionOne", "RegionTwo")), CloudScope("wrong-password")
    )
    assert {type(error) for error in checker.errors.values()} == {OSPLoginError}
    assert (
        len({str(error).partition(": ")[2] for error in checker.errors.values()}) == 1
    )


def test_a_keystone_that_refuses_to_show_its_versions_ends_at_once(
    cloud: Cloud, write: Write
) -> None:
    """keystoneauth1 alone would never return."""
    write()
    cloud.fault({"status": 401, "match": r"^/v3/?\?"}, "keystone")
    assert "401 to the request for its versions" in refused(OSPLoginError)
