"""Why a text file or a YAML file cannot be read, in words."""

import yaml

from foreman_hooks.osp_checker.yaml_limits import YAMLTooLarge
from foreman_hooks.osp_checker.yaml_problems import UNFIT, yaml_problem

# What reading a text file and parsing it as YAML may raise.
UNREADABLE = (OSError, UnicodeDecodeError, yaml.YAMLError, *UNFIT)


def why_unreadable(error: Exception) -> str:
    """Why reading failed with one of UNREADABLE; without the value, which may be a password."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    if isinstance(error, RecursionError):
        return "not valid YAML: nested too deeply"
    if isinstance(error, YAMLTooLarge):
        return str(error)
    if not isinstance(error, yaml.YAMLError):
        return "not valid YAML: a value is not the number or date that it looks like"
    reason = f"not valid YAML: {yaml_problem(error)}"
    mark = getattr(error, "problem_mark", None)
    if mark:
        return f"{reason}, line {mark.line + 1}"
    return reason
