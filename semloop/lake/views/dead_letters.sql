-- What could not become an event, why, and what was done with it? One row is one Kafka record.
WITH actions AS (
    SELECT
        dead_letter_id AS id, origin,
        max(attempt) FILTER (action = 'replayed') AS replayed,
        max(attempt) FILTER (action = 'failed') AS refused,
        max(attempt) FILTER (action = 'resolved') AS resolved,
        max(attempt) FILTER (action = 'parked') AS parked,
        any_value(event_id) FILTER (action = 'resolved') AS event_id,
        arg_max(note, acted_at) AS note
    FROM tables.dead_letter_actions
    GROUP BY ALL
), failures AS (
    SELECT replay_of AS id, replay_origin AS origin, max(attempt) AS failed
    FROM tables.dead_letters
    WHERE replay_of IS NOT NULL
    GROUP BY ALL
), letters AS (
    SELECT *, concat(topic_id, '/', kafka_partition, '/', kafka_offset) AS origin
    FROM tables.dead_letters
), joined AS (
    SELECT
        letters.*, event_id, note, resolved, parked, replayed,
        greatest(failed, refused, 0) AS failed,
        replay_of IS NOT NULL AND EXISTS (
            FROM letters AS original
            WHERE original.id = letters.replay_of
                AND original.origin = letters.replay_origin
        ) AS is_attempt
    FROM letters
    LEFT JOIN actions USING (id, origin)
    LEFT JOIN failures USING (id, origin)
)
SELECT
    id, reason, detail,
    CASE
        WHEN is_attempt THEN 'attempt'
        WHEN resolved > failed THEN 'resolved'
        WHEN parked >= greatest(replayed, 0) THEN 'parked'
        WHEN replayed > failed THEN 'replayed'
        ELSE 'open'
    END AS state,
    CASE WHEN is_attempt THEN attempt ELSE greatest(replayed, failed) END AS attempts,
    CASE WHEN resolved > failed THEN event_id END AS event_id,
    note, replay_of, agent, session_id, user_id, key, headers, raw,
    topic, topic_id, kafka_partition, kafka_offset, kafka_ts, ingested_at
FROM joined
