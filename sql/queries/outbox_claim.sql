-- Marks notices of one chat as being sent by this epoch: all of them, or none when one of them waits for
-- this chat no more. The row of the leader is locked, not only read: a takeover that runs at the same
-- moment comes before or after this statement, never in its middle.
WITH leader AS MATERIALIZED (
    SELECT epoch FROM sender_leader WHERE epoch = $1 FOR SHARE
),
mine AS MATERIALIZED (
    -- OFFSET 0 keeps the lookup to the keys: by its chat it would go through all that waits for it.
    SELECT notice_id
    FROM (
        SELECT notice_id, chat_id, state
        FROM notices
        WHERE notice_id = ANY ($3)
        ORDER BY notice_id
        OFFSET 0
        FOR UPDATE
    ) AS named
    WHERE chat_id = $2 AND state = 'pending'
)
UPDATE notices n
SET claimed_by = $1, claimed_at = now(), attempts = attempts + 1
WHERE n.notice_id = ANY (ARRAY(SELECT notice_id FROM mine))
  AND EXISTS (SELECT FROM leader)
  AND (SELECT count(*) FROM mine) = cardinality($3)
