"""The Satellite double runs jobs as Foreman 3.12 does: one test for each measured quirk."""

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

import hypothesis
import pytest
from hypothesis import strategies as st

from .job_templates import RenderError, parse_metadata, render, to_json
from .jobs import EXCEPTION, LOST, SILENT, Process, Ran
from .satellite import LOCATION, ORGANIZATION, Host, Satellite, User
from .server import expect_unknown

ADMIN, RUNNER, IMPORTER = (
    ("admin", "changeme"),
    ("runner", "secret"),
    ("importer", "secret"),
)
RUNNING = frozenset(
    {
        "create_job_invocations",
        "view_job_templates",
        "view_hosts",
        "create_template_invocations",
        "view_smart_proxies",
    }
)
IMPORTING = frozenset(
    {"create_job_templates", "assign_organizations", "assign_locations"}
)
PLACE = {"organization_id": ORGANIZATION, "location_id": LOCATION}
METADATA = """<%#
kind: job_template
name: Lab
job_category: Labs
description_format: 'Lab %{p}'
snippet: false
provider_type: script
template_inputs:
- name: p
  input_type: user
  required: true
  description: something
- name: q
  input_type: user
  hidden_value: true
%>
"""
BODY = "#!/bin/sh\necho <%= to_json(input('p')) %> <%= to_json(input(\"q\")) %>\n"
FAILED = "StandardError: Job execution failed"


