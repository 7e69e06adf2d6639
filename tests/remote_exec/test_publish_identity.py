"""A machine publishes its own instance, or nothing.

The script runs over real HTTP, with a temporary root folder and fake programs.
"""

import ast
import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest
from oldest_python import PYTHON_36, needs_python_36
from sandbox.server import Answer, Request, Server

from satellite_remote_exec.scripts import publish_identity

UUID = "78d7e200-b7d6-4cfe-b7a9-5700e8094df3"
SWAPPED = (
    "00e2d778-d6b7-fe4c-b7a9-5700e8094df3"  # the same machine in the other byte order
)
OTHER = "5f0c4b1e-9d2a-4c6b-8a37-2b1f0e9d8c7a"
HARDWARE = "4c4c4544-0042-3510-8052-b4c04f4d3132"
MAC = "3c:ec:ef:00:00:01"
SECRET = "s3cret"
NOVA = {
    "uuid": UUID,
    "project_id": "71f5edaa1c1d4ffb88406b608e052cb3",
    "availability_zone": "nova",
    "hostname": "web-1",
    "admin_pass": SECRET,
    "keys": [{"data": SECRET}],
    "meta": {"password": SECRET},
    "random_seed": SECRET,
    "public_keys": {"me": SECRET},
}
NETWORK = {
    "links": [
        {"type": "phy", "ethernet_mac_address": MAC.upper()},
        {"type": "bond"},
        "junk",
    ],
    "networks": [],
}
PUBLISHED = {
    "osp.uuid": UUID,
    "osp.system_uuid": UUID,
    "osp.project": NOVA["project_id"],
    "osp.availability_zone": "nova",
}
SOURCE = Path(publish_identity.__file__)


