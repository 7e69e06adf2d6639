"""The tables of a benchmark, from the figures that scale.py wrote.

python tests/bench/tables.py [FILE]     # Markdown, for docs/scale.md; default: build/bench.json
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Optional

MIB = 1024 * 1024
PAGE = 1000  # rows of a page
Figures = Mapping[str, Any]


class Target(NamedTuple):
    """One thing that was promised: what it is, the figures, and the limit, as texts."""

    what: str
    measured: str
    limit: str
    is_met: bool


class Large(NamedTuple):
    """The figures of the largest fleet, and of the quick run in one that is larger still."""

    size: Figures
    larger: Optional[Figures]


def targets(whole: Figures) -> list[Target]:
    """What was promised, as far as it was measured."""
    size = max(whole["sizes"], key=lambda figures: figures["hosts"])
    larger = whole["quick"][0] if whole["quick"] else None
    large = Large(size, larger)
    return list(chain.from_iterable(way(large) for way in TARGETS))


def _requests(large: Large) -> Iterator[Target]:
    size = large.size
    alive = size["hosts"] - size["terminated"]
    limit = -(-alive // PAGE) + -(-size["terminated"] // PAGE) + 10
    requests = size["proof_plan"]["nova"]
    what = f"requests of a plan to Nova, {size['terminated']:,} terminated"
    yield Target(what, f"{requests}", f"<= {limit}", requests <= limit)


def _ratio(large: Large) -> Iterator[Target]:
    plan, replay = large.size["proof_plan"]["wall"], large.size["replay"]["wall"]
    ratio = plan / replay
    measured = f"{plan:.2f} s / {replay:.2f} s = {ratio:.2f}"
    what = "the same plan beside a bare loop with the same requests"
    yield Target(what, measured, "<= 1.3", ratio <= 1.3)


def _slow_nova(large: Large) -> Iterator[Target]:
    if "slow_list" not in large.size:
        return
    check = large.size["slow_list"]
    what = "all servers, by 4 workers, if Nova takes 1 s for each page"
    measured = f"{check['wall']:.1f} s, {check['nova']} requests"
    yield Target(what, measured, "<= 30 s", check["wall"] <= 30)


def _cpu(large: Large) -> Iterator[Target]:
    plan, floor = large.size["plan"]["cpu"], large.size["floor"]["cpu"]
    measured = f"{plan:.2f} s (bare loop {floor:.2f} s)"
    yield Target("own CPU of a plan, all alive", measured, "<= 1.8 s", plan <= 1.8)


def _quick(large: Large) -> Iterator[Target]:
    quick = large.size["quick"]
    measured = f"{quick['requests']} requests, {quick['wall']:.2f} s"
    is_met = quick["requests"] <= 40 and quick["wall"] <= 2
    what = "a quick run, 20 terminated"
    yield Target(what, measured, "<= 40 requests, <= 2 s", is_met)
    if large.larger:
        more = large.larger["quick"]
        measured = f"{more['requests']} requests, {more['wall']:.2f} s"
        ratio = more["wall"] / quick["wall"]
        is_met = more["requests"] <= quick["requests"] and ratio <= 1.1
        what = f"the same of {large.larger['hosts']:,} hosts"
        yield Target(what, f"{measured}, {ratio:.2f} times", "<= 1.1 times", is_met)


def _states(large: Large) -> Iterator[Target]:
    if "states" not in large.size:
        return
    states, plan = large.size["states"]["wall"], large.size["plan"]["wall"]
    ratio = states / plan
    measured = f"{states:.2f} s / {plan:.2f} s = {ratio:.2f}"
    yield Target("states, beside a plan", measured, "<= 1.5", ratio <= 1.5)


def _records(large: Large) -> Iterator[Target]:
    dead = large.size["terminated"]
    records = large.size["proof_plan"]["records"]
    what = f"whole records read, {dead:,} may go"
    yield Target(what, f"{records:,}", f"<= {dead:,}", records <= dead)
    waiting = large.size["waiting_plan"]["records"]
    what = f"the same, {dead:,} wait for 'quiet'"
    yield Target(what, f"{waiting:,}", "0", waiting == 0)


TARGETS: tuple[Callable[[Large], Iterator[Target]], ...] = (
    _requests,
    _ratio,
    _slow_nova,
    _cpu,
    _quick,
    _states,
    _records,
)


def for_people(whole: Figures) -> str:
    """All figures as text."""
    sizes = whole["sizes"]
    lines = [
        f"{'hosts':<10}{'terminated':<12}{'what':<24} wall s  ratio  CPU s  servers' CPU s"
        "  requests (bound)  peak MiB"
    ]
    for size in sizes:
        lines += _lines_of(size)
    lines += [
        "",
        f"memory: an idle interpreter with the same imports {whole['idle'] / MIB:.0f} MiB",
    ]
    for small, large in zip(sizes, sizes[1:]):
        lines.append(
            f"        {small['hosts']} to {large['hosts']} hosts: {_growth(small, large)} a host"
        )
    lines += ["", "start-up, s"]
    for label, seconds in whole["start_up"].items():
        lines.append(f"  {label:<14}{seconds:6.3f}")
    lines += ["", f"targets, {max(size['hosts'] for size in sizes):,} hosts"]
    for target in targets(whole):
        mark = "" if target.is_met else "  NOT MET"
        lines.append(f"  {target.what:<66}{target.measured:<34}{target.limit}{mark}")
    return "\n".join(lines)


def _growth(small: Figures, large: Figures) -> str:
    grown = large["plan"]["peak"] - small["plan"]["peak"]
    return f"{grown / (large['hosts'] - small['hosts']):.0f} bytes"


def _lines_of(size: Figures) -> Iterator[str]:
    for kind, dead in (("", 0), ("proof_", size["terminated"])):
        floor, plan = size[f"{kind}floor"], size[f"{kind}plan"]
        start = f"{size['hosts']:<10}{dead:<12}"
        ratio = f"{plan['wall'] / floor['wall']:.2f}"
        yield start + _line(floor, "bare loop")
        yield start + _line(plan, "plan", ratio, f"({size[f'{kind}bound']})")
    yield f"{size['hosts']:<22}" + _line(size["quick"], "quick run, 20 gone")
    if size["first_way"]:
        times = size["first_way"] / size["proof_plan"]["wall"]
        label = f"{'one by one (estimated)':<24}"
        yield f"{size['hosts']:<22}{label}{size['first_way']:7.0f}{times:7.0f}"


def _line(ran: Figures, label: str, ratio: str = "", bound: str = "") -> str:
    return (
        f"{label:<24}{ran['wall']:7.2f}{ratio:>7}{ran['cpu']:7.2f}{ran['served']:16.2f}"
        f"{ran['requests']:10}{bound:>8}{ran['peak'] / MIB:10.0f}"
    )


# For the documentation


def markdown(whole: Figures) -> str:
    """The tables of docs/scale.md."""
    lines = [
        "| hosts | terminated | bare loop | `plan` | ratio | one by one | servers | requests "
        "| peak |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for size in whole["sizes"]:
        lines.append(_row(size, 0, "", ""))
        one_by_one = _span(size["first_way"]) if size["first_way"] else ""
        lines.append(_row(size, size["terminated"], "proof_", one_by_one))
    lines += ["", "| | measured | target |", "|---|---|---|"]
    for target in targets(whole):
        limit = target.limit if target.is_met else f"**{target.limit}**"
        lines.append(f"| {target.what} | {target.measured} | {limit} |")
    return "\n".join(lines)


def _row(size: Figures, dead: int, kind: str, one_by_one: str) -> str:
    floor, plan = size[f"{kind}floor"], size[f"{kind}plan"]
    cells = (
        f"{size['hosts']:,}",
        f"{dead:,}",
        f"{floor['wall']:.2f} s",
        f"{plan['wall']:.2f} s",
        f"{plan['wall'] / floor['wall']:.2f}",
        one_by_one,
        f"{plan['served']:.2f} s",
        f"{plan['requests']:,}",
        f"{plan['peak'] / MIB:.0f} MiB",
    )
    return f"| {' | '.join(cells)} |"


def _span(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


if __name__ == "__main__":
    path = Path(sys.argv[1]) if sys.argv[1:] else Path("build/bench.json")
    print(markdown(json.loads(path.read_text(encoding="utf-8"))))
