"""Metrics of a run for Prometheus, as a file for node_exporter's textfile collector.

The file is written at the end of every run, including one that failed.  The time of the last good
run is copied from the previous file, so that "no good run for a day" is visible while every run
fails.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Optional

from foreman_hooks import files
from foreman_hooks.errors import code_of
from foreman_hooks.reports.listings import count_reasons
from foreman_hooks.rules.model import Outcome, Result
from foreman_hooks.rules.plan import Plan, PlanRegion

PREFIX = "satellite_osp_cleanup"
GOOD = (0, 2)  # exit codes of a run in which everything was known and nothing failed
# The help text of each metric; the names in the file begin with PREFIX.
_HELP = {
    "last_run_timestamp_seconds": "When the last run ended.",
    "last_good_run_timestamp_seconds": (
        "When a run last ended in which everything was known and nothing failed; 0: never."
    ),
    "last_proof_timestamp_seconds": (
        "When every region last answered and was shown to see all projects; 0: never."
    ),
    "last_run_exit_code": "Exit code of the last run.",
    "last_run_duration_seconds": "How long the last run took, by stage.",
    "info": "Version of the program.",
    "hosts": "Host records by verdict, in the last run that had one.",
    "unknown_ratio": "Share of host records that OpenStack could not be asked about.",
    "refusals": "Guard rails that refused the last plan, or a part of it.",
    "deletions": "Deletions of the last run, by what became of them.",
    "region_answered": "Whether a region answered in the last run.",
    "region_servers": "Servers that a region listed in the last run.",
}


class MetricsError(Exception):
    """The file cannot be written, or the library is missing; the message is one line."""

    exit_code = 78


@dataclass
class RunRecord:
    """What is known about one run, filled while it runs; `seconds`: stage -> duration."""

    code: int = 70
    plan: Optional[Plan] = None
    outcomes: Sequence[Outcome] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure how long the body takes."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = time.monotonic() - began


@contextmanager
def recorded(path: Optional[Path]) -> Iterator[RunRecord]:
    """Yield the record of a run, and write it to `path` (None: nowhere) even if the run fails.

    Raises MetricsError before the run if the file could not be written at all.
    """
    record = RunRecord()
    if path is None:
        yield record
        return
    _check_writable(path)
    try:
        yield record
    except BaseException as error:
        record.code = code_of(error)
        with suppress(MetricsError):  # what ended the run matters more
            write(path, record, time.time())
        raise
    write(path, record, time.time())


def _check_writable(path: Path) -> None:
    """Raise MetricsError if the file cannot be written, or the library is missing."""
    try:
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise MetricsError(
            "--metrics needs prometheus_client: pip install 'satellite-osp-cleanup[metrics]'"
        ) from error
    if path.is_dir():
        raise MetricsError(f"{path}: is a folder")
    if not path.parent.is_dir():
        raise MetricsError(f"{path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise MetricsError(f"{path}: nothing can be written to {path.parent}")


def write(path: Path, record: RunRecord, now: float) -> None:
    """Write the file atomically (mode 0644); raises MetricsError."""
    from prometheus_client import generate_latest

    try:
        registry = _registry(record, _earlier_times(path), now)
        text = generate_latest(registry).decode()
        files.replace(path, text, 0o644)  # node_exporter is another user
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MetricsError(f"{path}: {reason}") from error


def _earlier_times(path: Path) -> dict[str, float]:
    """The times in the present file, by name; empty if the file is missing or not ours."""
    from prometheus_client.parser import text_string_to_metric_families

    times = {}
    try:
        text = path.read_text(encoding="utf-8")
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.endswith("_timestamp_seconds"):
                    times[sample.name] = sample.value
    except (OSError, ValueError, KeyError, IndexError):
        return {}
    return times


def _gauge(registry: Any, name: str, *labels: str) -> Any:
    """A new gauge in the registry, one of _HELP."""
    from prometheus_client import Gauge

    return Gauge(f"{PREFIX}_{name}", _HELP[name], labels, registry=registry)


def _registry(
    record: RunRecord,
    earlier: Mapping[str, float],
    now: float,
) -> Any:
    """All metrics of a run; `earlier`: the times of earlier ones, by name."""
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    _add_times(registry, record, earlier, now)
    exit_code = _gauge(registry, "last_run_exit_code")
    exit_code.set(record.code)
    duration = _gauge(registry, "last_run_duration_seconds", "stage")
    for stage, seconds in record.seconds.items():
        duration.labels(stage).set(seconds)
    info = _gauge(registry, "info", "version")
    program = version("satellite-osp-cleanup")
    info.labels(program).set(1)
    if record.plan is not None:
        _add_plan(registry, record.plan)
        _add_outcomes(registry, record.outcomes)
        _add_regions(registry, record.plan.regions)
    return registry


def _add_times(
    registry: Any,
    record: RunRecord,
    earlier: Mapping[str, float],
    now: float,
) -> None:
    """When each of these events last happened: in this run, or at the time of an earlier one."""
    events = {
        "last_run_timestamp_seconds": True,
        "last_good_run_timestamp_seconds": record.code in GOOD,
        "last_proof_timestamp_seconds": _is_proven(record.plan),
    }
    for name, is_now in events.items():
        then = earlier.get(f"{PREFIX}_{name}", 0.0)
        gauge = _gauge(registry, name)
        gauge.set(now if is_now else then)


def _is_proven(plan: Optional[Plan]) -> bool:
    """Whether every region answered and was shown to see all projects."""
    if plan is None or not plan.regions:
        return False
    return all(region.proof and not region.error for region in plan.regions)


def _add_plan(registry: Any, plan: Plan) -> None:
    hosts = _gauge(registry, "hosts", "decision", "reason")
    for row in count_reasons(plan.verdicts):
        verdict = hosts.labels(row.decision.value, row.reason.value)
        verdict.set(row.records)
    unknown = _gauge(registry, "unknown_ratio")
    records = max(len(plan.verdicts), 1)
    unknown.set(plan.unknown / records)
    refusals = _gauge(registry, "refusals")
    refusals.set(len(plan.refusals) + len(plan.holds))


def _add_outcomes(registry: Any, outcomes: Sequence[Outcome]) -> None:
    deletions = _gauge(registry, "deletions", "result")
    for result in Result:
        count = sum(outcome.result == result for outcome in outcomes)
        deletions.labels(result.value).set(count)


def _add_regions(registry: Any, regions: Sequence[PlanRegion]) -> None:
    answered = _gauge(registry, "region_answered", "cloud", "region")
    servers = _gauge(registry, "region_servers", "cloud", "region")
    for region in regions:
        answered.labels(*region.place).set(not region.error)
        if region.servers is not None:
            servers.labels(*region.place).set(region.servers)
