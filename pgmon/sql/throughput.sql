-- What each database has done since its statistics were reset; datid 0 stands for the shared catalogues.
SELECT /* pgmon:throughput */
       coalesce(s.datname, '-shared-')::text AS db,
       NULL::float8 AS tps,
       s.xact_commit AS xact_commit,
       s.xact_rollback AS xact_rollback,
       s.blks_hit AS blks_hit,
       s.blks_read AS blks_read,
       s.temp_bytes AS temp_bytes,
       s.temp_files AS temp_files,
       s.deadlocks AS deadlocks,
       s.conflicts AS conflicts,
       s.checksum_failures AS checksum_failures,
       s.tup_returned AS tup_returned,
       s.tup_fetched AS tup_fetched,
       s.tup_inserted AS tup_inserted,
       s.tup_updated AS tup_updated,
       s.tup_deleted AS tup_deleted,
       s.blk_read_time / 1000.0::float8 AS blk_read_seconds,
       s.blk_write_time / 1000.0::float8 AS blk_write_seconds,
       NULL::float8 AS session_seconds,
       NULL::float8 AS active_seconds,
       NULL::float8 AS idle_in_transaction_seconds,
       NULL::bigint AS sessions_abandoned,
       NULL::bigint AS sessions_fatal,
       NULL::bigint AS sessions_killed,
       NULL::bigint AS parallel_workers,
       extract(epoch FROM s.stats_reset)::float8 AS stats_reset
  FROM pg_catalog.pg_stat_database AS s
  LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.datid
 WHERE d.datistemplate IS NOT TRUE
 ORDER BY s.xact_commit + s.xact_rollback DESC, s.datid
 LIMIT 200
