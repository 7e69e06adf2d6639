"""Build the job templates: metadata (YAML in an ERB comment), then a complete Python script.

A template is rendered twice: here by Jinja2, which inserts Python files of this project, and by
Satellite's ERB when a job starts, which inserts the inputs.  ERB also reads the Python text, so
everything in it that could open a tag is escaped.  An input always arrives as a JSON string, which
Python reads as the same text, whatever characters it contains (measured).

A script carries the module that the template names and every module of this project that it
imports.  So a new module of the checker library needs no change here: importing it is enough.
"""

import ast
import importlib.util
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import yaml

OWN_PACKAGES = ("foreman_hooks", "satellite_remote_exec")
FOLDER = Path(__file__).parent / "templates"
Binding = tuple[str, str]  # a name, and what it is bound to
_VERSION_CHECK = """import sys

if sys.version_info < {oldest}:
    sys.exit(
        "error: this script needs Python {text} or newer; python3 on this host is %d.%d"
        % sys.version_info[:2]
    )
"""


class JobTemplate(NamedTuple):
    """One job template.

    `name`: as Satellite shows it.  `text`: as Satellite imports it.  `file_name`: for
    `templates build`.
    """

    name: str
    text: str
    file_name: str


def build() -> list[JobTemplate]:
    """Build all job templates, sorted by name."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # the output is Python, not HTML
    )
    environment.globals.update(python=_script, input=_input)
    templates = []
    for source in environment.list_templates(extensions=["j2"]):
        text = environment.get_template(source).render()
        name = metadata(text)["name"]
        file_name = source[: -len(".j2")]
        templates.append(JobTemplate(name, text, file_name))
    return sorted(templates)


def metadata(text: str) -> dict[str, Any]:
    """Read the YAML in a template's first ERB comment, as Foreman's Template.parse_metadata does.

    Returns an empty dict if there is no such comment.
    """
    comment = re.search(r"<%#[\t a-z0-9=:]*(.+?).-?%>", text, re.DOTALL)
    if comment is None:
        return {}
    return yaml.safe_load(comment[1])


def _input(name: str) -> str:
    """The ERB tag that inserts an input as a Python literal; a blank input becomes `null`."""
    return f"<%= to_json(input('{name}')) %>"


def _script(module: str, oldest: tuple[int, int] = (3, 9)) -> str:
    """The module and those of this project that it imports, as one script, escaped for ERB.

    `oldest`: the oldest Python that runs it; on an older one the script ends with an error.
    Raises ValueError if the modules do not fit in one script.
    """
    sources: dict[str, str] = {}
    _collect_sources(module, sources)
    _check_names(sources)
    version = ".".join(map(str, oldest))
    parts = [_VERSION_CHECK.format(oldest=oldest, text=version)]
    for name, text in sources.items():
        parts.append(_section(name, text))
    script = "\n\n".join(parts).rstrip()
    _check_imports(script)
    return script.replace("<%", "<%%")


def _collect_sources(module: str, sources: dict[str, str]) -> None:
    """Add a module's text to `sources`, after those of the modules that it imports."""
    if module in sources:
        return
    text = _read(module)
    for statement in ast.parse(text).body:
        imported = _own_module(statement)
        if imported:
            _collect_sources(imported, sources)
    sources[module] = text


def _read(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec and spec.origin
    return Path(spec.origin).read_text(encoding="ascii")


def _own_module(statement: ast.stmt) -> str:
    """The module of this project that a `from ... import` reads from; "" for anything else.

    Also "" for a relative import and for one that changes a name: see `_check_imports`.
    """
    if not isinstance(statement, ast.ImportFrom) or statement.level:
        return ""
    for alias in statement.names:
        if alias.asname not in (None, alias.name):
            return ""
    if statement.module and _is_own(statement.module):
        return statement.module
    return ""


def _is_own(module: str) -> bool:
    return module.split(".")[0] in OWN_PACKAGES


def _check_names(sources: Mapping[str, str]) -> None:
    """Raise ValueError if two modules use one name for two things: the later one would win."""
    meanings: dict[str, str] = {}
    for module, text in sources.items():
        for name, meaning in _top_level_names(module, text):
            earlier = meanings.setdefault(name, meaning)
            if earlier != meaning:
                raise ValueError(
                    f"{name} is both {earlier} and {meaning}; "
                    "in one script a name can have one meaning only"
                )


def _top_level_names(module: str, text: str) -> Iterator[Binding]:
    """Yield all that a module binds at its top level."""
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Import):
            yield from map(_imported_name, statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield from _names_imported_from(statement)
        elif isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            yield statement.name, f"{module}.{statement.name}"
        else:
            for name in _assigned_names(statement):
                yield name, f"{module}.{name}"


def _imported_name(alias: ast.alias) -> Binding:
    """What an `import` binds."""
    if alias.asname:
        return alias.asname, alias.name
    package = alias.name.split(".")[0]  # "import a.b" binds a
    return package, package


def _names_imported_from(statement: ast.ImportFrom) -> Iterator[Binding]:
    """What a `from ... import` binds; nothing if it is left out of the script."""
    if _own_module(statement):
        return
    for alias in statement.names:
        name = alias.asname or alias.name
        yield name, f"{statement.module}.{alias.name}"


def _assigned_names(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        if not isinstance(node, ast.Name):
            continue
        if isinstance(node.ctx, ast.Store):
            yield node.id


def _section(module: str, text: str) -> str:
    """A module's text under a line with its path, without its imports from this project."""
    lines = text.splitlines()
    for statement in ast.parse(text).body:
        if _own_module(statement):
            start, end = statement.lineno - 1, statement.end_lineno
            assert end
            lines[start:end] = [""] * (end - start)
    path = module.replace(".", "/")
    heading = f" {path}.py ".center(98, "-")
    body = "\n".join(lines).strip()
    body = re.sub(r"\n{4,}", "\n\n\n", body)
    return f"# {heading}\n\n{body}\n"


def _check_imports(script: str) -> None:
    """Raise ValueError if the script still imports from this project, which its host lacks.

    `_section` takes out only `from package.module import name` at the top level of a module: not a
    relative import, an import inside a function, or one that changes a name.
    """
    for node in ast.walk(ast.parse(script)):
        for module in _imported_modules(node):
            if module.startswith(".") or _is_own(module):
                raise ValueError(
                    f"the script cannot import {module} at run time; "
                    "use 'from package.module import name' at the top level of a module"
                )


def _imported_modules(node: ast.AST) -> list[str]:
    """The modules that a statement imports; a relative one begins with a dot."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        dots = "." * node.level
        return [dots + (node.module or "")]
    return []
