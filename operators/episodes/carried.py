"""Episodes that a rebuild takes over as they are, since their first events are gone.

Input: their rows, then `PolledEvents`. Output: `PolledEvents` without the events that
are in one of these episodes. What remains of their sessions begins new episodes, or
continues the carried one that is open.
"""

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from operators.episodes.sessions import Sessions
from schemas.arrow import EPISODE_REVISIONS
from schemas.batches import Assigned, PolledEvents, by_partition
from schemas.rebuild import Held
from semloop.delta.streams import Partition
from semloop.settings.memory_sections import EpisodeSettings, RewardSettings

# (namespace, session id).
Session = tuple[str | None, str]


class CarriedEpisodes:
    """The episodes whose first event is not held; one pass collects them.

    The state is bounded by the number of these episodes: an id of each, and the last
    offset of the sessions of which some events are held.
    """

    def __init__(self, held: Held) -> None:
        """Collect nothing yet; `add` does."""
        self._held = held
        self._ids: list[pa.ChunkedArray] = []
        self._until: dict[Partition, dict[Session, int]] = {}
        self._open: list[pa.Table] = []

    def add(self, rows: pa.Table) -> None:
        """Collect newest revisions of some of them, as rows of `episodes`."""
        self._ids.append(rows["episode_id"])
        self._open.append(
            rows.filter(pc.equal(rows["state"], "open")).select(EPISODE_REVISIONS.names)
        )
        names = (
            "topic_id", "kafka_partition", "namespace", "session_id", "kafka_offset",
        )  # fmt: skip
        columns = (rows[name].to_pylist() for name in names)
        for topic_id, number, namespace, session, last in zip(*columns, strict=True):
            partition = Partition(topic_id, number)
            first = self._held.first(partition, namespace)
            if first is None or last < first:
                continue
            until = self._until.setdefault(partition, {})
            key = (namespace, session)
            until[key] = max(last, until.get(key, last))

    @property
    def ids(self) -> pa.ChunkedArray:
        """The ids of all of them."""
        chunks = [chunk for ids in self._ids for chunk in ids.chunks]
        return pa.chunked_array(chunks, pa.string())

    def has_memory(self, rows: pa.Table) -> pa.Array:
        """Return which memories cannot be made again from the held events.

        Those of these episodes, and others whose record is gone: of events, and of
        episodes whose rows have expired.

        Args:
            rows: memories.
        """
        names = ("topic_id", "kafka_partition", "namespace", "kafka_offset")
        columns = (rows[name].to_pylist() for name in names)
        is_gone = [
            offset < (self._held.first(Partition(topic_id, number), namespace) or 0)
            or (Partition(topic_id, number), namespace) not in self._held.ranges
            for topic_id, number, namespace, offset in zip(*columns, strict=True)
        ]
        theirs = pc.is_in(rows["episode_id"], self.ids.combine_chunks())
        return pc.or_(theirs, pa.array(is_gone, pa.bool_()))

    def sessions(
        self, partition: Partition, episodes: EpisodeSettings, rewards: RewardSettings
    ) -> Sessions:
        """Return the sessions of a partition before its first held event."""
        rows = pa.concat_tables([EPISODE_REVISIONS.empty_table(), *self._open])
        own = rows.filter(
            pc.and_(
                pc.equal(rows["topic_id"], partition.topic_id),
                pc.equal(rows["kafka_partition"], partition.number),
            )
        )
        return Sessions.of(own, episodes, rewards, earlier_events=True)

    def without_theirs(self, polled: PolledEvents) -> PolledEvents:
        """Return a poll without the events that are in one of these episodes."""
        if not self._until:
            return polled
        kept = [
            self._without(rows, self._until.get(partition, {}))
            for partition, rows in by_partition(polled.events)
        ]
        events = pa.concat_tables(kept) if kept else polled.events
        return replace(polled, events=events)

    def _without(self, rows: pa.Table, until: Mapping[Session, int]) -> pa.Table:
        first = rows["kafka_offset"][0].as_py()
        if not until or first > max(until.values()):
            return rows
        names = ("namespace", "session_id", "kafka_offset")
        columns = (rows[name].to_pylist() for name in names)
        kept = [
            offset > until.get((namespace, session), -1)
            for namespace, session, offset in zip(*columns, strict=True)
        ]
        return rows.filter(pa.array(kept, pa.bool_()))


def without_memories(assigned: Assigned, reached: Mapping[Partition, int]) -> Assigned:
    """Return a poll without the events that have become memories already.

    Args:
        assigned: the poll.
        reached: partition -> last offset whose event is a memory.
    """
    if not assigned.memorable.num_rows:
        return assigned
    rows = assigned.memorable
    columns = (rows[n].to_pylist() for n in ("topic_id", "kafka_partition"))
    done = [reached[Partition(*origin)] for origin in zip(*columns, strict=True)]
    is_new = pc.greater(rows["kafka_offset"], pa.array(done, pa.int64()))
    return replace(
        assigned,
        memorable=rows.filter(is_new),
        episode_positions=assigned.episode_positions.filter(is_new),
    )
