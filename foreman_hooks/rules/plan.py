"""The plan: the verdicts of a run, and the file that holds what `apply` needs of it.  Pure."""

import hashlib
import json
import math
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from functools import cached_property
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker import OSPError, RegionAnswer, parse_uuid
from foreman_hooks.osp_checker.errors import KINDS
from foreman_hooks.osp_checker.session import CLOCK_SKEW
from foreman_hooks.osp_checker.values import is_possible
from foreman_hooks.rules.model import (
    UNKNOWN_REASONS,
    Basis,
    Decision,
    Fingerprint,
    Reason,
    Verdict,
)
from foreman_hooks.rules.verdicts import Verdicts, verdicts_of

FORMAT = 4
MAX_AGE = timedelta(days=1)
DIGEST_LENGTH = 12  # characters of a digest that name a plan
_TOO_MANY = 2**31  # hosts or servers; Foreman's ids are 32-bit integers
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Kind(str, Enum):
    """Which hosts of its scope a run has verdicts on.

    FULL: all of them.  QUICK: those whose instance was deleted lately.  SINGLE: one.
    """

    FULL = "full"
    QUICK = "quick"
    SINGLE = "single"


class PlanError(Exception):
    """A plan file cannot be read, or a plan must not be applied."""

    exit_code = 65


@dataclass(frozen=True)
class PlanRegion(RegionAnswer):
    """A region as the plan keeps it: how it answered, and what the run learned there.

    `alive`: how many hosts of this Satellite are alive in it.  `witnesses`: (kind, UUID) of some of
    these, for each kind of which an absent host needs a witness.  `terminated`: how many of its
    servers have been proven terminated since the last good run.
    """

    alive: int = 0
    witnesses: tuple[tuple[str, str], ...] = ()
    terminated: int = 0


class Absence(NamedTuple):
    """A host that is absent: missing, without proof of its termination.

    `home`: the place where it was seen alive, as text; "" if not known.  `since`: when it was first
    missing (aware).
    """

    host_id: int
    home: str
    since: datetime


class Hold(NamedTuple):
    """Deletions that need an approval, although others may be applied without; and why."""

    why: str
    host_ids: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What a run decided, host by host.

    `satellite`: its URL.  `made_at`: in UTC.  `scope`: which hosts were looked at, for people.
    `verdicts`: of a plan that was read from a file, only the open ones, and the sums of all.
    `refusals`: the guard rails that the plan breaks; with any, nothing is applied.  `holds`: the
    guard rails that concern only some deletions; without an approval, the others are applied.
    `shrunk`: since the last good run, a cloud has lost more servers than max_shrink allows, so its
    present size does not count as normal.  `unasked`: CLOUD/REGION of each region that the last
    good run asked and this run did not.  `kind`: which hosts it has verdicts on.
    `fleet`: how many instances there are, if it does not have the verdicts on all; else None.
    """

    satellite: str
    made_at: datetime
    scope: str
    regions: tuple[PlanRegion, ...]
    verdicts: Verdicts
    refusals: tuple[str, ...] = ()
    holds: tuple[Hold, ...] = ()
    shrunk: bool = False
    unasked: tuple[str, ...] = ()
    kind: Kind = Kind.FULL
    fleet: Optional[int] = None

    @cached_property
    def deletions(self) -> tuple[Verdict, ...]:
        """The verdicts that say delete."""
        return tuple(
            verdict
            for verdict in self.verdicts.open
            if verdict.decision is Decision.DELETE
        )

    @property
    def hosts(self) -> int:
        """How many records the plan is about."""
        return self.verdicts.hosts

    @property
    def counts(self) -> Mapping[Decision, int]:
        """How many records have each decision."""
        return self.verdicts.counts

    @property
    def unknown(self) -> int:
        """How many records are kept because nothing could be learned about them."""
        return self.verdicts.count(UNKNOWN_REASONS)

    @cached_property
    def held(self) -> Mapping[int, str]:
        """Host id -> why its deletion needs an approval."""
        reasons: dict[int, str] = {}
        for hold in self.holds:
            reasons.update(dict.fromkeys(hold.host_ids, hold.why))
        return reasons

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of everything that the file of the plan says."""
        return _digest(_head(self), self.verdicts.open)


