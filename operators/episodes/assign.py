"""Assigns the events of a poll to the episodes of their partitions.

Input: `PolledEvents`. Output: `Assigned`. The state between polls is one `Sessions` per
partition, which is restored from rows of `episodes`.
"""

import math
from collections.abc import Mapping, Set

import pyarrow as pa
import pyarrow.compute as pc

from operators.episodes.events import MEMORABLE
from operators.episodes.sessions import NO_EPISODES, NO_POSITIONS, Sessions
from schemas.arrow import EVENTS
from schemas.batches import Assigned, PolledEvents, by_partition
from semloop.delta.streams import Partition

MEMORABLE_TYPES = pa.array(sorted(MEMORABLE))
# Reused: creating empty tables would be half of the cost of an idle flow.
NO_EVENTS = EVENTS.empty_table()


def assign_episodes(
    polled: PolledEvents, sessions: Mapping[Partition, Sessions], replaced: Set[str]
) -> Assigned:
    """Return the changed episodes of a poll and the positions of its events.

    Args:
        polled: rows of each partition beyond all earlier polls.
        sessions: open episodes of every partition; they are updated.
        replaced: topic ids that receive no more records.
    """
    memorable: list[pa.Table] = []
    positions: list[pa.Table] = []
    revisions: list[pa.Table] = []
    closed_early = 0
    for partition, rows in by_partition(polled.events):
        fed = sessions[partition].feed(rows)
        memorable.append(rows.filter(pc.is_in(rows["type"], MEMORABLE_TYPES)))
        positions.append(fed.episode_positions)
        revisions.append(fed.revisions)
        closed_early += fed.closed_early
    if polled.progress.complete:
        for partition in polled.progress.ends:
            # A replaced topic has ended, no matter when it was last read.
            is_replaced = partition.topic_id in replaced
            caught_up_ms = polled.progress.caught_up_ms.get(partition)
            until = math.inf if is_replaced else caught_up_ms
            if until is not None:
                closed = sessions[partition].close_inactive(until)
                revisions += [closed] * bool(closed.num_rows)
    return Assigned(
        memorable=pa.concat_tables(memorable) if memorable else NO_EVENTS,
        episode_positions=pa.concat_tables(positions) if positions else NO_POSITIONS,
        episodes=pa.concat_tables(revisions) if revisions else NO_EPISODES,
        progress=polled.progress,
        closed_early=closed_early,
    )
