-- One group commit: many events of as many orders in one statement, which is one transaction and one
-- round trip. Nothing of a commit is written unless its order still had the version it was judged by.
-- Answers the orders that it won; who is not among them has lost its version.
--
-- $arrivals, $node, $new_orders and $known_orders, $stock, $notices what staff are told, and $stores of which stores:
-- numbered in this order, without those of parts that are left out. What has an order id is sorted by it bytewise, so
-- that two nodes can never lock the same orders in opposite order: first all new ones, then all known ones.
--
-- A delivery that is stored already (a second try by nginx, or a commit whose outcome was unknown) fails the
-- statement by its unique key: passing over it would move the order without its event.
--
-- The parts between "only with" and "end" are left out of batches that have nothing of the kind: setting a
-- part up costs as much as several rows. For a commit that is alone, single values take the place of what is unnested
-- here; only its stock has several rows still.
WITH
-- only with new orders
added AS (
    INSERT INTO orders (
        order_id, version, number, store_id, status, closed, conflict,
        created_at, paid_at, shipped_at, delivered_at, cancelled_at,
        cancel_reason, delivery_from, delivery_to, total_price, total_discount_price, comment,
        customer, document, memory
    )
    SELECT order_id, version, CASE WHEN wants_number THEN nextval('order_numbers')::text END,
           store_id, status, closed, conflict,
           created_at, paid_at, shipped_at, delivered_at, cancelled_at,
           cancel_reason, delivery_from, delivery_to, total_price, total_discount_price, comment,
           customer, document, memory
    FROM unnest($new_orders::group_commit_order[]) AS next
    ON CONFLICT (order_id) DO NOTHING
    RETURNING order_id, number
),
-- end
-- only with known orders
moved AS (
    UPDATE orders AS o SET
        version = next.version,
        number = COALESCE(o.number, CASE WHEN next.wants_number THEN nextval('order_numbers')::text END),
        store_id = next.store_id,
        status = next.status,
        closed = next.closed,
        conflict = next.conflict,
        created_at = next.created_at,
        paid_at = next.paid_at,
        shipped_at = next.shipped_at,
        delivered_at = next.delivered_at,
        cancelled_at = next.cancelled_at,
        cancel_reason = next.cancel_reason,
        delivery_from = next.delivery_from,
        delivery_to = next.delivery_to,
        total_price = next.total_price,
        total_discount_price = next.total_discount_price,
        comment = next.comment,
        customer = CASE WHEN next.document IS NULL THEN o.customer ELSE next.customer END,
        document = COALESCE(next.document, o.document),
        memory = next.memory,
        updated_at = now()
    FROM unnest($known_orders::group_commit_order[]) AS next
    WHERE o.order_id = next.order_id AND o.version = next.version - 1
    RETURNING o.order_id, o.number
),
-- end
won AS (
-- only with new orders
    SELECT order_id, number FROM added
-- end
-- only with both
    UNION ALL
-- end
-- only with known orders
    SELECT order_id, number FROM moved
-- end
),
recorded AS (
    INSERT INTO order_arrivals (
        delivery_id, order_id, order_version, event, event_type, received_at, sm_timestamp,
        outcome, notes, errors, node, request_id, replay_of, replayed_by, body, notice
    )
    SELECT delivery_id, order_id, order_version, event, event_type, received_at, sm_timestamp,
           outcome, notes, errors, $node::text, request_id, replay_of, replayed_by, body, notice
    FROM unnest($arrivals::group_commit_event[]) AS arrival
    WHERE order_version IS NULL OR order_id IN (SELECT order_id FROM won)
)
-- only with stock
, left_the_store AS (
    INSERT INTO stock_movements (order_id, line, store_id, product_id, quantity, moved_at)
    SELECT stock.order_id, stock.line, stock.store_id, stock.product_id, -stock.quantity, stock.moved_at
    FROM unnest($stock::group_commit_stock[]) AS stock
    JOIN won ON won.order_id = stock.order_id
)
-- end
-- only with notices
, targets AS MATERIALIZED (
    -- Found once for each store: nearly every batch has several orders of one.
    SELECT store.store_id, target.role, target.chat_id
    FROM unnest($stores::text[]) AS store(store_id)
    CROSS JOIN LATERAL (
        -- A chat with several subscriptions is told once.
        (SELECT DISTINCT ON (chats.chat_id) chats.role, chats.chat_id
         FROM chats
         WHERE chats.store_id IN (store.store_id, '*') AND chats.role <> 'ops' AND chats.disabled_at IS NULL
         ORDER BY chats.chat_id, chats.role)
        UNION ALL
        -- A role without a chat keeps its notice for the first chat that subscribes.
        SELECT role.name, NULL
        FROM (VALUES ('pickers'), ('store')) AS role(name)
        WHERE NOT EXISTS (
            SELECT FROM chats
            WHERE chats.store_id IN (store.store_id, '*') AND chats.role = role.name AND chats.disabled_at IS NULL
        )
    ) AS target
), told AS (
    INSERT INTO notices (delivery_id, order_id, store_id, role, chat_id, kind, state)
    SELECT notice.delivery_id, notice.order_id, notice.store_id, targets.role, targets.chat_id,
           notice.kind, CASE WHEN targets.chat_id IS NULL THEN 'no_chat' ELSE 'pending' END
    FROM unnest($notices::group_commit_notice[]) AS notice
    JOIN won ON won.order_id = notice.order_id
    JOIN targets ON targets.store_id = notice.store_id
)
-- end
SELECT order_id, number FROM won