class Api:
    """Requests to one Satellite, JSON in and out, that keep no cookie."""

    def __init__(self, url, http, auth=ADMIN):
        self.url, self.http, self.auth = url, http, auth

    def as_user(self, auth):
        return Api(self.url, self.http, auth)

    def __call__(self, method, path, body=None, headers=None, **params):
        return self.http.request(
            method,
            f"{self.url}/api/v2{path}",
            json=body,
            params=params,
            auth=self.auth,
            headers=headers,
            timeout=20,
        )

    def get(self, path, **params):
        answer = self("GET", path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def imported(self, text=METADATA + BODY, **more):
        answer = self("POST", "/job_templates/import", {"template": text, **more})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def invoke(self, template, search="name = web1.example.com", inputs=None, **more):
        return self(
            "POST",
            "/job_invocations",
            {
                "job_invocation": {
                    "job_template_id": template,
                    "targeting_type": "static_query",
                    "search_query": search,
                    "inputs": {"p": "x"} if inputs is None else inputs,
                    **more,
                }
            },
        )

    def started(self, *args, **more):
        answer = self.invoke(*args, **more)
        assert answer.status_code == 201, answer.text
        return Job(self, answer.json())


class Job(NamedTuple):
    """A job that was started, and the POST's answer."""

    api: Api
    answer: dict

    @property
    def path(self):
        return f"/job_invocations/{self.answer['id']}"

    @property
    def host_id(self):
        return self.answer["targeting"]["hosts"][0]["id"]

    def look(self):
        return self.api.get(f"{self.path}/hosts/{self.host_id}")

    def chunks(self):
        """All chunks of a complete job; a scripted target is complete at the second look."""
        for _ in range(2):
            answer = self.look()
        assert (answer["complete"], answer["refresh"]) == (True, False), answer
        return answer["output"]

    def texts(self):
        return [(chunk["output_type"], chunk["output"]) for chunk in self.chunks()]

    def cancel(self, **body):
        return self.api("POST", f"{self.path}/cancel", body)


@pytest.fixture
def satellite():
    satellite = Satellite(
        users=[
            User(*ADMIN),
            User(*RUNNER, permissions=RUNNING),
            User(*IMPORTER, permissions=IMPORTING),
        ]
    )
    satellite.jobs.targets[satellite.add(Host("web1.example.com")).id] = (
        lambda script, stop: Ran(b"hello\n")
    )
    yield satellite
    satellite.jobs.close()


@pytest.fixture
def api(shared, satellite):
    return Api(*shared.show(satellite))


@pytest.fixture
def template(api):
    return api.imported(**PLACE)["id"]


@pytest.fixture
def runner(api):
    return api.as_user(RUNNER)


@pytest.fixture
def put(satellite):
    """Give web1 another target."""

    def put(target):
        satellite.jobs.targets[1] = (
            target if callable(target) else lambda script, stop: target
        )

    return put


def errors(answer, status=422):
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


# Templates


def test_an_import_answers_the_row_without_metadata_and_blank_lines(api):
    answer = api(
        "POST",
        "/job_templates/import",
        {"template": METADATA + "\n\n#!/bin/sh\r\necho\n\n\n"},
    )
    assert answer.status_code == 201
    row = answer.json()
    assert row["template"] == "#!/bin/sh\necho"
    assert (
        row["name"],
        row["job_category"],
        row["provider_type"],
        row["description_format"],
    ) == (
        "Lab",
        "Labs",
        "script",
        "Lab %{p}",
    )
    assert answer.headers["Location"].endswith(f"/job_templates/{row['id']}-Lab")
    assert row["created_at"].endswith("Z")


def test_a_name_can_be_taken_once_unless_overwritten(api):
    first = api.imported()
    refused = errors(
        api("POST", "/job_templates/import", {"template": METADATA + "other"})
    )
    assert refused == {
        "id": None,
        "errors": {"name": ["has already been taken"]},
        "full_messages": ["Name has already been taken"],
    }
    second = api.imported(METADATA + "other", overwrite=True)
    assert (second["id"], second["template"]) == (first["id"], "other")


@pytest.mark.parametrize("text", ["no metadata", "<%#\nname: [x\n%>\nfoo"])
def test_without_metadata_name_and_provider_are_missing(api, text):
    refused = errors(api("POST", "/job_templates/import", {"template": text}))
    assert refused["errors"]["name"] == ["can't be blank"]
    assert refused["full_messages"][:2] == [
        "Name can't be blank",
        "Provider type can't be blank",
    ]
    assert refused["full_messages"][2].startswith(
        "Provider type translation missing: en.activerecord"
    )


def test_an_import_of_nothing_is_a_server_error(api):
    assert errors(api("POST", "/job_templates/import", {}), 500)["message"].startswith(
        "Internal Server Error"
    )


def test_letters_after_the_opening_of_the_metadata_are_ignored():
    assert parse_metadata("<%# name: x\njob_category: y\n%>") == {"job_category": "y"}
    assert parse_metadata("<%#\nname: x\n-%>") == {"name": "x"}


def test_an_unknown_key_in_an_input_is_refused(api):
    text = METADATA.replace("  required: true\n", "  requird: true\n")
    assert errors(api("POST", "/job_templates/import", {"template": text}), 500)[
        "message"
    ] == ("unknown attribute 'requird' for TemplateInput.")


def test_an_input_must_be_of_a_known_type_and_its_default_one_of_its_options(api):
    text = METADATA.replace(
        "input_type: user\n  required: true",
        "input_type: usr\n  options: |-\n    a\n    b\n  default: c",
    )
    assert errors(api("POST", "/job_templates/import", {"template": text}))[
        "errors"
    ] == {
        "template_inputs.input_type": ["is not included in the list"],
        "template_inputs.default": ["is not included in the list"],
    }


def test_an_overwritten_input_keeps_its_id_and_what_is_not_given_any_more(
    api, satellite
):
    key = api.imported()["id"]
    before = {each.name: each.id for each in satellite.jobs.templates.by_id[key].inputs}
    api.imported(METADATA.replace("  hidden_value: true\n", "") + BODY, overwrite=True)
    inputs = satellite.jobs.templates.by_id[key].inputs
    assert {each.name: each.id for each in inputs} == before
    assert inputs[1].hidden_value


def test_the_list_finds_by_name_and_has_the_envelope_of_lists(api, template):
    listed = api.get("/job_templates", search='name = "Lab"')
    assert (
        listed["total"],
        listed["subtotal"],
        listed["page"],
        listed["per_page"],
    ) == (
        1,
        1,
        1,
        20,
    )
    assert listed["sort"] == {"by": None, "order": None}
    row = listed["results"][0]
    assert sorted(row) == sorted(
        [
            "id",
            "name",
            "job_category",
            "provider_type",
            "snippet",
            "description_format",
            "created_at",
            "updated_at",
        ]
    )
    assert (row["id"], row["name"]) == (template, "Lab") and row["created_at"].endswith(
        " UTC"
    )
    assert api.get("/job_templates", search='name = "Lab 2"')["results"] == []


def test_one_template_shows_its_inputs_places_and_effective_user(api, template):
    shown = api.get(f"/job_templates/{template}")
    assert shown == api.get("/job_templates/Lab")
    assert [
        (each["name"], each["input_type"]) for each in shown["template_inputs"]
    ] == [
        ("p", "user"),
        ("q", "user"),
    ]
    assert shown["effective_user"] == {
        "value": None,
        "current_user": False,
        "overridable": True,
    }
    assert [
        place["id"] for place in (*shown["organizations"], *shown["locations"])
    ] == [
        ORGANIZATION,
        LOCATION,
    ]
    assert errors(api("GET", "/job_templates/99"), 404) == {
        "message": "Resource job_template not found by id '99'"
    }


def test_a_put_changes_places_and_the_effective_user(api):
    key = api.imported()["id"]
    answer = api(
        "PUT",
        f"/job_templates/{key}",
        {
            "job_template": {
                "organization_ids": [ORGANIZATION],
                "location_ids": [LOCATION],
                "effective_user_attributes": {"value": "osp", "overridable": False},
            }
        },
    )
    assert answer.status_code == 200
    shown = answer.json()
    assert shown["effective_user"] == {
        "value": "osp",
        "current_user": False,
        "overridable": False,
    }
    assert shown["organizations"][0]["name"] == "Default Organization"
    assert shown["locations"][0]["name"] == "Default Location"


def test_an_import_needs_a_permission_and_says_which(runner):
    assert errors(
        runner("POST", "/job_templates/import", {"template": METADATA}), 403
    ) == {
        "message": "Access denied",
        "missing_permissions": ["create_job_templates"],
        "details": "Missing one of the required permissions: create_job_templates",
    }


def test_a_limited_login_imports_only_into_its_own_organization_and_location(api):
    importer = api.as_user(IMPORTER)
    refused = errors(importer("POST", "/job_templates/import", {"template": METADATA}))
    assert sorted(refused["errors"]) == ["location_ids", "organization_ids"]
    assert refused["full_messages"][0] == (
        "Organization ids Invalid organizations selection, you must select at least one of yours "
        "and have 'assign_organizations' permission."
    )
    assert (
        importer(
            "POST", "/job_templates/import", {"template": METADATA}, **PLACE
        ).status_code
        == 201
    )


def test_organizations_and_locations_in_the_metadata_are_ignored(api):
    places = "organizations: [Default Organization]\nlocations: [Default Location]\n"
    text = METADATA.replace("snippet:", f"{places}snippet:")
    assert (
        errors(
            api.as_user(IMPORTER)("POST", "/job_templates/import", {"template": text})
        )["id"]
        is None
    )
    assert api.get(f"/job_templates/{api.imported(text)['id']}")["organizations"] == []


def test_overwriting_needs_the_permission_to_edit(api, satellite, template):
    body = {"template": METADATA + "new", "overwrite": True, **PLACE}
    refused = errors(api.as_user(IMPORTER)("POST", "/job_templates/import", body))
    assert refused["id"] == template
    assert refused["errors"]["base"][0].startswith(
        "You don't have permission edit_job_templates with attributes"
    )
    satellite.users["importer"].permissions |= {"edit_job_templates"}
    assert (
        api.as_user(IMPORTER)("POST", "/job_templates/import", body).json()["template"]
        == "new"
    )


def test_what_an_administrator_imports_without_a_place_is_hidden_from_limited_logins(
    api, runner
):
    key = api.imported()["id"]
    assert runner.get("/job_templates")["results"] == []
    assert runner("GET", f"/job_templates/{key}").status_code == 404
    assert errors(runner.invoke(key), 404) == {
        "message": f"Template with id '{key}' was not found"
    }


# ERB

RENDERED = [
    ("print('<%% x %%> y %> z')", "print('<% x %%> y %> z')"),
    ("a <%# gone %> b", "a  b"),
    ("a <%# gone -%>\nb", "a b"),
    ("% line\n%% line", "% line\n%% line"),
    ("a <% b\nprint(2)", "a  b\nprint(2)"),  # measured: only the tag's opening vanishes
    ("x = <%= to_json(input('p')) %>", 'x = "v"'),
    ('x = <%= to_json( input("p") ) -%>\ny', 'x = "v"y'),
    ("<%= to_json(input('left out')) %>", "null"),
    ("<%=to_json(input('p'))%><%", '"v"'),
]


@pytest.mark.parametrize(("text", "script"), RENDERED)
def test_a_template_renders(text, script):
    assert render(text, {"p": "v", "left out": None}) == script


@pytest.mark.parametrize(
    "text",
    [
        "<%= 1+1 %>",
        "print('a <% b')\nprint('c %> d')",
        "<%= input('p') %>",
        "<%- x -%>",
        "<%= input('p').to_json %>",
        "<%= `id` %>",
    ],
)
def test_everything_else_in_a_tag_fails(text):
    with pytest.raises(RenderError, match="all ERB tags properly closed"):
        render(text, {"p": "v"})


def test_an_input_that_the_template_does_not_know_fails():
    with pytest.raises(RenderError, match="wrong number of arguments"):
        render("<%= to_json(input('nope')) %>", {})


RUBY = """require 'erb'; require 'json'
SPECIAL = /[<>&\\u2028\\u2029]/
def escaped(letter) = format("\\\\u%04x", letter.ord)
def to_json(value) = JSON.generate(value).gsub(SPECIAL) { |letter| escaped(letter) }
def input(name) = $values.fetch(name)
$stdin.set_encoding("UTF-8")
$stdout.sync = true
$stdin.each_line do |line|
  text, $values = JSON.parse(line)
  begin
    puts JSON.generate(ERB.new(text, trim_mode: "-").result)
  rescue SyntaxError, StandardError
    puts "null"
  end
end
"""


@pytest.fixture(scope="module")
def ruby():
    if not shutil.which("ruby"):
        pytest.skip("there is no ruby to compare with")
    with subprocess.Popen(
        ["ruby", "-W0", "-Ku", "-e", RUBY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    ) as process:

        def rendered(text, values):
            print(json.dumps([text, values]), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield rendered
        process.stdin.close()


@pytest.mark.parametrize(("text", "script"), RENDERED)
def test_ruby_renders_the_same(ruby, text, script):
    assert ruby(text, {"p": "v", "left out": None}) == script


PIECES = st.sampled_from(
    [
        "<%",
        "<%%",
        "<%#",
        "<%=",
        "%>",
        "-%>",
        "%%>",
        "%",
        "\n",
        "  ",
        "a",
        "'",
        "#",
        "-",
        "<%= to_json(input('p')) %>",
        '<%= to_json(input("p")) -%>',
        "<%# x %>",
    ]
)


@hypothesis.settings(max_examples=300, derandomize=True)
@hypothesis.given(
    text=st.lists(PIECES, max_size=12).map("".join),
    value=st.one_of(st.none(), st.text(st.characters(blacklist_categories=["Cs"]))),
)
def test_what_renders_here_renders_the_same_in_ruby(ruby, text, value):
    try:
        script = render(text, {"p": value})
    except RenderError:  # a real server may know better
        return
    assert ruby(text, {"p": value}) == script


def test_json_is_written_as_active_support_does():
    assert to_json('<%= & \u2028\u2029 ü 💡 \x01 \x7f / \r\n"\\') == (
        '"\\u003c%= \\u0026 \\u2028\\u2029 ü 💡 \\u0001 \x7f / \\r\\n\\"\\\\"'
    )


# Unknown keys


@pytest.mark.parametrize(
    ("method", "path", "body", "name"),
    [
        (
            "POST",
            "/job_templates/import",
            {"template": METADATA, "overwritten": True},
            "overwritten",
        ),
        ("PUT", "/job_templates/Lab", {"job_template": {"nmae": "x"}}, "nmae"),
        (
            "PUT",
            "/job_templates/Lab",
            {"job_template": {"effective_user_attributes": {"valeu": "x"}}},
            "valeu",
        ),
        ("POST", "/job_invocations", {"job_invocation": {"feature": "x"}}, "feature"),
        ("POST", "/job_invocations/1/cancel", {"forced": True}, "forced"),
    ],
)
def test_a_key_that_is_not_simulated_fails_the_test(
    api, template, method, path, body, name
):
    with expect_unknown(f"{name}$"):
        assert api(method, path, body).status_code == 501


# Starting


def test_a_job_starts_running_and_names_its_hosts(api, template):
    answer = api.started(template).answer
    assert answer["targeting"] == {
        "bookmark_id": None,
        "search_query": "name = web1.example.com",
        "targeting_type": "static_query",
        "user_id": 4,
        "randomized_ordering": None,
        "hosts": [
            {"name": "web1.example.com", "id": 1, "display_name": "web1.example.com"}
        ],
    }
    assert {
        "status": 3,
        "status_label": "running",
        "pending": 1,
        "total": 1,
        "total_hosts": 1,
        "missing": 0,
        "job_category": "Labs",
        "template_name": "Lab",
        "ssh_user": None,
        "time_to_pickup": None,
    }.items() <= answer.items()
    assert (
        answer["task"] == answer["dynflow_task"]
        and answer["task"]["state"] == "planned"
    )
    assert "template_invocations" not in answer


def test_inputs_arrive_stripped_and_a_missing_one_is_null(api, template, put):
    scripts = []
    put(lambda script, stop: scripts.append(script) or Ran())
    api.started(template, inputs={"p": " \t<a\nb>\r\n "}).chunks()
    assert scripts == ['#!/bin/sh\necho "\\u003ca\\nb\\u003e" null\n']
    api.started(template, inputs={"p": "x", "q": " "}).chunks()
    assert scripts[1] == '#!/bin/sh\necho "x" ""\n'


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"p": "  \n"},
            "Validation failed: Template lab: Input p: Value can't be blank",
        ),
        (
            {},
            "Validation failed: Template lab: Not all required inputs have values. "
            "Missing inputs: p",
        ),
        (
            {"p": "x", "zz": "1"},
            "ERF42-7285 [Foreman::Exception]: Unknown input zz for template Lab",
        ),
        ({"p": "a\0b"}, "string contains null byte"),
    ],
)
def test_wrong_inputs_are_a_server_error(api, template, inputs, message):
    assert errors(api.invoke(template, inputs=inputs), 500) == {"message": message}


