"""Bring a machine to the state that `schedule_files` describes: first plan, then carry it out.

Nothing is written while planning, so a dry run simply stops after it.  A file that somebody changed
is kept next to ours as `.rpmsave`.
"""

import difflib
import grp
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Optional

from foreman_hooks import files
from foreman_hooks.hooks.machine import (
    KEPT,
    below,
    is_this_machine,
    read_text,
    translated_errors,
)
from foreman_hooks.hooks.schedule_files import FileSpec, Owner, ScheduleError
from foreman_hooks.hooks.seal import Origin, origin


class State(Enum):
    """What happens to a path.  KEPT: it should be removed but is not ours."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    KEPT = "kept"


@dataclass(frozen=True)
class Change:
    """What happens to one path, and why.

    `target` is its path on the machine, and `path` the same below the root.  `spec` is None if
    it is removed or kept.  `diff` is a unified diff.  `save`: the present file differs from
    what we wrote, so it is kept as `.rpmsave`.
    """

    state: State
    target: Path
    path: Path
    spec: Optional[FileSpec] = None
    detail: str = ""
    diff: str = ""
    save: bool = False


# Planning


def plan_installation(
    root: Path,
    required: Sequence[FileSpec],
    unwanted: Iterable[Path],
) -> list[Change]:
    """Return what has to be done below `root`; raises ScheduleError.

    A file at an unwanted path that is not ours is an error: it would be a second schedule, and it
    is not ours to remove.
    """
    removals = plan_removal(root, unwanted)
    for change in removals:
        if change.state is State.KEPT:
            raise ScheduleError(
                f"{change.path} was not written by 'schedule install' and would run as well; "
                "move it away first"
            )
    with translated_errors(root):
        for spec in required:
            # The users of an image are not known here.
            if spec.owner and is_this_machine(root):
                _owner_ids(spec.path, spec.owner)
        changes = [_planned(root, spec) for spec in required]
    return changes + removals


def plan_removal(root: Path, targets: Iterable[Path]) -> list[Change]:
    """Return how to remove our files at these paths below `root`; raises ScheduleError.

    A file of ours that was changed is renamed: if it stayed, it would still run although we said
    that it was removed.  Files of others stay.
    """
    changes = []
    with translated_errors(root):
        for target in targets:
            path = below(root, target)
            if os.path.lexists(path):
                changes.append(_planned_removal(target, path))
    return changes


def _planned_removal(target: Path, path: Path) -> Change:
    writer = Origin.FOREIGN
    if path.is_file() and not path.is_symlink():
        writer = origin(read_text(path))
    if writer is Origin.FOREIGN:
        return Change(
            State.KEPT, target, path, detail="not written by 'schedule install'"
        )
    if writer is Origin.CHANGED:
        detail = f"was changed by hand; kept as {path.name}{KEPT}"
        return Change(State.REMOVED, target, path, detail=detail, save=True)
    return Change(State.REMOVED, target, path)


def _planned(root: Path, spec: FileSpec) -> Change:
    path = below(root, spec.path)
    if not os.path.lexists(path):
        return _planned_creation(spec, path)
    _check_kind(spec, path)
    if spec.keep_existing:
        return Change(State.UNCHANGED, spec.path, path, spec)
    detail = _other_attributes(spec, path)
    if spec.text is not None:
        content = read_text(path)
        if content != spec.text:
            return _planned_rewrite(spec, path, content, detail)
    state = State.UPDATED if detail else State.UNCHANGED
    return Change(state, spec.path, path, spec, detail)


def _planned_creation(spec: FileSpec, path: Path) -> Change:
    detail = f"mode {spec.mode:04o}"
    if spec.owner:
        detail += f", for {spec.owner.user}:{spec.owner.group}"
    diff = _diff(spec, "")
    return Change(State.CREATED, spec.path, path, spec, detail, diff)


def _planned_rewrite(spec: FileSpec, path: Path, content: str, detail: str) -> Change:
    diff = _diff(spec, content)
    if origin(content) is Origin.OURS:
        return Change(State.UPDATED, spec.path, path, spec, detail, diff)
    if detail:
        detail += ", "
    detail += f"the previous file is kept as {path.name}{KEPT}"
    return Change(State.UPDATED, spec.path, path, spec, detail, diff, save=True)


def _check_kind(spec: FileSpec, path: Path) -> None:
    """Raise ScheduleError if there is a folder instead of a file, or the reverse."""
    if spec.is_folder and not path.is_dir():
        raise ScheduleError(f"{path} is in the way: it should be a folder")
    if not spec.is_folder and not path.is_file():
        raise ScheduleError(f"{path} is in the way: it should be a file")


def _other_attributes(spec: FileSpec, path: Path) -> str:
    """Say what has to change besides the text; "" if nothing has to."""
    if path.is_symlink() and not spec.is_folder:
        return "was a link"  # replaced by a file, or every install would find a change
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode != spec.mode:
        return f"mode {mode:04o} -> {spec.mode:04o}"
    return ""


def _owner_ids(target: Path, owner: Owner) -> tuple[int, int]:
    """Return the ids of user and group; raises ScheduleError."""
    try:
        user = pwd.getpwnam(owner.user)
        group = grp.getgrnam(owner.group)
    except KeyError as error:
        raise ScheduleError(
            f"{target} has to belong to {owner.user}:{owner.group}, which does not exist here; "
            "is this a Satellite or a Capsule?"
        ) from error
    return user.pw_uid, group.gr_gid


def _diff(spec: FileSpec, before: str) -> str:
    after = spec.text or ""
    name = str(spec.path)
    lines = difflib.unified_diff(
        before.splitlines(),
        after.splitlines(),
        fromfile=name if before else "/dev/null",
        tofile=name,
        lineterm="",
    )
    return "\n".join(lines)


# Writing


def carry_out(root: Path, changes: Sequence[Change]) -> None:
    """Make these changes below `root`; raises ScheduleError."""
    with translated_errors(root):
        for change in changes:
            if change.state is State.REMOVED:
                _remove(change)
            elif change.state in (State.CREATED, State.UPDATED):
                _write(root, change)


def _remove(change: Change) -> None:
    if not change.save:
        change.path.unlink()
        return
    saved = _saved_name(change.path)
    change.path.replace(saved)
    saved.chmod(0o600)


def _write(root: Path, change: Change) -> None:
    spec, path = change.spec, change.path
    assert spec
    if change.save:
        saved = _saved_name(path)
        shutil.copyfile(path, saved)
        saved.chmod(0o600)
    if spec.text is None:
        _make_folders(path)
        path.chmod(spec.mode)
    else:
        _make_folders(path.parent)
        files.replace(path, spec.text, spec.mode)
    if spec.owner and is_this_machine(root):
        user_id, group_id = _owner_ids(spec.path, spec.owner)
        os.chown(path, user_id, group_id)
        _label(path)


def _label(path: Path) -> None:
    """Give a file the type that SELinux has for its path; a new file has that of its folder.

    Without SELinux, there is no such type or no program to set it.
    """
    if shutil.which("restorecon"):
        words = ["restorecon", str(path)]
        subprocess.run(words, stdin=subprocess.DEVNULL, check=False)


def _saved_name(path: Path) -> Path:
    return path.with_name(path.name + KEPT)


def _make_folders(path: Path) -> None:
    """Create this folder and its missing parents, readable for everybody."""
    for folder in reversed([path, *path.parents]):
        if not folder.is_dir():
            folder.mkdir()
            folder.chmod(0o755)
