"""Note a run in the journal, however it ends: shared by plan, apply and run."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Optional

from foreman_hooks.cleanup.journal import JournalError
from foreman_hooks.cleanup.run import Cleanup, Target
from foreman_hooks.cleanup.run_log import begin_run, end_run
from foreman_hooks.errors import code_of
from foreman_hooks.reports.metrics import RunRecord


@contextmanager
def noted(
    cleanup: Cleanup,
    command: str,
    record: RunRecord,
    target: Optional[Target] = None,
) -> Iterator[None]:
    """Note in the journal that a run begins, and what the record says of it at its end.

    The record gets the number of all deletions, whatever run they were in.
    `command`: `plan`, `run`, `run --apply` or `apply`.  `target`: the one instance that it is
    about.  Raises JournalError.
    """
    number = begin_run(
        cleanup.journal,
        cleanup.satellite.url,
        command,
        record.kind,
        str(target) if target else cleanup.described,
        cleanup.who,
        cleanup.clock(),
    )
    try:
        yield
    except BaseException as error:
        record.code = code_of(error)
        with suppress(JournalError):  # what ended the run matters more
            _note_end(cleanup, number, record)
        raise
    _note_end(cleanup, number, record)


def _note_end(cleanup: Cleanup, number: int, record: RunRecord) -> None:
    plan = record.plan
    end_run(
        cleanup.journal,
        number,
        record.code,
        cleanup.clock(),
        plan=plan,
        complete=plan is not None and cleanup.is_complete(plan),
        outcomes=record.outcomes,
    )
    record.totals = cleanup.journal.count_deletions(cleanup.satellite.url)
