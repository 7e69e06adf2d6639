"""How much longer a check by job takes than the same check made directly.

10,000 UUIDs, 2 % of them terminated.

    python tests/bench/delegated.py [UUIDS] [RUNS]

Whole processes are timed, start-up included; both servers run in one separate process.  This
Satellite starts a job at once; a real one needs 3 to 6 s more until a job's host is complete
(measured).
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from sandbox.instances import Instance
from sandbox.openstack import Account, OpenStack
from sandbox.satellite import Host, Satellite
from sandbox.server import Server
from sandbox.targets import Process

from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.client import Satellite as Client
from satellite_remote_exec.build import build
from satellite_remote_exec.publish import publish

CHECK = [
    sys.executable,
    "-c",
    "from foreman_hooks.commands.main import entry_point; entry_point()",
]


def serve(count: int, folder: Path) -> None:
    """Run both servers until standard input ends; prints "ready" once the configuration exists."""
    openstack = OpenStack(
        regions=("RegionOne",), accounts=[Account("admin", "changeme")]
    )
    uuids = [f"{number:08x}-0000-4000-8000-00000000000a" for number in range(count)]
    for number, uuid in enumerate(uuids):
        openstack.add("RegionOne", Instance(uuid, "app", project="shop"))
        if number % 50 == 0:
            openstack.terminate("RegionOne", uuid, time.time() - 86400)
    satellite = Satellite()
    with Server(openstack.handle) as osp, Server(satellite.handle) as foreman:
        (folder / "clouds.yaml").write_text(
            yaml.safe_dump(
                {
                    "clouds": {
                        "prod": {
                            "region_name": "RegionOne",
                            "auth": {
                                "auth_url": f"{osp.url}/v3",
                                "username": "admin",
                                "password": "changeme",
                                "project_name": "admin",
                                "user_domain_name": "Default",
                                "project_domain_name": "Default",
                            },
                        }
                    }
                }
            )
        )
        host = satellite.add(Host("osp-checker.example.com"))
        satellite.jobs.targets[host.id] = Process(
            folder,
            {
                "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
                "PYTHONPATH": "",
                "OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml"),
            },
        )
        list(publish(Client(Login(foreman.url, "admin", "changeme")), build()))
        common = {
            "clouds": [{"cloud": "prod", "regions": ["RegionOne"]}],
            "satellite": {
                "url": foreman.url,
                "username": "admin",
                "password": "changeme",
            },
        }
        job = {
            "job_template": "OSP - Check instances",
            "search": "name = osp-checker.example.com",
        }
        (folder / "bare.yml").write_text(yaml.safe_dump(common))
        (folder / "job.yml").write_text(yaml.safe_dump({**common, "checker": job}))
        (folder / "uuids").write_text("\n".join(uuids))
        print("ready", flush=True)
        sys.stdin.read()


def seconds(folder: Path, config: str) -> float:
    """The time of one check of all UUIDs; its result must be right."""
    began = time.perf_counter()
    with (folder / "uuids").open() as uuids:
        ran = subprocess.run(
            [*CHECK, "--config", str(folder / config), "check", "--output", "json"],
            stdin=uuids,
            stdout=subprocess.PIPE,
            check=False,
            env={**os.environ, "OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml")},
        )
    took = time.perf_counter() - began
    codes = [row["code"] for row in json.loads(ran.stdout)["sightings"]]
    assert (
        ran.returncode == 128
        and set(codes) == {200, 404}
        and codes.count(404) == -(-len(codes) // 50)
    )
    return took


def main(count: int = 10_000, runs: int = 5) -> None:
    """Time both in turns, and print a table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with subprocess.Popen(
            [sys.executable, __file__, "serve", str(count), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as servers:
            assert servers.stdout and servers.stdout.readline() == "ready\n"
            times: dict[str, list[float]] = {"bare.yml": [], "job.yml": []}
            for _ in range(runs):
                for config, durations in times.items():
                    durations.append(seconds(folder, config))
            assert servers.stdin
            servers.stdin.close()
    print(f"{count} UUIDs, {runs} runs      median    min    max  (s)")
    for label, config in (
        ("asked directly", "bare.yml"),
        ("asked by a job", "job.yml"),
    ):
        durations = times[config]
        print(
            f"{label:<24}{statistics.median(durations):10.2f}"
            f"{min(durations):7.2f}{max(durations):7.2f}"
        )
    over = statistics.median(times["job.yml"]) - statistics.median(times["bare.yml"])
    print(f"{'over the bare check':<24}{over:10.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main(*map(int, sys.argv[1:]))
