"""Time, requests and memory of plans and quick runs for large fleets, next to two other methods.

The other methods are a bare loop that checks nothing (floor.py), and the method of the first
article about this problem (one_by_one.py).

    python tests/bench/scale.py [--sizes 1000,10000,100000] [--quick 1000000] [--runs 3]
                                [--json FILE] [--note TEXT]

Whole processes are timed in turns, start-up included, and their medians compared; both servers run
in one separate process on loopback.  The time of that process is part of every figure, so it is
printed too.  Every run adds a line to history.jsonl next to this file; tables.py prints them.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional

from processes import HERE, PROGRAM, Fleet, Ran, has_command, in_turns, run
from tables import for_people
from world import running, uuid_of

from foreman_hooks.commands.check import LIST_FROM

HISTORY = HERE / "history.jsonl"
# Everything that a plan has loaded before its first request.
IDLE = (
    "from foreman_hooks.commands.process import run_and_exit\n"
    "def load():\n"
    "    import foreman_hooks.commands.run, openstack.config\n"
    "    import keystoneauth1.identity, novaclient.client\n"
    "    return 0\n"
    "run_and_exit(load)"
)
# Number of hosts -> on how many of them to try the first way; larger fleets are left out.
SAMPLE = {1_000: 20, 10_000: 4, 100_000: 1}
LARGE = 100_000  # hosts; what is measured only there takes too long otherwise, or shows nothing
LATELY = 20  # instances that were deleted since the full run, for a quick run


@contextmanager
def fleet_of(count: int) -> Iterator[Fleet]:
    """A fleet of that many hosts, all alive."""
    with tempfile.TemporaryDirectory() as name, running(count, Path(name)) as world:
        yield Fleet(Path(name), world)


def measure(count: int, runs: int) -> dict[str, Any]:
    """All figures of one size."""
    dead = count // 50
    with fleet_of(count) as fleet:
        fleet.bare_loop()  # warms up both servers
        floor, plan = in_turns(runs, fleet.bare_loop, fleet.plan)
        assert "100%" not in plan.out and " 0 to delete" in plan.out, plan.out[-2000:]
        figures = {"floor": floor, "plan": plan}
        if count >= LARGE:
            figures.update(slow_nova(fleet))
            figures.update(states(fleet, runs))
        figures.update(quick_run(fleet, runs))
        fleet.world.ask("terminate", dead - LATELY, 24)
        figures.update(proofs(fleet, runs, dead))
        first_way = first_way_at(count, fleet)
    return {
        "hosts": count,
        "terminated": dead,
        "first_way": first_way,
        "bound": request_bound(count, 0),
        "proof_bound": request_bound(count, dead),
        **as_json(figures),
    }


def as_json(figures: dict[str, Ran]) -> dict[str, Any]:
    """The figures without the output of the processes."""
    return {kind: ran._replace(out="")._asdict() for kind, ran in figures.items()}


def slow_nova(fleet: Fleet) -> dict[str, Ran]:
    """A check with four workers that reads the list, of a Nova that takes a second for each page.

    One reader would take as many seconds as there are pages.
    """
    uuids = [uuid_of(number) for number in range(LIST_FROM)]
    fleet.world.ask("slow", 1)
    check = fleet.command("check", *uuids, config="four")
    fleet.world.ask("slow", 0)
    return {"slow_list": check}


def states(fleet: Fleet, runs: int) -> dict[str, Ran]:
    """What OpenStack says of every host; nothing in a version without that command."""
    if not has_command("states"):
        return {}
    (ran,) = in_turns(runs, lambda: fleet.command("states"))
    return {"states": ran}


def quick_run(fleet: Fleet, runs: int) -> dict[str, Ran]:
    """A full run, and quick runs after a few instances were deleted."""
    first = fleet.first_run()
    fleet.world.ask("terminate", LATELY, 0)
    (quick,) = in_turns(runs, fleet.quick_run)
    assert f" {LATELY} to delete" in quick.out, quick.out[-2000:]
    return {"first_run": first, "quick": quick}


def proofs(fleet: Fleet, runs: int, dead: int) -> dict[str, Ran]:
    """Two in a hundred instances are terminated, long enough ago or (`waiting`) not yet."""
    floor, plan = in_turns(
        runs, lambda: fleet.bare_loop("prove"), lambda: fleet.plan("recent")
    )
    assert f"{dead} terminated" in floor.out, floor.out
    assert f" {dead} to delete" in plan.out, plan.out[-2000:]
    fleet.plan("recent")
    fleet.world.ask("keep")
    (replay,) = in_turns(runs, fleet.replay)
    (waiting,) = in_turns(1, lambda: fleet.plan("waiting"))
    assert " 0 to delete" in waiting.out, waiting.out[-2000:]
    return {
        "proof_floor": floor,
        "proof_plan": plan,
        "replay": replay,
        "waiting_plan": waiting,
    }


def first_way_at(count: int, fleet: Fleet) -> Optional[float]:
    """Seconds that the first way would take for that many hosts, estimated from a few."""
    command = [sys.executable, str(HERE / "one_by_one.py"), str(fleet.folder)]
    if count not in SAMPLE:
        return None
    hosts = [f"host{number * 3}.example.com" for number in range(SAMPLE[count])]
    some = run([*command, *hosts]).wall
    nothing = run(command).wall
    return nothing + (some - nothing) / SAMPLE[count] * count


def request_bound(count: int, leftovers: int) -> int:
    """The most requests that a plan may need."""
    pages = math.ceil(count / 1000)
    return 3 * pages + pages + 4 * leftovers + 20


def start_up(runs: int) -> dict[str, float]:
    """Seconds until the short commands are done."""
    with fleet_of(100) as fleet:
        config = ["--config", str(fleet.folder / "config.yml")]
        spool = ["--spool", str(fleet.folder / "spool")]
        clouds = {"OS_CLIENT_CONFIG_FILE": str(fleet.folder / "clouds.yaml")}
        bare_check = str(HERE / "bare_check.py")
        commands = {
            "import click": [sys.executable, "-c", "import click"],
            "--help": [*PROGRAM, "--help"],
            "event": [*PROGRAM, "event", "host_created", *spool, "host1.example.com"],
            "bare check": [sys.executable, bare_check, uuid_of(0)],
            "check": [*PROGRAM, *config, "check", uuid_of(0)],
        }
        times: dict[str, list[float]] = {label: [] for label in commands}
        for _ in range(2 * runs + 1):
            for label, command in commands.items():
                times[label].append(run(command, fleet.world, **clouds).wall)
    return {
        label: statistics.median(durations[1:]) for label, durations in times.items()
    }


def one_quick_run(count: int, runs: int) -> dict[str, Any]:
    """The figures of a quick run in a fleet of that size."""
    with fleet_of(count) as fleet:
        return {"hosts": count, **as_json(quick_run(fleet, runs))}


def commit() -> str:
    """The commit that is measured."""
    command = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.stdout.strip()


def options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--quick", type=int, default=1_000_000, help="0: leave it out")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--note", default="", help="for this run in history.jsonl")
    return parser.parse_args()


def main() -> None:
    """Measure, print the figures, and write them to the files."""
    given = options()
    sizes = [measure(int(count), given.runs) for count in given.sizes.split(",")]
    quick = [one_quick_run(given.quick, given.runs)] if given.quick else []
    whole = {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "note": given.note,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "sizes": sizes,
        "quick": quick,
        "start_up": start_up(given.runs),
        "idle": run([sys.executable, "-c", IDLE]).peak,
    }
    print(for_people(whole))
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    with HISTORY.open("a", encoding="utf-8") as history:
        history.write(json.dumps(whole) + "\n")


if __name__ == "__main__":
    main()
