-- Which tools fail, with what error, what was tried next, and how often did that help?
-- Of the last 30 days.
WITH calls AS (
    SELECT
        namespace, tool, status, error_type, ts,
        lead(tool) OVER session AS next_tool,
        lead(status) OVER session AS next_status
    FROM tables.events
    WHERE type = 'tool_call' AND ts >= now() - INTERVAL 30 DAY
    WINDOW session AS (
        PARTITION BY topic_id, kafka_partition, namespace, session_id
        ORDER BY kafka_offset
    )
)
SELECT
    namespace, tool, error_type, count(*) AS tool_failures,
    max(ts) AS last_at, next_tool,
    count(*) FILTER (next_status = 'success') AS helped
FROM calls
WHERE status = 'error'
GROUP BY namespace, tool, error_type, next_tool
