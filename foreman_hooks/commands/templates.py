"""templates: the job templates for Satellite's remote execution."""

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import click

from foreman_hooks.commands.app import App, satellite_of
from foreman_hooks.commands.files import write_file
from foreman_hooks.commands.usage import Group, usage_error
from satellite_remote_exec.build import build
from satellite_remote_exec.publish import publish


@click.group(cls=Group)
def templates() -> None:
    """Job templates for Satellite's remote execution."""


@templates.command("build")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="Write them to this folder.  [default: the current folder]",
)
@click.pass_obj
def templates_build(app: App, out: Path) -> int:
    """Write the job templates as files.

    For 'hammer job-template import --file', or to look at them first.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise usage_error(f"{out}: {error.strerror}") from error
    for template in build():
        path = out / template.file_name
        write_file(path, template.text, mode=0o644)
        app.say(f"{path}: {template.name}")
    return 0


@templates.command("publish")
@click.option(
    "--organization",
    "organizations",
    multiple=True,
    metavar="NAME",
    help="Organization that may use them; may be repeated.  [default: all that are visible]",
)
@click.option(
    "--location",
    "locations",
    multiple=True,
    metavar="NAME",
    help="Location that may use them; may be repeated.  [default: all that are visible]",
)
@click.option(
    "--check-user",
    metavar="USER",
    help="Effective user of the check, whose clouds.yaml it reads.  [default: Satellite's setting]",
)
@click.pass_obj
def templates_publish(
    app: App,
    organizations: Sequence[str],
    locations: Sequence[str],
    check_user: Optional[str],
) -> int:
    """Import the job templates into Satellite.

    Creates new ones, updates the others, and prints what changed. An effective user that is
    already set stays.
    """
    satellite = satellite_of(app.settings())
    for template in publish(satellite, build(), organizations, locations, check_user):
        detail = f" ({template.detail})" if template.detail else ""
        app.say_line(f"{template.change:<10}{template.name}{detail}")
    return 0
