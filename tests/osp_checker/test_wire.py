"""The line that answers a delegated check: complete and for this question, or not an answer."""

import ast
import hashlib
import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreman_hooks.osp_checker import wire, wire_fields, wire_servers
from foreman_hooks.osp_checker.errors import (
    OSPConfigError,
    OSPError,
    OSPForbidden,
    OSPLoginError,
)
from foreman_hooks.osp_checker.servers import NOT_RUNNING, Server, Servers
from foreman_hooks.osp_checker.sightings import Presence, RegionAnswer, Sighting, Survey
from foreman_hooks.osp_checker.uuids import swap_bytes
from foreman_hooks.osp_checker.wire import (
    EARLIER,
    MARK,
    NoAnswer,
    Question,
    dump,
    load,
    load_servers,
    words,
)
from foreman_hooks.satellite import jobs

ONE, TWO, THREE = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "123")
PLACE, OTHER = ("prod", "RegionOne"), ("prod", "RegionTwo")
POSSIBLE = (datetime(1970, 1, 1), datetime(2999, 12, 31))
MOST = 2**31 - 1
ENDED = datetime(2026, 11, 20, 12, 0, 0, tzinfo=timezone.utc)
QUESTION = Question(
    "f00d", "survey", f"{ONE}\n{TWO}\n{THREE}", "prod/RegionOne\nprod/RegionTwo"
)
SURVEY = Survey(
    (
        RegionAnswer(
            *PLACE, 3, "the login can see other projects' servers (example: x)", None
        ),
        RegionAnswer(*OTHER, 0, "", None),
    ),
    {ONE: PLACE},
    {
        TWO: (
            Sighting(TWO, *PLACE, Presence.DELETED, "Nova's row says DELETED", ENDED),
            Sighting(TWO, *OTHER, Presence.ABSENT, "no row"),
        ),
        THREE: (
            Sighting(THREE, *PLACE, Presence.ABSENT, "no row"),
            Sighting(THREE, *OTHER, Presence.PRESENT, "SHUTOFF"),
        ),
    },
)


def body_of(line: str) -> Any:
    return json.loads(line[line.index("{") :])


def framed(body: Any, nonce: str = QUESTION.nonce) -> str:
    """A line with a valid frame around any body."""
    payload = body if isinstance(body, str) else json.dumps(body)
    return f"{MARK} {nonce} {hashlib.sha256(payload.encode()).hexdigest()} {payload}"


def test_a_survey_arrives_unchanged() -> None:
    assert load(QUESTION, dump(QUESTION, SURVEY)) == SURVEY


texts = st.text(max_size=20)
presences = st.sampled_from(
    [Presence.PRESENT, Presence.ABSENT, Presence.UNKNOWN, Presence.INVALID]
)


@given(st.data())
def test_every_survey_arrives_unchanged_as_one_line_of_ascii(
    data: st.DataObject,
) -> None:
    places = data.draw(
        st.lists(st.tuples(texts, texts), min_size=1, max_size=3, unique=True)
    )
    uuids = [
        f"{number:08x}-0000-4000-8000-000000000000"
        for number in range(data.draw(st.integers(1, 5)))
    ]
    alive = data.draw(st.dictionaries(st.sampled_from(uuids), st.sampled_from(places)))
    times = st.datetimes(*POSSIBLE, timezones=st.just(timezone.utc))

    def sighting(uuid: str, place: tuple[str, str]) -> Sighting:
        if data.draw(st.booleans()):
            return Sighting(
                uuid,
                *place,
                Presence.DELETED,
                data.draw(texts),
                data.draw(times),
                data.draw(texts),
            )
        return Sighting(uuid, *place, data.draw(presences), data.draw(texts))

    survey = Survey(
        tuple(
            RegionAnswer(
                *place,
                data.draw(st.none() | st.integers(0, MOST)),
                data.draw(texts),
                None,
            )
            for place in places
        ),
        alive,
        {
            uuid: tuple(sighting(uuid, place) for place in places)
            for uuid in uuids
            if uuid not in alive
        },
    )
    question = Question(
        "0", "survey", " ".join(uuids), data.draw(texts), data.draw(texts)
    )
    line = dump(question, survey)
    assert line.isascii() and len(line.splitlines()) == 1
    assert load(question, line) == survey


