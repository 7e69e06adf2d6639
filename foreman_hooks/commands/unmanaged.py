"""unmanaged: servers of OpenStack that no host record stands for."""

from collections.abc import Iterable, Sequence
from typing import Optional

import click

from foreman_hooks.cleanup.run import utc_now
from foreman_hooks.cleanup.unmanaged import Filter, Server, described
from foreman_hooks.cleanup.unmanaged import unmanaged as select
from foreman_hooks.commands.app import App, satellite_of
from foreman_hooks.commands.options import output_options
from foreman_hooks.commands.progress import show_progress
from foreman_hooks.osp_checker.checker import LocalChecker
from foreman_hooks.osp_checker.uuids import swap_bytes
from foreman_hooks.reports import listings as report
from foreman_hooks.reports.listings import Row, Style
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.inventory import EVERYTHING, Glance, glance, look_closely
from foreman_hooks.section import SettingsError, as_duration


@click.command()
@click.option("--project", metavar="NAME", help="Only servers of this project, by name or id.")
@click.option("--name", metavar="TEXT", help="Only servers with this in their name.")
@click.option("--image", metavar="ID", help="Only servers of this image.")
@click.option("--older-than", metavar="SPAN", help="Only servers made longer ago, as 24h or 30d.")
@output_options
@click.pass_obj
def unmanaged(
    app: App,
    project: Optional[str],
    name: Optional[str],
    image: Optional[str],
    older_than: Optional[str],
    style: Style,
) -> int:
    """List the servers of OpenStack that have no host record.

    Nobody patches these. Every host that the Satellite login sees counts, whatever
    'satellite.search' says; a server is known by the UUID in the facts, so one that registered but
    reports no facts is listed as well.
    """
    try:
        age = as_duration("unmanaged: --older-than", older_than) if older_than else None
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    found = app.settings()
    if found.checker is not None:
        raise SettingsError(
            "unmanaged asks the clouds itself, and the configuration leaves them to a job "
            "(checker.job_template); run it with another configuration, where clouds.yaml is"
        )
    satellite = satellite_of(found)
    checker = LocalChecker(found.clouds)
    checker.open()
    if checker.errors:
        raise next(iter(checker.errors.values()))
    with show_progress(app.quiet) as progress:
        hosts = list(
            glance(
                satellite,
                EVERYTHING,
                lambda done, total: progress("hosts of Satellite", done, total),
            )
        )
        servers = [
            server
            for region in checker.regions.values()
            for server in described(
                region, lambda done, total: progress("servers of OpenStack", done, total)
            )
        ]
        known = _known(
            satellite, hosts, {server.uuid for server in servers}, found.policy.openstack_names
        )
    rows = _rows(select(servers, known, Filter(project, name, image, age), utc_now()))
    app.say(report.render(rows, style))
    if style.output == "table":
        app.say(f"{len(rows)} of {len(servers)} servers have no host record\n")
    return 0


def _known(
    satellite: Satellite,
    hosts: Sequence[Glance],
    servers: set[str],
    openstack_names: tuple[str, ...],
) -> set[str]:
    """Every UUID that a record names; of those that no server has at a glance, by all of their
    facts.
    """
    known = {uuid for host in hosts for uuid in host.uuids}
    rest = [
        host
        for host in hosts
        if not any(uuid in servers or swap_bytes(uuid) in servers for uuid in host.uuids)
    ]
    return known.union(
        *(host.identity.uuids for host in look_closely(satellite, rest, openstack_names))
    )


def _rows(servers: Iterable[Server]) -> list[Row]:
    return [
        {
            "UUID": one.uuid,
            "Name": one.name,
            "Status": one.status,
            "Cloud": one.cloud,
            "Region": one.region,
            "Project": one.project_name or one.project,
            "Image": one.image,
            "Created": one.created.strftime("%Y/%m/%d %H:%M:%S") if one.created else "",
        }
        for one in servers
    ]
