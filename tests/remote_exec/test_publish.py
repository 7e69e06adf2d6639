"""Publishing the job templates: what changes in Satellite, is printed, and is refused."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Stage
from sandbox.records import User

from foreman_hooks.commands.main import main
from foreman_hooks.satellite.client import Login
from foreman_hooks.satellite.client import Satellite as Client
from foreman_hooks.satellite.errors import (
    SatelliteForbidden,
    SatelliteNotFound,
    SatelliteRefused,
)
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


def published(
    stage: Stage, login: str = "admin", **options: Any
) -> dict[str, Published]:
    """Publish all templates; what happened to each, by its name."""
    client = Client(Login(stage.foreman.url, login, "changeme"))
    return {result.name: result for result in publish(client, build(), **options)}


def changes(results: dict[str, Published]) -> set[str]:
    return {result.change for result in results.values()}


def template(stage: Stage, name: str = CHECK) -> Any:
    """The template of that name as Satellite has it."""
    templates = stage.satellite.jobs.templates.by_id.values()
    (match,) = [template for template in templates if template.name == name]
    return match


def test_new_templates_are_created_in_all_visible_organizations_and_locations(
    stage: Stage,
) -> None:
    stage.satellite.organizations[7] = "Second"
    results = published(stage)
    assert changes(results) == {"created"}
    detail = results[CHECK].detail
    assert "Default Organization" in detail and "Second" in detail
    assert template(stage).organizations == {1, 7}
    assert template(stage).locations == {2}


def test_publishing_again_changes_nothing_and_says_so(stage: Stage) -> None:
    published(stage)
    before = stage.foreman.count("^PUT")
    results = published(stage)
    assert {(result.change, result.detail) for result in results.values()} == {
        ("unchanged", "")
    }
    assert stage.foreman.count("^PUT") == before


def test_an_update_says_what_changed(stage: Stage) -> None:
    published(stage)
    old = template(stage)
    old.template, old.job_category = "#!/bin/sh\necho old", "Commands"
    del old.inputs[0]
    result = published(stage)[CHECK]
    assert (result.change, result.detail) == (
        "updated",
        "template, job category, inputs",
    )
    assert template(stage).template.startswith("#!/usr/bin/env python3")


def test_publishing_to_another_organization_adds_it_and_removes_none(
    stage: Stage,
) -> None:
    stage.satellite.organizations[7] = "Second"
    published(stage, organizations=["Default Organization"])
    assert template(stage).organizations == {1}
    results = published(stage, organizations=["Second"])
    assert template(stage).organizations == {1, 7}
    assert results[CHECK].detail == "organizations Second"


def test_the_check_runs_as_the_given_user_and_the_others_as_root(stage: Stage) -> None:
    published(stage, check_user="osp")
    templates = stage.satellite.jobs.templates.by_id.values()
    assert {
        template.name: template.effective_user["value"] for template in templates
    } == {
        CHECK: "osp",
        "OSP - Clean up terminated hosts": "root",
        "OSP - Publish instance identity": "root",
    }


def test_an_effective_user_that_is_already_set_stays_and_the_output_says_so(
    stage: Stage,
) -> None:
    published(stage)
    template(stage).effective_user["value"] = "chosen"
    result = published(stage, check_user="osp")[CHECK]
    assert (result.change, result.detail) == (
        "unchanged",
        "effective user stays chosen, not osp",
    )
    template(stage).job_category = "Commands"
    result = published(stage, check_user="osp")[CHECK]
    assert (result.change, result.detail) == (
        "updated",
        "job category, effective user stays chosen, not osp",
    )
    assert template(stage).effective_user["value"] == "chosen"
    assert published(stage, check_user="chosen")[CHECK].detail == ""
    assert published(stage)[CHECK].detail == ""


def test_a_template_that_needs_root_says_so_if_another_user_is_set(
    stage: Stage,
) -> None:
    published(stage)
    template(stage, "OSP - Clean up terminated hosts").effective_user["value"] = (
        "chosen"
    )
    result = published(stage)["OSP - Clean up terminated hosts"]
    assert (result.change, result.detail) == (
        "unchanged",
        "effective user stays chosen, not root",
    )


@pytest.mark.parametrize("status", [200, 403])
def test_without_remote_execution_one_error_says_so_and_nothing_is_sent(
    stage: Stage, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its permissions do not exist either, so another login would not help."""
    stage.satellite.users["admin"] = User(
        "admin", "changeme", None if status == 200 else frozenset()
    )
    stage.foreman.fail("/api/job_templates", 404, {"status": 404, "error": "Not Found"})
    assert main(["--config", str(stage.config()), "templates", "publish"]) == 128
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "remote execution is not installed" in error
    assert stage.foreman.count("^(POST|PUT)") == 0


def test_the_smallest_role_is_enough(stage: Stage) -> None:
    stage.satellite.users["publisher"] = User("publisher", "changeme", TO_PUBLISH)
    assert changes(published(stage, "publisher")) == {"created"}
    assert changes(published(stage, "publisher")) == {"unchanged"}


@pytest.mark.parametrize("missing", sorted(TO_PUBLISH))
def test_a_missing_permission_is_named(stage: Stage, missing: str) -> None:
    stage.satellite.users["publisher"] = User(
        "publisher", "changeme", TO_PUBLISH - {missing}
    )
    with pytest.raises((SatelliteForbidden, SatelliteRefused), match=missing):
        published(stage, "publisher")


@pytest.mark.parametrize(
    "options", [{"organizations": ["Nowhere"]}, {"locations": ["Nowhere"]}]
)
def test_an_unknown_organization_or_location_is_an_error_before_anything_changes(
    stage: Stage, options: Any
) -> None:
    with pytest.raises(SatelliteNotFound, match="Nowhere"):
        published(stage, **options)
    assert stage.foreman.count("^POST") == 0


def test_the_command_prints_what_changed(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [
        "--config",
        str(stage.config()),
        "templates",
        "publish",
        "--check-user",
        "osp",
    ]
    assert main(argv) == 0
    assert main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    detail = "in Default Organization / Default Location, as osp"
    assert lines[0] == f"created   OSP - Check instances ({detail})"
    assert lines[3] == "unchanged OSP - Check instances"


def test_a_403_names_the_permission_on_one_line(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.satellite.users["admin"] = User(
        "admin", "changeme", TO_PUBLISH - {"create_job_templates"}
    )
    assert main(["--config", str(stage.config()), "templates", "publish"]) == 77
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "create_job_templates" in error


def test_build_writes_the_files_that_hammer_imports(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stage.folder / "new" / "folder"
    assert main(["templates", "build", "--out", str(folder)]) == 0
    texts = {template.text for template in build()}
    assert {path.read_text() for path in folder.iterdir()} == texts
    assert capsys.readouterr().out.count("\n") == 3
    assert (
        main(["templates", "build", "--out", str(folder / "check_instances.erb")]) == 64
    )
