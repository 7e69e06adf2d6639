"""Keystone v3 in memory: version documents, logins and the catalog.

Status, body and headers are those of keystone 30.0.0 (measured). There is one domain, Default; a
login is by password, application credential or token; the scope is one project or none. What
Keystone has but this double does not is an UnknownRequestError.
"""

import re
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Optional

from .server import Answer, Request, UnknownRequestError

DOMAIN = {"id": "default", "name": "Default"}
INTERFACES = ("public", "internal")
# As the bootstrap of Keystone makes them.
IMPLIED_ROLES = {"admin": "manager", "manager": "member", "member": "reader"}
# What else Keystone's API has.
_MISSING = re.compile(
    r"/v3/(auth/.+|application_credentials|credentials|domains|ec2tokens|endpoints|groups|limits"
    r"|policies|projects|regions|roles?|role_assignments|services|system|users)(/.*)?"
)
NO_SUCH_PAGE = """<!doctype html>
<html lang=en>
<title>404 Not Found</title>
<h1>Not Found</h1>
<p>The requested URL was not found on the server. If you entered the URL manually please check \
your spelling and try again.</p>
"""
MALFORMED = (
    "Expecting to find {} in {}. The server could not comply with the request since it is either "
    "malformed or otherwise incorrect. The client is assumed to be in error."
)


@dataclass
class Account:
    """A login: a user, its password, its one project, and the roles it has there."""

    name: str
    password: str
    project: str = "admin"
    roles: tuple[str, ...] = ("admin",)


@dataclass
class ApplicationCredential:
    """A credential of `account` (a name), for that account's project and roles.

    `deleted` and `expired` can be set at any time; both make its tokens invalid too.
    """

    id: str
    secret: str
    account: str
    deleted: bool = False
    expired: bool = False


class Caller(NamedTuple):
    """Who sent a request: the id of the token's project (None: unscoped) and the roles there."""

    project: Optional[str]
    roles: frozenset[str]

    @property
    def is_admin(self) -> bool:
        """Whether this is an admin of any project, and so for Nova an admin of the cloud."""
        return "admin" in self.roles


class Token(NamedTuple):
    """What one token stands for."""

    account: Account
    scoped: bool
    method: str
    issued: float
    expires: float
    credential: Optional[ApplicationCredential] = None

    def is_good(self) -> bool:
        """Whether a service accepts it now."""
        if self.credential and (self.credential.deleted or self.credential.expired):
            return False
        return time.time() < self.expires


class Rejection(Exception):
    """A request that Keystone answers with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@cache
def stable_id(kind: str, name: str) -> str:
    """32 hex digits, always the same for the same kind and name."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}:{name}").hex


def project_id(name: str) -> str:
    """The id of the project called `name`."""
    return stable_id("project", name)


def base_url(request: Request) -> str:
    """The address that the client used, without a slash at the end."""
    return "http://" + request.headers.get("Host", "127.0.0.1")


