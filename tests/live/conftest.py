"""The cloud that the live tests of this run share."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sandbox.satellite import Host, Satellite
from sandbox.world import guest_facts, registration

from foreman_hooks.osp_checker import Region

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


def between_pages(
    region: Region, pattern: str, action: Callable[[], None]
) -> list[str]:
    """Do it once after the first page of a list; returns the requests for its pages."""
    pages: list[str] = []
    once = threading.Lock()

    def after(response: Any, *_: object, **__: object) -> None:
        if not re.search(pattern, response.url):
            return
        pages.append(response.url)
        if response.ok and once.acquire(blocking=False):
            action()

    region.nova.session.session.hooks["response"].append(after)
    return pages


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
