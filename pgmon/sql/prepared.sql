-- Prepared transactions, which hold locks and xmin without a session.
SELECT /* pgmon:prepared */
       count(*)::bigint AS prepared,
       max(extract(epoch FROM pg_catalog.now() - p.prepared))::float8 AS oldest_seconds
  FROM pg_catalog.pg_prepared_xacts AS p
