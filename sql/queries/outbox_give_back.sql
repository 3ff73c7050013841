-- What waits for chats that no subscription covers any more: for one chat ($1), or for all (null), with the
-- reason $2. Where no other chat of the role was told the same, notices of open orders wait again for a
-- chat, so that they are shown and told to whoever subscribes next; the others have failed. That another
-- chat is subscribed is not enough: it may have come later. What the leader is sending at this moment is
-- left to itself, unless it is the leader who says so ($3).
UPDATE notices n
SET state = CASE WHEN lost.waits THEN 'no_chat' ELSE 'failed' END,
    chat_id = CASE WHEN lost.waits THEN NULL ELSE n.chat_id END,
    claimed_by = NULL, claimed_at = NULL, not_before = NULL, last_error = $2
FROM (
    SELECT w.notice_id,
           EXISTS (SELECT FROM orders o WHERE o.order_id = w.order_id AND o.status IN ('new', 'paid'))
           AND NOT EXISTS (
               SELECT FROM chats c
               JOIN notices told ON told.chat_id = c.chat_id AND told.delivery_id = w.delivery_id
                                AND told.state IN ('pending', 'sent')
               WHERE c.role = w.role AND c.store_id IN (w.store_id, '*') AND c.disabled_at IS NULL
                 AND c.chat_id <> w.chat_id
           ) AS waits
    FROM notices w
    WHERE w.state = 'pending' AND ($1::bigint IS NULL OR w.chat_id = $1)
      AND NOT EXISTS (
          SELECT FROM chats c
          WHERE c.chat_id = w.chat_id AND c.role <> 'ops' AND c.store_id IN (w.store_id, '*') AND c.disabled_at IS NULL
      )
      AND ($3 OR (w.claimed_at > now() - interval '5 minutes'
                  AND w.claimed_by = (SELECT epoch FROM sender_leader)) IS NOT TRUE)
) AS lost
WHERE n.notice_id = lost.notice_id AND n.state = 'pending'
RETURNING n.kind, n.state
