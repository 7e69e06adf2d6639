"""The secrets of both sides, each with a marker of its own, and the places where none may be.

To add a secret: a line in PARAMETERS, or an entry in `plant`.  To add a place: an entry in
`places`.  Markers are plain words, so that only the place of a secret says that it is one.
"""

import base64
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from conftest import Stage
from sandbox.keystone import Token
from sandbox.openstack import Account, ApplicationCredential
from sandbox.satellite import User
from sandbox.server import Answer, Request

from .echoes import Handle
from .scene import host_named

# Usual names of host parameters that hold a secret; {} is the marker in its value.
_NAMES = """
password  passwd  pass  pwd  passphrase  root_pw  rootpw  root_pass  root_password_hash
grub_pass  grub_password  ipmi_password  bmc_pass  idrac_pw  ilo_pw  vnc_passwd  wifi_psk
secret  client_secret  shared_secret  radius_secret  tacacs_key  aws_secret_access_key
token  access_token  api_token  join_token  vault_token  consul_token  bearer  jwt
api_key  apikey  auth_key  cluster_key  session_key  encryption_key  luks_key  license_key
private_key  ssh_private_key  ssl_key  tls_key  keystore_pass  keytab  host_key  gpg_key
bind_pw  bindpw  bind_password  ldap_pw  ldap_bind_password  ldapPassword  LDAP-PW
snmp_community  snmp_auth_key  snmpv3_priv  snmpv3_auth  snmp_ro  snmp_rw
db_pass  db_password  dbPw  mysql_root_password  pg_pass  postgres_pw  oracle_pw
database_url=postgres://app:{}@db.example.com/app  dsn=mysql://app:{}@db/app
connection_string=Server=db;User=app;Password={}  conn_str=user:{}@db  jdbc=jdbc:x:app/{}@db
amqp_url=amqp://app:{}@mq/app  redis_url=redis://:{}@cache:6379/0  smtp_url=smtp://a:{}@mail
proxy=http://user:{}@proxy.example.com:3128  repo=https://repo.example.com/?token={}
webhook=https://hooks.example.com/services/T000/{}  git=https://x:{}@git.example.com/a.git
ansible_become_pass  ansible_ssh_pass  smtp_pass  mail_pw  zabbix_psk  nagios_pw  ipa_otp
registration_code  activation_key  puppet_autosign_psk  pin  credentials  cookie  otp_seed
"""
PARAMETERS = _NAMES.split()


def marker(number: int) -> str:
    """A plain word that is nowhere else."""
    return f"marten{number:03}"


def parameters() -> dict[str, str]:
    """Name -> value of a parameter, with a marker in each."""
    values = {}
    for number, entry in enumerate(PARAMETERS, 100):
        name, _, form = entry.partition("=")
        values[name] = (form or "{}").replace("{}", marker(number))
    return values


# Every other secret, by what it is; of these, each way to log in uses one.
SECRETS = (
    "satellite.password in our file",
    "personal access token in a password_file",
    "password in hammer's file",
    "FOREMAN_PASSWORD",
    "password in clouds.yaml",
    "password in secure.yaml",
    "application credential",
    "token in clouds.yaml",
    "OS_PASSWORD",
    "another variable of the environment",
    "password of a proxy",
    "root_pass of a host",
    "grub_pass of a host",
    "token of a host",
)
SATELLITE_LOGINS = SECRETS[:4]
OPENSTACK_LOGINS = SECRETS[4:9]
USER, ACCOUNT, PROXY_USER = "admin", "hider", "proxy-user"


