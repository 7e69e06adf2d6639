"""Every place where text from outside becomes a value: what it reads, and how it may refuse.

The answers of servers are in answers.py.

To add a parser: write a function that gets a folder and bytes, and put it into PARSERS with the
errors that it documents and some inputs that it accepts.
"""

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from unittest import mock

from foreman_hooks import settings, times
from foreman_hooks.hooks import event, machine, spool
from foreman_hooks.osp_checker import OSPConfigError, config, wire
from foreman_hooks.osp_checker.uuids import parse_uuid
from foreman_hooks.paths import CRON, LOGROTATE, ROOT_CRONTAB, SERVICE, TIMER
from foreman_hooks.reports import metrics
from foreman_hooks.reports.texts import escaped, plain
from foreman_hooks.rules import identity, plan
from foreman_hooks.rules.model import (
    Basis,
    Decision,
    Fingerprint,
    Reason,
    Verdict,
)
from foreman_hooks.rules.verdicts import verdicts_of
from foreman_hooks.satellite import hammer, harmless, response, search_language
from foreman_hooks.satellite.errors import SatelliteError
from foreman_hooks.satellite.records import parse_record
from foreman_hooks.satellite.times import parse_time
from satellite_remote_exec.scripts import check_instances, publish_identity

from .answers import ANSWERS
from .parser import NOW, UUID, Parser, check_plain, stored, text_of

NOBODY = "http://127.0.0.1:9"  # a metadata service that does not answer

# Job output


QUESTION = wire.Question("abc", "survey", UUID)
SERVERS = wire.Question("abc", "deleted", "", since="2026-01-01T00:00:00Z")
REGION = ["prod", "RegionOne", 1, "", "", "", []]
SIGHTING = [0, "deleted", "", "2026-02-01T00:00:00+00:00", "shop"]
SURVEY_BODY = {
    "at": "2026-03-01T12:00:00+00:00",
    "regions": [REGION],
    "alive": {},
    "asked": {UUID: [SIGHTING]},
}
SERVER = [0, UUID, "web", "DELETED", "shop", "", "", None, None, SIGHTING[3]]
SERVERS_BODY = {"at": SURVEY_BODY["at"], "regions": [REGION], "servers": [SERVER]}


def _framed(question: wire.Question, content: bytes) -> str:
    """The line of a checker host that says so, with the right digests."""
    text = text_of(content)
    try:
        body = json.loads(text)
        text = json.dumps({"question": question.digest, **body})
    except (ValueError, TypeError, RecursionError):
        pass
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return f"{wire.MARK} {question.nonce} {digest} {text}"


def _signed_plan(content: bytes) -> str:
    """A plan file whose digest is right, whatever else it says."""
    try:
        document = json.loads(content)
        head = {key: document[key] for key in document if key != "verdicts"}
        digest = plan._digest(head, document["verdicts"])
        return json.dumps({"digest": digest, **document})
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return text_of(content)


def _plan_sample() -> str:
    verdict = Verdict(
        7,
        "old.example.com",
        UUID,
        Decision.DELETE,
        Reason.TERMINATED,
        "gone",
        Fingerprint(*["x"] * len(Fingerprint._fields)),
        Basis(),
    )
    region = plan.PlanRegion("prod", "RegionOne", 3, "", None, alive=2)
    whole = plan.Plan(
        "https://satellite.example.com",
        NOW,
        "all hosts",
        (region,),
        verdicts_of([verdict]),
    )
    document = json.loads(plan.dump(whole))
    del document["digest"]
    return json.dumps(document)


# Files

SCHEDULES = (
    (CRON, LOGROTATE.with_name("foreman"), ROOT_CRONTAB),
    (TIMER, SERVICE),
)


def _settings_of_config(folder: Path, content: bytes) -> object:
    path = folder / "config.yml"
    path.write_bytes(content)
    return settings.load(path, {"HOME": str(folder / "nobody")})


