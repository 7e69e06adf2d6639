"""What doctor reports of clouds that it asks itself."""

from typing import Any

from foreman_hooks.cleanup.doctor import Finding
from foreman_hooks.cleanup.doctor.openstack import examine_clouds
from foreman_hooks.osp_checker import CloudScope, LocalChecker


def findings(*scopes: CloudScope) -> list[Finding]:
    default = [CloudScope("prod", ignore_regions=("RegionTwo",))]
    return list(examine_clouds(LocalChecker(scopes or default)))


def test_the_file_with_the_login_and_the_address_of_nova_are_named(stage: Any) -> None:
    path = stage.use_cloud()
    first = findings()[0]
    assert first.state == "ok"
    assert (
        f"logged in at {stage.osp.url}/v3 with {path}, asks {stage.osp.url}/compute/RegionOne/v2.1"
        in first.what
    )


def test_a_region_of_the_catalog_that_is_not_asked_is_a_warning_that_says_what_follows(
    stage: Any,
) -> None:
    stage.use_cloud()
    [warning] = [
        finding
        for finding in findings(CloudScope("prod"))
        if finding.state == "warning"
    ]
    assert (
        "prod/RegionOne: the catalog also has compute in RegionTwo, which is not asked"
        in warning.what
    )
    assert (
        "nothing is deleted without proof until 'regions' or 'ignore_regions'"
        in warning.advice
    )


def test_ignored_regions_are_not_mentioned(stage: Any) -> None:
    stage.use_cloud()
    assert {finding.state for finding in findings()} == {"ok"}


def test_a_cloud_whose_tls_is_not_checked_is_one_warning_for_all_its_regions(
    stage: Any,
) -> None:
    for switch in ({"verify": False}, {"insecure": True}):
        path = stage.use_cloud(**switch)
        both = findings(CloudScope("prod", ("RegionOne", "RegionTwo")))
        [warning] = [finding for finding in both if finding.state == "warning"]
        assert (
            f"cloud prod: TLS is not checked (verify: false or insecure: true in {path})"
            in warning.what
        )


def test_a_cloud_without_a_password_fails_and_the_others_are_checked_too(
    stage: Any,
) -> None:
    stage.use_cloud(password="")
    failures = findings(CloudScope("prod"), CloudScope("elsewhere"))
    assert [finding.state for finding in failures] == ["fail", "fail"]
    assert "no password is given" in failures[0].what
    assert "no such cloud; it has prod" in failures[1].what
