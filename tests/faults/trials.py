"""The two forms of these tests: a few trials, or with SOAK=1 all of them; and what they count."""

import json
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, TypeVar

T = TypeVar("T")
SOAK = bool(os.environ.get("SOAK"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
SHARES = 8 if SOAK else 1  # of the work, so that several processes can do it


def chosen(cases: Sequence[T], few: int, share: int = 0, salt: str = "") -> Sequence[T]:
    """The cases of this share in the long form, else a few, the same ones in every run.

    `salt`: tests with another one choose others.
    """
    if SOAK:
        return cases[share::SHARES]
    return random.Random(f"{SEED} {salt}").sample(cases, few)


def try_all(hazard: str, cases: Sequence[T], try_it: Callable[[T], Any]) -> None:
    """Try each case, and fail with all that went wrong; note the figures.

    A case of which nothing can be seen returns False, and is not counted.
    """
    wrong: list[str] = []
    tried = 0
    for case in cases:
        tried += 1
        with _noted(f"{case}", wrong):
            if try_it(case) is False:
                tried -= 1
    _record(hazard, tried, len(wrong))
    assert not wrong, "\n".join(wrong)
    assert tried or SOAK, "nothing was tried"


@contextmanager
def _noted(case: str, wrong: list[str]) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        wrong.append(f"{case}: {str(error)[:500]}")


def _record(hazard: str, tried: int, wrong: int) -> None:
    """Append the figures of a test to the file that SOAK_FIGURES names."""
    path = os.environ.get("SOAK_FIGURES")
    if not path:
        return
    figures = {
        "hazard": hazard,
        "tried": tried,
        "wrong": wrong,
        "lost": 0,
        "seed": SEED,
        "test": os.environ["PYTEST_CURRENT_TEST"].split("[")[0],
    }
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(figures) + "\n")
