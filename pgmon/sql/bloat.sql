-- The largest tables, from 10 MB on, and the share of their rows that is dead: all that is known without an extension.
SELECT /* pgmon:bloat */
       n.nspname || '.' || c.relname AS relation,
       (w.share * c.bytes)::bigint AS wasted,
       w.share AS ratio,
       'dead_share' AS method,
       false AS locked,
       0::float8 AS age,
       extract(epoch FROM pg_catalog.now() - greatest(pg_catalog.pg_stat_get_last_vacuum_time(c.oid), pg_catalog.pg_stat_get_last_autovacuum_time(c.oid)))::float8 AS vacuum_seconds,
       c.bytes AS size,
       c.oid::bigint AS oid
  FROM (SELECT r.oid,
               r.relname,
               r.relnamespace,
               r.relpages,
               r.reltuples,
               r.relpages * pg_catalog.current_setting('block_size')::bigint AS bytes
          FROM pg_catalog.pg_class AS r
         WHERE r.oid = ANY (:relids)
           AND r.relpages >= 1280
         ORDER BY r.relpages DESC, r.oid
         LIMIT :top_relations) AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT pg_catalog.pg_stat_get_dead_tuples(c.oid) AS dead,
                            pg_catalog.pg_stat_get_live_tuples(c.oid) AS live) AS s
 CROSS JOIN LATERAL (SELECT coalesce(s.dead / nullif(greatest(s.live + s.dead, c.reltuples), 0), 0)::float8 AS share) AS w
 ORDER BY c.relpages DESC, c.oid
