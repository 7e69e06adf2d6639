"""The cloud that the live tests of this run share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from sandbox.satellite import Host, Satellite
from sandbox.world import guest_facts, registration

from .cloud import Cloud

DAY = 86400.0


def registered(satellite: Satellite, cloud: Cloud) -> None:
    """Add a silent host record for each instance of the cloud, also for those that are gone."""
    for label, uuid in cloud.instances.items():
        satellite.add(
            Host(
                f"{label.replace('/', '-')}.example.com",
                facts=guest_facts(uuid),
                parameters={},
                subscription=registration(300 * DAY),
            )
        )


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A real Keystone and Nova; a test may use every switch, since each test starts from normal.

    The very first run needs a package registry and 90 s.  If the cloud cannot be made, the tests
    fail instead of being skipped; otherwise nobody would notice that nothing is tested.  Databases
    and logs are under pytest's --basetemp, in cloud*/.
    """
    if os.environ.get("SATELLITE_OSP_CLEANUP_SKIP_LIVE") == "1":
        pytest.skip("SATELLITE_OSP_CLEANUP_SKIP_LIVE=1")
    with Cloud(tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture(autouse=True)
def _back_to_normal(request: pytest.FixtureRequest) -> Iterator[None]:
    """Reset the cloud after each test that used it."""
    yield
    if "cloud" in request.fixturenames:
        request.getfixturevalue("cloud").reset()
