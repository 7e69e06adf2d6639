"""The client accepts only what Satellite really says: over HTTP, against the double."""

import base64
import contextlib
import ipaddress
import logging
import re
import socket
import socketserver
import ssl
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from functools import partial

import pytest
import requests
import responses
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sandbox.satellite import ORGANIZATION, RHSM, Host, Satellite, User
from sandbox.server import Answer, Fault, Server
from satellites import (
    CONSUMER,
    INSTANCE,
    MINIMUM,
    ODD,
    ODD_LISTS,
    OTHER_UUID,
    REFUSALS,
    UNKNOWN_HOST,
    UNKNOWN_ORGANIZATION,
    UNKNOWN_ROUTE,
    UUID,
    add_guests,
    before,
    change,
    entry,
    guest,
    ids,
    looked,
    user,
)

from foreman_hooks.commands.main import code_of
from foreman_hooks.osp_checker.errors import OSPConfigError
from foreman_hooks.osp_checker.pace import PATIENCE, TRIES
from foreman_hooks.rules.model import Record
from foreman_hooks.satellite.access import (
    host_permissions,
    measure_visibility,
    visible_organizations,
)
from foreman_hooks.satellite.check_ins import recent_checkins
from foreman_hooks.satellite.client import Login, quoted
from foreman_hooks.satellite.client import Satellite as Client
from foreman_hooks.satellite.deletion import (
    confirm_unchanged,
    delete_record,
    disassociate,
)
from foreman_hooks.satellite.errors import (
    SatelliteChanged,
    SatelliteError,
    SatelliteForbidden,
    SatelliteInvalid,
    SatelliteLoginError,
    SatelliteNotFound,
    SatelliteOutcomeUnknown,
    SatelliteUnreachable,
)
from foreman_hooks.satellite.errors import SatelliteRefused as Refused
from foreman_hooks.satellite.facts import facts_now
from foreman_hooks.satellite.hosts import create_host, newest_host
from foreman_hooks.satellite.installation import destroys_vms
from foreman_hooks.satellite.inventory import (
    ListedHost,
    Scope,
    identify_hosts,
    list_hosts,
)
from foreman_hooks.satellite.lookups import find_host, organization_id
from foreman_hooks.satellite.records import (
    FULL_PAGE,
    fetch_record,
    fetch_records,
    fetch_records_named,
    parse_record,
)
from foreman_hooks.satellite.times import parse_time

ELSEWHERE = "https://satellite.example.com"
THEN = "2022-11-03 11:43:54 UTC"
SECOND = 7  # a second organization

# Every question, and every change, that the client knows.
CALLS = {
    "about": lambda client: client.about(),
    "organization_id": lambda client: organization_id(client, "Default Organization"),
    "organizations": lambda client: visible_organizations(client),
    "newest_host": lambda client: newest_host(client),
    "inventory": lambda client: list(list_hosts(client)),
    "closer look": lambda client: list(
        identify_hosts(client, [ListedHost(1, "web1.example.com", ())], ())
    ),
    "host_facts": lambda client: facts_now(client, 1, "web1.example.com"),
    "find_host": lambda client: find_host(client, "web1.example.com"),
    "record": lambda client: fetch_record(client, 1),
    "records": lambda client: fetch_records(client, [1]),
    "destroys_vms": lambda client: destroys_vms(client),
    "permissions": lambda client: host_permissions(client, 1),
    "create_host": lambda client: create_host(client, {"name": "made.example.com"}),
    "own_permissions": lambda client: client.own_permissions(),
    "visibility": lambda client: measure_visibility(client),
    "disassociate": lambda client: disassociate(client, fetch_record(client, 1)),
    "delete": lambda client: delete(client, fetch_record(client, 1)),
}
# These get round an answer that may be a matter of one host.
TOLERANT = {
    "newest_host",
    "inventory",
    "records",
    "closer look",
    "organizations",
    "visibility",
}


def delete(client, record):
    """The last look and the deletion, as a run does them."""
    confirm_unchanged(client, record)
    return delete_record(client, record)


@pytest.fixture
def sent(monkeypatch):
    """What requests hands to its transport: how, and path and query as they go over the wire."""
    seen = []
    send = requests.adapters.HTTPAdapter.send

    def noted(self, request, **how):
        seen.append({**how, "path": request.path_url})
        return send(self, request, **how)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", noted)
    return seen


def error_of(call, client):
    try:
        call(client)
    except SatelliteError as error:
        return error
    return None


def outcomes(connect):
    """The error of each call, from a new client for each; None if the call succeeds."""
    return {name: error_of(call, connect()) for name, call in CALLS.items()}


def lines(server):
    return [request.line for request in server.requests]


# Logging in


@pytest.mark.parametrize(
    "login",
    [("admin", "changeme"), ("cleaner", "secret"), ("cleaner", "a-token")],
    ids=["administrator", "password", "personal access token"],
)
def test_a_password_and_a_personal_access_token_are_sent_as_basic(
    server, connect, login
):
    assert connect(*login).about().version == "3.12.0"
    scheme, _, encoded = server.requests[0].headers["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(encoded).decode()) == ("Basic", ":".join(login))


@pytest.mark.parametrize("login", ["müller", "мария"])
@pytest.mark.parametrize("password", ["pässwört", "pass€word"])
def test_a_login_with_letters_beyond_ascii_is_sent_as_utf_8(
    double, connect, login, password
):
    double.users[login] = User(login, password)
    assert connect(login, password).about().version == "3.12.0"


def test_one_basic_login_serves_all_requests(server, double, client, web1):
    for call in CALLS.values():
        call(client)
    assert len(double.sessions) == 1  # the double begins a session at each Basic login
    (session,) = double.sessions
    assert "Cookie" not in server.requests[0].headers
    assert {request.headers["Cookie"] for request in server.requests[1:]} == {
        f"_session_id={session}"
    }


def test_a_session_that_expired_is_followed_by_a_new_login(
    server, double, client, web1
):
    fetch_record(client, 1)
    double.sessions.clear()
    assert fetch_record(client, 1).name == "web1.example.com"
    assert fetch_record(client, 1).name == "web1.example.com"
    assert len(double.sessions) == 1


def test_a_netrc_file_does_not_replace_the_login(tmp_path, monkeypatch, client):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert client.about().version == "3.12.0"


@pytest.mark.parametrize(
    "body", [None, {"error": {"message": "User account is disabled"}}, "<html>", ""]
)
def test_a_401_is_never_tried_twice_and_nothing_follows_it(server, connect, web1, body):
    """Thirty failures lock out every login from this address."""
    if body is not None:
        server.fail("", 401, body)
    for first in CALLS.values():
        server.requests.clear()
        client = connect("admin", "wrong")
        for call in (first, *CALLS.values()):
            with pytest.raises(
                SatelliteLoginError, match="the login of admin was refused"
            ):
                call(client)
        assert len(server.requests) == 1


def test_a_401_says_what_satellite_says(double, connect):
    double.failed_logins = 30
    with pytest.raises(
        SatelliteLoginError, match="Too many tries, please try again in a few minutes"
    ):
        connect().about()


def test_a_401_to_the_check_after_a_delete_is_no_proof_of_anything(
    server, client, web1
):
    record = fetch_record(client, 1)
    server.fail("^GET /api/hosts/1$", 401, skip=1)
    with pytest.raises(SatelliteOutcomeUnknown):
        delete(client, record)


# What a request carries


def test_every_request_asks_for_json_of_version_2_in_english(server, client, web1):
    for call in CALLS.values():
        call(client)
    assert {
        (request.headers["Accept"], request.headers["Accept-Language"])
        for request in server.requests
    } == {("application/json;version=2", "en")}


def test_every_request_has_a_timeout(sent, server, client, web1):
    for call in CALLS.values():
        call(client)
    assert len(sent) == len(server.requests)
    for how in sent:
        connecting, reading = how["timeout"]
        assert 0 < connecting <= 30
        assert 0 < reading <= 300


@responses.activate
@pytest.mark.parametrize(
    "error", [requests.exceptions.ConnectTimeout, requests.exceptions.ReadTimeout]
)
def test_a_timeout_is_an_error_and_not_tried_again(error):
    for method in (responses.GET, responses.PUT, responses.POST):
        responses.add(method, re.compile(ELSEWHERE), body=error("timed out"))
    raised = outcomes(lambda: Client(Login(ELSEWHERE, "admin", "changeme")))
    assert {str(error).partition(" in time")[0] for error in raised.values()} == {
        f"{ELSEWHERE}: not reachable: no "
        + ("connection" if error is requests.exceptions.ConnectTimeout else "answer")
    }
    assert len(responses.calls) == len(CALLS)


def test_a_slash_at_the_end_of_the_url_makes_no_difference(server, double, web1):
    client = Client(Login(server.url + "/", "admin", "changeme"))
    assert fetch_record(client, 1).id == 1
    assert "GET /api/hosts/1" in lines(server)
    assert client.url == server.url


def test_proxies_of_the_environment_are_honoured(monkeypatch, server, web1):
    monkeypatch.setenv("http_proxy", server.url)
    assert (
        fetch_record(
            Client(Login("http://satellite.example.com", "admin", "changeme")), 1
        ).id
        == 1
    )
    assert {request.headers["Host"] for request in server.requests} == {
        "satellite.example.com"
    }


def test_no_proxy_is_honoured(monkeypatch, connect):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert connect().about().version == "3.12.0"


def test_a_satellite_that_is_not_there_is_an_error_of_one_line():
    with pytest.raises(
        SatelliteError,
        match=r"^http://127.0.0.1:1: not reachable: connection refused; [^\n]*$",
    ):
        Client(Login("http://127.0.0.1:1", "admin", "changeme")).about()


@pytest.mark.parametrize(
    "url", ["http://", "satellite.example.com", "http://[::1", "http://127.0.0.1:99999"]
)
def test_a_malformed_url_is_an_error_too(url):
    with pytest.raises(SatelliteError):
        Client(Login(url, "admin", "changeme")).about()


# How it asks: patience, rests, and how much at once

WEB1 = "^GET /api/hosts/1$"


def busy(server, text, pattern=WEB1, status=503, **how):
    """Respond with a Retry-After header that holds this text."""
    server.faults.append(
        Fault(
            pattern, Answer(status, "<html>busy</html>", {"Retry-After": text}), **how
        )
    )
    return server.faults[-1]


@pytest.mark.parametrize("status", [429, 503])
def test_every_get_is_sent_again_after_a_retry_after(
    server, connect, web1, waited, status
):
    for call in CALLS.values():
        fault = busy(server, "0", "^GET", status, times=1)
        assert error_of(call, connect()) is None
        assert fault.hits > 1 or call is CALLS["create_host"]  # which asks nothing
    assert waited == []


@pytest.mark.parametrize("status", [429, 503])
def test_a_satellite_that_stays_busy_is_an_error_in_the_end(
    server, client, web1, waited, status
):
    fault = busy(server, "3", status=status)
    with pytest.raises(SatelliteError, match=f"GET /api/hosts/1 returned {status}"):
        host_permissions(client, 1)
    assert (fault.hits, waited) == (TRIES, [3.0] * (TRIES - 1))


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("name", "method"),
    [("delete", "DELETE"), ("disassociate", "PUT"), ("create_host", "POST")],
)
def test_a_change_is_never_sent_twice(
    server, connect, web1, waited, name, method, status
):
    """The first may have been carried out: a second one could meet another host."""
    fault = busy(server, "0", f"^{method} ", status)
    assert f" returned {status}" in str(error_of(CALLS[name], connect()))
    assert (fault.hits, waited) == (1, [])


