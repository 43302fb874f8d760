"""The work of a scheduled flow, as a reader with finite input."""

from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class WorkItems(Generic[Item]):
    """Reads the items of an iterator, one per poll.

    Unit of parallelism: none; the first worker has all items, the others none. After a
    crash the flow determines the remaining work again.
    """

    pause_s = 0.0
    # StopIteration marks the end; it is not known before.
    caught_up = False

    def __init__(self, items: Iterator[Item]) -> None:
        """Store the iterator; the first poll advances it."""
        self._items = items

    def poll(self) -> Item:
        """Return the next item.

        Raises:
            StopIteration: there are no more items.
            Exception: any error of the iterator.
        """
        return next(self._items)

    def close(self) -> None:
        """Close the iterator, which releases its resources."""
        close = getattr(self._items, "close", None)
        if close is not None:
            close()
