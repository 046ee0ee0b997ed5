-- Subscriptions of logical replication, and whether their apply worker runs. Before 14 their oids are for superusers, so
-- workers are found by name.
SELECT /* pgmon:subscriptions */
       d.datname::text AS db,
       s.subname::text AS subscription,
       s.subenabled AS enabled,
       (count(w.pid) > 0)::int AS worker_up,
       (s.subenabled AND count(w.pid) = 0)::int AS down,
       extract(epoch FROM pg_catalog.now() - max(w.last_msg_receipt_time))::float8 AS silent_seconds
  FROM pg_catalog.pg_subscription AS s
  JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid
  LEFT JOIN pg_catalog.pg_stat_subscription AS w
         ON w.subname = s.subname
        AND w.relid IS NULL
 GROUP BY d.datname, s.subname, s.subenabled
 ORDER BY d.datname, s.subname
 LIMIT 100
