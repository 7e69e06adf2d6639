"""The values that the parts hand to each other: frozen, and free of the servers' raw answers."""

from collections.abc import Mapping
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
    """Why a verdict says what it says; each verdict has exactly one.  People read these texts."""

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


# Either the servers contradict each other, or something has to be configured.
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
    first.  `reason`: why OpenStack is not asked about it (NOT_OPENSTACK, NO_FACTS, NO_UUID); None
    if it is asked.  `facts`: the facts in words, for people.  `doubt`: why it may not be an
    OpenStack guest; this keeps the record unless the termination is proven.  `kind`: what its
    firmware calls itself (maker, product, asset tag); only a living host of the same kind is a
    witness for it.
    """

    uuids: tuple[str, ...] = ()
    reason: Optional[Reason] = None
    facts: str = ""
    doubt: Optional[Reason] = None
    kind: str = ""


@dataclass(frozen=True)
class Record:
    """A host record as Satellite showed it a moment ago.  Times are aware.

    `consumer`: Candlepin's UUID of the registration.  `last_checkin`: rhsmcertd's; None without
    Katello.  `katello`: whether the agent's check-in is the sign of life, not only the last report.
    `report_failed`: its latest reports failed as a whole; Satellite's side also writes such reports
    about a dead machine, so they do not count.  `facts_at`: when facts last arrived.
    `parameters` includes inherited ones.  `snapshot` is what the journal keeps, without secrets.
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
    parameters: Mapping[str, str] = field(
        default_factory=dict, repr=False
    )  # may hold secrets
    snapshot: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def report(self) -> Optional[datetime]:
        """The last report, if the machine itself sent it."""
        return None if self.report_failed else self.last_report

    @property
    def contact(self) -> Optional[datetime]:
        """The agent's last check-in; without Katello the last report."""
        return self.last_checkin if self.katello else self.report

    @property
    def last_sign(self) -> Optional[datetime]:
        """The latest check-in, report or registration; without any, the last facts, if any."""
        signs = [
            when
            for when in (self.last_checkin, self.report, self.registered_at)
            if when
        ]
        return max(signs, default=self.facts_at)

    @property
    def fingerprint(self) -> "Fingerprint":
        """What must not have changed at the moment of the deletion."""
        return Fingerprint(
            self.consumer,
            _text(self.registered_at),
            _text(self.last_sign),
        )


class Fingerprint(NamedTuple):
    """What changes when a new machine takes a record over; times in ISO 8601, UTC."""

    consumer: Optional[str]
    registered_at: Optional[str]
    last_sign: Optional[str]


class History(NamedTuple):
    """What earlier runs know about a UUID.

    `misses`: in how many runs in a row it was missing while every cloud answered, `since` when
    (aware).  `homes`: the places in scope where a run saw it alive.  `tried`: the journal has a
    deletion of this record that did not succeed.
    """

    misses: int = 0
    since: Optional[datetime] = None
    homes: frozenset[Place] = frozenset()
    tried: bool = False


class Verdict(NamedTuple):
    """The verdict on one record.

    `uuid` is "" if the facts name none.  Every DELETE has a `fingerprint`.
    """

    host_id: int
    name: str
    uuid: str
    decision: Decision
    reason: Reason
    detail: str = ""
    fingerprint: Optional[Fingerprint] = None


class Outcome(NamedTuple):
    """What became of one planned deletion; `detail` says why, for people."""

    host_id: int
    name: str
    uuid: str
    result: Result
    detail: str = ""


@dataclass(frozen=True)
class Policy:
    """How sure a run has to be, and how much it may delete at once.  A cap of 0: delete nothing.

    `quiet`: how long nothing is deleted after a proven termination (rhsmcertd checks in every 240
    minutes).  `all_clouds_listed`: every OpenStack cloud of this Satellite's hosts is configured,
    so absence from all of them also says something about an instance that no run ever saw.
    `max_absent`: how many hosts of one region may be deleted at once without proof.
    `protect_parameter`: "" means that no host parameter protects.
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
