"""Every host is listed with its own facts, and is only what its facts say: over
HTTP, as ever.
"""

import re
import uuid
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox.satellite import ANSIBLE, CHEF, PUPPET, RHSM, SALT, Host, Satellite
from sandbox.server import Answer
from satellites import (
    INSTANCE,
    ODD,
    ODD_LISTS,
    OTHER_UUID,
    REFUSALS,
    UUID,
    add_guests,
    add_new,
    before,
    change,
    entry,
    guest,
    ids,
    instance,
    looked,
)

from foreman_hooks.osp_checker import swap_bytes
from foreman_hooks.rules import identity
from foreman_hooks.rules.identity import (
    MAKER_NAMES,
    OTHER_LEADING_NAMES,
    OTHER_NAMES,
    RHSM_NAMES,
    by_makers,
    identify,
)
from foreman_hooks.rules.model import Identity, Reason
from foreman_hooks.satellite import shared_uuids
from foreman_hooks.satellite.client import MANNERS, Login
from foreman_hooks.satellite.client import Satellite as Client
from foreman_hooks.satellite.errors import SatelliteError, SatelliteLoginError
from foreman_hooks.satellite.errors import SatelliteRefused as Refused
from foreman_hooks.satellite.facts import facts_now
from foreman_hooks.satellite.inventory import (
    EVERYTHING,
    IdentifiedHost,
    ListedHost,
    Scope,
    check_facts_still_visible,
    firmware_kinds,
    identify_hosts,
    identity_now,
    list_hosts,
)
from foreman_hooks.satellite.records import fetch_record
from foreman_hooks.satellite.shared_uuids import hosts_sharing_uuids

WEB1 = "web1.example.com"
PUPPETS = {
    "dmi::product::uuid": UUID,
    "dmi::manufacturer": "OpenStack Foundation",
    "is_virtual": "true",
}
VMWARE = {
    "dmi::system::manufacturer": "VMware, Inc.",
    "dmi::system::product_name": "VMware7,1",
}
HARDWARE = "4c4c4544-0042-3510-8052-b4c04f4d3132"
METAL = {
    "virt::is_guest": "false",
    "dmi::system::uuid": HARDWARE,
    "dmi::system::manufacturer": "Dell Inc.",
    "osp::uuid": UUID,
    "osp::system_uuid": HARDWARE,
}


@pytest.fixture(params=[1, 3], ids=["one worker", "three workers"])
def narrow(connect, request):
    """A client with windows of ten ids, so that few hosts fill several."""
    return connect(page_size=10, workers=request.param)


@pytest.fixture(scope="module")
def many():
    """A Satellite with more hosts than two windows hold, for tests that change nothing."""
    satellite = Satellite()
    add_guests(satellite, 2300)
    return satellite


def triples(hosts):
    """Id, name and UUIDs of each host."""
    return [(host.id, host.name, host.uuids) for host in hosts]


def within(client, search="", organization=None):
    """The hosts that a run of that scope may judge."""
    return triples(
        host
        for host in list_hosts(client, Scope(search, organization))
        if host.in_scope
    )


def number(value):
    return str(uuid.UUID(int=value))


def lopsided(value):
    """A UUID whose other byte order is another text."""
    return f"{value:08x}-abcd-4000-8000-000000000000"


def searches(server, pattern=""):
    """The searches for facts that the server received."""
    found = [
        one.first("search") for one in server.requests if one.path == "/api/fact_values"
    ]
    return [search for search in found if re.search(pattern, search)]


def named(search):
    """The ids that a search asks for, in their order."""
    (listed,) = re.findall(r"host_id \^ \(([0-9,]+)\)", search)
    return [int(one) for one in listed.split(",")]


# Every host at a glance


def test_every_host_is_found_exactly_once_with_its_uuid_though_all_values_are_equal(
    server, connect, many
):
    """Offsets lost 164 of 1,200 hosts with equal values; a page counts rows, and holds 20
    unless told.
    """
    server.handle = many.handle
    found = list(list_hosts(connect()))
    assert ids(found) == list(range(1, 2301))
    assert [host.name for host in found] == [host.name for host in many.hosts.values()]
    assert {host.uuids for host in found} == {(UUID,)}
    # Windows, no offsets.
    assert not any("page" in request.query for request in server.requests)
    # The newest, about, three windows of two lists, and the count.
    assert len(server.requests) == 1 + 2 + 3 * 2 + 1


def test_a_glance_asks_rhsms_leading_uuid_alone(server, double, client):
    """Rows of facts are what costs Satellite time, and one is enough to find a host alive."""
    double.add(instance(**{PUPPET: PUPPETS}))
    assert triples(list_hosts(client)) == [(1, WEB1, (UUID,))]
    assert searches(server) == ["fact ^ (virt::uuid) and host_id > 0 and host_id <= 1"]


def test_gaps_in_the_ids_lose_nobody_and_find_nobody_twice(double, narrow):
    hosts = add_guests(double, 120)
    for host in hosts[3:90:2]:
        del double.hosts[host.id]
    assert ids(list_hosts(narrow)) == sorted(double.hosts)


@pytest.mark.parametrize(
    "numbers",
    [
        [5, 70_000],
        [1],
        [70_000],
        [1, 1000, 1001, 2000, 2001],
        [999, 1000, 1001],
        [1000],
        [1001],
        [2_000_000_000],
    ],
)
def test_sparse_ids_cost_few_requests_and_lose_nobody(server, double, client, numbers):
    for host_id in numbers:
        double.add(guest(f"web{host_id}.example.com", id=host_id))
    assert ids(list_hosts(client)) == numbers
    assert len(server.requests) <= 4 + 2 * len(numbers)


def test_a_window_without_hosts_is_not_asked_for_facts(server, double, narrow):
    hosts = add_guests(double, 30)
    for host in hosts[10:20]:
        del double.hosts[host.id]
    assert len(triples(list_hosts(narrow))) == 20
    # The count, and two windows of fifteen ids each.
    assert server.count("thin=true") == 3
    server.requests.clear()
    assert within(narrow, "id > 15") == [
        (host.id, host.name, (UUID,)) for host in hosts[20:]
    ]
    # The second list says who is in scope.
    assert (server.count("thin=true"), len(searches(server))) == (
        5,
        2,
    )


def test_hosts_are_handed_out_with_their_own_uuids(double, narrow):
    for at in range(1, 40):
        double.add(guest(f"web{40 - at}.example.com", number(at)))
    assert {host.id: host.uuids for host in list_hosts(narrow)} == {
        at: (number(at),) for at in range(1, 40)
    }


@pytest.mark.parametrize(
    ("text", "uuids"),
    [
        (UUID.upper(), (UUID,)),
        (f" {UUID}\n", (UUID,)),
        ("Not Settable", ()),
        ("", ()),
        (None, ()),
        (f"{UUID}0", ()),
        ("00000000-0000-0000-0000-000000000000", ()),
    ],
)
def test_a_glance_gives_uuids_in_the_one_form_that_nova_knows(
    double, client, text, uuids
):
    double.add(guest(uuid=text))
    assert triples(list_hosts(client)) == [(1, WEB1, uuids)]


