"""The journal: what it keeps from run to run, that one run holds it, and every way it can fail."""

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreman_hooks.cleanup import journal as journals
from foreman_hooks.cleanup.homes import holds, pack
from foreman_hooks.cleanup.journal import (
    Deletion,
    Journal,
    JournalBusy,
    JournalError,
    Removal,
)
from foreman_hooks.hooks.event import Note
from foreman_hooks.osp_checker import swap_bytes
from foreman_hooks.rules.model import (
    Decision,
    Fingerprint,
    History,
    Outcome,
    Reason,
    Record,
    Verdict,
)

NOW = datetime(2025, 3, 1, 12, tzinfo=timezone.utc)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
URL = "https://satellite.example.com"
A, B = "7f3c1f0e-5b1d-4a57-9f5e-0123456789ab", "5f0c4b1e-9d2a-4c6b-8a37-2b1f0e9d8c7a"
ONE, TWO = ("prod", "RegionOne"), ("prod", "RegionTwo")
VERDICT = Verdict(
    7,
    "web-7.example.com",
    A,
    Decision.DELETE,
    Reason.TERMINATED,
    "ended",
    Fingerprint("c", None, "t"),
)
RECORD = Record(
    7,
    "web-7.example.com",
    snapshot={"id": 7, "comment": "ä \u2028 \0", "host_collections": ["web"]},
)
EVIDENCE = {"rules": [["no UUID of it is alive", "prod/RegionOne: deleted"]]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "journal.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal.open(path) as opened:
        yield opened


def miss(
    journal: Journal,
    *uuids: str,
    at: datetime = NOW,
    alive: tuple[str, ...] = (),
    regions: tuple[tuple[str, str], ...] = (ONE,),
) -> None:
    journal.note_misses(
        [(uuid, *where) for uuid in uuids for where in regions], alive, at
    )


def history(journal: Journal, uuid: str, places: "list[tuple[str, str]]") -> History:
    return journal.history(URL, 7, uuid, places)


def begin(journal: Journal, satellite: str = URL, **snapshot: Any) -> int:
    return journal.begin_deletion(
        satellite,
        "d1935",
        VERDICT,
        EVIDENCE,
        replace(RECORD, snapshot={**RECORD.snapshot, **snapshot}),
        "root",
        NOW,
    )


def end(journal: Journal, number: int, result: str = "deleted") -> None:
    journal.end_deletion(
        number, Outcome(7, "web-7.example.com", A, result, "gone"), NOW + SECOND
    )


def python(code: str, *args: object, **how: Any) -> "subprocess.CompletedProcess[str]":
    """Run a script in another process; it has the names of the journal and the model."""
    head = (
        "import os, resource, signal, sys\nfrom datetime import *\nfrom pathlib import Path\n"
        "from foreman_hooks.cleanup.journal import Journal, JournalBusy, JournalError\n"
        "from foreman_hooks.rules.model import *\n"
        "NOW = datetime(2025, 3, 1, 12, tzinfo=timezone.utc)\n"
        "URL = 'https://satellite.example.com'\n"
        "VERDICT = Verdict(\n"
        "    7, 'web-7.example.com', 'u', Decision.DELETE, Reason.TERMINATED, 'ended')\n"
        f"RECORD = Record(7, 'web-7.example.com', snapshot={RECORD.snapshot!r})\n"
        "path = Path(sys.argv[1])\n"
    )
    return subprocess.run(
        [sys.executable, "-c", head + code, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **how,
    )


# Misses


def test_a_uuid_that_was_never_missing_has_no_history(journal: Journal) -> None:
    assert history(journal, A, [ONE]) == History()


def test_every_miss_counts_from_the_first_on(journal: Journal) -> None:
    for run in range(3):
        miss(journal, A, at=NOW + run * HOUR)
    miss(journal, B, at=NOW + 3 * HOUR)
    assert history(journal, A, [ONE]) == History(3, NOW)
    assert history(journal, B, [ONE]) == History(1, NOW + 3 * HOUR)


def test_misses_are_kept_across_runs(path: Path) -> None:
    for run in range(3):
        with Journal.open(path) as journal:
            miss(journal, A, at=NOW + run * HOUR)
    with Journal.open(path) as journal:
        assert history(journal, A, [ONE]) == History(3, NOW)


def test_an_instance_that_is_seen_again_starts_over_in_every_region(
    journal: Journal,
) -> None:
    miss(journal, A, B, regions=(ONE, TWO))
    miss(journal, B, at=NOW + HOUR, alive=(A,), regions=(ONE, TWO))
    assert history(journal, A, [ONE]) == history(journal, A, [TWO]) == History()
    assert history(journal, B, [ONE, TWO]) == History(2, NOW)
    miss(journal, A, at=NOW + 2 * HOUR)
    assert history(journal, A, [ONE]) == History(1, NOW + 2 * HOUR)


def test_a_run_that_does_not_mention_it_neither_counts_nor_forgets(
    journal: Journal,
) -> None:
    miss(journal, A)
    miss(journal, B, at=NOW + HOUR, alive=("0a1b2c3d-4e5f-4a6b-9c8d-7e6f5a4b3c2d",))
    miss(journal, at=NOW + 2 * HOUR)
    assert history(journal, A, [ONE]) == History(1, NOW)


def test_the_region_that_missed_it_least_and_last_counts(journal: Journal) -> None:
    miss(journal, A, regions=(ONE,))
    miss(journal, A, at=NOW + HOUR, regions=(ONE, TWO))
    miss(journal, A, at=NOW + 2 * HOUR, regions=(TWO,))
    miss(journal, A, at=NOW + 3 * HOUR, regions=(ONE,))
    assert history(journal, A, [ONE]) == History(3, NOW)
    assert history(journal, A, [TWO]) == History(2, NOW + HOUR)
    assert (
        history(journal, A, [ONE, TWO])
        == history(journal, A, [TWO, ONE])
        == History(2, NOW + HOUR)
    )


def test_a_region_that_never_missed_it_leaves_it_without_a_history(
    journal: Journal,
) -> None:
    """The region came into scope today."""
    miss(journal, A)
    assert history(journal, A, [ONE, TWO]) == History()


def test_without_a_region_in_scope_there_is_no_history(journal: Journal) -> None:
    miss(journal, A)
    assert history(journal, A, []) == History()


def test_a_clock_that_goes_back_starts_the_count_over(journal: Journal) -> None:
    """A miss in the future does not say how long the UUID has been missing."""
    miss(journal, A, at=NOW - 100 * HOUR)
    miss(journal, A, B, at=NOW)
    miss(journal, A, at=NOW - timedelta(microseconds=1))
    assert history(journal, A, [ONE]) == History(1, NOW - timedelta(microseconds=1))
    assert history(journal, B, [ONE]) == History()


def test_two_runs_at_the_same_moment_are_not_a_clock_that_went_back(
    journal: Journal,
) -> None:
    miss(journal, A)
    miss(journal, A)
    assert history(journal, A, [ONE]) == History(2, NOW)


def test_times_compare_as_times_whatever_their_zone(journal: Journal) -> None:
    """The end of summer time is not a clock that went back."""
    miss(journal, A, at=NOW.astimezone(timezone(14 * HOUR)))
    miss(journal, A, at=(NOW + SECOND).astimezone(timezone(-12 * HOUR)))
    known = history(journal, A, [ONE])
    assert known == History(2, NOW)
    assert known.since is not None
    assert known.since.utcoffset() == timedelta()


def test_a_whole_second_is_not_later_than_its_fraction(journal: Journal) -> None:
    miss(journal, A, at=NOW)
    miss(journal, A, at=NOW + timedelta(microseconds=1))
    miss(journal, A, at=NOW + SECOND)
    assert history(journal, A, [ONE]) == History(3, NOW)


def test_all_of_a_run_is_noted_or_nothing(journal: Journal) -> None:
    def broken() -> Iterator[tuple[str, str, str]]:
        yield (A, *ONE)
        raise KeyboardInterrupt

    miss(journal, B)
    with pytest.raises(KeyboardInterrupt):
        journal.note_misses(broken(), [B], NOW + HOUR)
    assert history(journal, A, [ONE]) == History()
    assert history(journal, B, [ONE]) == History(1, NOW)
    miss(journal, B, at=NOW + HOUR)
    assert history(journal, B, [ONE]) == History(2, NOW)


runs = st.lists(
    st.tuples(
        st.sets(st.tuples(st.sampled_from([A, B]), st.sampled_from([ONE, TWO]))),
        st.sets(st.sampled_from([A, B])),
        st.integers(-3, 9),
    ),
    max_size=8,
)


@given(runs)
@settings(max_examples=15, deadline=None)
def test_the_count_is_that_of_the_misses_since_it_was_last_seen(steps: Any) -> None:
    """A model of a few lines counts the same."""
    model: dict[Any, list[Any]] = {}
    now = NOW
    with (
        tempfile.TemporaryDirectory() as folder,
        Journal.open(Path(folder, "journal.sqlite3")) as journal,
    ):
        for missing, alive, hours in steps:
            now += hours * HOUR
            journal.note_misses([(uuid, *where) for uuid, where in missing], alive, now)
            model = {
                key: row
                for key, row in model.items()
                if key[0] not in alive and row[2] <= now
            }
            for key in missing:
                count, since, _ = model.get(key, [0, now, now])
                model[key] = [count + 1, since, now]
        for uuid in (A, B):
            for where in (ONE, TWO):
                count, since, _ = model.get((uuid, where), [0, None, None])
                assert history(journal, uuid, [where]) == History(count, since)


def test_a_gap_longer_than_the_grace_period_starts_the_count_over(
    journal: Journal,
) -> None:
    """Two misses long ago and one today are not three in a row."""
    for at in (NOW - 900 * HOUR, NOW - 890 * HOUR):
        journal.note_misses([(A, *ONE)], (), at, gap=72 * HOUR)
    journal.note_misses([(A, *ONE)], (), NOW, gap=72 * HOUR)
    assert history(journal, A, [ONE]) == History(1, NOW)
    journal.note_misses([(A, *ONE)], (), NOW + 72 * HOUR, gap=72 * HOUR)
    assert history(journal, A, [ONE]) == History(2, NOW)


# Which instances were seen alive, and where


def test_a_uuid_that_was_seen_alive_has_a_past_there_in_either_byte_order(
    path: Path,
) -> None:
    with Journal.open(path) as journal:
        journal.note_alive(URL, {ONE: [A], TWO: []}, [])
    with Journal.open(path) as journal:
        for form in (A, swap_bytes(A)):
            assert history(journal, form, [ONE, TWO]).homes == {ONE}
        assert history(journal, A, [TWO]).homes == set()  # not in scope any more
        assert history(journal, B, [ONE, TWO]).homes == set()
        assert (
            journal.history("https://satellite2.example.com", 7, A, [ONE]).homes
            == set()
        )


def test_an_instance_that_is_gone_keeps_its_past_while_a_record_names_it(
    journal: Journal,
) -> None:
    journal.note_alive(URL, {ONE: [A, B]}, [])
    journal.note_alive(URL, {ONE: []}, [swap_bytes(A)])
    assert history(journal, A, [ONE]).homes == {ONE}
    assert history(journal, B, [ONE]).homes == set()
    # A run that did not ask ONE says nothing of it.
    journal.note_alive(URL, {TWO: [B]}, [])
    assert history(journal, A, [ONE]).homes == {ONE}


@given(st.sets(st.uuids(), max_size=40), st.uuids())
@settings(max_examples=30, deadline=None)
def test_packed_uuids_hold_just_these_in_either_byte_order(
    uuids: Any, other: Any
) -> None:
    packed = pack(map(str, uuids))
    assert len(packed) == 16 * len(uuids)
    assert all(
        holds(packed, str(uuid)) and holds(packed, swap_bytes(str(uuid)))
        for uuid in uuids
    )
    assert holds(packed, str(other)) == (
        other in uuids or swap_bytes(str(other)) in set(map(str, uuids))
    )


def test_a_satellite_that_had_katello_is_known_by_its_url(path: Path) -> None:
    with Journal.open(path) as journal:
        assert not journal.had_katello(URL)
        journal.note_katello(URL, True)
    with Journal.open(path) as journal:
        assert journal.had_katello(URL)
        assert not journal.had_katello("https://satellite2.example.com")


# How many servers each region has


def test_the_size_of_each_region_is_that_of_the_last_good_run(path: Path) -> None:
    with Journal.open(path) as journal:
        assert journal.servers_before() == {}
        journal.note_servers({ONE: 100, TWO: 50}, NOW)
        journal.note_servers({ONE: 90}, NOW + HOUR)
        journal.note_servers({}, NOW + 2 * HOUR)
    with Journal.open(path) as journal:
        # TWO was not asked any more.
        assert journal.servers_before() == {ONE: (90, NOW + HOUR)}
        # The last that was noted, not the latest by the clock.
        journal.note_servers({ONE: 0, TWO: 7}, NOW - HOUR)
        assert journal.servers_before() == {ONE: (0, NOW - HOUR), TWO: (7, NOW - HOUR)}


# Approvals


def test_a_plan_is_approved_once(path: Path) -> None:
    with Journal.open(path) as journal:
        journal.note_approval("d1935" * 12, "ann", NOW)
        journal.note_approval("other", "ann", NOW)
    with (
        Journal.open(path) as journal,
        pytest.raises(
            JournalError, match="already approved by ann at 2025/03/01 12:00:00 UTC;"
        ),
    ):
        journal.note_approval("d1935" * 12, "bob", NOW + HOUR)


# Deletions


def test_a_deletion_is_on_file_before_it_happens_with_its_evidence_and_snapshot(
    journal: Journal,
) -> None:
    number = begin(journal)
    (row,) = journal.deletions()
    assert row == Deletion(
        id=number,
        satellite=URL,
        plan="d1935",
        host_id=7,
        name="web-7.example.com",
        uuid=A,
        reason="terminated, with proof",
        evidence=EVIDENCE,
        snapshot=RECORD.snapshot,
        begun=NOW,
        result=None,
        detail=None,
        ended=None,
        who="root",
        run="full",
    )


@pytest.mark.parametrize("result", ["deleted", "failed"])
def test_what_became_of_it_is_on_file_too(journal: Journal, result: str) -> None:
    first, second = begin(journal), begin(journal)
    end(journal, second, result)
    assert [(row.id, row.result, row.ended) for row in journal.deletions()] == [
        (first, None, None),
        (second, result, NOW + SECOND),
    ]


def test_unfinished_deletions_are_known_for_each_satellite(path: Path) -> None:
    with Journal.open(path) as journal:
        number, _ = begin(journal), begin(journal, "https://satellite2.example.com")
        end(journal, begin(journal))
    with Journal.open(path) as journal:
        assert [row.id for row in journal.unfinished(URL)] == [number]


def test_hosts_whose_last_deletion_did_not_succeed_are_known(journal: Journal) -> None:
    cases = (
        ["failed"],
        ["failed", "deleted"],
        ["deleted", "failed"],
        [None],
        ["deleted"],
    )
    for host_id, results in enumerate(cases, 1):
        for result in results:
            number = journal.begin_deletion(
                URL, "p", VERDICT._replace(host_id=host_id), {}, RECORD, "root", NOW
            )
            if result:
                end(journal, number, result)
    assert journal.failures(URL) == {1, 3, 4}
    tried = [journal.history(URL, host_id, A, [ONE]).tried for host_id in range(1, 6)]
    assert tried == [True, True, True, False, False]


def test_what_a_login_could_see_is_on_file_with_a_deletion_that_never_ended(
    journal: Journal,
) -> None:
    journal.begin_deletion(
        URL, "p", VERDICT, {"visibility": {"hosts": 7}}, RECORD, "root", NOW
    )
    (row,) = journal.unfinished(URL)
    assert (row.visibility, row.begun) == ({"hosts": 7}, NOW)


@pytest.mark.parametrize("damage", ["", "{", "null", "[]", "\x00"])
@pytest.mark.parametrize("column", ["evidence", "snapshot"])
def test_a_damaged_row_is_an_error_that_names_it(
    journal: Journal, column: str, damage: str
) -> None:
    number = begin(journal)
    journal._database.execute(f"UPDATE deletions SET {column} = ?", (damage,))
    with pytest.raises(JournalError, match=f"deletion {number} is damaged"):
        journal.deletions()


@pytest.mark.parametrize("column", ["begun", "ended"])
@pytest.mark.parametrize("damage", ["yesterday", "2025-03-01T12:00:00", 7])
def test_a_time_that_cannot_be_read_is_an_error_that_names_its_row(
    journal: Journal, column: str, damage: object
) -> None:
    number = begin(journal)
    journal._database.execute(f"UPDATE deletions SET {column} = ?", (damage,))
    with pytest.raises(JournalError, match=f"deletion {number} is damaged"):
        journal.deletions()
    journal.note_removals(URL, [Note("host_destroyed", 7, "", NOW)], [])
    journal._database.execute("UPDATE removals SET at = ?", (damage,))
    with pytest.raises(JournalError, match="removal 1 is damaged"):
        journal.removals()


@pytest.mark.parametrize("column", ["host_id", "name", "uuid", "who", "restored_as"])
def test_a_value_of_another_type_is_an_error_that_names_its_row(
    journal: Journal, column: str
) -> None:
    """SQLite keeps values of any type in any column."""
    number = begin(journal)
    journal._database.execute(f"UPDATE deletions SET {column} = X'00FF'")
    with pytest.raises(JournalError, match=f"deletion {number} is damaged; restore"):
        journal.deletions()


def test_finding_unfinished_deletions_does_not_read_the_finished_ones(
    journal: Journal,
) -> None:
    """60,000 deletions once cost every run 6 s: only those that never ended are read."""
    begin(journal)
    end(journal, begin(journal))
    journal._database.execute(
        "UPDATE deletions SET evidence = 'damaged' WHERE result IS NOT NULL"
    )
    assert len(journal.unfinished(URL)) == 1


def test_a_deletion_on_file_survives_the_death_of_its_process(path: Path) -> None:
    """It is safe as soon as begin_deletion returns."""
    done = python(
        "journal = Journal.open(path)\n"
        "journal.begin_deletion(URL, 'd1935', VERDICT, {}, RECORD, 'root', NOW)\n"
        "os.kill(os.getpid(), signal.SIGKILL)",
        path,
    )
    assert done.returncode == -9, done.stderr
    with Journal.open(path) as journal:
        (row,) = journal.unfinished(URL)
        assert (row.host_id, row.name) == (7, "web-7.example.com")
        assert journal.deletions()[0].snapshot == RECORD.snapshot


@pytest.mark.parametrize("way", [Journal.open, Journal.peek])
def test_a_process_that_is_killed_in_mid_transaction_leaves_all_or_nothing(
    path: Path, way: Callable[[Path], Journal]
) -> None:
    """It has written more than SQLite keeps in memory, so part of it is in the file already."""
    with Journal.open(path) as journal:
        miss(journal, A)
        begin(journal)
    before = path.stat().st_size
    done = python(
        "def missing():\n"
        "    for number in range(40000):\n"
        "        yield f'{number:036}', 'prod', 'RegionOne'\n"
        "    print(path.stat().st_size, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Journal.open(path).note_misses(missing(), [sys.argv[2]], NOW)",
        path,
        A,
    )
    assert done.returncode == -9, done.stderr
    assert int(done.stdout) > before
    with way(path) as journal:
        assert history(journal, A, [ONE]) == History(1, NOW)
        assert history(journal, f"{0:036}", [ONE]) == History()
        assert len(journal.unfinished(URL)) == 1
    with Journal.open(path) as journal:
        miss(journal, A, at=NOW + HOUR)
        assert history(journal, A, [ONE]) == History(2, NOW)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_write_that_could_not_be_committed_is_taken_back_and_can_be_tried_again(
    journal: Journal,
) -> None:
    """Somebody reads the file with sqlite3 at that moment."""
    # A test cannot wait for five seconds.
    journal._database.execute("PRAGMA busy_timeout = 0")
    miss(journal, A)
    with closing(sqlite3.connect(journal.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM misses").fetchall()
        with pytest.raises(JournalError, match="locked"):
            miss(journal, A, at=NOW + HOUR)
        assert history(journal, A, [ONE]) == History(1, NOW)
    miss(journal, A, at=NOW + HOUR)
    assert history(journal, A, [ONE]) == History(2, NOW)


def test_evidence_that_cannot_be_written_prevents_the_deletion(
    journal: Journal,
) -> None:
    with pytest.raises(TypeError):
        journal.begin_deletion(
            URL, "d1935", VERDICT, {"seen": {1, 2}}, RECORD, "root", NOW
        )
    assert journal.deletions() == []
    begin(journal)
    assert len(journal.deletions()) == 1


# One run at a time


def test_a_second_run_in_the_same_process_is_turned_away(path: Path) -> None:
    with Journal.open(path):
        with pytest.raises(JournalBusy, match="another run holds the journal"):
            Journal.open(path)
        with pytest.raises(JournalBusy):  # the first refusal did not let go of the lock
            Journal.open(path)
    Journal.open(path).close()


TRY = """\
try:
    Journal.open(path)
except JournalBusy:
    print('busy')
else:
    print('open')
"""


def test_a_second_run_in_another_process_is_turned_away(path: Path) -> None:
    with Journal.open(path):
        assert python(TRY, path).stdout == "busy\n"
    assert python(TRY, path).stdout == "open\n"


def test_another_path_to_the_same_folder_leads_to_the_same_lock(
    path: Path, tmp_path: Path
) -> None:
    with Journal.open(path):
        (tmp_path / "link").symlink_to(path.parent)
        with pytest.raises(JournalBusy):
            Journal.open(tmp_path / "link" / path.name)


def test_a_process_that_was_killed_does_not_keep_the_lock(path: Path) -> None:
    """No lock file has to be removed by hand."""
    assert (
        python(
            "journal = Journal.open(path)\nos.kill(os.getpid(), signal.SIGKILL)", path
        ).returncode
        == -9
    )
    Journal.open(path).close()


def test_what_a_run_starts_does_not_hold_the_lock_after_it(path: Path) -> None:
    with Journal.open(path):
        child = subprocess.Popen(
            [sys.executable, "-c", "print(flush=True), input()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            close_fds=False,
        )
        assert child.stdout is not None
        child.stdout.readline()  # from now on it is another program, and has what was left to it
    try:
        Journal.open(path).close()
    finally:
        child.communicate(b"\n")


def test_a_file_beside_the_journal_that_is_removed_lets_nobody_in(path: Path) -> None:
    with Journal.open(path):
        for beside in set(path.parent.iterdir()) - {path}:
            beside.unlink()
        assert python(TRY, path).stdout == "busy\n"


@pytest.mark.parametrize(
    "how", ["removed", "replaced", "a link", "a folder moved away"]
)
def test_a_journal_that_is_taken_away_while_a_run_is_on_stops_its_next_deletion(
    path: Path, how: str
) -> None:
    """The next run would begin with a new file, and not wait for this one."""
    with Journal.open(path) as journal:
        begin(journal)
        assert journal.still_held()
        if how == "a folder moved away":
            path.parent.rename(path.parent.with_name("elsewhere"))
        else:
            path.rename(path.with_name("elsewhere"))
        if how == "replaced":
            path.write_bytes(path.with_name("elsewhere").read_bytes())
        elif how == "a link":
            path.symlink_to(path.with_name("elsewhere"))
        assert not journal.still_held()
        with pytest.raises(JournalError, match="removed or replaced during this run"):
            begin(journal)


def test_a_journal_that_is_taken_away_within_a_transaction_stops_that_deletion(
    path: Path,
) -> None:
    """SQLite commits to the file that was moved, where nobody would look for the line."""
    with (
        Journal.open(path) as journal,
        pytest.raises(JournalError, match="removed or replaced during this run"),
        journal.writing() as database,
    ):
        database.execute("INSERT INTO approvals VALUES ('p', 'w', 'a')")
        path.rename(path.with_name("elsewhere"))


def test_a_reader_holds_nothing(path: Path) -> None:
    Journal.open(path).close()
    with Journal.peek(path) as reader:
        assert not reader.still_held()
        Journal.open(path).close()


def test_two_journals_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "a.sqlite3"), Journal.open(tmp_path / "b.sqlite3"):
        pass


# Who may read it


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_journal_is_for_its_owner_alone(path: Path, umask: int) -> None:
    """Snapshots of records are not for other users."""
    before = os.umask(umask)
    try:
        with Journal.open(path) as journal:
            begin(journal)
    finally:
        os.umask(before)
    assert mode(path.parent) == 0o700
    assert {mode(file) for file in path.parent.iterdir()} == {0o600}


def test_an_existing_folder_keeps_its_mode(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    Journal.open(path).close()
    assert mode(path.parent) == 0o755
    assert mode(path) == 0o600


# Every way in which it can fail; no journal line, no deletion


def test_a_journal_that_can_be_written_says_so_and_keeps_nothing_of_the_question(
    journal: Journal,
) -> None:
    for _ in range(2):
        journal.check_writable()
    # Nor stands the line that was tried in anybody's way.
    journal.note_approval("", "ann", NOW)


GARBAGE = b"this is no database, but long enough to be one" * 100


@pytest.mark.parametrize("content", [GARBAGE, b"SQLite format 3\0" + GARBAGE])
def test_a_damaged_file_is_an_error_that_names_it_and_is_left_as_it_is(
    path: Path, content: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(
        JournalError, match="damaged .*; restore .* or move it away"
    ) as caught:
        Journal.open(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content
    path.unlink()
    Journal.open(path).close()  # and the lock was let go


@pytest.mark.parametrize("way", [Journal.open, Journal.peek])
def test_a_message_of_sqlite_that_quotes_damaged_text_is_an_error_like_others(
    path: Path, way: Callable[[Path], Journal]
) -> None:
    Journal.open(path).close()
    content = path.read_bytes()
    damaged = content.replace(b"CREATE TABLE misses", b"CREATE \xff\xfeBLE misses")
    assert damaged != content
    path.write_bytes(damaged)
    with (
        pytest.raises(JournalError, match="damaged .*; restore"),
        way(path) as journal,
    ):
        journal.deletions()


def test_an_open_that_failed_leaves_no_file_open(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(GARBAGE)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(JournalError):
        Journal.open(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_an_error_names_the_file_once(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(GARBAGE)
    with pytest.raises(JournalError) as caught:
        Journal.open(path)
    assert str(caught.value).count(str(path)) == 1


def test_damage_in_the_middle_is_an_error_when_it_is_met(path: Path) -> None:
    with Journal.open(path) as journal:
        begin(journal, comment="x" * 50_000)
    content = bytearray(path.read_bytes())
    content[4096 * 2 :] = b"\xff" * len(content[4096 * 2 :])
    path.write_bytes(content)
    with pytest.raises(JournalError), Journal.open(path) as journal:
        journal.deletions()


def test_a_database_of_somebody_else_is_an_error(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE misses (id INTEGER PRIMARY KEY, note TEXT)")
    other.execute("CREATE TABLE deletions (id INTEGER PRIMARY KEY)")
    other.close()
    with pytest.raises(JournalError), Journal.open(path) as journal:
        miss(journal, A)
    with pytest.raises(JournalError), Journal.open(path) as journal:
        begin(journal)


def test_a_journal_of_a_later_version_is_an_error_and_is_left_as_it_is(
    path: Path,
) -> None:
    """This version cannot know what its tables mean."""
    Journal.open(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(JournalError):
        Journal.open(path)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (99,)


def test_an_empty_file_is_a_new_journal(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o600)
    with Journal.open(path) as journal:
        assert journal.deletions() == []


def obstacle(path: Path, kind: str) -> Optional[Path]:
    if kind == "a folder in its place":
        path.mkdir(parents=True)
    elif kind == "a file in the folder's place":
        path.parent.touch()
    elif kind == "a folder beside it":
        Path(f"{path}-journal").mkdir(parents=True)
    elif kind == "a name too long":
        return path.with_name("j" * 300)
    elif kind == "a link that leads nowhere":
        path.parent.mkdir()
        path.symlink_to("/nonexistent/journal.sqlite3")
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "a folder in its place",
        "a file in the folder's place",
        "a folder beside it",
        "a name too long",
        "a link that leads nowhere",
    ],
)
def test_an_obstacle_in_its_place_is_an_error_that_names_the_file(
    path: Path, kind: str
) -> None:
    blocked = obstacle(path, kind)
    assert blocked
    with pytest.raises(JournalError, match=str(blocked)):
        Journal.open(blocked)


@pytest.mark.parametrize("beside", ["", "-journal", "-wal"])
def test_a_link_in_its_place_is_refused_and_what_it_leads_to_is_left_alone(
    path: Path, beside: str
) -> None:
    path.parent.mkdir()
    target = path.with_name("other")
    target.write_text("of somebody else")
    Path(f"{path}{beside}").symlink_to(target)
    with pytest.raises(JournalError, match="a symbolic link") as caught:
        Journal.open(path)
    assert "\n" not in str(caught.value)
    assert target.read_text() == "of somebody else"


def test_a_pipe_or_a_device_in_its_place_is_refused_and_not_waited_for(
    path: Path,
) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    for journal in (path, Path("/dev/null")):
        for way in (Journal.open, Journal.peek):
            with pytest.raises(
                JournalError, match=f"journal {journal}: not a regular file"
            ):
                way(journal)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize(
    "what", ["the file", "its folder", "what SQLite left beside it"]
)
def test_what_belongs_to_another_user_is_refused_and_nothing_is_written(
    path: Path, what: str
) -> None:
    Journal.open(path).close()
    beside = Path(f"{path}-journal")
    beside.write_bytes(b"hot")
    content = path.read_bytes()
    os.chown(
        {
            "the file": path,
            "its folder": path.parent,
            "what SQLite left beside it": beside,
        }[what],
        65534,
        65534,
    )
    with pytest.raises(
        JournalError, match=f"journal {path}: .*belongs to another user .uid 65534."
    ):
        Journal.open(path)
    assert (path.read_bytes(), beside.read_bytes()) == (content, b"hot")


@pytest.mark.parametrize("content", [GARBAGE, b"SQLite format 3\0" + GARBAGE, b""])
def test_a_damaged_file_that_is_only_read_is_an_error_that_names_it(
    path: Path, content: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(JournalError, match=f"^journal {path}: "):
        Journal.peek(path)
    assert path.read_bytes() == content


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A journal in a folder that any user may write to.

    As root no mode would stop us, so the scripts of these tests change their user.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder / "journal.sqlite3"


AS_NOBODY = (
    "if os.geteuid() == 0:\n    os.setgid(65534)\n    os.setuid(65534)\n"
    "def begin():\n"
    "    return journal.begin_deletion(URL, 'd1935', VERDICT, {}, RECORD, 'root', NOW)\n"
)


def test_a_read_only_journal_is_an_error_and_nothing_is_lost(open_to_all: Path) -> None:
    done = python(
        AS_NOBODY + "with Journal.open(path) as journal:\n    begin()\n"
        "path.chmod(0o400)\n"
        "try:\n    Journal.open(path)\n"
        "except JournalError as error:\n    print(error)\n"
        "path.chmod(0o600)\n"
        "print(len(Journal.open(path).deletions()))",
        open_to_all,
    )
    assert done.stdout == (
        f"journal {open_to_all}: Permission denied; correct 'journal' or the folder's mode\n1\n"
    ), done.stderr


def test_a_folder_that_becomes_read_only_stops_the_next_deletion_and_keeps_the_last(
    open_to_all: Path,
) -> None:
    done = python(
        AS_NOBODY + "path = path.parent / 'own' / path.name\n"
        "journal = Journal.open(path)\nbegin()\n"
        "path.parent.chmod(0o500)\n"
        "for attempt in (journal.check_writable, begin):\n"
        "    try:\n        attempt()\n"
        "    except JournalError as error:\n        print('JournalError')\n"
        "print(len(journal.deletions()))\n"
        "path.parent.chmod(0o700)\nbegin()\n"
        "print(len(journal.deletions()))",
        open_to_all,
    )
    assert done.stdout == "JournalError\nJournalError\n1\n2\n", done.stderr


def test_a_full_disk_stops_the_next_deletion_and_keeps_what_is_on_file(
    path: Path,
) -> None:
    """No file may grow beyond what the journal has now; afterwards there is room again."""
    done = python(
        "journal = Journal.open(path)\n"
        "def begin(comment):\n"
        "    record = replace(RECORD, snapshot={'comment': comment})\n"
        "    arguments = ('d1935', VERDICT, {}, record, 'root', NOW)\n"
        "    return journal.begin_deletion('https://s', *arguments)\n"
        "from dataclasses import replace\n"
        "first = begin('small')\n"
        "size = path.stat().st_size\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))\n"
        "try:\n    begin('x' * 10 * size)\n"
        "except JournalError as error:\n    print('JournalError')\n"
        "print([row.snapshot for row in journal.deletions()])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))\n"
        "outcome = Outcome(7, 'web-7', 'u', 'deleted', 'gone')\n"
        "end = lambda: journal.end_deletion(first, outcome, NOW)\n"
        "for attempt in (journal.check_writable, end):\n"
        "    try:\n        attempt()\n"
        "    except JournalError as error:\n        print('JournalError')\n"
        "print([row.result for row in journal.deletions()])\n"
        "no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, no_limit)\n"
        "begin('y')\n"
        "journal.end_deletion(first, outcome, NOW)\n"
        "journal.close()\n"
        "print([row.result for row in Journal.open(path).deletions()])\n",
        path,
    )
    assert done.stdout.splitlines() == [
        "JournalError",
        "[{'comment': 'small'}]",
        "JournalError",
        "JournalError",
        "[None]",
        "['deleted', None]",
    ], done.stderr


def test_a_new_journal_on_a_full_disk_is_an_error(path: Path) -> None:
    done = python(
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))\n"
        "try:\n    Journal.open(path)\n"
        "except JournalError as error:\n    print('JournalError')",
        path,
    )
    assert done.stdout == "JournalError\n", done.stderr


def test_what_is_on_file_can_be_read_while_the_disk_is_full(path: Path) -> None:
    """This is when `history` and `restore` are needed most."""
    with Journal.open(path) as journal:
        begin(journal)
    done = python(
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))\n"
        "print(len(Journal.open(path).deletions()))",
        path,
    )
    assert done.stdout == "1\n", done.stderr


# What events reported


def test_of_the_same_event_of_the_same_host_the_latest_is_kept(
    journal: Journal,
) -> None:
    early, late, other = (
        Note("host_created", 7, "web-7", NOW),
        Note("host_created", 7, "web-7", NOW + HOUR),
        Note("host_created", 0, "web-7", NOW + HOUR),
    )
    journal.note_events([late, early])
    journal.note_events([early, other])
    assert sorted(journal.events()) == [other, late]


def test_notes_go_with_the_misses_that_they_took_back_or_not_at_all(
    journal: Journal,
) -> None:
    old, new = (
        Note("host_created", 7, "web-7", NOW),
        Note("host_created", 7, "web-7", NOW + HOUR),
    )
    miss(journal, A)
    journal.note_events([old])
    with pytest.raises(OverflowError):
        journal.note_misses(
            [], [A], NOW, used=[old, Note("host_created", 2**99, "", NOW)]
        )
    assert (history(journal, A, [ONE]), journal.events()) == (History(1, NOW), [old])
    journal.note_misses([], [A], NOW, used=[old])
    assert (history(journal, A, [ONE]), journal.events()) == (History(), [])
    journal.note_events([new])
    # Told again in the meantime: not used yet.
    journal.note_misses([], [], NOW, used=[old])
    assert journal.events() == [new]


def test_a_missing_instance_that_gave_a_sign_of_life_starts_over(
    journal: Journal,
) -> None:
    miss(journal, A)
    miss(journal, A, at=NOW + HOUR)
    miss(journal, A, at=NOW + 2 * HOUR, alive=(A,))
    assert history(journal, A, [ONE]) == History(1, NOW + 2 * HOUR)


def test_if_signs_of_life_were_lost_every_count_starts_over(journal: Journal) -> None:
    miss(journal, A, B)
    journal.note_events([], lost=True)
    assert history(journal, A, [ONE]) == history(journal, B, [ONE]) == History()


def test_too_many_notes_are_dropped_and_every_count_starts_over(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "MAX_NOTES", 2)
    miss(journal, A)
    journal.note_events([Note("host_created", number, "", NOW) for number in (1, 2)])
    assert (len(journal.events()), history(journal, A, [ONE])) == (2, History(1, NOW))
    journal.note_events([Note("host_created", 3, "", NOW)])
    assert (journal.events(), history(journal, A, [ONE])) == ([], History())


def test_misses_closer_than_the_spacing_count_once(journal: Journal) -> None:
    for minutes in (0, 1, 59, 60, 61, 119, 120):
        journal.note_misses(
            [(A, *ONE)], (), NOW + timedelta(minutes=minutes), spacing=HOUR
        )
    assert history(journal, A, [ONE]) == History(3, NOW)


WEB = "web-7.example.com"


@pytest.mark.parametrize(
    ("note", "ours"),
    [
        ((7, WEB, 0), True),
        ((7, "", 0), True),
        ((7, "renamed", 0), True),
        ((0, WEB, 0), True),
        ((8, WEB, 0), False),
        ((0, "web-8.example.com", 0), False),
        ((7, "", 90 * 24), True),  # a webhook that was late; an id is never used again
        ((0, WEB, 0.9), True),
        ((0, WEB, 1.1), False),
        ((0, WEB, -1), False),
    ],
)
def test_our_own_deletions_are_told_from_those_of_others(
    journal: Journal, note: Any, ours: bool
) -> None:
    end(journal, begin(journal))
    host_id, name, hours = note
    destroyed = Note("host_destroyed", host_id, name, NOW + hours * HOUR)
    assert journal.is_ours(URL, destroyed) is ours
    assert not journal.is_ours("https://other.example.com", destroyed)


def test_a_deletion_that_seemed_to_fail_is_ours_for_an_hour(journal: Journal) -> None:
    """Katello may be slow: the DELETE was answered, and the record went a little later."""
    end(journal, begin(journal), "failed")
    assert journal.is_ours(URL, Note("host_destroyed", 7, "", NOW + HOUR / 2))
    assert not journal.is_ours(URL, Note("host_destroyed", 7, "", NOW + 2 * HOUR))


def test_a_removal_is_kept_once_however_often_it_is_reported(
    journal: Journal, path: Path
) -> None:
    note = Note("host_destroyed", 7, "web-7.example.com", NOW)
    for _ in range(2):
        journal.note_events([note])
        journal.note_removals(URL, [note], [note])
    assert journal.events() == []
    assert journal.removals() == [Removal(1, URL, 7, "web-7.example.com", NOW)]
    journal.prune(NOW + HOUR)
    assert journal.removals() == []


def test_all_deletions_are_counted_also_those_that_were_forgotten(
    journal: Journal,
) -> None:
    for result in ("deleted", "deleted", "failed"):
        end(journal, begin(journal), result)
    end(journal, begin(journal, "https://other.example.com"))
    begin(journal)  # it may still end in either way
    for _ in range(2):
        assert journal.count_deletions(URL) == {"deleted": 2, "failed": 1}
        journal.prune(NOW + HOUR)
    end(journal, begin(journal))
    journal.prune(NOW + HOUR)
    assert journal.count_deletions(URL) == {"deleted": 3, "failed": 1}
    assert journal.count_deletions("https://other.example.com") == {"deleted": 1}


def test_deletions_of_the_last_hour_are_counted_but_for_those_that_failed(
    journal: Journal,
) -> None:
    begin(journal)
    end(journal, begin(journal))
    end(journal, begin(journal), "failed")
    begin(journal, "https://other.example.com")
    assert journal.deleted_since(URL, NOW - HOUR) == 2
    assert journal.deleted_since(URL, NOW) == 0
