-- What operations should know now and were not told within the last day, with the store that it is about
-- (null: about none). It counts as told only when `told_at` is set, after Telegram has taken it. What is not
-- found any more is forgotten: when it comes again it is told again.
-- $1: how long SM repeats a hook; what is older was decided by SM without our answer.
-- $2: how long a notice may wait.
WITH found AS (
    -- Staff may be picking a wrong list (protocol section 5, rule 6).
    SELECT DISTINCT 'conflict' AS kind, o.order_id AS subject, o.store_id
    FROM order_arrivals a
    CROSS JOIN LATERAL (SELECT order_id, store_id FROM orders WHERE order_id = a.order_id LIMIT 1) AS o
    WHERE a.notes IS NOT NULL AND a.received_at > now() - interval '1 day'
      AND EXISTS (SELECT FROM unnest(a.notes) AS note WHERE starts_with(note, 'conflict_'))
    UNION ALL
    -- SM has probably cancelled an order that staff are picking (protocol section 5, rule 9). Looked for
    -- during one hour after SM gave up: every created of that time is looked up.
    SELECT 'unanswered_created', e.order_id, o.store_id
    FROM order_events e
    JOIN orders o ON o.order_id = e.order_id AND o.status IN ('new', 'paid')
    WHERE e.event = 'created' AND e.outcome = 'applied' AND e.answered_at IS NULL AND e.replay_of IS NULL
      AND e.received_at BETWEEN now() - ($1::bigint + 3600) * interval '1 second'
                            AND now() - $1::bigint * interval '1 second'
      AND NOT EXISTS (
          SELECT FROM order_events repeat
          WHERE repeat.order_id = e.order_id AND repeat.event = 'created' AND repeat.answered_at IS NOT NULL
      )
    UNION ALL
    SELECT DISTINCT 'announced', o.order_id, NULL
    FROM order_arrivals a
    CROSS JOIN LATERAL (
        SELECT order_id FROM orders
        WHERE order_id = a.order_id AND number IS NULL AND status = 'announced'
        LIMIT 1
    ) AS o
    WHERE a.outcome = 'parked'
      AND a.received_at BETWEEN now() - interval '1 day' AND now() - $1::bigint * interval '1 second'
    UNION ALL
    SELECT DISTINCT 'rejected', COALESCE(order_id, event), NULL
    FROM order_events
    WHERE outcome = 'rejected' AND received_at > now() - interval '1 day'
    UNION ALL
    SELECT 'no_chat', w.store_id || ' ' || w.role, w.store_id
    FROM (SELECT DISTINCT store_id, role FROM notices WHERE state = 'no_chat') AS w
    CROSS JOIN LATERAL (
        SELECT
        FROM notices n
        CROSS JOIN LATERAL (SELECT status FROM orders WHERE order_id = n.order_id LIMIT 1) AS o
        WHERE n.state = 'no_chat' AND n.store_id = w.store_id AND n.role = w.role AND o.status IN ('new', 'paid')
        LIMIT 1
    ) AS open_order
    UNION ALL
    SELECT 'chat_disabled', chat_id || ' ' || store_id || ' ' || role, store_id
    FROM chats
    WHERE disabled_at > now() - interval '1 day'
    UNION ALL
    -- Telegram refuses it in a way that nobody has foreseen, again and again.
    SELECT 'chat_stuck', c.chat_id || ' ' || c.store_id || ' ' || c.role, c.store_id
    FROM chats c
    CROSS JOIN LATERAL (
        SELECT attempts
        FROM notices
        WHERE state = 'pending' AND chat_id = c.chat_id
        ORDER BY notice_id
        LIMIT 1
    ) AS head
    WHERE c.role <> 'ops' AND c.disabled_at IS NULL AND head.attempts >= 10
    UNION ALL
    SELECT 'outbox_old', '', NULL
    FROM notices
    WHERE state = 'pending'
    HAVING min(created_at) < now() - $2::bigint * interval '1 second'
),
forgotten AS (
    DELETE FROM ops_alarms a
    WHERE NOT EXISTS (SELECT FROM found f WHERE f.kind = a.kind AND f.subject = a.subject)
      -- That somebody is lacking does not end with the order for which it was seen.
      AND (a.kind <> 'no_chat' OR a.told_at IS NULL OR a.told_at < now() - interval '1 day'
           OR EXISTS (SELECT FROM chats c
                      WHERE c.disabled_at IS NULL
                        AND (a.subject = c.store_id || ' ' || c.role
                             OR c.store_id = '*' AND split_part(reverse(a.subject), ' ', 1) = reverse(c.role))))
),
due AS (
    INSERT INTO ops_alarms AS told (kind, subject)
    SELECT DISTINCT kind, subject FROM found
    ON CONFLICT (kind, subject) DO UPDATE SET told_at = NULL
        WHERE told.told_at IS NULL OR told.told_at < now() - interval '1 day'
    RETURNING kind, subject
)
SELECT DISTINCT kind, subject, found.store_id FROM due JOIN found USING (kind, subject)
