-- Checkpoints by cause, since the statistics were reset.
SELECT /* pgmon:checkpoints */
       b.checkpoints_timed AS checkpoints_timed,
       b.checkpoints_req AS checkpoints_requested,
       b.checkpoint_write_time / 1000.0::float8 AS write_seconds,
       b.checkpoint_sync_time / 1000.0::float8 AS sync_seconds,
       b.buffers_checkpoint AS buffers,
       b.buffers_backend_fsync AS backend_fsync,
       extract(epoch FROM pg_catalog.current_setting('checkpoint_timeout')::interval)::float8 AS timeout_seconds
  FROM pg_catalog.pg_stat_bgwriter AS b
