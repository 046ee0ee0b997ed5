-- Every statement without its text, users added up, but for pgmon's own. No LIMIT: pg_stat_statements.max is one, and
-- the latency of all and the sum of the rest need all. Whole numbers are added up as float8, which is exact to 2^53: the
-- sum of bigint is numeric, and takes ten times as long.
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
               true AS toplevel,
               p.userid = (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = session_user) AS own,
               sum(p.calls::float8) AS calls,
               sum(p.total_time) AS milliseconds,
               sum(p.calls * (p.stddev_time ^ 2 + p.mean_time ^ 2)) AS squares,
               sum(p.rows::float8) AS rows,
               sum(p.shared_blks_hit::float8) AS blks_hit,
               sum(p.shared_blks_read::float8) AS blks_read,
               sum(p.temp_blks_written::float8) AS temp_blks_written,
               NULL AS wal_bytes
          FROM :"pgss".pg_stat_statements(false) AS p
         WHERE p.queryid IS NOT NULL
         GROUP BY 1, 2, 3, 4) AS s
  JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
 ORDER BY s.queryid, s.dbid, s.toplevel, s.own
