"""Compares the episodes of the table with those computed from `events`.

Both are folded to the newest revisions and hashed, over the episodes whose events are
all held. What an episode is made of counts, and what follows from it; when it was
written, and what closed it, do not (docs/adr/0012).
"""

from collections.abc import Sequence

import pyarrow as pa

from schemas.arrow import EPISODES as SCHEMA
from schemas.batches import Assigned
from schemas.rebuild import LISTED_MAX, Difference, Held, Parity
from semloop.lake.generations import EPISODES
from semloop.storage.duckdb_access import renew_keys
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from sinks.episode_fold import EpisodeFold

# `latest_kafka_ts` is absent in files of older versions.
NOT_COMPARED = {
    "revision", "closed_by", "latest_kafka_ts", "archived_at", "ingested_at", "date",
}  # fmt: skip
COMPARED = ", ".join(f'"{name}"' for name in SCHEMA.names if name not in NOT_COMPARED)
KEYS = "topic_id, kafka_partition, namespace, session_id"
CREATE_STORED = """
CREATE TABLE stored AS
WITH revisions AS (
    FROM read_parquet(?, union_by_name = true, hive_partitioning = false)
    UNION ALL BY NAME FROM no_episodes
)
SELECT revisions.* FROM revisions SEMI JOIN (
    SELECT episode_id, max(revision) AS revision FROM revisions GROUP BY episode_id
) AS last
ON revisions.episode_id = last.episode_id AND revisions.revision = last.revision
"""
# Episodes that are carried over begin before the first held event of their origin.
CREATE_HELD = """
CREATE TABLE {name}_held AS
SELECT {keys}, episode_id, first_offset, kafka_offset, closed_by,
    hash({compared}) AS row_hash
FROM {name} AS episodes SEMI JOIN held
    ON episodes.topic_id = held.topic_id
    AND episodes.kafka_partition = held.kafka_partition
    AND episodes.namespace IS NOT DISTINCT FROM held.namespace
    AND episodes.first_offset >= held.first_offset
"""
HASH = """
SELECT printf('%032x', sum(row_hash::HUGEINT) % (1::HUGEINT << 120)), count(*)
FROM {name}_held
"""
CREATE_DIFFERENT = """
CREATE TABLE different AS
SELECT
    coalesce(s.topic_id, c.topic_id) AS topic_id,
    coalesce(s.kafka_partition, c.kafka_partition) AS kafka_partition,
    coalesce(s.namespace, c.namespace) AS namespace,
    coalesce(s.session_id, c.session_id) AS session_id,
    coalesce(s.episode_id, c.episode_id) AS episode_id,
    coalesce(s.first_offset, c.first_offset) AS first_offset,
    s.kafka_offset AS stored, c.kafka_offset AS computed,
    s.closed_by AS stored_by, c.closed_by AS computed_by
FROM stored_held AS s FULL JOIN computed_held AS c ON s.episode_id = c.episode_id
WHERE s.row_hash IS DISTINCT FROM c.row_hash
"""
# Of a session that differs, one episode tells why: an eviction depends on what other
# sessions were open, and inactivity closes one that a late record would continue.
REASONS = """
SELECT *, CASE
    WHEN bool_or('evicted' IN (stored_by, computed_by)) OVER session THEN 'evicted'
    WHEN bool_or(stored_by = 'inactive' AND computed > stored) OVER session THEN 'late'
    ELSE 'other'
END AS reason
FROM different
WINDOW session AS (PARTITION BY topic_id, kafka_partition, namespace, session_id)
"""

LISTED = """
SELECT reason, episode_id, kafka_partition, namespace, session_id, first_offset, stored,
    computed
FROM reasons ORDER BY topic_id, kafka_partition, first_offset LIMIT ?
"""


class ParityCheck:
    """Folds the computed revisions, then compares them with a version of the table.

    Unit of parallelism: none; one worker has all partitions. Guarantee: it only reads
    the lake.

    Args:
        storage: the lake.
        fold: has the episodes that are carried over; receives the computed ones.
        uris: the files of the table.
        held: which events were read.
        carried_ids: the episodes that are carried over.
    """

    def __init__(
        self,
        storage: Storage,
        fold: EpisodeFold,
        uris: Sequence[str],
        held: Held,
        carried_ids: pa.ChunkedArray,
    ) -> None:
        self._storage = storage
        self._fold = fold
        self._uris = list(uris)
        self._held = held
        self._carried_ids = carried_ids

    def add(self, item: Assigned) -> None:
        """Add the revisions of a poll."""
        self._fold.add(item.episodes)

    def result(self) -> Parity:
        """Compare.

        Raises:
            LakeError: the table cannot be read. StorageUnavailable: temporarily.
        """
        connection = self._fold.connection
        self._fold.create_newest("computed")
        connection.register("held", self._held.table)
        with storage_errors(self._storage, f"read table {EPISODES}"):
            renew_keys(self._storage, connection)
            if self._uris:
                connection.execute(CREATE_STORED, [self._uris])
            else:
                connection.execute("CREATE TABLE stored AS FROM no_episodes")
        hashes = {}
        for name in ("stored", "computed"):
            sql = CREATE_HELD.format(name=name, keys=KEYS, compared=COMPARED)
            connection.execute(sql)
            hashes[name] = connection.execute(HASH.format(name=name)).fetchall()[0]
        connection.execute(CREATE_DIFFERENT)
        connection.execute(f"CREATE TABLE reasons AS {REASONS}")
        return Parity(
            str(hashes["stored"][0] or 0),
            str(hashes["computed"][0] or 0),
            int(hashes["stored"][1]),
            self._differences(),
            self._reasons(),
            len(self._carried_ids),
            tuple(self._carried_ids.slice(0, LISTED_MAX).to_pylist()),
        )

    def _reasons(self) -> dict[str, int]:
        query = "SELECT reason, count(*) FROM reasons GROUP BY reason ORDER BY reason"
        return dict(self._fold.connection.execute(query).fetchall())

    def _differences(self) -> tuple[Difference, ...]:
        rows = self._fold.connection.execute(LISTED, [LISTED_MAX]).fetchall()
        return tuple(Difference(*row) for row in rows)
