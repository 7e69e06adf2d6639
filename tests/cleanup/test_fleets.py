"""Fleets as they are: odd facts, records and roles, each through whole runs against both doubles.

If a record has to stay, a dead neighbour goes in the same runs; if it has to go, a living one
stays.
"""

from datetime import timedelta
from typing import Any, Optional

import pytest
from conftest import Stage
from sandbox.satellite import (
    ANSIBLE,
    CHEF,
    PUPPET,
    RHSM,
    SALT,
    DeletionFault,
    Effect,
    Host,
    Report,
    User,
)
from sandbox.world import add_instance, named_uuid, registration, stamp

from foreman_hooks.osp_checker import CloudScope, LocalChecker, swap_bytes
from foreman_hooks.rules.model import Outcome, Policy, Reason
from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.errors import SatelliteError

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ROLE = ("view_hosts", "view_facts", "view_params", "destroy_hosts")
UUID = "7f3c1f0e-52b3-4ff4-8b0c-5d4f3d0f5a3c"
OTHER = "4218aaaa-0d5c-4e0b-9a8e-2f5a6b7c8d99"
OPENSTACK = {
    "dmi::system::manufacturer": "Red Hat",
    "dmi::system::product_name": "OpenStack Compute",
}
NOVA = {
    "dmi::system::manufacturer": "OpenStack Foundation",
    "dmi::system::product_name": "OpenStack Nova",
}
VMWARE = {
    "dmi::system::manufacturer": "VMware, Inc.",
    "dmi::system::product_name": "VMware Virtual Platform",
}
GUEST = {"virt::is_guest": "true", "virt::host_type": "kvm"}

Facts = dict[str, dict[str, Optional[str]]]


def rhsm(uuid: str = UUID, makers: Any = OPENSTACK, **more: Any) -> Facts:
    """What subscription-manager reports of a guest; the names of further facts with __ for ::."""
    return {
        RHSM: {
            "virt::uuid": uuid,
            **GUEST,
            "dmi::system::uuid": uuid.upper(),
            **makers,
            **{name.replace("__", "::"): value for name, value in more.items()},
        }
    }


def puppet(uuid: str = UUID, virtual: str = "kvm", is_virtual: str = "true") -> Facts:
    return {
        PUPPET: {
            "virtual": virtual,
            "is_virtual": is_virtual,
            "dmi::product::uuid": uuid.upper(),
            "dmi::manufacturer": "OpenStack Foundation",
            "dmi::product::name": "OpenStack Nova",
        }
    }


def ansible(
    uuid: str = UUID,
    role: str = "guest",
    vendor: str = "RDO",
    product: str = "OpenStack Compute",
) -> Facts:
    return {
        ANSIBLE: {
            "ansible_product_uuid": uuid.upper(),
            "ansible_system_vendor": vendor,
            "ansible_product_name": product,
            "ansible_virtualization_role": role,
        }
    }


def salt(uuid: str = UUID, virtual: str = "kvm") -> Facts:
    return {
        SALT: {
            "virtual": virtual,
            "productname": "OpenStack Nova",
            "manufacturer": "OpenStack Foundation",
            "uuid": uuid,
        }
    }


def chef(uuid: str = UUID, role: str = "guest") -> Facts:
    return {
        CHEF: {
            "dmi::system::uuid": uuid.upper(),
            "dmi::system::manufacturer": "OpenStack Foundation",
            "dmi::system::product_name": "OpenStack Nova",
            "virtualization::role": role,
        }
    }


def report(ago: timedelta, **status: int) -> Report:
    return Report(stamp(ago.total_seconds()), status)


def results(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.name.split(".")[0]: outcome.result for outcome in outcomes}


def terminate(stage: Stage, name: str, uuid: str, ago: timedelta = 2 * DAY) -> None:
    """Make Nova's deleted row of an instance that Satellite need not know."""
    add_instance(stage.world, name, uuid, terminated=ago.total_seconds())


def vanish(stage: Stage, *uuids: str) -> None:
    """Let a run see them alive, then leave no trace of them in Nova."""
    for uuid in uuids:
        add_instance(stage.world, "server", uuid)
    stage.plan()
    for uuid in uuids:
        del stage.openstack.instances["RegionOne"][uuid]


def several_runs(
    stage: Stage, policy: Optional[Policy] = None, **how: Any
) -> dict[str, str]:
    """Do five runs over five days; returns what became of each planned deletion."""
    become: dict[str, str] = {}
    for _ in range(5):
        become.update(results(stage.run(policy, **how)))
        stage.now += 30 * HOUR
    return become


def stays(
    stage: Stage, *names: str, policy: Optional[Policy] = None, **how: Any
) -> None:
    """These records outlast all runs, in which a dead neighbour goes."""
    stage.terminated("neighbour")
    assert several_runs(stage, policy, **how).get("neighbour") == "deleted"
    assert {*names, "witness"} <= stage.left


def goes(
    stage: Stage, *names: str, policy: Optional[Policy] = None, **how: Any
) -> None:
    """These records go in the first run, in which a living neighbour of the same kind stays."""
    stage.host("neighbour", checked_in=9 * DAY.total_seconds())
    assert results(stage.run(policy, **how)) == dict.fromkeys(names, "deleted")
    assert stage.left == {"witness", "neighbour"}


def limited(stage: Stage, *permissions: str) -> Login:
    """A login with these permissions alone."""
    stage.satellite.users["limited"] = User(
        "limited", "changeme", permissions=frozenset(permissions)
    )
    return Login(stage.foreman.url, "limited", "changeme")


# Two records of one machine

