"""The script of "OSP - Check instances": answers a question about instances in one line.

Runs on a host of the OSP team, as a user whose clouds.yaml has the clouds.  It asks Keystone and
Nova whether each instance exists, or which servers are deleted, do not run, or have none of the
UUIDs.  It writes nothing, and prints the answer but no secret.
"""

import importlib.util
import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Optional, Union

from foreman_hooks.osp_checker.checker import CloudScope, LocalChecker
from foreman_hooks.osp_checker.config import cloud_names
from foreman_hooks.osp_checker.errors import OSPConfigError
from foreman_hooks.osp_checker.servers import Servers
from foreman_hooks.osp_checker.sightings import Survey
from foreman_hooks.osp_checker.uuids import parse_uuid
from foreman_hooks.osp_checker.wire import (
    MODES,
    SURVEY_MODES,
    Question,
    dump,
    words,
)

# What this host needs: each module, and the package that installs it.  python3-openstackclient
# alone is not enough: since version 8 at the latest it no longer requires novaclient.
PACKAGES = {
    "keystoneauth1": "python3-keystoneauth1",
    "novaclient": "python3-novaclient",
    "openstack": "python3-openstacksdk",
}


def main(question: Question, clouds_yaml: str = "") -> int:
    """Print the answer, or one line that begins with "error: ".

    `clouds_yaml`: the path of that file; "": the first one that openstacksdk finds.
    Returns the exit code: 0 answered, 64 a wrong input, 65 not a UUID, 69 a package is missing,
    78 a wrong clouds.yaml.
    """
    # Log lines of libraries would end up inside the answer's line.
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    missing = _missing_packages()
    if missing:
        return _complain(
            f"this host lacks {', '.join(missing)}; install these packages", 69
        )
    problem = _problem(question, clouds_yaml)
    if problem:
        return _complain(problem, 64)
    invalid = [text for text in words(question.uuids) if not parse_uuid(text)]
    if invalid:
        return _complain(f"not a UUID: {_shortened(invalid)}", 65)
    if clouds_yaml:
        os.environ["OS_CLIENT_CONFIG_FILE"] = clouds_yaml
    try:
        line = answer(question, cloud_names())
    except OSPConfigError as error:
        return _complain(str(error), 78)
    print(f"\n{line}", flush=True)  # starts a new line, whatever was printed before
    return 0


def answer(question: Question, known: Sequence[str]) -> str:
    """The line that answers the question.

    `known`: the clouds of this host's clouds.yaml; the question's other clouds are left out.
    """
    answer = _ask(LocalChecker(scopes(question, known)), question)
    now = datetime.now(timezone.utc)
    return dump(question, replace(answer, at=now))


def _missing_packages() -> list[str]:
    missing = []
    for module, package in PACKAGES.items():
        if importlib.util.find_spec(module) is None:
            missing.append(package)
    return missing


def _problem(question: Question, clouds_yaml: str) -> Optional[str]:
    """What is wrong with the inputs; whether there is a file is seen when it is read."""
    if not _is_path(clouds_yaml):
        return "clouds_yaml is not a path"
    nonce = question.nonce
    if not nonce.isalnum() or not nonce.isascii():
        return "the nonce must consist of letters and digits"
    if question.mode not in MODES:
        return f"the mode must be one of {', '.join(MODES)}"
    if question.mode in SURVEY_MODES and not words(question.uuids):
        return "the question has no UUID"
    try:
        since = question.moment()
    except ValueError:
        return "since must be a time such as 2025-03-01T12:00:00Z"
    if question.mode == "deleted" and since is None:
        return "in mode deleted, since must be a time such as 2025-03-01T12:00:00Z"
    return None


def _is_path(text: str) -> bool:
    """Whether the operating system takes a text: no NUL, and not half a character."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _shortened(texts: Sequence[str]) -> str:
    """The first five texts, and of each the first 60 characters, in ASCII."""
    first = texts[:5]
    return ", ".join(ascii(text[:60]) for text in first)


def scopes(question: Question, known: Sequence[str]) -> list[CloudScope]:
    """The question's clouds that this host knows; all that it knows if the question names none."""
    regions: dict[str, list[str]] = {}
    for name in words(question.clouds) or known:
        cloud, _, region = name.partition("/")
        regions_of_cloud = regions.setdefault(cloud, [])
        if region:
            regions_of_cloud.append(region)
    failing = words(question.fails)
    selected = []
    for cloud, names in regions.items():
        if cloud in known:
            scope = CloudScope(cloud, tuple(names), cloud in failing)
            selected.append(scope)
    return selected


def _ask(checker: LocalChecker, question: Question) -> Union[Survey, Servers]:
    uuids = [str(parse_uuid(text)) for text in words(question.uuids)]
    since = question.moment()
    if question.mode == "deleted":
        assert since  # else it has a problem
        return checker.deleted(since)
    if question.mode == "inactive":
        return checker.inactive()
    if question.mode == "unmanaged":
        return checker.unmanaged(uuids)
    if question.mode == "ask":
        return checker.ask(uuids, since=since)
    lists = checker.prepare()
    if question.mode == "survey":
        return checker.survey(uuids, lists)
    return checker.listed(uuids, lists)


def _complain(message: str, code: int) -> int:
    """Print an error in one line of ASCII; returns the exit code."""
    line = " ".join(message.split())
    line = "".join(char if char.isprintable() else " " for char in line)
    line = line.encode("ascii", "backslashreplace").decode()
    print(f"error: {line}", flush=True)
    return code
