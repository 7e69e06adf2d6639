"""The maintenance mode of foreman-maintain: while it is on, Satellite is being worked on.

No run may start then.  foreman-maintain recognizes its mode by a table of the packet filter, or, if
nftables is not installed, by a chain of iptables (definitions/features/nftables.rb and iptables.rb,
feature(:instance).firewall).  No file shows the mode: /var/lib/foreman-maintain/data.yml holds sync
plans only.  foreman-maintain stops crond but not the timers of others, and it leaves loopback open,
so a run under systemd would continue.

`foreman-maintain maintenance-mode is-enabled` (0: on, 1: off, or a failure) takes seconds to load;
the packet filter answers in milliseconds.
"""

import logging
import os
import shutil
import subprocess
from typing import Optional

from foreman_hooks.errors import TRY_AGAIN

log = logging.getLogger(__name__)

TABLE = "FOREMAN_MAINTAIN_TABLE"
CHAIN = "FOREMAN_MAINTAIN"
SBIN = ("/usr/sbin", "/sbin")  # not on the PATH of every user
SECONDS = 10  # for one call of nft or iptables


class MaintenanceMode(Exception):
    """The maintenance mode of foreman-maintain is on."""

    exit_code = TRY_AGAIN


def refuse() -> None:
    """Raise MaintenanceMode while the mode is on; do nothing if that cannot be known."""
    if is_on(*look()):
        raise MaintenanceMode(
            "foreman-maintain's maintenance mode is on; nothing was checked and nothing deleted"
        )


def is_on(tables: Optional[str], has_chain: bool) -> bool:
    """Whether maintenance mode is on.

    `tables` is what `nft list tables` printed; None if nft is missing or has no permission.
    `has_chain`: iptables knows the chain.  If nftables is installed, it alone decides, as it does
    for foreman-maintain.
    """
    if tables is None:
        return has_chain
    return TABLE in tables.split()


def look() -> tuple[Optional[str], bool]:
    """Return the tables of nftables (None: unknown), and whether iptables has the chain.

    iptables is asked only if nft is not installed.
    """
    nft = _find("nft")
    if nft:
        return _output(nft, "list", "tables"), False
    iptables = _find("iptables")
    if not iptables:
        return None, False
    # -n looks up no names.  iptables fails both for a chain that does not exist (1) and without
    # permission (4).
    listing = _output(iptables, "-n", "-L", CHAIN)
    return None, listing is not None


def _find(tool: str) -> Optional[str]:
    folders = (os.environ.get("PATH", os.defpath), *SBIN)
    return shutil.which(tool, path=os.pathsep.join(folders))


def _output(*words: str) -> Optional[str]:
    """Return what a command prints; None if it fails."""
    try:
        process = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.debug("maintenance mode is unknown: %s", error)
        return None
    return process.stdout
