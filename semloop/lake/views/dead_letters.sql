-- What could not become an event, and why? One row is one Kafka record.
SELECT
    id, reason, detail, agent, session_id, user_id, key, headers, raw,
    topic, topic_id, kafka_partition, kafka_offset, kafka_ts, ingested_at
FROM tables.dead_letters
