"""Is everything in place?  Each finding says what was looked at, how it is, and what to do."""

import stat
import time
import uuid as uuidlib
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Callable, NamedTuple, Optional

from foreman_hooks.cleanup.journal import Journal, JournalBusy, JournalError
from foreman_hooks.osp_checker.checker import LocalChecker
from foreman_hooks.osp_checker.errors import OSPError, shown
from foreman_hooks.osp_checker.region import Region
from foreman_hooks.rules.identity import OTHER_GLANCE_NAMES, OTHER_NAMES
from foreman_hooks.rules.model import Policy
from foreman_hooks.satellite.access import host_permissions, visible_organizations
from foreman_hooks.satellite.check_job import JobChecker
from foreman_hooks.satellite.client import CLOCK_SKEW, Satellite
from foreman_hooks.satellite.errors import SatelliteError, SatelliteLoginError, SatelliteUnreachable
from foreman_hooks.satellite.hosts import newest_host
from foreman_hooks.satellite.installation import (
    destroys_vms,
    excluded_facts,
    failing_services,
    has_fact,
    has_remote_execution,
)
from foreman_hooks.satellite.jobs import RemoteExecution
from foreman_hooks.settings import CheckJob, Settings

# The smallest roles (measured): to start a job on a host and read its output, and to import its
# template.
TO_CHECK = (
    "create_job_invocations",
    "view_job_templates",
    "view_hosts",
    "create_template_invocations",
    "view_smart_proxies",
    "view_params",
)
TO_PUBLISH = (
    "create_job_templates",
    "edit_job_templates",
    "view_job_templates",
    "assign_organizations",
    "assign_locations",
    "view_organizations",
    "view_locations",
)
# The facts without which no host is an instance: what they say -> their names, each of which should
# be stored.
_OF_RHSM: Mapping[str, Sequence[str]] = {
    "UUID": ("virt::uuid",),
    "maker": ("dmi::system::manufacturer", "dmi::system::product_name"),
    "guest or not": ("virt::is_guest",),
}
_OF_OTHERS: Mapping[str, Sequence[str]] = {
    "UUID": OTHER_GLANCE_NAMES,
    "maker": tuple(
        name for name in OTHER_NAMES if name.endswith(("manufacturer", "vendor", "name"))
    ),
    "guest or not": tuple(name for name in OTHER_NAMES if "virtual" in name),
}
# What the firmware of other platforms' guests says: a name that is part of it, or that holds a
# vendor, is theirs.
_MAKERS = (
    "vmware, inc.",
    "vmware virtual platform",
    "vmware7,1",
    "xen",
    "hvm domu",
    "microsoft corporation",
    "virtual machine",
    "hyper-v",
    "qemu",
    "bochs",
    "seabios",
    "kvm",
    "standard pc (i440fx + piix, 1996)",
    "standard pc (q35 + ich9, 2009)",
    "red hat",
    "rhev hypervisor",
    "ovirt",
    "rhel",
    "innotek gmbh",
    "virtualbox",
    "oracle corporation",
    "google compute engine",
    "amazon ec2",
    "nutanix",
    "ahv",
    "proxmox",
    "parallels software international inc.",
    "phoenix technologies",
)
_VENDORS = (
    "vmware",
    "xen",
    "microsoft",
    "hyper-v",
    "qemu",
    "bochs",
    "seabios",
    "kvm",
    "red hat",
    "rhev",
    "ovirt",
    "virtualbox",
    "oracle",
    "google",
    "amazon",
    "nutanix",
    "proxmox",
    "parallels",
)
_SKIPPED = "fix this first; the other checks of Satellite were skipped"


