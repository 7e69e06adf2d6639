"""The answer of a delegated check as one framed line of ASCII, and back.  Pure.

A job's output is everything that the remote machine printed, in pieces: output of shell start-up
files, warnings, lines of other programs.  So the answer is one line with the nonce of the request,
a digest of the whole question, and a digest of the answer itself; nothing else counts.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, Optional, Union

from foreman_hooks.osp_checker.errors import KINDS, OSPError, gist
from foreman_hooks.osp_checker.servers import Servers
from foreman_hooks.osp_checker.sightings import (
    Place,
    Presence,
    RegionAnswer,
    Sighting,
    Survey,
)
from foreman_hooks.osp_checker.uuids import both_orders
from foreman_hooks.osp_checker.wire_fields import (
    aware_time,
    iso_text,
    plain_text,
    whole_number,
)
from foreman_hooks.osp_checker.wire_servers import answers_mode, server_row, servers_of

MARK = "satellite-osp-cleanup:answer:4"
EARLIER = "satellite-osp-cleanup:answer:3"
SURVEY_MODES = ("survey", "list", "ask")  # answered by a Survey
SERVER_MODES = ("deleted", "inactive", "unmanaged")  # answered by Servers
MODES = (*SURVEY_MODES, *SERVER_MODES)


class NoAnswer(Exception):
    """A text has no answer to this question, or has one that cannot be trusted; says why."""


class Question(NamedTuple):
    """What is asked, as the inputs of a job: every field is a text.

    `mode`: one of MODES.  survey lists all servers, and asks about each UUID that no list contains;
    list only lists; ask asks about each UUID one by one.  deleted, inactive and unmanaged describe
    servers, see servers.py; deleted and inactive need no UUIDs, and unmanaged leaves out the
    servers that these UUIDs name.  `uuids` and `clouds` (NAME or NAME/REGION; empty: all of
    clouds.yaml) are separated by white space or commas.  `fails`: the clouds whose lists fail while
    a cell is down.  `since` (ISO 8601 with its zone): in mode deleted, when the time begins; in
    mode ask, the rows that were deleted after it are read first, and none if it is empty.
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
        return _sha256(json.dumps(self))

    def moment(self) -> Optional[datetime]:
        """`since` as an aware time; None if it is empty.  Raises ValueError."""
        # Before Python 3.11 fromisoformat does not know the Z.
        return aware_time(self.since.replace("Z", "+00:00") or None)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def words(text: str) -> list[str]:
    """The words of a text, separated by white space or commas; each once, in order."""
    return list(dict.fromkeys(filter(None, re.split(r"[\s,]+", text))))


def dump(question: Question, answer: Union[Survey, Servers]) -> str:
    """The line that answers `question`.

    `answer.at`, the time on this host, is included, so that the other side notices clocks that
    disagree.
    """
    numbers = {region.place: number for number, region in enumerate(answer.regions)}
    body: dict[str, Any] = {
        "question": question.digest,
        "at": iso_text(answer.at),
        "regions": list(map(_region_row, answer.regions)),
    }
    if isinstance(answer, Survey):
        alive = answer.alive.items()
        body["alive"] = {uuid: numbers[place] for uuid, place in alive}
        body["asked"] = _sighting_rows(answer, numbers)
    else:
        body["servers"] = [
            server_row(numbers[server.place], server) for server in answer.servers
        ]
    payload = json.dumps(body, separators=(",", ":"))
    return f"{MARK} {question.nonce} {_sha256(payload)} {payload}"


def _sighting_rows(
    survey: Survey, numbers: Mapping[Place, int]
) -> dict[str, list[list[Any]]]:
    """UUID -> its sightings; those of a region that failed are left out: its error is enough."""
    failed = {answer.place for answer in survey.regions if answer.error}
    asked = {}
    for uuid, sightings in survey.asked.items():
        asked[uuid] = [
            _sighting_row(numbers[sighting.place], sighting)
            for sighting in sightings
            if sighting.place not in failed
        ]
    return asked


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
    when = iso_text(sighting.terminated_at)
    presence = sighting.presence.value
    return [number, presence, sighting.detail, when, sighting.project]


def load(question: Question, output: str) -> Survey:
    """The Survey in the whole output of a job; raises NoAnswer unless there is exactly one.

    Except in mode list, every UUID of the question is in it: alive, or with a sighting in each
    region, UNKNOWN if that region failed.
    """
    with _invalid_answers_refused():
        return _checked(question, _body(question, output))


