-- Of the notices $1, which wait for a chat of a role, those whose event a chat of that role was told: it
-- subscribed to both roles and is told once. Looked up by key as in outbox_told_again.sql.
WITH waiting AS MATERIALIZED (
    SELECT notice_id, delivery_id, store_id, role FROM notices WHERE notice_id = ANY ($1) OFFSET 0
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