def test_a_default_replaces_a_required_input_and_a_value_must_be_one_of_the_options(
    api, put
):
    scripts = []
    put(lambda script, stop: scripts.append(script) or Ran())
    key = api.imported(
        METADATA.replace(
            "  required: true\n",
            "  required: true\n  default: a\n  options: |-\n    a\n    b\n",
        )
        + BODY
    )["id"]
    api.started(key, inputs={}).chunks()
    assert scripts == ['#!/bin/sh\necho "a" null\n']
    assert errors(api.invoke(key, inputs={"p": "c"}), 500)["message"] == (
        "Validation failed: Template lab: Input p: Value is not included in the list"
    )


def test_a_job_needs_a_template_and_a_valid_query(api, template):
    assert errors(api.invoke(99999), 404) == {
        "message": "Template with id '99999' was not found"
    }
    assert errors(api.invoke(template, ""), 500)["message"] == (
        "Validation failed: Targeting: Bookmark Must select a bookmark or enter a search query, "
        "Search query Must select a bookmark or enter a search query"
    )
    assert (
        errors(api.invoke(template, "nosuchfield = x"), 400)["class"]
        == "ScopedSearch::QueryNotSupported"
    )


def test_a_job_without_hosts_is_started(api, template):
    answer = api.started(template, "name = nosuch.example.com").answer
    assert (answer["total_hosts"], answer["status_label"]) == (0, "running")
    assert answer["targeting"]["hosts"] == []