class Machine:
    """A root folder, a metadata service and the programs on PATH.

    It is a virtual instance until a method makes it something else.
    """

    def __init__(
        self,
        folder: Path,
        server: Server,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.folder, self.root, self.capsys = folder, folder / "root", capsys
        self.facts = self.root / "etc/rhsm/facts/osp.facts"
        self.answers: dict[str, Any] = {}
        self.server, self.service = server, server.url
        server.handle = self.handle
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
        monkeypatch.setattr(publish_identity, "TIMEOUT", 0.5)
        monkeypatch.setattr("tempfile.tempdir", str(folder))
        self.file("sys/class/dmi/id/product_uuid", UUID.upper() + "\n")
        self.file("sys/class/dmi/id/sys_vendor", "OpenStack Foundation\n")
        self.file("sys/class/dmi/id/product_name", "OpenStack Nova\n")
        self.file("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu hypervisor lm\n")
        self.program("subscription-manager")
        self.program("mount", f'for last; do :; done; cp -R {folder}/drive/. "$last"')
        self.program("umount", 'rm -rf "$1"/*')

    def handle(self, request: Request) -> Answer:
        folder, _, name = request.path.rpartition("/")
        body = self.answers.get(name)
        if body is None or folder != "/openstack/latest":
            return Answer(404, "not found")
        return body if isinstance(body, Answer) else Answer(200, body)

    def file(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def program(
        self, name: str, script: str = "", code: int = 0, folder: str = "bin"
    ) -> None:
        path = self.folder / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'#!/bin/sh\necho {name} "$@" >>{self.folder}/calls\n{script}\nexit {code}\n'
        )
        path.chmod(0o755)

    def serve(self, metadata: Any = NOVA, network: Any = None) -> "Machine":
        """Let the metadata service answer with this."""
        self.answers = {"meta_data.json": metadata, "network_data.json": network}
        return self

    def drive(
        self, metadata: Any = NOVA, network: Any = None, label: str = "config-2"
    ) -> "Machine":
        """Attach a config drive."""
        self.file(f"dev/disk/by-label/{label}", "")
        latest = self.folder / "drive/openstack/latest"
        latest.mkdir(parents=True)
        for name, value in (
            ("meta_data.json", metadata),
            ("network_data.json", network),
        ):
            if value is not None:
                (latest / name).write_text(
                    value if isinstance(value, str) else json.dumps(value)
                )
        return self

    def cloud_init(self, v1: Any, ds: Any) -> "Machine":
        """Let cloud-init have written this at boot."""
        self.file(
            "run/cloud-init/instance-data.json",
            json.dumps({"v1": v1, "ds": ds, "sensitive_keys": []}),
        )
        return self

    def metal(self, mac: str = MAC) -> "Machine":
        """Make it a physical server with one network interface."""
        self.file("sys/class/dmi/id/product_uuid", HARDWARE)
        self.file("sys/class/dmi/id/sys_vendor", "Dell Inc.")
        self.file("sys/class/dmi/id/product_name", "PowerEdge R640")
        self.file(
            "proc/cpuinfo", "flags\t: fpu vmx lm\nmodel name\t: some hypervisor\n"
        )
        self.file("sys/class/net/eno1/address", mac + "\n")
        self.file("sys/class/net/lo/address", "00:00:00:00:00:00\n")
        return self

    def run(self) -> tuple[int, str]:
        """Run the script: the exit code and what it printed; never a secret, no files left."""
        code = publish_identity.main(self.root, self.service)
        printed = self.capsys.readouterr()
        assert printed.err == ""
        assert printed.out.isascii()
        assert SECRET not in printed.out + (
            self.facts.read_text() if self.facts.exists() else ""
        )
        assert not [
            path
            for path in self.folder.rglob("*")
            if path.name.startswith((".osp-", "osp-identity-"))
        ]
        return code, printed.out

    @property
    def published(self) -> Any:
        """The facts in the file; None if there is no file."""
        return json.loads(self.facts.read_text()) if self.facts.exists() else None

    @property
    def calls(self) -> list[str]:
        """The programs that were called, with their arguments."""
        log = self.folder / "calls"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(lambda request: Answer(404)) as running:
        yield running


@pytest.fixture
def machine(
    tmp_path: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Machine:
    server.requests.clear()
    server.faults.clear()
    return Machine(tmp_path / "machine", server, monkeypatch, capsys)


# An instance publishes which one it is


def test_a_virtual_instance_publishes_what_the_metadata_service_says_and_uploads_it(
    machine: Machine,
) -> None:
    code, output = machine.serve().run()
    assert (code, machine.published) == (0, PUBLISHED)
    assert (
        output
        == f"published instance {UUID} in {machine.facts}\nuploaded to Satellite\n"
    )
    assert machine.facts.stat().st_mode & 0o777 == 0o644
    assert machine.calls == ["subscription-manager facts --update"]


@pytest.mark.parametrize(
    "firmware", [UUID, UUID.upper(), SWAPPED, f" {SWAPPED.upper()}\n"]
)
def test_the_firmwares_uuid_may_be_in_either_byte_order_and_case(
    machine: Machine, firmware: str
) -> None:
    machine.file("sys/class/dmi/id/product_uuid", firmware)
    assert machine.serve().run()[0] == 0
    assert machine.published == {
        **PUBLISHED,
        "osp.system_uuid": firmware.strip().lower(),
    }


@pytest.mark.parametrize("label", ["config-2", "CONFIG-2"])
def test_without_a_metadata_service_the_config_drive_is_read_and_unmounted(
    machine: Machine, label: str
) -> None:
    assert machine.drive(label=label).run()[0] == 0
    assert machine.published == PUBLISHED
    mount, umount, upload = machine.calls
    assert mount.startswith("mount -o ro,")
    assert f"{label} " in mount
    assert umount.split()[1] == mount.split()[-1]
    assert upload == "subscription-manager facts --update"


@pytest.mark.parametrize(
    ("v1", "ds"),
    [
        (
            {"platform": "openstack", "cloud_name": "openstack", "region": "RegionOne"},
            {
                "meta_data": {
                    "uuid": UUID,
                    "project_id": NOVA["project_id"],
                    "availability_zone": "nova",
                }
            },
        ),
        (
            {
                "cloud-name": "openstack",
                "region": "RegionOne",
                "availability_zone": "nova",
            },
            {"meta-data": {"instance-id": UUID, "project_id": NOVA["project_id"]}},
        ),
        (
            {
                "cloud_name": "openstack",
                "platform": "configdrive",
                "region": "RegionOne",
                "availability_zone": "nova",
            },
            {
                "meta_data": {
                    "instance_id": UUID,
                    "project_id": NOVA["project_id"],
                    "admin_pass": SECRET,
                }
            },
        ),
    ],
)
def test_without_both_cloud_init_is_read_in_any_of_its_formats(
    machine: Machine, v1: Any, ds: Any
) -> None:
    assert machine.cloud_init(v1, ds).run()[0] == 0
    assert machine.published == {**PUBLISHED, "osp.region": "RegionOne"}


def test_a_second_run_leaves_the_file_untouched_and_uploads_again(
    machine: Machine,
) -> None:
    """An earlier upload may have failed, and a registration discards all facts."""
    machine.serve().run()
    before = machine.facts.stat()
    code, output = machine.run()
    after = machine.facts.stat()
    assert (code, before.st_ino, before.st_mtime_ns) == (
        0,
        after.st_ino,
        after.st_mtime_ns,
    )
    assert output.startswith(f"already published: instance {UUID}")
    assert len(machine.calls) == 2


def test_a_changed_value_replaces_the_old_one(machine: Machine) -> None:
    machine.serve().run()
    machine.serve({**NOVA, "availability_zone": "az2"}).run()
    assert machine.published["osp.availability_zone"] == "az2"


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "x" * 256,
        "a\nb",
        "K\N{LATIN SMALL LETTER O WITH DIAERESIS}ln",
        7,
        None,
        ["nova"],
        {"a": 1},
        "\x1b[31m",
    ],
)
def test_a_field_that_is_not_short_plain_text_is_left_out(
    machine: Machine, junk: Any
) -> None:
    assert (
        machine.serve({**NOVA, "availability_zone": junk, "project_id": junk}).run()[0]
        == 0
    )
    assert machine.published == {"osp.uuid": UUID, "osp.system_uuid": UUID}


