-- Stores whose open orders nobody is told about, by store and role. Only the newest hundred notices
-- of each are looked at: a store that has been without a chat for a year costs no more than one that has been
-- for a day.
SELECT waiting.store_id, waiting.role, open.notices, open.oldest_at
FROM stores_waiting_for_chat AS waiting
CROSS JOIN LATERAL (
    SELECT count(*) AS notices, min(newest.created_at) AS oldest_at
    FROM (
        SELECT order_id, created_at
        FROM notices
        -- A range, as in outbox_peek.sql.
        WHERE state = 'no_chat'
          AND (store_id, role, notice_id) BETWEEN (waiting.store_id, waiting.role, 0)
                                              AND (waiting.store_id, waiting.role, 9223372036854775807)
        ORDER BY store_id DESC, role DESC, notice_id DESC
        LIMIT 100
    ) AS newest
    JOIN orders o ON o.order_id = newest.order_id AND o.status IN ('new', 'paid')
) AS open
WHERE open.notices > 0
ORDER BY waiting.store_id, waiting.role
