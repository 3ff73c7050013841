-- The notices $1, which wait for a chat, to the chat that subscribed first; a chat of both roles is told once.
-- Looked up by key as in outbox_told_again.sql.
WITH waiting AS MATERIALIZED (
    SELECT notice_id, delivery_id, store_id, role FROM notices WHERE notice_id = ANY ($1) OFFSET 0
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
