"""A real nova-api for each region: databases, configuration, server process and instances."""

from __future__ import annotations

import contextlib
import datetime
import json
import shutil
import socket
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import world
from .program import Program

START_SECONDS = 120  # 3 s when nothing else runs
# And 60 more for each thousand instances (10 s when nothing else runs).
WRITE_SECONDS = 60
CREATE_SECONDS = 300  # 10 s when nothing else runs
MAX_LIMIT = 1000  # Nova's default
# The address of a database that does not run: nothing listens on port 1.
NOWHERE = "mysql+pymysql://nova:x@127.0.0.1:1/nova_cell"

CONFIGURATION = """\
[DEFAULT]
host = live
my_ip = 127.0.0.1
transport_url = fake:///
state_path = {folder}
log_file = {log}.log
[api_database]
connection = sqlite:///{folder}/api.db
sqlite_synchronous = false
max_retries = 1
[database]
connection = sqlite:///{folder}/cell0.db
sqlite_synchronous = false
max_retries = 1
retry_interval = 0
[api]
auth_strategy = keystone
max_limit = {max_limit}
[oslo_policy]
policy_file = {folder}/policy.yaml
[oslo_concurrency]
lock_path = {folder}/lock
[keystone_authtoken]
www_authenticate_uri = {keystone}
{login}
# Ask Keystone each time, so that a revoked token is refused at once.
token_cache_time = -1
service_token_roles_required = true
[neutron]
endpoint_override = {neutron}
region_name = {region}
{login}
"""
LOGIN = """\
auth_type = password
auth_url = {keystone}
username = nova
password = {password}
project_name = service
user_domain_name = Default
project_domain_name = Default"""


class Nova:
    """The nova-api of every region, in one folder each, on sockets that already listen."""

    def __init__(
        self,
        venv: Path,
        state: Path,
        logs: Path,
        listeners: dict[str, socket.socket],
        keystone: str,
        neutron: str,
    ) -> None:
        self._venv = venv
        self._state = state
        self._logs = logs
        self._listeners = listeners
        self._keystone = keystone
        self._neutron = neutron
        self._program: Program | None = None
        for region in world.REGIONS:
            (state / region).mkdir(parents=True, exist_ok=True)
            shutil.copy(
                venv / "etc" / "nova" / "api-paste.ini",
                state / region / "api-paste.ini",
            )
            self.set_policy(region, {})
            self.set_max_limit(region, MAX_LIMIT)

    @property
    def urls(self) -> dict[str, str]:
        """The endpoint of each region for the catalog."""
        return {
            region: f"http://127.0.0.1:{listener.getsockname()[1]}/v2.1"
            for region, listener in self._listeners.items()
        }

    def start(self) -> None:
        """Start the process that imports Nova; the regions are not served yet."""
        numbers = [listener.fileno() for listener in self._listeners.values()]
        log = self._logs / "nova.out.log"
        self._program = Program(
            self._venv, "run_nova.py", self._state, log=log, listeners=numbers
        )

    def stop(self) -> None:
        """Stop everything; may be called again."""
        if self._program is not None:
            self._program.stop()
            self._program = None

    def create(self) -> None:
        """Make the databases of every region."""
        for region, cells in world.REGIONS.items():
            self._tell(CREATE_SECONDS, do="create", region=region, cells=list(cells))

    def serve(self, region: str) -> None:
        """Serve the region and return when it answers."""
        listener = self._listeners[region].fileno()
        self._tell(
            START_SECONDS,
            do="serve",
            region=region,
            listener=listener,
            log=str(self._logs / region),
        )

    def restart(self, region: str) -> None:
        """Have the region's nova-api read its configuration and its list of cells again."""
        self._tell(START_SECONDS, do="stop", region=region)
        self.serve(region)

    def add(
        self,
        looks: dict[str, world.Instance],
        uuids: dict[str, str],
        projects: dict[str, str],
        owner: str,
    ) -> None:
        """Put the instances (label -> look) into the databases under these UUIDs.

        `projects`: name -> id.  `owner`: the id of the user that owns them.
        """
        actions: dict[str, list[dict[str, Any]]] = {
            region: [] for region in world.REGIONS
        }
        for label, look in looks.items():
            fields = asdict(look)
            here = actions[fields.pop("region")]
            project, terminated = (
                projects[fields.pop("project")],
                fields.pop("terminated"),
            )
            names = {
                "uuid": uuids[label],
                "name": label.replace("/", "-"),
                "project_id": project,
                "user_id": owner,
            }
            here.append({"do": "add", **names, **fields})
            if terminated:
                here.append(
                    _termination(
                        uuids[label], datetime.datetime.now(datetime.timezone.utc)
                    )
                )
        for region, here in actions.items():
            self._write(region, here)

    def terminate(self, region: str, uuid: str, when: datetime.datetime) -> None:
        """Delete the instance as of `when`, by default in UTC; its row stays as a tombstone."""
        self._write(region, [_termination(uuid, when)])

    def _write(self, region: str, actions: list[dict[str, Any]]) -> None:
        if actions:
            self._tell(
                WRITE_SECONDS * (1 + len(actions) / 1000),
                do="write",
                region=region,
                actions=actions,
            )

    def _tell(self, seconds: float, **command: Any) -> None:
        assert self._program is not None
        self._program.tell(command, seconds)

    def set_policy(self, region: str, rules: dict[str, str]) -> None:
        """Set the rules that differ from Nova's own; they hold from the next request on."""
        (self._state / region / "policy.yaml").write_text(json.dumps(rules))

    def set_max_limit(self, region: str, limit: int) -> None:
        """Set how many servers a page of a list has at most, as of the next restart."""
        folder = self._state / region
        password, _ = world.USERS["nova"]
        login = LOGIN.format(keystone=self._keystone, password=password)
        places = {
            "folder": folder,
            "log": self._logs / region,
            "keystone": self._keystone,
            "neutron": self._neutron,
        }
        (folder / "nova.conf").write_text(
            CONFIGURATION.format(max_limit=limit, login=login, region=region, **places)
        )

    def set_cell(self, region: str, cell: str, state: str) -> None:
        """Set a cell's database as of the next restart.

        "up": its own.  "down": one that refuses connections.  "empty": one without rows.  Does the
        same as nova-manage cell_v2 update_cell, but does not check that the database answers.
        """
        folder = self._state / region
        if state == "empty":
            shutil.copy(folder / "empty.db", folder / f"{cell}-empty.db")
        url = {
            "up": f"sqlite:///{folder}/{cell}.db",
            "empty": f"sqlite:///{folder}/{cell}-empty.db",
            "down": NOWHERE,
        }
        with _open(folder / "api.db") as database:
            database.execute(
                "UPDATE cell_mappings SET database_connection = ? WHERE name = ?",
                (url[state], cell),
            )

    def copy(self, region: str, template: str, uuids: Sequence[str]) -> None:
        """Give these UUIDs all rows of the instance `template`, in place of any of their own.

        For thousands of instances at once: `add` and `terminate` take 40 ms for each.
        """
        self.purge(region, uuids)
        for path in (self._state / region).glob("*.db"):
            with _open(path) as database:
                for table, column in _instance_columns(database):
                    _copy_rows(database, table, column, template, uuids)

    def mark_deleted(
        self, region: str, uuids: Iterable[str], when: datetime.datetime
    ) -> None:
        """Make copied rows deleted ones as of `when`: Nova marks them by their own number."""
        text = when.astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")
        stamps = [(text, text, text, uuid) for uuid in uuids]
        for cell in world.REGIONS[region]:
            with _open(self._state / region / f"{cell}.db") as database:
                database.executemany(
                    "UPDATE instances SET terminated_at = ?, deleted_at = ?, updated_at = ?, "
                    "deleted = id WHERE uuid = ?",
                    stamps,
                )

    def purge(self, region: str, uuids: Iterable[str]) -> None:
        """Remove every trace of the instances, as nova-manage archive_deleted_rows --purge does."""
        gone = [(uuid,) for uuid in uuids]
        for path in (self._state / region).glob("*.db"):
            with _open(path) as database:
                for table, column in _instance_columns(database):
                    database.executemany(
                        f"DELETE FROM {table} WHERE {column} = ?", gone
                    )