@pytest.mark.parametrize(
    "kind", [OSPError, OSPConfigError, OSPLoginError, OSPForbidden]
)
def test_a_region_that_failed_is_unknown_for_every_uuid_with_its_own_error(
    kind: type[OSPError],
) -> None:
    failed = Survey(
        (SURVEY.regions[0], RegionAnswer(*OTHER, None, "", kind("cell down"))),
        SURVEY.alive,
        SURVEY.asked,
    )
    survey = load(QUESTION, dump(QUESTION, failed))
    assert type(survey.regions[1].error) is kind
    assert str(survey.regions[1].error) == "cell down"
    assert survey.asked[THREE][1] == Sighting(
        THREE, *OTHER, Presence.UNKNOWN, "cell down"
    )
    assert survey.asked[TWO][0].presence is Presence.DELETED


def test_an_error_without_a_text_is_an_error_all_the_same() -> None:
    survey = load(
        QUESTION,
        dump(
            QUESTION,
            Survey(
                (RegionAnswer(*PLACE, 1, "", OSPError("")),),
                {},
                dict.fromkeys((ONE, TWO, THREE), ()),
            ),
        ),
    )
    assert isinstance(survey.regions[0].error, OSPError)
    assert {
        sighting.presence
        for sightings in survey.asked.values()
        for sighting in sightings
    } == {Presence.UNKNOWN}


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "Welcome to checker1!\nlast login: never\n{}\n",
        "no line end before it {}\n",
        "{}\nerror: later\n",
        "{}\n{}\n",
        "warning: x\r\n{}\r\n",
        f"{MARK} other {'0' * 64} {{}}\n{{}}",
    ],
)
def test_the_answer_is_found_among_other_output(around: str) -> None:
    assert load(QUESTION, around.replace("{}", dump(QUESTION, SURVEY))) == SURVEY


def damaged(change: Callable[[Any], Any]) -> str:
    body = body_of(dump(QUESTION, SURVEY))
    changed = change(body)
    return framed(body if changed is None else changed)


LINE = dump(QUESTION, SURVEY)
ROW = [0, "absent", "", None]


