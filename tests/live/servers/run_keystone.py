"""Serve Keystone.

Arguments: its folder (with keystone.conf), the number of the listening socket, and the base name of
the log.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import serving
from faults import Faults


def main(folder: str, listener: str, log: str) -> None:
    """Say "ready" on stdout once Keystone answers, and serve until stopped."""
    serving.die_with_parent()
    answers = serving.claim_stdout()
    os.environ["OS_KEYSTONE_CONFIG_DIR"] = folder

    def load() -> Any:
        # Keystone parses it, even if another program serves it.
        sys.argv = ["keystone"]
        from keystone.wsgi.api import application

        return Faults(application, Path(folder) / "fault.json")

    serving.serve(load, int(listener), log, ready=lambda: print("ready", file=answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
