-- Chats that notices wait for although no subscription leads there: it ended, or Telegram refused the
-- chat, while a commit or a message was on its way.
SELECT waited_for.chat_id
FROM (SELECT DISTINCT chat_id FROM notices WHERE state = 'pending') AS waited_for
WHERE NOT EXISTS (
    SELECT FROM chats c WHERE c.chat_id = waited_for.chat_id AND c.role <> 'ops' AND c.disabled_at IS NULL
)
