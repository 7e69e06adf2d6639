"""Both servers in a separate process, with as many hosts as a benchmark needs.

    python tests/bench/world.py HOSTS FOLDER

A third of the hosts are VMware guests, all others instances; there are as many servers as hosts.
FOLDER gets a configuration for these servers.  The commands are lines on standard input, each
answered with one line of JSON:

    spent       requests and CPU seconds since the last `spent`
    terminate   terminate the instances of two hosts in a hundred, and return how many
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import yaml
from sandbox.instances import Instance
from sandbox.openstack import Account, OpenStack
from sandbox.satellite import Host, Satellite
from sandbox.server import Server
from sandbox.world import guest_facts, registration

DAY = 86400.0
LOGIN = {"username": "admin", "password": "changeme"}


def is_foreign(number: int) -> bool:
    """Whether the host of that number is a VMware guest."""
    return number % 3 == 2


def uuid_of(number: int, foreign: bool = False) -> str:
    """The UUID of an instance, or of a VMware guest."""
    return f"{number:08x}-0000-4000-8000-{'f' if foreign else 'a':0>12}"


def terminated(count: int) -> list[int]:
    """The numbers of two hosts in a hundred, all of them instances."""
    return [number + is_foreign(number) for number in range(0, count, 50)]


def _serve(count: int, folder: Path) -> None:
    openstack, satellite = (
        OpenStack(regions=("RegionOne",), accounts=[Account("admin", "changeme")]),
        Satellite(),
    )
    now = time.time()
    for number in range(count):
        foreign = is_foreign(number)
        facts = guest_facts(
            uuid_of(number, foreign),
            **({"vendor": "VMware, Inc.", "product": "VMware7,1"} if foreign else {}),
        )
        satellite.add(
            Host(
                f"host{number}.example.com",
                facts=facts,
                subscription=registration(9 * DAY),
            )
        )
        openstack.add(
            "RegionOne",
            Instance(
                uuid_of(number),
                "app",
                project=f"project-{number % 50}",
                created=now - 99 * DAY,
                updated=now - 9 * DAY,
            ),
        )
    with Server(openstack.handle) as osp, Server(satellite.handle) as foreman:
        _write(folder, osp.url, foreman.url)

        def spent() -> dict[str, float]:
            requests = len(osp.requests) + len(foreman.requests)
            osp.requests.clear()
            foreman.requests.clear()
            used = time.process_time()
            cpu = used - spent.before  # type: ignore[attr-defined]
            spent.before = used  # type: ignore[attr-defined]
            return {"requests": requests, "cpu": cpu}

        def terminate() -> int:
            for number in terminated(count):
                openstack.terminate("RegionOne", uuid_of(number), now - DAY)
            return len(terminated(count))

        spent.before = time.process_time()  # type: ignore[attr-defined]
        commands: dict[str, Callable[[], Any]] = {
            "spent": spent,
            "terminate": terminate,
        }
        print("ready", flush=True)
        for line in sys.stdin:
            print(json.dumps(commands[line.strip()]()), flush=True)


def _write(folder: Path, osp: str, foreman: str) -> None:
    (folder / "clouds.yaml").write_text(
        yaml.safe_dump(
            {
                "clouds": {
                    "prod": {
                        "region_name": "RegionOne",
                        "auth": {
                            "auth_url": f"{osp}/v3",
                            **LOGIN,
                            "project_name": "admin",
                            "user_domain_name": "Default",
                            "project_domain_name": "Default",
                        },
                    }
                }
            }
        )
    )
    (folder / "config.yml").write_text(
        yaml.safe_dump(
            {
                "satellite": {"url": foreman, **LOGIN},
                "clouds": [{"cloud": "prod"}],
                "journal": str(folder / "journal.sqlite3"),
                "policy": {"max_fraction": 1.0, "max_deletions": 10_000_000},
            }
        )
    )
    (folder / "urls.json").write_text(
        json.dumps({"openstack": osp, "satellite": foreman})
    )


class World:
    """The process with the servers, and a way to send it commands."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, command: str) -> Any:
        """Send a command, and return the answer."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def running(count: int, folder: Path) -> Iterator[World]:
    """Run the process with that many hosts until the block ends."""
    with subprocess.Popen(
        [sys.executable, __file__, str(count), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the servers did not start")
        yield World(process)
        process.stdin.close()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), Path(sys.argv[2]))