def _termination(uuid: str, when: datetime.datetime) -> dict[str, Any]:
    utc = (
        when.astimezone(datetime.timezone.utc)
        if when.tzinfo
        else when.replace(tzinfo=datetime.timezone.utc)
    )
    return {
        "do": "terminate",
        "uuid": uuid,
        "when": utc.replace(microsecond=0).isoformat(),
    }


@contextlib.contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database; commits at the end of the block, and waits while nova-api writes."""
    database = sqlite3.connect(str(path), timeout=30)
    try:
        with database:
            yield database
    finally:
        database.close()


def _copy_rows(
    database: sqlite3.Connection,
    table: str,
    column: str,
    template: str,
    uuids: Iterable[str],
) -> None:
    """Copy the rows of an instance for each of these UUIDs; they get numbers of their own."""
    query = f"SELECT * FROM {table} WHERE {column} = ?"
    rows = database.execute(query, (template,))
    names = [description[0] for description in rows.description]
    copied = [name for name in names if name not in ("id", column)]
    places = ", ".join("?" * (len(copied) + 1))
    insertion = (
        f"INSERT INTO {table} ({', '.join([column, *copied])}) VALUES ({places})"
    )
    for row in rows.fetchall():
        values = dict(zip(names, row))
        others = [values[name] for name in copied]
        database.executemany(insertion, [(uuid, *others) for uuid in uuids])


def _instance_columns(database: sqlite3.Connection) -> list[tuple[str, str]]:
    """(table, column) of every column with the UUID of an instance."""
    tables = [
        row[0]
        for row in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        )
    ]
    uuid_columns = [("instances", "uuid")] if "instances" in tables else []
    for table in tables:
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        uuid_columns += [
            (table, column) for column in columns if column == "instance_uuid"
        ]
    return uuid_columns