class Keystone:
    """The identity service at URL/v3; tests change its state.

    `no_endpoint`: regions without a compute endpoint in the catalog.
    `compute_urls`: region -> a compute endpoint other than its own; {url} is replaced.
    `more_compute`: more compute services: name, region and URL.
    `token_seconds`: the life of a new token.
    `project_names`: projects without an account.
    """

    def __init__(
        self,
        regions: Sequence[str],
        accounts: Sequence[Account],
        application_credentials: Sequence[ApplicationCredential],
    ) -> None:
        self.regions = list(regions)
        self.accounts = list(accounts)
        self.application_credentials = list(application_credentials)
        self.no_endpoint: set[str] = set()
        self.compute_urls: dict[str, str] = {}
        self.more_compute: list[tuple[str, str, str]] = []
        self.token_seconds = 3600.0
        self.project_names: set[str] = set()
        self._tokens: dict[str, Token] = {}

    def expire_tokens(self) -> None:
        """Make every token so far a 401."""
        self._tokens.clear()

    def caller(self, token: str) -> Optional[Caller]:
        """Who holds `token`; None if nobody does or it is not valid any more."""
        known = self._tokens.get(token)
        if known is None or not known.is_good():
            return None
        if not known.scoped:
            return Caller(None, frozenset())
        return Caller(
            project_id(known.account.project), frozenset(effective_roles(known.account))
        )

    def identity(self, request: Request) -> Answer:
        """Answer a request to the identity service."""
        url = base_url(request)
        version = version_document(url)
        is_get = request.method in ("GET", "HEAD")
        if request.path in ("", "/") and is_get:
            return answer(
                300, {"versions": {"values": [version]}}, {"Location": f"{url}/v3/"}
            )
        if request.path in ("/v3", "/v3/") and is_get:
            return answer(200, {"version": version})
        if request.path == "/v3/auth/tokens" and request.method == "POST":
            try:
                return self._log_in(request)
            except Rejection as rejection:
                return error(rejection, url)
        if request.path == "/v3/projects" and is_get:
            return self._projects(request)
        if _MISSING.fullmatch(request.path):
            raise UnknownRequestError(f"{request.method} {request.path}")
        return answer(404, NO_SUCH_PAGE, {"Content-Type": "text/html; charset=utf-8"})

    def _projects(self, request: Request) -> Answer:
        """All projects; only for administrators."""
        if request.query:
            raise UnknownRequestError(
                f"parameters of projects: {', '.join(request.query)}"
            )
        url = base_url(request)
        token = self._tokens.get(request.headers.get("X-Auth-Token", ""))
        if token is None or not token.is_good():
            return error(unauthorized(), url)
        if "admin" not in effective_roles(token.account):
            message = "You are not authorized to perform the requested action: "
            return error(Rejection(403, message + "identity:list_projects."), url)
        names = {*self.project_names, *(account.project for account in self.accounts)}
        projects = [{"id": project_id(name), "name": name} for name in sorted(names)]
        return answer(200, {"projects": projects})

    def _log_in(self, request: Request) -> Answer:
        body = auth_of(request)
        identity = member(body, "identity", "auth")
        method = (member(identity, "methods", "identity") or [""])[0]
        checks = {
            "password": self._by_password,
            "application_credential": self._by_credential,
            "token": self._by_token,
        }
        if method not in checks:
            raise Rejection(400, MALFORMED.format(method, "identity"))
        scope = body.get("scope")
        proof = checks[method](member(identity, method, "identity"), scope)
        token = self._new_token(proof, scope, method)
        catalog = None
        if token.scoped and "nocatalog" not in request.query:
            catalog = self._catalog(base_url(request))
        name = "gAAAAAB" + secrets.token_urlsafe(120)
        self._tokens[name] = token
        return answer(
            201, {"token": token_document(token, catalog)}, {"X-Subject-Token": name}
        )

    def _new_token(self, proof: "Proof", scope: Any, method: str) -> Token:
        is_scoped = proof.credential is not None or isinstance(scope, dict)
        for account in proof.accounts:
            if scope_fits(scope, account):
                issued = time.time()
                expires = issued + self.token_seconds
                return Token(
                    account, is_scoped, method, issued, expires, proof.credential
                )
        raise unauthorized()

    def _by_password(self, given: Any, _: Any) -> "Proof":
        user = member(given, "user", "password")
        if "id" not in user and not in_default_domain(user, "user"):
            raise unauthorized()
        accounts = []
        for account in self.accounts:
            has_name = account.name == user.get("name")
            has_id = stable_id("user", account.name) == user.get("id")
            if account.password == user.get("password") and (has_name or has_id):
                accounts.append(account)
        return Proof(accounts)

    def _by_credential(self, given: Any, scope: Any) -> "Proof":
        """Measured: a deleted credential is a 404, only a wrong secret or an expired one a 401."""
        by_id = {each.id: each for each in self.application_credentials}
        credential = by_id.get(given.get("id"))
        if credential is None or credential.deleted:
            raise Rejection(
                404, f"Could not find Application Credential: {given.get('id')}."
            )
        if credential.expired or credential.secret != given.get("secret"):
            raise unauthorized()
        if scope is not None:
            raise unauthorized(
                "Error authenticating with application credential: "
                "Application credentials cannot request a scope."
            )
        accounts = [each for each in self.accounts if each.name == credential.account]
        return Proof(accounts, credential)

    def _by_token(self, given: Any, _: Any) -> "Proof":
        token = self._tokens.get(given.get("id", ""))
        if token is None or not token.is_good():
            raise Rejection(404, "Failed to validate token")  # measured: not a 401
        return Proof([token.account], token.credential)

    def _catalog(self, url: str) -> list[dict[str, Any]]:
        identity = dict.fromkeys(self.regions, f"{url}/v3")
        compute = {}
        for region in self.regions:
            own_url = "{url}/compute/" + region + "/v2.1"
            if region not in self.no_endpoint:
                compute[region] = self.compute_urls.get(region, own_url).format(url=url)
        services = [service("identity", "keystone", identity)]
        if compute:
            services.append(service("compute", "nova", compute))
        for name, region, where in self.more_compute:
            services.append(service("compute", name, {region: where.format(url=url)}))
        return services


class Proof(NamedTuple):
    """The accounts that a login proves to be; the first that the scope fits is meant."""

    accounts: list[Account]
    credential: Optional[ApplicationCredential] = None


