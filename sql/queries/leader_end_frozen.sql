-- Ends the session that holds the lock when the sign of life is 5 s old, by the database's clock, and
-- waits until the lock is free. Only a session of this service that has done nothing all that time is
-- ended: one that has the lock this very moment has not signed yet.
SELECT l.pid, pg_terminate_backend(l.pid, 1000) AS ended
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
CROSS JOIN sender_leader s
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND ((l.classid::bigint << 32) | l.objid::bigint) = $1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND a.application_name LIKE 'orderhook %'
  AND a.state_change < now() - interval '5 seconds'
  AND (s.renewed_at IS NULL OR s.renewed_at < now() - interval '5 seconds')
