-- The tables most due for an ANALYZE by their own thresholds; and the partitioned tables, whose parent autovacuum never
-- analyzes: what the statistics say of it is known from 14 on, when reltuples is -1 before the first ANALYZE.
SELECT /* pgmon:stale_stats */
       n.nspname || '.' || c.relname AS relation,
       extract(epoch FROM pg_catalog.now() - a.analyzed)::float8 AS age,
       c.mods AS mods,
       NULL::bigint AS recent_mods,
       c.due::float8 AS analyze_ratio,
       (c.mods / greatest(c.reltuples, 1))::float8 AS mods_ratio,
       CASE WHEN c.relkind <> 'p' OR c.reltuples > 0 THEN (a.analyzed IS NULL)::int
            WHEN c.reltuples < 0 THEN 1
       END AS never_analyzed,
       NULL::float8 AS unanalyzed_seconds,
       c.relkind::text AS relkind
  FROM ((SELECT t.*,
                t.mods / (coalesce(pg_catalog.substring(t.options, 'autovacuum_analyze_threshold=([^,]+)')::float8,
                                   (SELECT pg_catalog.current_setting('autovacuum_analyze_threshold')::float8))
                          + coalesce(pg_catalog.substring(t.options, 'autovacuum_analyze_scale_factor=([^,]+)')::float8,
                                     (SELECT pg_catalog.current_setting('autovacuum_analyze_scale_factor')::float8)) * greatest(t.reltuples, 0)
                          + 1) AS due
           FROM (SELECT r.oid,
                        r.relname,
                        r.relnamespace,
                        r.relkind,
                        r.reltuples,
                        r.relpages,
                        pg_catalog.array_to_string(r.reloptions, ',') AS options,
                        pg_catalog.pg_stat_get_mod_since_analyze(r.oid) AS mods
                   FROM pg_catalog.pg_class AS r
                  WHERE r.relkind IN ('r', 'm')
                    AND r.relpersistence <> 't'
                    AND r.oid >= 16384) AS t -- what initdb made is below
          ORDER BY due DESC, t.relpages DESC, t.oid
          LIMIT 2 * :top_relations)
         UNION ALL
        (SELECT r.oid, r.relname, r.relnamespace, r.relkind, r.reltuples, r.relpages, NULL, NULL, NULL
           FROM pg_catalog.pg_class AS r
          WHERE r.relkind = 'p'
            AND NOT r.relispartition
            AND r.relpersistence <> 't'
          ORDER BY r.oid
          LIMIT :top_relations)) AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT greatest(pg_catalog.pg_stat_get_last_analyze_time(c.oid), pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid)) AS analyzed) AS a
 ORDER BY c.due DESC NULLS LAST, c.relpages DESC, c.oid
