"""explain: every rule for one host."""

from dataclasses import replace

import click

from foreman_hooks.cleanup.run import Observation
from foreman_hooks.commands.app import App
from foreman_hooks.rules.verdict import Step, outlook
from foreman_hooks.satellite.errors import SatelliteNotFound
from foreman_hooks.satellite.inventory import EVERYTHING, IdentifiedHost
from foreman_hooks.satellite.lookups import find_host


@click.command()
@click.argument("host")
@click.pass_obj
def explain(app: App, host: str) -> int:
    """Show every rule for one host.

    HOST is a name, or else an id. Each line shows a rule and what was observed; the verdict comes
    last. After a rule that waits, those that still lie ahead follow.
    """
    with app.cleanup() as cleanup:
        cleanup = replace(cleanup, scope=EVERYTHING)
        host_id, name = find_host(cleanup.satellite, host)
        with app.with_progress(cleanup) as observer:
            observation = observer.observe(closely={host_id})
    explained = _host(observation, host_id, name)
    app.say_line(f"{name} (id {host_id})")
    _note_ambiguity(app, observation, host, host_id)
    reason = None
    case = observation.case(explained)
    for step in outlook(case, cleanup.policy, observation.made_at):
        reason = reason or step.reason
        app.say_line(f"  {_state(step):<5}{step.rule}: {step.observed}")
    if reason:
        app.say(f"verdict: not deleted, {reason.value}")
    else:
        app.say("verdict: delete")
    return 0


def _state(step: Step) -> str:
    if step.waits:
        return "wait"
    return "stop" if step.reason else "ok"


def _host(observation: Observation, host_id: int, name: str) -> IdentifiedHost:
    """The host with this id; raises SatelliteNotFound."""
    for host in observation.hosts:
        if host.id == host_id:
            return host
    raise SatelliteNotFound(f"host {name} disappeared in the meantime")


def _note_ambiguity(
    app: App, observation: Observation, wanted: str, host_id: int
) -> None:
    """Print a note if the name of the explained host is the id of another host."""
    if wanted == str(host_id):
        return
    for other in observation.everyone():
        if str(other.id) == wanted:
            note = f"{wanted} is also the id of {other.name}; the host of that name is explained"
            app.say_line(f"  note: {note}")
            return
