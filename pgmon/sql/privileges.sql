-- What the role could do to the cluster: by its attributes, memberships, and privileges on what all databases share.
WITH /* pgmon:privileges */ RECURSIVE membership AS (
    -- Before 16 every member can SET ROLE; since then a membership may lack SET and INHERIT.
    SELECT m.roleid,
           m.member,
           m.admin_option AS gives_itself_more,
           coalesce((pg_catalog.to_jsonb(m) ->> 'inherit_option')::boolean, true) AS inherits,
           coalesce((pg_catalog.to_jsonb(m) ->> 'set_option')::boolean, true) AS sets_role,
           coalesce(' GRANTED BY ' || pg_catalog.quote_ident(g.rolname), '') AS granted_by
      FROM pg_catalog.pg_auth_members AS m
      LEFT JOIN pg_catalog.pg_roles AS g ON g.oid = m.grantor AND g.oid <> 10  -- initdb's superuser goes without saying
), reach AS (
    -- Every role as which this one can act, and how to leave it. What monitoring needs is not left.
    SELECT r.oid, r.rolname, true AS sets_role, NULL::text COLLATE "C" AS leave
      FROM pg_catalog.pg_roles AS r
     WHERE r.rolname = session_user
     UNION
    SELECT r.oid,
           r.rolname,
           m.gives_itself_more OR (m.sets_role AND h.sets_role),
           CASE WHEN r.rolname NOT IN ('pg_monitor', 'pg_read_all_settings', 'pg_read_all_stats', 'pg_stat_scan_tables',
                                       'pg_use_reserved_connections')
                THEN coalesce(h.leave, pg_catalog.format('REVOKE %I FROM %I%s', r.rolname, h.rolname, m.granted_by))
           END
      FROM reach AS h
      JOIN membership AS m ON m.member = h.oid
      JOIN pg_catalog.pg_roles AS r ON r.oid = m.roleid
     WHERE m.inherits OR m.gives_itself_more OR (m.sets_role AND h.sets_role)
), holder AS (
    SELECT r.oid,
           pg_catalog.quote_ident(r.rolname) AS holder,
           coalesce(pg_catalog.array_agg(DISTINCT r.leave) FILTER (WHERE r.leave IS NOT NULL), '{}') AS leave
      FROM reach AS r
     GROUP BY r.oid, r.rolname
     UNION ALL
    SELECT 0, 'PUBLIC', '{}'
), acl AS (
    SELECT 'database' AS kind, pg_catalog.quote_ident(d.datname) AS object, d.datname::text AS database, d.datdba AS owner,
           a.grantee, a.grantor, a.privilege_type AS privilege
      FROM pg_catalog.pg_database AS d
     CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) AS a
     WHERE d.datallowconn
       AND d.datconnlimit <> -2  -- DROP DATABASE was interrupted
     UNION ALL
    SELECT 'tablespace', pg_catalog.quote_ident(t.spcname), '', t.spcowner, a.grantee, a.grantor, a.privilege_type
      FROM pg_catalog.pg_tablespace AS t
     CROSS JOIN LATERAL pg_catalog.aclexplode(t.spcacl) AS a
), owned AS (
    SELECT 'database' AS kind, pg_catalog.quote_ident(d.datname) AS object, d.datname::text AS database, d.datdba AS owner
      FROM pg_catalog.pg_database AS d
     UNION ALL
    SELECT 'tablespace', pg_catalog.quote_ident(t.spcname), '', t.spcowner
      FROM pg_catalog.pg_tablespace AS t
     UNION ALL
    SELECT 'subscription', pg_catalog.quote_ident(s.subname), d.datname::text, s.subowner
      FROM pg_catalog.pg_subscription AS s
      JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid
), dependent AS (
    -- What this role owns, or was granted, inside of databases; a grant to PUBLIC leaves no trace here.
    SELECT DISTINCT d.datname::text AS database, s.refobjid, s.deptype
      FROM pg_catalog.pg_shdepend AS s
      JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
     WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass
       AND s.refobjid IN (SELECT r.oid FROM reach AS r)
       AND s.deptype IN ('o', 'a')
       AND s.classid NOT IN ('pg_catalog.pg_user_mapping'::regclass, 'pg_catalog.pg_default_acl'::regclass)
)
SELECT f.kind, f.privileges, f.object, f.database, f.holder, f.grantor, f.leave, f.remark
  FROM (SELECT 'role' AS kind, ARRAY[v.attribute] AS privileges, h.holder AS object, '' AS database,
               h.holder, '' AS grantor, h.leave, CASE h.oid WHEN 10 THEN 'made by initdb' ELSE '' END AS remark
          FROM holder AS h
          JOIN pg_catalog.pg_roles AS r ON r.oid = h.oid
         CROSS JOIN LATERAL (VALUES ('SUPERUSER', r.rolsuper), ('CREATEDB', r.rolcreatedb), ('CREATEROLE', r.rolcreaterole),
                                    ('REPLICATION', r.rolreplication), ('BYPASSRLS', r.rolbypassrls)) AS v(attribute, held)
         WHERE v.held
         UNION ALL
        SELECT 'membership', ARRAY[r.rolname::text], pg_catalog.quote_ident(session_user), '', h.holder, '', h.leave, ''
          FROM holder AS h
          JOIN pg_catalog.pg_roles AS r ON r.oid = h.oid
         WHERE h.leave <> '{}'
         UNION ALL
        SELECT o.kind, ARRAY['OWNER'], o.object, o.database, h.holder, '', h.leave, ''
          FROM owned AS o
          JOIN holder AS h ON h.oid = o.owner
         WHERE h.oid <> 10  -- initdb's superuser owns everything
         UNION ALL
        SELECT 'objects', ARRAY[CASE d.deptype WHEN 'o' THEN 'OWNER' ELSE 'GRANTS' END], '', d.database, h.holder, '',
               h.leave, ''
          FROM dependent AS d
          JOIN holder AS h ON h.oid = d.refobjid
         UNION ALL
        SELECT a.kind, pg_catalog.array_agg(a.privilege ORDER BY a.privilege), a.object, a.database, h.holder,
               coalesce(pg_catalog.quote_ident(g.rolname), ''), h.leave, ''
          FROM acl AS a
          JOIN holder AS h ON h.oid = a.grantee
          LEFT JOIN pg_catalog.pg_roles AS g ON g.oid = a.grantor AND a.grantor <> a.owner
         WHERE a.grantee <> a.owner
         GROUP BY a.kind, a.object, a.database, h.holder, g.rolname, h.leave
         UNION ALL
        SELECT 'session', ARRAY['NOTIFY', 'advisory locks', 'PREPARE TRANSACTION'], session_user::text, '', 'PUBLIC', '',
               '{}', 'no privilege governs it') AS f
 ORDER BY f.kind IN ('database', 'objects'), f.kind, f.database, f.object, f.privileges, f.holder, f.grantor
 LIMIT 5000
