-- The last of $3 waiting notices that follow the notice $2 of the chat $1, in the order of chats and notices;
-- no row when fewer follow.
SELECT chat_id, notice_id
FROM notices
WHERE state = 'pending' AND (chat_id, notice_id) > ($1, $2)
ORDER BY chat_id, notice_id
OFFSET $3::bigint - 1
LIMIT 1
