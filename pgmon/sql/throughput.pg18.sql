-- From 18 on parallel workers are counted, too.
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
       s.session_time / 1000.0::float8 AS session_seconds,
       s.active_time / 1000.0::float8 AS active_seconds,
       s.idle_in_transaction_time / 1000.0::float8 AS idle_in_transaction_seconds,
       s.sessions_abandoned AS sessions_abandoned,
       s.sessions_fatal AS sessions_fatal,
       s.sessions_killed AS sessions_killed,
       s.parallel_workers_launched AS parallel_workers,
       extract(epoch FROM s.stats_reset)::float8 AS stats_reset
  FROM pg_catalog.pg_stat_database AS s
  LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.datid
 WHERE d.datistemplate IS NOT TRUE
 ORDER BY s.xact_commit + s.xact_rollback DESC, s.datid
 LIMIT 200