@pytest.mark.parametrize("value", [7, True, {"a": 1}, [UUID], {UUID: UUID}], ids=str)
def test_a_uuid_that_is_no_text_is_none(server, client, web1, value):
    change(
        server,
        "fact_values",
        lambda body: {**body, "results": {WEB1: {"virt::uuid": value}}},
    )
    assert triples(list_hosts(client)) == [(1, WEB1, ())]


def test_a_host_without_facts_is_handed_out_without_a_uuid(double, client):
    double.add(guest(facts={}))
    assert triples(list_hosts(client)) == [(1, WEB1, ())]


def test_a_plain_foreman_is_asked_for_the_uuids_of_all_sources(server, client):
    double = Satellite(katello=False)
    double.add(
        Host(
            WEB1, facts={PUPPET: PUPPETS, ANSIBLE: {"ansible_product_uuid": OTHER_UUID}}
        )
    )
    server.handle = double.handle
    (found,) = list_hosts(client)
    assert set(found.uuids) == {UUID, OTHER_UUID}
    assert searches(server) == [
        "origin ~ Rhsm",  # what Katello would have left behind
        f"fact ^ ({','.join(OTHER_LEADING_NAMES)}) and host_id > 0 and host_id <= 1 "
        "and origin !~ Rhsm",
    ]


def test_a_name_in_the_facts_without_a_host_is_no_host(double, client, web1):
    """Simultaneous uploads leave such names behind, and an administrator sees them."""
    double.ghosts = {"ghost.example.com": {RHSM: {"virt::uuid": OTHER_UUID}}}
    double.add(guest("web2.example.com"))
    assert [host.name for host in list_hosts(client)] == [WEB1, "web2.example.com"]
    assert [host.name for host in looked(client)] == [WEB1, "web2.example.com"]


def test_a_leftover_of_the_same_name_does_not_lend_a_host_its_uuid(double, client):
    """The machine was uploaded anew, and the leftover's facts stand under the same name."""
    double.ghosts = {WEB1: {RHSM: {"virt::uuid": OTHER_UUID}}}
    host = double.add(guest())
    (found,) = list_hosts(client)
    assert found.uuids == (UUID,)
    (closely,) = looked(client)
    assert closely.identity.uuids == (UUID,)
    assert facts_now(client, host.id, host.name) == {
        "RHSM": {"virt::uuid": UUID, "virt::is_guest": "true"}
    }


def test_a_search_narrows_the_hosts(server, double, client):
    add_guests(double, 5)
    found = within(client, "name ~ web1 or name ~ web3")
    assert [host[0] for host in found] == [1, 3]
    assert all(host[2] for host in found)
    lists = [
        request.first("search")
        for request in server.requests
        if "thin" in request.query
    ]
    assert lists == [
        "id > 0 and id <= 5",
        "(name ~ web1 or name ~ web3) and id > 0 and id <= 5",
        "id <= 5",
    ]


def test_hosts_out_of_scope_are_handed_out_too_and_marked(double, narrow):
    """Hosts out of scope still count as witnesses, and as hosts that share a UUID."""
    for at in range(1, 31):
        double.add(
            guest(
                f"web{at}.example.com", number(at), organization_id=2 if at % 3 else 1
            )
        )
    every = list(range(1, 31))
    scopes = {
        (): every,
        ("name ~ web2",): [2, *range(20, 30)],
        ("", 1): list(range(3, 31, 3)),
        ("name ~ web2", 1): [21, 24, 27],
        ("name = nobody",): [],
    }
    for scope, expected in scopes.items():
        found = list(list_hosts(narrow, Scope(*scope)))
        assert triples(found) == [
            (at, f"web{at}.example.com", (number(at),)) for at in every
        ]
        assert ids(host for host in found if host.in_scope) == expected


def test_a_scope_without_search_and_organization_narrows_nothing():
    assert not Scope()
    assert not EVERYTHING
    assert Scope("name ~ web")
    assert Scope(organization=1)


def test_a_search_with_or_finds_nobody_outside_the_window_or_twice(double, narrow):
    """Without parentheses `a or b and window` is `a or (b and window)`: Foreman reads it from the
    right.
    """
    add_guests(double, 25)
    assert [
        host[0]
        for host in within(
            narrow, "name = web1.example.com or name = web15.example.com"
        )
    ] == [1, 15]


def test_a_search_that_breaks_out_of_its_parentheses_is_found_out(double, narrow):
    add_guests(double, 25)
    with pytest.raises(
        SatelliteError,
        match="/api/hosts returned 1 hosts in id > 0 and id <= 10 where 2 were announced",
    ):
        within(narrow, "name = web15.example.com) or (name = web1.example.com")


def test_a_search_that_matches_nobody_is_an_empty_inventory(client, web1):
    assert within(client, "name = nobody") == []


def test_a_search_that_satellite_refuses_is_an_error(client, web1):
    with pytest.raises(
        Refused, match="returned 400: Field 'nonsense' not recognized for searching!"
    ):
        within(client, "nonsense = 1")


def test_progress_is_told_window_by_window_to_the_very_end(double, narrow):
    add_guests(double, 23)
    told = []
    list(
        list_hosts(
            narrow, Scope("name ~ web1"), lambda done, total: told.append((done, total))
        )
    )
    assert told == [(10, 23), (20, 23), (23, 23)]


def test_a_window_that_is_answered_late_is_handed_out_in_its_place(
    server, double, connect
):
    """Windows are read ahead, and the first response need not be that of the first window."""
    add_guests(double, 30)
    # As long as that takes, at least.
    before(server, "host_id > 0 ", lambda: list(list_hosts(connect())))
    assert ids(list_hosts(connect(page_size=10, workers=3))) == list(range(1, 31))


# What goes wrong in one window goes wrong for all


def test_a_401_in_the_middle_of_the_windows_ends_the_inventory(server, double, narrow):
    """Thirty failures lock out every login, so there are no more of them than questions under
    way.
    """
    add_guests(double, 250)
    refused = server.fail("host_id > ", 401)
    with pytest.raises(SatelliteLoginError):
        list(list_hosts(narrow))
    with pytest.raises(SatelliteLoginError):
        fetch_record(narrow, 1)
    assert server.count("GET /api/hosts/1$") == 0
    assert refused.hits <= narrow.manners.workers


SOME = {
    name: ODD[name] for name in ("HTML 200", "500 JSON", "null", "200 with an error")
}
FAULTS = {**SOME, **REFUSALS, "cut": None}


def spoil(server, pattern, fault):
    server.faults.clear()
    server.fail(pattern, *fault) if fault else server.fail(pattern, cut=True)


OF_ONE_REQUEST = ("500 JSON", *REFUSALS)  # a record in it may be the cause


def test_where_the_newest_record_cannot_be_shown_its_number_is_counted(
    server, double, narrow
):
    """Neither this host nor any other is lost."""
    add_guests(double, 25)
    for name in OF_ONE_REQUEST:
        spoil(server, "order=id", FAULTS[name])
        assert (name, ids(list_hosts(narrow))) == (name, list(range(1, 26)))


