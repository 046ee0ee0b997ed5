-- A standby about itself. The age of the last replayed transaction is no lag while the primary is idle, and
-- received = replayed says nothing while the receiver is cut.
SELECT /* pgmon:standby */
       (r.status IS NOT NULL)::int AS receiver_up,
       (r.status IS NULL)::int AS receiver_missing,
       CASE WHEN r.status IS NULL THEN NULL
            WHEN p.received <= p.replayed THEN 0
            ELSE greatest(extract(epoch FROM pg_catalog.now() - pg_catalog.pg_last_xact_replay_timestamp()), 0)
       END::float8 AS lag_seconds,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_is_wal_replay_paused()::int END AS paused,
       greatest(pg_catalog.pg_wal_lsn_diff(p.received, p.replayed), 0)::bigint AS unreplayed_bytes,
       extract(epoch FROM pg_catalog.now() - r.last_msg_receipt_time)::float8 AS silent_seconds,
       r.sender_host AS sender_host
  FROM (SELECT pg_catalog.pg_last_wal_receive_lsn() AS received,
               pg_catalog.pg_last_wal_replay_lsn() AS replayed) AS p
  LEFT JOIN pg_catalog.pg_stat_wal_receiver AS r ON r.status = 'streaming'
