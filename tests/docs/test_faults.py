"""docs/faults.md has a row for each test of tests/faults, and figures of one long form."""

import ast
import json

from faults.figures import PAGE, ROW, with_figures

from docs.pages import ROOT

FOLDER = ROOT / "tests" / "faults"


def names_of_tests() -> set[str]:
    """file.py::name of each."""
    names = set()
    for file in FOLDER.glob("test_*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                names.add(f"{file.name}::{node.name}")
    return names


def rows() -> list[tuple[str, ...]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [row.groups() for row in map(ROW.match, lines) if row]


def test_every_test_of_faults_has_one_row_and_every_row_a_test() -> None:
    named = [row[-1] for row in rows()]
    assert sorted(named) == sorted(names_of_tests())


def test_the_figures_are_of_one_long_form_in_which_all_held() -> None:
    """All rows have them, or none, if the tests have changed since."""
    figures = [row[1:4] for row in rows()]
    if ("", "", "") in figures:
        assert set(figures) == {("", "", "")}
        return
    for tried, wrong, lost in figures:
        assert int(tried.replace(",", "")) > 0
        assert (wrong, lost) == ("0", "0")


def test_figures_replace_those_of_an_earlier_run() -> None:
    page = "make soak SEED=1\n| a | b | held | 1 | 0 | 0 | `test_a.py::test_b` |\n"
    figures = {"test": "tests/faults/test_a.py::test_b", "seed": 7, "tried": 999}
    first = json.dumps({**figures, "wrong": 0, "lost": 1})
    second = json.dumps({**figures, "tried": 2, "wrong": 0, "lost": 0})
    assert with_figures(page, f"{first}\n{second}\n") == (
        "make soak SEED=7\n| a | b | held | 1,001 | 0 | 1 | `test_a.py::test_b` |\n"
    )
