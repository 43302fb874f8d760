"""The segments of one owner, in order."""

from collections.abc import Iterator

from semloop.agent.spool.segment import Segment


class Chain:
    """A list of segments: the writer appends to its end, the reader cuts its start.

    Attributes:
        first: the oldest segment that has unsent events.
        last: the newest; it is of size 0 until there are events.
    """

    __slots__ = ("first", "last")

    def __init__(self) -> None:
        """Create a chain with an empty segment."""
        self.first = self.last = Segment(None, None, 0)

    def __iter__(self) -> Iterator[Segment]:
        segment: Segment | None = self.first
        while segment is not None:
            yield segment
            segment = segment.next

    def add(self, segment: Segment) -> None:
        """Append a segment."""
        segment.base = self.last.base + self.last.end
        segment.events_before = self.last.events_before + self.last.events
        self.last.next = self.last = segment