def test_neither_a_proxy_nor_a_redirect_can_answer_for_the_metadata_service(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(lambda request: Answer(200, NOVA)) as elsewhere:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, elsewhere.url)
        for status in (301, 302, 303, 307, 308):
            machine.serve(
                Answer(
                    status,
                    "",
                    {"Location": f"{elsewhere.url}/openstack/latest/meta_data.json"},
                )
            )
            assert machine.run()[0] == 69
        assert (machine.published, elsewhere.requests) == (None, [])


# Machines without SMBIOS, and one whose SMBIOS is not about the instance


def without_dmi(machine: Machine, cpuinfo: str = "processor\t: 0\n") -> Machine:
    """Take away everything that only x86 has."""
    shutil.rmtree(machine.root / "sys/class/dmi")
    machine.file("proc/cpuinfo", cpuinfo)
    return machine


SYSINFO = f"""Manufacturer:         IBM
LPAR UUID:            {OTHER}

VM00 Name:            instance
VM00 Control Program: KVM/Linux
VM00 UUID:            {UUID}
VM01 UUID:            {OTHER}
"""
ELSEWHERE = {
    "ppc64le on KVM": ("proc/device-tree/vm,uuid", UUID + "\0"),
    "ppc64le on PowerVM": ("proc/device-tree/ibm,partition-uuid", UUID + "\0"),
    "s390x": ("proc/sysinfo", SYSINFO),
    "Xen": ("sys/hypervisor/uuid", UUID + "\n"),
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_without_smbios_the_machines_uuid_is_found_elsewhere(
    machine: Machine, kind: str
) -> None:
    machine.file("sys/hypervisor/type", "xen\n" if kind == "Xen" else "")
    without_dmi(machine).serve().file(*ELSEWHERE[kind])
    assert machine.run()[0] == 0
    assert machine.published == PUBLISHED


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_without_smbios_a_guest_inside_an_instance_does_not_publish_the_one_around_it(
    machine: Machine, kind: str
) -> None:
    name, text = ELSEWHERE[kind]
    machine.file("sys/hypervisor/type", "xen\n" if kind == "Xen" else "")
    without_dmi(machine).serve({**NOVA, "uuid": HARDWARE}, NETWORK).file(name, text)
    machine.file("sys/class/net/eth0/address", MAC)
    code, output = machine.run()
    assert (code, machine.published) == (70, None)
    assert "a guest inside an instance?" in output


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("proc/device-tree/compatible", "linux,dummy-virt\0"),
        ("proc/sysinfo", "VM00 Name: ZVM1\n"),
        ("proc/device-tree/hypervisor", ""),
        ("proc/device-tree/vm,uuid", "junk"),
    ],
)
def test_without_a_uuid_the_message_says_where_it_was_looked_for(
    machine: Machine, name: str, text: str
) -> None:
    without_dmi(machine).serve(network=NETWORK).file(name, text)
    machine.file("sys/class/net/eth0/address", MAC)
    code, output = machine.run()
    assert (code, machine.published, output.count("\n")) == (70, None, 1)
    assert "no usable UUID" in output and "/proc/device-tree" in output


