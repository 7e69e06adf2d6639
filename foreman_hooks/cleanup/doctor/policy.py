"""Which settings of the policy are less strict than they could be, in plain words."""

from collections.abc import Iterator
from datetime import timedelta

from foreman_hooks.cleanup.doctor.findings import Finding, ok, warning
from foreman_hooks.rules.model import Policy

# What the firmware of guests of other platforms reports.  A configured name belongs to another
# platform if it is part of one of these makers, or contains one of these vendors.
_MAKERS = (
    "vmware, inc.",
    "vmware virtual platform",
    "vmware7,1",
    "xen",
    "hvm domu",
    "microsoft corporation",
    "virtual machine",
    "hyper-v",
    "qemu",
    "bochs",
    "seabios",
    "kvm",
    "standard pc (i440fx + piix, 1996)",
    "standard pc (q35 + ich9, 2009)",
    "red hat",
    "rhev hypervisor",
    "ovirt",
    "rhel",
    "innotek gmbh",
    "virtualbox",
    "oracle corporation",
    "google compute engine",
    "amazon ec2",
    "nutanix",
    "ahv",
    "proxmox",
    "parallels software international inc.",
    "phoenix technologies",
)
_VENDORS = (
    "vmware",
    "xen",
    "microsoft",
    "hyper-v",
    "qemu",
    "bochs",
    "seabios",
    "kvm",
    "red hat",
    "rhev",
    "ovirt",
    "virtualbox",
    "oracle",
    "google",
    "amazon",
    "nutanix",
    "proxmox",
    "parallels",
)


def examine_policy(policy: Policy) -> Iterator[Finding]:
    """Say which settings let records be deleted sooner, or with less evidence."""
    yield _all_clouds_listed(policy)
    if policy.quiet == timedelta():
        yield warning(
            "policy.quiet is 0s: a record is deleted as soon as its instance is terminated",
            "a machine rebuilt from the same disk has no time to check in; the default is 4h30m",
        )
    for name in policy.openstack_names:
        if _names_another_platform(name):
            yield warning(
                f"policy.openstack_names has {name!r}, which guests of other platforms report too",
                "their records count as instances that no cloud knows; use a name that only your "
                "OpenStack has",
            )


def _all_clouds_listed(policy: Policy) -> Finding:
    if policy.all_clouds_listed:
        return warning(
            "policy.all_clouds_listed is true: an instance that none of the clouds configured "
            "here knows counts as terminated, even if no run ever saw it alive",
            "if a cloud with hosts of this Satellite is missing here, its living machines lose "
            "their records; 'plan' shows which ones",
        )
    return ok(
        "policy.all_clouds_listed is false: without proof from OpenStack, a record is deleted only "
        "if an earlier run saw its instance alive in these regions"
    )


def _names_another_platform(name: str) -> bool:
    plain = name.strip().lower()
    if any(plain in maker for maker in _MAKERS):
        return True
    return any(vendor in plain for vendor in _VENDORS)
