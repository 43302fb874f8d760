-- What did each session do in all, and how did it end? One row is one session.
-- A session is a pair of namespace and session id.
-- It reads the table instead of the view `episodes` to avoid the cost of feedback. The
-- outcome is that of the last closed episode, NULL if that has none.
WITH newest AS (
    SELECT
        *, (coalesce(first_kafka_ts, started_at), first_offset) AS position
    FROM tables.episodes
    QUALIFY row_number() OVER (
        PARTITION BY topic_id, kafka_partition, namespace, session_id, episode_id
        ORDER BY revision DESC
    ) = 1
)
SELECT
    namespace,
    session_id,
    if(bool_or(state = 'open'), 'open', 'closed') AS state,
    count(*) AS episodes,
    list_sort(list(DISTINCT agent) FILTER (agent IS NOT NULL)) AS agents,
    list_sort(list_distinct(flatten(list(users)))) AS users,
    list_sort(list(DISTINCT task) FILTER (task IS NOT NULL)) AS tasks,
    min(started_at) AS started_at,
    max(ended_at) AS ended_at,
    sum(events)::BIGINT AS events,
    sum(messages)::BIGINT AS messages,
    sum(steps)::BIGINT AS steps,
    sum(tool_calls)::BIGINT AS tool_calls,
    sum(tool_failures)::BIGINT AS tool_failures,
    sum(errors)::BIGINT AS errors,
    list_sort(list_distinct(flatten(list(tools)))) AS tools,
    sum(credits_used) AS credits_used,
    -- Agents may report any number of tokens; a sum that overflows is NULL.
    try_cast(sum(input_tokens) AS BIGINT) AS input_tokens,
    try_cast(sum(output_tokens) AS BIGINT) AS output_tokens,
    arg_max_null(outcome, position) FILTER (state = 'closed') AS outcome,
    avg(reward) AS reward
FROM newest
GROUP BY namespace, session_id
