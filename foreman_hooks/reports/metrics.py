"""What a run tells Prometheus, as a file for node_exporter's textfile collector.

Written at the end of every run, also of one that failed; when the last good run was is carried over
from the file itself, so that "no good run for a day" can be seen while every run fails.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Optional

from foreman_hooks import files
from foreman_hooks.errors import code_of
from foreman_hooks.rules.model import Outcome
from foreman_hooks.rules.plan import Plan

PREFIX = "satellite_osp_cleanup"
GOOD = (0, 2)  # exit codes of a run that knew everything and did what there was to do


class MetricsError(Exception):
    """The file cannot be written, or the library is missing; says so in one line."""

    exit_code = 78


@dataclass
class RunRecord:
    """What there is to tell of one run; filled while it goes on.  `seconds`: stage -> duration."""

    code: int = 70
    plan: Optional[Plan] = None
    outcomes: Sequence[Outcome] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what is done inside."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = time.monotonic() - began


@contextmanager
def recorded(path: Optional[Path]) -> Iterator[RunRecord]:
    """Yield the record of a run, and write it to `path`, if there is one, whatever becomes of the
    run.

    Raises MetricsError before the run where it could not be written at all.
    """
    record = RunRecord()
    if path is None:
        yield record
        return
    _check(path)
    try:
        yield record
    except BaseException as error:
        record.code = code_of(error)
        with suppress(MetricsError):  # what ended the run is the greater news
            write(path, record, time.time())
        raise
    write(path, record, time.time())


def _check(path: Path) -> None:
    try:
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise MetricsError(
            "--metrics needs prometheus_client: pip install 'satellite-osp-cleanup[metrics]'"
        ) from error
    if path.is_dir() or not path.parent.is_dir():
        raise MetricsError(
            f"{path}: {'is a folder' if path.is_dir() else f'there is no folder {path.parent}'}"
        )
    if not os.access(path.parent, os.W_OK):
        raise MetricsError(f"{path}: nothing can be written to {path.parent}")


def write(path: Path, record: RunRecord, now: float) -> None:
    """Write the file at once or not at all (mode 0644); raises MetricsError."""
    from prometheus_client import generate_latest

    try:
        text = generate_latest(_registry(record, _before(path), now)).decode()
        files.replace(path, text, 0o644)  # node_exporter is another user
    except (OSError, ValueError) as error:
        raise MetricsError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _before(path: Path) -> dict[str, float]:
    """The times that the file says so far; none where it is none of ours."""
    from prometheus_client.parser import text_string_to_metric_families

    try:
        families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
        return {
            sample.name: sample.value
            for family in families
            for sample in family.samples
            if sample.name.endswith("_timestamp_seconds")
        }
    except (OSError, ValueError, KeyError, IndexError):
        return {}


def _registry(record: RunRecord, before: Mapping[str, float], now: float) -> Any:
    from prometheus_client import CollectorRegistry, Gauge

    registry = CollectorRegistry()

    def gauge(name: str, told: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", told, labels, registry=registry)

    def last(name: str, told: str, is_now: bool) -> None:
        known = before.get(f"{PREFIX}_{name}_timestamp_seconds", 0.0)
        gauge(f"{name}_timestamp_seconds", told).set(now if is_now else known)

    last("last_run", "When the last run ended.", True)
    last(
        "last_good_run",
        "When the last run ended that knew everything and failed in nothing; 0: never.",
        record.code in GOOD,
    )
    last(
        "last_proof",
        "When every region last answered and was shown to see all projects; 0: never.",
        _proven(record.plan),
    )
    gauge("last_run_exit_code", "Exit code of the last run.").set(record.code)
    duration = gauge(
        "last_run_duration_seconds", "How long the last run took, by stage.", ["stage"]
    )
    for stage, seconds in record.seconds.items():
        duration.labels(stage).set(seconds)
    gauge("info", "Version of the program.", ["version"]).labels(
        version("satellite-osp-cleanup")
    ).set(1)
    if record.plan is not None:
        _of_plan(gauge, record.plan, record.outcomes)
    return registry


def _proven(plan: Optional[Plan]) -> bool:
    return (
        plan is not None
        and bool(plan.regions)
        and all(seen.proof and not seen.error for seen in plan.regions)
    )


def _of_plan(gauge: Any, plan: Plan, outcomes: Sequence[Outcome]) -> None:
    hosts = gauge(
        "hosts", "Host records by verdict, in the last run that had one.", ["decision", "reason"]
    )
    for (decision, reason), count in Counter(
        (one.decision.value, one.reason.value) for one in plan.verdicts
    ).items():
        hosts.labels(decision, reason).set(count)
    gauge("unknown_ratio", "Share of host records that OpenStack could not be asked about.").set(
        plan.unknown / max(len(plan.verdicts), 1)
    )
    gauge("refusals", "Guard rails that refused the last plan, or a part of it.").set(
        len(plan.refusals) + len(plan.holds)
    )
    deletions = gauge("deletions", "Deletions of the last run, by what became of them.", ["result"])
    for result in ("deleted", "failed", "kept", "unfinished"):
        deletions.labels(result).set(sum(one.result == result for one in outcomes))
    answered = gauge(
        "region_answered", "Whether a region answered in the last run.", ["cloud", "region"]
    )
    servers = gauge(
        "region_servers", "Servers that a region listed in the last run.", ["cloud", "region"]
    )
    for seen in plan.regions:
        answered.labels(seen.cloud, seen.region).set(not seen.error)
        if seen.servers is not None:
            servers.labels(seen.cloud, seen.region).set(seen.servers)
