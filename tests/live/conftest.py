"""The cloud that the live tests of this run share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from .cloud import Cloud


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A real Keystone and Nova; a test finds every switch in its normal position and may move it.

    The first run ever needs a package registry and 90 s; a cloud that cannot be made is a failure, not a skip,
    lest nobody notice that nothing is tested.  Databases and logs are under pytest's --basetemp, in cloud*/.
    """
    if os.environ.get("SATELLITE_OSP_CLEANUP_SKIP_LIVE") == "1":
        pytest.skip("SATELLITE_OSP_CLEANUP_SKIP_LIVE=1")
    with Cloud(tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture(autouse=True)
def _back_to_normal(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test that used the cloud: every switch back, what it added gone."""
    yield
    if "cloud" in request.fixturenames:
        request.getfixturevalue("cloud").reset()
