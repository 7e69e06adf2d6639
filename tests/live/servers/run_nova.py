"""Serve nova-api for several regions, and write into their databases.

Reads JSON commands from stdin.  Importing Nova takes 3 s, and a process can read nova.conf only
once.  So this process imports Nova and reads no configuration, and forks one child for the nova-api
of each region and one for each command that needs a database.

Argument: the folder that has one folder for each region, with api-paste.ini, nova.conf and the
databases.  Everything ends when stdin ends, which also happens when the process that started this
one ends.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
import traceback
import uuid
from pathlib import Path
from typing import Any, Callable

import serving
from faults import Faults

FORK = multiprocessing.get_context("fork")


def main(state: str) -> None:
    """Answer each command, one JSON object a line, with {"error": null} or {"error": text}."""
    serving.die_with_parent()
    answers = serving.claim_stdout()
    sys.argv = ["nova-api"]  # Nova parses it, whichever program runs
    _import_nova()
    host = Host(Path(state))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        for line in sys.stdin:
            print(
                json.dumps({"error": _error_of(host, json.loads(line))}), file=answers
            )
    finally:
        host.stop_all()


def _error_of(host: Host, command: dict[str, Any]) -> str | None:
    try:
        host.obey(**command)
    except Exception:  # the other side raises it again
        return traceback.format_exc()
    return None


def _import_nova() -> None:
    """Import what takes long, once for all children, in the order of nova.wsgi.osapi_compute."""
    from nova import monkey_patch

    monkey_patch.patch(backend="threading")
    import instances  # noqa: F401
    import nova.api.openstack.compute.routes
    import nova.api.openstack.wsgi_app
    import nova.db.migration  # noqa: F401


class Host:
    """The children: a nova-api for each region that is served."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._servers: dict[str, Any] = {}

    def obey(self, do: str, region: str, **arguments: Any) -> None:
        """Carry out one command: "serve", "stop", or a function in WRITERS."""
        if do == "serve":
            self.serve(region, **arguments)
        elif do == "stop":
            self.stop(region)
        else:
            _in_child(WRITERS[do], self._state / region, **arguments)

    def serve(self, region: str, listener: int, log: str) -> None:
        """Start the region's nova-api on a listening socket and return when it can answer."""
        receiver, sender = FORK.Pipe(duplex=False)
        folder = self._state / region
        server = FORK.Process(
            target=_serve, args=(folder, listener, log, sender), daemon=True
        )
        server.start()
        sender.close()
        try:
            receiver.recv()
        except EOFError:
            server.join()
            raise RuntimeError(
                f"nova-api of {region} did not start, see {log}.gunicorn.log"
            ) from None
        self._servers[region] = server

    def stop(self, region: str) -> None:
        """Stop the region's nova-api; a client that connects meanwhile waits for the next one."""
        server = self._servers.pop(region, None)
        if server is not None:  # None: it did not start
            server.terminate()
            server.join()

    def stop_all(self) -> None:
        """Stop every region's nova-api."""
        for region in list(self._servers):
            self.stop(region)


def _serve(folder: Path, listener: int, log: str, sender: Any) -> None:
    serving.die_with_parent()
    os.environ["OS_NOVA_CONFIG_DIR"] = str(folder)

    def load() -> Any:
        from nova.wsgi.osapi_compute import application

        return Faults(application, folder / "fault.json")

    serving.serve(load, listener, log, ready=lambda: sender.send("ready"))


def _in_child(function: Callable[..., None], folder: Path, **arguments: Any) -> None:
    receiver, sender = FORK.Pipe(duplex=False)
    child = FORK.Process(
        target=_call, args=(sender, function, folder, arguments), daemon=True
    )
    child.start()
    sender.close()
    error = receiver.recv()
    child.join()
    if error:
        raise RuntimeError(error)


def _call(
    sender: Any, function: Callable[..., None], folder: Path, arguments: dict[str, Any]
) -> None:
    from nova import config

    serving.die_with_parent()
    try:
        config.parse_args(["nova", "--config-file", str(folder / "nova.conf")])
        function(folder, **arguments)
        sender.send(None)
    except Exception:  # the parent raises it again
        sender.send(traceback.format_exc())


def _create(folder: Path, cells: list[str]) -> None:
    """Make the region's databases: api, cell0, `cells` and empty.db.

    Does the same as api_db, db and cell_v2 of nova-manage.
    """
    from nova import context, objects
    from nova.db import migration

    migration.db_sync(database="api")
    migration.db_sync(database="main")  # nova.conf names cell0
    admin = context.get_admin_context()
    for name in [*cells, "empty"]:
        shutil.copy(folder / "cell0.db", folder / f"{name}.db")
    for cell in ["cell0", *cells]:
        objects.CellMapping(
            admin,
            uuid=objects.CellMapping.CELL0_UUID
            if cell == "cell0"
            else str(uuid.uuid4()),
            name=cell,
            transport_url="none:///" if cell == "cell0" else f"fake:///{cell}",
            database_connection=f"sqlite:///{folder}/{cell}.db",
        ).create()


def _write(folder: Path, actions: list[dict[str, Any]]) -> None:
    import instances

    instances.write(actions)


WRITERS: dict[str, Callable[..., None]] = {"create": _create, "write": _write}

if __name__ == "__main__":
    main(*sys.argv[1:])