def test_an_answer_about_the_newest_record_without_sense_is_an_error(
    server, double, narrow
):
    add_guests(double, 25)
    for name in FAULTS.keys() - set(OF_ONE_REQUEST):
        spoil(server, "order=id", FAULTS[name])
        with pytest.raises(SatelliteError):
            list(list_hosts(narrow))


def test_one_answer_without_sense_in_a_closer_look_is_an_error(server, double, narrow):
    """Such a failure concerns the whole server, not the hosts in the request."""
    for at in range(1, 26):
        double.add(instance(f"web{at}.example.com"))
    hosts = list(list_hosts(narrow))
    for name in FAULTS.keys() - set(OF_ONE_REQUEST):
        spoil(server, r"\(11,.*!~", FAULTS[name])
        with pytest.raises(SatelliteError):
            list(looked(narrow, hosts))


@pytest.mark.parametrize(
    "pattern",
    [
        "thin=true",
        "/api/hosts.*id > 10 ",
        "fact_values",
        "host_id > 10 ",
        "host_id > 20 ",
    ],
)
def test_one_bad_response_makes_the_whole_inventory_an_error(
    server, double, narrow, pattern
):
    """Wherever it occurs, and whatever it is: a short list never passes as a complete one."""
    add_guests(double, 25)
    for name, fault in FAULTS.items():
        spoil(server, pattern, fault)
        found = []
        with suppress(SatelliteError):
            found.append((name, ids(list_hosts(narrow))))
        # The newest may be told by counting.
        whole = [(name, list(range(1, 26)))] if pattern == "order=id" else []
        assert found in ([], whole)


@pytest.mark.parametrize("pattern", ["origin ~ Rhsm", "origin !~ Rhsm"])
def test_a_closer_look_with_one_bad_answer_is_none(server, double, narrow, pattern):
    for at in range(1, 26):
        double.add(instance(f"web{at}.example.com"))
    hosts = list(list_hosts(narrow))
    for name, fault in FAULTS.items():
        spoil(server, pattern, fault)
        found = []
        with suppress(SatelliteError):
            found.append((name, ids(looked(narrow, hosts))))
        # Halved until asked without the others.
        whole = [(name, list(range(1, 26)))] if "11" in pattern else []
        assert found in ([], whole)


# While things change


def test_hosts_that_come_and_go_between_the_windows_neither_shift_nor_hide_others(
    server, double, connect
):
    hosts = add_guests(double, 55)
    new = []

    def meanwhile():
        for gone in hosts[:10] + hosts[25:35]:
            del double.hosts[gone.id]
        new.extend(add_new(double, 30))

    before(server, "search=id > 10 ", meanwhile)
    # One after the other, so that it is known who was seen.
    found = ids(list_hosts(connect(page_size=10, workers=1)))
    assert found == [*range(1, 26), *range(36, 56)]
    assert not set(ids(new)) & set(found)


def test_who_stays_is_found_once_whatever_order_the_windows_are_read_in(
    server, double, connect
):
    hosts = add_guests(double, 90)

    def meanwhile():
        with double.lock:
            for gone in hosts[30:60:2]:
                del double.hosts[gone.id]
            add_new(double, 30)

    before(server, "id > 40 ", meanwhile)
    found = ids(list_hosts(connect(page_size=10, workers=4)))
    assert found == sorted(set(found))
    assert (
        {host.id for host in hosts} & double.hosts.keys()
        <= set(found)
        <= set(range(1, 91))
    )


def test_a_host_that_goes_between_its_name_and_its_facts_has_none(
    server, double, client, web1
):
    double.add(guest("web2.example.com"))
    before(server, "fact_values", lambda: double.hosts.pop(1))
    assert [host.uuids for host in list_hosts(client)] == [(), (UUID,)]


def test_a_host_that_goes_before_it_is_looked_at_closely_is_no_instance(double, client):
    double.add(instance())
    double.add(instance("web2.example.com"))
    hosts = list(list_hosts(client))
    del double.hosts[1]
    assert [host.identity.reason for host in looked(client, hosts)] == [
        Reason.OUT_OF_SIGHT,
        None,
    ]


def test_a_new_machine_of_the_same_name_does_not_lend_its_facts_to_the_old_record(
    server, double, client, web1
):
    """Facts come by name, and another record has that name by now."""

    def replace():
        del double.hosts[1]
        double.add(guest(uuid=OTHER_UUID))

    before(server, "fact_values", replace)
    assert triples(list_hosts(client)) == [(1, WEB1, ())]
    assert triples(list_hosts(client)) == [(2, WEB1, (OTHER_UUID,))]


def test_a_new_machine_of_the_same_name_is_not_what_the_old_record_is_looked_at_for(
    double, client
):
    double.add(instance())
    hosts = list(list_hosts(client))
    del double.hosts[1]
    double.add(instance(uuid=OTHER_UUID))
    (found,) = looked(client, hosts)
    assert (found.id, found.identity.reason) == (1, Reason.OUT_OF_SIGHT)


@pytest.mark.parametrize("pattern", ["fact_values", "origin ~ Rhsm"])
def test_a_host_that_is_renamed_between_its_name_and_its_facts_has_none(
    server, double, client, pattern
):
    host = double.add(instance())
    before(server, pattern, lambda: setattr(host, "name", "other.example.com"))
    if pattern == "fact_values":
        assert list(list_hosts(client))[0].uuids == ()
    else:
        assert [(one.name, one.identity.reason) for one in looked(client)] == [
            (WEB1, Reason.OUT_OF_SIGHT)
        ]


def test_facts_wiped_by_a_registration_under_way_are_missing_and_not_those_of_before(
    server, double, client, web1
):
    before(server, "fact_values", web1.facts.clear)
    assert triples(list_hosts(client)) == [(1, WEB1, ())]


def test_facts_wiped_after_the_glance_make_no_instance(server, double, client):
    host = double.add(instance())
    before(server, "origin ~ Rhsm", host.facts.clear)
    (found,) = looked(client)
    assert found.identity.reason is Reason.OUT_OF_SIGHT


def test_a_host_that_comes_within_a_window_is_left_for_the_next_run(
    server, double, client, web1
):
    before(server, "thin=true", lambda: double.add(guest("web2.example.com")))
    assert ids(list_hosts(client)) == [1]


# Lists that are short or odd

ODD_HOSTS = {
    **ODD_LISTS,
    "one result twice": lambda body: {
        **body,
        "results": [*body["results"], body["results"][0]],
        "subtotal": body["subtotal"] + 1,
    },
    "one result twice, announced once": lambda body: {
        **body,
        "results": [*body["results"], body["results"][0]],
    },
    "id after the window": entry(id=4),
    "id before the window": entry(id=0),
    "id below": entry(id=-1),
    "id a text": entry(id="1"),
    "id null": entry(id=None),
    "id a fraction": entry(id=1.0),
    "name of another": entry(name="web2.example.com"),
    "name null": entry(name=None),
    "name a number": entry(name=5),
    "name a list": entry(name=[]),
    "id of another": entry(id=2),
}


