"""The files and the code that the manual shows are valid, and do what it says."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from live.world import LEAST_PRIVILEGE_POLICY

from docs.pages import Block, blocks
from foreman_hooks import settings
from foreman_hooks.osp_checker.config import cloud_entry
from foreman_hooks.rules.model import Policy
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
    """Without the right to read single servers, which the manual does not grant."""
    (block,) = examples(POLICY)
    expected = dict(LEAST_PRIVILEGE_POLICY)
    del expected["os_compute_api:servers:show"]
    assert yaml.safe_load(block.text) == expected


def test_the_examples_of_the_library_work_as_they_stand(
    stage: Any, capsys: Any
) -> None:
    (block,) = blocks("python")
    exec(compile(block.text, block.place, "exec"), {})  # noqa: S102
    assert capsys.readouterr().out.startswith("absent 404 no row of it is left")
