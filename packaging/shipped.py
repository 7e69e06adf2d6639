"""Write the files of the RPM that the program renders: configuration and units of systemd.

`python packaging/shipped.py FOLDER`.  They are what `schedule install --systemd` would write, but
the units say where they come from.
"""

import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Optional

from foreman_hooks.hooks.schedule_files import UNITS, Choice, required_files
from foreman_hooks.hooks.timing import Timing
from foreman_hooks.paths import CONFIG, NAME, QUICK_TIMER, TIMER

HEAD = f"""\
# Part of the package, and not enabled.  This starts the full and the quick runs, which plan and
# report, and delete nothing:
#     systemctl enable --now {TIMER.name} {QUICK_TIMER.name}
# To let runs delete, call '{NAME} schedule install --systemd --apply': the units
# that it writes to {TIMER.parent} replace these.
"""
# The host's name, which 'schedule install' derives the minutes from, is not known here.
DELAYS = {TIMER.name: "15min", QUICK_TIMER.name: "4min"}


def shipped_files() -> dict[str, str]:
    """The names and contents of the files."""
    choice = Choice(
        command=(f"/usr/bin/{NAME}",),
        full=Timing(24 * 60, 0, 3),
        quick=Timing(10, 5),
        scheduler="systemd",
    )
    texts = {spec.path: spec.text or "" for spec in required_files(choice)}
    contents = {CONFIG.name: texts[CONFIG]}
    for unit in chain.from_iterable(UNITS.values()):
        _, body = texts[unit].split("\n", 1)  # without the seal of 'schedule install'
        contents[unit.name] = HEAD + body
    for name, delay in DELAYS.items():
        head = "[Timer]\n"
        assert head in contents[name]
        contents[name] = contents[name].replace(
            head, f"{head}RandomizedDelaySec={delay}\n"
        )
    return contents


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write the files into the folder that is the only argument; returns 0."""
    [folder] = sys.argv[1:] if argv is None else argv
    for name, content in shipped_files().items():
        Path(folder, name).write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