def test_the_uuid_of_smbios_counts_before_that_of_the_hypervisor(
    machine: Machine,
) -> None:
    machine.file("sys/hypervisor/uuid", OTHER)
    assert machine.serve().run()[0] == 0
    assert machine.published["osp.system_uuid"] == UUID


def vmware(machine: Machine, tag: str = "OpenStack Nova", mac: str = MAC) -> Machine:
    """Make it a guest of Nova on VMware, whose firmware has a UUID of the hypervisor."""
    for name, text in (
        ("product_uuid", HARDWARE),
        ("sys_vendor", "VMware, Inc."),
        ("chassis_asset_tag", tag),
        ("product_name", "VMware Virtual Platform"),
    ):
        machine.file(f"sys/class/dmi/id/{name}", text + "\n")
    machine.file("sys/class/net/ens192/address", mac + "\n")
    return machine


@pytest.mark.parametrize(
    "tag", ["OpenStack Nova", "SAP CCloud VM", "OpenTelekomCloud", "HUAWEICLOUD"]
)
def test_an_instance_that_only_the_asset_tag_reveals_is_known_by_its_network_interfaces(
    machine: Machine, tag: str
) -> None:
    assert vmware(machine, tag).serve(network=NETWORK).run()[0] == 0
    assert machine.published == {**PUBLISHED, "osp.system_uuid": HARDWARE}


def test_an_instance_that_only_the_asset_tag_reveals_may_have_its_uuid_in_the_firmware(
    machine: Machine,
) -> None:
    vmware(machine, mac="00:50:56:00:00:01").file("sys/class/dmi/id/product_uuid", UUID)
    assert machine.serve().run()[0] == 0
    assert machine.published == PUBLISHED


@pytest.mark.parametrize(
    ("tag", "mac", "reason"),
    [
        ("No Asset Tag", MAC, "a guest inside an instance?"),
        ("", MAC, "a guest inside an instance?"),
        ("OpenStack Nova", "00:50:56:00:00:01", "no network interface of this machine"),
    ],
)
def test_a_vmware_guest_is_an_instance_only_with_both_tag_and_interface(
    machine: Machine, tag: str, mac: str, reason: str
) -> None:
    code, output = vmware(machine, tag, mac).serve(network=NETWORK).run()
    assert (code, machine.published) == (70, None)
    assert reason in output


def test_a_vmware_guest_publishes_nothing_if_two_sources_disagree(
    machine: Machine,
) -> None:
    code, output = (
        vmware(machine)
        .serve(network=NETWORK)
        .drive({**NOVA, "uuid": OTHER}, NETWORK)
        .run()
    )
    assert (code, machine.published) == (70, None)
    assert UUID in output and OTHER in output


def test_the_firmware_of_nova_itself_has_to_name_the_instance_whatever_its_tag_says(
    machine: Machine,
) -> None:
    machine.file("sys/class/dmi/id/product_uuid", HARDWARE)
    machine.file("sys/class/dmi/id/chassis_asset_tag", "OpenStack Nova")
    machine.file("sys/class/net/eth0/address", MAC)
    assert machine.serve(network=NETWORK).run()[0] == 70
    assert machine.published is None


# A machine that is not an instance


def test_a_machine_that_no_source_calls_an_instance_is_left_alone(
    machine: Machine,
) -> None:
    """The metadata service of another cloud returns 404 for this path."""
    code, output = machine.run()
    assert (code, machine.published, machine.calls) == (0, None, [])
    assert output.startswith("not an OpenStack instance")
    assert output.count("\n") == 1


