-- What waits for chats that may not be written to any more ($1, with the reason $2). Where nobody else of
-- the role is told, notices of open orders wait again for a chat, so that they are shown and told to
-- whoever subscribes next; the others have failed. What the leader of this epoch ($3) is sending at this
-- moment is left to itself.
UPDATE notices n
SET state = CASE WHEN lost.waits THEN 'no_chat' ELSE 'failed' END,
    chat_id = CASE WHEN lost.waits THEN NULL ELSE n.chat_id END,
    claimed_by = NULL, claimed_at = NULL, not_before = NULL, last_error = $2
FROM (
    SELECT w.notice_id,
           EXISTS (SELECT FROM orders o WHERE o.order_id = w.order_id AND o.status IN ('new', 'paid'))
           AND NOT EXISTS (
               SELECT FROM chats c
               WHERE c.role = w.role AND c.store_id IN (w.store_id, '*') AND c.disabled_at IS NULL
                 AND c.chat_id <> w.chat_id
           ) AS waits
    FROM notices w
    WHERE w.state = 'pending' AND w.chat_id = ANY ($1)
      AND NOT (w.claimed_at > now() - interval '5 minutes' AND w.claimed_by = $3::bigint) IS TRUE
) AS lost
WHERE n.notice_id = lost.notice_id AND n.state = 'pending'
RETURNING n.kind, n.state
