"""Check a plan as a whole against what the journal knows of earlier runs."""

from datetime import datetime, timedelta

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.osp_checker import Place
from foreman_hooks.rules.guard_rails import with_guard_rails
from foreman_hooks.rules.model import Policy
from foreman_hooks.rules.plan import Kind, Plan

HOUR = timedelta(hours=1)


def guard(plan: Plan, journal: Journal, policy: Policy, now: datetime) -> Plan:
    """The plan with the guard rails that it breaks at `now` (aware); raises JournalError.

    If the plan is not about all hosts, the deletions of the last hour count too: many such plans
    together must stay within the caps of one run.
    """
    deleted_before = 0
    if plan.kind is not Kind.FULL:
        deleted_before = journal.deleted_since(plan.satellite, now - HOUR)
    sizes: dict[Place, int] = {}
    for place, (count, _) in journal.servers_before().items():
        sizes[place] = count
    return with_guard_rails(plan, policy, sizes, deleted_before)


def note_servers(plan: Plan, journal: Journal) -> None:
    """Note how many servers each region listed, as its normal size; raises JournalError.

    If a region failed, nothing is noted, since the run is not a good one.
    """
    if any(region.error for region in plan.regions):
        return
    sizes: dict[Place, int] = {}
    for region in plan.regions:
        if region.servers is not None:
            sizes[region.place] = region.servers
    journal.note_servers(sizes, plan.made_at)
