"""The manual covers the program: commands, settings, exit codes, metrics, permissions, packages."""

import configparser
import re
from collections.abc import Iterator

import click
import pytest

from docs.messages import GAP, texts
from docs.pages import PAGES, README, ROOT, blocks, name_of, prose, read, section
from foreman_hooks import settings
from foreman_hooks.cleanup.doctor.role import TO_CHECK, TO_PUBLISH
from foreman_hooks.commands.main import COMMANDS, cli
from foreman_hooks.errors import EXIT_CODES
from foreman_hooks.reports import metrics
from foreman_hooks.rules.model import Reason

DOCS = ROOT / "docs"
EVERYTHING = "\n".join(read(page) for page in PAGES)


# Commands


def commands(context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Every command by its words, without those that only have others below them."""
    group = context.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        if isinstance(command, click.Group):
            for below, inner in commands(click.Context(command)):
                yield f"{name} {below}", inner
        else:
            yield name, command


ALL_COMMANDS = dict(commands(click.Context(cli)))


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_the_manual_names_every_command(name: str) -> None:
    assert re.search(rf"(satellite-osp-cleanup|`) ?{name}\b", EVERYTHING)


def test_the_overview_of_the_manual_has_every_command() -> None:
    table = section(DOCS / "README.md", "Which command answers which question")
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_every_option_of_every_command_has_a_help_text(name: str) -> None:
    for parameter in ALL_COMMANDS[name].params:
        assert not isinstance(parameter, click.Option) or parameter.help


def test_the_overview_of_the_help_has_the_first_line_of_each_commands_help() -> None:
    context = click.Context(cli)
    for name, text in COMMANDS.items():
        command = cli.get_command(context, name)
        assert command and command.get_short_help_str(200) == text


def test_no_page_repeats_a_help_text() -> None:
    assert "Usage: satellite-osp-cleanup" not in EVERYTHING
    assert "Show this message and exit" not in EVERYTHING


def test_every_option_that_the_manual_names_exists() -> None:
    known = {"--help", "--version"}
    for command in (cli, *ALL_COMMANDS.values()):
        for parameter in command.params:
            known.update(parameter.opts)
    for page in PAGES:
        for text in re.findall(r"`([^`\n]+)`", prose(page)):
            first = text.split()[0]
            if first in COMMANDS or first == "satellite-osp-cleanup":
                for option in re.findall(r"(?<!\S)--[a-z-]+", text):
                    assert option in known, f"{name_of(page)}: {text}"


# Settings


def test_the_page_of_the_configuration_names_every_key() -> None:
    page = read(DOCS / "configuration.md") + read(DOCS / "two-teams.md")
    for key in (
        *settings._KEYS,
        *settings._SATELLITE_KEYS,
        *settings._CLOUD_KEYS,
        *settings._CHECKER_KEYS,
        *settings._POLICY_KEYS,
    ):
        assert re.search(rf"\b{key}\b", page), key


# Documents for programs


def test_the_manual_leads_to_every_schema() -> None:
    table = section(DOCS / "scripting.md", "Documents for programs")
    folder = ROOT / "foreman_hooks" / "reports" / "schema"
    for path in folder.iterdir():
        assert f"schema/{path.name})" in table, path.name


# Exit codes


def test_the_exit_codes_are_those_of_the_program() -> None:
    table = section(DOCS / "scripting.md", "Exit codes")
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", table, re.MULTILINE)
    assert {int(code): text for code, text in rows} == EXIT_CODES


# Reasons of records


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.name)
def test_every_reason_of_a_record_is_explained(reason: Reason) -> None:
    table = section(DOCS / "troubleshooting.md", "The reason of a record")
    assert f"`{reason.value}`" in table


# Metrics


def test_the_metrics_are_those_of_the_program() -> None:
    table = section(DOCS / "reports-and-metrics.md", "Metrics")
    rows = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
    names = re.findall(r"`(\w+)`", " ".join(rows))
    assert set(names) - {f"{metrics.PREFIX}_"} == set(metrics._HELP)


# Permissions


def test_the_permissions_are_those_that_doctor_looks_for() -> None:
    roles = DOCS / "roles.md"
    basic = re.findall(r"`(\w+)`", section(roles, "On Satellite"))
    check = section(roles, "To run the check as a job")
    assert set(TO_CHECK) <= set(re.findall(r"\w+", check)) | set(basic)
    publish = section(roles, "To publish the job templates")
    assert set(re.findall(r"\b[a-z]+_[a-z_]+\b", publish)) == set(TO_PUBLISH)


# Packages


def test_the_manual_gives_a_reason_for_every_dependency() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = (
        config["options"]["install_requires"] + config["options.extras_require"]["test"]
    )
    needed = {re.split(r"[ ><=]", line)[0] for line in listed.split("\n") if line}
    table = section(DOCS / "development.md", "What it needs")
    assert needed <= set(re.findall(r"[A-Za-z0-9-]+", table))


def test_every_path_of_the_source_that_the_manual_names_exists() -> None:
    table = section(DOCS / "development.md", "Where things are")
    tree = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*")
        if ".git" not in path.parts
    }
    for row in table.splitlines():
        for name in re.findall(r"`([\w./-]+(?:/|\.\w+))`", row):
            end = name.rstrip("/")
            assert any(path == end or path.endswith(f"/{end}") for path in tree), name


def test_a_sample_of_a_message_is_one_that_the_program_has() -> None:
    pieces = {piece for text in texts() for piece in text.split(GAP) if len(piece) > 15}
    for block in blocks("text"):
        for line in block.text.splitlines():
            assert any(piece in line for piece in pieces), f"{block.place}: {line}"


def test_the_first_page_leads_to_the_overview() -> None:
    assert "(docs/README.md)" in read(README)


def test_nothing_leads_to_a_page_that_is_gone() -> None:
    """The program, the packages and the job templates name pages by their path."""
    for folder in ("foreman_hooks", "satellite_remote_exec", "packaging"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".j2", ".spec", ".8", ".yml"):
                text = path.read_text(encoding="utf-8")
                for name in re.findall(r"\bdocs/[\w-]+\.md", text):
                    assert (ROOT / name).exists(), f"{path}: {name}"
