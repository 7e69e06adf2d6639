"""What Foreman, cron and systemd call, and how it is installed.

Foreman's events call `satellite-osp-cleanup event`:
    event        the names of Foreman's events, and what is noted of one
    spool        the file in which events leave their notes, and from which a run takes them

cron or a timer of systemd calls `satellite-osp-cleanup run` every hour; `schedule install` sets up
both, and the scripts that events call:
    schedule_files   which files and folders there have to be (pure), from `templates`
    seal             the line in each of these files by which a change by hand is noticed
    machine          what is on the machine now: our program, its journal, other schedules
    install          the difference between the two, and how it is carried out
    systemd          what systemd has to do before and after

A run asks `maintenance` first whether foreman-maintain's maintenance mode is on.
"""
