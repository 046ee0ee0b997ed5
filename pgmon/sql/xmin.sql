-- Who keeps VACUUM from removing dead rows: the oldest of each kind of holder of an xmin, and how old it is.
SELECT /* pgmon:xmin */
       DISTINCT ON (h.holder)
       h.holder AS holder,
       h.age AS age,
       h.who AS who,
       h.pid AS pid,
       h.seconds::float8 AS seconds
  FROM (SELECT 'backend' AS holder,
               pg_catalog.age(a.backend_xmin) AS age,
               'pid ' || a.pid || ' (' || coalesce(nullif(a.application_name, ''), a.backend_type) || ')' AS who,
               a.pid,
               extract(epoch FROM pg_catalog.now() - a.xact_start) AS seconds
          FROM pg_catalog.pg_stat_activity AS a
         WHERE a.backend_xmin IS NOT NULL
           AND a.backend_type <> 'walsender'
           AND a.pid <> pg_catalog.pg_backend_pid()
           AND a.pid NOT IN (SELECT v.pid FROM pg_catalog.pg_stat_progress_vacuum AS v)  -- VACUUM holds nobody back
         UNION ALL
        SELECT 'prepared', pg_catalog.age(p.transaction), p.gid, NULL, extract(epoch FROM pg_catalog.now() - p.prepared)
          FROM pg_catalog.pg_prepared_xacts AS p
         UNION ALL
        SELECT 'slot', greatest(pg_catalog.age(s.xmin), pg_catalog.age(s.catalog_xmin)), s.slot_name::text, NULL, NULL
          FROM pg_catalog.pg_replication_slots AS s
         WHERE s.xmin IS NOT NULL
            OR s.catalog_xmin IS NOT NULL
         UNION ALL
        SELECT 'standby', pg_catalog.age(r.backend_xmin), r.application_name, NULL, NULL
          FROM pg_catalog.pg_stat_replication AS r
         WHERE r.backend_xmin IS NOT NULL) AS h
 ORDER BY h.holder, h.age DESC, h.who
 LIMIT 4
