"""states: what it says to people and to programs, its options, and its exit code."""

import csv
import io
import json
import re
from typing import Any

import pytest
from conftest import DAY, Stage
from sandbox.satellite import Satellite, User
from terminals import in_terminal

LONG = 9 * DAY.total_seconds()
ERRATUM = "RHSA-2026:1234"
HEADS = re.compile(r"^([A-Z][A-Z -]+) \((\d+)\)$", re.MULTILINE)


@pytest.fixture
def show(stage: Stage, call: Any) -> Any:
    """A function that calls states: exit code, stdout, stderr."""
    return lambda *options: call("--config", stage.config(), "states", *options)


@pytest.fixture
def fleet(stage: Stage) -> Stage:
    """One host in each of some states, with the witness 5; all but it and `web` need ERRATUM."""
    stage.host("web", errata=("RHSA-2026:9999",))
    stage.host("broken", checked_in=LONG, errata=(ERRATUM,))
    stage.host("off", server="SHUTOFF", checked_in=LONG, errata=(ERRATUM,))
    stage.terminated("gone", errata=(ERRATUM,))
    return stage


def rows(text: str) -> dict[str, str]:
    """Name -> state, of CSV."""
    table = csv.DictReader(io.StringIO(text))
    return {row["Name"].split(".")[0]: row["State"] for row in table}


def test_people_get_groups_and_the_sums_of_all_hosts(fleet: Stage, show: Any) -> None:
    code, out, err = show()
    assert (code, err) == (0, "")
    assert HEADS.findall(out) == [
        ("RUNNING BUT SILENT", "1"),
        ("OFF", "1"),
        ("TERMINATED", "1"),
    ]
    assert "gone.example.com    terminated 2 days ago, last check-in 3 days ago" in (
        re.sub(r"(gone.example.com) +", r"\1    ", out)
    )
    assert out.endswith(
        "5 hosts: 1 running but silent, 1 off, 1 terminated, 2 running\n"
    )


@pytest.mark.parametrize("columns", [40, 100])
def test_nothing_is_wrapped_however_wide_the_window(fleet: Stage, columns: int) -> None:
    config = fleet.config()
    with in_terminal("--config", config, "states", columns=columns) as session:
        assert session.end() == 0
    assert session.screen.text.startswith("RUNNING BUT SILENT (1)\n  broken.")
    assert session.screen.wrapped == 0
    assert session.screen.coloured and session.screen.cursor_shown


def test_verbose_and_a_wanted_state_list_ordinary_hosts_too(
    fleet: Stage, show: Any, call: Any
) -> None:
    _, out, _ = call("-v", "--config", fleet.config(), "states")
    assert ("RUNNING", "2") in HEADS.findall(out)
    code, out, _ = show("--state", "running", "--state", "off")
    assert HEADS.findall(out) == [("OFF", "1"), ("RUNNING", "2")]
    assert code == 0 and "1 terminated" in out
    assert "broken" not in out


def test_a_plain_table_has_the_columns_that_were_asked_for(
    fleet: Stage, show: Any
) -> None:
    _, out, _ = show("--fields", "Name,State,silent", "--no-headers")
    assert [line.split(" | ") for line in out.splitlines()] == [
        ["broken.example.com", "running-silent", "yes"],
        ["off.example.com   ", "off           ", "yes"],
        ["gone.example.com  ", "terminated    ", "yes"],
    ]
    code, out, err = show("--fields", "Name,Colour")
    assert (code, out) == (64, "") and "no field Colour" in err


def test_programs_get_every_host(fleet: Stage, show: Any) -> None:
    assert rows(show("--output", "csv")[1]) == {
        "broken": "running-silent",
        "off": "off",
        "gone": "terminated",
        "web": "running",
        "witness": "running",
    }


# Which hosts


@pytest.mark.parametrize("text", [ERRATUM, "rhsa-2026:1234"])
def test_an_erratum_leaves_the_hosts_that_have_not_taken_it(
    fleet: Stage, show: Any, text: str
) -> None:
    code, out, err = show("--erratum", text)
    assert (code, err) == (0, "")
    assert out.endswith(
        f"3 hosts have not taken {ERRATUM}: 1 running but silent, 1 off, 1 terminated\n"
    )
    assert fleet.foreman.count(f'applicable_errata = "{ERRATUM}"')


def test_an_erratum_and_a_search_hold_both(fleet: Stage, show: Any) -> None:
    options = ["--erratum", ERRATUM, "--output", "csv"]
    search = ["--search", "name ~ web or name ~ off"]  # `and` binds more closely
    assert rows(show(*options, *search)[1]) == {"off": "off"}


def test_the_search_of_the_configuration_counts_as_well(
    fleet: Stage, call: Any
) -> None:
    login = {"url": fleet.foreman.url, "username": "admin", "password": "changeme"}
    config = fleet.config(satellite={**login, "search": "name ~ web or name ~ off"})
    words = ["--config", config, "states", "--output", "csv"]
    assert rows(call(*words)[1]) == {"off": "off", "web": "running"}
    assert rows(call(*words, "--erratum", ERRATUM)[1]) == {"off": "off"}
    nowhere = call(*words, "--organization", "Nowhere")
    assert nowhere[0] == 128 and "no organization 'Nowhere'" in nowhere[2]


