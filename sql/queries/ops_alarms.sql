-- What operations should know now and were not told within the last day, with the store that it is about
-- (null: about none). It counts as told only when `told_at` is set, after Telegram has taken it. What is not
-- found any more is forgotten: when it comes again it is told again.
-- $1: how long SM repeats a hook; what is older was decided by SM without our answer.
-- $2: how long a notice may wait.
-- $3: how many created are looked at; what is left of them comes next time.
WITH
-- SM has probably cancelled an order that staff are picking (protocol section 5, rule 9). Every created is
-- looked at once, when SM has given up: what nobody looked at is made up for one hour. Only bodies of that
-- hour are needed, which have not been forgotten: their index finds them.
progress AS MATERIALIZED (
    SELECT GREATEST(
        (SELECT looked_until FROM alarm_progress WHERE kind = 'unanswered_created'),
        now() - ($1::bigint + 3600) * interval '1 second'
    ) AS looked_until
),
created AS MATERIALIZED (
    SELECT delivery_id, order_id, received_at, outcome, replay_of
    FROM order_arrivals
    WHERE body IS NOT NULL AND event = 'created'
      AND received_at >= (SELECT looked_until FROM progress)
      AND received_at <= now() - $1::bigint * interval '1 second'
    ORDER BY received_at
    LIMIT $3
),
looked AS (
    -- Nodes' clocks differ, and a commit takes a moment: what may still come is looked at again.
    INSERT INTO alarm_progress (kind, looked_until)
    SELECT 'unanswered_created',
           CASE WHEN count(*) < $3 THEN now() - ($1::bigint + 10) * interval '1 second' ELSE max(received_at) END
    FROM created
    ON CONFLICT (kind) DO UPDATE SET looked_until = EXCLUDED.looked_until
),
-- What was found before is asked about again, as long as it may still be picked.
suspected AS MATERIALIZED (
    SELECT created.order_id
    FROM created
    LEFT JOIN LATERAL (
        SELECT true AS is_answered
        FROM order_answers
        WHERE delivery_id = created.delivery_id
        LIMIT 1
    ) AS answer ON true
    WHERE answer.is_answered IS NULL AND created.outcome = 'applied' AND created.replay_of IS NULL
    UNION
    SELECT a.subject COLLATE "C"
    FROM ops_alarms a
    CROSS JOIN LATERAL (
        SELECT
        FROM order_arrivals
        WHERE order_id = a.subject AND event = 'created' AND outcome = 'applied' AND replay_of IS NULL
          AND received_at > now() - ($1::bigint + 3600) * interval '1 second'
        LIMIT 1
    ) AS lately
    WHERE a.kind = 'unanswered_created'
),
found AS (
    -- Staff may be picking a wrong list (protocol section 5, rule 6).
    SELECT DISTINCT 'conflict' AS kind, o.order_id AS subject, o.store_id
    FROM order_arrivals a
    CROSS JOIN LATERAL (SELECT order_id, store_id FROM orders WHERE order_id = a.order_id LIMIT 1) AS o
    WHERE a.notes IS NOT NULL AND a.received_at > now() - interval '1 day'
      AND EXISTS (SELECT FROM unnest(a.notes) AS note WHERE starts_with(note, 'conflict_'))
    UNION ALL
    SELECT 'unanswered_created', o.order_id, o.store_id
    FROM suspected
    CROSS JOIN LATERAL (SELECT order_id, store_id, status FROM orders WHERE order_id = suspected.order_id LIMIT 1) AS o
    -- A repeat may have been answered.
    LEFT JOIN LATERAL (
        SELECT true AS is_answered
        FROM (SELECT delivery_id FROM order_arrivals WHERE order_id = suspected.order_id AND event = 'created') AS came
        CROSS JOIN LATERAL (SELECT FROM order_answers WHERE delivery_id = came.delivery_id LIMIT 1) AS answer
        LIMIT 1
    ) AS repeat ON true
    WHERE o.status IN ('new', 'paid') AND repeat.is_answered IS NULL
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
    FROM stores_waiting_for_chat AS w
    CROSS JOIN LATERAL (
        SELECT
        FROM (
            SELECT order_id
            FROM notices
            WHERE state = 'no_chat' AND store_id = w.store_id AND role = w.role
            ORDER BY notice_id DESC
            LIMIT 100
        ) AS newest
        CROSS JOIN LATERAL (SELECT status FROM orders WHERE order_id = newest.order_id LIMIT 1) AS o
        WHERE o.status IN ('new', 'paid')
        LIMIT 1
    ) AS open_order
    UNION ALL
    SELECT 'chat_disabled', chat_id || ' ' || store_id || ' ' || role, store_id
    FROM chats
    WHERE disabled_at > now() - interval '1 day'
    UNION ALL
    -- Telegram refuses it in a way that nobody has foreseen, again and again.
    SELECT 'chat_stuck', c.chat_id || ' ' || c.store_id || ' ' || c.role, c.store_id
    FROM outbox_heads AS head
    JOIN chats c ON c.chat_id = head.chat_id
    WHERE c.role <> 'ops' AND c.disabled_at IS NULL AND head.attempts >= 10
    UNION ALL
    SELECT 'outbox_old', '', NULL
    FROM outbox_heads
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
