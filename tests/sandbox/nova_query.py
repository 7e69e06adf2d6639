"""What a request to the double of Nova asks for: microversion, filters, order.

All of it as nova 34.0.0 reads it (measured): which parameters count for whom at which
microversion, and with which message a bad one is refused.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.message import Message
from typing import Callable, NamedTuple

from .instances import SORTABLE, STATES, Search, SortSpec
from .keystone import Caller
from .server import UnknownRequestError

Version = tuple[int, int]
Query = dict[str, list[str]]
ByVersion = Mapping[Version, str]  # words by the microversion that brought them

MINIMUM: Version = (2, 1)
MAXIMUM: Version = (2, 104)
PAGING = frozenset(("sort_key", "sort_dir", "limit", "marker"))
_TAGS = "tags tags-any not-tags not-tags-any"
# What the schema lets through to the filters; the rest is dropped before 2.75 and a 400 from it.
_KNOWN_AT_2_1 = """
    access_ip_v4 access_ip_v6 all_tenants auto_disk_config availability_zone block_device_mapping
    changes-since config_drive created_at deleted description display_description display_name
    flavor host hostname image image_ref info_cache ip ip6 kernel_id key_name launch_index
    launched_at limit locked_by marker metadata name node pci_devices power_state progress
    project_id ramdisk_id reservation_id root_device_name security_groups services soft_deleted
    sort_dir sort_key status system_metadata task_state tenant_id terminated_at user_id uuid
    vm_state
"""
KNOWN: ByVersion = {
    (2, 1): _KNOWN_AT_2_1,
    (2, 26): _TAGS,
    (2, 66): "changes-before",
    (2, 73): "locked",
}
# What callers without the right allow_all_filters can filter by; the rest is dropped for them,
# silently, at every microversion.
_OPEN_AT_2_83 = """
    availability_zone config_drive key_name created_at launched_at terminated_at power_state
    task_state vm_state progress user_id
"""
OPEN: ByVersion = {
    (2, 1): "reservation_id name status image flavor ip changes-since all_tenants",
    (2, 5): "ip6",
    (2, 26): _TAGS,
    (2, 66): "changes-before",
    (2, 73): "locked",
    (2, 83): _OPEN_AT_2_83,
    (2, 90): "hostname",
}
JOINED = frozenset(
    (
        "block_device_mapping",
        "services",
        "metadata",
        "system_metadata",
        "info_cache",
        "security_groups",
        "pci_devices",
    )
)
SIMULATED = frozenset(
    (
        "all_tenants",
        "changes-since",
        "changes-before",
        "deleted",
        "soft_deleted",
        "status",
        "vm_state",
        "name",
        "display_name",
        "project_id",
        "tenant_id",
        "uuid",
    )
)
_SORT_KEYS_AT_2_1 = """
    access_ip_v4 access_ip_v6 auto_disk_config availability_zone config_drive created_at
    display_description display_name host hostname image_ref instance_type_id kernel_id key_name
    launch_index launched_at locked_by node power_state progress project_id ramdisk_id
    root_device_name task_state terminated_at updated_at user_id uuid vm_state
"""
SORT_KEYS: ByVersion = {(2, 1): _SORT_KEYS_AT_2_1, (2, 73): "locked"}
_IGNORED_SORT_KEYS = """
    architecture cell_name cleaned default_ephemeral_device default_swap_device deleted deleted_at
    disable_terminate ephemeral_gb ephemeral_key_uuid id key_data launched_on locked memory_mb
    os_type reservation_id root_gb shutdown_terminate user_data vcpus vm_mode
"""
YES = ("1", "on", "t", "true", "y", "yes")
NO = ("0", "f", "false", "n", "no", "off")


class Fault(Exception):
    """A request that Nova answers with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Call(NamedTuple):
    """One request past routing: `site` is http://HOST/compute/REGION."""

    region: str
    site: str
    caller: Caller
    version: Version
    query: Query


