"""The verdict on one record, from what was seen.  Pure: `now` is an argument.

The rules are asked in one order; the first that speaks decides.  Nothing but the end of the chain
says delete, so what no rule foresaw is still subject to every rule.  `explain` prints the same
steps one by one.

Two ways lead to the end.  With proof (Nova's deleted row of a UUID that the facts name) the facts
hold a record only by naming another instance that lives or is unknown; a sign of life since holds
it, too.  Without proof the instance is merely absent, and everything has to speak for its end.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import NamedTuple, Optional

from foreman_hooks.osp_checker.session import CLOCK_SKEW
from foreman_hooks.osp_checker.sightings import Place, Presence, Sighting
from foreman_hooks.rules.identity import same_machine
from foreman_hooks.rules.model import Decision, History, Identity, Policy, Reason, Record, Verdict
from foreman_hooks.times import spell

_WAITS = frozenset({Reason.QUIET, Reason.GRACE, Reason.SILENCE, Reason.NO_CHECKINS})
_NO = frozenset({"false", "no", "off", "0", "f", "n", ""})


@dataclass(frozen=True)
class Case:
    """All that was seen of one host.

    `record` is None where it was not read: it is, for every host that is not found alive; `problem`
    says why it could not be.  `sightings` has one entry for each UUID of `identity`, cloud and
    region.  `twins` are the other records that name one of its UUIDs, whatever they are;
    `unreadable_twins` the names of those that could not be read. `unlisted` names the regions of
    its clouds that nobody asked.  `witnessed` names the places in which a living host of the same
    kind was seen in this run.  `checkins_arrive`: other hosts checked in lately.
    `parameters_shown`: the login may read host parameters.  `detachable`: its compute resource can
    be detached (True as well without one).
    """

    host_id: int
    name: str
    identity: Identity
    sightings: tuple[Sighting, ...] = ()
    record: Optional[Record] = None
    problem: str = ""
    twins: tuple[Record, ...] = ()
    unreadable_twins: tuple[str, ...] = ()
    history: History = History()
    unlisted: tuple[str, ...] = ()
    witnessed: frozenset[Place] = frozenset()
    checkins_arrive: bool = False
    parameters_shown: bool = False
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
    proof = _proof(case)
    uuid = proof.uuid if proof else case.identity.uuids[0] if case.identity.uuids else ""
    seen = ""
    for step in steps(case, policy, now):
        if step.reason:
            decision = Decision.WAIT if step.reason in _WAITS else Decision.KEEP
            return Verdict(case.host_id, case.name, uuid, decision, step.reason, step.seen)
        seen = step.seen
    assert case.record  # the rules do not pass without one
    reason = Reason.TERMINATED if proof else Reason.MISSING
    return Verdict(
        case.host_id, case.name, uuid, Decision.DELETE, reason, seen, case.record.fingerprint
    )


def steps(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    """Every rule in order, up to and with the one that decides; all of them pass for a DELETE."""
    end = (_end,) if _proof(case) else (_doubts, _alone, _scope, _witness, _absence)
    for rule in (_identity, _presence, _record, _never_touched, *end):
        for step in rule(case, policy, now):
            yield step
            if step.reason:
                return


# Every record


def _identity(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    reason = case.identity.reason or (None if case.identity.uuids else Reason.NO_UUID)
    yield Step("its facts name an instance", case.identity.seen, reason)


def _presence(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    alive = [sighting for sighting in case.sightings if sighting.presence is Presence.PRESENT]
    unknown = [
        sighting
        for sighting in case.sightings
        if sighting.presence in (Presence.UNKNOWN, Presence.INVALID)
    ]
    if alive:
        yield Step("no instance that its facts name is alive", _shown(alive), Reason.ALIVE)
    elif unknown or not _asked_everywhere(case):
        yield Step(
            "every cloud and region answered",
            _shown(unknown) or "not asked everywhere",
            Reason.UNKNOWN,
        )
    else:
        yield Step(
            "every cloud and region answered, and it is alive in none", _shown(list(case.sightings))
        )


def _asked_everywhere(case: Case) -> bool:
    """Whether there is a sighting of every UUID in every place, and of at least one."""
    asked = {(sighting.uuid, sighting.cloud, sighting.region) for sighting in case.sightings}
    places = {(sighting.cloud, sighting.region) for sighting in case.sightings}
    wanted = {(uuid, *place) for uuid in case.identity.uuids for place in places}
    return bool(asked) and asked >= wanted


def _record(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    record = case.record
    if record is None:
        yield Step(
            "its record can be read", case.problem or "it cannot be read now", Reason.OUT_OF_SIGHT
        )
        return
    same = (record.id, record.name) == (case.host_id, case.name)
    yield Step(
        "its record is the one that was listed",
        f"id {record.id}, name {record.name}",
        None if same else Reason.CHANGED,
    )


def _never_touched(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    record = case.record
    assert record
    yield _unless(record.infrastructure, "not Satellite or a Capsule", Reason.INFRASTRUCTURE)
    yield _unless(record.build, "not in build mode", Reason.BUILDING)
    yield _protection(case, policy)
    yield Step(
        "its compute resource can be detached",
        record.compute_resource or "it has none",
        None if case.detachable else Reason.COMPUTE_RESOURCE,
    )


def _protection(case: Case, policy: Policy) -> Step:
    """The host's own parameter or an inherited one; what this login may not see is not taken for
    absent.
    """
    assert case.record
    name = policy.protect_parameter
    rule = f"host parameter {name} does not protect it"
    if not name:
        return Step("no host parameter protects", "policy.protect_parameter is empty")
    if not case.parameters_shown:
        return Step(
            rule,
            "this login may not read host parameters; give its role view_params, or set "
            "policy.protect_parameter to ''",
            Reason.HIDDEN_PARAMETERS,
        )
    value = case.record.parameters.get(name)
    protects = value is not None and value.strip().lower() not in _NO
    shown = "not set" if value is None else f"{name} = {value[:80]!r}"
    return Step(rule, shown, Reason.PROTECTED if protects else None)


# With proof


def _end(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    """Nova's deleted row against every sign of life since."""
    proof = _proof(case)
    assert proof and case.record
    end = proof.terminated_at
    where = f"{proof.cloud}/{proof.region}"
    clocks = end is None or end > now + CLOCK_SKEW
    yield Step(
        "Nova says that it was terminated",
        f"{proof.uuid} terminated {_at(end)} in {where}",
        Reason.CLOCKS_DISAGREE if clocks else None,
    )
    assert end
    yield _leader_is_asked(case, proof)
    sign = case.record.last_sign
    known = sign is not None or case.history.tried
    yield Step("it has a check-in time", _at(sign), None if known else Reason.NO_CHECKIN)
    yield from _silent_since(case, end)
    latest = max(end, sign) if sign else end
    shown = f"terminated {_at(end)} in {where}, last sign of life {_at(sign)}"
    if now - latest < policy.quiet:
        yield Step(
            f"one check-in interval ({spell(policy.quiet)}) has passed since",
            f"{shown}; can go after {_after(latest, policy.quiet)}",
            Reason.QUIET,
        )
    yield Step(f"one check-in interval ({spell(policy.quiet)}) has passed since", shown)


