-- Indexes that are foremost by size, among those never scanned too, or invalid, or redundant beside another. What is locked
-- ACCESS EXCLUSIVE, or about to be, is not measured: we would stand in the queue.
WITH /* pgmon:indexes */ RECURSIVE locked AS MATERIALIZED (
         SELECT l.relation AS oid
           FROM pg_catalog.pg_locks AS l
          WHERE l.locktype = 'relation'
            AND l.mode = 'AccessExclusiveLock'
            AND l.database = (SELECT d.oid
                                FROM pg_catalog.pg_database AS d
                               WHERE d.datname = pg_catalog.current_database())),
     -- A partition of an index is used when any other is: they come and go together.
     family AS (
         SELECT x.indexrelid AS oid, x.indexrelid AS root
           FROM pg_catalog.pg_partitioned_table AS p
           JOIN pg_catalog.pg_index AS x ON x.indrelid = p.partrelid
           JOIN pg_catalog.pg_class AS c ON c.oid = x.indexrelid
          WHERE NOT c.relispartition
         UNION ALL
         SELECT i.inhrelid, f.root
           FROM family AS f
           JOIN pg_catalog.pg_inherits AS i ON i.inhparent = f.oid),
     used AS (
         SELECT f.root, sum(pg_catalog.pg_stat_get_numscans(f.oid))::bigint AS scans
           FROM family AS f
          GROUP BY f.root),
     seen AS MATERIALIZED (
         SELECT x.indexrelid AS oid,
                c.relpages AS pages,
                x.indrelid,
                x.indkey[0] AS first,
                x.indisvalid AS valid,
                NOT (x.indisprimary OR x.indisexclusion OR x.indisreplident) AS spare,
                NOT (x.indisunique OR x.indisprimary OR x.indisexclusion OR x.indisreplident) AS droppable
           FROM pg_catalog.pg_index AS x
           JOIN pg_catalog.pg_class AS c ON c.oid = x.indexrelid
          WHERE c.relkind IN ('i', 'I')
            AND c.relpersistence <> 't'
            AND c.relnamespace <> 'pg_toast'::regnamespace
            AND c.oid >= 16384),  -- what initdb made is below
     -- Few begin with the same column.
     pair AS MATERIALIZED (
         SELECT a.oid AS a, b.oid AS b
           FROM seen AS a
           JOIN seen AS b ON b.indrelid = a.indrelid AND b.first = a.first AND b.oid <> a.oid
          WHERE a.spare
            AND a.valid
            AND b.valid),
     -- a can go, as b does all that it does. Of two that are the same the first one made stays. They are looked up one by
     -- one: that they are few the planner does not know.
     redundant AS MATERIALIZED (
         SELECT a.indexrelid AS oid, min(b.indexrelid) AS beside
           FROM pair AS p
          CROSS JOIN LATERAL (SELECT x.* FROM pg_catalog.pg_index AS x WHERE x.indexrelid = p.a OFFSET 0) AS a
          CROSS JOIN LATERAL (SELECT x.* FROM pg_catalog.pg_index AS x WHERE x.indexrelid = p.b OFFSET 0) AS b
           JOIN pg_catalog.pg_class AS c ON c.oid = p.a
          WHERE NOT c.relispartition
            AND b.indkey::text || ' ' LIKE a.indkey::text || ' %'
            AND b.indclass::text || ' ' LIKE a.indclass::text || ' %'
            AND b.indcollation::text || ' ' LIKE a.indcollation::text || ' %'
            AND b.indoption::text || ' ' LIKE a.indoption::text || ' %'
            AND (a.indnkeyatts = b.indnkeyatts
                 OR (a.indnkeyatts = a.indnatts  -- what is INCLUDEd is no key
                     AND a.indnkeyatts < b.indnkeyatts
                     AND c.relam = (SELECT m.oid FROM pg_catalog.pg_am AS m WHERE m.amname = 'btree')))
            -- where in its command an expression stood is not what it is
            AND pg_catalog.regexp_replace(a.indexprs::text, ':location -?\d+', '', 'g')
                IS NOT DISTINCT FROM pg_catalog.regexp_replace(b.indexprs::text, ':location -?\d+', '', 'g')
            AND pg_catalog.regexp_replace(a.indpred::text, ':location -?\d+', '', 'g')
                IS NOT DISTINCT FROM pg_catalog.regexp_replace(b.indpred::text, ':location -?\d+', '', 'g')
            AND (NOT a.indisunique
                 OR (b.indisunique
                     AND a.indnkeyatts = b.indnkeyatts
                     AND a.indimmediate = b.indimmediate
                     -- there from 15 on
                     AND pg_catalog.to_jsonb(a) -> 'indnullsnotdistinct'
                         IS NOT DISTINCT FROM pg_catalog.to_jsonb(b) -> 'indnullsnotdistinct'))
            AND (a.indkey::text <> b.indkey::text
                 OR (b.indisprimary, b.indisexclusion, b.indisreplident, b.indisunique, a.indexrelid)
                    > (a.indisprimary, a.indisexclusion, a.indisreplident, a.indisunique, b.indexrelid))
          GROUP BY a.indexrelid),
     foremost AS (
         (SELECT s.* FROM seen AS s ORDER BY s.pages DESC, s.oid LIMIT 2 * :top_indexes)
         UNION
         -- The tables that are measured may have grown since their indexes were.
         (SELECT s.*
            FROM seen AS s
           WHERE s.indrelid = ANY (:relids)
           ORDER BY pg_catalog.pg_stat_get_live_tuples(s.indrelid) DESC, s.oid
           LIMIT 4 * :top_indexes)
         UNION
         (SELECT u.*
            FROM (SELECT s.* FROM seen AS s WHERE s.droppable ORDER BY s.pages DESC, s.oid OFFSET 0) AS u
           WHERE pg_catalog.pg_stat_get_numscans(u.oid) = 0
           LIMIT 2 * :top_indexes)
         UNION
         (SELECT s.* FROM seen AS s WHERE NOT s.valid ORDER BY s.pages DESC, s.oid LIMIT :top_indexes)
         UNION
         (SELECT s.*
            FROM seen AS s
            JOIN redundant AS r ON r.oid = s.oid
           ORDER BY s.pages DESC, s.oid
           LIMIT :top_indexes)),
     chosen AS MATERIALIZED (
         SELECT f.oid,
                f.valid,
                f.droppable,
                f.indrelid,
                CASE WHEN x.indpred IS NOT NULL
                     THEN f.pages  -- how many of the table's rows it has is not known
                     WHEN c.reltuples > 0
                     THEN f.pages * greatest(1, pg_catalog.pg_stat_get_live_tuples(f.indrelid) / c.reltuples)
                     ELSE greatest(f.pages, pg_catalog.pg_stat_get_live_tuples(f.indrelid) / 250)
                 END::float8 AS pages,
                EXISTS (SELECT FROM locked AS l WHERE l.oid IN (f.oid, f.indrelid)) AS locked
           FROM foremost AS f
           JOIN pg_catalog.pg_index AS x ON x.indexrelid = f.oid
           JOIN pg_catalog.pg_class AS c ON c.oid = f.oid)