def since(table: ByVersion, version: Version) -> list[str]:
    """The words of `table` that `version` knows."""
    words: list[str] = []
    for first, text in table.items():
        if first <= version:
            words += text.split()
    return words


def microversion(headers: Message) -> Version:
    """The microversion of a request, 2.1 by default; raises Fault if it is malformed."""
    text = headers.get("X-OpenStack-Nova-API-Version", "2.1")
    for word in re.split(r"\s*,\s*", headers.get("OpenStack-API-Version", "").strip()):
        service, _, asked = word.partition(" ")
        if service == "compute":
            text = asked
    text = text.strip()
    if text == "latest":
        return MAXIMUM
    match = re.fullmatch(r"([1-9]\d*)\.([1-9]\d*|0)", text)
    if match is None:
        raise Fault(
            400,
            f"API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum.",
        )
    return int(match[1]), int(match[2])


def check_range(version: Version) -> None:
    """Raise Fault if the service does not know that microversion."""
    if not MINIMUM <= version <= MAXIMUM:
        raise Fault(
            406,
            f"Version {dotted(version)} is not supported by the API. "
            f"Minimum is {dotted(MINIMUM)} and maximum is {dotted(MAXIMUM)}.",
        )


def dotted(version: Version) -> str:
    """A microversion as text: 2.104."""
    major, minor = version
    return f"{major}.{minor}"


def checked(query: Query, version: Version) -> Query:
    """The query without what the schema does not know; raises Fault if it breaks the schema."""
    known = since(KNOWN, version)
    unknown = sorted(
        name for name in query if name not in known and not name.startswith("_")
    )
    if unknown and version >= (2, 75):
        verb = "does" if len(unknown) == 1 else "do"
        names = ", ".join(map(repr, unknown))
        raise Fault(400, f"{names} {verb} not match any of the regexes: '^_'")
    kept = {name: values for name, values in query.items() if name not in unknown}
    for name, find_fault in CHECKS.items():
        for value in kept.get(name, []):
            _check_value(name, value, find_fault(value, version))
    return kept


def _check_value(name: str, value: str, fault: str) -> None:
    if fault:
        raise Fault(
            400,
            f"Invalid input for query parameters {name}. Value: {value}. {value!r} {fault}",
        )


def wrong_limit(value: str, _: Version) -> str:
    """What is wrong with a limit; empty: nothing."""
    if not value:
        return "should be non-empty"
    return "" if re.fullmatch("[0-9]*", value) else "does not match '^[0-9]*$'"


def wrong_time(value: str, _: Version) -> str:
    """What is wrong with a time; empty: nothing."""
    try:
        epoch(value)
    except ValueError:
        return "is not a 'date-time'"
    return ""


def wrong_pattern(value: str, _: Version) -> str:
    """What is wrong with a regular expression; empty: nothing."""
    try:
        re.compile(value)
    except re.error:
        return "is not a 'regex'"
    return ""


def wrong_sort_key(value: str, version: Version) -> str:
    """What is wrong with a sort key; empty: nothing."""
    valid = since(SORT_KEYS, version)
    if version < (2, 75):
        valid += _IGNORED_SORT_KEYS.split()
    return "" if value in valid else f"is not one of {valid}"


CHECKS: dict[str, Callable[[str, Version], str]] = {
    "limit": wrong_limit,
    "changes-since": wrong_time,
    "changes-before": wrong_time,
    "name": wrong_pattern,
    "display_name": wrong_pattern,
    "sort_key": wrong_sort_key,
}


def epoch(text: str) -> float:
    """A time such as `2026-01-01T00:00:00Z` in epoch seconds; UTC if no zone is given.

    Raises ValueError.
    """
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.timestamp()


