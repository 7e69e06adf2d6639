"""The values that the parts hand to each other: frozen, and without anything of the servers' raw answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, NamedTuple, Optional


class Decision(str, Enum):
    """What becomes of a record."""

    KEEP = "keep"
    WAIT = "wait"
    DELETE = "delete"


class Reason(str, Enum):
    """Why; exactly one for every verdict.  The texts are what people read."""

    ALIVE = "instance exists"
    NOT_OPENSTACK = "not an OpenStack instance"
    NOT_A_GUEST = "not shown to be a virtual guest"
    NO_FACTS = "no identifying facts"
    NO_UUID = "no usable UUID"
    AMBIGUOUS_UUID = "facts name different UUIDs"
    CONTRADICTING_FACTS = "fact sources contradict each other"
    UNKNOWN = "OpenStack could not be asked"
    OUT_OF_SIGHT = "record cannot be read"
    CHANGED = "record changed in the meantime"
    INFRASTRUCTURE = "Satellite or Capsule itself"
    HYPERVISOR = "hypervisor record"
    BUILDING = "in build mode"
    NOT_REGISTERED = "never registered"
    PROTECTED = "protected by host parameter"
    SHARED_UUID = "several records with one UUID"
    NO_CHECKIN = "no check-in time"
    CLOCKS_DISAGREE = "clocks disagree"
    CHECKED_IN = "checked in after its termination"
    NO_PROOF = "missing, without the proof it needs"
    NO_WITNESS = "no other host alive in that region"
    COMPUTE_RESOURCE = "compute resource cannot be detached"
    GRACE = "missing, within the grace period"
    SILENCE = "missing, but checked in lately"
    MISSING = "missing for the whole grace period"
    TERMINATED = "terminated, with proof"


# A person has to look at these: the servers contradict each other.
LOUD = frozenset({Reason.CHECKED_IN, Reason.CLOCKS_DISAGREE, Reason.SHARED_UUID, Reason.AMBIGUOUS_UUID,
                  Reason.CONTRADICTING_FACTS})


class Identity(NamedTuple):
    """What the facts of a host say it is.

    `uuids`: every instance UUID that any source names (lower case, dashed), the one that counts first.
    `reason`: why it cannot be taken for an instance, None where it is one.  `seen`: the facts, for people.
    `needs_proof`: only a file on the machine says which instance it is, so absence from OpenStack is not enough.
    """

    uuids: tuple[str, ...] = ()
    reason: Optional[Reason] = None
    seen: str = ""
    needs_proof: bool = False


@dataclass(frozen=True)
class Record:
    """A host record as Satellite showed it a moment ago.  Times are aware.

    `parameters` holds inherited ones too.  `snapshot` is what the journal keeps of it, secrets removed.
    """

    id: int
    name: str
    consumer: Optional[str] = None              # Candlepin's UUID of the registration
    registered: bool = False
    registered_at: Optional[datetime] = None
    last_checkin: Optional[datetime] = None     # rhsmcertd's (Katello), or the last report (plain Foreman)
    last_report: Optional[datetime] = None
    build: bool = False
    hypervisor: bool = False
    infrastructure: bool = False
    compute_resource: Optional[str] = None
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)     # may hold secrets
    snapshot: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def last_seen(self) -> Optional[datetime]:
        """The latest sign of life; None without a check-in, whatever else there is."""
        if self.last_checkin is None:
            return None
        return max(when for when in (self.last_checkin, self.last_report, self.registered_at) if when)

    @property
    def fingerprint(self) -> "Fingerprint":
        """What must be the same at the moment of the deletion."""
        return Fingerprint(self.consumer, _iso(self.registered_at), _iso(self.last_seen))


class Fingerprint(NamedTuple):
    """What tells a record from the same record taken over by a new machine; times in ISO 8601, UTC."""

    consumer: Optional[str]
    registered_at: Optional[str]
    last_seen: Optional[str]


class History(NamedTuple):
    """How often a UUID was missing in a row, in runs in which every cloud answered, and since when (aware)."""

    misses: int = 0
    since: Optional[datetime] = None


class Verdict(NamedTuple):
    """The verdict on one record; `uuid` is '' where the facts name none."""

    host_id: int
    name: str
    uuid: str
    decision: Decision
    reason: Reason
    detail: str = ""
    fingerprint: Optional[Fingerprint] = None   # of every DELETE


class Outcome(NamedTuple):
    """What became of one planned deletion: `result` is deleted, kept or failed."""

    host_id: int
    name: str
    uuid: str
    result: str
    detail: str = ""


@dataclass(frozen=True)
class Policy:
    """How sure, and how much at once.  A cap of 0 means that none may go.

    `quiet`: how long after a proven termination nothing is deleted (rhsmcertd checks in every 240 minutes).
    `all_clouds_listed`: every OpenStack cloud of this Satellite's hosts is in the configuration, so absence from all
    of them says something also of an instance that no run ever saw.  `max_absent`: how many hosts of one region may
    be deleted at once without proof.  `protect_parameter` may be "": none protects.
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


def _iso(when: Optional[datetime]) -> Optional[str]:
    return when.astimezone(timezone.utc).isoformat() if when else None
