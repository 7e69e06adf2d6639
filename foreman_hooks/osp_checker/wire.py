"""The answer of a delegated check: a Survey as one framed line of ASCII, and back.  Pure; travels
in a job template.

A job's output is everything that the remote machine printed, in pieces: text of shell start-up
files, warnings, lines of other programs.  So the answer is one line that says to which request it
belongs (its nonce), what was asked (a digest of the whole question), and that it is whole (a digest
of itself); anything else is no answer.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker.errors import KINDS
from foreman_hooks.osp_checker.region import (
    OSPError,
    Presence,
    Sighting,
)
from foreman_hooks.osp_checker.survey import Seen, Survey

MARK = "satellite-osp-cleanup:answer:2"
EARLIER = "satellite-osp-cleanup:answer:1"
MODES = ("survey", "list", "ask")


class NoAnswer(Exception):
    """Text that holds no answer to this question, or one that cannot be trusted; says why."""


class Question(NamedTuple):
    """What is asked, as the job's inputs carry it: every field is a text.

    `mode`: survey (all servers are listed, and what is in no list is asked one by one), list (only
    that), ask (one by one).  `uuids` and `clouds` (NAME or NAME/REGION; none: all of clouds.yaml)
    are separated by white space or commas; `fails` names the clouds whose lists fail when a cell is
    down.
    """

    nonce: str
    mode: str
    uuids: str
    clouds: str = ""
    fails: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the whole question, in hexadecimal."""
        return hashlib.sha256(json.dumps(self).encode()).hexdigest()


def words(text: str) -> list[str]:
    """The parts of a text between white space and commas, each once, in order."""
    return list(dict.fromkeys(filter(None, re.split(r"[\s,]+", text))))


def dump(question: Question, survey: Survey) -> str:
    """The line that answers `question`; sightings of a region that failed stay out, its error says
    it all.

    `survey.at`, the time of this host, goes along: clocks that disagree are found out by it.
    """
    places = [(seen.cloud, seen.region) for seen in survey.regions]
    failed = {(seen.cloud, seen.region) for seen in survey.regions if seen.error}
    payload = json.dumps(
        {
            "question": question.digest,
            "at": survey.at.isoformat() if survey.at else None,
            "regions": [
                [
                    seen.cloud,
                    seen.region,
                    seen.servers,
                    seen.proof,
                    type(seen.error).__name__ if seen.error else "",
                    str(seen.error or ""),
                    list(seen.unlisted),
                ]
                for seen in survey.regions
            ],
            "alive": {uuid: places.index(place) for uuid, place in survey.alive.items()},
            "asked": {
                uuid: [
                    [
                        places.index((one.cloud, one.region)),
                        one.presence.value,
                        one.detail,
                        one.terminated_at.isoformat() if one.terminated_at else None,
                    ]
                    for one in sightings
                    if (one.cloud, one.region) not in failed
                ]
                for uuid, sightings in survey.asked.items()
            },
        },
        separators=(",", ":"),
    )
    return f"{MARK} {question.nonce} {hashlib.sha256(payload.encode()).hexdigest()} {payload}"


