-- From 14 on pg_stat_wal counts what was generated, without the gaps that a switch of segments leaves; on a standby it
-- says nothing.
SELECT /* pgmon:wal */
       l.lsn_bytes AS lsn_bytes,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN l.lsn_bytes ELSE w.wal_bytes::bigint END AS generated_bytes,
       CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN w.wal_records END AS records,
       CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN w.wal_fpi END AS fpi,
       CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN w.wal_buffers_full END AS buffers_full,
       (SELECT sum(f.size)::bigint FROM pg_catalog.pg_ls_waldir() AS f) AS directory_bytes,
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('max_wal_size')) AS max_wal_size_bytes
  FROM pg_catalog.pg_stat_wal AS w
 CROSS JOIN (SELECT pg_catalog.pg_wal_lsn_diff(
                        CASE WHEN pg_catalog.pg_is_in_recovery()
                             THEN pg_catalog.pg_last_wal_replay_lsn()
                             ELSE pg_catalog.pg_current_wal_lsn()
                        END, '0/0')::bigint AS lsn_bytes) AS l
