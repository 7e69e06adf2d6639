"""What doctor says of clouds that it asks itself."""

from typing import Any

from foreman_hooks.cleanup.doctor import Finding, _clouds
from foreman_hooks.osp_checker.checker import CloudScope, LocalChecker


def findings(*scopes: CloudScope) -> list[Finding]:
    return list(
        _clouds(LocalChecker(scopes or [CloudScope("prod", ignore_regions=("RegionTwo",))]))
    )


def test_the_file_that_was_read_and_the_address_that_was_asked_are_named(stage: Any) -> None:
    path = stage.use_cloud()
    first = findings()[0]
    assert first.state == "ok"
    assert (
        f"logged in at {stage.osp.url}/v3 by {path}, asks {stage.osp.url}/compute/RegionOne/v2.1"
        in first.what
    )


def test_a_region_of_the_catalog_that_nobody_asks_is_a_warning_with_what_follows_from_it(
    stage: Any,
) -> None:
    stage.use_cloud()
    [warning] = [one for one in findings(CloudScope("prod")) if one.state == "warning"]
    assert (
        "prod/RegionOne: the catalog also has compute in RegionTwo, which nobody asks"
        in warning.what
    )
    assert "nothing goes without proof until regions or ignore_regions" in warning.advice


def test_nothing_is_said_of_regions_that_are_ignored(stage: Any) -> None:
    stage.use_cloud()
    assert {one.state for one in findings()} == {"ok"}


def test_a_cloud_whose_tls_is_not_checked_is_a_warning_once_however_many_regions_it_has(
    stage: Any,
) -> None:
    for switch in ({"verify": False}, {"insecure": True}):
        path = stage.use_cloud(**switch)
        found = findings(CloudScope("prod", ("RegionOne", "RegionTwo")))
        [warning] = [one for one in found if one.state == "warning"]
        assert (
            f"cloud prod: TLS is not checked (verify: false or insecure: true in {path})"
            in warning.what
        )


def test_a_cloud_without_a_password_fails_and_the_others_are_looked_at(stage: Any) -> None:
    stage.use_cloud(password="")
    found = findings(CloudScope("prod"), CloudScope("elsewhere"))
    assert [one.state for one in found] == ["fail", "fail"]
    assert "no password is given" in found[0].what and "no such cloud; it has prod" in found[1].what
