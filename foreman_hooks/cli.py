"""The commands.  Thin: they read options, call the parts, and print; the one place that prints and exits."""

import getpass
import itertools
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Optional

import click

from . import plan as plans
from . import report, settings
from .checkers import Checker, JobChecker
from .cleanup import Cleanup, Progress, silent
from .journal import Journal, JournalBusy, JournalError
from .judge import steps
from .model import LOUD, Outcome
from .osp_checker import (
    CloudScope,
    LocalChecker,
    OSPConfigError,
    OSPError,
    OSPForbidden,
    OSPLoginError,
    Presence,
    Sighting,
    Survey,
    parse_uuid,
)
from .plan import Plan, PlanError
from .remote_execution import RemoteExecution
from .report import FORMATS, Style, UnknownField
from .satellite import (
    Satellite,
    SatelliteError,
    SatelliteForbidden,
    SatelliteLoginError,
    SatelliteNotFound,
    SatelliteRefused,
)
from .settings import Settings, SettingsError

log = logging.getLogger(__name__)

EXIT_CODES = {
    0: "done, or nothing to do",
    1: "done, but something failed or could not be known",
    2: "with --detailed-exitcode: deletions are pending",
    3: "refused by a guard rail; nothing was deleted",
    64: "usage: a wrong option or argument",
    65: "bad data: not a UUID, or a plan that is damaged, changed, old or another Satellite's",
    69: "Satellite or OpenStack cannot be reached, or gave an answer without sense",
    70: "an error of our own, or of the journal",
    75: "try again: another run is under way",
    77: "forbidden: a permission is missing",
    78: "configuration",
    128: "not found; check: terminated or absent",
    129: "wrong login",
    130: "interrupted",
}
# The first class that fits decides, so the special ones come first.
_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (OSPConfigError, 78), (OSPLoginError, 129), (OSPForbidden, 77), (OSPError, 69),
    (SatelliteLoginError, 129), (SatelliteForbidden, 77), (SatelliteNotFound, 128), (SatelliteRefused, 65),
    (SatelliteError, 69), (SettingsError, 78), (JournalBusy, 75), (JournalError, 70), (PlanError, 65),
    (UnknownField, 64))
LIST_FROM = 50              # so many UUIDs at once are cheaper found in the list of all servers


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command line; the exit code.  Turns every known error into one line on stderr."""
    return _run(cli, argv)


def osp_check(argv: Optional[Sequence[str]] = None) -> int:
    """The checker alone, for the OSP side: `check` without a Satellite."""
    return _run(check, argv)


def _run(command: click.Command, argv: Optional[Sequence[str]]) -> int:
    _set_up_logging(logging.WARNING)
    try:
        result = command.main(args=None if argv is None else list(argv), standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        return _complain(error.format_message(), 64)
    except (click.Abort, KeyboardInterrupt):
        return _complain("interrupted; what was done before is in the journal", 130)
    except BrokenPipeError:         # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except tuple(kind for kind, _ in _CODES) as error:
        log.debug("traceback", exc_info=True)
        return _complain(str(error), code_of(error))
    except Exception as error:      # noqa: BLE001  a bug of ours: say so in one line, and never as success
        log.debug("traceback", exc_info=True)
        return _complain(f"this is an error of ours: {type(error).__name__}: {error}; run with -d for more", 70)


def code_of(error: BaseException) -> int:
    """The exit code of one of our errors."""
    return next(code for kind, code in _CODES if isinstance(error, kind))


def _complain(message: str, code: int) -> int:
    click.echo(f"error: {report.plain(' '.join(message.split()))}", err=True)
    return code


# Options that several commands share

def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """hammer's options for listings; the command gets them as one `style`."""
    def with_style(*args: Any, output: str, fields: str, no_headers: bool, csv_separator: str, **rest: Any) -> Any:
        style = Style(output, tuple(filter(None, fields.split(","))), not no_headers, csv_separator)
        return command(*args, style=style, **rest)

    with_style.__name__, with_style.__doc__ = command.__name__, command.__doc__
    with_style.__click_params__ = getattr(command, "__click_params__", [])      # type: ignore[attr-defined]
    for option in (
            click.option("--csv-separator", default=",", metavar="CHAR", callback=_one_char, help="Separator for csv."),
            click.option("--no-headers", is_flag=True, help="Leave the headers out."),
            click.option("--fields", default="", metavar="A,B", help="Show these columns only."),
            click.option("--output", type=click.Choice(FORMATS), default="table", show_default=True,
                         help="How to print the listing; all but table list every record.")):
        with_style = option(with_style)
    return with_style


