"""doctor: check the setup on both sides."""

import click

from foreman_hooks.cleanup.doctor import Finding, examine
from foreman_hooks.commands.app import App
from foreman_hooks.commands.output import warn
from foreman_hooks.errors import INCOMPLETE


@click.command()
@click.pass_obj
def doctor(app: App) -> int:
    """Examine both sides and say what to do.

    Checks the journal, Satellite (reachable, TLS, version, login, clock, permissions, facts), and
    every cloud and region (login, endpoint, proof that other projects are visible). Exits with 1
    if anything fails.
    """
    count = failures = 0
    for finding in examine(app.settings()):
        _show(app, finding)
        count += 1
        failures += finding.state == "fail"
    if not failures:
        return 0
    if not app.quiet:
        warn(f"{failures} of {count} checks failed: see 'fail' above")
    return INCOMPLETE


def _show(app: App, finding: Finding) -> None:
    """Print a finding with its advice; with -q only what fails, in one line on stderr."""
    app.say_line(f"{finding.state:<8} {finding.what}")
    if finding.advice:
        app.say_line(f"{'':<8} -> {finding.advice}")
    if app.quiet and finding.state == "fail":
        parts = [finding.what, finding.advice]
        warn("fail: " + "; ".join(filter(None, parts)))
