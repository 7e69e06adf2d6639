"""What `make packages` builds from: spec, manual page, completion, units, and all data files."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import manual
import pytest
import shipped

from foreman_hooks import paths
from foreman_hooks.commands.main import COMMANDS
from foreman_hooks.errors import EXIT_CODES
from foreman_hooks.hooks.seal import Origin, origin

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


def tag(name: str) -> str:
    [value] = re.findall(rf"^{name}: +(.+)$", SPEC, re.MULTILINE)
    return value


@pytest.mark.parametrize(
    ("name", "key"),
    [("Name", "name"), ("Version", "version"), ("Summary", "description")],
)
def test_the_spec_agrees_with_setup_cfg(name: str, key: str) -> None:
    assert tag(name) == setup_cfg()["metadata"][key]


def test_the_license_is_ours_and_then_those_of_the_libraries() -> None:
    ours = setup_cfg()["metadata"]["license"]
    assert tag("License").split(" AND ")[0] == ours


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    _, changelog = SPEC.split("%changelog\n")
    release = tag("Release").removesuffix("%{?dist}")
    assert changelog.splitlines()[0].endswith(f" - {tag('Version')}-{release}")


@pytest.mark.parametrize(("dist", "python"), [("el8", "3.11"), ("el9", "3.9")])
def test_rpm_can_read_the_spec_for_each_platform(dist: str, python: str) -> None:
    done = subprocess.run(
        [
            tool("rpmspec"),
            "--query",
            *("--define", f"dist .{dist}", "--define", f"python {python}"),
            *("--target", "x86_64"),
            *("--queryformat", "%{NAME} %{VERSION} %{ARCH} [%{REQUIRES} ]\n"),
            str(FOLDER / f"{NAME}.spec"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    version = setup_cfg()["metadata"]["version"]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{NAME} {version} x86_64 ")
    assert f" /usr/bin/python{python} " in done.stdout


def test_the_build_covers_the_oldest_python_and_names_no_address() -> None:
    build = (FOLDER / "build.sh").read_text(encoding="utf-8")
    oldest = setup_cfg()["options"]["python_requires"].removeprefix(">=")
    assert f'"el9 {oldest}"' in build
    for path in (ROOT / "Makefile", ROOT / ".ci" / "run", *FOLDER.iterdir()):
        addresses = re.findall(r"https?://\S+", path.read_text(encoding="utf-8"))
        assert addresses == [], path


@pytest.mark.parametrize("name", ["build.sh", "find-python", "install.sh"])
def test_the_shell_accepts_the_scripts_of_the_build(name: str) -> None:
    path = FOLDER / name
    shell = path.read_text(encoding="utf-8").split("\n")[0].split("/")[-1].split()[-1]
    done = subprocess.run(
        [tool(shell), "-n", path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert os.access(path, os.X_OK)


def test_a_python_that_is_missing_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [FOLDER / "find-python", "3.99"],
        env={"PATH": os.environ["PATH"], "PYENV_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    message = "Python 3.99 is not installed here, neither on PATH nor by pyenv\n"
    assert (done.stdout, done.stderr) == ("", message)


def test_the_files_of_the_package_are_those_that_schedule_install_writes(
    tmp_path: Path, call: Any
) -> None:
    root, folder = tmp_path / "root", tmp_path / "shipped"
    root.mkdir()
    folder.mkdir()
    assert shipped.main([str(folder)]) == 0
    assert call("schedule", "install", "--systemd", "--root", root)[0] == 0
    others = ("#", "ExecStart=", "Description=", "OnCalendar=", "RandomizedDelaySec=")
    for path in (paths.CONFIG, paths.SERVICE, paths.TIMER):
        written = (root / path.relative_to("/")).read_text(encoding="utf-8")
        lines = (folder / path.name).read_text(encoding="utf-8").splitlines()
        assert lines[-1] == written.splitlines()[-1]
        ours = [line for line in lines if not line.startswith(others)]
        assert set(ours) <= set(written.splitlines())
    service = (folder / paths.SERVICE.name).read_text(encoding="utf-8")
    [command] = re.findall("^ExecStart=(.+)$", service, re.MULTILINE)
    assert command.startswith(f"/usr/bin/{NAME} run")
    assert "--apply" not in command
    assert origin(service) is Origin.FOREIGN


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