def test_a_login_without_view_hosts_starts_a_job_without_hosts(
    satellite, runner, template
):
    satellite.users["runner"].permissions -= {"view_hosts"}
    job = runner.started(template)
    assert job.answer["total_hosts"] == 0
    assert errors(runner("GET", f"{job.path}/hosts/1"), 404) == {
        "message": "Host with id '1' was not found"
    }


def test_hosts_out_of_sight_and_the_satellite_itself_are_left_out_silently(
    api, satellite, runner, template
):
    satellite.add(Host("web2.example.com", organization_id=7))
    satellite.add(
        Host("satellite.example.com", infrastructure={"foreman_instance": True})
    )
    everything = "name ~ example.com"
    assert [
        host["id"]
        for host in runner.started(template, everything).answer["targeting"]["hosts"]
    ] == [1]
    satellite.users["runner"].permissions |= {"execute_jobs_on_infrastructure_hosts"}
    assert runner.started(template, everything).answer["total_hosts"] == 2
    names = [
        host["name"]
        for host in api.started(template, everything).answer["targeting"]["hosts"]
    ]
    assert names == ["satellite.example.com", "web1.example.com", "web2.example.com"]


def test_without_the_permission_on_template_invocations_the_start_is_a_server_error(
    satellite, runner, template
):
    satellite.users["runner"].permissions -= {"create_template_invocations"}
    assert errors(runner.invoke(template), 500)["message"].startswith(
        "PG::NotNullViolation: ERROR:  null value in"
    )