@pytest.mark.parametrize("mend", ODD_HOSTS.values(), ids=ODD_HOSTS)
def test_a_window_of_hosts_that_is_short_or_malformed_is_an_error(
    server, double, client, mend
):
    """A short list is an error, never a result."""
    add_guests(double, 3)
    change(server, "thin=true", mend)
    with pytest.raises(SatelliteError, match="/api/hosts returned"):
        list(list_hosts(client))


ODD_FACTS = {
    "results null": lambda body: {**body, "results": None},
    "results a list": lambda body: {**body, "results": []},
    "no results": lambda body: {
        "total": 1,
        "subtotal": 1,
        "per_page": body["per_page"],
    },
    "per_page of another request": lambda body: {**body, "per_page": 20},
    "per_page 0": lambda body: {**body, "per_page": 0},
    "a host with a list": lambda body: {**body, "results": {WEB1: []}},
    "a host with null": lambda body: {**body, "results": {WEB1: None}},
    "a host with a text": lambda body: {**body, "results": {WEB1: UUID}},
}
QUESTIONS = {
    "a glance": ("host_id > 0", lambda client: list(list_hosts(client))),
    "a closer look at makers": (
        r"\(dmi::.*origin ~ Rhsm",
        lambda client: list(looked(client)),
    ),
    "a closer look": (r"\(virt::.*origin ~ Rhsm", lambda client: list(looked(client))),
    "a closer look at other sources": (
        "origin !~ Rhsm",
        lambda client: list(looked(client)),
    ),
    "the facts of one host": (
        "(?i)origin ~ Rhsm",
        lambda client: facts_now(client, 1, WEB1),
    ),
    "the facts of one host from one source": (
        "origin ~ Chef",
        lambda client: facts_now(client, 1, WEB1),
    ),
    "the facts of one host from the rest": (
        "origin !~ Chef",
        lambda client: facts_now(client, 1, WEB1),
    ),
}


@pytest.mark.parametrize(("pattern", "ask"), QUESTIONS.values(), ids=QUESTIONS)
@pytest.mark.parametrize("mend", ODD_FACTS.values(), ids=ODD_FACTS)
def test_malformed_facts_are_an_error(server, double, client, pattern, ask, mend):
    double.add(instance())
    ask(client)
    change(server, pattern, mend)
    with pytest.raises(SatelliteError, match="/api/fact_values returned"):
        ask(client)


@pytest.mark.parametrize(
    ("pattern", "ask", "names"),
    [
        (*QUESTIONS["a glance"], ["virt::uuid"]),
        (*QUESTIONS["a closer look at makers"], MAKER_NAMES),
        (*QUESTIONS["a closer look"], RHSM_NAMES),
        (*QUESTIONS["a closer look at other sources"], OTHER_NAMES),
    ],
)
def test_a_page_of_facts_that_is_full_is_an_error(
    server, double, client, pattern, ask, names
):
    """The next row would be on the next page, and nothing says that there is one."""
    double.add(instance())
    missing = [1]
    change(
        server,
        pattern,
        lambda body: {
            **body,
            "results": {
                WEB1: {f"fact-{at}": "x" for at in range(body["per_page"] - missing[0])}
            },
        },
    )
    ask(client)
    missing[0] = 0
    with pytest.raises(SatelliteError, match="rows or more for 1 hosts"):
        ask(client)
    per_page = int(
        next(one for one in server.requests if re.search(pattern, one.line)).first(
            "per_page"
        )
    )
    # As many rows as five sources can make, and one to spare.
    assert per_page > 5 * len(names)


def test_no_page_of_facts_is_full_when_every_source_has_every_name(
    server, double, client
):
    for at in range(3):
        double.add(
            guest(
                f"web{at}.example.com",
                facts={
                    RHSM: {
                        **dict.fromkeys((*RHSM_NAMES, *OTHER_NAMES), str(at)),
                        **INSTANCE,
                        "dmi::system::uuid": UUID,
                    },
                    **{
                        origin: dict.fromkeys((*RHSM_NAMES, *OTHER_NAMES), str(at))
                        for origin in (PUPPET, ANSIBLE, SALT, CHEF)
                    },
                },
            )
        )
    hosts = list(list_hosts(client))
    assert len(hosts) == 3
    assert len(list(looked(client, hosts))) == 3
    # All other sources, and those but Salt.
    assert len(searches(server, "origin !~ Rhsm")) == 2
    for host in hosts:
        found = facts_now(client, host.id, host.name)
        assert found.pop("RHSM").keys() == set(RHSM_NAMES)
        assert found == dict.fromkeys(
            ("Puppet", "Ansible", "Salt", "Chef"),
            dict.fromkeys(OTHER_NAMES, str(host.id - 1)),
        )


# The closer look


def test_a_closer_look_asks_all_that_identifies_by_the_ids_of_those_hosts(
    server, double, client
):
    for at in range(1, 10):
        double.add(instance(f"web{at}.example.com", number(at), **{PUPPET: PUPPETS}))
    hosts = list(list_hosts(client))
    server.requests.clear()
    found = list(looked(client, hosts[2:5]))
    assert [(host.id, host.name, host.identity.uuids[0]) for host in found] == [
        (at, f"web{at}.example.com", number(at)) for at in (3, 4, 5)
    ]
    assert searches(server) == [
        f"fact ^ ({','.join(MAKER_NAMES)}) and host_id ^ (3,4,5) and origin ~ Rhsm",
        f"fact ^ ({','.join(RHSM_NAMES)}) and host_id ^ (3,4,5) and origin ~ Rhsm",
        f"fact ^ ({','.join(OTHER_NAMES)}) and host_id ^ (3,4,5) and origin !~ Rhsm",
    ]
    assert len(server.requests) == 3


def test_of_those_that_others_made_nothing_but_the_makers_is_asked(
    server, double, client
):
    """Most hosts that are in no list are not instances, and their makers are enough to know it."""
    double.add(instance())
    double.add(
        guest("vm.example.com", facts={RHSM: {**INSTANCE, **VMWARE}, PUPPET: PUPPETS})
    )
    double.add(guest("node.example.com", facts={RHSM: {**METAL}}))
    double.add(guest("silent.example.com", facts={}))
    found = list(looked(client))
    assert [(host.identity.uuids, host.identity.reason) for host in found] == [
        ((UUID,), None),
        ((UUID,), Reason.NOT_OPENSTACK),
        ((UUID, HARDWARE), None),
        ((), Reason.NO_FACTS),
    ]
    assert list(map(named, searches(server, "host_id .*origin ~ Rhsm"))) == [
        [1, 2, 3, 4],
        [1, 3, 4],
    ]
    assert list(map(named, searches(server, "origin !~ Rhsm"))) == [[1, 3, 4]]


def test_where_all_were_made_by_others_one_request_is_enough(server, double, client):
    for at in range(3):
        double.add(
            guest(
                f"vm{at}.example.com",
                facts={RHSM: {**INSTANCE, **VMWARE}, PUPPET: PUPPETS},
            )
        )
    assert {host.identity.reason for host in looked(client)} == {Reason.NOT_OPENSTACK}
    assert len(searches(server, r"host_id \^")) == 1


