"""unmanaged: servers of OpenStack that have no host record."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Optional

import click

from foreman_hooks.cleanup.run import Progress, utc_now
from foreman_hooks.cleanup.unmanaged import Filter, Server, list_servers
from foreman_hooks.cleanup.unmanaged import unmanaged as unmanaged_servers
from foreman_hooks.commands.app import App, satellite_of
from foreman_hooks.commands.options import bundled, output_options
from foreman_hooks.commands.progress import show_progress
from foreman_hooks.commands.usage import usage_error
from foreman_hooks.osp_checker import LocalChecker, both_orders
from foreman_hooks.reports import documents
from foreman_hooks.reports.listings import Row, Style
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.inventory import (
    EVERYTHING,
    ListedHost,
    identify_hosts,
    list_hosts,
)
from foreman_hooks.section import SettingsError, as_duration
from foreman_hooks.settings import Settings
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
    _check_not_a_job(settings)
    satellite = satellite_of(settings)
    checker = _open_checker(settings)
    with show_progress(app.quiet) as progress:
        hosts = list(
            list_hosts(satellite, EVERYTHING, partial(progress, "hosts of Satellite"))
        )
        servers = _servers(checker, progress)
        known = _known(satellite, hosts, servers, settings.policy.openstack_names)
    selected = list(unmanaged_servers(servers, known, wanted, utc_now()))
    if style.for_programs:
        app.show(documents.servers_listing(selected), style)
        return 0
    app.show_rows(list(map(_row, selected)), style)
    app.say(f"{len(selected)} of {len(servers)} servers have no host record\n")
    return 0


def _check_not_a_job(settings: Settings) -> None:
    """Raise SettingsError if a job asks the clouds, as a job does not describe servers."""
    if settings.checker is not None:
        raise SettingsError(
            "unmanaged asks the clouds itself, but the configuration leaves them to a job "
            "(checker.job_template); run it with another configuration, where clouds.yaml is"
        )


def _open_checker(settings: Settings) -> LocalChecker:
    """Log in to every region; raises OSPError if one fails."""
    checker = LocalChecker(settings.clouds)
    checker.open()
    for error in checker.errors.values():
        raise error
    return checker


def _servers(checker: LocalChecker, progress: Progress) -> list[Server]:
    servers: list[Server] = []
    for region in checker.regions.values():
        servers.extend(list_servers(region, partial(progress, "servers of OpenStack")))
    return servers


def _known(
    satellite: Satellite,
    hosts: Sequence[ListedHost],
    servers: Iterable[Server],
    openstack_names: tuple[str, ...],
) -> set[str]:
    """Every UUID that a host record names.

    If no server has one of a host's first few UUIDs, all facts of that host are read.
    """
    running = {server.uuid for server in servers}
    known: set[str] = set()
    unmatched = []
    for host in hosts:
        known.update(host.uuids)
        if running.isdisjoint(both_orders(host.uuids)):
            unmatched.append(host)
    for examined in identify_hosts(satellite, unmatched, openstack_names):
        known.update(examined.identity.uuids)
    return known


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