@pytest.mark.parametrize(
    "output",
    [
        "",
        "error: no clouds.yaml",
        LINE[:-1],
        LINE[:200],
        LINE[200:],
        LINE.replace("f00d", "beef", 1),
        LINE.replace("RegionTwo", "RegionTow"),
        LINE.replace(" ", "  ", 1),
        LINE[:300] + "warning" + LINE[300:],
        LINE[:300] + "\n" + LINE[300:],
        f"{LINE}\n{damaged(lambda body: body['alive'].clear())}",
        framed(""),
        framed("{}"),
        framed("[]"),
        framed("null"),
        framed("{" * 9),
        framed('{"a":' * 20_000 + "1" + "}" * 20_000),
        dump(QUESTION._replace(uuids=f"{ONE} {TWO}"), SURVEY),
        dump(QUESTION._replace(clouds="prod"), SURVEY),
        dump(QUESTION._replace(mode="ask"), SURVEY),
        dump(QUESTION._replace(fails="prod"), SURVEY),
        damaged(lambda body: body.pop("alive") and None),
        damaged(lambda body: body.pop("regions") and None),
        damaged(lambda body: body.update(question="0" * 64)),
        damaged(lambda body: body["alive"].clear()),  # a UUID is left out
        damaged(lambda body: body["asked"].pop(THREE) and None),
        # Both alive and asked about.
        damaged(lambda body: body["alive"].update({THREE: 0})),
        # A UUID that is not in the question.
        damaged(lambda body: body["alive"].update({"4" * 36: 0})),
        damaged(lambda body: body["asked"].update({"4" * 36: [ROW, [1, *ROW[1:]]]})),
        damaged(lambda body: body["alive"].update({ONE: 2})),
        damaged(lambda body: body["alive"].update({ONE: -1})),
        damaged(lambda body: body["alive"].update({ONE: "0"})),
        damaged(lambda body: body["alive"].update({ONE: True})),
        # A region twice.
        damaged(lambda body: body["regions"].append(body["regions"][0])),
        damaged(lambda body: body["regions"][0].pop() and None),
        damaged(lambda body: body["regions"].clear()),
        damaged(
            lambda body: body["regions"].__setitem__(0, ["prod", None, 3, "", "", ""])
        ),
        damaged(
            lambda body: body["regions"].__setitem__(
                0, ["prod", "RegionOne", -3, "", "", ""]
            )
        ),
        damaged(
            lambda body: body["regions"].__setitem__(
                0, ["prod", "RegionOne", 3.5, "", "", ""]
            )
        ),
        damaged(lambda body: body["asked"].update({TWO: [ROW]})),  # not in every region
        damaged(lambda body: body["asked"].update({TWO: [ROW, ROW]})),
        damaged(lambda body: body["asked"].update({TWO: []})),
        damaged(lambda body: body["asked"].update({TWO: [ROW, [2, *ROW[1:]]]})),
        damaged(lambda body: body["asked"].update({TWO: [ROW, [1, "gone", "", None]]})),
        damaged(
            lambda body: body["asked"].update({TWO: [ROW, [1, "absent", None, None]]})
        ),
        damaged(
            lambda body: body["asked"].update({TWO: [ROW, [1, "deleted", "", None]]})
        ),
        damaged(
            lambda body: body["asked"].update(
                {TWO: [ROW, [1, "deleted", "", "2026-11-20T12:00:00"]]}
            )
        ),
        damaged(
            lambda body: body["asked"].update(
                {TWO: [ROW, [1, "deleted", "", "yesterday"]]}
            )
        ),
        damaged(lambda body: body["asked"].update({TWO: [ROW, [1, "deleted", "", 5]]})),
        damaged(
            lambda body: body["asked"].update(
                {TWO: [ROW, [1, "absent", "", ENDED.isoformat()]]}
            )
        ),
        damaged(lambda body: body["asked"].update({TWO: 5})),
        damaged(lambda body: body.update(asked=[])),
    ],
)
def test_anything_else_is_not_an_answer(output: str) -> None:
    with pytest.raises(NoAnswer):
        load(QUESTION, output)


@pytest.mark.parametrize(
    "time", ["2026-01-01\n00:00:00", "0001-01-01T00:00:00+14:00", "x" * 5000]
)
def test_a_field_that_is_wrong_is_named_in_few_words(time: str) -> None:
    with pytest.raises(NoAnswer, match="the answer is invalid") as caught:
        load(QUESTION, damaged(lambda body: body.update(at=time)))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("count", [2**31, 10**40, -1, True])
def test_a_number_that_the_journal_could_not_hold_is_invalid(count: int) -> None:
    with pytest.raises(NoAnswer, match="the answer is invalid"):
        load(QUESTION, damaged(lambda body: body["regions"][0].__setitem__(2, count)))


def test_half_a_character_is_not_a_text() -> None:
    """The journal could not hold it."""
    with pytest.raises(NoAnswer):
        load(
            QUESTION, damaged(lambda body: body["regions"][0].__setitem__(3, "\ud800"))
        )


@given(st.integers(0, len(LINE) - 1), st.sampled_from('0aZ {}",:'))
def test_a_line_with_one_wrong_character_is_not_an_answer(
    place: int, other: str
) -> None:
    changed = LINE[:place] + other + LINE[place + 1 :]
    if changed != LINE:
        with pytest.raises(NoAnswer):
            load(QUESTION, changed)


