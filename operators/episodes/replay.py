"""Stored events -> the same with their places in the episodes that they were put into.

Shape: `Anew` in, `Windowed` out. Episodes are never computed twice: a setting or the
time of an import decided them once.
"""

from collections.abc import Mapping
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from operators.episodes.events import TOLD
from operators.episodes.positions import Replay
from schemas.arrow import EVENTS, PLACES
from schemas.batches import Anew, Windowed, by_partition
from semloop.delta.streams import Partition

TOLD_TYPES = pa.array(sorted(TOLD))


class Known(Protocol):
    """The episodes as they are stored."""

    def placed(self, told: pa.Table) -> pa.Table:
        """The episode of each event that is in one, with the event's row number."""


def replay(anew: Anew, known: Known, replays: Mapping[Partition, Replay]) -> Windowed:
    """The events that are to be remembered, and where each is in its episode.

    Args:
        anew: events, some of which are remembered already; its episodes are passed on.
        known: in which episode each event is.
        replays: partition -> its episodes under way; they move on.
    """
    told, places = [EVENTS.empty_table()], [PLACES.empty_table()]
    for partition, rows in by_partition(anew.events):
        wanted = pc.and_(
            pc.is_in(rows["type"], TOLD_TYPES),
            pc.less_equal(rows["kafka_offset"], anew.until[partition]),
        )
        own = rows.filter(wanted)
        placed = known.placed(own)
        own = own.take(placed["place"])
        own_places = replays[partition].places(own, placed)
        new = pc.greater(own["kafka_offset"], anew.after[partition])
        told.append(own.filter(new))
        places.append(own_places.filter(new))
    return Windowed(
        pa.concat_tables(told), pa.concat_tables(places), anew.episodes, anew.progress
    )