def _settings_of_hammer(folder: Path, content: bytes) -> object:
    home = folder / "home"
    path = home / ".hammer" / "cli_config.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    for warning in hammer.read_hammer_files(home).warnings:
        assert len(warning) < 2000
    empty = folder / "empty.yml"
    empty.write_text("{}")
    return settings.load(empty, {"HOME": str(home)})


def _settings_of_environment(folder: Path, content: bytes) -> object:
    value = text_of(content).replace("\0", "")
    names = ("FOREMAN_URL", "FOREMAN_USERNAME", "FOREMAN_PASSWORD", "OS_CLOUD")
    environ = dict.fromkeys(names, value)
    empty = folder / "empty.yml"
    empty.write_text("{}")
    return settings.load(empty, {**environ, "HOME": str(folder)})


def _journal_of(folder: Path, content: bytes) -> object:
    path = folder / "config.yml"
    path.write_bytes(content)
    return spool.journal_of(path)


def _clouds(folder: Path, content: bytes) -> object:
    path = folder / "clouds.yaml"
    path.write_bytes(content)
    os.environ["OS_CLIENT_CONFIG_FILE"] = str(path)
    entries = []
    for cloud in config.cloud_names():
        for region in config.region_names(cloud):
            entry = config.cloud_entry(cloud, region)
            entries.append((entry.login_key, entry.credential_key, entry.auth_url))
    return entries


def _spool(folder: Path, content: bytes) -> object:
    path = folder / "journal.events"
    path.write_bytes(content)
    notes: list[object] = []
    spool.take(path, lambda taken, _: notes.extend(taken), NOW)
    return notes


def _schedule(folder: Path, content: bytes) -> object:
    """The files of cron, systemd and logrotate, and the journal that they need."""
    (folder / "config.yml").write_bytes(content)
    for number, paths in enumerate(SCHEDULES):
        root = folder / f"machine{number}"
        for path in paths:
            file = root / str(path).lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        machine.current_schedule(root)
        machine.other_schedules(root)
        machine.other_log_rotation(root)
    return machine.configured_journal(folder, folder / "config.yml")


def _metrics(folder: Path, content: bytes) -> object:
    path = folder / "metrics.prom"
    path.write_bytes(content)
    metrics.write(path, metrics.RunRecord(), NOW.timestamp())
    for line in path.read_text().splitlines():
        assert line.startswith(("# ", f"{metrics.PREFIX}_")), line
    return None


# Responses


def _record(folder: Path, content: bytes) -> object:
    """All that is done with the body of a response, valid or not."""
    try:
        body = response.parse_json(content)
    except (ValueError, RecursionError) as error:
        return response.describe_flaw(error)
    response.error_message(body)
    response.missing_permissions(body)
    if not isinstance(body, dict):
        return None
    record = parse_record(body, katello=True)
    return json.dumps(record.snapshot, allow_nan=False).encode()


def _identity(folder: Path, content: bytes) -> object:
    """Facts are texts: Satellite's API has no other."""
    text = text_of(content)
    values = dict.fromkeys((*identity.RHSM_NAMES, *identity.OTHER_NAMES), text)
    for katello in (True, False):
        for facts in ({"RHSM": values}, {"Ansible": values, "Puppet": values}):
            identity.identify(facts, katello=katello)
            identity.disagree(facts, ("OpenStack",))
    return identity.by_makers(values, (), ("OpenStack",))


# Scripts of jobs


def _script(call: Callable[[], int], codes: tuple[int, ...]) -> object:
    """Run a script without any program of this machine; it silences logs and warnings."""
    printed = StringIO()
    environ = {**os.environ, "PATH": ""}
    try:
        with (
            redirect_stdout(printed),
            warnings.catch_warnings(),
            mock.patch.dict(os.environ, environ),
        ):
            code = call()
    finally:
        logging.disable(logging.NOTSET)
    assert code in codes, f"exit code {code}"
    text = printed.getvalue().strip("\n")
    assert text.isascii(), text
    assert all(map(str.isprintable, text.split("\n"))), text
    return code


