"""The values that the rooms pass to each other: frozen, and without raw responses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker import Place
from foreman_hooks.times import iso


class Decision(str, Enum):
    """What to do with a host record."""

    KEEP = "keep"
    WAIT = "wait"
    DELETE = "delete"


class Reason(str, Enum):
    """Why a verdict decides as it does; each verdict has exactly one.  People read these texts."""

    ALIVE = "instance exists"
    NOT_OPENSTACK = "not an OpenStack instance"
    NO_FACTS = "no identifying facts"
    NO_UUID = "no usable UUID"
    UNKNOWN = "OpenStack could not be asked"
    OUT_OF_SIGHT = "record cannot be read"
    CHANGED = "record changed in the meantime"
    INFRASTRUCTURE = "Satellite or Capsule itself"
    BUILDING = "in build mode"
    HIDDEN_PARAMETERS = "host parameters cannot be read"
    PROTECTED = "protected by host parameter"
    COMPUTE_RESOURCE = "compute resource cannot be detached"
    NO_CHECKIN = "no check-in time"
    # With proof of the termination:
    UNLISTED_LEADER = "its main UUID may exist in a region that is not asked"
    CLOCKS_DISAGREE = "clocks disagree"
    CHECKED_IN = "checked in after its termination"
    QUIET = "terminated, waiting one check-in interval"
    TERMINATED = "terminated, with proof"
    # Without proof, absent from OpenStack:
    NOT_A_GUEST = "absent, not shown to be a virtual guest"
    UNKNOWN_MAKER = "absent, not shown to be made by OpenStack"
    AMBIGUOUS_UUID = "absent, facts name different UUIDs"
    CONTRADICTING_FACTS = "absent, fact sources contradict each other"
    NO_PROOF = "absent, without the proof it needs"
    HYPERVISOR = "absent, hypervisor record"
    NOT_REGISTERED = "absent, not registered"
    SHARED_UUID = "absent, several records share its UUID"
    UNLISTED_REGION = "absent, but a region of its cloud is not asked"
    NEVER_SEEN = "absent, and never seen alive here"
    NO_WITNESS = "absent, no host of its kind alive in that region"
    NO_CHECKINS = "absent, but no other host checked in recently"
    GRACE = "absent, within the grace period"
    SILENCE = "absent, but checked in recently"
    MISSING = "absent for the whole grace period"

    @property
    def decision(self) -> Decision:
        """What a verdict with this reason decides."""
        if self in _DELETIONS:
            return Decision.DELETE
        return Decision.WAIT if self in WAITS else Decision.KEEP

    @property
    def is_open(self) -> bool:
        """Whether such a record is to be deleted, waits, or needs attention."""
        return self.decision is not Decision.KEEP or self in NEEDS_ATTENTION


_DELETIONS = frozenset({Reason.TERMINATED, Reason.MISSING})
# These reasons end as time passes; every other reason keeps the record.
WAITS = frozenset(
    {
        Reason.QUIET,
        Reason.GRACE,
        Reason.SILENCE,
        Reason.NO_CHECKINS,
    }
)

# A record needs attention if Satellite and OpenStack contradict each other about it, or if
# something has to be configured: it is kept, and reported until that changes or somebody
# acknowledges it.
NEEDS_ATTENTION = frozenset(
    {
        Reason.CHECKED_IN,
        Reason.CLOCKS_DISAGREE,
        Reason.SHARED_UUID,
        Reason.AMBIGUOUS_UUID,
        Reason.CONTRADICTING_FACTS,
        Reason.UNLISTED_LEADER,
        Reason.UNLISTED_REGION,
        Reason.HIDDEN_PARAMETERS,
        Reason.OUT_OF_SIGHT,
    }
)
# Nothing could be learned about these records in this run.
UNKNOWN_REASONS = frozenset(
    {
        Reason.UNKNOWN,
        Reason.OUT_OF_SIGHT,
        Reason.HIDDEN_PARAMETERS,
    }
)


class Result(str, Enum):
    """What became of one planned deletion."""

    DELETED = "deleted"
    KEPT = "kept"
    FAILED = "failed"
    UNFINISHED = "unfinished"  # not known yet: the next run finds out

    def __str__(self) -> str:
        return self.value


class Identity(NamedTuple):
    """What a host is, according to its facts.

    `uuids`: every instance UUID that a source names (lower case, dashed), the leading source's
    first.  `reason`: why OpenStack is not asked about the host (NOT_OPENSTACK, NO_FACTS, NO_UUID,
    OUT_OF_SIGHT); None if it is asked.  `facts`: the facts in words, for people.  `doubt`: why the
    host may not be an OpenStack guest, which keeps the record unless the termination is proven;
    None without doubt.  `kind`: what the firmware calls itself (maker, product, asset tag); only a
    living host of the same kind is a witness.
    """

    uuids: tuple[str, ...] = ()
    reason: Optional[Reason] = None
    facts: str = ""
    doubt: Optional[Reason] = None
    kind: str = ""


@dataclass(frozen=True)
class Record:
    """A host record as Satellite showed it a moment ago.  Times are aware.

    `consumer`: Candlepin's UUID of the registration.  `registered`: always True without Katello.
    `last_checkin`: of rhsmcertd; None without Katello.  `report_failed`: the latest reports failed
    as a whole; Satellite's side also writes such reports about a dead machine, so they are no sign
    of life.  `facts_at`: when facts last arrived.  `katello`: whether Katello is installed, so that
    machines check in.  `build`: in build mode.  `infrastructure`: Satellite or a Capsule.
    `compute_resource`: its name, None without one.  `parameters`: with inherited ones.  `snapshot`:
    what the journal keeps, without secrets.
    """

    id: int
    name: str
    consumer: Optional[str] = None
    registered: bool = False
    registered_at: Optional[datetime] = None
    last_checkin: Optional[datetime] = None
    last_report: Optional[datetime] = None
    report_failed: bool = False
    facts_at: Optional[datetime] = None
    katello: bool = True
    build: bool = False
    hypervisor: bool = False
    infrastructure: bool = False
    compute_resource: Optional[str] = None
    # May hold secrets, so they are not printed.
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    snapshot: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def report(self) -> Optional[datetime]:
        """The last report, if the machine itself sent it."""
        return None if self.report_failed else self.last_report

    @property
    def contact(self) -> Optional[datetime]:
        """The last check-in; without Katello, the last report."""
        return self.last_checkin if self.katello else self.report

    @property
    def last_sign(self) -> Optional[datetime]:
        """The last sign of life: check-in, report or registration; without any, the last facts."""
        signs = [
            when
            for when in (self.last_checkin, self.report, self.registered_at)
            if when
        ]
        return max(signs, default=self.facts_at)

    @property
    def fingerprint(self) -> "Fingerprint":
        """What must be unchanged when the record is deleted."""
        return Fingerprint(
            self.consumer,
            _text(self.registered_at),
            _text(self.last_sign),
        )


class Fingerprint(NamedTuple):
    """What changes when a new machine takes over a record; times in ISO 8601, UTC."""

    consumer: Optional[str]
    registered_at: Optional[str]
    last_sign: Optional[str]


class History(NamedTuple):
    """What earlier runs know about a UUID.

    `misses`: in how many runs in a row it was missing while every cloud answered.  `since`: when it
    was first missing (aware).  `homes`: the places in scope where a run saw it alive.  `tried`: the
    journal has a failed deletion of this record.
    """

    misses: int = 0
    since: Optional[datetime] = None
    homes: frozenset[Place] = frozenset()
    tried: bool = False


class Basis(NamedTuple):
    """What a verdict rests on, for programs; "" for what is not known.

    `cloud`, `region`: where the instance is, or was.  `project`: the id of the project that it
    belongs to; Nova's list of all servers does not say.  The times are texts as times.iso_z writes
    them.  `terminated_at`: only with proof.  `last_checkin`: of the host record that was read; that
    of a host whose instance is in a list of servers is not.  `due`: when a record that waits can go
    at the earliest.
    """

    cloud: str = ""
    region: str = ""
    project: str = ""
    terminated_at: str = ""
    last_checkin: str = ""
    due: str = ""


class Verdict(NamedTuple):
    """The verdict on one host record.

    `uuid`: the instance's; "" if the facts name none.  `detail`: what was observed, for people.
    `fingerprint`: only a DELETE has one.
    """

    host_id: int
    name: str
    uuid: str
    decision: Decision
    reason: Reason
    detail: str = ""
    fingerprint: Optional[Fingerprint] = None
    basis: Basis = Basis()

    @property
    def is_open(self) -> bool:
        """Whether the record is to be deleted, waits, or needs attention."""
        return self.reason.is_open


class Outcome(NamedTuple):
    """What became of one planned deletion.

    `detail`: why, for people.  `at`: when Satellite had accepted the DELETE (aware); None if it did
    not, or if nobody knows.
    """

    host_id: int
    name: str
    uuid: str
    result: Result
    detail: str = ""
    at: Optional[datetime] = None


def count_deleted(outcomes: Iterable[Outcome]) -> int:
    """How many of the records are gone."""
    return sum(outcome.result is Result.DELETED for outcome in outcomes)


@dataclass(frozen=True)
class Policy:
    """How certain a run must be, and how much it may delete at once.  A cap of 0: delete nothing.

    `quiet`: how long a record is kept after a proven termination (rhsmcertd checks in every 240
    minutes).  `all_clouds_listed`: every OpenStack cloud of this Satellite's hosts is configured,
    so absence from all of them also counts for an instance that no run ever saw alive.  `grace`,
    `misses`: without proof, how long and in how many runs in a row an instance must be missing.
    `silence`: without proof, how long the machine must have been silent.  `max_fraction`: of all
    instances, 0 to 1.  `max_absent`: how many hosts of one region may be deleted at once without
    proof.  `max_shrink`: what fraction of its servers a region may lose between two runs.
    `protect_parameter`: "" means that no host parameter protects.  `openstack_names`: see
    identity.identify.
    """

    quiet: timedelta = timedelta(hours=4, minutes=30)
    all_clouds_listed: bool = False
    grace: timedelta = timedelta(hours=72)
    misses: int = 3
    silence: timedelta = timedelta(hours=24)
    max_deletions: int = 50
    max_fraction: float = 0.10
    max_absent: int = 5
    max_shrink: float = 0.30
    protect_parameter: str = "osp_cleanup_protect"
    openstack_names: tuple[str, ...] = ("OpenStack",)


def _text(when: Optional[datetime]) -> Optional[str]:
    return iso(when) if when else None
