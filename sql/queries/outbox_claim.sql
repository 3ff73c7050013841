-- Marks notices of one chat as being sent by this epoch: all of them, or none when one of them waits for
-- this chat no more. The row of the leader is locked, not only read: a takeover that runs at the same
-- moment comes before or after this statement, never in its middle.
WITH leader AS MATERIALIZED (
    SELECT epoch FROM sender_leader WHERE epoch = $1 FOR SHARE
),
mine AS MATERIALIZED (
    SELECT notice_id
    FROM notices
    WHERE notice_id = ANY ($3) AND chat_id = $2 AND state = 'pending'
    ORDER BY notice_id
    FOR UPDATE
)
UPDATE notices n
SET claimed_by = $1, claimed_at = now(), attempts = attempts + 1
FROM mine
WHERE n.notice_id = mine.notice_id
  AND EXISTS (SELECT FROM leader)
  AND (SELECT count(*) FROM mine) = cardinality($3)