def test_a_machine_without_a_metadata_service_is_not_an_error(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        machine.service = f"http://127.0.0.1:{closed.getsockname()[1]}"
    assert machine.run()[0] == 0
    assert machine.published is None


@pytest.mark.parametrize(
    "v1",
    [{"platform": "ec2", "cloud_name": "aws"}, {"cloud_name": "nocloud"}, {}, None, []],
)
def test_what_cloud_init_says_about_another_cloud_is_ignored(
    machine: Machine, v1: Any
) -> None:
    assert machine.cloud_init(v1, {"meta_data": {"uuid": UUID}}).run()[0] == 0
    assert machine.published is None


def test_a_drive_without_the_metadata_of_openstack_is_ignored(machine: Machine) -> None:
    assert machine.drive(metadata=None).run()[0] == 0
    assert machine.published is None


# What cannot be shown to be this machine's is not published


def test_a_guest_inside_an_instance_does_not_publish_the_instance_around_it(
    machine: Machine,
) -> None:
    machine.file("sys/class/dmi/id/product_uuid", OTHER)
    code, output = machine.serve().run()
    assert (code, machine.published, machine.calls) == (70, None, [])
    assert UUID in output
    assert OTHER in output
    assert output.count("\n") == 1


def test_a_guest_with_its_own_config_drive_publishes_that_instance(
    machine: Machine,
) -> None:
    machine.file("sys/class/dmi/id/product_uuid", OTHER)
    assert machine.serve().drive({**NOVA, "uuid": OTHER}).run()[0] == 0
    assert machine.published["osp.uuid"] == OTHER


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("proc/cpuinfo", "flags : fpu hypervisor\n"),
        ("sys/hypervisor/type", "xen\n"),
        ("proc/device-tree/hypervisor", ""),
        *[
            ("sys/class/dmi/id/sys_vendor", maker)
            for maker in (
                "QEMU",
                "VMware, Inc.",
                "OpenStack Foundation",
                "Xen",
                "innotek GmbH",
                "Amazon EC2",
            )
        ],
        *[
            ("sys/class/dmi/id/product_name", product)
            for product in ("KVM", "OpenStack Compute", "Virtual Machine")
        ],
    ],
)
def test_one_sign_of_a_hypervisor_is_enough_to_require_the_firmwares_uuid(
    machine: Machine, name: str, text: str
) -> None:
    machine.metal().serve(network=NETWORK).file(name, text)
    assert machine.run()[0] == 70
    assert machine.published is None


def test_a_machine_that_cannot_be_examined_counts_as_virtual(machine: Machine) -> None:
    machine.metal().serve(network=NETWORK)
    (machine.root / "proc/cpuinfo").unlink()
    assert machine.run()[0] == 70
    assert machine.published is None


@pytest.mark.parametrize("source", ["service", "drive", "cloud-init"])
def test_an_instance_on_bare_metal_is_known_by_its_network_interfaces(
    machine: Machine, source: str
) -> None:
    """Ironic does not give the instance's UUID to the firmware."""
    machine.metal()
    if source == "service":
        machine.serve(network=NETWORK)
    elif source == "drive":
        machine.drive(network=NETWORK)
    else:
        machine.cloud_init(
            {"platform": "openstack"}, {"meta_data": NOVA, "network_json": NETWORK}
        )
    assert machine.run()[0] == 0
    assert machine.published == {**PUBLISHED, "osp.system_uuid": HARDWARE}


def test_facts_of_several_sources_are_merged_and_the_first_source_wins(
    machine: Machine,
) -> None:
    machine.metal().serve(network=NETWORK).cloud_init(
        {"platform": "openstack", "region": "RegionOne"},
        {"meta_data": {**NOVA, "availability_zone": "az2"}},
    )
    assert machine.run()[0] == 0
    assert machine.published == {
        **PUBLISHED,
        "osp.system_uuid": HARDWARE,
        "osp.region": "RegionOne",
    }


def test_an_interface_that_is_part_of_a_bond_is_known_by_its_own_address(
    machine: Machine,
) -> None:
    machine.metal(mac="3c:ec:ef:00:00:99").serve(network=NETWORK)
    machine.file("sys/class/net/eno1/bonding_slave/perm_hwaddr", MAC)
    assert machine.run()[0] == 0


@pytest.mark.parametrize(
    "network",
    [
        None,
        "<html>",
        [],
        {"links": None},
        {"links": [{"ethernet_mac_address": None}]},
        {"links": [{"ethernet_mac_address": "fa:16:3e:00:00:01"}]},
        {"links": [{"ethernet_mac_address": "00:00:00:00:00:00"}]},
    ],
)
@pytest.mark.parametrize("source", ["service", "drive"])
def test_a_copied_config_drive_or_a_borrowed_address_does_not_make_metal_an_instance(
    machine: Machine, source: str, network: Any
) -> None:
    machine.metal()
    code, output = (
        machine.serve(network=network)
        if source == "service"
        else machine.drive(network=network)
    ).run()
    assert (code, machine.published) == (70, None)
    assert "no network interface of this machine" in output


def test_a_node_whose_old_config_drive_is_still_there_publishes_nothing(
    machine: Machine,
) -> None:
    """It was deployed again: two sources name different instances, both with its interfaces."""
    code, output = (
        machine.metal()
        .serve(network=NETWORK)
        .drive({**NOVA, "uuid": OTHER}, NETWORK)
        .run()
    )
    assert (code, machine.published) == (70, None)
    assert UUID in output
    assert OTHER in output


