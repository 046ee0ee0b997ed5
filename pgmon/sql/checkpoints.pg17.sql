-- From 17 on the counters live in pg_stat_checkpointer, where restartpoints are counted apart: the sums
-- go on through a promotion. A backend's own fsync is in pg_stat_io.
SELECT /* pgmon:checkpoints */
       (c.num_timed + c.restartpoints_timed)::bigint AS checkpoints_timed,
       (c.num_requested + c.restartpoints_req)::bigint AS checkpoints_requested,
       c.write_time / 1000.0::float8 AS write_seconds,
       c.sync_time / 1000.0::float8 AS sync_seconds,
       c.buffers_written AS buffers,
       (SELECT sum(i.fsyncs)::bigint
          FROM pg_catalog.pg_stat_io AS i
         WHERE i.backend_type = 'client backend'
           AND i.object = 'relation') AS backend_fsync,
       extract(epoch FROM pg_catalog.current_setting('checkpoint_timeout')::interval)::float8 AS timeout_seconds
  FROM pg_catalog.pg_stat_checkpointer AS c
