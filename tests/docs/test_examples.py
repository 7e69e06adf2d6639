"""The files and the code that the manual shows are valid, and do what it says."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from live.world import DOCUMENTED_POLICY

from docs.pages import Block, blocks
from docs.shell import Shell
from foreman_hooks import settings
from foreman_hooks.hooks import hooks_d
from foreman_hooks.osp_checker.config import cloud_entry
from foreman_hooks.rules.model import Outcome, Policy, Result
from foreman_hooks.satellite.check_job import CheckJob

CONFIG, CLOUDS, POLICY = "config.yml", "clouds.yaml", "policy.yaml"


def examples(kind: str) -> list[Block]:
    return [block for block in blocks("yaml") if block.note == kind]


def load(text: str, folder: Path) -> settings.Settings:
    """The settings in a text; the files that it names are put into the folder."""
    values = yaml.safe_load(text)
    for key in ("password_file", "ca_file"):
        if key in values.get("satellite", {}):
            file = folder / key
            file.write_text("secret\n")
            values["satellite"][key] = str(file)
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(values))
    return settings.load(path)


def test_every_yaml_block_says_which_file_it_is() -> None:
    for block in blocks("yaml"):
        assert block.note in (CONFIG, CLOUDS, POLICY), block.place


@pytest.mark.parametrize("block", examples(CONFIG), ids=lambda block: block.place)
def test_every_configuration_is_valid(block: Block, tmp_path: Path) -> None:
    load(block.text, tmp_path)


def test_the_whole_configuration_shows_the_defaults(tmp_path: Path) -> None:
    block = next(block for block in examples(CONFIG) if "policy:" in block.text)
    shown = yaml.safe_load(block.text)
    assert set(shown["policy"]) == {field.name for field in fields(Policy)}
    loaded = load(block.text, tmp_path)
    assert loaded.policy == Policy()
    assert loaded.journal == settings.JOURNAL
    assert loaded.clouds[0].regions == ("RegionOne", "RegionTwo")
    assert loaded.checker is None


def test_the_configuration_of_a_check_job_shows_every_key(tmp_path: Path) -> None:
    block = next(block for block in examples(CONFIG) if "job_template:" in block.text)
    checker = load(block.text, tmp_path).checker
    assert checker and checker.deadline == CheckJob.deadline
    assert set(yaml.safe_load(block.text)["checker"]) == set(settings._CHECKER_KEYS)


@pytest.mark.parametrize("block", examples(CLOUDS), ids=lambda block: block.place)
def test_every_clouds_yaml_can_be_used(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clouds.yaml"
    path.write_text(block.text)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    (name,) = yaml.safe_load(block.text)["clouds"]
    assert cloud_entry(name, "RegionOne").name == name


def test_the_policy_is_the_one_that_the_live_tests_use() -> None:
    (block,) = examples(POLICY)
    assert yaml.safe_load(block.text) == DOCUMENTED_POLICY


def test_the_examples_of_the_library_work_as_they_stand(
    stage: Any, capsys: Any
) -> None:
    (block,) = (block for block in blocks("python") if not block.note)
    exec(compile(block.text, block.place, "exec"), {})  # noqa: S102
    assert capsys.readouterr().out.startswith("absent 404 no row of it is left")


# Hooks


@pytest.fixture
def events() -> dict[str, dict[str, Any]]:
    """The events that the manual shows, by name."""
    shown = [json.loads(block.text) for block in blocks("json")]
    return {event["event"]: event for event in shown if "event" in event}


def keys(value: Any, name: str = "") -> set[str]:
    """The names of all keys, those of inner objects too."""
    if not isinstance(value, dict):
        return {name}
    return {key for inner in value for key in keys(value[inner], f"{name}.{inner}")}


def test_the_events_are_those_that_the_program_sends(
    events: dict[str, dict[str, Any]], stage: Any
) -> None:
    stage.terminated("gone")
    plan = stage.plan()
    (verdict,) = plan.deletions
    outcome = Outcome(verdict.host_id, verdict.name, verdict.uuid, Result.DELETED)
    deleted = hooks_d.host_deleted(plan, verdict, outcome)
    finished = hooks_d.run_finished(plan, [outcome], 0, stage.now)
    assert keys(events["host_deleted"]) == keys(deleted)
    assert events["host_deleted"]["reason_code"] == deleted["reason_code"]
    assert keys(events["run_finished"]) == keys(finished)


def called(block: Block, event: dict[str, Any], folder: Path) -> list[list[str]]:
    """What a hook calls: the words of each command line."""
    with Shell(folder) as shell:
        hook = folder / "hook"
        hook.write_text(block.text)
        hook.chmod(0o755)
        (folder / "event").write_text(json.dumps(event))
        done = shell.run(f"{hook} < {folder}/event")
        assert done.code == 0, done.output
        return shell.noted()


def hooks(name: str) -> Block:
    (block,) = (block for block in blocks("sh", "python") if name in block.note)
    return block


def test_the_webhook_sends_every_event_as_it_is(
    events: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    (words,) = called(hooks("50-webhook"), events["run_finished"], tmp_path)
    assert words[0] == "curl"
    assert words[words.index("--data-binary") + 1] == "@-"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("host_deleted", [["ipa", "host-del", "--updatedns", "web-old.example.com"]]),
        ("run_finished", []),
    ],
)
def test_the_hook_for_idm_removes_a_deleted_host(
    events: dict[str, dict[str, Any]],
    event: str,
    expected: list[list[str]],
    tmp_path: Path,
) -> None:
    assert called(hooks("60-idm"), events[event], tmp_path) == expected
