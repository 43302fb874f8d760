-- What can be recalled? One row is one memory, of an event or of a closed episode.
-- Memories are written before the commit that makes them visible: those of events are
-- visible up to the last offset in an episode, those of episodes once these are closed.
WITH committed AS (
    SELECT topic_id, kafka_partition, max(kafka_offset) AS last_offset
    FROM tables.episodes
    GROUP BY topic_id, kafka_partition
),
closed AS (
    SELECT episode_id, outcome, reward
    FROM tables.episodes
    WHERE state = 'closed'
    QUALIFY row_number() OVER (PARTITION BY episode_id ORDER BY revision DESC) = 1
)
SELECT
    stored.id, kind, type, part, text,
    if(contains(search_text, chr(10)), split_part(search_text, chr(10), 1), NULL) AS context,
    vector, model, ts, started_at, agent, session_id, user_id, namespace, task_type,
    tool, status, error_type, closed.outcome, closed.reward, importance,
    stored.episode_id, seq, event_ids,
    topic, stored.topic_id, stored.kafka_partition, kafka_offset, kafka_ts
FROM tables.memories AS stored
LEFT JOIN committed
    ON stored.topic_id = committed.topic_id
    AND stored.kafka_partition = committed.kafka_partition
LEFT JOIN closed ON stored.episode_id = closed.episode_id
WHERE if(
    kind = 'episode', closed.episode_id IS NOT NULL, kafka_offset <= last_offset
)
