-- Orders of which something came ten minutes to one day ago, and created has not come since. After the day
-- alarms forget them, too: nobody will create them any more. Only the newest 5000 such arrivals are looked at.
WITH parked AS (
    SELECT order_id
    FROM order_arrivals
    WHERE outcome = 'parked'
      AND received_at BETWEEN now() - interval '1 day' AND now() - interval '10 minutes'
    ORDER BY received_at DESC
    LIMIT 5000
)
SELECT o.order_id, o.updated_at, count(*) OVER () AS all
FROM (SELECT DISTINCT order_id FROM parked) AS known
CROSS JOIN LATERAL (
    SELECT order_id, updated_at FROM orders
    WHERE order_id = known.order_id AND number IS NULL AND status = 'announced'
    LIMIT 1
) AS o
ORDER BY o.updated_at DESC, o.order_id
LIMIT $1
