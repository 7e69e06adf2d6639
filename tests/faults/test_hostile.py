"""Hostile input: each parser gives a value or one line, in time and memory that grow with it."""

import os
import random
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from types import FrameType
from typing import Any, Callable

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from .hostile_inputs import Shape, damaged, shapes
from .parser import Parser, check
from .parsers import PARSERS
from .trials import SEED, SOAK, note

EXAMPLES = 5000 if SOAK else 15
SLOW_EXAMPLES = 500 if SOAK else 4  # of parsers that read files or ask a server
FUZZED = 50_000  # inputs of atheris for each parser
SLOW_FUZZED = 1000
EIGHTH = 8  # other seeds choose other ones
TESTS = Path(__file__).parents[1]

each_parser = pytest.mark.parametrize(
    "parser", PARSERS, ids=[parser.name for parser in PARSERS]
)


@pytest.fixture(autouse=True)
def own_clouds_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parsers set this variable."""
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", "")


# Whatever it says


@each_parser
def test_a_parser_gives_a_value_or_one_line_whatever_it_reads(
    parser: Parser, tmp_path: Path
) -> None:
    tried = 0

    @seed(SEED)
    @settings(
        max_examples=SLOW_EXAMPLES if parser.slow else EXAMPLES,
        deadline=None,
        derandomize=False,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def feed(draw: random.Random) -> None:
        nonlocal tried
        tried += 1
        check(parser, tmp_path, damaged(parser, draw))

    feed()
    note(tried)


@each_parser
def test_the_samples_of_a_parser_are_valid(parser: Parser, tmp_path: Path) -> None:
    """Else the others would be refused for the wrong reason."""
    results = [parser.parse(tmp_path, sample.encode()) for sample in parser.samples[:1]]
    assert results != [[]]
    note(1)


@pytest.mark.skipif(not SOAK, reason="only in the long form: make soak")
@each_parser
def test_a_parser_gives_a_value_or_one_line_for_inputs_that_reach_new_code(
    parser: Parser, tmp_path: Path
) -> None:
    """atheris changes inputs so that they reach code which none reached before."""
    assert _has_atheris(), "atheris is not installed; 'make soak' installs it"
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, sample in enumerate(parser.samples):
        (corpus / str(number)).write_bytes(sample.encode())
    runs = SLOW_FUZZED if parser.slow else FUZZED
    done = _child(
        "faults.fuzzed", parser.name, str(corpus), f"-runs={runs}", f"-seed={SEED}"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {runs} " in done.stderr, done.stderr[-3000:]
    note(runs)


def _has_atheris() -> bool:
    command = [sys.executable, "-c", "import atheris"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _child(*words: str) -> "subprocess.CompletedProcess[str]":
    """A child of this Python with the same code and limits of its own."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    return subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        errors="replace",
        env=environ,
        check=False,
    )


# However much it is


@each_parser
def test_the_steps_and_the_memory_of_a_parser_grow_with_its_input(
    parser: Parser, tmp_path: Path
) -> None:
    size = parser.size // (10 if parser.slow else 50)
    measured(parser, tmp_path, parser.samples[0].encode())  # what only the first costs
    wrong = []
    tried = 0
    for name, shape in chosen(parser):
        once = measured(parser, tmp_path, shape(size))
        twice = measured(parser, tmp_path, shape(2 * size))
        tried += 2
        for kind, small, large, start in zip(
            ("lines", "bytes"), once, twice, (2000, 200_000)
        ):
            if large > 2.5 * small + start:
                wrong.append(f"{name}: {small} {kind} for {size} bytes, then {large}")
    assert wrong == []
    note(tried)


def chosen(parser: Parser) -> list[tuple[str, Shape]]:
    """All shapes in the long form, of a slow parser each eighth; else a few."""
    everything = list(shapes(parser))
    if SOAK:
        return everything[SEED % EIGHTH :: EIGHTH] if parser.slow else everything
    if parser.slow:
        return everything[7::250]
    return everything[7::40] + everything[-2:]


def measured(parser: Parser, folder: Path, content: bytes) -> tuple[int, int]:
    """How many lines of Python ran, and how many bytes they held at most."""
    lines = counted(lambda: check(parser, folder, content))
    tracemalloc.start()
    try:
        check(parser, folder, content)
        return lines, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def counted(call: Callable[[], object]) -> int:
    """How many lines ran in a call, in all modules and in the threads that it starts."""
    lines = 0

    def trace(frame: FrameType, what: str, _: Any) -> Any:
        nonlocal lines
        lines += what == "line"
        return trace

    before = sys.gettrace()
    threading.settrace(trace)
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
        threading.settrace(None)  # type: ignore[arg-type]
    return lines


@pytest.mark.parametrize("kind", ["fast", "slow"])
def test_large_inputs_are_read_within_a_limit_of_processor_time(kind: str) -> None:
    """What regular expressions and other C code do is not counted in lines."""
    names = [parser.name for parser in PARSERS if parser.slow == (kind == "slow")]
    if not SOAK and kind == "slow":
        names = ["configuration"]
    seconds = "30" if kind == "slow" else "5"
    done = _child("faults.limited", seconds, "1" if SOAK else "2", *names)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"{lines[-1:]} {done.stderr[-2000:]}"
    counts = [int(line.split()[-1]) for line in lines if " read " in line]
    assert len(counts) == len(names)
    note(sum(counts))
