-- Bodies of the last day that can never be accepted, the newest first, with the number of those of the last
-- hour. Only the newest thousand are looked at: what SM repeats for ever is not read for ever.
SELECT delivery_id, order_id, event, received_at, errors,
       count(*) FILTER (WHERE received_at > now() - interval '1 hour') OVER () AS fresh
FROM (
    SELECT delivery_id, order_id, event, received_at, errors
    FROM order_arrivals
    WHERE outcome = 'rejected' AND received_at > now() - interval '1 day'
    ORDER BY received_at DESC
    LIMIT 1000
) AS newest
ORDER BY received_at DESC
LIMIT $1
