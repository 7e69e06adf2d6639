"""One login to one Keystone, shared by all its regions, and the Novas in its catalog."""

import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional
from urllib.parse import urlsplit

from foreman_hooks.osp_checker.config import CloudEntry, is_http
from foreman_hooks.osp_checker.errors import OSPConfigError, OSPError, shown, translated
from foreman_hooks.osp_checker.session import Standing, check_drift, heed_environment
from foreman_hooks.osp_checker.values import text_of

TIMEOUT = 60.0  # seconds for one answer, unless clouds.yaml says api_timeout
CONNECTIONS = 32  # to one server: several regions may share one address
_VERSION = re.compile(r"/v\d+(\.\d+)?(/|$)")


class Nova(NamedTuple):
    """One compute endpoint, from the catalog or from an override in clouds.yaml.

    `keystone`: the auth_url.  `service`: the service's name, "" if it has none.  `listed`: whether
    the URL is in the catalog; that of an override may not be.
    """

    keystone: str
    region: str
    service: str
    url: str
    listed: bool = True


@dataclass(frozen=True)
class LogIn:
    """One login that Keystone accepted.

    `keystone`: the auth_url.  `source`: the file with the cloud's entry.  `verified`: whether TLS
    is checked.  `session` and `access`: keystoneauth1's.  `roles`: their names.  `novas`: every
    compute endpoint of the catalog, of every interface.
    """

    keystone: str
    source: str
    verified: bool
    session: Any = field(repr=False)
    access: Any = field(repr=False)
    roles: tuple[str, ...] = ()
    novas: tuple[Nova, ...] = ()

    def nova(self, entry: CloudEntry) -> Nova:
        """The Nova that openstacksdk would ask for this entry; raises OSPConfigError.

        It follows the keys compute_endpoint_override, compute_region_name, compute_service_name,
        compute_service_type and compute_interface.
        """
        where = f"cloud {entry.name}, region {entry.config.region_name}"
        with translated(where):
            override = entry.config.get_endpoint("compute")
            if override:
                return self._overridden(entry, override)
            return self._of_catalog(entry)

    def _overridden(self, entry: CloudEntry, override: str) -> Nova:
        url = override
        for name in (
            "%(project_id)s",
            "%(tenant_id)s",
            "$(project_id)s",
            "$(tenant_id)s",
        ):
            url = url.replace(name, str(self.access.project_id))
        if not is_http(url):
            raise OSPConfigError(
                f"compute_endpoint_override {shown(url)!r} is not an http(s):// URL"
            )
        url = self._with_version(url)
        for nova in self.novas:
            if _bare(nova.url) == _bare(url):
                return nova._replace(url=url)
        region = str(entry.config.get_region_name("compute"))
        service = entry.config.get_service_name("compute")
        services = {nova.service for nova in self.novas if nova.region == region}
        if not service and len(services) == 1:
            service = services.pop()
        return Nova(self.keystone, region, service or "", url, listed=False)

    def _of_catalog(self, entry: CloudEntry) -> Nova:
        config = entry.config
        region = config.get_region_name("compute")
        kind = config.get_service_type("compute")
        interface = config.get_interface("compute") or "public"
        service = config.get_service_name("compute")
        endpoints = self.access.service_catalog.get_endpoint_data_list(
            service_type=kind,
            interface=interface,
            region_name=region,
            service_name=service,
        )
        by_url = {_bare(endpoint.url): endpoint for endpoint in endpoints}
        if not by_url:
            raise OSPConfigError(self._no_endpoint(str(region), interface, service))
        if len(by_url) > 1:
            raise OSPConfigError(_several(str(region), list(by_url.values())))
        [endpoint] = by_url.values()
        url = self._with_version(endpoint.url)
        return Nova(self.keystone, str(region), str(endpoint.service_name or ""), url)

    def _no_endpoint(self, region: str, interface: Any, service: Optional[str]) -> str:
        known = ", ".join(sorted({nova.region for nova in self.novas})) or "none"
        wanted = interface if isinstance(interface, str) else " or ".join(interface)
        if service:
            wanted = f"{wanted}, service {service}"
        return (
            f"the catalog has no compute endpoint there, interface {wanted} (it has compute in: "
            f"{known}); correct the region's name, or take the region out of the configuration"
        )

    def _with_version(self, url: str) -> str:
        """The URL with a version: some catalogs leave it out, then version 2.1 is discovered."""
        if _VERSION.search(urlsplit(url).path):
            return url
        discovered = self._discover(url)
        if not _VERSION.search(urlsplit(discovered).path):
            raise OSPConfigError(
                f"the compute endpoint {shown(url)} has no version, and does not say where its "
                "version 2.1 is; have /v2.1 added in the catalog, or set "
                "compute_endpoint_override in clouds.yaml"
            )
        return discovered

    def _discover(self, url: str) -> str:
        """The URL of version 2.1 at that server; "" or the URL itself if it names none."""
        from keystoneauth1 import exceptions as ka
        from keystoneauth1.discover import EndpointData

        endpoint = EndpointData(catalog_url=url, service_type="compute")
        with suppress(ka.DiscoveryFailure, ka.HttpError):
            versioned = endpoint.get_versioned_data(
                self.session,
                min_version=(2, 1),
                max_version=(2, "latest"),
                discover_versions=False,
            )
            return str(versioned.url)
        return ""

    def left_out(
        self, asked: Collection[Nova], ignored: Collection[str]
    ) -> tuple[str, ...]:
        """The compute regions of the catalog that are neither asked nor ignored by name, sorted.

        If a region has a second Nova that is not asked, that one is named REGION/SERVICE.
        """
        urls: dict[tuple[str, str], set[str]] = {}  # by region and service
        for nova in self.novas:
            urls.setdefault((nova.region, nova.service), set()).add(_bare(nova.url))
        asked_urls = {_bare(nova.url) for nova in asked}
        overridden = [
            nova for nova in asked if nova.keystone == self.keystone and not nova.listed
        ]
        covered = _first_of_each(overridden) & urls.keys()
        covered.update(key for key, those in urls.items() if those & asked_urls)
        covered_regions = {region for region, _ in covered}
        names = set()
        for region, service in urls.keys() - covered:
            label = f"{region}/{service}" if region in covered_regions else region
            if region not in ignored and label not in ignored:
                names.add(label)
        return tuple(sorted(names))


