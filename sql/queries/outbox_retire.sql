-- Notices that wait for a chat although their order is over: nobody will be told of it any more. They are
-- kept for a day, for whoever asks why nobody came. Without an end they would be counted for ever.
WITH over AS MATERIALIZED (
    SELECT w.notice_id
    FROM notices w
    LEFT JOIN LATERAL (SELECT status FROM orders WHERE order_id = w.order_id LIMIT 1) AS o ON true
    WHERE w.state = 'no_chat' AND w.created_at < now() - interval '1 day'
      AND COALESCE(o.status NOT IN ('new', 'paid'), true)
    LIMIT 1000
)
UPDATE notices n
SET state = 'failed', last_error = 'nobody was subscribed while the order was open'
FROM over
WHERE n.notice_id = over.notice_id AND n.state = 'no_chat'
RETURNING n.kind
