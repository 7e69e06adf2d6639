"""A real Keystone: its database, its server process, its users, projects and credentials."""

from __future__ import annotations

import datetime
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

from keystoneauth1.identity import v3
from keystoneauth1.session import Session

from . import world
from .environment import run
from .program import Program

START_SECONDS = 120  # 4 s when nothing else runs
SECRET = "live-secret"  # of every application credential
IDENTITY = {"service_type": "identity", "interface": "public"}

CONFIGURATION = """\
[DEFAULT]
log_file = {log}.log
[database]
connection = sqlite:///{folder}/keystone.db
sqlite_synchronous = false
[token]
provider = fernet
allow_expired_window = 0
[fernet_tokens]
key_repository = {folder}/fernet-keys
[fernet_receipts]
key_repository = {folder}/fernet-keys
[cache]
enabled = true
backend = oslo_cache.dict
[identity]
password_hash_rounds = 4
"""


class Keystone:
    """Keystone in `folder`, on a socket that already listens, so its URL is known beforehand."""

    def __init__(
        self, venv: Path, folder: Path, log: Path, listener: socket.socket
    ) -> None:
        self._venv = venv
        self._folder = folder
        self._log = log
        self._listener = listener
        self._program: Program | None = None
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v3"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "keystone.conf").write_text(
            CONFIGURATION.format(folder=folder, log=log)
        )

    def create(self) -> None:
        """Make a database that has only the admin."""
        (self._folder / "fernet-keys").mkdir(mode=0o700)
        password, _ = world.USERS["admin"]
        urls = [
            part
            for kind in ("admin", "internal", "public")
            for part in (f"--bootstrap-{kind}-url", self.url)
        ]
        for command in (
            ["db_sync"],
            [
                "fernet_setup",
                "--keystone-user",
                str(self._folder.owner()),
                "--keystone-group",
                self._folder.group(),
            ],
            [
                "bootstrap",
                "--bootstrap-password",
                password,
                "--bootstrap-region-id",
                "RegionOne",
                *urls,
            ],
        ):
            manage = [
                str(self._venv / "bin" / "keystone-manage"),
                "--config-file",
                str(self._folder / "keystone.conf"),
            ]
            run([*manage, *command], Path(f"{self._log}.manage.log"))

    def start(self, nova_urls: dict[str, str]) -> None:
        """Start the server with these compute endpoints (region -> URL) in the catalog."""
        self._set_endpoints(nova_urls)
        number = self._listener.fileno()
        log = Path(f"{self._log}.out.log")
        self._program = Program(
            self._venv,
            "run_keystone.py",
            self._folder,
            number,
            self._log,
            log=log,
            listeners=[number],
        )

    def wait(self) -> None:
        """Return when it answers."""
        assert self._program is not None
        self._program.answer(START_SECONDS)

    def stop(self) -> None:
        """Stop the server; may be called again."""
        if self._program is not None:
            self._program.stop()
            self._program = None

    def _set_endpoints(self, nova_urls: dict[str, str]) -> None:
        services = "SELECT id FROM service WHERE type = ?"
        statement = f"UPDATE endpoint SET url = ? WHERE service_id IN ({services})"
        database = sqlite3.connect(str(self._folder / "keystone.db"))
        with database:
            database.execute(statement, (self.url, "identity"))
            for region, url in nova_urls.items():
                database.execute(
                    statement + " AND region_id = ?", (url, "compute", region)
                )
        database.close()

    def session(self, user: str = "admin", **options: Any) -> Session:
        """A session of that user on its project, or on the whole cloud if its role is for that.

        `options`: those of Session.
        """
        password, ((_, where), *_more) = world.USERS[user]
        scope: dict[str, Any] = {"project_name": where, "project_domain_id": "default"}
        if where == world.SYSTEM:
            scope = {"system_scope": "all"}
        auth = v3.Password(
            auth_url=self.url,
            username=user,
            password=password,
            user_domain_id="default",
            **scope,
        )
        return Session(auth=auth, **options)

    def populate(self) -> tuple[dict[str, str], dict[str, str]]:
        """Make everything in `world` besides the admin.

        Returns the ids of projects and of users by name.
        """
        admin = self.session()
        for name in world.PROJECTS:
            self._post(admin, "/projects", "project", name=name, domain_id="default")
        self._post(admin, "/roles", "role", name=world.CUSTOM_ROLE)
        for name, (password, _) in world.USERS.items():
            if name != "admin":
                self._post(
                    admin,
                    "/users",
                    "user",
                    name=name,
                    password=password,
                    domain_id="default",
                )
        projects, users, roles = (
            self._ids(admin, kind) for kind in ("projects", "users", "roles")
        )
        for name, (_, grants) in world.USERS.items():
            for role, where in grants:
                scope = (
                    "/system"
                    if where == world.SYSTEM
                    else f"/projects/{projects[where]}"
                )
                admin.put(
                    f"{scope}/users/{users[name]}/roles/{roles[role]}",
                    endpoint_filter=IDENTITY,
                )
        self._add_compute_service(admin)
        return projects, users

    def _add_compute_service(self, admin: Session) -> None:
        service = self._post(
            admin, "/services", "service", name="nova", type="compute"
        )["id"]
        for region in world.REGIONS:
            if region != "RegionOne":  # bootstrap has made it
                self._post(admin, "/regions", "region", id=region)
            for interface in ("public", "internal"):
                endpoint = {
                    "service_id": service,
                    "region_id": region,
                    "interface": interface,
                }
                self._post(
                    admin,
                    "/endpoints",
                    "endpoint",
                    url="http://set-at-start.invalid",
                    **endpoint,
                )

    @staticmethod
    def _ids(admin: Session, kind: str) -> dict[str, str]:
        return {
            thing["name"]: thing["id"]
            for thing in admin.get(f"/{kind}", endpoint_filter=IDENTITY).json()[kind]
        }

    @staticmethod
    def _post(admin: Session, path: str, key: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = admin.post(
            path, json={key: body}, endpoint_filter=IDENTITY
        ).json()[key]
        return answer

    def create_application_credential(
        self, name: str, user: str = "admin", expires: datetime.datetime | None = None
    ) -> dict[str, str]:
        """A new credential of that user: its "id" and "secret"."""
        owner = self.session(user)
        body: dict[str, Any] = {"name": name, "secret": SECRET}
        if expires is not None:
            body["expires_at"] = expires.strftime("%Y-%m-%dT%H:%M:%S.%f")
        path = f"/users/{owner.get_user_id()}/application_credentials"
        return {
            "id": self._post(owner, path, "application_credential", **body)["id"],
            "secret": SECRET,
        }

    def delete_application_credential(
        self, credential_id: str, user: str = "admin"
    ) -> None:
        """Delete that user's credential, and with it every token that it obtained."""
        owner = self.session(user)
        path = f"/users/{owner.get_user_id()}/application_credentials/{credential_id}"
        owner.delete(path, endpoint_filter=IDENTITY)

    def revoke_token(self, token: str) -> None:
        """Have Keystone refuse this token from now on."""
        self.session().delete(
            "/auth/tokens", endpoint_filter=IDENTITY, headers={"X-Subject-Token": token}
        )

    def revoke_tokens(self, user: str) -> None:
        """Have Keystone refuse all present tokens of a user, by setting the same password again."""
        admin = self.session("nova")
        password, _ = world.USERS[user]
        user_id = self._ids(admin, "users")[user]
        admin.patch(
            f"/users/{user_id}",
            json={"user": {"password": password}},
            endpoint_filter=IDENTITY,
        )
        # Revocations count in whole seconds: a token issued later in this second would be refused
        # as well.
        time.sleep(1 - time.time() % 1)
