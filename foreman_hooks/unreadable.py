"""Why a text file or a YAML file cannot be read, in words."""

import yaml

from foreman_hooks.osp_checker.yaml_limits import YAMLTooLarge

# What reading a text file and parsing it as YAML may raise.  PyYAML lets errors of int, float and
# datetime pass if a value does not fit its tag (`!!int five`).
UNREADABLE = (
    OSError,
    UnicodeDecodeError,
    yaml.YAMLError,
    RecursionError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
)


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
    problem = getattr(error, "problem", None) or getattr(error, "reason", None)
    reason = f"not valid YAML: {problem or 'cannot be parsed'}"
    mark = getattr(error, "problem_mark", None)
    if mark:
        return f"{reason}, line {mark.line + 1}"
    return reason
