"""What Foreman, cron and systemd call, how it is installed, and what a run calls in turn.

Foreman's events call `satellite-osp-cleanup event`:
    event        the names of Foreman's events, and what is noted of one
    spool        the file in which events leave their notes, and from which a run reads them

cron or a timer of systemd calls `satellite-osp-cleanup run` regularly; `schedule install` sets up
both, and the scripts that events call:
    timing           when runs start (pure)
    schedule_files   the files and folders that have to exist (pure), from `templates`
    seal             the line in each of these files that reveals a change by hand
    machine          what is on the machine now: our program, its journal, other schedules
    install          the difference between the two, and how to make the changes
    systemd          what systemd has to do before and after

A run first asks `maintenance` whether foreman-maintain's maintenance mode is on.  After each
deletion it runs the executables that a site has put into a folder: `hooks_d`.
"""
