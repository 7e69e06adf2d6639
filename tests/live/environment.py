"""The virtual environment of the servers: made once, kept in a cache, shared by all runs.

Nova needs a newer Python than the oldest one that this project supports, and other versions of our
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
# The versions that Nova supports, in the order in which they are searched.
SUPPORTED = ("python3.13", "python3.12", "python3.11")


class LiveCloudError(RuntimeError):
    """The cloud cannot be made or does not obey; the text says why."""


def cache_folder() -> Path:
    """The folder that is kept between runs.

    It is $SATELLITE_OSP_CLEANUP_LIVE_CACHE, or else in the user's cache folder.
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
    """Hold the lock file while another run waits for it.

    If this process is killed, the lock is free when the command of its `run` ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        os.set_inheritable(file.fileno(), True)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def interpreter() -> tuple[Path, str]:
    """A Python that Nova supports, and its name, such as "python3.11".

    It is this one, or else one on PATH, or else one of pyenv.
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
        path = shutil.which(name)
        if path:
            yield Path(path)
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for name in SUPPORTED:
        yield from sorted(versions.glob(f"*/bin/{name}"))


def _name_if_usable(python: Path) -> str:
    """The name of a Python, such as "python3.11"; "" if it cannot be used.

    A pyenv shim without a version and a Python without venv cannot be used.
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
    """The folder of a complete virtual environment with everything in requirements.txt.

    It has about 400 MB and takes 40 s to make.
    """
    python, name = interpreter()
    folder = cache_folder() / f"{name}-{digest(REQUIREMENTS)}"
    whole = folder / "whole"
    if whole.exists():
        return folder
    with locked(Path(f"{folder}.lock")):
        if not whole.exists():  # another run may have made it while this one waited
            shutil.rmtree(folder, ignore_errors=True)  # left by an interrupted run
            _make(python, folder)
            whole.touch()
    return folder


def _make(python: Path, folder: Path) -> None:
    log = Path(f"{folder}.log")
    run([str(python), "-m", "venv", str(folder)], log)
    # Not compiled: that would double the time, and the servers import only a part of it.
    options = [
        "--disable-pip-version-check",
        "--no-deps",
        "--no-compile",
        "-r",
        str(REQUIREMENTS),
    ]
    run([str(folder / "bin" / "python"), "-m", "pip", "install", *options], log)


def run(command: list[str], log: Path) -> None:
    """Run the command until it ends; its output goes to `log`.

    If it fails, raises LiveCloudError with the end of the output.
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
    """Environment variables for the servers: ours, without those for Python and OpenStack.

    They would make the servers slow, or let them import our modules.
    """
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "OS_"))
    }
    return {**ours, "PYTHONWARNINGS": "ignore"}