def test_a_retry_after_up_to_our_patience_is_waited_for(server, client, web1, waited):
    busy(server, f"{PATIENCE:.0f}", times=1)
    assert host_permissions(client, 1)
    assert waited == [PATIENCE]


@pytest.mark.parametrize("text", [f"{PATIENCE + 1:.0f}", "86400", "9" * 400])
def test_a_longer_retry_after_is_not_waited_for(server, client, web1, waited, text):
    fault = busy(server, text)
    with pytest.raises(SatelliteError, match="returned 503"):
        host_permissions(client, 1)
    assert (fault.hits, waited) == (1, [])


def http_date(seconds):
    return format_datetime(
        datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True
    )


def test_retry_after_may_be_a_date(server, client, web1, waited):
    busy(server, http_date(PATIENCE / 2), times=1)
    assert host_permissions(client, 1)
    (seconds,) = waited
    assert 0 < seconds <= PATIENCE / 2


def test_a_retry_after_date_in_the_past_means_try_again_at_once(
    server, client, web1, waited
):
    fault = busy(server, http_date(-3600), times=1)
    assert host_permissions(client, 1)
    assert (fault.hits, waited) == (2, [])


def test_a_retry_after_date_beyond_our_patience_is_not_waited_for(
    server, client, web1, waited
):
    fault = busy(server, http_date(PATIENCE + 3600))
    with pytest.raises(SatelliteError, match="returned 503"):
        host_permissions(client, 1)
    assert (fault.hits, waited) == (1, [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "soon",
        "-1",
        "1.5",
        "1e1",
        "inf",
        "nan",
        "\xb2",
        "1 2",
        "1, 2",
        "Sun, 99 Nov 2026 12:00:00 GMT",
        "Sun, 22 Nov 99999 12:00:00 GMT",
    ],
)
def test_a_retry_after_that_cannot_be_read_is_ignored(
    server, client, web1, waited, text
):
    fault = busy(server, text)
    with pytest.raises(SatelliteError, match="returned 503"):
        host_permissions(client, 1)
    assert (fault.hits, waited) == (1, [])


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 500, 502, 504])
def test_retry_after_counts_for_429_and_503_only(server, client, web1, waited, status):
    """A maintenance page may carry the header; a login above all is never tried twice."""
    fault = busy(server, "0", status=status)
    assert error_of(lambda client: host_permissions(client, 1), client)
    assert (fault.hits, waited) == (1, [])


def test_there_is_a_pause_after_each_response(server, connect, web1, waited):
    for call in CALLS.values():
        call(connect(pause=0.25))
    assert waited == [0.25] * len(server.requests)


def test_there_is_a_pause_after_an_error_response_too(server, connect, waited):
    server.fail("", 500)
    outcomes(lambda: connect(pause=0.25))
    assert waited == [0.25] * len(server.requests)


def test_a_retry_after_wait_replaces_the_pause(server, connect, web1, waited):
    busy(server, "3", times=1)
    assert host_permissions(connect(pause=0.25), 1)
    assert waited == [3.0, 0.25]


def test_a_retry_after_of_zero_still_gets_the_pause(server, connect, web1, waited):
    busy(server, "0", times=1)
    assert host_permissions(connect(pause=0.25), 1)
    assert waited == [0.25, 0.25]


def test_there_is_no_pause_unless_configured(connect, web1, waited):
    for call in CALLS.values():
        call(connect())
    assert waited == []


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    ("ask", "pattern"),
    [
        (lambda client: list(list_hosts(client)), "thin=true.*id > "),
        (
            lambda client: list(
                identify_hosts(
                    client, [ListedHost(number, "", ()) for number in range(1, 10)], ()
                )
            ),
            "Rhsm",
        ),
    ],
    ids=["glance", "closer look"],
)
def test_as_many_questions_are_under_way_at_once_as_there_are_workers_and_no_more(
    server, double, connect, ask, pattern, workers
):
    add_guests(double, 9)
    client = connect(page_size=1, workers=workers)
    client.about()
    under_way, most, lock = [0], [0], threading.Lock()
    # Fewer than that would not come to an end.
    full = threading.Barrier(workers, timeout=10)

    def handle(request):
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        if re.search(pattern, request.line):
            full.wait()
        with lock:
            under_way[0] -= 1
        return double.handle(request)

    server.handle = handle
    assert ids(ask(client)) == list(range(1, 10))
    assert most[0] == workers


def test_lists_of_ids_are_sent_with_their_commas_and_colons_as_they_are(
    double, client, sent
):
    """Otherwise 1,000 ids of six digits would not fit into the 8 KB of URL that Apache accepts."""
    for number in range(1000):
        double.add(
            guest(
                f"web{number}.example.com", facts={RHSM: INSTANCE}, id=100_000 + number
            )
        )
    client.organization = ORGANIZATION
    assert all(host.identity.reason is None for host in looked(client))
    paths = [how["path"] for how in sent]
    asked = [path for path in paths if "host_id+%5E" in path]
    # The makers by RHSM, all of RHSM's facts, and those of the others.
    assert len(asked) == 3
    assert all(
        "100000,100001," in path and "100999" in path and len(path) < 8000
        for path in asked
    )
    assert "virt::uuid,dmi::system::uuid," in asked[1]
    assert not any("%2C" in path or "%3A" in path for path in paths)


@pytest.mark.parametrize(
    "text", ["a & b", "100%", "a+b", "a=b", "a#b", "a/b?c", "\xfc", "a;b", "a,b: c"]
)
def test_what_would_end_a_value_is_still_encoded(double, client, text):
    double.organizations[SECOND] = text
    assert organization_id(client, text) == SECOND


# TLS


class Certificate:
    """A self-signed certificate for 127.0.0.1."""

    def __init__(self, folder, name, address="127.0.0.1", days=1):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.now(timezone.utc)
        address = x509.IPAddress(ipaddress.ip_address(address))
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .add_extension(
                x509.BasicConstraints(ca=True, path_length=None), critical=True
            )
            .sign(key, hashes.SHA256())
        )
        self.path = folder / f"{name}.crt"
        self.path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        self.with_key = folder / f"{name}.pem"
        self.with_key.write_bytes(
            self.path.read_bytes()
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    return Certificate(folder, "right"), Certificate(folder, "wrong")


@contextlib.contextmanager
def behind_tls(double, certificate):
    """The address of a server that shows that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.with_key)
    server = Server(double.handle)
    server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
    with server:
        yield server.url.replace("http:", "https:")


@pytest.fixture
def tls(certificates, double):
    """A server that shows the right certificate."""
    with behind_tls(double, certificates[0]) as url:
        yield url


def verified(url, verify):
    return Client(Login(url, "admin", "changeme", verify)).about().version


def test_the_ca_file_wins_over_that_of_the_environment(monkeypatch, certificates, tls):
    right, wrong = certificates
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(wrong.path))
    assert verified(tls, str(right.path)) == "3.12.0"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(right.path))
    with pytest.raises(
        SatelliteError, match="TLS check failed: .*; set satellite.ca_file"
    ):
        verified(tls, str(wrong.path))


def test_no_check_wins_over_the_ca_file_of_the_environment(
    monkeypatch, certificates, tls
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates[1].path))
    with pytest.warns(Warning, match="Unverified HTTPS request"):
        assert verified(tls, False) == "3.12.0"


def test_without_a_ca_file_the_one_of_the_environment_counts(
    monkeypatch, certificates, tls
):
    with pytest.raises(SatelliteError, match="TLS check failed"):
        verified(tls, True)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates[0].path))
    assert verified(tls, True) == "3.12.0"


def test_a_certificate_is_checked_unless_told_otherwise(tls):
    with pytest.raises(SatelliteError, match="TLS check failed"):
        Client(Login(tls, "admin", "changeme")).about()


def test_a_ca_file_that_is_missing_is_an_error(tls, tmp_path):
    with pytest.raises(SatelliteError, match="not reachable"):
        verified(tls, str(tmp_path / "missing.crt"))


# What a failed connection says

PYTHON = re.compile(
    r"\[Errno|HTTPS?Connection|Pool\(|Error\(|Caused by|object at 0x|Traceback|_ssl\.c"
)


def complaint(url, verify=True):
    """What a user reads about a Satellite that does not answer: one line, nothing of Python."""
    with pytest.raises(SatelliteUnreachable) as raised:
        verified(url, verify)
    message = str(raised.value)
    assert message.startswith(f"{url}: ")
    assert "\n" not in message
    assert not PYTHON.search(message)
    return message


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            {"days": -1},
            "the certificate has expired; have the certificate renewed, or correct the clock",
        ),
        (
            {"address": "127.0.0.2"},
            "the certificate is for another address; use a name in satellite.url",
        ),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said_with_what_to_do(
    tmp_path, double, how, said
):
    certificate = Certificate(tmp_path, "odd", **how)
    with behind_tls(double, certificate) as url:
        assert f"TLS check failed: {said}" in complaint(url, str(certificate.path))


def test_a_certificate_of_a_ca_of_ones_own_leads_to_ca_file(tls):
    assert (
        "the certificate is self-signed; set satellite.ca_file to the certificate of its CA"
        in complaint(tls)
    )


def test_a_ca_file_without_a_certificate_or_not_there_is_named(tls, tmp_path):
    path = tmp_path / "ca.crt"
    assert f"there is no CA file {path}; correct satellite.ca_file" in complaint(
        tls, str(path)
    )
    path.write_text("no certificate\n")
    assert (
        "the CA file holds no certificate (PEM); correct satellite.ca_file"
        in complaint(tls, str(path))
    )


def test_a_port_without_tls_leads_to_the_scheme(server):
    assert "does not speak TLS at this port; correct the scheme" in complaint(
        server.url.replace("http:", "https:")
    )


def test_plain_http_at_a_port_with_tls_leads_to_https(server, client):
    server.fail(
        "",
        400,
        "<html>You're speaking plain HTTP to an SSL-enabled server port.</html>",
    )
    with pytest.raises(
        SatelliteError,
        match="returned 400: no JSON .is https:// needed in satellite.url",
    ):
        client.about()


def test_a_name_that_is_not_resolved_is_named_as_the_cause(monkeypatch):
    def unknown(*where, **how):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert (
        "the host name cannot be resolved; correct the host name in satellite.url, or DNS"
        in complaint("https://satellite.example.com")
    )


def test_a_proxy_that_refuses_or_is_not_there_is_named_as_the_proxy(
    monkeypatch, server
):
    monkeypatch.setenv("https_proxy", server.url)
    server.fail("", 407, "")
    for said in (
        "not reachable through the proxy: ",
        "correct https_proxy",
        "no_proxy",
    ):
        assert said in complaint("https://satellite.example.com")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert "not reachable through the proxy: connection refused" in complaint(
        "https://satellite.example.com"
    )


@contextlib.contextmanager
def raw(answer):
    """The address of a server that sends these bytes to every client and hangs up."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(65536)
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "ended the connection"),
        (b"220 mail.example.com ESMTP\r\n", "the answer is not HTTP"),
        (OK + b"Content-Length: 90\r\n\r\n{", "ended the connection"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}", "ended the connection"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}", "ended the connection"),
        (
            OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
            "cannot be decompressed",
        ),
        (OK + b"X: y\r\n" * 300 + b"\r\n", "the connection failed"),
        (OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n", "the connection failed"),
    ],
    ids=[
        "nothing",
        "mail",
        "cut",
        "no chunk",
        "cut chunk",
        "no gzip",
        "too many headers",
        "too long a header",
    ],
)
def test_an_answer_that_breaks_off_is_an_error_in_plain_words(answer, said):
    with raw(answer) as url, pytest.raises(SatelliteError) as raised:
        verified(url, True)
    message = str(raised.value)
    # Urllib3 1 hands it on.
    assert said in message or (answer.endswith(b"{") and "not a JSON object" in message)
    assert "\n" not in message
    assert not PYTHON.search(message)


