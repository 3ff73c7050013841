-- Who is told, the outbox, and who sends.

SET lock_timeout = '5s';

-- A store's subscribers. The store '*' means every store.
CREATE TABLE chats (
    store_id        text        NOT NULL,
    role            text        NOT NULL CHECK (role IN ('pickers', 'store', 'ops')),
    chat_id         bigint      NOT NULL,
    added_at        timestamptz NOT NULL DEFAULT now(),
    disabled_at     timestamptz,
    disabled_reason text,
    PRIMARY KEY (store_id, role, chat_id)
);
COMMENT ON COLUMN chats.disabled_at IS 'Set when Telegram says that the bot may not write there any more.';
CREATE INDEX chats_by_chat ON chats (chat_id);

-- One row per notice and chat; chat_id is null while no chat is subscribed.
CREATE TABLE notices (
    notice_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery_id uuid        NOT NULL,
    order_id    text COLLATE "C" NOT NULL,
    store_id    text        NOT NULL,
    role        text        NOT NULL CHECK (role IN ('pickers', 'store')),
    chat_id     bigint,
    kind        text        NOT NULL CHECK (kind IN ('new', 'changed', 'cancelled')),
    state       text        NOT NULL CHECK (state IN ('pending', 'sent', 'failed', 'no_chat')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    claimed_by  bigint,
    claimed_at  timestamptz,
    sent_at     timestamptz,
    message_id  bigint,
    attempts    integer     NOT NULL DEFAULT 0,
    not_before  timestamptz,
    last_error  text,
    CHECK (CASE WHEN chat_id IS NULL THEN state IN ('no_chat', 'failed') ELSE state <> 'no_chat' END)
) WITH (fillfactor = 70);
COMMENT ON COLUMN notices.delivery_id IS 'The event whose facts (order_events.notice) are told.';
COMMENT ON COLUMN notices.claimed_by IS 'The epoch of the leader that is sending it, or has, without knowing whether it arrived; it is sent again as a possible repeat.';
COMMENT ON COLUMN notices.claimed_at IS 'Null when nothing is on its way.';
-- One event is told to a chat once, whatever the roles and stores it subscribed to.
CREATE UNIQUE INDEX notices_once ON notices (delivery_id, chat_id) WHERE chat_id IS NOT NULL;
CREATE INDEX notices_pending ON notices (chat_id, notice_id) WHERE state = 'pending';
CREATE INDEX notices_waiting_for_chat ON notices (store_id, role) WHERE state = 'no_chat';
-- A new leader paces from what was sent in the last minute. Its condition is not the state: the planner
-- would read it whole to find the sent notices of one order.
CREATE INDEX notices_sent ON notices (sent_at) WHERE sent_at IS NOT NULL;
CREATE INDEX notices_order ON notices (order_id);

-- The one sender of the pool: holder of the advisory lock, its epoch and its sign of life.
CREATE TABLE sender_leader (
    only_row    boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch       bigint      NOT NULL DEFAULT 0,
    node        text,
    backend_pid integer,
    renewed_at  timestamptz
);
INSERT INTO sender_leader DEFAULT VALUES;

-- One-time codes with which a chat subscribes by itself (/start CODE). Only their digests are kept.
CREATE TABLE chat_invites (
    code_sha256 bytea       PRIMARY KEY,
    store_id    text        NOT NULL,
    role        text        NOT NULL CHECK (role IN ('pickers', 'store', 'ops')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    used_by     bigint
);
COMMENT ON COLUMN chat_invites.used_by IS 'The chat that has subscribed with it.';

-- What operations were told, so that each thing is told once and again only when it lasts.
CREATE TABLE ops_alarms (
    kind    text        NOT NULL,
    subject text        NOT NULL,
    told_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, subject)
);
