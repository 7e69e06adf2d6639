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
from foreman_hooks.osp_checker import CloudScope, LocalChecker, Manners, Place
from foreman_hooks.rules.model import Policy
from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.client import Satellite as Client

from .cloud import Cloud
from .conftest import DAY, between_pages, registered

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

    def command(self, *words: str) -> int:
        """Run a command of the program, without patience; returns its exit code."""
        config = self.folder / "config.yml"
        config.write_text(
            f"satellite: {{url: '{self.server.url}', username: admin, password: changeme}}\n"
            "clouds: [{cloud: admin, regions: [RegionOne, RegionTwo], page_size: 100}]\n"
            f"journal: {self.folder}/journal.sqlite3\n"
            "policy: {max_fraction: 1.0, max_deletions: 2000, quiet: 0s}\n"
        )
        return main(["--config", str(config), *words])

    def add(self, *labels: str) -> None:
        """Add a silent host record for instances that the cloud has more."""
        for label in labels:
            self.satellite.add(
                Host(
                    f"{label.replace('/', '-')}.example.com",
                    facts=guest_facts(self.cloud.instances[label]),
                    parameters={},
                    subscription=registration(300 * DAY),
                )
            )


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
    site.add("short-lived")
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


def states(site: Site, capfd: Any) -> tuple[int, dict[str, str]]:
    """The exit code of `states`, and host name -> state."""
    code = site.command("states", "--output", "json")
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
    assert site.command("doctor") == 0
    assert site.command("explain", "cell2-soft-deleted.example.com") == 0
    assert "SOFT_DELETED" in capfd.readouterr().out
    assert site.command("run", "--apply") == 0
    assert deleted(site.cloud).isdisjoint(site.left)


def planned(site: Site, capfd: Any, *words: str) -> set[str]:
    """The names of the hosts that a run would delete, without the domain."""
    capfd.readouterr()
    site.command("run", *words, "--output", "json")
    out, err = capfd.readouterr()
    assert out, err
    return {
        host["name"].split(".")[0]
        for host in json.loads(out)["hosts"]
        if host["decision"] == "delete"
    }


def test_a_quick_run_finds_the_terminations_that_a_full_run_finds(
    site: Site, capfd: Any
) -> None:
    cloud = site.cloud
    labels = ["gone-1", "gone-2", "archived", "living"]
    for number, label in enumerate(labels):
        cloud.add(label, cell=("cell1", "cell2")[number % 2])
    soft_deleted = {"vm_state": "soft-delete", "queued_for_delete": True}
    cloud.add("soft", **soft_deleted)
    site.add(*labels, "soft")
    assert site.command("run", "--apply") == 0
    for label in ("gone-1", "gone-2", "archived"):
        cloud.terminate(label)
    cloud.purge("archived")
    cloud.cell2("down")
    assert planned(site, capfd, "--recent") == planned(site, capfd) == set()
    cloud.cell2("up")
    assert planned(site, capfd, "--recent") == {"gone-1", "gone-2"}
    assert planned(site, capfd) == {"gone-1", "gone-2"}
    assert site.command("run", "--recent", "--apply") == 0
    left = {name for name in [*labels, "soft"] if name in site.left}
    assert left == {"archived", "living", "soft"}


def test_a_thousand_deletions_between_two_pages_are_found_by_a_quick_and_a_full_run(
    site: Site, capfd: Any
) -> None:
    """Quick runs may find them in two goes, because the first read the list while it changed.

    Every tenth has a host record.
    """
    labels = site.cloud.add_many(1150)
    hosts = set(labels[::10])
    site.add(*hosts)
    assert site.command("run", "--apply") == 0
    site.cloud.terminate_many(labels[:150])
    manners = Manners(page_size=100)
    scope = CloudScope("admin", ("RegionOne", "RegionTwo"), manners=manners)
    checker = LocalChecker([scope])
    checker.open()
    pages = between_pages(
        checker.regions[Place("admin", "RegionOne")],
        "deleted=True",
        lambda: site.cloud.terminate_many(labels[150:]),
    )
    client = Client(Login(site.server.url, "admin", "changeme"))
    with Journal.open(site.folder / "journal.sqlite3") as journal:
        plan = Cleanup(client, checker, journal, HASTY).plan_quick()
    assert len(pages) > 2
    names = {verdict.name.split(".")[0] for verdict in plan.deletions}
    assert hosts & {*labels[:150]} <= names
    assert names | planned(site, capfd, "--recent") == hosts
    assert planned(site, capfd) == hosts
