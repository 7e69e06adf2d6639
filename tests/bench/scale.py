"""Time, requests and memory of `plan` for large fleets, next to two other methods.

The other methods are a bare loop that checks nothing (floor.py), and the method of the first
article about this problem (one_by_one.py).

    python tests/bench/scale.py [--sizes 1000,10000,100000] [--runs 3] [--json FILE] [--note TEXT]

Whole processes are timed in turns, start-up included, and their medians compared; both servers run
in one separate process on loopback.  The time of that process is part of every figure, so it is
printed too.  Every run adds a line to history.jsonl next to this file.
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
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple, Optional

from world import World, running, uuid_of

HERE = Path(__file__).parent
HISTORY = HERE / "history.jsonl"
PLAN = [
    sys.executable,
    "-c",
    "from foreman_hooks.commands.main import entry_point; entry_point()",
]
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
MIB = 1024 * 1024


class Ran(NamedTuple):
    """One process that ended: wall and CPU seconds, peak of memory in bytes, output, requests."""

    wall: float
    cpu: float
    peak: int
    out: str
    requests: int = 0
    served: float = 0.0  # CPU seconds of the servers


def run(command: list[str], world: Optional[World] = None, **environ: str) -> Ran:
    """Run a process until it ends; it must succeed."""
    if world:
        world.ask("spent")
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={
            **{
                name: value
                for name, value in os.environ.items()
                if name != "PYTHONDONTWRITEBYTECODE"
            },
            **environ,
        },
    ) as process:
        assert process.stdout
        out = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{command[:3]} ended with {process.returncode}: {out}")
    spent = world.ask("spent") if world else {"requests": 0, "cpu": 0.0}
    return Ran(
        wall,
        used.ru_utime + used.ru_stime,
        used.ru_maxrss * 1024,
        out,
        spent["requests"],
        spent["cpu"],
    )


def median(runs: list[Ran]) -> Ran:
    """The run whose time is in the middle."""
    return sorted(runs)[len(runs) // 2]


def plan(folder: Path, *more: str) -> list[str]:
    """The command for a plan with an empty journal."""
    for file in folder.glob("journal*"):
        file.unlink()
    return [*PLAN, "--config", str(folder / "config.yml"), "plan", *more]


def measure(count: int, runs: int) -> dict[str, Any]:
    """All figures of one size."""
    with tempfile.TemporaryDirectory() as name, running(count, Path(name)) as world:
        folder, clouds = (
            Path(name),
            {"OS_CLIENT_CONFIG_FILE": str(Path(name) / "clouds.yaml")},
        )
        floor = [sys.executable, str(HERE / "floor.py"), name]
        run(floor, world)  # warms up both servers
        runs_of: dict[str, list[Ran]] = {
            "floor": [],
            "plan": [],
            "proof floor": [],
            "proof plan": [],
        }
        for _ in range(runs):
            runs_of["floor"].append(run(floor, world))
            runs_of["plan"].append(run(plan(folder), world, **clouds))
        assert (
            "100%" not in runs_of["plan"][0].out
            and " 0 to delete" in runs_of["plan"][0].out
        )
        dead = world.ask("terminate")
        for _ in range(runs):
            runs_of["proof floor"].append(run([*floor, "prove"], world))
            runs_of["proof plan"].append(run(plan(folder), world, **clouds))
        output = runs_of["proof plan"][0].out
        assert f" {dead} to delete" in output, output[-2000:]
        assert f"{dead} terminated" in runs_of["proof floor"][0].out
        middle = {kind: median(all_runs) for kind, all_runs in runs_of.items()}
        first_way = first_way_at(count, name)
    return {
        "hosts": count,
        "terminated": dead,
        "first_way": first_way,
        "bound": request_bound(count, 0),
        "proof_bound": request_bound(count, dead),
        **{
            kind.replace(" ", "_"): middle[kind]._replace(out="")._asdict()
            for kind in middle
        },
    }


def first_way_at(count: int, folder: str) -> Optional[float]:
    """Seconds that the first way would take for that many hosts, estimated from a few."""
    command = [sys.executable, str(HERE / "one_by_one.py"), folder]
    if count not in SAMPLE:
        return None
    some = run(
        [
            *command,
            *(f"host{number * 3}.example.com" for number in range(SAMPLE[count])),
        ]
    ).wall
    nothing = run(command).wall
    return nothing + (some - nothing) / SAMPLE[count] * count


def request_bound(count: int, leftovers: int) -> int:
    """The most requests that a plan may need."""
    return 3 * math.ceil(count / 1000) + math.ceil(count / 1000) + 4 * leftovers + 20


def start_up(runs: int) -> dict[str, float]:
    """Seconds until the short commands are done."""
    with tempfile.TemporaryDirectory() as name, running(100, Path(name)) as world:
        folder = Path(name)
        clouds = {"OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml")}
        commands = {
            "import click": [sys.executable, "-c", "import click"],
            "--help": [*PLAN, "--help"],
            "event": [
                *PLAN,
                "event",
                "host_created",
                "--spool",
                str(folder / "spool"),
                "host1.example.com",
            ],
            "bare check": [sys.executable, str(HERE / "bare_check.py"), uuid_of(0)],
            "check": [
                *PLAN,
                "--config",
                str(folder / "config.yml"),
                "check",
                uuid_of(0),
            ],
        }
        times: dict[str, list[float]] = {label: [] for label in commands}
        for _ in range(2 * runs + 1):
            for label, command in commands.items():
                times[label].append(run(command, world, **clouds).wall)
    return {
        label: statistics.median(durations[1:]) for label, durations in times.items()
    }


def table(sizes: list[dict[str, Any]], short: dict[str, float], idle: int) -> str:
    """All figures as a table for people."""
    lines = [
        f"{'hosts':<10}{'terminated':<12}{'what':<24} wall s  ratio  CPU s  servers' CPU s"
        "  requests (bound)  peak MiB"
    ]

    def line(
        size: dict[str, Any], kind: str, label: str, ratio: str, bound: str = ""
    ) -> str:
        ran = size[kind]
        dead = size["terminated"] if "proof" in kind else 0
        return (
            f"{size['hosts']:<10}{dead:<12}{label:<24}{ran['wall']:7.2f}{ratio:>7}{ran['cpu']:7.2f}"
            f"{ran['served']:16.2f}{ran['requests']:10}{bound:>8}{ran['peak'] / MIB:10.0f}"
        )

    for size in sizes:
        for kind, bound in (("", size["bound"]), ("proof_", size["proof_bound"])):
            ratio = size[f"{kind}plan"]["wall"] / size[f"{kind}floor"]["wall"]
            lines += [
                line(size, f"{kind}floor", "bare loop", ""),
                line(size, f"{kind}plan", "plan", f"{ratio:.2f}", f"({bound})"),
            ]
        if size["first_way"]:
            lines.append(
                f"{size['hosts']:<10}{'':12}{'one by one (estimated)':<24}{size['first_way']:7.0f}"
                f"{size['first_way'] / size['proof_plan']['wall']:7.0f}"
            )
    lines += [
        "",
        f"memory: an idle interpreter with the same imports {idle / MIB:.0f} MiB",
    ]
    for small, large in zip(sizes, sizes[1:]):
        grown = (large["plan"]["peak"] - small["plan"]["peak"]) / (
            large["hosts"] - small["hosts"]
        )
        lines.append(
            f"        {small['hosts']} to {large['hosts']} hosts: {grown:.0f} bytes a host"
        )
    lines += [
        "",
        "start-up, s",
        *(f"  {label:<14}{seconds:6.3f}" for label, seconds in short.items()),
        f"  --help / click {short['--help'] / short['import click']:.2f}, "
        f"event / click {short['event'] / short['import click']:.2f}, "
        f"check / bare check {short['check'] / short['bare check']:.2f}",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print the figures, and write them to the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("build/bench.json"),
        help="default: build/bench.json",
    )
    parser.add_argument(
        "--note", default="", help="a note for this run in history.jsonl"
    )
    options = parser.parse_args()
    sizes = [measure(int(count), options.runs) for count in options.sizes.split(",")]
    short = start_up(options.runs)
    idle = run([sys.executable, "-c", IDLE]).peak
    print(table(sizes, short, idle))
    commit = subprocess.run(
        ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    whole = {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit,
        "note": options.note,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "sizes": sizes,
        "start_up": short,
        "idle": idle,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    with HISTORY.open("a", encoding="utf-8") as history:
        history.write(json.dumps(whole) + "\n")


if __name__ == "__main__":
    main()
