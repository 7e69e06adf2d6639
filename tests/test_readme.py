"""The README matches the program: help texts, exit codes, configuration, dependencies."""

import configparser
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from foreman_hooks import settings
from foreman_hooks.cleanup.doctor.role import TO_CHECK, TO_PUBLISH
from foreman_hooks.commands.main import COMMANDS, cli
from foreman_hooks.errors import EXIT_CODES
from foreman_hooks.rules.model import Policy
from foreman_hooks.settings import CheckJob

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def words(text: str) -> str:
    return " ".join(text.split())


PROGRAM = click.Context(cli, info_name="satellite-osp-cleanup", **cli.context_settings)


def commands() -> dict[str, click.Context]:
    """Every command by its words; groups too."""
    return {"": PROGRAM, **inner("", PROGRAM)}


def inner(words: str, context: click.Context) -> dict[str, click.Context]:
    group = context.command
    if not isinstance(group, click.Group):
        return {}
    contexts = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        below = click.Context(command, context, name, **cli.context_settings)
        contexts[f"{words} {name}".strip()] = below
        contexts.update(inner(f"{words} {name}".strip(), below))
    return contexts


def help_of(name: str) -> str:
    return commands()[name].get_help()


@pytest.mark.parametrize("name", sorted(commands()))
def test_the_readme_has_the_help_of_every_command(name: str) -> None:
    assert words(help_of(name)) in words(README)


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_option_of_every_command_has_a_help_text(name: str) -> None:
    for parameter in commands()[name].command.params:
        assert not isinstance(parameter, click.Option) or parameter.help


def test_the_overview_has_the_first_line_of_each_commands_help() -> None:
    for name, text in COMMANDS.items():
        assert commands()[name].command.get_short_help_str(200) == text


def test_the_exit_codes_are_those_of_the_program() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", README, re.MULTILINE)
    assert {int(code): text for code, text in rows} == EXIT_CODES


def test_the_configuration_shown_is_valid_complete_and_shows_the_defaults(
    tmp_path: Path,
) -> None:
    text = re.search(r"```yaml\n(satellite:.*?)```", README, re.DOTALL)
    assert text
    shown = yaml.safe_load(text[1])
    assert set(shown["policy"]) == {field.name for field in fields(Policy)}
    token, ca_file = tmp_path / "token", tmp_path / "ca.pem"
    token.write_text("secret\n")
    ca_file.write_text("")
    shown["satellite"].update(password_file=str(token), ca_file=str(ca_file))
    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump(shown))
    loaded = settings.load(path)
    assert loaded.policy == Policy()
    assert loaded.journal == settings.JOURNAL
    assert loaded.clouds[0].regions == ("RegionOne", "RegionTwo")
    assert loaded.checker is None
    delegated = re.search(r"```yaml\n(clouds:.*?)```", README, re.DOTALL)
    assert delegated
    path.write_text(delegated[1])
    checker = settings.load(path).checker
    assert checker and checker.deadline == CheckJob.deadline
    assert set(yaml.safe_load(delegated[1])["checker"]) == {
        "job_template",
        "search",
        "clouds_yaml",
        "deadline",
    }


def test_the_roles_shown_are_those_that_doctor_looks_for() -> None:
    text = words(README.split("**Roles on Satellite.**")[1].split("\n\n")[0])
    check, publish = text.split("To publish:")
    assert set(TO_CHECK) <= set(re.findall(r"`(\w+)`", check))
    assert set(TO_PUBLISH) == set(re.findall(r"`(\w+)`", publish)) - {"doctor"}


def test_the_readme_gives_a_reason_for_every_dependency() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = (
        config["options"]["install_requires"] + config["options.extras_require"]["test"]
    )
    needed = {re.split(r"[ ><=]", line)[0] for line in listed.split("\n") if line}
    table = README.split("## What it needs")[1]
    assert needed <= set(re.findall(r"[A-Za-z0-9-]+", table))


def test_the_example_of_the_library_works_as_it_stands(stage: Any, capsys: Any) -> None:
    block = re.search(r"```python\n(from foreman_hooks.*?)```", README, re.DOTALL)
    assert block
    exec(compile(block[1], "README.md", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out.startswith("absent 404 no row of it is left")
