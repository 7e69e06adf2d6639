"""foreman-maintain's maintenance mode: while it is on, Satellite is being worked on, and nothing of
ours runs.

What foreman-maintain itself goes by is a table of the packet filter, or where nftables is not
installed a chain of iptables (definitions/features/nftables.rb and iptables.rb,
feature(:instance).firewall); no file says it, the storage /var/lib/foreman-maintain/data.yml holds
sync plans only.  It stops crond, but no timers of others, and it leaves loopback open, so that a
run under systemd would work on.  `foreman-maintain maintenance-mode is-enabled` (0: on, 1: off, or
a failure) takes seconds to load; the packet filter answers in milliseconds.
"""

import logging
import os
import shutil
import subprocess
from typing import Optional

log = logging.getLogger(__name__)

TABLE = "FOREMAN_MAINTAIN_TABLE"
CHAIN = "FOREMAN_MAINTAIN"
SBIN = ("/usr/sbin", "/sbin")  # not on every user's PATH


class MaintenanceMode(Exception):
    """foreman-maintain's maintenance mode is on."""

    exit_code = 75


def refuse() -> None:
    """Raise MaintenanceMode while it is on; where that cannot be known, go on."""
    if is_on(*look()):
        raise MaintenanceMode(
            "foreman-maintain's maintenance mode is on; nothing was looked at, nothing deleted"
        )


def is_on(tables: Optional[str], chain: bool) -> bool:
    """Whether maintenance mode is on.

    `tables` is what `nft list tables` printed, None where nft is missing or may not look; `chain`,
    whether iptables knows the chain.  As with foreman-maintain, nftables decides where it is there.
    """
    return TABLE in tables.split() if tables is not None else chain


def look() -> tuple[Optional[str], bool]:
    """The tables of nftables (None: not known), and whether iptables has the chain; that is asked
    only without nft.
    """
    nft = _find("nft")
    if nft:
        return _output(nft, "list", "tables"), False
    iptables = _find("iptables")
    # -n: no name is looked up; the name of a chain that does not exist is an error (1), and so is a
    # missing right (4)
    return None, bool(iptables) and _output(str(iptables), "-n", "-L", CHAIN) is not None


def _find(tool: str) -> Optional[str]:
    return shutil.which(tool, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *SBIN)))


def _output(*words: str) -> Optional[str]:
    """What a command prints; None where it fails."""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.debug("maintenance mode is not known: %s", error)
        return None
    return done.stdout
