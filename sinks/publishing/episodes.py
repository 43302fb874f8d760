"""Produces closed episodes, and the ids of new memories, after the commits."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

from semloop.flow_registry import MEMORY
from semloop.published import PUBLISHED, ClosedEpisode, PublishedMessage, StoredMemories
from sinks.delta.fenced_table import FencedTable
from sinks.flow_tables import FlowContext
from sinks.publishing.publisher import Publisher
from sinks.vectors.table import VectorTable

EPISODES, MEMORIES = PUBLISHED["episodes"], PUBLISHED["memories"]
# What is missing after an outage is produced if it is not older than this.
AGE_MAX = timedelta(hours=24)
# Ids of a message: 200 kB, of the megabyte that brokers accept.
IDS_MAX = 5_000
COLUMNS = tuple(
    "kafka_offset" if name == "last_offset" else name
    for name in ClosedEpisode.__struct_fields__
)
# Files of older versions lack `archived_at`.
# Without texts; of earlier revisions only the closed ones, which are counted.
MISSED = """
, added AS (SELECT NULL::TIMESTAMPTZ AS archived_at WHERE false)
SELECT {1}, state, coalesce(archived_at, ingested_at) >= ? AS recent
FROM (FROM rows UNION ALL BY NAME FROM added)
WHERE {0} AND (recent OR state = 'closed')
"""


class EpisodePublisher(Publisher):
    """Produces what the commits of a worker close and remember."""

    def __init__(
        self, context: FlowContext, flow: str, main: FencedTable, vectors: VectorTable
    ) -> None:
        """Continue at the position in the table; as `Publisher`.

        Args:
            context: settings, lake, metrics and clock.
            flow: the flow.
            main: its main table, taken over.
            vectors: the memories.
        """
        super().__init__(context, flow, main)
        self._vectors = vectors
        wanted = context.settings.publish.topics
        self._episodes = EPISODES.name in wanted
        self._memories = MEMORIES.name in wanted

    def committed(self, episodes: pa.Table, memories: pa.Table | None) -> None:
        """Produce what a commit has."""
        if self._outbox.is_open:
            self._send(episodes, memories)

    @override
    def _poll(self) -> None:
        if not self._outbox.is_open and self._outbox.open():
            self._send_missed()
        self._outbox.poll()

    @override
    def _finish(self, seconds: float) -> None:
        self._outbox.flush(seconds)

    def _send(self, episodes: pa.Table, memories: pa.Table | None) -> None:
        closed = episodes.filter(pc.equal(episodes["state"], "closed"))
        if self._episodes and closed.num_rows:
            self._outbox.send(EPISODES, self._of(closed))
        if self._memories and memories is not None and memories.num_rows:
            self._outbox.send(MEMORIES, _memories(memories))
        self._outbox.sent(self._version)

    def _of(self, rows: pa.Table) -> Iterator[PublishedMessage]:
        for row in rows.select(COLUMNS).to_pylist():
            row["last_offset"] = row.pop("kafka_offset")
            try:
                yield msgspec.convert(row, ClosedEpisode)
            except msgspec.ValidationError:
                # A row without a required value must not stop the flow at each start.
                self._not_published(1)

    def _not_published(self, count: int) -> None:
        labels = {"flow": MEMORY.name, "topic": EPISODES.name}
        self._context.metrics.add("semloop_not_published_total", count, **labels)

    def _send_missed(self) -> None:
        """Produce what was committed after the position of the outbox."""
        since = self._context.now() - AGE_MAX
        names = ", ".join(COLUMNS)
        rows = self._missed(lambda where: MISSED.format(where, names), [since])
        if rows is None:
            return
        recent = rows.filter(rows["recent"])
        left_out = rows.filter(pc.invert(rows["recent"]))
        closed = pc.sum(pc.equal(left_out["state"], "closed")).as_py() or 0
        self._not_published(closed)
        memories = None
        if self._memories and recent.num_rows:
            every = self._vectors.columns("id", "kind", "namespace", "episode_id")
            wanted = pc.unique(recent["episode_id"])
            memories = every.filter(pc.is_in(every["episode_id"], wanted))
        self._send(recent, memories)


def _memories(rows: pa.Table) -> Iterator[PublishedMessage]:
    for start in range(0, rows.num_rows, IDS_MAX):
        part = rows.slice(start, IDS_MAX)
        kinds = Counter(part["kind"].to_pylist())
        yield StoredMemories(
            memories=part.num_rows,
            events=kinds["event"],
            episodes=kinds["episode"],
            namespaces=dict(Counter(part["namespace"].to_pylist())),
            ids=[key.hex() for key in part["id"].to_pylist()],
        )
