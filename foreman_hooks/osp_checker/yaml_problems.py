"""What is wrong in a YAML file, without the words of the file: one of them may be a password."""

import re
from typing import Any

# PyYAML repeats these words: to YAML, a password that begins with *, & or ! is one of them.
_REPEATED = re.compile(r"\b(alias|anchor|tag|tag handle) ['\"].*", re.DOTALL)
_QUOTES = r"\1; a text that begins with *, & or ! needs quotes"
# What PyYAML lets pass if a value does not fit its tag (`!!int five`).
UNFIT = (
    RecursionError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
)


def yaml_problem(error: Any) -> str:
    """The problem that an error of PyYAML reports."""
    text = getattr(error, "problem", None) or getattr(error, "reason", None)
    return _REPEATED.sub(_QUOTES, str(text or "cannot be parsed"))
