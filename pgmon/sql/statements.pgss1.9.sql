-- From 1.9 (PostgreSQL 14) on statements inside functions are told apart (toplevel).
SELECT /* pgmon:statements */
       d.datname::text AS db,
       s.queryid::text AS queryid,
       s.toplevel AS toplevel,
       s.userid = (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = session_user) AS own,
       sum(s.calls)::bigint AS calls,
       (sum(s.total_exec_time) / 1000.0)::float8 AS seconds,
       (sum(s.calls * (s.stddev_exec_time ^ 2 + s.mean_exec_time ^ 2)) / 1e6)::float8 AS squares,
       sum(s.rows)::bigint AS rows,
       sum(s.shared_blks_hit)::bigint AS blks_hit,
       sum(s.shared_blks_read)::bigint AS blks_read,
       sum(s.temp_blks_written)::bigint AS temp_blks_written,
       sum(s.wal_bytes)::bigint AS wal_bytes
  FROM :"pgss".pg_stat_statements(false) AS s
  JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
 WHERE s.queryid IS NOT NULL
 GROUP BY 1, 2, 3, 4
 ORDER BY 1, 2, 3, 4
