"""Replace a file as a whole: a failure leaves the old file."""

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path


def replace(path: Path, text: str, mode: int) -> None:
    """Replace a file with this text (UTF-8) and exactly this mode, whatever the umask.

    The file is on the disk when this returns.  Raises OSError, and then leaves the old file; also
    if the path is neither a file nor a link to one (/dev/stdout).  The folder may belong to another
    user: the name of the temporary file cannot be guessed, and no link is followed.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file")
    # The name begins with a dot, so cron and others ignore the temporary file.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
