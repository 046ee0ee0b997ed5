-- From pgstattuple 1.5 on pg_monitor may ask it. pgstattuple_approx reads every page that is not all-visible: in one
-- refresh no more than 16,384 of them (128 MB), by what the catalogue says. Of a table that has more the dead rows are
-- counted only; one that is locked, or whose turn it is not, is not given to it.
SELECT /* pgmon:bloat */
       n.nspname || '.' || c.relname AS relation,
       (w.share * t.bytes)::bigint AS wasted,
       w.share AS ratio,
       CASE WHEN c.due THEN CASE WHEN c.dear THEN 'dead_share' ELSE 'pgstattuple_approx' END END AS method,
       c.locked AS locked,
       CASE WHEN c.due THEN 0 END::float8 AS age,
       extract(epoch FROM pg_catalog.now() - greatest(pg_catalog.pg_stat_get_last_vacuum_time(c.oid), pg_catalog.pg_stat_get_last_autovacuum_time(c.oid)))::float8 AS vacuum_seconds,
       t.bytes AS size,
       c.oid::bigint AS oid
  FROM (SELECT q.*,
               NOT q.locked
               AND pg_catalog.row_number() OVER turns <= 10
               AND (q.dear OR sum(q.cost) OVER turns <= 16384) AS due
          FROM (SELECT p.*,
                       p.cost > 16384 AS dear,
                       pg_catalog.array_position((:seen)::bigint[], p.oid::bigint) AS seen
                  FROM (SELECT r.oid,
                               r.relname,
                               r.relnamespace,
                               r.relpages,
                               r.reltuples,
                               100 - coalesce(pg_catalog.substring(pg_catalog.array_to_string(r.reloptions, ','), 'fillfactor=([0-9]+)')::int, 100) AS reserved,
                               least(r.relpages - r.relallvisible + pg_catalog.pg_stat_get_dead_tuples(r.oid), r.relpages) AS cost,
                               r.oid IN (SELECT l.relation
                                           FROM pg_catalog.pg_locks AS l
                                           JOIN pg_catalog.pg_database AS d ON d.oid = l.database
                                          WHERE l.locktype = 'relation'
                                            AND l.mode = 'AccessExclusiveLock' -- held, or waited for: we would queue behind
                                            AND d.datname = pg_catalog.current_database()) AS locked
                          FROM pg_catalog.pg_class AS r
                         WHERE r.oid = ANY (:relids)
                           AND r.relpages >= 1280
                         ORDER BY r.relpages DESC, r.oid
                         LIMIT :top_relations) AS p) AS q
        WINDOW turns AS (PARTITION BY q.locked, q.dear ORDER BY q.seen NULLS FIRST, q.relpages DESC, q.oid)) AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL :"pgstattuple".pgstattuple_approx(CASE WHEN c.due AND NOT c.dear THEN c.oid END) AS a
 CROSS JOIN LATERAL (SELECT coalesce(a.table_len, c.relpages * pg_catalog.current_setting('block_size')::bigint) AS bytes,
                            pg_catalog.pg_stat_get_dead_tuples(c.oid) AS dead,
                            pg_catalog.pg_stat_get_live_tuples(c.oid) AS live) AS t
 CROSS JOIN LATERAL (SELECT (CASE WHEN NOT c.due THEN NULL
                                  WHEN c.dear THEN coalesce(t.dead / nullif(greatest(t.live + t.dead, c.reltuples), 0), 0)
                                  ELSE (greatest(a.approx_free_percent - c.reserved, 0) + a.dead_tuple_percent) / 100
                             END)::float8 AS share) AS w
 ORDER BY c.relpages DESC, c.oid
