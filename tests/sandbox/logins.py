"""Who asks the Satellite double: passwords, tokens and sessions; organizations and locations."""

import base64
import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Optional

from .calls import Call, RefusedError, leading_number
from .records import User
from .server import Request

if TYPE_CHECKING:
    from .satellite import Satellite

VERSION = "3.12.0"
PLAIN_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
NOBODY = User(
    "", "", permissions=frozenset(), organizations=frozenset(), locations=frozenset()
)


def log_in(satellite: "Satellite", request: Request) -> tuple[User, dict[str, str]]:
    """The user, and the cookie of the session that a Basic login starts.

    A valid session needs no password.
    """
    cookie = re.search(r"\b_session_id=([^;]*)", request.headers.get("Cookie") or "")
    login = satellite.sessions.get(cookie[1], "") if cookie else ""
    if login in satellite.users:
        return satellite.users[login], {}
    credentials = request.headers.get("Authorization")
    if cookie and not credentials:  # measured: an expired session is an empty answer
        raise RefusedError(401, "", {**PLAIN_TEXT, **info_headers()})
    user = _check_password(satellite, credentials or "")
    session = secrets.token_hex(16)
    satellite.sessions[session] = user.login
    return user, {
        "Set-Cookie": f"_session_id={session}; path=/; HttpOnly; SameSite=Lax"
    }


def _check_password(satellite: "Satellite", credentials: str) -> User:
    limit = int(str(satellite.settings["failed_login_attempts_limit"]))
    if 0 < limit <= satellite.failed_logins:
        raise _unauthorized("Too many tries, please try again in a few minutes.")
    login, password = _basic(credentials)
    user = satellite.users.get(login)
    if user and (password == user.password or password in user.tokens):
        return user
    satellite.failed_logins += 1
    raise _unauthorized(f"Unable to authenticate user {login}")


def _unauthorized(message: str) -> RefusedError:
    return RefusedError(401, {"error": {"message": message}})


def _basic(credentials: str) -> tuple[str, str]:
    """Login and password of an Authorization header; empty if it is not a Basic one."""
    scheme, _, encoded = credentials.partition(" ")
    if scheme != "Basic":
        return "", ""
    try:
        plain = base64.b64decode(encoded)
    except ValueError:
        return "", ""
    login, _, password = plain.decode(errors="replace").partition(":")
    return login, password


def check_permission(user: User, permission: str) -> None:
    """Raise the 403 that names the permission, unless the user has it; "" is always allowed."""
    if not permission or user.may(permission):
        return
    error = {
        "message": "Access denied",
        "details": f"Missing one of the required permissions: {permission}",
        "missing_permissions": [permission],
    }
    raise RefusedError(403, {"error": error})


def visible_places(
    places: Mapping[int, str], user: User, own: frozenset[int]
) -> dict[int, str]:
    """The organizations or locations that a user sees; `own` are the ids of theirs."""
    return {key: name for key, name in places.items() if user.admin or key in own}


def chosen_place(call: Call, noun: str, places: Mapping[int, str]) -> Optional[int]:
    """The organization or location that a request names, by id or by name.

    Raises the 404 of an unknown one, which has another shape than that of a host.
    """
    wanted = call.first(f"{noun}_id") or str(call.given(f"{noun}_id") or "")
    if not wanted:
        return None
    number = leading_number(wanted) if re.match(r"\d+(-|$)", wanted) else 0
    for key, name in places.items():
        if wanted == name or number == key:
            return key
    raise RefusedError(
        404, {"message": f"{noun.capitalize()} with id {wanted} not found"}
    )


def info_headers(
    organization: str = "; ANY", location: str = "; ANY"
) -> dict[str, str]:
    """The headers of every answer: the version, and in which organization and location it is."""
    return {
        "Foreman_version": VERSION,
        "Foreman_api_version": "2",
        "Foreman_current_organization": organization,
        "Foreman_current_location": location,
    }


def place_label(key: Optional[int], places: Mapping[int, str]) -> str:
    """An organization or location as `info_headers` names it."""
    return f"{key}; {places[key]}" if key else "; ANY"
