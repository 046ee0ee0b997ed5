-- Heap, TOAST and indexes of the chosen tables, and the sum of each partitioned table's. What is locked ACCESS
-- EXCLUSIVE, or about to be, is not measured: we would stand in the queue.
WITH /* pgmon:sizes */ RECURSIVE locked AS MATERIALIZED (
         SELECT l.relation AS oid
           FROM pg_catalog.pg_locks AS l
          WHERE l.locktype = 'relation'
            AND l.mode = 'AccessExclusiveLock'
            AND l.database = (SELECT d.oid
                                FROM pg_catalog.pg_database AS d
                               WHERE d.datname = pg_catalog.current_database())),
     chosen AS MATERIALIZED (
         SELECT c.oid,
                c.reltoastrelid AS toast,
                c.relpages + coalesce(t.relpages, 0) AS pages,
                EXISTS (SELECT FROM locked AS l
                         WHERE l.oid IN (c.oid, c.reltoastrelid)
                            OR l.oid IN (SELECT x.indexrelid
                                           FROM pg_catalog.pg_index AS x
                                          WHERE x.indrelid = c.reltoastrelid)) AS locked,
                EXISTS (SELECT FROM locked AS l
                          JOIN pg_catalog.pg_index AS x ON x.indexrelid = l.oid
                         WHERE x.indrelid = c.oid) AS indexes_locked
           FROM pg_catalog.pg_class AS c
           LEFT JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid
          WHERE c.oid = ANY (:relids)),
     measured AS MATERIALIZED (
         SELECT c.*,
                CASE WHEN NOT c.locked THEN pg_catalog.pg_table_size(c.oid) END AS bytes,
                CASE WHEN c.toast = 0 THEN 0
                     WHEN NOT c.locked THEN pg_catalog.pg_total_relation_size(c.toast)
                END AS toast_bytes,
                CASE WHEN NOT (c.locked OR c.indexes_locked) THEN pg_catalog.pg_indexes_size(c.oid) END AS index_bytes
           FROM chosen AS c),
     tree AS (
         SELECT p.partrelid AS oid, p.partrelid AS root
           FROM pg_catalog.pg_partitioned_table AS p
           JOIN pg_catalog.pg_class AS c ON c.oid = p.partrelid
          WHERE NOT c.relispartition
            AND c.relpersistence <> 't'
         UNION ALL
         SELECT i.inhrelid, t.root
           FROM tree AS t
           JOIN pg_catalog.pg_inherits AS i ON i.inhparent = t.oid),
     summed AS (
         SELECT t.root AS oid,
                sum(coalesce(s.bytes, 0)) AS bytes,
                sum(CASE WHEN s.bytes IS NULL AND c.relkind = 'r' THEN c.relpages + coalesce(o.relpages, 0) ELSE 0 END) AS pages
           FROM tree AS t
          CROSS JOIN LATERAL (SELECT r.relkind, r.relpages, r.reltoastrelid
                                FROM pg_catalog.pg_class AS r
                               WHERE r.oid = t.oid
                              OFFSET 0) AS c  -- one by one: the planner would read all there are
           LEFT JOIN pg_catalog.pg_class AS o ON o.oid = c.reltoastrelid
           LEFT JOIN measured AS s ON s.oid = t.oid
          WHERE c.relkind IN ('r', 'p')
          GROUP BY t.root
          ORDER BY sum(coalesce(s.bytes, c.relpages * 8192.0)) DESC, t.root
          LIMIT 2 * :top_relations),
     listed AS (
         SELECT m.oid, m.bytes, m.toast_bytes, m.index_bytes, m.pages, m.locked
           FROM measured AS m
         UNION ALL
         SELECT s.oid, s.bytes::bigint, NULL, NULL, s.pages::bigint, false
           FROM summed AS s)
SELECT c.relkind::text AS relkind,
       n.nspname || '.' || c.relname AS relation,
       l.bytes AS bytes,
       l.toast_bytes AS toast_bytes,
       l.index_bytes AS index_bytes,
       l.pages * pg_catalog.current_setting('block_size')::bigint AS estimated_bytes,
       l.locked AS locked
  FROM listed AS l
  JOIN pg_catalog.pg_class AS c ON c.oid = l.oid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 ORDER BY relkind, relation
 LIMIT 5 * :top_relations
