"""The script of "OSP - Clean up terminated hosts": runs the installed command, prints its output.

Runs on the Satellite, or on another host where satellite-osp-cleanup is installed and configured,
as a user who may read that configuration.  The job fails if the run failed; records that need
attention are in its output and fail nothing.

The command may have its own Python; the python3 that runs this script can be as old as 3.6.
"""

import os
import pwd
import shutil
import signal
import subprocess
from typing import Optional

COMMAND = "satellite-osp-cleanup"
# Where the RPM, the virtual environment of the manual, and pip put it.  sudo leaves out all but the
# first of its PATH.
FOLDERS = ("/usr/bin", "/opt/satellite-osp-cleanup/bin", "/usr/local/bin")
LOGIN_SECONDS = 10  # for the login shell to start
ARGUMENTS = {"plan": ["plan"], "apply": ["run", "--apply"]}
MAX_LENGTH = 100_000  # characters; Linux accepts no argument over 128 KB
TRY_AGAIN = 75  # exit code: another run is in progress, and the next one does the work
INTERNAL_ERROR = 70


def main(
    mode: str,
    search: Optional[str] = None,
    organization: Optional[str] = None,
    max_deletions: Optional[str] = None,
    output: Optional[str] = None,
) -> int:
    """Run the command until it ends.

    `mode`: plan or apply.  The others are the values of the command's options; None or "": not set.
    Returns the exit code of the command, but 0 if the command only asks to be run again later.
    """
    command = _find()
    if command is None:
        return _complain(
            f"{COMMAND} is not installed on this host: it is not in {', '.join(FOLDERS)}, "
            "nor on the PATH of this job or of a login of its user",
            69,
        )
    if mode not in ARGUMENTS:
        return _complain(f"the mode must be one of {', '.join(ARGUMENTS)}", 64)
    options = {
        "search": search,
        "organization": organization,
        "max-deletions": max_deletions,
        "output": output,
    }
    arguments = [command, *ARGUMENTS[mode]]
    for name, value in options.items():
        if not value:
            continue
        if "\0" in value or len(value) > MAX_LENGTH:
            return _complain("an input is too long, or has a NUL character", 64)
        # name and value in one argument, so that no value can act as another option
        arguments.append(f"--{name}={value}")
    code = _run(arguments)
    return 0 if code == TRY_AGAIN else code


def _find() -> Optional[str]:
    """The path of the command; None if it is nowhere."""
    for path in (None, os.pathsep.join(FOLDERS)):  # None: the PATH of this job
        command = shutil.which(COMMAND, path=path)
        if command:
            return command
    shell = pwd.getpwuid(os.geteuid()).pw_shell
    try:
        # Whatever the profile prints comes first, so the path is the last line.
        output = subprocess.check_output(
            [shell, "-l", "-c", f"command -v {COMMAND}"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LOGIN_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = os.fsdecode(output).splitlines()
    return shutil.which(lines[-1]) if lines else None


def _run(arguments: "list[str]") -> int:
    """Run the command and print its output line by line; returns its exit code.

    The output is printed in ASCII, since any other character can end a job (measured).
    """
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUTF8": "1"},
        )
    except OSError as error:  # such as a virtual environment whose Python is gone
        return _complain(f"{arguments[0]} cannot be started: {error.strerror}", 69)
    with process:
        # When a job is cancelled, the command finishes the deletion in progress, as with Ctrl-C.
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        assert process.stdout
        silent = True
        for line in process.stdout:
            silent = False
            print(_in_ascii(line), end="", flush=True)
    if silent and process.returncode == 0:
        print("nothing to do")
    killed_by_signal = process.returncode < 0
    return INTERNAL_ERROR if killed_by_signal else process.returncode


def _in_ascii(line: bytes) -> str:
    text = line.decode("utf-8", "replace")
    return text.encode("ascii", "backslashreplace").decode()


def _complain(message: str, code: int) -> int:
    """Print an error in one line; returns the exit code."""
    print(f"error: {message}", flush=True)
    return code
