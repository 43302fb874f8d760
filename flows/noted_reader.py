"""A reader that notes what it has read, for the metric of what waits for a commit."""

from typing import Generic

from flows.bytewax_io import Item, Reader
from schemas.waits import Waits


class NotedReader(Generic[Item]):
    """A reader whose polls are noted before the steps get them.

    A step that hangs, or works on one poll for minutes, keeps its records waiting.
    """

    def __init__(self, reader: Reader[Item], waits: Waits) -> None:
        """Wrap a reader; arguments: the reader, and the waits of its worker."""
        self._reader = reader
        self._waits = waits

    @property
    def caught_up(self) -> bool:
        """True once everything that existed at the start has been returned."""
        return self._reader.caught_up

    @property
    def pause_s(self) -> float:
        """Seconds to wait before the next poll."""
        return self._reader.pause_s

    def poll(self) -> Item:
        """Return the next item; raises what the reader raises."""
        item = self._reader.poll()
        self._waits.read(item.progress.oldest_ms)
        return item

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()
