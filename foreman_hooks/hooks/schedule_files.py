"""Which files and folders a schedule needs, and what they contain.

Pure: does not look at the machine and writes nothing.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Optional

import jinja2

from foreman_hooks.hooks.seal import seal
from foreman_hooks.hooks.timing import Timing
from foreman_hooks.paths import (
    CONFIG,
    CRON,
    JOURNAL,
    LOG,
    LOGROTATE,
    NAME,
    QUICK_SERVICE,
    QUICK_TIMER,
    SATELLITE_CA,
    SERVICE,
    SHELLHOOK,
    TIMER,
    spool_of,
)
from foreman_hooks.rules.plan import Kind


class Units(NamedTuple):
    """The timer of systemd that starts the runs of one kind, and the service that runs them."""

    timer: Path
    service: Path


UNITS = {
    Kind.FULL: Units(TIMER, SERVICE),
    Kind.QUICK: Units(QUICK_TIMER, QUICK_SERVICE),
}
# The files of each way to schedule; the one that runs us comes first.
SCHEDULER_FILES = {
    "cron": (CRON, LOGROTATE),
    "systemd": (TIMER, SERVICE, QUICK_TIMER, QUICK_SERVICE),
}


class ScheduleError(Exception):
    """Something that cannot be installed or removed; the message is one line."""

    exit_code = 78


class ScheduleForbidden(ScheduleError):
    """Installing or removing needs the rights of root."""

    exit_code = 77


class Owner(NamedTuple):
    """The user and the group that a file has to belong to, by name."""

    user: str
    group: str


@dataclass(frozen=True)
class FileSpec:
    """A file, or a folder (`text` is None), that has to exist with this mode.

    `keep_existing`: it is only created, never changed: a file then belongs to the administrator,
    and a folder is not ours.  `owner` is None for a file that belongs to the user who installs.
    """

    path: Path
    mode: int
    text: Optional[str] = None
    keep_existing: bool = False
    owner: Optional[Owner] = None

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder and not a file."""
        return self.text is None


@dataclass(frozen=True)
class Choice:
    """What the administrator chose, and facts of the machine that matter for the files.

    `command` is our program with its options, without a command.  `full`, `quick`: when these runs
    start; None: there are no quick runs.  `scheduler` is "cron" or "systemd".  `apply` lets a run
    delete.  `log_is_rotated`: another configuration of logrotate
    rotates LOG already.  `shellhook` asks for a shellhook, and `foreman_hooks`, a folder, for the
    scripts of foreman_hooks.  `spool_exists`: events leave notes already.
    """

    command: tuple[str, ...]
    full: Timing
    scheduler: str = "cron"
    quick: Optional[Timing] = None
    apply: bool = False
    journal: Path = JOURNAL
    log_is_rotated: bool = False
    shellhook: bool = False
    foreman_hooks: Optional[Path] = None
    spool_exists: bool = False

    @property
    def notes_events(self) -> bool:
        """Whether scripts that note events are to be installed."""
        return self.shellhook or self.foreman_hooks is not None

    @property
    def timings(self) -> dict[Kind, Timing]:
        """When the runs of each kind start."""
        timings = {Kind.FULL: self.full}
        if self.quick:
            timings[Kind.QUICK] = self.quick
        return timings

    def run_command(self, kind: Kind) -> tuple[str, ...]:
        """The command that a schedule runs: a full or a quick run."""
        words = ["run"]
        if kind is Kind.QUICK:
            words.append("--recent")
        if self.apply:
            words.append("--apply")
        return (*words, "--news")


def required_files(choice: Choice) -> list[FileSpec]:
    """Return everything that has to exist, folders before their contents; raises ScheduleError."""
    _check_printable(choice)
    specs = _folders(choice)
    if "--config" not in choice.command:
        specs.append(_example_configuration())
    if choice.scheduler == "cron":
        specs += _cron_files(choice)
    else:
        specs += _systemd_files(choice)
    return specs + _event_files(choice)


def hook_scripts(folder: Path) -> list[Path]:
    """Return the paths of our scripts for foreman_hooks below its folder, one for each event.

    The number puts them late in its order.  The events are those of Rails, not those of
    orchestration (create, update, destroy): facts are imported without orchestration.
    """
    events = ("after_create", "after_update", "after_destroy")
    return [folder / "host" / "managed" / event / f"50-{NAME}" for event in events]


