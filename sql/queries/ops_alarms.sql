-- What operations should know now and were not told within the last day. It counts as told only when
-- `told_at` is set, after Telegram has taken it.
-- $1: how long SM repeats a hook; what is older was decided by SM without our answer.
-- $2: how long a notice may wait.
WITH found AS (
    -- Staff may be picking a wrong list (protocol section 5, rule 6).
    SELECT 'conflict' AS kind, order_id AS subject
    FROM orders
    WHERE conflict AND updated_at > now() - interval '1 day'
    UNION ALL
    -- SM has probably cancelled an order that staff are picking (protocol section 5, rule 9).
    SELECT 'unanswered_created', e.order_id
    FROM order_events e
    JOIN orders o ON o.order_id = e.order_id AND o.status IN ('new', 'paid')
    WHERE e.event = 'created' AND e.outcome = 'applied' AND e.answered_at IS NULL AND e.replay_of IS NULL
      AND e.received_at BETWEEN now() - interval '1 day' AND now() - $1::bigint * interval '1 second'
      AND NOT EXISTS (
          SELECT FROM order_events repeat
          WHERE repeat.order_id = e.order_id AND repeat.event = 'created' AND repeat.answered_at IS NOT NULL
      )
    UNION ALL
    SELECT 'announced', order_id
    FROM orders
    WHERE number IS NULL AND status = 'announced'
      AND updated_at BETWEEN now() - interval '1 day' AND now() - $1::bigint * interval '1 second'
    UNION ALL
    SELECT DISTINCT 'rejected', COALESCE(order_id, event)
    FROM order_events
    WHERE outcome = 'rejected' AND received_at > now() - interval '1 day'
    UNION ALL
    SELECT DISTINCT 'no_chat', n.store_id || ' ' || n.role
    FROM notices n
    JOIN orders o ON o.order_id = n.order_id AND o.status IN ('new', 'paid')
    WHERE n.state = 'no_chat'
    UNION ALL
    SELECT DISTINCT 'chat_disabled', chat_id::text
    FROM chats
    WHERE disabled_at > now() - interval '1 day'
    UNION ALL
    SELECT 'outbox_old', ''
    FROM notices
    WHERE state = 'pending'
    HAVING min(created_at) < now() - $2::bigint * interval '1 second'
)
INSERT INTO ops_alarms AS told (kind, subject)
SELECT DISTINCT kind, subject FROM found
ON CONFLICT (kind, subject) DO UPDATE SET told_at = NULL
    WHERE told.told_at IS NULL OR told.told_at < now() - interval '1 day'
RETURNING kind, subject
