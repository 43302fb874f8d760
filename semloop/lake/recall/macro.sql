-- The body of the macro `recall`: one row per memory, best first.
WITH response AS MATERIALIZED (
    SELECT from_json(
        memory_hits(to_json({
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
            'words': words::BOOLEAN, 'max_tokens': max_tokens::BIGINT
        })),
        '{"error": "VARCHAR", "hits": [{
            "rank": "BIGINT", "score": "DOUBLE", "kind": "VARCHAR", "type":
            "VARCHAR", "text": "VARCHAR", "context": "VARCHAR", "after": "VARCHAR",
            "ts": "BIGINT", "agent": "VARCHAR", "session_id": "VARCHAR", "user_id":
            "VARCHAR", "namespace": "VARCHAR", "task_type": "VARCHAR", "tool":
            "VARCHAR", "status": "VARCHAR", "error_type": "VARCHAR", "outcome":
            "VARCHAR", "reward": "DOUBLE", "importance": "DOUBLE", "count":
            "BIGINT", "similarity": "DOUBLE", "keyword": "DOUBLE",
            "keyword_context": "DOUBLE", "neighbours": "DOUBLE", "session":
            "DOUBLE", "decay": "DOUBLE", "episode_id": "VARCHAR", "seq": "BIGINT",
            "part": "INTEGER", "event_ids": "VARCHAR[]", "topic": "VARCHAR",
            "topic_id": "VARCHAR", "kafka_partition": "INTEGER", "kafka_offset":
            "BIGINT", "understood": "VARCHAR", "id": "VARCHAR", "model": "VARCHAR"
        }]}'
    ) AS content
),
hits AS (
    SELECT unnest(content.hits) AS hit
    FROM response
    WHERE if(content.error IS NULL, true, error(content.error))
)
SELECT
    hit."rank", hit.score, hit."kind", hit."type", hit.text, hit.context,
    hit."after", make_timestamptz(hit.ts) AS ts, hit.agent, hit.session_id,
    hit.user_id, hit.namespace, hit.task_type, hit.tool, hit.status, hit.error_type,
    hit.outcome, hit.reward, hit.importance, hit."count", hit.similarity,
    hit.keyword, hit.keyword_context, hit.neighbours, hit."session", hit.decay,
    hit.episode_id, hit.seq, hit.part, hit.event_ids, hit.topic, hit.topic_id,
    hit.kafka_partition, hit.kafka_offset, hit.understood, unhex(hit.id) AS id,
    hit.model
FROM hits
ORDER BY hit."rank"
