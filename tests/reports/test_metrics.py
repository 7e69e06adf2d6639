"""Metrics: what a run tells Prometheus, also when it fails, and rules that name what there is."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import time
import unittest.mock
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Stage
from prometheus_client.parser import text_string_to_metric_families

from foreman_hooks.commands.main import main
from foreman_hooks.reports import listings

PREFIX = "satellite_osp_cleanup_"
ALERTS = Path(listings.__file__).parent / "templates" / "alerts.yml"


def read(path: Path) -> dict[str, float]:
    """Every sample, its labels behind its name."""
    return {
        sample.name[len(PREFIX) :]
        + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }


@pytest.fixture
def measure(stage: Stage, tmp_path: Path) -> Any:
    """Run a command line with metrics: its exit code and what the file says then."""
    path = tmp_path / "osp.prom"

    def run(*argv: str, **sections: Any) -> tuple[int, dict[str, float]]:
        code = main(
            ["--config", str(stage.config(**sections)), *argv, "--metrics", str(path)]
        )
        return code, read(path)

    return run


def test_a_good_run_tells_its_numbers(
    stage: Stage, measure: Any, tmp_path: Path
) -> None:
    stage.terminated("old")
    stage.archived("archived")
    before = time.time()
    code, found = measure("run", "--apply")
    assert code == 0
    assert (
        found["hosts delete terminated, with proof"] == found["deletions deleted"] == 1
    )
    assert (
        found["hosts wait absent, within the grace period"]
        == found["hosts keep instance exists"]
        == 1
    )
    assert (
        found["region_answered prod RegionOne"]
        == found["region_servers prod RegionOne"]
        == 1
    )
    assert (found["unknown_ratio"], found["refusals"], found["last_run_exit_code"]) == (
        0,
        0,
        0,
    )
    assert (
        found["last_run_timestamp_seconds"]
        == found["last_good_run_timestamp_seconds"]
        >= before
    )
    assert found["last_proof_timestamp_seconds"] >= before
    assert {name for name in found if name.startswith("last_run_duration")} == {
        "last_run_duration_seconds plan",
        "last_run_duration_seconds apply",
    }
    assert stat.S_IMODE((tmp_path / "osp.prom").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda stage: stage.use_cloud(password="wrong"), 129),
        (lambda stage: stage.foreman.fail("/api", 500), 69),
        (lambda stage: stage.foreman.fail("/api", 401, {}), 129),
        (lambda stage: stage.osp.fail("/servers", 500), 69),
    ],
)
def test_a_run_that_fails_says_so_and_keeps_when_the_last_good_one_was(
    stage: Stage, measure: Any, spoil: Any, code: int
) -> None:
    good = measure("run")[1]
    spoil(stage)
    found, after = measure("run")
    assert found == after["last_run_exit_code"] == code
    assert (
        after["last_good_run_timestamp_seconds"]
        == good["last_good_run_timestamp_seconds"]
    )
    assert after["last_proof_timestamp_seconds"] == good["last_proof_timestamp_seconds"]
    assert after["last_run_timestamp_seconds"] > good["last_run_timestamp_seconds"]


def test_a_refused_run_is_none_that_is_good(stage: Stage, measure: Any) -> None:
    stage.terminated("old")
    code, found = measure("run", "--apply", policy={"max_deletions": 0})
    assert (
        code,
        found["last_run_exit_code"],
        found["last_good_run_timestamp_seconds"],
    ) == (
        3,
        3,
        0,
    )
    assert found["refusals"] >= 1 and found["last_proof_timestamp_seconds"] > 0


def test_what_is_unknown_is_a_share(stage: Stage, measure: Any) -> None:
    stage.terminated("old")
    stage.osp.fail("/servers/[0-9a-f-]{36}", 200, {"server": {}}, skip=1)
    code, found = measure("plan")
    assert (code, found["unknown_ratio"]) == (1, 0.5)


def test_a_file_of_somebody_else_is_no_past(
    stage: Stage, measure: Any, tmp_path: Path
) -> None:
    (tmp_path / "osp.prom").write_text("no metrics {\n")
    assert measure("run")[0] == 0


@pytest.mark.parametrize("path", ["nowhere/osp.prom", "."])
def test_a_file_that_cannot_be_written_ends_it_before_it_begins(
    stage: Stage, capfd: Any, tmp_path: Path, path: str
) -> None:
    stage.terminated("old")
    code = main(
        [
            "--config",
            str(stage.config()),
            "run",
            "--apply",
            "--metrics",
            str(tmp_path / path),
        ]
    )
    assert code in (64, 78)
    assert capfd.readouterr().err.count("\n") == 1
    assert "old" in stage.left


def test_metrics_tell_of_whole_runs_alone(stage: Stage, tmp_path: Path) -> None:
    assert (
        main(
            [
                "--config",
                str(stage.config()),
                "run",
                "--host",
                "witness.example.com",
                "--metrics",
                str(tmp_path / "osp.prom"),
            ]
        )
        == 64
    )


def test_without_the_library_its_extra_is_named(stage: Stage, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from foreman_hooks.commands.main import main; sys.exit(main(sys.argv[1:]))"
    )
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            program,
            "--config",
            str(stage.config()),
            "run",
            "--metrics",
            str(tmp_path / "osp.prom"),
        ],
        capture_output=True,
        text=True,
    )
    assert (
        ran.returncode == 78
        and "satellite-osp-cleanup[metrics]" in ran.stderr
        and ran.stderr.count("\n") == 1
    )


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="needs promtool (Debian's package prometheus)",
)
def test_promtool_finds_nothing_wrong_with_the_example_rules() -> None:
    ran = subprocess.run(
        ["promtool", "check", "rules", str(ALERTS)], capture_output=True, text=True
    )
    assert ran.returncode == 0 and "3 rules found" in ran.stdout, ran.stderr


def test_a_file_that_cannot_be_written_hides_no_error(
    stage: Stage, capfd: Any, tmp_path: Path
) -> None:
    path = tmp_path / "osp.prom"
    stage.foreman.fail("/api", 401, {})
    umask = os.umask(0o077)
    try:
        assert (
            main(["--config", str(stage.config()), "run", "--metrics", str(path)])
            == 129
        )
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
    finally:
        os.umask(umask)
    with unittest.mock.patch("os.fsync", side_effect=OSError(28, "No space left")):
        assert (
            main(["--config", str(stage.config()), "run", "--metrics", str(path)])
            == 129
        )
        assert "login of admin was refused" in capfd.readouterr().err


def test_every_metric_of_the_example_rules_is_there(stage: Stage, measure: Any) -> None:
    _, found = measure("run")
    rules = [
        rule
        for group in yaml.safe_load(ALERTS.read_text())["groups"]
        for rule in group["rules"]
    ]
    named = {
        name for rule in rules for name in re.findall(rf"{PREFIX}(\w+)", rule["expr"])
    }
    assert len(rules) == 3 and named <= found.keys()