TWINS: dict[str, Facts] = {
    "Puppet": puppet(),
    "Ansible": ansible(),
    "Salt": salt(),
    "Chef": chef(),
    "Puppet, swapped": puppet(swap_bytes(UUID)),
    "RHSM, registering": {RHSM: {"dmi::system::uuid": UUID.upper(), **OPENSTACK}},
    "RHSM, of another maker": rhsm(makers=VMWARE),
}


@pytest.mark.parametrize("facts", TWINS.values(), ids=TWINS)
def test_a_record_whose_machine_reports_under_another_name_stays_though_its_termination_is_proven(
    stage: Stage, facts: Facts
) -> None:
    stage.terminated(
        "app7", uuid=UUID, ago=4 * DAY, checked_in=timedelta(hours=100), facts=rhsm()
    )
    stage.host(
        "twin",
        server=None,
        facts=facts,
        subscription=None,
        record={"last_report": stamp(600)},
    )
    stays(stage, "app7", "twin")


@pytest.mark.parametrize("facts", TWINS.values(), ids=TWINS)
def test_a_record_without_a_trace_that_shares_its_uuid_stays(
    stage: Stage, facts: Facts
) -> None:
    stage.host(
        "app7", server=None, uuid=UUID, facts=rhsm(), checked_in=9 * DAY.total_seconds()
    )
    stage.host(
        "twin",
        server=None,
        facts=facts,
        subscription=None,
        record={"last_report": stamp(9e5)},
    )
    vanish(stage, UUID)
    stays(stage, "app7", "twin")


def test_a_record_without_a_trace_that_shares_its_uuid_with_nobody_goes(
    stage: Stage,
) -> None:
    """The counterpart: what the runs above lack is the twin alone."""
    stage.host(
        "app7", server=None, uuid=UUID, facts=rhsm(), checked_in=9 * DAY.total_seconds()
    )
    vanish(stage, UUID)
    assert several_runs(stage) == {"app7": "deleted"}
    assert stage.left == {"witness"}


@pytest.mark.parametrize(
    "twin",
    [rhsm(), rhsm(swap_bytes(UUID)), {}, ansible(role="NA")],
    ids=["same", "swapped", "wiped", "Ansible"],
)
def test_all_records_of_a_terminated_instance_go_where_none_gave_a_sign_since(
    stage: Stage, twin: Facts
) -> None:
    """A short name and a full one, or a container that registered as well."""
    stage.terminated("db1", uuid=UUID, ago=20 * DAY, checked_in=30 * DAY, facts=rhsm())
    stage.host(
        "db2",
        server=None,
        checked_in=25 * DAY.total_seconds(),
        facts=twin or {RHSM: {"dmi::system::uuid": UUID}},
    )
    goes(stage, "db1", "db2")


def test_a_twin_in_another_organization_or_outside_the_search_that_lives_keeps_the_record(
    stage: Stage,
) -> None:
    stage.satellite.organizations[7] = "Other"
    stage.terminated("app7", uuid=UUID, facts=rhsm())
    stage.host(
        "twin",
        server=None,
        facts=puppet(),
        subscription=None,
        organization_id=7,
        record={"last_report": stamp(600)},
    )
    stage.terminated("neighbour")
    assert results(stage.run(organization=1)) == {"neighbour": "deleted"}
    assert stage.run(search="name = app7.example.com") == []
    assert "app7" in stage.left


def test_an_unregistered_leftover_goes_with_proof_and_one_that_reported_since_stays(
    stage: Stage,
) -> None:
    """Puppet's facts still name the instance; RHSM's went with the registration."""
    terminate(stage, "leftover", UUID, ago=20 * DAY)
    terminate(stage, "talking", OTHER, ago=20 * DAY)
    for name, uuid, ago in (("leftover", UUID, 21 * DAY), ("talking", OTHER, DAY)):
        stage.host(
            name,
            server=None,
            facts=puppet(uuid),
            subscription=None,
            record={"last_report": stamp(ago.total_seconds())},
        )
    assert results(stage.run()) == {"leftover": "deleted"}
    assert stage.left == {"witness", "talking"}


def test_a_leftover_without_any_facts_stays_and_is_counted(
    stage: Stage, call: Any
) -> None:
    stage.satellite.add(Host("empty.example.com"))
    code, out, _ = call("--config", stage.config(), "plan")
    assert (code, f"1  {Reason.NO_FACTS.value}" in out) == (0, True)
    code, out, _ = call(
        "-v",
        "--config",
        stage.config(),
        "plan",
        "--output",
        "csv",
        "--fields",
        "Name,Reason",
    )
    assert (code, f"empty.example.com,{Reason.NO_FACTS.value}" in out) == (0, True)
    stays(stage, "empty")


# Another cloud's, or another platform's guests

WIDE = Policy(
    max_fraction=1.0,
    openstack_names=("OpenStack", "VMware", "Xen"),
    all_clouds_listed=True,
)


@pytest.mark.parametrize(
    "policy",
    [WIDE, Policy(max_fraction=1.0, openstack_names=("OpenStack", "VMware"))],
    ids=["all clouds listed", "default"],
)
@pytest.mark.parametrize(
    "facts",
    [
        rhsm(OTHER, VMWARE, dmi__chassis__asset_tag="OpenStack Nova"),
        rhsm(OTHER, VMWARE),
        rhsm(
            OTHER,
            {
                "dmi::system::manufacturer": "Xen",
                "dmi::system::product_name": "HVM domU",
            },
        ),
        {
            **rhsm(OTHER, VMWARE),
            **ansible(OTHER, vendor="VMware, Inc.", product="VMware7,1"),
        },
    ],
    ids=["VIO", "vSphere", "Xen", "vSphere and Ansible"],
)
def test_a_living_guest_whose_firmware_has_another_uuid_than_nova_never_goes(
    stage: Stage, policy: Policy, facts: Facts
) -> None:
    """The instance is ACTIVE; what its guest sees is the hypervisor's own UUID."""
    stage.host("vio", facts=facts, checked_in=9 * DAY.total_seconds())
    stays(stage, "vio", policy=policy)


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(
    "tag", ["HUAWEICLOUD", "OpenTelekomCloud", "SAP CCloud VM", "OpenStack Nova"]
)
def test_a_guest_of_an_openstack_cloud_that_is_not_listed_stays_when_it_is_off(
    stage: Stage, tag: str, listed: bool
) -> None:
    stage.host(
        "elsewhere",
        server=None,
        facts=rhsm(makers=NOVA, dmi__chassis__asset_tag=tag),
        checked_in=4 * DAY.total_seconds(),
    )
    stays(stage, "elsewhere", policy=Policy(max_fraction=1.0, all_clouds_listed=listed))


