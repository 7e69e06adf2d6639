"""Job templates as built: what Foreman's importer reads, what ERB leaves, and that inputs are data."""

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

from foreman_hooks.osp_checker import config as osp_config
from foreman_hooks.osp_checker import errors as osp_errors
from foreman_hooks.osp_checker import login as osp_login
from foreman_hooks.osp_checker import region as osp_checker
from foreman_hooks.osp_checker import session as osp_session
from satellite_remote_exec import build as build_module
from satellite_remote_exec.build import JobTemplate, build, metadata

BUILT = {template.file_name.split(".")[0]: template for template in build()}
RUBY = shutil.which("ruby")
real_erb = pytest.mark.skipif(
    not RUBY, reason="needs ruby, to render ERB as Satellite does (apt-get install ruby)"
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
# What Foreman and its remote execution read; any other key of an input is mass-assigned, and fails
# the import.
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
    given = {
        one["name"]: inputs.get(one["name"]) for one in metadata(template.text)["template_inputs"]
    }
    ran = subprocess.run(
        [RUBY, "-EUTF-8", "-e", RENDER],
        input=json.dumps({"text": template.text, "inputs": given}),
        capture_output=True,
        text=True,
        check=True,
    )
    found, script = json.loads(ran.stdout)
    return found, script


def calls(script: str) -> list[str]:
    """The last line of a script: the call that carries the inputs."""
    return script[script.index('\nif __name__ == "__main__":') :].splitlines()


def test_there_are_three_each_under_its_name() -> None:
    assert {template.name for template in BUILT.values()} == {
        "OSP - Check instances",
        "OSP - Clean up terminated hosts",
        "OSP - Publish instance identity",
    }


@pytest.mark.parametrize("name", BUILT)
def test_the_metadata_says_all_that_an_import_needs(name: str) -> None:
    found = metadata(BUILT[name].text)
    assert found.keys() == KEYS
    assert (found["kind"], found["model"], found["provider_type"]) == (
        "job_template",
        "JobTemplate",
        "script",
    )
    assert (found["job_category"], found["snippet"]) == ("OpenStack", False)
    for one in found["template_inputs"]:
        assert one.keys() <= KEYS_OF_INPUTS
        assert (
            one["input_type"] == "user"
            and one["description"]
            and one["value_type"] in ("plain", "search")
        )
        assert "options" not in one or one["default"] in one["options"].split("\n")
    assert set(re.findall(r"%\{(\w+)\}", found["description_format"])) <= {
        one["name"] for one in found["template_inputs"]
    }


@pytest.mark.parametrize("name", BUILT)
def test_the_shebang_follows_the_metadata_and_all_is_ascii(name: str) -> None:
    """The importer removes the comment and strips, so that the shebang is the first byte of the
    script.
    """
    assert HEADER.match(BUILT[name].text)
    assert BUILT[name].text.isascii() and "\r" not in BUILT[name].text


@pytest.mark.parametrize("name", BUILT)
def test_erb_sees_no_tag_but_the_inputs(name: str) -> None:
    body = HEADER.sub("", BUILT[name].text)
    inputs = [one["name"] for one in metadata(BUILT[name].text)["template_inputs"]]
    tags = re.findall(r"<%(?!%).*?%>", body, re.DOTALL)
    assert sorted(tags) == sorted(f"<%= to_json(input('{one}')) %>" for one in inputs)


def test_the_checker_travels_whole() -> None:
    """Its administrators review it in Satellite's page: every line but the imports of the package
    is there.
    """
    for module in (osp_errors, osp_session, osp_config, osp_login, osp_checker):
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        text = BUILT["check_instances"].text.splitlines()
        lines = source.splitlines()
        for node in ast.parse(source).body:
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("foreman_hooks."):
                lines[node.lineno - 1 : node.end_lineno] = [""] * (
                    node.end_lineno - node.lineno + 1
                )
        assert [line for line in lines if line not in text] == []


@pytest.mark.parametrize("name", ["check_instances", "clean_up"])
def test_a_python_that_is_too_old_says_so_before_anything_else(name: str) -> None:
    body = HEADER.sub("", BUILT[name].text)
    first, second = ast.parse(re.sub(r"<%=.*?%>", "None", body).replace("<%%", "<%")).body[:2]
    assert isinstance(first, ast.Import) and isinstance(second, ast.If)
    assert "Python 3.9 or newer" in ast.dump(second)


@real_erb
@pytest.mark.parametrize("name", BUILT)
def test_real_erb_leaves_the_same_script(name: str) -> None:
    found, script = render(BUILT[name])
    assert found == metadata(BUILT[name].text) == yaml.safe_load(yaml.safe_dump(found))
    assert script.startswith("#!/usr/bin/env python3\n")
    compile(script, name, "exec")
    written = re.sub(
        r"<%=.*?%>", "null", HEADER.sub("#!/usr/bin/env python3\n", BUILT[name].text)
    ).replace("<%%", "<%")
    assert script == written.strip()


@real_erb
@pytest.mark.parametrize("kind", HOSTILE)
def test_whatever_is_typed_into_an_input_arrives_as_that_text(kind: str, tmp_path: Path) -> None:
    """Rendered by real ERB, then run as a file: an input cannot run as shell, Python or ERB."""
    value = HOSTILE[kind]
    _, script = render(
        BUILT["clean_up"], mode="plan", search=value, organization=value, output="table"
    )
    command = tmp_path / "satellite-osp-cleanup"
    command.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"json.dump(sys.argv[1:], open({str(tmp_path / 'seen')!r}, 'w'))\n"
    )
    command.chmod(0o755)
    file = tmp_path / "script"
    file.write_text(script, encoding="utf-8")
    if kind in ("NUL", "400 KB"):  # no argument of a command can be that
        ran = subprocess.run(
            [sys.executable, str(file)], env={"PATH": str(tmp_path)}, capture_output=True, text=True
        )
        assert (ran.returncode, ran.stdout) == (64, "error: an input is too long, or holds a NUL\n")
        return
    subprocess.run(
        [sys.executable, str(file)], env={"PATH": str(tmp_path)}, check=True, cwd=tmp_path
    )
    assert json.loads((tmp_path / "seen").read_text()) == [
        "plan",
        f"--search={value}",
        f"--organization={value}",
        "--output=table",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {
        "satellite-osp-cleanup",
        "seen",
        "script",
        "home",
    }


@real_erb
@pytest.mark.parametrize("kind", ["quotes", "ERB", "Unicode", "400 KB"])
def test_a_hostile_question_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    _, script = render(BUILT["check_instances"], question=HOSTILE[kind], mode="ask", nonce="0")
    file = tmp_path / "script"
    file.write_text(script, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, str(file)], env={"HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert ran.returncode == 65
    assert (
        ran.stdout.startswith("error: not a UUID: ")
        and ran.stdout.count("\n") == 1
        and ran.stdout.isascii()
    )
    assert len(ran.stdout) < 1000 and ran.stderr == ""


def test_two_modules_that_give_one_name_two_meanings_are_not_made_one_script() -> None:
    """The later one would win, in silence."""
    with pytest.raises(ValueError, match="_one_line"):
        build_module._check_names({"a": "def _one_line(): return 1", "b": "_one_line = 2"})
    with pytest.raises(ValueError, match="time"):
        build_module._check_names({"a": "import time", "b": "from time import time"})
    build_module._check_names({"a": "import re", "b": "import re\nfor x in y: pass"})
