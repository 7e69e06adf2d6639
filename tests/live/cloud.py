"""A cloud for tests: a real Keystone and two real nova-apis, with switches to break them.

The nova-apis are those of two regions; all servers listen on 127.0.0.1.

>>> with Cloud() as cloud:
...     cloud.clouds_yaml(path)             # right and wrong ways to log in
...     cloud.instances["cell1/active"]     # a UUID; world.py has all labels
...     cloud.cell2("down")                 # then see what the product does
...     cloud.reset()
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import itertools
import json
import shutil
import tempfile
from collections.abc import Iterable
from itertools import cycle
from pathlib import Path
from typing import Any

from keystoneauth1.session import Session

from . import world
from .environment import environment
from .nova import MAX_LIMIT
from .stack import MANIFEST, Stack, template

POLICIES: dict[str, dict[str, str]] = {
    "default": {},
    "documented": world.DOCUMENTED_POLICY,
    "least-privilege": world.LEAST_PRIVILEGE_POLICY,
}
REGION = "RegionOne"  # the region that the switches change


class Cloud:
    """Starts with `start` or as a context manager; `reset` puts all switches back.

    `state` is a new folder for databases and logs, which is kept; without it a temporary folder is
    used and removed.  If a server does not start or does not obey, LiveCloudError has the reason
    and the end of the log.
    """

    # name -> {"id", "password", "project" (None: the whole cloud), "roles"}
    users: dict[str, dict[str, Any]]
    # name -> id
    projects: dict[str, str]
    # "good", "deleted", "expired" -> {"id", "secret"}, of admin
    application_credentials: dict[str, dict[str, str]]
    # label -> UUID, also of purged instances
    instances: dict[str, str]

    def __init__(self, state: Path | None = None) -> None:
        self._given_state = state
        self._stack: Stack | None = None
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Cloud:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # -- start and stop

    def start(self) -> Cloud:
        """Start all servers and return when they answer (6 s; the very first time 90 s more)."""
        venv = environment()
        ready_made = template(venv)
        atexit.register(self.stop)
        try:
            self._start(venv, ready_made)
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self, venv: Path, ready_made: Path) -> None:
        self._state = self._given_state or self._temporary_state()
        shutil.copytree(
            ready_made,
            self._state,
            ignore=shutil.ignore_patterns("log"),
            dirs_exist_ok=True,
        )
        self._remember(json.loads((self._state / MANIFEST).read_text()))
        self._stack = Stack(venv, self._state)
        self._closing.callback(self._stack.stop)
        self._stack.start()

    def _temporary_state(self) -> Path:
        return Path(
            self._closing.enter_context(
                tempfile.TemporaryDirectory(prefix="satellite-osp-cleanup-live-")
            )
        )

    def _remember(self, manifest: dict[str, Any]) -> None:
        self.projects = manifest["projects"]
        self.application_credentials = manifest["application_credentials"]
        self.users = {
            name: {
                "id": manifest["users"][name],
                "password": password,
                "project": None if grants[0][1] == world.SYSTEM else grants[0][1],
                "roles": grants,
            }
            for name, (password, grants) in world.USERS.items()
        }
        self.instances = {
            label: world.uuid_of(label) for label in (*world.INSTANCES, world.PURGED)
        }
        self._added: dict[str, world.Instance] = {}
        self._bulk: dict[str, str] = {}
        self._cell2, self._max_limit, self._policy = "up", MAX_LIMIT, "default"
        self._good_deleted = False
        self._serials = itertools.count(1)

    def stop(self) -> None:
        """Stop all servers; may be called again."""
        atexit.unregister(self.stop)
        self._closing.close()
        self._stack = None

    @property
    def _running(self) -> Stack:
        assert self._stack is not None, "the cloud is not started"
        return self._stack

    # -- logging in

    @property
    def auth_url(self) -> str:
        """Keystone's URL, with /v3."""
        return self._running.keystone.url

    @property
    def admin(self) -> dict[str, str]:
        """The login that sees everything: "user", "password", "project"."""
        return {
            "user": "admin",
            "password": self.users["admin"]["password"],
            "project": "admin",
        }

    def compute_url(self, region: str = REGION) -> str:
        """The region's compute endpoint in the catalog."""
        return self._running.nova.urls[region]

    def session(self, user: str = "admin", **options: Any) -> Session:
        """A keystoneauth1 session logged in as that user; options are Session's."""
        return self._running.keystone.session(user, **options)

    def token(self, user: str = "admin") -> str:
        """A fresh token of that user."""
        token = self.session(user).get_token()
        assert token is not None
        return token

    def revoke_token(self, token: str) -> None:
        """Have this token refused from now on, also by Nova, which asks Keystone each time."""
        self._running.keystone.revoke_token(token)

    def revoke_tokens(self, user: str = "admin") -> None:
        """Have all present tokens of the user refused; a new login works."""
        self._running.keystone.revoke_tokens(user)

    def delete_application_credential(self, name: str = "good") -> None:
        """Delete an application credential, also in mid-run; `reset` makes a new "good"."""
        self._running.keystone.delete_application_credential(
            self.application_credentials[name]["id"]
        )
        self._good_deleted = self._good_deleted or name == "good"

    def clouds_yaml(self, path: Path, **changes: Any) -> Path:
        """Write a clouds.yaml (as JSON) with the clouds of `_clouds`; returns `path`.

        `changes`: keys to set in every cloud, such as region_name="RegionTwo" or
        auth={"auth_url": …}; None removes a key.
        """
        clouds = {}
        for name, cloud in self._clouds().items():
            changed = {
                **cloud,
                **changes,
                "auth": {**cloud["auth"], **changes.get("auth", {})},
            }
            clouds[name] = {
                key: value for key, value in changed.items() if value is not None
            }
        path.write_text(json.dumps({"clouds": clouds}, indent=1))
        path.chmod(0o600)
        return path

    def _clouds(self) -> dict[str, dict[str, Any]]:
        """The right and the wrong ways to log in, by the name of the cloud."""
        common = {"region_name": REGION, "identity_api_version": 3}
        place = {"auth_url": self.auth_url}

        def password(user: str, password: str | None = None) -> dict[str, Any]:
            who = self.users[user]
            scope = {
                "project_name": who["project"],
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            }
            return {
                **common,
                "auth": {
                    **place,
                    "username": user,
                    "password": password or who["password"],
                    **scope,
                },
            }

        def credential(name: str) -> dict[str, Any]:
            known = self.application_credentials[name]
            keys = {
                f"application_credential_{key}": value for key, value in known.items()
            }
            return {
                **common,
                "auth_type": "v3applicationcredential",
                "auth": {**place, **keys},
            }

        own = {
            "token": self.token(),
            "project_name": "admin",
            "project_domain_name": "Default",
        }
        return {
            "admin": password("admin"),
            "admin-a": password("admin-a"),
            "checker": password("checker"),
            "reader": password("reader-a"),
            "wrong-password": password("admin", "wrong"),
            "no-region": {**password("admin"), "region_name": None},
            "app-cred": credential("good"),
            "app-cred-deleted": credential("deleted"),
            "app-cred-expired": credential("expired"),
            "token": {**common, "auth_type": "v3token", "auth": {**place, **own}},
        }

    # -- switches

    def reset(self) -> None:
        """Put every switch back, and purge the instances of `add` but not those of `seed_bulk`."""
        for where in (*world.REGIONS, "keystone"):
            self.fault(None, where)
        self.neutron(up=True)
        if (self._cell2, self._max_limit) != ("up", MAX_LIMIT):
            self._configure("up", MAX_LIMIT)
        if self._policy != "default":
            self.policy("default")
        if self._good_deleted:
            new = self._running.keystone.create_application_credential(
                f"good-{next(self._serials)}"
            )
            self.application_credentials["good"] = new
            self._good_deleted = False
        self.purge(*self._added)
        for label in self._added:
            del self.instances[label]
        self._added.clear()

    def cell2(self, state: str) -> None:
        """Set cell2 of RegionOne: "up", "down" or "empty"; restarts Nova.

        "down": its database refuses connections.  "empty": another database without rows.
        """
        self._configure(state, self._max_limit)

    def max_limit(self, limit: int) -> None:
        """Set how many servers a page of a list in RegionOne has at most (1000); restarts Nova."""
        self._configure(self._cell2, limit)

    def _configure(self, cell2: str, max_limit: int) -> None:
        self._cell2, self._max_limit = cell2, max_limit
        nova = self._running.nova
        nova.set_cell(REGION, "cell2", cell2)
        nova.set_max_limit(REGION, max_limit)
        nova.restart(REGION)
        self._running.settle(REGION)

    def policy(self, name: str) -> None:
        """Set RegionOne's policy: "default", "documented" or "least-privilege".

        With the others, the role host_checker may list and filter; with the last also show.
        """
        self._policy = name
        self._running.nova.set_policy(REGION, POLICIES[name])
        self._running.settle(REGION)

    def fault(self, spec: dict[str, Any] | None, where: str = REGION) -> None:
        """Have a region or "keystone" answer as servers/faults.py says; None: as usual.

        Use this switch last: the others make requests, which "skip" and "count" count.
        """
        path = self._state / where / "fault.json"
        if spec is None:
            path.unlink(missing_ok=True)
            return
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps({**spec, "serial": next(self._serials)}))
        draft.replace(path)

    def neutron(self, up: bool) -> None:
        """Have Neutron answer, or return 503."""
        self._running.neutron.up = up

    # -- instances

    def add(self, label: str, uuid: str | None = None, **look: Any) -> str:
        """Boot a new instance, which `reset` purges; returns its UUID.

        `look`: the fields of world.Instance.
        """
        if label in self.instances:
            raise ValueError(f"there is an instance {label} already")
        self._added[label] = world.Instance(**look)
        self.instances[label] = uuid or world.uuid_of(label)
        self._add({label: self._added[label]})
        return self.instances[label]

    def terminate(self, label: str, when: datetime.datetime | None = None) -> None:
        """Delete an instance of `add` as of `when` (now); its row stays as a tombstone."""
        now = datetime.datetime.now(datetime.timezone.utc)
        self._running.nova.terminate(
            self._own(label).region, self.instances[label], when or now
        )

    def add_many(self, count: int) -> list[str]:
        """Copy active instances of both cells of RegionOne, thousands at once; `reset` purges them.

        Returns their labels.
        """
        labels = [f"many-{number}" for number in range(count)]
        for label, cell in zip(labels, cycle(world.REGIONS[REGION])):
            self._added[label] = world.Instance(cell=cell)
            self.instances[label] = world.uuid_of(label)
        self._copy_many("active", labels)
        return labels

    def terminate_many(self, labels: Iterable[str]) -> None:
        """Delete instances of `add_many` now: their rows become those of a deleted instance."""
        uuids = self._copy_many("deleted", labels)
        now = datetime.datetime.now(datetime.timezone.utc)
        self._running.nova.mark_deleted(REGION, uuids, now)

    def _copy_many(self, state: str, labels: Iterable[str]) -> list[str]:
        by_cell: dict[str | None, list[str]] = {}
        for label in labels:
            cell = self._own(label).cell
            by_cell.setdefault(cell, []).append(self.instances[label])
        for cell, uuids in by_cell.items():
            template = self.instances[f"{cell}/{state}"]
            self._running.nova.copy(REGION, template, uuids)
        return [uuid for uuids in by_cell.values() for uuid in uuids]

    def purge(self, *labels: str) -> None:
        """Remove every trace of instances of `add`, as archiving the deleted rows does."""
        uuids: dict[str, list[str]] = {}
        for label in labels:
            region = self._own(label).region
            uuids.setdefault(region, []).append(self.instances[label])
        for region, gone in uuids.items():
            self._running.nova.purge(region, gone)

    def seed_bulk(self, count: int) -> dict[str, str]:
        """Give RegionOne that many more active servers than `world` has; returns label -> UUID.

        They are spread over all cells and projects, take 40 ms each, and stay until the cloud
        stops.
        """
        cells, projects = world.REGIONS[REGION], world.PROJECTS[:3]
        looks = {
            f"bulk-{n}": world.Instance(
                cell=cells[n % len(cells)], project=projects[n % len(projects)]
            )
            for n in range(len(self._bulk), count)
        }
        self.instances.update({label: world.uuid_of(label) for label in looks})
        self._add(looks)
        self._bulk.update({label: self.instances[label] for label in looks})
        return dict(self._bulk)

    def _add(self, looks: dict[str, world.Instance]) -> None:
        self._running.nova.add(
            looks, self.instances, self.projects, self.users[world.OWNER]["id"]
        )

    def _own(self, label: str) -> world.Instance:
        if label not in self._added:
            raise ValueError(
                f"{label} belongs to every test: add() an instance for yours"
            )
        return self._added[label]
