"""Which permissions the role of the login to Satellite lacks."""

from collections.abc import Collection, Iterator

from foreman_hooks.cleanup.doctor.findings import Finding, fail, ok, warning
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.installation import has_remote_execution
from foreman_hooks.settings import CheckJob, Settings

# The smallest role (measured) that can start a job on a host and read its output.
TO_CHECK = (
    "create_job_invocations",
    "view_job_templates",
    "view_hosts",
    "create_template_invocations",
    "view_smart_proxies",
    "view_params",
)
# The smallest role (measured) that can import the job's template.
TO_PUBLISH = (
    "create_job_templates",
    "edit_job_templates",
    "view_job_templates",
    "assign_organizations",
    "assign_locations",
    "view_organizations",
    "view_locations",
)


def examine_role(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    """Check the permissions for host parameters, reports and remote execution."""
    permissions = satellite.own_permissions()
    yield examine_parameters(permissions, settings.policy.protect_parameter)
    yield _reports(permissions)
    if not has_remote_execution(satellite):
        yield _without_remote_execution(satellite.url, settings)
        return
    if settings.checker is not None:
        yield _check_job(permissions, settings.checker)
    yield _publishing(permissions)


def examine_parameters(permissions: Collection[str], parameter: str) -> Finding:
    """Check that the login sees the host parameter that protects a record; "" if none does.

    The permissions of the login decide: without view_params it still sees global parameters.
    """
    if not parameter:
        return ok(
            "no host parameter protects a record (policy.protect_parameter is '')"
        )
    if "view_params" in permissions:
        return ok(f"host parameters are visible; {parameter} protects a record")
    return fail(
        f"nothing is deleted without view_params: this login cannot see whether {parameter} "
        "protects a host",
        "add view_params to its role, or set policy.protect_parameter: '' if no host is to be "
        "protected",
    )


def _reports(permissions: Collection[str]) -> Finding:
    if "view_config_reports" in permissions:
        return ok(
            "this login may read reports, so a failed Ansible run is not a sign of life"
        )
    return warning(
        "this login may not read reports (view_config_reports), so a failed Ansible run counts as "
        "a sign of life",
        "if Ansible still runs against machines that no longer exist, add view_config_reports to "
        "its role",
    )


def _without_remote_execution(url: str, settings: Settings) -> Finding:
    what = f"remote execution is not installed on {url}"
    if settings.checker is not None:
        return fail(
            f"{what}; the check job cannot run", "install it, or set checker: local"
        )
    return ok(f"{what}; no job template can be published")


def _check_job(permissions: Collection[str], job: CheckJob) -> Finding:
    lacking = _lacking(TO_CHECK, permissions)
    if not lacking:
        return ok("this login may start the check job and read its output")
    return fail(
        f"this login may not run the check job; it lacks {', '.join(lacking)}",
        "add these permissions to its role; filters that work: "
        f'name = "{job.template}" on create_template_invocations or view_job_templates, '
        "job_category = OpenStack on create_job_invocations, and name = HOST on view_hosts for a "
        "login that only runs checks; a filter by host on create_template_invocations leads to a "
        "500",
    )


def _publishing(permissions: Collection[str]) -> Finding:
    lacking = _lacking(TO_PUBLISH, permissions)
    if lacking:
        return ok(
            f"'templates publish' needs another login: this one lacks {', '.join(lacking)}"
        )
    return ok("this login may publish the job templates")


def _lacking(needed: Collection[str], permissions: Collection[str]) -> list[str]:
    return [name for name in needed if name not in permissions]
