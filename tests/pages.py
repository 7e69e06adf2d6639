"""Plans for the tests of the HTML report, small and large, and the pages of them."""

from collections import Counter
from datetime import date, datetime, timedelta, timezone
from typing import Any, Callable
from uuid import NAMESPACE_DNS, uuid5

from foreman_hooks.cleanup.past import Day, Past, Week
from foreman_hooks.cleanup.states import HostState, States
from foreman_hooks.osp_checker import OSPError
from foreman_hooks.reports import html, states_page
from foreman_hooks.rules.model import (
    Basis,
    Decision,
    Outcome,
    Reason,
    Result,
    Verdict,
)
from foreman_hooks.rules.plan import Hold, Plan, PlanRegion
from foreman_hooks.rules.states import Machine, State
from foreman_hooks.rules.verdicts import verdicts_of
from foreman_hooks.times import hammer_time, iso_z

NOW = datetime(2025, 3, 1, 12, 30, 5, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
UUID = "7f3c1f0e-5b1d-4a57-9f5e-0123456789ab"
URL = "https://satellite.example.com"
ANSWERED = PlanRegion(
    "prod",
    "RegionOne",
    12,
    "the login can see other projects' servers (example: x)",
    alive=3,
)
SILENT = PlanRegion(
    "prod", "RegionTwo", None, "", OSPError("prod/RegionTwo: a cell is down")
)
HOSTILE = (
    "<script>window.owned=1</script><img src=x onerror=window.owned=1>"
    "\"'&\x1b[2J\u202e</table></style></script>"
)
# How a page can be about a plan: each has another headline, and other sections.
PLANS = ("plan", "refused", "unknown", "applied")
KINDS = (*PLANS, "states")


def verdict(
    number: int,
    decision: Decision = Decision.KEEP,
    reason: Reason = Reason.ALIVE,
    detail: str = "listed",
    name: str = "",
    **basis: str,
) -> Verdict:
    return Verdict(
        number,
        name or f"host-{number:05}.example.com",
        UUID,
        decision,
        reason,
        detail,
        basis=Basis(**basis),
    )


def plan(*verdicts: Verdict, **more: Any) -> Plan:
    regions = more.pop("regions", (ANSWERED,))
    satellite = more.pop("satellite", URL)
    return Plan(satellite, NOW, "all hosts", regions, verdicts_of(verdicts), **more)


MIXED = plan(
    verdict(3, Decision.DELETE, Reason.TERMINATED, "terminated 2025/02/27"),
    verdict(20, Decision.WAIT, Reason.GRACE, "1 of 3 runs"),
    verdict(1),
    verdict(100, Decision.KEEP, Reason.CHECKED_IN, "checked in an hour ago"),
)
PAST = Past(
    weeks=tuple(
        Week(date(2024, 5, 6) + timedelta(weeks=number), number % 7, number % 5)
        for number in range(43)
    ),
    earlier=5,
    unproven=2,
    days=tuple(
        Day(date(2024, 9, 1) + timedelta(days=number), 400 - 2 * number)
        for number in range(182)
    ),
)


# Fleets: verdicts with texts as long as real ones


def _terminated(number: int) -> Verdict:
    at = NOW - (5 + number % 300) * HOUR
    contact = at - timedelta(minutes=7 * number % 240)
    detail = (
        f"terminated {hammer_time(at)} in prod/RegionOne, last sign of life "
        f"{hammer_time(contact)} (check-in)"
    )
    return _named(
        number,
        Decision.DELETE,
        Reason.TERMINATED,
        detail,
        terminated_at=iso_z(at),
        last_checkin=iso_z(contact),
    )


def _waiting(number: int) -> Verdict:
    return _named(
        number,
        Decision.WAIT,
        Reason.QUIET,
        f"terminated {hammer_time(NOW - HOUR)}; can go after {hammer_time(NOW + HOUR)}",
        terminated_at=iso_z(NOW - HOUR),
        last_checkin=iso_z(NOW - 2 * HOUR),
        due=iso_z(NOW + HOUR),
    )


def _talking(number: int) -> Verdict:
    detail = (
        f"terminated {hammer_time(NOW - 26 * HOUR)}, last sign of life of "
        f"clone.example.com, which names the same instance, {hammer_time(NOW)} (check-in)"
    )
    return _named(
        number,
        Decision.KEEP,
        Reason.CHECKED_IN,
        detail,
        terminated_at=iso_z(NOW - 26 * HOUR),
        last_checkin=iso_z(NOW - HOUR),
    )


def _living(number: int) -> Verdict:
    return _named(number, Decision.KEEP, Reason.ALIVE, "ACTIVE in prod/RegionOne")


def _unknown(number: int) -> Verdict:
    detail = f"prod/RegionTwo: unknown ({SILENT.error})"
    return _named(number, Decision.KEEP, Reason.UNKNOWN, detail)


def _named(number: int, *verdict_is: Any, **basis: str) -> Verdict:
    name = f"host-{number:05}.shop.prod.example.com"
    of_host = verdict(number, *verdict_is, name, **basis)
    return of_host._replace(uuid=str(uuid5(NAMESPACE_DNS, name)))


# Of ten records: 5 to delete, 1 waiting, 1 to look at, 3 alive.
_MIX: tuple[Callable[[int], Verdict], ...] = (
    *[_terminated] * 5,
    _waiting,
    _talking,
    *[_living] * 3,
)


def fleet(count: int, **more: Any) -> Plan:
    """The plan of a fleet of so many hosts, half of which are to be deleted."""
    verdicts = [_MIX[number % 10](number) for number in range(count)]
    return plan(*verdicts, **more)


def outcomes_of(planned: Plan) -> list[Outcome]:
    """What became of the deletions: most were deleted, some not, the last was not reached."""
    outcomes = []
    for number, deletion in enumerate(planned.deletions[:-1]):
        outcome = Outcome(
            deletion.host_id,
            deletion.name,
            deletion.uuid,
            list(Result)[number % 4] if number < 4 else Result.DELETED,
            "Satellite answered the DELETE, but the record is still there, perhaps "
            "unregistered; the next run tries again, see Satellite's production.log",
            NOW + timedelta(seconds=number),
        )
        outcomes.append(outcome)
    return outcomes


# Of ten hosts: 4 run and are silent, 2 are off, 1 is terminated, 3 run.
_STATES = (
    *[State.SILENT] * 4,
    *[State.OFF] * 2,
    State.TERMINATED,
    *[State.RUNNING] * 3,
)


def states(count: int) -> States:
    """The states of a fleet of so many hosts, of which one region did not answer."""
    order = sorted(range(count), key=lambda number: number % 10)
    hosts = [_host_state(number, _STATES[number % 10]) for number in order]
    return States(
        satellite=URL,
        made_at=NOW,
        silent_since=NOW - 24 * HOUR,
        scope="all hosts",
        erratum="RHSA-2026:1234",
        regions=(ANSWERED, SILENT),
        counts=Counter(host.machine.state for host in hosts),
        hosts=hosts,
    )


def _host_state(number: int, state: State) -> HostState:
    name = f"host-{number:05}.shop.prod.example.com"
    project = str(uuid5(NAMESPACE_DNS, "shop")).replace("-", "")
    machine = Machine(state, "prod", "RegionOne", project, "ACTIVE")
    if state is State.TERMINATED:
        machine = machine._replace(terminated_at=NOW - 48 * HOUR, status="")
    silent = state is not State.RUNNING
    last = NOW - (220 if silent else 1) * HOUR
    uuid = str(uuid5(NAMESPACE_DNS, name))
    return HostState(number, name, uuid, machine, silent, last)


def page(kind: str, count: int) -> str:
    """The page of a fleet; `kind` is one of KINDS."""
    if kind == "states":
        return states_page.render(states(count))
    planned = fleet(count)
    if kind == "refused":
        hold = Hold("more than 5 without proof in one region", (0, 1))
        planned = fleet(count, refusals=("too many records",), holds=(hold,))
    if kind == "unknown":
        planned = plan(*map(_unknown, range(count)), regions=(SILENT,))
    outcomes = outcomes_of(planned) if kind == "applied" else None
    return html.render(planned, outcomes, PAST)
