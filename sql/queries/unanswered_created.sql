-- Looks at the next $2 arrivals for a created that SM never had an answer to, and remembers it in ops_alarms as
-- not told: SM has probably cancelled an order that staff are picking (protocol section 5, rule 9).
-- Every arrival is looked at once, when SM has given up ($1: how long it repeats a hook): what nobody looked at
-- is made up for one hour. Only bodies of that hour are needed, which have not been forgotten: their index finds
-- them.
WITH progress AS MATERIALIZED (
    SELECT max(looked_until) AS looked_until, now() - ($1::bigint + 3600) * interval '1 second' AS earliest
    FROM alarm_progress
    WHERE kind = 'unanswered_created'
),
arrived AS MATERIALIZED (
    SELECT delivery_id, order_id, event, received_at, outcome, replay_of
    FROM order_arrivals
    WHERE body IS NOT NULL
      AND received_at >= (SELECT GREATEST(looked_until, earliest) FROM progress)
      AND received_at <= now() - $1::bigint * interval '1 second'
    ORDER BY received_at
    LIMIT $2
),
looked AS (
    -- Nodes' clocks differ, and a commit takes a moment: what may still come is looked at again.
    INSERT INTO alarm_progress AS known (kind, looked_until)
    SELECT 'unanswered_created',
           CASE WHEN count(*) < $2 THEN now() - ($1::bigint + 10) * interval '1 second' ELSE max(received_at) END
    FROM arrived
    -- A leader of before that is late takes nothing back.
    ON CONFLICT (kind) DO UPDATE SET looked_until = GREATEST(known.looked_until, EXCLUDED.looked_until)
),
unanswered AS MATERIALIZED (
    SELECT arrived.order_id
    FROM arrived
    LEFT JOIN LATERAL (
        SELECT true AS is_answered
        FROM order_answers
        WHERE delivery_id = arrived.delivery_id
        LIMIT 1
    ) AS answer ON true
    WHERE arrived.event = 'created' AND arrived.outcome = 'applied' AND arrived.replay_of IS NULL
      AND answer.is_answered IS NULL
),
remembered AS (
    INSERT INTO ops_alarms (kind, subject)
    SELECT DISTINCT 'unanswered_created', order_id FROM unanswered
    ON CONFLICT (kind, subject) DO NOTHING
)
SELECT (SELECT count(*) FROM arrived) AS looked_at,
       COALESCE(looked_until < earliest, false) AS has_left_out
FROM progress
