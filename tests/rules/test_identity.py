"""Facts: what makes a host an OpenStack instance, and every way in which they must not."""

import re
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreman_hooks.osp_checker import parse_uuid, swap_bytes
from foreman_hooks.rules.identity import (
    OTHER_LEADING_NAMES,
    OTHER_NAMES,
    RHSM,
    RHSM_NAMES,
    UUID_NAMES,
    identify,
    same_machine,
)
from foreman_hooks.rules.model import Identity, Reason

UUID = "78d7e200-b7d6-4cfe-b7a9-5700e8094df3"
SWAPPED = "00e2d778-d6b7-fe4c-b7a9-5700e8094df3"  # the same machine; Candlepin's own test vector
OTHER = "5f0c4b1e-9d2a-4c6b-8a37-2b1f0e9d8c7a"
THIRD = "0a1b2c3d-4e5f-4a6b-9c8d-7e6f5a4b3c2d"
RHSM_UUIDS = ("virt::uuid", "dmi::system::uuid")
GUEST_WORDS = (
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
)
HARDWARE = "4c4c4544-0042-3510-8052-b4c04f4d3132"  # what a server's own firmware says
JUNK = (
    "",
    " ",
    "Not Settable",
    "Not Present",
    "Not Specified",
    "NA",
    "None",
    "0",
    f"{UUID}0",
    UUID[:-1],
    UUID.replace("-", ""),
    f"{{{UUID}}}",
    f"urn:uuid:{UUID}",
    f"{UUID},{OTHER}",
    UUID.replace("7", "g"),
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
)


def changed(facts: dict[str, str], changes: dict[str, Optional[str]]) -> dict[str, str]:
    return {
        name: value for name, value in {**facts, **changes}.items() if value is not None
    }


def rhsm(**changes: Optional[str]) -> dict[str, str]:
    """Facts of subscription-manager on an instance; `virt__uuid=None` leaves out virt::uuid."""
    return changed(
        {
            "virt::uuid": UUID,
            "virt::is_guest": "true",
            "dmi::system::uuid": UUID.upper(),
            "dmi::system::manufacturer": "OpenStack Foundation",
            "dmi::system::product_name": "OpenStack Nova",
        },
        {name.replace("__", "::"): value for name, value in changes.items()},
    )


def facter(**changes: Optional[str]) -> dict[str, str]:
    """Facts of Puppet on an instance."""
    return changed(
        {
            "dmi::product::uuid": UUID,
            "dmi::manufacturer": "OpenStack Foundation",
            "dmi::product::name": "OpenStack Nova",
            "is_virtual": "true",
            "virtual": "kvm",
        },
        {name.replace("__", "::"): value for name, value in changes.items()},
    )


def metal(**changes: Optional[str]) -> dict[str, str]:
    """Facts of subscription-manager on an Ironic node that published what it is."""
    return changed(
        {
            "virt::is_guest": "false",
            "dmi::system::uuid": HARDWARE.upper(),
            "dmi::system::manufacturer": "Dell Inc.",
            "dmi::system::product_name": "PowerEdge R640",
            "osp::uuid": UUID,
            "osp::system_uuid": HARDWARE,
        },
        {name.replace("__", "::"): value for name, value in changes.items()},
    )


def of_rhsm(facts: dict[str, str], **others: dict[str, str]) -> Identity:
    return identify({RHSM: facts, **others}, katello=True)


# What is an instance


@pytest.mark.parametrize(
    ("maker", "product"),
    [
        ("OpenStack Foundation", "OpenStack Nova"),
        ("Red Hat", "OpenStack Compute"),
        ("RDO", "OpenStack Compute"),
        ("Red Hat Inc.", "OpenStack Nova"),
        ("OPENSTACK FOUNDATION", ""),
        ("", "openstack nova"),
    ],
)
def test_a_guest_whose_maker_or_product_is_openstack_is_an_instance(
    maker: str, product: str
) -> None:
    found = of_rhsm(
        rhsm(dmi__system__manufacturer=maker, dmi__system__product_name=product)
    )
    assert (found.uuids, found.reason) == ((UUID,), None)


def test_a_cloud_that_calls_itself_otherwise_can_be_named() -> None:
    facts = {
        RHSM: rhsm(
            dmi__system__manufacturer="Acme", dmi__system__product_name="Acme Cloud 3"
        )
    }
    assert identify(facts, katello=True).reason is Reason.NOT_OPENSTACK
    assert (
        identify(
            facts, katello=True, openstack_names=("OpenStack", "acme cloud")
        ).reason
        is None
    )


@pytest.mark.parametrize(
    "tag",
    [
        "OpenStack Nova",
        "HUAWEICLOUD",
        "OpenTelekomCloud",
        "SAP CCloud VM",
        "openstack compute",
        "Samsung Cloud Platform",
    ],
)
def test_a_cloud_may_name_itself_in_the_chassis_asset_tag_only(tag: str) -> None:
    """VMware Integrated OpenStack, and clouds on Xen: what cloud-init goes by."""
    found = of_rhsm(
        rhsm(
            dmi__system__manufacturer="VMware, Inc.",
            dmi__system__product_name="VMware7,1",
            dmi__chassis__asset_tag=tag,
        )
    )
    assert (found.uuids, found.reason, found.doubt) == ((UUID,), None, None)
    assert found.kind == f"vmware, inc. / vmware7,1 / {tag.lower()}"


@pytest.mark.parametrize(
    "tag",
    [
        "OpenStack Nova",
        "HUAWEICLOUD",
        "OpenTelekomCloud",
        "SAP CCloud VM",
        "Samsung Cloud Platform",
    ],
)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dmi__system__manufacturer": "Xen", "dmi__system__product_name": "HVM domU"},
        {"dmi__system__manufacturer": None, "dmi__system__product_name": None},
        {
            "dmi__system__manufacturer": "Not Specified",
            "dmi__system__product_name": "NA",
        },
    ],
    ids=[
        "beside OpenStack",
        "beside another maker",
        "without a maker",
        "beside words that say nothing",
    ],
)
def test_an_asset_tag_of_a_cloud_says_openstack_whatever_maker_stands_beside(
    changes: Any, tag: str
) -> None:
    found = of_rhsm(rhsm(dmi__chassis__asset_tag=tag, **changes))
    assert (found.uuids, found.reason, found.doubt) == ((UUID,), None, None)
    assert found.kind.endswith(tag.lower())


