-- From 1.9 (PostgreSQL 14) on statements inside functions are told apart (toplevel).
SELECT /* pgmon:statements */
       d.datname::text AS db,
       s.queryid::text AS queryid,
       s.toplevel AS toplevel,
       s.own AS own,
       s.calls::bigint AS calls,
       (s.milliseconds / 1000)::float8 AS seconds,
       (s.squares / 1e6)::float8 AS squares,
       s.rows::bigint AS rows,
       s.blks_hit::bigint AS blks_hit,
       s.blks_read::bigint AS blks_read,
       s.temp_blks_written::bigint AS temp_blks_written,
       s.wal_bytes::bigint AS wal_bytes
  FROM (SELECT p.queryid,
               p.dbid,
               p.toplevel AS toplevel,
               p.userid = (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = session_user) AS own,
               sum(p.calls::float8) AS calls,
               sum(p.total_exec_time) AS milliseconds,
               sum(p.calls * (p.stddev_exec_time ^ 2 + p.mean_exec_time ^ 2)) AS squares,
               sum(p.rows::float8) AS rows,
               sum(p.shared_blks_hit::float8) AS blks_hit,
               sum(p.shared_blks_read::float8) AS blks_read,
               sum(p.temp_blks_written::float8) AS temp_blks_written,
               sum(p.wal_bytes::float8) AS wal_bytes
          FROM :"pgss".pg_stat_statements(false) AS p
         WHERE p.queryid IS NOT NULL
         GROUP BY 1, 2, 3, 4) AS s
  JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
 ORDER BY s.queryid, s.dbid, s.toplevel, s.own