def _check_instances(folder: Path, content: bytes) -> object:
    """Each input of the template in turn; a cloud that is not in clouds.yaml sends nothing."""
    text = text_of(content)
    clouds_yaml = folder / "clouds.yaml"
    clouds_yaml.write_text("clouds: {prod: {region_name: RegionOne}}")
    os.environ["OS_CLIENT_CONFIG_FILE"] = str(clouds_yaml)
    valid = wire.Question("abc", "survey", UUID, "other", "", "")
    questions = [
        valid._replace(nonce=text),
        valid._replace(mode=text),
        valid._replace(uuids=text),
        valid._replace(clouds=f"other,{text.replace('prod', '')},"),
        valid._replace(fails=text),
        valid._replace(since=text),
        valid._replace(mode="deleted", since=text),
    ]
    for question in questions:
        _script(lambda q=question: check_instances.main(q), (0, 64, 65, 78))  # type: ignore[misc]
    return _script(lambda: check_instances.main(valid, text), (0, 64, 78))


def _publish(folder: Path, content: bytes) -> object:
    """As cloud-init's file, as facts that are already there, and as files of the firmware."""
    names = (
        "run/cloud-init/instance-data.json",
        "etc/rhsm/facts/osp.facts",
        "sys/class/dmi/id/product_uuid",
        "sys/class/dmi/id/sys_vendor",
        "proc/sysinfo",
        "proc/cpuinfo",
        "sys/class/net/eth0/address",
    )
    paths = [folder / "root" / name for name in names]
    for number in range(len(paths)):
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        paths[2].write_text(UUID)
        paths[number].write_bytes(content)
        _script(lambda: publish_identity.main(folder / "root", NOBODY), (0, 69, 70, 77))
    return None


def _metadata(folder: Path, content: bytes) -> object:
    """What the metadata service says, without the service."""
    try:
        values = publish_identity.parse(content, 69, "the metadata service")
        network = publish_identity.parse_or_none(content)
        claim = publish_identity.claim_of("the metadata service", values, network, 69)
    except publish_identity.Failed:
        return None
    assert all(
        value.isprintable() and value.isascii() for value in claim.facts.values()
    )
    return claim


