"""Full disks, and everything that can happen to the journal: before a run, and during it."""

import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import Stage

from .forked import ACTIONS, NOBODY, REMOVALS, Ended, Launcher
from .runs import Runs, of_each_kind, send
from .scene import (
    DOOMED,
    LIVING,
    WAITING,
    Target,
    check_kept,
    check_nothing_wrong,
    check_words,
    remove,
    results_on_file,
)
from .trials import SEED, SHARES, SOAK, chosen, note, try_all

STEP = 512  # bytes, a sector: the smallest part of a file that SQLite writes
LOST = {"emptied", "overwritten"}  # the lines that were in the journal are gone
OBSTACLES = {
    "replaced by a folder",
    "replaced by a link",
    "replaced by another's file",
}
EVERY = 3  # so many writes of a run, one is where each of these happens
DURING = [name for name in ACTIONS if not name.startswith("SIG")]


def check_error(ended: Ended) -> None:
    """The run failed because of its journal, and every line is an error."""
    check_words(ended.code, ended.out, ended.err)
    assert ended.code in (1, 70), ended
    lines = ended.err.splitlines()
    assert all(line.startswith("error: ") for line in lines)
    assert any("journal.sqlite3: " in line for line in lines)


def start_over(runs: Runs) -> None:
    """Move the journal away, as the message says, and run to the end."""
    remove(runs.journal, *runs.stage.folder.glob("journal*"))
    ended = runs.launcher.run("--config", runs.config, "run", "--apply")
    assert (ended.code, ended.err) == (0, "")
    assert runs.stage.left == LIVING | WAITING


# Full disks


@of_each_kind("first run", "apply")
@pytest.mark.parametrize("share", range(SHARES))
def test_a_disk_that_is_full_at_any_size_loses_nothing(runs: Runs, share: int) -> None:
    """Killed as well: by the kernel, within a write."""
    size = runs.journal.stat().st_size + 8 * STEP
    cases = [(limit, dies) for limit in range(0, size, STEP) for dies in (False, True)]

    def try_it(case: tuple[int, bool]) -> None:
        runs.restore()
        ended = runs.launcher.run(*runs.argv, limit=case[0], dies_at_limit=case[1])
        check_nothing_wrong(runs.stage)
        if ended.code == -25:
            assert case[1]
        elif ended.code:
            check_error(ended)
        runs.finish()

    try_all(chosen(cases, 3, share, runs.kind), try_it)


# During a run


def writes(label: str) -> bool:
    """Whether a point is before or after a call of the journal that writes."""
    when, *words = label.split()
    return when != "within" and words[0] not in ("SELECT", "PRAGMA")


def lines_before(points: Sequence[str]) -> int:
    """How many deletions had their line in the journal when these points were passed."""
    count = 0
    is_written = False
    for label in points:
        if label.startswith("after INSERT INTO deletions"):
            is_written = True
        elif label == "after commit" and is_written:
            count += 1
            is_written = False
    return count


@of_each_kind("run", "quick run")
@pytest.mark.parametrize("share", range(SHARES))
def test_whatever_happens_to_the_journal_during_a_run_nothing_goes_without_a_line(
    runs: Runs, share: int
) -> None:
    """And the run after it says what is in its place, if that is not a journal."""

    def try_it(case: tuple[str, int]) -> None:
        action, number = case
        runs.restore()
        file = str(runs.journal)
        ended = runs.launcher.run(*runs.argv, at=number, action=action, file=file)
        assert len(ended.points) == 1
        if action in REMOVALS:
            sent = [r for r in runs.stage.foreman.requests if r.method == "DELETE"]
            assert len(sent) <= lines_before(runs.points[:number])
        if ended.code:
            check_error(ended)
        if action in LOST:
            check_kept(runs.stage)
            start_over(runs)
            return
        if action in OBSTACLES:
            check_error(runs.launcher.run(*runs.argv))
        runs.put_back()
        check_nothing_wrong(runs.stage)
        runs.finish()

    numbers = [number for number, label in enumerate(runs.points) if writes(label)]
    cases: list[tuple[str, int]] = []
    for offset, action in enumerate(DURING):
        cases += [(action, number) for number in numbers[offset % EVERY :: EVERY]]
    worst: list[tuple[str, int]] = []
    if not SOAK:  # the line of a deletion is not on the disk yet
        number = next(n for n in numbers if "after INSERT INTO del" in runs.points[n])
        worst = [("moved away", number), ("disk full", number)]
    few = chosen(cases, 2, share, runs.kind)
    try_all([*worst, *few], try_it)


