"""The verdict on one host record, from what was observed.  Pure: `now` is an argument.

The rules are checked in a fixed order; the first one that does not pass decides.  Only the end of
the chain says delete, so a case that no rule foresees still has to pass every rule.  The command
`explain` prints the same steps one by one.

The rules that need no record come first: whole records are the most expensive thing that Satellite
is asked for, so one is only read if all of these rules pass (`needs_record`).

Two ways lead to the end.  With proof (Nova's deleted row of a UUID that the facts name), the facts
keep the record only if they name another instance that is alive or unknown; a sign of life after
the termination keeps it, too.  Without proof the instance is only absent, and everything else has
to confirm that it no longer exists.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import chain, product
from typing import NamedTuple, Optional

from foreman_hooks.osp_checker import Place, Presence, Sighting
from foreman_hooks.osp_checker.session import CLOCK_SKEW
from foreman_hooks.rules.identity import same_machine
from foreman_hooks.rules.model import (
    WAITS,
    Basis,
    Decision,
    History,
    Identity,
    Policy,
    Reason,
    Record,
    Verdict,
)
from foreman_hooks.times import hammer_time, iso_z, spell

# Values of the protecting host parameter that do not protect.
_NO = frozenset({"false", "no", "off", "0", "f", "n", ""})


@dataclass(frozen=True)
class Case:
    """Everything that was observed about one host.

    `sightings`: one for each UUID of `identity` in each place.  `record`: None if it was not needed
    or could not be read.  `problem`: why it could not be read, or "".  `twins`: the name of every
    other record that names one of its UUIDs -> that record; None if it was not needed or could not
    be read.  `unlisted`: CLOUD/REGION of the regions that are not asked.
    `witnessed`: the places in which this run saw a living host of the same kind.
    `checkins_arrive`: other hosts checked in recently.  `parameters_shown`: the login may read host
    parameters.  `detachable`: compute resources can be detached.
    """

    host_id: int
    name: str
    identity: Identity
    sightings: tuple[Sighting, ...] = ()
    record: Optional[Record] = None
    problem: str = ""
    twins: Mapping[str, Optional[Record]] = field(default_factory=dict)
    history: History = History()
    unlisted: tuple[str, ...] = ()
    witnessed: frozenset[Place] = frozenset()
    checkins_arrive: bool = False
    parameters_shown: bool = False
    detachable: bool = True


class Step(NamedTuple):
    """One rule: what it requires, what was observed, and the reason if it does not pass.

    `due`: when it can pass at the earliest (aware), if only time has to pass.
    """

    rule: str
    observed: str
    reason: Optional[Reason] = None
    due: Optional[datetime] = None

    @property
    def waits(self) -> bool:
        """Whether its reason ends as time passes."""
        return self.reason in WAITS


Steps = Iterator[Step]
_Rule = Callable[[Case, Policy, datetime], Steps]


def judge(case: Case, policy: Policy, now: datetime) -> Verdict:
    """The verdict at `now` (aware): that of the first rule that does not pass.

    A WAIT becomes a DELETE as time passes; a KEEP only if something else changes.
    """
    proof = _proof(case)
    uuid = proof.uuid if proof else next(iter(case.identity.uuids), "")
    observed = ""
    for step in steps(case, policy, now):
        if step.reason:
            decision = Decision.WAIT if step.waits else Decision.KEEP
            return Verdict(
                case.host_id,
                case.name,
                uuid,
                decision,
                step.reason,
                step.observed,
                basis=_basis(case, proof, step.due),
            )
        observed = step.observed
    assert case.record  # without a record, `_record` does not pass
    return Verdict(
        case.host_id,
        case.name,
        uuid,
        Decision.DELETE,
        Reason.TERMINATED if proof else Reason.MISSING,
        observed,
        case.record.fingerprint,
        _basis(case, proof),
    )


def _basis(
    case: Case, proof: Optional[Sighting], due: Optional[datetime] = None
) -> Basis:
    place, project = _whereabouts(case, proof)
    end = proof.terminated_at if proof else None
    contact = case.record.contact if case.record else None
    return Basis(
        cloud=place.cloud if place else "",
        region=place.region if place else "",
        project=project,
        terminated_at=iso_z(end) if end else "",
        last_checkin=iso_z(contact) if contact else "",
        due=iso_z(due) if due else "",
    )


def _whereabouts(case: Case, proof: Optional[Sighting]) -> tuple[Optional[Place], str]:
    """Where the instance is or was, and its project's id; None and "" if that is not known.

    That is the place of the living instance, else that of the proof, else the only place where an
    earlier run saw the instance alive.
    """
    for sighting in _with_presence(case, Presence.PRESENT):
        return sighting.place, sighting.project
    if proof:
        return proof.place, proof.project
    homes = case.history.homes
    return (min(homes), "") if len(homes) == 1 else (None, "")


def needs_record(case: Case, policy: Policy, now: datetime) -> bool:
    """Whether the verdict depends on the records of the host and its twins.

    It does if every rule that needs no record passes.
    """
    rules = _without_record(case)
    return all(step.reason is None for step in _check(rules, case, policy, now))


def steps(case: Case, policy: Policy, now: datetime) -> Steps:
    """Every rule in order, up to the one that decides; before a DELETE, all of them pass."""
    for step in outlook(case, policy, now):
        yield step
        if step.reason:
            return


def outlook(case: Case, policy: Policy, now: datetime) -> Steps:
    """The same steps, and after one that waits, those that still lie ahead.

    The first step with a reason decides.
    """
    rules = chain(_without_record(case), _with_record(case))
    for step in _check(rules, case, policy, now):
        yield step
        if step.reason and not step.waits:
            return


def _without_record(case: Case) -> Iterator[_Rule]:
    """The rules that look at no record, neither the host's own nor a twin's."""
    yield _identity
    yield _presence
    yield _parameters_shown
    if _proof(case):
        yield _end
    else:
        yield _doubts
        yield _alone
        yield _scope
        yield _witness
        yield _absence


def _with_record(case: Case) -> Iterator[_Rule]:
    yield _record
    yield _never_touched
    if _proof(case):
        yield _silence_since_end
    else:
        yield _guest
        yield _silence


def _check(rules: Iterable[_Rule], case: Case, policy: Policy, now: datetime) -> Steps:
    for rule in rules:
        yield from rule(case, policy, now)


# Every record


def _identity(case: Case, policy: Policy, now: datetime) -> Steps:
    reason = case.identity.reason
    if not case.identity.uuids:
        reason = reason or Reason.NO_UUID
    yield Step("its facts name an instance", case.identity.facts, reason)


def _presence(case: Case, policy: Policy, now: datetime) -> Steps:
    alive = _with_presence(case, Presence.PRESENT)
    unknown = _with_presence(case, Presence.UNKNOWN, Presence.INVALID)
    if alive:
        yield Step(
            "no instance that its facts name is alive",
            _shown(alive),
            Reason.ALIVE,
        )
    elif unknown or not _asked_everywhere(case):
        yield Step(
            "every cloud and region answered",
            _shown(unknown) or "not asked everywhere",
            Reason.UNKNOWN,
        )
    else:
        yield Step(
            "every cloud and region answered, and the instance is not alive in any",
            _shown(case.sightings),
        )


def _parameters_shown(case: Case, policy: Policy, now: datetime) -> Steps:
    """If this login may not read host parameters, none of them can protect a record."""
    if not policy.protect_parameter:
        return
    rule = "this login may read host parameters"
    if case.parameters_shown:
        yield Step(rule, "yes")
    else:
        yield Step(
            rule,
            "no; give its role view_params, or set policy.protect_parameter to ''",
            Reason.HIDDEN_PARAMETERS,
        )


def _with_presence(case: Case, *presences: Presence) -> list[Sighting]:
    return [sighting for sighting in case.sightings if sighting.presence in presences]


def _asked_everywhere(case: Case) -> bool:
    """Whether there is a sighting of every UUID in every place, and at least one sighting."""
    asked = {(sighting.uuid, sighting.place) for sighting in case.sightings}
    places = {sighting.place for sighting in case.sightings}
    return bool(asked) and asked >= set(product(case.identity.uuids, places))


def _record(case: Case, policy: Policy, now: datetime) -> Steps:
    record = case.record
    if record is None:
        yield Step(
            "its record can be read",
            case.problem or "it cannot be read at the moment",
            Reason.OUT_OF_SIGHT,
        )
        return
    yield _require(
        (record.id, record.name) == (case.host_id, case.name),
        "its record is the one that was listed",
        f"id {record.id}, name {record.name}",
        Reason.CHANGED,
    )


def _never_touched(case: Case, policy: Policy, now: datetime) -> Steps:
    record = case.record
    assert record
    yield _rule_out(
        record.infrastructure, "not Satellite or a Capsule", Reason.INFRASTRUCTURE
    )
    yield _rule_out(record.build, "not in build mode", Reason.BUILDING)
    yield _protection(record, policy)
    yield _require(
        case.detachable or not record.compute_resource,
        "its compute resource can be detached",
        record.compute_resource or "it has none",
        Reason.COMPUTE_RESOURCE,
    )


def _protection(record: Record, policy: Policy) -> Step:
    """Whether a host parameter, its own or inherited, protects the record."""
    name = policy.protect_parameter
    if not name:
        return Step("no host parameter protects", "policy.protect_parameter is empty")
    rule = f"host parameter {name} does not protect it"
    value = record.parameters.get(name)
    if value is None:
        return Step(rule, "not set")
    harmless = value.strip().lower() in _NO
    return _require(harmless, rule, f"{name} = {value[:80]!r}", Reason.PROTECTED)


# With proof


def _end(case: Case, policy: Policy, now: datetime) -> Steps:
    """What Nova's deleted row says about itself, whatever the record shows."""
    proof = _proof(case)
    assert proof
    end = proof.terminated_at
    terminated = f"terminated {_at(end)} in {proof.place}"
    yield _require(
        end is not None and end <= now + CLOCK_SKEW,
        "Nova says that it was terminated",
        f"{proof.uuid} {terminated}",
        Reason.CLOCKS_DISAGREE,
    )
    assert end
    yield _leader_is_asked(case, proof)
    rule = f"one check-in interval ({spell(policy.quiet)}) has passed since"
    yield _quiet_since(end, rule, terminated, policy, now)


