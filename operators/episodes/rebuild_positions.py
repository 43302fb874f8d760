"""Rebuilds the positions of stored events in the episodes that they are assigned to.

Input: `ReindexPart`. Output: `Assigned`. The stored assignment is used, since episodes
depend on settings that may have changed and on events that may have expired.
"""

from collections.abc import Mapping
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from operators.episodes.events import MEMORABLE
from operators.episodes.positions import PositionCounter
from schemas.arrow import EPISODE_POSITIONS, EVENTS
from schemas.batches import Assigned, ReindexPart, by_partition
from semloop.delta.streams import Partition

MEMORABLE_TYPES = pa.array(sorted(MEMORABLE))


class Known(Protocol):
    """The stored episodes."""

    def placed(self, memorable: pa.Table) -> pa.Table:
        """Return the row number and the episode of each event that is in one."""


def rebuild_positions(
    part: ReindexPart, known: Known, counters: Mapping[Partition, PositionCounter]
) -> Assigned:
    """Return the memorable events of a part and the position of each.

    Args:
        part: events, some of them in the generation already; its episodes are passed
            through.
        known: the episode of each event.
        counters: partition -> its episodes in progress; they are updated.
    """
    memorable, positions = [EVENTS.empty_table()], [EPISODE_POSITIONS.empty_table()]
    for partition, rows in by_partition(part.events):
        is_wanted = pc.and_(
            pc.is_in(rows["type"], MEMORABLE_TYPES),
            pc.less_equal(rows["kafka_offset"], part.until[partition]),
        )
        own = rows.filter(is_wanted)
        placed = known.placed(own)
        own = own.take(placed["place"])
        own_positions = counters[partition].episode_positions(own, placed)
        is_new = pc.greater(own["kafka_offset"], part.after[partition])
        memorable.append(own.filter(is_new))
        positions.append(own_positions.filter(is_new))
    return Assigned(
        pa.concat_tables(memorable),
        pa.concat_tables(positions),
        part.episodes,
        part.progress,
    )
