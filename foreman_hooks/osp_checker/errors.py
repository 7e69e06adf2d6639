"""What can go wrong between us and OpenStack, in words: by what happened, not by class of error.

If nothing was sent, the message names the key of the configuration that has to be corrected.  If
Keystone refuses the login (4xx), it has Keystone's own words.  If a connection or TLS failed, it
has the innermost reason and what to do.

This is part of the checker library, so it also travels inside a job template.
"""

import logging
import os
import socket
import ssl
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional
from urllib.parse import urlsplit

log = logging.getLogger("foreman_hooks.osp_checker")  # of the whole library


class OSPError(Exception):
    """A cloud or region cannot be reached, or its answer is invalid.

    OSPError
      +- OSPConfigError    clouds.yaml, OS_*, CA file, or no compute endpoint for the region
      +- OSPLoginError     Keystone refused the login
      +- OSPForbidden      logged in, but the role cannot see what is needed
    """

    exit_code = 69


class OSPConfigError(OSPError):
    """clouds.yaml, the OS_* variables or the catalog do not lead to a compute endpoint."""

    exit_code = 78


class OSPLoginError(OSPError):
    """Keystone refused the login."""

    exit_code = 129


class OSPForbidden(OSPError):
    """The login works, but its role cannot see what a decision needs."""

    exit_code = 77


LONGEST = 1000  # characters of a message with texts of a server

# By name, for errors that travel as text: in a plan, and in the answer of a checker host.
KINDS = {
    kind.__name__: kind
    for kind in (OSPError, OSPConfigError, OSPLoginError, OSPForbidden)
}


# A part of Keystone's answer -> what to do.  The first one that is in the answer counts.
_ADVICE = (
    (
        "cannot request a scope",
        "an application credential brings its project along: remove project_name, project_id, "
        "project_domain_name, ... from auth (OS_PROJECT_*)",
    ),
    (
        "find domain",
        "a domain is missing: set user_domain_name and project_domain_name",
    ),
    (
        "expired and needs to be changed",
        "change the password in Keystone, then in clouds.yaml",
    ),
    ("password is expired", "change the password in Keystone, then in clouds.yaml"),
    (
        "locked",
        "wait until the lock ends, or have the account unlocked; correct the password before",
    ),
    ("disabled", "have it enabled"),
    (
        "unsupported method",
        "this Keystone does not allow that way to log in: set another auth_type",
    ),
    ("application credential", "it was deleted or never existed: make a new one"),
    (
        "failed to validate token",
        "the token is expired or revoked: use a password or an application credential",
    ),
    ("identity provider", "correct identity_provider and protocol"),
    ("multiple targets", "give only one of project, domain, trust and system"),
)
_OWN_CA = "name the CA's certificate with cacert in clouds.yaml"
_NO_TRUST = {
    18: _OWN_CA,
    19: _OWN_CA,
    20: _OWN_CA,
    21: _OWN_CA,
    9: "compare this host's clock",
    10: "have the server's certificate renewed, or compare this host's clock",
    62: "use the name that the certificate holds",
    64: "use the name that the certificate holds",
}
_NO_TLS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
)
_TIMEOUTS = (
    "ConnectTimeout",
    "ReadTimeout",
    "Timeout",
    "ConnectTimeoutError",
    "ReadTimeoutError",
)
_OF_ENVIRONMENT = ("OS_CACERT", "OS_INSECURE", "SSL_CERT_FILE")


def gist(text: object, width: int = 300) -> str:
    """A foreign text in one line of at most `width` characters, without cutting a word."""
    line = " ".join(str(text).split()).rstrip(" :.,;")
    return textwrap.shorten(line, width, placeholder=" ...")


def shown(url: object) -> str:
    """A URL without the parts that may be secret: user, password, query."""
    unreadable = "(a URL that cannot be read)"
    try:
        parts = urlsplit(str(url))
    except ValueError:
        return unreadable
    server = parts.netloc.rpartition("@")[2]
    text = parts._replace(netloc=server, query="", fragment="").geturl()
    # A login is still there if the scheme is missing, or if the password has a slash.
    return unreadable if "@" in text else text


