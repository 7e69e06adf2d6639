"""Brings a machine to what `files` says: first look, then show, then write.

Nothing is written while looking, so a dry run is to stop after it.  What somebody changed is kept
beside ours, under a name that cron, systemd, logrotate and foreman_hooks pass over.
"""

import contextlib
import difflib
import grp
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import yaml

from foreman_hooks.hooks.files import (
    CONFIG,
    CRON,
    JOURNAL,
    LOGROTATE,
    NAME,
    TIMER,
    Item,
    Origin,
    ScheduleError,
    origin,
    rotates,
)

# A shellhook's name has no dot, foreman_hooks takes executables only, the others pass over this
# ending by its name.
KEPT = ".rpmsave"
_RUNS = re.compile(rf"^[^#\n]*\b{NAME}\b[^\n]* run\b", re.MULTILINE)


class ScheduleForbidden(ScheduleError):
    """Root's rights are missing."""

    exit_code = 77


@dataclass(frozen=True)
class Change:
    """What becomes of one path: created, updated, unchanged, removed, or kept, with a word why and
    a unified diff.

    `save`: the file that stands there is not as we wrote it, so it is kept under another name.
    """

    state: str
    item: Item
    path: Path
    detail: str = ""
    diff: str = ""
    save: bool = False


# Looking


def compare(root: Path, wanted: Sequence[Item], unwanted: Sequence[str]) -> list[Change]:
    """What has to be done below `root`; raises ScheduleError.

    A file at an unwanted path that is not ours is an error: it would be a second schedule, and is
    not ours to remove.
    """
    with _said(root):
        gone = take_away(root, unwanted)
        for one in gone:
            if one.state == "kept":
                raise ScheduleError(
                    f"{one.path} is not of ours, and would run as well; move it away first"
                )
        for item in wanted if root == Path("/") else ():
            _ids(item)
        return [_compare(item, _below(root, item.path)) for item in wanted] + gone


def take_away(root: Path, paths: Iterable[str]) -> list[Change]:
    """What `schedule remove` has to do: ours goes, ours that was changed is kept beside, others'
    stays.

    Left as it is, a changed file would go on running after it was said to be removed.
    """
    found = []
    with _said(root):
        for name in paths:
            path, item = _below(root, name), Item(name, 0)
            if not os.path.lexists(path):
                continue
            whose = (
                Origin.FOREIGN if path.is_symlink() or not path.is_file() else origin(_read(path))
            )
            if whose is Origin.FOREIGN:
                found.append(Change("kept", item, path, "not of ours"))
            elif whose is Origin.CHANGED:
                detail = f"it was changed, so it is now {path.name}{KEPT}"
                found.append(Change("removed", item, path, detail, save=True))
            else:
                found.append(Change("removed", item, path))
    return found


def _compare(item: Item, path: Path) -> Change:
    if not os.path.lexists(path):
        owner = f", for {item.owner[0]}:{item.owner[1]}" if item.owner[0] else ""
        return Change(
            "created",
            item,
            path,
            f"mode {item.mode:04o}{owner}",
            _diff(item.path, "", item.text) if item.text else "",
        )
    if item.text is None and not path.is_dir() or item.text is not None and not path.is_file():
        raise ScheduleError(
            f"{path} is in the way: it should be a {'folder' if item.text is None else 'file'}"
        )
    mode = path.stat().st_mode & 0o7777
    other = f"mode {mode:04o} -> {item.mode:04o}" if mode != item.mode else ""
    if item.once:
        return Change("unchanged", item, path)
    if item.text is None:
        return Change("updated" if other else "unchanged", item, path, other)
    old = _read(path)
    if path.is_symlink():  # to be replaced by a file, or the next look would find it changed again
        other = "it was a link"
    if old == item.text:
        return Change("updated" if other else "unchanged", item, path, other)
    save = origin(old) is not Origin.OURS
    kept = f"the former one is now {path.name}{KEPT}" if save else ""
    return Change(
        "updated",
        item,
        path,
        ", ".join(filter(None, (other, kept))),
        _diff(item.path, old, item.text),
        save,
    )


def _ids(item: Item) -> tuple[int, int]:
    """Whose it has to be, as numbers (-1: as it is); raises ScheduleError.  An image's users are
    not known here.
    """
    owner, group = item.owner
    try:
        return pwd.getpwnam(owner).pw_uid if owner else -1, grp.getgrnam(
            group
        ).gr_gid if group else -1
    except KeyError as error:
        raise ScheduleError(
            f"{item.path} would belong to {owner}:{group}, who is not there; is this a Satellite or "
            "a Capsule?"
        ) from error


def _below(root: Path, name: str) -> Path:
    """The path of `name` below `root`; raises ScheduleError where a link leads out of it."""
    path = root / name.lstrip("/")
    if not path.parent.resolve().is_relative_to(root.resolve()):
        raise ScheduleError(f"{path}: a link leads out of {root}")
    return path


def _read(path: Path) -> str:
    return path.read_bytes().decode(errors="surrogateescape")


def _diff(name: str, old: str, new: str) -> str:
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), name if old else "/dev/null", name, lineterm=""
    )
    return "\n".join(lines)


@contextlib.contextmanager
def _said(root: Path) -> Iterator[None]:
    """What the system refuses, in our words: one line, and the exit code that it is."""
    try:
        yield
    except PermissionError as error:
        raise ScheduleForbidden(
            f"{error.filename or root}: {error.strerror}; this needs root"
        ) from error
    except OSError as error:
        raise ScheduleError(f"{error.filename or root}: {error.strerror}") from error


# Writing


