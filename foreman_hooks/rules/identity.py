"""From facts: is it an OpenStack instance, and which UUIDs does any source name?  Pure.

Satellite holds facts of several sources for one host, and only those of subscription-manager (RHSM)
are wiped when a new machine takes the record over; those of Ansible or Puppet may still describe
the one before.  No UUID is thrown away: each that any source names is asked about.  What the
sources say of maker and guest decides two things only: whether OpenStack is asked at all, and
whether absence from OpenStack can mean anything (`Identity.doubt`).  Against the proof of a
termination such words weigh nothing: they are wrong too often.

An instance on bare metal (Ironic) looks like any other server.  Only what a job published on the
machine itself, as custom facts of RHSM, can make it an instance: its UUID in Nova, and the UUID of
the hardware it was published on, since the file may have travelled on in an image of the disk.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Optional

from foreman_hooks.osp_checker.uuids import parse_uuid, swap_bytes
from foreman_hooks.rules.model import Identity, Reason

RHSM = "RHSM"  # the origin whose facts Katello wipes at a registration
Facts = Mapping[str, Mapping[str, str]]  # origin -> fact name -> value


class _Family(NamedTuple):
    """The names under which one kind of fact source reports a machine's identity."""

    leading: tuple[str, ...]  # the UUID that counts most stands under one of these
    further: tuple[str, ...]  # other UUIDs
    makers: tuple[str, ...]
    tags: tuple[str, ...]  # asset tag of the chassis, in which some clouds name OpenStack
    guest: tuple[str, ...]  # facts that say whether it is a guest


# What sources write where firmware says nothing; it is no maker.
_NO_MAKER = frozenset(
    {
        "",
        "na",
        "n/a",
        "none",
        "null",
        "unknown",
        "unspecified",
        "undefined",
        "not specified",
        "not available",
        "not applicable",
        "not present",
        "not settable",
        "not defined",
        "no asset tag",
        "no asset information",
        "default string",
        "system manufacturer",
        "system product name",
        "chassis manufacture",
        "o.e.m",
        "o.e.m.",
        "to be filled by o.e.m.",
        "asset tag",
        "asset-1234567890",
        "no enclosure",
        "0",
        "0123456789",
    }
)
# Asset tags of clouds that run Nova, beside those that hold a name of `openstack_names`; cloud-init
# goes by the same.
_CLOUD_TAGS = frozenset(
    {"huaweicloud", "opentelekomcloud", "sap ccloud vm", "samsung cloud platform"}
)
_GUEST = frozenset(
    {
        "true",
        "1",
        "yes",
        "guest",
        "kvm",
        "qemu",
        "xen",
        "xenhvm",
        "xenu",
        "vmware",
        "hyperv",
        "virtualbox",
        "openstack",
    }
)
_NOT_A_GUEST = frozenset({"false", "0", "no", "host", "physical"})  # any other word says nothing
_RHSM = _Family(
    ("virt::uuid",),
    ("dmi::system::uuid",),
    ("dmi::system::manufacturer", "dmi::system::product_name"),
    ("dmi::chassis::asset_tag",),
    ("virt::is_guest",),
)
_FACTER = _Family(
    ("dmi::product::uuid", "uuid"),
    (),  # Facter 3 and 4; Facter 2 and Salt
    ("dmi::manufacturer", "dmi::product::name", "manufacturer", "productname"),
    ("dmi::chassis::asset_tag",),
    ("is_virtual", "virtual"),
)
_ANSIBLE = _Family(
    ("ansible_product_uuid",),
    (),
    ("ansible_system_vendor", "ansible_product_name"),
    ("ansible_chassis_asset_tag",),
    ("ansible_virtualization_role",),
)
_ANSIBLE_FACTER = _Family(
    ("facter_dmi::product::uuid",),
    (),
    ("facter_dmi::manufacturer", "facter_dmi::product::name"),
    ("facter_dmi::chassis::asset_tag",),
    ("facter_is_virtual",),
)
_CHEF = _Family(
    ("dmi::system::uuid",),
    (),
    ("dmi::system::manufacturer", "dmi::system::product_name"),
    (),
    ("virtualization::role",),
)
_OTHERS = (_FACTER, _ANSIBLE, _ANSIBLE_FACTER, _CHEF)


