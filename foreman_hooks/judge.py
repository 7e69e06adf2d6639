"""The verdict on one record, from what was seen.  Pure: `now` is an argument.

The rules are asked in one order; the first that speaks decides.  Nothing but the end of the chain says delete,
so what no rule foresaw is still subject to every rule.  `explain` prints the same steps one by one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import NamedTuple, Optional

from .model import Decision, History, Identity, Policy, Reason, Record, Verdict
from .osp_checker import Presence, Sighting

CLOCK_SKEW = timedelta(minutes=5)       # how far the clocks of Nova and Satellite may be apart
_WAITS = frozenset({Reason.GRACE, Reason.SILENCE})
_NO = frozenset({"false", "no", "off", "0", "f", "n", ""})


@dataclass(frozen=True)
class Case:
    """All that was seen of one host.

    `record` is None where it was not read: it is, for every host that is not found alive.  `sightings` has one
    entry for each UUID of `identity`, cloud and region.  `witnessed` names the (cloud, region) pairs in which
    another host of this Satellite was seen alive in this run.  `shared_with` are other records with its UUID.
    `detachable` says whether its compute resource can be detached (True as well where it has none).
    """

    host_id: int
    name: str
    identity: Identity
    sightings: tuple[Sighting, ...] = ()
    record: Optional[Record] = None
    shared_with: tuple[str, ...] = ()
    history: History = History()
    witnessed: frozenset[tuple[str, str]] = frozenset()
    protected: bool = False             # Satellite's search for the protecting parameter names it
    detachable: bool = True


class Step(NamedTuple):
    """One rule: what it asks, what was seen, and the reason it gives where it does not pass."""

    rule: str
    seen: str
    reason: Optional[Reason] = None


def judge(case: Case, policy: Policy, now: datetime) -> Verdict:
    """The verdict: that of the first rule that does not pass.

    A WAIT turns into a DELETE by itself as time passes; a KEEP only when the facts change.
    """
    uuid = case.identity.uuids[0] if case.identity.uuids else ""
    seen = ""
    for step in steps(case, policy, now):
        if step.reason:
            decision = Decision.WAIT if step.reason in _WAITS else Decision.KEEP
            return Verdict(case.host_id, case.name, uuid, decision, step.reason, step.seen)
        seen = step.seen
    assert case.record                  # the rules do not pass without one
    reason = Reason.TERMINATED if _tombstone(case) else Reason.MISSING
    return Verdict(case.host_id, case.name, uuid, Decision.DELETE, reason, seen, case.record.fingerprint)


def steps(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    """Every rule in order, up to and with the one that decides; all of them pass for a DELETE."""
    for rule in (_identity, _presence, _record, _never_touched, _alone, _proof, _witness, _end):
        for step in rule(case, policy, now):
            yield step
            if step.reason:
                return


def _identity(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    reason = case.identity.reason or (None if case.identity.uuids else Reason.NO_UUID)
    yield Step("its facts show an OpenStack instance", case.identity.seen, reason)


def _presence(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    alive = [one for one in case.sightings if one.presence is Presence.PRESENT]
    unknown = [one for one in case.sightings if one.presence in (Presence.UNKNOWN, Presence.INVALID)]
    if alive:
        yield Step("no UUID of it is alive", _told(alive), Reason.ALIVE)
    elif unknown or not _asked_everywhere(case):
        yield Step("every cloud and region answered", _told(unknown) or "not asked everywhere", Reason.UNKNOWN)
    else:
        yield Step("every cloud and region answered, none has it alive", _told(list(case.sightings)))


def _asked_everywhere(case: Case) -> bool:
    """Whether there is a sighting of every UUID in every place, and of at least one."""
    seen = {(one.uuid, one.cloud, one.region) for one in case.sightings}
    places = {(one.cloud, one.region) for one in case.sightings}
    return bool(seen) and seen >= {(uuid, *place) for uuid in case.identity.uuids for place in places}


def _record(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    record = case.record
    if record is None:
        yield Step("its record can be read", "it cannot, or no longer", Reason.OUT_OF_SIGHT)
        return
    same = (record.id, record.name) == (case.host_id, case.name)
    yield Step("its record is the one that was listed", f"id {record.id}, name {record.name}",
               None if same else Reason.CHANGED)


def _never_touched(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    record = case.record
    assert record
    yield _unless(record.infrastructure, "it is no Satellite or Capsule", Reason.INFRASTRUCTURE)
    yield _unless(record.hypervisor or record.name.startswith("virt-who-"), "it is no hypervisor", Reason.HYPERVISOR)
    yield _unless(record.build, "it is not in build mode", Reason.BUILDING)
    yield _unless(not record.registered, "it has registered", Reason.NOT_REGISTERED)
    value = record.parameters.get(policy.protect_parameter)
    protects = case.protected or (value is not None and value.strip().lower() not in _NO)
    yield Step(f"parameter {policy.protect_parameter} does not protect it",
               "set for it" if case.protected else f"value {value!r}" if value is not None else "not set",
               Reason.PROTECTED if protects else None)
    yield Step("its compute resource can be detached", record.compute_resource or "it has none",
               None if case.detachable else Reason.COMPUTE_RESOURCE)


def _alone(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    yield Step("no other record has its UUID", ", ".join(case.shared_with) or "none",
               Reason.SHARED_UUID if case.shared_with else None)


def _proof(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    """Where a file on the machine is all that names the instance, absence may mean a cloud that is not in scope."""
    if case.identity.needs_proof:
        tombstone = _tombstone(case)
        yield Step("there is proof of its termination, since only its published identity names the instance",
                   _told([tombstone] if tombstone else list(case.sightings)), None if tombstone else Reason.NO_PROOF)


def _witness(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    tombstone = _tombstone(case)
    where = {(one.cloud, one.region) for one in ([tombstone] if tombstone else case.sightings)}
    lonely = sorted("/".join(place) for place in where - case.witnessed)
    yield Step("another host of this Satellite is alive where it was",
               f"none in {', '.join(lonely)}" if lonely else ", ".join(sorted("/".join(place) for place in where)),
               Reason.NO_WITNESS if lonely else None)


def _end(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    assert case.record
    seen, tombstone = case.record.last_seen, _tombstone(case)
    yield Step("it has a check-in time", _at(seen), None if seen else Reason.NO_CHECKIN)
    assert seen
    if tombstone:
        yield _silent_since(seen, tombstone, policy, now)
    else:
        yield _missing_long_enough(case.history, policy, now)
        yield _silent(seen, policy, now)


def _silent_since(seen: datetime, tombstone: Sighting, policy: Policy, now: datetime) -> Step:
    """No check-in since the termination; one just after it may be the clocks, and has to age."""
    end = tombstone.terminated_at
    rule, told = "it is silent since it was terminated", f"terminated {_at(end)}, last check-in {_at(seen)}"
    if end is None or end > now + CLOCK_SKEW:
        return Step(rule, told, Reason.CLOCKS_DISAGREE)
    if seen > end + CLOCK_SKEW:
        return Step(rule, told, Reason.CHECKED_IN)
    if seen > end:
        return _silent(seen, policy, now)
    return Step(rule, f"{told} ({tombstone.cloud}/{tombstone.region})")


def _missing_long_enough(history: History, policy: Policy, now: datetime) -> Step:
    rule = f"missing in at least {policy.misses} runs over at least {_length(policy.grace)}"
    told = f"{history.misses} of {policy.misses} runs, since {_at(history.since)}"
    old = history.since is not None and now - history.since >= policy.grace
    if history.misses >= policy.misses and old:
        return Step(rule, told)
    if history.since is not None:
        told += f"; not before {_after(history.since, policy.grace)}"
    return Step(rule, told, Reason.GRACE)


def _silent(seen: datetime, policy: Policy, now: datetime) -> Step:
    told = f"last check-in {_at(seen)}"
    if now - seen < policy.silence:
        return Step(f"silent for {_length(policy.silence)}", f"{told}; not before {_after(seen, policy.silence)}",
                    Reason.SILENCE)
    return Step(f"silent for {_length(policy.silence)}", told)


def _tombstone(case: Case) -> Optional[Sighting]:
    """The proof of termination: a deleted row of the very UUID that counts, not of a further one; the earliest."""
    rows = [one for one in case.sightings
            if one.presence is Presence.DELETED and one.uuid == case.identity.uuids[0]]
    return min(rows, key=lambda one: one.terminated_at.timestamp() if one.terminated_at else 0, default=None)


def _unless(hit: bool, rule: str, reason: Reason) -> Step:
    return Step(rule, reason.value if hit else "so it is", reason if hit else None)


def _told(sightings: list[Sighting]) -> str:
    """`cloud/region: presence (detail)`; errors of a whole region begin with its name already."""
    told = []
    for one in sightings:
        place = f"{one.cloud}/{one.region}: "
        told.append(f"{place}{one.presence.value}" + (f" ({one.detail.replace(place, '', 1)})" if one.detail else ""))
    return "; ".join(dict.fromkeys(told))


def _at(when: Optional[datetime]) -> str:
    """A time as hammer prints it, in UTC."""
    return when.astimezone(timezone.utc).strftime("%Y/%m/%d %H:%M:%S UTC") if when else "never"


def _after(when: datetime, span: timedelta) -> str:
    try:
        return _at(when + span)
    except OverflowError:               # a policy of a million days
        return "the end of time"


def _length(span: timedelta) -> str:
    """A duration as the configuration writes it: 72h, 30m, 90s."""
    seconds = int(span.total_seconds())
    return next((f"{seconds // size}{unit}" for size, unit in ((3600, "h"), (60, "m"))
                 if seconds and seconds % size == 0), f"{seconds}s")
