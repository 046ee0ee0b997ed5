-- The limits of a loop, set when a session changes from one loop to another. They are constants:
-- before 18 every other value of SET LOCAL statement_timeout would be a new entry in pg_stat_statements.
SELECT /* pgmon:session */
       pg_catalog.set_config('statement_timeout', (:statement_timeout_ms)::text, false) AS statement_timeout,
       pg_catalog.set_config('lock_timeout', (:lock_timeout_ms)::text, false) AS lock_timeout
