"""All servers of the cloud on one folder of databases, and a ready-made folder in the cache."""

from __future__ import annotations

import contextlib
import datetime
import json
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import world
from .environment import HERE, REQUIREMENTS, cache_folder, digest, locked
from .keystone import Keystone
from .neutron import Neutron
from .nova import Nova

# If one of these files changes, the ready-made databases are made again.
SHAPING = [
    REQUIREMENTS,
    *(HERE / name for name in ("stack.py", "keystone.py", "nova.py", "world.py")),
    *(HERE / "servers" / name for name in ("run_nova.py", "instances.py")),
]
MANIFEST = "manifest.json"


class Stack:
    """Keystone, a nova-api for each region and the stub of Neutron, on free ports of 127.0.0.1.

    The sockets listen from the beginning.  So every URL is known before a server runs, no other
    process can take a port in between, and a client that connects during a restart waits.
    """

    def __init__(self, venv: Path, state: Path) -> None:
        self._closing = contextlib.ExitStack()
        listeners = [
            self._closing.enter_context(_listener())
            for _ in range(1 + len(world.REGIONS))
        ]
        logs = state / "log"
        logs.mkdir(parents=True, exist_ok=True)
        self.neutron = Neutron()
        self._closing.callback(self.neutron.stop)
        self.keystone = Keystone(
            venv, state / "keystone", logs / "keystone", listeners[0]
        )
        self._closing.callback(self.keystone.stop)
        endpoints = dict(zip(world.REGIONS, listeners[1:]))
        self.nova = Nova(
            venv, state, logs, endpoints, self.keystone.url, self.neutron.url
        )
        self._closing.callback(self.nova.stop)

    def start(self) -> None:
        """Start all servers on existing databases, and return when all of them accept a login."""
        self.keystone.start(self.nova.urls)  # starts while Nova starts
        self.nova.start()
        for region, cells in world.REGIONS.items():
            for cell in ("cell0", *cells):
                self.nova.set_cell(region, cell, "up")
            self.nova.serve(region)
        self.keystone.wait()
        for region in world.REGIONS:
            self.settle(region)

    def settle(self, region: str) -> None:
        """Make the first request alone, because it loads the policies.

        Any request at the same time can get a wrong 403 or 503.
        """
        self.keystone.session().get(
            f"{self.nova.urls[region]}/servers?limit=1", raise_exc=False
        )

    def create(self) -> dict[str, Any]:
        """Make all databases with the contents of `world`.

        Returns the users, projects and application credentials.
        """
        self.nova.start()
        with ThreadPoolExecutor() as pool:
            keystone = pool.submit(self.keystone.create)
            self.nova.create()
            keystone.result()
        self.keystone.start(self.nova.urls)
        self.keystone.wait()
        projects, users = self.keystone.populate()
        credentials = {
            name: self.keystone.create_application_credential(name)
            for name in ("good", "deleted")
        }
        self.keystone.delete_application_credential(credentials["deleted"]["id"])
        expiry = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(
            seconds=2
        )
        credentials["expired"] = self.keystone.create_application_credential(
            "expired", expires=expiry
        )
        uuids = {label: world.uuid_of(label) for label in world.INSTANCES}
        self.nova.add(world.INSTANCES, uuids, projects, users[world.OWNER])
        # Usually it has passed long ago.
        while datetime.datetime.now(datetime.timezone.utc) < expiry:
            time.sleep(0.1)
        return {
            "projects": projects,
            "users": users,
            "application_credentials": credentials,
        }

    def stop(self) -> None:
        """Stop everything; may be called again."""
        self._closing.close()


def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=100)


def template(venv: Path) -> Path:
    """A folder with the databases of `Stack.create`, and its result as manifest.json.

    It is made once and then kept.
    """
    folder = cache_folder() / f"{venv.name}-state-{digest(*SHAPING)}"
    with locked(Path(f"{folder}.lock")):
        if not folder.exists():
            draft = Path(f"{folder}.draft")
            shutil.rmtree(draft, ignore_errors=True)  # left by an interrupted run
            stack = Stack(venv, draft)
            try:
                manifest = stack.create()
            finally:
                stack.stop()
            (draft / MANIFEST).write_text(json.dumps(manifest))
            draft.rename(folder)
    return folder
