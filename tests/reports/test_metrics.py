"""Metrics: what a run tells Prometheus, also when it fails, and rules that name what there is."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import unittest.mock
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Stage
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from foreman_hooks.commands.main import main
from foreman_hooks.reports import listings, metrics
from foreman_hooks.reports.metrics import RunRecord
from foreman_hooks.rules.plan import Kind, Plan, PlanRegion
from foreman_hooks.rules.verdicts import verdicts_of

PREFIX = "satellite_osp_cleanup_"
NOW = datetime(2025, 3, 1, tzinfo=timezone.utc)
ALERTS = Path(listings.__file__).parent / "templates" / "alerts.yml"


def read(path: Path, run: str = "full") -> dict[str, float]:
    """The samples of runs of that kind, and of no run; the other labels behind the names."""
    samples = {}
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            if sample.labels.pop("run", run) == run:
                words = [sample.name[len(PREFIX) :], *sample.labels.values()]
                assert " ".join(words) not in samples
                samples[" ".join(words)] = sample.value
    return samples


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
    assert found["hosts delete TERMINATED"] == found["last_run_deletions deleted"] == 1
    assert found["hosts wait GRACE"] == found["hosts keep ALIVE"] == 1
    assert found["deletions_total deleted"] == 1
    assert found["deletions_total failed"] == 0
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
    assert after["deletions_total deleted"] == good["deletions_total deleted"]


def test_all_deletions_are_counted_whatever_run_they_were_in(
    stage: Stage, measure: Any
) -> None:
    assert measure("run")[1]["deletions_total deleted"] == 0
    stage.terminated("old")
    assert main(["--config", str(stage.config()), "run", "--apply"]) == 0
    stage.terminated("older")
    found = measure("run", "--apply")[1]
    assert found["deletions_total deleted"] == 2
    assert found["last_run_deletions deleted"] == 1


def test_a_counter_never_goes_down(stage: Stage, measure: Any, tmp_path: Path) -> None:
    stage.terminated("old")
    stage.run()
    with stage.journal() as journal:  # the run cannot read it
        code, found = measure("run")
        assert (code, "deletions_total deleted" in found) == (75, False)
        assert journal.prune(stage.now + timedelta(days=1)) == 1
    assert measure("run")[1]["deletions_total deleted"] == 1
    with stage.journal():
        code, found = measure("run")
        assert (code, found["deletions_total deleted"]) == (75, 1)
    stage.terminated("older")
    assert measure("run", "--apply")[1]["deletions_total deleted"] == 2


def test_a_counter_is_one_in_the_file(measure: Any, tmp_path: Path) -> None:
    measure("run")
    text = (tmp_path / "osp.prom").read_text()
    kinds = {
        family.name: family.type for family in text_string_to_metric_families(text)
    }
    assert [name for name, kind in kinds.items() if kind == "counter"] == [
        f"{PREFIX}deletions"
    ]
    assert set(kinds.values()) == {"counter", "gauge"}
    assert text.count("# HELP") == text.count("# TYPE") == len(kinds)


@given(st.text(max_size=9), st.text(max_size=9))
def test_whatever_a_region_is_called_it_is_a_label(cloud: str, region: str) -> None:
    plan = Plan("u", NOW, "", (PlanRegion(cloud, region, 7, "proof"),), verdicts_of(()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "osp.prom")
        metrics.write(path, RunRecord(plan=plan), 1e9)
        families = text_string_to_metric_families(path.read_bytes().decode())
    (servers,) = (one for one in families if one.name == f"{PREFIX}region_servers")
    (sample,) = servers.samples
    assert sample.labels == {"run": "full", "cloud": cloud, "region": region}
    assert sample.value == 7


def quick_record(**values: Any) -> RunRecord:
    plan = Plan("u", NOW, "", (PlanRegion("prod", "two", 7, "proof"),), verdicts_of(()))
    return RunRecord(kind=Kind.QUICK, plan=plan, **values)


def test_full_and_quick_runs_keep_each_others_numbers_in_one_file(
    stage: Stage, measure: Any, tmp_path: Path
) -> None:
    path = tmp_path / "osp.prom"
    full = measure("run")[1]
    metrics.write(path, quick_record(code=0, seconds={"plan": 2}), 1e9)
    assert read(path) == full
    quick = read(path, "quick")
    assert quick["region_servers prod two"] == 7
    assert quick["last_good_run_timestamp_seconds"] == 1e9
    assert "region_servers prod RegionOne" not in quick
    measure("run")
    assert read(path, "quick") == quick


def test_a_quick_run_says_so_also_if_it_meets_another_run(
    stage: Stage, measure: Any, tmp_path: Path
) -> None:
    path = tmp_path / "osp.prom"
    measure("run", "--recent")  # the first one is a full run
    assert "last_run_exit_code" not in read(path, "quick")
    full = measure("run", "--recent")[1]
    assert read(path, "quick")["last_run_exit_code"] == 0
    with stage.journal():
        assert measure("run", "--recent") == (75, full)
    assert read(path, "quick")["last_run_exit_code"] == 75


def test_a_failed_quick_run_keeps_its_own_last_good_one_and_the_count_of_all(
    tmp_path: Path,
) -> None:
    path = tmp_path / "osp.prom"
    totals = {"deleted": 5}
    metrics.write(path, RunRecord(code=0, totals=totals), 1e9)
    metrics.write(path, quick_record(code=0), 2e9)
    metrics.write(path, RunRecord(kind=Kind.QUICK, code=75), 3e9)
    full, quick = read(path), read(path, "quick")
    assert full["last_good_run_timestamp_seconds"] == 1e9
    assert quick["last_good_run_timestamp_seconds"] == 2e9
    assert (full["last_run_exit_code"], quick["last_run_exit_code"]) == (0, 75)
    assert full["deletions_total deleted"] == 5
    assert "region_servers prod two" not in quick


def test_a_run_that_ends_while_another_one_writes_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "osp.prom"
    os.mkfifo(path)
    folder = os.open(tmp_path, os.O_RDONLY)
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(metrics.write, path, RunRecord(code=0), 1e9)
        # It reads the previous file now.
        with path.open("w"), pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(metrics.MetricsError, match="not a regular file"):
            writer.result()
    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(folder)


def test_only_what_a_run_writes_is_copied_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "osp.prom"
    path.write_text(
        f'{PREFIX}other{{run="quick"}} 1\n{PREFIX}hosts{{run="slow"}} 1\n'
        f'{PREFIX}hosts{{run="quick"}} 1\n'
    )
    metrics.write(path, RunRecord(code=0), 1e9)
    assert "hosts" in read(path, "quick") and "hosts" not in read(path, "slow")
    assert "other" not in read(path, "quick")


def test_a_region_cannot_forge_the_past(tmp_path: Path) -> None:
    forged = f'x\n{PREFIX}deletions_total{{result="deleted"}} 9'
    plan = Plan("u", NOW, "", (PlanRegion(forged, forged, 7),), verdicts_of(()))
    path = tmp_path / "osp.prom"
    for _ in range(2):
        metrics.write(path, RunRecord(plan=plan), 1e9)
    assert "deletions_total deleted" not in read(path)


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
    stage.archived("old")
    stage.osp.fail("/servers/[0-9a-f-]{36}", 200, {"server": {}}, skip=1)
    code, found = measure("plan")
    assert (code, found["unknown_ratio"]) == (1, 0.5)


@pytest.mark.parametrize(
    "content",
    [
        b"no metrics {\n",
        b"\xff\n",
        b'satellite_osp_cleanup_last_good_run_timestamp_seconds{run="full"} 1.2.3\n',
        b'satellite_osp_cleanup_last_good_run_timestamp_seconds{run="full"} nan\n',
    ],
)
def test_a_file_of_somebody_else_is_no_past(
    stage: Stage, measure: Any, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "osp.prom").write_bytes(content)
    stage.terminated("old")
    code, found = measure("run", policy={"max_deletions": 0})
    assert (code, found["last_good_run_timestamp_seconds"]) == (3, 0)


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


def test_the_library_is_not_needed(stage: Stage, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from foreman_hooks.commands.main import main; sys.exit(main(sys.argv[1:]))"
    )
    path = tmp_path / "osp.prom"
    options = ["--config", stage.config(), "run", "--metrics", path]
    subprocess.run([sys.executable, "-c", program, *options], check=True)
    assert read(path)["last_run_exit_code"] == 0


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="needs promtool (Debian's package prometheus)",
)
def test_promtool_finds_nothing_wrong_with_the_example_rules() -> None:
    ran = subprocess.run(
        ["promtool", "check", "rules", str(ALERTS)], capture_output=True, text=True
    )
    assert ran.returncode == 0 and "4 rules found" in ran.stdout, ran.stderr


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="needs promtool (Debian's package prometheus)",
)
def test_promtool_finds_nothing_wrong_with_the_metrics(
    stage: Stage, measure: Any, tmp_path: Path
) -> None:
    stage.terminated("old")
    measure("run", "--apply")
    ran = subprocess.run(
        ["promtool", "check", "metrics"],
        input=(tmp_path / "osp.prom").read_text(),
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


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
    assert len(rules) == 4 and named <= found.keys()
