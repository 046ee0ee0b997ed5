-- From 14 on the last three million xids are not assigned (varsup.c), and vacuum has a failsafe: at its age or, if
-- that is more, at 105 % of autovacuum's (vacuum_xid_failsafe_check).
SELECT /* pgmon:wraparound */
       d.datname::text AS db,
       pg_catalog.age(d.datfrozenxid)::bigint AS tx_age,
       pg_catalog.mxid_age(d.datminmxid)::bigint AS multixact_age,
       greatest(pg_catalog.age(d.datfrozenxid) / l.freeze, pg_catalog.mxid_age(d.datminmxid) / l.multixact_freeze)::float8 AS freeze_ratio,
       greatest(pg_catalog.age(d.datfrozenxid) / l.failsafe, pg_catalog.mxid_age(d.datminmxid) / l.multixact_failsafe)::float8 AS failsafe_ratio,
       l.freeze::bigint AS freeze_max_age,
       l.failsafe::bigint AS failsafe_age,
       (2147483647 - 3000000)::bigint AS stop_age,
       pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) AS next_xid
  FROM pg_catalog.pg_database AS d
 CROSS JOIN (SELECT s.freeze,
                    s.multixact_freeze,
                    greatest(pg_catalog.current_setting('vacuum_failsafe_age')::float8, 1.05 * s.freeze) AS failsafe,
                    greatest(pg_catalog.current_setting('vacuum_multixact_failsafe_age')::float8, 1.05 * s.multixact_freeze) AS multixact_failsafe
               FROM (SELECT pg_catalog.current_setting('autovacuum_freeze_max_age')::float8 AS freeze,
                            pg_catalog.current_setting('autovacuum_multixact_freeze_max_age')::float8 AS multixact_freeze) AS s) AS l
 ORDER BY pg_catalog.age(d.datfrozenxid) DESC, d.datname
 LIMIT 1000
