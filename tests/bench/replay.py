"""The requests of a plan once more, by a bare loop that reads every response and checks nothing.

    python tests/bench/replay.py FOLDER

What a plan needs beyond this is its own: checks, decisions, the journal, the output.  FOLDER has
requests.json, which the world wrote: the paths that each server was asked for.  Both servers are
asked at once, each by as many workers as the program has for it.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local

import requests
from world import LOGIN

READERS = {"satellite": 4, "openstack": 2}


def main(folder: Path) -> None:
    """Print how many responses were read."""
    urls = json.loads((folder / "urls.json").read_text())
    asked = json.loads((folder / "requests.json").read_text())
    thread = local()

    def session() -> requests.Session:
        if not hasattr(thread, "session"):
            thread.session = requests.Session()
            thread.session.auth = (LOGIN["username"], LOGIN["password"])
            thread.session.headers["X-Auth-Token"] = asked["token"]
        own: requests.Session = thread.session
        return own

    def read(url: str) -> int:
        return len(session().get(url, timeout=600).json())

    def read_all(side: str) -> int:
        with ThreadPoolExecutor(READERS[side]) as pool:
            paths = (f"{urls[side]}{path}" for path in asked[side])
            return sum(1 for _ in pool.map(read, paths))

    with ThreadPoolExecutor(2) as sides:
        counts = list(sides.map(read_all, READERS))
    print(f"{sum(counts)} responses read")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
