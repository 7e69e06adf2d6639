"""One job on one host of the Satellite double: its output in chunks, and how it ends (measured)."""

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import cycle
from typing import NamedTuple, Optional, Union

from .targets import EXCEPTION, LOST, SILENT, Ran

# Bytes that one read gets, again and again.
READS = (
    61,
    4096,
    7,
    1021,
    16384,
    333,
    2048,
)

FAILED = "StandardError: Job execution failed"
BAD_BYTES = "Runner error: ArgumentError - invalid byte sequence in UTF-8"
NUL = "ArgumentError: string contains null byte"

Texts = tuple[tuple[str, str], ...]  # kind ("exit": the status) and text of some chunks


class End(Enum):
    """Why a run ends early, and the chunks that say so."""

    TIMEOUT = (
        ("debug", "Timeout for execution passed, trying to stop the job"),
        ("exit", "255"),
        ("debug", FAILED),
    )
    CANCEL = (
        ("exit", "255"),
        (
            "debug",
            "ForemanTasks::Task::TaskCancelledException: ERF22-3835 "
            "[ForemanTasks::Task::TaskCancelledException]: Task cancelled",
        ),
    )
    ABORT = (
        (
            "debug",
            "ForemanTasks::Task::TaskCancelledException: ERF22-0952 [ForemanTasks::Task::"
            "TaskCancelledException]: Task aborted: the task might be still running on the proxy",
        ),
    )


class Chunk(NamedTuple):
    """One piece of output as it is kept; `id` 0: it is not in the database."""

    id: int
    sequence: int
    kind: str
    text: str
    timestamp: float


@dataclass
class Run:
    """A job on one host.

    `id`: of the template invocation.
    `is_slow`: requests do not wait for it.
    `why`: set when it has to end early.
    `ran`: what the target answered; None while it works.
    `broken`: what was wrong with its output.
    `result`: "" while pending, then success, error or cancelled.
    """

    id: int
    host_id: int
    chunk_ids: Iterator[int]
    is_slow: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    why: Optional[End] = None
    ran: Optional[Ran] = None
    broken: str = ""
    result: str = ""
    chunks: list[Chunk] = field(default_factory=list)

    def answer(self, ran: Ran) -> None:
        """Take what the target answered."""
        self.ran = ran
        self.broken = self._take_output(ran.output)
        self.conclude()

    def fail(self, trouble: str) -> None:
        """End before anything could run; then there is no exit status (measured)."""
        self.ran = Ran()
        self.result = "error"
        text = f"Failed to initialize: RuntimeError - {trouble}"
        self.chunks.append(Chunk(0, 0, "debug", text, now()))

    def end(self, why: End) -> None:
        """Make it end early; it has ended when its target has answered."""
        if self.result:
            return
        if self.why is None or why is End.ABORT:
            self.why = why
        self.stop.set()
        self.conclude()

    def _goes_on(self) -> bool:
        """Whether it is pending although its target has answered."""
        if self.broken or self.ran is None:
            return False
        if self.ran.status == SILENT:
            return not self.why
        return self.ran.status == LOST and self.why is not End.ABORT

    def _take_output(self, output: Union[bytes, Iterable[bytes]]) -> str:
        """Keep what was printed, as chunks.

        Returns what is wrong with it: it is not UTF-8, or holds a NUL, or a read has split a
        character of several bytes. Then nothing is kept of what arrived at the same time
        (measured).
        """
        for burst in _bursts(output):
            try:
                texts = [read.decode() for read in burst]
            except UnicodeDecodeError:
                return BAD_BYTES
            if "\0" in "".join(texts):
                return NUL
            for text in texts:
                self._add("stdout", text)
        return ""

    def conclude(self) -> None:
        """Write the end of the output, if the run has ended."""
        if self.result or self.ran is None or self._goes_on():
            return
        self.result, texts = self._ending(self.ran)
        for kind, text in texts:
            self._add(kind, text)

    def _ending(self, ran: Ran) -> tuple[str, Texts]:
        """The result, and the last chunks."""
        if self.why is End.TIMEOUT:
            return "error", self.why.value
        if self.why:
            return "cancelled", self.why.value
        if self.broken == NUL:
            return "error", (("debug", NUL),)
        if self.broken or ran.status == EXCEPTION:
            complaint = self.broken or ran.trouble
            return "error", (
                ("debug", complaint),
                ("exit", EXCEPTION),
                ("debug", FAILED),
            )
        if ran.status == 0:
            return "success", (("exit", "0"),)
        return "error", (("exit", str(ran.status)), ("debug", FAILED))

    def _add(self, kind: str, text: str) -> None:
        """Add a chunk; an exit status has the time of the chunk before it (measured)."""
        last = self.chunks[-1].timestamp if self.chunks else 0.0
        timestamp = max(now(), round(last + 0.001, 6))
        if kind == "exit" and last:
            timestamp = last
        self.chunks.append(
            Chunk(next(self.chunk_ids), len(self.chunks), kind, text, timestamp)
        )


def _bursts(output: Union[bytes, Iterable[bytes]]) -> list[list[bytes]]:
    """The reads that arrive at the same time."""
    if isinstance(output, bytes):
        return [list(_cut(output))]
    return [[read] for read in output]


def _cut(output: bytes) -> Iterator[bytes]:
    position = 0
    for size in cycle(READS):
        if position >= len(output):
            return
        yield output[position : position + size]
        position += size


def now() -> float:
    """The time as chunks have it: epoch seconds, with microseconds."""
    return round(time.time(), 6)
