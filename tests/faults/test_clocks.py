"""The clocks of all three machines jump, at any request: ours, Satellite's, and OpenStack's."""

import itertools
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Callable, NamedTuple

import pytest
from conftest import Stage
from sandbox.server import Answer, Request

from .forked import Launcher
from .runs import Runs
from .scene import DOOMED, check_living, check_nothing_wrong, check_words
from .trials import SHARES, SOAK, chosen, try_all

LIBRARY = [
    *Path("/usr").glob("lib*/faketime/libfaketime.so.1"),  # of RPMs
    *Path("/usr").glob("lib/*/faketime/libfaketime.so.1"),
]
HOUR = 3600
JUMPS = [-365 * 24 * HOUR, -25 * HOUR, -HOUR, HOUR, 25 * HOUR, 365 * 24 * HOUR]
MACHINES = ["ours", "Satellite", "OpenStack"]
EVERY = 4  # so many requests, one is where they jump


class OurClock:
    """The clock of the command lines, which libfaketime shifts; other processes keep theirs.

    It reads a file each time that it is asked for the time.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.shift(0)
        variables = {
            "LD_PRELOAD": LIBRARY[0],
            "FAKETIME_TIMESTAMP_FILE": file,
            "FAKETIME_NO_CACHE": 1,
            "FAKETIME_DONT_FAKE_MONOTONIC": 1,
            "FAKETIME_FORCE_MONOTONIC_FIX": 0,  # otherwise, each thread takes 60 ms to start
        }
        words = [f"{name}={value}" for name, value in variables.items()]
        self.launcher = Launcher(["env", *words])

    def shift(self, seconds: int) -> None:
        """Set it so far ahead of the real time."""
        self._file.write_text(f"{seconds:+}")


@pytest.fixture(scope="module")
def our_clock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OurClock]:
    if not LIBRARY:
        pytest.skip("libfaketime is not installed")
    clock = OurClock(tmp_path_factory.mktemp("clock") / "shift")
    yield clock
    clock.launcher.close()


class Jump(NamedTuple):
    """These machines' clocks jump by so many seconds when that many requests were answered."""

    machines: tuple[str, ...]
    seconds: int
    after: int

    @property
    def is_time_travel(self) -> bool:
        """Nothing shows that it is not later now."""
        return len(self.machines) == len(MACHINES) and self.seconds > 0


class _Jumping:
    """Both servers, whose clocks jump; ours jumps when one of them is asked."""

    def __init__(self, stage: Stage, clock: OurClock, jump: Jump) -> None:
        self._clock = clock
        self._jump = jump
        self._count = itertools.count()
        stage.foreman.handle = self._handle("Satellite", stage.foreman.handle)
        stage.osp.handle = self._handle("OpenStack", stage.osp.handle)
        if jump.after == 0:
            self._shift_ours()

    def _shift_ours(self) -> None:
        if "ours" in self._jump.machines:
            self._clock.shift(self._jump.seconds)

    def _handle(
        self, name: str, handle: Callable[[Request], Answer]
    ) -> Callable[[Request], Answer]:
        def jumping(request: Request) -> Answer:
            answer = handle(request)
            number = next(self._count)
            if number < self._jump.after or name not in self._jump.machines:
                ahead = 0
            else:
                ahead = self._jump.seconds
            if number == self._jump.after:
                self._shift_ours()
            date = formatdate(time.time() + ahead, usegmt=True)
            return answer._replace(headers={**answer.headers, "Date": date})

        return jumping


def all_jumps(requests: int) -> list[Jump]:
    groups: list[tuple[str, ...]] = []
    for size in range(1, len(MACHINES) + 1):
        groups += itertools.combinations(MACHINES, size)
    return [
        Jump(*jump)
        for jump in itertools.product(groups, JUMPS, range(0, requests, EVERY))
    ]


@pytest.mark.parametrize("share", range(SHARES))
def test_clocks_that_jump_delete_no_living_machine_and_lose_nothing(
    stage: Stage, our_clock: OurClock, share: int
) -> None:
    """A record that waits may go early only if every clock says that its time has come."""
    our_clock.shift(0)
    runs = Runs(stage, our_clock.launcher, "run")

    def try_it(jump: Jump) -> None:
        runs.restore()
        _Jumping(stage, our_clock, jump)
        ended = runs.launcher.run(*runs.argv)
        our_clock.shift(0)
        stage.foreman.handle = stage.satellite.handle
        stage.osp.handle = stage.openstack.handle
        check_words(ended.code, ended.out, ended.err)
        assert "not finished" not in ended.err, "something waits for a time of day"
        if not jump.is_time_travel:
            check_nothing_wrong(stage)
            runs.finish()
            return
        check_living(stage)
        ended = runs.launcher.run("--config", runs.config, "run", "--apply")
        assert (ended.code, ended.err) == (0, "")
        check_living(stage)
        assert not stage.left & DOOMED

    jumps = all_jumps(len(runs.requests))
    # Here a record that waits would go, if nobody compared clocks.
    worst = [] if SOAK else [Jump(("ours",), 25 * HOUR, 0)]
    few = chosen(jumps, 5, share)
    try_all([*worst, *few], try_it)
