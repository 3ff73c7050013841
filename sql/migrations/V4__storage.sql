-- What a hook costs: its rows are written once, and an order's row is updated in its place.

SET lock_timeout = '5s';

-- The moments of answers are rows of their own. Written into the wide row of the arrival they would write
-- it, and the entries of its indexes, a second time.
ALTER TABLE order_events RENAME TO order_arrivals;
ALTER TABLE order_arrivals RENAME CONSTRAINT order_events_pkey TO order_arrivals_pkey;
CREATE TABLE order_answers (
    delivery_id uuid        PRIMARY KEY,
    answered_at timestamptz NOT NULL
);
COMMENT ON TABLE order_answers IS 'When a created or changed was answered in time; without a row it counts as unanswered.';
INSERT INTO order_answers SELECT delivery_id, answered_at FROM order_arrivals WHERE answered_at IS NOT NULL;
ALTER TABLE order_arrivals
    DROP COLUMN answered_at,
    -- Stored as it was written: only this service reads it, and taking it apart costs more than all else.
    ALTER COLUMN notice TYPE text,
    SET (fillfactor = 100);
CREATE VIEW order_events AS
SELECT arrival.delivery_id, arrival.order_id, arrival.order_version, arrival.event, arrival.event_type,
       arrival.received_at, arrival.sm_timestamp, arrival.outcome, arrival.notes, arrival.errors,
       answer.answered_at, arrival.node, arrival.request_id, arrival.replay_of, arrival.replayed_by,
       arrival.body, arrival.notice
FROM order_arrivals AS arrival
LEFT JOIN order_answers AS answer ON answer.delivery_id = arrival.delivery_id;
COMMENT ON VIEW order_events IS 'Every arrival with its outcome and the moment of its answer; body is byte for byte until pruned.';

-- The same for the document: readers have the columns of the row and the view of its lines.
DROP VIEW order_positions;
ALTER TABLE orders
    ALTER COLUMN document TYPE text,
    ALTER COLUMN memory TYPE text;
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
CROSS JOIN LATERAL jsonb_array_elements(o.document::jsonb -> 'lines') AS l;
COMMENT ON VIEW order_positions IS 'The lines of every document; prices in kopecks. A removed line has the quantity 0.';

-- An index on a column that changes with every event, or with a condition on one, has every update of an
-- order write the entries of all indexes. A number is given once, and a conflict is never cleared.
DROP INDEX orders_announced, orders_conflict;
CREATE INDEX orders_announced ON orders (order_id) WHERE number IS NULL;
CREATE INDEX orders_conflict ON orders (order_id) WHERE conflict;

-- lz4 costs a fraction of what pglz does. A server that was built without it keeps its own way.
DO $$
BEGIN
    ALTER TABLE orders
        ALTER COLUMN document SET COMPRESSION lz4,
        ALTER COLUMN memory SET COMPRESSION lz4;
    ALTER TABLE order_arrivals
        ALTER COLUMN body SET COMPRESSION lz4,
        ALTER COLUMN notice SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    RAISE NOTICE 'this server has no lz4; wide columns are compressed by pglz';
END
$$;
