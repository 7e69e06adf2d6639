"""doctor: examine both sides."""

import click

from foreman_hooks.cleanup.doctor import examine
from foreman_hooks.commands.app import App
from foreman_hooks.commands.output import warn
from foreman_hooks.reports import listings as report


@click.command()
@click.pass_obj
def doctor(app: App) -> int:
    """Examine both sides and say what to do.

    Looks at the journal, at Satellite (reachable, TLS, version, log-in, clock, permissions, facts)
    and at every cloud and region (log-in, endpoint, proof that other projects are visible). Exits
    with 1 if anything fails.
    """
    count = failures = 0
    for finding in examine(app.settings()):
        app.say(report.plain(f"{finding.state:<8} {finding.what}"))
        if finding.advice:
            app.say(report.plain(f"{'':<8} -> {finding.advice}"))
        if app.quiet and finding.state == "fail":
            warn("; ".join(filter(None, ("fail: " + finding.what, finding.advice))))
        count, failures = count + 1, failures + (finding.state == "fail")
    if failures and not app.quiet:
        warn(f"{failures} of {count} checks failed: see 'fail' above")
    return 1 if failures else 0