# Answers that are none


@pytest.mark.parametrize(
    ("body", "flaw"),
    [
        (b'{"version": "3.12.0", "result": "\xff"}', "not UTF-8"),
        (b'{"version": "3.12.0", "result": "\\ud83d"}', "half a character in it"),
        (b'{"version": "3.12.0", "version": "3.13.0"}', "a name appears twice in it"),
        (
            b'{"version": "3.12.0", "deep": {"a": 1, "a": 2}}',
            "a name appears twice in it",
        ),
        (b'{"version": "3.12.0", "status": NaN}', "NaN in it"),
        (b'{"version": "3.12.0", "status": 1e999}', "a number without an end in it"),
        (b'{"version": "3.12.0", "status": -Infinity}', "-Infinity in it"),
        (
            b'{"version": "3.12.0", "status": ' + b"9" * 5000 + b"}",
            "a number of 5000 digits in it",
        ),
        (b'{"version": ' + b"[" * 200_000, "nested too deeply"),
        (b"\xef\xbb\xbf{}", ""),
        (b"{'version': '3.12.0'}", ""),
        (b'{"version": "3.12.0",}', ""),
    ],
)
def test_what_is_almost_json_is_an_error_of_one_line(server, client, body, flaw):
    server.fail("/api/status", 200, body)
    with pytest.raises(SatelliteError) as raised:
        client.about()
    assert f"a 200 that is not a JSON object{f' ({flaw})' if flaw else ''}; " in str(
        raised.value
    )
    assert "\n" not in str(raised.value)


def test_every_character_comes_through_however_it_is_written(server, client):
    server.fail("/api/status", 200, b'{"version": "\\ud83d\\ude00 \xf0\x9f\x98\x80"}')
    assert client.get("/api/status") == {"version": "\U0001f600 \U0001f600"}


@pytest.mark.parametrize(
    ("location", "advice"),
    [
        (
            "https://satellite.example.com/api/hosts/1",
            " to https://satellite.example.com; set satellite.url to that",
        ),
        (
            "https://satellite.example.com:8443/api/hosts/1",
            " to https://satellite.example.com:8443; set satellite.url",
        ),
        (
            "https://satellite.example.com/foreman/api/hosts/1",
            " to https://satellite.example.com/foreman; set satellite",
        ),
        (
            "https://somebody:hush@satellite.example.com/",
            " to https://satellite.example.com; set satellite.url to that",
        ),
        ("/users/login", "; is there a proxy or a login page in front of Satellite"),
        ("https://[/", "; is there"),
        ("http://*/", " to http://*; set"),
        ("javascript:alert(1)", "; is there"),
        ("", "; is there"),
        (None, "; is there"),
    ],
)
def test_a_redirect_leads_to_a_satellite_and_not_to_the_path_of_one_request(
    server, client, location, advice
):
    server.faults.append(
        Fault("", Answer(301, "", {} if location is None else {"Location": location}))
    )
    with pytest.raises(
        SatelliteError, match=re.escape(f"GET /api/hosts/1 is redirected{advice}")
    ):
        host_permissions(client, 1)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "Katello::Resources::Candlepin::Consumer: 503 Service Unavailable "
            '{"displayMessage": "Candlepin is in suspend mode"} '
            "(DELETE /candlepin/consumers/c422fb23)",
            "Candlepin answered 503 Service Unavailable (Candlepin is in suspend mode)",
        ),
        (
            "Katello::Errors::CandlepinNotRunning",
            "Katello::Errors::CandlepinNotRunning",
        ),
        (
            "A backend service [ Candlepin ] is unreachable",
            "A backend service [ Candlepin ] is unreachable",
        ),
    ],
)
def test_a_deletion_that_candlepin_stops_names_candlepin_and_what_to_look_at(
    server, client, web1, message, said
):
    record = fetch_record(client, 1)
    server.fail("^DELETE", 500, {"error": {"message": message}})
    with pytest.raises(SatelliteError) as raised:
        delete_record(client, record)
    assert str(raised.value) == (
        f"{server.url}: DELETE /api/hosts/1 returned 500: {said}; "
        "see 'satellite-maintain service status' on Satellite"
    )


def test_a_long_message_is_cut_between_words(server, client):
    server.fail("", 500, {"error": {"message": "twelve chars " * 99}})
    with pytest.raises(SatelliteError, match=r" twelve chars \.\.\.$"):
        client.about()


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        (
            {
                "error": {
                    "message": "Access denied",
                    "missing_permissions": ["destroy_hosts"],
                }
            },
            ("destroy_hosts",),
        ),
        (
            {
                "error": {
                    "message": "Access denied",
                    "missing_permissions": "destroy_hosts",
                }
            },
            (),
        ),
        (
            {"error": {"message": "Access denied", "missing_permissions": [None, {}]}},
            (),
        ),
        ({"error": {"message": "Access denied"}}, ()),
        ({"error": "Access denied"}, ()),
        ([], ()),
        ("<html>", ()),
    ],
)
def test_a_403_carries_the_permissions_that_satellite_names(
    server, client, web1, body, missing
):
    record = fetch_record(client, 1)
    server.fail("^DELETE", 403, body)
    with pytest.raises(SatelliteForbidden) as raised:
        delete_record(client, record)
    assert raised.value.missing == missing


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_question_that_is_refused_names_the_request_and_counts_as_unreachable(
    server, client, status
):
    server.fail("", status, {"error": {"message": "no"}})
    with pytest.raises(
        Refused, match=f"GET /api/hosts/1 returned {status}: no"
    ) as raised:
        host_permissions(client, 1)
    assert code_of(raised.value) == 69


def test_a_change_that_is_not_accepted_is_bad_data(server, client, web1):
    with pytest.raises(
        SatelliteInvalid,
        match="POST /api/hosts returned 422: Name has already been taken",
    ) as raised:
        create_host(client, {"name": "web1.example.com"})
    assert code_of(raised.value) == 65


@pytest.mark.parametrize(("status", "body"), ODD.values(), ids=ODD)
def test_an_odd_answer_is_an_error_and_never_a_result(
    server, connect, web1, status, body
):
    server.fail("", status, body)
    for name, error in outcomes(connect).items():
        assert isinstance(error, SatelliteError) or name in TOLERANT, name
        assert error is None or str(error).startswith(f"{server.url}: "), name
        assert "\n" not in str(error), name
    assert len(server.requests) <= len(CALLS) + len(TOLERANT)


@pytest.mark.parametrize("how", ["reset", "cut"])
def test_a_connection_that_breaks_is_an_error_and_not_tried_again(
    server, connect, web1, how
):
    server.fail("", **{how: True})
    for name, error in outcomes(connect).items():
        # Urllib3 1 hands a cut body on.
        assert re.search("not reachable|not a JSON object", str(error)), name
    assert len(server.requests) == len(CALLS)


