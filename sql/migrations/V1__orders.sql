-- The order document, its history, the stock ledger and the outbox.
-- Names that other tools rely on are listed in ARCHITECTURE.md ("Database contract").
-- Money is bigint kopecks; amounts are numeric(12,3); times are timestamptz.

SET lock_timeout = '5s';

CREATE SEQUENCE order_numbers START 1000;
COMMENT ON SEQUENCE order_numbers IS 'The partner''s order numbers; gaps are normal, a number is never given twice.';

-- One order = one row = one document. Sorted and compared bytewise, so that every node locks the
-- rows of a batch in the same order.
CREATE TABLE orders (
    order_id             text COLLATE "C" PRIMARY KEY,
    version              bigint      NOT NULL CHECK (version > 0),
    number               text        UNIQUE,
    store_id             text,
    status               text        NOT NULL
        CHECK (status IN ('announced', 'new', 'paid', 'shipped', 'delivered', 'cancelled')),
    closed               boolean     NOT NULL,
    conflict             boolean     NOT NULL,
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
    document             jsonb,
    memory               jsonb       NOT NULL,
    updated_at           timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
COMMENT ON COLUMN orders.version IS 'Raised by every judged event; a write commits only from the version it was judged by.';
COMMENT ON COLUMN orders.total_price IS 'Kopecks.';
COMMENT ON COLUMN orders.total_discount_price IS 'Kopecks.';
COMMENT ON COLUMN orders.document IS 'The lines and everything else that was ordered; null while only later events are known.';
COMMENT ON COLUMN orders.memory IS 'What the rules of repeats and disorder remember (protocol section 5).';

-- Operations look for these; both are few at any time.
CREATE INDEX orders_announced ON orders (updated_at) WHERE status = 'announced';
CREATE INDEX orders_conflict ON orders (updated_at) WHERE conflict;

CREATE VIEW order_positions AS
SELECT o.order_id,
       (l ->> 'line')::integer                              AS line,
       l ->> 'product_id'                                   AS product_id,
       l ->> 'name'                                         AS name,
       (l ->> 'quantity')::numeric(12, 3)                   AS quantity,
       (l ->> 'original_quantity')::numeric(12, 3)          AS original_quantity,
       (l -> 'prices' ->> 'price')::bigint                  AS price,
       (l -> 'prices' ->> 'discount_price')::bigint         AS discount_price,
       (l -> 'prices' ->> 'total_price')::bigint            AS total_price,
       (l -> 'prices' ->> 'total_discount_price')::bigint   AS total_discount_price,
       (l ->> 'weight_grams')::numeric                      AS weight_grams,
       l ->> 'replaced_by'                                  AS replaced_by
FROM orders o
CROSS JOIN LATERAL jsonb_array_elements(o.document -> 'lines') AS l;
COMMENT ON VIEW order_positions IS 'The lines of every document; prices in kopecks. A removed line has the quantity 0.';

-- Everything an authenticated caller sent, byte for byte, with what was decided on it.
CREATE TABLE order_events (
    delivery_id   uuid        PRIMARY KEY,
    order_id      text COLLATE "C",
    order_version bigint,
    event         text        NOT NULL,
    event_type    text,
    received_at   timestamptz NOT NULL,
    sm_timestamp  timestamptz,
    outcome       text        NOT NULL
        CHECK (outcome IN ('applied', 'duplicate', 'parked', 'ignored', 'rejected')),
    notes         text[],
    errors        jsonb,
    answered_at   timestamptz,
    node          text        NOT NULL,
    request_id    text,
    replay_of     uuid,
    replayed_by   text,
    body          bytea,
    notice        jsonb
) WITH (fillfactor = 90);
COMMENT ON COLUMN order_events.event IS 'The canonical event, or unreadable.';
COMMENT ON COLUMN order_events.event_type IS 'The name as SM sent it.';
COMMENT ON COLUMN order_events.order_version IS 'The version that the order had after it; null when it changed no row.';
COMMENT ON COLUMN order_events.answered_at IS 'When a created or changed was answered in time; null counts as unanswered.';
COMMENT ON COLUMN order_events.body IS 'Null once pruned.';
COMMENT ON COLUMN order_events.notice IS 'The facts that staff are told of it; null when there are none or once pruned.';
CREATE INDEX order_events_order ON order_events (order_id, order_version);
CREATE INDEX order_events_received ON order_events USING brin (received_at);
-- What pruning still has to do; a row leaves it when its body is forgotten.
CREATE INDEX order_events_bodies ON order_events (received_at) WHERE body IS NOT NULL;
CREATE INDEX order_events_rejected ON order_events (received_at) WHERE outcome = 'rejected';

CREATE TABLE stock_imports (
    import_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file_name   text        NOT NULL,
    sha256      bytea       NOT NULL UNIQUE,
    row_count   bigint      NOT NULL,
    imported_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE stock_imports IS 'Files of received goods; the digest keeps a file from entering twice.';

-- The ledger: receipts positive and without order, write-offs negative with one. Rows are never changed.
CREATE TABLE stock_movements (
    movement_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id    text COLLATE "C",
    line        integer,
    import_id   bigint REFERENCES stock_imports,
    store_id    text           NOT NULL,
    product_id  text           NOT NULL,
    quantity    numeric(12, 3) NOT NULL CHECK (quantity <> 0),
    moved_at    timestamptz    NOT NULL DEFAULT now(),
    UNIQUE (order_id, line),
    CHECK ((order_id IS NULL) = (line IS NULL)),
    CHECK (order_id IS NULL OR quantity < 0)
);
CREATE INDEX stock_movements_product ON stock_movements (store_id, product_id) INCLUDE (quantity);

CREATE VIEW stock_balances AS
SELECT store_id, product_id, sum(quantity) AS quantity
FROM stock_movements
GROUP BY store_id, product_id;
COMMENT ON VIEW stock_balances IS 'A sum over the ledger, so that nothing ever locks a balance.';
