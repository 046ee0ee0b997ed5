-- Every table once, with its TOAST table; returned is who is foremost by size, by growth, by dead rows, or in need of
-- autovacuum (0 is far from it, more than 1 is due). NULL is what autovacuum does not do there. What else asks about
-- tables looks at those only.
WITH /* pgmon:relations */ setting AS MATERIALIZED (
         SELECT pg_catalog.current_setting('autovacuum')::boolean
                AND pg_catalog.current_setting('track_counts')::boolean AS active,
                pg_catalog.current_setting('autovacuum_vacuum_threshold')::float8 AS dead_base,
                pg_catalog.current_setting('autovacuum_vacuum_scale_factor')::float8 AS dead_scale,
                pg_catalog.current_setting('autovacuum_analyze_threshold')::float8 AS mod_base,
                pg_catalog.current_setting('autovacuum_analyze_scale_factor')::float8 AS mod_scale,
                pg_catalog.current_setting('autovacuum_freeze_max_age')::float8 AS xid_age,
                pg_catalog.current_setting('autovacuum_multixact_freeze_max_age')::float8 AS mxid_age,
                pg_catalog.current_setting('block_size')::float8 AS block),
     -- Heaps and TOAST tables alike: whose a TOAST table is, its name tells for less than a join.
     counted AS (
         SELECT CASE c.relkind WHEN 't' THEN pg_catalog.substr(c.relname::text, 10)::oid ELSE c.oid END AS owner,
                c.relkind <> 't' AS heap,
                c.relpages::float8 AS pages,
                greatest(c.reltuples, 0)::float8 AS tuples,
                nullif(c.relfrozenxid, '0'::xid) AS xid,
                nullif(c.relminmxid, '0'::xid) AS mxid,
                pg_catalog.pg_stat_get_dead_tuples(c.oid)::float8 AS dead,
                pg_catalog.pg_stat_get_live_tuples(c.oid)::float8 AS live,
                CASE WHEN c.relkind <> 't' THEN pg_catalog.pg_stat_get_mod_since_analyze(c.oid)::float8 END AS mods,
                c.reloptions
           FROM pg_catalog.pg_class AS c
          WHERE c.relkind IN ('r', 'm', 't')
            AND c.relpersistence <> 't'
            AND c.oid >= 16384  -- what initdb made is below
         OFFSET 0),  -- else every use would ask again
     -- A TOAST table without options of its own has all of its table's; those of an empty one do not matter.
     part AS (
         SELECT c.*,
                c.live + c.dead AS filled,
                CASE WHEN c.options::text LIKE '%autovacuum%'
                     THEN (SELECT pg_catalog.jsonb_object_agg(p.option_name, p.option_value)
                             FROM pg_catalog.pg_options_to_table(c.options) AS p)
                 END AS o
           FROM (SELECT d.*,
                        CASE WHEN d.heap OR d.reloptions IS NOT NULL OR d.pages + d.live + d.dead = 0
                             THEN d.reloptions
                             ELSE (SELECT h.reloptions FROM pg_catalog.pg_class AS h WHERE h.oid = d.owner)
                         END AS options
                   FROM counted AS d
                 OFFSET 0) AS c
         OFFSET 0),
     -- What autovacuum compares, each divided by its threshold. Where it counts, half a row stands for a threshold of 0.
     seen AS MATERIALIZED (
         SELECT p.owner,
                -- Pages as of the last VACUUM or ANALYZE, and in proportion what came since. Where there was none,
                -- a row is taken for 100 bytes, a chunk of TOAST for 2000.
                sum(CASE WHEN p.tuples > 0
                         THEN p.pages * greatest(1, p.filled / p.tuples)
                         ELSE greatest(p.pages, p.filled * CASE WHEN p.heap THEN 100 ELSE 2000 END / s.block)
                     END * s.block) AS bytes,
                sum(greatest(p.filled - p.tuples, 0)) AS grown,
                max(CASE WHEN p.heap THEN p.dead END) AS dead,
                max(CASE WHEN NOT s.active OR NOT (p.o ->> 'autovacuum_enabled')::boolean
                         THEN NULL
                         WHEN p.dead > 0
                         THEN p.dead / greatest(coalesce((p.o ->> 'autovacuum_vacuum_threshold')::float8, s.dead_base)
                                                + coalesce((p.o ->> 'autovacuum_vacuum_scale_factor')::float8, s.dead_scale) * p.tuples,
                                                0.5)
                         WHEN p.heap
                         THEN 0
                     END) AS dead_due,
                NULL::float8 AS insert_due,
                max(CASE WHEN NOT s.active OR NOT (p.o ->> 'autovacuum_enabled')::boolean OR NOT p.heap
                         THEN NULL
                         WHEN p.mods > 0
                         THEN p.mods / greatest(coalesce((p.o ->> 'autovacuum_analyze_threshold')::float8, s.mod_base)
                                                + coalesce((p.o ->> 'autovacuum_analyze_scale_factor')::float8, s.mod_scale) * p.tuples,
                                                0.5)
                         ELSE 0
                     END) AS analyze_due,
                max(pg_catalog.age(p.xid) / least((p.o ->> 'autovacuum_freeze_max_age')::float8, s.xid_age)) AS freeze_due,
                max(pg_catalog.mxid_age(p.mxid)
                    / least((p.o ->> 'autovacuum_multixact_freeze_max_age')::float8, s.mxid_age)) AS multixact_due
           FROM setting AS s
          CROSS JOIN part AS p
          GROUP BY p.owner),
     foremost AS (
         (SELECT s.* FROM seen AS s ORDER BY s.bytes DESC, s.owner LIMIT 2 * :top_relations)
         UNION
         (SELECT s.* FROM seen AS s ORDER BY s.grown DESC, s.owner LIMIT :top_relations)
         UNION
         (SELECT s.* FROM seen AS s ORDER BY s.dead DESC, s.owner LIMIT 2 * :top_relations)
         UNION
         (SELECT s.* FROM seen AS s ORDER BY s.dead_due DESC NULLS LAST, s.owner LIMIT 2 * :top_relations)
         UNION
         (SELECT s.* FROM seen AS s ORDER BY s.analyze_due DESC NULLS LAST, s.owner LIMIT 2 * :top_relations)
         UNION
         (SELECT s.*
            FROM seen AS s
           ORDER BY greatest(s.freeze_due, s.multixact_due) DESC NULLS LAST, s.owner
           LIMIT 2 * :top_relations)),
     -- Who holds the oldest xid after which VACUUM removes no row here: sessions and prepared transactions of this
     -- database, slots, standbys. A transaction that wrote holds its own, idle or not.
     holder AS (
         SELECT h.who, h.pid, h.xid, h.seconds
           FROM (SELECT coalesce(nullif(a.application_name, ''), a.backend_type) || ' (pid ' || a.pid || ')' AS who,
                        a.pid,
                        CASE WHEN pg_catalog.age(a.backend_xid) >= coalesce(pg_catalog.age(a.backend_xmin), 0)
                             THEN a.backend_xid
                             ELSE a.backend_xmin
                        END AS xid,
                        extract(epoch FROM pg_catalog.now() - a.xact_start) AS seconds
                   FROM pg_catalog.pg_stat_get_activity(NULL) AS a
                  WHERE (a.backend_type = 'walsender'
                         OR a.datid = (SELECT d.oid
                                         FROM pg_catalog.pg_database AS d
                                        WHERE d.datname = pg_catalog.current_database()))
                    AND a.pid <> pg_catalog.pg_backend_pid()
                    AND a.pid NOT IN (SELECT v.pid FROM pg_catalog.pg_stat_get_progress_info('VACUUM') AS v)
                  UNION ALL
                 SELECT 'the prepared transaction ' || p.gid, NULL, p.transaction,
                        extract(epoch FROM pg_catalog.now() - p.prepared)
                   FROM pg_catalog.pg_prepared_xacts AS p
                  WHERE p.database = pg_catalog.current_database()
                  UNION ALL
                 SELECT 'the slot ' || s.slot_name, NULL, s.xmin, NULL
                   FROM pg_catalog.pg_replication_slots AS s) AS h
          WHERE h.xid IS NOT NULL
          ORDER BY pg_catalog.age(h.xid) DESC, h.who
          LIMIT 1)