@pytest.mark.parametrize(
    "firmware",
    [
        None,
        "",
        "Not Settable",
        "00000000-0000-0000-0000-000000000000",
        UUID[:-1],
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
    ],
)
@pytest.mark.parametrize("metal", [True, False])
def test_without_a_uuid_of_the_hardware_nothing_is_published(
    machine: Machine, metal: bool, firmware: Optional[str]
) -> None:
    """The facts could not be bound to the machine; some boards all have the same UUID."""
    machine = machine.metal() if metal else machine
    path = machine.serve(network=NETWORK).file(
        "sys/class/dmi/id/product_uuid", firmware or ""
    )
    if firmware is None:
        path.unlink()
    code, output = machine.run()
    assert (code, machine.published) == (70, None)
    assert "SMBIOS" in output


# What a disk image brought along

STALE = {"osp.uuid": OTHER, "osp.system_uuid": OTHER}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(STALE),
        json.dumps({"osp.uuid": UUID}),
        "",
        "{",
        "[]",
        "[" * 100000,
        json.dumps({"osp.system_uuid": 7}),
    ],
    ids=lambda text: text[:20],
)
def test_facts_of_another_machine_are_removed_from_one_that_is_not_an_instance(
    machine: Machine, text: str
) -> None:
    machine.file("etc/rhsm/facts/osp.facts", text)
    code, output = machine.run()
    assert (code, machine.published, machine.calls) == (
        0,
        None,
        ["subscription-manager facts --update"],
    )
    assert output.startswith(
        f"removed {machine.facts}: it was not published on this hardware\n"
    )


def test_facts_of_another_machine_are_removed_even_if_nothing_replaces_them(
    machine: Machine,
) -> None:
    machine.file("etc/rhsm/facts/osp.facts", json.dumps(STALE))
    machine.file("sys/class/dmi/id/product_uuid", HARDWARE)
    assert machine.serve().run()[0] == 70
    assert machine.published is None
    assert machine.calls == ["subscription-manager facts --update"]


def test_facts_of_another_machine_are_replaced_by_the_machines_own(
    machine: Machine,
) -> None:
    machine.file("etc/rhsm/facts/osp.facts", json.dumps(STALE))
    code, output = machine.serve().run()
    assert (code, machine.published) == (0, PUBLISHED)
    assert [line.split()[0] for line in output.splitlines()] == [
        "removed",
        "published",
        "uploaded",
    ]
    assert machine.calls == ["subscription-manager facts --update"]


def test_a_failed_upload_does_not_stop_the_facts_from_being_written(
    machine: Machine,
) -> None:
    machine.file("etc/rhsm/facts/osp.facts", json.dumps(STALE))
    machine.serve().program("subscription-manager", code=70)
    assert machine.run()[0] == 70
    assert machine.published == PUBLISHED


@pytest.mark.parametrize("bound", [UUID, SWAPPED])
def test_facts_of_this_machine_stay_while_no_source_answers(
    machine: Machine, bound: str
) -> None:
    machine.file(
        "etc/rhsm/facts/osp.facts", json.dumps({**PUBLISHED, "osp.system_uuid": bound})
    )
    assert machine.run()[0] == 0
    assert machine.published["osp.uuid"] == UUID


def test_facts_stay_if_the_hardware_has_no_uuid_to_compare_with(
    machine: Machine,
) -> None:
    machine.file("etc/rhsm/facts/osp.facts", json.dumps(STALE))
    machine.file("sys/class/dmi/id/product_uuid", "Not Settable")
    assert machine.run()[0] == 0
    assert machine.published == STALE


# Sources with invalid data