@pytest.mark.parametrize(
    "facts",
    [
        facter(
            dmi__manufacturer="Xen",
            dmi__product__name="HVM domU",
            dmi__chassis__asset_tag="OpenTelekomCloud",
        ),
        {
            "ansible_product_uuid": UUID,
            "ansible_system_vendor": "VMware, Inc.",
            "ansible_virtualization_role": "guest",
            "ansible_chassis_asset_tag": "OpenStack Nova",
        },
        {
            "facter_dmi::product::uuid": UUID,
            "facter_dmi::manufacturer": "Xen",
            "facter_is_virtual": "true",
            "facter_dmi::chassis::asset_tag": "HUAWEICLOUD",
        },
    ],
    ids=["facter", "ansible", "ansible-facter"],
)
def test_other_sources_know_the_asset_tag_too(facts: dict[str, str]) -> None:
    found = identify({"Puppet": facts}, katello=False, freshest="Puppet")
    assert (found.uuids, found.reason, found.doubt) == ((UUID,), None, None)
    assert of_rhsm(rhsm(), Puppet=facts).doubt is None


def test_a_cloud_that_was_named_may_stand_in_the_asset_tag() -> None:
    facts = {
        RHSM: rhsm(
            dmi__system__manufacturer="Acme",
            dmi__system__product_name="Box",
            dmi__chassis__asset_tag="Acme Cloud 3",
        )
    }
    assert identify(facts, katello=True).reason is Reason.NOT_OPENSTACK
    assert identify(facts, katello=True, openstack_names=("acme cloud",)).reason is None


@pytest.mark.parametrize(
    "tag",
    [
        "No Asset Tag",
        "Asset-1234567890",
        "rack 7",
        "Amazon EC2",
        "",
        "To Be Filled By O.E.M.",
    ],
)
def test_any_other_asset_tag_makes_no_instance_of_another_makers_guest(
    tag: str,
) -> None:
    found = of_rhsm(
        rhsm(
            dmi__system__manufacturer="VMware, Inc.",
            dmi__system__product_name="VMware7,1",
            dmi__chassis__asset_tag=tag,
        )
    )
    assert found.reason is Reason.NOT_OPENSTACK


def test_guests_of_two_openstack_clouds_are_of_different_kinds_by_their_asset_tag() -> (
    None
):
    """A living guest of one is no witness for one of the other."""
    assert (
        of_rhsm(rhsm(dmi__chassis__asset_tag="HUAWEICLOUD")).kind
        != of_rhsm(rhsm()).kind
    )
    assert (
        of_rhsm(rhsm(dmi__chassis__asset_tag="Not Specified")).kind
        == of_rhsm(rhsm()).kind
    )


def test_where_a_maker_was_named_as_openstacks_its_plain_guests_are_of_another_kind() -> (
    None
):
    """So a living instance of that cloud is no witness for a plain guest of the same vendor."""
    vmware = {
        "dmi__system__manufacturer": "VMware, Inc.",
        "dmi__system__product_name": "VMware Virtual Platform",
    }
    instance, plain = (
        identify(
            {RHSM: rhsm(**vmware, dmi__chassis__asset_tag=tag)},
            katello=True,
            openstack_names=("VMware",),
        )
        for tag in ("OpenStack Nova", "No Asset Tag")
    )
    assert (instance.reason, plain.reason) == (None, None)
    assert instance.kind == "vmware, inc. / vmware virtual platform / openstack nova"
    assert plain.kind == "vmware, inc. / vmware virtual platform"


@pytest.mark.parametrize("value", ["true", "True", "1", "yes", " true "])
def test_a_guest_may_be_called_so_in_several_ways(value: str) -> None:
    assert of_rhsm(rhsm(virt__is_guest=value)).reason is None


@pytest.mark.parametrize("text", [UUID, UUID.upper(), f" {UUID}\n"])
def test_the_uuid_is_read_in_any_case_and_given_in_lower_case(text: str) -> None:
    assert of_rhsm(rhsm(virt__uuid=text)).uuids == (UUID,)


def test_a_dmi_uuid_in_the_other_byte_order_is_the_same_machine() -> None:
    """Tools before and after SMBIOS 2.6 disagree on the order; that is no contradiction."""
    found = of_rhsm(rhsm(dmi__system__uuid=SWAPPED.upper()))
    assert (found.uuids, found.reason) == ((UUID,), None)


@pytest.mark.parametrize("junk", JUNK)
def test_a_dmi_uuid_that_is_junk_does_not_speak_against_the_virtual_one(
    junk: str,
) -> None:
    found = of_rhsm(rhsm(dmi__system__uuid=junk))
    assert (found.uuids, found.reason) == ((UUID,), None)


def test_a_dmi_uuid_that_is_missing_does_not_speak_against_the_virtual_one() -> None:
    assert of_rhsm(rhsm(dmi__system__uuid=None)).reason is None


