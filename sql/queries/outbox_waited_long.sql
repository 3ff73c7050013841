-- The notices that have waited for a chat for a day, in the order of time: about $2 of those that are younger than
-- $1, with all of the same moment; and whether anybody still wants to be told.
SELECT w.notice_id, w.created_at, COALESCE(o.status IN ('new', 'paid'), false) AS is_open
FROM (
    SELECT notice_id, order_id, created_at
    FROM notices
    WHERE state = 'no_chat' AND created_at > $1 AND created_at < now() - interval '1 day'
    ORDER BY created_at
    FETCH FIRST ($2::bigint) ROWS WITH TIES
) AS w
LEFT JOIN LATERAL (SELECT status FROM orders WHERE order_id = w.order_id LIMIT 1) AS o ON true
ORDER BY w.created_at
