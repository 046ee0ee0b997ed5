-- From 14 on pg_stat_wal counts what was generated, without the gaps that a switch of segments leaves; on a standby it
-- says nothing.
SELECT /* pgmon:wal */
       l.lsn_bytes AS lsn_bytes,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN l.lsn_bytes ELSE w.wal_bytes::bigint END AS generated_bytes,
       CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN w.wal_records END AS records,
       CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN w.wal_fpi END AS fpi,
       CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN w.wal_buffers_full END AS buffers_full,
       (SELECT sum(f.size)::bigint FROM pg_catalog.pg_ls_waldir() AS f) AS directory_bytes,
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('max_wal_size')) AS max_wal_size_bytes,
       coalesce(pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_keep_size', true)),
                pg_catalog.current_setting('wal_keep_segments', true)::bigint
                * pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))) AS keep_bytes,
       coalesce((SELECT 'slot ' || s.slot_name
                   FROM pg_catalog.pg_replication_slots AS s
                  WHERE l.lsn_bytes - pg_catalog.pg_wal_lsn_diff(s.restart_lsn, '0/0')
                        > pg_catalog.pg_size_bytes(pg_catalog.current_setting('max_wal_size'))
                  ORDER BY s.restart_lsn, s.slot_name
                  LIMIT 1),
                (SELECT 'the archiver, which fails'
                   FROM pg_catalog.pg_stat_archiver AS a
                  WHERE a.last_failed_time > coalesce(a.last_archived_time, '-infinity')),
                'neither a slot nor the archiver') AS kept_by
  FROM pg_catalog.pg_stat_wal AS w
 CROSS JOIN (SELECT pg_catalog.pg_wal_lsn_diff(
                        CASE WHEN pg_catalog.pg_is_in_recovery()
                             THEN pg_catalog.pg_last_wal_replay_lsn()
                             ELSE pg_catalog.pg_current_wal_lsn()
                        END, '0/0')::bigint AS lsn_bytes) AS l
