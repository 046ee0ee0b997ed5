-- How large this database is on disk, all that is in it.
SELECT /* pgmon:database_size */
       pg_catalog.pg_database_size(d.oid) AS bytes
  FROM pg_catalog.pg_database AS d
 WHERE d.datname = pg_catalog.current_database()
 ORDER BY d.datname
 LIMIT 1
