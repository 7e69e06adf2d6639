"""Read and write the files that a command line names."""

from pathlib import Path

from foreman_hooks import files
from foreman_hooks.rules.plan import PlanError


def write_file(path: Path, text: str, mode: int = 0o600) -> None:
    """Write the whole file or nothing; raises PlanError.

    A plan that is cut off would be refused as well, but only when somebody wants to apply it.
    """
    try:
        files.replace(path, text, mode)
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from error


def read_file(path: Path) -> str:
    """The text of a file in UTF-8; raises PlanError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PlanError(f"{path}: not UTF-8") from error
