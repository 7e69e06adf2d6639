"""Is everything in place?  Each finding says what was looked at, how it is, and what to do."""

import time
import uuid as uuidlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .checkers import JobChecker
from .inventory import glance
from .journal import Journal, JournalBusy, JournalError
from .osp_checker import OSPError, Region
from .osp_errors import shown
from .remote_execution import RemoteExecution
from .satellite import Satellite, SatelliteError
from .settings import CheckJob, Settings
from .survey import LocalChecker

# The smallest roles (measured): to start a job on a host and read its output, and to import its template.
TO_CHECK = ("create_job_invocations", "view_job_templates", "view_hosts", "create_template_invocations",
            "view_smart_proxies")
TO_PUBLISH = ("create_job_templates", "edit_job_templates", "view_job_templates", "assign_organizations",
              "assign_locations", "view_organizations", "view_locations")


class Finding(NamedTuple):
    """`state` is ok, warning or fail."""

    state: str
    what: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Every finding, as it is made: the journal, Satellite, then each cloud and region."""
    yield _journal(settings)
    if settings.login is None:
        yield Finding("fail", "no Satellite is configured", "set satellite.url, or set up hammer")
    else:
        if not _tls_checked(settings):
            yield Finding("warning", "TLS of Satellite is not checked",
                          "use an https:// URL with ca_file, and remove verify_tls: false")
        try:
            yield from _satellite(Satellite(settings.login, settings.manners), settings)
        except SatelliteError as error:
            yield Finding("fail", str(error), "nothing more can be said of Satellite")
    if settings.checker is None:
        yield from _clouds(LocalChecker(settings.clouds))
    elif settings.login is not None:
        yield from _check_job(settings.checker, JobChecker(
            RemoteExecution(Satellite(settings.login, settings.manners)), settings.checker, settings.clouds))


def _tls_checked(settings: Settings) -> bool:
    return bool(settings.login and settings.login.verify and settings.login.url.startswith("https://"))


def _journal(settings: Settings) -> Finding:
    try:
        with Journal.open(settings.journal) as journal:
            journal.check_writable()
    except JournalBusy as busy:
        return Finding("ok", f"journal {settings.journal} is in use", str(busy))
    except JournalError as error:
        return Finding("fail", str(error), "without a journal nothing is deleted")
    return Finding("ok", f"journal {settings.journal} can be written")


def _satellite(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    about = satellite.about()
    kind = f"Katello {about.katello}" if about.katello else "no Katello: the last report is the sign of life"
    fine = "log-in, TLS and clock" if _tls_checked(settings) else "log-in and clock"
    yield Finding("ok", f"{satellite.url} is Foreman {about.version}, {kind}; {fine} are fine")
    organizations = satellite.organizations()
    if organizations:
        yield Finding("ok", f"organizations visible: {', '.join(organizations)}")
    else:
        yield Finding("warning", "no organization is visible",
                      "give the role view_organizations, and the user the organizations of its hosts")
    host_id, total = satellite.newest_host()
    yield Finding("ok", f"{total} hosts visible")
    yield _permission(satellite, host_id)
    yield _facts(satellite, settings)
    yield _parameters(satellite, host_id, settings)
    yield from _remote_execution(satellite.own_permissions(), settings)
    destroys = satellite.destroys_vms()
    if destroys is None:
        yield Finding("warning", "the setting destroy_vm_on_host_delete cannot be read",
                      "give the role view_settings; until then records with a compute resource are kept")
    else:
        yield Finding("ok", f"destroy_vm_on_host_delete is {str(destroys).lower()}; "
                            "compute resources are detached first")


def _permission(satellite: Satellite, host_id: int) -> Finding:
    may = satellite.permissions(host_id)
    if not may.get("destroy_hosts"):
        return Finding("fail", "this login may not delete hosts", "give the role destroy_hosts")
    if not may.get("edit_hosts"):
        return Finding("warning", "this login may not detach compute resources (edit_hosts)",
                       "records with a compute resource are kept; give edit_hosts if there are any")
    return Finding("ok", "this login may delete hosts and detach compute resources")


def _facts(satellite: Satellite, settings: Settings) -> Finding:
    if any(host.uuids for host in glance(satellite)):      # ends at the first window with one
        return Finding("ok", "facts that identify hosts are visible")
    return Finding("fail", "no fact that identifies a host is visible", "give the role view_facts for all hosts")


def _parameters(satellite: Satellite, host_id: int, settings: Settings) -> Finding:
    record = satellite.record(host_id)
    if record and record.parameters:
        return Finding("ok", "host parameters are visible")
    return Finding("warning", "no host parameter is visible, perhaps for want of view_params",
                   f"{settings.policy.protect_parameter} is found by search all the same, if its value is true")


def _remote_execution(permissions: frozenset[str], settings: Settings) -> Iterator[Finding]:
    """What the role lacks for the check job, where one is configured, and for 'templates publish'."""
    lacking = [name for name in TO_CHECK if name not in permissions]
    if settings.checker is not None and lacking:
        yield Finding("fail", f"this login may not run the check job: {', '.join(lacking)}",
                      "give the role these permissions; filters on one host and one template are enough")
    elif settings.checker is not None:
        yield Finding("ok", "this login may start the check job and read its output")
    lacking = [name for name in TO_PUBLISH if name not in permissions]
    yield Finding("ok", f"'templates publish' needs another login: this one lacks {', '.join(lacking)}" if lacking
                  else "this login may publish the job templates")


def _check_job(job: CheckJob, checker: JobChecker) -> Iterator[Finding]:
    """Run the check job once, about an instance that cannot exist: the lists and the proofs are real all the same."""
    began = time.monotonic()
    survey = checker.survey([str(uuidlib.uuid4())])
    if not any(seen.error for seen in survey.regions):
        yield Finding("ok", f"the check job {job.template!r} took {time.monotonic() - began:.1f} s")
    for seen in survey.regions:
        if seen.error:
            yield Finding("fail", str(seen.error), "while this region cannot answer, nothing is deleted")
        else:
            yield Finding("ok", f"{seen.cloud}/{seen.region}: {seen.servers} servers; {seen.proof}")
        yield from _unlisted(f"{seen.cloud}/{seen.region}", seen.unlisted)


def _unlisted(place: str, regions: Sequence[str]) -> Iterator[Finding]:
    """The compute regions that the catalog shows besides: what lives there is unknown to us."""
    if regions:
        yield Finding("warning", f"{place}: the catalog also has compute in {', '.join(regions)}, "
                                 "which nobody asks",
                      "nothing goes without proof until regions or ignore_regions in the "
                      "configuration names it")


def _clouds(checker: LocalChecker) -> Iterator[Finding]:
    checker.open()
    for (cloud, region), error in checker.errors.items():
        yield Finding("fail", str(error), f"while {cloud}/{region} cannot answer, nothing is deleted")
    unverified = set()
    for place, opened in checker.regions.items():
        assert opened.log_in and opened.endpoint
        yield Finding("ok", f"{opened.name}: logged in at {opened.log_in.keystone} by "
                            f"{opened.log_in.source}, asks {shown(opened.endpoint.url)}")
        if not opened.log_in.verified and opened.cloud not in unverified:
            unverified.add(opened.cloud)
            yield Finding("warning", f"cloud {opened.cloud}: TLS is not checked (verify: false or "
                                     f"insecure: true in {opened.log_in.source})",
                          "who sits between can have host records deleted; remove it, and name "
                          "the CA's certificate with cacert")
        yield from _unlisted(opened.name, checker.unlisted[place])
        try:
            yield _visibility(opened)
        except OSPError as error:
            yield Finding("fail", str(error), "while this region cannot answer, nothing is deleted")


def _visibility(region: Region) -> Finding:
    visibility = region.prove_visibility()
    if visibility.by_get:
        return Finding("ok", f"{region.name}: {visibility.proof}")
    if region.empty_is_absent:
        return Finding("ok", f"{region.name}: {visibility.proof} (least-privilege role)")
    return Finding("warning", f"{region.name}: {visibility.proof} (least-privilege role)",
                   "only instances whose deleted row is still there can be proven terminated; set "
                   "lists_fail_on_down_cell if the cloud has list_records_by_skipping_down_cells = false, and nobody "
                   "may resize across cells (the default)")
