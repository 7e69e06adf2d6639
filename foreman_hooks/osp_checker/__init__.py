"""Ask OpenStack whether instances still exist: the lightweight checker library.

    from foreman_hooks.osp_checker import Region

    region = Region.open("prod", "RegionOne")            # names from clouds.yaml, or OS_* variables
    for sighting in region.look(["7f3c1f0e-..."]).sightings.values():
        print(sighting.uuid, sighting.presence, sighting.code, sighting.detail)

From the outside in: survey (all clouds at once), region (how "terminated" is decided), login (a
log-in and its catalog), config (clouds.yaml), session (manners towards Keystone), errors (what
went wrong, in words), wire (a survey as a line of text).  It needs nothing else of this package,
so that it travels whole in a job template.
"""
