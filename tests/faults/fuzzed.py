"""A parser and atheris, in a process of their own: python -m faults.fuzzed NAME CORPUS OPTIONS."""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["foreman_hooks", "satellite_remote_exec"]):
    from faults.parser import check
    from faults.parsers import BY_NAME

if __name__ == "__main__":
    parser = BY_NAME[sys.argv[1]]
    folder = Path(tempfile.mkdtemp())
    atheris.Setup(sys.argv[1:], lambda content: check(parser, folder, content))
    atheris.Fuzz()
