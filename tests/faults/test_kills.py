"""Runs that are killed or interrupted at any point: nothing goes wrong, and nothing is lost.

Points are: before a server acts on a request, after it did, before and after each call of the
journal, and within each of its statements.
"""

import signal
from collections.abc import Sequence
from typing import NamedTuple, Union

import pytest

from .forked import Ended
from .runs import KINDS, Runs, of_each_kind, send
from .scene import Target, check_nothing_wrong, check_words
from .trials import SHARES, SOAK, chosen, try_all

INTERRUPTED = ["run"]  # the other kinds share its code
FEW = 2  # points in the short form, of each kind of run: anywhere, and as many near a deletion


class Point(NamedTuple):
    """Where a run is struck, and by which signal.

    `where`: a request (`when`: before, after), or the number of a point of its journal.
    """

    where: Union[Target, int]
    when: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} {self.when} {self.where}"

    @property
    def is_near_a_deletion(self) -> bool:
        if isinstance(self.where, Target):
            return self.where.line.startswith("DELETE")
        return "INSERT INTO deletions" in self.when or "UPDATE deletions" in self.when

    @property
    def is_after_a_deletion(self) -> bool:
        is_kill = self.name == "SIGKILL" and self.when == "after"
        return is_kill and str(self.where).startswith("Satellite: DELETE")


def all_points(runs: Runs, name: str) -> list[Point]:
    points = [
        Point(target, when, name)
        for target in runs.requests
        for when in ("before", "after")
    ]
    for number, label in enumerate(runs.points):
        # A handler of Python's would run within sqlite3's own callback, which drops what it raises.
        if name == "SIGKILL" or not label.startswith("within"):
            points.append(Point(number, label, name))
    return points


def interruptions(runs: Runs) -> list[Point]:
    """Each point with one of two signals that do the same here, before and after in turn."""
    points = []
    pairs = zip(all_points(runs, "SIGTERM"), all_points(runs, "SIGINT"))
    for number, (terminated, interrupted) in enumerate(pairs):
        is_even = (number + number // 2) % 2 == 0
        points.append(terminated if is_even else interrupted)
    return points


def some(points: Sequence[Point], share: int, kind: str) -> Sequence[Point]:
    """All points in the long form, else a few, also near a deletion."""
    few = chosen(points, FEW, share, kind)
    if SOAK:
        return few
    near = [point for point in points if point.is_near_a_deletion]
    # The worst moment: the record is gone, and nobody knows yet.
    worst = [point for point in near if point.is_after_a_deletion]
    return [*few, *chosen(near, FEW, share, kind), worst[0]]


def struck(runs: Runs, point: Point) -> Ended:
    if isinstance(point.where, Target):
        act = send(getattr(signal, point.name))
        return runs.run_struck(point.where, point.when, act)
    ended = runs.launcher.run(
        *runs.argv, at=point.where, action=point.name, file=str(runs.journal)
    )
    assert ended.points == [point.when], "the point was never reached"
    return ended


def check_end(ended: Ended, name: str) -> None:
    if name == "SIGKILL":
        assert ended.code == -9
        return
    assert ended.code == 130
    check_words(ended.code, ended.out, ended.err.lstrip())  # click ends the line of ^C
    assert ended.err.strip().startswith("error: interrupted; ")
    assert ended.err.strip().count("\n") == 0


@of_each_kind(*KINDS)
@pytest.mark.parametrize("share", range(SHARES))
def test_a_run_that_ends_anywhere_deletes_no_living_machine_and_loses_nothing(
    runs: Runs, share: int
) -> None:
    points = all_points(runs, "SIGKILL")
    if runs.kind in INTERRUPTED:
        points += interruptions(runs)

    def try_it(point: Point) -> None:
        runs.restore()
        ended = struck(runs, point)
        check_nothing_wrong(runs.stage)
        check_end(ended, point.name)
        runs.finish()

    try_all(some(points, share, runs.kind), try_it)
