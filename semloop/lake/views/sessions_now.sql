-- Which episodes are open now, what did they do last, and for how long have they been idle?
WITH newest AS (
    SELECT * FROM tables.episodes
    QUALIFY row_number() OVER (
        PARTITION BY topic_id, kafka_partition, namespace, session_id, episode_id
        ORDER BY revision DESC
    ) = 1
)
SELECT
    namespace, session_id, agent, user_id, task, started_at, ended_at AS last_at,
    now() - ended_at AS idle, last_text AS last_step, events, steps, tool_calls,
    tool_failures, errors, credits_used, episode_id
FROM newest
WHERE state = 'open'
