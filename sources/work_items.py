"""What a scheduled flow has to do, as a reader whose input ends."""

from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class WorkItems(Generic[Item]):
    """Reads the items that an iterator gives, one a poll.

    Unit of parallelism: none; the first worker has the items, others have none. After a
    crash the flow finds out anew what is left to do.
    """

    pause_s = 0.0
    # The end is told by StopIteration, since only the iterator knows it.
    caught_up = False

    def __init__(self, items: Iterator[Item]) -> None:
        """Nothing is done before the first poll."""
        self._items = items

    def poll(self) -> Item:
        """The next item.

        Raises:
            StopIteration: there are no more. Whatever the iterator raises.
        """
        return next(self._items)

    def close(self) -> None:
        """Release what the iterator has open."""
        close = getattr(self._items, "close", None)
        if close is not None:
            close()
