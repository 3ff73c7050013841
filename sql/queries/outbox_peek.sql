-- What waits for chats that may be written to: for each of them its oldest notices in their order. First
-- come chats that had no turn lately, the one that has waited longest first; then the others ($4), in turn:
-- however much waits for many chats, a new order of another one does not wait behind it. A chat whose oldest
-- notice must still wait is left out whole, so that nothing overtakes it. One busy chat cannot hide the
-- others: each is looked up by its own index range, and rows are found by their state, never by "id > the last
-- one": ids commit out of order.
WITH due AS (
    SELECT head.chat_id, row_number() OVER (ORDER BY served.turn NULLS FIRST, head.notice_id) AS place
    FROM outbox_heads AS head
    CROSS JOIN LATERAL (
        SELECT
        FROM chats
        WHERE chat_id = head.chat_id AND role <> 'ops' AND disabled_at IS NULL
        LIMIT 1
    ) AS subscribed
    LEFT JOIN unnest($4::bigint[]) WITH ORDINALITY AS served(chat_id, turn) ON served.chat_id = head.chat_id
    WHERE head.chat_id <> ALL ($1) AND (head.not_before IS NULL OR head.not_before <= now())
    ORDER BY place
    LIMIT $2
),
-- The limits keep these lookups by key: a plan made while the tables were empty would read them whole. Rows of
-- one chat are asked for as a range: with `chat_id = ` the planner may go through all notices by their id.
oldest AS MATERIALIZED (
    SELECT due.place, n.*, o.number, o.status
    FROM due
    CROSS JOIN LATERAL (
        SELECT *
        FROM notices
        WHERE state = 'pending'
          AND (chat_id, notice_id) BETWEEN (due.chat_id, 0) AND (due.chat_id, 9223372036854775807)
        ORDER BY chat_id, notice_id
        LIMIT $3
    ) AS n
    LEFT JOIN LATERAL (SELECT number, status FROM orders WHERE order_id = n.order_id LIMIT 1) AS o ON true
),
-- Of an order that is not wanted any more all comes that waits, however far apart: it is told in one line.
-- OFFSET 0 keeps the lookup to the index by order.
cancelled AS (
    SELECT came.place, n.*, came.number, came.status
    FROM oldest came
    CROSS JOIN LATERAL (
        SELECT w.* FROM (SELECT * FROM notices WHERE order_id = came.order_id OFFSET 0) AS w
        WHERE w.state = 'pending' AND w.chat_id = came.chat_id AND w.notice_id > came.notice_id
    ) AS n
    WHERE came.kind = 'new' AND came.status = 'cancelled'
),
waiting AS (
    SELECT * FROM oldest
    UNION
    SELECT * FROM cancelled
)
SELECT n.notice_id, n.chat_id, n.order_id, n.number, n.store_id, n.kind, e.notice, n.created_at, n.attempts,
       n.claimed_by IS NOT NULL AS maybe_sent,
       (extract(epoch FROM now() - n.created_at) * 1000)::bigint AS waited_millis,
       -- OFFSET 0 as above: by its chat alone it would read all of another one.
       (SELECT first.message_id
        FROM (SELECT chat_id, kind, state, message_id FROM notices WHERE order_id = n.order_id OFFSET 0) AS first
        WHERE first.chat_id = n.chat_id AND first.kind = 'new' AND first.state = 'sent'
        LIMIT 1) AS first_message_id
FROM waiting n
LEFT JOIN LATERAL (SELECT notice FROM order_events WHERE delivery_id = n.delivery_id LIMIT 1) AS e ON true
ORDER BY n.place, n.notice_id
