-- How archiving of WAL goes: what was archived or failed, and what waits. Where it is off, what waits is not known.
SELECT /* pgmon:archiver */
       a.archived_count AS archived,
       a.failed_count AS failed,
       extract(epoch FROM pg_catalog.now() - a.last_archived_time)::float8 AS last_success_seconds,
       CASE WHEN m.archives THEN r.files END AS ready_files,
       CASE WHEN m.archives THEN r.oldest_seconds END AS oldest_ready_seconds,
       a.last_failed_wal AS last_failed_wal
  FROM pg_catalog.pg_stat_archiver AS a
 CROSS JOIN (SELECT CASE pg_catalog.current_setting('archive_mode')
                         WHEN 'always' THEN true
                         WHEN 'on' THEN NOT pg_catalog.pg_is_in_recovery()
                         ELSE false
                    END AS archives) AS m
 CROSS JOIN (SELECT count(*)::bigint AS files,
                    extract(epoch FROM pg_catalog.now() - min(f.modification))::float8 AS oldest_seconds
               FROM pg_catalog.pg_ls_archive_statusdir() AS f
              WHERE f.name LIKE '%.ready') AS r
