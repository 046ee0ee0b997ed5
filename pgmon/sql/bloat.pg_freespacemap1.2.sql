-- From pg_freespacemap 1.2 on pg_monitor may ask it: 2,000 blocks, evenly spaced, tell the free space of a table of any
-- size. What fillfactor keeps free is no waste. Dead rows that no VACUUM has seen yet are, by the mean width of a row
-- (4 bytes of it are its pointer, 24 of a page the header). Of a table that is locked, or whose turn it is not, there is
-- no block to ask for. A size is asked for under the same lock.
SELECT /* pgmon:bloat */
       n.nspname || '.' || c.relname AS relation,
       w.wasted::bigint AS wasted,
       (w.wasted / nullif(s.pages * b.size, 0))::float8 AS ratio,
       CASE WHEN c.due THEN 'fsm_sample' END AS method,
       c.locked AS locked,
       CASE WHEN c.due THEN 0 END::float8 AS age,
       extract(epoch FROM pg_catalog.now() - greatest(pg_catalog.pg_stat_get_last_vacuum_time(c.oid), pg_catalog.pg_stat_get_last_autovacuum_time(c.oid)))::float8 AS vacuum_seconds,
       coalesce(s.pages, c.relpages) * b.size AS size,
       c.oid::bigint AS oid
  FROM (SELECT q.*,
               NOT q.locked
               AND pg_catalog.row_number() OVER (PARTITION BY q.locked
                                                     ORDER BY pg_catalog.array_position((:seen)::bigint[], q.oid::bigint) NULLS FIRST, q.relpages DESC, q.oid) <= 10 AS due
          FROM (SELECT r.oid,
                       r.relname,
                       r.relnamespace,
                       r.relpages,
                       r.reltuples,
                       100 - coalesce(pg_catalog.substring(pg_catalog.array_to_string(r.reloptions, ','), 'fillfactor=([0-9]+)')::int, 100) AS reserved,
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
                 LIMIT :top_relations) AS q) AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 CROSS JOIN (SELECT pg_catalog.current_setting('block_size')::bigint AS size) AS b
 CROSS JOIN LATERAL (SELECT pg_catalog.pg_relation_size(CASE WHEN c.due THEN c.oid END) / b.size AS pages,
                            pg_catalog.pg_stat_get_dead_tuples(c.oid) AS dead,
                            pg_catalog.pg_stat_get_live_tuples(c.oid) AS live) AS s
 CROSS JOIN LATERAL (SELECT s.pages * avg(m.free) AS free,
                            s.pages * avg(greatest(m.free - b.size * c.reserved / 100, 0)) AS beyond
                       FROM pg_catalog.generate_series(0, least(s.pages, 2000) - 1) AS i
                      CROSS JOIN LATERAL :"pg_freespacemap".pg_freespace(c.oid, i * s.pages / least(s.pages, 2000)) AS m(free)) AS f
 CROSS JOIN LATERAL (SELECT greatest((s.pages * (b.size - 24) - f.free) / nullif(greatest(s.live + s.dead, c.reltuples), 0) - 4, 0) AS bytes) AS width
 CROSS JOIN LATERAL (SELECT least(f.beyond + coalesce(s.dead * width.bytes, 0), s.pages * b.size) AS wasted) AS w
 ORDER BY c.relpages DESC, c.oid
