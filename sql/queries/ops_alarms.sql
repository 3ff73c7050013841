-- What operations should know now and were not told within the last day, with the store that it is about
-- (null: about none). It counts as told only when `told_at` is set, after Telegram has taken it. What is not
-- found any more is forgotten: when it comes again it is told again.
-- $1: how long SM repeats a hook; what is older was decided by SM without our answer.
-- $2: how long a notice may wait.
-- $3: so many of the newest arrivals that need a person are looked at, of each kind: what SM repeats for ever is
-- not read for ever. It must reach back farther than a kind of alarm is held back.
WITH
-- What unanswered_created.sql has found, as long as it may still be picked.
suspected AS MATERIALIZED (
    SELECT a.subject COLLATE "C" AS order_id
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
    FROM (
        SELECT order_id, notes
        FROM order_arrivals
        WHERE notes IS NOT NULL AND received_at > now() - interval '1 day'
        ORDER BY received_at DESC
        LIMIT $3
    ) AS a
    CROSS JOIN LATERAL (SELECT order_id, store_id FROM orders WHERE order_id = a.order_id LIMIT 1) AS o
    WHERE EXISTS (SELECT FROM unnest(a.notes) AS note WHERE starts_with(note, 'conflict_'))
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
    FROM (
        SELECT order_id
        FROM order_arrivals
        WHERE outcome = 'parked'
          AND received_at BETWEEN now() - interval '1 day' AND now() - $1::bigint * interval '1 second'
        ORDER BY received_at DESC
        LIMIT $3
    ) AS a
    CROSS JOIN LATERAL (
        SELECT order_id FROM orders
        WHERE order_id = a.order_id AND number IS NULL AND status = 'announced'
        LIMIT 1
    ) AS o
    UNION ALL
    SELECT DISTINCT 'rejected', COALESCE(order_id, event), NULL
    FROM (
        SELECT order_id, event
        FROM order_arrivals
        WHERE outcome = 'rejected' AND received_at > now() - interval '1 day'
        ORDER BY received_at DESC
        LIMIT $3
    ) AS a
    UNION ALL
    SELECT 'no_chat', w.store_id || ' ' || w.role, w.store_id
    FROM stores_waiting_for_chat AS w
    CROSS JOIN LATERAL (
        SELECT
        FROM (
            SELECT order_id
            FROM notices
            -- A range, as in outbox_peek.sql.
            WHERE state = 'no_chat'
              AND (store_id, role, notice_id) BETWEEN (w.store_id, w.role, 0) AND (w.store_id, w.role, 9223372036854775807)
            ORDER BY store_id DESC, role DESC, notice_id DESC
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
      -- These end with their day only; they may be there still behind many newer ones.
      AND (a.kind NOT IN ('conflict', 'rejected') OR a.told_at IS NULL OR a.told_at < now() - interval '1 day')
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