@contextmanager
def translated(where: str = "", session: Any = None) -> Iterator[None]:
    """Turn what keystoneauth1 raises into an OSPError that begins with `where`.

    Requests to Nova are made with raise_exc=False, so an error with an HTTP status always comes
    from Keystone, also in mid-run.  As long as `session` has sent nothing, any failure is an error
    of the configuration.
    """
    from keystoneauth1 import exceptions as ka

    prefix = f"{where}: " if where else ""
    try:
        yield
    except OSPError as error:  # it may list what a catalog holds
        raise type(error)(f"{prefix}{gist(error, LONGEST)}") from error
    except ka.HttpError as error:
        kind, text = _of_keystone(error)
        raise kind(f"{prefix}{text}") from error
    except ka.ClientException as error:
        kind, text = _of_client(error)
        raise kind(f"{prefix}{text}") from error
    except OSError as error:  # requests raises it if a CA file is missing
        kind = OSPConfigError if "invalid path" in str(error) else OSPError
        raise kind(f"{prefix}{_of_wire(error)}") from error
    # keystoneauth1 does not check keys and the shape of a token: missing ones raise anything.
    except Exception as error:
        log.debug("%s", where, exc_info=True)
        if not getattr(session, "sent", True):
            raise OSPConfigError(
                f"{prefix}the login is not complete; correct auth and auth_type"
            ) from error
        raise OSPError(
            f"{prefix}the answer to the login is not Keystone's; correct auth_url"
        ) from error


def _of_keystone(error: Any) -> "tuple[type[OSPError], str]":
    """The kind and text of the error for an error status of Keystone."""
    status = error.http_status
    words = (
        gist(str(error.message or "").partition(f" (HTTP {status})")[0])
        or "no reason given"
    )
    if status in (429, 503, 504):
        return OSPError, f"Keystone is busy ({status}: {words}); try again later"
    if status >= 500 or status < 400:
        return OSPError, f"Keystone cannot answer ({status}: {words})"
    return (
        OSPLoginError,
        f"Keystone refuses the login ({status}: {words}); {_advice(error, words)}",
    )


def _advice(error: Any, words: str) -> str:
    for word, advice in _ADVICE:
        if word in words.lower():
            return advice
    if error.http_status == 401:
        return "wrong user, password, secret or project, or no role in that project"
    if error.http_status in (404, 405, 410):
        return f"auth_url probably has a wrong path ({shown(getattr(error, 'url', '') or '')})"
    return "correct the login in clouds.yaml"


def _of_client(error: Any) -> "tuple[type[OSPError], str]":
    """The kind and text of the error for any other error of keystoneauth1."""
    from keystoneauth1 import exceptions as ka

    cause = error.__context__
    if isinstance(error, ka.DiscoveryFailure) and isinstance(cause, ka.HttpError):
        return OSPError, (
            f"GET of auth_url gives {cause.http_status} and no version of Keystone; "
            f"correct auth_url ({shown(getattr(cause, 'url', '') or '')})"
        )
    if isinstance(error, ka.DiscoveryFailure) and isinstance(cause, ka.ConnectionError):
        return _of_client(cause)
    if isinstance(error, ka.ConnectionError):
        return OSPError, f"not reachable: {_of_wire(error)}"
    if isinstance(error, (ka.DiscoveryFailure, ka.InvalidResponse)):
        return OSPError, "the answer at auth_url is not Keystone's; correct auth_url"
    if isinstance(error, ka.AuthorizationFailure):
        words = gist(error)
        return (
            OSPConfigError,
            f"{words}; {next((text for word, text in _ADVICE if word in words), 'correct auth')}",
        )
    if isinstance(error, (ka.CatalogException, ka.EndpointNotFound)):
        return (
            OSPConfigError,
            "the catalog has no such compute endpoint; correct the region's name",
        )
    if isinstance(error, ka.MissingAuthPlugin):
        return OSPConfigError, "there is nothing to log in with; set auth and auth_type"
    return OSPError, f"not reachable: {gist(error)}"


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """An error and all errors that it wraps, the outermost first; there are four ways to wrap."""
    queue, known = [error], set()
    while queue:
        link = queue.pop(0)
        if id(link) in known:
            continue
        known.add(id(link))
        yield link
        nested = (
            getattr(link, "reason", None),
            *link.args,
            link.__cause__,
            link.__context__,
        )
        queue.extend(part for part in nested if isinstance(part, BaseException))


