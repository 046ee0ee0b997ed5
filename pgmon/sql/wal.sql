-- How far the WAL has come, as bytes since its beginning, and what its directory holds; a standby tells what it replayed.
SELECT /* pgmon:wal */
       l.lsn_bytes AS lsn_bytes,
       l.lsn_bytes AS generated_bytes,
       NULL::bigint AS records,
       NULL::bigint AS fpi,
       NULL::bigint AS buffers_full,
       (SELECT sum(f.size)::bigint FROM pg_catalog.pg_ls_waldir() AS f) AS directory_bytes,
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('max_wal_size')) AS max_wal_size_bytes
  FROM (SELECT pg_catalog.pg_wal_lsn_diff(
                   CASE WHEN pg_catalog.pg_is_in_recovery()
                        THEN pg_catalog.pg_last_wal_replay_lsn()
                        ELSE pg_catalog.pg_current_wal_lsn()
                   END, '0/0')::bigint AS lsn_bytes) AS l
