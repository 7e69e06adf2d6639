"""The code stays in order: imports run downwards only, and the code stays readable."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from readability import SHIPPED, Figures, measure, measure_folder

ROOT = Path(__file__).parent.parent
# From the top down: each room may import from itself and from rooms below it.
STOREYS = (
    ("commands",),
    ("reports",),
    ("cleanup",),
    ("hooks",),
    ("settings",),
    ("section",),
    ("satellite",),
    ("rules",),
    ("errors", "files", "paths", "times", "unreadable"),
    ("osp_checker",),
)
LEVEL = {room: number for number, rooms in enumerate(STOREYS) for room in rooms}
SOURCES = sorted((ROOT / "foreman_hooks").rglob("*.py"))


def room_of(module: str) -> str:
    """`foreman_hooks.rules.plan` is in the room `rules`."""
    return module.split(".")[1] if "." in module else ""


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imported_modules(path: Path) -> Iterator[str]:
    """Every module of ours that a file imports, also within its functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            base = str(node.module)
            if base == "foreman_hooks":
                yield from (f"{base}.{alias.name}" for alias in node.names)
            elif base.startswith("foreman_hooks."):
                yield base
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            yield from (name for name in names if name.startswith("foreman_hooks."))


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_run_downwards_only(path: Path) -> None:
    own = room_of(module_of(path))
    for module in imported_modules(path):
        room = room_of(module)
        assert room in LEVEL, f"{module} is in no storey"
        assert room == own or LEVEL[room] > LEVEL[own], f"{own} imports {module}"


def module_graph() -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports; a package stands for its __init__."""
    known = {module_of(path).removesuffix(".__init__"): path for path in SOURCES}
    graph = {}
    for module, path in known.items():
        graph[module] = {name for name in imported_modules(path) if name in known}
    return graph


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = module_graph()
    while graph:
        leaves = {
            module for module, imports in graph.items() if not imports & graph.keys()
        }
        assert leaves, f"these import each other: {sorted(graph)}"
        graph = {
            module: imports for module, imports in graph.items() if module not in leaves
        }


def test_a_module_is_loaded_by_name_only_where_a_command_is_looked_up() -> None:
    users = [module_of(path) for path in SOURCES if "import_module" in path.read_text()]
    assert users == ["foreman_hooks.commands.main"]


def test_no_command_imports_the_dispatcher() -> None:
    for path in (ROOT / "foreman_hooks" / "commands").glob("*.py"):
        assert "foreman_hooks.commands.main" not in set(imported_modules(path))


def test_no_product_code_imports_the_sandbox() -> None:
    for package in SHIPPED:
        for path in (ROOT / package).rglob("*.py"):
            assert "sandbox" not in path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def figures() -> Figures:
    total = Figures()
    for package in SHIPPED:
        total += measure_folder(ROOT / package)
    return total


def test_lines_are_short_and_simple(figures: Figures) -> None:
    assert figures.tokens_a_line <= 7
    assert figures.long_lines == 0
    assert figures.with_two_for < 10
    assert figures.nested_conditionals == 0


def test_functions_fit_on_a_screen(figures: Figures) -> None:
    assert figures.long_functions == 0


def test_names_say_what_they_hold(figures: Figures) -> None:
    assert figures.vague_names == 0


def test_the_figures_count_what_they_say() -> None:
    source = '''"""A docstring is not code."""
rows = [cell for row in table for cell in row]  # neither is a comment
found = (1 if a else 2) if b else 3
'''
    figures = measure(source)
    assert figures.code == 2
    assert figures.tokens == 13 + 13
    assert (figures.comprehensions, figures.with_two_for) == (1, 1)
    assert (figures.conditionals, figures.nested_conditionals) == (2, 1)
    assert figures.vague_names == 1
