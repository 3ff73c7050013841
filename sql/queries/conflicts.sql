-- Orders that came to contradict themselves within the last day, the newest first, with the number of those
-- that are still being picked and did so within the last hour. Only the newest thousand arrivals with a note
-- are looked at: what SM repeats for ever is not read for ever.
WITH noted AS (
    SELECT order_id, received_at, notes
    FROM order_arrivals
    WHERE notes IS NOT NULL AND received_at > now() - interval '1 day'
    ORDER BY received_at DESC
    LIMIT 1000
),
found AS (
    SELECT order_id, max(received_at) AS found_at
    FROM noted
    WHERE EXISTS (SELECT FROM unnest(notes) AS note WHERE starts_with(note, 'conflict_'))
    GROUP BY order_id
)
SELECT o.order_id, o.store_id, o.status, found.found_at,
       count(*) FILTER (WHERE o.status IN ('new', 'paid') AND found.found_at > now() - interval '1 hour')
           OVER () AS fresh
FROM found
CROSS JOIN LATERAL (SELECT order_id, store_id, status FROM orders WHERE order_id = found.order_id LIMIT 1) AS o
ORDER BY found.found_at DESC, o.order_id
LIMIT $1
