-- What the server is and what this role may see: the first question of every flight.
SELECT /* pgmon:facts */
       pg_catalog.current_database()::text AS db,
       session_user::text AS role,
       pg_catalog.current_setting('server_version_num')::int AS server_version_num,
       (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS system_identifier,
       CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint())
            ELSE ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int
       END AS timeline,
       pg_catalog.pg_is_in_recovery() AS in_recovery,
       extract(epoch FROM pg_catalog.pg_postmaster_start_time())::float8 AS start_time,
       (SELECT extract(epoch FROM a.backend_start)::float8
          FROM pg_catalog.pg_stat_activity AS a
         WHERE a.backend_type = 'checkpointer') AS checkpointer_start,
       pg_catalog.pg_has_role(session_user, 'pg_monitor', 'USAGE') AS monitors,
       (pg_catalog.current_setting('default_transaction_read_only') = 'on'
        AND pg_catalog.current_setting('search_path') = 'pg_catalog'
        AND pg_catalog.current_setting('TimeZone') = 'UTC') AS shielded,
       (SELECT coalesce(pg_catalog.jsonb_object_agg(e.extname, pg_catalog.jsonb_build_array(e.extversion, n.nspname)), '{}')
          FROM pg_catalog.pg_extension AS e
          JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace) AS extensions,
       -- datconnlimit is -2 where DROP DATABASE was interrupted
       ARRAY(SELECT d.datname::text
               FROM pg_catalog.pg_database AS d
              WHERE d.datallowconn
                AND d.datconnlimit <> -2
                AND pg_catalog.has_database_privilege(d.oid, 'CONNECT')
              ORDER BY d.datname
              LIMIT 1000) AS databases