def check_applicable(plan: Plan, satellite: str, now: datetime) -> None:
    """Raise PlanError if the plan is for another Satellite, over a day old, or from the future."""
    if plan.satellite != satellite:
        raise PlanError(
            f"the plan is for {plan.satellite}, this is {satellite}; make a new one"
        )
    age = now - plan.made_at
    if age > MAX_AGE:
        hours, limit = _hours(age), _hours(MAX_AGE)
        raise PlanError(
            f"the plan is {hours} hours old, the limit is {limit}; make a new one"
        )
    if age < -CLOCK_SKEW:
        made_at = plan.made_at.isoformat()
        raise PlanError(f"the plan is from the future ({made_at}); check the clock")


def _hours(span: timedelta) -> str:
    return str(math.ceil(span / timedelta(hours=1)))


def dump(plan: Plan) -> str:
    """The plan as JSON text, with its digest: what `apply` needs.

    That is one line for each open verdict, and how many records have each reason.
    """
    rows = ",\n  ".join(map(json.dumps, plan.verdicts.open))
    head = json.dumps({"digest": plan.digest, **_head(plan)}, indent=1)
    return f'{head[:-2]},\n "verdicts": [\n  {rows}\n ]\n}}\n'


def load(text: str) -> Plan:
    """The plan that `dump` wrote; raises PlanError if it is not one, or was changed."""
    try:
        document = json.loads(text)
        if _SURROGATE.search(text):  # half a character, which the journal cannot hold
            json.dumps(document, ensure_ascii=False).encode()
        digest = document.pop("digest")
        version = document["format"]
        if version != FORMAT:
            raise PlanError(
                f"the plan has format {reprlib.repr(version)}, "
                f"this version reads {FORMAT}; make a new one"
            )
        verdicts = document.pop("verdicts")
        if _digest(document, verdicts) != digest:
            raise PlanError(
                "the plan was changed after it was made (its digest does not match); make a new one"
            )
        # Such a plan is never written to a file: it does not know the size of the fleet.
        if document["kind"] != Kind.FULL.value:
            raise PlanError("the plan is not about all hosts; make a new one")
        return _checked_plan(document, verdicts)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise PlanError("not a plan that 'plan --out' wrote; make a new one") from error


def _checked_plan(document: Mapping[str, Any], rows: Sequence[Any]) -> Plan:
    """The plan; raises PlanError, or what Python raises for a value of the wrong type."""
    made_at = datetime.fromisoformat(document["made_at"])
    if made_at.utcoffset() != timedelta(0):
        raise PlanError("the plan's time is not in UTC; make a new one")
    if not is_possible(made_at):
        raise ValueError("a time to which nothing can be added")
    verdicts = _verdicts(rows, document["sums"])
    holds = []
    for why, ids in document["holds"]:
        holds.append(Hold(_typed(why, str), tuple(ids)))
    host_ids = {verdict.host_id for verdict in verdicts.open}
    known = all(host_ids.issuperset(hold.host_ids) for hold in holds)
    if not known or len(host_ids) < len(verdicts.open):
        raise PlanError(
            "the plan names a host twice, or holds a host that it does not name; make a new one"
        )
    return Plan(
        _typed(document["satellite"], str),
        made_at,
        _typed(document["scope"], str),
        tuple(map(_region, document["regions"])),
        verdicts,
        _texts(document["refusals"]),
        tuple(holds),
        _typed(document["shrunk"], bool),
        _texts(document["unasked"]),
    )


def _typed(value: Any, kind: type) -> Any:
    """The value, if it is of exactly that type; raises TypeError."""
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not {kind.__name__}")
    return value


def _number(value: Any) -> int:
    """The value, if it can be an id or a number of hosts; raises TypeError and ValueError."""
    number: int = _typed(value, int)
    if not 0 <= number < _TOO_MANY:
        raise ValueError("not a number of hosts")
    return number


def _texts(value: Any) -> tuple[str, ...]:
    """The texts of a list; raises TypeError."""
    return tuple(_typed(text, str) for text in _typed(value, list))


