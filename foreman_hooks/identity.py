"""From facts: is it an OpenStack instance, and which UUIDs does any source name?  Pure.

Satellite holds facts of several sources for one host, and only those of subscription-manager (RHSM) are wiped
when a new machine takes the record over; those of Ansible or Puppet may still describe the one before.  So one
source decides what the machine is, and all others can only speak against a deletion.

An instance on bare metal (Ironic) looks like any other server.  Only what a job published on the machine itself, as
custom facts of RHSM, can make it an instance: its UUID in Nova, and the UUID of the hardware it was published on, since
the file may have travelled on in an image of the disk.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Optional

from .model import Identity, Reason
from .osp_checker import parse_uuid, swap_bytes

RHSM = "RHSM"                                   # the origin whose facts Katello wipes at a registration
Facts = Mapping[str, Mapping[str, str]]         # origin -> fact name -> value


class _Family(NamedTuple):
    """The names under which one kind of fact source reports a machine's identity."""

    leading: tuple[str, ...]                    # the UUID that counts stands under one of these
    further: tuple[str, ...]                    # UUIDs that can only speak against it
    makers: tuple[str, ...]
    guest: Mapping[str, frozenset[str]]         # fact -> the values that mean "a guest"; any other means it is none


# What sources write where firmware says nothing; it is no maker.
_NO_MAKER = frozenset({"na", "n/a", "none", "unknown", "not specified", "not available", "not applicable",
                       "not present", "not settable", "to be filled by o.e.m."})
_YES = frozenset({"true", "1", "yes"})
_GUEST = frozenset({"guest"})
_NOT_A_GUEST = frozenset({"false", "0", "no"})   # says that it is none; anything else does not say it
_HYPERVISORS = frozenset({"kvm", "qemu", "xen", "xenhvm", "xenu", "vmware", "hyperv", "virtualbox", "openstack"})
_RHSM = _Family(("virt::uuid",), ("dmi::system::uuid",), ("dmi::system::manufacturer", "dmi::system::product_name"),
                {"virt::is_guest": _YES})
_FACTER = _Family(("dmi::product::uuid", "uuid"), (),           # Facter 3 and 4; Facter 2 and Salt
                  ("dmi::manufacturer", "dmi::product::name", "manufacturer", "productname"),
                  {"is_virtual": _YES, "virtual": _HYPERVISORS})
_ANSIBLE = _Family(("ansible_product_uuid",), (), ("ansible_system_vendor", "ansible_product_name"),
                   {"ansible_virtualization_role": _GUEST})
_ANSIBLE_FACTER = _Family(("facter_dmi::product::uuid",), (), ("facter_dmi::manufacturer", "facter_dmi::product::name"),
                          {"facter_is_virtual": _YES})
_CHEF = _Family(("dmi::system::uuid",), (), ("dmi::system::manufacturer", "dmi::system::product_name"),
                {"virtualization::role": _GUEST})
_OTHERS = (_FACTER, _ANSIBLE, _ANSIBLE_FACTER, _CHEF)


def _names(families: Iterable[_Family]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(
        name for family in families for name in (*family.leading, *family.further, *family.makers, *family.guest)))


PUBLISHED = "osp::uuid"                         # the instance, as Nova writes it
PUBLISHED_ON = "osp::system_uuid"               # the hardware's own UUID at that moment
RHSM_NAMES = (*_names((_RHSM,)), PUBLISHED, PUBLISHED_ON)       # the facts to ask of RHSM
OTHER_NAMES = _names(_OTHERS)                   # the facts to ask of every other source
GLANCE_NAMES = _RHSM.leading                    # what is enough to find a host alive
MAKER_NAMES = (*_RHSM.makers, PUBLISHED)        # what is enough to find it foreign, most often
OTHER_GLANCE_NAMES = tuple(dict.fromkeys(name for family in _OTHERS for name in family.leading))