def _leader_is_asked(case: Case, proof: Sighting) -> Step:
    """A region that nobody asks may hold the instance that the leading source names, where the
    proof is of another.
    """
    leading = case.identity.uuids[0]
    outside = "" if same_machine(proof.uuid, leading) else ", ".join(case.unlisted)
    return Step(
        "no other instance that its facts name can live in a region that is not asked",
        f"{leading} is absent, but {outside} is not asked" if outside else "none can",
        Reason.UNLISTED_LEADER if outside else None,
    )


def _silent_since(case: Case, end: datetime) -> Iterator[Step]:
    """No sign of life since the termination of this record, nor of any other that names the same
    instance.
    """
    assert case.record
    rule = "silent since it was terminated"
    if case.unreadable_twins:
        yield Step(
            rule,
            f"{', '.join(case.unreadable_twins)} names the same instance, and cannot be read",
            Reason.OUT_OF_SIGHT,
        )
    for record in (case.record, *case.twins):
        sign = record.last_sign
        if sign and sign > end + CLOCK_SKEW:
            who = (
                ""
                if record is case.record
                else f" of {record.name}, which names the same instance,"
            )
            yield Step(
                rule,
                f"terminated {_at(end)}, last sign of life{who} {_at(sign)} ({_kind_of_sign(record)})",
                Reason.CHECKED_IN,
            )
    names = ", ".join(twin.name for twin in case.twins)
    yield Step(
        rule,
        f"no sign of life since{f', nor of {names}, which names the same instance' if names else ''}",
    )


def _kind_of_sign(record: Record) -> str:
    """What the last sign of life was."""
    kinds = {
        "check-in": record.last_checkin,
        "report": record.report,
        "registration": record.registered_at,
    }
    return next((kind for kind, when in kinds.items() if when == record.last_sign), "facts")


# Without proof


