"""Files that a command line names."""

from pathlib import Path

from foreman_hooks import files
from foreman_hooks.rules.plan import PlanError


def write_file(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a whole file or none; raises PlanError.  A plan that was cut would be refused, but only
    later.
    """
    try:
        files.replace(path, text, mode)
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from error


def read_file(path: Path) -> str:
    """A file's text; raises PlanError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from error
