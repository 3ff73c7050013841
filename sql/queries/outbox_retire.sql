-- Notices that wait for a chat although their order is over: nobody will be told of it any more. They are
-- kept for a day, for whoever asks why nobody came. Without an end they would be counted for ever.
UPDATE notices n
SET state = 'failed', last_error = 'nobody was subscribed while the order was open'
FROM (
    SELECT w.notice_id
    FROM notices w
    WHERE w.state = 'no_chat' AND w.created_at < now() - interval '1 day'
      AND NOT EXISTS (SELECT FROM orders o WHERE o.order_id = w.order_id AND o.status IN ('new', 'paid'))
    LIMIT 1000
) AS over
WHERE n.notice_id = over.notice_id AND n.state = 'no_chat'
RETURNING n.kind