def _silence_since_end(case: Case, policy: Policy, now: datetime) -> Steps:
    """Compare Nova's deleted row with every later sign of life."""
    proof = _proof(case)
    assert proof and proof.terminated_at and case.record
    end, sign = proof.terminated_at, case.record.last_sign
    yield _has_checkin(sign, case.history)
    yield _silent_since(case, case.record, end)
    rule = (
        f"one check-in interval ({spell(policy.quiet)}) has passed since the last sign "
        "of life"
    )
    observed = f"terminated {_at(end)} in {proof.place}, last sign of life {_at(sign)}"
    yield _quiet_since(sign or end, rule, observed, policy, now)


def _quiet_since(
    when: datetime, rule: str, observed: str, policy: Policy, now: datetime
) -> Step:
    if now - when >= policy.quiet:
        return Step(rule, observed)
    due = _after(when, policy.quiet)
    return Step(rule, f"{observed}; {_can_go(due)}", Reason.QUIET, due)


def _leader_is_asked(case: Case, proof: Sighting) -> Step:
    """Whether the instance of the leading UUID can be alive in a region that is not asked.

    This matters only if the proof is of another instance.
    """
    rule = (
        "no other instance that its facts name can live in a region that is not asked"
    )
    leading = case.identity.uuids[0]
    if not case.unlisted or same_machine(proof.uuid, leading):
        return Step(rule, "none can")
    unlisted = ", ".join(case.unlisted)
    return Step(
        rule,
        f"{leading} is absent, but {unlisted} is not asked",
        Reason.UNLISTED_LEADER,
    )


