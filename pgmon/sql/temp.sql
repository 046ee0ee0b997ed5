-- Temporary files that exist now, in all tablespaces, by the process that has them: its number is in their names. What
-- was closed is counted in pg_stat_database.
SELECT /* pgmon:temp */
       t.pid AS pid,
       coalesce(t.files, 0)::bigint AS files,
       coalesce(t.bytes, 0)::bigint AS bytes,
       coalesce(sum(t.bytes) OVER (), 0)::bigint AS all_bytes,
       d.closed_bytes AS closed_bytes,
       coalesce(a.datname, '')::text AS db,
       coalesce(a.application_name, '') AS application,
       extract(epoch FROM pg_catalog.now() - a.query_start)::float8 AS query_seconds,
       coalesce(a.query, '') AS query
  FROM (SELECT coalesce(sum(b.temp_bytes), 0)::bigint AS closed_bytes FROM pg_catalog.pg_stat_database AS b) AS d
  LEFT JOIN (SELECT pg_catalog.substring(f.name, '^pgsql_tmp(\d+)')::int AS pid,
                    count(*)::bigint AS files,
                    sum(f.size)::bigint AS bytes
               FROM pg_catalog.pg_tablespace AS s
              CROSS JOIN LATERAL pg_catalog.pg_ls_tmpdir(s.oid) AS f
              WHERE s.spcname <> 'pg_global'
              GROUP BY 1) AS t ON true
  LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = t.pid
 ORDER BY t.bytes DESC, t.pid
 LIMIT 20
