"""Remove the Satellite host records of terminated OpenStack instances, and no others.

The rooms, from what a person calls down to what decides; each imports only from those below it:

commands/     the command line, one file a command; main.py dispatches
reports/      what people and machines read: listings, the HTML page, metrics, logs
cleanup/      the story of a run: observe, judge, plan, apply; the journal of it; doctor
hooks/        what Foreman, cron and systemd call: events, their spool, the schedule
settings      the configuration: ours, hammer's, and the environment
satellite/    Satellite's API, its hosts, its remote execution jobs, hammer's files
rules/        pure: who a host is, the verdict on it, the guard rails of a plan
errors, files, paths, times
              exit codes; atomic writes; where things are; time spans
osp_checker/  the checker library: does this instance exist; travels in a job template
"""
