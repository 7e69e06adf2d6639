"""How the Satellite double reads a request and answers it: what all parts of its API share."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

from .records import HOST_PERMISSIONS, User
from .search import Fields, Row, compile_search, order_by
from .search_parser import DatabaseError, parse
from .server import Answer, Request, UnknownRequestError

_PERMISSIONS_BY_RESOURCE = {
    "Host": HOST_PERMISSIONS,
    "FactValue": ("view_facts", "upload_facts"),
    "Setting": ("view_settings", "edit_settings"),
    "Organization": (
        "view_organizations",
        "edit_organizations",
        "assign_organizations",
    ),
    "Location": ("view_locations", "edit_locations", "assign_locations"),
    "JobTemplate": (
        "view_job_templates",
        "create_job_templates",
        "edit_job_templates",
        "destroy_job_templates",
    ),
    "JobInvocation": (
        "view_job_invocations",
        "create_job_invocations",
        "cancel_job_invocations",
        "execute_jobs_on_infrastructure_hosts",
    ),
    "TemplateInvocation": ("create_template_invocations",),
    "SmartProxy": ("view_smart_proxies",),
    "Parameter": ("view_params",),
    "ConfigReport": ("view_config_reports",),
    "User": ("view_users",),
    "Usergroup": ("view_usergroups",),
}
PERMISSIONS: dict[str, str] = {}
"""The permissions that anything here asks for, and the resource type of each."""
for _resource, _names in _PERMISSIONS_BY_RESOURCE.items():
    PERMISSIONS.update(dict.fromkeys(_names, _resource))

LIST_PARAMETERS = frozenset(("search", "order", "page", "per_page"))
"""What the address of every list can have."""


class RefusedError(Exception):
    """Ends a request with an answer that is not a success."""

    def __init__(
        self, status: int, body: Any, headers: Optional[Mapping[str, str]] = None
    ) -> None:
        self.answer = Answer(status, body, headers or {})


@dataclass
class Call:
    """A request on its way: who asks, for what, and in which organization and location."""

    request: Request
    args: Mapping[str, str]
    body: Any
    user: User
    organization: Optional[int] = None
    location: Optional[int] = None

    def first(self, name: str) -> str:
        """The first value of a parameter in the address, or ""."""
        return self.request.first(name)

    def given(self, name: str) -> Any:
        """A parameter at the top of the body; None if it is not there."""
        return self.body.get(name) if isinstance(self.body, dict) else None


class Page(NamedTuple):
    """Which rows of a list are asked for; `per_page` is the number in the envelope."""

    number: int
    per_page: int
    start: int
    limit: int

    def cut(self, rows: Sequence[Any]) -> Sequence[Any]:
        """The rows that the page shows."""
        return rows[self.start : self.start + self.limit]


def check_names(given: Iterable[str], known: Collection[str], what: str) -> None:
    """Raise UnknownRequestError for a name that is not simulated.

    A real server silently ignores a misspelt parameter; here it must fail the test.
    """
    for name in given:
        if name not in known:
            raise UnknownRequestError(f"{what} {name}")


def select(call: Call, rows: Iterable[Row], fields: Fields, order: str) -> list[Row]:
    """The rows that the request's `search` finds, sorted as its `order` says (default: `order`)."""
    test = compile_search(parse(call.first("search")), fields)
    matching = [row for row in rows if test is None or test(row)]
    order_by(call.first("order") or order, fields).sort(matching)
    return matching


def listed(
    call: Call,
    page: Page,
    total: int,
    subtotal: int,
    results: Any,
    search: Optional[str] = None,
) -> Answer:
    """The envelope of every list.

    `search` replaces the search of the request, which is echoed otherwise.
    """
    order = call.first("order").split()
    if search is None:
        search = call.request.query.get("search", [None])[0]
    sort: dict[str, Optional[str]] = {"by": None, "order": None}
    if order:
        sort = {"by": order[0], "order": [*order, "ASC"][1]}
    return Answer(
        200,
        {
            "total": total,
            "subtotal": subtotal,
            "page": page.number,
            "per_page": page.per_page,
            "search": search,
            "sort": sort,
            "results": results,
        },
    )


def leading_number(text: str) -> int:
    """The whole number at the start of a text, else 0: Ruby reads "310-foo" and "abc" that way."""
    match = re.match(r"\s*[+-]?\d+", text)
    return int(match[0]) if match else 0


def truth(value: Any) -> bool:
    """Whether Foreman reads a parameter as true."""
    return str(value).strip().lower() in ("true", "t", "yes", "y", "on", "1")


def not_found(message: str) -> RefusedError:
    """404, as most of the API words it."""
    return RefusedError(404, {"error": {"message": message}})


def server_error(
    message: str = "Internal Server Error: the server was unable to finish the request.",
) -> DatabaseError:
    """500, with the exception's own message if there is one."""
    return DatabaseError(message)


def unprocessable(
    key: Optional[int], errors: Iterable[tuple[str, str]]
) -> RefusedError:
    """422 for a record that cannot be saved; `errors`: attribute (or "base") and message."""
    by_name: dict[str, list[str]] = {}
    full_messages = []
    for name, message in errors:
        by_name.setdefault(name, []).append(message)
        words = re.sub("[_.]", " ", name).capitalize()
        full_messages.append(message if name == "base" else f"{words} {message}")
    error = {"id": key, "errors": by_name, "full_messages": full_messages}
    return RefusedError(422, {"error": error})
