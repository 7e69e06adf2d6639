"""The maintenance mode of foreman-maintain: how it is recognized, and what it stops."""

from pathlib import Path
from typing import Any

import pytest

from foreman_hooks.hooks import maintenance


@pytest.mark.parametrize(
    ("tables", "chain", "on"),
    [
        ("table ip filter\ntable inet FOREMAN_MAINTAIN_TABLE\n", False, True),
        ("table ip filter\ntable inet firewalld\n", False, False),
        ("table inet NOT_FOREMAN_MAINTAIN_TABLE\n", False, False),
        ("", False, False),
        (None, True, True),
        (None, False, False),
        ("", True, False),
    ],
)
def test_maintenance_mode_is_recognized_as_foreman_maintain_does(
    tables: Any, chain: bool, on: bool
) -> None:
    assert maintenance.is_on(tables, chain) is on


@pytest.mark.parametrize(
    ("tool", "script", "on"),
    [
        (
            "nft",
            '[ "$*" = "list tables" ] && echo "table inet FOREMAN_MAINTAIN_TABLE"',
            True,
        ),
        ("nft", "echo table ip x", False),
        ("nft", 'echo "Operation not permitted (you must be root)" >&2; exit 1', False),
        ("iptables", '[ "$*" = "-n -L FOREMAN_MAINTAIN" ]', True),
        ("iptables", "echo No chain/target/match by that name >&2; exit 1", False),
        ("other", "exit 0", False),
    ],
)
def test_the_packet_filter_is_asked_and_without_an_answer_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str, script: str, on: bool
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}")
    monkeypatch.setattr(maintenance, "SBIN", ())
    (tmp_path / tool).write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / tool).chmod(0o755)
    assert maintenance.is_on(*maintenance.look()) is on


@pytest.mark.parametrize("words", [["run"], ["run", "--apply"], ["apply", "plan.json"]])
def test_in_maintenance_mode_a_run_ends_with_75_and_one_line(
    stage: Any, call: Any, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    stage.terminated("old")
    monkeypatch.setattr(
        maintenance, "look", lambda: ("table inet FOREMAN_MAINTAIN_TABLE", False)
    )
    code, out, err = call("--config", stage.config(), *words)
    assert (code, out) == (75, "")
    assert err == (
        "error: foreman-maintain's maintenance mode is on; "
        "nothing was checked and nothing deleted\n"
    )
    assert stage.left == {"old", "witness"}


def test_a_plan_can_be_made_in_maintenance_mode(
    stage: Any, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        maintenance, "look", lambda: ("table inet FOREMAN_MAINTAIN_TABLE", False)
    )
    assert call("--config", stage.config(), "plan")[0] == 0