def test_without_view_job_templates_the_template_is_not_found(
    satellite, runner, template
):
    satellite.users["runner"].permissions -= {"view_job_templates"}
    assert errors(runner.invoke(template), 404) == {
        "message": f"Template with id '{template}' was not found"
    }


def test_without_view_smart_proxies_the_job_ends_without_an_exit_status(
    satellite, runner, template
):
    satellite.users["runner"].permissions -= {"view_smart_proxies"}
    chunks = runner.started(template).chunks()
    assert [sorted(chunk) for chunk in chunks] == [
        ["output", "output_type", "timestamp"]
    ]
    assert chunks[0]["output"].startswith(
        "Failed to initialize: RuntimeError - Could not use any proxy for the "
        '["SSH", "Script"] job.'
    )


def test_a_template_that_does_not_render_shows_only_in_the_output(api):
    key = api.imported(METADATA + "<%= 1+1 %>")["id"]
    job = api.started(key)
    ((kind, text),) = job.texts()
    assert kind == "debug"
    assert text.startswith(
        "Failed to initialize: RuntimeError - Failed rendering template: error during rendering: "
    )


# Who reads and cancels


def test_a_login_reads_its_own_jobs_and_with_the_permission_those_of_others(
    api, satellite, runner, template
):
    own, foreign = runner.started(template), api.started(template)
    assert own.look()["refresh"]
    answer = runner("GET", f"{foreign.path}/hosts/1")
    assert (answer.status_code, answer.json()) == (
        404,
        {"message": f"Job invocation not found by id '{foreign.answer['id']}'"},
    )
    satellite.users["runner"].permissions |= {"view_job_invocations"}
    assert runner("GET", f"{foreign.path}/hosts/1").status_code == 200


