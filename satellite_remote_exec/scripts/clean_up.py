"""The body of "OSP - Clean up terminated hosts": run the installed command, and print what it says.

Runs on the Satellite, or on another host where satellite-osp-cleanup is installed and configured,
as a user who may read that configuration.  Fails only where a person has to look.
"""

import os
import shutil
import signal
import subprocess
from typing import Optional

COMMAND = "satellite-osp-cleanup"
PLACES = (
    "/opt/satellite-osp-cleanup/bin:/usr/local/bin"  # where it may be but PATH under sudo is not
)
WORDS = {"plan": ["plan"], "apply": ["run", "--apply"]}
LONGEST = 100_000  # characters; Linux takes no argument over 128 KB
TRY_AGAIN = 75  # another run is under way: nothing to look at


def main(
    mode: str,
    search: Optional[str] = None,
    organization: Optional[str] = None,
    max_deletions: Optional[str] = None,
    output: Optional[str] = None,
) -> int:
    """Run the command to its end; its exit code, 0 where it only has to be tried again."""
    command = shutil.which(COMMAND) or shutil.which(COMMAND, path=PLACES)
    if command is None:
        return _complain(f"{COMMAND} is not installed on this host", 69)
    if mode not in WORDS:
        return _complain(f"the mode must be one of {', '.join(WORDS)}", 64)
    options = {
        "search": search,
        "organization": organization,
        "max-deletions": max_deletions,
        "output": output,
    }
    if any("\0" in value or len(value) > LONGEST for value in options.values() if value):
        return _complain("an input is too long, or holds a NUL", 64)
    # one argument each, so that no value can be taken for another option
    code = _run(
        [command, *WORDS[mode], *(f"--{name}={value}" for name, value in options.items() if value)]
    )
    return 0 if code == TRY_AGAIN else code


def _run(command: list[str]) -> int:
    """Run it and print its output as it comes, in ASCII: any other character can kill a job
    (measured).
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUTF8": "1"},
    ) as process:
        # a job that is cancelled ends after the deletion under way, as Ctrl-C does
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        assert process.stdout
        told = False
        for line in process.stdout:
            told = True
            print(
                line.decode("utf-8", "replace").encode("ascii", "backslashreplace").decode(),
                end="",
                flush=True,
            )
    if not told and process.returncode == 0:
        print("nothing to do")
    return process.returncode if process.returncode >= 0 else 70


def _complain(message: str, code: int) -> int:
    print(f"error: {message}", flush=True)
    return code
