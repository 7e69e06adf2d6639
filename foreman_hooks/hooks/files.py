"""Which files and folders there have to be, and what stands in them.  Pure: looks at nothing,
writes nothing.

Every file of ours says so in a line near its top, with a digest of all the others: so what an
administrator changed later is known, without a list of what was installed.
"""

import hashlib
import re
import shlex
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Optional

import jinja2

from foreman_hooks import paths
from foreman_hooks.paths import NAME

CONFIG, JOURNAL, LOG = str(paths.CONFIG), str(paths.JOURNAL), str(paths.LOG)
CRON, LOGROTATE = str(paths.CRON), str(paths.LOGROTATE)
SERVICE, TIMER = str(paths.SERVICE), str(paths.TIMER)
SHELLHOOK, FOREMAN_HOOKS = str(paths.SHELLHOOK), str(paths.FOREMAN_HOOKS)
_MARK = f"# Written by '{NAME} schedule install'; changed lines are noticed by sha256 "


class ScheduleError(Exception):
    """Something that cannot be installed or removed; says in one line what, and why."""

    exit_code = 78


@dataclass(frozen=True)
class Item:
    """A file, or a folder (`text` None), that has to be there with this mode.

    `once`: only where it is missing, since it is the administrator's from then on (`text`), or
    another's (folder). `owner` is a user and a group, "" for those of whoever installs.
    """

    path: str
    mode: int
    text: Optional[str] = None
    once: bool = False
    owner: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Choice:
    """What the administrator chose, and what depends on the machine.

    `command` is the program and its options before the command; `how` is cron or systemd; `apply`
    lets it delete; `host` spreads the minute; `journal` is the file; `rotated` says that somebody
    else rotates LOG; `hooks` is where foreman_hooks looks for scripts; `noted` says that events are
    noted already.
    """

    command: tuple[str, ...]
    host: str
    how: str = "cron"
    apply: bool = False
    journal: str = JOURNAL
    rotated: bool = False
    shellhook: bool = False
    hooks: Optional[str] = None
    noted: bool = False


class Origin(Enum):
    """Who wrote a file: we, we and then somebody changed it, or somebody else."""

    OURS = "ours"
    CHANGED = "changed"
    FOREIGN = "foreign"


def wanted(choice: Choice) -> list[Item]:
    """Everything that has to be there, folders before what is in them; raises ScheduleError."""
    for word in (*choice.command, choice.journal, choice.hooks or ""):
        if not word.isprintable():
            raise ScheduleError(f"{word!r} cannot stand in a file of cron or systemd")
    events, folder = _events(choice), str(PurePosixPath(choice.journal).parent)
    # where others leave notes of events they have to get through to the spool; the journal itself
    # is root's, 0600
    items = [
        Item(str(PurePosixPath(CONFIG).parent), 0o750),
        Item(folder, 0o711 if events or choice.noted else 0o700),
    ]
    if "--config" not in choice.command:
        items.append(Item(CONFIG, 0o640, _render("config.yml"), once=True))
    run = ("run", "--apply") if choice.apply else ("run",)
    if choice.how == "cron":
        items += _cron(choice, run)
    else:
        # in a command systemd expands variables as well: systemd.service(5)
        command = " ".join(
            _systemd_word(word).replace("$", "$$") for word in (*choice.command, *run)
        )
        items += [
            Item(
                SERVICE,
                0o644,
                seal(_render("service", command=command, journals=_systemd_word(folder))),
            ),
            Item(TIMER, 0o644, seal(_render("timer"))),
        ]
    return [*items, *events]


def _cron(choice: Choice, run: Sequence[str]) -> list[Item]:
    # cron takes a % for a line end, and hands the rest of the line over as standard input:
    # crontab(5)
    line = shlex.join((*choice.command, "--log-file", LOG, *run)).replace("%", "\\%")
    text = _render("cron", command=line, minute=minute(choice.host), config=CONFIG)
    items = [Item(str(PurePosixPath(LOG).parent), 0o750, once=True), Item(CRON, 0o644, seal(text))]
    return (
        items
        if choice.rotated
        else [*items, Item(LOGROTATE, 0o644, seal(_render("logrotate", log=LOG)))]
    )


def _events(choice: Choice) -> list[Item]:
    """The scripts that note events, and the spool for the notes, which belongs to the users that
    run them.
    """
    if not (choice.shellhook or choice.hooks):
        return []
    spool = spool_of(choice.journal)
    command = shlex.join((choice.command[0], "event", "--spool", spool))
    # smart_proxy runs a shellhook as foreman-proxy, Foreman a hook as foreman
    owner, group = (
        "foreman-proxy" if choice.shellhook else "foreman",
        "foreman" if choice.hooks else "foreman-proxy",
    )
    items = [Item(spool, 0o600 if owner == group else 0o660, "", once=True, owner=(owner, group))]
    if choice.shellhook:
        items.append(Item(SHELLHOOK, 0o755, seal(_render("shellhook", command=command))))
    for path in hook_paths(choice.hooks) if choice.hooks else ():
        items += [
            Item(str(PurePosixPath(path).parent), 0o755, once=True),
            Item(path, 0o755, seal(_render("foreman-hook", command=command))),
        ]
    return items


def spool_of(journal: str) -> str:
    """Where notes of events are left, as `events` has it."""
    return f"{journal}.events"


def hook_paths(folder: str) -> list[str]:
    """The scripts of foreman_hooks below `folder`: one an event, late in its order.

    Of Rails, not of orchestration (create, update, destroy): facts are imported without
    orchestration.
    """
    return [
        f"{folder.rstrip('/')}/host/managed/{event}/50-{NAME}"
        for event in ("after_create", "after_update", "after_destroy")
    ]


def unwanted(how: Optional[str]) -> list[str]:
    """The files of the other way to schedule; of both where `how` is None."""
    return [
        *([] if how == "cron" else [CRON, LOGROTATE]),
        *([] if how == "systemd" else [TIMER, SERVICE]),
    ]


def minute(host: str) -> int:
    """The minute of the hour: another one on another host, so that a cloud is not asked by all at
    once.
    """
    return zlib.crc32(host.encode()) % 60


def rotates(configuration: str, log: str = LOG) -> bool:
    """Whether this configuration of logrotate rotates that log: two that do are an error, and none
    is then read.

    Foreman's own names /var/log/foreman/*.log in some versions.
    """
    for word in re.findall(
        r"""^\s*["']?(/[^{\n]*?)["']?\s*(?=\{|$)""", configuration, re.MULTILINE
    ):
        if any(PurePosixPath(log).match(pattern.strip("\"'")) for pattern in word.split()):
            return True
    return False


# What stands in a file, and by whom


def seal(text: str) -> str:
    """The text with the line that says it is ours, below `#!` where there is one."""
    first, rest = text.split("\n", 1) if text.startswith("#!") else ("", text)
    line = f"{_MARK}{_digest(text)}\n"
    return f"{first}\n{line}{rest}" if first else f"{line}{rest}"


def origin(text: str) -> Origin:
    """Who wrote this text."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines[:2]):
        if line.startswith(_MARK):
            same = (
                _digest("".join(lines[:number] + lines[number + 1 :])) == line[len(_MARK) :].strip()
            )
            return Origin.OURS if same else Origin.CHANGED
    return Origin.FOREIGN


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _systemd_word(word: str) -> str:
    """A word as systemd reads it back: quoted, and no specifier (%) expanded."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{word}"' if re.search(r"""[\s"';\\]""", word) else word


def _render(name: str, **values: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )  # noqa: S701  no HTML
    return environment.get_template(f"{name}.j2").render(name=NAME, **values)
