-- The tables most due for an ANALYZE by their own thresholds, of those that `relations` chose; and the partitioned
-- tables, whose parent autovacuum never analyzes: what the statistics say of it is known from 14 on, when reltuples is
-- -1 before the first ANALYZE.
WITH /* pgmon:stale_stats */ setting AS (
         SELECT pg_catalog.current_setting('autovacuum_analyze_threshold')::float8 AS base,
                pg_catalog.current_setting('autovacuum_analyze_scale_factor')::float8 AS scale),
     foremost AS (
         (SELECT r.oid,
                 pg_catalog.pg_stat_get_mod_since_analyze(r.oid)
                 / (coalesce(pg_catalog.substring(pg_catalog.array_to_string(r.reloptions, ','), 'autovacuum_analyze_threshold=([^,]+)')::float8, s.base)
                    + coalesce(pg_catalog.substring(pg_catalog.array_to_string(r.reloptions, ','), 'autovacuum_analyze_scale_factor=([^,]+)')::float8, s.scale)
                      * greatest(r.reltuples, 0)
                    + 1) AS due
            FROM setting AS s
           CROSS JOIN pg_catalog.pg_class AS r
           WHERE r.oid = ANY (:relids)
           ORDER BY due DESC, r.relpages DESC, r.oid
           LIMIT 2 * :top_relations)
          UNION ALL
         (SELECT r.oid, NULL
            FROM pg_catalog.pg_partitioned_table AS p
            JOIN pg_catalog.pg_class AS r ON r.oid = p.partrelid
           WHERE NOT r.relispartition
             AND r.relpersistence <> 't'
           ORDER BY r.oid
           LIMIT :top_relations))
SELECT n.nspname || '.' || c.relname AS relation,
       extract(epoch FROM pg_catalog.now() - a.analyzed)::float8 AS age,
       a.mods AS mods,
       NULL::bigint AS recent_mods,
       f.due AS analyze_ratio,
       (a.mods / greatest(c.reltuples, 1))::float8 AS mods_ratio,
       CASE WHEN c.relkind <> 'p' OR c.reltuples > 0 THEN (a.analyzed IS NULL)::int
            WHEN c.reltuples < 0 THEN 1
       END AS never_analyzed,
       NULL::float8 AS unanalyzed_seconds,
       c.relkind::text AS relkind
  FROM foremost AS f
  JOIN pg_catalog.pg_class AS c ON c.oid = f.oid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT greatest(pg_catalog.pg_stat_get_last_analyze_time(c.oid), pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid)) AS analyzed,
                            CASE WHEN c.relkind <> 'p' THEN pg_catalog.pg_stat_get_mod_since_analyze(c.oid) END AS mods) AS a
 ORDER BY f.due DESC NULLS LAST, c.relpages DESC, c.oid
 LIMIT 3 * :top_relations