def test_identifying_no_hosts_sends_no_request(server, client):
    assert list(looked(client, [])) == []
    assert server.requests == []


def test_other_sources_are_asked_about_all_but_those_that_others_made(
    server, double, client
):
    """No UUID is thrown away: that of a record without RHSM's facts may be an instance's, or
    another record's.
    """
    double.add(instance())
    double.add(
        guest(
            "metal.example.com", facts={RHSM: {**INSTANCE, **VMWARE}, PUPPET: PUPPETS}
        )
    )
    double.add(guest("silent.example.com", facts={PUPPET: PUPPETS}))
    double.add(instance("web4.example.com", **{PUPPET: {"is_virtual": "false"}}))
    double.add(instance("no-uuid.example.com", ""))
    found = {
        host.name.split(".")[0]: (host.identity.reason, host.identity.doubt)
        for host in looked(client)
    }
    assert found == {
        "web1": (None, None),
        "metal": (Reason.NOT_OPENSTACK, None),
        "silent": (None, Reason.NO_PROOF),
        "web4": (None, Reason.CONTRADICTING_FACTS),
        "no-uuid": (Reason.NO_UUID, Reason.NO_PROOF),
    }
    (search,) = searches(server, "origin !~ Rhsm")
    assert named(search) == [1, 3, 4, 5]


def test_a_plain_foreman_is_asked_for_the_other_sources_alone(server, client):
    double = Satellite(katello=False)
    double.add(Host(WEB1, facts={PUPPET: PUPPETS}))
    double.add(
        Host(
            "metal.example.com",
            facts={PUPPET: {"is_virtual": "false", "dmi::manufacturer": "Dell Inc."}},
        )
    )
    server.handle = double.handle
    assert [(host.identity.uuids, host.identity.reason) for host in looked(client)] == [
        ((UUID,), None),
        ((), Reason.NOT_OPENSTACK),
    ]
    assert facts_now(client, 1, WEB1) == {"Puppet": PUPPETS}
    assert server.count("origin ~ Rhsm") == 1  # whether Katello is really not there
    assert [
        named(search) for search in searches(server, r"\^ \(1,2\) and origin !~ Rhsm")
    ] == [[1, 2]]


def test_rhsm_facts_are_kept_apart_from_those_of_other_sources(double, client):
    """What Ansible said of the previous machine does not count as a fact of this one."""
    double.add(
        instance(
            **{
                CHEF: {"dmi::system::uuid": OTHER_UUID},
                ANSIBLE: {"ansible_product_uuid": number(1)},
            }
        )
    )
    double.add(
        instance(
            "web2.example.com", **{CHEF: {"dmi::system::manufacturer": "Dell Inc."}}
        )
    )
    one, two = looked(client)
    assert (set(one.identity.uuids), one.identity.uuids[0]) == (
        {UUID, OTHER_UUID, number(1)},
        UUID,
    )
    # What RHSM's dmi::system::uuid would be: ambiguous.
    assert one.identity.reason is None
    assert (two.identity.uuids, two.identity.doubt) == (
        (UUID,),
        Reason.CONTRADICTING_FACTS,
    )


def test_a_fact_that_is_not_a_text_does_not_count(server, double, client):
    double.add(guest(facts={RHSM: {**INSTANCE, "virt::uuid": None}}))
    assert [host.identity.reason for host in looked(client)] == [Reason.NO_UUID]
    double.hosts[1].facts[RHSM]["virt::uuid"] = UUID
    for value in (7, True, ["true"], {"a": "true"}, None):
        change(
            server,
            "origin ~ Rhsm",
            lambda body, value=value: {
                **body,
                "results": {WEB1: {**body["results"][WEB1], "virt::is_guest": value}},
            },
        )
        assert [host.identity.doubt for host in looked(client)] == [Reason.NOT_A_GUEST]


def test_the_makers_of_other_clouds_are_those_that_were_named(double, client):
    double.add(
        guest(
            facts={
                RHSM: {
                    **INSTANCE,
                    "dmi::system::manufacturer": "Acme",
                    "dmi::system::product_name": "C",
                }
            }
        )
    )
    assert [host.identity.reason for host in looked(client)] == [Reason.NOT_OPENSTACK]
    assert [
        host.identity.reason
        for host in identify_hosts(client, list(list_hosts(client)), ("acme",))
    ] == [None]


