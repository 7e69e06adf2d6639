"""The HTML report: what it says, that no host can put code into it, and how a browser shows it.

`python tests/reports/test_html.py FILE.png` makes the README's picture of it, from the demo's data.
"""

import fcntl
import itertools
import json
import os
import re
import shutil
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Optional

import pytest
from sandbox.server import Server
from sandbox.story import write_clouds
from sandbox.world import REGION, build

from foreman_hooks.commands.main import main
from foreman_hooks.osp_checker import OSPError
from foreman_hooks.reports import html
from foreman_hooks.rules.model import Decision, Outcome, Reason, Result, Verdict
from foreman_hooks.rules.plan import Plan, PlanRegion

NOW = datetime(2025, 3, 1, 12, 30, 5, tzinfo=timezone.utc)
UUID = "7f3c1f0e-5b1d-4a57-9f5e-0123456789ab"
CHROMIUM = (
    shutil.which("chromium")
    or shutil.which("chromium-browser")
    or shutil.which("google-chrome")
)


class Browser:
    """Chromium without a window; speaks the DevTools protocol over a pipe, JSON ended by NUL."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        commands, answers = (
            fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in (commands, answers)
        )
        null = os.open(os.devnull, os.O_RDWR)
        self._pid = os.posix_spawn(
            CHROMIUM,
            [
                CHROMIUM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--hide-scrollbars",
                "--disable-background-networking",
                "--remote-debugging-pipe",
                f"--user-data-dir={folder}",
                "about:blank",
            ],
            {**os.environ, "HOME": str(folder)},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, commands, 3),
                (os.POSIX_SPAWN_DUP2, answers, 4),
                (os.POSIX_SPAWN_DUP2, null, 1),
                (os.POSIX_SPAWN_DUP2, null, 2),
            ],
            setpgroup=0,
        )
        for one in (commands, answers, null):
            os.close(one)
        self._numbers, self._buffer = itertools.count(1), b""
        self._session: Optional[str] = None
        self.events: list[Any] = []

    def close(self) -> None:
        self._session = None
        self("Browser.close")
        os.waitpid(self._pid, 0)
        os.close(self._commands)
        os.close(self._answers)

    def __call__(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol; its result."""
        number = next(self._numbers)
        session = {"sessionId": self._session} if self._session else {}
        message = (
            json.dumps(
                {"id": number, "method": method, "params": params, **session}
            ).encode()
            + b"\0"
        )
        while message:
            message = message[os.write(self._commands, message) :]
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _read(self) -> Any:
        while b"\0" not in self._buffer:
            chunk = os.read(self._answers, 1 << 20)
            assert chunk, "the browser has ended"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def wait_for(self, event: str) -> None:
        """Until an event of that name has come."""
        while not any(one.get("method") == event for one in self.events):
            self.events.append(self._read())

    def open(self, path: Path, *, scripts: bool = True, width: int = 1280) -> None:
        """Show a file in a page of its own."""
        self._session = None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        self("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.events = []
        self("Page.navigate", url=path.as_uri())
        self.wait_for("Page.loadEventFired")

    def js(self, expression: str) -> Any:
        """The value of an expression in the page; of a promise, what it comes to."""
        done = self(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until the expression is true in the page, evaluated with each frame."""
        assert self.js(
            f"new Promise((done) => {{ const look = () => ({expression}) ? done(true) "
            ": requestAnimationFrame(look); look(); setTimeout(() => done(false), 20000); })"
        )

    def press(self, key: str, code: int, text: str = "") -> None:
        """A key, as from a keyboard."""
        self(
            "Input.dispatchKeyEvent",
            type="keyDown",
            key=key,
            code=key,
            windowsVirtualKeyCode=code,
            text=text,
        )
        self(
            "Input.dispatchKeyEvent",
            type="keyUp",
            key=key,
            code=key,
            windowsVirtualKeyCode=code,
        )

    @property
    def complaints(self) -> list[Any]:
        """What the page logged, and what it threw."""
        return [
            one
            for one in self.events
            if one.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown")
        ]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs chromium (apt-get install chromium)")
    running = Browser(tmp_path_factory.mktemp("chromium"))
    yield running
    running.close()


def verdict(
    number: int,
    decision: Decision = Decision.KEEP,
    reason: Reason = Reason.ALIVE,
    detail: str = "listed",
    name: str = "",
) -> Verdict:
    return Verdict(
        number, name or f"host-{number:05}.example.com", UUID, decision, reason, detail
    )


def plan(*verdicts: Verdict, **more: Any) -> Plan:
    regions = (
        PlanRegion(
            "prod",
            "RegionOne",
            12,
            "the login can see other projects' servers (example: x)",
            alive=3,
        ),
    )
    return Plan(
        "https://satellite.example.com",
        NOW,
        "all hosts",
        more.pop("regions", regions),
        verdicts,
        **more,
    )


MIXED = plan(
    verdict(3, Decision.DELETE, Reason.TERMINATED, "terminated 2025/02/27"),
    verdict(20, Decision.WAIT, Reason.GRACE, "1 of 3 runs"),
    verdict(1),
    verdict(100, Decision.KEEP, Reason.CHECKED_IN, "checked in an hour ago"),
)
HOSTILE = (
    "<script>window.owned=1</script><img src=x onerror=window.owned=1>"
    "\"'&\x1b[2J\u202e</table></style></script>"
)


class Outline(HTMLParser):
    """The tags of a page, and its text outside of style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Optional[str]]]] = []
        self.text, self._skip = "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        self._skip = tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._skip = False

    def handle_data(self, data: str) -> None:
        if not self._skip:
            self.text += data