def _names(families: Iterable[_Family]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for family in families for names in family for name in names))


PUBLISHED = "osp::uuid"  # the instance, as Nova writes it
PUBLISHED_ON = "osp::system_uuid"  # the hardware's own UUID at that moment
RHSM_NAMES = (*_names((_RHSM,)), PUBLISHED, PUBLISHED_ON)  # the facts to ask of RHSM
OTHER_NAMES = _names(_OTHERS)  # the facts to ask of every other source
GLANCE_NAMES = _RHSM.leading  # what is enough to find a host alive
MAKER_NAMES = (
    *_RHSM.makers,
    *_RHSM.tags,
    PUBLISHED,
)  # what is enough to find it foreign, most often
OTHER_GLANCE_NAMES = tuple(dict.fromkeys(name for family in _OTHERS for name in family.leading))
# Every fact in which a record may name an instance: who shares a UUID is looked for in all of them.
UUID_NAMES = tuple(dict.fromkeys((*_RHSM.leading, *_RHSM.further, PUBLISHED, *OTHER_GLANCE_NAMES)))


class _Statement(NamedTuple):
    """What one source says in the names of one family."""

    source: str
    uuids: tuple[str, ...]  # the one that counts most first
    texts: tuple[str, ...]  # what stands where UUIDs should be
    makers: tuple[str, ...]
    tag: str
    openstack: Optional[bool]  # None: says nothing of it
    guest: Optional[bool]
    leads: bool  # it names a UUID where the one that counts most should stand

    def __str__(self) -> str:
        guest = {True: "a guest", False: "not a guest", None: "does not say whether a guest"}[
            self.guest
        ]
        tag = f", asset tag {self.tag}" if self.tag else ""
        return (
            f"{_named_makers(self.source, self.makers)}{tag}, {guest}, "
            f"UUID {', '.join(self.texts) or 'missing'}"
        )


def identify(
    facts: Facts,
    *,
    katello: bool,
    openstack_names: Sequence[str] = ("OpenStack",),
    freshest: str = "",
) -> Identity:
    """What a host is, by its facts (origin -> name -> value; names as in RHSM_NAMES and
    OTHER_NAMES).

    With `katello` RHSM's facts lead, where there are any; without, those of the source `freshest`,
    the origin whose facts arrived last (see `disagree`).  Only a leader that names another maker,
    and no OpenStack in the asset tag, makes the host foreign. OpenStack's are those whose maker,
    product or asset tag holds one of `openstack_names` (case does not matter): Nova writes
    "OpenStack Foundation" and "OpenStack Nova", Red Hat's builds "Red Hat" and "OpenStack Compute".
    """
    rhsm = facts.get(RHSM, {}) if katello else {}
    statements = _statements(facts if katello else {**facts, RHSM: {}}, tuple(openstack_names))
    evidence = "; ".join([*map(str, statements), *_publication(rhsm)]) or "nothing"
    published = published_uuid(rhsm)
    if published and _is_metal(rhsm):
        return _metal(published, statements, evidence)
    leader = _leader(statements, katello, freshest)
    if leader is None and not published:
        return Identity((), Reason.NO_FACTS, evidence)
    others = [statement for statement in statements if statement is not leader]
    led = leader is not None and (leader.source == RHSM) is katello
    main, own = leader.uuids if leader else (), (published,) if published else ()
    first = (
        (main, own) if led else (own, main)
    )  # what was published is RHSM's word, before all other sources'
    uuids = _distinct([*first, *(statement.uuids for statement in others)], published)
    foreign = (
        leader is not None
        and (led or not published)
        and _is_foreign(leader, others, katello, freshest)
    )
    reason = Reason.NOT_OPENSTACK if foreign else None if uuids else Reason.NO_UUID
    doubt = _doubt(leader, others, published) if leader and led else Reason.NO_PROOF
    return Identity(uuids, reason, evidence, doubt, _kind(leader) if leader else "")


