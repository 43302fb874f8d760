"""Index of table `episodes`: the episode of each event, and the closed episodes.

`reindex` uses it instead of computing episodes again: the result would differ if a
setting was changed, or if events expired.
"""

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from schemas.arrow import EPISODE_REVISIONS
from semloop.delta.snapshot import Snapshot, new_files
from semloop.delta.streams import Partition
from semloop.lake.generations import EPISODES
from semloop.storage.duckdb_access import parquet_reader, renew_keys
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage

# The newest revision of each episode, narrow columns only; wide ones are read later.
CREATE_REVISIONS = """
CREATE OR REPLACE TABLE revisions (
    episode_id VARCHAR, namespace VARCHAR, session_id VARCHAR, topic_id VARCHAR,
    kafka_partition INTEGER, revision BIGINT, first_offset BIGINT, last_offset BIGINT,
    closed BOOLEAN
)
"""
READ_NEW_REVISIONS = """
CREATE OR REPLACE TEMP TABLE new_revisions AS
SELECT
    episode_id, any_value(namespace) AS namespace, any_value(session_id) AS session_id,
    any_value(topic_id) AS topic_id, any_value(kafka_partition) AS kafka_partition,
    max(revision) AS revision, any_value(first_offset) AS first_offset,
    max(kafka_offset) AS last_offset,
    arg_max(state, revision) = 'closed' AS closed
FROM read_parquet($files, union_by_name = true) GROUP BY episode_id
"""
# A compacted file may repeat a revision that is no longer the newest one.
MERGE_REVISIONS = """
DELETE FROM revisions USING new_revisions
WHERE revisions.episode_id = new_revisions.episode_id
    AND revisions.revision < new_revisions.revision;
INSERT INTO revisions FROM new_revisions
WHERE episode_id NOT IN (SELECT episode_id FROM revisions)
"""
PLACED = """
SELECT queried.place, near.episode_id, near.last_offset, near.closed
FROM queried ASOF JOIN (
    FROM revisions WHERE last_offset >= $first AND first_offset <= $last
) AS near
    ON queried.topic_id = near.topic_id
    AND queried.kafka_partition = near.kafka_partition
    AND queried.namespace = near.namespace
    AND queried.session_id = near.session_id
    AND queried.kafka_offset >= near.first_offset
WHERE queried.kafka_offset <= near.last_offset ORDER BY queried.place
"""
OPEN_EPISODES = """
SELECT topic_id, kafka_partition, min(first_offset)
FROM revisions JOIN reached USING (topic_id, kafka_partition)
WHERE first_offset <= reached.kafka_offset
    AND (NOT closed OR last_offset > reached.kafka_offset)
GROUP BY topic_id, kafka_partition
"""
CLOSED = """
SELECT rows.* FROM read_parquet($files, union_by_name = true) AS rows
SEMI JOIN (
    SELECT episode_id, revision
    FROM revisions JOIN reached USING (topic_id, kafka_partition)
    WHERE closed AND last_offset <= reached.kafka_offset
) AS latest ON rows.episode_id = latest.episode_id AND rows.revision = latest.revision
ANTI JOIN done ON rows.episode_id = done.episode_id
"""
BATCH_ROWS = 1_000
READ_ACTION = f"read table {EPISODES}"
REACHED = pa.schema(
    [
        ("topic_id", pa.string()),
        ("kafka_partition", pa.int32()),
        ("kafka_offset", pa.int64()),
    ]
)


class EpisodeIndex:
    """The episodes in the table version that was last passed to `follow`.

    Every method raises StorageUnavailable or LakeError if files cannot be read.
    """

    def __init__(self, storage: Storage) -> None:
        """Create an empty index; `follow` fills it."""
        self._storage = storage
        self._con = parquet_reader(storage)
        self._con.execute(CREATE_REVISIONS)
        self._snapshot: Snapshot | None = None
        # Files added by the last `follow`: they contain the episodes closed since.
        self._new_files: list[str] = []

    def follow(self, handle: DeltaTable) -> None:
        """Advance to a later version; only new files are read."""
        with storage_errors(self._storage, READ_ACTION):
            snapshot = Snapshot.of(EPISODES, handle)
            added = new_files(self._storage, self._snapshot, snapshot)
            if added is None:
                # Rows may have been removed or changed.
                self._con.execute(CREATE_REVISIONS)
                added = list(snapshot.files)
            self._new_files = snapshot.uris(self._storage, added)
            if self._new_files:
                renew_keys(self._storage, self._con)
                self._con.execute(READ_NEW_REVISIONS, {"files": self._new_files})
                self._con.execute(MERGE_REVISIONS)
            self._snapshot = snapshot

    def placed(self, queried: pa.Table) -> pa.Table:
        """Find the episode of each event; events without an episode are left out.

        Returns:
            place: row number in `queried`; episode_id; last_offset and closed: state of
            the episode in this version. In the order of `queried`.
        """
        places = pa.array(range(queried.num_rows), pa.int64())
        keys = [
            "topic_id",
            "kafka_partition",
            "namespace",
            "session_id",
            "kafka_offset",
        ]
        # Few episodes are near these offsets; sorting all of them per query is slow.
        ends = pc.min_max(queried["kafka_offset"]).as_py()
        bounds = {"first": ends["min"], "last": ends["max"]}
        with self._with(queried=queried.select(keys).append_column("place", places)):
            return self._con.execute(PLACED, bounds).to_arrow_table()

    def resume_positions(
        self, reached: Mapping[Partition, int]
    ) -> dict[Partition, int]:
        """Return where to read from so that every open episode is read completely.

        Returns:
            partition -> the last offset that is not needed.
        """
        found = dict(reached)
        with self._with(reached=_table(reached)):
            for *origin, first in self._con.execute(OPEN_EPISODES).fetchall():
                found[Partition(*origin)] = first - 1
        return found

    def closed(
        self, reached: Mapping[Partition, int], done: Set[str]
    ) -> Iterator[pa.Table]:
        """Yield the episodes that closed since the previous `follow`.

        Args:
            reached: partition -> offset at or before which they end.
            done: ids of episodes to leave out.

        Yields:
            `EPISODE_REVISIONS`, at most `BATCH_ROWS` rows at a time.
        """
        if not self._new_files:
            return
        ids = pa.table({"episode_id": pa.array(sorted(done), pa.string())})
        reading = storage_errors(self._storage, READ_ACTION)
        with self._with(reached=_table(reached), done=ids), reading:
            renew_keys(self._storage, self._con)
            found = self._con.execute(CLOSED, {"files": self._new_files})
            for batch in found.to_arrow_reader(BATCH_ROWS):
                if batch.num_rows:
                    rows = pa.Table.from_batches([batch])
                    yield rows.select(EPISODE_REVISIONS.names).cast(EPISODE_REVISIONS)

    @contextmanager
    def _with(self, **tables: pa.Table) -> Iterator[None]:
        """Register tables under their names for the queries inside the context."""
        for name, table in tables.items():
            self._con.register(name, table)
        try:
            yield
        finally:
            for name in tables:
                self._con.unregister(name)


def _table(reached: Mapping[Partition, int]) -> pa.Table:
    rows = [(*origin, offset) for origin, offset in reached.items()]
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    arrays = [pa.array(c, f.type) for c, f in zip(columns, REACHED, strict=True)]
    return pa.table(arrays, schema=REACHED)
