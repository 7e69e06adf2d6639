"""Read Satellite's raw responses: strict JSON, error messages, targets of redirects."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Optional
from urllib.parse import SplitResult, urljoin, urlsplit

from foreman_hooks.osp_checker.echo import without_secrets
from foreman_hooks.satellite.connection import shorten

JsonObject = dict[str, Any]

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# Digits.  Satellite's longest number has 19, and Python is slow with very long ones.
_LONGEST_NUMBER = 40
_CANDLEPIN_ERROR = re.compile(
    r'Consumer: (.{1,60}?) \{ ?"displayMessage" ?: ?"([^"]*)"'
)


class _FlawError(ValueError):
    """The text is valid for the json module, but Satellite would never send it."""


def parse_json(content: bytes) -> Any:
    """The JSON value of a response; raises ValueError or RecursionError.

    This is stricter than the json module: if a name appears twice, the wrong value might count, NaN
    is not even equal to itself, and the journal cannot hold half a character (a lone surrogate).
    """
    value = json.loads(
        content.decode(),
        object_pairs_hook=_object,
        parse_constant=_refuse_constant,
        parse_int=_whole_number,
        parse_float=_finite_number,
    )
    if _SURROGATE.search(content):
        json.dumps(value, ensure_ascii=False).encode()
    return value


def describe_flaw(error: Exception) -> str:
    """Why `parse_json` failed, as ` (text)` for the end of a sentence; "" if not known."""
    if isinstance(error, UnicodeDecodeError):
        return " (not UTF-8)"
    if isinstance(error, UnicodeEncodeError):
        return " (half a character in it)"
    if isinstance(error, RecursionError):
        return " (nested too deeply)"
    if isinstance(error, _FlawError):
        return f" ({error})"
    return ""


def _object(pairs: Sequence[tuple[str, Any]]) -> JsonObject:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise _FlawError("a name appears twice in it")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise _FlawError(f"{name} in it")


def _whole_number(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise _FlawError(f"a number of {len(text)} digits in it")
    return int(text)


def _finite_number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _FlawError("a number without an end in it")
    return number


def error_message(body: Any, request: Any = None) -> str:
    """The message in the body of an error, in one line; "" if there is none.

    `request`: that of requests, whose secrets the server may repeat.
    Four shapes of the body are known (measured).  If Candlepin failed behind Katello, the message
    has what Candlepin said, and what to check.
    """
    message = " ".join(without_secrets(_raw_message(body), request).split())
    if "Candlepin" not in message:
        return shorten(message)
    answer = _CANDLEPIN_ERROR.search(message)
    if answer:
        message = f"Candlepin answered {answer[1]} ({answer[2]})"
    return f"{shorten(message)}; see 'satellite-maintain service status' on Satellite"


def _raw_message(body: Any) -> str:
    if not isinstance(body, dict):
        return ""
    error = body.get("error", body)
    if not isinstance(error, dict):
        return str(error or "")
    details = error.get("details")
    if details:
        return str(details)
    messages = error.get("full_messages")
    if messages and isinstance(messages, list):
        return "; ".join(map(str, messages))
    return str(error.get("message") or "")


def missing_permissions(body: Any) -> tuple[str, ...]:
    """The permissions that the body of a 403 names."""
    error = _member(body, "error")
    names = _member(error, "missing_permissions")
    if not isinstance(names, list):
        return ()
    return tuple(name for name in names if isinstance(name, str))


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def redirect_advice(url: str, path: str, location: Optional[str]) -> str:
    """What to do about a redirect, for the end of a sentence.

    The advice names the URL for satellite.url, without the path of this request.
    """
    address = _address(url + path, location)
    if address:
        base = f"{address.scheme}://{address.netloc}"
        if address.path.endswith(path):
            base += address.path.removesuffix(path)
        if base != url:
            return f" to {base}; set satellite.url to that"
    return "; is there a proxy or a login page in front of Satellite?"


def _address(requested: str, location: Optional[str]) -> Optional[SplitResult]:
    """The HTTP URL to which a redirect leads, without a login; None if it is not one."""
    try:
        target = urlsplit(urljoin(requested, location or ""))
        host, port = target.hostname, target.port
    except ValueError:
        return None
    if not host or target.scheme not in ("http", "https"):
        return None
    return target._replace(netloc=f"{host}:{port}" if port else host)
