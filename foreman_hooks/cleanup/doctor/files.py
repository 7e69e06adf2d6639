"""The configuration, the journal, files that others can read, and the hooks in hooks.d."""

import stat
from collections.abc import Iterator
from pathlib import Path

from foreman_hooks.cleanup.doctor.findings import Finding, fail, ok, warning
from foreman_hooks.cleanup.journal import Journal, JournalBusy, JournalError
from foreman_hooks.hooks.hooks_d import find_hooks
from foreman_hooks.paths import CONFIG
from foreman_hooks.settings import Settings

REPAIR_HOOK = (
    "a hook must be an executable file of root that only root can write, in a folder of root that "
    "only root can write: chown root:root, chmod 755; move away what is not a hook"
)


def examine_files(settings: Settings) -> Iterator[Finding]:
    """Name the configuration; check the journal, secrets that others can read, and hooks.d."""
    yield _configuration(settings)
    yield _journal(settings.journal)
    yield from _hooks()
    for path in (settings.journal, *settings.secret_files):
        if readable_by_others(path):
            yield warning(
                f"{path} can be read or written by every user", f"chmod o-rwx {path}"
            )


def _configuration(settings: Settings) -> Finding:
    own_file = settings.file or f"no {CONFIG}, so the defaults count"
    hammer_files = ", ".join(map(str, settings.hammer_files)) or "none"
    return ok(f"configuration: {own_file}; hammer's files: {hammer_files}")


def _journal(path: Path) -> Finding:
    try:
        with Journal.open(path) as journal:
            journal.check_writable()
    except JournalBusy as busy:
        return ok(f"journal {path} is in use", str(busy))
    except JournalError as error:
        return fail(str(error), "without a journal nothing is deleted")
    return ok(f"journal {path} can be written")


def _hooks() -> Iterator[Finding]:
    """The hooks that are run, and the files that are not; nothing if the site has none."""
    hooks = find_hooks()
    names = ", ".join(path.name for path in hooks.paths) or "none"
    what = f"hooks that run after each deletion: {names}"
    if hooks.refused:
        yield warning("; ".join((what, *hooks.refused)), REPAIR_HOOK)
    elif hooks.paths:
        yield ok(what)


def readable_by_others(path: Path) -> bool:
    """Whether users other than its owner and its group can read or write a file.

    False if there is no file, or if one of its folders is closed to them.
    """
    try:
        real = path.resolve()
        mode = real.stat().st_mode
        if not mode & (stat.S_IROTH | stat.S_IWOTH):
            return False
        return all(folder.stat().st_mode & stat.S_IXOTH for folder in real.parents)
    except (OSError, RuntimeError):  # RuntimeError: a loop of links
        return False
