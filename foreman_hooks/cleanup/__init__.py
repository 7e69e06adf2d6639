"""The story of a run, one file for each step; `run.py` is its table of contents.

Before: settle (deletions that never ended), check_ins (what Foreman's events reported).
Plan: observe (quick_look, then missing), misses, judge_all, guard_rails.
Apply: last_look (ask both sides again, immediately before a deletion), apply.
Values: target, observation, whereabouts, signs_of_life, progress.
On disk: journal, homes, run_log, open_records.  Other commands: doctor, status, unmanaged.
"""
