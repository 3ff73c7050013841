-- The moments of answers. Nobody waits for them, and one that a crash of the server loses counts as
-- unanswered, as it would a moment earlier: their transaction does not wait for the disk.
WITH lazily AS (
    SELECT set_config('synchronous_commit', 'off', true)
)
INSERT INTO order_answers (delivery_id, answered_at)
SELECT answer.delivery_id, answer.answered_at
FROM lazily, unnest($1::uuid[], $2::timestamptz[]) AS answer(delivery_id, answered_at)
ON CONFLICT (delivery_id) DO NOTHING
