"""How the Satellite in memory takes a request and answers it: what all parts of its API share."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

from .records import User
from .search import DatabaseError
from .server import Answer, Request

PERMISSIONS = {  # of what kind of record each is; those that anything here asks for
    **dict.fromkeys(
        (
            "view_hosts",
            "create_hosts",
            "edit_hosts",
            "destroy_hosts",
            "build_hosts",
            "power_hosts",
            "console_hosts",
            "cockpit_hosts",
            "ipmi_boot_hosts",
            "forget_status_hosts",
        ),
        "Host",
    ),
    **dict.fromkeys(("view_facts", "upload_facts"), "FactValue"),
    **dict.fromkeys(("view_settings", "edit_settings"), "Setting"),
    **dict.fromkeys(
        ("view_organizations", "edit_organizations", "assign_organizations"), "Organization"
    ),
    **dict.fromkeys(("view_locations", "edit_locations", "assign_locations"), "Location"),
    **dict.fromkeys(
        (
            "view_job_templates",
            "create_job_templates",
            "edit_job_templates",
            "destroy_job_templates",
        ),
        "JobTemplate",
    ),
    **dict.fromkeys(
        (
            "view_job_invocations",
            "create_job_invocations",
            "cancel_job_invocations",
            "execute_jobs_on_infrastructure_hosts",
        ),
        "JobInvocation",
    ),
    "create_template_invocations": "TemplateInvocation",
    "view_smart_proxies": "SmartProxy",
    "view_params": "Parameter",
    "view_config_reports": "ConfigReport",
    "view_users": "User",
    "view_usergroups": "Usergroup",
}


class RefusedError(Exception):
    """Ends a request with an answer that is no success."""

    def __init__(self, status: int, body: Any, headers: Optional[Mapping[str, str]] = None) -> None:
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
        """The first value of a parameter in the address, else ""."""
        return self.request.first(name)

    def given(self, name: str) -> Any:
        """A parameter at the top of the body, None where there is none."""
        return self.body.get(name) if isinstance(self.body, dict) else None


class Page(NamedTuple):
    """Which rows of a list are asked for."""

    number: int
    per_page: int  # as the envelope says it
    start: int
    limit: int

    def cut(self, rows: Sequence[Any]) -> Sequence[Any]:
        """Those of the rows that the page shows."""
        return rows[self.start : self.start + self.limit]


def listed(
    call: Call, page: Page, total: int, subtotal: int, results: Any, search: Optional[str] = None
) -> Answer:
    """The envelope of every list.  The name of `results` is the caller's choice (`root_name`)."""
    order = call.first("order").split()
    return Answer(
        200,
        {
            "total": total,
            "subtotal": subtotal,
            "page": page.number,
            "per_page": page.per_page,
            "search": call.request.query.get("search", [None])[0] if search is None else search,
            "sort": {
                "by": order[0] if order else None,
                "order": [*order, "ASC"][1] if order else None,
            },
            call.first("root_name") or "results": results,
        },
    )


def leading_number(text: str) -> int:
    """The whole number that a text begins with, else 0: so Ruby reads "310-foo", and "abc"."""
    match = re.match(r"\s*[+-]?\d+", text)
    return int(match[0]) if match else 0


def truth(value: Any) -> bool:
    """Whether Foreman takes a parameter for true."""
    return str(value).strip().lower() in ("true", "t", "yes", "y", "on", "1")


def not_found(message: str) -> RefusedError:
    """404, as most of the API words it."""
    return RefusedError(404, {"error": {"message": message}})


def server_error(
    message: str = "Internal Server Error: the server was unable to finish the request.",
) -> DatabaseError:
    """500, with the exception's own message where it has one."""
    return DatabaseError(message)


def unprocessable(key: Optional[int], errors: Iterable[tuple[str, str]]) -> RefusedError:
    """422 for a record that may not be saved; `errors`: attribute (or "base") and message."""
    by_name: dict[str, list[str]] = {}
    full = []
    for name, message in errors:
        by_name.setdefault(name, []).append(message)
        full.append(
            message if name == "base" else f"{re.sub('[_.]', ' ', name).capitalize()} {message}"
        )
    return RefusedError(422, {"error": {"id": key, "errors": by_name, "full_messages": full}})
