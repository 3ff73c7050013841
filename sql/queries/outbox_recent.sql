-- The messages of the last minute, by whoever sent them. One message may have told several notices. What
-- was claimed and never settled may have been sent, and counts as if it was.
SELECT DISTINCT chat_id, message_id, (extract(epoch FROM now() - sent_at) * 1000)::bigint AS ago_millis
FROM notices
WHERE state = 'sent' AND sent_at > now() - interval '1 minute'
UNION ALL
SELECT DISTINCT chat_id, NULL::bigint, (extract(epoch FROM now() - claimed_at) * 1000)::bigint
FROM notices
WHERE state = 'pending' AND claimed_at > now() - interval '1 minute'