def test_the_output_of_a_host_is_found_by_its_id(api, template):
    job = api.started(template)
    with expect_unknown("the route"):  # a real server has no such route either
        assert api("GET", f"{job.path}/hosts/web1.example.com").status_code == 501
    assert errors(api("GET", f"{job.path}/hosts/7"), 404) == {
        "message": "Host with id '7' was not found"
    }


def test_a_cancelled_job_ends_with_exit_status_255(api, template, put):
    put(Ran(b"start\n", SILENT))
    job = api.started(template)
    for _ in range(3):
        answer = job.look()
    assert not answer["complete"] and [
        chunk["output"] for chunk in answer["output"]
    ] == ["start\n"]
    assert job.cancel().json() == {"cancelled": True, "id": job.answer["id"]}
    assert job.texts() == [
        ("stdout", "start\n"),
        ("stdout", "Exit status: 255"),
        (
            "debug",
            "ForemanTasks::Task::TaskCancelledException: ERF22-3835 "
            "[ForemanTasks::Task::TaskCancelledException]: Task cancelled",
        ),
    ]


def test_a_job_that_is_cancelled_by_force_has_no_exit_status(api, template, put):
    put(Ran(b"start\n", SILENT))
    job = api.started(template)
    job.cancel(force=True)
    assert [text[-32:] for _, text in job.texts()] == [
        "start\n",
        "might be still running on the proxy"[-32:],
    ]


def test_cancelling_needs_a_permission(runner, template):
    assert errors(runner.started(template).cancel(), 403)["missing_permissions"] == [
        "cancel_job_invocations"
    ]


def test_a_job_whose_proxy_was_restarted_ends_only_by_force(api, template, put):
    put(Ran(b"start\n", LOST))
    job = api.started(template)
    job.look()
    assert job.cancel().status_code == 200
    answer = job.look()
    assert not answer["complete"] and answer["output"][-1]["output"] == (
        "Error loading data from proxy: RestClient::NotFound - 404 Not Found"
    )
    job.cancel(force=True)
    assert job.look()["complete"]


