-- Client backends by database, state and wait; the settings are the same in every row.
SELECT /* pgmon:connections */
       coalesce(a.datname, '-')::text AS db,
       coalesce(a.state, 'unknown') AS state,
       CASE WHEN a.state = 'active' THEN coalesce(a.wait_event_type, '') ELSE '' END AS wait_event_type,
       count(*)::bigint AS sessions,
       pg_catalog.current_setting('max_connections')::bigint AS max_connections,
       -- reserved_connections exists from 16 on
       (pg_catalog.current_setting('max_connections')::bigint
        - pg_catalog.current_setting('superuser_reserved_connections')::bigint
        - coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::bigint) AS usable_connections
  FROM pg_catalog.pg_stat_activity AS a
 WHERE a.backend_type = 'client backend'
 GROUP BY 1, 2, 3
 ORDER BY 1, 2, 3
 LIMIT 1000
