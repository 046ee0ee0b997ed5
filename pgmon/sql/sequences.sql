-- How far sequences have come: those that were used up most, then the next by oid. pg_sequence_last_value() holds a lock
-- on a sequence until the statement ends, which stops nobody but who alters it, and up to 17 it fails where the role may
-- not read: a sequence that is being altered, or denied, is not given to it.
SELECT /* pgmon:sequences */
       n.nspname || '.' || c.relname AS sequence,
       CASE a.status WHEN 'ok' THEN coalesce((v.last::float8 - e.first) / nullif(e.final::float8 - e.first, 0), 0) END AS used_ratio,
       c.seqcycle::int AS cycles,
       CASE a.status WHEN 'ok' THEN ''
                     WHEN 'locked' THEN 'locked'
                     ELSE pg_catalog.format('denied: GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I', n.nspname, current_user)
       END AS unread,
       v.last AS last_value,
       e.final AS final_value,
       o.owner AS owner,
       c.oid::bigint AS oid,
       c.oid::bigint AS furthest
  FROM (SELECT r.oid,
               r.relname,
               r.relnamespace,
               q.seqcycle,
               q.seqincrement,
               q.seqmin,
               q.seqmax
          FROM (SELECT p.*
                  FROM pg_catalog.pg_sequence AS p
                 ORDER BY p.seqrelid::bigint = ANY ((:members)::bigint[]) DESC, p.seqrelid::bigint <= :furthest, p.seqrelid
                OFFSET 0) AS q
         CROSS JOIN LATERAL (SELECT w.oid, w.relname, w.relnamespace
                               FROM pg_catalog.pg_class AS w
                              WHERE w.oid = q.seqrelid
                                AND w.relpersistence <> 't'
                             OFFSET 0) AS r  -- one by one, until there are enough
         LIMIT 4 * :top_relations) AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (SELECT w.nspname || '.' || r.relname || '.' || b.attname AS owner,
                            CASE b.atttypid WHEN 'pg_catalog.int2'::regtype THEN 32767
                                            WHEN 'pg_catalog.int4'::regtype THEN 2147483647
                            END AS most
                       FROM pg_catalog.pg_depend AS d
                       JOIN pg_catalog.pg_class AS r ON r.oid = d.refobjid
                       JOIN pg_catalog.pg_namespace AS w ON w.oid = r.relnamespace
                       JOIN pg_catalog.pg_attribute AS b ON b.attrelid = d.refobjid AND b.attnum = d.refobjsubid
                      WHERE d.classid = 'pg_catalog.pg_class'::regclass
                        AND d.objid = c.oid
                        AND d.refclassid = 'pg_catalog.pg_class'::regclass
                        AND d.deptype IN ('a', 'i')) AS o ON true
 CROSS JOIN LATERAL (SELECT CASE WHEN c.seqincrement > 0 THEN c.seqmin ELSE c.seqmax END AS first,
                            CASE WHEN c.seqincrement > 0 THEN least(c.seqmax, o.most) ELSE greatest(c.seqmin, - o.most - 1) END AS final) AS e
 CROSS JOIN LATERAL (SELECT CASE WHEN c.oid IN (SELECT l.relation
                                              FROM pg_catalog.pg_locks AS l
                                              JOIN pg_catalog.pg_database AS d ON d.oid = l.database
                                             WHERE l.locktype = 'relation'
                                               AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                                               AND d.datname = pg_catalog.current_database()) THEN 'locked'
                                 WHEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT, USAGE') THEN 'ok'
                                 ELSE 'denied'
                            END AS status) AS a
 CROSS JOIN LATERAL (SELECT CASE a.status WHEN 'ok' THEN pg_catalog.pg_sequence_last_value(c.oid) END AS last) AS v
 ORDER BY c.oid::bigint = ANY ((:members)::bigint[]) DESC, c.oid::bigint <= :furthest, c.oid
