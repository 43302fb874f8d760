-- What could not become an event, why, and what was done with it? One row is one Kafka record.
-- Only the outermost FROM reads the content: what is materialized here must stay narrow.
WITH failures AS (
    SELECT
        replay_of AS id, replay_origin AS origin, attempt,
        topic_id, kafka_partition, kafka_offset,
        concat(topic_id, '/', kafka_partition, '/', kafka_offset) AS record
    FROM tables.dead_letters
    WHERE replay_of IS NOT NULL
), attempts AS (
    SELECT DISTINCT failures.topic_id, failures.kafka_partition, failures.kafka_offset
    FROM failures
    JOIN tables.dead_letters AS original ON original.id = failures.id
        AND failures.origin = concat(
            original.topic_id, '/', original.kafka_partition, '/', original.kafka_offset
        )
    WHERE failures.record <> failures.origin
), steps AS (
    -- Written before the commit of the event: it counts only if that came about.
    SELECT actions.dead_letter_id AS id, actions.* EXCLUDE (dead_letter_id)
    FROM tables.dead_letter_actions AS actions
    ANTI JOIN failures ON failures.record = actions.record
    UNION ALL BY NAME
    SELECT id, origin, attempt, 'failed' AS action
    FROM failures
), summary AS (
    SELECT
        id, origin,
        coalesce(max(attempt) FILTER (action = 'replayed'), 0) AS newest,
        bool_or(action = 'resolved' AND record IS NOT NULL) AS is_event,
        list(attempt) FILTER (action = 'resolved' AND record IS NULL) AS resolved,
        list(attempt) FILTER (action = 'parked') AS parked,
        list(attempt) FILTER (action = 'failed') AS failed,
        arg_max(event_id, attempt) FILTER (action = 'resolved') AS event_id,
        arg_max(note, acted_at) AS note
    FROM steps
    GROUP BY id, origin
)
SELECT
    letters.id, reason, detail,
    CASE
        WHEN attempts.topic_id IS NOT NULL THEN 'attempt'
        WHEN is_event OR list_contains(resolved, newest) THEN 'resolved'
        WHEN list_contains(parked, newest) THEN 'parked'
        WHEN newest > 0 AND NOT coalesce(list_contains(failed, newest), false)
        THEN 'replayed'
        ELSE 'open'
    END AS state,
    CASE
        WHEN attempts.topic_id IS NOT NULL THEN attempt
        ELSE coalesce(newest, 0)
    END AS attempts,
    event_id, note, replay_of, agent, session_id, user_id, key, headers, raw,
    topic, letters.topic_id, letters.kafka_partition, letters.kafka_offset,
    kafka_ts, ingested_at
FROM tables.dead_letters AS letters
LEFT JOIN summary ON summary.id = letters.id
    AND summary.origin = concat(
        letters.topic_id, '/', letters.kafka_partition, '/', letters.kafka_offset
    )
LEFT JOIN attempts ON attempts.topic_id = letters.topic_id
    AND attempts.kafka_partition = letters.kafka_partition
    AND attempts.kafka_offset = letters.kafka_offset
