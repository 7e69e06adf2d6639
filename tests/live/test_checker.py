"""The checker library against a real Keystone and Nova."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from foreman_hooks.osp_checker import (
    CloudScope,
    LocalChecker,
    Manners,
    OSPConfigError,
    OSPError,
    OSPForbidden,
    OSPLoginError,
    Presence,
    Region,
    swap_bytes,
)
from foreman_hooks.osp_checker.server_list import list_uuids

from .cloud import Cloud
from .conftest import between_pages

pytestmark = pytest.mark.live

LONG_AGO = datetime(2000, 1, 1, tzinfo=timezone.utc)

ALIVE = (
    "active",
    "active-project-a",
    "stopped",
    "error",
    "soft-deleted",
    "soft-deleted-project-a",
    "shelved-offloaded",
    "paused",
    "resize-confirm",
    "migrating",
    "deleting",
    "delete-failed-queued",
    "hidden",
    "no-mapping",
    "no-request-spec",
)


@pytest.fixture(autouse=True)
def clouds_yaml(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "OS_CLIENT_CONFIG_FILE", str(cloud.clouds_yaml(tmp_path / "clouds.yaml"))
    )


def presence(region: Region, cloud: Cloud, *labels: str) -> dict[str, str]:
    """Label -> the presence of that instance in the region."""
    look = region.look([cloud.instances[label] for label in labels])
    print(look.error, *look.sightings.values(), sep="\n")  # shown if a test fails
    return {
        label: look.sightings[cloud.instances[label]].presence.value for label in labels
    }


@pytest.mark.parametrize("cell", ["cell1", "cell2"])
def test_every_state_but_deleted_is_present(cloud: Cloud, cell: str) -> None:
    """No list has a soft-deleted or hidden server; a server without mapping is a 404."""
    labels = [f"{cell}/{state}" for state in ALIVE]
    assert presence(Region.open("admin", "RegionOne"), cloud, *labels) == dict.fromkeys(
        labels, "present"
    )


def test_a_server_that_is_still_a_build_request_is_present(cloud: Cloud) -> None:
    label = "building-request-only"
    assert presence(Region.open("admin", "RegionOne"), cloud, label) == {
        label: "present"
    }


def test_a_termination_is_proven_by_its_row_and_its_time(cloud: Cloud) -> None:
    region = Region.open("admin", "RegionOne")
    for label in ("cell1/deleted", "cell2/deleted-project-a"):
        sighting = region.ask(cloud.instances[label])
        assert (sighting.presence, sighting.code) == (Presence.DELETED, 404)
        assert sighting.terminated_at is not None


def test_an_archived_instance_is_absent(cloud: Cloud) -> None:
    assert presence(Region.open("admin", "RegionOne"), cloud, "purged") == {
        "purged": "absent"
    }


def test_all_servers_are_listed_however_short_the_pages(cloud: Cloud) -> None:
    whole = list_uuids(Region.open("admin", "RegionOne"))
    cloud.max_limit(5)
    assert list_uuids(Region.open("admin", "RegionOne")) == whole
    assert len(whole) > 20


@pytest.mark.parametrize("readers", [2, 3, 7])
@pytest.mark.parametrize("rows", [3, 7, 15, 1000])
def test_the_parts_of_a_list_are_the_whole_list(
    cloud: Cloud, readers: int, rows: int
) -> None:
    """Even if the build request and both unmapped servers fill the first page."""
    whole = list_uuids(Region.open("admin", "RegionOne"))
    manners = Manners(page_size=rows, readers=readers)
    region = Region.open("admin", "RegionOne", manners=manners)
    assert list_uuids(region) == whole


@pytest.mark.parametrize("readers", [1, 4])
def test_a_list_in_which_a_thousand_servers_are_deleted_between_two_pages(
    cloud: Cloud, readers: int
) -> None:
    doomed = cloud.add_many(1000)
    staying = list_uuids(Region.open("admin", "RegionOne"))
    staying -= {cloud.instances[label] for label in doomed}
    manners = Manners(page_size=100, readers=readers)
    region = Region.open("admin", "RegionOne", manners=manners)
    pages = between_pages(region, r"/servers\?", lambda: cloud.terminate_many(doomed))
    listed = list_uuids(region)
    assert staying <= listed <= {*cloud.instances.values()}
    assert len(pages) <= 12 + 2 * readers
    assert any("sort_dir=desc" in page for page in pages) is (readers > 1)


def test_in_bulk_a_thousand_deletions_between_two_pages_are_what_they_are_one_by_one(
    cloud: Cloud,
) -> None:
    labels = cloud.add_many(1050)
    cloud.terminate_many(labels[:50])
    archived = labels[:5]
    cloud.purge(*archived)
    manners = Manners(page_size=20)
    checker = LocalChecker([CloudScope("admin", ("RegionOne",), manners=manners)])
    checker.open()
    [region] = checker.regions.values()
    pages = between_pages(
        region, "deleted=True", lambda: cloud.terminate_many(labels[50:])
    )
    sample = {*cloud.instances} - {*labels} | {*archived, *labels[5::25]}
    some = [cloud.instances[label] for label in sample]
    in_bulk = checker.ask(sorted(cloud.instances.values()), since=LONG_AGO)
    one_by_one = checker.ask(some)
    assert len(pages) > 2
    assert {uuid: in_bulk.of(uuid) for uuid in some} == one_by_one.asked
    gone = {label: in_bulk.of(cloud.instances[label])[0].presence for label in labels}
    expected = dict.fromkeys(labels, Presence.DELETED)
    expected.update(dict.fromkeys(archived, Presence.ABSENT))
    assert gone == expected


@pytest.mark.parametrize("cell2", ["down", "up"])
def test_with_a_cell_down_what_is_proven_in_bulk_is_what_its_rows_prove(
    cloud: Cloud, cell2: str
) -> None:
    cloud.cell2(cell2)
    scopes = [CloudScope("admin", ("RegionOne",))]
    gone = [cloud.instances["cell1/deleted"]]
    survey = LocalChecker(scopes).ask(gone, since=LONG_AGO)
    assert survey.of(gone[0])[0].presence is Presence.DELETED
    living = cloud.instances["cell2/active"]
    (sighting,) = LocalChecker(scopes).ask([living], since=LONG_AGO).of(living)
    expected = {"up": Presence.PRESENT, "down": Presence.UNKNOWN}
    assert sighting.presence is expected[cell2]


def test_a_reader_of_one_project_cannot_conclude_anything(cloud: Cloud) -> None:
    """For this login the living servers of other projects are a 404."""
    region = Region.open("reader", "RegionOne")
    with pytest.raises(OSPForbidden):
        list_uuids(region)
    labels = ("cell1/active", "cell1/deleted", "purged")
    assert presence(region, cloud, *labels) == dict.fromkeys(labels, "unknown")


def test_an_admin_of_any_project_sees_all(cloud: Cloud) -> None:
    assert presence(
        Region.open("admin-a", "RegionOne"), cloud, "cell1/active", "cell2/deleted"
    ) == {"cell1/active": "present", "cell2/deleted": "deleted"}


def test_the_least_privilege_role_proves_by_the_list_and_is_unsure_without_a_row(
    cloud: Cloud,
) -> None:
    cloud.policy("least-privilege")
    region = Region.open("checker", "RegionOne")
    assert region.prove_visibility().by_get is False
    assert presence(
        region, cloud, "cell1/active", "cell2/soft-deleted", "cell1/deleted", "purged"
    ) == {
        "cell1/active": "present",
        "cell2/soft-deleted": "present",
        "cell1/deleted": "deleted",
        "purged": "unknown",
    }
    sure = Region.open("checker", "RegionOne", empty_is_absent=True)
    assert presence(sure, cloud, "purged") == {"purged": "absent"}


def test_a_build_request_that_every_login_can_read_does_not_prove_visibility(
    cloud: Cloud,
) -> None:
    """It comes first in every list, and even a role that sees no other project can GET it."""
    cloud.policy("least-privilege")
    region = Region.open("checker", "RegionOne")
    server = region._get_server(cloud.instances["building-request-only"])
    assert server and server["status"] == "BUILD"
    assert region.prove_visibility().by_get is False


def test_with_a_cell_down_the_region_is_unknown_and_not_half_empty(
    cloud: Cloud,
) -> None:
    """The list silently misses half the servers; only the GET at microversion 2.1 fails."""
    labels = (
        "cell2/active",
        "cell2/soft-deleted",
        "cell2/deleted",
        "cell2/no-request-spec",
    )
    cloud.cell2("down")
    region = Region.open("admin", "RegionOne")
    assert cloud.instances["cell2/active"] not in list_uuids(region)
    for label in labels:
        assert presence(region, cloud, label) == {label: "unknown"}
    assert (
        presence(region, cloud, "cell1/deleted", "cell2/active")["cell1/deleted"]
        == "unknown"
    )


def test_an_instance_of_another_region_is_absent_here_and_present_there(
    cloud: Cloud,
) -> None:
    assert presence(Region.open("admin", "RegionOne"), cloud, "r2/active") == {
        "r2/active": "absent"
    }
    checker = LocalChecker([CloudScope("admin", ("RegionOne", "RegionTwo"))])
    lists = checker.prepare()
    survey = checker.survey(
        [cloud.instances["r2/active"], cloud.instances["r2/deleted"]], lists
    )
    assert survey.alive == {cloud.instances["r2/active"]: ("admin", "RegionTwo")}
    presences = {
        sighting.region: sighting.presence.value
        for sighting in survey.of(cloud.instances["r2/deleted"])
    }
    assert presences == {"RegionOne": "absent", "RegionTwo": "deleted"}


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("wrong-password", OSPLoginError),
        ("app-cred-deleted", OSPLoginError),
        ("app-cred-expired", OSPLoginError),
        ("no-such-cloud", OSPConfigError),
    ],
)
def test_a_failed_login_never_looks_like_a_missing_server(
    cloud: Cloud, name: str, error: type[OSPError]
) -> None:
    """Keystone answers 404 to a deleted application credential."""
    with pytest.raises(error):
        Region.open(name, "RegionOne")


def test_an_application_credential_deleted_in_mid_run_makes_all_unknown(
    cloud: Cloud,
) -> None:
    region = Region.open("app-cred", "RegionOne")
    assert presence(region, cloud, "cell1/deleted") == {"cell1/deleted": "deleted"}
    cloud.delete_application_credential()
    assert presence(region, cloud, "cell1/deleted", "purged") == {
        "cell1/deleted": "unknown",
        "purged": "unknown",
    }


def test_a_password_logs_in_again_when_its_token_is_refused_in_mid_run(
    cloud: Cloud,
) -> None:
    region = Region.open("admin", "RegionOne")
    region.prove_visibility()
    cloud.revoke_token(region.nova.session.get_token())
    assert presence(region, cloud, "cell1/deleted", "cell1/active") == {
        "cell1/deleted": "deleted",
        "cell1/active": "present",
    }


def test_a_static_token_that_is_refused_in_mid_run_makes_all_unknown(
    cloud: Cloud,
) -> None:
    region = Region.open("token", "RegionOne")
    assert presence(region, cloud, "cell1/active") == {"cell1/active": "present"}
    cloud.revoke_tokens()
    assert presence(region, cloud, "cell1/deleted") == {"cell1/deleted": "unknown"}


def test_a_region_without_compute_endpoint_is_an_error_that_names_it(
    cloud: Cloud,
) -> None:
    with pytest.raises(OSPConfigError, match="RegionThree"):
        Region.open("admin", "RegionThree")


def test_a_uuid_is_found_in_any_case_and_in_the_other_byte_order(cloud: Cloud) -> None:
    """Nova itself answers 404 to capitals on some databases, and to all other forms."""
    region = Region.open("admin", "RegionOne")
    uuid = cloud.instances["cell1/stopped"]
    for text in (uuid.upper(), f"  {uuid}\n", swap_bytes(uuid)):
        assert region.ask(text).presence is Presence.PRESENT
    for junk in (
        "",
        "Not Settable",
        "detail",
        "None",
        uuid.replace("-", ""),
        f"{{{uuid}}}",
        f"urn:uuid:{uuid}",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ):
        assert region.ask(junk).presence is Presence.INVALID


def test_a_deleted_row_under_the_other_byte_order_is_proof_and_says_so(
    cloud: Cloud,
) -> None:
    sighting = Region.open("admin", "RegionOne").ask(
        swap_bytes(cloud.instances["cell1/deleted"])
    )
    assert sighting.presence is Presence.DELETED
    assert "the other byte order" in sighting.detail


def test_a_hidden_server_looks_absent_to_a_role_that_can_only_list(
    cloud: Cloud,
) -> None:
    """So `empty_is_absent` is right only without cross-cell resizes.

    Nova's default policy forbids them.
    """
    cloud.policy("least-privilege")
    by_list = presence(
        Region.open("checker", "RegionOne", empty_is_absent=True), cloud, "cell1/hidden"
    )
    assert by_list == {"cell1/hidden": "absent"}
    assert presence(Region.open("checker", "RegionOne"), cloud, "cell1/hidden") == {
        "cell1/hidden": "unknown"
    }


@pytest.mark.parametrize(
    "match", [r"/servers/detail", r"/servers\?", r"/servers/[0-9a-f]{8}"]
)
@pytest.mark.parametrize("status", [404, 502, 200])
def test_a_proxy_that_answers_instead_of_nova_never_makes_a_server_gone(
    cloud: Cloud, match: str, status: int
) -> None:
    cloud.fault({"status": status, "match": match})
    checker = LocalChecker([CloudScope("admin", ("RegionOne",))])
    lists = checker.prepare()
    uuids = [
        cloud.instances[label]
        for label in ("cell1/soft-deleted", "cell1/hidden", "cell2/deleted")
    ]
    survey = checker.survey(uuids, lists)
    for uuid in uuids:
        for sighting in survey.of(uuid):
            assert sighting.presence.value in ("unknown", "present")


def test_neutron_down_makes_no_living_server_gone(cloud: Cloud) -> None:
    cloud.neutron(up=False)
    assert set(
        presence(
            Region.open("admin", "RegionOne"),
            cloud,
            "cell1/active",
            "cell1/soft-deleted",
        ).values()
    ) <= {"unknown", "present"}


@pytest.mark.parametrize("rows", [2, 1000])
def test_the_deleted_servers_are_those_with_a_deleted_row_and_a_time(
    cloud: Cloud, rows: int
) -> None:
    """Soft-deleted servers are in Nova's list, too."""
    scope = CloudScope("admin", ("RegionOne",), manners=Manners(page_size=rows))
    answer = LocalChecker([scope]).deleted(LONG_AGO)
    assert answer.regions[0].error is None
    listed = {server.uuid: server for server in answer.servers}
    uuids = sorted(cloud.instances.values())
    survey = LocalChecker([scope]).ask(uuids)
    proven = {uuid: survey.of(uuid)[0].terminated_at for uuid in uuids}
    assert {uuid: server.terminated_at for uuid, server in listed.items()} == {
        uuid: when for uuid, when in proven.items() if when
    }
    assert cloud.instances["cell2/deleted-project-a"] in listed
    assert cloud.instances["cell1/soft-deleted"] not in listed


