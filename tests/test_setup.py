"""An old Python is refused by a message that names the right one, whatever pip comes with it."""

import subprocess
import sys
from pathlib import Path

import pytest
from oldest_python import PYTHON_36, needs_python_36

ROOT = Path(__file__).parent.parent
MESSAGE = "satellite-osp-cleanup needs Python 3.9 or newer; this is Python"
# What RHEL 8's python3 has
OLD_PIP = ["pip==9.0.3", "setuptools==39.2.0"]


def refusal(*command: "str | Path") -> str:
    """What a command prints that has to fail."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    return done.stdout


@pytest.mark.parametrize("version", [(2, 7), (3, 6), (3, 8)])
def test_setup_refuses_a_version_before_39(version: tuple[int, int]) -> None:
    script = (
        f"import sys; sys.version_info = {version}; exec(open('setup.py').read(), {{}})"
    )
    output = refusal(sys.executable, "-c", script)
    assert output.startswith(f"{MESSAGE} {version[0]}.{version[1]}. ")
    assert output.count("\n") == 1


@needs_python_36
def test_python_36_can_read_setup_far_enough_to_say_so() -> None:
    assert refusal(PYTHON_36, "setup.py", "--version").startswith(f"{MESSAGE} 3.6. ")


@needs_python_36
@pytest.mark.live
def test_pip_of_rhel_8_shows_the_message(tmp_path: Path) -> None:
    """Needs a package registry, for that pip."""
    subprocess.run([PYTHON_36, "-m", "venv", tmp_path / "venv"], check=True)
    pip = tmp_path / "venv" / "bin" / "pip"
    subprocess.run([pip, "install", "--quiet", *OLD_PIP], check=True)
    assert "pip 9.0.3 " in subprocess.check_output([pip, "--version"], text=True)
    assert f"{MESSAGE} 3.6. " in refusal(pip, "install", ".")
