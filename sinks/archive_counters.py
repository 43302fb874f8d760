"""Counts since the first record, stored in the commits of `events`.

`semloop status` and `health` read them without the process that counted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from semloop.delta.streams import LETTERS, MISROUTED, REPEATED, Partition
from sinks.archive_buffer import ArchiveBuffer
from sinks.delta.fenced_table import FencedTable


class KeyCounters:
    """Events by partition whose key is not their session, or whose id is elsewhere."""

    def __init__(self, main: FencedTable, owned: Sequence[Partition]) -> None:
        """Read what the open version of the table has stored."""
        self._owned = owned
        self._letters: Mapping[Partition, int] = {}
        self._counts = Counter(
            {
                (partition, kind): main.stored(partition, kind) or 0
                for partition in owned
                for kind in (MISROUTED, REPEATED)
            }
        )

    def add(
        self, buffer: ArchiveBuffer, letters: FencedTable
    ) -> Mapping[tuple[Partition, str], int]:
        """Add the counts of a commit; return the new numbers, which it must store.

        Args:
            buffer: the polls of the commit.
            letters: the table of the dead letters, after their commit.
        """
        added = {MISROUTED: buffer.misrouted, REPEATED: buffer.repeated}
        changed = {
            (partition, kind): count
            for kind, counts in added.items()
            for partition in self._owned
            if (count := counts[partition.number])
        }
        self._counts.update(changed)
        numbers = {key: self._counts[key] for key in changed}
        if letters.offsets != self._letters:
            self._letters = dict(letters.offsets)
            numbers |= {(p, LETTERS): offset for p, offset in self._letters.items()}
        return numbers
