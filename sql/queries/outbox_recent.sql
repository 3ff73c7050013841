-- The messages of the last minute, by whoever sent them. One message may have told several notices. What
-- was claimed and never settled may have been sent, and counts as if it was: each chat is told in order, so that the
-- first notice of such a message is the oldest of its chat.
SELECT DISTINCT chat_id, message_id, (extract(epoch FROM now() - sent_at) * 1000)::bigint AS ago_millis
FROM notices
WHERE state = 'sent' AND sent_at > now() - interval '1 minute'
UNION ALL
SELECT DISTINCT head.chat_id, NULL::bigint, (extract(epoch FROM now() - oldest.claimed_at) * 1000)::bigint
FROM outbox_heads AS head
CROSS JOIN LATERAL (
    SELECT claimed_at
    FROM notices
    -- A range, as in outbox_peek.sql.
    WHERE state = 'pending'
      AND (chat_id, notice_id) BETWEEN (head.chat_id, 0) AND (head.chat_id, 9223372036854775807)
    ORDER BY chat_id, notice_id
    LIMIT 100
) AS oldest
WHERE oldest.claimed_at > now() - interval '1 minute'