def load_servers(question: Question, output: str) -> Servers:
    """The Servers in the whole output of a job; raises NoAnswer unless there is exactly one.

    Each of them is what the mode of the question asks for.
    """
    with _invalid_answers_refused():
        return _checked_servers(question, _body(question, output))


@contextmanager
def _invalid_answers_refused() -> Iterator[None]:
    """Turn what goes wrong with an answer of any other form into NoAnswer."""
    try:
        yield
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


def _body(question: Question, output: str) -> Mapping[str, Any]:
    """The only answer in the output of a job, if it is to this question; raises NoAnswer."""
    frames = _frames(question, output.replace("\r", ""))
    if not frames and f"{EARLIER} {question.nonce} " in output:
        raise NoAnswer(
            "its job template is of an older version; update it with 'templates publish'"
        )
    if len(frames) != 1:
        raise NoAnswer("several answers" if frames else "no answer in its output")
    digest, payload = frames.pop()
    if _sha256(payload) != digest:
        raise NoAnswer("the answer is damaged")
    body: Mapping[str, Any] = json.loads(payload)
    if body["question"] != question.digest:
        raise NoAnswer("the answer is to another question")
    return body


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
    """What is wrong, in a few words."""
    if type(error) is ValueError:
        return gist(error)
    return "a field is missing or has the wrong type"


def _checked(question: Question, body: Mapping[str, Any]) -> Survey:
    regions = _region_answers(body["regions"])
    wanted = set(words(question.uuids))
    alive = body["alive"]
    rows = body["asked"]
    answered = alive.keys() | rows.keys()
    if not answered <= wanted or alive.keys() & rows.keys():
        raise NoAnswer("the answer is about other UUIDs")
    if question.mode != "list" and regions and answered != wanted:
        raise NoAnswer("the answer leaves UUIDs out")
    listed = {}
    for uuid, number in alive.items():
        listed[uuid] = regions[whole_number(number)].place
    asked = {}
    for uuid, sightings in rows.items():
        asked[uuid] = _sightings(uuid, regions, sightings)
    return Survey(regions, listed, asked, aware_time(body["at"]))


def _checked_servers(question: Question, body: Mapping[str, Any]) -> Servers:
    regions = _region_answers(body["regions"])
    servers = servers_of(body["servers"], regions)
    named = both_orders(words(question.uuids))
    for server in servers:
        if not answers_mode(server, question.mode, named):
            raise NoAnswer(
                f"the answer describes server {server.uuid}, which was not asked for"
            )
    return Servers(regions, servers, aware_time(body["at"]))


def _region_answers(rows: Iterable[Sequence[Any]]) -> tuple[RegionAnswer, ...]:
    """How each region answered; raises NoAnswer if one is named twice."""
    answers = tuple(_region_answer(*row) for row in rows)
    if len({answer.place for answer in answers}) < len(answers):
        raise NoAnswer("the answer names a region twice")
    return answers


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
    for text in (cloud, region, proof, kind, error, *unlisted):
        plain_text(text)
    if servers is not None:
        whole_number(servers)
    failure = None
    if kind or error:
        failure = KINDS.get(kind, OSPError)(error)
    return RegionAnswer(cloud, region, servers, proof, failure, tuple(unlisted))


def _sightings(
    uuid: str, regions: Sequence[RegionAnswer], rows: Iterable[Sequence[Any]]
) -> tuple[Sighting, ...]:
    """A Sighting for each region; raises ValueError, and KeyError if one is missing.

    Once a region fails, the others are not asked any more, since the UUID is unknown anyway.
    """
    sightings: dict[Place, Sighting] = {}
    for number, presence, detail, when, project in rows:
        place = regions[whole_number(number)].place
        if place in sightings:
            raise ValueError(f"two sightings of {uuid} in {place}")
        plain_text(detail)
        plain_text(project)
        ended = _ended_at(presence, when)
        sightings[place] = Sighting(
            uuid, *place, Presence(presence), detail, ended, project
        )
    failures = [str(answer.error) for answer in regions if answer.error]
    for answer in regions:
        if answer.error:
            why = str(answer.error)
        elif failures and answer.place not in sightings:
            why = f"not asked: {failures[0]}"
        else:
            continue
        sightings[answer.place] = Sighting(uuid, *answer.place, Presence.UNKNOWN, why)
    return tuple(sightings[answer.place] for answer in regions)


def _ended_at(presence: str, text: Optional[str]) -> Optional[datetime]:
    """The time of termination; raises ValueError unless exactly a DELETED sighting has one."""
    if (text is not None) != (presence == Presence.DELETED.value):
        raise ValueError(f"{presence} with the time {text}")
    return aware_time(text)
