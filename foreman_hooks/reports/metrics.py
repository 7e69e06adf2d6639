"""Metrics of a run for Prometheus, as a file for node_exporter's textfile collector.

The file is written at the end of every run, including one that failed.  If a run fails, it cannot
say when the last good run was, nor how many deletions there were: these are copied from the
previous file, so that "no good run for a day" is visible while every run fails.

Full and quick runs share one file, each with samples of its own (label `run`): a run copies those
of the other kind.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, Optional

from foreman_hooks import files
from foreman_hooks.errors import INTERNAL, code_of
from foreman_hooks.reports.listings import count_reasons
from foreman_hooks.rules.model import Outcome, Result
from foreman_hooks.rules.plan import Kind, Plan, PlanRegion

PREFIX = "satellite_osp_cleanup"
GOOD = (0, 2)  # exit codes of a run in which everything was known and nothing failed
# The help text of each metric, in the order of the file; the names there begin with PREFIX.
# All but the last two have the label `run`, the kind of the run.
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
    "last_run_deletions": "Deletions of the last run, by what became of them.",
    "hosts": "Host records by verdict, in the last run that had one.",
    "unknown_ratio": "Share of host records that OpenStack could not be asked about.",
    "refusals": "Guard rails that refused the last plan, or a part of it.",
    "region_answered": "Whether a region answered in the last run.",
    "region_servers": "Servers that a region listed in the last run.",
    "deletions_total": "All deletions that the journal of this Satellite knows, by result.",
    "info": "Version of the program.",
}
# A deletion in the journal ends as one of these.
_ENDED = (Result.DELETED, Result.FAILED)
# A sample of the previous file, and a label in it.
_SAMPLE = re.compile(
    rf"{PREFIX}_(?P<name>\w+)"
    r'\{(?P<labels>(?:,?\w+="(?:[^"\\]|\\.)*")+)\} (?P<value>[0-9.e+-]+)'
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class MetricsError(Exception):
    """The file cannot be written; the message is one line."""

    exit_code = 78


@dataclass
class RunRecord:
    """What is known about one run, filled while it runs.

    `kind`: which hosts it looks at.  `seconds`: stage -> duration.  `totals`: result -> number of
    all deletions in the journal; None if the journal could not be read.
    """

    kind: Kind = Kind.FULL
    code: int = INTERNAL
    plan: Optional[Plan] = None
    outcomes: Sequence[Outcome] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    totals: Optional[Mapping[str, int]] = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure how long the body takes."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = time.monotonic() - began


@contextmanager
def recorded(path: Optional[Path], kind: Kind = Kind.FULL) -> Iterator[RunRecord]:
    """Yield the record of a run, and write it to `path` (None: nowhere) even if the run fails.

    Raises MetricsError before the run if the file could not be written at all.
    """
    record = RunRecord(kind)
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
    """Raise MetricsError if the file cannot be written."""
    if path.is_dir():
        raise MetricsError(f"{path}: is a folder")
    if not path.parent.is_dir():
        raise MetricsError(f"{path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise MetricsError(f"{path}: nothing can be written to {path.parent}")


def write(path: Path, record: RunRecord, now: float) -> None:
    """Write the file atomically (mode 0644); raises MetricsError."""
    try:
        with _alone_in(path.parent):
            text = _text(_samples(record, _read(path), now))
            files.replace(path, text, 0o644)  # node_exporter is another user
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MetricsError(f"{path}: {reason}") from error


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs from writing there: the one that meets a full run ends while that goes on."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Sample(NamedTuple):
    """One value of the metric `name`, a key of _HELP; `labels`: name -> escaped text."""

    name: str
    value: float
    labels: Mapping[str, str] = {}


# The text format of Prometheus


def _text(samples: Iterable[Sample]) -> str:
    by_name: dict[str, list[Sample]] = {name: [] for name in _HELP}
    for sample in samples:
        by_name[sample.name].append(sample)
    lines: list[str] = []
    for name, family in by_name.items():
        if family:
            kind = "counter" if name.endswith("_total") else "gauge"
            lines.append(f"# HELP {PREFIX}_{name} {_HELP[name]}")
            lines.append(f"# TYPE {PREFIX}_{name} {kind}")
            lines.extend(map(_line, family))
    return "".join(f"{line}\n" for line in lines)


def _line(sample: Sample) -> str:
    labels = [f'{name}="{text}"' for name, text in sample.labels.items()]
    listed = ",".join(labels)
    return f"{PREFIX}_{sample.name}{{{listed}}} {float(sample.value)}"


def _escaped(text: str) -> str:
    """The text as the value of a label."""
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _read(path: Path) -> list[Sample]:
    """The samples of the present file; empty if it is missing or not ours."""
    samples = []
    with suppress(OSError, ValueError):  # also of text that is not UTF-8
        for line in path.read_text(encoding="utf-8").split("\n"):
            match = _SAMPLE.fullmatch(line)
            if match and match["name"] in _HELP:
                sample = Sample(
                    name=match["name"],
                    value=float(match["value"]),
                    labels=dict(_LABEL.findall(match["labels"])),
                )
                samples.append(sample)
    return samples


# What a run says


def _samples(
    record: RunRecord, earlier: Sequence[Sample], now: float
) -> Iterator[Sample]:
    """All samples of the file after a run; `earlier`: those before."""
    run, other = Kind.FULL.value, Kind.QUICK.value
    if record.kind is Kind.QUICK:
        run, other = other, run
    for sample in _of_run(record, earlier, now):
        yield sample._replace(labels={"run": run, **sample.labels})
    for sample in earlier:
        if sample.labels.get("run") == other:
            yield sample
    yield from _totals(record, earlier)
    yield Sample("info", 1, {"version": version("satellite-osp-cleanup")})


def _of_run(
    record: RunRecord, earlier: Sequence[Sample], now: float
) -> Iterator[Sample]:
    """The samples of this run, without the label `run`."""
    yield from _times(record, earlier, now)
    yield Sample("last_run_exit_code", record.code)
    for stage, seconds in record.seconds.items():
        yield Sample("last_run_duration_seconds", seconds, {"stage": stage})
    if record.plan is not None:
        yield from _of_plan(record.plan)
        yield from _of_outcomes(record.outcomes)
        yield from _of_regions(record.plan.regions)


def _times(
    record: RunRecord, earlier: Sequence[Sample], now: float
) -> Iterator[Sample]:
    """When each of these events last happened: in this run, or at the time of an earlier one."""
    events = {
        "last_run_timestamp_seconds": True,
        "last_good_run_timestamp_seconds": record.code in GOOD,
        "last_proof_timestamp_seconds": _is_proven(record.plan),
    }
    run = {"run": record.kind.value}
    for name, is_now in events.items():
        when = now
        if not is_now:
            when = _earlier_value(earlier, name, run) or 0
        yield Sample(name, when)


def _totals(record: RunRecord, earlier: Sequence[Sample]) -> Iterator[Sample]:
    """How many deletions there ever were; nothing if that is not known."""
    name = "deletions_total"
    for result in _ENDED:
        labels = {"result": result.value}
        count = _earlier_value(earlier, name, labels)
        if record.totals is not None:
            count = record.totals.get(result.value, 0)
        if count is not None:
            yield Sample(name, count, labels)


def _earlier_value(
    earlier: Sequence[Sample], name: str, labels: Mapping[str, str]
) -> Optional[float]:
    for sample in earlier:
        if sample.name == name and sample.labels == labels:
            return sample.value
    return None


def _is_proven(plan: Optional[Plan]) -> bool:
    """Whether every region answered and was shown to see all projects."""
    if plan is None or not plan.regions:
        return False
    return all(region.proof and not region.error for region in plan.regions)


def _of_plan(plan: Plan) -> Iterator[Sample]:
    for row in count_reasons(plan):
        # The code and not the text, which another version may word differently.
        labels = {"decision": row.decision.value, "reason_code": row.reason.name}
        yield Sample("hosts", row.records, labels)
    yield Sample("unknown_ratio", plan.unknown / max(plan.hosts, 1))
    yield Sample("refusals", len(plan.refusals) + len(plan.holds))


def _of_outcomes(outcomes: Sequence[Outcome]) -> Iterator[Sample]:
    for result in Result:
        count = sum(outcome.result == result for outcome in outcomes)
        yield Sample("last_run_deletions", count, {"result": result.value})


def _of_regions(regions: Sequence[PlanRegion]) -> Iterator[Sample]:
    for region in regions:
        place = {
            "cloud": _escaped(region.cloud),
            "region": _escaped(region.region),
        }
        yield Sample("region_answered", not region.error, place)
        if region.servers is not None:
            yield Sample("region_servers", region.servers, place)