def filters(query: Query, version: Version, all_filters: bool) -> dict[str, str]:
    """The filters that count; of a repeated one, its last value."""
    allowed = set(query if all_filters else since(OPEN, version)) - PAGING
    counting = {name: values[-1] for name, values in query.items() if name in allowed}
    for name in counting:
        if name in JOINED or name.startswith("_"):
            raise Fault(400, f"Invalid filter field: {name}.")
        if name not in SIMULATED:
            raise UnknownRequestError(f"the filter {name}")
    return counting


def wants_all_tenants(given: Mapping[str, str]) -> bool:
    """Whether servers of every project are asked for; an empty value means yes."""
    value = given.get("all_tenants", "no").lower()
    if value not in ("", *YES, *NO):
        accepted = ", ".join(map(repr, sorted(YES + NO)))
        raise Fault(
            400,
            f"Unrecognized value {given['all_tenants']!r}, acceptable values are: {accepted}",
        )
    return value not in NO


def take_state(
    search: Search, query: Query, given: Mapping[str, str], version: Version
) -> bool:
    """Take `status` (all of its values count) and `vm_state` into the search.

    Returns False if there is no such status.
    """
    if "vm_state" in given:
        search.vm_states = {given["vm_state"]}
    if "status" not in query:
        return True
    states = [
        STATES[status.upper()] for status in query["status"] if status.upper() in STATES
    ]
    if not states and version >= (2, 38):
        raise Fault(400, "Invalid status value")
    search.vm_states = {state.vm_state for state in states}
    tasks = {state.task_state for state in states} - {None, "scheduling"}
    search.task_states = tasks if len(tasks) == len(states) else None
    return bool(states)


def take_times(search: Search, given: Mapping[str, str]) -> None:
    """Take `changes-since` and `changes-before` into the search."""
    if "changes-since" in given:
        search.since = epoch(given["changes-since"])
    if "changes-before" not in given:
        return
    search.before = epoch(given["changes-before"])
    if search.since is not None and search.before < search.since:
        raise Fault(
            400,
            "The value of changes-since must be less than or equal to changes-before.",
        )


def take_deletion(search: Search, given: Mapping[str, str], caller: Caller) -> None:
    """Settle whether deleted rows belong in the list: no, unless a filter says otherwise."""
    if "deleted" in given:
        search.deleted = given["deleted"].lower() in YES
    elif search.since is not None or search.before is not None:
        search.deleted = None
    if search.vm_states == {"deleted"} and "status" in given:
        if not caller.is_admin:
            raise Fault(403, "Only administrators may list deleted instances")
        search.deleted = True
    # Any value that is not empty means yes, even "False".
    search.soft_deleted = bool(
        given.get("soft_deleted", "yes" if search.deleted else "")
    )


def sort_spec(query: Query, caller: Caller) -> SortSpec:
    """What to sort by; by default the newest first, and of one moment the lowest UUID first."""
    keys = [key.strip() for key in query.get("sort_key", [])] or ["created_at"]
    directions = [direction.strip() for direction in query.get("sort_dir", [])] or [
        "desc"
    ]
    for key in list(keys):
        if key in _IGNORED_SORT_KEYS.split():
            place = keys.index(key)
            del directions[place : place + 1]
            del keys[place]
        elif key in ("host", "node") and not caller.is_admin:
            raise Fault(403, f"Only administrators can sort servers by {key}")
        elif key not in SORTABLE:
            raise UnknownRequestError(f"the sort_key {key}")
    if not keys:
        keys, directions = ["created_at"], ["desc"]
    _check_directions(keys, directions)
    if "uuid" not in keys:
        keys, directions = [*keys, "uuid"], [*directions, "asc"]
    return tuple(zip(keys, directions + directions[:1] * len(keys)))


def _check_directions(keys: list[str], directions: list[str]) -> None:
    if not set(directions) <= {"asc", "desc"}:
        raise Fault(
            400,
            "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'",
        )
    if len(directions) > len(keys):
        raise Fault(
            400, "Invalid input received: Sort direction size exceeds sort key size"
        )
