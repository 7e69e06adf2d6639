"""No secret of either side is anywhere but where its owner put it, whatever happens."""

import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest
from conftest import Stage
from sandbox.satellite import Host
from sandbox.server import Request, Server
from sandbox.targets import Process

from foreman_hooks.hooks import hooks_d
from foreman_hooks.reports import logs

from .echoes import ECHOES, Echo
from .hidden import (
    HOOK,
    OPENSTACK_LOGINS,
    PARAMETERS,
    SATELLITE_LOGINS,
    Hidden,
    Processes,
    behind_a_proxy,
    configuration,
    give_token,
    parameters,
    places,
    plant,
    private,
)
from .scene import servers
from .trials import SHARES, SOAK, chosen, note, try_all

Words = list[object]

# The program, with the hooks in the folder that its first argument names.
PROGRAM = """
import os, sys
from pathlib import Path
from foreman_hooks.commands.main import entry_point
from foreman_hooks.hooks import hooks_d
hooks_d.HOOKS_D, hooks_d.OWNER = Path(sys.argv.pop(1)), os.geteuid()
entry_point()
"""
LIMIT = 60  # seconds after which a test gives up


class Sweep:
    """Runs commands, and keeps all that they print."""

    def __init__(self, stage: Stage, call: Any) -> None:
        self.stage, self.call = stage, call
        self.hidden = plant(stage)
        self.printed: dict[str, str] = {}
        self.tried = 0

    def run(self, config: Path, *words: object) -> None:
        """Run a command; no failure of it may be a bug."""
        code, out, err = self.call("--config", config, *words)
        assert code != 70, err
        self.keep(" ".join(map(str, words)), out + err)

    def keep(self, name: str, text: str) -> None:
        """Search a text as well."""
        self.tried += 1
        self.printed[f"{self.tried}: {name}"] = text

    def everything(self) -> dict[str, str]:
        """Place -> text of all that the commands left."""
        return {**self.printed, **places(self.stage)}

    def leaks(self) -> dict[str, set[str]]:
        """Place -> names of the secrets in it, without the places that have none."""
        texts = self.everything().items()
        within = {name: self.hidden.within(text) for name, text in texts}
        return {name: secrets for name, secrets in within.items() if secrets}

    def check(self) -> None:
        """Fail with the first text in which a secret is, and what stands around it."""
        for name, text in self.everything().items():
            for secret in self.hidden.within(text):
                head, _, tail = text.partition(self.hidden.all()[secret])
                raise AssertionError(f"{secret} in {name}: {head[-150:]}***{tail[:50]}")


@pytest.fixture
def sweep(stage: Stage, call: Any, waited: list[float]) -> Iterator[Sweep]:
    temporary = stage.folder / "temporary"
    temporary.mkdir()
    stage.monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    stage.monkeypatch.setenv("TMPDIR", str(temporary))
    yield Sweep(stage, call)
    logs.set_up(logging.WARNING)  # closes the log file


@pytest.fixture
def hooks(stage: Stage) -> Path:
    """A folder with a hook that writes down all that it can see, and fails."""
    folder = stage.folder / "etc" / "hooks.d"
    folder.mkdir(parents=True)
    for place in (folder.parent, folder):
        place.chmod(0o755)
    stage.monkeypatch.setattr(hooks_d, "HOOKS_D", folder)
    stage.monkeypatch.setattr(hooks_d, "OWNER", os.geteuid())
    path = folder / "50-look"
    path.write_text(HOOK.format(folder=stage.folder))
    path.chmod(0o755)
    return folder


def test_the_sweep_would_notice_each_secret_in_each_place(
    sweep: Sweep, stage: Stage
) -> None:
    """Otherwise the other tests would show nothing."""
    assert len(PARAMETERS) >= 50
    for name, secret in sweep.hidden.markers.items():
        sweep.printed = {"output": f"<b>{secret}</b>"}
        assert sweep.leaks() == {"output": {name}}
    sweep.printed.clear()
    secret = sweep.hidden["password in clouds.yaml"]
    for place in (*LEFT_BEHIND, "log", "temporary/tmp1", "home/x"):
        path = stage.folder / place
        path.write_bytes(b"\xff" + secret.encode() + b"\0")
        assert sweep.leaks() == {place: {"password in clouds.yaml"}}
        with pytest.raises(AssertionError, match=place):
            sweep.check()
        path.unlink()
    note(len(sweep.hidden.markers) + len(LEFT_BEHIND))


