"""An OpenStack cloud in memory: a Keystone and, for each region, a Nova, behind one `handle`.

    cloud = OpenStack(regions=("RegionOne", "RegionTwo"))
    cloud.add("RegionOne", Instance(uuid="…", name="web1", project="project-b"))
    with Server(cloud.handle) as server:
        …log in at server.url + "/v3"…

Everything may be changed while it runs; see the attributes of `Keystone` and `Nova`.
"""

from collections.abc import Sequence

from .instances import Instance
from .keystone import Account, ApplicationCredential, Keystone, project_id
from .nova import Nova
from .server import Answer, Request

__all__ = ["Account", "ApplicationCredential", "Instance", "OpenStack", "project_id"]


class OpenStack(Keystone, Nova):
    """One Keystone at /v3 and one Nova a region at /compute/REGION/v2.1; `handle` is safe to call from threads."""

    def __init__(self, *, regions: Sequence[str] = ("RegionOne",),
                 accounts: Sequence[Account] = (Account("admin", "changeme"),),
                 application_credentials: Sequence[ApplicationCredential] = ()) -> None:
        Keystone.__init__(self, regions, accounts, application_credentials)
        Nova.__init__(self, regions)

    def handle(self, request: Request) -> Answer:
        """Answer one request to either service."""
        with self._lock:
            if request.path.startswith("/compute/"):
                return self.compute(request, self.caller(request.headers.get("X-Auth-Token", "")))
            return self.identity(request)
