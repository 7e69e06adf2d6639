"""How we speak to Keystone: with patience, never after a refusal, only if the clocks agree."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from functools import cache
from itertools import product
from typing import Any, Optional, Union
from urllib.parse import urlsplit
from urllib.request import getproxies

from foreman_hooks.osp_checker.echo import without_secrets
from foreman_hooks.osp_checker.errors import (
    OSPConfigError,
    OSPError,
    OSPLoginError,
    causes_of,
    shown,
)
from foreman_hooks.osp_checker.pace import BREATH, TRIES, retry_in, wait

# The times of clocks that differ by more cannot be compared.
CLOCK_SKEW = timedelta(minutes=5)

_PROXIES = ("http", "https", "all")  # of the variables http_proxy, HTTP_PROXY ...
_ONE_MORE_TRY = {503: BREATH, 504: BREATH}  # of a login, by the status of its response


def clock_drift(headers: Mapping[str, str]) -> Optional[timedelta]:
    """How far a server's clock is ahead of ours, by the header Date; None without a valid one."""
    with suppress(TypeError, ValueError, OverflowError):
        there = parsedate_to_datetime(headers.get("Date", ""))
        return there.replace(tzinfo=there.tzinfo or timezone.utc) - datetime.now(
            timezone.utc
        )
    return None


def check_drift(drift: Optional[timedelta], whose: str) -> None:
    """Raise OSPError if a clock differs from ours by more than CLOCK_SKEW; `whose`: for people."""
    if drift is None or abs(drift) <= CLOCK_SKEW:
        return
    minutes = abs(drift).total_seconds() / 60
    direction = "ahead of" if drift > timedelta(0) else "behind"
    raise OSPError(
        f"the clock of {whose} is {minutes:.0f} minutes {direction} ours; synchronise both (chrony)"
    )


def heed_environment(http: Any, verify: Union[bool, str]) -> Union[bool, str]:
    """What to verify TLS with: `verify`, or a CA bundle that the environment names.

    `http`: a requests.Session.  `verify` and the result: as requests takes them.  requests would
    read the environment for each of thousands of requests, which takes an eighth of their time; now
    it does so only if there are proxies.  It would also send the login that ~/.netrc has for the
    server, so `http` gets an auth that adds nothing.  Raises OSPConfigError for a proxy's URL that
    is not valid.
    """
    proxies = getproxies()
    _check_proxies(proxies)
    http.trust_env = bool(proxies)
    http.auth = http.auth or _no_auth
    if verify is not True:
        return verify
    return (
        os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    )


def _check_proxies(proxies: Mapping[str, str]) -> None:
    """Raise OSPConfigError for a URL that requests cannot use: its errors repeat the password."""
    for name in _PROXIES:
        if name in proxies and not _is_proxy(proxies[name]):
            raise OSPConfigError(
                f"{name}_proxy must look like http://proxy.example.com:3128"
            )


def _is_proxy(url: str) -> bool:
    """Whether a URL, or one without its scheme, has a host and a valid port."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _no_auth(request: Any) -> Any:
    return request


@dataclass
class Standing:
    """Whether Keystone refused one credential in this run; `refusal` is its error, None if not.

    `lock` lets one thread at a time log in with the credential.  Otherwise all threads that wait
    would repeat a refused login, and some thirty refusals lock the account.
    """

    refusal: Optional[Exception] = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


class CarefulLogIn:
    """What `session_class` adds to keystoneauth1's session.

    `standing`: may be shared with other sessions.  `sent`: whether any request was sent.  `drift`:
    how far Keystone's clock is ahead of ours; None if it is not known.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.standing = Standing()
        self.sent = False
        self.drift: Optional[timedelta] = None
        self._here = threading.local()

    @contextmanager
    def logging_in(self) -> Iterator[None]:
        """Wrap code that may log in; raises the earlier refusal, or OSPLoginError within a login.

        keystoneauth1 logs in within a login if Keystone requires a token to show its versions; the
        thread would wait for its own lock forever.
        """
        if self._is_inside:
            raise OSPLoginError(
                "Keystone answers 401 to the request for its versions, before any login; correct "
                "auth_url, or whatever is in front of Keystone (a proxy that requires a login?)"
            )
        with self.standing.lock:
            if self.standing.refusal:
                raise self.standing.refusal
            self._here.inside = True
            try:
                yield
            except Exception as error:
                status = getattr(error, "http_status", 0)
                if 400 <= status < 500 and status != 429:
                    self.standing.refusal = error
                raise
            finally:
                self._here.inside = False

    @property
    def _is_inside(self) -> bool:
        return bool(getattr(self._here, "inside", False))

    def get_auth_headers(self, auth: Any = None, **more: Any) -> Any:
        """The header with the token; keystoneauth1 logs in first if it has no valid token."""
        if auth not in (None, self.auth):  # type: ignore[attr-defined]
            return super().get_auth_headers(auth, **more)  # type: ignore[misc]
        with self.logging_in():
            return super().get_auth_headers(auth, **more)  # type: ignore[misc]

    def request(self, url: str, method: str, **more: Any) -> Any:
        """Send one request; within a login, it is repeated while Keystone is briefly busy."""
        self.sent = True
        if not self._is_inside:
            return self._send(url, method, **more)
        for attempt in range(1, TRIES + 1):
            try:
                response = self._send(url, method, **more)
                self.drift = clock_drift(response.headers)
                return response
            except Exception as error:
                response = getattr(error, "response", None)
                if response is None:
                    raise
                seconds = retry_in(response, attempt, _ONE_MORE_TRY)
                if seconds is None:
                    raise
            wait(seconds)
        raise OSPError(f"{shown(url)}: no answer after {TRIES} tries")

    def _send(self, url: str, method: str, **more: Any) -> Any:
        """Send one request; its error has no secret, also not in a traceback that is logged."""
        # An adapter's own semaphore sleeps until a time of day, although it limits nothing: if our
        # clock is set back in mid-run, for as long as that (keystoneauth1 4.3 and 5.18).
        more["rate_semaphore"] = nullcontext()
        try:
            return super().request(url, method, **more)  # type: ignore[misc]
        except Exception as error:
            _hide_secrets(error)
            raise


def _hide_secrets(error: Exception) -> None:
    """Take what was sent out of the texts of an error of keystoneauth1, and of its causes.

    The address of a redirect may repeat it as well, and is in the text of every cause.
    """
    chain = list(causes_of(error))
    requests = [_request_of(link) for link in chain]
    for link, request in product(chain, requests):
        _hide_secrets_of(request, link)


def _hide_secrets_of(request: Any, error: Any) -> None:
    """Take what one request sent out of the texts of one error."""
    parts = []
    for part in error.args:
        if isinstance(part, str):
            part = without_secrets(part, request)
        parts.append(part)
    error.args = tuple(parts)
    message = getattr(error, "message", None)
    if isinstance(message, str):
        error.message = without_secrets(message, request)


def _request_of(error: BaseException) -> Any:
    """The request of an error of keystoneauth1 or of requests; None if it has none."""
    response = getattr(error, "response", None)
    if response is None:
        return getattr(error, "request", None)
    return response.request


@cache
def session_class() -> Any:
    """keystoneauth1's session with CarefulLogIn; a function, because the import is slow."""
    from keystoneauth1.session import Session

    return type("CarefulSession", (CarefulLogIn, Session), {})
