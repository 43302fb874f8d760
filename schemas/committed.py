"""The way back from the tables to the reader: which offsets have been committed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from semloop.delta.streams import NEVER_READ, Partition


@dataclass
class CommittedOffsets:
    """The offsets that the tables of one worker hold.

    The tables write them after each commit; the reader of the same worker, which runs
    in the same thread, reads them at its next poll.

    Attributes:
        group: consumer group under which the reader commits them to the broker, for
            lag monitors only; nothing is read from there.
    """

    group: str
    _offsets: Mapping[Partition, int] = field(default_factory=dict)
    _is_new: bool = False

    def put(self, offsets: Mapping[Partition, int]) -> None:
        """Keep the offsets of a commit: partition -> last offset read past."""
        self._offsets, self._is_new = dict(offsets), True

    def take_new(self) -> Mapping[Partition, int]:
        """The offsets, if there was a commit since the last call; else nothing."""
        found = self._offsets if self._is_new else {}
        self._is_new = False
        return found

    def include(self, positions: Mapping[Partition, int]) -> bool:
        """Whether everything up to these positions has been committed."""
        return all(
            self._offsets.get(partition, NEVER_READ) >= offset
            for partition, offset in positions.items()
        )
