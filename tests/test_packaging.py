"""The contents of the RPM: spec, manual page, completion, and all data files."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import manual
import pytest

from foreman_hooks.commands.main import COMMANDS
from foreman_hooks.errors import EXIT_CODES

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "packaging"
NAME = "satellite-osp-cleanup"
SPEC = (FOLDER / f"{NAME}.spec").read_text(encoding="utf-8")


def setup_cfg() -> configparser.ConfigParser:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup


def tool(name: str) -> str:
    """The path of a program; skips the test if it is not installed."""
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not installed here")
    return path


# The spec


@pytest.mark.parametrize(
    ("tag", "key"),
    [
        ("Name", "name"),
        ("Version", "version"),
        ("License", "license"),
        ("Summary", "description"),
    ],
)
def test_the_spec_agrees_with_setup_cfg(tag: str, key: str) -> None:
    values = re.findall(rf"^{tag}: +(.+)$", SPEC, re.MULTILINE)
    assert values == [setup_cfg()["metadata"][key]]


def test_the_spec_requires_what_setup_cfg_requires() -> None:
    options = setup_cfg()["options"]
    lines = [line.split() for line in options["install_requires"].split("\n") if line]
    needed = {
        f"python3-{name.lower().removeprefix('python-')} {bound.replace('>=', '>= ')}"
        for name, bound in lines
    }
    needed.add(f"python3 {options['python_requires'].replace('>=', '>= ')}")
    assert set(re.findall(r"^Requires: +(.+)$", SPEC, re.MULTILINE)) == needed


def test_rpm_can_read_the_spec() -> None:
    done = subprocess.run(
        [
            tool("rpmspec"),
            "--query",
            "--define",
            f"__python3 {sys.executable}",
            "--queryformat",
            "%{NAME} %{VERSION} %{ARCH}\n",
            str(FOLDER / f"{NAME}.spec"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    version = setup_cfg()["metadata"]["version"]
    assert (done.stdout, done.stderr) == (f"{NAME} {version} noarch\n", "")


def test_every_file_of_the_packages_besides_python_is_in_the_wheel() -> None:
    listed = setup_cfg()["options.package_data"]
    for package in ("foreman_hooks", "satellite_remote_exec"):
        patterns = listed[package].split()
        for path in (ROOT / package).rglob("*"):
            name = str(path.relative_to(ROOT / package))
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                assert any(fnmatch(name, pattern) for pattern in patterns), (
                    f"{package}/{name}"
                )


# The manual page


def test_the_manual_page_has_the_current_help_texts() -> None:
    assert manual.render() == manual.PAGE.read_text(encoding="utf-8"), "run: make man"


def test_the_manual_page_has_every_command_option_and_exit_code() -> None:
    page = manual.render().replace("\\-", "-")
    for name in COMMANDS:
        assert re.search(rf"^\.SS {name}\b", page, re.MULTILINE)
    assert "--log-file FILE" in page
    assert all(f"\n.B {code}\n" in page for code in EXIT_CODES)


def test_mandoc_and_groff_find_no_fault_with_the_manual_page() -> None:
    """Except that it has no date, which would be wrong one release later."""
    complaints = []
    if shutil.which("groff"):
        done = subprocess.run(
            ["groff", "-man", "-ww", "-z", "-Tutf8", str(manual.PAGE)],
            capture_output=True,
            text=True,
            check=True,
        )
        complaints += done.stderr.splitlines()
    done = subprocess.run(
        [tool("mandoc"), "-Tlint", "-Wwarning", str(manual.PAGE)],
        capture_output=True,
        text=True,
        check=False,
    )
    complaints += [
        line for line in done.stdout.splitlines() if "missing date" not in line
    ]
    assert complaints == []


@pytest.mark.parametrize(
    ("text", "page"),
    [
        (".so /etc/passwd", "\\&.so /etc/passwd"),
        ("'x", "\\&'x"),
        ("a\\b", "a\\eb"),
        ("--apply", "\\-\\-apply"),
        ("a\n  b", "a b"),
    ],
)
def test_no_help_text_becomes_a_troff_request(text: str, page: str) -> None:
    assert manual.prose(text) == page


# Completion


def bash(script: str) -> str:
    """What a script prints in bash, with the programs of this project first on PATH."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [tool("bash"), "--norc", "-euc", script],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_bash_completes_commands_and_options_with_the_packaged_script() -> None:
    lines = bash(f"""
        source {FOLDER}/{NAME}.bash
        complete -p {NAME}
        complete_words() {{
            COMPREPLY=()
            COMP_WORDS=("$@")
            COMP_CWORD=$(($# - 1))
            _satellite_osp_cleanup_completion {NAME}
            echo "${{COMPREPLY[@]}}"
        }}
        complete_words {NAME} ""
        complete_words {NAME} schedule in
        complete_words {NAME} run --app
    """).splitlines()
    registered, commands, *words = lines
    assert registered.endswith(f" {NAME}")
    assert set(commands.split()) == set(COMMANDS)
    assert words == ["install", "--apply"]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_packaged_scripts_are_those_that_the_program_prints(shell: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name(NAME)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "_SATELLITE_OSP_CLEANUP_COMPLETE": f"{shell}_source"},
    )
    packaged = (FOLDER / f"{NAME}.{shell}").read_text(encoding="utf-8")
    assert {"complete", "compdef"} & set(re.findall(r"\w+", packaged))
    # Versions of click differ in details, but not in how the script calls the program.
    call = re.compile(r"_SATELLITE_OSP_CLEANUP_COMPLETE=\w+")
    expected = [f"_SATELLITE_OSP_CLEANUP_COMPLETE={shell}_complete"]
    assert call.findall(packaged) == expected
    assert call.findall(done.stdout) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_shell_accepts_its_script(shell: str) -> None:
    done = subprocess.run(
        [tool(shell), "-n", str(FOLDER / f"{NAME}.{shell}")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
