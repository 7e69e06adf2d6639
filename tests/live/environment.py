"""The servers' own virtual environment: made once, kept in a cache folder, shared by all runs.

Nova needs a newer Python than the oldest one this project runs on, and its own versions of our
dependencies.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
SUPPORTED = (
    "python3.13",
    "python3.12",
    "python3.11",
)  # by Nova, in the order in which they are looked for


class LiveCloudError(RuntimeError):
    """The cloud cannot be made or does not do as told; the text says why."""


def cache_folder() -> Path:
    """The folder kept between runs: $SATELLITE_OSP_CLEANUP_LIVE_CACHE or one in the user's cache
    folder.
    """
    chosen = os.environ.get("SATELLITE_OSP_CLEANUP_LIVE_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (
        Path(base) if base else Path.home() / ".cache"
    ) / "satellite-osp-cleanup-live"


def digest(*paths: Path) -> str:
    """Twelve hex digits that change with the content of the files."""
    content = hashlib.sha256()
    for path in paths:
        content.update(path.read_bytes())
    return content.hexdigest()[:12]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file; another run waits.  If this one is killed, the lock is free as soon as
    its `run` is over.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        os.set_inheritable(file.fileno(), True)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def interpreter() -> tuple[Path, str]:
    """A Python that Nova runs on and its name, "python3.11": this one, else one on PATH, else one
    of pyenv's.
    """
    for candidate in _candidates():
        name = _name_if_usable(candidate)
        if name in SUPPORTED:
            return candidate, name
    ours = "{}.{}".format(*sys.version_info)
    raise LiveCloudError(
        f"Nova needs {' or '.join(SUPPORTED)} with venv, on PATH or under pyenv; this is {ours}"
    )


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    for name in SUPPORTED:
        found = shutil.which(name)
        if found:
            yield Path(found)
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for name in SUPPORTED:
        yield from sorted(versions.glob(f"*/bin/{name}"))


def _name_if_usable(python: Path) -> str:
    """What it says it is; "" for a pyenv shim without a version behind it and for a Python without
    venv.
    """
    program = (
        "import sys, venv, ensurepip; print('python{}.{}'.format(*sys.version_info))"
    )
    try:
        answer = subprocess.run(
            [str(python), "-c", program], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return answer.stdout.strip()


def environment() -> Path:
    """The folder of a whole virtual environment with everything of requirements.txt (about 400 MB,
    40 s to make).
    """
    python, name = interpreter()
    folder = cache_folder() / f"{name}-{digest(REQUIREMENTS)}"
    whole = folder / "whole"
    if whole.exists():
        return folder
    with locked(Path(f"{folder}.lock")):
        if not whole.exists():  # another run may have made it while this one waited
            shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run left
            _make(python, folder)
            whole.touch()
    return folder


def _make(python: Path, folder: Path) -> None:
    log = Path(f"{folder}.log")
    run([str(python), "-m", "venv", str(folder)], log)
    # Not compiled: that would take as long again, and the servers import but a part of it.
    options = [
        "--disable-pip-version-check",
        "--no-deps",
        "--no-compile",
        "-r",
        str(REQUIREMENTS),
    ]
    run([str(folder / "bin" / "python"), "-m", "pip", "install", *options], log)


def run(command: list[str], log: Path) -> None:
    """Run the command to its end; if it fails raise LiveCloudError with the end of what it said
    (all is in `log`).
    """
    with log.open("a") as out:
        # close_fds: the command holds the lock too, and may outlive us.
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=child_env(),
            close_fds=False,
            check=False,
        )
    if done.returncode:
        raise LiveCloudError(
            f"{' '.join(command)} ended with {done.returncode}; {log} ends:\n{tail(log)}"
        )


def tail(log: Path, characters: int = 3000) -> str:
    """The end of a log file, or a note that there is none."""
    return (
        log.read_text(errors="replace")[-characters:]
        if log.exists()
        else "(no such file)"
    )


def child_env() -> dict[str, str]:
    """Environment variables for the servers: ours, less what makes their Python slow or has it take
    our modules.
    """
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "OS_"))
    }
    return {**ours, "PYTHONWARNINGS": "ignore"}
