"""The first way that was ever published, for a few hosts: look each of them up by itself.

    python tests/bench/one_by_one.py FOLDER HOST...

For every host: its virt::uuid from Satellite as hammer asks for it, then a log-in of its own, then
the full list of all servers with all details.
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
    found = 0
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
        found += facts[name]["virt::uuid"].lower() in {server.id for server in servers}
    print(f"{found} of {len(names)} have a server")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