def _one_char(context: click.Context, option: click.Parameter, value: str) -> str:
    if len(value) != 1 or value in '"\r\n':
        raise click.BadParameter("must be one character, and no quote or line end")
    return value


scope_options = [
    click.option("--search", metavar="QUERY", help="Only hosts that match, in Satellite's search language."),
    click.option("--organization", metavar="NAME", help="Only hosts of this organization."),
    click.option("--max-deletions", type=click.IntRange(min=0), metavar="N",
                 help="Refuse to delete more than N; 'policy.max_deletions' holds all the same."),
]


def _with(options: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command
    return decorate


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
             epilog="Exit codes: see the README. Nothing is deleted but by 'apply' and 'run --apply'.")
@click.version_option(package_name="satellite-osp-cleanup")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
              help=f"Configuration.  [default: {settings.CONFIG}, if it is there]")
@click.option("-v", "--verbose", is_flag=True, help="List every record, and log what is done.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.option("-d", "--debug", is_flag=True, help="Log every request (never a secret).")
@click.pass_context
def cli(context: click.Context, config: Optional[Path], verbose: bool, quiet: bool, debug: bool) -> None:
    """Remove the Satellite host records of terminated OpenStack instances, and no others."""
    context.obj = App(config, verbose, quiet)
    _set_up_logging(logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING)


def _set_up_logging(level: int) -> None:
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s", force=True)
    logging.getLogger("foreman_hooks").setLevel(level)
    # keystoneauth complains of what it then raises as well
    logging.getLogger("keystoneauth").setLevel(logging.CRITICAL)


class App:
    """What every command may need: the settings, read when they are first asked for, and how to talk."""

    def __init__(self, config: Optional[Path], verbose: bool, quiet: bool) -> None:
        self._config, self.verbose, self.quiet = config, verbose, quiet

    def settings(self) -> Settings:
        """The configuration; raises SettingsError."""
        return settings.load(self._config)

    def say(self, text: str) -> None:
        """Print for people and pipes, unless -q."""
        if text and not self.quiet:
            click.echo(text, nl=not text.endswith("\n"))

    @contextmanager
    def cleanup(self, search: Optional[str] = None, organization: Optional[str] = None,
                max_deletions: Optional[int] = None) -> Iterator[Cleanup]:
        """Everything a run works with, with the journal held."""
        found = self.settings()
        satellite = _satellite(found)
        policy = found.policy if max_deletions is None else replace(
            found.policy, max_deletions=min(max_deletions, found.policy.max_deletions))
        search = found.search if search is None else search
        _check_search(search)
        scope = ", ".join(filter(None, (f"search {search!r}" if search else "",
                                        f"organization {organization}" if organization else "")))
        with Journal.open(found.journal) as journal, _progress(self.quiet) as progress:
            if organization:
                satellite.organization = satellite.organization_id(organization)
            yield Cleanup(satellite, _checker(found), journal, policy, search, scope or "all hosts", progress)


def _satellite(found: Settings) -> Satellite:
    if found.login is None:
        raise SettingsError("no Satellite is configured; set satellite.url in the configuration, or "
                            "FOREMAN_SERVER_URL, or set up hammer")
    return Satellite(found.login)


def _checker(found: Settings) -> Checker:
    """Who asks the clouds: we, or a job, through a connection of its own that no organization narrows."""
    if found.checker is None:
        return LocalChecker(found.clouds)
    return JobChecker(RemoteExecution(_satellite(found)), found.checker, found.clouds)


def _check_search(search: str) -> None:
    """Satellite does not refuse a malformed search: it matches nothing, or every host (measured)."""
    depths = list(itertools.accumulate((char == "(") - (char == ")") for char in search))
    if search and (min(depths) < 0 or depths[-1] or search.count('"') % 2 or not any(map(str.isalnum, search))):
        raise click.UsageError(f"the search {search!r} is malformed; Satellite would not refuse it, but match nothing "
                               "or every host")


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    """A bar for each stage, on a terminal only, and on stderr so that output can be piped."""
    if quiet or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    with Bars(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
              console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=None)
            bars.update(tasks[what], completed=done, total=total or None)

        yield told


# plan, apply, run

@cli.command()
@_with(scope_options)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write the plan to FILE, for 'apply'.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when deletions are pending.")
@click.option("--show-hammer", is_flag=True, help="Print the hammer commands that would do the same.")
@output_options
@click.pass_obj
def plan(app: App, search: Optional[str], organization: Optional[str], max_deletions: Optional[int],
         out: Optional[Path], detailed_exitcode: bool, show_hammer: bool, style: Style) -> int:
    """Show what would be deleted, and why; deletes nothing.

    Every run counts: an instance of which OpenStack has no trace left may only go after it was missing in
    several runs ('policy.misses') over some time ('policy.grace').
    """
    with app.cleanup(search, organization, max_deletions) as cleanup:
        made = cleanup.plan()
    if out:
        _write(out, plans.dump(made))
    _show_plan(app, made, style)
    if show_hammer:
        app.say("\n".join(report.hammer_lines(made.deletions)))
    if out:
        click.echo(f"plan {made.digest[:12]} written to {out}", err=True)
    return _plan_code(made, detailed_exitcode)


@cli.command()
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option("--approve", metavar="DIGEST", help="Lift the caps for this plan, once; the journal keeps who and when.")
@output_options
@click.pass_obj
def apply(app: App, plan_file: Path, approve: Optional[str], style: Style) -> int:
    """Carry out a plan that 'plan' wrote.

    Each record and each instance is looked at again first; what no longer holds is kept.  A plan that was
    changed, is older than a day or is of another Satellite is refused.
    """
    made = plans.load(_read(plan_file))
    with app.cleanup() as cleanup:
        if approve is not None:
            _approve(cleanup, made, approve)
        refusals = cleanup.check(made)
        if refusals and approve is None:
            return _refused(made, refusals)
        return _apply(app, cleanup, made, style, approved=approve is not None)


@cli.command()
@_with(scope_options)
@click.option("--apply", "apply_it", is_flag=True, help="Delete what the plan says; without it, only show the plan.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when deletions are pending.")
@output_options
@click.pass_obj
def run(app: App, search: Optional[str], organization: Optional[str], max_deletions: Optional[int], apply_it: bool,
        detailed_exitcode: bool, style: Style) -> int:
    """Plan, and with --apply delete.

    This is what cron and remote execution call. Prints nothing where there is nothing to tell, unless a terminal or
    another output than table is asked for.
    """
    with app.cleanup(search, organization, max_deletions) as cleanup:
        made = cleanup.plan()
        code = _plan_code(made, detailed_exitcode and not apply_it)
        news = code or made.deletions or any(one.reason in LOUD for one in made.verdicts)
        if news or sys.stdout.isatty() or style.output != "table":
            _show_plan(app, made, style)
        if not apply_it or made.refusals or not made.deletions:
            return code
        return max(code, _apply(app, cleanup, made, style))


def _show_plan(app: App, made: Plan, style: Style) -> None:
    everything = app.verbose or style.output != "table"
    rows = report.verdict_rows(one for one in made.verdicts if everything or report.noteworthy(one))
    app.say(report.render(rows, style))
    if style.output == "table":
        app.say(report.summary(made))
    for refusal in made.refusals:
        click.echo(f"refused: {refusal}; nothing is deleted", err=True)


def _plan_code(made: Plan, detailed: bool) -> int:
    """3 refused, 1 where something could not be known (or the error's own code, where nothing could), 2, or 0."""
    errors = [seen for seen in made.regions if seen.error]
    for seen in errors:
        _complain(seen.error, 1)
    if made.refusals:
        click.echo("apply --approve DIGEST lifts the caps for one plan (plan --out FILE shows its digest)", err=True)
        return 3
    if errors and len(errors) == len(made.regions):
        return next(code for kind, code in _CODES if kind.__name__ == errors[0].error_kind)
    if made.unknown or errors:
        return 1
    return 2 if detailed and made.deletions else 0


def _refused(made: Plan, refusals: Sequence[str]) -> int:
    for refusal in refusals:
        click.echo(f"refused: {refusal}; nothing is deleted", err=True)
    return _complain(f"a guard rail refuses this plan; 'apply --approve {made.digest[:12]}' lifts the caps, once", 3)


def _approve(cleanup: Cleanup, made: Plan, digest: str) -> None:
    if len(digest) < 12 or not made.digest.startswith(digest.lower()):
        raise PlanError(f"the plan's digest is {made.digest[:12]}, not {digest}; look at it before you approve it")
    cleanup.check(made)         # an old plan or another Satellite's is not approved
    cleanup.approve(made, getpass.getuser())


def _apply(app: App, cleanup: Cleanup, made: Plan, style: Style, approved: bool = False) -> int:
    outcomes: list[Outcome] = []
    with _finish_first() as stopped:
        outcomes.extend(cleanup.apply(made, stopped, approved=approved))
    app.say(report.render(report.outcome_rows(outcomes), style))
    deleted = sum(one.result == "deleted" for one in outcomes)
    if style.output == "table":
        app.say(f"{deleted} of {len(outcomes)} records deleted\n")
    for one in outcomes:
        if one.result == "failed":
            _complain(f"{one.name}: {one.detail}", 1)
    if stopped():
        return _complain(f"interrupted; {deleted} of {len(outcomes)} records were deleted, all are in the journal", 130)
    return 0 if deleted == len(outcomes) else 1


@contextmanager
def _finish_first() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C and SIGTERM end the work after the deletion under way, and not within it."""
    caught: list[int] = []
    before = {number: signal.signal(number, lambda number, _: caught.append(number))
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# explain, check, doctor, demo

@cli.command()
@click.argument("host")
@click.pass_obj
def explain(app: App, host: str) -> int:
    """Show every rule for one host.

    HOST is a name or an id. Each line says what a rule asks and what was seen; the verdict comes last.
    """
    with app.cleanup() as cleanup:
        cleanup = replace(cleanup, search="")
        host_id, name = cleanup.satellite.find_host(host)
        observation = cleanup.observe()
    found = next((one for one in observation.hosts if one.id == host_id), None)
    if found is None:
        raise SatelliteNotFound(f"host {name} went away in the meantime")
    app.say(f"{name} (id {host_id})")
    reason = None
    for step in steps(observation.case(found), cleanup.policy, observation.made_at):
        app.say(report.plain(f"  {'stop' if step.reason else 'ok':<5}{step.rule}: {step.seen}"))
        reason = step.reason
    app.say(f"verdict: {f'not deleted, {reason.value}' if reason else 'delete'}")
    return 0


@cli.command()
@click.argument("uuids", nargs=-1, metavar="[UUID]...")
@click.option("--cloud", "clouds", multiple=True, metavar="NAME", help="Of clouds.yaml; may be repeated.")
@click.option("--region", "regions", multiple=True, metavar="NAME", help="Of these clouds; may be repeated.")
@output_options
@click.pass_context
def check(context: click.Context, uuids: Sequence[str], clouds: Sequence[str], regions: Sequence[str],
          style: Style) -> int:
    """Ask OpenStack whether instances exist.

    UUIDs are arguments, or lines on standard input.

    Code 200: it exists. 404: it does not (deleted: with proof; absent: no trace is left). 500: not known.
    400: not a UUID. Exits with 0 where all exist, 128 where one does not, 1 where one could not be known.
    """
    app = context.obj or App(None, False, False)
    texts = list(uuids) or _stdin_lines()
    if clouds or regions:
        checker: Checker = LocalChecker([CloudScope(cloud, tuple(regions)) for cloud in clouds or (None,)])
    else:
        checker = _checker(app.settings())
    survey = _survey(checker, [form for form in map(parse_uuid, texts) if form])
    sightings = [one for text in dict.fromkeys(texts) for one in _sightings(survey, text)]
    errors = [seen.error for seen in survey.regions if seen.error]
    if not errors or any(one.presence is not Presence.UNKNOWN for one in sightings):
        app.say(report.render(report.sighting_rows(sightings), style))      # else the errors say it all
    return _check_code(sightings, errors)


def _survey(checker: Checker, uuids: Sequence[str]) -> Survey:
    """Ask at least cost: many from the list of all servers, a few one by one, and none at all where there is none."""
    if not uuids:
        return Survey((), {}, {})
    if len(uuids) < LIST_FROM:
        return checker.ask(uuids)
    with _progress(quiet=False) as progress:
        checker.prepare(lambda done, total: progress("servers of OpenStack", done, total))
        return checker.survey(uuids, lambda done, total: progress("instances asked about", done, total))


def _sightings(survey: Survey, text: str) -> Sequence[Sighting]:
    form = parse_uuid(text)
    return survey.of(form) if form else (Sighting(text, "", "", Presence.INVALID, "not a UUID"),)


def _stdin_lines() -> list[str]:
    if sys.stdin.isatty():
        raise click.UsageError("name at least one UUID, or give them on standard input, one a line")
    lines = [line.strip() for line in sys.stdin.buffer.read().decode("utf-8", "replace").splitlines()]
    return [line for line in lines if line]


def _check_code(sightings: Sequence[Sighting], errors: Sequence[OSPError]) -> int:
    for error in errors:
        _complain(str(error), 1)
    invalid = [one.uuid for one in sightings if one.presence is Presence.INVALID]
    if invalid:
        return _complain(f"not a UUID: {', '.join(map(repr, invalid[:5]))}"
                         + (f" and {len(invalid) - 5} more" if len(invalid) > 5 else ""), 65)
    alive = {one.uuid for one in sightings if one.presence is Presence.PRESENT}
    if any(one.presence is Presence.UNKNOWN and one.uuid not in alive for one in sightings):
        return code_of(errors[0]) if errors else 1
    return 0 if {one.uuid for one in sightings} <= alive else 128


@cli.command()
@click.pass_obj
def doctor(app: App) -> int:
    """Examine both sides and say what to do.

    Looks at the journal, at Satellite (reachable, TLS, version, log-in, clock, permissions, facts) and at every cloud
    and region (log-in, endpoint, proof that other projects are visible). Exits with 1 if anything fails.
    """
    from .doctor import examine

    worst = 0
    for finding in examine(app.settings()):
        app.say(report.plain(f"{finding.state:<8} {finding.what}"))
        if finding.advice:
            app.say(report.plain(f"{'':<8} -> {finding.advice}"))
        worst = max(worst, {"ok": 0, "warning": 0, "fail": 1}[finding.state])
    return worst


@cli.group()
def templates() -> None:
    """Job templates for Satellite's remote execution."""


@templates.command("build")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path(), metavar="DIR",
              help="Where to write them.  [default: here]")