def _check_printable(choice: Choice) -> None:
    words = [*choice.command, str(choice.journal)]
    if choice.foreman_hooks:
        words.append(str(choice.foreman_hooks))
    for word in words:
        if not word.isprintable():
            raise ScheduleError(
                f"{word!r} cannot be written into a file of cron or systemd"
            )


def _folders(choice: Choice) -> list[FileSpec]:
    # The users that run the events need to reach the spool in the journal's folder.  The
    # journal itself is for root alone (0600).
    journal_mode = 0o700
    if choice.notes_events or choice.spool_exists:
        journal_mode = 0o711
    return [
        FileSpec(CONFIG.parent, 0o750),
        FileSpec(choice.journal.parent, journal_mode),
    ]


def _example_configuration() -> FileSpec:
    text = _render(
        "config.yml",
        satellite_ca=SATELLITE_CA,
        token=CONFIG.with_name("token"),
        journal=JOURNAL,
    )
    return FileSpec(CONFIG, 0o640, text, keep_existing=True)


# cron and systemd


class _Job(NamedTuple):
    """What the templates need to know of the runs of one kind."""

    kind: Kind
    timing: Timing
    command: str


def _cron_files(choice: Choice) -> list[FileSpec]:
    jobs = []
    for kind, timing in choice.timings.items():
        words = [
            *choice.command,
            "--log-file",
            str(LOG),
            *choice.run_command(kind),
        ]
        # crontab(5): an unescaped % ends the line, and what follows becomes standard input.
        command = shlex.join(words).replace("%", "\\%")
        jobs.append(_Job(kind, timing, command))
    job = _render("cron", jobs=jobs)
    specs = [
        FileSpec(LOG.parent, 0o750, keep_existing=True),
        FileSpec(CRON, 0o644, seal(job)),
    ]
    if not choice.log_is_rotated:
        rotation = _render("logrotate", log=LOG)
        specs.append(FileSpec(LOGROTATE, 0o644, seal(rotation)))
    return specs


def _systemd_files(choice: Choice) -> list[FileSpec]:
    folder = _systemd_word(str(choice.journal.parent))
    specs = []
    for kind, timing in choice.timings.items():
        words = [*choice.command, *choice.run_command(kind)]
        # systemd.service(5): variables are expanded in a command as well.
        command = " ".join(map(_systemd_word, words)).replace("$", "$$")
        job = _Job(kind, timing, command)
        service = _render("service", job=job, journal_folder=folder)
        timer = _render("timer", job=job)
        units = UNITS[kind]
        specs.append(FileSpec(units.service, 0o644, seal(service)))
        specs.append(FileSpec(units.timer, 0o644, seal(timer)))
    return specs


def _systemd_word(word: str) -> str:
    """Quote a word so that systemd reads it back unchanged and expands no specifier (%)."""
    for special, escaped in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%")):
        word = word.replace(special, escaped)
    if re.search(r"""[\s"';\\]""", word):
        return f'"{word}"'
    return word


# Foreman's events


def _event_files(choice: Choice) -> list[FileSpec]:
    """Return the scripts that note events, and the spool, which their users have to own."""
    if not choice.notes_events:
        return []
    spool = spool_of(choice.journal)
    program = choice.command[0]
    command = shlex.join([program, "event", "--spool", str(spool)])
    specs = [_spool(choice, spool)]
    if choice.shellhook:
        script = _render("shellhook", command=command)
        specs.append(FileSpec(SHELLHOOK, 0o755, seal(script)))
    if choice.foreman_hooks:
        script = _render("foreman-hook", command=command)
        for path in hook_scripts(choice.foreman_hooks):
            specs.append(FileSpec(path.parent, 0o755, keep_existing=True))
            specs.append(FileSpec(path, 0o755, seal(script)))
    return specs


def _spool(choice: Choice, spool: Path) -> FileSpec:
    # smart-proxy runs a shellhook as foreman-proxy; Foreman runs a hook as foreman.
    owner, mode = Owner("foreman-proxy", "foreman-proxy"), 0o600
    if choice.foreman_hooks:
        owner = Owner("foreman", "foreman")
    if choice.foreman_hooks and choice.shellhook:
        owner, mode = Owner("foreman-proxy", "foreman"), 0o660
    return FileSpec(spool, mode, "", keep_existing=True, owner=owner)


def _render(name: str, **values: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # not HTML
    )
    template = environment.get_template(f"{name}.j2")
    return template.render(name=NAME, **values)
