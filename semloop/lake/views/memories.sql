-- What can be recalled? One row is one memory, of an event or of a closed episode.
-- Memories are written before the commit that makes them visible: those of events are
-- visible up to the last offset of the flow, those of episodes once these are closed,
-- and after the rows of these have expired.
WITH committed AS (
    SELECT
        topic_id, kafka_partition, max(last_offset) AS last_offset,
        max(expired_offset) AS expired_offset
    FROM (
        SELECT topic_id, kafka_partition, last_offset, expired_offset
        FROM tables.memory_positions
        UNION ALL
        SELECT topic_id, kafka_partition, kafka_offset, -1 FROM tables.episodes
    )
    GROUP BY topic_id, kafka_partition
),
newest AS (
    SELECT
        episode_id, state,
        if(state = 'closed', outcome, NULL) AS outcome,
        if(state = 'closed', reward, NULL) AS reward
    FROM tables.episodes
    QUALIFY row_number() OVER (PARTITION BY episode_id ORDER BY revision DESC) = 1
)
SELECT
    stored.id, kind, type, part, text,
    if(contains(search_text, chr(10)), split_part(search_text, chr(10), 1), NULL) AS context,
    vector, model, ts, started_at, agent, session_id, user_id, namespace, task_type,
    tool, status, error_type, newest.outcome, newest.reward, importance,
    stored.episode_id, seq, event_ids,
    topic, stored.topic_id, stored.kafka_partition, kafka_offset, kafka_ts
FROM tables.memories AS stored
LEFT JOIN committed
    ON stored.topic_id = committed.topic_id
    AND stored.kafka_partition = committed.kafka_partition
LEFT JOIN newest ON stored.episode_id = newest.episode_id
WHERE if(
    kind = 'episode',
    if(newest.state IS NULL, kafka_offset <= expired_offset, newest.state = 'closed'),
    kafka_offset <= last_offset
)