SELECT n.nspname || '.' || c.relname AS relation,
       c.oid::bigint AS oid,
       s.bytes::bigint AS estimated_bytes,
       s.grown::float8 AS grown,
       pg_catalog.pg_stat_get_live_tuples(c.oid) AS live,
       pg_catalog.pg_stat_get_dead_tuples(c.oid) AS dead,
       s.dead_due::float8 AS dead_due,
       s.insert_due::float8 AS insert_due,
       s.analyze_due::float8 AS analyze_due,
       s.freeze_due::float8 AS freeze_due,
       s.multixact_due::float8 AS multixact_due,
       extract(epoch FROM pg_catalog.now() - greatest(pg_catalog.pg_stat_get_last_vacuum_time(c.oid),
                                                      pg_catalog.pg_stat_get_last_autovacuum_time(c.oid),
                                                      pg_catalog.pg_stat_get_last_vacuum_time(c.reltoastrelid),
                                                      pg_catalog.pg_stat_get_last_autovacuum_time(c.reltoastrelid)))::float8 AS vacuumed_seconds,
       extract(epoch FROM pg_catalog.now() - greatest(pg_catalog.pg_stat_get_last_analyze_time(c.oid),
                                                      pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid)))::float8 AS analyzed_seconds,
       h.who AS holder,
       h.pid AS holder_pid,
       h.xid::text::bigint AS held_xid,
       h.seconds::float8 AS holder_seconds
  FROM foremost AS s
  JOIN pg_catalog.pg_class AS c ON c.oid = s.owner
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN holder AS h ON true
 ORDER BY relation, oid
 LIMIT 13 * :top_relations
