"""The least work that gives an answer: a bare loop of `requests` that checks no response.

    python tests/bench/floor.py FOLDER [prove]

Reads virt::uuid of all hosts in one page and the ids of all servers, both at once, and takes the
set difference.  With `prove` it also finds out which of these are terminated.  For that it reads
one more fact in the same page (the product), Nova's deleted rows, and the host records, all of them
in pages.
"""

import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from world import LOGIN

PRODUCT = "dmi::system::product_name"
workers = threading.local()


def main(folder: Path, prove: bool) -> None:
    """Print how many hosts are in no list, and how many of them are terminated."""
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
        worker_session: requests.Session = workers.session
        return worker_session

    def hosts() -> dict[str, dict[str, str]]:
        search = f"fact ^ (virt::uuid, {PRODUCT})" if prove else "fact = virt::uuid"
        facts_of_hosts: dict[str, dict[str, str]] = (
            session()
            .get(
                f"{satellite}/api/fact_values",
                timeout=600,
                params={"search": search, "per_page": 10_000_000},
            )
            .json()["results"]
        )
        return facts_of_hosts

    def listed(path: str, **filters: str) -> Iterator[dict[str, str]]:
        query: dict[str, object] = {"all_tenants": 1, "limit": 1000, **filters}
        while True:
            answer = session().get(f"{nova}{path}", params=query, timeout=600)
            page = answer.json()["servers"]
            if not page:
                return
            yield from page
            query["marker"] = page[-1]["id"]

    def servers() -> set[str]:
        return {server["id"] for server in listed("/servers")}

    def deleted() -> set[str]:
        long_ago = {"changes-since": "2000-01-01T00:00:00Z"}
        rows = listed("/servers/detail", deleted="True", **long_ago)
        return {row["id"] for row in rows if row["status"] == "DELETED"}

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

    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(4) as readers:
        asked = pool.submit(servers)
        facts = hosts()
        alive = asked.result()
        missing = {
            name: host_facts
            for name, host_facts in facts.items()
            if host_facts["virt::uuid"].lower() not in alive
        }
        doomed = {
            name: host_facts["virt::uuid"].lower()
            for name, host_facts in missing.items()
            if "OpenStack" in host_facts.get(PRODUCT, "")
        }
        names = list(doomed)
        pages = readers.map(
            records, (names[start : start + 100] for start in range(0, len(names), 100))
        )
        terminated = len(deleted() & set(doomed.values())) if prove else 0
        assert all(
            record["subscription_facet_attributes"] for page in pages for record in page
        )
    print(
        f"{len(facts)} hosts, {len(alive)} servers, "
        f"{len(missing)} in no list, {terminated} terminated"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] == ["prove"])