def test_a_backlog_without_any_row_goes_once_all_clouds_are_said_to_be_listed(
    stage: Stage,
) -> None:
    stage.vanished("old")
    assert several_runs(stage) == {}
    assert several_runs(stage, Policy(max_fraction=1.0, all_clouds_listed=True)) == {
        "old": "deleted"
    }
    assert stage.left == {"witness"}


TAGGED: dict[str, Facts] = {
    "VIO": rhsm(makers=VMWARE, dmi__chassis__asset_tag="OpenStack Nova"),
    "Open Telekom Cloud on Xen": rhsm(
        makers={
            "dmi::system::manufacturer": "Xen",
            "dmi::system::product_name": "HVM domU",
        },
        dmi__chassis__asset_tag="OpenTelekomCloud",
    ),
    "SAP": rhsm(makers=VMWARE, dmi__chassis__asset_tag="SAP CCloud VM"),
    "Huawei": rhsm(
        makers={"dmi::system::manufacturer": "QEMU"},
        dmi__chassis__asset_tag="HUAWEICLOUD",
    ),
    "Hyper-V": rhsm(
        makers={
            "dmi::system::manufacturer": "Microsoft Corporation",
            "dmi::system::product_name": "Virtual Machine",
        },
        dmi__chassis__asset_tag="openstack compute",
    ),
}


@pytest.mark.parametrize("facts", TAGGED.values(), ids=TAGGED)
def test_an_instance_that_says_openstack_in_its_asset_tag_alone_goes_with_proof(
    stage: Stage, facts: Facts
) -> None:
    stage.terminated("tagged", uuid=UUID, facts=facts)
    goes(stage, "tagged")


def test_of_a_tagged_instance_without_a_trace_only_a_host_with_the_same_tag_is_a_witness(
    stage: Stage,
) -> None:
    facts = TAGGED["VIO"]
    stage.host("tagged", server=None, facts=facts, checked_in=9 * DAY.total_seconds())
    vanish(stage, UUID)
    stays(stage, "tagged")
    stage.host(
        "of-its-kind",
        uuid=OTHER,
        facts=rhsm(OTHER, VMWARE, dmi__chassis__asset_tag="OpenStack Nova"),
    )
    assert several_runs(stage) == {"tagged": "deleted"}
    assert "of-its-kind" in stage.left


@pytest.mark.parametrize(
    "makers",
    [
        VMWARE,
        {"dmi::system::manufacturer": "Dell Inc."},
        {"dmi::system::product_name": "KVM"},
    ],
)
def test_a_guest_whose_leading_source_names_another_maker_and_no_tag_is_not_asked_about(
    stage: Stage, makers: Any
) -> None:
    stage.terminated("foreign", uuid=UUID, facts={**rhsm(makers=makers), **ansible()})
    stays(stage, "foreign")
    assert stage.osp.count(UUID) == 0


# Facts that contradict a proven termination

DOUBTS: dict[str, Facts] = {
    "Ansible says NA": {**rhsm(), **ansible(role="NA")},
    "Ansible says host": {**rhsm(), **ansible(role="host")},
    "Facter says physical": {
        **rhsm(),
        **puppet(virtual="physical", is_virtual="false"),
    },
    "Salt says physical": {**rhsm(), **salt(virtual="physical")},
    "Chef says host": {**rhsm(), **chef(role="host")},
    "a word that nobody knows": {
        **rhsm(),
        **puppet(virtual="kubevirt", is_virtual="oui"),
    },
    "Ansible is of the time at VMware": {
        **rhsm(),
        **ansible(OTHER, vendor="VMware, Inc.", product="VMware7,1"),
    },
    "Puppet is of the time on metal": {
        **rhsm(),
        PUPPET: {
            "dmi::product::uuid": OTHER,
            "dmi::manufacturer": "Dell Inc.",
            "dmi::product::name": "PowerEdge R650",
            "is_virtual": "false",
            "virtual": "physical",
        },
    },
    "the DMI UUID is replaced": rhsm(
        dmi__system__uuid="c1a7f4a0-5d5b-4c55-9f0e-0a4a3a5a8c22"
    ),
    "the DMI UUID is no UUID": rhsm(dmi__system__uuid="Not Settable"),
    "ppc64le": {RHSM: {"virt::uuid": UUID, **GUEST, "uname::machine": "ppc64le"}},
    "ppc64le, published": {
        RHSM: {"virt::uuid": UUID, **GUEST, "osp::uuid": UUID, "osp::system_uuid": UUID}
    },
    "s390x, published": {
        RHSM: {**GUEST, "virt::host_type": "ibm_systemz", "osp::uuid": UUID}
    },
    "aarch64, published": {
        RHSM: {"virt::is_guest": "false", "osp::uuid": UUID, "osp::system_uuid": UUID}
    },
    "virt-what failed": {
        RHSM: {
            "virt::is_guest": "Unknown",
            "dmi::system::uuid": UUID.upper(),
            **OPENSTACK,
        }
    },
    "virt-what is blind": {
        RHSM: {
            "virt::is_guest": "false",
            "virt::host_type": "Not Applicable",
            "dmi::system::uuid": UUID.upper(),
            **OPENSTACK,
        }
    },
    "virt-what is missing, other bytes": {
        RHSM: {"dmi::system::uuid": swap_bytes(UUID).upper(), **NOVA}
    },
    "maker not present": rhsm(
        makers={
            "dmi::system::manufacturer": "Not Present",
            "dmi::system::product_name": "NA",
        }
    ),
}


