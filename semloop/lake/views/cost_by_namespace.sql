-- What do the agents of each team and project cost, by day, user and model?
-- Teams, projects and prices are settings (`namespace_teams`, `namespace_projects`,
-- `model_prices`). `money` is NULL without tokens, and where a price is missing.
WITH used AS (
    SELECT
        -- UTC, by integers: a cast of each row's time zone takes most of the query.
        (epoch_us(minute) // 86400000000)::INTEGER AS epoch_day,
        namespace, agent, user_id, model,
        sum(events)::BIGINT AS events, sum(credits_used)::DOUBLE AS credits_used,
        sum(input_tokens) AS input, sum(output_tokens) AS output,
        sum(cached_tokens) AS cached, sum(reasoning_tokens) AS reasoning
    FROM agent_metrics
    GROUP BY ALL
), dated AS (
    SELECT DATE '1970-01-01' + epoch_day AS day, * EXCLUDE (epoch_day) FROM used
)
SELECT
    day, team, project, dated.namespace, agent, user_id, dated.model, events,
    credits_used,
    -- Agents may report any number of tokens; a sum that overflows is NULL.
    try_cast(input AS BIGINT) AS input_tokens,
    try_cast(output AS BIGINT) AS output_tokens,
    try_cast(cached AS BIGINT) AS cached_tokens,
    try_cast(reasoning AS BIGINT) AS reasoning_tokens,
    CASE
        WHEN input = 0 AND output = 0 AND cached = 0 THEN NULL
        WHEN since IS NULL THEN 'missing'
        ELSE 'known'
    END AS price,
    CASE
        WHEN input <> 0 OR output <> 0 OR cached <> 0 THEN (
            greatest(input - cached, 0)::DOUBLE * input_price
            + cached::DOUBLE * cached_price + output::DOUBLE * output_price
        ) / 1e6
    END AS money
FROM dated
LEFT JOIN tables.namespace_owners AS owners ON dated.namespace = owners.namespace
ASOF LEFT JOIN tables.model_prices AS prices
    ON dated.model = prices.model AND dated.day >= prices.since