def _first_of_each(novas: Iterable[Nova]) -> set[tuple[str, str]]:
    """(region, service) of these; a URL outside the catalog covers only its first region."""
    first: dict[str, tuple[str, str]] = {}
    for nova in novas:
        first.setdefault(_bare(nova.url), (nova.region, nova.service))
    return set(first.values())


def _several(region: str, endpoints: "list[Any]") -> str:
    services = {str(endpoint.service_name) for endpoint in endpoints}
    texts = [
        f"{endpoint.service_name}: {shown(endpoint.url)}" for endpoint in endpoints
    ]
    key = "compute_service_name"
    if len(services) < len(endpoints):
        key = "compute_endpoint_override"
    return (
        f"{region} has {len(endpoints)} compute endpoints ({', '.join(texts)}); say which with "
        f"{key} in clouds.yaml"
    )


def _bare(url: str) -> str:
    """A URL without its version and what follows it, for comparisons."""
    parts = urlsplit(url)
    path = _VERSION.split(parts.path)[0].rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}".lower()


@dataclass
class LogIns:
    """The logins of one run: one for each Keystone and credential, and none after a refusal."""

    _good: dict[str, LogIn] = field(default_factory=dict, repr=False)
    _failed: dict[str, OSPError] = field(default_factory=dict, repr=False)
    _standing: dict[str, Standing] = field(default_factory=dict, repr=False)

    def get(self, entry: CloudEntry) -> LogIn:
        """The login for that entry; logs in if no earlier entry did.

        Raises OSPError.  A login that failed raises the same error again, without another request.
        """
        where = f"login to cloud {entry.name} at {entry.auth_url} by {entry.source}"
        key = entry.login_key
        if key not in self._good and key not in self._failed:
            standing = self._standing.setdefault(entry.credential_key, Standing())
            try:
                self._good[key] = _log_in(entry, standing)
            except OSPError as error:
                self._failed[key] = error
        failure = self._failed.get(key)
        if failure is not None:
            raise type(failure)(f"{where}: {failure}") from failure
        return self._good[key]


def _log_in(entry: CloudEntry, standing: Standing) -> LogIn:
    """Fetch a token and read its catalog; raises OSPError, whose text does not name the cloud."""
    with translated():
        session = entry.config.get_session()
    session.standing = standing
    session.timeout = session.timeout or TIMEOUT
    session.verify = heed_environment(session.session, session.verify)
    for adapter in session.session.adapters.values():
        adapter.init_poolmanager(CONNECTIONS, CONNECTIONS)
    with translated(session=session):
        with session.logging_in():
            access = session.auth.get_access(session)
        _check_scope(access)
        roles = tuple(map(text_of, access.role_names))
        novas = tuple(_novas(entry, access))
    check_drift(session.drift, "Keystone")
    return LogIn(
        entry.auth_url,
        entry.source,
        entry.verified,
        session,
        access,
        roles,
        novas,
    )


def _check_scope(access: Any) -> None:
    """Raise OSPConfigError for a token without a project, which Nova does not serve."""
    if access.project_scoped:
        return
    if getattr(access, "system_scoped", False):
        raise OSPConfigError(
            "this login is scoped to the system, which Nova does not serve; remove system_scope, "
            "and give a project: project_name and project_domain_name"
        )
    if access.domain_scoped:
        raise OSPConfigError(
            "this login is scoped to a domain, which Nova does not serve; remove domain_id and "
            "domain_name, and give a project: project_name and project_domain_name"
        )
    raise OSPConfigError(
        "this login has no project; set project_name and project_domain_name (or project_id)"
    )


def _novas(entry: CloudEntry, access: Any) -> Iterable[Nova]:
    """Every compute endpoint of the catalog, by the usual types and compute_service_type."""
    from os_service_types import ServiceTypes

    if not access.project_scoped:
        return
    kinds = {
        "compute",
        *ServiceTypes().get_all_types("compute"),
        entry.config.get_service_type("compute"),
    }
    for service in access.service_catalog.normalize_catalog():
        if service["type"] not in kinds:
            continue
        for endpoint in service["endpoints"]:
            if endpoint["url"]:
                yield Nova(
                    entry.auth_url,
                    text_of(endpoint["region_name"]) or "(no region)",
                    text_of(service["name"]),
                    str(endpoint["url"]),
                )
