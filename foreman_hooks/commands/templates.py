"""templates: the job templates for Satellite's remote execution."""

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import click

from foreman_hooks.commands.app import App, satellite_of
from foreman_hooks.commands.files import write_file
from foreman_hooks.reports import listings as report
from satellite_remote_exec import build as job_templates
from satellite_remote_exec.publish import publish


@click.group()
def templates() -> None:
    """Job templates for Satellite's remote execution."""


@templates.command("build")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="Where to write them.  [default: here]",
)
@click.pass_obj
def templates_build(app: App, out: Path) -> int:
    """Write the job templates as files.

    For 'hammer job-template import --file', or to look at them first.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"{out}: {error.strerror}") from error
    for template in job_templates.build():
        write_file(out / template.file_name, template.text, mode=0o644)
        app.say(f"{out / template.file_name}: {template.name}")
    return 0


@templates.command("publish")
@click.option(
    "--organization",
    "organizations",
    multiple=True,
    metavar="NAME",
    help="Where they can be used; may be repeated.  [default: all that are visible]",
)
@click.option(
    "--location",
    "locations",
    multiple=True,
    metavar="NAME",
    help="Where they can be used; may be repeated.  [default: all that are visible]",
)
@click.option(
    "--check-user",
    metavar="USER",
    help="Effective user of the check: whose clouds.yaml it reads.  [default: Satellite's setting]",
)
@click.pass_obj
def templates_publish(
    app: App, organizations: Sequence[str], locations: Sequence[str], check_user: Optional[str]
) -> int:
    """Bring the job templates into Satellite.

    New ones are created, others brought up to date; prints what changed. An effective user that is
    set already stays.
    """
    for one in publish(
        satellite_of(app.settings()), job_templates.build(), organizations, locations, check_user
    ):
        app.say(
            report.plain(f"{one.change:<10}{one.name}" + (f" ({one.detail})" if one.detail else ""))
        )
    return 0
