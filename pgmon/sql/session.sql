-- The limits of a loop, set when a session changes from one loop to another, and no conversion of texts, which
-- fails where the role asks for an encoding that lacks a character. They are constants:
-- before 18 every other value of SET LOCAL statement_timeout would be a new entry in pg_stat_statements. Statistics of a
-- hundred thousand tables are read as they are: to copy each for the transaction takes a seventh longer.
SELECT /* pgmon:session */
       pg_catalog.set_config('statement_timeout', (:statement_timeout_ms)::text, false) AS statement_timeout,
       pg_catalog.set_config('lock_timeout', (:lock_timeout_ms)::text, false) AS lock_timeout,
       pg_catalog.set_config('client_encoding', pg_catalog.current_setting('server_encoding'), false) AS client_encoding,
       CASE WHEN pg_catalog.current_setting('stats_fetch_consistency', true) IS NOT NULL  -- from 15 on
            THEN pg_catalog.set_config('stats_fetch_consistency', 'none', false)
        END AS stats_fetch_consistency,
       pg_catalog.pg_backend_pid() AS pid
