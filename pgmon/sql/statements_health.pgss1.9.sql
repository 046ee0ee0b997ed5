-- From 1.9 (PostgreSQL 14) on evictions are counted.
SELECT /* pgmon:statements_health */
       count(*)::bigint AS entries,
       max(pg_catalog.current_setting('pg_stat_statements.max', true)::bigint) AS entries_max,
       (SELECT i.dealloc FROM :"pgss".pg_stat_statements_info() AS i) AS dealloc
  FROM :"pgss".pg_stat_statements(false) AS s
