-- A notice of an open order that waits for a chat can be told to one that once could not be written to:
-- that it failed there before does not stand in the way. Like the two statements that follow it, it begins
-- with what waits and looks everything else up by key; LATERAL with LIMIT keeps the planner to that.
WITH stores AS MATERIALIZED (
    SELECT w.store_id, w.role
    FROM stores_waiting_for_chat AS w
    WHERE EXISTS (
        SELECT FROM chats c WHERE c.role = w.role AND c.store_id IN (w.store_id, '*') AND c.disabled_at IS NULL
    )
),
waiting AS MATERIALIZED (
    SELECT n.delivery_id, n.store_id, n.role
    FROM stores
    CROSS JOIN LATERAL (
        SELECT delivery_id, order_id, store_id, role
        FROM notices
        WHERE state = 'no_chat' AND store_id = stores.store_id AND role = stores.role
        OFFSET 0
    ) AS n
    CROSS JOIN LATERAL (SELECT status FROM orders WHERE order_id = n.order_id LIMIT 1) AS o
    WHERE o.status IN ('new', 'paid')
),
failed AS MATERIALIZED (
    SELECT f.notice_id
    FROM waiting w
    JOIN chats c ON c.role = w.role AND c.store_id IN (w.store_id, '*') AND c.disabled_at IS NULL
    CROSS JOIN LATERAL (
        SELECT notice_id
        FROM notices
        WHERE delivery_id = w.delivery_id AND chat_id = c.chat_id AND state = 'failed'
        LIMIT 1
    ) AS f
)
DELETE FROM notices WHERE notice_id = ANY (ARRAY(SELECT notice_id FROM failed)) AND state = 'failed'