@pytest.mark.parametrize(
    "facts",
    [
        facter(),
        facter(is_virtual=None),
        facter(virtual=None),
        facter(virtual="openstack"),
        {
            "uuid": UUID.upper(),
            "manufacturer": "Red Hat",
            "productname": "OpenStack Compute",
            "virtual": "kvm",
        },
        {
            "ansible_product_uuid": UUID,
            "ansible_system_vendor": "OpenStack Foundation",
            "ansible_product_name": "OpenStack Nova",
            "ansible_virtualization_role": "guest",
        },
        {
            "facter_dmi::product::uuid": UUID,
            "facter_dmi::manufacturer": "OpenStack Foundation",
            "facter_is_virtual": "true",
        },
        {
            "dmi::system::uuid": UUID,
            "dmi::system::product_name": "OpenStack Nova",
            "virtualization::role": "guest",
        },
    ],
    ids=[
        "facter",
        "facter-virtual",
        "facter-is-virtual",
        "facter-openstack",
        "facter2-salt",
        "ansible",
        "ansible-facter",
        "chef",
    ],
)
def test_without_katello_each_kind_of_source_can_show_an_instance(
    facts: dict[str, str],
) -> None:
    found = identify({"other sources": facts}, katello=False)
    assert (found.uuids, found.reason) == ((UUID,), None)


def test_facts_that_describe_something_else_change_nothing() -> None:
    noise = {
        "memory::memtotal": "16 GB",
        "net::interface::eth0::mac_address": "fa:16:3e:00:00:01",
    }
    assert identify(
        {RHSM: {**rhsm(), **noise}, "Puppet": noise}, katello=True
    ) == of_rhsm(rhsm())


# What is none


@pytest.mark.parametrize(
    ("maker", "product"),
    [
        ("Dell Inc.", "PowerEdge R640"),
        ("VMware, Inc.", "VMware Virtual Platform"),
        ("Red Hat", "KVM"),
        ("oVirt", "RHEL"),
        ("Red Hat", "RHEV Hypervisor"),
        ("Amazon EC2", "m5.large"),
        ("Xen", "HVM domU"),
        ("Microsoft Corporation", "Virtual Machine"),
        ("Google", "Google Compute Engine"),
        ("QEMU", "Standard PC"),
        ("Open Stack", "Nova"),
    ],
)
def test_other_makers_guests_are_no_instances(maker: str, product: str) -> None:
    """Bare metal, VMware and other clouds: OpenStack does not know them and is not asked."""
    found = of_rhsm(
        rhsm(dmi__system__manufacturer=maker, dmi__system__product_name=product)
    )
    assert found.reason is Reason.NOT_OPENSTACK


@pytest.mark.parametrize(
    "value", ["false", "False", "0", "Unknown", "Not Applicable", " ", "lxc", None]
)
def test_what_does_not_say_that_it_is_a_guest_needs_proof(value: Optional[str]) -> None:
    """OpenStack's own hypervisors and Ironic's bare metal may carry its name as well."""
    found = of_rhsm(rhsm(virt__is_guest=value))
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID,),
        None,
        Reason.NOT_A_GUEST,
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("false", "not a guest"),
        ("Unknown", "does not say whether a guest"),
        ("NA", "does not say whether a guest"),
    ],
)
def test_what_says_nothing_is_not_told_as_a_no(value: str, text: str) -> None:
    assert text in of_rhsm(rhsm(virt__is_guest=value)).facts


def test_two_statements_about_being_a_guest_have_to_agree() -> None:
    facts = {"other sources": facter(is_virtual="true", virtual="physical")}
    assert identify(facts, katello=False).doubt is Reason.NOT_A_GUEST


@pytest.mark.parametrize(
    "facts", [{}, {RHSM: {}}, {"Puppet": {}}, {RHSM: {"memory::memtotal": "16"}}]
)
@pytest.mark.parametrize("katello", [True, False])
def test_a_host_without_identifying_facts_is_no_instance(
    facts: Any, katello: bool
) -> None:
    found = identify(facts, katello=katello)
    assert (found.uuids, found.reason) == ((), Reason.NO_FACTS)


def test_a_uuid_without_a_maker_needs_proof() -> None:
    """ppc64le has no DMI, and a Satellite may store no dmi facts."""
    facts = rhsm(dmi__system__manufacturer=None, dmi__system__product_name=None)
    found = of_rhsm(facts)
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID,),
        None,
        Reason.UNKNOWN_MAKER,
    )


@pytest.mark.parametrize(
    "word",
    [
        "Not Specified",
        "Not Present",
        "Not Available",
        "NA",
        "N/A",
        "Unknown",
        "None",
        " ",
        "System manufacturer",
        "To Be Filled By O.E.M.",
        "Default string",
        "O.E.M.",
        "0123456789",
    ],
)
def test_words_that_say_nothing_are_no_other_maker(word: str) -> None:
    found = of_rhsm(
        rhsm(
            dmi__system__manufacturer=word, dmi__system__product_name=f" {word.upper()}"
        )
    )
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID,),
        None,
        Reason.UNKNOWN_MAKER,
    )
    assert found.kind == ""
    assert "maker unknown" in found.facts


@pytest.mark.parametrize(
    "published",
    [{}, {"osp::uuid": UUID, "osp::system_uuid": UUID}],
    ids=["", "published"],
)
@pytest.mark.parametrize(
    "more",
    [{}, {"uname::machine": "ppc64le"}, {"dmi::chassis::asset_tag": "rack 7"}],
    ids=["no dmi stored", "ppc64le", "another tag"],
)
def test_a_guest_without_a_maker_is_asked_about_and_needs_proof(
    more: dict[str, str], published: dict[str, str]
) -> None:
    found = of_rhsm(
        {
            "virt::uuid": UUID,
            "virt::is_guest": "true",
            "virt::host_type": "kvm",
            **more,
            **published,
        }
    )
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID,),
        None,
        Reason.UNKNOWN_MAKER,
    )


@pytest.mark.parametrize(
    "facts",
    [
        {"virt::is_guest": "Unknown"},
        {"virt::is_guest": "NA"},
        {},
        {"virt::is_guest": "false", "virt::host_type": "Not Applicable"},
    ],
)
def test_where_virt_what_failed_or_is_blind_the_dmi_uuid_is_asked_about_and_needs_proof(
    facts: Any,
) -> None:
    found = of_rhsm({**rhsm(virt__uuid=None, virt__is_guest=None), **facts})
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID,),
        None,
        Reason.NOT_A_GUEST,
    )