@pytest.mark.parametrize("count", [1, 9, 10, 11, 20, 25])
def test_no_request_names_more_hosts_than_a_page_holds_and_nobody_is_left_out(
    server, double, narrow, count
):
    for at in range(1, count + 1):
        double.add(instance(f"web{at}.example.com"))
    found = list(looked(narrow))
    assert ids(found) == list(range(1, count + 1))
    assert all(host.identity.reason is None for host in found)
    for question in (
        r"\(dmi::.*\^.*origin ~ Rhsm",
        r"\(virt::.*\^.*origin ~ Rhsm",
        "origin !~ Rhsm",
    ):
        lists = [named(search) for search in searches(server, question)]
        assert sorted(sum(lists, [])) == list(range(1, count + 1))
        assert Counter(map(len, lists)) == Counter(
            [10] * (count // 10) + [count % 10] * (count % 10 > 0)
        )


@pytest.mark.parametrize("first", [10**5, 10**9, 10**18])
def test_no_request_names_more_ids_than_an_address_can_hold(server, connect, first):
    """Apache refuses URLs over 8 KB, and a page of long ids is larger than that."""
    client = connect(page_size=3000)
    hosts = [ListedHost(first + at, f"web{at}.example.com", ()) for at in range(3000)]
    assert ids(looked(client, hosts)) == ids(hosts)
    lists = [named(search) for search in searches(server, r"\(dmi::.*origin ~ Rhsm")]
    assert sorted(sum(lists, [])) == ids(hosts)
    lengths = sorted(len(",".join(map(str, one))) for one in lists)
    assert lengths[-1] <= 7000
    # And none is shorter than need be, but the last.
    assert all(length > 6900 for length in lengths[1:])


def test_progress_of_a_closer_look_is_told_to_the_very_end(double, narrow):
    add_guests(double, 23)
    hosts = list(list_hosts(narrow))
    told = []
    list(
        identify_hosts(
            narrow, hosts, (), lambda done, total: told.append((done, total))
        )
    )
    assert told == [(10, 23), (20, 23), (23, 23)]


# Fewer than were announced


def test_an_empty_list_where_hosts_were_announced_is_an_error(server, double, client):
    add_guests(double, 60)
    change(server, "thin=true", lambda body: {**body, "results": [], "subtotal": 0})
    with pytest.raises(
        SatelliteError, match="0 hosts in all windows where 60 were announced"
    ):
        list(list_hosts(client))


@pytest.mark.parametrize("nth", range(1, 8))
def test_a_login_that_sees_nothing_from_some_request_on_is_an_error(
    server, double, connect, nth
):
    """With numbers that agree: each list is empty and announces no host."""
    add_guests(double, 60)
    handle, count = server.handle, iter(range(1, 1000))

    def blind(request):
        answer = handle(request)
        if request.path in ("/api/hosts", "/api/fact_values") and next(count) > nth:
            empty = {} if request.path == "/api/fact_values" else []
            return answer._replace(
                body={**answer.body, "results": empty, "subtotal": 0, "total": 0}
            )
        return answer

    server.handle = blind
    with pytest.raises(SatelliteError, match="announced"):
        list(list_hosts(connect(page_size=20, workers=1)))


def test_one_window_that_is_empty_is_an_error_though_its_numbers_agree(
    server, double, connect
):
    add_guests(double, 60)
    change(
        server,
        "thin=true.*id > 20 and",
        lambda body: (
            {**body, "results": [], "subtotal": 0}
            if isinstance(body.get("results"), list)
            else body
        ),
    )
    with pytest.raises(
        SatelliteError,
        match="40 hosts in all windows where 60 were announced, and 60 afterwards",
    ):
        list(list_hosts(connect(page_size=20, workers=1)))


@pytest.mark.parametrize(
    "pattern", ["thin=true", "fact_values", "thin=true.*id > 20 ", "search=id <= 60"]
)
@pytest.mark.parametrize(
    "gone", [(1,), (2, 3), (25, 60), tuple(range(1, 60, 10))], ids=str
)
def test_a_few_hosts_that_are_deleted_meanwhile_are_no_error(
    server, double, connect, gone, pattern
):
    add_guests(double, 60)
    before(server, pattern, lambda: [double.hosts.pop(host_id) for host_id in gone])
    found = ids(list_hosts(connect(page_size=20, workers=1)))
    assert set(double.hosts) <= set(found) <= set(range(1, 61))


def test_where_most_hosts_go_out_of_sight_in_mid_run_it_is_an_error(
    server, double, connect
):
    add_guests(double, 60)
    before(
        server,
        "thin=true.*id > 20 ",
        lambda: [double.hosts.pop(host_id) for host_id in range(11, 61)],
    )
    with pytest.raises(
        SatelliteError, match="where 60 were announced, and 10 afterwards"
    ):
        list(list_hosts(connect(page_size=20, workers=1)))


# Of what kind the living ones are


def test_the_kinds_of_hosts_are_what_a_closer_look_calls_them_by_pages(
    server, double, connect
):
    """Otherwise a living host would not be a witness for a missing one of the same kind."""
    client = connect(page_size=10)
    tags = ["HUAWEICLOUD", "Not Specified", "OpenStack Nova", ""]
    for at in range(1, 26):
        double.add(
            guest(
                f"web{at}.example.com",
                facts={
                    RHSM: {
                        **INSTANCE,
                        "virt::uuid": number(at),
                        "dmi::chassis::asset_tag": tags[at % 4],
                    }
                },
            )
        )
    hosts = list(list_hosts(client))
    expected = [
        (host.identity.uuids[0], host.identity.kind) for host in looked(client, hosts)
    ]
    server.requests.clear()
    assert list(firmware_kinds(client, hosts, ("OpenStack",))) == expected
    assert len({kind for _, kind in expected}) == 3
    assert len(server.requests) == 3


def test_on_a_plain_foreman_the_kinds_are_those_of_the_other_sources(server, client):
    double = Satellite(katello=False)
    double.add(
        Host(WEB1, facts={PUPPET: {**PUPPETS, "dmi::product::name": "OpenStack Nova"}})
    )
    server.handle = double.handle
    assert list(firmware_kinds(client, list(list_hosts(client)), ("OpenStack",))) == [
        (UUID, "openstack foundation / openstack nova")
    ]


def test_where_no_fact_is_shown_of_hosts_that_showed_some_it_is_an_error(
    server, double, client
):
    add_guests(double, 3)
    hosts = list(list_hosts(client))
    check_facts_still_visible(client, hosts)
    double.hosts[1].facts.clear()  # it registers anew
    check_facts_still_visible(client, hosts)
    for host in double.hosts.values():
        host.facts.clear()
    with pytest.raises(
        SatelliteError,
        match="no fact of web1.example.com, which showed some a moment ago",
    ):
        check_facts_still_visible(client, hosts)


# Who shares a UUID


def doomed(uuid=UUID, host_id=1):
    return IdentifiedHost(host_id, WEB1, Identity((uuid,)))


@pytest.mark.parametrize("few", [True, False], ids=["by a search", "by windows"])
@pytest.mark.parametrize(
    "facts",
    [
        {RHSM: {"virt::uuid": UUID}},
        {RHSM: {"dmi::system::uuid": UUID.upper()}},
        {PUPPET: {"dmi::product::uuid": UUID}},
        {PUPPET: {"uuid": swap_bytes(UUID).upper()}},
        {ANSIBLE: {"ansible_product_uuid": UUID}},
        {SALT: {"uuid": UUID}},
        {CHEF: {"dmi::system::uuid": UUID}},
        {ANSIBLE: {"facter_dmi::product::uuid": f" {UUID} "}},
    ],
    ids=str,
)
def test_a_host_that_names_the_uuid_in_any_source_shares_it(
    double, client, monkeypatch, facts, few
):
    """Whatever else the record is, and whatever organization it is in."""
    monkeypatch.setattr(shared_uuids, "SEARCHES", 1 if few else 0)
    double.add(guest())
    double.add(Host("twin.example.com", facts=facts, organization_id=2))
    double.add(guest("other.example.com", OTHER_UUID))
    assert hosts_sharing_uuids(client, [doomed()]) == {1: ("twin.example.com",)}


@pytest.mark.parametrize(
    "form",
    [str, str.upper, swap_bytes, lambda uuid: swap_bytes(uuid).upper()],
    ids=["as it is", "upper case", "other byte order", "both"],
)
@pytest.mark.parametrize("count", [3, 40], ids=["few", "many"])
def test_twins_of_few_and_of_many_are_found_in_any_form_of_their_uuid(
    server, double, connect, monkeypatch, form, count
):
    """By a search for those of a few, by windows for those of many."""
    client = connect(page_size=30)
    names = [
        (RHSM, "virt::uuid"),
        (RHSM, "dmi::system::uuid"),
        (RHSM, "osp::uuid"),
        (PUPPET, "dmi::product::uuid"),
        (SALT, "uuid"),
        (ANSIBLE, "ansible_product_uuid"),
        (ANSIBLE, "facter_dmi::product::uuid"),
        (CHEF, "dmi::system::uuid"),
    ]
    hosts, expected = [], {}
    for at in range(1, count + 1):
        double.add(instance(f"web{at}.example.com", lopsided(at)))
        hosts.append(
            IdentifiedHost(at, f"web{at}.example.com", Identity((lopsided(at),)))
        )
    for at in range(1, count + 1, 2):
        origin, name = names[at // 2 % len(names)]
        twin = double.add(
            Host(
                f"twin{at}.example.com",
                facts={origin: {name: form(lopsided(at))}},
                organization_id=2,
            )
        )
        expected[at] = (twin.name,)
    server.requests.clear()
    monkeypatch.setattr(shared_uuids, "SEARCHES", 1)
    assert hosts_sharing_uuids(client, hosts) == {
        host.id: expected.get(host.id, ()) for host in hosts
    }
    assert len(searches(server, "value ~")) == (1 if count == 3 else 0)
    # of many: the newest, two windows of two lists, and the hardware of those on which alone what
    # is published names it
    assert len(server.requests) == (1 if count == 3 else 1 + 2 * 2 + 1)


@pytest.mark.parametrize("few", [True, False], ids=["by a search", "by windows"])
def test_a_machine_made_of_an_image_is_no_twin_of_the_one_that_published_into_it(
    double, client, monkeypatch, few
):
    """Otherwise its check-ins would hold the record of the image's origin for ever."""
    monkeypatch.setattr(shared_uuids, "SEARCHES", 1 if few else 0)
    double.add(guest())
    for name, hardware in (("copy", HARDWARE), ("twin", OTHER_UUID)):
        double.add(
            guest(
                f"{name}.example.com",
                facts={
                    RHSM: {
                        "dmi::system::uuid": OTHER_UUID,
                        "osp::uuid": UUID.upper(),
                        "osp::system_uuid": hardware,
                    }
                },
            )
        )
    assert hosts_sharing_uuids(client, [doomed()]) == {1: ("twin.example.com",)}


def test_several_twins_are_named_in_order_and_a_uuid_of_each_of_several_counts(
    double, client
):
    double.add(instance(uuid=UUID))
    for name, uuid_ in (("z", UUID), ("a", OTHER_UUID), ("m", UUID.upper())):
        double.add(instance(f"{name}.example.com", uuid_))
    both = IdentifiedHost(1, WEB1, Identity((UUID, OTHER_UUID)))
    assert hosts_sharing_uuids(client, [both]) == {
        1: ("a.example.com", "m.example.com", "z.example.com")
    }


@pytest.mark.parametrize("count", [1, 40], ids=["few", "many"])
def test_a_twin_that_two_sources_describe_under_one_name_is_no_secret(
    double, connect, count
):
    """In one response the last row would win: RHSM and Chef both write dmi::system::uuid."""
    hosts = [
        IdentifiedHost(at, f"web{at}.example.com", Identity((lopsided(at),)))
        for at in range(1, count + 1)
    ]
    for host in hosts:
        double.add(instance(host.name, lopsided(host.id)))
    for name, origins in (("first", (RHSM, CHEF)), ("last", (CHEF, RHSM))):
        double.add(
            Host(
                f"{name}.example.com",
                facts={
                    origin: {"dmi::system::uuid": value}
                    for origin, value in zip(origins, (lopsided(1), OTHER_UUID))
                },
            )
        )
    assert hosts_sharing_uuids(connect(page_size=30), hosts)[1] == (
        "first.example.com",
        "last.example.com",
    )


@pytest.mark.parametrize("count", [3, 40], ids=["few", "many"])
def test_one_bad_response_makes_a_search_for_shared_uuids_an_error(
    server, double, connect, count
):
    """A record may go because no other host shares its UUID, so this must be certain."""
    add_guests(double, 60)
    hosts = [doomed(lopsided(at), at) for at in range(1, count + 1)]
    for fault in FAULTS.values():
        spoil(server, "fact_values", fault)
        with pytest.raises(SatelliteError):
            hosts_sharing_uuids(connect(page_size=20), hosts)


def test_without_hosts_no_search_for_shared_uuids_is_sent():
    # Nobody is there.
    assert (
        hosts_sharing_uuids(
            Client(Login("http://127.0.0.1:9", "admin", "changeme")), []
        )
        == {}
    )


# Hosts of which Satellite cannot show the facts


def test_one_host_whose_facts_are_a_500_is_out_of_sight_by_name_and_spoils_no_other(
    server, double, client
):
    for at in range(1, 41):
        double.add(instance(f"web{at}.example.com", number(at)))
    handle = server.handle

    def poisoned(request):
        search = request.first("search") if request.path == "/api/fact_values" else ""
        if re.search(r"host_id \^ \((.*,)?17(,.*)?\)", search):
            return Answer(500, {"error": {"message": "undefined method"}})
        return handle(request)

    server.handle = poisoned
    hosts = {host.id: host for host in looked(client)}
    assert {at: host.identity.reason for at, host in hosts.items()} == {
        at: Reason.OUT_OF_SIGHT if at == 17 else None for at in range(1, 41)
    }
    assert (hosts[17].name, hosts[17].identity.uuids) == (
        "web17.example.com",
        (number(17),),
    )
    assert "undefined method" in hosts[17].identity.facts
    assert len(server.requests) < 60


@pytest.mark.parametrize("spoilt", [1, 13, 25])
@pytest.mark.parametrize(
    ("katello", "start", "end"),
    [
        (True, r"\(dmi::", "origin ~ Rhsm"),
        (True, r"\(virt::", "origin ~ Rhsm"),
        (True, "", "origin !~ Rhsm"),
        (False, "", "origin !~ Rhsm"),
    ],
    ids=["makers", "RHSM", "other sources", "a plain Foreman"],
)
def test_whichever_question_a_host_spoils_it_alone_is_out_of_sight(
    server, connect, katello, start, end, spoilt
):
    double = Satellite(katello=katello)
    for at in range(1, 26):
        own = {
            "dmi::product::uuid": number(at),
            "dmi::product::name": "OpenStack Nova",
            "is_virtual": "true",
        }
        double.add(
            Host(
                f"web{at}.example.com",
                facts={
                    PUPPET: own,
                    **(
                        {RHSM: {**INSTANCE, "virt::uuid": number(at)}}
                        if katello
                        else {}
                    ),
                },
            )
        )
    server.handle = double.handle
    client = connect(page_size=10)
    hosts = list(list_hosts(client))
    server.fail(
        rf"fact_values.*{start}.*host_id \^ \((\d+,)*{spoilt}(,\d+)*\).*{end}",
        500,
        {"error": {"message": "undefined method"}},
    )
    found = {host.id: host.identity.reason for host in looked(client, hosts)}
    assert found == {
        at: Reason.OUT_OF_SIGHT if at == spoilt else None for at in range(1, 26)
    }


def test_where_satellite_fails_at_several_in_a_row_it_is_an_error(
    server, double, client
):
    for at in range(1, 9):
        double.add(instance(f"web{at}.example.com", number(at)))
    hosts = list(list_hosts(client))
    server.fail("fact_values", 500, {"error": {"message": "database is down"}})
    with pytest.raises(SatelliteError, match="database is down"):
        list(looked(client, hosts))


# Without Katello: which source leads


@pytest.mark.parametrize(
    ("puppet", "ansible", "reason"),
    [
        ("2026-01-02 00:00:00 UTC", "2025-01-02 00:00:00 UTC", None),
        ("2025-01-02 00:00:00 UTC", "2026-01-02 00:00:00 UTC", Reason.NOT_OPENSTACK),
    ],
)
def test_without_katello_the_source_whose_facts_arrived_last_says_what_the_machine_is(
    server, client, puppet, ansible, reason
):
    """The facts of the platform that it came from, or went to, are still stored."""
    double = Satellite(katello=False)
    double.add(
        Host(
            WEB1,
            facts={
                PUPPET: {**PUPPETS, "_timestamp": puppet},
                ANSIBLE: {
                    "ansible_product_uuid": OTHER_UUID,
                    "ansible_system_vendor": "VMware, Inc.",
                    "_timestamp": ansible,
                },
            },
        )
    )
    server.handle = double.handle
    (found,) = looked(client)
    assert found.identity.reason is reason
    assert set(found.identity.uuids) == {UUID, OTHER_UUID}
    assert identity_now(client, 1, WEB1, ("OpenStack",)) == found.identity


def test_without_katello_sources_that_disagree_are_foreign_where_it_cannot_be_told_which_is_newer(
    server, client
):
    double = Satellite(katello=False)
    double.add(
        Host(
            WEB1,
            facts={PUPPET: PUPPETS, ANSIBLE: {"ansible_system_vendor": "Dell Inc."}},
        )
    )
    handle = double.handle
    server.handle = lambda request: (
        handle(request)
        if "reported_at" not in request.first("order")
        else (
            handle(request)._replace(
                body={
                    "results": {},
                    "per_page": 1,
                    "subtotal": 0,
                    "total": 0,
                    "page": 1,
                }
            )
        )
    )
    (found,) = looked(client)
    assert found.identity.reason is Reason.NOT_OPENSTACK


# Properties: to ask less is to learn the same

VALUES = st.sampled_from(
    [
        UUID,
        UUID.upper(),
        OTHER_UUID,
        HARDWARE,
        "true",
        "false",
        "guest",
        "host",
        "kvm",
        "OpenStack Nova",
        "Dell Inc.",
        "Not Specified",
        "",
        "junk",
    ]
)
OTHERS = st.dictionaries(st.sampled_from(OTHER_NAMES), VALUES, max_size=4)
# Hosts that come close to being an instance, so that not every example ends at the first rule.
NEARLY = st.builds(
    lambda base, more: {**base, **more},
    st.sampled_from([INSTANCE, INSTANCE, METAL, {}]),
    st.dictionaries(st.sampled_from(RHSM_NAMES), VALUES, max_size=2),
)
HOSTS = st.fixed_dictionaries(
    {identity.RHSM: NEARLY}, optional={PUPPET: OTHERS, ANSIBLE: OTHERS, CHEF: OTHERS}
)


@given(HOSTS)
def test_not_an_instance_by_rhsm_alone_is_not_one_by_all_sources(facts):
    """So the other sources need not be asked about them."""
    by_rhsm = identify({identity.RHSM: facts[identity.RHSM]}, katello=True)
    by_all = identify(facts, katello=True)
    foreign = by_makers(facts[identity.RHSM], (), ("OpenStack",)).reason
    assert foreign in (None, by_rhsm.reason)
    if foreign is not None:
        assert by_all.reason is foreign


@pytest.fixture(scope="module")
def facing(shared_server):
    """A client of any Satellite, as a function: Hypothesis prints what it is given, and a server is
    long.
    """

    def face(double, **manners):
        shared_server.faults.clear()
        shared_server.handle = double.handle
        return Client(
            Login(shared_server.url, "admin", "changeme"), MANNERS._replace(**manners)
        )

    return face


@given(st.lists(st.tuples(NEARLY, OTHERS), min_size=1, max_size=5), st.booleans())
def test_a_closer_look_finds_what_all_facts_of_all_sources_say(facing, hosts, katello):
    double = Satellite(katello=katello)
    for at, (rhsm, others) in enumerate(hosts, 1):
        double.add(
            Host(
                f"web{at}.example.com",
                facts={PUPPET: others, **({RHSM: rhsm} if katello else {})},
            )
        )
    found = list(looked(facing(double, page_size=2)))
    assert ids(found) == list(range(1, len(hosts) + 1))
    for host, (rhsm, others) in zip(found, hosts):
        facts = {identity.RHSM: rhsm if katello else {}, "other sources": others}
        expected = identify(facts, katello=katello)
        if not katello and identity.disagree(
            facts, ("OpenStack",)
        ):  # then the freshest leads, its only source
            expected = identify({"Puppet": others}, katello=False, freshest="Puppet")
        assert host.identity.reason is expected.reason
        if expected.reason is None:
            assert host.identity == expected


@pytest.mark.parametrize("origins", [(PUPPET, SALT), (SALT, PUPPET)], ids=str)
@pytest.mark.parametrize("katello", [True, False])
def test_a_closer_look_sees_what_puppet_and_salt_say_under_one_name(
    server, client, origins, katello
):
    """In one response the last row would win, and one of two UUIDs would never be checked."""
    double = Satellite(katello=katello)
    server.handle = double.handle
    values = (
        {"uuid": UUID, "manufacturer": "OpenStack Foundation"},
        {"uuid": OTHER_UUID, "manufacturer": "NA"},
    )
    double.add(Host(WEB1, facts=dict(zip(origins, values))))
    double.add(Host("web2.example.com", facts={PUPPET: PUPPETS}))
    first, second = looked(client)
    assert set(first.identity.uuids) == {UUID, OTHER_UUID}
    assert first.identity.reason is None
    assert second.identity.uuids == (UUID,)


# The facts of one host


def test_sources_with_the_same_fact_name_do_not_hide_each_other(double, client):
    """In one response the last row would win."""
    double.add(
        guest(
            facts={
                PUPPET: {"uuid": UUID, "manufacturer": "OpenStack Foundation"},
                SALT: {"uuid": OTHER_UUID, "manufacturer": "Dell Inc."},
            }
        )
    )
    assert facts_now(client, 1, WEB1) == {
        "Puppet": {"uuid": UUID, "manufacturer": "OpenStack Foundation"},
        "Salt": {"uuid": OTHER_UUID, "manufacturer": "Dell Inc."},
    }


def test_only_identifying_facts_that_hold_a_text_are_handed_out(server, double, client):
    double.add(
        guest(
            facts={
                RHSM: {
                    "virt::uuid": UUID,
                    "virt::is_guest": None,
                    "memory::memtotal": "1",
                }
            }
        )
    )
    change(
        server,
        "origin ~ Rhsm",
        lambda body: {
            **body,
            "results": {WEB1: {**body["results"][WEB1], "virt::host_type": 7}},
        },
    )
    assert facts_now(client, 1, WEB1) == {"RHSM": {"virt::uuid": UUID}}


def test_the_facts_of_one_host_are_asked_for_by_its_number(server, double, client):
    """`host = 2` would mean the host with that id or the one of that name."""
    double.add(guest(WEB1))
    double.add(guest("1", OTHER_UUID))
    assert facts_now(client, 1, WEB1)["RHSM"]["virt::uuid"] == UUID
    assert facts_now(client, 2, "1")["RHSM"]["virt::uuid"] == OTHER_UUID
    assert all(search.count("host_id = ") == 1 for search in searches(server))


def test_facts_of_another_host_are_an_error(client, web1):
    """The record has another name by now."""
    with pytest.raises(
        SatelliteError,
        match=r"facts of web1.example.com where web2.example.com was requested",
    ):
        facts_now(client, 1, "web2.example.com")


def test_the_facts_of_a_host_that_is_gone_are_none(client, web1):
    assert facts_now(client, 99, WEB1) == {}