@click.pass_obj
def templates_build(app: App, out: Path) -> int:
    """Write the job templates as files.

    For 'hammer job-template import --file', or to look at them first.
    """
    from satellite_remote_exec.build import build

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"{out}: {error.strerror}") from error
    for template in build():
        _write(out / template.file_name, template.text, mode=0o644)
        app.say(f"{out / template.file_name}: {template.name}")
    return 0


@templates.command("publish")
@click.option("--organization", "organizations", multiple=True, metavar="NAME",
              help="Where they can be used; may be repeated.  [default: all that are visible]")
@click.option("--location", "locations", multiple=True, metavar="NAME",
              help="Where they can be used; may be repeated.  [default: all that are visible]")
@click.option("--check-user", metavar="USER",
              help="Effective user of the check: whose clouds.yaml it reads.  [default: Satellite's setting]")
@click.pass_obj
def templates_publish(app: App, organizations: Sequence[str], locations: Sequence[str],
                      check_user: Optional[str]) -> int:
    """Bring the job templates into Satellite.

    New ones are created, others brought up to date; prints what changed. An effective user that is set already stays.
    """
    from satellite_remote_exec.build import build
    from satellite_remote_exec.publish import publish

    for one in publish(_satellite(app.settings()), build(), organizations, locations, check_user):
        app.say(report.plain(f"{one.change:<10}{one.name}" + (f" ({one.detail})" if one.detail else "")))
    return 0


@cli.command()
@click.option("--keep", is_flag=True, help="Leave both servers running until Ctrl-C, to try other commands on them.")
def demo(keep: bool) -> int:
    """Show it all on loopback.

    Starts a Satellite and an OSP of our own, with every kind of host that matters, and cleans up there.
    """
    from .sandbox.demo import show

    return show(click.echo, keep)


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a whole file or none: a plan that was cut would be refused, but nobody should have to find out."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise PlanError(f"{path}: {error.strerror}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from error


def entry_point() -> NoReturn:
    """satellite-osp-cleanup."""
    _silence_libraries()
    _leave(main())


def check_entry_point() -> NoReturn:
    """osp-check."""
    _silence_libraries()
    _leave(osp_check())


def _silence_libraries() -> None:
    """Their warnings are for developers and would be a mail of cron every hour; of TLS doctor reminds."""
    warnings.simplefilter("ignore")


def _leave(code: int) -> NoReturn:
    """Exit; after Ctrl-C without waiting for requests that hang."""
    if code == 130:
        os._exit(code)
    sys.exit(code)
