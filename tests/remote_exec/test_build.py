"""The job templates: what Foreman's importer reads, what ERB leaves, and that inputs are data."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import pytest
import yaml
from oldest_python import PYTHON_36, needs_python_36

from foreman_hooks import osp_checker
from satellite_remote_exec.build import (
    JobTemplate,
    _check_imports,
    _check_names,
    build,
    metadata,
)

BUILT = {template.file_name.split(".")[0]: template for template in build()}
LIBRARY = Path(str(osp_checker.__file__)).parent
RUBY = shutil.which("ruby")
real_erb = pytest.mark.skipif(
    not RUBY,
    reason="needs ruby, to render ERB as Satellite does (apt-get install ruby)",
)
HOSTILE = {
    "quotes": "a\"b'c\"\"\"d'''e`f",
    "shell": "$(touch owned); `id` && rm -rf / | cat > x",
    "ERB": "<% x %> <%= 1 %> <%%",
    "Python": "\") or __import__('os').system('id') or (\"",
    "backslashes": "\\ \\\\ \\n \\x41 \\u0041 \\N{DASH} \\",
    "lines": "one\ntwo\r\nthree\tfour\x0b\x0c\x1b[2J",
    "Unicode": "pr\u00f6d \u4e2d \U0001f600 \u2028 \u2029 \ufeff",
    "formats": "%s %(x)s {0} {x} #{1+1} %>",
    "end of a script": "</script>&amp;<!--",
    "NUL": "a\0b",
    "400 KB": "0123456789abcdef" * 25_000,
}
HEADER = re.compile(r"\A<%#\n.*?\n%>\n#!/usr/bin/env python3\n", re.DOTALL)
# What Foreman and its remote execution read.  Any other key of an input is mass-assigned, which
# makes the import fail.
KEYS = {
    "name",
    "kind",
    "model",
    "snippet",
    "job_category",
    "provider_type",
    "description",
    "description_format",
    "template_inputs",
}
KEYS_OF_INPUTS = {
    "name",
    "input_type",
    "value_type",
    "resource_type",
    "required",
    "default",
    "options",
    "advanced",
    "description",
}

RENDER = r"""
require 'erb'; require 'json'; require 'yaml'
given = JSON.parse(STDIN.read)
INPUTS = given['inputs']
def input(name); INPUTS.fetch(name); end
# ActiveSupport escapes these three, and Ruby's own generator does not
def to_json(value); value.to_json.gsub(/[<>&]/) { |char| format('\u%04x', char.ord) }; end
text = given['text']
meta = text.match(/<%\#[\t a-z0-9=:]*(.+?).-?%>/m)
body = text.sub(/<%\#.+?.-?%>\n?/m, '').strip
print JSON.generate([YAML.safe_load(meta[1]), ERB.new(body, trim_mode: '-').result])
"""


def render(template: JobTemplate, **inputs: Optional[str]) -> tuple[Any, str]:
    """The metadata and the script, as real Ruby reads and renders them."""
    assert RUBY
    values = {name: inputs.get(name) for name in input_names(template)}
    ran = subprocess.run(
        [RUBY, "-EUTF-8", "-e", RENDER],
        input=json.dumps({"text": template.text, "inputs": values}),
        capture_output=True,
        text=True,
        check=True,
    )
    header, script = json.loads(ran.stdout)
    return header, script


def input_names(template: JobTemplate) -> list[str]:
    return [row["name"] for row in metadata(template.text)["template_inputs"]]


def blank_script(name: str) -> str:
    """The script of a template as ERB leaves it when every input is blank."""
    script = HEADER.sub("#!/usr/bin/env python3\n", BUILT[name].text)
    return re.sub(r"<%=.*?%>", "null", script).replace("<%%", "<%")


def test_there_are_three_templates() -> None:
    assert {template.name for template in BUILT.values()} == {
        "OSP - Check instances",
        "OSP - Clean up terminated hosts",
        "OSP - Publish instance identity",
    }


@pytest.mark.parametrize("name", BUILT)
def test_the_metadata_has_all_that_an_import_needs(name: str) -> None:
    header = metadata(BUILT[name].text)
    assert header.keys() == KEYS
    assert header["kind"] == "job_template" and header["model"] == "JobTemplate"
    assert header["provider_type"] == "script"
    assert (header["job_category"], header["snippet"]) == ("OpenStack", False)
    for row in header["template_inputs"]:
        assert row.keys() <= KEYS_OF_INPUTS
        assert row["input_type"] == "user" and row["description"]
        assert row["value_type"] in ("plain", "search")
        assert "options" not in row or row["default"] in row["options"].split("\n")
    in_format = set(re.findall(r"%\{(\w+)\}", header["description_format"]))
    assert in_format <= set(input_names(BUILT[name]))


@pytest.mark.parametrize("name", BUILT)
def test_the_shebang_follows_the_metadata_and_all_is_ascii(name: str) -> None:
    """The importer removes the comment and strips the rest, so the script starts with it."""
    assert HEADER.match(BUILT[name].text)
    assert BUILT[name].text.isascii() and "\r" not in BUILT[name].text


@pytest.mark.parametrize("name", BUILT)
def test_the_only_erb_tags_are_the_inputs(name: str) -> None:
    body = HEADER.sub("", BUILT[name].text)
    tags = re.findall(r"<%(?!%).*?%>", body, re.DOTALL)
    expected = [f"<%= to_json(input('{each}')) %>" for each in input_names(BUILT[name])]
    assert sorted(tags) == sorted(expected)


def own_imports(source: str) -> list[ast.ImportFrom]:
    """The statements in a module of the checker library that import from this project."""
    statements = [
        node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)
    ]
    return [
        node for node in statements if str(node.module).startswith("foreman_hooks.")
    ]


def carried_modules() -> list[str]:
    """The modules that the check carries, in order, without its script."""
    text = BUILT["check_instances"].text
    paths = re.findall(r"^# -+ (\S+)\.py -+$", text, re.MULTILINE)
    assert paths.pop() == "satellite_remote_exec/scripts/check_instances"
    return [path.replace("/", ".") for path in paths]


def test_the_check_carries_the_checker_library_and_nothing_else_of_the_project() -> (
    None
):
    names = {file.stem for file in LIBRARY.glob("*.py")} - {"__init__"}
    modules = [f"foreman_hooks.osp_checker.{name}" for name in names]
    assert sorted(carried_modules()) == sorted(modules)


def test_the_check_carries_each_module_whole() -> None:
    """The OSP team reviews it in Satellite: every line is there but the project's own imports."""
    text = BUILT["check_instances"].text.splitlines()
    for module in carried_modules():
        source = (LIBRARY / f"{module.split('.')[-1]}.py").read_text(encoding="utf-8")
        lines = source.splitlines()
        for node in own_imports(source):
            assert node.end_lineno
            for number in range(node.lineno, node.end_lineno + 1):
                lines[number - 1] = ""
        assert [line for line in lines if line not in text] == []


def test_each_module_comes_after_those_that_it_imports() -> None:
    earlier: set[str] = set()
    for module in carried_modules():
        source = (LIBRARY / f"{module.split('.')[-1]}.py").read_text(encoding="utf-8")
        assert {str(node.module) for node in own_imports(source)} <= earlier, module
        earlier.add(module)


@pytest.mark.parametrize(
    ("name", "version"),
    [("check_instances", "3.9"), ("clean_up", "3.6"), ("publish_identity", "3.6")],
)
def test_a_python_that_is_too_old_says_so_before_anything_else(
    name: str, version: str
) -> None:
    first, second = ast.parse(blank_script(name)).body[:2]
    assert isinstance(first, ast.Import) and isinstance(second, ast.If)
    assert f"Python {version} or newer" in ast.dump(second)


@needs_python_36
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "check_instances",
            "error: this script needs Python 3.9 or newer; python3 on this host",
        ),
        ("clean_up", "error: satellite-osp-cleanup is not installed on this host"),
    ],
)
def test_python_36_runs_a_script_or_says_that_it_is_too_old(
    name: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "script"
    file.write_text(blank_script(name))
    done = subprocess.run(
        [PYTHON_36, "-I", str(file)],
        env={"PATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.stdout.startswith(message)
    assert done.stdout.count("\n") == 1 and done.returncode != 0


@real_erb
@pytest.mark.parametrize("name", BUILT)
def test_real_erb_leaves_the_same_script(name: str) -> None:
    header, script = render(BUILT[name])
    assert (
        header == metadata(BUILT[name].text) == yaml.safe_load(yaml.safe_dump(header))
    )
    assert script.startswith("#!/usr/bin/env python3\n")
    compile(script, name, "exec")
    assert script == blank_script(name).strip()


@real_erb
@pytest.mark.parametrize("kind", HOSTILE)
def test_whatever_is_typed_into_an_input_arrives_unchanged(
    kind: str, tmp_path: Path
) -> None:
    """Rendered by real ERB, then run as a file: an input cannot run as shell, Python or ERB."""
    value = HOSTILE[kind]
    _, script = render(
        BUILT["clean_up"], mode="plan", search=value, organization=value, output="table"
    )
    command = tmp_path / "satellite-osp-cleanup"
    command.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"json.dump(sys.argv[1:], open({str(tmp_path / 'arguments')!r}, 'w'))\n"
    )
    command.chmod(0o755)
    file = tmp_path / "script"
    file.write_text(script, encoding="utf-8")
    if kind in ("NUL", "400 KB"):  # an argument of a command cannot be that
        ran = subprocess.run(
            [sys.executable, str(file)],
            env={"PATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 64
        assert ran.stdout == "error: an input is too long, or has a NUL character\n"
        return
    subprocess.run(
        [sys.executable, str(file)],
        env={"PATH": str(tmp_path)},
        check=True,
        cwd=tmp_path,
    )
    assert json.loads((tmp_path / "arguments").read_text()) == [
        "plan",
        f"--search={value}",
        f"--organization={value}",
        "--output=table",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {
        "satellite-osp-cleanup",
        "arguments",
        "script",
        "home",
    }


@real_erb
@pytest.mark.parametrize("kind", ["quotes", "ERB", "Unicode", "400 KB"])
def test_a_hostile_question_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    _, script = render(
        BUILT["check_instances"], question=HOSTILE[kind], mode="ask", nonce="0"
    )
    file = tmp_path / "script"
    file.write_text(script, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, str(file)],
        env={"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 65
    assert ran.stdout.startswith("error: not a UUID: ")
    assert ran.stdout.count("\n") == 1 and ran.stdout.isascii()
    assert len(ran.stdout) < 1000 and ran.stderr == ""


def test_two_modules_that_use_one_name_for_two_things_do_not_become_one_script() -> (
    None
):
    """Otherwise the later meaning would silently win."""
    with pytest.raises(ValueError, match="_one_line"):
        _check_names({"a": "def _one_line(): return 1", "b": "_one_line = 2"})
    with pytest.raises(ValueError, match="time"):
        _check_names({"a": "import time", "b": "from time import time"})
    _check_names({"a": "import re", "b": "import re\nfor x in y: pass"})


@pytest.mark.parametrize(
    "statement",
    [
        "import foreman_hooks.paths",
        "from . import errors",
        "from .errors import OSPError",
        "from foreman_hooks.errors import code_of as code",
        "def f():\n    from foreman_hooks.errors import code_of",
    ],
)
def test_an_import_that_would_fail_on_the_host_is_an_error(statement: str) -> None:
    with pytest.raises(ValueError, match="at run time"):
        _check_imports(f"import re\n{statement}\n")


def test_imports_of_other_packages_stay() -> None:
    _check_imports("import json\nfrom datetime import datetime\n")
