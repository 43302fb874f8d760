"""How far the polls of `events` since the last commit have read."""

from collections.abc import Mapping

from schemas.batches import Progress
from semloop.delta.streams import NEVER_READ, Partition


class ReadBuffer:
    """The rows of a flow that reads the lake, and the positions that they reach.

    `rows` and `bytes`: what a subclass holds for the next commit.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.bytes = 0
        self.positions: dict[Partition, int] = {}
        self.ends: dict[Partition, int] = {}
        self.caught_up_ms: dict[Partition, int] = {}

    @property
    def has_changes(self) -> bool:
        """True if there are rows or offsets to commit."""
        return bool(self.positions or self.rows)

    def advance(self, progress: Progress, committed: Mapping[Partition, int]) -> None:
        """Note how far a poll has read.

        Args:
            progress: that of the poll.
            committed: partition -> committed offset. A snapshot of `events` repeats all
                of its positions: only positions beyond this offset are new.
        """
        self.positions |= {
            partition: offset
            for partition, offset in progress.positions.items()
            if offset
            > max(committed[partition], self.positions.get(partition, NEVER_READ))
        }
        self.ends |= progress.ends
        self.caught_up_ms |= progress.caught_up_ms
