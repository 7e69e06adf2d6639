"""Hostile names, facts, parameters and arguments in whole commands: no terminal is controlled."""

from typing import Any

import pytest
from conftest import Stage
from hostile import HOSTILE, printable
from sandbox.satellite import RHSM
from sandbox.world import guest_facts

from foreman_hooks.errors import EXIT_CODES, INTERNAL

from .scene import host_named
from .trials import SOAK, note

# An argument of the command line is a text without NUL; bytes that are not UTF-8 become \udcXX.
ARGUMENTS = [text for text in HOSTILE if not {"\0", "\ud800"} & set(text)] + [
    "\udcff",
    "",
    " ",
    "-",
    "%s%n",
    "../../etc/passwd",
    "x" * 5000,
    "' OR 1=1 --",
    'name = "a',
    '"' * 99,
    "(" * 999,
    "9" * 5000,
]


def check_output(result: tuple[int, str, str]) -> None:
    code, out, err = result
    assert code in EXIT_CODES and code != INTERNAL, err
    assert printable(out) and printable(err), ascii(out + err)
    assert "internal error (please report)" not in err
    assert len(err) < 20_000


@pytest.mark.parametrize("text", HOSTILE if SOAK else HOSTILE[:1], ids=ascii)
def test_no_name_fact_or_parameter_controls_the_terminal_of_any_command(
    stage: Stage, call: Any, text: str
) -> None:
    uuid = stage.terminated("old", record={"comment": text})
    stage.terminated("other", parameters={"role": text, f"{text}": "web"})
    stage.host("alive", facts=guest_facts(stage.host("twin"), vendor=f"Red Hat {text}"))
    for name in ("old", "other", "alive"):
        host = host_named(stage, name)
        host.name = f"{name}.{text}.example.com"
        host.facts[RHSM]["dmi::chassis::asset_tag"] = text
    valid = text.replace("\ud800", "")  # Nova's database holds UTF-8
    for instances in stage.openstack.instances.values():
        for instance in instances.values():
            instance.name = f"server {valid}"
            instance.project = f"project {valid}"
    stage.host("unmanaged-one")
    del stage.satellite.hosts[max(stage.satellite.hosts)]
    config = stage.config()
    page = stage.folder / "page.html"
    plan = stage.folder / "plan.json"
    metrics = stage.folder / "all.prom"
    commands = (
        ["-d", "plan", "--out", plan, "--report", page],
        ["-v", "plan"],
        ["plan", "--output", "csv"],
        ["plan", "--output", "json"],
        ["plan", "--output", "yaml"],
        ["explain", f"old.{text}.example.com".replace("\0", "")],
        ["unmanaged"],
        ["apply", plan],
        ["run", "--apply", "--metrics", metrics],
        ["run", "--apply", "--news"],
        ["history", "list"],
        ["history", "show", f"old.{text}.example.com".replace("\0", "")],
        ["restore", "old"],
        ["status"],
        ["check", uuid],
        ["doctor"],
    )
    for words in commands:
        check_output(call("--config", config, *words))
    for path in (page, metrics):
        assert not path.exists() or printable(path.read_text()), ascii(text)
    note(len(commands))


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "--search"],
        ["plan", "--organization"],
        ["plan", "--fields"],
        ["run", "--host"],
        ["run", "--uuid"],
        ["check"],
        ["explain"],
        ["history", "show"],
        ["history", "list", "--host"],
        ["restore"],
        ["ack"],
        ["apply"],
        ["event"],
        ["event", "host_created"],
        ["--config"],
        ["plan", "--output"],
        [],
    ],
    ids=" ".join,
)
def test_no_argument_ends_a_command_in_another_way_than_the_table_says(
    stage: Stage, call: Any, words: list[str]
) -> None:
    stage.terminated("old")
    config = stage.config()
    assert call("--config", config, "plan")[0] == 0
    before = stage.left
    arguments = ARGUMENTS if SOAK else ["\udcff", "9" * 5000]
    for text in arguments:
        check_output(call("--config", config, *words, text))
    assert stage.left == before
    note(len(arguments))
