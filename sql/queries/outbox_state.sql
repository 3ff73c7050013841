-- How full the outbox is. What waits is counted up to $1, so that a flood that Telegram has yet to take costs
-- no more with every hour that it lasts. One subquery per state, in the order of its partial index: only so
-- are these indexes used, and only rows that wait are read.
SELECT (
           SELECT count(*)
           FROM (SELECT FROM notices WHERE state = 'pending' ORDER BY chat_id, notice_id LIMIT $1) AS waiting
       ) AS pending,
       (
           SELECT COALESCE(extract(epoch FROM now() - min(created_at)), 0)::bigint
           FROM outbox_heads
       ) AS oldest_seconds,
       (
           SELECT count(*)
           FROM (
               SELECT FROM notices WHERE state = 'no_chat' ORDER BY store_id, role, notice_id LIMIT $1
           ) AS waiting
       ) AS without_chat,
       (SELECT count(DISTINCT chat_id) FROM chats WHERE disabled_at IS NOT NULL) AS disabled_chats
