"""The body of "OSP - Check instances": answer a question about instances in one line.

Runs on a host of the OSP team, as a user whose clouds.yaml leads to the clouds.  It asks Keystone
and Nova, writes nothing, and prints the answer and no secret: for each UUID whether there is such
an instance.
"""

import importlib.util
import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Optional

from foreman_hooks.osp_checker.checker import CloudScope, LocalChecker
from foreman_hooks.osp_checker.config import cloud_names
from foreman_hooks.osp_checker.errors import OSPConfigError
from foreman_hooks.osp_checker.sightings import Survey
from foreman_hooks.osp_checker.uuids import parse_uuid
from foreman_hooks.osp_checker.wire import MODES, Question, dump, words

PACKAGES = {"keystoneauth1": "python3-keystoneauth1", "openstack": "python3-openstacksdk"}


def main(question: Question, clouds_yaml: str = "") -> int:
    """Print the answer, or one line that begins with "error: "; the exit code."""
    logging.disable(logging.CRITICAL)  # what libraries log would stand in the middle of the line
    warnings.simplefilter("ignore")
    missing = [
        package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None
    ]
    if missing:
        return _complain(
            f"this host has no {', '.join(missing)}; python3-openstackclient brings them all", 69
        )
    problem = _problem(question)
    if problem:
        return _complain(problem, 64)
    strange = [text for text in words(question.uuids) if not parse_uuid(text)]
    if strange:
        return _complain(f"not a UUID: {', '.join(ascii(text[:60]) for text in strange[:5])}", 65)
    if clouds_yaml:
        os.environ["OS_CLIENT_CONFIG_FILE"] = clouds_yaml
    try:
        line = answer(question, cloud_names())
    except OSPConfigError as error:
        return _complain(str(error), 78)
    print(f"\n{line}", flush=True)  # on a line of its own, whatever was printed before
    return 0


def answer(question: Question, known: Sequence[str]) -> str:
    """The line that answers it, by those of the clouds in question that are `known` here."""
    survey = _survey(question, scopes(question, known))
    return dump(question, replace(survey, at=datetime.now(timezone.utc)))


def _problem(question: Question) -> Optional[str]:
    """What is wrong with the inputs; the file that clouds_yaml names is looked at where it is read."""
    if not question.nonce.isalnum() or not question.nonce.isascii():
        return "the nonce must be letters and digits"
    if question.mode not in MODES:
        return f"the mode must be one of {', '.join(MODES)}"
    if not words(question.uuids):
        return "the question holds no UUID"
    return None


def scopes(question: Question, known: Sequence[str]) -> list[CloudScope]:
    """Those of the clouds in question that this host's clouds.yaml knows; all of them where none is
    in question.
    """
    regions: dict[str, list[str]] = {}
    for name in words(question.clouds) or known:
        cloud, _, region = name.partition("/")
        regions.setdefault(cloud, []).extend([region] if region else [])
    return [
        CloudScope(cloud, tuple(named), cloud in words(question.fails))
        for cloud, named in regions.items()
        if cloud in known
    ]


def _survey(question: Question, scopes: Sequence[CloudScope]) -> Survey:
    checker = LocalChecker(scopes)
    uuids = [str(parse_uuid(text)) for text in words(question.uuids)]
    if question.mode == "ask":
        return checker.ask(uuids)
    checker.prepare()
    return checker.survey(uuids) if question.mode == "survey" else checker.listed(uuids)


def _complain(message: str, code: int) -> int:
    print(
        "error: " + " ".join(message.split()).encode("ascii", "backslashreplace").decode(),
        flush=True,
    )
    return code