@pytest.mark.parametrize(
    ("method", "status"), [("GET", 301), ("GET", 308), ("DELETE", 308), ("DELETE", 302)]
)
def test_a_redirect_is_named_and_not_followed(
    server, double, client, web1, method, status
):
    """Require_ssl answers 301 to a GET and 308 to a DELETE; what was meant for one host could
    reach another.
    """
    double.add(guest("web2.example.com"))
    record, true = fetch_record(client, 1), server.handle
    server.handle = lambda request: (
        true(request)
        if request.method != method
        else Answer(status, "", {"Location": f"{server.url}/api/hosts/2"})
    )
    with pytest.raises(
        SatelliteError, match=rf"{method} /api/hosts/1 is redirected; is there a proxy"
    ):
        delete(client, record)
    assert server.count("/api/hosts/2") == 0
    assert len(double.hosts) == 2


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"error": {"message": "reset has failed"}}, "reset has failed"),
        (
            {"error": {"message": "Access", "details": "Missing view_hosts"}},
            "Missing view_hosts",
        ),
        (
            {
                "error": {
                    "id": 1,
                    "errors": {"base": ["a"]},
                    "full_messages": ["a is wrong", "b\n too"],
                }
            },
            "a is wrong; b too",
        ),
        (
            {"message": "Organization with id 9 not found"},
            "Organization with id 9 not found",
        ),
        ({"status": 404, "error": "Not Found"}, "Not Found"),
        ({"error": "x" * 9999}, f"{'x' * 300} ..."),
        ({}, ""),
    ],
)
def test_an_error_says_in_a_line_what_satellite_said(server, client, body, told):
    server.fail("", 500, body)
    with pytest.raises(SatelliteError) as raised:
        fetch_record(client, 1)
    text = told or r"no JSON (a proxy, or Satellite is starting?)"
    assert str(raised.value) == f"{server.url}: GET /api/hosts/1 returned 500: {text}"


@pytest.mark.parametrize(
    "error",
    [
        None,
        [],
        5,
        ["a"],
        {"full_messages": 5},
        {"full_messages": {"a": 1}},
        {"message": None},
        {"message": {"a": 1}},
        {"details": ["a"]},
        {"full_messages": [None, 1]},
    ],
    ids=str,
)
def test_an_error_of_a_form_nobody_knows_is_still_told_as_an_error(
    server, connect, error
):
    for status in (400, 403, 404, 422, 500):
        server.faults.clear()
        server.fail("", status, {"error": error})
        with pytest.raises(SatelliteError, match=f"GET /api/status returned {status}"):
            connect().about()


# Permissions


@pytest.mark.parametrize(
    ("permissions", "call", "missing"),
    [
        (["view_facts"], "newest_host", "view_hosts"),
        (["view_facts"], "record", "view_hosts"),
        (["view_hosts"], "host_facts", "view_facts"),
        (["view_hosts"], "inventory", "view_facts"),
        (["view_hosts"], "closer look", "view_facts"),
        (["view_hosts", "view_facts"], "delete", "destroy_hosts"),
        (["view_hosts", "view_facts", "destroy_hosts"], "disassociate", "edit_hosts"),
        (["view_hosts"], "organization_id", "view_organizations"),
    ],
)
def test_a_403_names_the_permission_that_is_missing(
    double, connect, web1, permissions, call, missing
):
    with pytest.raises(
        SatelliteForbidden,
        match=f"returned 403: Missing one of the required permissions: {missing}",
    ):
        CALLS[call](connect(*user(double, *permissions)))
    assert double.hosts == {1: web1}


def test_an_html_403_names_a_wrong_host_name_as_the_likely_cause(server, client):
    server.fail("", 403, "<html>Blocked host</html>")
    with pytest.raises(SatelliteForbidden, match=r"a wrong host name in the URL\?"):
        client.about()


@pytest.mark.parametrize(
    "limits",
    [
        {"organizations": frozenset()},
        {"locations": frozenset()},
        {"sees": lambda host: False},
    ],
    ids=["organization", "location", "filter"],
)
@pytest.mark.parametrize("call", ["newest_host", "inventory"])
def test_a_role_that_sees_nothing_is_an_error_and_not_an_empty_inventory(
    double, connect, web1, limits, call
):
    """Satellite answers 200 and no hosts."""
    with pytest.raises(
        SatelliteForbidden,
        match="sees no host at all; it needs view_hosts and membership",
    ):
        CALLS[call](connect(*user(double, *MINIMUM, **limits)))


def test_a_satellite_without_hosts_looks_like_a_lack_of_rights(client):
    with pytest.raises(SatelliteForbidden):
        list(list_hosts(client))


def test_the_smallest_role_reads_and_deletes(double, cleaner, web1):
    assert list(list_hosts(cleaner)) == [ListedHost(1, "web1.example.com", (UUID,))]
    assert [host.identity.uuids for host in looked(cleaner)] == [(UUID,)]
    assert facts_now(cleaner, 1, "web1.example.com") == {
        "RHSM": {"virt::uuid": UUID, "virt::is_guest": "true"}
    }
    assert delete_record(cleaner, fetch_record(cleaner, 1)) is True
    assert double.deleted == [1]


def test_permissions_are_those_of_this_login_on_that_host(client, cleaner, web1):
    assert host_permissions(client, 1)["edit_hosts"] is True
    assert host_permissions(cleaner, 1)["edit_hosts"] is False
    assert host_permissions(cleaner, 1)["destroy_hosts"] is True


@pytest.mark.parametrize("told", [None, [], "all", 1])
def test_permissions_in_another_form_are_none(server, client, web1, told):
    change(server, "/api/hosts/1$", lambda body: {**body, "permissions": told})
    assert host_permissions(client, 1) == {}


# What is at the other end


def test_about_asks_once(server, client):
    assert (client.about(), client.about(), client.katello) == (
        ("3.12.0", "4.14.3"),
        ("3.12.0", "4.14.3"),
        True,
    )
    assert lines(server) == ["GET /api/status", "GET /katello/api/status"]


def test_a_plain_foreman_is_found_out_by_its_lack_of_katellos_route(server, client):
    server.handle = Satellite(katello=False).handle
    assert client.about() == ("3.12.0", None)
    assert client.katello is False


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, "<html>Not Found</html>"),
        (404, UNKNOWN_HOST),
        (404, UNKNOWN_ORGANIZATION),
        (404, {}),
        (404, []),
        (403, {"error": {"message": "Access denied"}}),
        (500, {"error": {"message": "no"}}),
        (502, "<html>"),
        (422, {"error": "Not Found"}),
        (200, {"error": "Not Found"}),
        (200, {}),
        (200, {"version": ""}),
        (200, {"version": None}),
        (200, {"version": False}),
        (200, {"version": {}}),
        (200, {"version": 4}),
        (200, {"version": ["4.14.3"]}),
    ],
)
def test_nothing_but_an_unknown_route_makes_it_a_plain_foreman(
    server, client, status, body
):
    """Else hosts would be judged by what Puppet said of them, with the last report as their
    check-in.
    """
    server.fail("/katello/", status, body)
    with pytest.raises(SatelliteError):
        client.about()


@pytest.mark.parametrize("version", [None, 3, ["3.12.0"]], ids=str)
def test_a_foreman_without_a_version_is_none(server, client, version):
    server.fail("GET /api/status", 200, {"result": "ok", "version": version})
    with pytest.raises(SatelliteError, match="/api/status returned no version"):
        client.about()


# Clocks


def answered(date, body=None):
    """A client of a server that shows this Date."""
    responses.add(
        responses.GET,
        f"{ELSEWHERE}/api/hosts/1",
        json=body or {"permissions": {"view_hosts": True}},
        headers={"Date": date} if date is not None else {},
    )
    return host_permissions(Client(Login(ELSEWHERE, "admin", "changeme")), 1)


@responses.activate
@pytest.mark.parametrize("apart", [-310, 310, 3600, -86400, 86400 * 3650])
def test_a_clock_more_than_five_minutes_apart_is_an_error(apart):
    when = datetime.now(timezone.utc) + timedelta(seconds=apart)
    with pytest.raises(
        SatelliteError, match=f"clock and ours are {abs(apart) / 60:.0f} minutes apart"
    ):
        answered(format_datetime(when, usegmt=True))


@responses.activate
@pytest.mark.parametrize("apart", [-290, 0, 290])
def test_a_clock_within_five_minutes_is_none(apart):
    assert answered(
        format_datetime(
            datetime.now(timezone.utc) + timedelta(seconds=apart), usegmt=True
        )
    )


@responses.activate
def test_a_date_in_another_zone_is_the_same_moment():
    zone = timezone(timedelta(hours=9))
    assert answered(format_datetime(datetime.now(zone)))
    with pytest.raises(SatelliteError, match="minutes apart"):
        answered(format_datetime(datetime.now(zone).replace(tzinfo=timezone.utc)))


@responses.activate
@pytest.mark.parametrize(
    "date",
    [
        None,
        "",
        "noon",
        "Sun, 99 Nov 2026 12:00:00 GMT",
        "Sun, 22 Nov 99999 12:00:00 GMT",
    ],
)
def test_a_date_that_says_nothing_is_not_held_against_satellite(date):
    assert answered(date)


@responses.activate
@pytest.mark.parametrize("zone", ["-0000", ""])
def test_a_date_without_a_zone_is_read_as_utc(zone):
    """RFC 5322 writes -0000 for "UTC, and the local time zone is unknown"."""
    now = datetime.now(timezone.utc)
    assert answered(f"{now:%a, %d %b %Y %H:%M:%S} {zone}".strip())
    with pytest.raises(SatelliteError, match="minutes apart"):
        responses.reset()
        answered(f"{now - timedelta(hours=1):%a, %d %b %Y %H:%M:%S} {zone}".strip())


# The newest host


@pytest.mark.parametrize(
    "mend",
    [
        *(
            ODD_LISTS[name]
            for name in (
                "results null",
                "results an object",
                "no results",
                "per_page of another request",
                "no per_page",
                "an entry that is null",
            )
        ),
        entry(id=None),
        entry(id="3"),
        entry(id=1),
        entry(id=2**31),
        entry(id=10**400),
        lambda body: {**body, "total": None},
        lambda body: {**body, "total": "3"},
        lambda body: {**body, "total": 4},
    ],
)
def test_a_newest_host_that_cannot_be_is_an_error(server, double, client, mend):
    add_guests(double, 3)
    change(server, "order=id DESC", mend)
    with pytest.raises(SatelliteError, match="/api/hosts returned"):
        newest_host(client)