def test_in_mode_list_uuids_that_no_list_has_are_left_out() -> None:
    question = QUESTION._replace(mode="list")
    survey = Survey(SURVEY.regions, SURVEY.alive, {})
    assert load(question, dump(question, survey)) == survey


def test_unlisted_regions_and_the_time_of_the_host_arrive() -> None:
    survey = replace(
        SURVEY,
        at=ENDED,
        regions=(
            replace(SURVEY.regions[0], unlisted=("RegionThree",)),
            SURVEY.regions[1],
        ),
    )
    assert load(QUESTION, dump(QUESTION, survey)) == survey


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body.update(at="soon"),
        lambda body: body.update(at=5),
        lambda body: body.pop("at"),
        lambda body: body.update(at="2026-11-20T12:00:00"),
        lambda body: body["regions"][0].__setitem__(6, "RegionThree"),
        lambda body: body["regions"][0].__setitem__(6, [3]),
        lambda body: body["regions"][0].__setitem__(6, None),
    ],
)
def test_an_invalid_time_or_region_is_not_an_answer(
    spoil: Callable[[Any], Any],
) -> None:
    body = body_of(LINE)
    spoil(body)
    with pytest.raises(NoAnswer):
        load(QUESTION, framed(body))


def test_the_answer_of_an_older_job_template_says_how_to_update_it() -> None:
    with pytest.raises(NoAnswer, match="templates publish"):
        load(QUESTION, LINE.replace(MARK, EARLIER))


def test_an_answer_may_have_other_text_before_and_after_it() -> None:
    assert load(QUESTION, f"motd {MARK} {LINE} (bye)\nmore") == SURVEY


@pytest.mark.parametrize(
    "filler", ["{", f"{MARK} f00d ", f"{MARK} f00d {'0' * 64} {{", " ", "a "], ids=repr
)
def test_a_long_output_without_an_answer_is_not_an_answer(filler: str) -> None:
    with pytest.raises(NoAnswer):
        load(
            QUESTION, f"{MARK} f00d {'0' * 64} {{" + filler * (1_000_000 // len(filler))
        )


@pytest.mark.parametrize("module", [wire, wire_fields, wire_servers, jobs])
def test_no_regular_expression_that_could_backtrack_reads_foreign_output(
    module: Any,
) -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    used = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re.")
    ]
    assert used == ([r"re.split('[\\s,]+', text)"] if module is wire else [])


def test_a_time_in_another_zone_is_the_same_moment() -> None:
    west = ENDED.astimezone(timezone(timedelta(hours=-5)))
    body = body_of(LINE)
    body["asked"][TWO][0][3] = west.isoformat()
    ended = load(QUESTION, framed(body)).asked[TWO][0].terminated_at
    assert ended == ENDED
    assert ended.tzinfo is timezone.utc


@pytest.mark.parametrize(
    ("text", "parts"),
    [("", []), (" \n,", []), ("a", ["a"]), ("a,b\tc\r\n d,,a", ["a", "b", "c", "d"])],
)
def test_a_list_may_be_written_in_any_way(text: str, parts: list[str]) -> None:
    assert words(text) == parts


# Servers


SERVERS = Servers(
    (RegionAnswer(*PLACE, 3, "seen"), RegionAnswer(*OTHER, 1, "seen")),
    (
        Server(ONE, *PLACE, "web", "ACTIVE", "p1", "shop", "i1", ENDED, ENDED),
        Server(ONE, *OTHER),  # the same UUID in two clouds is two servers
        Server(TWO, *OTHER, status="DELETED", terminated_at=ENDED),
    ),
    ENDED,
)
UNMANAGED = Question("f00d", "unmanaged", THREE, "prod")
SERVERS_LINE = dump(UNMANAGED, SERVERS)


