"""Whether the facts that identify hosts are stored, and will be stored."""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple, Optional

from foreman_hooks.cleanup.doctor.findings import Finding, fail, ok, warning
from foreman_hooks.rules.identity import OTHER_LEADING_NAMES, OTHER_NAMES
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.installation import excluded_facts, has_fact
from foreman_hooks.settings import Settings

_Patterns = Optional[tuple[str, ...]]  # of the setting; None if it cannot be read
_MAKER_ENDINGS = ("manufacturer", "vendor", "name")
# The kinds of facts without which no host counts as an instance, and the facts of each kind.
_OF_RHSM: Mapping[str, Sequence[str]] = {
    "UUID": ("virt::uuid",),
    "maker": ("dmi::system::manufacturer", "dmi::system::product_name"),
    "guest flag": ("virt::is_guest",),
}
_OF_OTHERS: Mapping[str, Sequence[str]] = {
    "UUID": OTHER_LEADING_NAMES,
    "maker": tuple(name for name in OTHER_NAMES if name.endswith(_MAKER_ENDINGS)),
    "guest flag": tuple(name for name in OTHER_NAMES if "virtual" in name),
}


class _Kind(NamedTuple):
    """One kind of facts; `missing` are those that no host has."""

    name: str
    facts: Sequence[str]
    missing: Sequence[str]


def examine_facts(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    """Check for each kind of fact that hosts have it, with one request for each fact."""
    kinds = _kinds(satellite)
    patterns = excluded_facts(satellite)
    if all(kind.missing == kind.facts for kind in kinds):
        yield _none_visible(kinds, patterns)
        return
    findings: list[Finding] = []
    for kind in kinds:
        findings.extend(_examine_kind(kind, patterns))
    if not findings:
        names = ", ".join(kind.name for kind in kinds)
        findings.append(ok(f"facts that identify hosts are visible: {names}"))
    yield from findings


def _kinds(satellite: Satellite) -> list[_Kind]:
    kinds = _OF_OTHERS
    if satellite.katello:
        kinds = _OF_RHSM
    return [
        _Kind(name, facts, _missing(satellite, facts)) for name, facts in kinds.items()
    ]


def _missing(satellite: Satellite, facts: Sequence[str]) -> Sequence[str]:
    """Which of these facts no host has.

    Each fact of RHSM has to be stored.  Other sources use different names, so any of theirs is
    enough.
    """
    if satellite.katello:
        return tuple(
            fact for fact in facts if not has_fact(satellite, [fact], rhsm=True)
        )
    if has_fact(satellite, facts, rhsm=False):
        return ()
    return facts


def _none_visible(kinds: Sequence[_Kind], patterns: _Patterns) -> Finding:
    facts: list[str] = []
    for kind in kinds:
        facts.extend(kind.facts)
    advice = "add view_facts for all hosts to its role"
    excluding = _excluding(patterns, facts)
    if excluding:
        advice = f"{_upload_again(excluding)}; or {advice}"
    return fail("no fact that identifies a host is visible to this login", advice)


def _examine_kind(kind: _Kind, patterns: _Patterns) -> Iterator[Finding]:
    excluding = _excluding(patterns, kind.missing or kind.facts)
    if not kind.missing:
        if excluding:
            what = f"no {kind.name} will be stored for new hosts"
            yield warning(what, _upload_again(excluding))
        return
    what = f"no {kind.name} ({', '.join(kind.missing)}) is stored for any host"
    advice = (
        "the setting excluded_facts does not name it; do the hosts upload their facts?"
    )
    if excluding:
        advice = _upload_again(excluding)
    elif patterns is None:
        advice = "see the setting excluded_facts, which this login cannot read (view_settings)"
    if kind.missing == kind.facts:
        yield fail(what, advice)
    else:
        yield warning(what, advice)


def _upload_again(patterns: Sequence[str]) -> str:
    quoted = ", ".join(repr(pattern) for pattern in patterns)
    return (
        f"remove {quoted} from the setting excluded_facts, and let the hosts upload their facts "
        "again"
    )


def _excluding(patterns: _Patterns, facts: Sequence[str]) -> list[str]:
    """The patterns of the setting that exclude any of these facts."""
    return [pattern for pattern in patterns or () if _excludes_any(pattern, facts)]


def _excludes_any(pattern: str, facts: Sequence[str]) -> bool:
    return any(excludes(pattern, fact) for fact in facts)


def excludes(pattern: str, fact: str) -> bool:
    """Whether a pattern of Foreman's setting excluded_facts keeps this fact from being stored.

    A pattern matches from the beginning of the name or after any `::` or `_`, to the end of the
    name or to a `::`.
    """
    pattern = pattern.replace("[", "[[]")  # only * and ? are special to Foreman
    for begin in [0, *_positions("(?<=::)|(?<=_)", fact)]:
        for end in [*_positions("(?=::)", fact), len(fact)]:
            if begin <= end and fnmatchcase(fact[begin:end], pattern):
                return True
    return False


def _positions(expression: str, text: str) -> list[int]:
    return [match.start() for match in re.finditer(expression, text)]
