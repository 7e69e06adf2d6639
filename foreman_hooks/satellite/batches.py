"""Ask Satellite about many items in batches, even if it cannot show some of them."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from foreman_hooks.satellite.errors import (
    ABOUT_ONE_REQUEST,
    SatelliteError,
    SatelliteForbidden,
)

# If Satellite fails for so many items in a row, the failure is not about a single item.
FAILURES = 3

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def ask_in_batches(
    items: Sequence[_Item],
    ask: Callable[[Sequence[_Item]], _Result],
    failed: Callable[[_Item, SatelliteError], _Result],
    size: int,
) -> Iterator[_Result]:
    """Yield the results of `ask` for all items, at most `size` of them at a time.

    If Satellite fails for a batch, the batch is halved until a single item is left; the result for
    that item is `failed(item, error)`.  Raises the SatelliteError if FAILURES single items in a row
    fail, or if a permission is missing.
    """
    failures = 0
    batches = [items[start : start + size] for start in range(0, len(items), size)]
    batches.reverse()
    while batches:
        batch = batches.pop()
        try:
            yield ask(batch)
            failures = 0
        except ABOUT_ONE_REQUEST as error:
            if isinstance(error, SatelliteForbidden) and error.missing:
                raise
            if len(batch) > 1:
                middle = len(batch) // 2
                batches += [batch[middle:], batch[:middle]]
                continue
            failures += 1
            if failures >= FAILURES:
                raise
            yield failed(batch[0], error)