def _of_wire(error: BaseException) -> str:
    """Why a connection failed, and what to do."""
    chain = list(causes_of(error))
    url = _url_of(chain)
    at = f" at {url}" if url else ""
    if any(type(link).__name__ == "ProxyError" for link in chain):
        return (
            f"the proxy cannot be used ({_reason(chain)}); correct https_proxy or http_proxy, "
            f"or name the server in no_proxy{at}"
        )
    for link in reversed(chain):
        text = _of_cause(link)
        if text:
            return (
                f"{text}{at}" if "; " not in text else text.replace("; ", f"{at}; ", 1)
            )
    return f"{_reason(chain)}{at}"


def _of_cause(link: BaseException) -> str:
    """What one error of a library means, and what to do; "" if its kind is not known."""
    if isinstance(link, ssl.SSLCertVerificationError):
        words = gist(getattr(link, "verify_message", "") or "certificate verify failed")
        advice = _NO_TRUST.get(getattr(link, "verify_code", 0), _OWN_CA)
        hint = _of_no_use() if advice == _OWN_CA else ""
        return f"certificate verify failed: {words}; {advice}{hint}"
    if type(link).__name__ == "CertificateError":  # urllib3 1.x compares names itself
        return f"certificate verify failed: {gist(link)}; {_NO_TRUST[62]}"
    if isinstance(link, ssl.SSLError):
        return _of_tls(link)
    if isinstance(link, socket.gaierror):
        return "the server's name is not resolved; correct the host name, or DNS"
    if isinstance(link, ConnectionRefusedError):
        return "connection refused; is the service running, and is the port right"
    if (
        isinstance(link, ConnectionResetError)
        or type(link).__name__ == "RemoteDisconnected"
    ):
        return "the server closes the connection (http:// instead of https://?)"
    if (
        isinstance(link, (TimeoutError, socket.timeout))
        or type(link).__name__ in _TIMEOUTS
    ):
        return "no answer in time; is a firewall in between, or the server overloaded"
    if isinstance(link, OSError) and link.strerror:
        return gist(f"{link.strerror} {link.filename or ''}")
    return _of_ca_file(link)


def _of_tls(link: ssl.SSLError) -> str:
    reason = str(getattr(link, "reason", None) or "").replace(" ", "_").upper()
    words = reason.lower().replace("_", " ") or gist(link)
    if reason in _NO_TLS:
        return (
            f"{words}: the server does not speak TLS there (plain http?); correct the URL's scheme "
            "or port"
        )
    if "NO_CERTIFICATE_OR_CRL" in reason or reason.startswith("PEM"):
        return "the CA file holds no certificate; correct cacert in clouds.yaml"
    if "EOF" in reason:
        return "the server ends the TLS handshake; is the port right"
    return (
        f"TLS fails: {words}; the server's protocol or ciphers are not allowed here "
        "(crypto policy)"
    )


def _of_ca_file(link: BaseException) -> str:
    """What an error of requests about a missing file means: an OSError without a number."""
    text = str(link)
    path = text.rpartition("invalid path: ")[2].split(" Failed")[0]
    if "CA certificate bundle" in text:
        return f"there is no CA file {path}; correct cacert in clouds.yaml, or REQUESTS_CA_BUNDLE"
    if "invalid path: " in text:
        return f"there is no file {path}; correct cert and key in clouds.yaml"
    return ""


def _of_no_use() -> str:
    names = [name for name in _OF_ENVIRONMENT if name in os.environ]
    return (
        f" ({', '.join(names)}: no effect on a cloud of clouds.yaml)" if names else ""
    )


def _url_of(chain: "list[BaseException]") -> str:
    """The URL of the request that failed, as requests or keystoneauth1 keeps it; "" if unknown."""
    for link in chain:
        url: Optional[str] = getattr(getattr(link, "request", None), "url", None)
        if url:
            return shown(url)
    for word in str(chain[0]).split():
        if word.startswith(("http://", "https://")):
            return shown(word.rstrip(":,)"))
    return ""


def _reason(chain: "list[BaseException]") -> str:
    """The innermost text that a person can read: without the names of Python objects."""
    for link in reversed(chain):
        text = gist(
            getattr(link, "strerror", None)
            or (link if not link.args or isinstance(link.args[0], str) else "")
        )
        if text and "object at 0x" not in text and "HTTP" not in text.split("(")[0]:
            return text
    return "the connection fails"