# Damage


@pytest.fixture
def used(stage: Stage, launcher: Launcher) -> Runs:
    """A run after one that was killed when its first record was gone: something of everything."""
    runs = Runs(stage, launcher, "run")
    (delete,) = (
        target for target in runs.requests if target.line == "DELETE /api/hosts/8"
    )
    runs.restore()
    runs.run_struck(delete, "after", send(9))
    runs.keep()
    return runs


def flipped(content: bytearray, pick: random.Random) -> None:
    for _ in range(pick.choice([1, 4, 64])):
        content[pick.randrange(len(content))] ^= 1 << pick.randrange(8)


def cut_off(content: bytearray, pick: random.Random) -> None:
    del content[pick.randrange(len(content)) :]


def zeroed(content: bytearray, pick: random.Random) -> None:
    offset = pick.randrange(len(content)) // 4096 * 4096
    content[offset : offset + 4096] = bytes(4096)


def garbled(content: bytearray, pick: random.Random) -> None:
    offset = pick.randrange(len(content)) // STEP * STEP
    content[offset : offset + STEP] = pick.randbytes(STEP)


def swapped(content: bytearray, pick: random.Random) -> None:
    """Two pages, but not the first one."""
    pages = range(4096, len(content), 4096)
    one, other = pick.sample(pages, 2)
    first, second = content[one : one + 4096], content[other : other + 4096]
    content[one : one + 4096], content[other : other + 4096] = second, first


def lengthened(content: bytearray, pick: random.Random) -> None:
    content += pick.randbytes(pick.randrange(1, 9000))


DAMAGES = [flipped, cut_off, zeroed, garbled, swapped, lengthened]


@pytest.mark.parametrize("share", range(SHARES))
def test_a_journal_that_is_damaged_at_random_deletes_no_living_machine(
    used: Runs, share: int
) -> None:
    """Either the run works, or it says in one line what to do; and that helps."""

    def try_it(case: int) -> None:
        used.restore()
        content = bytearray(used.journal.read_bytes())
        pick = random.Random(case)
        DAMAGES[case % len(DAMAGES)](content, pick)
        used.journal.write_bytes(content)
        ended = used.launcher.run(*used.argv)
        check_kept(used.stage)
        if ended.code == 70:
            check_error(ended)
            assert "start over" in ended.err
        else:
            check_words(ended.code, ended.out, ended.err)
        if ended.code:
            start_over(used)

    count = 1200 if SOAK else len(DAMAGES)
    cases = range(SEED * 1_000_000, SEED * 1_000_000 + count)
    try_all(chosen(cases, count, share), try_it)


VALUES = [
    None,
    "",
    "x",
    "2026-11-26T00:00:00",
    "[]",
    0,
    -1,
    1.5,
    2**63 - 1,
    b"\xff\x00",
    b"",
]


