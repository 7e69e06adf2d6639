"""The two forms of these tests: a few trials, or with SOAK=1 all of them; and what they count."""

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, TypeVar

T = TypeVar("T")
SOAK = bool(os.environ.get("SOAK"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
SHARES = 8 if SOAK else 1  # of the work, so that several processes can do it


class WrongDeletionError(AssertionError):
    """A record went that had to stay."""


def chosen(cases: Sequence[T], few: int, share: int = 0, salt: str = "") -> Sequence[T]:
    """The cases of this share in the long form, else a few, the same ones in every run.

    `salt`: tests with another one choose others.
    """
    if SOAK:
        return cases[share::SHARES]
    return random.Random(f"{SEED} {salt}").sample(cases, few)


def try_all(cases: Sequence[T], try_it: Callable[[T], Any]) -> None:
    """Try each case, and fail with the names of all that went wrong; note the figures.

    A case of which nothing can be seen returns False, and is not counted.
    """
    wrong: list[str] = []
    lost: list[str] = []
    tried = 0
    for case in cases:
        tried += 1
        try:
            if try_it(case) is False:
                tried -= 1
        except WrongDeletionError as error:
            wrong.append(f"{case}: {error}")
        except AssertionError as error:
            lost.append(f"{case}: {str(error)[:500]}")
    note(tried, len(wrong), len(lost))
    failures = "\n".join(wrong + lost)
    assert not failures, failures
    assert tried or SOAK, "nothing was tried"


def note(tried: int, wrong: int = 0, lost: int = 0) -> None:
    """Append figures of the test that runs now to the file that SOAK_FIGURES names.

    `wrong`: trials after which a record was gone that had to stay.  `lost`: those after which the
    journal, the words, the exit code or the next run were not as they should be.
    """
    path = os.environ.get("SOAK_FIGURES")
    if not path:
        return
    figures = {
        "test": os.environ["PYTEST_CURRENT_TEST"].split("[")[0].split(" ")[0],
        "seed": SEED,
        "tried": tried,
        "wrong": wrong,
        "lost": lost,
    }
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(figures) + "\n")
