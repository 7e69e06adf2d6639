"""Remove the Satellite host records of terminated OpenStack instances, and no others.

The rooms, from the command line down to the checker; each imports only from those below it:

commands/     the command line, one file a command; main.py dispatches
reports/      what people and machines read: listings, the HTML page, metrics, logs
cleanup/      the story of a run: observe, judge, plan, apply; the journal of it; doctor
hooks/        what Foreman, cron and systemd call: events, their spool, the schedule; hooks.d
settings, section
              the configuration: ours, hammer's, and the environment; one section of our file
satellite/    Satellite's API, its hosts, its remote execution jobs, hammer's files
rules/        pure: who a host is, the verdict on it, the guard rails of a plan
errors, files, paths, times, unreadable
              exit codes; atomic writes; where things are; time spans; why a file cannot be read
osp_checker/  the checker library: does this instance exist; travels in a job template
"""