def columns(file: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute(
            "SELECT tables.name, columns.name FROM sqlite_master AS tables "
            "JOIN pragma_table_info(tables.name) AS columns WHERE tables.type = 'table' "
            "ORDER BY 1, 2"
        ).fetchall()


def put(file: Path, table: str, column: str, value: object) -> bool:
    """Put a value into one column of every row; whether SQLite accepts that."""
    with closing(sqlite3.connect(file)) as database, suppress(sqlite3.Error), database:
        changed = database.execute(f"UPDATE {table} SET {column} = ?", (value,))
        return changed.rowcount > 0
    return False


COMMANDS = [
    ["run", "--apply"],
    ["run", "--recent", "--apply"],
    ["run", "--news"],
    ["status"],
    ["history", "list"],
]


@pytest.mark.parametrize("share", range(SHARES))
def test_a_row_of_a_wrong_type_is_named_or_does_not_matter(
    used: Runs, share: int
) -> None:
    used.restore()
    fields = columns(used.journal)
    assert len(fields) > 60
    cases = [
        (field, value, command)
        for field in fields
        for value in VALUES
        for command in COMMANDS
    ]

    def try_it(case: tuple[tuple[str, str], Any, list[str]]) -> bool:
        field, value, command = case
        used.restore()
        if not put(used.journal, *field, value):
            return False
        ended = used.launcher.run("--config", used.config, *command)
        check_kept(used.stage)
        check_words(ended.code, ended.out, ended.err)
        if ended.code == 70:
            assert "start over" in ended.err, ended.err
        return True

    worst = [(("servers", "count"), "[]", ["run", "--recent", "--apply"])]
    few = chosen(cases, 6, share)
    try_all(few if SOAK else [*worst, *few], try_it)


# Two runs


@pytest.mark.parametrize("share", range(SHARES))
def test_a_second_run_is_turned_away_whenever_it_starts(
    stage: Stage, launcher: Launcher, share: int
) -> None:
    """Also if everything beside the journal was removed: it is its own lock."""
    runs = Runs(stage, launcher, "run")
    second: list[Ended] = []

    def start_another(pid: int) -> None:
        remove(*set(stage.folder.glob("journal*")) - {runs.journal})
        second.append(launcher.run(*runs.argv))

    def try_it(target: Target) -> None:
        runs.restore()
        ended = runs.run_struck(target, "before", start_another)
        assert (ended.code, ended.err) == (0, "")
        other = second.pop()
        assert other.code == 75
        assert other.err.startswith("error: another run holds the journal ")
        check_nothing_wrong(stage)
        assert {results_on_file(stage)[name] for name in DOOMED} == {"deleted"}
        deletes = [r for r in stage.foreman.requests if r.method == "DELETE"]
        assert len(deletes) == len(DOOMED)

    try_all(chosen(runs.requests, 2, share), try_it)


# Read-only, and disks with an end


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that a user without rights can use; pytest's are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


@pytest.mark.parametrize("what", ["the file", "its folder"])
def test_a_journal_that_may_not_be_written_deletes_nothing_until_it_may(
    stage: Stage, launcher: Launcher, open_folder: Path, what: str
) -> None:
    stage.folder = open_folder
    stage.use_cloud()
    for name in ("HOME", "XDG_CONFIG_HOME"):
        stage.monkeypatch.setenv(name, str(open_folder))
    runs = Runs(stage, launcher, "run")
    runs.restore()
    files = [open_folder, *open_folder.iterdir()]
    for file in files if os.geteuid() == 0 else ():
        os.chown(file, NOBODY, NOBODY)
    protected = runs.journal if what == "the file" else open_folder
    protected.chmod(0o444 if what == "the file" else 0o555)
    ended = launcher.run(*runs.argv, as_nobody=True)
    check_error(ended)
    assert stage.left >= DOOMED
    protected.chmod(0o700)
    for file in files:
        os.chown(file, os.geteuid(), -1)
    runs.finish()
    note(1)


def mounted(folder: Path, options: str) -> bool:
    words = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if os.geteuid() != 0 or not shutil.which("mount"):
        return False
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, with room for 32 pages."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mounted(folder, "size=256k"):
        pytest.skip("only root can mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_file_system_without_room_or_without_writing_loses_nothing(
    stage: Stage, launcher: Launcher, small_disk: Path
) -> None:
    """A real one: other errors than those of a limit."""
    stage.folder = small_disk
    stage.use_cloud()
    runs = Runs(stage, launcher, "run")

    def try_it(room: int) -> None:
        """So many bytes are free; -1: it is read-only."""
        runs.restore()
        filler = small_disk / "filler"
        if room < 0:
            subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        else:
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            filler.write_bytes(bytes(max(0, free - room)))
        ended = launcher.run(*runs.argv)
        if room < 0:
            subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        remove(filler)
        check_nothing_wrong(stage)
        if ended.code:
            check_error(ended)
        assert ended.code != 0 or room > 0
        runs.finish()

    rooms = [-1, *range(0, 65536, 4096)]
    try_all([-1, 0, *chosen(rooms, 2)], try_it)
