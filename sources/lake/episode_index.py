"""What `episodes` knows: in which episode each event is, and which ones are closed.

For who makes memories anew: episodes are never computed twice, or those that a setting
or the time of an import decided would come out otherwise.
"""

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from schemas.arrow import EPISODE_REVISIONS
from semloop.delta.snapshot import Snapshot
from semloop.delta.streams import Partition
from semloop.lake.generations import EPISODES
from semloop.storage.duckdb_access import parquet_reader, renew_keys
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage

# The newest revision of each episode, in narrow columns: the wide ones are read later.
KNOWN = """
CREATE OR REPLACE TABLE known (
    episode_id VARCHAR, session_id VARCHAR, topic_id VARCHAR, kafka_partition INTEGER,
    revision BIGINT, first_offset BIGINT, last_offset BIGINT, closed BOOLEAN
)
"""
# Revisions of newer files are newer.
NEWS = """
CREATE OR REPLACE TEMP TABLE news AS
SELECT
    episode_id, any_value(session_id) AS session_id, any_value(topic_id) AS topic_id,
    any_value(kafka_partition) AS kafka_partition, max(revision) AS revision,
    any_value(first_offset) AS first_offset, max(kafka_offset) AS last_offset,
    arg_max(state, revision) = 'closed' AS closed
FROM read_parquet($files, union_by_name = true) GROUP BY episode_id
"""
LEARN = """
DELETE FROM known WHERE episode_id IN (SELECT episode_id FROM news);
INSERT INTO known FROM news
"""
PLACED = """
SELECT told.place, near.episode_id, near.last_offset, near.closed
FROM told ASOF JOIN (
    FROM known WHERE last_offset >= $first AND first_offset <= $last
) AS near
    ON told.topic_id = near.topic_id
    AND told.kafka_partition = near.kafka_partition
    AND told.session_id = near.session_id
    AND told.kafka_offset >= near.first_offset
WHERE told.kafka_offset <= near.last_offset ORDER BY told.place
"""
UNDER_WAY = """
SELECT topic_id, kafka_partition, min(first_offset)
FROM known JOIN reached USING (topic_id, kafka_partition)
WHERE first_offset <= reached.kafka_offset
    AND (NOT closed OR last_offset > reached.kafka_offset)
GROUP BY topic_id, kafka_partition
"""
CLOSED = """
SELECT rows.* FROM read_parquet($files, union_by_name = true) AS rows
SEMI JOIN (
    SELECT episode_id, revision
    FROM known JOIN reached USING (topic_id, kafka_partition)
    WHERE closed AND last_offset <= reached.kafka_offset
) AS wanted ON rows.episode_id = wanted.episode_id AND rows.revision = wanted.revision
ANTI JOIN done ON rows.episode_id = done.episode_id
"""
ROWS = 1_000
READING = f"read table {EPISODES}"
REACHED = pa.schema(
    [
        ("topic_id", pa.string()),
        ("kafka_partition", pa.int32()),
        ("kafka_offset", pa.int64()),
    ]
)


class KnownEpisodes:
    """The episodes as the version of their table that was followed last has them.

    Every question raises StorageUnavailable or LakeError when files cannot be read.
    """

    def __init__(self, storage: Storage) -> None:
        """Nothing is known yet; `follow` reads."""
        self._storage = storage
        self._con = parquet_reader(storage)
        self._con.execute(KNOWN)
        self._files: set[str] = set()
        # Those that came with the last step: what closed since is in them.
        self._new_files: list[str] = []

    def follow(self, handle: DeltaTable) -> None:
        """Learn what a later version has; only files that are new are read."""
        with storage_errors(self._storage, READING):
            snapshot = Snapshot.of(EPISODES, handle)
            files = set(snapshot.files)
            if not self._files <= files:
                # Rewritten by a maintainer: which rows are new cannot be told.
                self._con.execute(KNOWN)
                self._files = set()
            self._new_files = snapshot.uris(self._storage, files - self._files)
            if self._new_files:
                renew_keys(self._storage, self._con)
                self._con.execute(NEWS, {"files": self._new_files})
                self._con.execute(LEARN)
            self._files = files

    def placed(self, told: pa.Table) -> pa.Table:
        """The episode of each event that is in one.

        Returns:
            place: number of the row in `told`; episode_id; last_offset, closed: of the
            episode, as far as it is known. In the order of `told`.
        """
        places = pa.array(range(told.num_rows), pa.int64())
        keys = ["topic_id", "kafka_partition", "session_id", "kafka_offset"]
        # Of all episodes few are near, and sorting them for each question takes long.
        ends = pc.min_max(told["kafka_offset"]).as_py()
        bounds = {"first": ends["min"], "last": ends["max"]}
        with self._with(told=told.select(keys).append_column("place", places)):
            return self._con.execute(PLACED, bounds).to_arrow_table()

    def beginnings(self, reached: Mapping[Partition, int]) -> dict[Partition, int]:
        """From where on to read so that episodes that go on are seen whole.

        Returns:
            origin -> the last offset that is not needed.
        """
        found = dict(reached)
        with self._with(reached=_table(reached)):
            for *origin, first in self._con.execute(UNDER_WAY).fetchall():
                found[Partition(*origin)] = first - 1
        return found

    def closed(
        self, reached: Mapping[Partition, int], done: Set[str]
    ) -> Iterator[pa.Table]:
        """The episodes that closed since the version followed before, but for some.

        Args:
            reached: origin -> offset at or before which they end.
            done: ids of episodes that are not wanted.

        Yields:
            `EPISODE_REVISIONS`, some rows at a time.
        """
        if not self._new_files:
            return
        ids = pa.table({"episode_id": pa.array(sorted(done), pa.string())})
        reading = storage_errors(self._storage, READING)
        with self._with(reached=_table(reached), done=ids), reading:
            renew_keys(self._storage, self._con)
            found = self._con.execute(CLOSED, {"files": self._new_files})
            for batch in found.to_arrow_reader(ROWS):
                if batch.num_rows:
                    rows = pa.Table.from_batches([batch])
                    yield rows.select(EPISODE_REVISIONS.names).cast(EPISODE_REVISIONS)

    @contextmanager
    def _with(self, **tables: pa.Table) -> Iterator[None]:
        """Inside, queries see these tables under their names."""
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
