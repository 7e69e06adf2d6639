"""A command ends at its deadline, says so in one line, and releases the journal.

The deadlines here are time limits of the program under test, over real sockets; nothing is
measured.
"""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PROGRAM
from sandbox.server import Answer
from sandbox.world import named_uuid

LIMIT = 60  # seconds after which a test gives up


@pytest.fixture(params=["silent", "trickling"])
def endless(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server that accepts every request and never completes a response."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            if request.param == "trickling":
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    b"Content-Length: 9999999\r\n\r\n"
                )
                while not over.wait(0.1):
                    connection.sendall(b" ")
            over.wait(2 * LIMIT)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(
                    target=answer, args=[listener.accept()[0]], daemon=True
                ).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    over.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def ran(*argv: Any) -> tuple[int, str]:
    """Exit code and stderr of a process of its own, whose hanging does not hang the tests."""
    done = subprocess.run(
        [*PROGRAM, *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stderr


def assert_only_the_deadline_is_reported(err: str) -> None:
    assert err.count("\n") == 1, err
    assert err.startswith(
        "error: not finished within 1s; it is not known whether the last step was completed: "
        "run it again, and raise 'deadline'"
    )


@pytest.mark.parametrize(
    "command",
    [
        ["run", "--apply"],
        ["plan"],
        ["doctor"],
        ["explain", "web"],
        ["states"],
        ["unmanaged"],
        ["-q", "run"],
    ],
)
def test_no_command_waits_forever_for_a_response_of_satellite(
    stage: Any, endless: str, command: list[str]
) -> None:
    config = stage.config(
        deadline="1s",
        satellite={"url": endless, "username": "admin", "password": "changeme"},
    )
    code, err = ran("--config", config, *command)
    assert code == 75
    assert_only_the_deadline_is_reported(err)
    stage.journal().close()


@pytest.mark.parametrize(
    "command", [["run", "--apply"], ["doctor"], ["check", named_uuid("witness")]]
)
def test_no_command_waits_forever_for_a_response_of_openstack(
    stage: Any, endless: str, command: list[str]
) -> None:
    path = stage.use_cloud()
    path.write_text(path.read_text().replace(stage.osp.url, endless))
    code, err = ran("--config", stage.config(deadline="1s"), *command)
    assert code == 75
    assert_only_the_deadline_is_reported(err)
    stage.journal().close()


def test_no_command_waits_forever_for_a_library_that_waits_for_its_own_lock(
    stage: Any,
) -> None:
    """In the main thread, and in a worker for which the main thread waits."""
    config = stage.config(deadline="1s")
    for where in ("main", "worker"):
        code = f"""
import threading
import time
from foreman_hooks.commands.main import main
from foreman_hooks.commands import process
from foreman_hooks.osp_checker.region import workers
import keystoneauth1.session
lock = threading.Lock()
lock.acquire()
def request(*args, **kwargs):
    if {where!r} == "main":
        lock.acquire()
    with workers(1) as pool:
        pool.submit(lock.acquire).result()
keystoneauth1.session.Session.request = request
argv = ["--config", {str(config)!r}, "check", {named_uuid("witness")!r}]
process.run_and_exit(lambda: main(argv))
"""
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 75
        assert_only_the_deadline_is_reported(done.stderr)


def test_a_command_ends_even_if_its_cleaning_up_hangs() -> None:
    code = """
import sys, threading
from datetime import timedelta
from foreman_hooks.commands.deadline import Deadline
with Deadline() as deadline:
    deadline.set(timedelta(seconds=1))
    try:
        threading.Event().wait()
    finally:
        threading.Event().wait()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 75
    assert_only_the_deadline_is_reported(done.stderr)


def test_no_command_waits_forever_for_standard_input(stage: Any) -> None:
    config = stage.config(deadline="1s")
    with subprocess.Popen(
        [*PROGRAM, "--config", str(config), "check"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        assert_only_the_deadline_is_reported(process.stderr.read())
        assert process.wait(LIMIT) == 75


def test_at_the_deadline_the_deletion_under_way_finishes_and_the_others_are_reported(
    stage: Any,
) -> None:
    """The response to the first DELETE comes shortly after the deadline."""
    for number in range(3):
        stage.terminated(f"old-{number}")
    answer = stage.foreman.handle
    over = threading.Event()
    shortly_after = time.monotonic() + 6

    def slow(request: Any) -> Any:
        if request.method == "DELETE":
            over.wait(max(0.0, shortly_after - time.monotonic()))
        return answer(request)

    stage.foreman.handle = slow
    code, err = ran("--config", stage.config(deadline="5s"), "run", "--apply")
    over.set()
    assert code == 75
    assert "not finished within 5s" in err
    assert "1 of 3 records were deleted, all are in the journal" in err
    with stage.journal() as journal:
        assert [row.result for row in journal.deletions()] == ["deleted"]


def test_the_next_run_finds_out_what_became_of_a_deletion_without_a_response(
    stage: Any, call: Any
) -> None:
    stage.terminated("old")
    answer = stage.foreman.handle
    over = threading.Event()

    def lost(request: Any) -> Any:
        if request.method == "DELETE":
            answer(request)
            over.wait(LIMIT)
            return Answer(200, {})
        return answer(request)

    stage.foreman.handle = lost
    code, err = ran("--config", stage.config(deadline="4s"), "run", "--apply")
    over.set()
    stage.foreman.handle = answer
    assert code == 75
    assert err.splitlines()[-1].startswith("error: not finished within 4s")
    with stage.journal() as journal:
        assert [row.result for row in journal.deletions()] == [None]
    assert call("--config", stage.config(), "run")[0] == 0
    with stage.journal() as journal:
        assert [row.result for row in journal.deletions()] == ["deleted"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_planning_is_reported_in_one_line_and_releases_the_journal(
    stage: Any, number: signal.Signals
) -> None:
    asked, over = threading.Event(), threading.Event()

    def hang(request: Any) -> Any:
        asked.set()
        over.wait(LIMIT)
        return Answer(503)

    stage.foreman.handle = hang
    with subprocess.Popen(
        [*PROGRAM, "--config", str(stage.config()), "run", "--apply"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert asked.wait(LIMIT)
        process.send_signal(number)
        out, err = process.communicate(timeout=LIMIT)
    over.set()
    assert (process.returncode, out) == (130, "")
    # Stripped, because click prints a line end after ^C.
    assert err.strip() == "error: interrupted; what was done before is in the journal"
    stage.journal().close()


def test_a_command_that_ends_in_time_leaves_timer_and_signals_as_they_were(
    stage: Any, call: Any
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGTERM)]
    assert call("--config", stage.config(deadline="1m"), "plan")[0] == 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert [
        signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGTERM)
    ] == before


def test_a_command_line_in_another_thread_works_without_a_deadline(
    stage: Any, capfd: Any, tmp_path: Path
) -> None:
    """The kernel's timer reaches the main thread only."""
    from foreman_hooks.commands.main import main

    codes: list[int] = []
    config = str(stage.config())
    thread = threading.Thread(
        target=lambda: codes.append(main(["--config", config, "plan"]))
    )
    thread.start()
    thread.join(LIMIT)
    assert codes == [0]
