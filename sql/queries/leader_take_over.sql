-- The lock, and with it the next epoch; no row while another session holds the lock. Both in one
-- statement, so that no leader stands there with the sign of life of the one before.
UPDATE sender_leader s
SET epoch = s.epoch + 1, node = $2, backend_pid = pg_backend_pid(), renewed_at = now()
FROM (SELECT pg_try_advisory_lock($1) AS is_held) AS lock
WHERE lock.is_held
RETURNING s.epoch
