-- Up to $1 notices that wait for a chat although one covers them by now, the oldest of each store and role, and
-- whether anybody still wants to be told; or only those that somebody wants, of the role $3 and the store $2
-- ('*': of every store).
SELECT n.notice_id, n.is_open
FROM stores_waiting_for_chat AS store
CROSS JOIN LATERAL (
    SELECT
    FROM chats
    WHERE role = store.role AND store_id IN (store.store_id, '*') AND disabled_at IS NULL
    LIMIT 1
) AS covered
CROSS JOIN LATERAL (
    SELECT waiting.notice_id, COALESCE(o.status IN ('new', 'paid'), false) AS is_open
    FROM (
        SELECT notice_id, order_id
        FROM notices
        -- A range, as in outbox_peek.sql.
        WHERE state = 'no_chat'
          AND (store_id, role, notice_id) BETWEEN (store.store_id, store.role, 0)
                                              AND (store.store_id, store.role, 9223372036854775807)
        ORDER BY store_id, role, notice_id
        OFFSET 0
    ) AS waiting
    LEFT JOIN LATERAL (SELECT status FROM orders WHERE order_id = waiting.order_id LIMIT 1) AS o ON true
    WHERE $2::text IS NULL OR o.status IN ('new', 'paid')
    LIMIT $1
) AS n
WHERE $2 IS NULL OR (store.role = $3 AND $2 IN (store.store_id, '*'))
LIMIT $1