class Finding(NamedTuple):
    """`state` is ok, warning or fail."""

    state: str
    what: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Every finding, as it is made: the journal, Satellite, the policy, then each cloud and region."""
    yield _journal(settings)
    yield from _secrets((settings.journal, *settings.secret_files))
    if settings.login is None:
        yield Finding("fail", "no Satellite is configured", "set satellite.url, or set up hammer")
    else:
        if not _tls_checked(settings):
            yield Finding(
                "warning",
                "TLS of Satellite is not checked",
                "use an https:// URL with ca_file, and remove verify_tls: false",
            )
        yield from _satellite(Satellite(settings.login, settings.manners), settings)
    yield from _policy(settings.policy)
    if settings.checker is None:
        yield from _clouds(LocalChecker(settings.clouds))
    elif settings.login is not None:
        yield from _check_job(
            settings.checker,
            JobChecker(
                RemoteExecution(Satellite(settings.login, settings.manners)),
                settings.checker,
                settings.clouds,
            ),
        )


def _tls_checked(settings: Settings) -> bool:
    return bool(
        settings.login and settings.login.verify and settings.login.url.startswith("https://")
    )


# Files


def _journal(settings: Settings) -> Finding:
    try:
        with Journal.open(settings.journal) as journal:
            journal.check_writable()
    except JournalBusy as busy:
        return Finding("ok", f"journal {settings.journal} is in use", str(busy))
    except JournalError as error:
        return Finding("fail", str(error), "without a journal nothing is deleted")
    return Finding("ok", f"journal {settings.journal} can be written")


def _secrets(paths: Collection[Path]) -> Iterator[Finding]:
    """A warning for each of these files, which hold secrets or what nobody else's business is, that
    others can read.
    """
    for path in paths:
        if readable_by_others(path):
            yield Finding(
                "warning", f"{path} can be read or written by every user", f"chmod o-rwx {path}"
            )


def readable_by_others(path: Path) -> bool:
    """Whether users other than its owner and its group can read or write a file; not where there is
    none.
    """
    try:
        real = path.resolve()
        return bool(real.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH)) and all(
            folder.stat().st_mode & stat.S_IXOTH for folder in real.parents
        )
    except (OSError, RuntimeError):  # RuntimeError: a loop of links
        return False


# Satellite


def _satellite(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    """Everything that can be said of Satellite: what fails ends no more than what depends on it."""
    satellite.check_clock = False
    try:
        satellite.get("/api/status")
    except SatelliteError as error:
        yield Finding("fail", str(error), _SKIPPED)
        return
    complaints: set[str] = set()  # several checks may fail at the same request
    for check in (
        _versions,
        _clock,
        _services,
        _organizations,
        _hosts,
        _role,
        _facts,
        _compute_resources,
    ):
        if not (yield from _tried(check, satellite, settings, complaints)):
            return


def _tried(
    check: Callable[[Satellite, Settings], Iterator[Finding]],
    satellite: Satellite,
    settings: Settings,
    complaints: set[str],
) -> Generator[Finding, None, bool]:
    """What one check finds; whether there is any use in the next."""
    try:
        yield from check(satellite, settings)
    except (SatelliteLoginError, SatelliteUnreachable) as error:
        yield Finding("fail", str(error), _SKIPPED)
        return False
    except SatelliteError as error:
        if str(error) not in complaints:
            yield Finding("fail", str(error), "what depends on this was not examined")
        complaints.add(str(error))
    return True


def _versions(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    about = satellite.about()
    kind = (
        f"Katello {about.katello}"
        if about.katello
        else "no Katello: the last report is the sign of life"
    )
    fine = "log-in and TLS are fine" if _tls_checked(settings) else "the log-in is fine"
    yield Finding("ok", f"{satellite.url} is Foreman {about.version}, {kind}; {fine}")


def _clock(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    offset = satellite.clock_offset
    if offset is None:
        yield Finding(
            "warning",
            "Satellite's answers say no time, so its clock cannot be compared",
            "a proxy before it may drop the header Date",
        )
    elif abs(offset) > CLOCK_SKEW:
        yield Finding(
            "fail",
            f"Satellite's clock and ours are {abs(offset).total_seconds() / 60:.0f} minutes apart; "
            "nothing can be said of silence and grace",
            "synchronise them, with chronyd",
        )
    else:
        yield Finding(
            "ok", f"Satellite's clock and ours agree ({abs(offset).total_seconds():.0f} s apart)"
        )


def _services(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    if not satellite.katello:
        return
    failing = failing_services(satellite)
    needed = ("candlepin", "candlepin_auth", *(("foreman_tasks",) if settings.checker else ()))
    down = [f"{name} ({failing[name]})" for name in needed if name in failing]
    if any(name.startswith("candlepin") for name in down):
        yield Finding(
            "fail",
            f"Candlepin is not well: {', '.join(down)}; every deletion of a registered host would "
            "fail (500)",
            "see 'satellite-maintain service status' on Satellite",
        )
    elif down:
        yield Finding(
            "fail",
            f"no job can run: {', '.join(down)}",
            "see 'satellite-maintain service status' on Satellite",
        )
    else:
        yield Finding(
            "ok", "Candlepin answers, which every deletion of a registered host asks first"
        )


def _organizations(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    organizations = visible_organizations(satellite)
    if organizations:
        yield Finding("ok", f"organizations visible: {', '.join(organizations)}")
    else:
        yield Finding(
            "warning",
            "no organization is visible",
            "give the role view_organizations, and the user the organizations of its hosts",
        )


def _hosts(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    host_id, total = newest_host(satellite)
    yield Finding("ok", f"{total} hosts visible")
    may = host_permissions(satellite, host_id)
    if not may.get("destroy_hosts"):
        yield Finding("fail", "this login may not delete hosts", "give the role destroy_hosts")
    elif not may.get("edit_hosts"):
        yield Finding(
            "warning",
            "this login may not detach compute resources (edit_hosts)",
            "records with a compute resource are kept; give edit_hosts if there are any",
        )
    else:
        yield Finding("ok", "this login may delete hosts and detach compute resources")


# Permissions


def _role(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    permissions = satellite.own_permissions()
    yield _parameters(permissions, settings.policy.protect_parameter)
    if "view_config_reports" in permissions:
        yield Finding(
            "ok", "this login may read reports, so a failed Ansible run is told from a sign of life"
        )
    else:
        yield Finding(
            "warning",
            "this login may not read reports (view_config_reports); a failed Ansible run cannot "
            "be told from a sign of life",
            "where Ansible goes on trying machines that are gone, give the role view_config_reports",
        )
    if has_remote_execution(satellite):
        yield from _remote_execution(permissions, settings)
    elif settings.checker:
        yield Finding(
            "fail",
            f"remote execution is not installed on {satellite.url}; the check job cannot run",
            "install it, or set checker: local",
        )
    else:
        yield Finding(
            "ok",
            f"remote execution is not installed on {satellite.url}; no job template can be published",
        )


def _parameters(permissions: Collection[str], parameter: str) -> Finding:
    """By the login's own permissions: one without view_params is shown the global parameters all
    the same.
    """
    if not parameter:
        return Finding("ok", "no host parameter protects a record (policy.protect_parameter is '')")
    if "view_params" in permissions:
        return Finding("ok", f"host parameters are visible; {parameter} protects a record")
    return Finding(
        "fail",
        f"nothing is deleted without view_params: this login cannot see whether {parameter} "
        "protects a host",
        "give the role view_params, or set policy.protect_parameter: '' if no host is to be protected",
    )


def _remote_execution(permissions: Collection[str], settings: Settings) -> Iterator[Finding]:
    """What the role lacks for the check job, where one is configured, and for 'templates publish'."""
    lacking = [name for name in TO_CHECK if name not in permissions]
    if settings.checker is not None and lacking:
        yield Finding(
            "fail",
            f"this login may not run the check job: {', '.join(lacking)}",
            "give the role these permissions; filters that work: "
            f'name = "{settings.checker.template}" on create_template_invocations or view_job_templates, '
            "job_category = OpenStack on create_job_invocations, and for a login that only checks "
            "name = HOST on view_hosts; a filter on the host at create_template_invocations is a 500",
        )
    elif settings.checker is not None:
        yield Finding("ok", "this login may start the check job and read its output")
    lacking = [name for name in TO_PUBLISH if name not in permissions]
    yield Finding(
        "ok",
        f"'templates publish' needs another login: this one lacks {', '.join(lacking)}"
        if lacking
        else "this login may publish the job templates",
    )


# Facts


def _facts(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    """Whether what identifies a host is stored at all, and goes on being stored; a request for each
    fact.
    """
    groups = _OF_RHSM if satellite.katello else _OF_OTHERS
    stored = {what: _stored(satellite, names) for what, names in groups.items()}
    patterns = excluded_facts(satellite)
    if not any(map(any, stored.values())):
        hits = _hits(patterns, [name for names in groups.values() for name in names])
        yield Finding(
            "fail",
            "no fact that identifies a host is visible",
            f"{_upload_again(hits)}; or give the role view_facts for all hosts"
            if hits
            else "give the role view_facts for all hosts",
        )
        return
    wrong = [
        finding
        for what, names in groups.items()
        for finding in _missing(what, names, stored[what], patterns)
    ]
    yield from wrong or [
        Finding("ok", f"facts that identify hosts are visible: {', '.join(groups)}")
    ]


def _stored(satellite: Satellite, names: Sequence[str]) -> list[bool]:
    """Of each of these facts of RHSM whether any host has it; of those of other sources, which
    differ, of any.
    """
    if satellite.katello:
        return [has_fact(satellite, [name], rhsm=True) for name in names]
    return [has_fact(satellite, names, rhsm=False)] * len(names)


def _missing(
    what: str, names: Sequence[str], stored: Sequence[bool], patterns: Optional[tuple[str, ...]]
) -> Iterator[Finding]:
    missing = [name for name, there in zip(names, stored) if not there]
    hits = _hits(patterns, missing or names)
    if missing:
        unknown = "see the setting excluded_facts, which this login cannot read (view_settings)"
        advice = (
            _upload_again(hits)
            if hits
            else unknown
            if patterns is None
            else ("the setting excluded_facts does not name it; do the hosts upload their facts?")
        )
        yield Finding(
            "fail" if len(missing) == len(names) else "warning",
            f"no {what} ({', '.join(missing)}) is stored for any host",
            advice,
        )
    elif hits:
        yield Finding("warning", f"no {what} will be stored for new hosts", _upload_again(hits))


def _upload_again(hits: Sequence[str]) -> str:
    return (
        f"take {', '.join(map(repr, hits))} out of the setting excluded_facts, and have the hosts upload their "
        "facts again"
    )


def _hits(patterns: Optional[tuple[str, ...]], names: Sequence[str]) -> list[str]:
    """Those of the setting's patterns that keep one of these facts out."""
    return [pattern for pattern in patterns or () if any(excludes(pattern, name) for name in names)]


