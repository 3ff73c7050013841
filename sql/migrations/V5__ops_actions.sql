-- What operators did through the operations listener: who, when, what, and what came of it.

SET lock_timeout = '5s';

CREATE TABLE ops_actions (
    action_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    acted_at  timestamptz NOT NULL DEFAULT now(),
    operator  text        NOT NULL,
    action    text        NOT NULL CHECK (action IN ('replay', 'enable_chat')),
    subject   text        NOT NULL,
    node      text        NOT NULL,
    result    text
);
COMMENT ON COLUMN ops_actions.operator IS 'Who said to act, as the request named him.';
COMMENT ON COLUMN ops_actions.subject IS 'The arrival that was played again, or the chat.';
COMMENT ON COLUMN ops_actions.result IS 'Null while it is under way, and for good if the node died over it.';

-- The page looks for the newest notices without a chat, store by store, and must not read all of them.
DROP INDEX notices_waiting_for_chat;
CREATE INDEX notices_waiting_for_chat ON notices (store_id, role, notice_id) WHERE state = 'no_chat';
