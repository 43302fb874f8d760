-- How many records of each agent were refused in each minute, and why?
-- By the time of Kafka, since a refused record may have no time of its own. A replay that
-- is refused again counts once, as its dead letter.
SELECT
    -- NOTE: `date_trunc` would depend on the time zone of the connection.
    make_timestamptz(epoch_us(kafka_ts) // 60000000 * 60000000) AS minute,
    agent, reason, count(*) AS refused,
    count(*) FILTER (state <> 'resolved') AS unresolved
FROM dead_letters
WHERE state <> 'attempt'
GROUP BY ALL