# Commands without a fault

LEFT_BEHIND = {
    "journal.sqlite3",
    "journal.sqlite3.events",
    "plan.json",
    "page.html",
    "states.html",
    "all.prom",
    "hook-environment",
    "hook-processes",
    "hook-event",
}


def _first_uuid(stage: Stage) -> str:
    return next(iter(stage.openstack.instances["RegionOne"]))


# Each command that asks a server or shows what one said -> its words, in an order that works.
COMMANDS: dict[str, Callable[[Stage], Words]] = {
    "doctor": lambda stage: ["doctor"],
    "event": lambda stage: ["event", "host_created", "old.example.com", "7"],
    "plan": lambda stage: [
        *("plan", "--out", stage.folder / "plan.json"),
        *("--report", stage.folder / "page.html"),
    ],
    "plan as JSON": lambda stage: ["plan", "--output", "json"],
    "plan as CSV": lambda stage: ["plan", "--output", "csv"],
    "plan as YAML": lambda stage: ["plan", "--output", "yaml"],
    "explain": lambda stage: ["explain", "old.example.com"],
    "news": lambda stage: ["run", "--news"],
    "states": lambda stage: ["states", "--report", stage.folder / "states.html"],
    "run one": lambda stage: ["run", "--host", "old.example.com", "--apply", "--yes"],
    "apply": lambda stage: ["apply", stage.folder / "plan.json"],
    "run": lambda stage: [
        *("run", "--apply", "--report", stage.folder / "page.html"),
        *("--metrics", stage.folder / "all.prom", "--output", "yaml"),
    ],
    "quick run": lambda stage: ["run", "--apply", "--recent", "--news"],
    "history": lambda stage: ["history", "list", "--output", "json"],
    "history of one": lambda stage: ["history", "show", "1"],
    "restore": lambda stage: ["restore", "old.example.com"],
    "status": lambda stage: ["status"],
    "status as JSON": lambda stage: ["status", "--output", "json"],
    "check": lambda stage: ["check", _first_uuid(stage)],
    "check as JSON": lambda stage: ["check", "--output", "json", _first_uuid(stage)],
    "unmanaged": lambda stage: ["unmanaged"],
    "publish": lambda stage: ["templates", "publish"],
}


class Way(NamedTuple):
    """How a sweep logs in, how much it prints, and in which format it logs."""

    satellite: str
    openstack: str
    level: str
    log_format: str
    proxy: bool

    def __str__(self) -> str:
        return ", ".join(map(str, self))


LOGINS = list(zip([*SATELLITE_LOGINS, SATELLITE_LOGINS[0]], OPENSTACK_LOGINS))
LEVELS = ("-d", "-q", "-v", "")
# Each login at each level; each format, also through a proxy.
WAYS = [
    Way(*login, level, logs.FORMATS[number % 2], number % 3 == 1)
    for number, (level, login) in enumerate(product(LEVELS, LOGINS))
]


@pytest.mark.parametrize("way", WAYS if SOAK else WAYS[: len(LOGINS)], ids=str)
def test_no_secret_is_in_anything_that_commands_leave(
    sweep: Sweep, stage: Stage, hooks: Path, way: Way
) -> None:
    config = configuration(stage, sweep.hidden, way.satellite, way.openstack)
    has_all = SOAK or way is WAYS[0]
    processes = Processes(stage)
    with Server(stage.osp.handle) as proxy:
        if way.proxy:
            proxy.handle = lambda request: target_of(request, stage).handle(request)
            behind_a_proxy(stage, sweep.hidden, proxy.url.partition("//")[2])
        log = ["--log-format", way.log_format, "--log-file", stage.folder / "log"]
        level = [way.level] if way.level else []
        for name, words in COMMANDS.items():
            if has_all or name in ("doctor", "run"):
                sweep.run(config, *level, *log, *words(stage))
        assert bool(proxy.requests) == way.proxy
    assert places(stage).keys() >= LEFT_BEHIND or not has_all
    assert stage.foreman.count("^DELETE") == 3
    sweep.keep("processes", "\n".join(processes.lines))
    sweep.check()
    note(sweep.tried)


