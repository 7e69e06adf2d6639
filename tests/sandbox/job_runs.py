"""One job on one host of the Satellite in memory: its output in chunks, and how it ends, as it was
measured.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import cycle
from typing import NamedTuple, Optional, Union

from .targets import EXCEPTION, LOST, SILENT, Ran

READS = (61, 4096, 7, 1021, 16384, 333, 2048)  # bytes that one read gets, again and again

FAILED = "StandardError: Job execution failed"
BAD_BYTES = "Runner error: ArgumentError - invalid byte sequence in UTF-8"
NUL = "ArgumentError: string contains null byte"


class End(Enum):
    """Why a run ended before its time, and the chunks that tell of it: kind ("exit": the status)
    and text.
    """

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
    """One piece of output as it is kept; `id` 0: it is in no database."""

    id: int
    sequence: int
    kind: str
    text: str
    timestamp: float


@dataclass
class Run:
    """A job on one host."""

    id: int  # of the template invocation
    host_id: int
    chunk_ids: Iterator[int]
    slow: bool = False  # no look waits for it
    stop: threading.Event = field(default_factory=threading.Event)
    why: Optional[End] = None  # it is to end before its time
    ran: Optional[Ran] = None  # what the target answered
    broken: str = ""  # what was wrong with its output
    result: str = ""  # "": pending; success, error, cancelled
    chunks: list[Chunk] = field(default_factory=list)

    def answer(self, ran: Ran) -> None:
        """Take what the target answered."""
        self.ran = ran
        self.broken = self._take_output(ran.output)
        self.conclude()

    def fail(self, trouble: str) -> None:
        """End before there was anything to run; there is no exit status then (measured)."""
        self.ran, self.result = Ran(), "error"
        self.chunks.append(
            Chunk(0, 0, "debug", f"Failed to initialize: RuntimeError - {trouble}", now())
        )

    def end(self, why: End) -> None:
        """Have it end; it has when its target has answered."""
        if not self.result:
            self.why = self.why if self.why and why is not End.ABORT else why
            self.stop.set()
            self.conclude()

    def _is_deaf(self) -> bool:
        """Whether it goes on although its target has answered."""
        status = self.ran.status if self.ran else None
        return not self.broken and (
            (status == SILENT and not self.why) or (status == LOST and self.why is not End.ABORT)
        )

    def _take_output(self, output: Union[bytes, Iterable[bytes]]) -> str:
        """Keep what was printed, as chunks.

        Returns what is wrong with it: no UTF-8, or a NUL, or a character of several bytes that a
        read has split; then nothing is kept of what arrived at the same time (measured).
        """
        bursts = [list(_cut(output))] if isinstance(output, bytes) else [[read] for read in output]
        for burst in bursts:
            try:
                texts = [read.decode() for read in burst]
            except UnicodeDecodeError:
                return BAD_BYTES
            if any("\0" in text for text in texts):
                return NUL
            for text in texts:
                self._add("stdout", text)
        return ""

    def conclude(self) -> None:
        """Write the end of the output, where there is one."""
        if self.result or self.ran is None or self._is_deaf():
            return
        status, trouble = self.ran.status, self.ran.trouble
        self.result = "error"
        ending: tuple[tuple[str, str], ...] = (("exit", str(status)), ("debug", FAILED))
        if self.why:
            ending = self.why.value
            self.result = "error" if self.why is End.TIMEOUT else "cancelled"
        elif self.broken == NUL:
            ending = (("debug", NUL),)
        elif self.broken or status == EXCEPTION:
            ending = (("debug", self.broken or trouble), ("exit", EXCEPTION), ("debug", FAILED))
        elif status == 0:
            ending, self.result = (("exit", "0"),), "success"
        for kind, text in ending:
            self._add(kind, text)

    def _add(self, kind: str, text: str) -> None:
        """One chunk more.  The exit status has the time of the chunk before it (measured: `since`
        can lose it).
        """
        last = self.chunks[-1].timestamp if self.chunks else 0.0
        stamp = last if kind == "exit" and last else max(now(), round(last + 0.001, 6))
        self.chunks.append(Chunk(next(self.chunk_ids), len(self.chunks), kind, text, stamp))


def _cut(output: bytes) -> Iterator[bytes]:
    position = 0
    for size in cycle(READS):
        if position >= len(output):
            return
        yield output[position : position + size]
        position += size


def now() -> float:
    """The time as chunks have it."""
    return round(time.time(), 6)
