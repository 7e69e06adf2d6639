"""status: how the cleanup does, without a request to any server."""

from pathlib import Path

import click

from foreman_hooks.cleanup.run import utc_now
from foreman_hooks.cleanup.status import ThisMachine, problems, read_recent
from foreman_hooks.commands.app import App, login_of
from foreman_hooks.commands.options import ScopeOptions, output_options
from foreman_hooks.commands.output import warn
from foreman_hooks.commands.usage import usage_error
from foreman_hooks.errors import INCOMPLETE
from foreman_hooks.hooks import machine, maintenance, systemd
from foreman_hooks.hooks.schedule_files import UNITS
from foreman_hooks.reports.listings import Style
from foreman_hooks.reports.status import Report
from foreman_hooks.reports.status_document import status_document

ROOT = Path("/")


@click.command()
@output_options
@click.pass_obj
def status(app: App, style: Style) -> int:
    """Show the last runs and the next ones, what waits, and what is wrong.

    Reads only the journal, the configuration and the schedule of this machine, also while a run is
    active. Exits with 1 if the last full run or a later quick run failed or was killed, if the
    schedule starts no runs, or if a record needs attention that nobody has acknowledged.
    """
    if style.fields and not style.for_programs:
        raise usage_error("--fields is for --output csv, json and yaml")
    settings = app.settings()
    satellite = login_of(settings).url
    scope = str(ScopeOptions(search=settings.search))
    now = utc_now()
    recent = read_recent(settings.journal, satellite, scope, now)
    this_machine = _this_machine()
    report = Report(satellite, recent, this_machine, settings.policy, now)
    if style.for_programs:
        app.show(status_document(report), style)
    else:
        app.say(report.text(app.window))
    wrong = "; ".join(problems(recent, this_machine, now))
    if not wrong:
        return 0
    warn(f"needs attention: {wrong}")
    return INCOMPLETE


def _this_machine() -> ThisMachine:
    """What this machine says; raises ScheduleError."""
    schedule = machine.current_schedule(ROOT)
    timers = {}
    if schedule and schedule.scheduler == "systemd":
        for run in schedule.runs:
            state = systemd.timer_state(UNITS[run.kind].timer)
            if state:
                timers[run.kind] = state
    return ThisMachine(
        schedule=schedule,
        timers=timers,
        others=tuple(machine.other_schedules(ROOT)),
        maintenance=maintenance.is_on(*maintenance.look()),
    )
