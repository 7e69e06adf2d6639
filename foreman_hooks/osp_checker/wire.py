"""The answer of a delegated check: a Survey as one framed line of ASCII, and back.  Pure.

A job's output is everything that the remote machine printed, in pieces: output of shell start-up
files, warnings, lines of other programs.  So the answer is one line with the nonce of the request,
a digest of the whole question, and a digest of the answer itself; nothing else counts.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple, Optional

from foreman_hooks.osp_checker.errors import KINDS, OSPError
from foreman_hooks.osp_checker.sightings import (
    Place,
    Presence,
    RegionAnswer,
    Sighting,
    Survey,
)

MARK = "satellite-osp-cleanup:answer:3"
EARLIER = "satellite-osp-cleanup:answer:2"
MODES = ("survey", "list", "ask")


class NoAnswer(Exception):
    """A text has no answer to this question, or has one that cannot be trusted; says why."""


class Question(NamedTuple):
    """What is asked, as the inputs of a job: every field is a text.

    `mode`: one of MODES.  survey lists all servers, and asks about each UUID that no list contains;
    list only lists; ask asks about each UUID one by one.  `uuids` and `clouds` (NAME or
    NAME/REGION; empty: all of clouds.yaml) are separated by white space or commas.  `fails`: the
    clouds whose lists fail while a cell is down.  `since`: in mode ask, the rows that were deleted
    after this time (ISO 8601 with its zone) are read first; empty: no rows are.
    """

    nonce: str
    mode: str
    uuids: str
    clouds: str = ""
    fails: str = ""
    since: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the whole question, in hexadecimal."""
        return hashlib.sha256(json.dumps(self).encode()).hexdigest()

    def moment(self) -> Optional[datetime]:
        """`since` as an aware time; None if it is empty.  Raises ValueError."""
        # Before Python 3.11 fromisoformat does not know the Z.
        return _time(self.since.replace("Z", "+00:00") or None)


def words(text: str) -> list[str]:
    """The words of a text, separated by white space or commas; each once, in order."""
    return list(dict.fromkeys(filter(None, re.split(r"[\s,]+", text))))


def dump(question: Question, survey: Survey) -> str:
    """The line that answers `question`.

    The sightings of a region that failed are left out: its error is enough.  `survey.at`, the time
    on this host, is included, so that the other side notices clocks that disagree.
    """
    places = [answer.place for answer in survey.regions]
    failed = {answer.place for answer in survey.regions if answer.error}
    asked = {}
    for uuid, sightings in survey.asked.items():
        asked[uuid] = [
            _sighting_row(places.index(sighting.place), sighting)
            for sighting in sightings
            if sighting.place not in failed
        ]
    body = {
        "question": question.digest,
        "at": survey.at.isoformat() if survey.at else None,
        "regions": [_region_row(answer) for answer in survey.regions],
        "alive": {uuid: places.index(place) for uuid, place in survey.alive.items()},
        "asked": asked,
    }
    payload = json.dumps(body, separators=(",", ":"))
    return f"{MARK} {question.nonce} {hashlib.sha256(payload.encode()).hexdigest()} {payload}"


def _region_row(answer: RegionAnswer) -> list[Any]:
    return [
        answer.cloud,
        answer.region,
        answer.servers,
        answer.proof,
        type(answer.error).__name__ if answer.error else "",
        str(answer.error or ""),
        list(answer.unlisted),
    ]


def _sighting_row(number: int, sighting: Sighting) -> list[Any]:
    ended = sighting.terminated_at
    when = ended.isoformat() if ended else None
    presence = sighting.presence.value
    return [number, presence, sighting.detail, when, sighting.project]


