"""Is everything in place?  Each finding says what was checked, the result, and what to do."""

from collections.abc import Iterator

from foreman_hooks.cleanup.doctor.files import examine_files
from foreman_hooks.cleanup.doctor.findings import Finding, State
from foreman_hooks.cleanup.doctor.openstack import examine_openstack
from foreman_hooks.cleanup.doctor.policy import examine_policy
from foreman_hooks.cleanup.doctor.satellite import examine_satellite
from foreman_hooks.settings import Settings

__all__ = ["Finding", "State", "examine"]


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield each finding at once: about files, Satellite, policy, clouds and regions."""
    yield from examine_files(settings)
    yield from examine_satellite(settings)
    yield from examine_policy(settings.policy)
    yield from examine_openstack(settings)
