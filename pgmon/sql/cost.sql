-- Execution time of our own role and of all.
SELECT /* pgmon:cost */
       coalesce(sum(s.total_time) FILTER (WHERE s.userid = r.oid), 0)::float8 / 1000 AS own_seconds,
       coalesce(sum(s.total_time), 0)::float8 / 1000 AS all_seconds
  FROM :"pgss".pg_stat_statements(false) AS s
 CROSS JOIN (SELECT o.oid FROM pg_catalog.pg_roles AS o WHERE o.rolname = session_user) AS r