CONFIG_SAMPLE = """
satellite:
  url: https://satellite.example.com
  username: osp-cleanup
  password: changeme
  search: 'last_checkin < "30 days ago"'
  workers: 4
  pause: 10ms
clouds:
- cloud: prod
  regions: [RegionOne]
  ignore_regions: [RegionTwo]
  lists_fail_on_down_cell: false
checker: local
journal: ~/journal.sqlite3
deadline: 2h
repeat_news: 7d
policy:
  quiet: 4h30m
  misses: 3
  max_fraction: 0.1
  protect_parameter: osp_cleanup_protect
  openstack_names: [OpenStack]
  all_clouds_listed: false
"""
JOB_SAMPLE = """
satellite: {url: 'https://satellite.example.com', username: a, password: b}
clouds: [{cloud: prod}]
checker: {job_template: Check, search: name = a.example.com, clouds_yaml: /a, deadline: 5m}
"""
HAMMER_SAMPLE = """
:foreman:
  :enable_module: true
  :host: 'https://satellite.example.com'
  :username: 'admin'
  :password: 'changeme'
  :default_auth_type: 'Basic_Auth'
  :use_sessions: false
:ssl:
  :verify_ssl: true
  :local_ca_store_path: '/nowhere'
"""
CLOUDS_SAMPLE = """
clouds:
  prod:
    region_name: RegionOne
    auth_type: password
    api_timeout: 60
    verify: true
    auth:
      auth_url: https://keystone.example.com/v3
      username: checker
      password: changeme
      project_name: admin
      user_domain_name: Default
      project_domain_name: Default
  test:
    regions: [RegionOne, {name: RegionTwo}]
    auth_type: v3applicationcredential
    auth: {auth_url: 'https://x', application_credential_id: a, application_credential_secret: b}
"""
HOST_SAMPLE = json.dumps(
    {
        "id": 7,
        "name": "web.example.com",
        "comment": "shop",
        "organization_id": 1,
        "organization_name": "Default Organization",
        "all_parameters": [{"name": "role", "value": "web"}],
        "parameters": [{"name": "role", "value": "web"}],
        "host_collections": [{"id": 1, "name": "all"}],
        "subscription_facet_attributes": {
            "uuid": UUID,
            "registered_at": "2026-01-01 00:00:00 UTC",
            "last_checkin": "2026-02-01 00:00:00 UTC",
            "activation_keys": [{"id": 1, "name": "web"}],
        },
        "content_facet_attributes": {
            "lifecycle_environment": {"id": 1, "name": "Library"}
        },
        "infrastructure_facet": {"foreman_instance": False},
        "last_report": None,
        "build": False,
    }
)
ERROR_SAMPLE = json.dumps(
    {
        "error": {
            "message": 'Consumer: Gone { "displayMessage" : "no" } Candlepin',
            "full_messages": ["a", "b"],
            "missing_permissions": ["view_hosts"],
        }
    }
)
NOTE_SAMPLE = json.dumps(
    {
        "event": event.CREATED,
        "host_id": 7,
        "name": "web.example.com",
        "at": "2026-03-01T11:00:00+00:00",
    }
)
CLOUD_INIT_SAMPLE = json.dumps(
    {
        "v1": {"platform": "openstack", "region": "RegionOne"},
        "ds": {
            "meta_data": {"uuid": UUID, "project_id": "shop", "availability_zone": "a"},
            "network_json": {"links": [{"ethernet_mac_address": "fa:16:3e:00:00:01"}]},
        },
    }
)
METADATA_SAMPLE = json.dumps(
    {
        "uuid": UUID,
        "project_id": "shop",
        "availability_zone": "a",
        "links": [{"ethernet_mac_address": "fa:16:3e:00:00:01"}],
    }
)
CRON_SAMPLE = "7 * * * * root /usr/bin/satellite-osp-cleanup run --apply\n"
TIMER_SAMPLE = """[Timer]
OnCalendar=*-*-* *:07:00
ExecStart=/usr/bin/satellite-osp-cleanup run --apply
"""
LOGROTATE_SAMPLE = """/var/log/foreman/cron-osp-cleanup.log "/var/log/foreman/*.log" {
  weekly
}
"""
METRICS_SAMPLE = (
    'satellite_osp_cleanup_last_good_run_timestamp_seconds{run="run"} 1.7e9\n'
    'satellite_osp_cleanup_hosts{run="quick",verdict="a \\"b\\""} 3.0\n'
)
SEARCHES = (
    'last_checkin < "30 days ago" and (name ~ web or facts.a ^ (1, 2))',
    'created_at > "2026-11-03 10:30 UTC"',
    "last_report before today",
)

