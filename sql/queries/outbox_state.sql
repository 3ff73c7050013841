-- How full the outbox is. One subquery per state: only so are the partial indexes used, and only rows
-- that wait are read.
SELECT waiting.pending, waiting.oldest_seconds,
       (SELECT count(*) FROM notices WHERE state = 'no_chat') AS without_chat,
       (SELECT count(DISTINCT chat_id) FROM chats WHERE disabled_at IS NOT NULL) AS disabled_chats
FROM (
    SELECT count(*) AS pending,
           COALESCE(extract(epoch FROM now() - min(created_at)), 0)::bigint AS oldest_seconds
    FROM notices
    WHERE state = 'pending'
) AS waiting