def disagree(facts: Facts, openstack_names: Sequence[str]) -> bool:
    """Whether one of these sources says OpenStack and another one names another maker."""
    says = {
        statement.openstack
        for statement in _statements({**facts, RHSM: {}}, tuple(openstack_names))
    }
    return {True, False} <= says


def by_makers(
    rhsm: Mapping[str, str], uuids: tuple[str, ...], openstack_names: tuple[str, ...]
) -> Identity:
    """What a host with these `uuids` is by its facts of MAKER_NAMES alone.

    Only another maker settles it (NOT_OPENSTACK); without a reason all of its facts have to be
    read.
    """
    makers, tag, openstack = _made_by(
        tuple(map(rhsm.get, _RHSM.makers)), rhsm.get(_RHSM.tags[0]), openstack_names
    )
    foreign = makers and not openstack and not rhsm.get(PUBLISHED)
    return Identity(
        uuids,
        Reason.NOT_OPENSTACK if foreign else None,
        _named_makers(RHSM, makers),
        kind=_kind_of(makers, tag),
    )


@lru_cache(maxsize=1024)  # one text for all of one maker
def _named_makers(source: str, makers: tuple[str, ...]) -> str:
    return f"{source}: {' / '.join(makers) or 'maker unknown'}"


def same_machine(uuid: str, other: str) -> bool:
    """Whether two UUIDs (lower case, dashed) are the same in either byte order."""
    return uuid == other or other == swap_bytes(uuid)


# Statements


def _statements(facts: Facts, openstack_names: tuple[str, ...]) -> list[_Statement]:
    """One for each source and family that says anything, RHSM's first."""
    statements = [_read(RHSM, facts.get(RHSM, {}), _RHSM, openstack_names)]
    for origin, values in facts.items():
        if origin != RHSM and values:
            statements += [_read(origin, values, family, openstack_names) for family in _OTHERS]
    return [
        statement
        for statement in statements
        if statement.texts or statement.makers or statement.tag or statement.guest is not None
    ]


def _read(
    origin: str, values: Mapping[str, str], family: _Family, openstack_names: tuple[str, ...]
) -> _Statement:
    texts = [values[name] for name in (*family.leading, *family.further) if values.get(name)]
    tag = next((values[name] for name in family.tags if values.get(name)), None)
    makers, tag, openstack = _made_by(tuple(map(values.get, family.makers)), tag, openstack_names)
    words = [_says_guest(values.get(name)) for name in family.guest]
    guest = False if False in words else True if True in words else None
    return _Statement(
        origin,
        tuple(dict.fromkeys(filter(None, map(parse_uuid, texts)))),
        tuple({text.lower(): text for text in reversed(texts)}.values())[::-1],
        makers,
        tag,
        openstack,
        guest,
        any(parse_uuid(values.get(name)) for name in family.leading),
    )


def _says_guest(word: Optional[str]) -> Optional[bool]:
    """Whether a fact says that it is a guest; None where it says nothing, as "NA", "Unknown" and
    new words do.
    """
    word = (word or "").strip().lower()
    return True if word in _GUEST else False if word in _NOT_A_GUEST else None


@lru_cache(maxsize=1024)  # of many thousand hosts most are of a few makers
def _made_by(
    texts: tuple[Optional[str], ...], tag: Optional[str], openstack_names: tuple[str, ...]
) -> tuple[tuple[str, ...], str, Optional[bool]]:
    """The makers named, the asset tag, and whether any of them is OpenStack; None where nothing is
    named.
    """
    makers = tuple(text for text in texts if text and text.strip().lower() not in _NO_MAKER)
    tag = tag if tag and tag.strip().lower() not in _NO_MAKER else ""
    wanted = [name.lower() for name in openstack_names]
    says = any(name in text.lower() for text in (*makers, tag) for name in wanted)
    says = says or tag.strip().lower() in _CLOUD_TAGS
    return makers, tag, says if makers or says else None


def _leader(statements: Sequence[_Statement], katello: bool, freshest: str) -> Optional[_Statement]:
    """The statement that says what the machine is now."""
    if katello:
        return next(iter(statements), None)  # RHSM's, if there is one
    fresh = [statement for statement in statements if freshest and statement.source == freshest]
    return next(iter([*fresh, *statements]), None)


