"""The picture of the HTML report in the documentation, of the demo's data and a made-up year.

python tests/reports/picture.py FILE.png
"""

import os
import random
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from browser import Browser
from sandbox.server import Server
from sandbox.story import write_clouds
from sandbox.world import REGION, World, build

from foreman_hooks.cleanup.journal import Journal
from foreman_hooks.cleanup.run_log import begin_run, end_run
from foreman_hooks.commands.main import main
from foreman_hooks.rules.model import (
    Basis,
    Decision,
    Fingerprint,
    Outcome,
    Reason,
    Record,
    Result,
    Verdict,
)
from foreman_hooks.rules.plan import Kind, Plan
from foreman_hooks.rules.verdicts import verdicts_of
from foreman_hooks.times import iso_z

WIDTH = 1280
WEEKS = 30
BACKLOG = 60
DAY = timedelta(days=1)


def write_past(journal: Journal, satellite: str) -> None:
    """A run a day since the first, when a backlog was there; the caps let it go bit by bit."""
    now = datetime.now(timezone.utc)
    chance = random.Random(7)
    left = [now - WEEKS * 7 * DAY - chance.randrange(90) * DAY for _ in range(BACKLOG)]
    for number in range(WEEKS * 7):
        at = now - (WEEKS * 7 - number) * DAY
        new = chance.choice((0, 0, 1, 1, 2, 3))
        left += [at - timedelta(hours=chance.randrange(2, 20)) for _ in range(new)]
        going = sorted(left)[: chance.choice((1, 2, 3, 4)) if number > 6 else 0]
        for terminated_at in going:
            left.remove(terminated_at)
        _write_run(journal, satellite, at, going, left)


def _write_run(
    journal: Journal,
    satellite: str,
    at: datetime,
    going: list[datetime],
    left: list[datetime],
) -> None:
    verdicts = []
    outcomes = []
    for number, terminated_at in enumerate(going + left):
        verdict = Verdict(
            number,
            f"old-{number}.example.com",
            "",
            Decision.DELETE,
            Reason.TERMINATED,
            fingerprint=Fingerprint(None, None, None),
            basis=Basis(terminated_at=iso_z(terminated_at)),
        )
        verdicts.append(verdict)
    plan = Plan(satellite, at, "all hosts", (), verdicts_of(verdicts))
    run = begin_run(
        journal, satellite, "run --apply", Kind.FULL, "all hosts", "root", at
    )
    for verdict in verdicts[: len(going)]:
        outcome = Outcome(verdict.host_id, verdict.name, "", Result.DELETED, at=at)
        deletion = journal.begin_deletion(
            satellite=satellite,
            plan=plan.digest,
            verdict=verdict,
            evidence={},
            record=Record(verdict.host_id, verdict.name),
            who="root",
            now=at,
        )
        journal.end_deletion(deletion, outcome, at)
        outcomes.append(outcome)
    end_run(journal, run, 0, at, plan=plan, complete=True, outcomes=outcomes)


def write_report(world: World, folder: Path) -> Path:
    """The page of a plan of the demo's hosts."""
    report = folder / "report.html"
    with (
        Server(world.satellite.handle) as satellite,
        Server(world.openstack.handle) as osp,
    ):
        os.environ["OS_CLIENT_CONFIG_FILE"] = str(write_clouds(folder, osp.url))
        config = folder / "config.yml"
        config.write_text(
            f"satellite: {{url: '{satellite.url}', username: admin, password: changeme}}\n"
            f"clouds: [{{cloud: demo, regions: [{REGION}]}}]\n"
            f"journal: {folder}/journal.sqlite3\n"
        )
        with Journal.open(folder / "journal.sqlite3") as journal:
            write_past(journal, satellite.url)
        code = main(["--config", str(config), "-q", "plan", "--report", str(report)])
        assert code == 0
        text = report.read_text()
        report.write_text(text.replace(satellite.url, "https://satellite.example.com"))
    return report


def picture(path: Path) -> None:
    """Write the picture: the top of the page, down to the records that need attention."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = write_report(build(), folder)
        browser = Browser(folder / "chromium")
        browser.open(report, width=WIDTH)
        end = browser.js(
            "document.querySelector('.of-attention').getBoundingClientRect().bottom"
        )
        path.write_bytes(browser.picture(WIDTH, end + 32, scale=0.75))
        browser.close()


if __name__ == "__main__":
    picture(Path(sys.argv[1]))
