"""Why a connection to Satellite failed: the innermost cause in plain words, and what to do.

requests wraps errors of urllib3, which wrap those of ssl, socket and http.client; their texts show
class names and addresses of objects.  This module picks the error that says what happened.
"""

import http.client
import os
import re
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Union

import requests.exceptions
import urllib3.exceptions

from foreman_hooks.osp_checker.errors import causes_of
from foreman_hooks.paths import SATELLITE_CA

Causes = Sequence[BaseException]
Kinds = Union[type[BaseException], tuple[type[BaseException], ...]]

_SET_CA_FILE = (
    f"set satellite.ca_file to the certificate of its CA, on a Satellite {SATELLITE_CA}"
)
_USE_ANOTHER_NAME = "use a name in satellite.url that the certificate contains"
_RENEW = "have the certificate renewed, or correct the clock of this machine"
# X509_V_ERR_* of OpenSSL: what is wrong with a certificate, and what to do.
_WRONG_NAME, _WRONG_ADDRESS = 62, 64
_CERTIFICATE_ERRORS = {
    9: ("the certificate is not valid yet", _RENEW),
    10: ("the certificate has expired", _RENEW),
    18: ("the certificate is self-signed", _SET_CA_FILE),
    19: ("the certificate comes from an unknown CA", _SET_CA_FILE),
    20: ("the certificate comes from an unknown CA", _SET_CA_FILE),
    21: ("the certificate comes from an unknown CA", _SET_CA_FILE),
    _WRONG_NAME: ("the certificate is for another host name", _USE_ANOTHER_NAME),
    _WRONG_ADDRESS: ("the certificate is for another address", _USE_ANOTHER_NAME),
}
# How the versions of OpenSSL report an answer in plain HTTP.
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
    "UNKNOWN_PROTOCOL",
)
_NOT_A_CERTIFICATE = (
    "NO_CERTIFICATE_OR_CRL_FOUND",
    "NO_START_LINE",
    "PEM_LIB",
    "BAD_BASE64_DECODE",
    "ASN1_LIB",
)
_PROXY_ERRORS = (requests.exceptions.ProxyError, urllib3.exceptions.ProxyError)
_READ_TIMEOUTS = (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError)
_DECODING_ERRORS = (
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.DecodeError,
)
_URL_ERRORS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    urllib3.exceptions.LocationParseError,
    UnicodeError,
)
_CUT_OFF = (
    ConnectionResetError,
    BrokenPipeError,
    ConnectionAbortedError,
    http.client.IncompleteRead,
    http.client.RemoteDisconnected,
)
# The first kind of error that is among the causes decides.
_WORDS: tuple[tuple[Kinds, str], ...] = (
    (socket.gaierror, "the host name cannot be resolved"),
    (ConnectionRefusedError, "connection refused"),
    (requests.exceptions.ConnectTimeout, "no connection in time"),
    (_READ_TIMEOUTS, "no answer in time"),
    (_CUT_OFF, "the server ended the connection before its answer was complete"),
    (http.client.BadStatusLine, "the answer is not HTTP (is https:// needed?)"),
)
_ADVICE: tuple[tuple[Kinds, str], ...] = (
    (socket.gaierror, "correct the host name in satellite.url, or DNS"),
    (
        ConnectionRefusedError,
        "is Satellite running, and is the port in satellite.url right?",
    ),
    (
        requests.exceptions.Timeout,
        "does a firewall block it, or is Satellite overloaded?",
    ),
)
_NO_CA_FILE = "CA certificate bundle"  # in the message of an OSError of requests
_TUNNEL = "Tunnel connection failed: "  # before the reason that a proxy gives


def why(error: BaseException) -> str:
    """What went wrong and what to do, in one line, without texts of libraries.

    `error`: what requests raised, an OSError or an error of urllib3.
    """
    causes = list(causes_of(error))
    if _any_is(causes, _PROXY_ERRORS):
        return (
            f"not reachable through the proxy: {_reason(causes)}; correct https_proxy or "
            "http_proxy, or name Satellite's host in no_proxy"
        )
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _explain_certificate(cause)
        # urllib3 1.x compares names itself.
        if type(cause).__name__ == "CertificateError":
            return _explain_name(cause)
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _explain_tls(cause)
    return _explain_other(causes)


