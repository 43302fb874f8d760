"""The rows of `episodes` from which a restart of `memory` restores its sessions.

The newest revisions of the open episodes, and for the sessions that were closed by
inactivity last, what `Sessions` keeps of them.
"""

import pyarrow as pa

from schemas.arrow import EPISODE_REVISIONS
from semloop.delta.query import OpenTable, WriterQueries

# Files of older versions lack the columns of `added`. `last`: the newest revision of
# the last episode of each session. No two episodes of a partition have the same offset.
RESTORED = """
, added AS (
    SELECT
        NULL::TIMESTAMPTZ AS latest_kafka_ts, NULL::TIMESTAMPTZ AS archived_at
    WHERE false
),
revisions AS (
    SELECT * REPLACE (
        coalesce(latest_kafka_ts, kafka_ts, ended_at) AS latest_kafka_ts,
        -- Later than the time at which `archive` committed the event.
        coalesce(archived_at, ingested_at) AS archived_at
    )
    FROM (FROM rows UNION ALL BY NAME FROM added)
),
last AS (
    SELECT * EXCLUDE (newest), unnest(newest)
    FROM (
        SELECT
            topic, topic_id, kafka_partition, namespace, session_id,
            arg_max(
                {
                    kafka_offset: kafka_offset, episode_id: episode_id,
                    revision: revision, state: state, closed_by: closed_by,
                    ended_at: ended_at, latest_kafka_ts: latest_kafka_ts
                },
                (kafka_offset, revision)
            ) AS newest
        FROM revisions GROUP BY ALL
    )
)
SELECT revisions.* FROM revisions SEMI JOIN last
    ON revisions.episode_id = last.episode_id
    AND revisions.revision = last.revision
    AND last.state = 'open'
UNION ALL BY NAME
SELECT * FROM last WHERE closed_by = 'inactive'
QUALIFY ? >= row_number() OVER (
    PARTITION BY topic_id, kafka_partition ORDER BY kafka_offset DESC
)
"""


def restored_rows(
    queries: WriterQueries, episodes: OpenTable, sessions_max: int
) -> pa.Table:
    """Return the rows of all partitions, as `EPISODE_REVISIONS`.

    Args:
        queries: lookups in the lake.
        episodes: the table at the version to continue.
        sessions_max: maximum sessions of a partition without an open episode.
    """
    found = queries.rows_of(episodes, RESTORED, [sessions_max])
    if not found.num_rows:
        return EPISODE_REVISIONS.empty_table()
    return found.select(EPISODE_REVISIONS.names).cast(EPISODE_REVISIONS)