def test_a_job_whose_time_is_over_is_stopped(api, satellite, template, put):
    satellite.jobs.second = 0.001
    ended = threading.Event()
    put(lambda script, stop: stop.wait() and ended.set() or Ran(b"start\n"))
    assert api.started(template, execution_timeout_interval=1).texts() == [
        ("stdout", "start\n"),
        ("debug", "Timeout for execution passed, trying to stop the job"),
        ("stdout", "Exit status: 255"),
        ("debug", FAILED),
    ]
    assert ended.is_set()


def test_the_output_of_a_host_that_was_deleted_meanwhile_is_not_found(api, template):
    job = api.started(template)
    job.look()
    assert api("DELETE", "/hosts/1").status_code == 200
    assert api("GET", f"{job.path}/hosts/1").status_code == 404


# Output


def test_the_first_look_finds_nothing_and_the_second_everything(api, template):
    job = api.started(template)
    assert job.look() == {"complete": False, "refresh": True, "output": []}
    printed, status = job.look()["output"]
    assert printed == {
        "id": printed["id"],
        "template_invocation_id": 2,
        "timestamp": printed["timestamp"],
        "meta": None,
        "sequence_id": 0,
        "output_type": "stdout",
        "output": "hello\n",
    }
    assert status == {
        "output_type": "stdout",
        "output": "Exit status: 0",
        "timestamp": printed["timestamp"],
    }


def test_a_complaint_follows_an_exit_status_other_than_zero(api, template, put):
    put(Ran(b"", 7))
    job = api.started(template)
    assert job.texts() == [("stdout", "Exit status: 7"), ("debug", FAILED)]


def test_long_output_arrives_in_chunks_of_any_length_and_nothing_is_lost(
    api, template, put
):
    output = b"".join(b"line %d of it\n" % number for number in range(5000))
    put(Ran(output))
    chunks = api.started(template).chunks()
    texts = [chunk["output"] for chunk in chunks[:-1]]
    assert "".join(texts).encode() == output
    assert len({len(text) for text in texts}) > 4 and not all(
        text.endswith("\n") for text in texts
    )
    assert [chunk["sequence_id"] for chunk in chunks[:-1]] == list(range(len(texts)))
    stamps = [chunk["timestamp"] for chunk in chunks]
    assert stamps == sorted(stamps)


def test_a_test_can_choose_what_each_read_gets(api, template, put):
    put(Ran([b"he", b"llo\n"]))
    assert [text for _, text in api.started(template).texts()] == [
        "he",
        "llo\n",
        "Exit status: 0",
    ]


@pytest.mark.parametrize(
    "output", [b"caf\xe9\n", "€".encode() * 30, [b"\xe2", b"\x82\xac"]]
)
def test_bytes_that_are_not_utf8_fail_the_job_and_so_does_a_split_character(
    api, template, put, output
):
    put(Ran(output))
    assert api.started(template).texts() == [
        ("debug", "Runner error: ArgumentError - invalid byte sequence in UTF-8"),
        ("stdout", "Exit status: EXCEPTION"),
        ("debug", FAILED),
    ]


def test_the_output_before_the_bad_bytes_stays(api, template, put):
    put(Ran([b"good\n", b"\xff"]))
    assert [text for _, text in api.started(template).texts()][0::2] == [
        "good\n",
        "Exit status: EXCEPTION",
    ]


def test_a_nul_in_the_output_leaves_only_a_complaint(api, template, put):
    put(Ran(b"a\0b"))
    job = api.started(template)
    assert job.texts() == [("debug", "ArgumentError: string contains null byte")]


def test_a_host_without_a_target_cannot_be_reached(api, satellite, template):
    satellite.add(Host("lost.example.com"))
    complaint, status, failed = api.started(template, "name = lost.example.com").texts()
    assert complaint[0] == "debug" and complaint[1].startswith(
        "Error initializing command: RuntimeError - Could not establish connection to remote host"
    )
    assert complaint[1].endswith(
        "ssh: Could not resolve hostname lost.example.com: Name or service not known\r\n"
    )
    assert (status, failed) == (
        ("stdout", f"Exit status: {EXCEPTION}"),
        ("debug", FAILED),
    )


def test_a_target_can_ask_the_satellite_itself(api, template, put):
    put(lambda script, stop: Ran(str(api.get("/hosts")["total"]).encode()))
    assert api.started(template).texts()[0] == ("stdout", "1")