def target_of(request: Request, stage: Stage) -> Server:
    """The server to which a proxy has to hand a request."""
    for server in (stage.foreman, stage.osp):
        if server.url.endswith(f"//{request.headers['Host']}"):
            server.requests.append(request)
            return server
    raise AssertionError(request.headers["Host"])


def test_no_secret_is_seen_of_a_process_or_in_the_environment_of_a_hook(
    sweep: Sweep, stage: Stage, hooks: Path
) -> None:
    """The whole program, with everything that it starts; and an event with a whole record."""
    config = configuration(
        stage, sweep.hidden, "FOREMAN_PASSWORD", "OS_PASSWORD", deadline="1m"
    )
    processes = Processes(stage)
    body = json.dumps({"id": 9, "name": "new.example.com", "parameters": parameters()})
    for words in (["event", "host_created"], ["run", "--apply", "--news"]):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, hooks, "--config", config, "-d", *words],
            input=body,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        sweep.keep(" ".join(words), done.stdout + done.stderr)
        sweep.check()  # a run empties the spool of events
    assert stage.foreman.count("^DELETE") == 3
    ours = [line for line in processes.lines if str(config) in line]
    (program,) = (line for line in ours if "--news" in line)
    sweep.keep("processes", "\n".join(processes.lines))
    assert {"journal.sqlite3.events", "hook-environment"} <= places(stage).keys()
    seen_by_hook = (stage.folder / "hook-processes").read_text()
    assert program.replace("\0", " ").strip() in seen_by_hook
    sweep.check()
    note(sweep.tried)


def test_a_snapshot_keeps_no_value_of_a_parameter_with_a_secret_name(
    sweep: Sweep, stage: Stage
) -> None:
    config = configuration(stage, sweep.hidden)
    sweep.run(config, "run", "--apply")
    sweep.run(config, "history", "show", "1")
    text = list(sweep.printed.values())[-1]
    for name in parameters():
        assert name in text
    sweep.check()
    note(len(parameters()))


# Servers that repeat the request

MEET_ECHOES = (
    *("doctor", "plan", "run", "apply", "check", "unmanaged", "states"),
    *("explain", "restore", "publish"),
)
_NUMBER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b\d+\b")


class Meeting(NamedTuple):
    """A command, the requests that get an echo instead of an answer, and its form."""

    command: str
    server: str
    kind: str
    echo: Echo

    def __str__(self) -> str:
        return f"{self.command}: {self.echo} at {self.server}: {self.kind}"


def kind_of(request: Request) -> str:
    """The method and path of a request, without its numbers."""
    return f"{request.method} {_NUMBER.sub('N', request.path)}"


