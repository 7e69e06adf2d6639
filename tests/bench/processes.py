"""Run whole processes and measure them, beside the servers that they ask."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Optional

from world import World

HERE = Path(__file__).parent
PROGRAM = [
    sys.executable,
    "-c",
    "from foreman_hooks.commands.main import entry_point; entry_point()",
]


class Ran(NamedTuple):
    """One process that ended: wall and CPU seconds, peak of memory in bytes, and its output.

    And what it cost the servers: all requests, those to Nova, whole host records that Satellite
    showed, and CPU seconds.
    """

    wall: float
    cpu: float
    peak: int
    out: str = ""
    requests: int = 0
    nova: int = 0
    records: int = 0
    served: float = 0.0


def run(command: list[str], world: Optional[World] = None, **environ: str) -> Ran:
    """Run a process until it ends; it must succeed."""
    if world:
        world.ask("spent")
    own = {
        name: text
        for name, text in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE"
    }
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**own, **environ}
    ) as process:
        assert process.stdout
        out = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{command[:3]} ended with {process.returncode}: {out}")
    ran = Ran(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, out)
    if not world:
        return ran
    spent = world.ask("spent")
    return ran._replace(
        requests=spent["requests"],
        nova=spent["nova"],
        records=spent["records"],
        served=spent["cpu"],
    )


def in_turns(times: int, *ways: Callable[[], Ran]) -> list[Ran]:
    """Run each of these so many times, in turns; for each the run whose time is in the middle."""
    ran = [[way() for way in ways] for _ in range(times)]
    return [sorted(runs)[len(runs) // 2] for runs in zip(*ran)]


class Fleet:
    """Runs the program against one world; `config`: the name of a configuration there."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder = folder
        self.world = world
        self._journal = folder / "journal"
        self._kept = folder / "kept"

    def command(self, *words: str, config: str = "config") -> Ran:
        """Run a command of the program."""
        program = [*PROGRAM, "--config", str(self.folder / f"{config}.yml")]
        clouds = str(self.folder / "clouds.yaml")
        return run([*program, *words], self.world, OS_CLIENT_CONFIG_FILE=clouds)

    def plan(self, config: str = "config") -> Ran:
        """Make a plan, as the first run of all."""
        shutil.rmtree(self._journal, ignore_errors=True)
        self._journal.mkdir()
        return self.command("plan", config=config)

    def first_run(self) -> Ran:
        """A full run with an empty journal, which is kept for the quick runs."""
        shutil.rmtree(self._journal, ignore_errors=True)
        self._journal.mkdir()
        ran = self.command("run", config="recent")
        shutil.copytree(self._journal, self._kept)
        return ran

    def quick_run(self) -> Ran:
        """A quick run, the first one after the full run."""
        shutil.rmtree(self._journal)
        shutil.copytree(self._kept, self._journal)
        return self.command("run", "--recent", config="recent")

    def replay(self) -> Ran:
        """The requests that were kept, once more; see replay.py."""
        command = [sys.executable, str(HERE / "replay.py"), str(self.folder)]
        return run(command, self.world)

    def bare_loop(self, *words: str) -> Ran:
        """The least work that gives an answer; see floor.py."""
        command = [sys.executable, str(HERE / "floor.py"), str(self.folder), *words]
        return run(command, self.world)


def has_command(name: str) -> bool:
    """Whether the program has that command."""
    return name in run([*PROGRAM, "--help"]).out.split()
