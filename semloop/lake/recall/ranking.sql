-- What happened that was like this? One row is one memory, the best first.
-- A memory is worth: how well its own line fits the words of the query (BM25), how well
-- that with the line before does, each divided by the largest, and three times how near
-- it is in meaning. It is lifted by its neighbours in the episode and by the best of its
-- session. The weights are a plateau, measured on questions about long conversations.
WITH asked AS MATERIALIZED (
    SELECT from_json(memory_candidates(to_json(
        {
            'query': query::VARCHAR, 'k': k::BIGINT, 'agent': agent::VARCHAR,
            'namespace': namespace::VARCHAR, 'session': "session"::VARCHAR,
            'user': "user"::VARCHAR, 'kind': kind::VARCHAR,
            -- Lengths of time before now, as moments.
            'since': CASE WHEN typeof(since) = 'INTERVAL'
                THEN (now() - try_cast(since::VARCHAR AS INTERVAL))::VARCHAR
                ELSE since::VARCHAR END,
            -- JSON has no NaN, which is an error to be told.
            'min_reward': min_reward::DOUBLE::VARCHAR,
            'half_life': CASE WHEN typeof(half_life) = 'INTERVAL'
                THEN epoch(try_cast(half_life::VARCHAR AS INTERVAL)) || 's'
                ELSE half_life::VARCHAR END,
            'words': words::BOOLEAN
        }
    )), '$answer') AS answer
),
settings AS MATERIALIZED (
    SELECT
        answer.half_life_s, answer.understood, answer.own_found, answer.around_found
    FROM asked
    WHERE if(answer.failed IS NULL, true, error(answer.failed))
),
candidates AS MATERIALIZED (
    SELECT unnest(memories, recursive := true)
    FROM (SELECT unnest(answer.memories) AS memories FROM asked)
),
-- BM25 (k1 = 1.2, b = 0.75) with the statistics of the candidates themselves: those of
-- the whole table know nothing of what is rare within the filters.
keywords AS (
    SELECT
        candidates.* EXCLUDE (own, around, shown),
        count(*) OVER () AS memories,
        0.3 + 0.9 * own_words / nullif(avg(own_words) OVER (), 0) AS own_length,
        0.3 + 0.9 * around_words / nullif(avg(around_words) OVER (), 0)
            AS around_length,
        list_sum(list_transform(own, lambda times, i:
            ln(1 + (memories - own_found[i] + 0.5) / (own_found[i] + 0.5))
            * 2.2 * times / (times + own_length)
        )) AS own_worth,
        list_sum(list_transform(around, lambda times, i:
            ln(1 + (memories - around_found[i] + 0.5) / (around_found[i] + 0.5))
            * 2.2 * times / (times + around_length)
        )) AS around_worth
    FROM candidates, settings
),
parts AS (
    SELECT
        *,
        cosine AS similarity,
        coalesce(own_worth / nullif(max(own_worth) OVER (), 0), 0) AS keyword,
        coalesce(around_worth / nullif(max(around_worth) OVER (), 0), 0)
            AS keyword_context,
        3 * similarity + keyword + keyword_context AS base
    FROM keywords
),
lifted AS (
    SELECT
        *,
        if(
            place IS NULL, 0,
            0.2 * (
                coalesce(max(base) OVER one_before, 0)
                + coalesce(max(base) OVER one_after, 0)
            )
        ) AS neighbours,
        0.5 * max(base) OVER all_of_it AS of_session,
        max(n) FILTER (part = 0) OVER one_after AS after_n
    FROM parts
    -- Of one partition and order, so that DuckDB sorts once.
    WINDOW
        one_before AS (
            PARTITION BY parts."session" ORDER BY place
            RANGE BETWEEN 1 PRECEDING AND 1 PRECEDING
        ),
        one_after AS (
            PARTITION BY parts."session" ORDER BY place
            RANGE BETWEEN 1 FOLLOWING AND 1 FOLLOWING
        ),
        all_of_it AS (
            PARTITION BY parts."session" ORDER BY place
            RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        )
),
scored AS (
    SELECT
        lifted.*,
        -- Importance stretches the half-life by half of it, either way.
        coalesce(
            0.5 ** (
                greatest(epoch(now()) - ts_us / 1e6, 0)
                / (settings.half_life_s * (0.5 + coalesce(importance, 0.5)))
            ),
            1
        ) AS decay,
        (base + neighbours + of_session) * decay AS score
    FROM lifted, settings
    WHERE hit
),
-- Of equal texts the best one stands for all.
best AS (
    FROM scored
    QUALIFY row_number() OVER (
        PARTITION BY same ORDER BY score DESC, ts_us DESC, n
    ) = 1
),
ranked AS MATERIALIZED (
    SELECT row_number() OVER (ORDER BY score DESC, ts_us DESC, n) AS rank, *
    FROM best
    QUALIFY rank <= k
),
shown AS MATERIALIZED (
    SELECT
        ranked.*,
        from_json(candidates.shown, '$shown') AS memory,
        next.shown->>'text' AS after
    FROM ranked
    JOIN candidates ON ranked.n = candidates.n
    LEFT JOIN candidates AS next ON ranked.after_n = next.n
),
-- What came after, where it is no candidate itself.
missing AS (
    SELECT list({'episode_id': memory.episode_id, 'seq': memory.seq + 1}) AS places
    FROM shown
    WHERE after IS NULL AND memory.kind = 'event'
),
texts AS MATERIALIZED (
    SELECT unnest(
        from_json(
            memory_texts(to_json(places)),
            '[{"episode_id": "VARCHAR", "seq": "BIGINT", "text": "VARCHAR"}]'
        )
    ) AS told
    FROM missing
    WHERE places IS NOT NULL
)
SELECT
    shown.rank,
    shown.score,
    memory.kind, memory.type, memory.text, memory.context,
    coalesce(shown.after, told.text) AS after,
    make_timestamptz(shown.ts_us) AS ts,
    memory.agent, memory.session_id, memory.user_id, memory.namespace,
    memory.task_type, memory.tool, memory.status, memory.error_type, memory.outcome,
    memory.reward, memory.importance, shown.copies AS count,
    shown.similarity, shown.keyword, shown.keyword_context, shown.neighbours,
    shown.of_session AS "session", shown.decay,
    memory.episode_id, memory.seq, memory.part, memory.event_ids, memory.topic,
    memory.topic_id, memory.kafka_partition, memory.kafka_offset,
    settings.understood,
    unhex(memory.id) AS id, memory.model
FROM shown
CROSS JOIN settings
LEFT JOIN texts
    ON memory.kind = 'event'
    AND memory.episode_id = told.episode_id AND memory.seq + 1 = told.seq
ORDER BY shown.rank
