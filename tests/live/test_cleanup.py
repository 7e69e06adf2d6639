"""From facts to deletion: the simulated Satellite together with a real Keystone and Nova."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sandbox.satellite import Host, Satellite
from sandbox.server import Server
from sandbox.world import guest_facts, registration

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.run import Cleanup
from foreman_hooks.commands.main import main
from foreman_hooks.osp_checker import CloudScope, LocalChecker
from foreman_hooks.rules.model import Policy
from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.client import Satellite as Client

from .cloud import Cloud
from .conftest import DAY, registered

pytestmark = pytest.mark.live
# No patience at all: everything that can be deleted is, so what stays has the right reason.
AT_ONCE = {"quiet": timedelta(0), "max_fraction": 1.0}
HASTY = Policy(
    **AT_ONCE,
    all_clouds_listed=True,
    grace=timedelta(0),
    misses=1,
    silence=timedelta(days=1),
    max_deletions=1000,
    max_shrink=1.0,
    max_absent=1000,
)


class Site:
    """A Satellite with one silent record for each instance of the cloud, and a way to run."""

    def __init__(
        self, cloud: Cloud, folder: Path, satellite: Satellite, server: Server
    ) -> None:
        self.cloud, self.folder, self.satellite, self.server = (
            cloud,
            folder,
            satellite,
            server,
        )
        registered(satellite, cloud)
        # Check-ins arrive.
        satellite.add(Host("talking.example.com", subscription=registration(60.0)))

    def run(
        self,
        policy: Policy = HASTY,
        cloud: str = "admin",
        regions: tuple[str, ...] = ("RegionOne", "RegionTwo"),
    ) -> set[str]:
        """Plan and apply; returns the labels of the records that were deleted."""
        before = self.left
        with Journal.open(self.folder / "journal.sqlite3") as journal:
            cleanup = Cleanup(
                Client(Login(self.server.url, "admin", "changeme")),
                LocalChecker([CloudScope(cloud, regions)]),
                journal,
                policy,
            )
            plan = cleanup.plan()
            if not plan.refusals:
                list(cleanup.apply(plan))
        return before - self.left

    @property
    def left(self) -> set[str]:
        """The labels of the records that Satellite still has."""
        names = {label.replace("/", "-"): label for label in self.cloud.instances}
        return {
            names[name]
            for name in (
                host.name.split(".")[0] for host in self.satellite.hosts.values()
            )
            if name in names
        }


@pytest.fixture
def site(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    monkeypatch.setenv(
        "OS_CLIENT_CONFIG_FILE", str(cloud.clouds_yaml(tmp_path / "clouds.yaml"))
    )
    satellite = Satellite()
    with Server(satellite.handle) as server:
        yield Site(cloud, tmp_path, satellite, server)


def deleted(cloud: Cloud) -> set[str]:
    return {label for label in cloud.instances if "/deleted" in label}


def test_terminated_instances_go_and_all_others_stay(site: Site) -> None:
    patient = Policy(**AT_ONCE)
    assert site.run(patient) == deleted(site.cloud)
    assert site.run(patient) == set()


def test_without_patience_archived_instances_go_too_and_living_ones_still_stay(
    site: Site,
) -> None:
    assert site.run() == deleted(site.cloud) | {"purged"}


def test_with_a_cell_down_nothing_goes(site: Site) -> None:
    site.cloud.cell2("down")
    assert site.run() == set()
    site.cloud.cell2("up")
    assert site.run(Policy(**AT_ONCE)) == deleted(site.cloud)


def test_an_emptied_cell_database_is_noticed_as_a_shrunk_cloud(site: Site) -> None:
    """Every GET of its servers is a 404, and none of their rows is left."""
    careful = replace(HASTY, max_shrink=0.30)
    assert site.run(careful) == deleted(site.cloud) | {"purged"}
    site.cloud.cell2("empty")
    assert site.run(careful) == set()


def test_the_hosts_of_a_region_that_is_not_in_scope_are_not_gone(
    site: Site,
) -> None:
    """With the default grace period its hosts wait, and their check-ins keep them."""
    assert site.run(Policy(**AT_ONCE), regions=("RegionOne",)) == deleted(
        site.cloud
    ) - {"r2/deleted"}


@pytest.mark.parametrize(
    "cloud_name", ["reader", "wrong-password", "app-cred-deleted", "token-of-nobody"]
)
def test_a_login_that_cannot_see_deletes_nothing(site: Site, cloud_name: str) -> None:
    assert site.run(cloud=cloud_name) == set()


def test_an_instance_that_is_terminated_and_then_archived_goes_after_its_misses(
    site: Site,
) -> None:
    cloud = site.cloud
    cloud.add("short-lived")
    site.satellite.add(
        Host(
            "short-lived.example.com",
            facts=guest_facts(cloud.instances["short-lived"]),
            parameters={},
            subscription=registration(300 * DAY),
        )
    )
    assert "short-lived" not in site.run(Policy(**AT_ONCE))
    cloud.terminate("short-lived")
    cloud.purge("short-lived")
    twice = Policy(**AT_ONCE, grace=timedelta(0), misses=2, silence=timedelta(days=1))
    assert "short-lived" not in site.run(twice)
    assert "short-lived" in site.run(twice)


# Label in a cell -> the state of its host, which has not checked in for a long time.
STATES = {
    "active": "running-silent",
    "stopped": "off",
    "error": "error",
    "paused": "paused",
    "shelved-offloaded": "shelved",
    "resize-confirm": "running-silent",
    "migrating": "running-silent",
    "soft-deleted": "soft-deleted",
    "soft-deleted-project-a": "soft-deleted",
    "deleting": "running-silent",
    "hidden": "running-silent",
    "no-mapping": "running-silent",
    "deleted": "terminated",
    "deleted-2": "terminated",
}


def command_line(site: Site) -> list[str]:
    """The options that name a configuration for this site."""
    config = site.folder / "config.yml"
    config.write_text(
        f"satellite: {{url: '{site.server.url}', username: admin, password: changeme}}\n"
        "clouds: [{cloud: admin, regions: [RegionOne, RegionTwo]}]\n"
        f"journal: {site.folder}/journal.sqlite3\npolicy: {{max_fraction: 1.0, quiet: 0s}}\n"
    )
    return ["--config", str(config)]


def states(site: Site, capfd: Any) -> tuple[int, dict[str, str]]:
    """The exit code of `states`, and host name -> state."""
    code = main([*command_line(site), "states", "--output", "json"])
    hosts = json.loads(capfd.readouterr().out)["hosts"]
    return code, {host["name"].split(".")[0]: host["state"] for host in hosts}


def test_each_host_is_in_the_state_that_nova_says(site: Site, capfd: Any) -> None:
    code, shown = states(site, capfd)
    for cell in ("cell1", "cell2"):
        assert {name: shown[f"{cell}-{name}"] for name in STATES} == STATES
    assert shown["building-request-only"] == "building"
    assert shown["cell0-error-no-host"] == "error"
    assert (shown["r2-active"], shown["r2-deleted"]) == ("running-silent", "terminated")
    assert (shown["purged"], shown["talking"]) == ("absent", "unidentified")
    assert code == 0


def test_with_a_cell_down_no_host_is_said_to_be_gone(site: Site, capfd: Any) -> None:
    site.cloud.cell2("down")
    code, shown = states(site, capfd)
    site.cloud.cell2("up")
    assert code == 1
    assert not {"terminated", "absent"} & set(shown.values())


def test_the_command_line_gives_the_same_result(site: Site, capfd: Any) -> None:
    argv = command_line(site)
    assert main([*argv, "doctor"]) == 0
    assert main([*argv, "explain", "cell2-soft-deleted.example.com"]) == 0
    assert "SOFT_DELETED" in capfd.readouterr().out
    assert main([*argv, "run", "--apply"]) == 0
    assert deleted(site.cloud).isdisjoint(site.left)
