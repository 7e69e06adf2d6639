"""Where things are on a Satellite.  Every path of ours and of Satellite's that we name is here."""

from pathlib import Path

NAME = "satellite-osp-cleanup"
CONFIG = Path(f"/etc/{NAME}/config.yml")
JOURNAL = Path(f"/var/lib/{NAME}/journal.sqlite3")
LOG = Path("/var/log/foreman/cron-osp-cleanup.log")  # sos collects /var/log/foreman/cron*.log*
SATELLITE_CA = Path("/etc/pki/katello/certs/katello-server-ca.crt")

# What `schedule install` writes
CRON = Path(f"/etc/cron.d/{NAME}")  # no dot: cron passes over names with one
LOGROTATE = Path(f"/etc/logrotate.d/{NAME}")
SERVICE = Path(f"/etc/systemd/system/{NAME}.service")
TIMER = Path(f"/etc/systemd/system/{NAME}.timer")
SHELLHOOK = Path(f"/var/lib/foreman-proxy/shellhooks/{NAME}")
FOREMAN_HOOKS = Path("/usr/share/foreman/config/hooks")


def spool_of(journal: Path) -> Path:
    """The spool of events beside a journal."""
    return journal.with_name(f"{journal.name}.events")