PARSERS = (
    Parser("uuid", "text", lambda _, c: parse_uuid(text_of(c)), (), (UUID,)),
    Parser("time span", "text", lambda _, c: times.parse(text_of(c)), (), ("4h30m",)),
    Parser(
        "time of Foreman",
        "text",
        lambda _, c: parse_time(text_of(c)),
        (SatelliteError,),
        ("2022-11-03 11:43:54 UTC", "2016-05-26 10:46:18 -0400"),
    ),
    Parser(
        "iso time",
        "text",
        lambda _, c: times.read_iso_z(text_of(c)),
        (),
        ("2026-03-01T12:00:00Z",),
    ),
    Parser(
        "terminal",
        "text",
        lambda _, c: (
            check_plain(plain(text_of(c))),
            check_plain(escaped(text_of(c))),
        ),
        (),
        ("a name",),
    ),
    Parser(
        "harmless parameter",
        "text",
        lambda _, c: harmless.is_harmless(text_of(c), text_of(c)),
        (),
        ("role", "https://a.example.com/b", "10.0.0.1"),
    ),
    Parser(
        "search", "text", lambda _, c: search_language.problem(text_of(c)), (), SEARCHES
    ),
    Parser(
        "date of a search",
        "text",
        lambda _, c: search_language.is_date(text_of(c)),
        (),
        ("2026-11-03 10:30 UTC",),
    ),
    Parser(
        "redirect",
        "text",
        lambda _, c: response.redirect_advice("https://a", "/api", text_of(c)),
        (),
        ("https://b.example.com/api",),
    ),
    Parser("response", "json", _record, (SatelliteError,), (HOST_SAMPLE, ERROR_SAMPLE)),
    Parser("facts", "text", _identity, (), ("Red Hat", "true", UUID), 10_000),
    Parser(
        "job output",
        "text",
        lambda _, c: wire.load(QUESTION, text_of(c)),
        (wire.NoAnswer,),
        (_framed(QUESTION, json.dumps(SURVEY_BODY).encode()),),
    ),
    Parser(
        "answer of a job",
        "json",
        lambda _, c: stored(wire.load(QUESTION, _framed(QUESTION, c))),
        (wire.NoAnswer,),
        (json.dumps(SURVEY_BODY),),
    ),
    Parser(
        "servers of a job",
        "json",
        lambda _, c: stored(wire.load_servers(SERVERS, _framed(SERVERS, c))),
        (wire.NoAnswer,),
        (json.dumps(SERVERS_BODY),),
    ),
    Parser(
        "plan file",
        "json",
        lambda _, c: stored(plan.load(text_of(c))),
        (plan.PlanError,),
        (_signed_plan(_plan_sample().encode()),),
    ),
    Parser(
        "signed plan file",
        "json",
        lambda _, c: stored(plan.load(_signed_plan(c))),
        (plan.PlanError,),
        (_plan_sample(),),
    ),
    Parser(
        "configuration",
        "yaml",
        _settings_of_config,
        (settings.SettingsError,),
        (CONFIG_SAMPLE, JOB_SAMPLE),
        4000,
        slow=True,
    ),
    Parser(
        "journal in the configuration",
        "yaml",
        _journal_of,
        (spool.SpoolError,),
        (CONFIG_SAMPLE,),
        4000,
        slow=True,
    ),
    Parser(
        "files of hammer",
        "yaml",
        _settings_of_hammer,
        (settings.SettingsError,),
        (HAMMER_SAMPLE,),
        4000,
        slow=True,
    ),
    Parser(
        "environment",
        "text",
        _settings_of_environment,
        (settings.SettingsError,),
        ("https://a.example.com",),
    ),
    Parser(
        "clouds.yaml",
        "yaml",
        _clouds,
        (OSPConfigError,),
        (CLOUDS_SAMPLE,),
        4000,
        slow=True,
    ),
    Parser(
        "body of an event",
        "json",
        lambda _, c: event.note_of(event.CREATED, "", "", c, NOW),
        (event.EventError,),
        ('{"id": 7, "name": "web.example.com"}', '{"host": {"id": 7}}'),
    ),
    Parser(
        "arguments of an event",
        "text",
        lambda _, c: event.note_of(event.CREATED, text_of(c), text_of(c), b"", NOW),
        (event.EventError,),
        ("web.example.com", "7"),
    ),
    Parser("spool", "json", _spool, (spool.SpoolError,), (NOTE_SAMPLE,)),
    Parser(
        "inputs of check_instances",
        "text",
        _check_instances,
        (),
        (UUID, "survey", "2026-01-01T00:00:00Z", "other/R"),
        10_000,
        slow=True,
    ),
    Parser(
        "files of publish_identity",
        "json",
        _publish,
        (),
        (CLOUD_INIT_SAMPLE, json.dumps(UUID)),
        20_000,
        slow=True,
    ),
    Parser("metadata of publish_identity", "json", _metadata, (), (METADATA_SAMPLE,)),
    Parser(
        "schedules",
        "text",
        _schedule,
        (),
        (CRON_SAMPLE, TIMER_SAMPLE, LOGROTATE_SAMPLE),
        20_000,
        slow=True,
    ),
    Parser("metrics", "text", _metrics, (), (METRICS_SAMPLE,), slow=True),
    *ANSWERS,
)
BY_NAME = {parser.name: parser for parser in PARSERS}
