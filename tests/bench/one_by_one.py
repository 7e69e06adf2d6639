"""The method of the first article about this problem, for a few hosts: look up each one alone.

    python tests/bench/one_by_one.py FOLDER HOST...

For each host it reads virt::uuid from Satellite as hammer does, logs in to OpenStack, and lists all
servers with all details.
"""

import json
import sys
from pathlib import Path

import requests
from keystoneauth1 import session
from keystoneauth1.identity import v3
from novaclient import client
from world import LOGIN


def main(folder: Path, names: list[str]) -> None:
    """Print how many of these hosts have a server."""
    urls = json.loads((folder / "urls.json").read_text())
    existing = 0
    for name in names:
        facts = requests.get(
            f"{urls['satellite']}/api/fact_values",
            timeout=60,
            params={
                "search": f"host={name} and fact=virt::uuid",
                "page": 1,
                "per_page": 20,
            },
            auth=(LOGIN["username"], LOGIN["password"]),
        ).json()["results"]
        auth = v3.Password(
            auth_url=f"{urls['openstack']}/v3",
            **LOGIN,
            project_name="admin",
            user_domain_name="Default",
            project_domain_name="Default",
        )
        nova = client.Client(
            "2.1", session=session.Session(auth=auth), region_name="RegionOne"
        )
        servers = nova.servers.list(search_opts={"all_tenants": 1}, limit=-1)
        existing += facts[name]["virt::uuid"].lower() in {
            server.id for server in servers
        }
    print(f"{existing} of {len(names)} have a server")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
