-- Ranking of `recall`: one row per memory, best first.
-- The base score of a memory is BM25 of its line, plus BM25 of its line with the line
-- before (each divided by the largest), plus three times the cosine. Its neighbours in
-- the episode and the best of its session raise it. The weights are on a plateau,
-- measured on questions about long conversations.
WITH request AS MATERIALIZED (
    SELECT from_json(memory_candidates(to_json(
        {
            'query': query::VARCHAR, 'k': k::BIGINT, 'agent': agent::VARCHAR,
            'namespace': namespace::VARCHAR, 'session': "session"::VARCHAR,
            'user': "user"::VARCHAR, 'kind': kind::VARCHAR,
            -- Intervals are converted to timestamps.
            'since': CASE WHEN typeof(since) = 'INTERVAL'
                THEN (now() - try_cast(since::VARCHAR AS INTERVAL))::VARCHAR
                ELSE since::VARCHAR END,
            -- As text, since JSON has no NaN, which must be reported as an error.
            'min_reward': min_reward::DOUBLE::VARCHAR,
            'half_life': CASE WHEN typeof(half_life) = 'INTERVAL'
                THEN epoch(try_cast(half_life::VARCHAR AS INTERVAL)) || 's'
                ELSE half_life::VARCHAR END,
            'words': words::BOOLEAN
        }
    )), '$response') AS response
),
settings AS MATERIALIZED (
    SELECT
        response.half_life_s, response.understood, response.line_frequencies,
        response.context_frequencies
    FROM request
    WHERE if(response.error IS NULL, true, error(response.error))
),
candidates AS MATERIALIZED (
    SELECT unnest(memories, recursive := true)
    FROM (SELECT unnest(response.memories) AS memories FROM request)
),
-- BM25 (k1 = 1.2, b = 0.75) with the statistics of the candidates: those of the whole
-- table do not show which words are rare within the filters.
keywords AS (
    SELECT
        candidates.* EXCLUDE (line_counts, context_counts, output),
        count(*) OVER () AS memories,
        0.3 + 0.9 * line_words / nullif(avg(line_words) OVER (), 0) AS line_length,
        0.3 + 0.9 * context_words / nullif(avg(context_words) OVER (), 0)
            AS context_length,
        list_sum(list_transform(line_counts, lambda times, i:
            ln(1 + (memories - line_frequencies[i] + 0.5)
               / (line_frequencies[i] + 0.5))
            * 2.2 * times / (times + line_length)
        )) AS line_bm25,
        list_sum(list_transform(context_counts, lambda times, i:
            ln(1 + (memories - context_frequencies[i] + 0.5)
               / (context_frequencies[i] + 0.5))
            * 2.2 * times / (times + context_length)
        )) AS context_bm25
    FROM candidates, settings
),
parts AS (
    SELECT
        *,
        cosine AS similarity,
        coalesce(line_bm25 / nullif(max(line_bm25) OVER (), 0), 0) AS keyword,
        coalesce(context_bm25 / nullif(max(context_bm25) OVER (), 0), 0)
            AS keyword_context,
        3 * similarity + keyword + keyword_context AS base
    FROM keywords
),
raised AS (
    SELECT
        *,
        if(
            position IS NULL, 0,
            0.2 * (
                coalesce(max(base) OVER one_before, 0)
                + coalesce(max(base) OVER one_after, 0)
            )
        ) AS neighbours,
        0.5 * max(base) OVER whole_session AS of_session,
        max(n) FILTER (part = 0) OVER one_after AS after_n
    FROM parts
    -- All with the same partitioning and order, so that DuckDB sorts once.
    WINDOW
        one_before AS (
            PARTITION BY parts."session" ORDER BY position
            RANGE BETWEEN 1 PRECEDING AND 1 PRECEDING
        ),
        one_after AS (
            PARTITION BY parts."session" ORDER BY position
            RANGE BETWEEN 1 FOLLOWING AND 1 FOLLOWING
        ),
        whole_session AS (
            PARTITION BY parts."session" ORDER BY position
            RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        )
),
scored AS (
    SELECT
        raised.*,
        -- Importance 1 lengthens the half-life by half, 0 shortens it by half.
        coalesce(
            0.5 ** (
                greatest(epoch(now()) - ts_us / 1e6, 0)
                / (settings.half_life_s * (0.5 + coalesce(importance, 0.5)))
            ),
            1
        ) AS decay,
        (base + neighbours + of_session) * decay AS score
    FROM raised, settings
    WHERE hit
),
-- Memories with equal texts are one hit: the best of them.
best AS (
    FROM scored
    QUALIFY row_number() OVER (
        PARTITION BY text_group ORDER BY score DESC, ts_us DESC, n
    ) = 1
),
ranked AS MATERIALIZED (
    SELECT row_number() OVER (ORDER BY score DESC, ts_us DESC, n) AS rank, *
    FROM best
    QUALIFY rank <= k
),
hits AS MATERIALIZED (
    SELECT
        ranked.*,
        from_json(candidates.output, '$output') AS memory,
        next.output->>'text' AS after
    FROM ranked
    JOIN candidates ON ranked.n = candidates.n
    LEFT JOIN candidates AS next ON ranked.after_n = next.n
),
-- Texts after the hits that are not candidates.
missing AS (
    SELECT list({'episode_id': memory.episode_id, 'seq': memory.seq + 1}) AS positions
    FROM hits
    WHERE after IS NULL AND memory.kind = 'event'
),
texts AS MATERIALIZED (
    SELECT unnest(
        from_json(
            memory_texts(to_json(positions)),
            '[{"episode_id": "VARCHAR", "seq": "BIGINT", "text": "VARCHAR"}]'
        )
    ) AS event
    FROM missing
    WHERE positions IS NOT NULL
)
SELECT
    hits.rank,
    hits.score,
    memory.kind, memory.type, memory.text, memory.context,
    coalesce(hits.after, event.text) AS after,
    make_timestamptz(hits.ts_us) AS ts,
    memory.agent, memory.session_id, memory.user_id, memory.namespace,
    memory.task_type, memory.tool, memory.status, memory.error_type, memory.outcome,
    memory.reward, memory.importance, hits.copies AS count,
    hits.similarity, hits.keyword, hits.keyword_context, hits.neighbours,
    hits.of_session AS "session", hits.decay,
    memory.episode_id, memory.seq, memory.part, memory.event_ids, memory.topic,
    memory.topic_id, memory.kafka_partition, memory.kafka_offset,
    settings.understood,
    unhex(memory.id) AS id, memory.model
FROM hits
CROSS JOIN settings
LEFT JOIN texts
    ON memory.kind = 'event'
    AND memory.episode_id = event.episode_id AND memory.seq + 1 = event.seq
ORDER BY hits.rank
