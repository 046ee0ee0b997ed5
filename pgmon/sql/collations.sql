-- Indexes on a collation that has another version than the one recorded when it was made. Only collations that a key of
-- an index has are looked at: an update of ICU changes 700. What a database's default was is recorded from 15 on.
SELECT /* pgmon:collations */
       count(DISTINCT i.oid)::bigint AS mismatches,
       false AS default_changed,
       coalesce(pg_catalog.array_agg(DISTINCT c.collname::text), '{}') AS collations
  FROM (SELECT o.collname,
               pg_catalog.array_agg(x.indexrelid) AS indexes
          FROM pg_catalog.pg_index AS x
         CROSS JOIN LATERAL pg_catalog.unnest(x.indcollation) AS k(oid)
          JOIN pg_catalog.pg_collation AS o ON o.oid = k.oid
         WHERE o.collversion IS NOT NULL
         GROUP BY o.oid, o.collname, o.collversion
        HAVING o.collversion IS DISTINCT FROM pg_catalog.pg_collation_actual_version(o.oid)) AS c
 CROSS JOIN LATERAL pg_catalog.unnest(c.indexes) AS i(oid)