def excludes(pattern: str, fact: str) -> bool:
    """Whether Foreman stores no fact of that name for a pattern of its setting excluded_facts.

    A pattern fits from the beginning of the name, or from behind any `::` or `_`, up to its end or
    to a `::`.
    """
    begins = [0] + [
        at + len(mark)
        for mark in ("::", "_")
        for at in range(len(fact))
        if fact.startswith(mark, at)
    ]
    ends = [len(fact)] + [at for at in range(len(fact)) if fact.startswith("::", at)]
    plain = pattern.replace("[", "[[]")
    return any(
        fnmatchcase(fact[begin:end], plain) for begin in begins for end in ends if begin <= end
    )


def _compute_resources(satellite: Satellite, settings: Settings) -> Iterator[Finding]:
    destroys = destroys_vms(satellite)
    if destroys is None:
        yield Finding(
            "warning",
            "the setting destroy_vm_on_host_delete cannot be read",
            "give the role view_settings; until then records with a compute resource are kept",
        )
    else:
        yield Finding(
            "ok",
            f"destroy_vm_on_host_delete is {str(destroys).lower()}; "
            "compute resources are detached first",
        )


# Policy


def _policy(policy: Policy) -> Iterator[Finding]:
    """What the policy allows, in plain words, where it is laxer than it has to be."""
    if policy.all_clouds_listed:
        yield Finding(
            "warning",
            "policy.all_clouds_listed is true: an instance that none of the clouds configured "
            "here knows counts as gone, even if no run ever saw it alive",
            "if one cloud of this Satellite's hosts is not listed, its living machines lose their records; "
            "see with 'plan' which would go",
        )
    else:
        yield Finding(
            "ok",
            "policy.all_clouds_listed is false: without OpenStack's proof only instances go that an "
            "earlier run saw alive in these regions",
        )
    if policy.quiet == timedelta():
        yield Finding(
            "warning",
            "policy.quiet is 0s: a record goes at once after its instance was terminated",
            "a machine rebuilt from the same disk has had no time to check in; the default is 4h30m",
        )
    for name in policy.openstack_names:
        if _names_another_platform(name):
            yield Finding(
                "warning",
                f"policy.openstack_names has {name!r}, which other platforms' guests say as well",
                "their records count as instances that no cloud knows; name what your OpenStack alone says",
            )