def test_servers_arrive_unchanged() -> None:
    assert load_servers(UNMANAGED, f"motd\n{SERVERS_LINE}\nbye") == SERVERS


def test_without_a_server_or_a_uuid_the_regions_answer_all_the_same() -> None:
    question = UNMANAGED._replace(uuids="", mode="inactive")
    answer = Servers(SERVERS.regions, ())
    assert load_servers(question, dump(question, answer)) == answer


@given(st.data())
def test_all_servers_arrive_unchanged_as_one_line_of_ascii(
    data: st.DataObject,
) -> None:
    places = data.draw(
        st.lists(st.tuples(texts, texts), min_size=1, max_size=3, unique=True)
    )
    times = st.none() | st.datetimes(*POSSIBLE, timezones=st.just(timezone.utc))
    mode = data.draw(st.sampled_from(["deleted", "inactive", "unmanaged"]))
    statuses = {"deleted": st.just("DELETED"), "inactive": st.sampled_from(NOT_RUNNING)}
    terminated = times.filter(bool) if mode == "deleted" else times
    servers = [
        Server(
            f"{number:08x}-0000-4000-8000-000000000000",
            *data.draw(st.sampled_from(places)),
            data.draw(texts),
            data.draw(statuses.get(mode, texts)),
            *(data.draw(texts) for _ in range(3)),
            data.draw(times),
            data.draw(times),
            data.draw(terminated),
        )
        for number in range(1, data.draw(st.integers(1, 6)))
    ]
    regions = tuple(
        RegionAnswer(
            *place, data.draw(st.none() | st.integers(0, MOST)), data.draw(texts)
        )
        for place in places
    )
    answer = Servers(regions, tuple(servers), data.draw(times))
    question = Question("0", mode, "", data.draw(texts), data.draw(texts))
    line = dump(question, answer)
    assert line.isascii() and len(line.splitlines()) == 1
    assert load_servers(question, line) == answer


def changed_row(place: int, value: object) -> str:
    """An answer whose first row has another value in that place."""
    body = body_of(SERVERS_LINE)
    body["servers"][0][place] = value
    return framed(body)


def changed_servers(change: Callable[[Any], Any]) -> str:
    body = body_of(SERVERS_LINE)
    change(body)
    return framed(body)


def failed_region(body: Any) -> None:
    """A region has an error, and servers all the same."""
    body["regions"][0][4:6] = ["OSPError", "cell down"]


@pytest.mark.parametrize(
    "output",
    [
        "",
        SERVERS_LINE[:-1],
        SERVERS_LINE.replace("shop", "bank"),
        f"{SERVERS_LINE}\n{changed_row(2, 'db')}",
        dump(UNMANAGED._replace(uuids=""), SERVERS),
        dump(UNMANAGED._replace(mode="inactive"), SERVERS),
        dump(UNMANAGED._replace(since="2026-11-20T12:00:00Z"), SERVERS),
        dump(UNMANAGED, Survey(SERVERS.regions, {}, {})),
        LINE,
        changed_row(0, 2),
        changed_row(0, -1),
        changed_row(0, "0"),
        changed_row(0, True),
        changed_row(0, 0.0),
        changed_row(0, None),
        changed_row(1, ""),
        changed_row(1, ONE.upper().replace("1", "A")),
        changed_row(1, ONE.replace("-", "")),
        changed_row(1, "00000000-0000-0000-0000-000000000000"),
        changed_row(1, 5),
        changed_row(1, None),
        changed_row(1, [ONE]),
        changed_row(1, THREE),  # the question names it
        changed_row(1, swap_bytes(THREE)),
        *(changed_row(place, None) for place in range(2, 7)),
        *(changed_row(place, 5) for place in range(2, 10)),
        *(changed_row(place, {}) for place in range(2, 10)),
        *(changed_row(place, "2026-11-20T12:00:00") for place in range(7, 10)),
        *(changed_row(place, "") for place in range(7, 10)),
        changed_servers(lambda body: body["servers"][0].pop()),
        changed_servers(lambda body: body["servers"][0].append("")),
        changed_servers(lambda body: body["servers"].append(body["servers"][0])),
        changed_servers(lambda body: body["servers"].append("0123456789")),
        changed_servers(lambda body: body["servers"].append(None)),
        changed_servers(lambda body: body.update(servers=None)),
        changed_servers(lambda body: body.update(servers=5)),
        changed_servers(lambda body: body.update(servers="")),
        changed_servers(lambda body: body.update(servers={})),
        changed_servers(lambda body: body.pop("servers")),
        changed_servers(lambda body: body.pop("at")),
        changed_servers(lambda body: body.update(at="soon")),
        changed_servers(lambda body: body["regions"].pop()),
        changed_servers(lambda body: body["regions"].append(body["regions"][0])),
        changed_servers(failed_region),
    ],
)
def test_any_other_answer_about_servers_is_not_one(output: str) -> None:
    with pytest.raises(NoAnswer):
        load_servers(UNMANAGED, output)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(anything, st.integers(0, 9), st.sampled_from(["row", "rows", "field", "body"]))