def _region_row(region: PlanRegion) -> list[Any]:
    return [
        region.cloud,
        region.region,
        region.servers,
        region.proof,
        str(region.error or ""),
        type(region.error).__name__ if region.error else "",
        region.alive,
        region.witnesses,
        region.terminated,
        region.unlisted,
    ]


def _region(row: Sequence[Any]) -> PlanRegion:
    (
        cloud,
        region,
        servers,
        proof,
        message,
        kind,
        alive,
        witnesses,
        terminated,
        unlisted,
    ) = row
    if servers is not None:
        _number(servers)
    for text in (cloud, region, proof, message, kind, *unlisted):
        _typed(text, str)
    for count in (alive, terminated):
        _number(count)
    error: Optional[OSPError] = None
    if kind or message:
        error = KINDS.get(kind, OSPError)(message)
    return PlanRegion(
        cloud,
        region,
        servers,
        proof,
        error,
        tuple(unlisted),
        alive=alive,
        witnesses=tuple(
            (_typed(name, str), _typed(uuid, str)) for name, uuid in witnesses
        ),
        terminated=terminated,
    )


def _verdicts(rows: Sequence[Any], sums: Mapping[str, Any]) -> Verdicts:
    """The open verdicts and the sums of a plan, of which the verdicts must be a part."""
    listed = verdicts_of(map(_verdict, rows))
    counts: dict[Reason, int] = {}
    open_counts: dict[Reason, int] = {}
    for text, count in sums.items():
        reason = Reason(text)
        if _number(count) == 0:
            raise ValueError("a sum of no hosts")
        counts[reason] = count
        if reason.is_open:
            open_counts[reason] = count
    if listed.sums != open_counts:
        raise PlanError("the plan's sums are not those of its verdicts; make a new one")
    return replace(listed, sums=counts)


def _verdict(row: Sequence[Any]) -> Verdict:
    host_id, name, uuid, decision, reason, detail, fingerprint, basis = row
    _number(host_id)
    if uuid and parse_uuid(uuid) != uuid:
        raise ValueError("not a UUID")
    verdict = Verdict(
        host_id,
        _typed(name, str),
        _typed(uuid, str),
        Decision(decision),
        Reason(reason),
        _typed(detail, str),
        _fingerprint(fingerprint),
        Basis(*_texts(basis)),
    )
    _check_consistent(verdict)
    return verdict


def _fingerprint(row: Optional[list[Any]]) -> Optional[Fingerprint]:
    if row is None:
        return None
    for text in _typed(row, list):
        if text is not None:
            _typed(text, str)
    return Fingerprint(*row)


def _check_consistent(verdict: Verdict) -> None:
    """Raise PlanError if the parts of a verdict contradict each other."""
    is_deletion = verdict.decision is Decision.DELETE
    if verdict.decision is not verdict.reason.decision:
        raise PlanError(
            f"the plan says {verdict.decision.value} for {verdict.name}, "
            f"but its reason is: {verdict.reason.value}"
        )
    has_fingerprint = verdict.fingerprint is not None
    if is_deletion != has_fingerprint or (is_deletion and not verdict.uuid):
        raise PlanError(
            f"the plan does not say what the record of {verdict.name} looked like; make a new one"
        )


def _head(plan: Plan) -> dict[str, Any]:
    """Everything but the open verdicts."""
    head: dict[str, Any] = {
        "format": FORMAT,
        "satellite": plan.satellite,
        "made_at": plan.made_at.isoformat(),
        "scope": plan.scope,
        "kind": plan.kind.value,
        "refusals": list(plan.refusals),
        "shrunk": plan.shrunk,
        "unasked": list(plan.unasked),
        "holds": [list(hold) for hold in plan.holds],
    }
    if plan.fleet is not None:
        head["fleet"] = plan.fleet
    head["regions"] = [_region_row(region) for region in plan.regions]
    head["sums"] = dict(sorted(plan.verdicts.sums.items()))
    return head


def _digest(head: Mapping[str, Any], verdicts: Iterable[Sequence[Any]]) -> str:
    """SHA-256, in hex."""
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for verdict in verdicts:
        digest.update(json.dumps(verdict).encode() + b"\n")
    return digest.hexdigest()
