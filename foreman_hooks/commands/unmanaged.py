"""unmanaged: servers of OpenStack that have no host record."""

from typing import Optional

import click

from foreman_hooks.cleanup.progress import utc_now
from foreman_hooks.cleanup.unmanaged import Filter
from foreman_hooks.cleanup.unmanaged import unmanaged as unmanaged_servers
from foreman_hooks.commands.app import App, checker_of, satellite_of
from foreman_hooks.commands.options import bundled, output_options
from foreman_hooks.commands.progress import show_progress
from foreman_hooks.commands.usage import usage_error
from foreman_hooks.osp_checker import Server
from foreman_hooks.reports import documents
from foreman_hooks.reports.listings import Row, Style
from foreman_hooks.section import SettingsError, as_duration
from foreman_hooks.times import hammer_time


def _make_filter(
    project: Optional[str],
    name: Optional[str],
    image: Optional[str],
    older_than: Optional[str],
) -> Filter:
    """Which servers to list; raises UsageError if the age is not a time span."""
    if not older_than:
        return Filter(project, name, image)
    try:
        age = as_duration("unmanaged: --older-than", older_than)
    except SettingsError as error:
        raise usage_error(str(error)) from error
    return Filter(project, name, image, age)


filter_options = bundled(
    "wanted",
    _make_filter,
    [
        click.option(
            "--project",
            metavar="NAME",
            help="Only servers of this project, by name or id.",
        ),
        click.option(
            "--name", metavar="TEXT", help="Only servers with this in their name."
        ),
        click.option("--image", metavar="ID", help="Only servers of this image."),
        click.option(
            "--older-than",
            metavar="SPAN",
            help="Only servers created longer ago than a time span such as 24h or 30d.",
        ),
    ],
)


@click.command()
@filter_options
@output_options
@click.pass_obj
def unmanaged(app: App, wanted: Filter, style: Style) -> int:
    """List the servers of OpenStack that have no host record.

    Nobody patches these. Every host that the Satellite login can see counts, whatever
    'satellite.search' says. A server is recognised by the UUID in the facts, so one that is
    registered but reports no facts is listed as well.
    """
    settings = app.settings()
    satellite, checker = satellite_of(settings), checker_of(settings)
    with show_progress(app.quiet) as progress:
        answer = unmanaged_servers(satellite, checker, progress)
    now = utc_now()
    selected = [server for server in answer.servers if wanted.accepts(server, now)]
    if style.for_programs:
        app.show(documents.servers_listing(selected), style)
        return 0
    app.show_rows(list(map(_row, selected)), style)
    total = sum(region.servers or 0 for region in answer.regions)
    app.say(f"{len(selected)} of {total} servers have no host record\n")
    return 0


def _row(server: Server) -> Row:
    created = ""
    if server.created:
        created = hammer_time(server.created)
    return {
        "UUID": server.uuid,
        "Name": server.name,
        "Status": server.status,
        "Cloud": server.cloud,
        "Region": server.region,
        "Project": server.project_name or server.project,
        "Image": server.image,
        "Created": created,
    }
