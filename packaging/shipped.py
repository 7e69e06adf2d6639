"""Write the files of the RPM that the program renders: configuration and units of systemd.

`python packaging/shipped.py FOLDER`.  They are what `schedule install --systemd` would write, but
the units say where they come from.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from foreman_hooks.hooks.schedule_files import Choice, required_files
from foreman_hooks.hooks.timing import Timing
from foreman_hooks.paths import CONFIG, NAME, SERVICE, TIMER

HEAD = f"""\
# Part of the package, and not enabled.  'systemctl enable --now {TIMER.name}' starts
# it: then a run plans and reports every hour, and deletes nothing.  To let runs delete, call
# '{NAME} schedule install --systemd --apply': the units that it writes to
# {TIMER.parent} replace these.
"""


def shipped_files() -> dict[str, str]:
    """The names and contents of the files."""
    choice = Choice(
        command=(f"/usr/bin/{NAME}",), timing=Timing(1, 0), scheduler="systemd"
    )
    texts = {spec.path: spec.text or "" for spec in required_files(choice)}
    contents = {CONFIG.name: texts[CONFIG]}
    for unit in (SERVICE, TIMER):
        _, body = texts[unit].split("\n", 1)  # without the seal of 'schedule install'
        contents[unit.name] = HEAD + body
    # The host's name, which 'schedule install' derives the minute from, is not known here.
    timer = contents[TIMER.name]
    assert "Persistent=true\n" in timer
    contents[TIMER.name] = timer.replace(
        "Persistent=true\n", "Persistent=true\nRandomizedDelaySec=15min\n"
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