# What it says


def test_what_will_be_deleted_stands_on_top_and_every_record_below() -> None:
    text = Outline(html.render(MIXED)).text
    assert (
        text.index("What is to be deleted")
        < text.index("What needs attention")
        < text.index("Every record")
    )
    assert "1 of 4 host records to delete" in text and "2025/03/01 12:30:05 UTC" in text
    assert all(text.count(one.name) >= 1 for one in MIXED.verdicts)
    assert "the login can see other projects' servers (example: x)" in text


def test_what_became_of_the_deletions_is_told() -> None:
    failed = Outcome(
        3, "host-00003.example.com", UUID, Result.FAILED, "Satellite said no"
    )
    text = Outline(html.render(MIXED, [failed])).text
    assert "0 of 1 host records deleted" in text and "failed: Satellite said no" in text


def test_a_refusal_and_a_region_without_answer_are_told() -> None:
    regions = (PlanRegion("prod", "RegionOne", None, "", OSPError("a cell is down")),)
    text = Outline(
        html.render(
            plan(
                verdict(1, reason=Reason.UNKNOWN),
                regions=regions,
                refusals=("too many",),
            )
        )
    ).text
    assert "Refused by a guard rail" in text and "too many" in text
    assert "a cell is down" in text and "1 could not be known" in text


def test_a_plan_of_nothing_is_a_page_too() -> None:
    assert "Nothing to delete" in Outline(html.render(plan(regions=()))).text


def test_nothing_of_a_host_becomes_markup() -> None:
    made = plan(
        verdict(1, Decision.DELETE, Reason.TERMINATED, HOSTILE, HOSTILE),
        refusals=(HOSTILE,),
    )
    found = Outline(html.render(made))
    assert [name for name, _ in found.tags].count("script") == 1
    assert not any("onerror" in attributes for _, attributes in found.tags)
    assert "\x1b" not in found.text and "\u202e" not in found.text


def test_a_text_without_end_is_cut() -> None:
    assert "(10,000 characters)" in html.render(plan(verdict(1, detail="x" * 10_000)))


def test_nothing_is_fetched_from_elsewhere() -> None:
    text = html.render(MIXED)
    assert not re.search(r"(src|href)=[\"']?(?!#)[^\"' >]", text)
    assert not re.search(r"url\(|@import", text)
    assert "default-src 'none'" in text


def test_screen_readers_find_their_way() -> None:
    tags = Outline(html.render(MIXED)).tags
    names = [name for name, _ in tags]
    assert names.count("h1") == names.count("main") == 1 and names.count(
        "caption"
    ) == names.count("table")
    assert all(attributes.get("scope") for name, attributes in tags if name == "th")
    assert any(attributes.get("role") == "status" for _, attributes in tags)
    assert ("html", {"lang": "en"}) in tags


# In a browser


def shown(browser: Browser) -> list[str]:
    """The names in the table of every record, as they stand."""
    return browser.js(
        "[...document.querySelectorAll('#records tbody th')].map((one) => one.textContent.trim())"
    )


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Browser:
    path = tmp_path / "report.html"
    path.write_text(html.render(MIXED), encoding="utf-8")
    browser.open(path)
    return browser


@pytest.mark.live
def test_the_table_sorts_by_keyboard_and_says_how(opened: Browser) -> None:
    opened.js("document.querySelectorAll('#records thead button')[1].focus()")
    opened.press("Enter", 13, "\r")
    assert [name[5:10] for name in shown(opened)] == [
        "00001",
        "00003",
        "00020",
        "00100",
    ]
    assert (
        opened.js(
            "document.querySelectorAll('#records th')[1].getAttribute('aria-sort')"
        )
        == "ascending"
    )
    opened.press("Enter", 13, "\r")
    assert [name[5:10] for name in shown(opened)] == [
        "00100",
        "00020",
        "00003",
        "00001",
    ]
    assert opened.complaints == []


