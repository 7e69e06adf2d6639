"""What a YAML document may hold: a few lines of it can stand for gigabytes.

An alias (*name) repeats a value, and a merge (<<) copies one, so ten lines of ten aliases are ten
billion values.  Python neither prints a number of thousands of digits nor converts it to a float.
And at each token PyYAML looks through all open brackets, so the time for deep ones is quadratic
(measured: 50 million lines of Python for 2,200 of them).  PyYAML allows all of that.
"""

from functools import cache
from typing import Any

DEEPEST = 50  # brackets within brackets; no setting needs more than two
LONGEST_NUMBER = 40  # characters; no setting needs more than ten
MOST_VALUES = 100_000  # of which aliases make copies
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class YAMLTooLarge(ValueError):
    """A document that stands for too much; the message is the end of a sentence."""


class LimitedDocument:
    """For a loader of PyYAML, before its own base class: refuses a document that is too large."""

    flow_level: int  # of PyYAML's scanner: how many brackets are open

    def fetch_flow_collection_start(self, token_class: Any) -> None:
        """Read an opening bracket; raises YAMLTooLarge."""
        if self.flow_level == DEEPEST:
            raise YAMLTooLarge(f"brackets are nested more than {DEEPEST} deep")
        super().fetch_flow_collection_start(token_class)  # type: ignore[misc]

    def construct_document(self, node: Any) -> Any:
        """The value of a whole document; raises YAMLTooLarge."""
        _check_nodes(node)
        return super().construct_document(node)  # type: ignore[misc]


@cache
def safe_loader() -> Any:
    """PyYAML's safe loader with these limits; PyYAML is loaded when this is called."""
    import yaml

    class Loader(LimitedDocument, yaml.SafeLoader):
        pass

    return Loader


def _check_nodes(root: Any) -> None:
    """Raise YAMLTooLarge for a document with too many copies or too long a number.

    `root`: the node that PyYAML composed.
    """
    sizes: dict[int, int] = {}
    size = _size(root, sizes, set())
    if size > max(MOST_VALUES, len(sizes)):
        raise YAMLTooLarge(
            f"its aliases and merges make more than {MOST_VALUES:,} values"
        )


def _size(node: Any, sizes: dict[int, int], open_nodes: set[int]) -> int:
    """How many values a node is, each as often as aliases repeat it.

    `sizes`: those of the nodes that are done, by id.  `open_nodes`: the nodes around this one.
    """
    key = id(node)
    if key in sizes:
        return sizes[key]
    if key in open_nodes:
        raise YAMLTooLarge(f"a value contains itself, line {_line(node)}")
    open_nodes.add(key)
    size = 1
    for child in _children(node):
        size += _size(child, sizes, open_nodes)
    open_nodes.remove(key)
    sizes[key] = size
    return size


def _children(node: Any) -> list[Any]:
    if node.id == "mapping":
        children = []
        for pair in node.value:
            children += pair
        return children
    if node.id == "sequence":
        return list(node.value)
    if node.tag in _NUMBERS and len(node.value) > LONGEST_NUMBER:
        raise YAMLTooLarge(
            f"a number of {len(node.value)} characters, line {_line(node)}"
        )
    return []


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1