def service(kind: str, name: str, urls: Mapping[str, str]) -> dict[str, Any]:
    """A service of the catalog; `urls` by region."""
    endpoints = []
    for region, url in urls.items():
        for interface in INTERFACES:
            endpoint = {
                "id": stable_id("endpoint", f"{name} {region} {interface}"),
                "interface": interface,
                "region": region,
                "region_id": region,
                "url": url,
            }
            endpoints.append(endpoint)
    return {
        "type": kind,
        "name": name,
        "id": stable_id("service", name),
        "endpoints": endpoints,
    }


def effective_roles(account: Account) -> list[str]:
    """The roles of an account and those that they imply."""
    roles = set(account.roles)
    for role, implied in IMPLIED_ROLES.items():
        if role in roles:
            roles.add(implied)
    return sorted(roles)


def auth_of(request: Request) -> Any:
    """The `auth` object of a login; raises Rejection if there is none."""
    try:
        body = request.json()
    except ValueError:
        raise Rejection(400, MALFORMED.format("valid JSON", "request body")) from None
    return member(body, "auth", "request body")


def member(given: Any, name: str, where: str) -> Any:
    """`given[name]`; raises Keystone's Rejection if it is not there."""
    if not isinstance(given, dict) or name not in given:
        raise Rejection(400, MALFORMED.format(name, where))
    return given[name]


def in_default_domain(given: Any, where: str) -> bool:
    """Whether a user or project is looked for in the one domain that exists."""
    domain = member(given, "domain", where)
    return bool(
        domain.get("id") == DOMAIN["id"] or domain.get("name") == DOMAIN["name"]
    )


def scope_fits(scope: Any, account: Account) -> bool:
    """Whether the account can have that scope: its own project, or none."""
    if not isinstance(scope, dict):
        return True  # absent, or the string "unscoped"
    project = scope.get("project")
    if not isinstance(project, dict):
        return False  # system or domain: no account has a role there
    if "id" in project:
        return bool(project["id"] == project_id(account.project))
    return (
        in_default_domain(project, "project") and project.get("name") == account.project
    )


def version_document(url: str) -> dict[str, Any]:
    """What GET /v3 describes."""
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{url}/v3/"}],
        "media-types": [
            {
                "base": "application/json",
                "type": "application/vnd.openstack.identity-v3+json",
            }
        ],
    }


def token_document(
    token: Token, catalog: Optional[list[dict[str, Any]]]
) -> dict[str, Any]:
    """The answer to a login; a token without a project has neither roles nor catalog."""
    account = token.account
    document: dict[str, Any] = {
        "methods": [token.method],
        "audit_ids": [secrets.token_urlsafe(16)],
        "user": {
            "domain": DOMAIN,
            "id": stable_id("user", account.name),
            "name": account.name,
            "password_expires_at": None,
        },
        "issued_at": iso(token.issued),
        "expires_at": iso(token.expires),
    }
    if token.scoped:
        roles = effective_roles(account)
        document["project"] = {
            "domain": DOMAIN,
            "id": project_id(account.project),
            "name": account.project,
        }
        document["is_domain"] = False
        document["roles"] = [
            {"id": stable_id("role", role), "name": role} for role in roles
        ]
    if token.credential is not None:
        document["application_credential"] = {
            "id": token.credential.id,
            "name": token.credential.id,
            "restricted": True,
        }
    if catalog is not None:
        document["catalog"] = catalog
    return document


def iso(seconds: float) -> str:
    """Epoch seconds as Keystone writes them, rounded down to whole ones."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(seconds))


def answer(status: int, body: Any, headers: Optional[dict[str, str]] = None) -> Answer:
    """An answer with the headers that all of Keystone's have."""
    common = {
        "Content-Type": "application/json",
        "Vary": "X-Auth-Token",
        "x-openstack-request-id": f"req-{uuid.uuid4()}",
    }
    return Answer(status, body, {**common, **(headers or {})})


def unauthorized(
    message: str = "The request you have made requires authentication.",
) -> Rejection:
    """The answer to a wrong password, user, project or role: always the same."""
    return Rejection(401, message)


def error(rejection: Rejection, url: str) -> Answer:
    """The answer for a Rejection."""
    titles = {
        400: "Bad Request",
        401: "Unauthorized",
        403: "Forbidden",
        404: "Not Found",
    }
    status = rejection.status
    headers = {"WWW-Authenticate": f'Keystone uri="{url}/v3"'} if status == 401 else {}
    problem = {"code": status, "message": str(rejection), "title": titles[status]}
    return answer(status, {"error": problem}, headers)
