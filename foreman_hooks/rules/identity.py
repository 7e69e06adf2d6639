"""Whether a host is an OpenStack instance, and which UUIDs it has, according to its facts.

Satellite holds facts of several sources for one host.  Only those of subscription-manager (RHSM)
are wiped when a new machine takes over the record; those of Ansible or Puppet may still describe
the previous machine.  No UUID is ignored: OpenStack is asked about each one that a source names.

What the sources say about the maker, and about being a guest, decides only two things: whether
OpenStack is asked at all, and whether absence from OpenStack can mean anything (`Identity.doubt`).
It never counts against the proof of a termination, because it is wrong too often.

An instance on bare metal (Ironic) looks like any other machine.  It counts as an instance only if a
job published facts on the machine itself, as custom facts of RHSM: its UUID in Nova, and the UUID
of the hardware at that time, because a disk image may carry these facts to another machine.

Everything here is pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Optional

from foreman_hooks.osp_checker import parse_uuid, swap_bytes
from foreman_hooks.rules.model import Identity, Reason

RHSM = "RHSM"  # the origin whose facts Katello wipes when a machine registers
Names = tuple[str, ...]
Values = Mapping[str, str]  # fact name -> value
Facts = Mapping[str, Values]  # origin -> its facts


class _Family(NamedTuple):
    """The names under which one kind of fact source reports a machine's identity."""

    leading: Names  # facts that may hold the UUID that counts most
    further: Names  # facts with other UUIDs
    makers: Names
    tags: Names  # asset tag of the chassis, in which some clouds name OpenStack
    guest: Names  # facts that say whether the machine is a guest

    @property
    def uuids(self) -> Names:
        """The facts that hold a UUID, the most important first."""
        return (*self.leading, *self.further)

    @property
    def names(self) -> Names:
        """All facts of this family."""
        return (*self.uuids, *self.makers, *self.tags, *self.guest)


