"""Reports committed offsets from the tables back to the reader."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from semloop.delta.streams import NEVER_READ, Partition


@dataclass
class CommittedOffsets:
    """The offsets that the tables of one worker have committed.

    The tables set them after each commit; the reader of the same worker, which runs in
    the same thread, reads them at its next poll.

    Attributes:
        group: consumer group under which the reader commits them to the broker. Only
            lag monitors read them from there.
    """

    group: str
    _offsets: Mapping[Partition, int] = field(default_factory=dict)
    _is_new: bool = False

    def put(self, offsets: Mapping[Partition, int]) -> None:
        """Set the offsets of a commit: partition -> last offset read past."""
        self._offsets, self._is_new = dict(offsets), True

    def take_new(self) -> Mapping[Partition, int]:
        """Return the offsets if there was a commit since the last call, else none."""
        new = self._offsets if self._is_new else {}
        self._is_new = False
        return new

    def include(self, positions: Mapping[Partition, int]) -> bool:
        """Return True if everything up to these positions has been committed."""
        return all(
            self._offsets.get(partition, NEVER_READ) >= offset
            for partition, offset in positions.items()
        )
