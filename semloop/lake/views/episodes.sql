-- What was worked on, how did it go, what was it worth? One row is one episode.
-- Shows the newest revision, of open episodes too. The partitioning repeats what the
-- episode id implies, so that DuckDB pushes filters on these columns down to the scans.
WITH newest AS (
    SELECT * FROM tables.episodes
    QUALIFY row_number() OVER (
        PARTITION BY topic_id, kafka_partition, namespace, session_id, episode_id
        ORDER BY revision DESC
    ) = 1
),
feedback_events AS (
    SELECT
        topic_id, kafka_partition, kafka_offset, kafka_ts, namespace, session_id, ts,
        score, label,
        payload->>'$.name' AS name, payload->>'$.source' AS source,
        payload->>'$.comment' AS comment
    FROM tables.events
    WHERE type = 'feedback'
),
-- Feedback belongs to the episode of its session that was open, or was the last to
-- close, at its offset, even if it names an event. If the session had no episode in that
-- partition yet, for example after the topic was created again, it belongs to the last
-- one before it by Kafka's timestamps.
assigned AS (
    SELECT
        feedback_events.*,
        coalesce(same_log.episode_id, any_log.episode_id) AS episode_id
    FROM feedback_events
    ASOF LEFT JOIN tables.episodes AS same_log
        ON feedback_events.topic_id = same_log.topic_id
        AND feedback_events.kafka_partition = same_log.kafka_partition
        AND feedback_events.namespace = same_log.namespace
        AND feedback_events.session_id = same_log.session_id
        AND feedback_events.kafka_offset > same_log.first_offset
    ASOF LEFT JOIN tables.episodes AS any_log
        ON feedback_events.namespace = any_log.namespace
        AND feedback_events.session_id = any_log.session_id
        AND feedback_events.kafka_ts >= any_log.first_kafka_ts
),
latest AS (
    SELECT * FROM assigned
    QUALIFY row_number() OVER (
        PARTITION BY namespace, session_id, episode_id, name, source
        ORDER BY ts DESC, kafka_ts DESC, kafka_offset DESC
    ) = 1
),
feedback AS (
    SELECT
        namespace,
        session_id,
        episode_id,
        list(
            struct_pack(name, source, score, label, comment, ts) ORDER BY name, source
        ) AS feedback
    FROM latest
    GROUP BY namespace, session_id, episode_id
)
SELECT
    newest.episode_id, revision, state, closed_by, newest.session_id, agent,
    newest.namespace, user_id, users, task, task_type, tags, started_at, ended_at,
    duration_ms, first_offset, first_kafka_ts, events, bytes, messages, steps,
    tool_calls, tool_failures, errors, tools, credits_used, input_tokens, output_tokens, outcome, summary, reward_given,
    reward, base, efficiency, complexity_bonus, quality, learning_bonus, request,
    request_role, last_text, last_user, step_log, latest_kafka_ts, archived_at,
    topic, topic_id, kafka_partition, kafka_offset, kafka_ts, ingested_at,
    row_number() OVER of_session AS episode,
    lag(newest.episode_id) OVER of_session AS previous_episode_id,
    feedback.feedback
FROM newest
LEFT JOIN feedback
    ON newest.namespace = feedback.namespace
    AND newest.session_id = feedback.session_id
    AND newest.episode_id = feedback.episode_id
WINDOW of_session AS (
    PARTITION BY topic_id, kafka_partition, newest.namespace, newest.session_id
    ORDER BY first_offset
)