class Scene:
    """Before each command the state that it needs: what it deletes is there, or on file."""

    def __init__(self, sweep: Sweep, stage: Stage) -> None:
        self.sweep, self.stage = sweep, stage
        self.config = configuration(stage, sweep.hidden)
        self.handles = {name: each.handle for name, each in servers(stage).items()}
        sweep.run(self.config, *COMMANDS["plan"](stage))
        self.plan = (stage.folder / "plan.json").read_bytes()
        self.before = self._state()
        sweep.run(self.config, *COMMANDS["run"](stage))
        self.after = self._state()

    def _state(self) -> tuple[dict[int, Host], bytes]:
        journal = self.stage.folder / "journal.sqlite3"
        return dict(self.stage.satellite.hosts), journal.read_bytes()

    def run(self, command: str) -> None:
        """Run it, with a log of its own."""
        hosts, journal = self.after if command == "restore" else self.before
        self.stage.satellite.hosts.clear()
        self.stage.satellite.hosts.update(hosts)
        for path in self.stage.folder.glob("journal*"):
            path.unlink()
        (self.stage.folder / "journal.sqlite3").write_bytes(journal)
        (self.stage.folder / "plan.json").write_bytes(self.plan)
        self.stage.openstack.expire_tokens()
        self.stage.satellite.sessions.clear()
        self.stage.satellite.jobs.templates.by_id.clear()
        give_token(self.stage, self.sweep.hidden)
        log = self.stage.folder / "log"
        log.unlink(missing_ok=True)
        for server in servers(self.stage).values():
            server.requests.clear()
        self.sweep.printed.clear()
        words = COMMANDS[command](self.stage)
        self.sweep.run(self.config, "-d", "--log-file", log, *words)

    def meetings(self, commands: Sequence[str]) -> list[Meeting]:
        """Every echo at every kind of request of these commands."""
        everything = []
        for command in commands:
            self.run(command)
            for name, server in servers(self.stage).items():
                kinds = sorted(set(map(kind_of, server.requests)))
                everything += [
                    Meeting(command, name, kind, echo)
                    for kind, echo in product(kinds, ECHOES)
                ]
        return everything

    def meet(self, meeting: Meeting) -> None:
        """Run the command; nothing of the request may come out again."""
        server = servers(self.stage)[meeting.server]
        server.handle = meeting.echo.instead_of(
            self.handles[meeting.server],
            lambda request: kind_of(request) == meeting.kind,
        )
        try:
            self.run(meeting.command)
        finally:
            server.handle = self.handles[meeting.server]
        assert meeting.kind in map(kind_of, server.requests)
        self.sweep.check()


@pytest.mark.parametrize("share", range(SHARES))
def test_no_secret_comes_back_from_a_server_that_repeats_the_request(
    sweep: Sweep, stage: Stage, hooks: Path, share: int
) -> None:
    scene = Scene(sweep, stage)
    commands = MEET_ECHOES if SOAK else chosen(MEET_ECHOES, 2)
    try_all(chosen(scene.meetings(commands), 8, share), scene.meet)


# A checker host


def job_cases() -> list[Any]:
    """What becomes of a job: nothing, a clouds.yaml that is not valid, or an echo."""
    kinds = ("POST /v3/auth/tokens", "GET /compute/RegionOne/v2.1/servers/N")
    return [None, "password: [", *product(kinds, ECHOES)]


@pytest.mark.parametrize("share", range(SHARES))
def test_no_secret_of_a_checker_host_comes_back_from_a_job(
    sweep: Sweep, stage: Stage, share: int
) -> None:
    job = {"job_template": "OSP - Check instances", "search": "name ~ osp-checker"}
    config = configuration(stage, sweep.hidden, checker=job)
    clouds = stage.folder / "private" / "clouds.yaml"
    text = clouds.read_text()
    clouds.unlink()
    host = stage.satellite.add(Host("osp-checker.example.com"))
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    process = Process(stage.folder / "private", {"PATH": path})
    stage.satellite.jobs.targets[host.id] = process
    sweep.run(config, "templates", "publish")
    processes = Processes(stage)
    real = stage.osp.handle

    def run_job(case: Any) -> None:
        stage.osp.handle, theirs = real, text
        if isinstance(case, str):
            theirs = text.replace("password: ", case)
        elif case:
            kind, echo = case
            stage.osp.handle = echo.instead_of(real, lambda r: kind_of(r) == kind)
        private(stage, ".config/openstack/clouds.yaml", theirs)
        log = stage.folder / "log"
        sweep.run(config, "-d", "--log-file", log, "check", _first_uuid(stage))
        sweep.keep("processes", "\n".join(processes.lines))
        sweep.check()

    try:
        try_all(chosen(job_cases(), 1, share), run_job)
    finally:
        stage.satellite.jobs.close()
    assert any("foreman-ssh-cmd" in line for line in processes.lines)


# Secrets in files that are not valid, and in URLs