def test_a_search_for_the_newest_host_ends_if_every_count_is_the_same(
    server, double, client
):
    """Whatever id is asked about, there are hosts above it."""
    add_guests(double, 3)
    server.fail("order=id DESC", 500, {"error": {"message": "no"}})
    change(server, "thin=true", lambda body: {**body, "subtotal": 3, "total": 3})
    newest_host(client)
    assert server.count("thin=true") < 100


def test_what_a_message_quotes_is_short(server, double, client):
    add_guests(double, 1)
    change(server, "fact_values", lambda body: {**body, "results": {"x" * 9000: {}}})
    with pytest.raises(SatelliteError) as caught:
        facts_now(client, 1, "web1.example.com")
    assert len(str(caught.value)) < 600


def test_the_newest_host_is_not_asked_for_in_a_thin_list(server, double, client):
    """A thin list is sorted by name, whatever `order` says: the newest host would not be first."""
    add_guests(double, 12)
    assert newest_host(client) == (12, 12)
    assert "thin" not in server.requests[-1].query


# Organizations


@pytest.fixture
def two(double):
    """A Satellite of two organizations, with one host in each."""
    double.organizations[SECOND] = 'Acme "West"'
    double.users["cleaner"].organizations = frozenset({ORGANIZATION, SECOND})
    double.users["cleaner"].permissions = MINIMUM | {"view_organizations"}
    return [
        double.add(guest()),
        double.add(
            guest("web2.example.com", facts={RHSM: INSTANCE}, organization_id=SECOND)
        ),
    ]


@pytest.mark.parametrize("login", [("admin", "changeme"), ("cleaner", "secret")])
def test_an_organization_says_who_is_in_scope_and_hides_nobody(
    server, double, connect, two, login
):
    """All others are witnesses, and may share a UUID."""
    client = connect(*login)
    scope = Scope(organization=organization_id(client, 'Acme "West"'))
    assert scope.organization == SECOND
    server.requests.clear()
    assert [(host.id, host.in_scope) for host in list_hosts(client, scope)] == [
        (1, False),
        (2, True),
    ]
    narrowed = [
        request for request in server.requests if request.query.get("organization_id")
    ]
    assert [request.query["organization_id"] for request in narrowed] == [[str(SECOND)]]


def test_an_organization_without_the_permission_to_view_it_selects_nobody(
    double, connect, two
):
    """Satellite answers 200 and no hosts."""
    client = connect(*user(double, *MINIMUM, organizations=frozenset({SECOND})))
    assert [
        host.in_scope for host in list_hosts(client, Scope(organization=SECOND))
    ] == [False]


def test_an_unknown_organization_is_refused(client, web1):
    with pytest.raises(
        Refused, match="returned 404: Organization with id 9 not found"
    ) as raised:
        list(list_hosts(client, Scope(organization=9)))
    assert (raised.value.no_resource, raised.value.no_route) == (False, False)


@pytest.mark.parametrize(
    "told", ["1; Default Organization", "; ANY", "70; Acme", "17; Acme", "Acme"]
)
def test_an_answer_of_another_organization_is_an_error(
    server, double, client, two, told
):

    def elsewhere(request):
        answer = double.handle(request)
        return answer._replace(
            headers={**answer.headers, "Foreman_current_organization": told}
        )

    server.handle = elsewhere
    with pytest.raises(
        SatelliteError, match=f"returned organization '{told}' where 7 was requested"
    ):
        list(list_hosts(client, Scope(organization=SECOND)))


@pytest.mark.parametrize(
    "name",
    [
        "default organization",
        "Default",
        "Default Organization ",
        "*",
        "",
        'a" or name ~ "',
        "\\",
        "1",
    ],
)
def test_an_organization_is_found_by_its_exact_name_only(client, name):
    with pytest.raises(SatelliteNotFound, match="no organization"):
        organization_id(client, name)


@pytest.mark.parametrize(
    "another", [{"name": "Another"}, {"name": None}, {"id": None}, {"id": "1"}], ids=str
)
def test_another_organization_is_not_taken_for_it(server, client, another):
    """A search that Satellite ignored."""
    change(server, "/api/organizations", entry(**another))
    with pytest.raises(SatelliteError):
        organization_id(client, "Default Organization")


def test_an_organization_out_of_sight_is_not_found(double, connect, two):
    client = connect(*user(double, "view_organizations"))
    with pytest.raises(SatelliteNotFound, match="is visible to limited"):
        organization_id(client, 'Acme "West"')
    assert visible_organizations(client) == ["Default Organization"]


def test_organizations_are_none_for_a_login_that_may_not_list_them(client, cleaner):
    assert visible_organizations(client) == ["Default Organization"]
    assert visible_organizations(cleaner) == []


@pytest.mark.parametrize("mend", ODD_LISTS.values(), ids=ODD_LISTS)
def test_any_list_that_is_short_or_odd_is_an_error(server, double, connect, web1, mend):
    double.parameters["osp_cleanup_protect"] = "true"
    change(server, "per_page=(2|10000000)(&|$)", mend)
    for name in ("organization_id", "organizations", "find_host", "destroys_vms"):
        assert type(error_of(CALLS[name], connect())) is SatelliteError, name


# Finding one host


@pytest.mark.parametrize("text", ["web1.example.com", "1", "WEB1.Example.COM"])
def test_a_host_is_found_by_its_name_or_its_number(client, web1, text):
    assert find_host(client, text) == (1, "web1.example.com")


@pytest.mark.parametrize(
    "text",
    [
        "web",
        "web*",
        "2",
        "01",
        "-1",
        "",
        "1-web1.example.com",
        'x" or name ~ "web',
        "web1.example.com or id = 1",
        "\u0661",
        "1\n",
    ],
)
def test_nothing_but_the_whole_name_or_number_finds_a_host(double, client, web1, text):
    with pytest.raises(SatelliteNotFound, match="no host"):
        find_host(client, text)


def test_a_name_of_digits_comes_before_the_id(double, client):
    """As Foreman itself reads /api/hosts/1."""
    add_guests(double, 2)
    double.add(guest("1"))
    double.add(guest("99"))
    assert find_host(client, "1") == (3, "1")
    assert find_host(client, "99") == (4, "99")
    assert find_host(client, "2") == (2, "web2.example.com")


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("1", entry(name=None)),
        ("1", entry(name=5)),
        ("1", lambda body: {**body, "results": [{"id": 1}]}),
        ("web1.example.com", entry(id="1")),
        ("web1.example.com", entry(id=None)),
        (
            "web1.example.com",
            lambda body: {**body, "results": [{"name": "web1.example.com"}]},
        ),
    ],
)
def test_a_host_without_a_name_or_number_is_an_error(server, client, web1, text, mend):
    change(server, "/api/hosts", mend)
    with pytest.raises(SatelliteError):
        find_host(client, text)


# Records


def utc(*parts):
    return datetime(*parts, tzinfo=timezone.utc)


def test_a_record_holds_what_a_verdict_needs(double, client):
    double.add(
        guest(
            parameters={"role": "web"},
            subscription={
                "uuid": CONSUMER,
                "last_checkin": "2022-11-05 00:00:00 UTC",
                "registered_at": THEN,
                "hypervisor": False,
            },
            record={"last_report": "2022-11-04 00:00:00 UTC"},
        )
    )
    double.parameters.update({"role": "none", "site": "west"})
    record = fetch_record(client, 1)
    assert (record.id, record.name, record.consumer, record.registered) == (
        1,
        "web1.example.com",
        CONSUMER,
        True,
    )
    assert (record.registered_at, record.last_report) == (
        utc(2022, 11, 3, 11, 43, 54),
        utc(2022, 11, 4),
    )
    assert (record.last_checkin, record.last_sign) == (
        utc(2022, 11, 5),
        utc(2022, 11, 5),
    )
    assert (
        record.build,
        record.hypervisor,
        record.infrastructure,
        record.compute_resource,
    ) == (
        False,
        False,
        False,
        None,
    )
    assert record.parameters == {"role": "web", "site": "west"}


def test_a_host_that_never_registered_says_so(double, client):
    double.add(guest(subscription=None))
    record = fetch_record(client, 1)
    assert (
        record.registered,
        record.consumer,
        record.last_checkin,
        record.registered_at,
    ) == (
        False,
        None,
        None,
        None,
    )


@pytest.mark.parametrize("facet", [{}, {"uuid": None}, {"uuid": ""}])
def test_a_facet_without_a_consumer_is_no_registration(double, client, facet):
    double.add(guest(subscription=facet))
    assert fetch_record(client, 1).registered is False


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ({"subscription": {"uuid": CONSUMER, "hypervisor": True}}, "hypervisor"),
        ({"infrastructure": {"foreman_instance": True}}, "infrastructure"),
        ({"infrastructure": {"smart_proxy_id": 1}}, "infrastructure"),
        ({"record": {"build": True}}, "build"),
    ],
)
def test_a_host_that_is_never_touched_says_so(double, client, host, told):
    double.add(guest(**host))
    double.add(
        guest(
            "web2.example.com",
            infrastructure={"foreman_instance": False, "smart_proxy_id": None},
        )
    )
    assert getattr(fetch_record(client, 1), told) is True
    assert getattr(fetch_record(client, 2), told) is False


@pytest.mark.parametrize("build", [None, "false", 0, 1, "missing"])
def test_a_build_mode_that_is_not_plainly_off_counts_as_on(server, client, web1, build):
    change(
        server,
        "/api/hosts/1",
        lambda body: {
            **{name: value for name, value in body.items() if name != "build"},
            **({} if build == "missing" else {"build": build}),
        },
    )
    assert fetch_record(client, 1).build is True


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, None),
        ({"compute_resource_id": 3}, "3"),
        ({"compute_resource_id": 0}, "0"),
        ({"compute_resource_id": 3, "compute_resource_name": "osp"}, "osp"),
    ],
)
def test_a_compute_resource_is_named(double, client, fields, told):
    double.add(guest(record=fields))
    assert fetch_record(client, 1).compute_resource == told


def test_a_plain_foreman_has_reports_for_check_ins_and_every_host_counts_as_registered(
    server, client
):
    double = Satellite(katello=False)
    double.add(Host("web1.example.com", record={"last_report": THEN}))
    double.add(Host("web2.example.com"))
    server.handle = double.handle
    record = fetch_record(client, 1)
    assert (record.contact, record.last_report, record.registered) == (
        utc(2022, 11, 3, 11, 43, 54),
        utc(2022, 11, 3, 11, 43, 54),
        True,
    )
    assert fetch_record(client, 2).contact is None


