"""The fleet that every fault meets, what must become of it, and what must never.

Living machines of every kind stand beside terminated ones, so that a fault which makes something
look gone has something to delete.
"""

import copy
import re
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, Optional

from conftest import Stage
from sandbox.openstack import Account, OpenStack
from sandbox.satellite import Satellite, User
from sandbox.server import Server
from sandbox.world import World, guest_facts

from foreman_hooks.osp_checker.uuids import swap_bytes

from .trials import WrongDeletionError

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SILENT = 9 * DAY.total_seconds()
ACCOUNTS = [Account("admin", "changeme")]

LIVING = {"witness", "talks", "off", "shelved", "swapped", "soft-deleted", "reborn"}
WAITING = {"fresh", "absent", "unknown-cloud"}
DOOMED = {"dead", "twin-1", "twin-2"}


def build(stage: Stage) -> None:
    """A new world behind the two servers of the stage, and a new journal."""
    stage.satellite = Satellite(users=[User("admin", "changeme")])
    stage.openstack = OpenStack(regions=("RegionOne",), accounts=ACCOUNTS)
    stage.world = World(stage.satellite, stage.openstack, {})
    stage.foreman.handle = stage.satellite.handle
    stage.osp.handle = stage.openstack.handle
    for server in (stage.foreman, stage.osp):
        server.faults.clear()
        server.requests.clear()
    for file in stage.folder.glob("journal*"):
        file.unlink()
    _add_living(stage)
    _add_others(stage)
    stage.foreman.requests.clear()
    stage.osp.requests.clear()


def _add_living(stage: Stage) -> None:
    stage.host("witness")
    stage.host("talks")
    stage.host("off", server="SHUTOFF", checked_in=SILENT)
    stage.host("shelved", server="SHELVED_OFFLOADED", checked_in=SILENT)
    stage.host("soft-deleted", server="SOFT_DELETED", checked_in=SILENT)
    uuid = stage.host("swapped", checked_in=SILENT)
    host_named(stage, "swapped").facts = guest_facts(swap_bytes(uuid))
    # Its server was deleted and made again from the same disk: the machine checks in.
    stage.terminated("reborn", 2 * DAY, HOUR)


def _add_others(stage: Stage) -> None:
    stage.terminated("dead")
    uuid = stage.terminated("twin-1")
    stage.host("twin-2", server=None, facts=guest_facts(uuid), checked_in=SILENT)
    stage.terminated("fresh", ago=HOUR, checked_in=2 * HOUR)
    stage.archived("absent")
    stage.vanished("unknown-cloud")


def host_named(stage: Stage, name: str) -> Any:
    """The double's record with that short name."""
    for host in stage.satellite.hosts.values():
        if host.name.split(".")[0] == name:
            return host
    raise KeyError(name)


class Snapshot:
    """The world and the journal as they are now, which can be had again and again.

    Takes 2 ms; `build` takes 90.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._doubles = _copy(stage.satellite), _copy(stage.openstack)
        journal = stage.folder.glob("journal*")
        self._files = {file: file.read_bytes() for file in journal}

    def restore(self) -> None:
        """Put them back; nothing was requested yet, and nothing fails."""
        stage = self._stage
        stage.satellite, stage.openstack = map(_copy, self._doubles)
        stage.foreman.handle = stage.satellite.handle
        stage.osp.handle = stage.openstack.handle
        for server in servers(stage).values():
            server.faults.clear()
            server.requests.clear()
        remove(*stage.folder.glob("journal*"))
        for file, content in self._files.items():
            file.write_bytes(content)
            file.chmod(0o600)


def _copy(double: Any) -> Any:
    """A copy with the same lock, since locks cannot be copied."""
    locks = [getattr(double, name, None) for name in ("lock", "_lock")]
    return copy.deepcopy(double, {id(lock): lock for lock in locks if lock})


def remove(*paths: Path) -> None:
    """Remove files and folders, if they are there."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


class Target(NamedTuple):
    """One request of a run: which server gets it, its line, and how many equal ones come before."""

    server: str
    line: str
    earlier: int

    def __str__(self) -> str:
        return f"{self.server}: {self.line[:70]} #{self.earlier + 1}"


_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d")


def targets(stage: Stage) -> list[Target]:
    """The requests that both servers have had, without those that differ in every run."""
    found: list[Target] = []
    for name, server in servers(stage).items():
        counts: dict[str, int] = {}
        for request in server.requests:
            line = _TIME.sub("TIME", request.line)
            found.append(Target(name, line, counts.get(line, 0)))
            counts[line] = counts.get(line, 0) + 1
    return found


def servers(stage: Stage) -> dict[str, Server]:
    """Name -> server."""
    return {"Satellite": stage.foreman, "OpenStack": stage.osp}


def pattern(target: Target) -> str:
    """The regular expression that matches the request."""
    return "^" + re.escape(target.line).replace("TIME", _TIME.pattern) + "$"


# What must be true


def check_nothing_wrong(stage: Stage) -> None:
    """No living machine's record went, nor one that has to wait; the journal agrees."""
    check_kept(stage)
    left = stage.left
    on_file = results_on_file(stage)
    gone = DOOMED - left
    assert gone <= on_file.keys(), f"gone without a line: {gone - on_file.keys()}"
    for name in gone:
        assert on_file[name] in ("deleted", None), f"{name} is gone: {on_file[name]}"
    for name, result in on_file.items():
        assert result != "deleted" or name not in left, f"{name} is still there"


def check_living(stage: Stage) -> None:
    """No living machine's record went."""
    if not stage.left >= LIVING:
        gone = LIVING - stage.left
        raise WrongDeletionError(f"a living machine's record went: {gone}")


def check_kept(stage: Stage) -> None:
    """No living machine's record went, nor one that has to wait."""
    check_living(stage)
    if not stage.left >= WAITING:
        gone = WAITING - stage.left
        raise WrongDeletionError(f"a record went too early: {gone}")


def results_on_file(stage: Stage) -> dict[str, Optional[str]]:
    """Short name -> result of its last deletion in the journal; None while nobody knows."""
    path = stage.folder / "journal.sqlite3"
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path)) as database:
        try:
            rows = database.execute(
                "SELECT name, result FROM deletions ORDER BY id"
            ).fetchall()
        except sqlite3.OperationalError:  # killed before the tables were made
            return {}
    return {name.split(".")[0]: result for name, result in rows}


def check_words(code: int, out: str, err: str) -> None:
    """The exit code and the lines fit together, and no error is one of ours."""
    assert "Traceback" not in out + err
    assert "internal error" not in err
    lines = [line for line in err.splitlines() if not line.startswith("WARNING ")]
    assert (code == 0) == (lines == []), (code, err)
    reasons = ("error: ", "refused: ", "needs an approval: ", "needs attention: ")
    assert not lines or lines[0].startswith(reasons), err


def check_all_done(stage: Stage, code: int, err: str) -> None:
    """After a run without a fault: all that may go is gone, and nothing else."""
    assert (code, err) == (0, "")
    assert stage.left == LIVING | WAITING
    assert {results_on_file(stage)[name] for name in DOOMED} == {"deleted"}