def test_with_katello_a_uuid_that_only_other_sources_name_needs_proof() -> None:
    """Those of Puppet or Ansible may still describe the machine that had the record before."""
    found = identify({"Puppet": facter()}, katello=True)
    assert (found.uuids, found.reason, found.doubt) == ((UUID,), None, Reason.NO_PROOF)


def test_with_katello_a_host_known_to_other_sources_only_is_foreign_if_none_says_openstack() -> (
    None
):
    other = facter(dmi__manufacturer="VMware, Inc.", dmi__product__name="VMware7,1")
    assert identify({"Puppet": other}, katello=True).reason is Reason.NOT_OPENSTACK
    both = {
        "Puppet": other,
        "Ansible": {
            "ansible_product_name": "OpenStack Nova",
            "ansible_product_uuid": OTHER,
        },
    }
    assert identify(both, katello=True).uuids == (UUID, OTHER)
    assert identify(both, katello=True).reason is None


def test_without_katello_the_facts_of_rhsm_make_no_instance() -> None:
    assert identify({RHSM: rhsm()}, katello=False).reason is Reason.NO_FACTS


@pytest.mark.parametrize(
    "more", [{}, {"Puppet": facter()}], ids=["alone", "with Puppet"]
)
def test_without_the_virtual_uuid_the_others_need_proof(more: Any) -> None:
    """Virt-what failed, is blind on ARM, or a registration is under way."""
    found = of_rhsm(rhsm(virt__uuid=None), **more)
    assert (found.uuids, found.reason, found.doubt) == ((UUID,), None, Reason.NO_PROOF)


@pytest.mark.parametrize("junk", JUNK)
def test_junk_in_the_place_of_the_uuid_makes_no_instance(junk: str) -> None:
    found = of_rhsm(rhsm(virt__uuid=junk, dmi__system__uuid=None))
    assert (found.uuids, found.reason) == ((), Reason.NO_UUID)


def test_two_uuids_of_the_leading_source_are_both_named_and_need_proof() -> None:
    """Katello itself may have put a random dmi::system::uuid there."""
    found = of_rhsm(rhsm(dmi__system__uuid=OTHER))
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID, OTHER),
        None,
        Reason.AMBIGUOUS_UUID,
    )


# What other sources say can only speak against a deletion


@pytest.mark.parametrize(
    "facts",
    [
        facter(dmi__manufacturer="VMware, Inc.", dmi__product__name="VMware7,1"),
        facter(is_virtual="false", virtual=None),
        facter(is_virtual=None, virtual="physical"),
        {"ansible_virtualization_role": "host"},
        {"ansible_system_vendor": "Dell Inc."},
        {"facter_is_virtual": "false"},
        {"virtualization::role": "host"},
        {"manufacturer": "HP"},
    ],
)
def test_another_source_that_says_otherwise_leaves_a_doubt_and_no_more(
    facts: dict[str, str],
) -> None:
    """Such sources are wrong too often to hold what is proven."""
    found = of_rhsm(rhsm(), Puppet=facts)
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID,),
        None,
        Reason.CONTRADICTING_FACTS,
    )


@pytest.mark.parametrize(
    "facts",
    [
        {
            "ansible_product_uuid": UUID.upper(),
            "ansible_system_vendor": "RDO",
            "ansible_virtualization_type": "kvm",
            "ansible_product_name": "OpenStack Compute",
            "ansible_virtualization_role": "host",
        },
        facter(virtual="physical", is_virtual="false", dmi__product__uuid=UUID.upper()),
        {
            "virtual": "physical",
            "productname": "OpenStack Nova",
            "manufacturer": "OpenStack Foundation",
            "uuid": UUID,
        },
    ],
    ids=["ansible", "facter", "salt"],
)
def test_a_source_that_is_wrong_about_a_guest_it_calls_openstacks_leaves_a_doubt_and_no_more(
    facts: Any,
) -> None:
    """Well known of Ansible, Facter and Salt on OpenStack."""
    found = of_rhsm(rhsm(), Puppet=facts)
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID,),
        None,
        Reason.CONTRADICTING_FACTS,
    )
    plain = identify({"Puppet": facts}, katello=False)
    assert (plain.uuids, plain.reason, plain.doubt) == (
        (UUID,),
        None,
        Reason.NOT_A_GUEST,
    )


def test_the_uuid_of_the_platform_that_a_machine_came_from_is_asked_about_after_its_own() -> (
    None
):
    found = of_rhsm(
        rhsm(),
        Ansible={
            "ansible_system_vendor": "VMware, Inc.",
            "ansible_product_name": "VMware7,1",
            "ansible_virtualization_role": "guest",
            "ansible_product_uuid": OTHER,
        },
    )
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID, OTHER),
        None,
        Reason.CONTRADICTING_FACTS,
    )


@pytest.mark.parametrize(
    "facts",
    [
        {
            "ansible_product_uuid": UUID.upper(),
            "ansible_system_vendor": "RDO",
            "ansible_product_name": "OpenStack Compute",
            "ansible_virtualization_role": "NA",
            "ansible_virtualization_type": "NA",
        },
        {"ansible_virtualization_role": "NA", "ansible_virtualization_type": "NA"},
        {"virtual": "kubevirt"},
        {"virtual": "rhev"},
        {"virtual": "ovirt"},
        {"virtual": "gce"},
        {"virtual": "lxc"},
        {"is_virtual": "Unknown"},
        {"manufacturer": "NA"},
        {"ansible_system_vendor": "Not Present"},
        {"dmi::manufacturer": "To Be Filled By O.E.M."},
    ],
)
def test_words_that_say_nothing_and_words_that_are_not_known_leave_no_doubt(
    facts: dict[str, str],
) -> None:
    found = of_rhsm(rhsm(), Puppet=facts)
    assert (found.uuids, found.reason, found.doubt) == ((UUID,), None, None)