def test_with_katello_a_report_is_no_check_in(double, client):
    double.add(guest(record={"last_report": THEN}))
    record = fetch_record(client, 1)
    assert (record.last_checkin, record.contact, record.last_report) == (
        None,
        None,
        utc(2022, 11, 3, 11, 43, 54),
    )


FORMS = {
    THEN: utc(2022, 11, 3, 11, 43, 54),
    "2016-05-26 10:46:18 -0400": utc(2016, 5, 26, 14, 46, 18),
    "2022-11-25T11:51:59.179Z": utc(2022, 11, 25, 11, 51, 59, 179000),
    "2016-05-26 10:46:18 +0530": utc(2016, 5, 26, 5, 16, 18),
    "2022-11-25T11:51:59Z": utc(2022, 11, 25, 11, 51, 59),
    "2022-11-25T11:51:59.000+01:00": utc(2022, 11, 25, 10, 51, 59),
}
NO_TIMES = [
    "yesterday",
    "2022-11-03",
    "2022-13-03 11:43:54 UTC",
    "2022-11-03 11:43:54 EST",
    "2022-11-03 11:43:54 -9900",
    "0000-00-00 00:00:00 UTC",
    "never",
    " ",
    "UTC",
    "Z",
    1667475834,
    0,
    False,
    True,
    [],
    {},
    16.5,
]
NAIVE = ["2022-11-03 11:43:54", "2022-11-03T11:43:54", "2022-11-03T11:43:54.179"]


@pytest.mark.parametrize(("text", "when"), FORMS.items(), ids=FORMS)
def test_times_are_read_in_every_form_that_satellite_writes(double, client, text, when):
    double.add(
        guest(
            subscription={
                "uuid": CONSUMER,
                "last_checkin": text,
                "registered_at": text,
            },
            record={"last_report": text},
        )
    )
    record = fetch_record(client, 1)
    assert (
        record.last_checkin,
        record.registered_at,
        record.last_report,
        parse_time(text),
    ) == (when,) * 4
    assert record.last_checkin.tzinfo


@pytest.mark.parametrize("text", ["0001-01-01 00:00:00 UTC", "9999-12-31 23:59:59 UTC"])
def test_a_date_to_which_nothing_can_be_added_is_an_error(text):
    with pytest.raises(SatelliteError, match="a time that cannot be read"):
        parse_time(text)


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_date_that_is_null_is_none_and_no_early_one(double, client, nothing):
    """ "never seen" must not read as "not seen for ages"."""
    double.add(
        guest(
            subscription={
                "uuid": CONSUMER,
                "last_checkin": nothing,
                "registered_at": nothing,
            },
            record={"last_report": nothing},
        )
    )
    record = fetch_record(client, 1)
    assert (
        record.last_checkin,
        record.registered_at,
        record.last_report,
        record.contact,
    ) == (
        None,
        None,
        None,
        None,
    )
    assert parse_time(nothing) is None


@pytest.mark.parametrize("text", [*NO_TIMES, *NAIVE], ids=str)
def test_a_date_that_cannot_be_read_or_has_no_zone_is_an_error(text):
    host = {"id": 1, "name": "web1.example.com", "all_parameters": []}
    for body in (
        {"last_report": text},
        {"subscription_facet_attributes": {"last_checkin": text}},
        {"subscription_facet_attributes": {"registered_at": text}},
    ):
        with pytest.raises(SatelliteError, match="a time that cannot be read"):
            parse_record({**host, **body}, katello=True)


def test_a_record_with_a_date_that_cannot_be_read_is_an_error(double, client):
    double.add(
        guest(subscription={"uuid": CONSUMER, "last_checkin": "2022-11-03 11:43:54"})
    )
    with pytest.raises(
        SatelliteError, match="a time that cannot be read: '2022-11-03 11:43:54'"
    ):
        fetch_record(client, 1)


ODD_RECORDS = {
    "id null": {"id": None},
    "id a text": {"id": "1"},
    "name null": {"name": None},
    "name a number": {"name": 1},
    "parameters null": {"all_parameters": None},
    "parameters an object": {"all_parameters": {}},
    "facet a list": {"subscription_facet_attributes": ["uuid"]},
    "facet a text": {"subscription_facet_attributes": "x"},
    "infrastructure a list": {"infrastructure_facet": [1]},
    "infrastructure true": {"infrastructure_facet": True},
    "own parameters an object": {"parameters": {"role": "web"}},
    "own parameters of texts": {"parameters": ["role"]},
    "own parameters a number": {"parameters": 5},
    "a parameter whose name is a list": {"parameters": [{"name": []}]},
    "collections of texts": {"host_collections": ["web"]},
    "collections a number": {"host_collections": 5},
}


@pytest.mark.parametrize("odd_fields", ODD_RECORDS.values(), ids=ODD_RECORDS)
def test_a_record_of_an_odd_form_is_an_error(server, client, web1, odd_fields):
    change(server, "/api/hosts/1", lambda body: {**body, **odd_fields})
    with pytest.raises(SatelliteError):
        fetch_record(client, 1)


def test_a_record_without_its_list_of_parameters_is_an_error():
    """A protecting parameter could have stood in it."""
    with pytest.raises(
        SatelliteError, match="the record of host web1.example.com cannot be read"
    ):
        parse_record({"id": 1, "name": "web1.example.com"}, katello=True)


def test_records_of_many_say_what_each_record_says_by_itself(server, double, client):
    """A plan uses pages of records, and a deletion judges a single one: both have to agree."""
    double.parameters["osp_cleanup_protect"] = "maybe"
    double.add(
        guest(
            record={
                "last_report": THEN,
                "compute_resource_id": 3,
                "compute_resource_name": "osp",
            }
        )
    )
    double.add(
        guest(
            "web2.example.com",
            subscription={
                "uuid": CONSUMER,
                "last_checkin": THEN,
                "registered_at": THEN,
            },
            parameters={"a": "b"},
        )
    )
    double.add(
        guest(
            "web3.example.com", subscription=None, infrastructure={"smart_proxy_id": 1}
        )
    )
    found = fetch_records(client, [3, 2, 1, 99])
    assert {key: replace(record, snapshot={}) for key, record in found.items()} == {
        key: replace(fetch_record(client, key), snapshot={}) for key in (1, 2, 3)
    }
    assert found[1].parameters == {"osp_cleanup_protect": "maybe"}
    assert found[2].fingerprint == fetch_record(client, 2).fingerprint
    assert server.count("GET /api/hosts[?]") == 1


def test_no_records_are_asked_for_where_none_is_wanted(server, client):
    assert fetch_records(client, []) == {}
    assert server.count() == 0


def test_a_full_page_of_records_is_whole(double, client):
    add_guests(double, FULL_PAGE)
    assert sorted(fetch_records(client, range(1, FULL_PAGE + 1))) == list(
        range(1, FULL_PAGE + 1)
    )


@pytest.mark.parametrize(
    "mend",
    [
        lambda body: {**body, "results": [{**body["results"][0], "id": 7}]},
        lambda body: {**body, "results": []},
    ],
)
def test_records_that_are_short_or_of_others_are_an_error(server, client, web1, mend):
    change(server, "include", mend)
    with pytest.raises(SatelliteError):
        fetch_records(client, [1])


@pytest.mark.parametrize(
    "flaw",
    [
        {"all_parameters": None},
        {"last_report": "n/a"},
        {"last_report": "0000-00-00 00:00:00 UTC"},
        {"subscription_facet_attributes": {"last_checkin": "yesterday"}},
    ],
    ids=str,
)
def test_one_record_that_cannot_be_read_is_named_and_spoils_no_other(
    server, double, client, flaw
):
    add_guests(double, 5)
    change(
        server,
        "include",
        lambda body: {
            **body,
            "results": [
                {**entry, **flaw} if entry["id"] == 3 else entry
                for entry in body["results"]
            ],
        },
    )
    found = fetch_records(client, [1, 2, 3, 4, 5])
    assert [
        host_id for host_id, record in found.items() if isinstance(record, Record)
    ] == [
        1,
        2,
        4,
        5,
    ]
    assert isinstance(found[3], str)
    assert (
        list(
            fetch_records_named(
                client, [f"web{number}.example.com" for number in range(1, 6)]
            ).values()
        )[2]
        == found[3]
    )


def poison(server, double, *host_ids):
    """A list that would show one of these hosts as a whole is a 500, and so is the host itself."""
    handle = server.handle

    def poisoned(request):
        answer = handle(request)
        results = answer.body.get("results") if isinstance(answer.body, dict) else None
        shown = results if isinstance(results, list) else [answer.body]
        whole = [
            entry
            for entry in shown
            if isinstance(entry, dict) and "all_parameters" in entry
        ]
        if any(entry.get("id") in host_ids for entry in whole):
            return Answer(500, {"error": {"message": "undefined method"}})
        return answer

    server.handle = poisoned


def test_one_poisoned_record_among_a_hundred_is_named_and_all_others_are_read(
    server, double, client
):
    hosts = add_guests(double, 100)
    poison(server, double, 42)
    found = fetch_records(client, [host.id for host in hosts])
    assert [
        host_id for host_id, record in found.items() if isinstance(record, str)
    ] == [42]
    assert len(found) == 100
    assert "undefined method" in found[42]
    assert len(server.requests) < 25


def test_where_several_records_in_a_row_are_poisoned_it_is_no_matter_of_one(
    server, double, client
):
    add_guests(double, 9)
    poison(server, double, *range(1, 10))
    with pytest.raises(SatelliteError, match="undefined method"):
        fetch_records(client, range(1, 10))


