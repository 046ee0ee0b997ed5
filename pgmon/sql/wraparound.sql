-- The age of every database, and the limits: the last million xids before the wraparound are not assigned (varsup.c).
-- The next xid is read off a snapshot, which allocates none.
SELECT /* pgmon:wraparound */
       d.datname::text AS db,
       pg_catalog.age(d.datfrozenxid)::bigint AS tx_age,
       pg_catalog.mxid_age(d.datminmxid)::bigint AS multixact_age,
       greatest(pg_catalog.age(d.datfrozenxid) / l.freeze, pg_catalog.mxid_age(d.datminmxid) / l.multixact_freeze)::float8 AS freeze_ratio,
       NULL::float8 AS failsafe_ratio,
       l.freeze::bigint AS freeze_max_age,
       NULL::bigint AS failsafe_age,
       (2147483647 - 1000000)::bigint AS stop_age,
       pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) AS next_xid
  FROM pg_catalog.pg_database AS d
 CROSS JOIN (SELECT pg_catalog.current_setting('autovacuum_freeze_max_age')::float8 AS freeze,
                    pg_catalog.current_setting('autovacuum_multixact_freeze_max_age')::float8 AS multixact_freeze) AS l
 ORDER BY pg_catalog.age(d.datfrozenxid) DESC, d.datname
 LIMIT 1000
