"""check: ask OpenStack whether instances exist."""

import sys
from collections.abc import Iterable, Sequence

import click

from foreman_hooks.cleanup.progress import stage
from foreman_hooks.commands.app import App, checker_of
from foreman_hooks.commands.deadline import Deadline
from foreman_hooks.commands.options import output_options
from foreman_hooks.commands.output import complain, warn
from foreman_hooks.commands.progress import show_progress
from foreman_hooks.commands.usage import usage_error
from foreman_hooks.errors import INCOMPLETE, NOT_FOUND, BadData
from foreman_hooks.osp_checker import (
    Checker,
    CloudScope,
    LocalChecker,
    OSPError,
    Presence,
    Sighting,
    Survey,
    parse_uuid,
)
from foreman_hooks.reports import documents, listings
from foreman_hooks.reports.listings import Style

LIST_FROM = 50  # UUIDs; from this number on, listing all servers is faster
EXAMPLES = 5  # UUIDs that a message names


@click.command()
@click.argument("uuids", nargs=-1, metavar="[UUID]...")
@click.option(
    "--cloud",
    "clouds",
    multiple=True,
    metavar="NAME",
    help="Only this cloud of clouds.yaml; may be repeated.",
)
@click.option(
    "--region",
    "regions",
    multiple=True,
    metavar="NAME",
    help="Only this region of these clouds; may be repeated.",
)
@output_options
@click.pass_obj
def check(
    obj: object,
    uuids: Sequence[str],
    clouds: Sequence[str],
    regions: Sequence[str],
    style: Style,
) -> int:
    """Ask OpenStack whether instances exist.

    UUIDs are arguments, or lines on standard input.

    Code 200: it exists. 404: it does not exist (deleted: with proof; absent: no trace is left).
    500: not known. 400: not a UUID. Exits with 0 if all exist, 128 if one does not, 1 if one is
    not known.
    """
    app = _app(obj)
    checker = _checker(app, clouds, regions)
    # Standard input is read only now, so that the deadline applies to it too.
    texts = list(uuids) or _stdin_lines()
    survey = _survey(checker, texts)
    sightings = _sightings(survey, texts)
    errors = [region.error for region in survey.regions if region.error]
    presences = {sighting.presence for sighting in sightings}
    if style.for_programs:
        app.show(documents.check_document(survey.regions, sightings), style)
    elif not errors or presences - {Presence.UNKNOWN}:  # else the errors say everything
        app.show_rows(listings.sighting_rows(sightings), style)
    return _exit_code(sightings, errors)


def _app(obj: object) -> App:
    """The App; osp-check, which is this command alone, passes only a deadline."""
    if isinstance(obj, App):
        return obj
    assert isinstance(obj, Deadline)
    return App(obj)


def _checker(app: App, clouds: Sequence[str], regions: Sequence[str]) -> Checker:
    """The checker for the clouds of the command line, or else for those configured."""
    if not clouds and not regions:
        return checker_of(app.settings())
    names = clouds or (None,)  # None: the default cloud, or that of OS_*
    return LocalChecker([CloudScope(name, tuple(regions)) for name in names])


def _survey(checker: Checker, texts: Iterable[str]) -> Survey:
    """Ask in the cheapest way: many from the list of all servers, a few one by one."""
    uuids = []
    for text in texts:
        uuid = parse_uuid(text)
        if uuid:
            uuids.append(uuid)
    if not uuids:
        return Survey((), {}, {})
    if len(uuids) < LIST_FROM:
        return checker.ask(uuids)
    with show_progress(quiet=False) as progress:
        lists = checker.prepare(stage(progress, "servers of OpenStack"))
        return checker.survey(uuids, lists, stage(progress, "instances asked about"))


def _sightings(survey: Survey, texts: Iterable[str]) -> Sequence[Sighting]:
    """The sightings for each text, once, in the order of the texts."""
    sightings: list[Sighting] = []
    for text in dict.fromkeys(texts):
        uuid = parse_uuid(text)
        if uuid:
            sightings.extend(survey.of(uuid))
        else:
            sightings.append(Sighting(text, "", "", Presence.INVALID, "not a UUID"))
    return sightings


def _stdin_lines() -> list[str]:
    if sys.stdin.isatty():
        raise usage_error(
            "name at least one UUID, or give them on standard input, one a line"
        )
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line]


def _exit_code(sightings: Sequence[Sighting], errors: Sequence[OSPError]) -> int:
    """Print the problems, and return the code of the worst; raises BadData for a bad UUID."""
    for error in errors:
        complain(str(error), INCOMPLETE)
    invalid = _uuids(sightings, Presence.INVALID)
    if invalid:
        raise BadData(f"not a UUID: {_some(map(repr, invalid))}")
    alive = set(_uuids(sightings, Presence.PRESENT))
    not_alive = [sighting for sighting in sightings if sighting.uuid not in alive]
    unknown = _uuids(not_alive, Presence.UNKNOWN)
    if unknown and errors:
        return errors[0].exit_code
    if unknown:
        return complain(f"could not be checked: {_some(unknown)}", INCOMPLETE)
    if not_alive:
        gone = [sighting.uuid for sighting in not_alive]
        warn(f"no such instance: {_some(gone)}")
        return NOT_FOUND
    return 0


def _uuids(sightings: Iterable[Sighting], presence: Presence) -> list[str]:
    return [sighting.uuid for sighting in sightings if sighting.presence is presence]


def _some(texts: Iterable[str]) -> str:
    """The first few of them, each once, and how many more there are."""
    distinct = list(dict.fromkeys(texts))
    shown = ", ".join(distinct[:EXAMPLES])
    more = len(distinct) - EXAMPLES
    return f"{shown} and {more} more" if more > 0 else shown
