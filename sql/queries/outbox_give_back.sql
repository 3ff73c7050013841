-- What waits for chats that no subscription covers any more, with the reason $5: what follows the notice $2 of
-- the chat $1, in the order of chats and notices, up to the notice $4 of the chat $3. Where no other chat of the role was told the same, notices of open orders wait again for a
-- chat, so that they are shown and told to whoever subscribes next; the others have failed. That another
-- chat is subscribed is not enough: it may have come later. What the leader is sending at this moment is
-- left to itself, unless it is the leader who says so ($6).
WITH lost AS MATERIALIZED (
    SELECT w.notice_id, w.order_id, w.delivery_id, w.chat_id, w.store_id, w.role
    FROM notices w
    LEFT JOIN LATERAL (
        SELECT true AS yes
        FROM chats c
        WHERE c.chat_id = w.chat_id AND c.role <> 'ops' AND c.store_id IN (w.store_id, '*') AND c.disabled_at IS NULL
        LIMIT 1
    ) AS is_covered ON true
    WHERE w.state = 'pending' AND (w.chat_id, w.notice_id) > ($1, $2) AND (w.chat_id, w.notice_id) <= ($3, $4)
      AND is_covered.yes IS NULL
      AND ($6 OR (w.claimed_at > now() - interval '5 minutes'
                  AND w.claimed_by = (SELECT epoch FROM sender_leader)) IS NOT TRUE)
),
-- The limits keep the lookups of history to one key each.
judged AS MATERIALIZED (
    SELECT lost.notice_id, COALESCE(o.status IN ('new', 'paid'), false) AND others.are_told IS NULL AS waits
    FROM lost
    LEFT JOIN LATERAL (SELECT status FROM orders WHERE order_id = lost.order_id LIMIT 1) AS o ON true
    LEFT JOIN LATERAL (
        SELECT true AS are_told
        FROM chats c
        CROSS JOIN LATERAL (
            SELECT
            FROM notices told
            WHERE told.delivery_id = lost.delivery_id AND told.chat_id = c.chat_id AND told.state IN ('pending', 'sent')
            LIMIT 1
        ) AS t
        WHERE c.role = lost.role AND c.store_id IN (lost.store_id, '*') AND c.disabled_at IS NULL
          AND c.chat_id <> lost.chat_id
        LIMIT 1
    ) AS others ON true
)
-- By its key, not by its state: a plan made while nothing waited would go through all that waits.
UPDATE notices n
SET state = CASE WHEN judged.waits THEN 'no_chat' ELSE 'failed' END,
    chat_id = CASE WHEN judged.waits THEN NULL ELSE n.chat_id END,
    claimed_by = NULL, claimed_at = NULL, not_before = NULL, last_error = $5
FROM judged
WHERE n.notice_id = judged.notice_id AND n.state || '' = 'pending'
RETURNING n.kind, n.state
