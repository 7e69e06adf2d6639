"""Logins, clouds.yaml and the catalog: which Nova is asked, how often, and the error messages."""

import os
import re
import ssl
import threading
import time
import traceback
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
import requests
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sandbox.openstack import (
    Account,
    ApplicationCredential,
    Instance,
    OpenStack,
    project_id,
)
from sandbox.server import Answer, Fault, Server

from foreman_hooks.osp_checker.checker import CloudScope, LocalChecker
from foreman_hooks.osp_checker.config import cloud_entry, cloud_names, region_names
from foreman_hooks.osp_checker.errors import (
    OSPConfigError,
    OSPError,
    OSPForbidden,
    OSPLoginError,
    gist,
    shown,
)
from foreman_hooks.osp_checker.pace import PATIENCE
from foreman_hooks.osp_checker.region import Region
from foreman_hooks.osp_checker.server_list import list_uuids
from foreman_hooks.osp_checker.session import heed_environment
from foreman_hooks.osp_checker.sightings import Presence

X = "1b4e28ba-2fa1-41d2-883f-b9a761bde3fb"
CANARY = "0a11afee-0000-4000-8000-000000000001"
ONE, TWO = "RegionOne", "RegionTwo"
LOG_IN = "POST /v3/auth/tokens"


class Site:
    """A cloud with two regions and a server of another project in each, and a clouds.yaml."""

    def __init__(self, server, cloud, folder):
        self.server, self.cloud, self.path = server, cloud, folder / "clouds.yaml"
        for region in (ONE, TWO):
            cloud.add(region, Instance(CANARY, project="shop"))
        self.auth = {
            "auth_url": f"{server.url}/v3",
            "username": "admin",
            "password": "changeme",
            "project_name": "ops",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        self.write()

    def write(self, auth=None, **entry):
        """Write a clouds.yaml with one cloud, prod; keys that are None are left out."""
        merged = {**self.auth, **(auth or {})}
        self.write_all(
            prod={
                "region_name": ONE,
                "auth": {
                    key: value for key, value in merged.items() if value is not None
                },
                **entry,
            }
        )

    def write_all(self, **clouds):
        self.path.write_text(yaml.safe_dump({"clouds": clouds}))

    def entry(self, **more):
        return {"region_name": ONE, "auth": self.auth, **more}

    def fail(self, pattern, status, body="", headers=None, **how):
        self.server.faults.append(
            Fault(pattern, Answer(status, body, headers or {}), **how)
        )
        return self.server.faults[-1]

    def refuse(self, status, message, **how):
        return self.fail(
            LOG_IN,
            status,
            {"error": {"code": status, "message": message, "title": "x"}},
            **how,
        )

    def add(self, region=ONE, uuid=X, **more):
        self.cloud.add(region, Instance(uuid, project="shop", **more))

    @property
    def log_ins(self):
        return self.server.count(LOG_IN)


@pytest.fixture
def site(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("OS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(
        "foreman_hooks.osp_checker.session._ONE_MORE_TRY", {503: 0.0, 504: 0.0}
    )
    cloud = OpenStack(
        regions=(ONE, TWO),
        accounts=[Account("admin", "changeme", "ops")],
        application_credentials=[
            ApplicationCredential("5ca1ab1e", "sesame", account="admin")
        ],
    )
    with Server(cloud.handle) as server:
        site = Site(server, cloud, tmp_path)
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(site.path))
        yield site


def checked(*scopes):
    """A checker that logged in everywhere."""
    checker = LocalChecker(scopes or [CloudScope("prod")])
    checker.open()
    return checker


def refused(kind=OSPError, cloud="prod", region=ONE):
    """The message of the error that the login ends with, which has to be of exactly this class."""
    with pytest.raises(OSPError) as caught:
        Region.open(cloud, region)
    assert type(caught.value) is kind, caught.value
    return str(caught.value)


def presence(region=ONE):
    return Region.open("prod", region).ask(X).presence


# Which regions


@pytest.mark.filterwarnings("ignore:Comma separated lists")
@pytest.mark.parametrize(
    "named", [[ONE, TWO], f"{ONE},{TWO}", f"{ONE}, {TWO}"], ids=str
)
def test_every_region_in_region_name_is_asked(site, named):
    site.add(TWO)
    site.write(region_name=named)
    assert region_names("prod") == [ONE, TWO]
    assert [sighting.presence for sighting in checked().ask([X]).of(X)] == [
        Presence.ABSENT,
        Presence.PRESENT,
    ]


def test_the_regions_of_a_vendor_profile_are_asked(site, tmp_path, monkeypatch):
    """openstacksdk reads them from a file next to clouds.yaml."""
    vendors = tmp_path / "clouds-public.yaml"
    vendors.write_text(
        yaml.safe_dump({"public-clouds": {"acme": {"regions": [ONE, TWO]}}})
    )
    monkeypatch.setattr("openstack.config.loader.VENDOR_FILES", [str(vendors)])
    site.write_all(prod={"profile": "acme", "auth": site.auth})
    assert set(checked().regions) == {("prod", ONE), ("prod", TWO)}


def test_a_region_with_another_credential_logs_in_separately(site):
    site.cloud.accounts.append(Account("other", "changeme", "ops"))
    site.write(
        region_name=None,
        regions=[ONE, {"name": TWO, "values": {"auth": {"username": "other"}}}],
    )
    assert set(checked().regions) == {("prod", ONE), ("prod", TWO)}
    users = [
        request.json()["auth"]["identity"]["password"]["user"]["name"]
        for request in site.server.requests
        if request.method == "POST"
    ]
    assert sorted(users) == ["admin", "other"]


# Regions that nobody names


def test_a_compute_region_of_the_catalog_that_is_not_in_scope_is_named(site):
    assert [region.unlisted for region in checked().ask([X]).regions] == [(TWO,)]


@pytest.mark.parametrize(
    "scope",
    [CloudScope("prod", (ONE, TWO)), CloudScope("prod", (ONE,), ignore_regions=(TWO,))],
    ids=["asked", "ignored"],
)
def test_a_region_that_is_asked_or_ignored_is_not_named(site, scope):
    assert {region.unlisted for region in checked(scope).ask([X]).regions} == {()}


def test_naming_one_region_does_not_ignore_the_others(site):
    assert checked(CloudScope("prod", (ONE,))).unlisted == {("prod", ONE): (TWO,)}


def test_a_region_that_another_entry_of_the_same_cloud_asks_is_not_named(site):
    site.write_all(prod=site.entry(), second=site.entry(region_name=TWO))
    assert set(checked(CloudScope("prod"), CloudScope("second")).unlisted.values()) == {
        ()
    }


def test_a_region_of_the_same_name_in_another_cloud_does_not_count(site):
    with Server(
        OpenStack(regions=(TWO,), accounts=[Account("admin", "changeme", "ops")]).handle
    ) as elsewhere:
        there = {**site.auth, "auth_url": f"{elsewhere.url}/v3"}
        site.write_all(prod=site.entry(), second={"region_name": TWO, "auth": there})
        assert checked(CloudScope("prod"), CloudScope("second")).unlisted[
            "prod", ONE
        ] == (TWO,)


def test_a_region_that_is_in_scope_and_fails_is_an_error_and_is_not_named(site):
    site.cloud.more_compute.append(("nova-two", TWO, "{url}/compute/RegionOne/v2.1"))
    checker = checked(CloudScope("prod", (ONE, TWO)))
    assert list(checker.errors) == [("prod", TWO)]
    assert checker.unlisted == {("prod", ONE): ()}


# Which Nova


@pytest.mark.parametrize(
    "keys",
    [
        {"compute_endpoint_override": "{url}/compute/RegionTwo/v2.1"},
        {"compute_endpoint_override": "{url}/compute/RegionTwo"},
        {"compute_region_name": TWO},
    ],
    ids=str,
)
def test_the_nova_that_openstacksdk_would_ask_is_asked_and_the_regions_own_is_named(
    site, keys
):
    site.add(TWO)
    site.write(
        **{key: value.format(url=site.server.url) for key, value in keys.items()}
    )
    assert presence() is Presence.PRESENT
    assert site.server.count("/compute/RegionOne") == 0
    assert checked().unlisted == {("prod", ONE): (ONE,)}


def test_an_interface_for_compute_alone_is_used(site):
    site.write(compute_interface="admin")
    assert "interface admin" in refused(OSPConfigError)


def test_an_override_outside_of_the_catalog_stands_for_its_region(site):
    site.cloud.compute_urls[ONE] = "http://10.255.255.1/compute/v2.1"
    site.add()
    site.write(compute_endpoint_override=f"{site.server.url}/compute/RegionOne/v2.1")
    assert presence() is Presence.PRESENT
    assert checked().unlisted == {("prod", ONE): (TWO,)}


def test_one_override_does_not_stand_for_two_regions(site):
    for region in (ONE, TWO):
        site.cloud.compute_urls[region] = f"http://10.255.255.1/{region}/v2.1"
    site.write(compute_endpoint_override=f"{site.server.url}/compute/RegionOne/v2.1")
    assert set(checked(CloudScope("prod", (ONE, TWO))).unlisted.values()) == {(TWO,)}


def test_an_override_that_is_not_a_url_is_named(site):
    site.write(compute_endpoint_override="nova.example.com/v2.1")
    assert (
        "compute_endpoint_override 'nova.example.com/v2.1' is not an http(s):// URL"
        in refused(OSPConfigError)
    )


def test_two_compute_services_in_one_region_are_named_with_the_key_that_selects_one(
    site,
):
    site.cloud.more_compute.append(("nova-two", ONE, "{url}/compute/RegionTwo/v2.1"))
    text = refused(OSPConfigError)
    assert "RegionOne has 2 compute endpoints (nova: " in text and "nova-two: " in text
    assert "compute_service_name" in text


def test_the_configured_service_is_asked_and_the_other_one_is_named(site):
    site.cloud.more_compute.append(("nova-two", ONE, "{url}/compute/RegionTwo/v2.1"))
    site.cloud.compute_urls[TWO] = "http://10.255.255.1/v2.1"
    site.add(TWO)
    site.write(compute_service_name="nova-two")
    assert presence() is Presence.PRESENT
    assert checked().unlisted == {("prod", ONE): ("RegionOne/nova", TWO)}
    ignored = CloudScope("prod", ignore_regions=("RegionOne/nova", TWO))
    assert checked(ignored).unlisted == {("prod", ONE): ()}


def test_two_services_with_one_address_are_one_nova(site):
    site.cloud.more_compute.append(("nova-two", ONE, "{url}/compute/RegionOne/v2.1/"))
    site.add()
    assert presence() is Presence.PRESENT
    assert checked().unlisted == {("prod", ONE): (TWO,)}


def test_two_addresses_of_one_service_need_an_override(site):
    site.cloud.more_compute.append(("nova", ONE, "http://[::1]:8774/v2.1"))
    assert "compute_endpoint_override" in refused(OSPConfigError)


def test_an_endpoint_without_a_version_is_found_by_discovery(site):
    site.cloud.compute_urls[ONE] = "{url}/compute/RegionOne"
    site.add()
    assert presence() is Presence.PRESENT
    assert site.server.count("/compute/RegionOne/v2.1/servers/") == 1


def test_an_endpoint_without_any_version_is_named(site):
    site.cloud.compute_urls[ONE] = "{url}/elsewhere"
    assert f"{site.server.url}/elsewhere has no version" in refused(OSPConfigError)


def test_a_redirect_of_nova_is_named_with_its_target(site):
    site.fail(
        "/servers",
        301,
        headers={"Location": "https://nova.example.com:8774/v2.1/servers?token=secret"},
    )
    look = Region.open("prod", ONE).look([X])
    assert look.sightings[X].presence is Presence.UNKNOWN
    assert type(look.error) is OSPConfigError
    assert "redirects to https://nova.example.com:8774/v2.1/servers, which" in str(
        look.error
    )


# Which clouds.yaml

BROKEN = {
    "clouds:\n  prod:\n    auth_type: v3password    interface: public\n": "line 3: not valid YAML",
    "clouds: [": "line 1: not valid YAML",
    "": "no mapping called clouds",
    "clouds: [prod]": "no mapping",
    "clouds: {prod: }": "empty or not a mapping",
    "clouds: {prod: {auth: }}": "auth is empty or not a mapping",
    "clouds: {prof: {}, lab: {}}": "no such cloud; it has lab, prof",
    "\xff\xfe": "not valid YAML",
    "clouds: &a {prod: *a}": "not valid YAML: a value contains itself, line 1",
    "clouds: " + "{" * 51: "not valid YAML: brackets are nested more than 50 deep",
    "clouds: {prod: {api_timeout: 1" + "0" * 400 + "}}": "a number of 401 characters",
    "clouds:\n"
    + "  a0: &a0 {b: 1}\n"
    + "".join(
        f"  a{number}: &a{number} {{<<: [{', '.join([f'*a{number - 1}'] * 9)}]}}\n"
        for number in range(1, 20)
    ): "its aliases and merges make more than 100,000 values",
}


def test_a_cloud_whose_name_is_a_number_is_one_of_the_clouds(site):
    site.path.write_text(yaml.safe_dump({"clouds": {2026: {}, "prod": site.entry()}}))
    assert cloud_names() == ["2026", "prod"]
    assert region_names("prod") == [ONE]


@pytest.mark.parametrize(("text", "problem"), BROKEN.items(), ids=list(BROKEN.values()))
def test_a_broken_file_is_named_with_the_mistake_and_no_other_is_read(
    site, text, problem, monkeypatch
):
    fallback = site.path.with_name("fallback.yaml")
    fallback.write_bytes(site.path.read_bytes())
    monkeypatch.setattr("openstack.config.loader.CONFIG_FILES", [str(fallback)])
    site.path.write_bytes(text.encode("latin-1"))
    for ask in (lambda: Region.open("prod", ONE), lambda: region_names("prod")):
        with pytest.raises(OSPConfigError, match=re.escape(problem)) as caught:
            ask()
        assert str(site.path) in str(caught.value)
    assert site.server.requests == []


def test_a_named_file_that_is_missing_is_an_error(site, monkeypatch):
    fallback = site.path.rename(site.path.with_name("fallback.yaml"))
    monkeypatch.setattr("openstack.config.loader.CONFIG_FILES", [str(fallback)])
    assert f"{site.path}: no such file; correct OS_CLIENT_CONFIG_FILE" in refused(
        OSPConfigError
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_an_error(site):
    site.path.chmod(0)
    assert "cannot be read by this user (Permission denied)" in refused(OSPConfigError)


def test_a_folder_in_place_of_the_file_is_an_error(site):
    site.path.unlink()
    site.path.mkdir()
    assert f"{site.path}: cannot be read by this user (Is a directory)" in refused(
        OSPConfigError
    )


def test_a_broken_first_file_is_not_skipped_if_no_file_is_named(site, monkeypatch):
    broken = site.path.with_name("first.yaml")
    broken.write_text("clouds: [")
    monkeypatch.delenv("OS_CLIENT_CONFIG_FILE")
    monkeypatch.setattr(
        "openstack.config.loader.CONFIG_FILES", [str(broken), str(site.path)]
    )
    assert f"{broken}, line 1" in refused(OSPConfigError)


def test_a_broken_secure_file_is_not_skipped(site, monkeypatch):
    secure = site.path.with_name("secure.yaml")
    secure.write_text("clouds: [")
    monkeypatch.setenv("OS_CLIENT_SECURE_FILE", str(secure))
    assert f"{secure}, line 1" in refused(OSPConfigError)


def test_without_any_file_the_error_says_where_to_put_one(site, monkeypatch):
    monkeypatch.delenv("OS_CLIENT_CONFIG_FILE")
    monkeypatch.setattr("openstack.config.loader.CONFIG_FILES", [])
    with pytest.raises(OSPConfigError, match=r"put one into ~/.config/openstack"):
        cloud_names()
    assert "there is no clouds.yaml" in refused(OSPConfigError)


def test_the_region_knows_its_file_its_address_and_whether_tls_is_checked(site):
    site.write(
        verify=False,
        auth={"auth_url": site.server.url.replace("//", "//user:secret@") + "/v3"},
    )
    log_in = Region.open("prod", ONE).log_in
    assert (log_in.source, log_in.keystone) == (str(site.path), f"{site.server.url}/v3")
    assert not log_in.verified


# Mistakes that are found before anything is sent

NO_LOG_IN = [
    ({"auth": {"password": None}}, "no password is given"),
    ({"auth": {"username": None}}, "no username is given"),
    ({"auth": {"auth_url": None}}, "auth_url is missing"),
    (
        {"auth": {"auth_url": "127.0.0.1:5000/v3"}},
        "auth_url '127.0.0.1:5000/v3' is not an http(s):// URL",
    ),
    ({"auth": {"auth_url": "'http://127.0.0.1:5000/v3'"}}, "is not an http(s):// URL"),
    ({"auth": {"auth_url": "http://[::1/v3"}}, "is not an http(s):// URL"),
    (
        {"auth": {"application_credential_id": "a"}},
        "auth_type password does not take application_credential_id; "
        "set auth_type: v3applicationcredential",
    ),
    (
        {"auth": {"insecure": True}},
        "auth_type password does not take insecure; these belong beside auth",
    ),
    (
        {"auth": {"token": "t"}, "auth_type": "password"},
        "does not take token; remove it from auth (OS_TOKEN)",
    ),
    (
        {
            "auth_type": "token",
            "auth": {"token": "t", "username": None, "password": None},
        },
        "auth_type token does not take user_domain_name",
    ),
    ({"auth_type": "magic"}, "auth_type 'magic' is not known here"),
    ({"auth_type": ""}, "auth_type is empty or none"),
    (
        {"auth_type": "none", "auth": {"endpoint": "http://x"}},
        "auth_type is empty or none",
    ),
    (
        {
            "auth_type": "v3applicationcredential",
            "auth": {
                "application_credential_id": "a",
                "application_credential_secret": "s",
                "username": None,
                "password": None,
                "user_domain_name": None,
                "project_domain_name": None,
            },
        },
        "an application credential brings its project along",
    ),
    ({"api_timeout": "soon"}, "api_timeout 'soon' is not a number"),
    (
        {"cacert": "/nowhere/ca.crt"},
        "there is no CA file /nowhere/ca.crt; correct cacert",
    ),
    ({"auth": {"trust_id": "t"}}, "give only one of project, domain, trust and system"),
]


@pytest.mark.parametrize(
    ("entry", "problem"), NO_LOG_IN, ids=[problem[:40] for _, problem in NO_LOG_IN]
)
def test_a_value_that_cannot_be_sent_is_a_configuration_error_that_names_its_key(
    site, entry, problem
):
    site.write(**entry)
    text = refused(OSPConfigError)
    assert problem in text and "prod" in text
    assert "object" not in text and "__init__" not in text and "changeme" not in text
    assert site.log_ins == 0


def test_a_secure_file_that_is_not_read_is_named(site):
    beside = site.path.with_name("secure.yaml")
    beside.write_text(
        yaml.safe_dump({"clouds": {"prod": {"auth": {"password": "changeme"}}}})
    )
    site.write(auth={"password": None})
    assert f"{beside} is read only if OS_CLIENT_SECURE_FILE names it" in refused(
        OSPConfigError
    )


def test_the_other_clouds_are_asked_if_one_has_no_password(site):
    site.add()
    site.write_all(
        prod=site.entry(),
        empty={"region_name": ONE, "auth": {**site.auth, "password": ""}},
    )
    survey = checked(CloudScope("empty"), CloudScope("prod")).ask([X])
    assert {region.cloud: type(region.error) for region in survey.regions} == {
        "empty": OSPConfigError,
        "prod": type(None),
    }


@pytest.mark.parametrize(("name", "value"), [("OS_TOKEN", "t"), ("OS_AUTH_TYPE", "")])
def test_a_leftover_variable_is_named(site, monkeypatch, name, value):
    for key, text in site.auth.items():
        monkeypatch.setenv(f"OS_{key.upper()}", text)
    monkeypatch.setenv(name, value)
    assert name in refused(OSPConfigError, cloud=None)


# What Keystone answers

REFUSALS = [
    (401, "The request you have made requires authentication.", "wrong user, password"),
    (
        401,
        "The password is expired and needs to be changed for user: 1.",
        "change the password",
    ),
    (401, "The account is locked for user: 1.", "wait until the lock ends"),
    (401, "The account is disabled for user: 1.", "have it enabled"),
    (
        401,
        "Attempted to authenticate with an unsupported method.",
        "set another auth_type",
    ),
    (401, "Application credentials cannot request a scope.", "remove project_name"),
    (
        400,
        "Expecting to find domain in project. The server could not comply with the request since "
        "it is either malformed or otherwise incorrect. The client is assumed to be in error.",
        "set user_domain_name and project_domain_name",
    ),
    (400, "Something else.", "correct the login in clouds.yaml"),
    (403, "You are not authorized.", "correct the login in clouds.yaml"),
    (404, "Could not find Application Credential: 1.", "make a new one"),
    (404, "Failed to validate token", "the token is expired"),
    (404, "The resource could not be found.", "auth_url probably has a wrong path"),
]


@pytest.mark.parametrize(
    ("status", "message", "advice"),
    REFUSALS,
    ids=[advice[:30] for *_, advice in REFUSALS],
)
def test_a_refusal_has_keystones_words_and_the_right_advice(
    site, status, message, advice
):
    site.refuse(status, message)
    text = refused(OSPLoginError)
    assert f"login to cloud prod at {site.server.url}/v3 by {site.path}: " in text
    assert f"Keystone refuses the login ({status}: {message.rstrip('.')}); " in text
    assert advice in text
    assert "role" not in advice or status == 401


def test_the_error_says_that_an_application_credential_has_a_scope(site):
    site.write_all(
        prod={
            "region_name": ONE,
            "auth_type": "v3applicationcredential",
            "auth": {
                "auth_url": site.auth["auth_url"],
                "application_credential_id": "5ca1ab1e",
                "application_credential_secret": "sesame",
                "project_id": project_id("ops"),
            },
        }
    )
    assert "remove project_name, project_id" in refused(OSPLoginError)


SCOPES = [
    ({}, "has no project; set project_name"),
    ({"system": {"all": True}}, "is scoped to the system"),
    ({"domain": {"id": "default", "name": "Default"}}, "is scoped to a domain"),
]


def token(**more):
    expires = (datetime.now(timezone.utc) + timedelta(hours=1)).strftime(
        "%Y-%m-%dT%H:%M:%S.000000Z"
    )
    domain = {"id": "default", "name": "Default"}
    return {
        "expires_at": expires,
        "issued_at": expires,
        "methods": ["password"],
        "roles": [],
        "user": {"id": "1", "name": "admin", "domain": domain},
        **more,
    }


@pytest.mark.parametrize("roles", [["admin"], "admin", [None], {"a": 1}], ids=str)
def test_a_token_whose_roles_are_no_objects_is_not_keystones(site, roles):
    project = {"id": "p", "name": "admin", "domain": {"id": "d", "name": "Default"}}
    body = {"token": token(roles=roles, project=project)}
    site.fail(LOG_IN, 201, body, {"X-Subject-Token": "t"})
    assert "correct auth_url" in refused(OSPError)


@pytest.mark.parametrize(("scope", "problem"), SCOPES, ids=["none", "system", "domain"])
def test_the_error_says_that_a_token_has_no_project_and_blames_no_role_or_region(
    site, scope, problem
):
    site.fail(LOG_IN, 201, {"token": token(**scope)}, {"X-Subject-Token": "t"})
    assert problem in refused(OSPConfigError)


def test_a_403_that_is_not_novas_own_does_not_mention_roles(site):
    site.fail("/servers", 403, "<html>Forbidden</html>")
    with pytest.raises(OSPError, match="not Nova's own") as caught:
        list_uuids(Region.open("prod", ONE))
    assert type(caught.value) is OSPError


def test_novas_own_403_mentions_roles(site):
    site.fail(
        "/servers",
        403,
        {"forbidden": {"code": 403, "message": "Policy doesn't allow it."}},
    )
    with pytest.raises(OSPForbidden, match="role"):
        list_uuids(Region.open("prod", ONE))


@pytest.mark.parametrize(
    "answer", [(200, "<html>"), (201, []), (201, {"token": None}), (302, "")], ids=str
)
def test_a_response_that_is_not_keystones_is_described_without_python_words(
    site, answer
):
    site.fail(LOG_IN, *answer)
    text = refused(OSPError)
    assert "correct auth_url" in text
    assert not re.search(r"Error|NoneType|object|subscript", text)


def test_no_message_is_cut_within_a_word():
    words = " ".join(f"word{number}" for number in range(200))
    assert re.fullmatch(r"(word\d+ )+\.\.\.", gist(words))
    assert set(gist(words).split()[:-1]) <= set(words.split())


@pytest.mark.parametrize(
    ("url", "printed"),
    [
        ("https://user:secret@host:5000/v3?token=x#y", "https://host:5000/v3"),
        ("http://[::1/v3", "(a URL that cannot be read)"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url, printed):
    assert shown(url) == printed


# How often


def test_one_login_serves_all_regions_of_a_cloud(site):
    survey = checked(CloudScope("prod", (ONE, TWO))).ask([X])
    assert [region.error for region in survey.regions] == [None, None]
    assert site.log_ins == 1


def test_entries_with_the_same_login_share_it(site):
    site.write_all(prod=site.entry(), second=site.entry(region_name=TWO))
    assert len(checked(CloudScope("prod"), CloudScope("second")).regions) == 2
    assert site.log_ins == 1


def test_a_refused_login_is_tried_once_however_many_regions_and_entries_use_it(site):
    wrong = {**site.auth, "password": "typo"}
    site.write_all(
        prod={"region_name": ONE, "auth": wrong},
        second={
            "region_name": TWO,
            "auth": {
                **wrong,
                "project_name": "shop",
                "auth_url": f"{site.server.url}/v3/",
            },
        },
    )
    survey = checked(
        CloudScope("prod", (ONE, TWO, "R3", "R4")), CloudScope("second")
    ).ask([X])
    assert site.log_ins == 1
    assert len(survey.regions) == 5
    assert {type(region.error) for region in survey.regions} == {OSPLoginError}
    assert {str(region.error).partition(": ")[2] for region in survey.regions} == {
        str(survey.regions[0].error).partition(": ")[2]
    }


def test_another_credential_is_tried_after_a_refused_one(site):
    site.write_all(
        prod={"region_name": ONE, "auth": {**site.auth, "password": "typo"}},
        second=site.entry(),
    )
    assert set(checked(CloudScope("prod"), CloudScope("second")).regions) == {
        ("second", ONE)
    }


def test_a_login_refused_in_mid_run_is_not_repeated_by_other_workers_and_regions(
    site,
):
    """Otherwise each of them would try, and some thirty refusals lock the account."""
    checker = checked(CloudScope("prod", (ONE, TWO)))
    for region in checker.regions.values():
        region.prove_visibility()
    site.cloud.accounts[:] = [Account("admin", "changed", "ops")]
    site.cloud.expire_tokens()
    before = site.log_ins
    survey = checker.ask(
        [f"{number:08x}-0000-4000-8000-000000000000" for number in range(40)]
    )
    assert {type(region.error) for region in survey.regions} == {OSPLoginError}
    assert site.log_ins - before == 1


# Patience


@pytest.fixture
def waits(monkeypatch):
    seconds = []
    monkeypatch.setattr(
        "foreman_hooks.osp_checker.session.wait", lambda wait: seconds.append(wait)
    )
    return seconds


@pytest.mark.parametrize("status", [429, 503])
def test_the_checker_waits_for_a_keystone_that_asks_for_patience(site, waits, status):
    site.fail(LOG_IN, status, headers={"Retry-After": "7"}, times=2)
    site.add()
    assert presence() is Presence.PRESENT
    assert waits == [7.0, 7.0]


@pytest.mark.parametrize("status", [503, 504])
def test_a_keystone_that_is_down_for_a_moment_is_asked_once_more(site, status):
    site.fail(LOG_IN, status, times=1)
    site.add()
    assert presence() is Presence.PRESENT
    site.fail(LOG_IN, status)
    assert "Keystone is busy" in refused()
    assert site.log_ins == 4


@pytest.mark.parametrize("seconds", [1, PATIENCE + 1])
def test_a_keystone_that_stays_busy_is_called_busy_and_not_unreachable(
    site, waits, seconds
):
    site.fail(LOG_IN, 429, "Too many", {"Retry-After": str(seconds)})
    text = refused()
    assert "Keystone is busy (429" in text and "reach" not in text
    assert all(wait <= PATIENCE for wait in waits)


def test_logging_in_again_in_mid_run_is_as_patient(site, waits):
    site.add()
    region = Region.open("prod", ONE)
    site.cloud.expire_tokens()
    site.fail(LOG_IN, 429, headers={"Retry-After": "3"}, times=1)
    assert region.ask(X).presence is Presence.PRESENT
    assert waits == [3.0]


# No end


@pytest.mark.parametrize(
    "more", [{}, {"auth_type": "v3password"}], ids=["password", "v3password"]
)
@pytest.mark.filterwarnings("ignore:Failed to discover")
def test_a_keystone_that_wants_a_login_before_it_shows_its_versions_ends_at_once(
    site, more
):
    """keystoneauth1 would wait forever for its own lock."""
    site.fail(
        "GET /v3",
        401,
        {"error": {"code": 401, "message": "no", "title": "Unauthorized"}},
    )
    site.refuse(401, "no")
    site.write(**more)
    ended = []
    thread = threading.Thread(
        target=lambda: ended.append(refused(OSPLoginError)), daemon=True
    )
    thread.start()
    thread.join(20)
    assert ended


def test_a_keystone_that_refuses_only_its_versions_ends_at_once(site):
    site.fail("GET /v3$", 401)
    assert "401 to the request for its versions" in refused(OSPLoginError)
    assert site.log_ins == 0


# Clocks


@pytest.mark.parametrize("minutes", [-6, 6, 60 * 25])
@pytest.mark.parametrize("whose", ["Keystone", "Nova"])
def test_a_clock_that_is_far_from_ours_makes_the_region_unknown(site, whose, minutes):
    setattr(site.cloud, f"{whose.lower()}_ahead", minutes * 60.0)
    [region] = checked().ask([X]).regions
    direction = "ahead of" if minutes > 0 else "behind"
    assert type(region.error) is OSPError
    assert (
        f"the clock of {whose} is {abs(minutes)} minutes {direction} ours; synchronise both"
        in str(region.error)
    )


@pytest.mark.parametrize("minutes", [-4, 4])
def test_a_clock_that_is_a_little_off_is_fine(site, minutes):
    site.cloud.keystone_ahead = site.cloud.nova_ahead = minutes * 60.0
    assert [region.error for region in checked().ask([X]).regions] == [None]


def test_a_clock_that_jumps_in_mid_run_is_noticed(site):
    region = Region.open("prod", ONE)
    region.prove_visibility()
    site.cloud.nova_ahead = 3600.0
    assert "60 minutes ahead" in str(region.look([X]).error)


def test_a_clock_that_is_set_back_in_mid_run_does_not_stop_it(site, monkeypatch):
    region = Region.open("prod", ONE)
    slept: list[float] = []
    yesterday = SimpleNamespace(time=lambda: time.time() - 86_400, sleep=slept.append)
    monkeypatch.setattr("keystoneauth1._fair_semaphore.time", yesterday)
    assert region.look([CANARY]).error is None
    assert slept == []


# The environment


@pytest.mark.parametrize("variable", ["no_proxy", "https_proxy"])
def test_netrc_is_never_sent_even_if_a_proxy_variable_is_set(
    site, monkeypatch, variable
):
    netrc = site.path.with_name("netrc")
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv(
        variable, "127.0.0.1" if variable == "no_proxy" else "http://127.0.0.1:9"
    )
    site.add()
    assert presence() is Presence.PRESENT
    assert not any(request.headers["Authorization"] for request in site.server.requests)


# TLS and connections


def certificate(folder, *, names=("127.0.0.1",), days=(-1, 1)):
    """A self-signed certificate and its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "keystone")])
    now = datetime.now(timezone.utc)
    import ipaddress

    alternative = [x509.IPAddress(ipaddress.ip_address(name)) for name in names]
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


TLS = [
    (
        {},
        False,
        "certificate verify failed: self-signed certificate",
        "name the CA's certificate with cacert",
    ),
    (
        {"days": (-9, -2)},
        True,
        "certificate has expired",
        "have the server's certificate renewed",
    ),
    (
        {"days": (2, 9)},
        True,
        "certificate is not yet valid",
        "compare this host's clock",
    ),
    (
        {"names": ("127.0.0.2",)},
        True,
        "IP address mismatch",
        "use the name that the certificate holds",
    ),
]


@pytest.mark.filterwarnings("ignore:Failed to discover")
@pytest.mark.parametrize(
    ("look", "trusted", "reason", "advice"), TLS, ids=[row[2][-20:] for row in TLS]
)
def test_the_error_says_why_tls_fails_and_what_to_do(
    site, tmp_path, look, trusted, reason, advice
):
    path = certificate(tmp_path, **look)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server = Server(site.cloud.handle)
    server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
    with server:
        site.write(
            auth={"auth_url": server.url.replace("http:", "https:") + "/v3"},
            **({"cacert": str(path)} if trusted else {}),
        )
        text = refused()
    text = text.replace("self signed", "self-signed")
    # The second wording is that of urllib3 1.
    assert reason in text or (
        "mismatch" in reason and "doesn't match '127.0.0.2'" in text
    )
    assert advice in text and "/v3" in text


@pytest.mark.filterwarnings("ignore:Failed to discover")
def test_the_error_says_that_a_port_speaks_http_and_not_https(site):
    site.write(auth={"auth_url": site.server.url.replace("http:", "https:") + "/v3"})
    assert "plain http?" in refused()


UNREACHABLE = [
    ("http://127.0.0.1:1/v3", "connection refused"),
    ("http://nowhere.invalid/v3", "name is not resolved"),
]


@pytest.mark.filterwarnings("ignore:Failed to discover")
@pytest.mark.parametrize(("url", "reason"), UNREACHABLE)
def test_the_error_says_why_a_connection_fails(site, url, reason):
    site.write(auth={"auth_url": url})
    text = refused()
    assert reason in text and url in text
    assert "Errno" not in text and "HTTPConnection" not in text


@pytest.mark.filterwarnings("ignore:Failed to discover")
def test_a_proxy_that_does_not_answer_is_named_as_the_proxy(site, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    text = refused()
    assert "the proxy cannot be used" in text and "no_proxy" in text


@pytest.mark.parametrize(
    "url",
    ["http://a:hush@", "http://a:hush/b@c:1", "a:hush@c:99999", "http://a:hush@[::1"],
)
def test_a_proxy_that_no_library_takes_is_refused_without_its_password(
    site, monkeypatch, url
):
    monkeypatch.setenv("HTTPS_PROXY", url)
    assert refused(OSPConfigError).endswith(
        "https_proxy must look like http://proxy.example.com:3128"
    )


@pytest.mark.parametrize("url", ["127.0.0.1:1", "http://a:hush@127.0.0.1:1", "[::1]:1"])
def test_a_proxy_may_have_a_login_and_lack_the_scheme(monkeypatch, url):
    monkeypatch.setenv("http_proxy", url)
    http = requests.Session()
    heed_environment(http, verify=False)
    assert http.trust_env


def test_no_error_repeats_a_login_that_is_in_the_address_of_a_redirect(site):
    elsewhere = "http://127.0.0.1:9/?password=changeme"
    site.fail(LOG_IN, 302, headers={"Location": elsewhere})
    with pytest.raises(OSPError, match="connection refused") as caught:
        Region.open("prod", ONE)
    shown = "".join(traceback.format_exception(None, caught.value, caught.tb))
    assert "Max retries exceeded with url: /?password=***" in shown
    assert "changeme" not in shown


def test_no_error_repeats_the_password_that_keystone_repeats(site):
    site.refuse(400, "not valid: changeme")
    with pytest.raises(OSPError, match=r"not valid: \*\*\*") as caught:
        Region.open("prod", ONE)
    shown = "".join(traceback.format_exception(None, caught.value, caught.tb))
    assert "changeme" not in shown


@pytest.mark.parametrize("url", ["ann:hush@keystone", "https://ann:hu/hush@keystone"])
def test_a_login_in_an_auth_url_that_is_not_one_is_not_repeated(site, url):
    site.write({"auth_url": url})
    message = refused(OSPConfigError)
    assert "auth_url '(a URL that cannot be read)' is not an http(s)://" in message


@pytest.mark.parametrize("value", ["*hush", "!!int hush", "!!timestamp hush", "[hush"])
def test_a_password_that_is_not_valid_yaml_is_not_repeated(site, value):
    site.path.write_text(f"clouds: {{prod: {{auth: {{password: {value}}}}}}}\n")
    with pytest.raises(OSPConfigError, match="not valid YAML") as caught:
        cloud_entry("prod", "RegionOne")
    shown = "".join(traceback.format_exception(None, caught.value, None))
    assert "hush" not in shown


def test_a_ca_variable_without_effect_is_named(site, tmp_path, monkeypatch):
    monkeypatch.setenv("OS_CACERT", "/some/ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    server = Server(site.cloud.handle)
    server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
    with server:
        site.write(
            auth={"auth_url": server.url.replace("http:", "https:") + "/v3"},
            auth_type="v3password",
        )
        assert re.search(
            r"\(OS_CACERT.*: no effect on a cloud of clouds.yaml\)", refused()
        )


def test_a_key_without_a_value_is_named_and_not_sent_as_text(site):
    site.write_all(
        prod={"region_name": ONE, "auth": {**site.auth, "project_name": None}}
    )
    assert "project_name is empty in auth" in refused(OSPConfigError)
    assert site.log_ins == 0
