"""Check OpenStack: from this machine, or through the check job."""

import time
import uuid as uuidlib
from collections.abc import Iterator, Sequence

from foreman_hooks.cleanup.doctor.findings import Finding, fail, ok, warning
from foreman_hooks.osp_checker import LocalChecker, OSPError, Region, RegionAnswer
from foreman_hooks.osp_checker.config import config_files
from foreman_hooks.osp_checker.errors import OSPConfigError, shown
from foreman_hooks.osp_checker.login import LogIn
from foreman_hooks.satellite.check_job import JobChecker
from foreman_hooks.satellite.client import Satellite
from foreman_hooks.satellite.jobs import RemoteExecution
from foreman_hooks.settings import Settings

_NO_ANSWER = "nothing is deleted while this region does not answer"


def examine_openstack(settings: Settings) -> Iterator[Finding]:
    """Check every cloud and region in the same way as a run asks them."""
    if settings.checker is None:
        yield from _files()
        yield from examine_clouds(LocalChecker(settings.clouds))
    elif settings.login is not None:
        remote_execution = RemoteExecution(Satellite(settings.login, settings.manners))
        checker = JobChecker(remote_execution, settings.checker, settings.clouds)
        yield from examine_check_job(checker)


# By the check job


def examine_check_job(checker: JobChecker) -> Iterator[Finding]:
    """Run the check job once, about an instance that cannot exist.

    The numbers of servers and the proofs in its answer are real.
    """
    began = time.monotonic()
    survey = checker.survey([str(uuidlib.uuid4())])
    seconds = time.monotonic() - began
    if not any(region.error for region in survey.regions):
        yield ok(f"the check job {checker.job.template!r} took {seconds:.1f} s")
    for region in survey.regions:
        yield _answer(region)
        yield from _unlisted(str(region.place), region.unlisted)


def _answer(region: RegionAnswer) -> Finding:
    if region.error:
        return fail(str(region.error), _NO_ANSWER)
    return ok(f"{region.place}: {region.servers} servers; {region.proof}")


# From here


def examine_clouds(checker: LocalChecker) -> Iterator[Finding]:
    """Log in to every region and prove that the login sees the servers of other projects."""
    checker.open()
    for place, error in checker.errors.items():
        yield fail(str(error), f"nothing is deleted while {place} does not answer")
    unverified: set[str] = set()
    for place, region in checker.regions.items():
        assert region.log_in and region.endpoint
        address = shown(region.endpoint.url)
        yield ok(
            f"{region.name}: logged in at {region.log_in.keystone} with {region.log_in.source}, "
            f"asks {address}"
        )
        if not region.log_in.verified and region.cloud not in unverified:
            unverified.add(region.cloud)
            yield _without_tls(region.cloud, region.log_in)
        yield from _unlisted(region.name, checker.unlisted[place])
        yield _visibility(region)


def _files() -> Iterator[Finding]:
    """Name clouds.yaml and secure.yaml; if they cannot be read, every cloud says so."""
    try:
        paths = config_files()
    except OSPConfigError:
        return
    yield ok(f"clouds: {', '.join(paths) or 'no clouds.yaml, so OS_* variables'}")


def _without_tls(cloud: str, log_in: LogIn) -> Finding:
    return warning(
        f"cloud {cloud}: TLS is not checked (verify: false or insecure: true in {log_in.source})",
        "an attacker in between can have host records deleted; remove the setting, and name the "
        "CA's certificate with cacert",
    )


def _unlisted(place: str, regions: Sequence[str]) -> Iterator[Finding]:
    """Report compute regions of the catalog that are not asked: instances there are unknown."""
    if regions:
        yield warning(
            f"{place}: the catalog also has compute in {', '.join(regions)}, which is not asked",
            "nothing is deleted without proof until 'regions' or 'ignore_regions' names all of it",
        )


def _visibility(region: Region) -> Finding:
    try:
        visibility = region.prove_visibility()
    except OSPError as error:
        return fail(str(error), _NO_ANSWER)
    what = f"{region.name}: {visibility.proof}"
    if visibility.by_get:
        return ok(what)
    what = f"{what} (least-privilege role)"
    if region.empty_is_absent:
        return ok(what)
    return warning(
        what,
        "only instances whose deleted row is still there can be proven terminated; set "
        "lists_fail_on_down_cell if the cloud has list_records_by_skipping_down_cells = false and "
        "nobody may resize across cells (the default)",
    )
