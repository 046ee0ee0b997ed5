-- The role that pgmon logs in as: it reads statistics, and can write nothing. Run it as a superuser in every database
-- that is to be watched, and in template1 for those to come; it may be run again.
--
--     for db in $(psql -AtX -d postgres -c 'SELECT datname FROM pg_database WHERE datallowconn'); do
--         psql -X -v ON_ERROR_STOP=1 -d "$db" -f role.sql
--     done
--     psql -X -d postgres -c '\password pgmon'
--     pgmon check      # says what is still missing, and the statement that helps
--
-- In postgresql.conf, and a restart: shared_preload_libraries = 'pg_stat_statements'

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgmon') THEN
        CREATE ROLE pgmon LOGIN CONNECTION LIMIT 6;  -- limits.connections, and room for a second one while it restarts
    END IF;
END
$$;

-- All statistics and settings, and no row of any table.
GRANT pg_monitor TO pgmon;

-- To 14 everybody may create tables in the schema public, so pgmon's role may, too: it would be refused.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- What statements cost. The library has to be loaded by the server: see above.
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;

-- Space that tables waste; without it pgstattuple is used, and without that only dead rows are counted.
CREATE EXTENSION IF NOT EXISTS pg_freespacemap;

-- How far sequences are used up; the same for every other schema that has some, with USAGE on it.
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO pgmon;
