"""Puts the events of a poll into the episodes of their partitions.

Shape: `PolledEvents` in, `Windowed` out. What is remembered between polls are the
`Sessions` of each origin, which go on from rows of `episodes`.
"""

import math
from collections.abc import Mapping, Set

import pyarrow as pa
import pyarrow.compute as pc

from operators.episodes.events import TOLD
from operators.episodes.sessions import NO_EPISODES, NO_PLACES, Sessions
from schemas.arrow import EVENTS
from schemas.batches import PolledEvents, Windowed, by_partition
from semloop.delta.streams import Partition

TOLD_TYPES = pa.array(sorted(TOLD))
# Of a tick. Made anew, tables without rows would be half of what an idle flow costs.
NO_EVENTS = EVENTS.empty_table()


def window(
    polled: PolledEvents, sessions: Mapping[Partition, Sessions], replaced: Set[str]
) -> Windowed:
    """The episodes that a poll opened, changed or closed, and where its events are.

    Args:
        polled: rows of each origin beyond all that came before.
        sessions: of every origin; they change.
        replaced: topic ids to which nothing is added any more.
    """
    told: list[pa.Table] = []
    places: list[pa.Table] = []
    revisions: list[pa.Table] = []
    for origin, own in by_partition(polled.events):
        fed = sessions[origin].feed(own)
        told.append(own.filter(pc.is_in(own["type"], TOLD_TYPES)))
        places.append(fed.places)
        revisions.append(fed.revisions)
    if polled.progress.complete:
        for origin in polled.progress.ends:
            # Of a replaced topic nothing more comes, whenever it was last read.
            is_over = origin.topic_id in replaced
            ended = math.inf if is_over else polled.progress.caught_up_ms.get(origin)
            if ended is not None:
                closed = sessions[origin].close_inactive(ended)
                revisions += [closed] * bool(closed.num_rows)
    return Windowed(
        told=pa.concat_tables(told) if told else NO_EVENTS,
        places=pa.concat_tables(places) if places else NO_PLACES,
        episodes=pa.concat_tables(revisions) if revisions else NO_EPISODES,
        progress=polled.progress,
    )
