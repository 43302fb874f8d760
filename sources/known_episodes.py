"""What `episodes` knows: in which episode each event is, and which ones are closed.

For who makes memories anew: episodes are never computed twice, or those that a setting
or the time of an import decided would come out otherwise.
"""

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager

import pyarrow as pa
from deltalake import DeltaTable

from schemas.arrow import EPISODE_REVISIONS
from schemas.batches import Origin
from semloop.memories import EPISODES
from semloop.storage import Storage
from sources.lake_table import files_of, reading

# The newest revision of each episode, in narrow columns: the wide ones are read later.
KNOWN = """
CREATE TABLE known AS
SELECT
    episode_id, any_value(session_id) AS session_id, any_value(topic_id) AS topic_id,
    any_value(kafka_partition) AS kafka_partition, max(revision) AS revision,
    any_value(first_offset) AS first_offset, max(kafka_offset) AS last_offset,
    arg_max(state, revision) = 'closed' AS closed
FROM read_parquet($files, union_by_name = true) GROUP BY episode_id
"""
PLACED = """
SELECT told.place, known.episode_id, known.last_offset, known.closed
FROM told ASOF JOIN known
    ON told.topic_id = known.topic_id
    AND told.kafka_partition = known.kafka_partition
    AND told.session_id = known.session_id
    AND told.kafka_offset >= known.first_offset
WHERE told.kafka_offset <= known.last_offset ORDER BY told.place
"""
SPANNING = """
SELECT topic_id, kafka_partition, min(first_offset)
FROM known JOIN reached USING (topic_id, kafka_partition)
WHERE first_offset <= reached.kafka_offset AND last_offset > reached.kafka_offset
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
REACHED = pa.schema(
    [
        ("topic_id", pa.string()),
        ("kafka_partition", pa.int32()),
        ("kafka_offset", pa.int64()),
    ]
)


class KnownEpisodes:
    """The episodes as one version of their table has them.

    Every question raises StorageUnavailable or LakeError when files cannot be read.
    """

    def __init__(self, storage: Storage, handle: DeltaTable) -> None:
        self._storage = storage
        root = storage.uri(EPISODES)
        self._files = [f"{root}/{path}" for path in files_of(handle)]
        self._con = storage.parquet_reader()
        with reading(storage):
            if self._files:
                self._con.execute(KNOWN, {"files": self._files})

    def placed(self, told: pa.Table) -> pa.Table:
        """The episode of each event that is in one.

        Returns:
            place: number of the row in `told`; episode_id; last_offset, closed: of the
            episode, as far as it is known. In the order of `told`.
        """
        places = pa.array(range(told.num_rows), pa.int64())
        keys = ["topic_id", "kafka_partition", "session_id", "kafka_offset"]
        with self._with(told=told.select(keys).append_column("place", places)):
            return self._con.execute(PLACED).to_arrow_table()

    def beginnings(self, reached: Mapping[Origin, int]) -> dict[Origin, int]:
        """From where on to read so that episodes under way there are seen whole.

        Returns:
            origin -> the last offset that is not needed.
        """
        found = dict(reached)
        if self._files:
            with self._with(reached=_table(reached)):
                for topic_id, partition, first in self._con.execute(
                    SPANNING
                ).fetchall():
                    found[topic_id, partition] = first - 1
        return found

    def closed(
        self, reached: Mapping[Origin, int], done: Set[str]
    ) -> Iterator[pa.Table]:
        """The closed episodes that end at or before an offset, but for some.

        Args:
            reached: origin -> offset.
            done: ids of episodes that are not wanted.

        Yields:
            `EPISODE_REVISIONS`, some rows at a time.
        """
        if not self._files:
            return
        ids = pa.table({"episode_id": pa.array(sorted(done), pa.string())})
        with self._with(reached=_table(reached), done=ids), reading(self._storage):
            reader = self._con.execute(CLOSED, {"files": self._files}).to_arrow_reader(
                ROWS
            )
            for batch in reader:
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


def _table(reached: Mapping[Origin, int]) -> pa.Table:
    rows = [(*origin, offset) for origin, offset in reached.items()]
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    arrays = [pa.array(c, f.type) for c, f in zip(columns, REACHED, strict=True)]
    return pa.table(arrays, schema=REACHED)
