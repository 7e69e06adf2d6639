"""A snapshot keeps only values that cannot be secrets."""

from __future__ import annotations

import random
import string
from typing import Any

import pytest

from foreman_hooks.satellite.harmless import (
    is_harmless,
    is_harmless_name,
    is_harmless_value,
)

USUAL: dict[str, Any] = {
    "role": "web",
    "site": "berlin",
    "environment": "production",
    "tier": "db",
    "ntp_server": "ntp1.example.com",
    "timezone": "Europe/Berlin",
    "keyboard": "de",
    "locale": "en_US.UTF-8",
    "host_packages": "vim tmux",
    "enable_epel": True,
    "host_registration_insights": False,
    "host_registration_remote_execution": "true",
    "kt_env": "Library",
    "osp_cleanup_protect": "because I say so",
    "http_proxy": "http://proxy.example.com:3128",
    "http_proxy_port": "3128",
    "remote_execution_ssh_user": "rex",
    "remote_execution_ssh_port": 22,
    "remote_execution_effective_user_method": "su",
    "dns_domain": "example.com",
    "selinux_mode": "enforcing",
    "kickstart_liveimg": "/srv/live.img",
    "owner_team": "Team Blue",
    "cost_center": "4711",
    "backup_window": "02:00-04:00",
    "maintenance_until": "2026-12-01",
    "installed": "2026-11-26 19:29:09 UTC",
    "os_version": "9.4",
    "agent_version": "v1.20.3",
    "swap_size": "2048",
    "package_upgrade": "true",
    "time_server": "192.0.2.1",
    "network": "10.0.0.0/8",
    "ipv6": "2001:db8::1",
    "contact": "ops@example.com",
    "rack": "R12-U07",
    "datacenter": "fra1",
    "puppet_server": "puppet.example.com",
    "fips_enabled": "false",
    "description": "Shop of the east",
    "mtu": 9000,
    "vlan": "120",
    "load_limit": 0.75,
    "interfaces": ["eth0", "eth1"],
    "vendor": "RedHat",
    "product": "OpenStack Compute",
    "partition": "lvm-default",
    "repo": "https://repo.example.com/rhel/9",
    "login_banner": "welcome",
    "realm": "EXAMPLE.COM",
    "disk_layout": {"root": "20", "var": "40"},
    "nothing": "",
    "unset": None,
}

SECRET_NAMES = str.split("""
    bind_pw ldap_pw snmp_community connection vault sudo_hash root_pass rootpw db_password
    dbPassword PGPASSWORD api_key apikey APIKey secret client-secret token auth_token
    private_key remote_execution_ssh_keys psk wifi_psk otp totp_seed pin admin_pin salt dsn
    database.dsn conn_string connection_string sqlalchemy_connection jdbc_url keytab cookie
    session_id bearer jwt hmac webhook passphrase p4ssw0rd passwd1 pw2 bindPW LDAPPw grub_crypt
    shadow user_pwd credentials cert_pem ssl_certificate license activation_key access_code
    unlock signature kennwort mypass mailpass snmpCommunity gpg_key rsa base64_blob pat sas_uri
    oauth_client db-pw db:pw fernet_key bind_dn otp:seed snmp_ro snmp_rw snmpv3_priv
""")

SECRET_VALUES: list[Any] = [
    "hunter2!",
    "s3cret",
    "Passw0rd",
    "c2VjcmV0cGFzcw==",
    "aGVsbG8gd29ybGQ",
    "$6$abc$def",
    "$2b$12$abcdefghijk",
    "{SSHA}abcdef",
    "https://user:word@example.com/",
    "postgres://u:p@h/db",
    "mongodb+srv://a:b@c",
    "//user:word@host/share",
    "admin:changeit@db.example.com",
    "http://example.com/?token=abc",
    "https://hooks.example.com/services/T00000000/B0000/XXXXXXXX",
    "-----BEGIN PRIVATE KEY-----",
    "web\nshop",
    "deadbeefcafe",
    "d41d8cd98f00b204e9800998ecf8427e",
    "6d1b7e2c-93f4-43a1-a1ab-25c7d1f5a3f7",
    "0xDEADBEEF",
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "xoxb-123456789012-abcdef",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.sig",
    "JBSWY3DPEHPK3PXP",
    "123456789",
    1234567,
    3.14159265,
    "xkqzvbnt",
    "qwrtpsdf",
    "Tr0ub4dor&3",
    "horse-battery-staple-9f3",
    "zXcVbNmK",
    "ABCD-EFGH-IJKL-MNOP",
    "1234-5678-9012-3456",
    "pass=word",
    "p@ssw0rd",
    "the password is web",
    "x" * 200,
    "ключ",
    "%24secret",
    "a b c d e f g h i",
    {"password": "web"},
    {"ldap": {"bind_pw": "web"}},
    ["web", "s3cret"],
    ["web"] * 21,
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB",
    "QWxhZGRpbjpvcGVuIHNlc2FtZQ",
    "uK3v9QxZ",
    b"web",
    "a\x1bb",
]


@pytest.mark.parametrize(("name", "value"), USUAL.items())
def test_a_usual_parameter_is_kept(name: str, value: Any) -> None:
    assert is_harmless(name, value)


@pytest.mark.parametrize("name", [*SECRET_NAMES, "", "größe", "a" * 101, "role\n"])
def test_a_parameter_with_a_secret_name_is_not_kept_whatever_its_value(
    name: str,
) -> None:
    assert not is_harmless(name, "web")
    assert not is_harmless(name.upper(), True)


@pytest.mark.parametrize("value", SECRET_VALUES)
def test_a_value_that_may_be_a_secret_is_not_kept_whatever_its_name(value: Any) -> None:
    assert not is_harmless("role", value)


def test_name_and_value_are_judged_separately() -> None:
    assert is_harmless_name("role") and is_harmless_value("web")
    assert not is_harmless("role", "s3cret") and not is_harmless("db_pw", "web")


@pytest.mark.parametrize(
    "alphabet",
    [
        string.ascii_letters + string.digits,
        string.hexdigits,
        string.ascii_uppercase + "234567",
        string.ascii_letters + string.digits + "+/",
        string.printable,
    ],
)
def test_random_secrets_are_hardly_ever_kept(alphabet: str) -> None:
    dice = random.Random(1)
    values = ["".join(dice.choices(alphabet, k=16)) for _ in range(2000)]
    assert sum(map(is_harmless_value, values)) <= 10


def test_a_deep_or_long_value_takes_neither_time_nor_stack() -> None:
    assert not is_harmless_value("a" * 1_000_000)
    assert not is_harmless_value("-".join(["web"] * 25) + "!")
    nested: Any = "web"
    for _ in range(100_000):
        nested = [nested]
    assert not is_harmless_value(nested)
