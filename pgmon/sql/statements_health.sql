-- How full pg_stat_statements is.
SELECT /* pgmon:statements_health */
       count(*)::bigint AS entries,
       max(pg_catalog.current_setting('pg_stat_statements.max', true)::bigint) AS entries_max,
       NULL::bigint AS dealloc
  FROM :"pgss".pg_stat_statements(false) AS s
