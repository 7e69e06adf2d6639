"""Write a file at once or not at all."""

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path


def replace(path: Path, text: str, mode: int) -> None:
    """Put `text` (UTF-8) into the place of `path`, on the disk when this returns; raises OSError.

    The folder may be another user's: the name of the new file cannot be guessed, and no link is
    followed.  What is neither a file nor a link to one (/dev/stdout) stays.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file")
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
