"""The verdicts of a plan: one by one, or one for all hosts that are alike.  Pure.

Of 100,000 hosts nearly all are alive, and those of a region share one verdict; nothing but a plan
that lists all of them needs a value for each.
"""

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple

from foreman_hooks.rules.model import Decision, Reason, Verdict

_BY_ID = attrgetter("host_id")
# The id, name and instance UUID of a host; "" if its facts name none.
AlikeHost = tuple[int, str, str]


class Alike(NamedTuple):
    """Hosts that share one verdict.

    `verdict`: that on any of them.  `hosts`: in order of id.
    """

    verdict: Verdict
    hosts: list[AlikeHost]

    def verdicts(self) -> Iterator[Verdict]:
        """Yield the verdict on each of the hosts."""
        for host_id, name, uuid in self.hosts:
            yield self.verdict._replace(
                host_id=host_id,
                name=name,
                uuid=uuid,
            )


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of a plan; iterating yields one for each host, in order of id.

    `single`: on hosts that were judged one by one, in order of id; all open ones are here.
    `alike`: on all other hosts.  `sums`: reason -> how many records have it.

    Only the sums tell how many hosts there are: a plan that was read from a file has no other
    verdicts than the open ones.
    """

    single: tuple[Verdict, ...]
    alike: tuple[Alike, ...]
    sums: Mapping[Reason, int]

    def __iter__(self) -> Iterator[Verdict]:
        groups = [group.verdicts() for group in self.alike]
        return heapq.merge(self.single, *groups, key=_BY_ID)

    @cached_property
    def open(self) -> tuple[Verdict, ...]:
        """The verdicts on records to delete, that wait, and that need attention."""
        return tuple(verdict for verdict in self.single if verdict.is_open)

    @cached_property
    def hosts(self) -> int:
        """How many hosts there are."""
        return sum(self.sums.values())

    @cached_property
    def counts(self) -> Mapping[Decision, int]:
        """How many records have each decision."""
        counts: Counter[Decision] = Counter()
        for reason, count in self.sums.items():
            counts[reason.decision] += count
        return counts

    def count(self, reasons: Collection[Reason]) -> int:
        """How many records have one of these reasons."""
        return sum(self.sums.get(reason, 0) for reason in reasons)

    def only(self, host_ids: Collection[int]) -> "Verdicts":
        """The verdicts on these hosts."""
        single = [verdict for verdict in self.single if verdict.host_id in host_ids]
        for group in self.alike:
            hosts = [host for host in group.hosts if host[0] in host_ids]
            single += Alike(group.verdict, hosts).verdicts()
        return verdicts_of(single)


def verdicts_of(single: Iterable[Verdict], alike: Iterable[Alike] = ()) -> Verdicts:
    """The verdicts on hosts that were judged one by one, and on groups of further hosts."""
    verdicts = list(single)
    groups: list[Alike] = []
    sums: Counter[Reason] = Counter()
    for group in alike:
        if group.verdict.is_open:
            verdicts += group.verdicts()
        else:
            groups.append(group)
            sums[group.verdict.reason] += len(group.hosts)
    for verdict in verdicts:
        sums[verdict.reason] += 1
    verdicts.sort(key=_BY_ID)
    return Verdicts(
        single=tuple(verdicts),
        alike=tuple(groups),
        sums=sums,
    )