@pytest.mark.live
def test_the_table_filters_and_says_how_many_are_left(opened: Browser) -> None:
    opened.js(
        "(() => { const text = document.getElementById('text'); text.value = 'HOUR';"
        " text.dispatchEvent(new Event('input')); })()"
    )
    opened.until("document.querySelectorAll('#records tbody tr').length === 1")
    assert (
        opened.js("document.getElementById('shown').textContent")
        == "1 of 4 records shown, with \u201cHOUR\u201d"
    )
    opened.js(
        "(() => { document.getElementById('text').value = '';"
        " const decision = document.getElementById('decision');"
        " decision.value = 'wait'; decision.dispatchEvent(new Event('change')); })()"
    )
    assert shown(opened) == ["host-00020.example.com"]


@pytest.mark.live
def test_without_scripts_every_record_is_there(
    browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(html.render(MIXED), encoding="utf-8")
    browser.open(path, scripts=False)
    assert browser.js("document.querySelectorAll('#records tbody tr').length") == 4
    assert browser.js("document.getElementById('controls').offsetParent === null")


@pytest.mark.live
def test_what_hosts_say_does_not_run(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    made = plan(verdict(1, Decision.DELETE, Reason.TERMINATED, HOSTILE, HOSTILE))
    path.write_text(html.render(made), encoding="utf-8")
    browser.open(path)
    assert browser.js("window.owned === undefined") and browser.complaints == []


@pytest.mark.live
def test_nothing_is_wider_than_a_telephone(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(html.render(MIXED), encoding="utf-8")
    browser.open(path, width=390)
    assert browser.js("document.documentElement.scrollWidth <= 390")


@pytest.mark.live
def test_thousands_of_records_can_be_filtered_and_sorted(
    browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(html.render(plan(*map(verdict, range(5_000)))), encoding="utf-8")
    browser.open(path)
    assert browser.js("document.querySelectorAll('#records tbody tr').length") == 5_000
    browser.js(
        "(() => { const text = document.getElementById('text'); text.value = '04999';"
        " text.dispatchEvent(new Event('input')); })()"
    )
    browser.until("document.querySelectorAll('#records tbody tr').length === 1")
    browser.js(
        "(() => { document.getElementById('text').value = 'host-000';"
        " document.querySelector('#records thead button').click();"
        " document.querySelector('#records thead button').click(); })()"
    )
    assert shown(browser) == [
        f"host-{number:05}.example.com" for number in reversed(range(100))
    ]
    rows = [
        one
        for one in browser("Accessibility.getFullAXTree")["nodes"]
        if one["role"]["value"] == "row"
    ]
    assert len(rows) > 100  # few enough for a screen reader to have all of them
    assert browser.complaints == []


# From the command line


def test_the_report_is_written_before_anything_is_deleted_and_again_after(
    stage: Any, tmp_path: Path
) -> None:
    stage.terminated("old")
    path = tmp_path / "report.html"
    assert main(["--config", str(stage.config()), "plan", "--report", str(path)]) == 0
    assert "1 of 2 host records to delete" in path.read_text()
    assert path.stat().st_mode & 0o7777 == 0o640
    assert (
        main(["--config", str(stage.config()), "run", "--apply", "--report", str(path)])
        == 0
    )
    assert "1 of 1 host records deleted" in path.read_text()


def test_where_it_cannot_be_written_nothing_is_deleted(
    stage: Any, tmp_path: Path, capfd: Any
) -> None:
    stage.terminated("old")
    path = tmp_path / "nowhere" / "report.html"
    assert (
        main(["--config", str(stage.config()), "run", "--apply", "--report", str(path)])
        == 65
    )
    assert capfd.readouterr().err.count("\n") == 1 and "old" in stage.left


def picture(path: Path) -> None:
    """The README's picture, of the demo's data."""
    world = build()
    with (
        Server(world.satellite.handle) as satellite,
        Server(world.openstack.handle) as osp,
        tempfile.TemporaryDirectory() as name,
    ):
        folder = Path(name)
        os.environ["OS_CLIENT_CONFIG_FILE"] = str(write_clouds(folder, osp.url))
        (folder / "config.yml").write_text(
            f"satellite: {{url: '{satellite.url}', username: admin, password: changeme}}\n"
            f"clouds: [{{cloud: demo, regions: [{REGION}]}}]\n"
            f"journal: {folder}/journal.sqlite3\n"
        )
        report = folder / "report.html"
        assert (
            main(
                [
                    "--config",
                    str(folder / "config.yml"),
                    "-q",
                    "plan",
                    "--report",
                    str(report),
                ]
            )
            == 0
        )
        report.write_text(
            report.read_text().replace(satellite.url, "https://satellite.example.com")
        )
        browser = Browser(folder / "chromium")
        browser.open(report)
        end = browser.js(
            "document.querySelector('.legend').getBoundingClientRect().bottom"
        )
        path.write_bytes(
            b64decode(
                browser(
                    "Page.captureScreenshot",
                    format="png",
                    captureBeyondViewport=True,
                    clip={
                        "x": 0,
                        "y": 0,
                        "width": 1280,
                        "height": end + 40,
                        "scale": 0.75,
                    },
                )["data"]
            )
        )
        browser.close()


if __name__ == "__main__":
    picture(Path(sys.argv[1]))