# Real processes


@pytest.fixture
def execute(api, satellite, tmp_path, put):
    """Run a script as a process, to its end."""

    def execute(body, environment=None, banner=b"", **more):
        home = tmp_path / "root"
        home.mkdir(exist_ok=True)
        put(Process(home, environment or {}, banner))
        key = api.imported(METADATA + body, overwrite=True)["id"]
        job = api.started(key, **more)
        assert satellite.jobs.settle()
        return "".join(text for _, text in job.texts())

    return execute


def test_a_process_has_only_its_own_environment_and_starts_in_its_home(
    execute, tmp_path
):
    text = execute(
        "#!/usr/bin/env python3\nimport os, sys, json\nold = os.umask(0)\n"
        "print(json.dumps([dict(os.environ), os.getcwd(), old, sys.stdin.read(), "
        "oct(os.stat(__file__).st_mode)]))",
        {"OS_CLOUD": "prod"},
    )
    environment, cwd, umask, stdin, mode = json.loads(
        text.partition("Exit status: 0")[0]
    )
    home = str(tmp_path / "root")
    assert {
        name: value
        for name, value in environment.items()
        if name not in ("PATH", "LC_CTYPE")
    } == {"HOME": home, "OS_CLOUD": "prod"}
    assert (cwd, umask, stdin, mode) == (home, 0o022, "", "0o100500")


def test_stderr_comes_before_stdout_and_the_banner_comes_first(execute):
    body = (
        "#!/usr/bin/env python3\nimport sys\n"
        "print('out')\nprint('err', file=sys.stderr)\nsys.exit(3)"
    )
    assert (
        execute(body, banner=b"Welcome") == f"Welcomeerr\nout\nExit status: 3{FAILED}"
    )


def test_the_shell_runs_a_script_without_a_shebang_and_a_bad_shebang_is_not_found(
    execute,
):
    assert execute("echo $((20 + 3))") == "23\nExit status: 0"
    assert execute("#!/no/such/interpreter\n").endswith(
        f"No such file or directory\nExit status: 127{FAILED}"
    )


def test_inputs_arrive_unchanged_in_a_python_script(execute):
    value = (
        "l1\nl2 <%= 1+1 %> <%% \"dq\" 'sq' $(id) `id` back\\slash \\n \t ünï 💡 "
        "''' \"\"\" #{1+1} EOF\r\n"
        "last \u2028 &"
    )
    text = execute(
        "#!/usr/bin/env python3\nprint(ascii(<%= to_json(input('p')) %>))",
        inputs={"p": value},
    )
    assert text == f"{ascii(value)}\nExit status: 0"


@pytest.mark.parametrize("force", [False, True])
def test_a_cancelled_process_is_killed_with_its_children(
    api, satellite, tmp_path, put, force
):
    put(Process(tmp_path, {}))
    key = api.imported(
        METADATA
        + "#!/bin/sh\nmkfifo begun; echo start; sleep 1000 & echo $! > begun; wait"
    )["id"]
    job = api.started(key)
    fifo = tmp_path / "begun"
    while not fifo.exists():
        assert not job.look()["complete"]
    child = fifo.read_text().strip()
    job.cancel(force=force)
    assert satellite.jobs.settle()
    assert job.texts()[0] == ("stdout", "start\n")
    left = Path(f"/proc/{child}/stat")
    assert not left.exists() or left.read_text().split()[2] == "Z"


# Permissions


def test_every_login_can_list_its_permissions(api, runner, satellite):
    mine = runner.get("/permissions/current_permissions")
    assert {row["name"] for row in mine["results"]} == RUNNING and mine[
        "total"
    ] == mine["subtotal"] == len(RUNNING)
    assert {(row["name"], row["resource_type"]) for row in mine["results"]} >= {
        ("view_hosts", "Host"),
        ("create_job_invocations", "JobInvocation"),
        ("view_smart_proxies", "SmartProxy"),
    }
    everything = {
        row["id"]: row["name"]
        for row in api.get("/permissions/current_permissions")["results"]
    }
    assert set(everything.values()) >= RUNNING | IMPORTING | {
        "view_facts",
        "destroy_hosts",
        "cancel_job_invocations",
    }
    assert all(everything[row["id"]] == row["name"] for row in mine["results"])
