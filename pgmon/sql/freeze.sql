-- The tables with the oldest unfrozen xids. A TOAST relation has its own, and counts as the table that its name tells.
-- Those of the catalogue (oid below 16384) and temporary ones hold back their database, too: they are here once overdue.
SELECT /* pgmon:freeze */
       n.nspname || '.' || c.relname AS relation,
       max(o.xids)::bigint AS freeze_age,
       max(o.xids) > coalesce(max(o.xids) FILTER (WHERE o.relkind <> 't'), 0) AS of_toast,
       max(pg_catalog.mxid_age(o.relminmxid))::bigint AS multixact_age
  FROM (SELECT r.oid,
               r.relname,
               r.relkind,
               r.relminmxid,
               pg_catalog.age(r.relfrozenxid) AS xids
          FROM pg_catalog.pg_class AS r
         WHERE r.relkind IN ('r', 'm', 't')
           AND ((r.oid >= 16384 AND r.relpersistence <> 't')
                OR pg_catalog.age(r.relfrozenxid) > pg_catalog.current_setting('autovacuum_freeze_max_age')::bigint)
         ORDER BY pg_catalog.age(r.relfrozenxid) DESC, r.relpages DESC, r.oid
         LIMIT 2 * :top_relations) AS o
  JOIN pg_catalog.pg_class AS c
    ON c.oid = CASE o.relkind WHEN 't' THEN pg_catalog.substring(o.relname, '^pg_toast_([0-9]+)$')::oid ELSE o.oid END
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 GROUP BY n.nspname, c.relname
 ORDER BY freeze_age DESC, relation
