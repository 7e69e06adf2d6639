"""The demo shows on a simulated Satellite and OpenStack what happens on real ones."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .story import show

ROOT = Path(__file__).parents[2]


def shown() -> tuple[int, str]:
    lines: list[str] = []
    return show(lines.append), "\n".join(lines)


def test_exactly_what_should_remain_remains_after_the_demo() -> None:
    code, text = shown()
    assert code == 0
    assert "4 host records are deleted, 50 remain" in text


def test_the_demo_shows_every_decision_and_how_a_backlog_is_cleared() -> None:
    _, text = shown()
    groups = dict(re.findall(r"^([A-Z ]+) \(\d+\)\n((?:  .*\n)+)", text, re.MULTILINE))
    assert list(groups) == [
        "DELETE",
        "NEEDS ATTENTION",
        "WAITING",
        "PROTECTED",
        "KEPT",
        "DELETED",
    ]
    assert "policy.all_clouds_listed: true lets such records go" in text
    assert re.search(r"just-ended.*can go in 3h 30m", groups["WAITING"])
    assert "renamed-old" in groups["DELETE"] and "renamed-new" in groups["DELETE"]
    assert re.search(
        r"cloned.*clone.example.com, which names the same instance",
        groups["NEEDS ATTENTION"],
    )


@pytest.fixture
def kept() -> Iterator["subprocess.Popen[str]"]:
    """The demo with --keep, which does not end by itself."""
    command = [sys.executable, "-u", "-m", "tests.sandbox.demo", "--keep"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
    yield process
    process.kill()
    process.communicate()


def read_until(process: "subprocess.Popen[str]", text: str) -> None:
    assert process.stdout
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"the demo ended without: {text}")


@pytest.mark.parametrize(
    "moment", ["are running on this machine", "until you press Ctrl-C"]
)
def test_ctrl_c_ends_the_demo_with_one_line(
    kept: "subprocess.Popen[str]", moment: str
) -> None:
    read_until(kept, moment)
    kept.send_signal(signal.SIGINT)
    _, errors = kept.communicate(timeout=30)
    assert (kept.returncode, errors) == (130, "The demo was interrupted.\n")


def test_the_commands_that_the_kept_demo_shows_work(
    kept: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    read_until(kept, "until you press Ctrl-C")
    script = "shopt -s expand_aliases; set -e\n"
    assert kept.stdout
    for line in kept.stdout:
        script += line.strip() + "\n"
        if "history" in line:
            break
    shown = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert "54 host records (all hosts): 4 to delete" in shown.stdout
    assert "4 of 4 records deleted" in shown.stdout
