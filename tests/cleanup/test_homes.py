"""UUIDs in packed form."""

from uuid import UUID

from foreman_hooks.cleanup.homes import pack, sample


def test_a_sample_has_one_of_every_thousand_uuids_in_order() -> None:
    uuids = [str(UUID(int=number)) for number in range(2001)]
    assert sample(pack(reversed(uuids))) == [uuids[0], uuids[1000], uuids[2000]]
    assert sample(b"") == []
