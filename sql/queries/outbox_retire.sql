-- The notices $1 wait for a chat although their order is over: nobody will be told of it any more.
-- By their keys, as in outbox_give_back.sql.
UPDATE notices
SET state = 'failed', last_error = 'nobody was subscribed while the order was open'
WHERE notice_id = ANY ($1) AND state || '' = 'no_chat'
RETURNING kind
