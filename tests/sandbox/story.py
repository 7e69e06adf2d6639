"""The story of the demo: the real client against both doubles, explained step by step."""

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.run import Cleanup
from foreman_hooks.commands.window import window_of
from foreman_hooks.osp_checker import CloudScope, LocalChecker
from foreman_hooks.reports import terminal
from foreman_hooks.reports.window import wrapped
from foreman_hooks.rules.model import Policy
from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.client import Satellite as Client

from .server import Server
from .world import REGION, World, build

_INTRODUCTION = """\
A simulated Satellite with {hosts} hosts ({satellite}) and a simulated OpenStack
with {servers} servers ({osp}) are running on this machine.
"""
_PLANNING = """\
1. satellite-osp-cleanup plan: what would be deleted, what waits, and what needs attention
"""
_APPLYING = """\
2. satellite-osp-cleanup apply: it checks each host record again before the deletion, and after
   the deletion it checks that the record is gone
"""
_RESULT = """\
3. {deleted} host records are deleted, {remaining} remain. Those that wait can go in a later run.
"""
_CLOSING = """\
On a real Satellite you need hammer's configuration (or config.yml) and a clouds.yaml. Then:

    satellite-osp-cleanup doctor                # checks the setup
    satellite-osp-cleanup plan --out plan.json  # shows the plan and deletes nothing
    satellite-osp-cleanup apply plan.json       # deletes what the plan says
"""
_KEPT = """\
They run until you press Ctrl-C. In another terminal:

    export OS_CLIENT_CONFIG_FILE={clouds}
    alias satellite-osp-cleanup='{command} --config {config}'

    satellite-osp-cleanup doctor                        # checks the setup
    satellite-osp-cleanup plan --out plan.json          # shows the plan and deletes nothing
    satellite-osp-cleanup explain web-old.example.com   # shows every rule for one host
    satellite-osp-cleanup apply plan.json               # deletes what the plan says
    satellite-osp-cleanup history list
"""

Say = Callable[[str], None]


def show(say: Say) -> int:
    """Plan, apply, and compare what remains with what should: 0 if it is the same, else 1."""
    with _running(say) as stage:
        hosts = stage.world.satellite.hosts
        before = len(hosts)
        say(_PLANNING)
        _clean_up(say, stage.satellite_url, stage.folder)
        remaining = {host.name for host in hosts.values()}
        say(_RESULT.format(deleted=before - len(remaining), remaining=len(remaining)))
        say(_CLOSING)
        return 0 if remaining == _should_remain(stage.world) else 1


def keep_running(say: Say) -> None:
    """Only start both servers, say what to try in another terminal, and wait for Ctrl-C."""
    with _running(say) as stage:
        config = _write_config(stage.folder, stage.satellite_url)
        command = Path(sys.executable).with_name("satellite-osp-cleanup")
        clouds = os.environ["OS_CLIENT_CONFIG_FILE"]
        say(_KEPT.format(clouds=clouds, command=command, config=config))
        threading.Event().wait()


class _Stage(NamedTuple):
    """Both servers, and a folder for the files of the demo."""

    world: World
    satellite_url: str
    folder: Path


@contextmanager
def _running(say: Say) -> Iterator[_Stage]:
    """Start both servers, and introduce them; this process then only knows this cloud."""
    world = build()
    with ExitStack() as stack:
        satellite = stack.enter_context(Server(world.satellite.handle))
        osp = stack.enter_context(Server(world.openstack.handle))
        temporary = tempfile.TemporaryDirectory(prefix="satellite-osp-cleanup-demo-")
        folder = Path(stack.enter_context(temporary))
        clouds = write_clouds(folder, osp.url)
        stack.enter_context(_environment(OS_CLIENT_CONFIG_FILE=str(clouds)))
        introduction = _INTRODUCTION.format(
            hosts=len(world.satellite.hosts),
            satellite=satellite.url,
            servers=_server_count(world),
            osp=osp.url,
        )
        say(introduction)
        yield _Stage(world, satellite.url, folder)


def _clean_up(say: Say, satellite_url: str, folder: Path) -> None:
    """Show a plan, carry it out, and show the results."""
    with Journal.open(folder / "journal.sqlite3") as journal:
        client = Client(Login(satellite_url, "admin", "changeme"))
        checker = LocalChecker([CloudScope("demo", (REGION,))])
        cleanup = Cleanup(client, checker, journal, Policy())
        plan = cleanup.plan()
        window = window_of(sys.stdout)
        sums = "\n".join(wrapped(terminal.sums(plan), window.width))
        say(f"{terminal.plan_listing(plan, window)}{sums}\n")
        say(_APPLYING)
        outcomes = list(cleanup.apply(plan))
        say(terminal.outcome_listing(outcomes, window).rstrip("\n") + "\n")


def _should_remain(world: World) -> set[str]:
    return {name for name, decision in world.expected.items() if decision != "delete"}


def _server_count(world: World) -> int:
    instances = world.openstack.instances[REGION].values()
    return sum(1 for instance in instances if instance.terminated is None)


def write_clouds(folder: Path, url: str, cloud: str = "demo") -> Path:
    """Write a clouds.yaml with one cloud, whose Keystone is at `url`; returns its path."""
    auth = {
        "auth_url": f"{url}/v3",
        "username": "checker",
        "password": "changeme",
        "project_name": "admin",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }
    return _write_yaml(
        folder / "clouds.yaml",
        {"clouds": {cloud: {"region_name": REGION, "auth": auth}}},
    )


def _write_yaml(path: Path, content: Mapping[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def _write_config(folder: Path, satellite_url: str) -> Path:
    """Write a configuration for both servers; returns its path."""
    return _write_yaml(
        folder / "config.yml",
        {
            "satellite": {
                "url": satellite_url,
                "username": "admin",
                "password": "changeme",
            },
            "clouds": [{"cloud": "demo", "regions": [REGION]}],
            "journal": str(folder / "journal.sqlite3"),
        },
    )


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set these variables, and remove all OS_*: the demo must not reach a real cloud."""
    before = dict(os.environ)
    for name in before:
        if name.startswith("OS_"):
            del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