@pytest.mark.parametrize(
    "facts",
    [
        facter(),
        facter(dmi__product__uuid=None),
        {"ansible_virtualization_role": "guest"},
        {"is_virtual": "true"},
        {"ansible_product_uuid": "NA"},
        {"uuid": SWAPPED},
    ],
)
def test_another_source_that_agrees_or_says_nothing_of_it_is_no_contradiction(
    facts: dict[str, str],
) -> None:
    found = of_rhsm(rhsm(), Puppet=facts)
    assert (found.uuids, found.reason, found.doubt) == ((UUID,), None, None)


def test_every_uuid_that_any_source_names_is_named_the_leading_one_first() -> None:
    """Each of them has to be looked for; one of them may be alive."""
    found = of_rhsm(
        rhsm(),
        Puppet=facter(dmi__product__uuid=OTHER),
        Ansible={"ansible_product_uuid": THIRD},
        Salt={"uuid": OTHER.upper()},
        Chef={"dmi::system::uuid": swap_bytes(THIRD)},
    )
    assert (found.uuids, found.reason) == ((UUID, OTHER, THIRD), None)


def test_every_source_there_is_may_name_a_uuid_of_its_own_at_once() -> None:
    own = [f"{at}{UUID[1:]}" for at in range(1, 9)]
    facts = {
        RHSM: {
            **rhsm(virt__uuid=own[0], dmi__system__uuid=own[1]),
            "osp::uuid": own[2],
            "osp::system_uuid": own[1],
        },
        "Puppet": {"dmi::product::uuid": own[3]},
        "Salt": {"uuid": own[4]},
        "Ansible": {
            "ansible_product_uuid": own[5],
            "facter_dmi::product::uuid": own[6],
        },
        "Chef": {"dmi::system::uuid": own[7]},
    }
    for form in (str, str.upper, swap_bytes):
        forms = {
            origin: {
                name: form(value) if parse_uuid(value) else value
                for name, value in values.items()
            }
            for origin, values in facts.items()
        }
        found = identify(forms, katello=True)
        assert found.uuids[0] == parse_uuid(form(own[0]))
        assert set(found.uuids) == {parse_uuid(form(uuid)) for uuid in own}
        merged = {
            RHSM: forms[RHSM],
            "other sources": {
                name: value
                for origin in ("Puppet", "Salt", "Ansible", "Chef")
                for name, value in forms[origin].items()
            },
        }
        assert set(identify(merged, katello=True).uuids) == set(found.uuids)


def test_one_source_may_name_several_uuids_in_several_ways() -> None:
    found = identify(
        {"other sources": {**facter(), "uuid": OTHER, "ansible_product_uuid": THIRD}},
        katello=False,
    )
    assert found.uuids == (UUID, OTHER, THIRD)
    assert found.doubt is Reason.AMBIGUOUS_UUID


OF_VMWARE = facter(
    dmi__manufacturer="VMware, Inc.",
    dmi__product__name="VMware7,1",
    dmi__product__uuid=OTHER,
)
OF_ANSIBLE = {
    "ansible_product_uuid": UUID,
    "ansible_product_name": "OpenStack Nova",
    "ansible_virtualization_role": "guest",
}


def test_without_katello_the_freshest_source_says_what_the_machine_is_now() -> None:
    facts = {"Puppet": OF_VMWARE, "Ansible": OF_ANSIBLE}
    found = identify(facts, katello=False, freshest="Ansible")
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID, OTHER),
        None,
        Reason.CONTRADICTING_FACTS,
    )
    assert (
        identify(facts, katello=False, freshest="Puppet").reason is Reason.NOT_OPENSTACK
    )
    assert set(identify(facts, katello=False, freshest="Puppet").uuids) == {UUID, OTHER}


def test_with_katello_no_other_source_leads_however_fresh_it_is() -> None:
    found = of_rhsm(rhsm(), Puppet=OF_VMWARE)
    assert found == identify(
        {RHSM: rhsm(), "Puppet": OF_VMWARE}, katello=True, freshest="Puppet"
    )
    assert found.reason is None


def test_what_the_facts_say_is_told_for_people() -> None:
    assert of_rhsm(rhsm(dmi__system__uuid=None)).facts == (
        f"RHSM: OpenStack Foundation / OpenStack Nova, a guest, UUID {UUID}"
    )
    assert identify({}, katello=True).facts == "nothing"
    assert (
        "Puppet: maker unknown, not a guest, UUID missing"
        in of_rhsm(rhsm(), Puppet={"virtual": "physical"}).facts
    )


# What a machine published itself: a guest


@pytest.mark.parametrize(
    ("virtual", "published"),
    [
        (UUID, UUID),
        (UUID.upper(), UUID),
        (SWAPPED.upper(), UUID),
        (UUID, SWAPPED),
        (SWAPPED, f" {UUID.upper()}\n"),
    ],
)
def test_the_published_form_of_a_guests_uuid_leads(
    virtual: str, published: str
) -> None:
    """It is Nova's own; the firmware's may be in the other byte order."""
    found = of_rhsm(
        {
            **rhsm(virt__uuid=virtual),
            "osp::uuid": published,
            "osp::system_uuid": virtual,
        }
    )
    assert (found.uuids, found.reason, found.doubt) == (
        (published.strip().lower(),),
        None,
        None,
    )


@pytest.mark.parametrize("published_on", [OTHER, HARDWARE])
def test_what_came_along_with_another_machines_disk_says_nothing_of_a_guest(
    published_on: str,
) -> None:
    """Else no record of a machine that was made of another one's disk could ever go."""
    found = of_rhsm({**rhsm(), "osp::uuid": OTHER, "osp::system_uuid": published_on})
    assert (found.uuids, found.reason) == ((UUID,), None)


