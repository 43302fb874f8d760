"""Which rows `events` has, and which stored episodes begin before them.

Retention removes whole dates, of all rows or of some namespaces, and `archive` writes
offsets in order: what is left of an origin and a namespace is a suffix. So an episode
whose first event is held has all of its events.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from schemas.arrow import EPISODES as SCHEMA
from schemas.rebuild import Held, HeldRange
from semloop.delta.query import FileQueries
from semloop.delta.snapshot import Snapshot, read_snapshot
from semloop.delta.streams import NEVER_READ, Partition
from semloop.lake.generations import EPISODES
from semloop.storage.duckdb_access import renew_keys
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from sources.lake.streams import EVENTS, TopicStreams

DEAD_LETTERS = "dead_letters"
RANGES = """
SELECT topic_id, kafka_partition, namespace, min(kafka_offset) AS first_offset,
    max(kafka_offset) AS last_offset, count(*) AS row_count
FROM rows GROUP BY ALL
"""
FIRST = """
SELECT topic_id, kafka_partition, min(kafka_offset) AS first_offset
FROM rows GROUP BY ALL
"""
# Files of older versions lack columns: `empty` has all of them.
NEWEST = """
, revisions AS (
    SELECT * REPLACE (
        coalesce(latest_kafka_ts, kafka_ts, ended_at) AS latest_kafka_ts,
        coalesce(archived_at, ingested_at) AS archived_at
    )
    FROM (FROM rows UNION ALL BY NAME FROM empty)
),
newest AS (
    FROM revisions SEMI JOIN (
        SELECT episode_id, max(revision) AS revision FROM revisions GROUP BY episode_id
    ) AS last
    ON revisions.episode_id = last.episode_id AND revisions.revision = last.revision
)
"""
CARRIED = """
SELECT newest.* FROM newest LEFT JOIN held
    ON newest.topic_id = held.topic_id
    AND newest.kafka_partition = held.kafka_partition
    AND newest.namespace IS NOT DISTINCT FROM held.namespace
WHERE held.first_offset IS NULL OR newest.first_offset < held.first_offset
ORDER BY newest.topic_id, newest.kafka_partition, newest.kafka_offset
"""
BATCH_ROWS = 1_000


def held_events(storage: Storage, streams: Sequence[TopicStreams]) -> Held:
    """Return what `events` has of these streams.

    Raises:
        LakeError: a table cannot be read. StorageUnavailable: temporarily.
    """
    names = {p: names for topic in streams for p, names in topic.names.items()}
    app_ids = [name for each in names.values() for name in each]
    # Before the rows: what is committed later has no part in the ends.
    snapshot = read_snapshot(storage, EVENTS, app_ids)
    stored = snapshot.transactions if snapshot else {}
    ends = {
        p: 1 + max(stored.get(name, NEVER_READ) for name in each)
        for p, each in names.items()
    }
    ranges = {
        (_partition(row), row["namespace"]): HeldRange(
            row["first_offset"], row["last_offset"], row["row_count"]
        )
        for row in _found(storage, snapshot, RANGES)
    }
    dead = read_snapshot(storage, DEAD_LETTERS)
    firsts = [(p, held.first) for (p, _), held in ranges.items()]
    firsts += [
        (_partition(row), row["first_offset"]) for row in _found(storage, dead, FIRST)
    ]
    lowest = dict(ends)
    for partition, first in firsts:
        if partition in lowest:
            lowest[partition] = min(first, lowest[partition])
    return Held(ranges, ends, lowest)


def carried_episodes(
    storage: Storage, handle: DeltaTable, held: Held
) -> Iterator[pa.Table]:
    """Yield the newest revisions of the episodes that begin before the held events.

    Args:
        storage: the lake.
        handle: table `episodes` at a version.
        held: what `events` has.

    Yields:
        rows with the columns of `episodes`, by partition and offset.

    Raises:
        LakeError: a table cannot be read. StorageUnavailable: temporarily.
    """
    with storage_errors(storage, f"read table {EPISODES}"):
        uris = Snapshot.of(EPISODES, handle).uris(storage)
    if not uris:
        return
    with closing(FileQueries(storage)) as queries:
        connection = queries.connection
        connection.register("held", held.table)
        connection.register("empty", SCHEMA.empty_table())
        with storage_errors(storage, f"read table {EPISODES}"):
            renew_keys(storage, connection)
            sql = f"WITH rows AS ({queries.rows}) {NEWEST} {CARRIED}"
            found = connection.execute(sql, [uris]).to_arrow_reader(BATCH_ROWS)
            for batch in found:
                rows = pa.Table.from_batches([batch])
                yield rows.select(SCHEMA.names).cast(SCHEMA)


def count_episodes(storage: Storage, handle: DeltaTable) -> int:
    """Return the number of episodes of a version of the table.

    Raises:
        LakeError: a table cannot be read. StorageUnavailable: temporarily.
    """
    with storage_errors(storage, f"read table {EPISODES}"):
        snapshot = Snapshot.of(EPISODES, handle)
    count = "SELECT count(DISTINCT episode_id) AS episodes FROM rows"
    return sum(row["episodes"] for row in _found(storage, snapshot, count))


def _found(
    storage: Storage, snapshot: Snapshot | None, query: str
) -> list[dict[str, Any]]:
    uris = snapshot.uris(storage) if snapshot else []
    if snapshot is None or not uris:
        return []
    with closing(FileQueries(storage)) as queries:
        found: list[dict[str, Any]] = queries.arrow(
            snapshot.table, uris, query
        ).to_pylist()
        return found


def _partition(row: Mapping[str, Any]) -> Partition:
    return Partition(row["topic_id"], row["kafka_partition"])