def _silent_since(case: Case, record: Record, end: datetime) -> Step:
    """Whether neither this record nor a twin has a sign of life after the termination."""
    rule = "silent since it was terminated"
    unreadable = [name for name, twin in case.twins.items() if twin is None]
    if unreadable:
        names = ", ".join(unreadable)
        return Step(
            rule,
            f"{names} names the same instance, and cannot be read",
            Reason.OUT_OF_SIGHT,
        )
    terminated = f"terminated {_at(end)}"
    if _heard_after(record, end):
        return Step(
            rule,
            f"{terminated}, last sign of life {_last_sign(record)}",
            Reason.CHECKED_IN,
        )
    twins = [twin for twin in case.twins.values() if twin]
    for twin in twins:
        if _heard_after(twin, end):
            sign = f"last sign of life of {twin.name}, which names the same instance,"
            return Step(
                rule,
                f"{terminated}, {sign} {_last_sign(twin)}",
                Reason.CHECKED_IN,
            )
    observed = "no sign of life since"
    if twins:
        names = ", ".join(twin.name for twin in twins)
        observed += f", nor of {names}, which names the same instance"
    return Step(rule, observed)


def _heard_after(record: Record, end: datetime) -> bool:
    sign = record.last_sign
    return sign is not None and sign > end + CLOCK_SKEW


