"""What the tests of faults get besides."""

from collections.abc import Iterator

import pytest
from conftest import Stage

pytest.register_assert_rewrite("faults.runs", "faults.scene", "faults.moves")

from .forked import Launcher  # noqa: E402
from .runs import Runs  # noqa: E402


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """Starts command lines in processes of their own."""
    launcher = Launcher()
    yield launcher
    launcher.close()


@pytest.fixture
def runs(stage: Stage, launcher: Launcher, request: pytest.FixtureRequest) -> Runs:
    """Runs of the kind that `of_each_kind` gives."""
    return Runs(stage, launcher, request.param)
