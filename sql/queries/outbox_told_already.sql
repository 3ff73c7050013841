-- Notices of open orders that wait for a chat of a role, while a chat of that role was told the same: it
-- subscribed to both roles and is told once.
DELETE FROM notices n
USING orders o
WHERE n.state = 'no_chat' AND o.order_id = n.order_id AND o.status IN ('new', 'paid')
  AND EXISTS (
      SELECT FROM chats c
      JOIN notices told ON told.chat_id = c.chat_id AND told.delivery_id = n.delivery_id
                             AND told.state IN ('pending', 'sent')
      WHERE c.role = n.role AND c.store_id IN (n.store_id, '*') AND c.disabled_at IS NULL
  )
