"""The secrets of both sides, each with a marker of its own, and the places where none may be.

To add a secret: a line in PARAMETERS, or an entry in `plant`.  To add a place: an entry in
`places`.  Markers are plain words, so that only the place of a secret says that it is one.
"""

import base64
import os
from pathlib import Path
from typing import Any

import yaml
from conftest import Stage
from sandbox.openstack import Account, ApplicationCredential
from sandbox.satellite import User
from sandbox.server import Answer, Request

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


class Hidden:
    """The secrets of one test: `markers` has name -> marker."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.markers: dict[str, str] = {}
        for number, entry in enumerate(PARAMETERS, 100):
            self.markers[f"parameter {entry}"] = marker(number)
        for number, name in enumerate(
            (
                "Satellite's password",
                "password in clouds.yaml",
                "application credential",
                "root_pass",
                "grub_pass",
                "token of a host",
                "password of a proxy",
                "password in an environment",
                "admin password of a server",
            )
        ):
            self.markers[name] = marker(number)
        pair = "admin:" + self["Satellite's password"]
        self.markers["Basic"] = base64.b64encode(pair.encode()).decode()

    def __getitem__(self, name: str) -> str:
        return self.markers[name]

    def issued(self) -> dict[str, str]:
        """Name -> secret that the servers made themselves."""
        tokens = {f"token {token}": token for token in self.stage.openstack._tokens}
        sessions = self.stage.satellite.sessions
        return {**tokens, **{f"session {session}": session for session in sessions}}

    def within(self, text: str) -> set[str]:
        """The names of the secrets in a text."""
        everything = {**self.markers, **self.issued()}
        return {name for name, secret in everything.items() if secret in text}


def plant(stage: Stage) -> Hidden:
    """Put a marker into every secret of both sides."""
    hidden = Hidden(stage)
    stage.satellite.users["admin"] = User("admin", hidden["Satellite's password"])
    stage.openstack.accounts.append(Account("hider", hidden["password in clouds.yaml"]))
    stage.openstack.application_credentials.append(
        ApplicationCredential("app", hidden["application credential"], "hider")
    )
    for name in ("old", "other", "third"):
        stage.terminated(name)
        host = host_named(stage, name)
        host.parameters = {**parameters(), "role": "web"}
        host.record.update(
            root_pass=hidden["root_pass"],
            grub_pass=hidden["grub_pass"],
            token=hidden["token of a host"],
        )
    stage.host("unmanaged-server")
    stage.satellite.hosts.pop(max(stage.satellite.hosts))
    for variable in ("FOREMAN_TOKEN", "OS_TOKEN_FILE", "BACKUP_PASSPHRASE"):
        stage.monkeypatch.setenv(variable, hidden["password in an environment"])
    _write_clouds(stage, hidden)
    return hidden


def _write_clouds(stage: Stage, hidden: Hidden) -> None:
    auth = {
        "auth_url": f"{stage.osp.url}/v3",
        "username": "hider",
        "password": hidden["password in clouds.yaml"],
        "project_name": "admin",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }
    app = {
        "auth_url": f"{stage.osp.url}/v3",
        "application_credential_id": "app",
        "application_credential_secret": hidden["application credential"],
    }
    clouds = {
        "prod": {"region_name": "RegionOne", "auth": auth},
        "app": {
            "region_name": "RegionTwo",
            "auth_type": "v3applicationcredential",
            "auth": app,
        },
    }
    path = stage.folder / "private" / "clouds.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({"clouds": clouds}))
    stage.monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))


def configuration(stage: Stage, hidden: Hidden, **sections: Any) -> Path:
    """The configuration of a run; it lies where secrets may be."""
    login = {
        "url": stage.foreman.url,
        "username": "admin",
        "password": hidden["Satellite's password"],
    }
    path = stage.config(satellite=login, **sections)
    private = stage.folder / "private" / "config.yml"
    private.parent.mkdir(exist_ok=True)
    path.replace(private)
    return private


HOOK = """
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
            contents[str(path.relative_to(stage.folder))] = path.read_bytes().decode(
                "latin-1"
            )
    return contents


# Servers that repeat what they were asked, with its secrets


def _asked(request: Request) -> str:
    return f"{request.line} {dict(request.headers.items())} {request.body!r}"


def echo_satellite(request: Request, status: int) -> Answer:
    """An error in the form of Satellite, with the request in it."""
    text = _asked(request)
    body = {"error": {"message": text, "full_messages": [text], "details": text}}
    return Answer(status, body)


def echo_html(request: Request, status: int) -> Answer:
    """An error page with the request in it."""
    return Answer(status, f"<html>{_asked(request)}</html>")


def echo_openstack(request: Request, status: int) -> Answer:
    """An error in the form of Keystone and Nova, with the request in it."""
    text = _asked(request)
    error = {"code": status, "title": text, "message": text}
    return Answer(status, {"error": error, "computeFault": error})


def echo_redirect(request: Request, status: int) -> Answer:
    """A redirect to an address with the request in it."""
    secret = (request.headers.get("Authorization") or "Basic x").split()[1]
    token = request.headers.get("X-Auth-Token") or secret
    location = f"http://admin:{secret}@127.0.0.1:9/?token={token}"
    return Answer(302, _asked(request), {"Location": location})


def echo_success(request: Request, status: int) -> Answer:
    """A 200 of another form, with the request in it."""
    return Answer(200, {"results": _asked(request), "servers": _asked(request)})


ECHOES = (
    *((echo_satellite, status) for status in (400, 401, 403, 404, 409, 422, 500, 503)),
    *((echo_openstack, status) for status in (400, 401, 403, 404, 409, 500, 503)),
    *((echo_html, status) for status in (200, 401, 500, 502)),
    (echo_redirect, 302),
    (echo_success, 200),
)
