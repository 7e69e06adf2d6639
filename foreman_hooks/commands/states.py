"""states: whether the machine of each host runs, is off or is gone."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import click

from foreman_hooks.cleanup.progress import utc_now
from foreman_hooks.cleanup.states import StateReader, States
from foreman_hooks.commands.app import (
    App,
    checker_of,
    satellite_of,
    scope_of,
    search_of,
)
from foreman_hooks.commands.files import write_file
from foreman_hooks.commands.options import (
    ScopeOptions,
    host_options,
    output_options,
)
from foreman_hooks.commands.output import complain, hint
from foreman_hooks.commands.progress import show_progress
from foreman_hooks.commands.usage import usage_error
from foreman_hooks.errors import INCOMPLETE
from foreman_hooks.reports import documents
from foreman_hooks.reports import states as reports
from foreman_hooks.reports.listings import Style
from foreman_hooks.reports.window import wrapped
from foreman_hooks.rules.states import State
from foreman_hooks.satellite.client import Satellite, quoted

# RHSA-2026:1234, FEDORA-EPEL-2026-0a1b2c, DSA-5000-1
_ERRATUM = re.compile(r"([A-Za-z]+(?:-[A-Za-z]+)*)(-[0-9]+[:-][0-9A-Za-z:-]+)")


def _erratum(
    context: click.Context, option: click.Parameter, value: Optional[str]
) -> str:
    """The id of an erratum, as Katello has it; "" without one."""
    if value is None:
        return ""
    match = _ERRATUM.fullmatch(value)
    if not match:
        raise click.BadParameter("must be an id such as RHSA-2026:1234")
    kind = match[1].upper()
    if kind == "CVE":
        raise click.BadParameter(
            "Satellite does not search hosts by CVE; name an erratum that fixes it"
        )
    return kind + match[2]


@click.command()
@host_options
@click.option(
    "--erratum",
    metavar="ID",
    callback=_erratum,
    help="Only hosts that have not taken this erratum, such as RHSA-2026:1234.",
)
@click.option(
    "--state",
    "wanted",
    type=click.Choice([state.value for state in State]),
    multiple=True,
    metavar="STATE",
    help=f"List only hosts in this state; may be repeated. One of: {', '.join(State)}.",
)
@click.option(
    "--report",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html",
    help="Also write an HTML page that lists every host.",
)
@output_options
@click.pass_obj
def states(
    app: App,
    scope: ScopeOptions,
    erratum: str,
    wanted: Sequence[str],
    page: Optional[Path],
    style: Style,
) -> int:
    """Say of each host whether its machine runs, is off or is gone.

    It only reads. A machine that runs and has not checked in for 'policy.silence' is
    running-silent: look at these first. Those that run or are not OpenStack instances are only
    counted, unless with -v or --state.
    """
    documents.check_state_fields(style)
    fleet = _read(app, scope, erratum, wanted)
    if page:
        from foreman_hooks.reports import states_page  # here: jinja2 is slow to load

        write_file(page, states_page.render(fleet), mode=0o640)
    _show(app, fleet, style, in_full=app.verbose or bool(wanted))
    return _exit_code(fleet)


def _read(
    app: App, options: ScopeOptions, erratum: str, wanted: Sequence[str]
) -> States:
    """Look at both sides; the hosts are those in the wanted states."""
    settings = app.settings()
    satellite = satellite_of(settings)
    options = options._replace(search=search_of(options, settings))
    described = str(options)
    if erratum:
        options = _narrowed(satellite, options, erratum)
    with show_progress(app.quiet) as progress:
        reader = StateReader(
            satellite=satellite,
            checker=checker_of(settings),
            policy=settings.policy,
            scope=scope_of(satellite, options),
            progress=progress,
            now=utc_now(),
            described=described,
            erratum=erratum,
        )
        return reader.read(set(map(State, wanted)))


def _narrowed(satellite: Satellite, scope: ScopeOptions, erratum: str) -> ScopeOptions:
    """Only the hosts to which the erratum applies, whether or not their content view has it.

    Raises UsageError without Katello, as Foreman alone knows no errata.
    """
    if not satellite.katello:
        raise usage_error(f"--erratum: {satellite.url} has no Katello, so no errata")
    search = f"applicable_errata = {quoted(erratum)}"
    if scope.search:
        search = f"({scope.search}) and {search}"
    return scope._replace(search=search)


def _show(app: App, fleet: States, style: Style, in_full: bool) -> None:
    """Print the hosts; `in_full`: for people, too, all of them."""
    if style.for_programs:
        app.show(documents.states_document(fleet), style)
    elif style.is_grouped:
        app.say(reports.states_listing(fleet, app.window, in_full))
        app.say("\n".join(wrapped(reports.sums(fleet), app.window.width)))
    else:
        listed = reports.listed_hosts(fleet, in_full)
        app.show_rows(reports.host_rows(listed), style)


def _exit_code(fleet: States) -> int:
    """Print what could not be known; 0 if that is nothing."""
    if fleet.erratum and not fleet.total:
        hint(
            f"no host needs {fleet.erratum}; Satellite says the same of an erratum that it does "
            "not know"
        )
    errors = [region.error for region in fleet.regions if region.error]
    for error in errors:
        complain(str(error), INCOMPLETE)
    if errors and len(errors) == len(fleet.regions):
        return errors[0].exit_code
    unknown = fleet.counts.get(State.UNKNOWN, 0)
    if unknown and not errors:
        complain(f"nothing is known about {unknown} of {fleet.total} hosts", INCOMPLETE)
    return INCOMPLETE if unknown or errors else 0