# What sources report if the firmware does not name its maker.
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
# Asset tags of clouds that run Nova, besides those that contain one of `openstack_names`;
# cloud-init uses the same list.
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
# Words that are in neither set say nothing about being a guest.
_NOT_A_GUEST = frozenset({"false", "0", "no", "host", "physical"})
_GUEST_TEXTS = {
    True: "a guest",
    False: "not a guest",
    None: "does not say whether a guest",
}
_RHSM = _Family(
    ("virt::uuid",),
    ("dmi::system::uuid",),
    ("dmi::system::manufacturer", "dmi::system::product_name"),
    ("dmi::chassis::asset_tag",),
    ("virt::is_guest",),
)
_FACTER = _Family(
    ("dmi::product::uuid", "uuid"),  # Facter 3 and 4; Facter 2 and Salt
    (),
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


def _names(families: Iterable[_Family]) -> Names:
    """All facts of these families, each once."""
    names: list[str] = []
    for family in families:
        names.extend(family.names)
    return tuple(dict.fromkeys(names))


def _leading_names(families: Iterable[_Family]) -> Names:
    """The facts in which these families name the UUID that counts most, each once."""
    names: list[str] = []
    for family in families:
        names.extend(family.leading)
    return tuple(dict.fromkeys(names))


PUBLISHED = "osp::uuid"  # the UUID of the instance, as Nova writes it
PUBLISHED_ON = "osp::system_uuid"  # the UUID of the hardware at that time
RHSM_NAMES = (*_RHSM.names, PUBLISHED, PUBLISHED_ON)  # the facts to read from RHSM
OTHER_NAMES = _names(_OTHERS)  # the facts to read from every other source
LEADING_NAMES = _RHSM.leading  # enough to find out that a host is alive
# Enough, in most cases, to find out that a host is not an OpenStack instance.
MAKER_NAMES = (*_RHSM.makers, *_RHSM.tags, PUBLISHED)
OTHER_LEADING_NAMES = _leading_names(_OTHERS)
# Every fact that may name an instance; records that share a UUID are searched for in all of them.
UUID_NAMES = tuple(dict.fromkeys((*_RHSM.uuids, PUBLISHED, *OTHER_LEADING_NAMES)))


class _Firmware(NamedTuple):
    """What a source says about the maker of a machine."""

    makers: tuple[str, ...]  # maker and product, as reported
    tag: str  # asset tag of the chassis; "" if there is none
    # Whether OpenStack made the machine; None if the source does not say.
    openstack: Optional[bool]
    kind: str  # maker, product and asset tag (which differs between clouds), in lower case


class _Statement(NamedTuple):
    """What one source says, under the names of one family."""

    source: str
    uuids: tuple[str, ...]  # valid ones, the most important first
    uuid_texts: tuple[str, ...]  # the values of the UUID facts, valid or not
    firmware: _Firmware
    guest: Optional[bool]  # None: does not say
    leads: bool  # whether it names a UUID in the fact that counts most

    @property
    def says_anything(self) -> bool:
        """Whether any fact of this source helps to identify the machine."""
        firmware = self.firmware
        says_guest = self.guest is not None
        return bool(self.uuid_texts or firmware.makers or firmware.tag or says_guest)

    def __str__(self) -> str:
        makers = _named_makers(self.source, self.firmware.makers)
        tag = f", asset tag {self.firmware.tag}" if self.firmware.tag else ""
        uuids = ", ".join(self.uuid_texts) or "missing"
        return f"{makers}{tag}, {_GUEST_TEXTS[self.guest]}, UUID {uuids}"


def identify(
    facts: Facts,
    *,
    katello: bool,
    openstack_names: Sequence[str] = ("OpenStack",),
    freshest: str = "",
) -> Identity:
    """What a host is according to its facts, which have the names in RHSM_NAMES and OTHER_NAMES.

    With `katello`, RHSM's facts lead if there are any.  Without, those of the origin `freshest`
    lead, whose facts arrived last (see `disagree`).  A host is NOT_OPENSTACK only if the leading
    source names another maker, and does not name OpenStack in the asset tag.

    OpenStack made a machine if its maker, product or asset tag contains one of `openstack_names`,
    in upper or lower case: Nova writes "OpenStack Foundation" and "OpenStack Nova", Red Hat's
    builds write "Red Hat" and "OpenStack Compute".
    """
    if not katello:
        facts = _without_rhsm(facts)
    rhsm = facts.get(RHSM, {})
    statements = _statements(facts, tuple(openstack_names))
    texts = list(map(str, statements))
    texts += _publication(rhsm)
    text = "; ".join(texts) or "nothing"
    published = published_uuid(rhsm)
    if published and _is_metal(rhsm):
        return _metal(published, statements, text)
    leader = _leader(statements, katello, freshest)
    if leader is not None:
        identity = _identity(leader, statements, published, katello, freshest)
        return identity._replace(facts=text)
    if published:
        return Identity((published,), None, text, Reason.NO_PROOF)
    return Identity((), Reason.NO_FACTS, text)


def _identity(
    leader: _Statement,
    statements: Sequence[_Statement],
    published: Optional[str],
    katello: bool,
    freshest: str,
) -> Identity:
    """The identity of a host with a leading source."""
    others = [statement for statement in statements if statement is not leader]
    authoritative = leader.source == RHSM or not katello
    groups = [statement.uuids for statement in (leader, *others)]
    if published:  # a custom fact of RHSM: only RHSM's other facts come before it
        groups.insert(1 if authoritative else 0, (published,))
    uuids = _distinct(groups, published)
    may_be_foreign = authoritative or not published
    reason = None if uuids else Reason.NO_UUID
    if may_be_foreign and _is_foreign(leader, others, katello, freshest):
        reason = Reason.NOT_OPENSTACK
    doubt = _doubt(leader, others, published) if authoritative else Reason.NO_PROOF
    return Identity(uuids, reason, doubt=doubt, kind=leader.firmware.kind)


def disagree(facts: Facts, openstack_names: Sequence[str]) -> bool:
    """Whether one source names OpenStack and another one another maker; RHSM does not count."""
    statements = _statements(_without_rhsm(facts), tuple(openstack_names))
    answers = {statement.firmware.openstack for statement in statements}
    return {True, False} <= answers


def _without_rhsm(facts: Facts) -> Facts:
    """These facts without RHSM's, which nothing wipes if there is no Katello."""
    return {**facts, RHSM: {}}


def by_makers(rhsm: Values, uuids: tuple[str, ...], openstack_names: Names) -> Identity:
    """What a host with these `uuids` is, according to only the facts in MAKER_NAMES.

    Another maker settles it: NOT_OPENSTACK.  If the result has no reason, all facts of the host
    have to be read.
    """
    makers = tuple(map(rhsm.get, _RHSM.makers))
    firmware = _firmware(makers, rhsm.get(_RHSM.tags[0]), openstack_names)
    foreign = firmware.makers and not firmware.openstack and not rhsm.get(PUBLISHED)
    return Identity(
        uuids,
        Reason.NOT_OPENSTACK if foreign else None,
        _named_makers(RHSM, firmware.makers),
        kind=firmware.kind,
    )


@lru_cache(maxsize=1024)  # hosts of one maker share one text
def _named_makers(source: str, makers: tuple[str, ...]) -> str:
    return f"{source}: {' / '.join(makers) or 'maker unknown'}"


def same_machine(uuid: str, other: str) -> bool:
    """Whether two UUIDs (lower case, dashed) are the same in either byte order."""
    return uuid == other or other == swap_bytes(uuid)


# Statements


def _statements(facts: Facts, openstack_names: Names) -> list[_Statement]:
    """A statement for each source and family that says anything, RHSM's first."""
    statements = [_read(RHSM, facts.get(RHSM, {}), _RHSM, openstack_names)]
    for origin, values in facts.items():
        if origin != RHSM and values:
            statements += [
                _read(origin, values, family, openstack_names) for family in _OTHERS
            ]
    return [statement for statement in statements if statement.says_anything]


def _read(
    origin: str, values: Values, family: _Family, openstack_names: Names
) -> _Statement:
    """What one source says under the names of one family."""
    texts = _filled(values, family.uuids)
    makers = tuple(map(values.get, family.makers))
    tag = next(iter(_filled(values, family.tags)), None)
    leading = _filled(values, family.leading)
    return _Statement(
        origin,
        _valid_uuids(texts),
        _distinct_texts(texts),
        _firmware(makers, tag, openstack_names),
        _says_guest(_filled(values, family.guest)),
        leads=bool(_valid_uuids(leading)),
    )


def _filled(values: Values, names: Names) -> list[str]:
    """The values of these facts, without empty and missing ones."""
    return [values[name] for name in names if values.get(name)]


def _valid_uuids(texts: Iterable[str]) -> tuple[str, ...]:
    """The texts that are UUIDs, in dashed lower case, each once."""
    uuids = map(parse_uuid, texts)
    return tuple(dict.fromkeys(uuid for uuid in uuids if uuid))


def _distinct_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """Each text once; of those that differ only in upper and lower case, the first."""
    distinct: dict[str, str] = {}
    for text in texts:
        distinct.setdefault(text.lower(), text)
    return tuple(distinct.values())


def _says_guest(values: Sequence[str]) -> Optional[bool]:
    """Whether these facts say that the machine is a guest; a single "no" is enough.

    None if no fact says anything; "NA", "Unknown" and words that we do not know say nothing.
    """
    words = {value.strip().lower() for value in values}
    if words & _NOT_A_GUEST:
        return False
    if words & _GUEST:
        return True
    return None


@lru_cache(maxsize=1024)  # thousands of hosts have the same few makers
def _firmware(
    texts: tuple[Optional[str], ...],
    tag: Optional[str],
    openstack_names: Names,
) -> _Firmware:
    """The maker according to these texts and this asset tag."""
    makers = tuple(filter(None, map(_meaningful, texts)))
    tag = _meaningful(tag)
    openstack = _names_openstack((*makers, tag), openstack_names)
    openstack = openstack or tag.strip().lower() in _CLOUD_TAGS
    kind = " / ".join((*makers, tag) if tag else makers).strip().lower()
    return _Firmware(makers, tag, openstack if makers or openstack else None, kind)


def _meaningful(text: Optional[str]) -> str:
    """The text unchanged; "" if it only says that the firmware does not know."""
    if text is None or text.strip().lower() in _NO_MAKER:
        return ""
    return text


def _names_openstack(texts: Sequence[str], openstack_names: Sequence[str]) -> bool:
    """Whether one of the texts contains one of the names."""
    for text in texts:
        lower = text.lower()
        if any(name.lower() in lower for name in openstack_names):
            return True
    return False


def _leader(
    statements: Sequence[_Statement],
    katello: bool,
    freshest: str,
) -> Optional[_Statement]:
    """The statement that says what the machine is now."""
    if freshest and not katello:
        for statement in statements:
            if statement.source == freshest:
                return statement
    return next(iter(statements), None)  # with Katello: RHSM's, if there is one


def _is_foreign(
    leader: _Statement,
    others: Sequence[_Statement],
    katello: bool,
    freshest: str,
) -> bool:
    """Whether the leading source itself names another maker.

    If no source leads and there is no Katello, one other maker is enough, even if the sources
    disagree: that source may be the one that is up to date.  With Katello, all of them may describe
    an earlier machine, so the host is foreign only if no source says OpenStack.
    """
    if leader.source in (RHSM, freshest):
        return leader.firmware.openstack is False
    answers = [statement.firmware.openstack for statement in (leader, *others)]
    return False in answers and (True not in answers or not katello)


def _doubt(
    leader: _Statement,
    others: Sequence[_Statement],
    published: Optional[str],
) -> Optional[Reason]:
    """Why this may not be an OpenStack guest; None if all sources agree or say nothing."""
    if leader.firmware.openstack is not True:
        return Reason.UNKNOWN_MAKER
    if leader.guest is not True:
        return Reason.NOT_A_GUEST
    if not leader.leads:
        return Reason.NO_PROOF  # virt-what failed or saw nothing: only DMI names a UUID
    uuids = list(leader.uuids)
    if published:
        uuids.append(published)
    if any(not same_machine(uuids[0], uuid) for uuid in uuids):
        # Katello itself may have put a random dmi::system::uuid there.
        return Reason.AMBIGUOUS_UUID
    for other in others:
        if other.firmware.openstack is False or other.guest is False:
            return Reason.CONTRADICTING_FACTS
    return None


def _distinct(
    groups: Iterable[Sequence[str]], published: Optional[str]
) -> tuple[str, ...]:
    """Every UUID of these groups, once for each machine.

    If a UUID was `published`, its machine has it in that form, which is Nova's own.
    """
    uuids: list[str] = []
    for group in groups:
        for uuid in group:
            if any(same_machine(uuid, known) for known in uuids):
                continue
            if published and same_machine(uuid, published):
                uuid = published
            uuids.append(uuid)
    return tuple(uuids)


# What was published


def published_uuid(rhsm: Values) -> Optional[str]:
    """The UUID that a job published on this machine; None without one, or if an image brought it.

    A disk image brought it if it was published on other hardware than RHSM describes now.  If RHSM
    names no hardware at all (s390x, aarch64 without SMBIOS), this cannot be detected.
    """
    published = parse_uuid(rhsm.get(PUBLISHED))
    published_on = parse_uuid(rhsm.get(PUBLISHED_ON))
    hardware = _valid_uuids(_filled(rhsm, _RHSM.uuids))
    if not published_on or not hardware:
        return published
    is_here = any(same_machine(uuid, published_on) for uuid in hardware)
    return published if is_here else None


def _is_metal(rhsm: Values) -> bool:
    """Whether RHSM says "not a guest" on the same hardware on which the UUID was published."""
    if _says_guest(_filled(rhsm, _RHSM.guest)) is not False:
        return False
    hardware = parse_uuid(rhsm.get("dmi::system::uuid"))
    published_on = parse_uuid(rhsm.get(PUBLISHED_ON))
    return bool(hardware and published_on and same_machine(hardware, published_on))


def _metal(published: str, statements: Sequence[_Statement], text: str) -> Identity:
    """The identity of an instance on bare metal, whose sources correctly name a hardware maker."""
    groups = [(published,), *(statement.uuids for statement in statements)]
    return Identity(
        _distinct(groups, published),
        None,
        text,
        Reason.NO_PROOF,
    )


def _publication(rhsm: Values) -> list[str]:
    """What was published, in words; empty if nothing was."""
    instance = rhsm.get(PUBLISHED)
    if not instance:
        return []
    hardware = rhsm.get(PUBLISHED_ON) or "not named"
    return [f"published as instance {instance} on hardware {hardware}"]
