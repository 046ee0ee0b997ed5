-- From 14 on DETACH CONCURRENTLY exists, which can stop half way.
WITH /* pgmon:partitions */ RECURSIVE tree AS (
         SELECT p.partrelid AS oid, p.partrelid AS root, 0::oid AS parent, false AS detaching
           FROM pg_catalog.pg_partitioned_table AS p
           JOIN pg_catalog.pg_class AS c ON c.oid = p.partrelid
          WHERE NOT c.relispartition
            AND c.relpersistence <> 't'
         UNION ALL
         SELECT i.inhrelid, t.root, i.inhparent, i.inhdetachpending
           FROM tree AS t
           JOIN pg_catalog.pg_inherits AS i ON i.inhparent = t.oid),
     leaf AS (
         SELECT t.oid,
                t.parent,
                t.detaching,
                pg_catalog.pg_get_expr(c.relpartbound, 0) AS bound,
                pg_catalog.pg_stat_get_dead_tuples(t.oid) AS dead,
                -- After a crash, and on a standby, nothing is counted yet.
                CASE WHEN pg_catalog.pg_stat_get_live_tuples(t.oid) > 0 OR pg_catalog.pg_stat_get_tuples_inserted(t.oid) > 0
                     THEN pg_catalog.pg_stat_get_live_tuples(t.oid)
                     ELSE greatest(c.reltuples, 0)::bigint
                 END AS live
           FROM tree AS t
          CROSS JOIN LATERAL (SELECT r.relkind, r.relpartbound, r.reltuples
                                FROM pg_catalog.pg_class AS r
                               WHERE r.oid = t.oid
                              OFFSET 0) AS c  -- one by one: the planner would read all there are
          WHERE t.parent <> 0
            AND c.relkind <> 'p'),
     leaves AS (
         SELECT l.parent,
                pg_catalog.array_agg(l.bound ORDER BY l.oid) FILTER (WHERE NOT l.detaching) AS bounds,
                pg_catalog.array_agg(l.live ORDER BY l.oid) FILTER (WHERE NOT l.detaching) AS live,
                sum(l.dead)::bigint AS dead,
                count(*) FILTER (WHERE l.detaching) AS detaching
           FROM leaf AS l
          GROUP BY l.parent)
SELECT t.oid::bigint AS oid,
       t.parent::bigint AS parent,
       n.nspname::text AS schema,
       n.nspname || '.' || c.relname AS relation,
       k.partstrat::text AS strategy,
       (SELECT y.typcategory::text
          FROM pg_catalog.pg_attribute AS a
          JOIN pg_catalog.pg_type AS y ON y.oid = a.atttypid
         WHERE a.attrelid = t.oid
           AND a.attnum = k.partattrs[0]) AS category,
       extract(epoch FROM pg_catalog.now())::float8 AS now,
       coalesce(pg_catalog.pg_get_expr(c.relpartbound, 0), '') AS bound,
       t.detaching AS detaching,
       coalesce(l.bounds, '{}') AS bounds,
       coalesce(l.live, '{}') AS live,
       coalesce(l.dead, 0) AS dead,
       coalesce(l.detaching, 0) + t.detaching::int AS detach_pending
  FROM tree AS t
  JOIN pg_catalog.pg_partitioned_table AS k ON k.partrelid = t.oid
  JOIN pg_catalog.pg_class AS c ON c.oid = t.oid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN leaves AS l ON l.parent = t.oid
 ORDER BY relation, oid
