"""Every path on a Satellite that this program uses; no other module has one."""

from pathlib import Path

NAME = "satellite-osp-cleanup"
CONFIG = Path(f"/etc/{NAME}/config.yml")
HOOKS_D = Path(f"/etc/{NAME}/hooks.d")  # a site's own executables: hooks/hooks_d.py
JOURNAL = Path(f"/var/lib/{NAME}/journal.sqlite3")
# sos collects /var/log/foreman/cron*.log*.
LOG = Path("/var/log/foreman/cron-osp-cleanup.log")
HAMMER_FOLDERS = (Path("/etc/hammer"), Path("~/.hammer"))  # the later one wins
SATELLITE_CA = Path("/etc/pki/katello/certs/katello-server-ca.crt")

# What `schedule install` writes
CRON = Path(f"/etc/cron.d/{NAME}")  # without a dot: cron ignores names with a dot
LOGROTATE = Path(f"/etc/logrotate.d/{NAME}")
SERVICE = Path(f"/etc/systemd/system/{NAME}.service")
TIMER = Path(f"/etc/systemd/system/{NAME}.timer")
QUICK_SERVICE = SERVICE.with_name(f"{NAME}-quick.service")
QUICK_TIMER = TIMER.with_name(f"{NAME}-quick.timer")
TIMERS_ENABLED = TIMER.parent / "timers.target.wants"  # links, by systemctl enable
PACKAGED_UNITS = Path("/usr/lib/systemd/system")  # those of the RPM; ours count more
SHELLHOOK = Path(f"/var/lib/foreman-proxy/shellhooks/{NAME}")
FOREMAN_HOOKS = Path("/usr/share/foreman/config/hooks")

# Where cron finds jobs that somebody else wrote, besides /etc/cron.d
SYSTEM_CRONTAB = Path("/etc/crontab")
ROOT_CRONTAB = Path("/var/spool/cron/root")


def spool_of(journal: Path) -> Path:
    """The file beside this journal in which events leave notes for the next run."""
    return journal.with_name(f"{journal.name}.events")
