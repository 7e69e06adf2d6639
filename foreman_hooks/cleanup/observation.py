"""What a run learned: the value that the verdicts are made from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from foreman_hooks.cleanup.missing import Missing
from foreman_hooks.cleanup.whereabouts import sightings_of
from foreman_hooks.osp_checker import Place, Survey
from foreman_hooks.rules.verdict import Case
from foreman_hooks.rules.verdicts import Alike
from foreman_hooks.satellite.inventory import IdentifiedHost, ListedHost


@dataclass(frozen=True)
class Observation:
    """Everything that a run learned: enough to judge every host, without raw responses.

    `made_at`: when the run began (aware).  `alive`: the hosts in scope whose instance is in a list
    of servers, those of each region with their verdict.  `hosts`: all others in scope, identified
    by all of their facts.  `counts`: place -> how many hosts of this Satellite are alive there, in
    scope or not.
    """

    made_at: datetime
    alive: Sequence[Alike]
    hosts: Sequence[IdentifiedHost]
    survey: Survey
    counts: Mapping[Place, int]
    missing: Missing

    def everyone(self) -> Iterator[ListedHost]:
        """Yield every host in scope, with its known UUIDs."""
        for group in self.alive:
            for host_id, name, uuid in group.hosts:
                yield ListedHost(host_id, name, (uuid,))
        for host in self.hosts:
            yield ListedHost(host.id, host.name, host.identity.uuids)

    def missing_hosts(self) -> Iterator[IdentifiedHost]:
        """Yield the missing hosts: every cloud answered, and none has them alive."""
        for host in self.hosts:
            if host.id in self.missing.histories:
                yield host

    def case(self, host: IdentifiedHost) -> Case:
        """Everything that the rules need to know of one host."""
        sightings = sightings_of(host.identity.uuids, self.survey)
        return self.missing.case(host, sightings, self.survey.regions)
