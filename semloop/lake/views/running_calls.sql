-- Which tool calls run now, and since when? One row is one call that runs for long.
-- Agents report a call that runs for over 10 seconds, and every call when it ends. A
-- process that was killed reports no end, so reports of the last day only are shown.
WITH recent AS (
    SELECT * FROM tables.events
    WHERE type IN ('tool_start', 'tool_call')
        AND ingested_at > now() - INTERVAL 1 DAY
        AND date >= (now() - INTERVAL 2 DAY)::DATE
)
SELECT
    namespace, session_id, agent, user_id, task,
    payload->>'$.tool' AS tool,
    payload->>'$.call_id' AS call_id,
    ts - to_milliseconds(coalesce((payload->>'$.running_ms')::DOUBLE, 0)) AS started_at,
    ts AS reported_at,
    event_id, trace_id, span_id, parent_span_id
FROM recent AS started
WHERE type = 'tool_start'
    AND NOT EXISTS (
        FROM recent AS ended
        WHERE ended.type = 'tool_call'
            AND ended.namespace = started.namespace
            AND ended.session_id = started.session_id
            AND ended.span_id = started.span_id
    )