def test_an_erratum_that_no_host_needs_may_be_misspelt(fleet: Stage, show: Any) -> None:
    code, out, err = show("--erratum", "RHSA-2026:1")
    assert (code, out) == (0, "0 hosts have not taken RHSA-2026:1\n")
    assert err.startswith("warning: no host needs RHSA-2026:1; Satellite says the same")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must be an id such as RHSA-2026:1234"),
        ("RHSA", "must be an id such as RHSA-2026:1234"),
        ('RHSA-2026:1" or name ~ "', "must be an id such as RHSA-2026:1234"),
        ("RHSA-2026:1234 ", "must be an id such as RHSA-2026:1234"),
        ("CVE-2026-12345", "name an erratum that fixes it"),
    ],
)
def test_what_is_not_an_erratum_never_reaches_satellite(
    stage: Stage, show: Any, text: str, says: str
) -> None:
    code, out, err = show("--erratum", text)
    assert (code, out, err.count("\n")) == (64, "", 1)
    assert says in err
    assert stage.foreman.count() == 0


@pytest.mark.parametrize(
    "text", ["RHBA-2026:0001", "FEDORA-EPEL-2026-0a1b2c3d4e", "DSA-5000-1"]
)
def test_errata_of_others_are_known_by_their_ids(
    stage: Stage, show: Any, text: str
) -> None:
    stage.host("old", errata=(text,))
    assert "1 host has not taken" in show("--erratum", text)[1]


def test_foreman_alone_knows_no_errata(stage: Stage, show: Any) -> None:
    satellite = Satellite(users=[User("admin", "changeme")], katello=False)
    stage.foreman.handle = satellite.handle
    code, out, err = show("--erratum", ERRATUM)
    assert (code, out, err.count("\n")) == (64, "", 1)
    assert "has no Katello, so no errata" in err


# Problems


def test_a_region_that_fails_is_reported_and_the_others_count(
    stage: Stage, call: Any
) -> None:
    clouds = [{"cloud": "prod", "regions": ["RegionOne", "RegionTwo"]}]
    stage.terminated("gone")
    code, out, err = call("--config", stage.config(clouds=clouds), "states")
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("error: prod/RegionTwo: ")
    assert out.endswith("2 hosts: 1 unknown, 1 running\n")


def test_without_any_region_its_own_code_says_why(stage: Stage, show: Any) -> None:
    stage.use_cloud(password="wrong")
    code, out, err = show()
    assert (code, err.count("\n")) == (129, 1)
    assert HEADS.findall(out) == [("UNKNOWN", "1")]


def test_a_host_that_cannot_be_read_is_no_success(stage: Stage, show: Any) -> None:
    """Its UUID is in no list, and then its facts cannot be shown."""
    stage.terminated("gone")
    stage.foreman.fail("fact_values.*host_id .*\\^", 500)
    code, out, err = show()
    assert (code, err) == (1, "error: nothing is known about 1 of 2 hosts\n")
    assert "1 unknown, 1 running" in out


def test_a_satellite_that_fails_is_an_error_and_no_shorter_list(
    stage: Stage, show: Any
) -> None:
    stage.foreman.fail("last_checkin", 500)
    code, out, err = show()
    assert (code, out, err.count("\n")) == (69, "", 1)


# The page


def test_the_page_has_every_host_and_what_is_broken_first(
    fleet: Stage, show: Any
) -> None:
    path = fleet.folder / "states.html"
    assert show("--report", path, "--erratum", ERRATUM)[0] == 0
    page = path.read_text()
    assert f"<h1>3 hosts have not taken {ERRATUM}; 1 running but silent</h1>" in page
    assert page.index("list-running-silent") < page.index('id="records"')
    for name in ("broken", "off", "gone"):
        assert f"/new/hosts/{name}.example.com" in page
    assert page.count("<tr class=") == 3
    assert 'data-show="running-silent"' in page
    assert path.stat().st_mode & 0o777 == 0o640


def test_no_name_or_fact_of_a_host_can_put_code_into_the_page(
    stage: Stage, show: Any
) -> None:
    hostile = "<script>window.owned=1</script>\x1b[2J\u202e"
    stage.host("x", server="SHUTOFF", project="p")
    (host,) = [host for host in stage.satellite.hosts.values() if host.name[0] == "x"]
    host.name = hostile
    path = stage.folder / "states.html"
    assert show("--report", path)[0] == 0
    page = path.read_text()
    assert "<script>window" not in page
    assert "&lt;script&gt;window" in page
    assert not {"\x1b", "\u202e"} & set(page)


def test_the_page_says_which_region_did_not_answer(stage: Stage, call: Any) -> None:
    clouds = [{"cloud": "prod", "regions": ["RegionOne", "RegionTwo"]}]
    path = stage.folder / "states.html"
    config = stage.config(clouds=clouds)
    assert call("--config", config, "states", "--report", path)[0] == 1
    assert "prod/RegionTwo did not answer" in path.read_text()


def test_a_page_that_cannot_be_written_is_one_line(stage: Stage, show: Any) -> None:
    code, out, err = show("--report", stage.folder / "no" / "states.html")
    assert (code, out, err.count("\n")) == (65, "", 1)


def test_json_says_which_hosts_and_when_one_is_silent(fleet: Stage, show: Any) -> None:
    options = ["--output", "json", "--erratum", ERRATUM, "--state", "off"]
    document = json.loads(show(*options)[1])
    assert (document["erratum"], document["scope"]) == (ERRATUM, "all hosts")
    assert document["silent_since"] < document["made_at"]
    assert [host["name"] for host in document["hosts"]] == ["off.example.com"]
    counts = {name: count for name, count in document["counts"].items() if count}
    assert counts == {"hosts": 3, "running_silent": 1, "off": 1, "terminated": 1}