class _Statement(NamedTuple):
    """What one source says in the names of one family."""

    source: str
    uuid: Optional[str]                         # the one that counts
    further: tuple[str, ...]
    text: str                                   # what stands where the UUID should be
    makers: tuple[str, ...]
    openstack: Optional[bool]                   # None: says nothing of it
    guest: Optional[bool]

    def __str__(self) -> str:
        guest = {True: "a guest", False: "not a guest", None: "does not say whether a guest"}[self.guest]
        uuids = ", ".join(dict.fromkeys((self.text, *self.further))).strip(", ")
        return f"{_told_makers(self.source, self.makers)}, {guest}, UUID {uuids or 'missing'}"


def identify(facts: Facts, *, katello: bool, openstack_names: Sequence[str] = ("OpenStack",)) -> Identity:
    """What a host is, by its facts (origin -> name -> value; names as in RHSM_NAMES and OTHER_NAMES).

    With `katello` only RHSM's facts can make it an instance; without, the first other source that says anything.
    An OpenStack guest is one whose maker or product holds one of `openstack_names` (case does not matter): Nova
    writes "OpenStack Foundation" and "OpenStack Nova", Red Hat's builds "Red Hat" and "OpenStack Compute".
    A machine that says it is no guest is an instance where the published UUID is bound to its hardware; such an
    identity needs proof.
    """
    rhsm = facts.get(RHSM, {}) if katello else {}
    statements = _statements(facts, tuple(openstack_names))
    seen = "; ".join([*map(str, statements), *_told(rhsm)]) or "nothing"
    published = parse_uuid(rhsm.get(PUBLISHED))
    hardware = published and _bound_hardware(rhsm)
    if published and hardware:
        return _metal(published, hardware, statements, seen)
    main = next((one for one in statements if (one.source == RHSM) is katello and (one.makers or one.text)), None)
    if main is None:
        return Identity((), Reason.NO_FACTS, seen)
    others = [one for one in statements if one is not main]
    if published:
        main = _with_published(main, published, parse_uuid(rhsm.get(PUBLISHED_ON)))
    reason = _main_problem(main)
    if reason is None and any(one.openstack is False or one.guest is False for one in others):
        reason = Reason.CONTRADICTING_FACTS
    return Identity(_distinct((main, *others)), reason, seen)


def by_makers(rhsm: Mapping[str, str], uuids: tuple[str, ...], openstack_names: tuple[str, ...]) -> Identity:
    """What a host with these `uuids` is by its facts of MAKER_NAMES alone.

    Without a reason that takes all of its facts: OpenStack made it, or an identity was published.
    """
    makers, openstack = _made_by(tuple(map(rhsm.get, _RHSM.makers)), openstack_names)
    reason = Reason.NOT_OPENSTACK if makers else Reason.NO_FACTS
    return Identity(uuids, None if openstack or rhsm.get(PUBLISHED) else reason, _told_makers(RHSM, makers))


@lru_cache(maxsize=1024)        # one text for all of one maker
def _told_makers(source: str, makers: tuple[str, ...]) -> str:
    return f"{source}: {' / '.join(makers) or 'maker unknown'}"


def same_machine(one: str, other: str) -> bool:
    """Whether two UUIDs (lower case, dashed) are the same in either byte order."""
    return one == other or other == swap_bytes(one)


def _bound_hardware(rhsm: Mapping[str, str]) -> Optional[str]:
    """The UUID of the hardware that RHSM describes; None where that may be a guest, or others' facts lie in its files.

    They are its own only where they were published on the very hardware that it runs on now.
    """
    hardware, published_on = parse_uuid(rhsm.get("dmi::system::uuid", "")), parse_uuid(rhsm.get(PUBLISHED_ON, ""))
    if rhsm.get("virt::is_guest", "").strip().lower() not in _NOT_A_GUEST:
        return None
    return hardware if hardware and published_on and same_machine(hardware, published_on) else None


