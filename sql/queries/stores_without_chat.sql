-- Stores whose open orders nobody is told about, by store and role. Each store and role that ever waited
-- is found by one step in the index, and only its newest hundred notices are looked at: a store that has
-- been without a chat for a year costs no more than one that has been for a day.
WITH RECURSIVE waiting AS (
    (SELECT store_id, role FROM notices WHERE state = 'no_chat' ORDER BY store_id, role LIMIT 1)
    UNION ALL
    SELECT following.store_id, following.role
    FROM waiting
    CROSS JOIN LATERAL (
        SELECT store_id, role
        FROM notices
        WHERE state = 'no_chat' AND (store_id, role) > (waiting.store_id, waiting.role)
        ORDER BY store_id, role
        LIMIT 1
    ) AS following
)
SELECT waiting.store_id, waiting.role, open.notices, open.oldest_at
FROM waiting
CROSS JOIN LATERAL (
    SELECT count(*) AS notices, min(newest.created_at) AS oldest_at
    FROM (
        SELECT order_id, created_at
        FROM notices
        WHERE state = 'no_chat' AND store_id = waiting.store_id AND role = waiting.role
        ORDER BY notice_id DESC
        LIMIT 100
    ) AS newest
    JOIN orders o ON o.order_id = newest.order_id AND o.status IN ('new', 'paid')
) AS open
WHERE open.notices > 0
ORDER BY waiting.store_id, waiting.role