def test_servers_of_any_form_are_not_an_answer_and_no_crash(
    value: object, place: int, where: str
) -> None:
    body = body_of(SERVERS_LINE)
    if where == "field":
        body["servers"][0][place] = value
    elif where == "row":
        body["servers"][0] = value
    elif where == "rows":
        body["servers"] = value
    else:
        body = value
    try:
        answer = load_servers(UNMANAGED, framed(json.dumps(body)))
    except NoAnswer:
        return
    # Only another text in a row, or no rows at all, can be right.
    assert where in ("field", "rows")
    assert len(answer.servers) in (0, 3)


@given(st.integers(0, len(SERVERS_LINE) - 1), st.sampled_from('0aZ {}",:'))
def test_a_line_of_servers_with_one_wrong_character_is_not_an_answer(
    place: int, other: str
) -> None:
    changed = SERVERS_LINE[:place] + other + SERVERS_LINE[place + 1 :]
    if changed != SERVERS_LINE:
        with pytest.raises(NoAnswer):
            load_servers(UNMANAGED, changed)


@pytest.mark.parametrize(
    ("mode", "server"),
    [
        ("deleted", Server(ONE, *PLACE, status="ACTIVE", terminated_at=ENDED)),
        ("deleted", Server(ONE, *PLACE, status="SOFT_DELETED")),
        ("deleted", Server(ONE, *PLACE, status="DELETED")),
        ("inactive", Server(ONE, *PLACE, status="ACTIVE")),
        ("inactive", Server(ONE, *PLACE, status="DELETED", terminated_at=ENDED)),
        ("inactive", Server(ONE, *PLACE)),
    ],
)
def test_a_server_that_was_not_asked_for_spoils_the_answer(
    mode: str, server: Server
) -> None:
    question = Question("f00d", mode, "", since="2026-11-20T12:00:00Z")
    with pytest.raises(NoAnswer, match="which was not asked for"):
        load_servers(question, dump(question, Servers(SERVERS.regions, (server,))))


def test_a_region_that_failed_arrives_with_its_error() -> None:
    failed = RegionAnswer(*OTHER, error=OSPForbidden("no allow_all_filters"))
    answer = Servers((SERVERS.regions[0], failed), SERVERS.servers[:1])
    found = load_servers(UNMANAGED, dump(UNMANAGED, answer))
    assert found.servers == answer.servers
    assert type(found.regions[1].error) is OSPForbidden
    assert str(found.regions[1].error) == "no allow_all_filters"


def test_servers_of_an_older_job_template_say_how_to_update_it() -> None:
    with pytest.raises(NoAnswer, match="templates publish"):
        load_servers(UNMANAGED, SERVERS_LINE.replace(MARK, EARLIER))