@pytest.mark.parametrize("published_on", [UUID, SWAPPED, "", "junk"])
def test_a_guest_that_published_another_uuid_than_its_firmwares_is_ambiguous(
    published_on: str,
) -> None:
    """Both have to be looked for."""
    found = of_rhsm({**rhsm(), "osp::uuid": OTHER, "osp::system_uuid": published_on})
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID, OTHER),
        None,
        Reason.AMBIGUOUS_UUID,
    )


def test_a_guest_whose_dmi_uuid_katello_replaced_stays_ambiguous_whatever_it_published() -> (
    None
):
    found = of_rhsm(
        {**rhsm(dmi__system__uuid=THIRD), "osp::uuid": UUID, "osp::system_uuid": UUID}
    )
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID, THIRD),
        None,
        Reason.AMBIGUOUS_UUID,
    )


def test_what_a_guest_published_does_not_silence_another_source() -> None:
    published = {**rhsm(), "osp::uuid": UUID, "osp::system_uuid": UUID}
    assert (
        of_rhsm(published, Puppet={"dmi::manufacturer": "VMware, Inc."}).doubt
        is Reason.CONTRADICTING_FACTS
    )
    assert of_rhsm(published, Puppet=facter(dmi__product__uuid=OTHER)).uuids == (
        UUID,
        OTHER,
    )


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize(
    "facts",
    [
        rhsm(),
        rhsm(virt__uuid=None),
        rhsm(virt__is_guest="false"),
        metal(osp__uuid=None),
        metal(osp__uuid=None, dmi__system__uuid=None),
    ],
)
def test_junk_that_was_published_changes_nothing(
    facts: dict[str, str], junk: str
) -> None:
    found, today = of_rhsm({**facts, "osp::uuid": junk}), of_rhsm(facts)
    assert (found.uuids, found.reason, found.doubt) == (
        today.uuids,
        today.reason,
        today.doubt,
    )


@pytest.mark.parametrize("published", [UUID, OTHER])
def test_what_a_foreign_guest_published_makes_no_instance_of_it(published: str) -> None:
    """A VMware guest may have been made of an instance's disk."""
    facts = rhsm(
        dmi__system__manufacturer="VMware, Inc.", dmi__system__product_name="VMware7,1"
    )
    assert (
        of_rhsm({**facts, "osp::uuid": published, "osp::system_uuid": UUID}).reason
        is Reason.NOT_OPENSTACK
    )


def test_where_rhsm_names_no_hardware_what_was_published_is_the_identity_and_needs_proof() -> (
    None
):
    """s390x, and aarch64 without SMBIOS: nothing shows that it came along with a disk."""
    published = {"osp::uuid": UUID, "osp::system_uuid": OTHER}
    for facts in (
        published,
        {"virt::is_guest": "Unknown", **published},
        {"osp::uuid": UUID},
    ):
        found = of_rhsm(facts)
        assert (found.uuids, found.reason, found.doubt) == (
            (UUID,),
            None,
            Reason.NO_PROOF,
        )
    found = of_rhsm({"virt::is_guest": "true", **published})
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID,),
        None,
        Reason.UNKNOWN_MAKER,
    )


@pytest.mark.parametrize("guest", ["true", "Unknown"])
@pytest.mark.parametrize(
    "others",
    [
        facter(dmi__product__uuid=OTHER),
        {"manufacturer": "IBM", "uuid": OTHER},
        {"uuid": OTHER},
    ],
    ids=["of OpenStack", "of another maker", "of no maker"],
)
def test_where_rhsm_names_no_hardware_what_was_published_comes_before_what_other_sources_name(
    others: dict[str, str], guest: str
) -> None:
    """It is RHSM's own word; a new machine that takes the record over wipes no other facts."""
    found = of_rhsm(
        {"virt::is_guest": guest, "osp::uuid": UUID, "osp::system_uuid": THIRD},
        Puppet=others,
    )
    assert (found.uuids, found.reason) == ((UUID, OTHER), None)
    assert found.doubt in (Reason.NO_PROOF, Reason.UNKNOWN_MAKER)


def test_on_ppc64le_what_was_published_and_the_virtual_uuid_agree() -> None:
    facts = {
        "virt::uuid": UUID,
        "virt::is_guest": "true",
        "osp::uuid": UUID,
        "osp::system_uuid": UUID,
    }
    assert of_rhsm(facts).uuids == (UUID,)


# What a machine published itself: bare metal


@pytest.mark.parametrize(
    ("maker", "product"),
    [("Dell Inc.", "PowerEdge R640"), (None, None), ("OpenStack", "Nova")],
)
@pytest.mark.parametrize("guest", ["false", "False", "0", "no", " false "])
def test_a_server_that_published_its_instance_is_one_with_proof_only(
    guest: str, maker: Optional[str], product: Optional[str]
) -> None:
    """Ironic: the hardware's own UUID is none of Nova's, and is asked for all the same."""
    found = of_rhsm(
        metal(
            virt__is_guest=guest,
            dmi__system__manufacturer=maker,
            dmi__system__product_name=product,
        )
    )
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID, HARDWARE),
        None,
        Reason.NO_PROOF,
    )


@pytest.mark.parametrize(
    ("hardware", "published_on"),
    [
        (HARDWARE, HARDWARE.upper()),
        (swap_bytes(HARDWARE), HARDWARE),
        (HARDWARE, swap_bytes(HARDWARE)),
    ],
)
def test_the_hardware_is_the_same_in_either_byte_order(
    hardware: str, published_on: str
) -> None:
    found = of_rhsm(metal(dmi__system__uuid=hardware, osp__system_uuid=published_on))
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID, hardware),
        None,
        Reason.NO_PROOF,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"osp__system_uuid": None},
        {"osp__system_uuid": OTHER},
        {"osp__system_uuid": UUID},
        {"dmi__system__uuid": None},
        {"dmi__system__uuid": THIRD},
        {"osp__uuid": None},
        *({"osp__system_uuid": junk} for junk in JUNK),
        *({"dmi__system__uuid": junk, "osp__system_uuid": junk} for junk in JUNK),
    ],
)
def test_a_server_that_another_ones_disk_was_copied_to_is_no_instance(
    changes: Any,
) -> None:
    """Nor is one with a random UUID from Katello: what was published is not bound to it."""
    assert of_rhsm(metal(**changes)).reason is Reason.NOT_OPENSTACK


