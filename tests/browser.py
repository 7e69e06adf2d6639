"""Chromium without a window: for the tests of the HTML report, and for the picture of it."""

import fcntl
import itertools
import json
import os
import shutil
from base64 import b64decode
from pathlib import Path
from typing import Any, Optional

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
            fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
            for descriptor in (commands, answers)
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
        for descriptor in (commands, answers, null):
            os.close(descriptor)
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
        while not any(sent.get("method") == event for sent in self.events):
            self.events.append(self._read())

    def open(self, path: Path, *, scripts: bool = True, **look: Any) -> None:
        """Show a file in a page of its own; `look`: see the method of that name."""
        self._session = None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")
        self("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.look(**look)
        self.events = []
        self("Page.navigate", url=path.as_uri())
        self.wait_for("Page.loadEventFired")

    def look(
        self, *, width: int = 1280, dark: bool = False, paper: bool = False
    ) -> None:
        """How the page is looked at: width of the window in pixels; `paper`: as it is printed."""
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {
            "name": "prefers-color-scheme",
            "value": "dark" if dark else "light",
        }
        medium = "print" if paper else ""
        self("Emulation.setEmulatedMedia", media=medium, features=[scheme])

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

    def picture(self, width: int, height: float, scale: float = 1) -> bytes:
        """The top of the page as a PNG image."""
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": scale}
        shot = self(
            "Page.captureScreenshot",
            format="png",
            captureBeyondViewport=True,
            clip=clip,
        )
        return b64decode(shot["data"])

    def printed(self) -> bytes:
        """The page on paper: a PDF document."""
        return b64decode(self("Page.printToPDF", preferCSSPageSize=True)["data"])

    @property
    def complaints(self) -> list[Any]:
        """What the page logged, and what it threw."""
        return [
            event
            for event in self.events
            if event.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown")
        ]
