"""Servers without a host record: every one that nobody patches, and no other."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from conftest import Stage
from sandbox.instances import Instance
from sandbox.world import guest_facts, named_uuid

from foreman_hooks.osp_checker import swap_bytes


def listed(stage: Stage, call: Any, *options: str) -> list[str]:
    code, out, err = call(
        "--config", stage.config(), "unmanaged", "--output", "json", *options
    )
    assert (code, err) == (0, "")
    return sorted(row["name"] for row in json.loads(out))


def add(stage: Stage, name: str, age: float = 100, **more: Any) -> str:
    uuid = named_uuid(name)
    stage.openstack.add(
        "RegionOne", Instance(uuid, name, created=time.time() - age * 86400, **more)
    )
    return uuid


def test_servers_without_a_record_are_listed(stage: Stage, call: Any) -> None:
    add(stage, "forgotten", project="shop")
    stage.host("known")
    code, out, _ = call("--config", stage.config(), "unmanaged")
    assert code == 0 and "forgotten" in out and "known" not in out
    assert "1 of 3 servers have no host record" in out


def test_a_record_that_names_the_uuid_in_the_other_byte_order_counts(
    stage: Stage, call: Any
) -> None:
    uuid = add(stage, "swapped")
    stage.host("record", uuid=swap_bytes(uuid), server=None)
    assert listed(stage, call) == []


def test_any_source_of_facts_counts(stage: Stage, call: Any) -> None:
    uuid = add(stage, "puppet")
    stage.host(
        "record",
        server=None,
        facts={
            **guest_facts(named_uuid("other")),
            "PuppetFactName": {"dmi::product::uuid": uuid},
        },
    )
    assert listed(stage, call) == []


@pytest.mark.parametrize("servers", [3, 30, 300])
def test_any_fact_counts_however_many_servers_have_no_record(
    stage: Stage, call: Any, servers: int
) -> None:
    """A few UUIDs are searched for, many by reading all hosts; also on a host that is alive."""
    uuid = add(stage, "puppet")
    stage.host(
        "record",
        facts={
            **guest_facts(named_uuid("record")),
            "PuppetFactName": {"dmi::product::uuid": swap_bytes(uuid).upper()},
        },
    )
    forgotten = [f"forgotten{number}" for number in range(servers)]
    for name in forgotten:
        add(stage, name)
    assert listed(stage, call) == sorted(forgotten)


def test_if_every_server_has_a_record_no_other_facts_are_read(
    stage: Stage, call: Any
) -> None:
    stage.host("known")
    for number in range(30):
        stage.host(f"metal{number}", server=None)
    assert listed(stage, call) == []
    assert stage.foreman.count("GET /api/fact_values") == 1


@pytest.mark.parametrize(("servers", "requests"), [(3, 1), (30, 2), (300, 2)])
def test_what_is_left_over_costs_few_searches_or_two_a_window_of_hosts(
    stage: Stage, call: Any, servers: int, requests: int
) -> None:
    for number in range(servers):
        add(stage, f"forgotten{number}")
    assert len(listed(stage, call)) == servers
    leading = 1  # the page of the leading facts
    assert stage.foreman.count("GET /api/fact_values") == leading + requests


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--project", "shop"], ["old"]),
        (["--name", "OL"], ["old"]),
        (["--older-than", "50d"], ["old"]),
        (["--older-than", "1h"], ["new", "old"]),
        (["--image", "no-such-image"], []),
        (["--project", "nowhere"], []),
    ],
)
def test_the_list_can_be_narrowed(
    stage: Stage, call: Any, options: list[str], names: list[str]
) -> None:
    add(stage, "old", project="shop")
    add(stage, "new", age=1, project="bank")
    assert listed(stage, call, *options) == names


def test_the_search_of_the_configuration_narrows_nothing(
    stage: Stage, call: Any
) -> None:
    """A host outside it has a record all the same."""
    stage.host("known")
    config = stage.config(
        satellite={
            "url": stage.foreman.url,
            "username": "admin",
            "password": "changeme",
            "search": "name = nothing",
        }
    )
    assert (
        json.loads(call("--config", config, "unmanaged", "--output", "json")[1]) == []
    )


def test_csv_is_for_the_security_team(stage: Stage, call: Any) -> None:
    add(stage, 'a,b"c\x1b[31m', project="shop")
    code, out, _ = call(
        "--config",
        stage.config(),
        "unmanaged",
        "--output",
        "csv",
        "--fields",
        "Name,Project name",
    )
    assert (code, out) == (0, 'Name,Project name\n"a,b""c [31m",shop\n')


def test_a_servers_name_is_never_a_formula_in_csv(stage: Stage, call: Any) -> None:
    add(stage, '=HYPERLINK("http://evil.example.com")', project="shop")
    _, out, _ = call(
        "--config",
        stage.config(),
        "unmanaged",
        "--output",
        "csv",
        "--fields",
        "Name,Project name",
    )
    assert (
        out == 'Name,Project name\n"\'=HYPERLINK(""http://evil.example.com"")",shop\n'
    )


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda stage: stage.use_cloud(password="wrong"), 129),
        (lambda stage: stage.use_cloud("reader"), 77),
        (lambda stage: stage.osp.fail("/servers/detail", 500), 69),
        (lambda stage: stage.foreman.fail("/api/hosts", 500), 69),
    ],
)
def test_a_side_that_cannot_answer_is_an_error_and_not_a_shorter_list(
    stage: Stage, call: Any, spoil: Any, code: int
) -> None:
    spoil(stage)
    exit_code, out, err = call("--config", stage.config(), "unmanaged")
    assert (exit_code, out, err.count("\n")) == (code, "", 1)


def test_a_region_that_fails_is_an_error_although_others_answer(
    stage: Stage, call: Any
) -> None:
    """RegionTwo has no server, so that it proves nothing."""
    add(stage, "forgotten")
    clouds = [{"cloud": "prod", "regions": ["RegionOne", "RegionTwo"]}]
    code, out, err = call("--config", stage.config(clouds=clouds), "unmanaged")
    assert (code, out, err.count("\n")) == (69, "", 1)
    assert "prod/RegionTwo: Nova lists no active server" in err


def test_an_invalid_span_is_a_usage_error(stage: Stage, call: Any) -> None:
    assert (
        call("--config", stage.config(), "unmanaged", "--older-than", "soon")[0] == 64
    )
