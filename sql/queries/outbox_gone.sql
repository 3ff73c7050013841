-- Up to $1 chats for which notices wait although no subscription of theirs is left, and what Telegram said if
-- it was Telegram who ended it.
SELECT head.chat_id, ended.disabled_reason
FROM outbox_heads AS head
LEFT JOIN LATERAL (
    SELECT true AS yes FROM chats WHERE chat_id = head.chat_id AND role <> 'ops' AND disabled_at IS NULL LIMIT 1
) AS subscribed ON true
LEFT JOIN LATERAL (
    SELECT disabled_reason FROM chats WHERE chat_id = head.chat_id AND disabled_at IS NOT NULL LIMIT 1
) AS ended ON true
WHERE subscribed.yes IS NULL
LIMIT $1
