-- Telegram did not take the notices $2 for the reason $3: they wait $4 milliseconds. If it may have taken them all the
-- same ($5), who claimed them is kept. Otherwise as in outbox_sent.sql.
UPDATE notices
SET claimed_by = CASE WHEN $5 THEN claimed_by END, claimed_at = NULL, last_error = $3,
    not_before = now() + $4::bigint * interval '1 millisecond'
WHERE notice_id = ANY ($2) AND claimed_by = $1 AND state || '' = 'pending'
