"""doctor: check the setup on both sides."""

from collections import Counter
from collections.abc import Sequence

import click

from foreman_hooks.cleanup.doctor import Finding, State, examine
from foreman_hooks.commands.app import App
from foreman_hooks.commands.output import warn
from foreman_hooks.errors import INCOMPLETE
from foreman_hooks.reports.texts import plain
from foreman_hooks.reports.window import wrapped

# As foreman-maintain marks its checks.
_MARKS = {State.OK: "[ OK ]", State.WARNING: "[WARN]", State.FAIL: "[FAIL]"}
_COLOURS = {State.OK: "green", State.WARNING: "yellow", State.FAIL: "red"}
_INDENT = " " * len("[ OK ] ")


@click.command()
@click.pass_obj
def doctor(app: App) -> int:
    """Examine both sides and say what to do.

    Checks which files are read, the journal, Satellite (reachable, TLS, version, login, clock,
    permissions, facts), and every cloud and region (login, endpoint, proof that other projects are
    visible). What is wrong is listed again at the end, with what to do. Exits with 1 if anything
    fails.
    """
    findings = []
    for finding in examine(app.settings()):
        _show(app, finding)
        findings.append(finding)
    _show_what_to_do(app, findings)
    failures = [finding for finding in findings if finding.state is State.FAIL]
    if app.quiet:
        for finding in failures:
            warn(f"{_MARKS[State.FAIL]} {finding.what}; {finding.advice}")
    elif failures:
        warn(_sum(findings))
    else:
        app.say(_sum(findings))
    return INCOMPLETE if failures else 0


def _show(app: App, finding: Finding) -> None:
    """Print a finding; what to do about a problem comes at the end."""
    lines = wrapped(plain(finding.what), app.window.width, _INDENT)
    mark = app.window.bold(_MARKS[finding.state], _COLOURS[finding.state])
    lines[0] = f"{mark} {lines[0][len(_INDENT) :]}"
    if finding.state is State.OK and finding.advice:
        lines += _advice_lines(app, finding)
    app.say("\n".join(lines))


def _advice_lines(app: App, finding: Finding) -> list[str]:
    return wrapped(plain(f"-> {finding.advice}"), app.window.width, _INDENT)


def _show_what_to_do(app: App, findings: Sequence[Finding]) -> None:
    """Print what is wrong beside each other, failures first."""
    for state, title in (
        (State.FAIL, "To repair, in this order:"),
        (State.WARNING, "To consider:"),
    ):
        wrong = [finding for finding in findings if finding.state is state]
        if wrong:
            app.say("\n" + app.window.bold(title))
        for finding in wrong:
            _show(app, finding)
            app.say("\n".join(_advice_lines(app, finding)))
    app.say("\n")


def _sum(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.state for finding in findings)
    warnings = counts[State.WARNING]
    noun = "warning" if warnings == 1 else "warnings"
    return f"{counts[State.OK]} ok, {warnings} {noun}, {counts[State.FAIL]} failed"