def _names_another_platform(name: str) -> bool:
    plain = name.strip().lower()
    return any(plain in maker for maker in _MAKERS) or any(vendor in plain for vendor in _VENDORS)


# OpenStack


def _check_job(job: CheckJob, checker: JobChecker) -> Iterator[Finding]:
    """Run the check job once, about an instance that cannot exist: the lists and the proofs are
    real all the same.
    """
    began = time.monotonic()
    survey = checker.survey([str(uuidlib.uuid4())])
    if not any(seen.error for seen in survey.regions):
        yield Finding("ok", f"the check job {job.template!r} took {time.monotonic() - began:.1f} s")
    for seen in survey.regions:
        if seen.error:
            yield Finding(
                "fail", str(seen.error), "while this region cannot answer, nothing is deleted"
            )
        else:
            yield Finding("ok", f"{seen.cloud}/{seen.region}: {seen.servers} servers; {seen.proof}")
        yield from _unlisted(f"{seen.cloud}/{seen.region}", seen.unlisted)


def _unlisted(place: str, regions: Sequence[str]) -> Iterator[Finding]:
    """The compute regions that the catalog shows besides: what lives there is unknown to us."""
    if regions:
        yield Finding(
            "warning",
            f"{place}: the catalog also has compute in {', '.join(regions)}, which nobody asks",
            "nothing goes without proof until regions or ignore_regions in the "
            "configuration names it",
        )


def _clouds(checker: LocalChecker) -> Iterator[Finding]:
    checker.open()
    for (cloud, region), error in checker.errors.items():
        yield Finding(
            "fail", str(error), f"while {cloud}/{region} cannot answer, nothing is deleted"
        )
    unverified = set()
    for place, opened in checker.regions.items():
        assert opened.log_in and opened.endpoint
        yield Finding(
            "ok",
            f"{opened.name}: logged in at {opened.log_in.keystone} by "
            f"{opened.log_in.source}, asks {shown(opened.endpoint.url)}",
        )
        if not opened.log_in.verified and opened.cloud not in unverified:
            unverified.add(opened.cloud)
            yield Finding(
                "warning",
                f"cloud {opened.cloud}: TLS is not checked (verify: false or "
                f"insecure: true in {opened.log_in.source})",
                "who sits between can have host records deleted; remove it, and name "
                "the CA's certificate with cacert",
            )
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
    return Finding(
        "warning",
        f"{region.name}: {visibility.proof} (least-privilege role)",
        "only instances whose deleted row is still there can be proven terminated; set "
        "lists_fail_on_down_cell if the cloud has list_records_by_skipping_down_cells = false, and nobody "
        "may resize across cells (the default)",
    )
