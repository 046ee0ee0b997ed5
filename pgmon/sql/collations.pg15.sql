-- From 15 on the version of a database's default is recorded, and pg_collation_actual_version() knows that of 'default'.
SELECT /* pgmon:collations */
       count(DISTINCT i.oid) + max(d.changed::int) AS mismatches,
       max(d.changed::int) = 1 AS default_changed,
       coalesce(pg_catalog.array_agg(DISTINCT c.collname::text) FILTER (WHERE c.collname IS NOT NULL), '{}') AS collations
  FROM (SELECT b.datcollversion IS NOT NULL
               AND b.datcollversion IS DISTINCT FROM pg_catalog.pg_database_collation_actual_version(b.oid) AS changed
          FROM pg_catalog.pg_database AS b
         WHERE b.datname = pg_catalog.current_database()) AS d
  LEFT JOIN LATERAL (SELECT o.collname,
                            pg_catalog.array_agg(x.indexrelid) AS indexes
                       FROM pg_catalog.pg_index AS x
                      CROSS JOIN LATERAL pg_catalog.unnest(x.indcollation) AS k(oid)
                       JOIN pg_catalog.pg_collation AS o ON o.oid = k.oid
                      WHERE o.collversion IS NOT NULL OR (o.collprovider = 'd' AND d.changed)
                      GROUP BY o.oid, o.collname, o.collversion, o.collprovider
                     HAVING o.collprovider = 'd'
                         OR o.collversion IS DISTINCT FROM pg_catalog.pg_collation_actual_version(o.oid)) AS c ON true
  LEFT JOIN LATERAL pg_catalog.unnest(c.indexes) AS i(oid) ON true
