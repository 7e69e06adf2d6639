"""What a server repeats of our request: an error may show its headers and body, with the login."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

_HEADERS = ("Authorization", "Proxy-Authorization", "Cookie", "X-Auth-Token")
_SECRET = (".password", ".secret", ".passcode", ".token.id")  # in the body of a login
_SHORTEST = 4  # characters; a shorter one is part of ordinary words


def without_secrets(text: str, request: Any) -> str:
    """The text with *** for every secret that was sent.

    `request`: a PreparedRequest of requests, None if it is not known.
    """
    if request is None:
        return text
    secrets = {secret for secret in _secrets(request) if len(secret) >= _SHORTEST}
    for secret in sorted(secrets, key=len, reverse=True):
        for form in (secret, json.dumps(secret)[1:-1]):
            text = text.replace(form, "***")
    return text


def _secrets(request: Any) -> Iterator[str]:
    for name in _HEADERS:
        value = request.headers.get(name) or ""
        header = value.decode("latin-1") if isinstance(value, bytes) else value
        kind, _, credentials = header.partition(" ")
        if kind == "Basic":
            yield credentials
            yield _password(credentials)
        elif name == "Cookie":
            yield from re.findall(r"=([^;]+)", header)
        else:
            yield header
    try:
        yield from _of_login("", json.loads(request.body or "null"))
    except (ValueError, TypeError):  # not the JSON of a login
        return


def _password(pair: str) -> str:
    """The password in the Base64 of Basic."""
    try:
        return base64.b64decode(pair).decode().partition(":")[2]
    except ValueError:
        return ""


def _of_login(name: str, value: Any) -> Iterator[str]:
    """The secrets in that part of a login's body, at any depth."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _of_login(f"{name}.{key}", entry)
    elif isinstance(value, str) and name.endswith(_SECRET):
        yield value
