"""check: ask OpenStack whether instances exist."""

import sys
from collections.abc import Iterable, Sequence

import click

from foreman_hooks.commands.app import App, checker_of
from foreman_hooks.commands.options import output_options
from foreman_hooks.commands.output import complain, warn
from foreman_hooks.commands.progress import show_progress
from foreman_hooks.errors import code_of
from foreman_hooks.osp_checker.checker import Checker, CloudScope, LocalChecker
from foreman_hooks.osp_checker.errors import OSPError
from foreman_hooks.osp_checker.sightings import Presence, Sighting, Survey
from foreman_hooks.osp_checker.uuids import parse_uuid
from foreman_hooks.reports import listings as report
from foreman_hooks.reports.listings import Style

LIST_FROM = 50  # so many UUIDs at once are cheaper found in the list of all servers


@click.command()
@click.argument("uuids", nargs=-1, metavar="[UUID]...")
@click.option(
    "--cloud", "clouds", multiple=True, metavar="NAME", help="Of clouds.yaml; may be repeated."
)
@click.option(
    "--region", "regions", multiple=True, metavar="NAME", help="Of these clouds; may be repeated."
)
@output_options
@click.pass_context
def check(
    context: click.Context,
    uuids: Sequence[str],
    clouds: Sequence[str],
    regions: Sequence[str],
    style: Style,
) -> int:
    """Ask OpenStack whether instances exist.

    UUIDs are arguments, or lines on standard input.

    Code 200: it exists. 404: it does not (deleted: with proof; absent: no trace is left). 500: not
    known. 400: not a UUID. Exits with 0 where all exist, 128 where one does not, 1 where one could
    not be known.
    """
    app = context.obj if isinstance(context.obj, App) else App(None, False, False, context.obj)
    if clouds or regions:
        checker: Checker = LocalChecker(
            [CloudScope(cloud, tuple(regions)) for cloud in clouds or (None,)]
        )
    else:
        checker = checker_of(app.settings())
    texts = list(uuids) or _stdin_lines()  # only now, as the deadline is for this as well
    survey = _survey(checker, [form for form in map(parse_uuid, texts) if form])
    sightings = [one for text in dict.fromkeys(texts) for one in _sightings(survey, text)]
    errors = [seen.error for seen in survey.regions if seen.error]
    if not errors or any(one.presence is not Presence.UNKNOWN for one in sightings):
        app.say(report.render(report.sighting_rows(sightings), style))  # else the errors say it all
    return _check_code(sightings, errors)


def _survey(checker: Checker, uuids: Sequence[str]) -> Survey:
    """Ask at least cost: many from the list of all servers, a few one by one, and none at all where
    there is none.
    """
    if not uuids:
        return Survey((), {}, {})
    if len(uuids) < LIST_FROM:
        return checker.ask(uuids)
    with show_progress(quiet=False) as progress:
        checker.prepare(lambda done, total: progress("servers of OpenStack", done, total))
        return checker.survey(
            uuids, lambda done, total: progress("instances asked about", done, total)
        )


def _sightings(survey: Survey, text: str) -> Sequence[Sighting]:
    form = parse_uuid(text)
    return survey.of(form) if form else (Sighting(text, "", "", Presence.INVALID, "not a UUID"),)


def _stdin_lines() -> list[str]:
    if sys.stdin.isatty():
        raise click.UsageError("name at least one UUID, or give them on standard input, one a line")
    lines = [
        line.strip() for line in sys.stdin.buffer.read().decode("utf-8", "replace").splitlines()
    ]
    return [line for line in lines if line]


def _check_code(sightings: Sequence[Sighting], errors: Sequence[OSPError]) -> int:
    for error in errors:
        complain(str(error), 1)
    invalid = [one.uuid for one in sightings if one.presence is Presence.INVALID]
    if invalid:
        return complain(f"not a UUID: {_some(map(repr, invalid))}", 65)
    alive = {one.uuid for one in sightings if one.presence is Presence.PRESENT}
    unknown = [
        one.uuid for one in sightings if one.presence is Presence.UNKNOWN and one.uuid not in alive
    ]
    if unknown and errors:
        return code_of(errors[0])
    if unknown:
        return complain(f"could not be asked about: {_some(unknown)}", 1)
    gone = [one.uuid for one in sightings if one.uuid not in alive]
    if gone:
        warn(f"no such instance: {_some(gone)}")
        return 128
    return 0


def _some(texts: Iterable[str]) -> str:
    """The first few of them, each once."""
    every = list(dict.fromkeys(texts))
    return ", ".join(every[:5]) + (f" and {len(every) - 5} more" if len(every) > 5 else "")
