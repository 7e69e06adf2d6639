"""UUIDs in packed form."""

from uuid import UUID

from foreman_hooks.cleanup.homes import pack, spread


def test_a_few_of_many_uuids_are_spread_evenly() -> None:
    uuids = [str(UUID(int=number)) for number in range(10)]
    packed = pack(reversed(uuids))
    assert spread(packed, 3) == [uuids[0], uuids[3], uuids[6]]
    assert spread(packed, 100) == uuids
    assert spread(b"", 3) == []