@pytest.mark.parametrize("facts", DOUBTS.values(), ids=DOUBTS)
def test_a_proven_termination_goes_whatever_doubt_the_facts_leave(
    stage: Stage, facts: Facts
) -> None:
    stage.terminated("doubted", uuid=UUID, facts=facts)
    goes(stage, "doubted")


@pytest.mark.parametrize("facts", DOUBTS.values(), ids=DOUBTS)
def test_the_same_facts_keep_one_without_a_trace(
    stage: Stage, facts: Facts, request: Any
) -> None:
    """Where nothing is proven everything has to speak for it."""
    stage.host(
        "doubted",
        server=None,
        uuid=UUID,
        facts=facts,
        checked_in=9 * DAY.total_seconds(),
    )
    vanish(stage, UUID)
    agreeing = {
        "Ansible says NA",
        "a word that nobody knows",
        "the DMI UUID is no UUID",
    }
    if request.node.callspec.id in agreeing:
        assert several_runs(stage) == {"doubted": "deleted"}
    else:
        stays(stage, "doubted")


@pytest.mark.parametrize("facts", DOUBTS.values(), ids=DOUBTS)
def test_the_same_facts_keep_one_that_checked_in_since(
    stage: Stage, facts: Facts
) -> None:
    stage.terminated("doubted", uuid=UUID, facts=facts, ago=3 * DAY, checked_in=DAY)
    stays(stage, "doubted")


@pytest.mark.parametrize(
    "facts",
    [
        {**rhsm(), **ansible(OTHER, vendor="VMware, Inc.")},
        rhsm(dmi__system__uuid=OTHER.upper()),
        rhsm(dmi__system__uuid=swap_bytes(OTHER)),
        {**rhsm(), **salt(OTHER)},
        rhsm(osp__uuid=OTHER),
        {**rhsm(), **chef(OTHER)},
        {**rhsm(OTHER), **puppet()},
    ],
    ids=[
        "Ansible",
        "DMI",
        "DMI, swapped",
        "Salt",
        "published",
        "Chef",
        "RHSM, and Puppet names the dead one",
    ],
)
@pytest.mark.parametrize("status", ["ACTIVE", "SHUTOFF", "unknown"])
def test_a_record_that_also_names_an_instance_that_lives_or_is_unknown_stays(
    stage: Stage, facts: Facts, status: str
) -> None:
    stage.terminated("reborn", uuid=UUID, facts=facts)
    add_instance(
        stage.world,
        "second-life",
        OTHER,
        status="ACTIVE" if status == "unknown" else status,
    )
    if (
        status == "unknown"
    ):  # no list shows it, and the question about it is never answered
        stage.openstack.instances["RegionOne"].pop(OTHER)
        stage.osp.fail(f"{OTHER}|{swap_bytes(OTHER)}", 500)
        stage.terminated("neighbour")
        stage.run()
        assert "reborn" in stage.left
        stage.osp.faults.clear()
        assert stage.reasons()["reborn"] == "TERMINATED"
    else:
        stays(stage, "reborn")


@pytest.mark.parametrize(
    "more",
    [
        {"subscription": registration(3 * DAY.total_seconds(), hypervisor=True)},
        {"parameters": {"dmi_uuid_override": "c1a7f4a0-5d5b-4c55-9f0e-0a4a3a5a8c22"}},
    ],
    ids=["hypervisor", "override"],
)
def test_a_virt_who_or_a_fact_override_does_not_hold_a_proven_termination(
    stage: Stage, more: Any
) -> None:
    stage.terminated("nested", uuid=UUID, facts=rhsm(), **more)
    goes(stage, "nested")


def test_a_record_that_virt_who_named_goes_with_the_proof_of_its_own_uuid_and_a_compute_node_stays(
    stage: Stage,
) -> None:
    stage.terminated("virt-who-node", uuid=UUID, facts=rhsm())
    stage.satellite.add(
        Host(
            "virt-who-compute-7.example.com",
            subscription=registration(9e5, hypervisor=True),
        )
    )
    assert results(stage.run()) == {"virt-who-node": "deleted"}
    assert stage.left == {"witness", "virt-who-compute-7"}


@pytest.mark.parametrize(
    "facts",
    [
        ansible(role="NA"),
        puppet(virtual="physical", is_virtual="false"),
        {**ansible(), **salt(virtual="physical")},
    ],
    ids=["NA", "physical", "two sources"],
)
def test_on_a_plain_foreman_a_wrong_guest_fact_does_not_hold_a_proven_termination(
    stage: Stage, facts: Facts
) -> None:
    stage.satellite.katello = False
    stage.satellite.hosts.clear()
    recent = {"last_report": stamp(600)}
    stage.host(
        "witness2",
        facts=puppet(named_uuid("witness2")),
        subscription=None,
        record=recent,
    )
    old = {"last_report": stamp(3 * DAY.total_seconds())}
    stage.terminated("old", uuid=UUID, facts=facts, subscription=None, record=old)
    stage.host(
        "living", facts=puppet(named_uuid("living")), subscription=None, record=old
    )
    assert results(stage.run()) == {"old": "deleted"}
    assert stage.left == {"witness2", "living"}


