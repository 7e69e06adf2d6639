"""A terminal for tests: a program runs in it, and what remains on its screen can be read."""

import codecs
import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Callable, Optional

from rich.cells import cell_len

ROOT = Path(__file__).parent.parent
# The program, with the terminal as its controlling terminal, so that Ctrl-C reaches it.
PROGRAM = [
    sys.executable,
    "-c",
    "import fcntl, os, signal, termios\n"
    # A shell lets processes in the background ignore Ctrl-C, and their children as well.
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "terminal = next(number for number in range(3) if os.isatty(number))\n"
    "fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)\n"
    "from foreman_hooks.commands.main import entry_point; entry_point()",
]
_ESCAPE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


class Screen:
    """What a terminal of that many columns shows, with all lines that scrolled out of it.

    Knows what bars and listings send, and fails on anything else.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows: list[list[str]] = [[]]
        self.row = self.column = 0
        self.wrapped = 0  # how many lines were longer than the window
        self.coloured = False
        self.cursor_shown = True
        self._pending = ""

    def feed(self, text: str) -> None:
        """Obey these characters and escape sequences."""
        text = self._pending + text
        self._pending = ""
        position = 0
        while position < len(text):
            if text[position] == "\x1b":
                match = _ESCAPE.match(text, position)
                if match is None:
                    self._pending = text[position:]
                    assert len(self._pending) < 20, ascii(self._pending)
                    return
                self._obey(*match.groups())
                position = match.end()
            else:
                self._put(text[position])
                position += 1

    def _obey(self, numbers: str, letter: str) -> None:
        if letter == "m":
            self.coloured = True
        elif letter == "A":
            self.row = max(self.row - int(numbers or 1), 0)
        elif letter == "K":
            assert numbers == "2", numbers
            self.rows[self.row] = []
        else:
            assert numbers == "?25" and letter in "lh", (numbers, letter)
            self.cursor_shown = letter == "h"

    def _put(self, char: str) -> None:
        if char == "\r":
            self.column = 0
        elif char == "\n":
            self._next_row()
        elif char == "\b":
            self.column -= 1
        else:
            assert char.isprintable(), ascii(char)
            self._print(char)

    def _print(self, char: str) -> None:
        width = cell_len(char)
        if self.column + width > self.columns:
            self.wrapped += 1
            self._next_row()
            self.column = 0
        row = self.rows[self.row]
        row += [" "] * (self.column - len(row))
        if not width:
            row[self.column - 1] += char
            return
        row[self.column : self.column + width] = [char] + [""] * (width - 1)
        self.column += width

    def _next_row(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append([])

    @property
    def text(self) -> str:
        """The lines that are shown, without blanks at their ends."""
        return "\n".join("".join(row).rstrip() for row in self.rows)


class Session:
    """The program in a terminal."""

    def __init__(
        self,
        arguments: Sequence[object],
        columns: int,
        environment: Mapping[str, str],
        streams: Mapping[str, int],
    ) -> None:
        self.screen = Screen(columns)
        self.received = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._ours, theirs = pty.openpty()
        size = struct.pack("HHHH", 50, columns, 0, 0)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
        self.process = subprocess.Popen(
            [*PROGRAM, *map(str, arguments)],
            stdin=streams.get("stdin", theirs),
            stdout=streams.get("stdout", theirs),
            stderr=streams.get("stderr", theirs),
            start_new_session=True,
            env={**_own_environment(), "TERM": "xterm", **environment},
            cwd=ROOT,
        )
        os.close(theirs)

    def type(self, keys: str) -> None:
        """Send keys; Ctrl-C is \x03."""
        os.write(self._ours, keys.encode())

    def read_until(self, text: str) -> None:
        """Read until the text is on the screen."""
        self.read_while(lambda: text not in self.screen.text)

    def read_question(self, text: str) -> None:
        """Read until the text is on the screen and the program waits for the answer.

        A signal that arrives before Python reads is only noticed after the answer.
        """
        self.read_until(text)
        state = Path(f"/proc/{self.process.pid}/stat")
        while ") S " not in state.read_text():
            pass

    def read_while(self, condition: Callable[[], bool]) -> None:
        """Read as long as the condition holds."""
        while condition():
            assert self._read(), self.screen.text

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        return self.process.wait(timeout=60)

    def _read(self) -> bool:
        chunk = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            chunk = os.read(self._ours, 65536)
        text = self._decoder.decode(chunk)
        self.received += text
        self.screen.feed(text)
        return bool(chunk)

    def close(self) -> None:
        """End the program, if it still runs."""
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


def _own_environment() -> dict[str, str]:
    """That of this process without its window, which readline exports once it is loaded."""
    window = ("COLUMNS", "LINES")
    return {name: value for name, value in os.environ.items() if name not in window}


@contextlib.contextmanager
def in_terminal(
    *arguments: object,
    columns: int = 80,
    environment: Optional[Mapping[str, str]] = None,
    streams: Optional[Mapping[str, int]] = None,
) -> Iterator[Session]:
    """Run the program with these arguments in a terminal of that many columns.

    `streams`: stdin, stdout and stderr that are not the terminal.
    """
    session = Session(arguments, columns, environment or {}, streams or {})
    try:
        yield session
    finally:
        session.close()
