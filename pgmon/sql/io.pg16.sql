-- From 16 on reads, writes and the like are counted by kind of process, object and context; what never happened is left
-- out, and so are counters that cannot move.
SELECT /* pgmon:io */
       i.backend_type AS backend_type,
       i.object AS object,
       i.context AS context,
       i.reads AS reads,
       (i.read_time / 1000)::float8 AS read_seconds,
       i.writes AS writes,
       (i.write_time / 1000)::float8 AS write_seconds,
       i.extends AS extends,
       (i.extend_time / 1000)::float8 AS extend_seconds,
       i.fsyncs AS fsyncs,
       (i.fsync_time / 1000)::float8 AS fsync_seconds,
       i.hits AS hits,
       i.evictions AS evictions
  FROM pg_catalog.pg_stat_io AS i
 WHERE coalesce(i.reads, 0) + coalesce(i.writes, 0) + coalesce(i.extends, 0)
       + coalesce(i.fsyncs, 0) + coalesce(i.hits, 0) + coalesce(i.evictions, 0) > 0
 ORDER BY i.backend_type, i.object, i.context
 LIMIT 200
