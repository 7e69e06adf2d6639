"""A double of an OpenStack cloud: a Keystone and, for each region, a Nova, behind one `handle`.

    cloud = OpenStack(regions=("RegionOne", "RegionTwo"))
    cloud.add("RegionOne", Instance(uuid="…", name="web1", project="project-b"))
    with Server(cloud.handle) as server:
        …log in at server.url + "/v3"…

Everything can be changed while it runs; see the attributes of `Keystone` and `Nova`.
"""

import time
from collections.abc import Sequence
from email.utils import formatdate

from .instances import Instance
from .keystone import Account, ApplicationCredential, Keystone, project_id
from .nova import Nova
from .server import Answer, Request

__all__ = ["Account", "ApplicationCredential", "Instance", "OpenStack", "project_id"]


class OpenStack(Keystone, Nova):
    """One Keystone at /v3, and for each region one Nova at /compute/REGION/v2.1.

    `keystone_ahead`, `nova_ahead`: how many seconds their clocks are ahead of ours.
    """

    def __init__(
        self,
        *,
        regions: Sequence[str] = ("RegionOne",),
        accounts: Sequence[Account] = (Account("admin", "changeme"),),
        application_credentials: Sequence[ApplicationCredential] = (),
    ) -> None:
        Keystone.__init__(self, regions, accounts, application_credentials)
        Nova.__init__(self, regions)
        self.keystone_ahead = self.nova_ahead = 0.0

    def handle(self, request: Request) -> Answer:
        """Answer one request to either service; safe to call from several threads."""
        with self._lock:
            if request.path.startswith("/compute/"):
                caller = self.caller(request.headers.get("X-Auth-Token", ""))
                return _dated(self.compute(request, caller), self.nova_ahead)
            return _dated(self.identity(request), self.keystone_ahead)


def _dated(answer: Answer, ahead: float) -> Answer:
    """The answer with the time of a clock that is so many seconds ahead."""
    if not ahead:
        return answer
    date = formatdate(time.time() + ahead, usegmt=True)
    return answer._replace(headers={**answer.headers, "Date": date})