def _metal(published: str, hardware: str, statements: Sequence[_Statement], seen: str) -> Identity:
    """The identity of an instance on bare metal.

    The hardware's own UUID is none of Nova's: not asked for, so that it cannot be mistaken for a proof.  That other
    sources name a hardware maker is as it should be; one that calls it a guest describes another machine.
    """
    further = [uuid for uuid in _distinct(statements)
               if not same_machine(uuid, published) and not same_machine(uuid, hardware)]
    reason = None
    for one in statements:
        if one.source != RHSM and one.guest:
            reason = reason or Reason.CONTRADICTING_FACTS
        elif one.source == RHSM and one.uuid and not same_machine(one.uuid, published):
            reason = Reason.AMBIGUOUS_UUID      # what is no guest has no virt::uuid, unless somebody wrote it
    return Identity((published, *further), reason, seen, needs_proof=True)


def _with_published(main: _Statement, published: str, published_on: Optional[str]) -> _Statement:
    """A guest's statement with the UUID that was published on it: Nova's own form of the same, or one too many.

    What was published on another machine says nothing of this one: a disk image brought it along.
    """
    if not (main.uuid and main.openstack and main.guest):
        return main
    if published_on and not same_machine(published_on, main.uuid):
        return main
    if same_machine(published, main.uuid):
        return main._replace(uuid=published)
    return main._replace(further=(*main.further, published))


def _told(rhsm: Mapping[str, str]) -> list[str]:
    """What was published, for people; nothing where nothing was."""
    if not rhsm.get(PUBLISHED):
        return []
    return [f"published as instance {rhsm[PUBLISHED]} on hardware {rhsm.get(PUBLISHED_ON) or 'not named'}"]


def _distinct(statements: Iterable[_Statement]) -> tuple[str, ...]:
    """Every UUID that is named, the leading one of the first statement first, each machine once."""
    uuids: list[str] = []
    for one in statements:
        for uuid in (one.uuid, *one.further):
            if uuid and uuid not in uuids and not any(same_machine(uuid, known) for known in uuids):
                uuids.append(uuid)
    return tuple(uuids)


def _main_problem(main: _Statement) -> Optional[Reason]:
    if main.openstack is not True:
        return Reason.NOT_OPENSTACK if main.makers else Reason.NO_FACTS
    if main.guest is not True:
        return Reason.NOT_A_GUEST
    if main.uuid is None:               # where RHSM has no virt::uuid, a registration may be under way
        return Reason.NO_UUID
    if any(not same_machine(main.uuid, uuid) for uuid in main.further):
        return Reason.AMBIGUOUS_UUID    # Katello itself may have put a random dmi::system::uuid there
    return None


def _statements(facts: Facts, openstack_names: tuple[str, ...]) -> list[_Statement]:
    """One for each source and family that says anything, RHSM's first."""
    read = [_read(RHSM, facts.get(RHSM, {}), _RHSM, openstack_names)]
    for origin, values in facts.items():
        if origin != RHSM and values:
            read += [_read(origin, values, family, openstack_names) for family in _OTHERS]
    return [one for one in read if one.text or one.further or one.makers or one.guest is not None]


def _read(origin: str, values: Mapping[str, str], family: _Family, openstack_names: tuple[str, ...]) -> _Statement:
    texts = [values[name] for name in family.leading if values.get(name)]
    further = [values[name] for name in family.further if values.get(name)] + texts[1:]
    makers, openstack = _made_by(tuple(map(values.get, family.makers)), openstack_names)
    guest = [values[name].strip().lower() in yes for name, yes in family.guest.items() if values.get(name)]
    return _Statement(origin, parse_uuid(texts[0]) if texts else None, tuple(filter(None, map(parse_uuid, further))),
                      texts[0] if texts else "", makers, openstack, all(guest) if guest else None)


@lru_cache(maxsize=1024)        # of many thousand hosts most are of a few makers
def _made_by(texts: tuple[Optional[str], ...],
             openstack_names: tuple[str, ...]) -> tuple[tuple[str, ...], Optional[bool]]:
    """Those that name a maker, and whether any of them is OpenStack; None where there are none."""
    makers = tuple(text for text in texts if text and text.strip().lower() not in _NO_MAKER)
    wanted = [name.lower() for name in openstack_names]
    return makers, any(name in maker.lower() for maker in makers for name in wanted) if makers else None
