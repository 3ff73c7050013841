-- Notices of open orders that wait for a chat of a role, while a chat of that role was told the same: it
-- subscribed to both roles and is told once. What waits is found as in outbox_told_again.sql.
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
told AS MATERIALIZED (
    SELECT w.notice_id
    FROM waiting w
    JOIN chats c ON c.role = w.role AND c.store_id IN (w.store_id, '*') AND c.disabled_at IS NULL
    CROSS JOIN LATERAL (
        SELECT
        FROM notices
        WHERE delivery_id = w.delivery_id AND chat_id = c.chat_id AND state IN ('pending', 'sent')
        LIMIT 1
    ) AS t
)
-- By their keys, as in outbox_give_back.sql.
DELETE FROM notices WHERE notice_id = ANY (ARRAY(SELECT notice_id FROM told)) AND state || '' = 'no_chat'
