"""Write instances into Nova's databases, with Nova's own objects.

They look as if they had been booted, deleted, shelved and so on.  Runs in a fork of run_nova.py
that has read nova.conf.
"""

from __future__ import annotations

import datetime
import functools
import uuid as uuids
from typing import Any

from nova import context as contexts
from nova import objects
from nova.compute import power_state, vm_states
from nova.network.model import NetworkInfo
from oslo_utils import timeutils

# The fields that are empty in a build request, since no compute host knows the instance yet.
NOT_YET_KNOWN = [
    *(
        "access_ip_v4",
        "access_ip_v6",
        "deleted_at",
        "display_description",
        "ephemeral_key_uuid",
        "kernel_id",
    ),
    *(
        "launched_at",
        "locked_by",
        "node",
        "os_type",
        "ramdisk_id",
        "terminated_at",
        "trusted_certs",
        "updated_at",
    ),
]


def write(actions: list[dict[str, Any]]) -> None:
    """Carry out {"do": "add", …} and {"do": "terminate", …}.

    The other keys are the arguments of these functions.
    """
    for action in actions:
        if action.pop("do") == "add":
            add(**action)
        else:
            terminate(**action)


def add(
    cell: str | None,
    mapped: bool,
    request_spec: bool,
    queued_for_delete: bool,
    **looks: Any,
) -> None:
    """Put one instance into `cell`; None: a boot request for which no cell is chosen yet.

    `looks`: see `_instance`.  An instance that is not `mapped`, has no `request_spec` or is
    `queued_for_delete` is left over from an operation that failed or is unfinished.
    """
    admin = contexts.get_admin_context()
    if cell is None:
        instance = _instance(admin, **looks)
        _build_request(admin, instance)
    else:
        with contexts.target_cell(admin, _cells()[cell]) as targeted:
            instance = _instance(targeted, **looks)
            instance.create()
    if request_spec:
        _request_spec(admin, instance).create()
    if mapped:
        objects.InstanceMapping(
            admin,
            instance_uuid=instance.uuid,
            cell_mapping=_cells()[cell] if cell else None,
            project_id=instance.project_id,
            user_id=instance.user_id,
            queued_for_delete=queued_for_delete,
        ).create()


def terminate(uuid: str, when: str) -> None:
    """Delete the instance as nova-compute does at the end of a termination.

    `when`: the time of the termination, in ISO 8601 and UTC.
    """
    moment = datetime.datetime.fromisoformat(when)
    admin = contexts.get_admin_context()
    mapping = objects.InstanceMapping.get_by_instance_uuid(admin, uuid)
    # For updated_at and deleted_at.
    timeutils.set_time_override(moment.replace(tzinfo=None))
    try:
        with contexts.target_cell(admin, mapping.cell_mapping) as targeted:
            instance = objects.Instance.get_by_uuid(targeted, uuid)
            instance.vm_state = vm_states.DELETED
            instance.task_state = None
            instance.power_state = power_state.NOSTATE
            instance.terminated_at = moment
            instance.save()
            instance.destroy()
        mapping.queued_for_delete = True
        mapping.save()
    finally:
        timeutils.clear_time_override()


@functools.cache  # they do not change during a `write`, and then the process ends
def _cells() -> dict[str, Any]:
    return {
        mapping.name: mapping
        for mapping in objects.CellMappingList.get_all(contexts.get_admin_context())
    }


def _flavor() -> Any:
    return objects.Flavor(
        id=1,
        name="m1.live",
        memory_mb=2048,
        vcpus=1,
        root_gb=10,
        ephemeral_gb=0,
        flavorid="1",
        swap=0,
        rxtx_factor=1.0,
        vcpu_weight=1,
        disabled=False,
        is_public=True,
        extra_specs={},
        description=None,
        projects=[],
    )


def _instance(
    context: Any,
    uuid: str,
    name: str,
    project_id: str,
    user_id: str,
    vm_state: str,
    task_state: str | None,
    hidden: bool,
    on_a_host: bool,
    age_days: int,
    ever_saved: bool,
) -> Any:
    """An Instance that is not in the database yet, with every field that the compute API reads."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    host = "compute-1" if on_a_host else None
    flavor = _flavor()
    instance = objects.Instance(
        context,
        uuid=uuid,
        project_id=project_id,
        user_id=user_id,
        vm_state=vm_state,
        task_state=task_state,
        power_state=power_state.RUNNING
        if vm_state == vm_states.ACTIVE
        else power_state.SHUTDOWN,
        image_ref=str(uuids.UUID(int=7)),
        display_name=name,
        hostname=name,
        vcpus=flavor.vcpus,
        memory_mb=flavor.memory_mb,
        root_gb=flavor.root_gb,
        ephemeral_gb=flavor.ephemeral_gb,
        instance_type_id=flavor.id,
        reservation_id="r-" + uuid[:8],
        launch_index=0,
        host=host,
        launched_on=host,
        root_device_name="/dev/vda",
        config_drive="",
        auto_disk_config=False,
        locked=False,
        hidden=hidden,
        availability_zone="nova",
        key_name=None,
        user_data=None,
        progress=0,
        flavor=flavor,
        old_flavor=None,
        new_flavor=None,
        numa_topology=None,
        pci_requests=objects.InstancePCIRequests(requests=[]),
        metadata={},
        system_metadata={"image_base_image_ref": ""},
        info_cache=objects.InstanceInfoCache(
            context, instance_uuid=uuid, network_info=NetworkInfo()
        ),
        security_groups=objects.SecurityGroupList(objects=[]),
    )
    if vm_state == vm_states.BUILDING:
        instance.created_at = now
    else:
        instance.created_at = instance.launched_at = now - datetime.timedelta(
            days=age_days
        )
    if ever_saved:
        instance.updated_at = now
    if vm_state == vm_states.SOFT_DELETED:
        instance.deleted_at = now
    return instance


def _request_spec(admin: Any, instance: Any) -> Any:
    return objects.RequestSpec(
        admin,
        instance_uuid=instance.uuid,
        project_id=instance.project_id,
        user_id=instance.user_id,
        flavor=instance.flavor,
        image=objects.ImageMeta(
            id=instance.image_ref, properties=objects.ImageMetaProps()
        ),
        num_instances=1,
        numa_topology=None,
        pci_requests=objects.InstancePCIRequests(requests=[]),
        availability_zone="nova",
        ignore_hosts=None,
        force_hosts=None,
        force_nodes=None,
        requested_destination=None,
        retry=None,
        limits=None,
        instance_group=None,
        scheduler_hints={},
        security_groups=objects.SecurityGroupList(objects=[]),
        requested_networks=objects.NetworkRequestList(objects=[]),
    )


def _build_request(admin: Any, instance: Any) -> None:
    for field in NOT_YET_KNOWN:
        setattr(instance, field, None)
    instance.services = objects.ServiceList(objects=[])
    instance.keypairs = objects.KeyPairList(objects=[])
    instance.tags = objects.TagList(objects=[])
    objects.BuildRequest(
        admin,
        instance=instance,
        instance_uuid=instance.uuid,
        project_id=instance.project_id,
        tags=objects.TagList(objects=[]),
        block_device_mappings=objects.BlockDeviceMappingList(objects=[]),
    ).create()