SELECT n.nspname || '.' || c.relname AS index,
       n.nspname || '.' || t.relname AS relation,
       CASE WHEN NOT s.locked AND c.relkind = 'i' THEN pg_catalog.pg_relation_size(s.oid) END AS bytes,
       (s.pages * pg_catalog.current_setting('block_size')::float8)::bigint AS estimated_bytes,
       s.locked AS locked,
       pg_catalog.pg_stat_get_numscans(s.oid) AS scans,
       coalesce(u.scans, pg_catalog.pg_stat_get_numscans(s.oid)) AS family_scans,
       NULL::float8 AS last_scan_seconds,
       s.droppable AS droppable,
       NOT s.valid AND NOT EXISTS (SELECT
                                     FROM pg_catalog.pg_stat_progress_create_index AS p
                                    WHERE p.index_relid = s.oid) AS invalid,
       (SELECT b.relname::text
          FROM redundant AS r
          JOIN pg_catalog.pg_class AS b ON b.oid = r.beside
         WHERE r.oid = s.oid) AS beside,
       CASE WHEN NOT pg_catalog.pg_is_in_recovery()  -- a standby counts its own scans only
            THEN extract(epoch FROM pg_catalog.now()
                                    - greatest(pg_catalog.pg_postmaster_start_time(),
                                               (SELECT a.backend_start
                                                  FROM pg_catalog.pg_stat_activity AS a
                                                 WHERE a.backend_type = 'checkpointer'),
                                               (SELECT pg_catalog.pg_stat_get_db_stat_reset_time(d.oid)
                                                  FROM pg_catalog.pg_database AS d
                                                 WHERE d.datname = pg_catalog.current_database())))::float8
        END AS evidence_seconds
  FROM chosen AS s
  JOIN pg_catalog.pg_class AS c ON c.oid = s.oid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_class AS t ON t.oid = s.indrelid
  LEFT JOIN family AS f ON f.oid = s.oid
  LEFT JOIN used AS u ON u.root = f.root
 ORDER BY index
 LIMIT 10 * :top_indexes