def test_only_what_was_deleted_since_is_listed(cloud: Cloud) -> None:
    checker = LocalChecker([CloudScope("admin", ("RegionOne",))])
    since = datetime.now(timezone.utc) + timedelta(minutes=1)
    assert checker.deleted(since).servers == ()


def test_a_list_of_deleted_servers_that_the_role_may_not_filter_is_an_error(
    cloud: Cloud,
) -> None:
    checker = LocalChecker([CloudScope("reader", ("RegionOne",))])
    answer = checker.deleted(LONG_AGO)
    assert isinstance(answer.regions[0].error, OSPForbidden)
    assert answer.servers == ()


@pytest.mark.parametrize("name", ["admin", "checker"])
def test_the_servers_that_do_not_run_have_such_a_status(
    cloud: Cloud, name: str
) -> None:
    cloud.policy("least-privilege")
    answer = LocalChecker([CloudScope(name, ("RegionOne",))]).inactive()
    assert answer.regions[0].error is None
    listed = {server.uuid: server.status for server in answer.servers}
    expected = {
        "stopped": "SHUTOFF",
        "error": "ERROR",
        "shelved-offloaded": "SHELVED_OFFLOADED",
        "paused": "PAUSED",
    }
    for cell in ("cell1", "cell2"):
        for label, status in expected.items():
            assert listed[cloud.instances[f"{cell}/{label}"]] == status
        for label in ("active", "soft-deleted", "deleted", "hidden", "migrating"):
            assert cloud.instances[f"{cell}/{label}"] not in listed
    assert listed[cloud.instances["building-request-only"]] == "BUILD"


@pytest.mark.parametrize("name", ["admin", "checker"])
def test_the_servers_that_no_uuid_names_are_unmanaged(cloud: Cloud, name: str) -> None:
    cloud.policy("least-privilege")
    whole = list_uuids(Region.open("admin", "RegionOne"))
    forgotten = {cloud.instances["cell1/active"], cloud.instances["cell2/stopped"]}
    known = [swap_bytes(uuid) for uuid in whole - forgotten]
    answer = LocalChecker([CloudScope(name, ("RegionOne",))]).unmanaged(known)
    (region,) = answer.regions
    assert (region.error, region.servers) == (None, len(whole))
    assert {server.uuid for server in answer.servers} == forgotten