def _last_sign(record: Record) -> str:
    """The time and the kind of the last sign of life, for people."""
    when = record.last_sign
    if when == record.last_checkin:
        kind = "check-in"
    elif when == record.report:
        kind = "report"
    elif when == record.registered_at:
        kind = "registration"
    else:
        kind = "facts"
    return f"{_at(when)} ({kind})"


# Without proof


def _doubts(case: Case, policy: Policy, now: datetime) -> Steps:
    yield Step(
        "all sources agree that it is an OpenStack guest",
        case.identity.facts,
        case.identity.doubt,
    )


def _alone(case: Case, policy: Policy, now: datetime) -> Steps:
    yield _require(
        not case.twins,
        "no other record names its UUID",
        ", ".join(case.twins) or "none",
        Reason.SHARED_UUID,
    )


def _scope(case: Case, policy: Policy, now: datetime) -> Steps:
    """Absence counts only where the instance was seen alive, or if every cloud is asked."""
    rule = "every region of its clouds is asked or left out by name"
    if case.unlisted:
        unlisted = ", ".join(case.unlisted)
        yield Step(
            rule,
            f"{unlisted} is in the catalog, but not in 'regions' or 'ignore_regions' of "
            "the configuration",
            Reason.UNLISTED_REGION,
        )
    yield Step(rule, "yes")
    yield _seen_before(case.history, policy)


def _seen_before(history: History, policy: Policy) -> Step:
    rule = "an earlier run saw it alive here, or every cloud is listed"
    if history.homes:
        return Step(rule, f"seen alive in {_joined(history.homes)}")
    if policy.all_clouds_listed:
        return Step(
            rule, "policy.all_clouds_listed is true: it cannot live anywhere else"
        )
    return Step(
        rule,
        "no run saw it alive in a region in scope; "
        "with policy.all_clouds_listed: true its absence counts anyway",
        Reason.NEVER_SEEN,
    )


def _witness(case: Case, policy: Policy, now: datetime) -> Steps:
    """Living hosts of the kind show that the region shows such hosts, and that check-ins arrive."""
    wanted = case.history.homes or {sighting.place for sighting in case.sightings}
    kind = case.identity.kind or "unknown"
    rule = f"another host of its kind ({kind}) is alive where it was"
    unwitnessed = wanted - case.witnessed
    if unwitnessed:
        yield Step(rule, f"none in {_joined(unwitnessed)}", Reason.NO_WITNESS)
    yield Step(rule, _joined(wanted))
    yield _require(
        case.checkins_arrive,
        f"check-ins arrive: another host checked in within {spell(policy.silence)}",
        "yes" if case.checkins_arrive else "none did",
        Reason.NO_CHECKINS,
    )


