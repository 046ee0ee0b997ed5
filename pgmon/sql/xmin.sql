-- Who keeps VACUUM from removing dead rows: the oldest of each kind of holder of an xmin, and how old it is. The functions
-- behind the views are asked: this is read every 15 s, and a view costs more to plan than to read.
SELECT /* pgmon:xmin */
       DISTINCT ON (h.holder)
       h.holder AS holder,
       h.age AS age,
       h.who AS who,
       h.pid AS pid,
       h.seconds::float8 AS seconds
  FROM (SELECT CASE a.backend_type WHEN 'walsender' THEN 'standby' ELSE 'backend' END AS holder,
               greatest(pg_catalog.age(a.backend_xmin), pg_catalog.age(a.backend_xid)) AS age,
               CASE a.backend_type
                    WHEN 'walsender' THEN a.application_name
                    ELSE 'pid ' || a.pid || ' (' || coalesce(nullif(a.application_name, ''), a.backend_type) || ')'
               END AS who,
               CASE WHEN a.backend_type <> 'walsender' THEN a.pid END AS pid,
               extract(epoch FROM pg_catalog.now() - a.xact_start) AS seconds
          FROM pg_catalog.pg_stat_get_activity(NULL) AS a
         -- a transaction that wrote holds back its own xid, idle and without a snapshot as it may be
         WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
           AND a.pid <> pg_catalog.pg_backend_pid()
           -- VACUUM holds nobody back
           AND a.pid NOT IN (SELECT v.pid FROM pg_catalog.pg_stat_get_progress_info('VACUUM') AS v)
         UNION ALL
        SELECT 'prepared', pg_catalog.age(p.transaction), p.gid, NULL, extract(epoch FROM pg_catalog.now() - p.prepared)
          FROM pg_catalog.pg_prepared_xact() AS p
         UNION ALL
        SELECT 'slot', greatest(pg_catalog.age(s.xmin), pg_catalog.age(s.catalog_xmin)), s.slot_name::text, NULL, NULL
          FROM pg_catalog.pg_get_replication_slots() AS s
         WHERE s.xmin IS NOT NULL
            OR s.catalog_xmin IS NOT NULL) AS h
 ORDER BY h.holder, h.age DESC, h.who
 LIMIT 4
