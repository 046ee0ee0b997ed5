-- From 15 on errors of subscriptions are counted.
SELECT /* pgmon:subscription_errors */
       d.datname::text AS db,
       s.subname::text AS subscription,
       v.kind AS kind,
       v.errors AS errors
  FROM pg_catalog.pg_stat_subscription_stats AS e
  JOIN pg_catalog.pg_subscription AS s ON s.oid = e.subid
  JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid
 CROSS JOIN LATERAL (VALUES ('apply', e.apply_error_count), ('sync', e.sync_error_count)) AS v(kind, errors)
 ORDER BY d.datname, s.subname, v.kind
 LIMIT 200
