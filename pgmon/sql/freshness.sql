-- When those were vacuumed and analyzed that are most due for a vacuum, of the tables that `relations` chose.
WITH /* pgmon:freshness */ setting AS (
         SELECT pg_catalog.current_setting('autovacuum_vacuum_threshold')::float8 + 1 AS base,
                pg_catalog.current_setting('autovacuum_vacuum_scale_factor')::float8 AS scale),
     foremost AS (
         SELECT r.oid,
                pg_catalog.pg_stat_get_dead_tuples(r.oid) / (s.base + s.scale * greatest(r.reltuples, 0)) AS due
           FROM setting AS s
          CROSS JOIN pg_catalog.pg_class AS r
          WHERE r.oid = ANY (:relids)
          ORDER BY due DESC, r.relpages DESC, r.oid
          LIMIT 2 * :top_relations)
SELECT n.nspname || '.' || c.relname AS relation,
       extract(epoch FROM pg_catalog.now() - pg_catalog.pg_stat_get_last_autovacuum_time(c.oid))::float8 AS autovacuum_seconds,
       extract(epoch FROM pg_catalog.now() - pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid))::float8 AS autoanalyze_seconds,
       (pg_catalog.pg_stat_get_last_autovacuum_time(c.oid) IS NULL)::int AS never_autovacuumed,
       extract(epoch FROM pg_catalog.now() - pg_catalog.pg_stat_get_last_vacuum_time(c.oid))::float8 AS vacuum_seconds,
       extract(epoch FROM pg_catalog.now() - pg_catalog.pg_stat_get_last_analyze_time(c.oid))::float8 AS analyze_seconds,
       pg_catalog.pg_stat_get_dead_tuples(c.oid) AS dead_tuples,
       f.due AS due
  FROM foremost AS f
  JOIN pg_catalog.pg_class AS c ON c.oid = f.oid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 ORDER BY f.due DESC, c.relpages DESC, c.oid
 LIMIT 2 * :top_relations