def _doubts(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    record, tried = case.record, case.history.tried
    assert record
    yield Step(
        "all sources agree that it is an OpenStack guest", case.identity.seen, case.identity.doubt
    )
    yield _unless(
        record.hypervisor or record.name.startswith("virt-who-"),
        "not a hypervisor",
        Reason.HYPERVISOR,
    )
    yield _unless(not record.registered and not tried, "registered", Reason.NOT_REGISTERED)
    known = record.contact is not None or tried
    yield Step("it has a check-in time", _at(record.contact), None if known else Reason.NO_CHECKIN)


def _alone(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    names = ", ".join([*(twin.name for twin in case.twins), *case.unreadable_twins])
    yield Step(
        "no other record names its UUID", names or "none", Reason.SHARED_UUID if names else None
    )


def _scope(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    """It can only be missed where it is known to have been, or where every cloud is asked."""
    unlisted = ", ".join(case.unlisted)
    yield Step(
        "every region of its clouds is asked or left out by name",
        f"{unlisted} is in the catalog, but not in 'regions' or 'ignore_regions' of the configuration"
        if unlisted
        else "yes",
        Reason.UNLISTED_REGION if unlisted else None,
    )
    homes = ", ".join(sorted("/".join(place) for place in case.history.homes))
    rule = "an earlier run saw it alive here, or every cloud is listed"
    if policy.all_clouds_listed and not homes:
        yield Step(rule, "policy.all_clouds_listed is true: it cannot live anywhere else")
        return
    shown = (
        f"seen alive in {homes}"
        if homes
        else (
            "no run saw it alive in a region in scope; with policy.all_clouds_listed: true its absence counts all the same"
        )
    )
    yield Step(rule, shown, None if homes else Reason.NEVER_SEEN)


def _witness(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    wanted = case.history.homes or {
        (sighting.cloud, sighting.region) for sighting in case.sightings
    }
    lonely = sorted("/".join(place) for place in wanted - case.witnessed)
    yield Step(
        f"another host of its kind ({case.identity.kind or 'unknown'}) is alive where it was",
        f"none in {', '.join(lonely)}"
        if lonely
        else ", ".join(sorted("/".join(place) for place in wanted)),
        Reason.NO_WITNESS if lonely else None,
    )
    yield Step(
        f"check-ins arrive: another host checked in within {spell(policy.silence)}",
        "yes" if case.checkins_arrive else "none did",
        None if case.checkins_arrive else Reason.NO_CHECKINS,
    )


def _absence(case: Case, policy: Policy, now: datetime) -> Iterator[Step]:
    assert case.record
    yield _missing_long_enough(case.history, policy, now)
    yield _silent(case.record.last_sign, policy, now)


def _missing_long_enough(history: History, policy: Policy, now: datetime) -> Step:
    rule = f"missing in at least {policy.misses} runs over at least {spell(policy.grace)}"
    runs = "1 run" if history.misses == 1 else f"{history.misses} runs"
    shown = f"missing in {runs} ({policy.misses} needed), since {_at(history.since)}"
    old = history.since is not None and now - history.since >= policy.grace
    if history.misses >= policy.misses and old:
        return Step(rule, shown)
    if history.since is not None:
        shown += f"; can go after {_after(history.since, policy.grace)}"
    return Step(rule, shown, Reason.GRACE)


def _silent(sign: Optional[datetime], policy: Policy, now: datetime) -> Step:
    rule, shown = f"silent for {spell(policy.silence)}", f"last sign of life {_at(sign)}"
    if sign and now - sign < policy.silence:
        return Step(rule, f"{shown}; can go after {_after(sign, policy.silence)}", Reason.SILENCE)
    return Step(rule, shown)


# Shared


def _proof(case: Case) -> Optional[Sighting]:
    return tombstone(
        sighting for sighting in case.sightings if sighting.uuid in case.identity.uuids
    )


def tombstone(sightings: Iterable[Sighting]) -> Optional[Sighting]:
    """The proof of termination: a deleted row of a UUID that the facts name; of several the latest
    end counts.
    """
    rows = [sighting for sighting in sightings if sighting.presence is Presence.DELETED]
    never = datetime.max.replace(tzinfo=timezone.utc)
    return max(rows, key=lambda row: row.terminated_at or never, default=None)


def _unless(hit: bool, rule: str, reason: Reason) -> Step:
    return Step(rule, reason.value if hit else "yes", reason if hit else None)


def _shown(sightings: list[Sighting]) -> str:
    """`cloud/region: presence (detail)`; errors of a whole region begin with its name already."""
    texts = []
    for sighting in sightings:
        place = f"{sighting.cloud}/{sighting.region}: "
        detail = f" ({sighting.detail.replace(place, '', 1)})" if sighting.detail else ""
        texts.append(f"{place}{sighting.presence.value}{detail}")
    return "; ".join(dict.fromkeys(texts))


def _at(when: Optional[datetime]) -> str:
    """A time as hammer prints it, in UTC."""
    return when.astimezone(timezone.utc).strftime("%Y/%m/%d %H:%M:%S UTC") if when else "never"


def _after(when: datetime, span: timedelta) -> str:
    try:
        return _at(when + span)
    except OverflowError:  # a policy of a million days
        return "the end of time"