def test_check_ins_are_compared_again_since_a_date_that_satellite_cannot_read_matches_every_host(
    server, double, client
):
    now = datetime.now(timezone.utc)
    fresh = (now - timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S UTC")
    double.add(guest(subscription={"uuid": CONSUMER, "last_checkin": fresh}))
    double.add(
        guest("web2.example.com", subscription={"uuid": CONSUMER, "last_checkin": THEN})
    )
    handle = server.handle
    server.handle = lambda request: handle(
        request._replace(query={**request.query, "search": [""]})
        if "last_checkin" in request.first("search")
        else request
    )
    assert recent_checkins(client, now - timedelta(days=1)) == {1}
    assert recent_checkins(client, now) == set()


def test_a_host_that_is_not_there_has_no_record(client, web1):
    assert fetch_record(client, 99) is None


def test_a_host_out_of_sight_has_no_record_either(double, connect, web1):
    assert (
        fetch_record(connect(*user(double, *MINIMUM, sees=lambda host: False)), 1)
        is None
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, UNKNOWN_ROUTE),
        (404, UNKNOWN_ORGANIZATION),
        (404, {}),
        (404, []),
        (404, "<html>Not Found</html>"),
        (404, ""),
        (404, {"error": None}),
        (410, UNKNOWN_HOST),
        (403, UNKNOWN_HOST),
        (422, UNKNOWN_HOST),
        (400, UNKNOWN_HOST),
        (500, UNKNOWN_HOST),
        (200, UNKNOWN_HOST),
    ],
)
def test_nothing_but_the_404_of_a_host_means_that_there_is_none(
    server, client, web1, status, body
):
    """Not the 404 of an unknown route, of an unknown organization, or of a proxy."""
    server.fail("/api/hosts/1", status, body)
    with pytest.raises(SatelliteError):
        fetch_record(client, 1)


def test_the_three_404s_are_told_apart():
    kinds = [
        Refused(404, "", body)
        for body in (UNKNOWN_HOST, UNKNOWN_ROUTE, UNKNOWN_ORGANIZATION)
    ]
    assert [(kind.no_resource, kind.no_route) for kind in kinds] == [
        (True, False),
        (False, True),
        (False, False),
    ]
    assert not any(
        kind.no_resource or kind.no_route
        for kind in (Refused(422, "", UNKNOWN_HOST), Refused(400, "", UNKNOWN_ROUTE))
    )


@pytest.fixture
def digits(double):
    """A host *named* 3, which hides the record with the number 3: Foreman takes `:id` for a name
    first.
    """
    named = double.add(
        guest("3", OTHER_UUID, record={"compute_resource_id": 1, "uuid": OTHER_UUID})
    )
    double.add(guest("web2.example.com"))
    numbered = double.add(
        guest("web3.example.com", record={"compute_resource_id": 1, "uuid": UUID})
    )
    assert numbered.id == 3
    return named, numbered


def test_a_host_named_in_digits_is_not_handed_out_as_the_record_of_that_number(
    client, digits
):
    try:
        record = fetch_record(client, 3)
    except SatelliteError:
        return
    assert record is None or record.id == 3


def test_several_threads_may_read_at_once(double, client):
    add_guests(double, 60)
    with ThreadPoolExecutor(4) as pool:
        assert [
            record.id
            for record in pool.map(partial(fetch_record, client), range(1, 61))
        ] == list(range(1, 61))


# Deleting


def test_a_delete_is_a_look_a_delete_and_a_look(server, double, client, web1):
    record = fetch_record(client, 1)
    server.requests.clear()
    assert delete(client, record) is True
    assert lines(server) == [
        "GET /api/hosts/1",
        "DELETE /api/hosts/1",
        "GET /api/hosts/1",
    ]
    assert double.deleted == [1]
    assert double.hosts == {}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "web2.example.com"},
        {"subscription": None},
        {"subscription": {"uuid": "another"}},
        {"subscription": {"uuid": CONSUMER, "last_checkin": THEN}},
        {"record": {"last_report": THEN}},
        {"subscription": {"uuid": CONSUMER, "registered_at": THEN}},
    ],
    ids=str,
)
def test_the_last_look_refuses_a_record_that_changed_in_anything(client, web1, change):
    """A new machine that took the record over shows in this last look."""
    record = fetch_record(client, 1)
    confirm_unchanged(client, record)
    for name, value in change.items():
        setattr(web1, name, value)
    with pytest.raises(SatelliteChanged, match="is no longer the same"):
        confirm_unchanged(client, record)


def test_only_the_host_that_was_meant_goes_and_never_by_name_search_or_bulk(
    server, double, client
):
    add_guests(double, 10)
    assert delete_record(client, fetch_record(client, 4))
    assert sorted(double.hosts) == [1, 2, 3, 5, 6, 7, 8, 9, 10]
    changes = [
        request for request in server.requests if request.method not in ("GET", "HEAD")
    ]
    assert [(request.line, request.body) for request in changes] == [
        ("DELETE /api/hosts/4", b"")
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "web2.example.com"},
        {"name": "WEB1.example.com"},
        {"name": ""},
        {"id": 2},
    ],
    ids=str,
)
def test_a_record_whose_number_or_name_is_another_is_not_deleted(
    server, double, client, web1, changes
):
    with pytest.raises(SatelliteChanged):
        delete(client, replace(fetch_record(client, 1), **changes))
    assert server.count("^DELETE") == 0


def test_a_name_of_digits_never_leads_to_another_host(server, double, client, digits):
    """Neither to the one of that name, when the number is meant, nor to the one of that
    number.
    """
    named, numbered = digits
    for name in ("web3.example.com", "3"):
        with pytest.raises(SatelliteChanged):
            delete(client, Record(3, name))
    assert server.count("^DELETE") == 0
    assert delete(client, fetch_record(client, 1)) is True
    assert double.deleted == [1]
    assert 3 in double.hosts


def test_a_delete_that_met_another_host_is_an_error(server, double, client, digits):
    """The name of digits came up after the look; it cannot be undone, but must not pass for
    "still there".
    """
    named, numbered = digits
    named.name = "web1.example.com"
    record = fetch_record(client, 3)
    before(server, "^DELETE", lambda: setattr(named, "name", "3"))
    with pytest.raises(SatelliteError):
        delete_record(client, record)


def test_a_delete_that_met_another_host_is_an_error_even_if_ours_is_gone(
    server, client, web1
):
    """Somebody else removed ours at the same moment: the other deletion must not be hidden."""
    record = fetch_record(client, web1.id)
    server.fail("^DELETE", 200, {"id": 9, "name": str(web1.id)})
    server.fail("^GET", 404, UNKNOWN_HOST)
    with pytest.raises(SatelliteOutcomeUnknown, match="hit host 9; check that host"):
        delete_record(client, record)


def test_a_record_that_stays_behind_a_name_of_digits_is_not_gone(
    server, double, client, digits
):
    """The name came up after the DELETE, and now hides the record."""
    named, numbered = digits
    named.name = "web1.example.com"
    double.stubborn.add(3)
    record = fetch_record(client, 3)
    before(
        server,
        "^DELETE",
        lambda: before(server, "^GET", lambda: setattr(named, "name", "3")),
    )
    assert delete_record(client, record) is False


@pytest.mark.parametrize("katello", [True, False])
def test_a_delete_that_satellite_only_says_it_did_is_none(server, katello):
    """A 200 to the DELETE proves nothing."""
    double = Satellite(katello=katello)
    double.add(guest() if katello else Host("web1.example.com"))
    double.stubborn.add(1)
    server.handle = double.handle
    client = Client(Login(server.url, "admin", "changeme"))
    assert delete_record(client, fetch_record(client, 1)) is False
    assert list(double.hosts) == [1]


def test_a_record_out_of_sight_is_not_deleted_and_not_taken_for_deleted(
    server, double, connect, web1
):
    """To this login every record is a 404, whether it is gone or not."""
    client = connect(*user(double, *MINIMUM, sees=lambda host: False))
    with pytest.raises(SatelliteChanged, match="no longer exists"):
        delete(client, Record(1, "web1.example.com"))
    assert server.count("^DELETE") == 0


def test_a_record_that_was_gone_already_is_not_deleted_again(
    server, double, client, web1
):
    record = fetch_record(client, 1)
    assert delete(client, record) is True
    server.requests.clear()
    with pytest.raises(SatelliteChanged):
        delete(client, record)
    assert lines(server) == ["GET /api/hosts/1"]


def test_a_record_that_goes_at_the_last_moment_is_gone(server, double, client, web1):
    record = fetch_record(client, 1)
    before(server, "^DELETE", lambda: double.hosts.pop(1))
    assert delete_record(client, record) is True


def test_a_record_that_comes_back_under_a_new_number_is_left_alone(
    server, double, client, web1
):
    """A machine that uploads its facts creates its host again."""
    record = fetch_record(client, 1)
    assert delete(client, record) is True
    double.add(guest())
    with pytest.raises(SatelliteChanged):
        delete(client, record)
    assert list(double.hosts) == [2]


@pytest.mark.parametrize(
    "answer",
    [
        (504, "<html>"),
        (502, "<html>"),
        (503, ""),
        (200, "<html>Please log in</html>"),
        (200, []),
        (302, ""),
        (500, "<html>"),
        None,
    ],
    ids=str,
)
def test_after_an_answer_that_leaves_it_open_a_look_tells_whether_it_is_gone(
    server, double, client, web1, answer
):
    """A gateway gives up while Katello goes on and deletes."""
    record = fetch_record(client, 1)
    before(server, "^DELETE", lambda: double.hosts.pop(1))
    server.fail("^DELETE", *answer) if answer else server.fail("^DELETE", reset=True)
    double.hosts.pop(1)
    assert delete_record(client, record) is True


@pytest.mark.parametrize(
    "answer", [(504, "<html>"), (502, "<html>"), (200, [])], ids=str
)
def test_if_the_record_is_still_there_the_outcome_is_unknown(
    server, double, client, web1, answer
):
    """The record is still there, and the deletion may be under way."""
    record = fetch_record(client, 1)
    server.fail("^DELETE", *answer)
    with pytest.raises(
        SatelliteOutcomeUnknown, match="still there, and the deletion may be under way"
    ):
        delete_record(client, record)
    server.fail("^GET /api/hosts/1$", 502, "<html>")
    with pytest.raises(SatelliteOutcomeUnknown, match="the check afterwards failed"):
        delete_record(client, record)
    assert server.count("^DELETE") == 2


