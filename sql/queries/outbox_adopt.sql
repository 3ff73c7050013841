-- Notices of open orders that wait for a chat, to the chat that subscribed first; a chat of both roles is
-- told once.
UPDATE notices n
SET chat_id = taken.chat_id, state = 'pending', last_error = NULL
FROM (
    SELECT DISTINCT ON (w.delivery_id, c.chat_id) w.notice_id, c.chat_id
    FROM notices w
    JOIN orders o ON o.order_id = w.order_id
    CROSS JOIN LATERAL (
        SELECT chat_id
        FROM chats
        WHERE role = w.role AND store_id IN (w.store_id, '*') AND disabled_at IS NULL
          AND NOT EXISTS (
              SELECT FROM notices told WHERE told.delivery_id = w.delivery_id AND told.chat_id = chats.chat_id
          )
        ORDER BY added_at, chat_id
        LIMIT 1
    ) AS c
    WHERE w.state = 'no_chat' AND o.status IN ('new', 'paid')
    ORDER BY w.delivery_id, c.chat_id, w.notice_id
) AS taken
WHERE n.notice_id = taken.notice_id AND n.state = 'no_chat'