def load(question: Question, output: str) -> Survey:
    """The Survey that a job's whole output holds; raises NoAnswer for everything that is not
    exactly that.

    Every UUID of the question is in it (but in mode list): alive, or with a sighting in each
    region, UNKNOWN where that one failed.
    """
    frames = _frames(question, output.replace("\r", ""))
    if not frames and f"{EARLIER} {question.nonce} " in output:
        raise NoAnswer(
            "its job template is of an older version; bring the new one with 'templates publish'"
        )
    if len(frames) != 1:
        raise NoAnswer("several answers" if frames else "no answer in its output")
    digest, payload = frames.pop()
    if hashlib.sha256(payload.encode()).hexdigest() != digest:
        raise NoAnswer("the answer is damaged")
    try:
        body = json.loads(payload)
        if body["question"] != question.digest:
            raise NoAnswer("the answer is to another question")
        return _checked(question, body)
    except (
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise NoAnswer(f"the answer is invalid ({_gist(error)})") from error


def _frames(question: Question, output: str) -> set[tuple[str, str]]:
    """Digest and payload of whatever looks like an answer; no more than a few looks at each
    character.
    """
    frames = set()
    for line in output.split("\n"):
        for text in line.split(f"{MARK} {question.nonce} ")[1:]:
            digest, _, payload = text.partition(" ")
            payload = payload[: payload.rfind("}") + 1]
            if len(digest) == 64 and payload.startswith("{"):
                frames.add((digest, payload))
    return frames


def _gist(error: Exception) -> str:
    """What is wrong, without Python's words for it."""
    return (
        str(error)
        if type(error) is ValueError
        else "a field is missing, or of another kind than agreed"
    )


def _checked(question: Question, body: Mapping[str, Any]) -> Survey:
    regions = tuple(_seen(*row) for row in body["regions"])
    places = [(seen.cloud, seen.region) for seen in regions]
    if len(set(places)) < len(places):
        raise NoAnswer("the answer names a region twice")
    asked_for, alive, rows = set(words(question.uuids)), body["alive"], body["asked"]
    if not alive.keys() | rows.keys() <= asked_for or alive.keys() & rows.keys():
        raise NoAnswer("the answer is about other UUIDs")
    if question.mode != "list" and regions and alive.keys() | rows.keys() != asked_for:
        raise NoAnswer("the answer leaves UUIDs out")
    return Survey(
        regions,
        {uuid: places[_number(number)] for uuid, number in alive.items()},
        {uuid: _sightings(uuid, regions, found) for uuid, found in rows.items()},
        _time(body["at"]),
    )


def _seen(
    cloud: str,
    region: str,
    servers: Optional[int],
    proof: str,
    kind: str,
    error: str,
    unlisted: Sequence[str],
) -> Seen:
    if not isinstance(unlisted, list):
        raise ValueError("the regions that are not listed are no list")
    if not all(isinstance(text, str) for text in (cloud, region, proof, kind, error, *unlisted)):
        raise ValueError("a field is not a text")
    return Seen(
        cloud,
        region,
        None if servers is None else _number(servers),
        proof,
        KINDS.get(kind, OSPError)(error) if kind or error else None,
        tuple(unlisted),
    )


def _number(value: object) -> int:
    """A whole number from 0 on: an index of -1 would name another place."""
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a number")
    return value


def _sightings(
    uuid: str, regions: Sequence[Seen], rows: Iterable[Sequence[Any]]
) -> tuple[Sighting, ...]:
    """One for each region."""
    found = {}
    for number, presence, detail, when in rows:
        place = regions[_number(number)][:2]
        if place in found or not isinstance(detail, str):
            raise ValueError(f"two sightings of {uuid} in {'/'.join(place)}")
        found[place] = Sighting(uuid, *place, Presence(presence), detail, _ended_at(presence, when))
    failed = next((str(seen.error) for seen in regions if seen.error), None)
    if failed is None:
        return tuple(found[seen.cloud, seen.region] for seen in regions)
    # where one region fails the others are not asked any more; either way nothing can be known of
    # what it is
    return tuple(
        Sighting(uuid, seen.cloud, seen.region, Presence.UNKNOWN, str(seen.error))
        if seen.error
        else found.get((seen.cloud, seen.region))
        or Sighting(uuid, seen.cloud, seen.region, Presence.UNKNOWN, f"not asked: {failed}")
        for seen in regions
    )


def _ended_at(presence: str, text: Optional[str]) -> Optional[datetime]:
    """The time of a termination, which a DELETED has and nothing else."""
    if (text is not None) != (presence == Presence.DELETED.value):
        raise ValueError(f"{presence} with the time {text}")
    return _time(text)


def _time(text: Optional[str]) -> Optional[datetime]:
    when = datetime.fromisoformat(text) if text is not None else None
    if when is not None and when.utcoffset() is None:
        raise ValueError(f"{text} has no time zone")
    return when.astimezone(timezone.utc) if when else None
