-- From 13 on max_slot_wal_keep_size can take a slot's WAL away: wal_status and safe_wal_size tell.
SELECT /* pgmon:slots */
       s.slot_name::text AS slot,
       s.slot_type AS slot_type,
       coalesce(s.database, '')::text AS db,
       s.active AS active,
       pg_catalog.pg_wal_lsn_diff(h.lsn, s.restart_lsn)::bigint AS retained_bytes,
       s.safe_wal_size AS safe_bytes,
       s.wal_status AS status
  FROM pg_catalog.pg_replication_slots AS s
 CROSS JOIN (SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
                         THEN pg_catalog.pg_last_wal_replay_lsn()
                         ELSE pg_catalog.pg_current_wal_lsn()
                    END AS lsn) AS h
 ORDER BY s.slot_name
 LIMIT 100
