"""Whether the journal can be written, and whether others can read it or a password."""

import stat
from collections.abc import Iterator
from pathlib import Path

from foreman_hooks.cleanup.doctor.findings import Finding, fail, ok, warning
from foreman_hooks.cleanup.journal import Journal, JournalBusy, JournalError
from foreman_hooks.settings import Settings


def examine_files(settings: Settings) -> Iterator[Finding]:
    """Check the journal, and who can read it and the files that hold secrets."""
    yield _journal(settings.journal)
    for path in (settings.journal, *settings.secret_files):
        if readable_by_others(path):
            yield warning(
                f"{path} can be read or written by every user", f"chmod o-rwx {path}"
            )


def _journal(path: Path) -> Finding:
    try:
        with Journal.open(path) as journal:
            journal.check_writable()
    except JournalBusy as busy:
        return ok(f"journal {path} is in use", str(busy))
    except JournalError as error:
        return fail(str(error), "without a journal nothing is deleted")
    return ok(f"journal {path} can be written")


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
