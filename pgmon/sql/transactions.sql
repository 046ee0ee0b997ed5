-- Client sessions in a transaction, the oldest first; what must take long, as VACUUM and index builds, is told apart. The
-- functions behind the views are asked: this is read every 15 s, and a view costs more to plan than to read.
SELECT /* pgmon:transactions */
       a.pid AS pid,
       coalesce((SELECT d.datname FROM pg_catalog.pg_database AS d WHERE d.oid = a.datid), '')::text AS db,
       coalesce(a.application_name, '') AS application,
       coalesce(a.state, 'unknown') AS state,
       coalesce(a.wait_event_type || ': ' || a.wait_event, '') AS wait,
       extract(epoch FROM pg_catalog.now() - a.xact_start)::float8 AS xact_seconds,
       greatest(extract(epoch FROM pg_catalog.now() - a.state_change), 0)::float8 AS state_seconds,
       CASE WHEN a.state = 'active'
            THEN greatest(extract(epoch FROM pg_catalog.now() - a.query_start), 0)
       END::float8 AS query_seconds,
       pg_catalog.age(a.backend_xmin) AS xmin_age,
       a.pid IN (SELECT p.pid
                   FROM (VALUES ('VACUUM'), ('CREATE INDEX'), ('CLUSTER')) AS c(command)
                  CROSS JOIN LATERAL pg_catalog.pg_stat_get_progress_info(c.command) AS p) AS maintenance,
       extract(epoch FROM pg_catalog.now())::float8 AS now,
       a.query AS query
  FROM pg_catalog.pg_stat_get_activity(NULL) AS a
 WHERE a.backend_type = 'client backend'
   AND a.xact_start IS NOT NULL
   AND a.pid <> pg_catalog.pg_backend_pid()
 ORDER BY a.xact_start, a.pid
 LIMIT 500
