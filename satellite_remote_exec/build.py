"""From readable sources to job templates: metadata (YAML in an ERB comment) and a whole Python
script.

A template is rendered twice: here by jinja2, which puts the Python files of the package in, and by
Satellite's ERB when a job starts, which puts the inputs in.  ERB sees Python's text as well, so
whatever could open a tag there is escaped; and an input is always a JSON string, which Python reads
as the same text, whatever stands in it (measured).
"""

import ast
import importlib.util
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import yaml

OURS = ("foreman_hooks", "satellite_remote_exec")
FOLDER = Path(__file__).parent / "templates"
_TOO_OLD = """import sys

if sys.version_info < {least}:
    sys.exit("error: this needs Python {text} or newer, and python3 here is %d.%d" % sys.version_info[:2])
"""


class JobTemplate(NamedTuple):
    """One job template: its name in Satellite, and its text as Satellite imports it."""

    name: str
    text: str
    file_name: str  # for `templates build`


def build() -> list[JobTemplate]:
    """All job templates, by name."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )  # noqa: S701  no HTML
    environment.globals.update(python=_python, input=_input)
    found = []
    for name in environment.list_templates(extensions=["j2"]):
        text = environment.get_template(name).render()
        found.append(JobTemplate(metadata(text)["name"], text, name[: -len(".j2")]))
    return sorted(found)


def metadata(text: str) -> dict[str, Any]:
    """What Foreman reads from a template: the YAML of its first ERB comment
    (Template.parse_metadata).
    """
    comment = re.search(r"<%#[\t a-z0-9=:]*(.+?).-?%>", text, re.DOTALL)
    return yaml.safe_load(comment[1]) if comment else {}


def _input(name: str) -> str:
    """An input as a Python literal: JSON is one, but for null."""
    return f"<%= to_json(input('{name}')) %>"


def _python(*modules: str, least: tuple[int, int] = (3, 9)) -> str:
    """The text of these modules as one script, without their imports of each other, safe from ERB."""
    head = _TOO_OLD.format(least=least, text=".".join(map(str, least)))
    texts = {module: _read(module) for module in modules}
    _check_names(texts)
    return (
        "\n\n".join([head, *itertools.starmap(_source, texts.items())])
        .rstrip()
        .replace("<%", "<%%")
    )


def _read(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec and spec.origin
    return Path(spec.origin).read_text(encoding="ascii")


def _is_ours(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and bool(
        node.level or (node.module or "").split(".")[0] in OURS
    )


def _check_names(texts: Mapping[str, str]) -> None:
    """Raise ValueError where two modules give one name two meanings: in one script the later would
    win.
    """
    meanings: dict[str, str] = {}
    for module, text in texts.items():
        for name, meaning in _names(module, ast.parse(text).body):
            if meanings.setdefault(name, meaning) != meaning:
                raise ValueError(
                    f"{name} is {meanings[name]} and {meaning}; in one script it can be one of them only"
                )


def _names(module: str, statements: Iterable[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Every name that a module binds at its top, and to what."""
    for node in statements:
        if isinstance(node, ast.Import):
            for one in node.names:  # "import a.b" binds a, "import a.b as c" binds a.b
                top = one.name if one.asname else one.name.split(".")[0]
                yield one.asname or top, top
        elif isinstance(node, ast.ImportFrom):
            yield from (
                (one.asname or one.name, f"{node.module}.{one.name}")
                for one in node.names
                if not _is_ours(node)
            )
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name, f"{module}.{node.name}"
        else:
            targets = (
                one
                for one in ast.walk(node)
                if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
            )
            yield from ((one.id, f"{module}.{one.id}") for one in targets)


def _source(module: str, text: str) -> str:
    """A module's text under its name, without the imports of our own."""
    lines = text.splitlines()
    for node in filter(_is_ours, ast.parse(text).body):
        assert node.end_lineno
        lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    kept = re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines)).strip()
    return f"# {f' {module.replace(chr(46), chr(47))}.py ':-^100}\n\n{kept}\n"
