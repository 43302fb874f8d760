-- Is a version of an agent better than the one before: success, cost and latency?
-- The interval of the success rate is Wilson's, for 95 %.
WITH summed AS (
    SELECT
        namespace, agent, agent_version,
        min(minute) AS first_minute, max(minute) AS last_minute,
        sum(events)::BIGINT AS events, sum(tool_calls)::BIGINT AS tool_calls,
        sum(tool_failures)::BIGINT AS tool_failures, sum(errors)::BIGINT AS errors,
        sum(completions)::BIGINT AS completions, sum(successes)::BIGINT AS successes,
        sum(credits_used)::DOUBLE AS credits_used,
        nullif(sum(completions), 0)::DOUBLE AS n, sum(successes) / n AS p,
        1.96 * sqrt(p * (1 - p) / n + 0.9604 / n ** 2) AS half
    FROM agent_metrics
    GROUP BY namespace, agent, agent_version
), timed AS (
    -- Apart from the sums: these are the most groups, so they carry one sum only.
    SELECT namespace, agent, agent_version, duration_bucket, sum(tool_calls) AS calls
    FROM tables.agent_metrics
    WHERE duration_bucket IS NOT NULL
    GROUP BY namespace, agent, agent_version, duration_bucket
), counted AS (
    SELECT
        namespace, agent, agent_version,
        0.99 * pow(1.01 / 0.99, duration_bucket) AS duration_ms,
        sum(calls) OVER (
            PARTITION BY namespace, agent, agent_version ORDER BY duration_bucket
        ) AS up_to,
        sum(calls) OVER (PARTITION BY namespace, agent, agent_version) AS total
    FROM timed
), durations AS (
    SELECT
        namespace, agent, agent_version,
        min(duration_ms) FILTER (total > 0 AND up_to >= 0.50 * total) AS duration_p50_ms,
        min(duration_ms) FILTER (total > 0 AND up_to >= 0.95 * total) AS duration_p95_ms,
        min(duration_ms) FILTER (total > 0 AND up_to >= 0.99 * total) AS duration_p99_ms
    FROM counted
    GROUP BY namespace, agent, agent_version
)
SELECT
    summed.namespace, summed.agent, summed.agent_version, first_minute, last_minute,
    events, tool_calls, tool_failures, errors, completions, successes, p AS success_rate,
    (p + 1.9208 / n - half) / (1 + 3.8416 / n) AS success_at_least,
    (p + 1.9208 / n + half) / (1 + 3.8416 / n) AS success_at_most,
    credits_used, credits_used / nullif(successes, 0) AS credits_per_success,
    duration_p50_ms, duration_p95_ms, duration_p99_ms
FROM summed
LEFT JOIN durations
    ON summed.namespace = durations.namespace AND summed.agent = durations.agent
    AND summed.agent_version IS NOT DISTINCT FROM durations.agent_version
