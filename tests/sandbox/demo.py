"""`make demo`: the true client against both doubles, told as it goes."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.run import Cleanup
from foreman_hooks.osp_checker.checker import CloudScope, LocalChecker
from foreman_hooks.reports import listings as report
from foreman_hooks.rules.model import Policy
from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.client import Satellite as Client

from .server import Server
from .world import REGION, World, build

_INTRODUCTION = """\
A simulated Satellite with {hosts} hosts ({satellite})
and a simulated OpenStack with {servers} servers ({osp}) run on loopback now.

1. satellite-osp-cleanup plan: what would be deleted, what waits, and what needs attention
"""
_CLOSING = """\
On a real Satellite nothing more is needed than hammer's configuration and a clouds.yaml:

    satellite-osp-cleanup doctor                # is everything in place?
    satellite-osp-cleanup plan --out plan.json  # look, nothing is deleted
    satellite-osp-cleanup apply plan.json
"""
_KEPT = """\
Both servers stay up until Ctrl-C.  In another terminal:

    export OS_CLIENT_CONFIG_FILE={clouds}
    satellite-osp-cleanup --config {config} plan
"""


def show(say: Callable[[str], None], keep: bool = False) -> int:
    """Plan, apply, and look at what remains; 0 if that is exactly what should remain, else 1."""
    world = build()
    with (
        Server(world.satellite.handle) as satellite,
        Server(world.openstack.handle) as osp,
        tempfile.TemporaryDirectory(prefix="satellite-osp-cleanup-demo-") as name,
    ):
        folder = Path(name)
        clouds = write_clouds(folder, osp.url)
        before = len(world.satellite.hosts)
        say(
            _INTRODUCTION.format(
                hosts=before, satellite=satellite.url, servers=_server_count(world), osp=osp.url
            )
        )
        with (
            _environment(OS_CLIENT_CONFIG_FILE=str(clouds)),
            Journal.open(folder / "journal.sqlite3") as journal,
        ):
            _clean_up(
                say,
                Cleanup(
                    Client(Login(satellite.url, "admin", "changeme")),
                    LocalChecker([CloudScope("demo", (REGION,))]),
                    journal,
                    Policy(),
                ),
            )
        left = {host.name for host in world.satellite.hosts.values()}
        say(
            f"3. {before - len(left)} records are gone, {len(left)} remain.  What waits goes in a later run.\n"
        )
        say(_CLOSING)
        if keep:
            _stay(say, folder, satellite.url, clouds)
        return (
            0
            if left == {host for host, decision in world.expected.items() if decision != "delete"}
            else 1
        )


def _clean_up(say: Callable[[str], None], cleanup: Cleanup) -> None:
    plan = cleanup.plan()
    say(
        report.render(
            report.verdict_rows(one for one in plan.verdicts if report.noteworthy(one)),
            report.Style(fields=("Id", "Name", "Decision", "Reason", "Detail")),
        )
    )
    say(report.summary(plan))
    say(
        "2. satellite-osp-cleanup apply: each is looked at again first, and shown to be gone afterwards\n"
    )
    say(
        report.render(
            report.outcome_rows(cleanup.apply(plan)), report.Style(fields=("Id", "Name", "Result"))
        )
    )


def _server_count(world: World) -> int:
    return sum(
        instance.terminated is None for instance in world.openstack.instances[REGION].values()
    )


def write_clouds(folder: Path, url: str) -> Path:
    """A clouds.yaml with the cloud `demo` at that Keystone."""
    path = folder / "clouds.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "clouds": {
                    "demo": {
                        "region_name": REGION,
                        "auth": {
                            "auth_url": f"{url}/v3",
                            "username": "checker",
                            "password": "changeme",
                            "project_name": "admin",
                            "user_domain_name": "Default",
                            "project_domain_name": "Default",
                        },
                    }
                }
            }
        ),
        encoding="utf-8",
    )
    return path


def _stay(say: Callable[[str], None], folder: Path, satellite: str, clouds: Path) -> None:
    config = folder / "config.yml"
    config.write_text(
        yaml.safe_dump(
            {
                "satellite": {"url": satellite, "username": "admin", "password": "changeme"},
                "clouds": [{"cloud": "demo", "regions": [REGION]}],
                "journal": str(folder / "journal.sqlite3"),
            }
        ),
        encoding="utf-8",
    )
    say(_KEPT.format(clouds=clouds, config=config))
    import threading

    threading.Event().wait()


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """These variables, and none of OS_*: the demo must not reach out to a real cloud."""
    before: Mapping[str, str] = dict(os.environ)
    for name in list(os.environ):
        if name.startswith("OS_"):
            del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    try:
        sys.exit(show(print, keep="--keep" in sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