@pytest.mark.parametrize(
    "answer",
    [
        (500, {"error": {"message": "PG::ForeignKeyViolation"}}),
        (409, {"message": "locked"}),
        (410, {"message": "gone"}),
        (403, {"error": {"message": "no"}}),
        (422, {"error": {"full_messages": ["DNS"]}}),
    ],
    ids=str,
)
def test_what_satellite_itself_refuses_or_fails_at_was_not_done(
    server, double, client, web1, answer
):
    record = fetch_record(client, 1)
    server.fail("^DELETE", *answer)
    with pytest.raises(SatelliteError) as raised:
        delete_record(client, record)
    assert not isinstance(raised.value, (SatelliteOutcomeUnknown, SatelliteChanged))
    assert list(double.hosts) == [1]


@pytest.mark.parametrize("step", ["look", "delete", "look again"])
def test_no_odd_answer_to_any_step_of_a_delete_passes_for_done(
    server, client, web1, step
):
    record = fetch_record(client, 1)
    for name, (status, body) in {**ODD, **REFUSALS}.items():
        if step != "delete" and name == "404 of a host":
            continue  # that one is the proof
        server.requests.clear()
        server.faults.clear()
        server.fail(
            "^DELETE" if step == "delete" else "^GET /api/hosts/1$",
            status,
            body,
            skip=1 if step == "look again" else 0,
        )
        # What it says is of no account, and the record is there for the next.
        server.fail("^DELETE", 200, {})
        passed = []
        with pytest.raises(SatelliteError):
            passed.append((name, delete(client, record)))
        assert passed == []
        assert (
            server.count("^DELETE") == {"look": 0, "delete": 1, "look again": 1}[step]
        ), name


@pytest.mark.parametrize("how", ["reset", "cut"])
def test_a_delete_whose_answer_is_lost_is_not_sent_twice(
    server, double, client, web1, how
):
    record = fetch_record(client, 1)
    server.fail("^DELETE", **{how: True})
    assert delete_record(client, record) is True  # what was lost is the answer alone
    assert server.count("^DELETE") == 1


def test_a_422_to_a_delete_is_a_refusal_of_that_host_alone(
    server, double, client, web1
):
    server.fail(
        "^DELETE", 422, {"error": {"full_messages": ["Failed to destroy the VM"]}}
    )
    with pytest.raises(
        Refused, match="returned 422: Failed to destroy the VM"
    ) as raised:
        delete_record(client, fetch_record(client, 1))
    assert not raised.value.no_resource
    assert list(double.hosts) == [1]


# Compute resources


@pytest.mark.parametrize("value", [True, False])
def test_the_setting_that_destroys_vms_is_read(double, client, value):
    double.settings["destroy_vm_on_host_delete"] = value
    assert destroys_vms(client) is value


def test_the_setting_is_unknown_to_a_login_that_may_not_see_it(cleaner):
    assert destroys_vms(cleaner) is None


@pytest.mark.parametrize("value", ["false", "", 0, 1, None, []])
def test_a_setting_that_is_neither_true_nor_false_is_unknown(double, client, value):
    double.settings["destroy_vm_on_host_delete"] = value
    assert destroys_vms(client) is None


def test_a_setting_that_does_not_exist_is_unknown(double, client):
    del double.settings["destroy_vm_on_host_delete"]
    assert destroys_vms(client) is None


@pytest.mark.parametrize(
    "mend", [entry(name="another", id="another"), entry(name=None, id=None)]
)
def test_another_setting_is_not_taken_for_it(server, client, mend):
    """A search that Satellite ignored."""
    change(server, "/api/settings", mend)
    with contextlib.suppress(SatelliteError):
        assert destroys_vms(client) is None


def test_a_satellite_that_breaks_over_its_settings_is_an_error(server, client):
    """Unknown is what Satellite refuses to say, not what it fails to say."""
    server.fail("/api/settings", 500, {"error": {"message": "database"}})
    with pytest.raises(SatelliteError, match="returned 500: database"):
        destroys_vms(client)


def test_a_host_that_is_detached_takes_no_vm_along(server, double, client):
    double.settings["destroy_vm_on_host_delete"] = True
    double.add(
        guest(
            record={
                "compute_resource_id": 1,
                "compute_resource_name": "osp",
                "uuid": UUID,
            }
        )
    )
    disassociate(client, fetch_record(client, 1))
    assert lines(server)[-1] == "PUT /api/hosts/1/disassociate"
    record = fetch_record(client, 1)
    assert record.compute_resource is None
    assert delete_record(client, record) is True
    assert double.destroyed_vms == []


def test_a_host_named_in_digits_is_not_detached_in_place_of_the_one_of_that_number(
    double, client, digits
):
    """Otherwise the VM of the wrong host would lose its compute resource."""
    named, _ = digits
    with contextlib.suppress(SatelliteError):
        disassociate(client, Record(3, "web3.example.com"))
    assert named.record.get("compute_resource_id") == 1


# Secrets

SECRETS = {
    name: f"hush-{name}"
    for name in (
        "root_pass",
        "grub_pass",
        "db_password",
        "API_TOKEN",
        "client-secret",
        "ssh_private_key",
        "cloud_credentials",
        "passphrase",
        "hidden",
    )
}


@pytest.fixture
def secretive(server, double):
    """A host that is full of secrets, in a Satellite that shows them all."""
    parameters = {
        name: value for name, value in SECRETS.items() if not name.endswith("_pass")
    }
    double.add(
        guest(
            parameters={**parameters, "role": "web"},
            record={
                name: value for name, value in SECRETS.items() if name.endswith("_pass")
            },
        )
    )

    def show(body):
        if "error" in body:
            return body
        for kind in ("parameters", "all_parameters"):
            body[kind] = [
                {**one, "hidden_value?": one["name"] == "hidden"} for one in body[kind]
            ]
        return {
            **body,
            **{
                name: value for name, value in SECRETS.items() if name.endswith("_pass")
            },
            "otp": SECRETS["root_pass"],
            "token": SECRETS["API_TOKEN"],
            "registration_token": SECRETS["API_TOKEN"],
        }

    change(server, "GET /api/hosts/1", show)


def told(*texts):
    """The secrets that occur in some texts."""
    everything = {
        **SECRETS,
        "password": "changeme",
        "Basic": base64.b64encode(b"admin:changeme").decode(),
    }
    return {
        name for name, secret in everything.items() for text in texts if secret in text
    }


def test_no_secret_is_logged(caplog, server, double, client, secretive):
    """DELETE returns the raw record, including password hashes."""
    caplog.set_level(logging.DEBUG)
    for call in CALLS.values():
        call(client)
    assert double.deleted == [1]
    assert "DELETE /api/hosts/1" in caplog.text
    assert told(caplog.text) == set()


def test_no_secret_is_put_on_file(client, secretive):
    snapshot = fetch_record(client, 1).snapshot
    assert snapshot["parameters"] == {
        **{name: "(not kept)" for name in SECRETS if not name.endswith("_pass")},
        "role": "web",
    }
    assert told(repr(snapshot)) == set()


def test_a_snapshot_is_enough_to_make_the_entry_again(double, client):
    double.add(
        guest(
            parameters={"role": "web"},
            subscription={
                "uuid": CONSUMER,
                "registered_at": THEN,
                "service_level": "Premium",
                "activation_keys": [{"name": "web"}],
            },
            record={"comment": "shop", "hostgroup_title": "base/web"},
        )
    )
    snapshot = fetch_record(client, 1).snapshot
    assert (
        snapshot["id"],
        snapshot["name"],
        snapshot["comment"],
        snapshot["hostgroup_title"],
    ) == (
        1,
        "web1.example.com",
        "shop",
        "base/web",
    )
    assert (snapshot["organization_name"], snapshot["location_name"]) == (
        "Default Organization",
        "Default Location",
    )
    assert snapshot["subscription_facet_attributes"]["activation_keys"] == [
        {"name": "web"}
    ]
    assert snapshot["content_facet_attributes"]["lifecycle_environment"] == {
        "id": 1,
        "name": "Library",
    }
    assert snapshot["parameters"] == {"role": "web"}


def test_a_record_that_is_printed_tells_no_secret(client, secretive):
    """In a traceback, a failed assertion, a log line of another library."""
    record = fetch_record(client, 1)
    assert told(repr(record), str(record)) == set()


def test_a_login_and_a_client_that_are_printed_tell_no_password(server, client):
    login = Login(server.url, "admin", "changeme")
    assert told(repr(login), str(login), f"{login}", repr(client), str(client)) == set()
    assert "admin" in repr(login)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *(
            (status, {"id": 1, "name": "web1.example.com", **SECRETS})
            for status in (200, 400, 404, 422, 500)
        ),
        (200, [SECRETS]),
        (200, b'{"root_pass": "hush-root_pass"'),
        (502, "hush-root_pass"),
        (401, SECRETS),
        (200, {**SECRETS, "error": {"message": "no"}}),
    ],
)
def test_no_error_tells_a_secret_of_the_answer(
    caplog, server, connect, web1, status, body
):
    caplog.set_level(logging.DEBUG)
    server.fail("", status, body)
    errors = [error for error in outcomes(connect).values() if error]
    assert len(errors) >= len(CALLS) - len(TOLERANT) - 2
    for error in errors:
        assert (
            told(
                str(error),
                repr(error),
                "".join(
                    traceback.format_exception(type(error), error, error.__traceback__)
                ),
            )
            == set()
        )
    assert told(caplog.text) == set()


def test_no_error_tells_the_password_of_a_proxy(monkeypatch, connect):
    monkeypatch.setenv("http_proxy", "http://somebody:changeme@127.0.0.1:1")
    with pytest.raises(SatelliteError, match="not reachable") as raised:
        connect().about()
    assert told(str(raised.value)) == set()


def test_a_proxy_that_no_library_takes_is_refused_without_its_password(
    monkeypatch, connect
):
    monkeypatch.setenv("http_proxy", "http://somebody:changeme@")
    with pytest.raises(OSPConfigError, match="^http_proxy must look like") as raised:
        connect()
    assert told(str(raised.value)) == set()


# Texts in searches


@pytest.mark.parametrize(
    "text",
    ['a "quoted" name', "back\\slash", '\\"', "(a or b)", "100%", "", "ends in \\"],
)
def test_any_text_is_one_value_of_a_search(double, client, text):
    double.organizations[SECOND] = text
    assert organization_id(client, text) == SECOND


def test_quotes_and_backslashes_are_escaped():
    assert quoted('a "b" \\') == '"a \\"b\\" \\\\"'
