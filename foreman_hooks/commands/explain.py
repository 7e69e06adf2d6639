"""explain: every rule for one host."""

from dataclasses import replace

import click

from foreman_hooks.commands.app import App
from foreman_hooks.reports import listings as report
from foreman_hooks.rules.verdict import steps
from foreman_hooks.satellite.client import SatelliteNotFound
from foreman_hooks.satellite.inventory import EVERYTHING


@click.command()
@click.argument("host")
@click.pass_obj
def explain(app: App, host: str) -> int:
    """Show every rule for one host.

    HOST is a name, or else an id. Each line says what a rule asks and what was seen; the verdict
    comes last.
    """
    with app.cleanup() as cleanup:
        cleanup = replace(cleanup, scope=EVERYTHING)
        host_id, name = cleanup.satellite.find_host(host)
        observation = cleanup.observe(closely={host_id})
    found = next((one for one in observation.hosts if one.id == host_id), None)
    if found is None:
        raise SatelliteNotFound(f"host {name} went away in the meantime")
    app.say(f"{name} (id {host_id})")
    other = next(
        (one.name for one in observation.everyone() if str(one.id) == host != str(host_id)), None
    )
    if other:
        app.say(
            report.plain(
                f"  note: {host} is also the id of {other}; the host of that name is explained"
            )
        )
    reason = None
    for step in steps(observation.case(found), cleanup.policy, observation.made_at):
        app.say(report.plain(f"  {'stop' if step.reason else 'ok':<5}{step.rule}: {step.seen}"))
        reason = step.reason
    app.say(f"verdict: {f'not deleted, {reason.value}' if reason else 'delete'}")
    return 0
