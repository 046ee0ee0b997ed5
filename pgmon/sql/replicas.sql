-- Who receives WAL from here; a standby can have standbys, too.
SELECT /* pgmon:replicas */
       r.application_name || CASE WHEN r.nth > 1 THEN '#' || r.nth::text ELSE '' END AS replica,
       coalesce(r.state, '') AS state,
       coalesce(r.sync_state, '') AS sync_state,
       extract(epoch FROM pg_catalog.now())::float8 AS now,
       pg_catalog.pg_wal_lsn_diff(r.here, '0/0')::bigint AS lsn,
       pg_catalog.pg_wal_lsn_diff(r.sent_lsn, '0/0')::bigint AS sent_lsn,
       pg_catalog.pg_wal_lsn_diff(r.flush_lsn, '0/0')::bigint AS flush_lsn,
       pg_catalog.pg_wal_lsn_diff(r.replay_lsn, '0/0')::bigint AS replay_lsn,
       extract(epoch FROM r.replay_lag)::float8 AS replay_lag
  FROM (SELECT s.*,
               CASE WHEN pg_catalog.pg_is_in_recovery()
                    THEN pg_catalog.pg_last_wal_replay_lsn()
                    ELSE pg_catalog.pg_current_wal_lsn()
               END AS here,
               row_number() OVER (PARTITION BY s.application_name ORDER BY s.client_addr, s.backend_start, s.pid) AS nth
          FROM pg_catalog.pg_stat_replication AS s) AS r
 ORDER BY 1
 LIMIT 100
