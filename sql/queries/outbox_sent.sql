-- Telegram has, or probably has ($4 says why), the message $3 with the notices $2. What a newer leader than $1 has
-- claimed is its own. By their keys, as in outbox_give_back.sql.
UPDATE notices
SET state = 'sent', sent_at = now(), message_id = $3, last_error = $4, not_before = NULL
WHERE notice_id = ANY ($2) AND claimed_by = $1 AND state || '' = 'pending'
