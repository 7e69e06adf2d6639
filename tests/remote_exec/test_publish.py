"""Publishing the job templates: what changes in Satellite, what is printed, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Stage
from sandbox.records import User

from foreman_hooks.commands import main as cli
from foreman_hooks.satellite.client import (
    Login,
    SatelliteForbidden,
    SatelliteNotFound,
    SatelliteRefused,
)
from foreman_hooks.satellite.client import Satellite as Client
from satellite_remote_exec.build import build
from satellite_remote_exec.publish import CHECK, Published, publish

TO_PUBLISH = frozenset(
    {
        "create_job_templates",
        "edit_job_templates",
        "view_job_templates",
        "assign_organizations",
        "assign_locations",
        "view_organizations",
        "view_locations",
    }
)


def published(stage: Stage, login: str = "admin", **how: Any) -> dict[str, Published]:
    client = Client(Login(stage.foreman.url, login, "changeme"))
    return {one.name: one for one in publish(client, build(), **how)}


def template(stage: Stage, name: str = CHECK) -> Any:
    (found,) = [one for one in stage.satellite.jobs.templates.by_id.values() if one.name == name]
    return found


def test_new_templates_are_created_in_all_visible_organizations_and_locations(stage: Stage) -> None:
    stage.satellite.organizations[7] = "Second"
    found = published(stage)
    assert {one.change for one in found.values()} == {"created"}
    assert "Default Organization" in found[CHECK].detail and "Second" in found[CHECK].detail
    assert template(stage).organizations == {1, 7}
    assert template(stage).locations == {2}


def test_to_publish_again_changes_nothing_and_says_so(stage: Stage) -> None:
    published(stage)
    before = stage.foreman.count("^PUT")
    assert {(one.change, one.detail) for one in published(stage).values()} == {("unchanged", "")}
    assert stage.foreman.count("^PUT") == before


def test_what_is_brought_up_to_date_is_told(stage: Stage) -> None:
    published(stage)
    old = template(stage)
    old.template, old.job_category = "#!/bin/sh\necho old", "Commands"
    del old.inputs[0]
    found = published(stage)
    assert (found[CHECK].change, found[CHECK].detail) == (
        "updated",
        "template, job category, inputs",
    )
    assert template(stage).template.startswith("#!/usr/bin/env python3")


def test_only_what_is_named_and_nothing_is_taken_away(stage: Stage) -> None:
    stage.satellite.organizations[7] = "Second"
    published(stage, organizations=["Default Organization"])
    assert template(stage).organizations == {1}
    found = published(stage, organizations=["Second"])
    assert template(stage).organizations == {1, 7}
    assert found[CHECK].detail == "organizations Second"


def test_what_must_run_as_root_does_and_the_check_as_whom_one_says(stage: Stage) -> None:
    published(stage, check_user="osp")
    assert {
        one.name: one.effective_user["value"]
        for one in stage.satellite.jobs.templates.by_id.values()
    } == {
        CHECK: "osp",
        "OSP - Clean up terminated hosts": "root",
        "OSP - Publish instance identity": "root",
    }


def test_an_effective_user_that_somebody_chose_stays_and_that_is_said(stage: Stage) -> None:
    published(stage)
    template(stage).effective_user["value"] = "chosen"
    found = published(stage, check_user="osp")[CHECK]
    assert (found.change, found.detail) == ("unchanged", "effective user stays chosen, not osp")
    template(stage).job_category = "Commands"
    found = published(stage, check_user="osp")[CHECK]
    assert (found.change, found.detail) == (
        "updated",
        "job category, effective user stays chosen, not osp",
    )
    assert template(stage).effective_user["value"] == "chosen"
    assert (
        published(stage, check_user="chosen")[CHECK].detail == published(stage)[CHECK].detail == ""
    )


def test_what_needs_root_says_so_where_somebody_chose_another_user(stage: Stage) -> None:
    published(stage)
    template(stage, "OSP - Clean up terminated hosts").effective_user["value"] = "chosen"
    found = published(stage)["OSP - Clean up terminated hosts"]
    assert (found.change, found.detail) == ("unchanged", "effective user stays chosen, not root")


@pytest.mark.parametrize("status", [200, 403])
def test_where_remote_execution_is_not_installed_that_is_said_and_nothing_else(
    stage: Stage, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The permissions do not exist there either, so no other login would help."""
    stage.satellite.users["admin"] = User(
        "admin", "changeme", None if status == 200 else frozenset()
    )
    stage.foreman.fail("/api/job_templates", 404, {"status": 404, "error": "Not Found"})
    assert cli.main(["--config", str(stage.config()), "templates", "publish"]) == 128
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "remote execution is not installed" in error
    assert stage.foreman.count("^(POST|PUT)") == 0


def test_the_smallest_role_is_enough(stage: Stage) -> None:
    stage.satellite.users["publisher"] = User("publisher", "changeme", TO_PUBLISH)
    assert {one.change for one in published(stage, "publisher").values()} == {"created"}
    assert {one.change for one in published(stage, "publisher").values()} == {"unchanged"}


@pytest.mark.parametrize("missing", sorted(TO_PUBLISH))
def test_a_permission_that_is_missing_is_named(stage: Stage, missing: str) -> None:
    stage.satellite.users["publisher"] = User("publisher", "changeme", TO_PUBLISH - {missing})
    with pytest.raises((SatelliteForbidden, SatelliteRefused), match=missing):
        published(stage, "publisher")


@pytest.mark.parametrize("how", [{"organizations": ["Nowhere"]}, {"locations": ["Nowhere"]}])
def test_an_organization_or_location_that_is_not_there_ends_it_before_anything_is_changed(
    stage: Stage, how: Any
) -> None:
    with pytest.raises(SatelliteNotFound, match="Nowhere"):
        published(stage, **how)
    assert stage.foreman.count("^POST") == 0


def test_the_command_prints_what_changed(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--config", str(stage.config()), "templates", "publish", "--check-user", "osp"]
    assert cli.main(argv) == 0
    assert cli.main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0]
        == "created   OSP - Check instances (in Default Organization / Default Location, as osp)"
    )
    assert lines[3] == "unchanged OSP - Check instances"


def test_a_403_names_the_permission_on_one_line(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.satellite.users["admin"] = User(
        "admin", "changeme", TO_PUBLISH - {"create_job_templates"}
    )
    assert cli.main(["--config", str(stage.config()), "templates", "publish"]) == 77
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "create_job_templates" in error


def test_build_writes_the_files_that_hammer_imports(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stage.folder / "new" / "folder"
    assert cli.main(["templates", "build", "--out", str(folder)]) == 0
    assert {path.read_text() for path in folder.iterdir()} == {one.text for one in build()}
    assert capsys.readouterr().out.count("\n") == 3
    assert cli.main(["templates", "build", "--out", str(folder / "check_instances.erb")]) == 64
