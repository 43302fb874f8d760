"""The current generation of memories, as a writer of `episodes` reads it."""

from semloop.errors import StorageUnavailable
from semloop.lake.generations import FIRST_GENERATION, GENERATION
from semloop.retry import retry
from sinks.delta.fenced_table import FencedTable


def stored_generation(episodes: FencedTable) -> int:
    """Return the current generation as of the open version.

    Raises:
        StorageUnavailable: the log cannot be read.
    """
    stored = episodes.number(GENERATION)
    return FIRST_GENERATION if stored is None else stored


def newest_generation(episodes: FencedTable, retry_s: float) -> int:
    """Open the newest version, and return its generation.

    Raises:
        StorageUnavailable: storage did not recover within `retry_s`.
    """

    def read() -> int:
        episodes.refresh()
        return stored_generation(episodes)

    return retry(read, on=StorageUnavailable, seconds=retry_s)
