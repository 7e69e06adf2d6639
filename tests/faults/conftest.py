"""What the tests of faults get besides."""

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("faults.runs", "faults.scene", "faults.moves")

from .forked import Launcher  # noqa: E402


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """Starts command lines in processes of their own."""
    launcher = Launcher()
    yield launcher
    launcher.close()