def load(question: Question, output: str) -> Survey:
    """The Survey in the whole output of a job; raises NoAnswer unless there is exactly one.

    Except in mode list, every UUID of the question is in it: alive, or with a sighting in each
    region, UNKNOWN if that region failed.
    """
    frames = _frames(question, output.replace("\r", ""))
    if not frames and f"{EARLIER} {question.nonce} " in output:
        raise NoAnswer(
            "its job template is of an older version; update it with 'templates publish'"
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
    """(digest, payload) of each line that looks like an answer; linear in the output's length."""
    frames = set()
    for line in output.split("\n"):
        for text in line.split(f"{MARK} {question.nonce} ")[1:]:
            digest, _, payload = text.partition(" ")
            payload = payload[: payload.rfind("}") + 1]
            if len(digest) == 64 and payload.startswith("{"):
                frames.add((digest, payload))
    return frames


def _gist(error: Exception) -> str:
    """What is wrong, without the texts of Python's own errors."""
    if type(error) is ValueError:
        return str(error)
    return "a field is missing or has the wrong type"


def _checked(question: Question, body: Mapping[str, Any]) -> Survey:
    regions = tuple(_region_answer(*row) for row in body["regions"])
    places = [answer.place for answer in regions]
    if len(set(places)) < len(places):
        raise NoAnswer("the answer names a region twice")
    wanted = set(words(question.uuids))
    alive = body["alive"]
    rows = body["asked"]
    answered = alive.keys() | rows.keys()
    if not answered <= wanted or alive.keys() & rows.keys():
        raise NoAnswer("the answer is about other UUIDs")
    if question.mode != "list" and regions and answered != wanted:
        raise NoAnswer("the answer leaves UUIDs out")
    return Survey(
        regions,
        {uuid: places[_number(number)] for uuid, number in alive.items()},
        {
            uuid: _sightings(uuid, regions, sightings)
            for uuid, sightings in rows.items()
        },
        _time(body["at"]),
    )


def _region_answer(
    cloud: str,
    region: str,
    servers: Optional[int],
    proof: str,
    kind: str,
    error: str,
    unlisted: Sequence[str],
) -> RegionAnswer:
    if not isinstance(unlisted, list):
        raise ValueError("the unlisted regions are not a list")
    if not all(
        isinstance(text, str) for text in (cloud, region, proof, kind, error, *unlisted)
    ):
        raise ValueError("a field is not a text")
    if servers is not None:
        _number(servers)
    failure = KINDS.get(kind, OSPError)(error) if kind or error else None
    return RegionAnswer(cloud, region, servers, proof, failure, tuple(unlisted))


def _number(value: object) -> int:
    """The value, if it is a whole number from 0; raises ValueError: -1 would be another place."""
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a number")
    return value


def _sightings(
    uuid: str, regions: Sequence[RegionAnswer], rows: Iterable[Sequence[Any]]
) -> tuple[Sighting, ...]:
    """A Sighting for each region; raises ValueError, and KeyError if one is missing.

    Once a region fails, the others are not asked any more, since the UUID is unknown anyway.
    """
    sightings: dict[Place, Sighting] = {}
    for number, presence, detail, when, project in rows:
        place = regions[_number(number)].place
        if place in sightings:
            raise ValueError(f"two sightings of {uuid} in {place}")
        if not isinstance(detail, str) or not isinstance(project, str):
            raise ValueError("a field is not a text")
        ended = _ended_at(presence, when)
        sightings[place] = Sighting(
            uuid, *place, Presence(presence), detail, ended, project
        )
    failures = [str(answer.error) for answer in regions if answer.error]
    if not failures:
        return tuple(sightings[answer.place] for answer in regions)
    for answer in regions:
        if answer.error:
            why = str(answer.error)
            sightings[answer.place] = Sighting(
                uuid, *answer.place, Presence.UNKNOWN, why
            )
        elif answer.place not in sightings:
            why = f"not asked: {failures[0]}"
            sightings[answer.place] = Sighting(
                uuid, *answer.place, Presence.UNKNOWN, why
            )
    return tuple(sightings[answer.place] for answer in regions)


def _ended_at(presence: str, text: Optional[str]) -> Optional[datetime]:
    """The time of termination; raises ValueError unless exactly a DELETED sighting has one."""
    if (text is not None) != (presence == Presence.DELETED.value):
        raise ValueError(f"{presence} with the time {text}")
    return _time(text)


def _time(text: Optional[str]) -> Optional[datetime]:
    when = datetime.fromisoformat(text) if text is not None else None
    if when is not None and when.utcoffset() is None:
        raise ValueError(f"{text} has no time zone")
    return when.astimezone(timezone.utc) if when else None
