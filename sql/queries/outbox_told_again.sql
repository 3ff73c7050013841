-- One of the notices $1, which wait for a chat, can be told to one that once could not be written to: that it
-- failed there before does not stand in the way. Everything is looked up by key: OFFSET 0, and LATERAL with
-- LIMIT, keep the planner to that.
WITH waiting AS MATERIALIZED (
    SELECT delivery_id, store_id, role FROM notices WHERE notice_id = ANY ($1) OFFSET 0
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
