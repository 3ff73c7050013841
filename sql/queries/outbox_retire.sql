-- Notices that wait for a chat although their order is over: nobody will be told of it any more. They are
-- kept for a day, for whoever asks why nobody came. Without an end they would be counted for ever.
WITH over AS MATERIALIZED (
    SELECT w.notice_id
    FROM (
        SELECT notice_id, order_id
        FROM notices
        WHERE state = 'no_chat' AND created_at < now() - interval '1 day'
        ORDER BY created_at
    ) AS w
    LEFT JOIN LATERAL (SELECT status FROM orders WHERE order_id = w.order_id LIMIT 1) AS o ON true
    WHERE COALESCE(o.status NOT IN ('new', 'paid'), true)
    LIMIT 10000
)
-- By their keys, as in outbox_give_back.sql.
UPDATE notices n
SET state = 'failed', last_error = 'nobody was subscribed while the order was open'
FROM over
WHERE n.notice_id = over.notice_id AND n.state || '' = 'no_chat'
RETURNING n.kind
