-- The rows of a group commit as they travel: one array of records for each table, instead of one array for
-- each column. PostgreSQL takes an array of records apart once; thirty arrays of columns it takes apart one by
-- one and puts each aside, which cost more than writing the rows.
--
-- A node of an older build may still use a type while the next build brings a column: give the next type a name
-- of its own then, and drop this one in a later release.

SET lock_timeout = '5s';

CREATE TYPE group_commit_arrival AS (
    delivery_id   uuid,
    order_id      text,
    order_version bigint,
    event         text,
    event_type    text,
    received_at   timestamptz,
    sm_timestamp  timestamptz,
    outcome       text,
    notes         text[],
    errors        jsonb,
    request_id    text,
    replay_of     uuid,
    replayed_by   text,
    body          bytea,
    notice        text,
    notice_kind   text,
    store_id      text
);

CREATE TYPE group_commit_order AS (
    order_id             text,
    version              bigint,
    wants_number         boolean,
    store_id             text,
    status               text,
    closed               boolean,
    conflict             boolean,
    created_at           timestamptz,
    paid_at              timestamptz,
    shipped_at           timestamptz,
    delivered_at         timestamptz,
    cancelled_at         timestamptz,
    cancel_reason        text,
    delivery_from        timestamptz,
    delivery_to          timestamptz,
    total_price          bigint,
    total_discount_price bigint,
    comment              text,
    customer             jsonb,
    document             text,
    memory               text
);
COMMENT ON COLUMN group_commit_order.document IS 'Null: the row keeps its document and its customer.';

CREATE TYPE group_commit_stock AS (
    order_id   text,
    line       integer,
    store_id   text,
    product_id text,
    quantity   numeric,
    moved_at   timestamptz
);