@pytest.mark.parametrize(
    "value",
    [None, "", " ", "Unknown", "Not Applicable", "guest", "true", "1", "no way"],
)
def test_a_server_has_to_say_that_it_is_no_guest(value: Optional[str]) -> None:
    found = of_rhsm(metal(virt__is_guest=value))
    assert found.reason is Reason.NOT_OPENSTACK


@pytest.mark.parametrize(
    "facts",
    [
        {
            "ansible_system_vendor": "Dell Inc.",
            "ansible_virtualization_role": "host",
            "ansible_product_uuid": HARDWARE,
        },
        {"is_virtual": "false", "virtual": "physical", "dmi::manufacturer": "HPE"},
        {"virtual": "physical"},
        {"uuid": swap_bytes(HARDWARE).upper()},
        {"ansible_product_uuid": UUID},
        {"ansible_product_uuid": "NA"},
    ],
)
def test_other_sources_may_call_it_the_server_that_it_is(facts: dict[str, str]) -> None:
    found = of_rhsm(metal(), Puppet=facts)
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID, HARDWARE),
        None,
        Reason.NO_PROOF,
    )


def test_every_uuid_that_others_name_is_looked_for_with_bare_metal_too() -> None:
    found = of_rhsm(
        metal(),
        Puppet={"dmi::product::uuid": OTHER},
        Ansible={"ansible_product_uuid": HARDWARE.upper()},
        Salt={"uuid": swap_bytes(HARDWARE)},
        Chef={"dmi::system::uuid": THIRD},
    )
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID, HARDWARE, OTHER, THIRD),
        None,
        Reason.NO_PROOF,
    )
    assert of_rhsm(metal(virt__uuid=OTHER)).uuids == (UUID, OTHER, HARDWARE)


@pytest.mark.parametrize(
    "facts", [metal(), {**rhsm(), "osp::uuid": OTHER, "osp::system_uuid": UUID}]
)
def test_without_katello_what_was_published_counts_for_nothing(
    facts: dict[str, str],
) -> None:
    found = identify({RHSM: facts}, katello=False)
    assert (found.uuids, found.reason) == ((), Reason.NO_FACTS)


def test_only_rhsms_own_facts_are_what_was_published() -> None:
    """Those of another source are not wiped when a new machine takes the record over."""
    published = {"osp::uuid": UUID, "osp::system_uuid": HARDWARE}
    found = of_rhsm(metal(osp__uuid=None, osp__system_uuid=None), Puppet=published)
    assert found.reason is Reason.NOT_OPENSTACK
    assert UUID not in found.uuids


def test_what_was_published_is_told_for_people() -> None:
    assert of_rhsm(metal()).facts == (
        f"RHSM: Dell Inc. / PowerEdge R640, not a guest, UUID {HARDWARE.upper()}; "
        f"published as instance {UUID} on hardware {HARDWARE}"
    )
    assert of_rhsm(metal(osp__system_uuid=None)).facts.endswith(
        f"instance {UUID} on hardware not named"
    )
    assert of_rhsm({**rhsm(), "osp::uuid": OTHER}).facts.endswith(
        f"published as instance {OTHER} on hardware not named"
    )


# What a machine published itself: the ways of a disk and of a record


def test_a_node_deployed_anew_is_the_new_instance_or_none_yet() -> None:
    """A registration wipes RHSM's facts; the new disk has no file until the job has run on it."""
    assert (
        of_rhsm(metal(osp__uuid=None, osp__system_uuid=None)).reason
        is Reason.NOT_OPENSTACK
    )
    found = of_rhsm(metal(osp__uuid=OTHER))
    assert (found.uuids, found.reason) == ((OTHER, HARDWARE), None)


def test_a_server_that_took_over_a_guests_record_is_not_that_guest() -> None:
    """Puppet's facts of the guest are still there, RHSM's are the server's."""
    assert (
        of_rhsm(metal(), Puppet=facter(dmi__product__uuid=OTHER)).doubt
        is Reason.NO_PROOF
    )
    assert (
        of_rhsm(metal(osp__uuid=None), Puppet=facter(dmi__product__uuid=OTHER)).reason
        is Reason.NOT_OPENSTACK
    )


def test_a_guest_that_took_over_a_servers_record_is_not_that_server() -> None:
    """Ansible still calls it the server."""
    old = {"ansible_product_uuid": HARDWARE, "ansible_virtualization_role": "host"}
    found = of_rhsm(
        {**rhsm(), "osp::uuid": UUID, "osp::system_uuid": UUID}, Ansible=old
    )
    assert (found.uuids, found.reason, found.doubt) == (
        (UUID, HARDWARE),
        None,
        Reason.CONTRADICTING_FACTS,
    )


# Properties

uuid_texts = st.sampled_from(
    [UUID, SWAPPED, OTHER, THIRD, HARDWARE, UUID.upper(), *JUNK]
)
values = (
    st.text(max_size=9)
    | uuid_texts
    | st.sampled_from(
        [
            "true",
            "false",
            "guest",
            "kvm",
            "OpenStack Nova",
            "OpenStack Foundation",
            "Dell Inc.",
        ]
    )
)
names = st.sampled_from([*RHSM_NAMES, *OTHER_NAMES]) | st.text(max_size=5)
sources = st.dictionaries(names, values, max_size=5)
hosts = st.fixed_dictionaries(
    {}, optional={RHSM: sources, "Puppet": sources, "": sources}
)
# Hosts that come close to being an instance, so that not every example ends at the first rule.
nearly = st.builds(
    lambda more, base, change: {**more, RHSM: {**base, **change}},
    hosts,
    st.sampled_from([rhsm(), metal()]),
    st.dictionaries(names, values, max_size=2),
)


