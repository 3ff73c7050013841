-- A notice may end without ever having found a chat.

SET lock_timeout = '5s';

ALTER TABLE notices
    DROP CONSTRAINT notices_check,
    ADD CONSTRAINT notices_chat CHECK (CASE WHEN chat_id IS NULL THEN state IN ('no_chat', 'failed') ELSE state <> 'no_chat' END);
COMMENT ON COLUMN notices.claimed_by IS 'The epoch of the leader that is sending it, or has, without knowing whether it arrived; it is sent again as a possible repeat.';
COMMENT ON COLUMN notices.claimed_at IS 'Null when nothing is on its way.';