GARBAGE = {
    "HTML": "<html>Login</html>",
    "nothing": "",
    "a list": [NOVA],
    "a text": json.dumps("x"),
    "null": "null",
    "cut": json.dumps(NOVA)[:-5],
    "too much": json.dumps(NOVA).encode() + b" " * publish_identity.LIMIT,
    "deep JSON": b"[" * 200_000,
    "deep objects": b'{"a":' * 100_000,
    "no UTF-8": b'{"uuid": "\xff"}',
    "no UUID": {},
    "a number": {**NOVA, "uuid": 7},
    "an object": {**NOVA, "uuid": NOVA},
    "an EC2 id": {**NOVA, "uuid": "i-0abc"},
    "zeros": {**NOVA, "uuid": "00000000-0000-0000-0000-000000000000"},
    "two": {**NOVA, "uuid": f"{UUID},{OTHER}"},
    "more": {**NOVA, "uuid": f"{UUID}\nx"},
    "500": Answer(500, NOVA),
    "503": Answer(503, "busy"),
    "403": Answer(403, "no"),
    "a redirect": Answer(302, "", {"Location": "http://[bad"}),
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_an_invalid_response_is_reported_in_one_line(
    machine: Machine, garbage: str
) -> None:
    code, output = machine.serve(GARBAGE[garbage]).run()
    assert (code, machine.published, machine.calls) == (69, None, [])
    assert output.startswith("nothing published: ")
    assert output.count("\n") == 1


def test_a_metadata_service_that_fails_once_is_asked_again(machine: Machine) -> None:
    machine.server.fail("meta_data", 500, times=1)
    assert machine.serve().run()[0] == 0
    assert machine.published == PUBLISHED


def test_a_metadata_service_that_fails_is_asked_only_twice(machine: Machine) -> None:
    machine.server.fail("meta_data", reset=True)
    assert machine.serve().run()[0] == 69
    assert machine.server.count("meta_data") == 2


def test_after_an_invalid_response_another_source_counts(machine: Machine) -> None:
    assert machine.serve(Answer(500, "")).drive().run()[0] == 0
    assert machine.published == PUBLISHED


def test_a_service_that_never_answers_times_out(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish_identity, "TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        machine.service = f"http://127.0.0.1:{silent.getsockname()[1]}"
        code, output = machine.run()
    assert code == 69
    assert "gave no valid response" in output


def test_a_response_without_end_is_cut_off() -> None:
    class Endless:
        length, read = 10**9, 0

        def read1(self, size: int) -> bytes:
            self.read += size
            return b" " * size

    answer = Endless()
    with pytest.raises(publish_identity.Failed):
        publish_identity.body(answer)
    assert answer.read < 2 * publish_identity.LIMIT


def test_a_response_that_trickles_in_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Trickle:
        length = None

        def read1(self, size: int) -> bytes:
            return b" "

    monkeypatch.setattr(publish_identity, "TIMEOUT", -1)
    with pytest.raises(TimeoutError):
        publish_identity.body(Trickle())


@pytest.mark.parametrize(
    "garbage",
    ["<html>", "", "[]", json.dumps({"uuid": "x"}), "[" * 100000],
    ids=lambda text: text[:9],
)
def test_a_config_drive_with_invalid_data_is_still_unmounted(
    machine: Machine, garbage: str
) -> None:
    code, output = machine.drive(garbage).run()
    assert (code, machine.published) == (70, None)
    assert output.count("\n") == 1
    assert [call.split()[0] for call in machine.calls] == ["mount", "umount"]


def test_a_config_drive_that_cannot_be_mounted_is_reported(machine: Machine) -> None:
    machine.drive().program("mount", code=32)
    code, output = machine.run()
    assert (code, output) == (
        70,
        "nothing published: the config drive cannot be mounted\n",
    )


@pytest.mark.parametrize("program", ["mount", "umount"])
def test_without_the_programs_to_mount_a_config_drive_nothing_is_left_behind(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    machine.drive(metadata=None)
    (machine.folder / "bin" / program).unlink()
    machine.program("mount", code=0) if program == "umount" else None
    monkeypatch.setenv("PATH", str(machine.folder / "bin"))
    code, output = machine.run()
    assert (code, machine.published) == (0 if program == "umount" else 70, None)
    assert output.count("\n") == 1


def test_a_link_on_a_config_drive_leads_nowhere(machine: Machine) -> None:
    """It could name a file of the machine's own."""
    own = machine.file("etc/shadow", json.dumps(NOVA))
    machine.drive(metadata=None)
    (machine.folder / "drive/openstack/latest/meta_data.json").symlink_to(own)
    machine.program(
        "mount", f'for last; do :; done; cp -a {machine.folder}/drive/. "$last"'
    )
    assert machine.run()[0] == 70
    assert machine.published is None


# What can go wrong on the machine


def failing(
    monkeypatch: pytest.MonkeyPatch, where: str, number: int, path: str = ""
) -> None:
    """Let a call of the operating system fail, for paths that end in `path`."""
    module, name = where.split(".")
    true = getattr(sys.modules[module], name)

    def fail(*args: Any, **kwargs: Any) -> Any:
        if path and not str(args[0]).endswith(path):
            return true(*args, **kwargs)
        raise OSError(number, os.strerror(number), path or "/etc/rhsm/facts")

    monkeypatch.setattr(where, fail)


@pytest.mark.parametrize(
    ("where", "number", "path", "expected"),
    [
        ("os.open", errno.EACCES, "product_uuid", 77),
        ("tempfile.mkstemp", errno.EACCES, "", 77),
        ("os.open", errno.EIO, "product_uuid", 70),
        ("tempfile.mkstemp", errno.EROFS, "", 70),
        ("os.fsync", errno.ENOSPC, "", 70),
        ("os.fchmod", errno.EPERM, "", 77),
        ("os.open", errno.EIO, "osp.facts", 70),
    ],
)
def test_what_the_system_refuses_is_reported_in_one_line_and_leaves_nothing_behind(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    number: int,
    path: str,
    expected: int,
) -> None:
    failing(monkeypatch, where, number, path)
    code, output = machine.serve().run()
    assert (code, machine.published, machine.calls) == (expected, None, [])
    assert os.strerror(number) in output
    assert output.count("\n") == 1
    folder = machine.facts.parent
    assert not folder.exists() or not list(folder.iterdir())


def test_a_full_disk_leaves_the_old_facts_whole(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.serve().run()
    failing(monkeypatch, "os.fsync", errno.ENOSPC)
    assert machine.serve({**NOVA, "availability_zone": "az2"}).run()[0] == 70
    assert machine.published == PUBLISHED


@pytest.mark.parametrize(
    ("script", "code", "expected", "message"),
    [
        ("echo This system is not yet registered. Try --help", 1, 0, "not registered"),
        ("echo Unable to verify server identity", 70, 70, "exited with 70"),
        ("kill -9 $$", 0, 70, "exited with -9"),
    ],
)
def test_a_failed_upload_is_reported_and_the_facts_stay(
    machine: Machine, script: str, code: int, expected: int, message: str
) -> None:
    machine.serve().program("subscription-manager", script, code)
    exit_code, output = machine.run()
    assert exit_code == expected
    assert message in output
    assert machine.published == PUBLISHED


def test_an_upload_that_hangs_times_out(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish_identity, "UPLOAD_TIMEOUT", 0.05)
    machine.serve().program("subscription-manager", "exec tail -f /dev/null")
    code, output = machine.run()
    assert code == 70
    assert "did not end" in output


def test_subscription_manager_is_also_found_outside_of_path(machine: Machine) -> None:
    (machine.folder / "bin/subscription-manager").unlink()
    assert "subscription-manager is not installed" in machine.serve().run()[1]
    machine.program("subscription-manager", folder="root/usr/sbin")
    assert machine.run() == (
        0,
        f"already published: instance {UUID} in {machine.facts}\nuploaded to Satellite\n",
    )


# The text of the script, which travels inside a job template


def test_the_script_needs_only_ascii_and_the_standard_library() -> None:
    text = SOURCE.read_text(encoding="ascii")
    assert "<%" not in text
    assert "__name__ ==" not in text
    imported = set()
    for node in ast.walk(ast.parse(text, feature_version=(3, 6))):
        if isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).split(".")[0])
        elif isinstance(node, ast.Import):
            imported.update(alias.name.split(".")[0] for alias in node.names)
    assert imported <= {
        "collections",
        "contextlib",
        "http",
        "json",
        "os",
        "pathlib",
        "re",
        "shutil",
        "subprocess",
        "tempfile",
        "time",
        "typing",
        "urllib",
        "uuid",
    }


@needs_python_36
@pytest.mark.parametrize("kind", ["virtual", "metal", "garbage"])
def test_the_oldest_python_does_the_same(machine: Machine, kind: str) -> None:
    if kind == "virtual":
        machine.drive()
    elif kind == "metal":
        machine.metal().serve(network=NETWORK)
    else:
        machine.serve(GARBAGE["deep JSON"])
    call = (
        "import pathlib, runpy, sys; "
        "sys.exit(runpy.run_path(sys.argv[1])['main'](pathlib.Path(sys.argv[2]), sys.argv[3]))"
    )
    done = subprocess.run(
        [PYTHON_36, "-I", "-B", "-c", call, SOURCE, machine.root, machine.service],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    assert done.returncode == (69 if kind == "garbage" else 0), done.stdout
    assert (machine.published or {}).get("osp.uuid") == (
        None if kind == "garbage" else UUID
    )