# Signs of life


@pytest.mark.parametrize("proven", [True, False])
@pytest.mark.parametrize(
    "status",
    [{"failed": 1}, {"failed_restarts": 2}, {"failed": 3, "failed_restarts": 1}],
)
def test_a_report_that_failed_as_a_whole_is_not_a_sign_of_life(
    stage: Stage, status: dict[str, int], proven: bool
) -> None:
    """Ansible reports that it cannot reach a machine; Satellite shows that as its report."""
    reports = [report(timedelta(minutes=30), **status)]
    if proven:
        stage.terminated(
            "dead",
            uuid=UUID,
            ago=20 * DAY,
            checked_in=21 * DAY,
            facts=rhsm(),
            reports=reports,
        )
        goes(stage, "dead")
        return
    stage.host(
        "dead",
        server=None,
        uuid=UUID,
        facts=rhsm(),
        checked_in=21 * DAY.total_seconds(),
        reports=reports,
    )
    vanish(stage, UUID)
    assert several_runs(stage) == {"dead": "deleted"}
    assert stage.left == {"witness"}


@pytest.mark.parametrize(
    "reports",
    [
        [report(timedelta(minutes=30))],
        [report(timedelta(minutes=30), applied=1, failed=1)],
        [report(timedelta(minutes=30), skipped=4)],
        [report(2 * DAY), report(timedelta(minutes=30), failed=1)],
        [
            report(2 * DAY, applied=1),
            report(DAY, failed=1),
            report(timedelta(minutes=30), failed=1),
        ],
    ],
    ids=[
        "nothing to do",
        "failed in part",
        "skipped",
        "failed since",
        "failed twice since",
    ],
)
def test_a_machine_that_reported_by_itself_after_the_termination_stays(
    stage: Stage, reports: list[Report]
) -> None:
    stage.terminated(
        "living",
        uuid=UUID,
        ago=20 * DAY,
        checked_in=21 * DAY,
        facts=rhsm(),
        reports=reports,
    )
    stays(stage, "living")


def test_where_reports_cannot_be_read_the_last_report_counts(stage: Stage) -> None:
    stage.terminated(
        "unclear",
        uuid=UUID,
        ago=20 * DAY,
        checked_in=21 * DAY,
        facts=rhsm(),
        reports=[report(timedelta(minutes=30), failed=1)],
    )
    stays(stage, "unclear", login=limited(stage, *ROLE))


# Witnesses, and the scope


def test_the_witness_of_a_small_organization_may_be_a_host_of_another(
    stage: Stage,
) -> None:
    stage.satellite.organizations[7] = "Small"
    stage.archived("small", organization_id=7)
    stage.archived("large")
    assert several_runs(stage, organization=7) == {"small": "deleted"}
    assert stage.left == {"witness", "large"}


def test_the_witness_of_a_narrow_search_may_be_any_host(stage: Stage) -> None:
    stage.archived("web-1")
    stage.archived("db-1")
    assert several_runs(stage, search="name ~ web") == {"web-1": "deleted"}
    assert stage.left == {"witness", "db-1"}


def test_the_command_for_an_organization_says_the_same(stage: Stage, call: Any) -> None:
    stage.satellite.organizations[7] = "Small"
    stage.terminated("small", organization_id=7)
    stage.terminated("large")
    code, out, _ = call(
        "--config", stage.config(), "run", "--apply", "--organization", "Small"
    )
    assert (code, "1 of 1 records deleted" in out) == (0, True)
    assert stage.left == {"witness", "large"}


# Deletions that do not go through

