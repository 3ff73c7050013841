-- One group commit: many events of as many orders in one statement, which is one transaction and one
-- round trip. Nothing of a commit is written unless its order still had the version it was judged by.
--
-- Every array has one element per commit, sorted by order id bytewise, so that two nodes can never
-- lock the same orders in opposite order.
--
-- The parts between "only with" and "end" are left out of batches that have nothing of the kind: setting a
-- part up costs as much as two rows, and most hooks have neither stock nor notices.
WITH input AS (
    SELECT *
    FROM unnest(
        $1::int[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],
        $8::text[], $9::text[], $10::text[], $11::text[], $12::uuid[], $13::text[], $14::bytea[], $15::text[],
        $16::text[], $17::bigint[], $18::boolean[], $19::text[], $20::text[], $21::boolean[], $22::boolean[],
        $23::timestamptz[], $24::timestamptz[], $25::timestamptz[], $26::timestamptz[], $27::timestamptz[],
        $28::text[], $29::timestamptz[], $30::timestamptz[], $31::bigint[], $32::bigint[], $33::text[],
        $34::text[], $35::text[], $36::text[]
    ) AS i(
        position, delivery_id, order_id, event, event_type, received_at, sm_timestamp,
        outcome, notes, errors, request_id, replay_of, replayed_by, body, notice,
        notice_kind, version, wants_number, store_id, status, closed, conflict,
        created_at, paid_at, shipped_at, delivered_at, cancelled_at,
        cancel_reason, delivery_from, delivery_to, total_price, total_discount_price, comment,
        customer, document, memory
    )
),
-- A delivery that is stored already (a second try by nginx, or a commit whose outcome was unknown)
-- must not move its order again.
fresh AS (
    SELECT *
    FROM input
    WHERE NOT EXISTS (SELECT FROM order_arrivals stored WHERE stored.delivery_id = input.delivery_id)
),
won AS (
    INSERT INTO orders AS o (
        order_id, version, number, store_id, status, closed, conflict,
        created_at, paid_at, shipped_at, delivered_at, cancelled_at,
        cancel_reason, delivery_from, delivery_to, total_price, total_discount_price, comment,
        customer, document, memory
    )
    SELECT order_id, version, CASE WHEN wants_number THEN nextval('order_numbers')::text END,
           store_id, status, closed, conflict,
           created_at, paid_at, shipped_at, delivered_at, cancelled_at,
           cancel_reason, delivery_from, delivery_to, total_price, total_discount_price, comment,
           customer::jsonb, document, memory
    FROM fresh
    WHERE version IS NOT NULL
    ORDER BY order_id COLLATE "C"
    ON CONFLICT (order_id) DO UPDATE SET
        version = EXCLUDED.version,
        number = COALESCE(o.number, EXCLUDED.number),
        store_id = EXCLUDED.store_id,
        status = EXCLUDED.status,
        closed = EXCLUDED.closed,
        conflict = EXCLUDED.conflict,
        created_at = EXCLUDED.created_at,
        paid_at = EXCLUDED.paid_at,
        shipped_at = EXCLUDED.shipped_at,
        delivered_at = EXCLUDED.delivered_at,
        cancelled_at = EXCLUDED.cancelled_at,
        cancel_reason = EXCLUDED.cancel_reason,
        delivery_from = EXCLUDED.delivery_from,
        delivery_to = EXCLUDED.delivery_to,
        total_price = EXCLUDED.total_price,
        total_discount_price = EXCLUDED.total_discount_price,
        comment = EXCLUDED.comment,
        customer = EXCLUDED.customer,
        document = EXCLUDED.document,
        memory = EXCLUDED.memory,
        updated_at = now()
    WHERE o.version = EXCLUDED.version - 1
    RETURNING o.order_id, o.number
),
-- What may be written: events that touch no order row, and those whose order this statement won.
accepted AS (
    SELECT fresh.*, won.number
    FROM fresh
    LEFT JOIN won ON won.order_id = fresh.order_id
    WHERE fresh.version IS NULL OR won.order_id IS NOT NULL
),
recorded AS (
    INSERT INTO order_arrivals (
        delivery_id, order_id, order_version, event, event_type, received_at, sm_timestamp,
        outcome, notes, errors, node, request_id, replay_of, replayed_by, body, notice
    )
    SELECT delivery_id, order_id, version, event, event_type, received_at, sm_timestamp,
           outcome, string_to_array(notes, ','), errors::jsonb, $37::text, request_id, replay_of, replayed_by,
           body, notice
    FROM accepted
    -- Another node that stores the same delivery at this very moment fails the statement: it is sent again,
    -- and then the delivery is not fresh. Passing over it here would move the order without its event.
)
-- only with stock
, moved AS (
    INSERT INTO stock_movements (order_id, line, store_id, product_id, quantity, moved_at)
    SELECT accepted.order_id, stock.line, stock.store_id, stock.product_id, -stock.quantity, accepted.received_at
    FROM unnest($38::int[], $39::int[], $40::text[], $41::text[], $42::numeric[])
        AS stock(position, line, store_id, product_id, quantity)
    JOIN accepted ON accepted.position = stock.position
)
-- end
-- only with notices
, told AS (
    INSERT INTO notices (delivery_id, order_id, store_id, role, chat_id, kind, state)
    SELECT accepted.delivery_id, accepted.order_id, accepted.store_id, target.role, target.chat_id,
           accepted.notice_kind, CASE WHEN target.chat_id IS NULL THEN 'no_chat' ELSE 'pending' END
    FROM accepted
    CROSS JOIN LATERAL (
        -- A chat with several subscriptions is told once.
        (SELECT DISTINCT ON (chats.chat_id) chats.role, chats.chat_id
         FROM chats
         WHERE chats.store_id IN (accepted.store_id, '*') AND chats.role <> 'ops' AND chats.disabled_at IS NULL
         ORDER BY chats.chat_id, chats.role)
        UNION ALL
        -- A role without a chat keeps its notice for the first chat that subscribes.
        SELECT role.name, NULL
        FROM (VALUES ('pickers'), ('store')) AS role(name)
        WHERE NOT EXISTS (
            SELECT FROM chats
            WHERE chats.store_id IN (accepted.store_id, '*') AND chats.role = role.name AND chats.disabled_at IS NULL
        )
    ) AS target
    WHERE accepted.notice_kind IS NOT NULL
    RETURNING delivery_id, state
),
waiting AS (
    SELECT delivery_id, count(*) AS notices FROM told WHERE state = 'pending' GROUP BY delivery_id
)
-- end
SELECT input.position,
       fresh.position IS NOT NULL    AS is_fresh,
       accepted.position IS NOT NULL AS is_accepted,
       accepted.number
-- only with notices
     , COALESCE(waiting.notices, 0)  AS notices
-- end
FROM input
LEFT JOIN fresh ON fresh.position = input.position
LEFT JOIN accepted ON accepted.position = input.position
-- only with notices
LEFT JOIN waiting ON waiting.delivery_id = input.delivery_id
-- end
