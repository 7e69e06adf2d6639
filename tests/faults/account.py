"""What runs in a world that moves may delete, and what they have to delete, by what is true there.

The rules are written down a second time here, from Nova's rows and Satellite's facts themselves,
and not from what the product observed.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Optional

from sandbox.satellite import RHSM, Host

from foreman_hooks.osp_checker.uuids import both_orders, parse_uuid
from foreman_hooks.rules.model import Policy, Reason
from foreman_hooks.rules.plan import Plan
from foreman_hooks.satellite.times import parse_time
from foreman_hooks.times import read_iso_z

from .moving import PLACES, PROTECTION, MovingWorld

_DEFAULT = Policy()
QUIET = _DEFAULT.quiet.total_seconds()
GRACE = _DEFAULT.grace.total_seconds()
SILENCE = _DEFAULT.silence.total_seconds()
MISSES = _DEFAULT.misses
SKEW = 300.0  # clocks may differ by so many seconds
ROUNDING = 60.0


@dataclass
class Record:
    """What is true of a record at one moment.

    `uuids`: all that its facts name, in both byte orders.  `ends`: when the instances of which Nova
    has a deleted row were terminated.  `is_alive`: an instance that they name exists.  `sign`: the
    last check-in of it or of a record that shares a UUID.  `shares`: whether there is such a one.
    """

    host: Host
    uuids: set[str]
    ends: list[float]
    is_alive: bool
    sign: float
    shares: bool

    @property
    def is_protected(self) -> bool:
        """Whether its host parameter protects it."""
        return PROTECTION in self.host.parameters

    @property
    def is_plain(self) -> bool:
        """Whether its facts leave no doubt that it is an OpenStack guest, with one UUID."""
        rhsm = self.host.facts[RHSM]
        is_ambiguous = parse_uuid(rhsm["dmi::system::uuid"]) != rhsm["virt::uuid"]
        published = rhsm.get("osp::uuid")
        is_published = published in (None, rhsm["virt::uuid"])
        others = [facts for origin, facts in self.host.facts.items() if origin != RHSM]
        has_other_maker = any("ansible_system_vendor" in facts for facts in others)
        return is_published and not is_ambiguous and not has_other_maker


@dataclass
class Missing:
    """In which runs a record was missing, by the UUID that leads."""

    uuid: str
    times: list[float] = field(default_factory=list)

    def add(self, now: float) -> None:
        """It was missing in another run; runs that are far apart are not consecutive."""
        if self.times and now - self.times[-1] > GRACE:
            self.times.clear()
        self.times.append(now)


@dataclass
class Account:
    """What is true of all records, and what runs have learned of them.

    `possible`: host id -> the runs in which it may have been counted as missing.  `certain`: those
    in which it must have been.  `homes`: the UUIDs that a sound run saw alive.  `announced`: host
    id -> when it can go, as a run said, and when its instance was terminated.
    """

    world: MovingWorld
    possible: dict[int, Missing] = field(default_factory=dict)
    certain: dict[int, Missing] = field(default_factory=dict)
    homes: set[str] = field(default_factory=set)
    announced: dict[int, tuple[float, float]] = field(default_factory=dict)

    def records(self, hosts: Iterable[Host]) -> dict[int, Record]:
        """What is true of these records now, by id."""
        rows: dict[str, Optional[float]] = {}
        for place in PLACES:
            for uuid, row in self.world.rows(place).items():
                rows[uuid] = row.terminated
        hosts = list(hosts)
        named: dict[int, set[str]] = {}
        naming: dict[str, list[Host]] = {}
        for host in hosts:
            named[host.id] = both_orders(_uuids(host))
            for uuid in named[host.id]:
                naming.setdefault(uuid, []).append(host)
        records: dict[int, Record] = {}
        for host in hosts:
            uuids = named[host.id]
            ends = [rows[uuid] for uuid in uuids & rows.keys()]
            sharing = {twin.id: twin for uuid in uuids for twin in naming[uuid]}
            records[host.id] = Record(
                host=host,
                uuids=uuids,
                ends=[end for end in ends if end is not None],
                is_alive=None in ends,
                sign=max(map(_checked_in, sharing.values())),
                shares=len(sharing) > 1,
            )
        return records

    # Before and after a run

    def note_run(
        self, records: dict[int, Record], judged: Collection[int], certain: bool
    ) -> None:
        """A full run, or one for one record, looked at all records.

        `judged`: of which it counted the misses, if it did.  `certain`: it must have.
        """
        for host_id, record in records.items():
            leading = parse_uuid(record.host.facts[RHSM]["virt::uuid"]) or ""
            if record.is_alive and certain:
                self.homes.add(leading)
            is_missing = host_id in judged and not record.is_alive
            if record.is_alive:
                # It may not start over: another UUID than the leading one may be alive.
                self.certain.pop(host_id, None)
            for counts, counted in ((self.possible, True), (self.certain, certain)):
                missing = counts.setdefault(host_id, Missing(leading))
                if missing.uuid != leading:
                    missing = counts[host_id] = Missing(leading)
                if is_missing and counted:
                    missing.add(self.world.now)

    def note_waiting(self, plan: Plan, records: dict[int, Record]) -> None:
        """The plan announced when records can go."""
        for verdict in plan.verdicts.open:
            self.announced.pop(verdict.host_id, None)
            due = read_iso_z(verdict.basis.due)
            if verdict.reason is Reason.QUIET and due:
                end = max(records[verdict.host_id].ends)
                self.announced[verdict.host_id] = (due.timestamp(), end)

    def why_not(self, record: Record) -> str:
        """Why a run may not delete this record; "" if it may."""
        now = self.world.now
        if record.is_protected:
            return "it is protected"
        if record.is_alive:
            return "an instance that it names exists"
        if record.ends:
            end = max(record.ends)
            if record.sign > end + SKEW:
                return "it checked in after its termination"
            if now - max(end, record.sign) < QUIET:
                return "it was not quiet for long enough"
            return ""
        missing = self.possible.get(record.host.id, Missing(""))
        if len(missing.times) < MISSES or now - missing.times[0] < GRACE:
            return f"it was missing in the runs at {missing.times} only"
        if now - _checked_in(record.host) < SILENCE:
            return "it checked in a short time ago"
        if record.shares or not record.is_plain:
            return "its facts leave doubts"
        return ""

    def count_at_once(self, host_ids: Iterable[int]) -> int:
        """How many of these records without proof have been missing since one and the same run."""
        starts = Counter(self.possible[host_id].times[0] for host_id in host_ids)
        return max(starts.values(), default=0)

    def due(self, records: dict[int, Record]) -> Iterator[tuple[int, float]]:
        """Yield the id of each record that is provably dead and quiet now, and the time it ended.

        Those that were written on by a clock that is a little ahead are left out.
        """
        for host_id, record in records.items():
            if record.is_alive or record.is_protected or not record.ends:
                continue
            end = max(record.ends)
            if record.sign <= end and self.world.now >= end + QUIET + ROUNDING:
                yield host_id, end

    def overdue(self, records: dict[int, Record]) -> Iterator[int]:
        """Yield the id of each record that has waited for long enough, by this full run."""
        now = self.world.now
        for host_id, missing in self.certain.items():
            record = records.get(host_id)
            if record is None or record.is_alive or record.ends or record.shares:
                continue
            if record.is_protected or not record.is_plain:
                continue
            if len(missing.times) < MISSES or now - missing.times[0] < GRACE:
                continue
            if now - record.sign >= SILENCE + ROUNDING and missing.uuid in self.homes:
                yield host_id


def _uuids(host: Host) -> set[str]:
    """Every UUID that a source names, but for those that a disk may have carried along."""
    uuids: set[str] = set()
    for facts in host.facts.values():
        for name, value in facts.items():
            if name.endswith("uuid") and not name.startswith("osp::"):
                uuids.add(_parsed(value))
    return uuids - {""}


@lru_cache(maxsize=100_000)
def _parsed(value: Optional[str]) -> str:
    return parse_uuid(value or "") or ""


def _checked_in(host: Any) -> float:
    return _seconds(host.subscription["last_checkin"])


@lru_cache(maxsize=100_000)
def _seconds(text: str) -> float:
    when = parse_time(text)
    assert when
    return when.timestamp()
