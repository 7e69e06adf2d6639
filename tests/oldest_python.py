"""The oldest Python that some scripts have to run on, if it is installed here."""

import shutil
from pathlib import Path

import pytest

_FOUND = [
    *map(str, Path.home().glob(".pyenv/versions/3.6*/bin/python3.6")),
    *filter(None, [shutil.which("python3.6")]),
]
PYTHON_36 = _FOUND[0] if _FOUND else ""
needs_python_36 = pytest.mark.skipif(
    not PYTHON_36, reason="Python 3.6 is not installed here"
)
