"""Keystone v3 in memory: version documents, log-ins and the catalog.

Status, body and headers are those of keystone 30.0.0, measured.  One domain, Default; logging in by
password, application credential or token; scope is one project or none.
"""

import secrets
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Optional

from .server import Answer, Request

DOMAIN = {"id": "default", "name": "Default"}
INTERFACES = ("public", "internal")
IMPLIED_ROLES = {
    "admin": "manager",
    "manager": "member",
    "member": "reader",
}  # as its bootstrap makes them
NO_SUCH_PAGE = """<!doctype html>
<html lang=en>
<title>404 Not Found</title>
<h1>Not Found</h1>
<p>The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.</p>
"""  # noqa: E501
MALFORMED = (
    "Expecting to find {} in {}. The server could not comply with the request since it is either malformed "
    "or otherwise incorrect. The client is assumed to be in error."
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
    """A credential of `account` (a name), for that account's project and roles.  `deleted` and
    `expired` may be set at any time; both make the tokens that it gave out invalid too.
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
        """Whether this is admin of any project, which to Nova is admin of the cloud."""
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
        """Whether a service would accept it now."""
        revoked = self.credential is not None and (
            self.credential.deleted or self.credential.expired
        )
        return time.time() < self.expires and not revoked


class Rejection(Exception):
    """A request that Keystone answers with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@cache
def stable_id(kind: str, name: str) -> str:
    """32 hex digits, always the same for the same kind of thing and name."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}:{name}").hex


def project_id(name: str) -> str:
    """The id of the project called `name`."""
    return stable_id("project", name)


def base_url(request: Request) -> str:
    """Where the client reached us, without a slash at the end."""
    return "http://" + request.headers.get("Host", "127.0.0.1")


class Keystone:
    """The identity service at URL/v3; its state is meant to be changed by tests."""

    def __init__(
        self,
        regions: Sequence[str],
        accounts: Sequence[Account],
        application_credentials: Sequence[ApplicationCredential],
    ) -> None:
        self.regions = list(regions)
        self.accounts = list(accounts)
        self.application_credentials = list(application_credentials)
        self.no_endpoint: set[str] = set()  # regions without a compute endpoint in the catalog
        self.compute_urls: dict[
            str, str
        ] = {}  # region -> another compute endpoint than its own; {url} is replaced
        self.more_compute: list[tuple[str, str, str]] = []  # further ones: service, region, URL
        self.token_seconds = 3600.0  # life of a new token
        self.project_names: set[str] = set()  # of projects that nobody logs in to
        self._tokens: dict[str, Token] = {}

    def expire_tokens(self) -> None:
        """Make every token given out so far a 401."""
        self._tokens.clear()

    def caller(self, token: str) -> Optional[Caller]:
        """Who holds `token`; None: nobody, or it is no longer good."""
        known = self._tokens.get(token)
        if known is None or not known.is_good():
            return None
        if not known.scoped:
            return Caller(None, frozenset())
        return Caller(project_id(known.account.project), frozenset(effective_roles(known.account)))

    def identity(self, request: Request) -> Answer:
        """Answer a request to the identity service."""
        url = base_url(request)
        version = version_document(url)
        is_get = request.method in ("GET", "HEAD")
        if request.path in ("", "/") and is_get:
            return answer(300, {"versions": {"values": [version]}}, {"Location": f"{url}/v3/"})
        if request.path in ("/v3", "/v3/") and is_get:
            return answer(200, {"version": version})
        if request.path == "/v3/auth/tokens" and request.method == "POST":
            try:
                return self._log_in(request)
            except Rejection as rejection:
                return error(rejection, url)
        if request.path == "/v3/projects" and is_get:
            return self._projects(request)
        return answer(404, NO_SUCH_PAGE, {"Content-Type": "text/html; charset=utf-8"})

    def _projects(self, request: Request) -> Answer:
        """All projects, to administrators alone."""
        known = self._tokens.get(request.headers.get("X-Auth-Token", ""))
        if known is None or not known.is_good():
            return error(unauthorized(), base_url(request))
        if "admin" not in effective_roles(known.account):
            return error(
                Rejection(
                    403,
                    "You are not authorized to perform the requested action: "
                    "identity:list_projects.",
                ),
                base_url(request),
            )
        names = {*self.project_names, *(account.project for account in self.accounts)}
        return answer(
            200, {"projects": [{"id": project_id(name), "name": name} for name in sorted(names)]}
        )

    def _log_in(self, request: Request) -> Answer:
        body = auth_of(request)
        identity = member(body, "identity", "auth")
        method = (member(identity, "methods", "identity") or [""])[0]
        check = {
            "password": self._by_password,
            "application_credential": self._by_credential,
            "token": self._by_token,
        }.get(method)
        if check is None:
            raise Rejection(400, MALFORMED.format(method, "identity"))
        scope = body.get("scope")
        accounts, credential = check(member(identity, method, "identity"), scope)
        scoped = credential is not None or isinstance(scope, dict)
        account = next((each for each in accounts if scope_fits(scope, each)), None)
        if account is None:
            raise unauthorized()
        now = time.time()
        token = Token(account, scoped, method, now, now + self.token_seconds, credential)
        name = "gAAAAAB" + secrets.token_urlsafe(120)
        self._tokens[name] = token
        catalog = (
            self._catalog(base_url(request))
            if scoped and "nocatalog" not in request.query
            else None
        )
        return answer(201, {"token": token_document(token, catalog)}, {"X-Subject-Token": name})

    def _by_password(
        self, given: Any, _: Any
    ) -> tuple[list[Account], Optional[ApplicationCredential]]:
        user = member(given, "user", "password")
        if "id" not in user and not in_default_domain(user, "user"):
            raise unauthorized()
        accounts = [
            each
            for each in self.accounts
            if each.password == user.get("password")
            and (each.name == user.get("name") or stable_id("user", each.name) == user.get("id"))
        ]
        return accounts, None

    def _by_credential(
        self, given: Any, scope: Any
    ) -> tuple[list[Account], Optional[ApplicationCredential]]:
        known = next(
            (each for each in self.application_credentials if each.id == given.get("id")), None
        )
        if known is None or known.deleted:
            # measured: a credential that is gone is a 404, only a wrong secret or an expired one a
            # 401
            raise Rejection(404, f"Could not find Application Credential: {given.get('id')}.")
        if known.expired or known.secret != given.get("secret"):
            raise unauthorized()
        if scope is not None:
            raise unauthorized(
                "Error authenticating with application credential: "
                "Application credentials cannot request a scope."
            )
        return [each for each in self.accounts if each.name == known.account], known

    def _by_token(
        self, given: Any, _: Any
    ) -> tuple[list[Account], Optional[ApplicationCredential]]:
        known = self._tokens.get(given.get("id", ""))
        if known is None or not known.is_good():
            raise Rejection(404, "Failed to validate token")  # measured: not a 401
        return [known.account], known.credential

    def _catalog(self, url: str) -> list[dict[str, Any]]:
        compute = {
            region: self.compute_urls.get(region, "{url}/compute/" + region + "/v2.1").format(
                url=url
            )
            for region in self.regions
            if region not in self.no_endpoint
        }
        others = [
            ("compute", service, {region: where.format(url=url)})
            for service, region, where in self.more_compute
        ]
        identity = dict.fromkeys(self.regions, f"{url}/v3")
        return [
            {
                "type": kind,
                "name": name,
                "id": stable_id("service", name),
                "endpoints": [
                    {
                        "id": stable_id("endpoint", f"{name} {region} {interface}"),
                        "interface": interface,
                        "region": region,
                        "region_id": region,
                        "url": where,
                    }
                    for region, where in places.items()
                    for interface in INTERFACES
                ],
            }
            for kind, name, places in (
                ("identity", "keystone", identity),
                ("compute", "nova", compute),
                *others,
            )
            if places
        ]


def effective_roles(account: Account) -> list[str]:
    """The account's roles and those that they imply."""
    found = set(account.roles)
    for role in ("admin", "manager", "member"):
        if role in found:
            found.add(IMPLIED_ROLES[role])
    return sorted(found)


def auth_of(request: Request) -> Any:
    """The `auth` object of a log-in; raises Rejection where there is none."""
    try:
        body = request.json()
    except ValueError:
        raise Rejection(400, MALFORMED.format("valid JSON", "request body")) from None
    return member(body, "auth", "request body")


def member(given: Any, name: str, where: str) -> Any:
    """`given[name]`; raises the Rejection that Keystone has for its absence."""
    if not isinstance(given, dict) or name not in given:
        raise Rejection(400, MALFORMED.format(name, where))
    return given[name]


def in_default_domain(given: Any, where: str) -> bool:
    """Whether a user or project is asked for in the one domain that there is."""
    domain = member(given, "domain", where)
    return bool(domain.get("id") == DOMAIN["id"] or domain.get("name") == DOMAIN["name"])


def scope_fits(scope: Any, account: Account) -> bool:
    """Whether the account may have that scope: its own project, or none."""
    if not isinstance(scope, dict):
        return True  # absent, or the string "unscoped"
    project = scope.get("project")
    if not isinstance(project, dict):
        return False  # system or domain: no account has a role there
    if "id" in project:
        return bool(project["id"] == project_id(account.project))
    return in_default_domain(project, "project") and project.get("name") == account.project


def version_document(url: str) -> dict[str, Any]:
    """What GET /v3 describes."""
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{url}/v3/"}],
        "media-types": [
            {"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}
        ],
    }


def token_document(token: Token, catalog: Optional[list[dict[str, Any]]]) -> dict[str, Any]:
    """The body of a log-in's answer; a token without a project has neither roles nor catalog."""
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
        document.update(
            project={"domain": DOMAIN, "id": project_id(account.project), "name": account.project},
            is_domain=False,
            roles=[
                {"id": stable_id("role", role), "name": role} for role in effective_roles(account)
            ],
        )
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
    """Epoch seconds as Keystone prints them, rounded down to whole ones."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(seconds))


def answer(status: int, body: Any, headers: Optional[dict[str, str]] = None) -> Answer:
    """An answer with the headers that all of Keystone's have."""
    return Answer(
        status,
        body,
        {
            "Content-Type": "application/json",
            "Vary": "X-Auth-Token",
            "x-openstack-request-id": f"req-{uuid.uuid4()}",
            **(headers or {}),
        },
    )


def unauthorized(message: str = "The request you have made requires authentication.") -> Rejection:
    """Wrong password, user, project or role, all alike."""
    return Rejection(401, message)


def error(rejection: Rejection, url: str) -> Answer:
    """A Rejection as it goes out."""
    title = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}[
        rejection.status
    ]
    headers = {"WWW-Authenticate": f'Keystone uri="{url}/v3"'} if rejection.status == 401 else {}
    return answer(
        rejection.status,
        {"error": {"code": rejection.status, "message": str(rejection), "title": title}},
        headers,
    )
