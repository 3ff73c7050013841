-- Up to $1 notices that wait for a chat although one covers them by now, the oldest of each store and role,
-- and whether anybody still wants to be told.
SELECT w.notice_id, COALESCE(o.status IN ('new', 'paid'), false) AS is_open
FROM (
    SELECT n.notice_id, n.order_id
    FROM stores_waiting_for_chat AS store
    CROSS JOIN LATERAL (
        SELECT
        FROM chats
        WHERE role = store.role AND store_id IN (store.store_id, '*') AND disabled_at IS NULL
        LIMIT 1
    ) AS covered
    CROSS JOIN LATERAL (
        SELECT notice_id, order_id
        FROM notices
        -- A range, as in outbox_peek.sql.
        WHERE state = 'no_chat'
          AND (store_id, role, notice_id) BETWEEN (store.store_id, store.role, 0) AND (store.store_id, store.role, 9223372036854775807)
        ORDER BY store_id, role, notice_id
        LIMIT $1
    ) AS n
    LIMIT $1
) AS w
LEFT JOIN LATERAL (SELECT status FROM orders WHERE order_id = w.order_id LIMIT 1) AS o ON true
