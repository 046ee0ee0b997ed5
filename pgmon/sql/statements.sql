-- Every statement without its text, users added up, but for pgmon's own. No LIMIT: pg_stat_statements.max is one, and
-- the latency of all and the sum of the rest need all.
SELECT /* pgmon:statements */
       d.datname::text AS db,
       s.queryid::text AS queryid,
       true AS toplevel,
       s.userid = (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = session_user) AS own,
       sum(s.calls)::bigint AS calls,
       (sum(s.total_time) / 1000.0)::float8 AS seconds,
       (sum(s.calls * (s.stddev_time ^ 2 + s.mean_time ^ 2)) / 1e6)::float8 AS squares,
       sum(s.rows)::bigint AS rows,
       sum(s.shared_blks_hit)::bigint AS blks_hit,
       sum(s.shared_blks_read)::bigint AS blks_read,
       sum(s.temp_blks_written)::bigint AS temp_blks_written,
       NULL::bigint AS wal_bytes
  FROM :"pgss".pg_stat_statements(false) AS s
  JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
 WHERE s.queryid IS NOT NULL
 GROUP BY 1, 2, 3, 4
 ORDER BY 1, 2, 3, 4