def carry_out(root: Path, changes: Sequence[Change]) -> None:
    """Do it; raises ScheduleError."""
    with _said(root):
        for one in changes:
            if one.state == "removed":
                _save(one.path) if one.save else one.path.unlink()
            elif one.state in ("created", "updated"):
                if one.save:
                    _save(one.path, keep=True)
                _write(one.path, one.item)
                if one.item.owner[0] and root == Path("/"):
                    os.chown(one.path, *_ids(one.item))


def _write(path: Path, item: Item) -> None:
    """A folder or a whole file, never half of one, with exactly its mode whatever the umask."""
    _make_folders(path if item.text is None else path.parent)
    if item.text is None:
        path.chmod(item.mode)
        return
    number, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}."
    )  # cron passes over names with a dot
    temporary = Path(name)
    try:
        with os.fdopen(number, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(item.text)
            os.fchmod(file.fileno(), item.mode)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _make_folders(path: Path) -> None:
    """This folder and those above it that are missing, readable for all as those of the system are."""
    for folder in reversed([path, *path.parents]):
        if not folder.is_dir():
            folder.mkdir()
            folder.chmod(0o755)


def _save(path: Path, keep: bool = False) -> None:
    """Put a file aside as `.rpmsave`, which nothing executes; with `keep`, a copy of it."""
    saved = path.with_name(path.name + KEPT)
    if keep:
        shutil.copyfile(path, saved)
    else:
        path.replace(saved)
    saved.chmod(0o600)


# The machine


def program() -> str:
    """The absolute path of our own console script, as cron and systemd have to call it; raises
    ScheduleError.

    Links are kept: one that an administrator made is meant to stay when what it points to is
    replaced.
    """
    started = Path(os.path.abspath(sys.argv[0]))  # noqa: PTH100  Path.resolve would follow links
    found = shutil.which(NAME)
    for path in (
        started,
        Path(sys.executable).with_name(NAME),
        *([Path(os.path.abspath(found))] if found else []),
    ):  # noqa: PTH100
        if path.name == NAME and os.access(path, os.X_OK) and path.is_file():
            return str(path)
    raise ScheduleError(
        f"the command {NAME} is not found next to {sys.executable}; install the package with pip first"
    )


def installed(root: Path) -> Optional[str]:
    """What runs us now: cron, systemd, or nothing (None)."""
    return next(
        (how for how, path in (("cron", CRON), ("systemd", TIMER)) if exists(root, path)), None
    )


def exists(root: Path, name: str) -> bool:
    """Whether there is such a path below `root`; raises ScheduleError."""
    with _said(root):
        return os.path.lexists(_below(root, name))


def journal(root: Path, config: Optional[Path]) -> str:
    """The journal that is configured: its folder is the only one that a hardened service may write
    to.

    Whatever is wrong with a configuration, `doctor` says; here it is as if none were there.
    """
    path = config or _below(root, CONFIG)
    with contextlib.suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        name = found.get("journal") if isinstance(found, dict) else None
        if isinstance(name, str) and name.startswith("/") and Path(name).parent != Path("/"):
            return name
    return JOURNAL


def rotated(root: Path) -> str:
    """Which file of logrotate's other than ours rotates our log already; "" where none does."""
    with _said(root):
        for path in sorted(_below(root, LOGROTATE).parent.glob("*")):
            if (
                path.name != NAME
                and not path.name.endswith((KEPT, "~"))
                and path.is_file()
                and rotates(_read(path))
            ):
                return str(path)
    return ""


def others(root: Path) -> list[str]:
    """Schedules that somebody wrote by hand and that run us too, as far as they are in cron's files
    of the machine.
    """
    with _said(root):
        folder = _below(root, CRON).parent
        paths = (
            *sorted(folder.glob("*")),
            folder.with_name("crontab"),
            _below(root, "/var/spool/cron/root"),
        )
        return [
            str(path)
            for path in paths
            if path.name != NAME
            and "." not in path.name
            and path.is_file()
            and _RUNS.search(_read(path))
        ]


def check_rights(root: Path) -> None:
    """Raise ScheduleForbidden where the machine itself is to be changed without root's rights."""
    if root == Path("/") and os.geteuid() != 0:
        raise ScheduleForbidden(
            "this needs root; --dry-run shows what it would do, --root DIR writes elsewhere"
        )


def systemctl(*words: str) -> None:
    """Run systemctl; raises ScheduleError, in one line."""
    line = " ".join(("systemctl", *words))
    try:
        done = subprocess.run(
            ["systemctl", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ScheduleError(f"{line}: {getattr(error, 'strerror', None) or error}") from error
    if done.returncode:
        raise ScheduleError(
            f"{line}: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}"
        )


def systemctl_before(changes: Sequence[Change]) -> list[tuple[str, ...]]:
    """What systemd has to be told before the files change: stop a timer that will be gone."""
    timer = Path(TIMER).name
    return [
        ("disable", "--now", timer)
        for one in changes
        if one.item.path == TIMER and one.state == "removed"
    ]


def systemctl_after(changes: Sequence[Change]) -> list[tuple[str, ...]]:
    """What systemd has to be told after: read the units again, and start a timer that is there."""
    units = [
        one
        for one in changes
        if one.item.path.startswith(str(Path(TIMER).parent)) and one.state != "kept"
    ]
    told: list[tuple[str, ...]] = (
        [("daemon-reload",)] if any(one.state != "unchanged" for one in units) else []
    )
    if any(one.item.path == TIMER and one.state != "removed" for one in units):
        told.append(("enable", "--now", Path(TIMER).name))
    return told
