"""The figures of the long form, for the table in docs/."""

import json
import os
from pathlib import Path

SOAK = bool(os.environ.get("SOAK"))
SEED = int(os.environ.get("SOAK_SEED", "1"))


def note(test: str, hazard: str, tried: int) -> None:
    """Put the figures of a test on file, in the long form.

    `test`: its file in this folder, and its name.
    """
    path = os.environ.get("SOAK_FIGURES")
    if not SOAK or not path:
        return
    figures = {"hazard": hazard, "tried": tried, "wrong": 0, "lost": 0, "seed": SEED}
    line = json.dumps({**figures, "test": f"tests/faults/{test}"})
    with Path(path).open("a") as file:
        file.write(f"{line}\n")