@given(st.one_of(hosts, nearly), st.booleans())
@settings(max_examples=40)
def test_arbitrary_facts_give_an_identity_that_can_be_asked_about(
    facts: Any, katello: bool
) -> None:
    """Whatever root of a guest writes into its facts breaks no run and makes no invalid UUID."""
    found = identify(facts, katello=katello)
    assert all(parse_uuid(uuid) == uuid for uuid in found.uuids)
    assert not any(
        same_machine(one, other)
        for at, one in enumerate(found.uuids)
        for other in found.uuids[:at]
    )
    if found.reason is None:
        assert found.uuids


uuid_facts = st.dictionaries(
    st.sampled_from(UUID_NAMES), st.uuids().map(str) | uuid_texts, max_size=3
)
naming = st.builds(
    lambda *several: {origin: {**facts, **uuids} for origin, facts, uuids in several},
    *(
        st.tuples(st.just(origin), st.one_of(sources, st.just(base)), uuid_facts)
        for origin, base in (
            (RHSM, rhsm()),
            ("Puppet", facter()),
            ("Ansible", {}),
            ("Chef", {}),
        )
    ),
)


@given(
    st.one_of(hosts, nearly, naming),
    st.booleans(),
    st.sampled_from(["", "Puppet", "Chef", "Salt"]),
)
@settings(max_examples=100)
def test_no_uuid_that_any_source_names_is_thrown_away(
    facts: Any, katello: bool, freshest: str
) -> None:
    """Each has to be asked about, whatever the same source says of maker and guest."""
    found = identify(facts, katello=katello, freshest=freshest)
    for origin, values in facts.items():
        if (origin == RHSM) <= katello:
            of_its_own = RHSM_UUIDS if origin == RHSM else OTHER_LEADING_NAMES
            for uuid in filter(
                None,
                (
                    parse_uuid(values.get(name))
                    for name in UUID_NAMES
                    if name in of_its_own
                ),
            ):
                assert any(same_machine(uuid, known) for known in found.uuids)


@given(nearly)
@settings(max_examples=40)
def test_absence_counts_only_for_an_openstack_guest_that_rhsm_describes(
    facts: Any,
) -> None:
    """Whatever else there is."""
    main, found = facts[RHSM], identify(facts, katello=True)
    if found.reason is None and found.doubt is None:
        assert main.get("virt::is_guest", "").strip().lower() in GUEST_WORDS
        texts = [
            main.get(name, "")
            for name in (
                "dmi::system::manufacturer",
                "dmi::system::product_name",
                "dmi::chassis::asset_tag",
            )
        ]
        assert "openstack" in " ".join(texts).lower()
        assert same_machine(str(parse_uuid(main["virt::uuid"])), found.uuids[0])


@given(hosts)
@settings(max_examples=40)
def test_no_other_source_can_take_a_doubt_away(others: Any) -> None:
    for facts in (
        rhsm(virt__is_guest="false"),
        rhsm(virt__uuid=None),
        rhsm(dmi__system__uuid=OTHER),
        metal(osp__uuid=None),
        metal(osp__system_uuid=OTHER),
        {**rhsm(), "osp::uuid": OTHER},
    ):
        found = identify({**others, RHSM: facts}, katello=True)
        assert found.reason or found.doubt


@given(st.one_of(hosts, nearly), st.booleans())
@settings(max_examples=40)
def test_no_fact_counts_that_is_not_among_those_to_ask_for(
    facts: Any, katello: bool
) -> None:
    """Else the search would hide what speaks against a deletion."""
    asked = {
        origin: {
            name: value
            for name, value in found.items()
            if name in (RHSM_NAMES if origin == RHSM else OTHER_NAMES)
        }
        for origin, found in facts.items()
    }
    assert identify(asked, katello=katello) == identify(facts, katello=katello)


@given(st.uuids())
def test_the_other_byte_order_of_the_other_byte_order_is_the_uuid_itself(
    uuid: Any,
) -> None:
    form = str(uuid)
    assert swap_bytes(swap_bytes(form)) == form
    assert same_machine(form, swap_bytes(form))
    assert same_machine(form, form)
    assert swap_bytes(form)[19:] == form[19:]  # the last two fields have no byte order


def test_byte_order_is_changed_as_candlepin_does_it() -> None:
    assert swap_bytes(UUID) == SWAPPED


one_off = st.builds(
    lambda at, width, more: UUID[:at] + more + UUID[at + width :],
    st.integers(0, 36),
    st.integers(0, 2),
    st.text(max_size=2) | st.text("0fF- ", max_size=2),
)


@given(one_off | uuid_texts | st.text(max_size=40))
def test_only_what_nova_takes_for_a_uuid_is_one(text: object) -> None:
    """Nova answers 404, never 400, to all else, and that 404 would read as terminated."""
    form = parse_uuid(text)
    if form is not None:
        assert re.fullmatch(
            "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", form
        )
        assert form == str(text).strip().lower()
        assert set(form) - set("-0") and set(form) - set("-f")


@given(st.uuids().filter(lambda uuid: uuid.int not in (0, 2**128 - 1)))
def test_every_true_uuid_is_one_in_either_case(uuid: Any) -> None:
    assert parse_uuid(str(uuid)) == parse_uuid(str(uuid).upper()) == str(uuid)


@pytest.mark.parametrize(
    "text",
    [
        *JUNK,
        None,
        0,
        b"",
        UUID.encode(),
        UUID.replace("4", "\N{DEVANAGARI DIGIT FOUR}"),
        UUID.replace("d", "\N{FULLWIDTH LATIN SMALL LETTER D}"),
        f"{UUID}\0",
    ],
)
def test_what_firmware_without_an_identity_reports_is_no_uuid(text: object) -> None:
    assert parse_uuid(text) is None