ANSWERS: dict[str, tuple[int, Any]] = {
    "500": (
        500,
        {
            "error": {
                "message": "PG::ForeignKeyViolation: ERROR:  update or delete on table "
                '"hosts" violates',
                "class": "ActiveRecord::InvalidForeignKey",
            }
        },
    ),
    "409": (
        409,
        {
            "message": "Required lock is already taken by other running tasks.",
            "errors": ["lock"],
        },
    ),
    "410": (410, {"message": "Consumer has been deleted", "errors": ["gone"]}),
    "403": (
        403,
        {
            "error": {
                "message": "Access denied",
                "missing_permissions": ["destroy_hosts"],
            }
        },
    ),
    "504": (504, "<html>504 Gateway Time-out</html>"),
    "503": (503, "<html>starting</html>"),
    "422": (422, {"error": {"full_messages": ["Delete DNS record failed"]}}),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("bad", [1, 2])
def test_records_that_cannot_be_deleted_are_reported_and_hold_up_no_other(
    stage: Stage, answer: tuple[int, Any], bad: int
) -> None:
    for number in range(4):
        stage.terminated(f"old-{number}")
    for host_id in range(2, 2 + bad):
        stage.satellite.deletion_faults[host_id] = DeletionFault(*answer)
    first = results(stage.run())
    assert list(first.values()).count("deleted") == 4 - bad
    assert {first[f"old-{number}"] for number in range(bad)} <= {"failed", "unfinished"}
    stage.terminated("later")
    stage.now += HOUR
    order = stage.run()
    assert results(order)["later"] == "deleted"
    assert order[0].name == "later.example.com"  # what failed before comes last
    stage.satellite.deletion_faults.clear()
    stage.now += HOUR
    assert set(results(stage.run()).values()) == {"deleted"}
    assert stage.left == {"witness"}


LATE = {"at once": 0, "before the look": 1, "long after": 40}


@pytest.mark.parametrize("after", LATE.values(), ids=LATE)
@pytest.mark.parametrize(
    "answer",
    [
        (504, "<html>504 Gateway Time-out</html>"),
        (0, ""),
        (502, ""),
        (200, "<html>"),
        (500, "<html>puma was killed</html>"),
    ],
    ids=["504", "cut", "502", "200 without sense", "500 of a proxy"],
)
def test_a_deletion_whose_answer_was_lost_ends_as_what_it_was_and_can_be_restored(
    stage: Stage, call: Any, answer: tuple[int, Any], after: int
) -> None:
    stage.terminated("slow1")
    stage.terminated("fast1")
    stage.satellite.deletion_faults[2] = DeletionFault(
        *answer, effect=Effect.DELETED, after=after
    )
    assert results(stage.run()).items() >= {"fast1": "deleted"}.items()
    for _ in range(60):  # whatever is under way comes to its end
        stage.satellite.handle(stage.foreman.requests[0])
    stage.now += HOUR
    stage.run()
    with stage.journal() as journal:
        assert {row.name.split(".")[0]: row.result for row in journal.deletions()} == {
            "slow1": "deleted",
            "fast1": "deleted",
        }
    code, out, _ = call("--config", stage.config(), "restore", "slow1.example.com")
    assert (code, "restored slow1.example.com as host" in out) == (0, True)
    assert stage.left == {"witness", "slow1"}


def test_an_unfinished_deletion_can_be_restored_before_anybody_found_out(
    stage: Stage, call: Any
) -> None:
    stage.terminated("slow1")
    stage.satellite.deletion_faults[2] = DeletionFault(
        504, "", effect=Effect.DELETED, after=5
    )
    assert results(stage.run()) == {"slow1": "unfinished"}
    code, _, err = call("--config", stage.config(), "restore", "slow1.example.com")
    # It is still there.
    assert (code, "unfinished" in err, stage.left) == (
        65,
        True,
        {"witness", "slow1"},
    )
    for _ in range(6):
        stage.satellite.handle(stage.foreman.requests[0])
    assert stage.left == {"witness"}
    code, out, _ = call("--config", stage.config(), "restore", "slow1.example.com")
    assert (code, "restored slow1.example.com as host" in out) == (0, True)


def test_a_record_that_a_failed_deletion_only_unregistered_is_reported_and_tried_again(
    stage: Stage, call: Any
) -> None:
    stage.terminated("half")
    stage.host("neighbour")
    stage.satellite.stubborn.add(2)
    code, _, err = call("--config", stage.config(), "run", "--apply")
    assert (code, "half.example.com" in err, "perhaps unregistered" in err) == (
        1,
        True,
        True,
    )
    assert stage.satellite.hosts[2].subscription is None
    code, _, err = call("--config", stage.config(), "run", "--apply")
    assert (code, "half.example.com" in err) == (1, True)
    stage.satellite.stubborn.clear()
    assert call("--config", stage.config(), "run", "--apply")[0] == 0
    assert stage.left == {"witness", "neighbour"}


def test_a_candlepin_that_fails_for_one_consumer_holds_up_no_other(
    stage: Stage, call: Any
) -> None:
    for number in range(6):
        stage.terminated(f"old-{number}")
    stage.satellite.deletion_faults[3] = DeletionFault(
        500,
        {
            "error": {
                "message": (
                    "Katello::Resources::Candlepin::Consumer: 500 Internal Server Error "
                    '{"displayMessage":"Runtime Error"}'
                )
            }
        },
    )
    code, out, err = call("--config", stage.config(), "run", "--apply")
    assert (code, "5 of 6 records deleted" in out) == (1, True)
    assert "old-1.example.com" in err and "Candlepin answered 500" in err
    assert stage.left == {"witness", "old-1"}


def test_a_login_that_may_not_delete_ends_with_77_and_names_the_permission(
    stage: Stage, call: Any
) -> None:
    stage.terminated("old")
    login = limited(stage, "view_hosts", "view_facts", "view_params")
    code, _, err = call(
        "--config",
        stage.config(
            satellite={"url": login.url, "username": "limited", "password": "changeme"}
        ),
        "run",
        "--apply",
    )
    assert (code, "destroy_hosts" in err, stage.left) == (77, True, {"witness", "old"})


def test_a_run_that_sees_no_facts_does_not_forget_where_hosts_were_alive(
    stage: Stage,
) -> None:
    stage.archived("gone")
    hosts = list(stage.satellite.hosts.values())
    facts = [host.facts for host in hosts]
    for host in hosts:  # a filter on the role, or the setting excluded_facts
        host.facts = {}
    with pytest.raises(SatelliteError, match="none of 2 hosts shows a fact"):
        stage.plan()
    for host, values in zip(hosts, facts):
        host.facts = values
    assert several_runs(stage) == {"gone": "deleted"}


# Parameters that protect


def protect(stage: Stage, level: str, value: Any) -> None:
    """Set the parameter at one level."""
    {
        "organization": stage.satellite.organization_parameters.setdefault(1, {}),
        "location": stage.satellite.location_parameters.setdefault(2, {}),
        "global": stage.satellite.parameters,
        "host group": stage.satellite.hostgroup_parameters.setdefault(5, {}),
    }[level]["osp_cleanup_protect"] = value


@pytest.mark.parametrize("level", ["organization", "location", "global"])
@pytest.mark.parametrize("own", ["TRUE", None])
def test_a_protected_host_stays_whatever_a_host_group_says_and_without_view_params_all_stay(
    stage: Stage, level: str, own: Optional[str]
) -> None:
    stage.satellite.hostgroups[5] = "web"
    protect(stage, level, "true")
    protect(stage, "host group", "false")
    stage.terminated(
        "protected", parameters={"osp_cleanup_protect": own} if own else {}
    )
    stage.terminated("of-the-group", record={"hostgroup_id": 5})
    blind = limited(stage, "view_hosts", "view_facts", "destroy_hosts")
    assert several_runs(stage, login=blind) == {}
    assert stage.left == {"witness", "protected", "of-the-group"}
    assert results(stage.run(login=limited(stage, *ROLE))) == {
        "of-the-group": "deleted"
    }
    assert stage.left == {"witness", "protected"}


def test_without_view_params_the_run_ends_with_77_and_doctor_fails(
    stage: Stage, call: Any
) -> None:
    stage.terminated("old")
    # Such a login is shown these all the same.
    stage.satellite.parameters.update(first=1, second=2, third=3)
    limited(stage, "view_hosts", "view_facts", "destroy_hosts")
    config = stage.config(
        satellite={
            "url": stage.foreman.url,
            "username": "limited",
            "password": "changeme",
        }
    )
    code, _, err = call("--config", config, "run", "--apply")
    assert (code, "view_params" in err, stage.left) == (77, True, {"witness", "old"})
    code, out, err = call("--config", config, "doctor")
    assert code and "without view_params" in out + err


def test_restore_says_which_parameters_were_never_readable(
    stage: Stage, call: Any
) -> None:
    stage.terminated("old", parameters={"role": "web"})
    stage.run(
        Policy(max_fraction=1.0, protect_parameter=""),
        login=limited(stage, "view_hosts", "view_facts", "destroy_hosts"),
    )
    assert stage.left == {"witness"}
    code, out, _ = call("--config", stage.config(), "restore", "old.example.com")
    assert (code, "not restored: its parameters" in out, "view_params" in out) == (
        0,
        True,
        True,
    )


def test_restore_names_content_view_and_lifecycle_environment(
    stage: Stage, call: Any
) -> None:
    stage.terminated(
        "old",
        content={
            "content_view": {"id": 3, "name": "RHEL9"},
            "lifecycle_environment": {"id": 2, "name": "Production"},
        },
    )
    stage.run()
    code, out, _ = call("--config", stage.config(), "restore", "old.example.com")
    assert (code, "content view RHEL9, lifecycle environment Production" in out) == (
        0,
        True,
    )


# What people read


def explained(stage: Stage, call: Any, name: str) -> str:
    code, out, err = call("--config", stage.config(), "explain", f"{name}.example.com")
    assert (code, err) == (0, "")
    return str(out)


def test_explain_of_a_proven_termination_is_a_chain_from_what_was_seen_to_what_it_proves(
    stage: Stage, call: Any
) -> None:
    stage.terminated("old", uuid=UUID, facts=DOUBTS["virt-what failed"])
    lines = explained(stage, call, "old").splitlines()
    assert lines[0] == "old.example.com (id 2)"
    assert "does not say whether a guest" in lines[1] and "not a guest" not in lines[1]
    assert all(line.startswith("  ok   ") for line in lines[1:-1])
    assert any(
        f"{UUID} terminated " in line and "in prod/RegionOne" in line for line in lines
    )
    assert lines[-1] == "verdict: delete"


def test_explain_says_until_when_a_terminated_instance_waits(
    stage: Stage, call: Any
) -> None:
    stage.terminated("young", ago=HOUR, checked_in=2 * HOUR)
    out = explained(stage, call, "young")
    assert "one check-in interval (4h30m) has passed since" in out
    assert "; can go after " in out
    assert "  ok   host parameter osp_cleanup_protect does not protect it: " in out
    assert out.endswith(f"verdict: not deleted, {Reason.QUIET.value}\n")


def test_explain_names_the_twin_that_holds_a_record_and_what_it_did(
    stage: Stage, call: Any
) -> None:
    stage.terminated("app7", uuid=UUID, facts=rhsm())
    stage.host(
        "twin",
        server=None,
        facts=puppet(),
        subscription=None,
        record={"last_report": stamp(600)},
    )
    out = explained(stage, call, "app7")
    assert (
        "last sign of life of twin.example.com, which names the same instance," in out
    )
    assert "(report)" in out
    assert out.endswith(f"verdict: not deleted, {Reason.CHECKED_IN.value}\n")


def test_explain_says_what_an_absent_instance_lacks_and_what_would_let_it_go(
    stage: Stage, call: Any
) -> None:
    stage.vanished("elsewhere")
    out = explained(stage, call, "elsewhere")
    assert (
        "saw it alive in a region in scope; " in out
        and "policy.all_clouds_listed: true" in out
    )
    stage.archived("missing")
    stage.plan()
    out = explained(stage, call, "missing")
    assert "seen alive in prod/RegionOne" in out
    assert "missing in 1 run (3 needed), since " in out and "; can go after " in out
    assert out.endswith(f"verdict: not deleted, {Reason.GRACE.value}\n")


def test_explain_says_that_it_was_unregistered_and_does_not_say_never_registered(
    stage: Stage, call: Any
) -> None:
    stage.archived("unregistered", subscription=None, content={})
    out = explained(stage, call, "unregistered")
    stop = f"  stop registered: {Reason.NOT_REGISTERED.value}"
    assert out.splitlines()[-2:] == [
        stop,
        f"verdict: not deleted, {Reason.GRACE.value}",
    ]
    assert "never registered" not in out


def test_a_host_that_is_named_like_an_id_is_the_one_explained_and_run_alike(
    stage: Stage, call: Any
) -> None:
    stage.terminated("first")  # has the id 2
    stage.satellite.add(Host("2", facts=rhsm(), subscription=registration(9e5)))
    terminate(stage, "digits", UUID)
    code, out, _ = call("--config", stage.config(), "explain", "2")
    assert (code, out.splitlines()[0]) == (0, "2 (id 3)")
    assert (
        "2 is also the id of first.example.com; the host of that name is explained"
        in out
    )
    assert call("--config", stage.config(), "run", "--apply", "--host", "2")[0] == 0
    assert stage.left == {"witness", "first"}


@pytest.mark.parametrize(
    "search",
    [
        'last_checkin < "garbage"',
        "last_report > yesterdayish",
        "created_at < 3 colours",
    ],
)
def test_a_search_that_would_select_every_host_is_refused(
    stage: Stage, call: Any, search: str
) -> None:
    stage.terminated("old")
    code, _, err = call(
        "--config", stage.config(), "run", "--apply", "--search", search
    )
    assert (code, "--search" in err, stage.left) == (64, True, {"witness", "old"})


def test_a_redirect_is_reported_with_the_address_to_configure(
    stage: Stage, call: Any
) -> None:
    handle = stage.foreman.handle
    stage.foreman.handle = lambda request: handle(request)._replace(
        status=301,
        body="",
        headers={"Location": f"https://sat.example.com{request.path}"},
    )
    code, _, err = call("--config", stage.config(), "plan")
    assert code == 69
    assert "is redirected to https://sat.example.com; set satellite.url to that" in err


def test_doctor_names_facts_that_are_not_stored_and_the_dead_still_go(
    stage: Stage, call: Any
) -> None:
    for host in stage.satellite.hosts.values():
        host.facts = {RHSM: {"virt::uuid": named_uuid("witness"), **GUEST}}
    stage.satellite.settings["excluded_facts"] = ["dmi*"]
    stage.terminated("old", uuid=UUID, facts={RHSM: {"virt::uuid": UUID, **GUEST}})
    stage.vanished("off", facts={RHSM: {"virt::uuid": OTHER, **GUEST}})
    code, out, err = call("--config", stage.config(), "doctor")
    assert (
        code
        and "no maker (dmi::system::manufacturer" in out + err
        and "excluded_facts" in out + err
    )
    assert several_runs(stage) == {"old": "deleted"}
    assert stage.left == {"witness", "off"}


def test_where_candlepin_is_down_doctor_says_so_and_nothing_is_lost(
    stage: Stage, call: Any
) -> None:
    stage.terminated("old")
    stage.satellite.candlepin_down = True
    code, out, err = call("--config", stage.config(), "doctor")
    assert code and "Candlepin is failing" in out + err
    assert results(stage.run()) == {"old": "failed"}
    stage.satellite.candlepin_down = False
    assert results(stage.run()) == {"old": "deleted"}


# Regions that nobody asks


def scope_of(stage: Stage, *regions: str, **entry: Any) -> LocalChecker:
    """The checker for a clouds.yaml with these keys; it ignores no region of the catalog."""
    stage.use_cloud(**entry)
    return LocalChecker([CloudScope("prod", regions)])


REGIONS: dict[str, dict[str, Any]] = {
    "one name": {"region_name": "RegionOne"},
    "a list": {"region_name": ["RegionOne", "RegionTwo"]},
    "a text with commas": {"region_name": "RegionOne,RegionTwo"},
}


@pytest.mark.parametrize("entry", REGIONS.values(), ids=REGIONS)
def test_a_server_of_another_region_of_the_catalog_keeps_its_record_while_it_is_off(
    stage: Stage, entry: dict[str, Any]
) -> None:
    """Even where all clouds are said to be listed; a proven termination goes all the same."""
    for name, status in (("far-off", "SHUTOFF"), ("far-on", "ACTIVE")):
        uuid = stage.host(name, checked_in=9 * DAY.total_seconds(), server=status)
        stage.openstack.instances["RegionTwo"][uuid] = stage.openstack.instances[
            "RegionOne"
        ].pop(uuid)
    checker, policy = (
        scope_of(stage, **entry),
        Policy(max_fraction=1.0, all_clouds_listed=True),
    )
    checker.open()
    if checker.errors:  # openstacksdk 1.0 reads one region's name only, and says so
        assert several_runs(stage, policy, checker=checker) == {}
        assert stage.left == {"witness", "far-off", "far-on"}
    else:
        stays(stage, "far-off", "far-on", policy=policy, checker=checker)


def test_the_nova_that_an_override_names_is_the_one_whose_servers_live(
    stage: Stage,
) -> None:
    uuid = stage.host("far", checked_in=9 * DAY.total_seconds())
    stage.openstack.instances["RegionTwo"][uuid] = stage.openstack.instances[
        "RegionOne"
    ].pop(uuid)
    checker = scope_of(
        stage, compute_endpoint_override=f"{stage.osp.url}/compute/RegionTwo/v2.1"
    )
    assert stage.reasons(checker=checker)["far"] == "ALIVE"
    assert (
        several_runs(
            stage, Policy(max_fraction=1.0, all_clouds_listed=True), checker=checker
        )
        == {}
    )
    assert stage.left == {"witness", "far"}


def test_a_plan_names_the_region_that_is_not_asked(stage: Stage, call: Any) -> None:
    stage.vanished("missing")
    stage.use_cloud()
    config = stage.config(
        clouds=[{"cloud": "prod"}], policy={"all_clouds_listed": True}
    )
    code, out, _ = call("--config", config, "plan")
    assert (code, "the catalog also has RegionTwo" in out) == (0, True)
    assert Reason.UNLISTED_REGION.value in out


# The longest waits


@pytest.mark.parametrize("which", ["quiet", "silence", "grace"])
def test_waits_of_a_million_days_only_wait(stage: Stage, which: str) -> None:
    stage.archived("missing")
    stage.terminated(
        "dead",
        ago=20 * DAY,
        checked_in=21 * DAY,
        reports=[report(timedelta(minutes=30), failed=1)],
    )
    become = several_runs(
        stage, Policy(max_fraction=1.0, **{which: timedelta(days=10**6)})
    )
    assert become == (
        {"missing": "deleted"} if which == "quiet" else {"dead": "deleted"}
    )
