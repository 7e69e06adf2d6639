"""No secret of either side is anywhere but where its owner put it, whatever happens."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Stage
from sandbox.satellite import Host
from sandbox.server import Answer, Request
from sandbox.targets import Process

from foreman_hooks.hooks import hooks_d
from foreman_hooks.reports import logs

from .hidden import (
    ECHOES,
    HOOK,
    PARAMETERS,
    Hidden,
    configuration,
    parameters,
    places,
    plant,
)
from .trials import SOAK, note

CLOUDS = [
    {"cloud": "prod", "regions": ["RegionOne"], "ignore_regions": ["RegionTwo"]},
    {"cloud": "app", "regions": ["RegionTwo"], "ignore_regions": ["RegionOne"]},
]
ONE_CLOUD = CLOUDS[:1]


class Sweep:
    """Runs commands, and keeps all that they print."""

    def __init__(self, stage: Stage, call: Any, hidden: Hidden) -> None:
        self.stage, self.call, self.hidden = stage, call, hidden
        self.printed: dict[str, str] = {}

    def run(self, config: Path, *words: object) -> None:
        name = " ".join(map(str, words))
        code, out, err = self.call("--config", config, *words)
        assert code != 70, err
        self.printed[f"{len(self.printed)}: {name}"] = out + err

    def leaks(self) -> dict[str, set[str]]:
        """Place -> names of the secrets in it, without the places that have none."""
        everything = {**self.printed, **places(self.stage)}
        within = {name: self.hidden.within(text) for name, text in everything.items()}
        return {name: secrets for name, secrets in within.items() if secrets}

    def note(self) -> None:
        """Put the figures on file: each command was searched for each secret."""
        note(len(self.printed) * len(self.hidden.markers))


@pytest.fixture
def sweep(stage: Stage, call: Any) -> Iterator[Sweep]:
    yield Sweep(stage, call, plant(stage))
    logs.set_up(logging.WARNING)  # closes the log file


@pytest.fixture
def hook(stage: Stage) -> None:
    """A hook that writes down all that it can see, and fails."""
    folder = stage.folder / "etc" / "hooks.d"
    folder.mkdir(parents=True)
    for place in (folder.parent, folder):
        place.chmod(0o755)
    stage.monkeypatch.setattr(hooks_d, "HOOKS_D", folder)
    stage.monkeypatch.setattr(hooks_d, "OWNER", os.geteuid())
    path = folder / "50-look"
    path.write_text(f"#!/bin/sh{HOOK.format(folder=stage.folder)}")
    path.chmod(0o755)


def logging_options(stage: Stage) -> list[list[object]]:
    log = stage.folder / "log"
    return [
        ["-d", "--log-file", f"{log}.text"],
        ["-d", "--log-format", "json", "--log-file", f"{log}.json"],
        ["-v"],
    ]


def commands(stage: Stage) -> list[list[object]]:
    """Every command that speaks to a server or reads what one said, in an order that works."""
    plan = stage.folder / "plan.json"
    page, metrics = stage.folder / "page.html", stage.folder / "all.prom"
    uuid = next(iter(stage.openstack.instances["RegionOne"]))
    return [
        ["doctor"],
        ["plan", "--out", plan, "--report", page],
        ["plan", "--output", "json"],
        ["plan", "--output", "csv"],
        ["explain", "old.example.com"],
        ["run", "--news"],
        ["run", "--host", "old.example.com", "--apply", "--yes"],
        ["apply", plan, "--report", page],
        ["run", "--apply", "--report", page, "--metrics", metrics, "--output", "yaml"],
        ["run", "--apply", "--recent", "--news"],
        ["history", "list", "--output", "json"],
        ["history", "show", "1"],
        ["restore", "old.example.com"],
        ["status"],
        ["status", "--output", "json"],
        ["check", uuid],
        ["unmanaged"],
        ["unmanaged", "--output", "json"],
    ]


def test_no_secret_is_in_anything_that_commands_leave(
    sweep: Sweep, stage: Stage, hook: None
) -> None:
    config = configuration(stage, sweep.hidden, clouds=CLOUDS)
    stage.world.openstack.add(
        "RegionTwo", next(iter(stage.openstack.instances["RegionOne"].values()))
    )
    for options in logging_options(stage):
        for words in commands(stage):
            sweep.run(config, *options, *words)
    names = {name.split()[0] for name in places(stage)}
    assert {"journal.sqlite3", "page.html", "all.prom", "plan.json"} <= names
    assert {"log.text", "log.json", "hook-environment", "hook-processes"} <= names
    assert stage.foreman.count("^DELETE") == 3
    assert sweep.leaks() == {}
    sweep.note()


def test_the_sweep_would_notice_each_secret_in_each_place(
    sweep: Sweep, stage: Stage
) -> None:
    """Otherwise the other tests would show nothing."""
    for name, secret in sweep.hidden.markers.items():
        (stage.folder / "page.html").write_text(f"<b>{secret}</b>")
        assert sweep.leaks() == {"page.html": {name}}, name
    assert len(PARAMETERS) >= 50


def test_a_snapshot_keeps_no_value_of_a_parameter_with_a_secret_name(
    sweep: Sweep, stage: Stage
) -> None:
    config = configuration(stage, sweep.hidden, clouds=ONE_CLOUD)
    sweep.run(config, "run", "--apply")
    sweep.run(config, "history", "show", "1")
    text = list(sweep.printed.values())[-1]
    for name in parameters():
        assert name in text
    assert sweep.leaks() == {}


@pytest.mark.parametrize("server", ["foreman", "osp"])
@pytest.mark.parametrize("share", range(4))
def test_no_secret_is_repeated_from_a_server_that_echoes_the_request(
    sweep: Sweep, stage: Stage, hook: None, server: str, share: int
) -> None:
    """Each in turn at the first request, after the log-in, and when a record is deleted."""
    double = getattr(stage, server)
    real = double.handle
    config = configuration(stage, sweep.hidden, clouds=ONE_CLOUD, deadline="20s")
    plan = stage.folder / "plan.json"
    sweep.run(config, "plan", "--out", plan)
    starts = ("GET /api/hosts", "GET /api/v2/hosts", "DELETE", "GET /compute", "")
    echoes = ECHOES[share :: 4 if SOAK else 8]
    for number, (echo, status) in enumerate(echoes):
        for start in starts if SOAK else starts[number % 3 :: 3]:
            double.handle = echoing(real, echo, status, start)
            for words in (
                ["doctor"],
                ["run", "--apply"],
                ["apply", plan],
                ["unmanaged"],
            ):
                log = stage.folder / "log.text"
                sweep.run(config, "-d", "--log-file", log, *words)
    double.handle = real
    sweep.run(config, "status")
    sweep.run(config, "history", "list")
    assert sweep.leaks() == {}
    sweep.note()


def echoing(
    real: Callable[[Request], Answer], echo: Any, status: int, start: str
) -> Callable[[Request], Answer]:
    def handle(request: Request) -> Answer:
        if request.line.startswith(start):
            answer: Answer = echo(request, status)
            return answer
        return real(request)

    return handle


def test_no_secret_of_a_checker_host_comes_back_from_a_job(
    sweep: Sweep, stage: Stage
) -> None:
    """Neither when it answers nor when its clouds.yaml is wrong, nor when Keystone echoes."""
    home = stage.folder / "private" / "home"
    (home / ".config" / "openstack").mkdir(parents=True)
    clouds = stage.folder / "private" / "clouds.yaml"
    text = clouds.read_text()
    theirs = home / ".config" / "openstack" / "clouds.yaml"
    clouds.rename(theirs)
    host = stage.satellite.add(Host("osp-checker.example.com"))
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    stage.satellite.jobs.targets[host.id] = Process(home, {"PATH": path})
    job = {"job_template": "OSP - Check instances", "search": f"id = {host.id}"}
    config = configuration(stage, sweep.hidden, clouds=ONE_CLOUD, checker=job)
    log = stage.folder / "log.text"
    uuid = next(iter(stage.openstack.instances["RegionOne"]))
    try:
        sweep.run(config, "templates", "publish")
        sweep.run(config, "-d", "--log-file", log, "check", uuid)
        theirs.write_text(text.replace("password: ", "password: ["))
        sweep.run(config, "-d", "--log-file", log, "check", uuid)
        theirs.write_text(text)
        real = stage.osp.handle
        echo, status = ECHOES[9]
        stage.osp.handle = echoing(real, echo, status, "POST /v3")
        sweep.run(config, "-d", "--log-file", log, "check", uuid)
    finally:
        stage.satellite.jobs.close()
    assert sweep.leaks() == {}
