"""Why there is no usable answer: the innermost cause in plain words, and what to do about it.

requests wraps urllib3's errors, which wrap those of ssl, socket and http.client, and print classes
and addresses of objects; here the one error is picked out of them that says what happened.
"""

import http.client
import os
import re
import socket
import ssl
from collections.abc import Iterator

import requests.exceptions as failed
import urllib3.exceptions as lower

_OWN_CA = (
    "set satellite.ca_file to the certificate of its CA, on a Satellite "
    "/etc/pki/katello/certs/katello-server-ca.crt"
)
_NAME = "use a name in satellite.url that the certificate holds"
_CLOCK = "have the certificate renewed, or correct the clock of this machine"
# X509_V_ERR_* of OpenSSL: what is wrong with a certificate, and what to do.
_CERTIFICATES = {
    9: ("the certificate is not valid yet", _CLOCK),
    10: ("the certificate has expired", _CLOCK),
    18: ("the certificate is self-signed", _OWN_CA),
    19: ("the certificate comes from an unknown CA", _OWN_CA),
    20: ("the certificate comes from an unknown CA", _OWN_CA),
    21: ("the certificate comes from an unknown CA", _OWN_CA),
    62: ("the certificate is for another host name", _NAME),
    64: ("the certificate is for another address", _NAME),
}
# What OpenSSL makes of an answer that is plain HTTP, by versions.
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
    "UNKNOWN_PROTOCOL",
)
_NO_CERTIFICATE = (
    "NO_CERTIFICATE_OR_CRL_FOUND",
    "NO_START_LINE",
    "PEM_LIB",
    "BAD_BASE64_DECODE",
    "ASN1_LIB",
)
_ENDED = (
    ConnectionResetError,
    BrokenPipeError,
    ConnectionAbortedError,
    http.client.IncompleteRead,
    http.client.RemoteDisconnected,
)


def why(error: BaseException) -> str:
    """What went wrong and what to do, in one line without the words of a library.

    `error` is what requests raised: an OSError, or an error of urllib3 that it forgot to translate.
    """
    causes = list(_causes(error))
    if any(isinstance(cause, (failed.ProxyError, lower.ProxyError)) for cause in causes):
        return (
            f"not reachable through the proxy: {_inner(causes)}; correct https_proxy or http_proxy, or name "
            "Satellite's host in no_proxy"
        )
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            what, advice = _CERTIFICATES.get(
                cause.verify_code, (_words(cause.verify_message), _OWN_CA)
            )
            return f"TLS check failed: {what}; {advice}"
        if type(cause).__name__ == "CertificateError":  # urllib3 1 compares names itself
            code = 64 if re.search(r"hostname '[0-9.:]+'", str(cause)) else 62
            return f"TLS check failed: {'; '.join(_CERTIFICATES[code])}"
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _tls(cause)
    return _plain(causes)


def shorten(text: object, width: int = 300) -> str:
    """A text of others in one line of about that length, with no word cut but one that is longer
    still.
    """
    line = " ".join(str(text).split())
    if len(line) <= width:
        return line
    return f"{line[:width].rpartition(' ')[0] or line[:width]} ..."


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it wraps, in any of the four ways in which these libraries nest them."""
    waiting: list[BaseException] = [error]
    known: set[int] = set()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in known:
            continue
        known.add(id(cause))
        yield cause
        nested = (*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__)
        waiting += [inner for inner in nested if isinstance(inner, BaseException)]


def _tls(error: ssl.SSLError) -> str:
    reason = str(error.reason or "").upper().replace(" ", "_")
    if reason in _NOT_TLS:
        return (
            "TLS failed: the server speaks no TLS at this port; correct the scheme (http://) or the port in "
            "satellite.url"
        )
    if reason in _NO_CERTIFICATE:
        return "TLS check failed: the CA file holds no certificate (PEM); correct satellite.ca_file"
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "TLS failed: the server ended the connection; correct the port in satellite.url, or see its log"
    return (
        f"TLS failed: {_words(reason) or 'no reason given'}; server and client have no protocol or cipher in "
        "common, or the server asks for a client certificate"
    )


def _plain(causes: "list[BaseException]") -> str:
    """What went wrong below or above TLS."""
    if any(isinstance(cause, (failed.ContentDecodingError, lower.DecodeError)) for cause in causes):
        return "returned an answer that cannot be decompressed; is a proxy between?"
    if any("SOCKS" in str(cause) for cause in causes if isinstance(cause, failed.InvalidSchema)):
        return "not reachable: a SOCKS proxy is not supported; unset all_proxy, or name Satellite's host in no_proxy"
    if any(
        isinstance(
            cause,
            (
                failed.InvalidURL,
                failed.InvalidSchema,
                failed.MissingSchema,
                lower.LocationParseError,
                UnicodeError,
            ),
        )
        for cause in causes
    ):
        return "not a usable URL; correct satellite.url"
    return f"not reachable: {_inner(causes)}{_advice(causes)}"


def _advice(causes: "list[BaseException]") -> str:
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "; correct the host name in satellite.url, or DNS"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "; is Satellite running, and is the port in satellite.url right?"
    if any(isinstance(cause, failed.Timeout) for cause in causes):
        return "; is a firewall between, or Satellite overloaded?"
    if any(
        isinstance(cause, OSError) and "CA certificate bundle" in str(cause) for cause in causes
    ):
        return "; correct satellite.ca_file, or REQUESTS_CA_BUNDLE"
    return ""


def _inner(causes: "list[BaseException]") -> str:
    """The cause that says most, in words."""
    for kind, words in (
        (socket.gaierror, "the host name cannot be resolved"),
        (ConnectionRefusedError, "connection refused"),
        (failed.ConnectTimeout, "no connection in time"),
        ((failed.ReadTimeout, lower.ReadTimeoutError), "no answer in time"),
        (_ENDED, "the server ended the connection before its answer was complete"),
        (http.client.BadStatusLine, "the answer is not HTTP (is https:// needed?)"),
    ):
        if any(isinstance(cause, kind) for cause in causes):
            return words
    for cause in reversed(causes):
        if isinstance(cause, ssl.SSLError):
            return _tls(cause).partition("; ")[0]
        if isinstance(cause, OSError) and cause.errno:
            return _words(os.strerror(cause.errno)) + (
                f": {cause.filename}" if cause.filename else ""
            )
        if "Tunnel connection failed: " in str(cause):
            return _words(str(cause).rpartition("Tunnel connection failed: ")[2].rstrip("')"))
        if "CA certificate bundle" in str(cause):
            return "there is no CA file " + str(cause).rpartition("invalid path: ")[2]
    return "the connection failed or its answer is not HTTP"


def _words(text: str) -> str:
    """A reason as the operating system or OpenSSL gives it, as part of a sentence."""
    plain = shorten(text.replace("_", " "))
    return plain.lower() if plain.isupper() else plain[:1].lower() + plain[1:]
