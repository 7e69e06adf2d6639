"""The least that can answer: a bare loop of `requests`, without a check of anything it is told.

    python tests/bench/floor.py FOLDER [prove]

Pulls virt::uuid of all hosts in one page and the ids of all servers, both sides at once, and takes
the set difference.  With `prove` it also finds out which of these are terminated: what made them
(one more fact in the same page), and for each of OpenStack's, with as many workers as the tool has,
a GET and the deleted row; the records come in pages.
"""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from world import LOGIN

PRODUCT = "dmi::system::product_name"
workers = threading.local()


def main(folder: Path, prove: bool) -> None:
    """Print how many hosts no list has, and how many of them are terminated."""
    urls = json.loads((folder / "urls.json").read_text())
    satellite, openstack = urls["satellite"], urls["openstack"]
    login = (LOGIN["username"], LOGIN["password"])
    token = requests.post(
        f"{openstack}/v3/auth/tokens",
        timeout=60,
        json={
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {
                            "name": LOGIN["username"],
                            "password": LOGIN["password"],
                            "domain": {"id": "default"},
                        }
                    },
                },
                "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
            }
        },
    ).headers["X-Subject-Token"]
    nova = f"{openstack}/compute/RegionOne/v2.1"

    def session() -> requests.Session:
        if not hasattr(workers, "session"):
            workers.session = requests.Session()
            workers.session.headers["X-Auth-Token"] = token
            workers.session.auth = login
        found: requests.Session = workers.session
        return found

    def hosts() -> dict[str, dict[str, str]]:
        search = f"fact ^ (virt::uuid, {PRODUCT})" if prove else "fact = virt::uuid"
        found: dict[str, dict[str, str]] = (
            session()
            .get(
                f"{satellite}/api/fact_values",
                timeout=600,
                params={"search": search, "per_page": 10_000_000},
            )
            .json()["results"]
        )
        return found

    def servers() -> set[str]:
        ids: set[str] = set()
        query: dict[str, object] = {"all_tenants": 1, "limit": 1000}
        while True:
            page = (
                session()
                .get(f"{nova}/servers", params=query, timeout=600)
                .json()["servers"]
            )
            if not page:
                return ids
            ids.update(server["id"] for server in page)
            query["marker"] = page[-1]["id"]

    def records(names: list[str]) -> list[dict[str, object]]:
        page: list[dict[str, object]] = (
            session()
            .get(
                f"{satellite}/api/hosts",
                timeout=60,
                params={
                    "search": f"name ^ ({', '.join(names)})",
                    "per_page": 100,
                    "include[]": "all_parameters",
                },
            )
            .json()["results"]
        )
        return page

    def is_terminated(uuid: str) -> bool:
        gone = session().get(f"{nova}/servers/{uuid}", timeout=60).status_code == 404
        rows = (
            session()
            .get(
                f"{nova}/servers/detail",
                timeout=60,
                params={
                    "all_tenants": 1,
                    "uuid": uuid,
                    "changes-since": "2000-01-01T00:00:00Z",
                },
            )
            .json()["servers"]
        )
        return gone and [row["status"] for row in rows] == ["DELETED"]

    with ThreadPoolExecutor(8) as pool, ThreadPoolExecutor(4) as readers:
        asked = pool.submit(servers)
        facts = hosts()
        alive = asked.result()
        rest = {
            name: found
            for name, found in facts.items()
            if found["virt::uuid"].lower() not in alive
        }
        doomed = {
            name: found["virt::uuid"].lower()
            for name, found in rest.items()
            if "OpenStack" in found.get(PRODUCT, "")
        }
        names = list(doomed)
        found = readers.map(
            records, (names[start : start + 100] for start in range(0, len(names), 100))
        )
        terminated = sum(pool.map(is_terminated, doomed.values()))
        assert all(
            record["subscription_facet_attributes"] for page in found for record in page
        )
    print(
        f"{len(facts)} hosts, {len(alive)} servers, {len(rest)} in no list, {terminated} terminated"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] == ["prove"])
