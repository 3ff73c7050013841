-- Notices of open orders that wait for a chat, to the chat that subscribed first; a chat of both roles is
-- told once. What waits is found as in outbox_told_again.sql.
WITH stores AS MATERIALIZED (
    SELECT w.store_id, w.role
    FROM stores_waiting_for_chat AS w
    WHERE EXISTS (
        SELECT FROM chats c WHERE c.role = w.role AND c.store_id IN (w.store_id, '*') AND c.disabled_at IS NULL
    )
),
waiting AS MATERIALIZED (
    SELECT n.notice_id, n.delivery_id, n.store_id, n.role
    FROM stores
    CROSS JOIN LATERAL (
        SELECT notice_id, delivery_id, order_id, store_id, role
        FROM notices
        WHERE state = 'no_chat' AND store_id = stores.store_id AND role = stores.role
        OFFSET 0
    ) AS n
    CROSS JOIN LATERAL (SELECT status FROM orders WHERE order_id = n.order_id LIMIT 1) AS o
    WHERE o.status IN ('new', 'paid')
),
taken AS MATERIALIZED (
    SELECT DISTINCT ON (w.delivery_id, c.chat_id) w.notice_id, c.chat_id
    FROM waiting w
    CROSS JOIN LATERAL (
        SELECT chats.chat_id
        FROM chats
        LEFT JOIN LATERAL (
            SELECT true AS is_told
            FROM notices
            WHERE delivery_id = w.delivery_id AND chat_id = chats.chat_id
            LIMIT 1
        ) AS told ON true
        WHERE chats.role = w.role AND chats.store_id IN (w.store_id, '*') AND chats.disabled_at IS NULL
          AND told.is_told IS NULL
        ORDER BY chats.added_at, chats.chat_id
        LIMIT 1
    ) AS c
    ORDER BY w.delivery_id, c.chat_id, w.notice_id
)
-- By their keys, as in outbox_give_back.sql.
UPDATE notices n
SET chat_id = taken.chat_id, state = 'pending', last_error = NULL
FROM taken
WHERE n.notice_id = taken.notice_id AND n.state || '' = 'no_chat'
