-- From 14 on the server knows since when a session waits (not for the first moment).
WITH /* pgmon:locks */ activity AS MATERIALIZED (
    SELECT a.pid, a.datid, a.application_name, a.state, a.xact_start, a.query_start, a.wait_event_type, a.wait_event, a.query
      FROM pg_catalog.pg_stat_get_activity(NULL) AS a
), waiting AS MATERIALIZED (
    -- pg_blocking_pids stops the lock manager for a moment: only for those that wait, and not for more than 100
    SELECT a.pid,
           ARRAY(SELECT DISTINCT b.pid
                   FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids(a.pid)) AS b(pid)
                  ORDER BY b.pid) AS blockers
      FROM activity AS a
     WHERE a.wait_event_type = 'Lock'
     ORDER BY a.query_start, a.pid
     LIMIT 100
), wanted AS MATERIALIZED (
    SELECT DISTINCT ON (l.pid) l.pid, l.locktype, l.database, l.relation, l.mode, l.waitstart
      FROM pg_catalog.pg_lock_status() AS l
     WHERE NOT l.granted
     ORDER BY l.pid
), shown AS MATERIALIZED (
    SELECT a.*, w.blockers
      FROM activity AS a
      LEFT JOIN waiting AS w ON w.pid = a.pid
     WHERE w.pid IS NOT NULL
        OR a.pid IN (SELECT pg_catalog.unnest(v.blockers) FROM waiting AS v)
        OR a.wait_event = 'SyncRep'
)
SELECT a.pid AS pid,
       coalesce(a.blockers, '{}')::int[] AS blockers,
       coalesce(a.wait_event = 'SyncRep', false) AS syncrep,
       coalesce((SELECT d.datname FROM pg_catalog.pg_database AS d WHERE d.oid = a.datid), '')::text AS db,
       coalesce(a.application_name, '') AS application,
       coalesce(a.state, '') AS state,
       extract(epoch FROM pg_catalog.now() - a.xact_start)::float8 AS xact_seconds,
       extract(epoch FROM a.query_start)::float8 AS since,
       CASE WHEN a.blockers IS NOT NULL
            THEN greatest(extract(epoch FROM pg_catalog.now() - coalesce(l.waitstart, a.query_start)), 0)
       END::float8 AS waited,
       l.waitstart IS NOT NULL AS exact,
       l.mode AS mode,
       CASE WHEN l.relation IS NULL THEN l.locktype
            WHEN c.oid IS NULL THEN 'relation ' || l.relation::text
            ELSE n.nspname || '.' || c.relname
       END AS object,
       coalesce(a.query, '') AS query
  FROM shown AS a
  LEFT JOIN wanted AS l ON l.pid = a.pid
  LEFT JOIN pg_catalog.pg_class AS c
         ON c.oid = l.relation
        AND l.database IN (0, (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()))
  LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 ORDER BY a.pid
 LIMIT 1000
