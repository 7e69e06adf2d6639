"""Remove the Satellite host records of terminated OpenStack instances, and no others.

Where things are, from what a person types down to what decides (imports run downwards only):

cli, commands/      the commands; cli turns errors into one line and an exit code cleanup
the story of a run: observe, judge, plan, apply; signs: what events told it checkers            who
asks the clouds: survey (from here) or a job (remote_execution, answer) osp_checker         one
region of OpenStack: does this instance exist, and how sure is that inventory           every host
and what it is: a glance at all, a closer look at few satellite           Satellite's API; restore:
a deleted entry made again; unmanaged: servers without an entry judge, plan, identity, model
the rules, the guard rails, what facts say, the words: all pure journal             what was missing
since when, and every deletion with its evidence report, page, metrics, logs         what is told,
to people and to machines settings, hammer, searches          configuration: ours, hammer's, and
what Satellite would take for another search doctor, maintenance whether all is in place deadline,
durations the end of every run; files: written whole or not at all events, schedule/, packaging/
how it is called: by Foreman's events, by cron or systemd, from an RPM sandbox/            a
Satellite and an OpenStack in memory: the demo, and the tests' double
"""