def shorten(text: object, width: int = 300) -> str:
    """A foreign text in one line of about `width` characters; only a longer word is cut."""
    line = " ".join(str(text).split())
    if len(line) <= width:
        return line
    head = line[:width]
    whole_words = head.rpartition(" ")[0]
    return f"{whole_words or head} ..."


def _explain_certificate(error: ssl.SSLCertVerificationError) -> str:
    unknown = (_as_words(error.verify_message), _SET_CA_FILE)
    problem, advice = _CERTIFICATE_ERRORS.get(error.verify_code, unknown)
    return f"TLS check failed: {problem}; {advice}"


def _explain_name(error: BaseException) -> str:
    is_address = re.search(r"hostname '[0-9.:]+'", str(error))
    code = _WRONG_ADDRESS if is_address else _WRONG_NAME
    problem, advice = _CERTIFICATE_ERRORS[code]
    return f"TLS check failed: {problem}; {advice}"


def _explain_tls(error: ssl.SSLError) -> str:
    reason = str(error.reason or "").upper().replace(" ", "_")
    if reason in _NOT_TLS:
        return (
            "TLS failed: the server does not speak TLS at this port; correct the scheme (http://) "
            "or the port in satellite.url"
        )
    if reason in _NOT_A_CERTIFICATE:
        return "TLS check failed: the CA file holds no certificate (PEM); correct satellite.ca_file"
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return (
            "TLS failed: the server ended the connection; correct the port in satellite.url, "
            "or see the server's log"
        )
    return (
        f"TLS failed: {_as_words(reason) or 'no reason given'}; server and client have no protocol "
        "or cipher in common, or the server asks for a client certificate"
    )


def _explain_other(causes: Causes) -> str:
    """What went wrong, if it was not TLS."""
    if _any_is(causes, _DECODING_ERRORS):
        return "returned an answer that cannot be decompressed; is there a proxy in between?"
    for cause in causes:
        if isinstance(cause, requests.exceptions.InvalidSchema) and "SOCKS" in str(
            cause
        ):
            return (
                "not reachable: SOCKS proxies are not supported; unset all_proxy, or name "
                "Satellite's host in no_proxy"
            )
    if _any_is(causes, _URL_ERRORS):
        return "not a usable URL; correct satellite.url"
    reason = _reason(causes)
    advice = _advice(causes)
    if advice:
        return f"not reachable: {reason}; {advice}"
    return f"not reachable: {reason}"


def _advice(causes: Causes) -> str:
    for kinds, advice in _ADVICE:
        if _any_is(causes, kinds):
            return advice
    for cause in causes:
        if isinstance(cause, OSError) and _NO_CA_FILE in str(cause):
            return "correct satellite.ca_file, or REQUESTS_CA_BUNDLE"
    return ""


def _reason(causes: Causes) -> str:
    """The most informative cause, in words."""
    for kinds, words in _WORDS:
        if _any_is(causes, kinds):
            return words
    for cause in reversed(causes):
        words = _words_of(cause)
        if words:
            return words
    return "the connection failed or its answer is not HTTP"


def _words_of(cause: Any) -> str:
    """One cause in words; "" if it tells a person nothing."""
    text = str(cause)
    if isinstance(cause, ssl.SSLError):
        return _explain_tls(cause).partition("; ")[0]
    if isinstance(cause, OSError) and cause.errno:
        words = _as_words(os.strerror(cause.errno))
        return f"{words}: {cause.filename}" if cause.filename else words
    if _TUNNEL in text:
        words = text.rpartition(_TUNNEL)[2]
        return _as_words(words.rstrip("')"))
    if _NO_CA_FILE in text:
        path = text.rpartition("invalid path: ")[2]
        return f"there is no CA file {path}"
    return ""


def _any_is(causes: Causes, kinds: Kinds) -> bool:
    return any(isinstance(cause, kinds) for cause in causes)


def _as_words(text: str) -> str:
    """A reason of the operating system or of OpenSSL, as part of a sentence."""
    plain = shorten(text.replace("_", " "))
    if plain.isupper():
        return plain.lower()
    return plain[:1].lower() + plain[1:]