# What people write instead of a password; {} is the marker.
MISTAKES = [
    # A list, a mapping, a reference, an anchor, a tag
    *("[{}", "[{}]", '["{}", 1]', "{{}}", "{{{}}}", "{a: {}}", "<<: {}", "*{}", "&{}"),
    *("!{} x", "!{}!x x", "!!int {}", "!!float {}", "!!timestamp {}", "!!binary {}"),
    "!!python/name:{} x",
    # Quotes, and characters that cannot begin a text
    *('"{}', "'{}", '"\\{}"', '"{}\\ud800"', "@{}", "`{}", "%{}", "|{}", ">{}", "\0{}"),
    # More lines, keys, comments, numbers
    *("{}\n  {}", "\n{}", "\n    {}", "{}\n\tx", "x\n%{}", "{}: x", "- {}", "? {}"),
    *("{} # x", "true # {}", "2001-02-03 # {}", "1{}", "0x{}", "\x1b{}"),
]
# File -> how to log in to Satellite and to OpenStack, so that it has a secret.
FILES = {
    "config.yml": ("satellite.password in our file", "password in clouds.yaml"),
    "password": ("personal access token in a password_file", "password in clouds.yaml"),
    ".hammer/cli.modules.d/foreman.yml": (
        "password in hammer's file",
        "password in clouds.yaml",
    ),
    "clouds.yaml": ("satellite.password in our file", "password in clouds.yaml"),
    "secure.yaml": ("satellite.password in our file", "password in secure.yaml"),
}
URLS = (
    *("http://admin:{}@127.0.0.1:9", "http://{}@127.0.0.1:9", "admin:{}@127.0.0.1"),
    *("http://a:{}@[::1", "http://a:{}@h:99999", "socks5://a:{}@127.0.0.1:9"),
    *("http://127.0.0.1:9/?password={}", "http://a:{}/b@127.0.0.1:9", "ftp://a:{}@h"),
    *("//a:{}@127.0.0.1:9", "http://a:{}@", "http://a:{} b@127.0.0.1:9", "{}@h"),
)
VARIABLES = ("FOREMAN_URL", "OS_AUTH_URL", "http_proxy", "all_proxy", "satellite.url")


def mistakes() -> list[tuple[str, str]]:
    """(file, what stands in it) and (variable, what it holds)."""
    return [*product(FILES, MISTAKES), *product(VARIABLES, URLS)]


@pytest.mark.parametrize("share", range(SHARES))
def test_no_secret_is_in_what_is_said_about_a_mistake_in_a_file_or_url(
    sweep: Sweep, stage: Stage, share: int
) -> None:
    log = stage.folder / "log"

    def make(case: tuple[str, str]) -> None:
        place, form = case
        with pytest.MonkeyPatch.context() as patch:
            stage.monkeypatch = patch
            config = wrong(stage, sweep.hidden, place, form)
            sweep.printed.clear()
            for path in (log, *stage.folder.glob("plan*"), *stage.folder.glob("page*")):
                path.unlink(missing_ok=True)
            for command in ("plan", "check", "doctor"):
                words = COMMANDS[command](stage)
                sweep.run(config, "-d", "--log-file", log, *words)
            sweep.check()

    try_all(chosen(mistakes(), 8, share), make)


def wrong(stage: Stage, hidden: Hidden, place: str, form: str) -> Path:
    """The configuration with that mistake."""
    if place in FILES:
        config = configuration(stage, hidden, *FILES[place])
        is_cloud = place in ("clouds.yaml", "secure.yaml")
        secret = hidden[FILES[place][is_cloud]]
        path = stage.folder / "private" / place
        path.write_text(path.read_text().replace(secret, form.replace("{}", secret)))
        return config
    url = form.replace("{}", hidden["password of a proxy"])
    openstack = "OS_PASSWORD" if place == "OS_AUTH_URL" else OPENSTACK_LOGINS[0]
    config = configuration(stage, hidden, openstack=openstack)
    if place == "satellite.url":
        text = config.read_text().replace(stage.foreman.url, json.dumps(url))
        config.write_text(text)
    else:
        stage.monkeypatch.setenv(place, url)
    return config
