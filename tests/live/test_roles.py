"""The commands of docs/roles.md for OpenStack, as they stand, on a real Keystone and Nova."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs.pages import ROOT, blocks_in

from foreman_hooks.osp_checker import Presence, Region

from .cloud import REGION, Cloud
from .environment import child_env, environment

pytestmark = pytest.mark.live
PAGE = ROOT / "docs" / "roles.md"
USER = PROJECT = "osp-cleanup"
PASSWORD = "live-osp-cleanup"


def commands() -> Iterator[list[str]]:
    """The words of each openstack command on the page, in their order."""
    for block in blocks_in(PAGE):
        if block.language == "sh":
            for line in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line)
                if words[:1] == ["openstack"]:
                    yield words[1:]


@pytest.fixture(scope="session")
def program() -> Path:
    """The program openstack; found before a test changes the home folder."""
    return environment() / "bin" / "openstack"


def openstack(
    program: Path,
    words: list[str],
    cloud: Cloud,
    user: str,
    password: str,
    project: str,
) -> str:
    """Run a command as that user; returns its output.

    A password is asked for only on a terminal, so here it is an argument.
    """
    login = {
        "OS_AUTH_URL": cloud.auth_url,
        "OS_USERNAME": user,
        "OS_PASSWORD": password,
        "OS_PROJECT_NAME": project,
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_IDENTITY_API_VERSION": "3",
    }
    arguments = [
        f"--password={PASSWORD}" if word == "--password-prompt" else word
        for word in words
    ]
    done = subprocess.run(
        [str(program), *arguments],
        env={**child_env(), **login},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def test_the_commands_make_a_login_that_sees_every_instance(
    program: Path, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *by_admin, credential = commands()
    assert len(by_admin) == 4
    admin = cloud.admin
    for words in by_admin:
        openstack(
            program, words, cloud, admin["user"], admin["password"], admin["project"]
        )
    output = openstack(
        program, [*credential, "--format", "json"], cloud, USER, PASSWORD, PROJECT
    )
    # Older versions of openstack name the columns in small letters.
    made = {key.lower(): value for key, value in json.loads(output).items()}
    cloud.policy("documented")
    write_clouds(tmp_path / "clouds.yaml", cloud, made)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    region = Region.open("prod", REGION)
    alive = region.ask(cloud.instances["cell2/active"])
    assert alive.presence is Presence.PRESENT, alive.detail
    gone = region.ask(cloud.instances["cell1/deleted"])
    assert gone.presence is Presence.DELETED, gone.detail
    purged = region.ask(cloud.instances["purged"])
    assert purged.presence is Presence.UNKNOWN, purged.detail


def write_clouds(path: Path, cloud: Cloud, credential: dict[str, str]) -> None:
    """Write a clouds.yaml with one cloud, `prod`, and this application credential."""
    auth = {
        "auth_url": cloud.auth_url,
        "application_credential_id": credential["id"],
        "application_credential_secret": credential["secret"],
    }
    entry = {
        "region_name": REGION,
        "auth_type": "v3applicationcredential",
        "auth": auth,
    }
    path.write_text(json.dumps({"clouds": {"prod": entry}}))
