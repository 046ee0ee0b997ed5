-- Client sessions in a transaction, the oldest first; what must take long, as VACUUM and index builds, is told apart.
SELECT /* pgmon:transactions */
       a.pid AS pid,
       coalesce(a.datname, '')::text AS db,
       coalesce(a.application_name, '') AS application,
       coalesce(a.state, 'unknown') AS state,
       coalesce(a.wait_event_type || ': ' || a.wait_event, '') AS wait,
       extract(epoch FROM pg_catalog.now() - a.xact_start)::float8 AS xact_seconds,
       greatest(extract(epoch FROM pg_catalog.now() - a.state_change), 0)::float8 AS state_seconds,
       CASE WHEN a.state = 'active'
            THEN greatest(extract(epoch FROM pg_catalog.now() - a.query_start), 0)
       END::float8 AS query_seconds,
       pg_catalog.age(a.backend_xmin) AS xmin_age,
       a.pid IN (SELECT v.pid FROM pg_catalog.pg_stat_progress_vacuum AS v
                  UNION ALL
                 SELECT i.pid FROM pg_catalog.pg_stat_progress_create_index AS i
                  UNION ALL
                 SELECT c.pid FROM pg_catalog.pg_stat_progress_cluster AS c) AS maintenance,
       extract(epoch FROM pg_catalog.now())::float8 AS now,
       a.query AS query
  FROM pg_catalog.pg_stat_activity AS a
 WHERE a.backend_type = 'client backend'
   AND a.xact_start IS NOT NULL
   AND a.pid <> pg_catalog.pg_backend_pid()
 ORDER BY a.xact_start, a.pid
 LIMIT 500
