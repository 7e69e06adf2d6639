"""The verdicts of a plan: one by one, or one for all hosts that are alike."""

from foreman_hooks.rules.model import Reason, Verdict
from foreman_hooks.rules.verdicts import Alike, AlikeHost, verdicts_of


def verdict(host_id: int, reason: Reason = Reason.ALIVE) -> Verdict:
    return Verdict(host_id, f"host{host_id}", f"u{host_id}", reason.decision, reason)


def alike(reason: Reason, *host_ids: int) -> Alike:
    return Alike(verdict(0, reason), [host(host_id) for host_id in host_ids])


def host(host_id: int) -> AlikeHost:
    return host_id, f"host{host_id}", f"u{host_id}"


MIXED = verdicts_of(
    [verdict(7, Reason.PROTECTED), verdict(2, Reason.TERMINATED)],
    [alike(Reason.ALIVE, 1, 4, 9), alike(Reason.NOT_OPENSTACK, 3, 5)],
)


def test_every_host_has_its_own_verdict_in_order_of_id() -> None:
    assert list(MIXED) == [
        verdict(1),
        verdict(2, Reason.TERMINATED),
        verdict(3, Reason.NOT_OPENSTACK),
        verdict(4),
        verdict(5, Reason.NOT_OPENSTACK),
        verdict(7, Reason.PROTECTED),
        verdict(9),
    ]
    assert list(MIXED) == list(MIXED)


def test_the_sums_are_those_of_all_hosts() -> None:
    assert MIXED.sums == {
        Reason.ALIVE: 3,
        Reason.NOT_OPENSTACK: 2,
        Reason.PROTECTED: 1,
        Reason.TERMINATED: 1,
    }
    assert MIXED.hosts == 7
    assert MIXED.count([Reason.ALIVE, Reason.PROTECTED, Reason.GRACE]) == 4
    assert sum(MIXED.counts.values()) == 7


def test_no_hosts_are_no_verdicts() -> None:
    nothing = verdicts_of(())
    assert (list(nothing), nothing.hosts, nothing.open) == ([], 0, ())


def test_hosts_that_are_alike_and_open_are_listed_one_by_one() -> None:
    """Their records are in the plan's file, in the journal, and in the mails."""
    verdicts = verdicts_of(
        [verdict(2, Reason.QUIET)], [alike(Reason.OUT_OF_SIGHT, 1, 3)]
    )
    assert [one.host_id for one in verdicts.open] == [1, 2, 3]
    assert verdicts.sums == {Reason.QUIET: 1, Reason.OUT_OF_SIGHT: 2}


def test_a_part_of_the_hosts_has_its_own_sums() -> None:
    part = MIXED.only({2, 4, 5, 99})
    assert list(part) == [
        verdict(2, Reason.TERMINATED),
        verdict(4),
        verdict(5, Reason.NOT_OPENSTACK),
    ]
    assert part.hosts == 3
    assert part.open == (verdict(2, Reason.TERMINATED),)


def test_only_some_reasons_are_open_and_each_decides_one_thing() -> None:
    for reason in Reason:
        one = verdict(1, reason)
        assert one.is_open is reason.is_open
        assert reason.is_open or one.decision == "keep"
