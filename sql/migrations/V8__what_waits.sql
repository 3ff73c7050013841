-- What is looked at again and again costs the same however much waits: no statement of the sender, of the
-- alarms or of the page reads a whole backlog.

SET lock_timeout = '5s';

-- The oldest notice of each chat that waits to be sent. One step in the index finds the next chat.
CREATE VIEW outbox_heads AS
WITH RECURSIVE head AS (
    (
        SELECT chat_id, notice_id, created_at, attempts, not_before
        FROM notices
        WHERE state = 'pending'
        ORDER BY chat_id, notice_id
        LIMIT 1
    )
    UNION ALL
    SELECT following.*
    FROM head
    CROSS JOIN LATERAL (
        SELECT chat_id, notice_id, created_at, attempts, not_before
        FROM notices
        WHERE state = 'pending' AND chat_id > head.chat_id
        ORDER BY chat_id, notice_id
        LIMIT 1
    ) AS following
)
SELECT chat_id, notice_id, created_at, attempts, not_before FROM head;
COMMENT ON VIEW outbox_heads IS 'The oldest notice that waits for each chat; for this service only.';

-- A store without a chat gathers notices for a day. Its newest ones are found without the others, and those
-- whose time is over without any that are younger.
DROP INDEX notices_waiting_for_chat;
CREATE INDEX notices_waiting_for_chat ON notices (store_id, role, notice_id) WHERE state = 'no_chat';
CREATE INDEX notices_waiting_since ON notices (created_at) WHERE state = 'no_chat';

CREATE VIEW stores_waiting_for_chat AS
WITH RECURSIVE waiting AS (
    (
        SELECT store_id, role
        FROM notices
        WHERE state = 'no_chat'
        ORDER BY store_id, role, notice_id
        LIMIT 1
    )
    UNION ALL
    SELECT following.*
    FROM waiting
    CROSS JOIN LATERAL (
        SELECT store_id, role
        FROM notices
        WHERE state = 'no_chat' AND (store_id, role) > (waiting.store_id, waiting.role)
        ORDER BY store_id, role, notice_id
        LIMIT 1
    ) AS following
)
SELECT store_id, role FROM waiting;
COMMENT ON VIEW stores_waiting_for_chat IS 'Every store and role of which a notice waits for a chat; for this service only.';

-- Every created is looked up once when SM has given up repeating it, and not for an hour again and again.
CREATE TABLE alarm_progress (
    kind         text        PRIMARY KEY,
    looked_until timestamptz NOT NULL
);
COMMENT ON COLUMN alarm_progress.looked_until IS 'What arrived before it was looked at by a leader.';
