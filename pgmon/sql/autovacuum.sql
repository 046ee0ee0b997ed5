-- Processes that vacuum or analyze, by the server's own description of what they do; one row of settings at least.
SELECT /* pgmon:autovacuum */
       pg_catalog.current_setting('autovacuum_max_workers')::int AS workers_max,
       j.pid AS pid,
       j.worker AS worker,
       j.db AS db,
       j.task AS task,
       j.phase AS phase,
       j.seconds::float8 AS seconds,
       j.scanned_ratio::float8 AS scanned_ratio,
       j.index_passes::bigint AS index_passes
  FROM (SELECT 1) AS always
  LEFT JOIN (SELECT a.pid,
                    a.backend_type = 'autovacuum worker' AS worker,
                    coalesce(a.datname, '')::text AS db,
                    a.query AS task,
                    CASE WHEN v.phase IS NOT NULL THEN v.phase
                         WHEN a.query ~* '\mANALYZE\M' THEN 'analyzing'
                         ELSE 'starting'
                    END AS phase,
                    extract(epoch FROM pg_catalog.now() - a.xact_start) AS seconds,
                    v.heap_blks_scanned::float8 / nullif(v.heap_blks_total, 0) AS scanned_ratio,
                    v.index_vacuum_count AS index_passes
               FROM pg_catalog.pg_stat_activity AS a
               LEFT JOIN pg_catalog.pg_stat_progress_vacuum AS v ON v.pid = a.pid
              WHERE a.backend_type = 'autovacuum worker'
                 OR v.pid IS NOT NULL) AS j ON true
 ORDER BY j.seconds DESC NULLS LAST, j.pid
 LIMIT 100