def _absence(case: Case, policy: Policy, now: datetime) -> Steps:
    """Missing in enough runs, for long enough."""
    history = case.history
    rule = (
        f"missing in at least {policy.misses} runs over at least {spell(policy.grace)}"
    )
    runs = "1 run" if history.misses == 1 else f"{history.misses} runs"
    observed = f"missing in {runs} ({policy.misses} needed), since {_at(history.since)}"
    if history.since is None:
        yield Step(rule, observed, Reason.GRACE)
    elif history.misses >= policy.misses and now - history.since >= policy.grace:
        yield Step(rule, observed)
    else:
        due = _after(history.since, policy.grace)
        yield Step(rule, f"{observed}; {_can_go(due)}", Reason.GRACE, due)


def _guest(case: Case, policy: Policy, now: datetime) -> Steps:
    """A registered guest, which checks in while it lives."""
    record = case.record
    assert record
    yield _rule_out(
        record.hypervisor or record.name.startswith("virt-who-"),
        "not a hypervisor",
        Reason.HYPERVISOR,
    )
    yield _rule_out(
        not record.registered and not case.history.tried,
        "registered",
        Reason.NOT_REGISTERED,
    )
    yield _has_checkin(record.contact, case.history)


def _silence(case: Case, policy: Policy, now: datetime) -> Steps:
    assert case.record
    sign = case.record.last_sign
    rule = f"silent for {spell(policy.silence)}"
    observed = f"last sign of life {_at(sign)}"
    if sign and now - sign < policy.silence:
        due = _after(sign, policy.silence)
        yield Step(rule, f"{observed}; {_can_go(due)}", Reason.SILENCE, due)
    else:
        yield Step(rule, observed)


# Shared


def tombstone(sightings: Iterable[Sighting]) -> Optional[Sighting]:
    """The proof of termination: Nova's deleted row, of several the latest; None without any.

    A row without a time counts as the latest, so that it is not overlooked.
    """
    rows = [sighting for sighting in sightings if sighting.presence is Presence.DELETED]
    never = datetime.max.replace(tzinfo=timezone.utc)
    return max(rows, key=lambda row: row.terminated_at or never, default=None)


def _proof(case: Case) -> Optional[Sighting]:
    """The proof of termination of a UUID that the facts name; None without proof."""
    uuids = case.identity.uuids
    return tombstone(sighting for sighting in case.sightings if sighting.uuid in uuids)


def _has_checkin(when: Optional[datetime], history: History) -> Step:
    """Whether there is a check-in time; a failed deletion may have removed it."""
    return _require(
        when is not None or history.tried,
        "it has a check-in time",
        _at(when),
        Reason.NO_CHECKIN,
    )


def _require(passes: bool, rule: str, observed: str, reason: Reason) -> Step:
    """The step of a rule; its reason counts only if the rule does not pass."""
    return Step(rule, observed, None if passes else reason)


def _rule_out(applies: bool, rule: str, reason: Reason) -> Step:
    """The step of a rule that has nothing to show but whether the reason applies."""
    if applies:
        return Step(rule, reason.value, reason)
    return Step(rule, "yes")


def _shown(sightings: Iterable[Sighting]) -> str:
    """`cloud/region: presence (detail)` of each sighting, each text once."""
    texts = []
    for sighting in sightings:
        place = f"{sighting.place}: "
        text = f"{place}{sighting.presence.value}"
        if sighting.detail:  # an error of a whole region begins with its name
            text += f" ({sighting.detail.replace(place, '', 1)})"
        texts.append(text)
    return "; ".join(dict.fromkeys(texts))


def _joined(places: Iterable[Place]) -> str:
    return ", ".join(sorted(map(str, places)))


def _at(when: Optional[datetime]) -> str:
    return hammer_time(when) if when else "never"


def _after(when: datetime, span: timedelta) -> Optional[datetime]:
    try:
        return when + span
    except OverflowError:  # a policy of a million days
        return None


def _can_go(due: Optional[datetime]) -> str:
    if due is None:
        return "can go after the end of time"
    return f"can go after {_at(due)}"