class Hidden:
    """The secrets of one test: `markers` has name -> marker."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.markers: dict[str, str] = {}
        for number, entry in enumerate(PARAMETERS, 100):
            self.markers[f"parameter {entry}"] = marker(number)
        for number, name in enumerate(SECRETS):
            self.markers[name] = marker(number)
        for name in SATELLITE_LOGINS:
            self.markers[f"header with {name}"] = self._basic(USER, name)
        proxy = "password of a proxy"
        self.markers[f"header with {proxy}"] = self._basic(PROXY_USER, proxy)

    def _basic(self, user: str, name: str) -> str:
        return base64.b64encode(f"{user}:{self[name]}".encode()).decode()

    def __getitem__(self, name: str) -> str:
        return self.markers[name]

    def all(self) -> dict[str, str]:
        """Name -> secret, also those that the servers made themselves."""
        tokens = set(self.stage.openstack._tokens) - {self["token in clouds.yaml"]}
        sessions = self.stage.satellite.sessions
        issued = {secret: secret for secret in (*tokens, *sessions)}
        return {**self.markers, **issued}

    def within(self, text: str) -> set[str]:
        """The names of the secrets in a text."""
        return {name for name, secret in self.all().items() if secret in text}


def plant(stage: Stage) -> Hidden:
    """Put a marker into every secret of both sides."""
    hidden = Hidden(stage)
    password, *tokens = (hidden[name] for name in SATELLITE_LOGINS)
    stage.satellite.users[USER] = User(USER, password, tokens=tokens)
    account = Account(ACCOUNT, hidden["password in clouds.yaml"])
    stage.openstack.accounts.append(account)
    for name in ("password in secure.yaml", "OS_PASSWORD"):
        stage.openstack.accounts.append(Account(ACCOUNT, hidden[name]))
    stage.openstack.application_credentials.append(
        ApplicationCredential("app", hidden["application credential"], ACCOUNT)
    )
    for name in ("old", "other", "third"):
        stage.terminated(name)
        host = host_named(stage, name)
        host.parameters = {**parameters(), "role": "web"}
        host.record.update(
            root_pass=hidden["root_pass of a host"],
            grub_pass=hidden["grub_pass of a host"],
            token=hidden["token of a host"],
        )
    stage.host("unmanaged-server")
    stage.satellite.hosts.pop(max(stage.satellite.hosts))
    for variable in ("FOREMAN_TOKEN", "OS_TOKEN_FILE", "BACKUP_PASSPHRASE"):
        value = hidden["another variable of the environment"]
        stage.monkeypatch.setenv(variable, value)
    give_token(stage, hidden)
    return hidden


def give_token(stage: Stage, hidden: Hidden) -> None:
    """Have Keystone know the token of clouds.yaml."""
    now = time.time()
    stage.openstack._tokens[hidden["token in clouds.yaml"]] = Token(
        stage.openstack.accounts[-1], True, "password", now, now + 3600
    )


# The configuration, in a folder where secrets may be


def private(stage: Stage, name: str, content: Any) -> Path:
    """Write a file, as YAML, where secrets may be; the home of the user is there as well."""
    path = stage.folder / "private" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    path.write_text(text)
    path.chmod(0o600)
    return path


def configuration(
    stage: Stage,
    hidden: Hidden,
    satellite: str = SATELLITE_LOGINS[0],
    openstack: str = OPENSTACK_LOGINS[0],
    **sections: Any,
) -> Path:
    """Configure these ways to log in; returns our own file."""
    stage.monkeypatch.setenv("HOME", str(stage.folder / "private"))
    clouds = _log_in_to_openstack(stage, hidden, openstack)
    login = _log_in_to_satellite(stage, hidden, satellite)
    content = {
        "satellite": {"url": stage.foreman.url, **login},
        "journal": str(stage.folder / "journal.sqlite3"),
        "policy": {"max_fraction": 1.0},
        "clouds": clouds,
        "deadline": "20s",
        **sections,
    }
    return private(stage, "config.yml", content)


def _log_in_to_satellite(stage: Stage, hidden: Hidden, name: str) -> dict[str, str]:
    """The keys of our file for that login; writes other files, sets variables."""
    secret = hidden[name]
    if name == "FOREMAN_PASSWORD":
        stage.monkeypatch.setenv("FOREMAN_USERNAME", USER)
        stage.monkeypatch.setenv("FOREMAN_PASSWORD", secret)
        return {}
    if name == "personal access token in a password_file":
        path = private(stage, "password", secret)
        return {"username": USER, "password_file": str(path)}
    if name == "password in hammer's file":
        login = {":host": stage.foreman.url, ":username": USER, ":password": secret}
        private(stage, ".hammer/cli.modules.d/foreman.yml", {":foreman": login})
        return {}
    return {"username": USER, "password": secret}


def _log_in_to_openstack(stage: Stage, hidden: Hidden, name: str) -> Any:
    """The clouds of our file for that login; writes other files, sets variables."""
    secret = hidden[name]
    url = f"{stage.osp.url}/v3"
    user = {
        "auth_url": url,
        "username": ACCOUNT,
        "password": secret,
        "project_name": "admin",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }
    if name == "OS_PASSWORD":
        for key, value in {**user, "region_name": "RegionOne"}.items():
            stage.monkeypatch.setenv(f"OS_{key.upper()}", value)
        stage.openstack.regions = ["RegionOne"]
        return None
    auth, kind = user, "password"
    if name == "application credential":
        kind = "v3applicationcredential"
        auth = {"auth_url": url, "application_credential_id": "app"}
        auth["application_credential_secret"] = secret
    elif name == "token in clouds.yaml":
        kind = "v3token"
        auth = {"auth_url": url, "token": secret, "project_name": "admin"}
        auth["project_domain_name"] = "Default"
    elif name == "password in secure.yaml":
        part = {"clouds": {"prod": {"auth": {"password": auth.pop("password")}}}}
        secure = private(stage, "secure.yaml", part)
        stage.monkeypatch.setenv("OS_CLIENT_SECURE_FILE", str(secure))
    cloud = {"region_name": "RegionOne", "auth_type": kind, "auth": auth}
    path = private(stage, "clouds.yaml", {"clouds": {"prod": cloud}})
    stage.monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    entry = {"cloud": "prod", "regions": ["RegionOne"]}
    return [{**entry, "ignore_regions": ["RegionTwo"]}]


def behind_a_proxy(stage: Stage, hidden: Hidden, address: str) -> None:
    """Have both servers asked through a proxy that requires a password."""
    login = f"{PROXY_USER}:{hidden['password of a proxy']}"
    stage.monkeypatch.setenv("http_proxy", f"http://{login}@{address}")


# Where secrets can be seen

HOOK = """#!/bin/sh
cat /proc/[0-9]*/cmdline | tr '\\0' ' ' >>{folder}/hook-processes
env >>{folder}/hook-environment
cat >>{folder}/hook-event
echo failed >&2; exit 1
"""


def places(stage: Stage) -> dict[str, str]:
    """Name -> content of everything that a command left: all files but the private ones."""
    contents = {}
    for folder, names, files in os.walk(stage.folder):
        if "private" in names:
            names.remove("private")
        for name in files:
            path = Path(folder, name)
            label = str(path.relative_to(stage.folder))
            contents[label] = path.read_bytes().decode("latin-1")
    return contents


class Processes:
    """The command lines of all processes at each request that a server gets."""

    def __init__(self, stage: Stage) -> None:
        self.lines: set[str] = set()
        for server in (stage.foreman, stage.osp):
            server.handle = self._looking(server.handle)

    def _looking(self, handle: Handle) -> Handle:
        def handle_and_look(request: Request) -> Answer:
            self.look()
            return handle(request)

        return handle_and_look

    def look(self) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it has ended
                self.lines.add(path.read_bytes().decode("latin-1"))
