-- A notice of an open order that waits for a chat can be told to one that once could not be written to:
-- that it failed there before does not stand in the way.
DELETE FROM notices failed
USING notices w, orders o
WHERE w.state = 'no_chat' AND o.order_id = w.order_id AND o.status IN ('new', 'paid')
  AND failed.delivery_id = w.delivery_id AND failed.chat_id IS NOT NULL AND failed.state = 'failed'
  AND EXISTS (
      SELECT FROM chats c
      WHERE c.chat_id = failed.chat_id AND c.role = w.role AND c.store_id IN (w.store_id, '*')
        AND c.disabled_at IS NULL
  )