def _is_foreign(
    leader: _Statement, others: Sequence[_Statement], katello: bool, freshest: str
) -> bool:
    """Whether the leading source itself names another maker.

    Where none leads, one of several that disagree is enough without Katello: it may be the one that
    is true now.  With Katello all of them may be of an earlier machine, and none may say OpenStack.
    """
    if leader.source in (RHSM, freshest):
        return leader.openstack is False
    says = [statement.openstack for statement in (leader, *others)]
    return False in says and (True not in says or not katello)


def _kind(statement: _Statement) -> str:
    return _kind_of(statement.makers, statement.tag)


def _kind_of(makers: tuple[str, ...], tag: str) -> str:
    """What its firmware calls a machine: maker, product, and the asset tag, which tells clouds
    apart.
    """
    return " / ".join((*makers, tag) if tag else makers).strip().lower()


def _doubt(
    leader: _Statement, others: Sequence[_Statement], published: Optional[str]
) -> Optional[Reason]:
    """What speaks against an OpenStack guest; None where all sources agree or say nothing."""
    if leader.openstack is not True:
        return Reason.UNKNOWN_MAKER
    if leader.guest is not True:
        return Reason.NOT_A_GUEST
    if not leader.leads:
        return Reason.NO_PROOF  # virt-what failed, or is blind: only DMI names a UUID
    named = [*leader.uuids, *([published] if published else [])]
    if any(not same_machine(leader.uuids[0], uuid) for uuid in named):
        return Reason.AMBIGUOUS_UUID  # Katello itself may have put a random dmi::system::uuid there
    if any(other.openstack is False or other.guest is False for other in others):
        return Reason.CONTRADICTING_FACTS
    return None


def _distinct(groups: Iterable[Sequence[str]], published: Optional[str]) -> tuple[str, ...]:
    """Every UUID that is named, each machine once; in the form that was published, which is Nova's
    own.
    """
    uuids: list[str] = []
    for uuid in (uuid for group in groups for uuid in group):
        if not any(same_machine(uuid, known) for known in uuids):
            uuids.append(uuid)
    return tuple(
        published if published and same_machine(uuid, published) else uuid for uuid in uuids
    )


# What was published


def published_uuid(rhsm: Mapping[str, str]) -> Optional[str]:
    """The UUID that was published on this machine; None where none was, or a disk image brought it
    along.

    It travelled where it was published on other hardware than RHSM describes now.  Where RHSM names
    no hardware at all (s390x, aarch64 without SMBIOS) nothing shows that it did.
    """
    published, published_on = parse_uuid(rhsm.get(PUBLISHED)), parse_uuid(rhsm.get(PUBLISHED_ON))
    here = [
        uuid for uuid in map(parse_uuid, map(rhsm.get, (*_RHSM.leading, *_RHSM.further))) if uuid
    ]
    if published_on and here and not any(same_machine(uuid, published_on) for uuid in here):
        return None
    return published


def _is_metal(rhsm: Mapping[str, str]) -> bool:
    """Whether RHSM says of itself that it is no guest, on the very hardware that the identity was
    published on.
    """
    hardware, published_on = (
        parse_uuid(rhsm.get("dmi::system::uuid")),
        parse_uuid(rhsm.get(PUBLISHED_ON)),
    )
    return _says_guest(rhsm.get("virt::is_guest")) is False and bool(
        hardware and published_on and same_machine(hardware, published_on)
    )


def _metal(published: str, statements: Sequence[_Statement], evidence: str) -> Identity:
    """The identity of an instance on bare metal: that other sources name a hardware maker is as it
    should be.
    """
    named = _distinct((statement.uuids for statement in statements), None)
    further = [uuid for uuid in named if not same_machine(uuid, published)]
    return Identity((published, *further), None, evidence, Reason.NO_PROOF)


def _publication(rhsm: Mapping[str, str]) -> list[str]:
    """What was published, for people; nothing where nothing was."""
    if not rhsm.get(PUBLISHED):
        return []
    return [
        f"published as instance {rhsm[PUBLISHED]} on hardware {rhsm.get(PUBLISHED_ON) or 'not named'}"
    ]
