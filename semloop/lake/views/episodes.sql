-- What was worked on, how did it go, what was it worth? One row is one episode.
-- The newest revision holds; open ones are shown as they are so far. The partitioning
-- repeats what an episode's id already says, so that filters on it reach the files.
WITH newest AS (
    SELECT * FROM tables.episodes
    QUALIFY row_number() OVER (
        PARTITION BY topic_id, kafka_partition, session_id, episode_id
        ORDER BY revision DESC
    ) = 1
),
said AS (
    SELECT
        topic_id, kafka_partition, kafka_offset, kafka_ts, session_id, ts, score, label,
        payload->>'$.name' AS name, payload->>'$.source' AS source,
        payload->>'$.comment' AS comment
    FROM tables.events
    WHERE type = 'feedback'
),
-- Feedback is about the episode of its session that was open, or had closed last, at
-- its offset, also where it names an event. In a topic or partition that had none yet,
-- as after a topic was made again, about the last one before it by Kafka's clock.
placed AS (
    SELECT said.*, coalesce(here.episode_id, elsewhere.episode_id) AS episode_id
    FROM said
    ASOF LEFT JOIN tables.episodes AS here
        ON said.topic_id = here.topic_id
        AND said.kafka_partition = here.kafka_partition
        AND said.session_id = here.session_id
        AND said.kafka_offset > here.first_offset
    ASOF LEFT JOIN tables.episodes AS elsewhere
        ON said.session_id = elsewhere.session_id
        AND said.kafka_ts >= elsewhere.first_kafka_ts
),
latest AS (
    SELECT * FROM placed
    QUALIFY row_number() OVER (
        PARTITION BY session_id, episode_id, name, source
        ORDER BY ts DESC, kafka_ts DESC, kafka_offset DESC
    ) = 1
),
feedback AS (
    SELECT
        session_id,
        episode_id,
        list(
            struct_pack(name, source, score, label, comment, ts) ORDER BY name, source
        ) AS feedback
    FROM latest
    GROUP BY session_id, episode_id
)
SELECT
    newest.episode_id, revision, state, closed_by, newest.session_id, agent, namespace,
    user_id, task, task_type, tags, started_at, ended_at, duration_ms, first_offset,
    first_kafka_ts, events, bytes, messages, steps, tool_calls, tool_failures, errors,
    tools, credits_used, input_tokens, output_tokens, outcome, summary, reward_given,
    reward, base, efficiency, complexity_bonus, quality, learning_bonus, request,
    request_role, last_text, step_log,
    topic, topic_id, kafka_partition, kafka_offset, kafka_ts, ingested_at,
    row_number() OVER of_session AS episode,
    lag(newest.episode_id) OVER of_session AS previous_episode_id,
    feedback.feedback
FROM newest
LEFT JOIN feedback
    ON newest.session_id = feedback.session_id
    AND newest.episode_id = feedback.episode_id
WINDOW of_session AS (
    PARTITION BY topic_id, kafka_partition, newest.session_id ORDER BY first_offset
)
