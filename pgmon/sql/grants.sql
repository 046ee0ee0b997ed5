-- What the role could do in one database: by grants to it, to a role it can act as and to PUBLIC, and by ownership.
WITH /* pgmon:grants */ RECURSIVE membership AS (
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
), schema AS (
    SELECT n.oid,
           n.nspname,
           n.nspowner,
           n.nspacl,
           CASE WHEN EXISTS (SELECT 1
                               FROM pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) AS a
                               JOIN holder AS h ON h.oid = a.grantee
                              WHERE a.privilege_type = 'USAGE')
                THEN ''
                ELSE 'no USAGE on the schema'
           END AS remark
      FROM pg_catalog.pg_namespace AS n
     WHERE n.nspname !~ '^pg_(toast|temp)'
), granted AS MATERIALIZED (
    SELECT t.attrelid, t.attname, t.attacl
      FROM pg_catalog.pg_attribute AS t
     WHERE t.attacl IS NOT NULL
       AND NOT t.attisdropped
), relation AS (
    -- In the catalogues nobody but a superuser can write, whatever is granted. Of most there is nothing to tell.
    SELECT c.oid,
           c.relkind,
           CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
           pg_catalog.format('%I.%I', s.nspname, c.relname) AS object,
           c.relowner,
           c.relacl,
           s.remark
      FROM pg_catalog.pg_class AS c
      JOIN schema AS s ON s.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
       AND s.nspname NOT IN ('pg_catalog', 'information_schema')
       AND (c.relacl IS NOT NULL
            OR (c.relowner < 16384 AND c.relowner <> 10)
            OR c.oid IN (SELECT g.attrelid FROM granted AS g))
), routine AS (
    SELECT p.oid::regprocedure::text AS object, p.prosecdef, p.proowner, l.remark, a.grantee, a.grantor
      FROM pg_catalog.pg_proc AS p
      JOIN schema AS s ON s.oid = p.pronamespace AND s.remark = ''
     CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS a
      LEFT JOIN (VALUES ('', ARRAY[
                             'heap_force_freeze', 'heap_force_kill', 'lo_export', 'lo_import', 'pg_backup_start',
                             'pg_backup_stop', 'pg_buffercache_evict', 'pg_buffercache_evict_all',
                             'pg_buffercache_evict_relation', 'pg_create_restore_point', 'pg_file_rename',
                             'pg_file_sync', 'pg_file_unlink', 'pg_file_write',
                             'pg_log_standby_snapshot', 'pg_promote', 'pg_reload_conf', 'pg_replication_origin_advance',
                             'pg_replication_origin_create', 'pg_replication_origin_drop',
                             'pg_replication_origin_session_reset', 'pg_replication_origin_session_setup',
                             'pg_replication_origin_xact_reset', 'pg_replication_origin_xact_setup', 'pg_rotate_logfile',
                             'pg_start_backup', 'pg_stat_reset', 'pg_stat_reset_backend_stats',
                             'pg_stat_reset_replication_slot', 'pg_stat_reset_shared',
                             'pg_stat_reset_single_function_counters', 'pg_stat_reset_single_table_counters',
                             'pg_stat_reset_slru', 'pg_stat_reset_subscription_stats', 'pg_stat_statements_reset',
                             'pg_stop_backup', 'pg_switch_wal', 'pg_truncate_visibility_map', 'pg_wal_replay_pause',
                             'pg_wal_replay_resume']),
                        ('reads files of the server', ARRAY[
                             'pg_ls_dir', 'pg_read_binary_file', 'pg_read_file', 'pg_stat_file']),
                        ('connects to other servers', ARRAY[
                             'dblink', 'dblink_connect', 'dblink_connect_u', 'dblink_exec']),
                        ('everybody may', ARRAY[
                             'lo_creat', 'lo_create', 'lo_from_bytea', 'pg_logical_emit_message'])) AS l(remark, names)
        ON p.proname = ANY (l.names)
     WHERE (l.remark <> ''
            OR (l.remark = '' AND p.proacl IS NOT NULL)  -- without an ACL it looks at the role by itself
            OR (l.remark IS NULL AND p.prosecdef AND s.nspname NOT IN ('pg_catalog', 'information_schema')))
       AND a.grantee IN (SELECT h.oid FROM holder AS h)
       AND a.grantee <> p.proowner
), acl AS (
    SELECT r.kind, r.object, r.relowner AS owner, a.grantee, a.grantor, a.privilege_type AS privilege, r.remark
      FROM relation AS r
     CROSS JOIN LATERAL pg_catalog.aclexplode(r.relacl) AS a
     WHERE a.privilege_type <> 'SELECT'
     UNION ALL
    SELECT r.kind, r.object, r.relowner, a.grantee, a.grantor,
           pg_catalog.format('%s (%I)', a.privilege_type, t.attname), r.remark
      FROM relation AS r
      JOIN granted AS t ON t.attrelid = r.oid
     CROSS JOIN LATERAL pg_catalog.aclexplode(t.attacl) AS a
     WHERE a.privilege_type <> 'SELECT'
     UNION ALL
    SELECT 'schema', pg_catalog.quote_ident(s.nspname), s.nspowner, a.grantee, a.grantor, a.privilege_type, ''
      FROM schema AS s
     CROSS JOIN LATERAL pg_catalog.aclexplode(s.nspacl) AS a
     WHERE a.privilege_type = 'CREATE'
     UNION ALL
    SELECT 'large object', l.oid::text, l.lomowner, a.grantee, a.grantor, a.privilege_type, ''
      FROM (SELECT o.oid, o.lomowner, o.lomacl
              FROM pg_catalog.pg_largeobject_metadata AS o
             LIMIT 100000) AS l  -- there may be millions
     CROSS JOIN LATERAL pg_catalog.aclexplode(l.lomacl) AS a
     WHERE a.privilege_type <> 'SELECT'
     UNION ALL
    SELECT 'foreign data wrapper', pg_catalog.quote_ident(w.fdwname), w.fdwowner, a.grantee, a.grantor, a.privilege_type, ''
      FROM pg_catalog.pg_foreign_data_wrapper AS w
     CROSS JOIN LATERAL pg_catalog.aclexplode(w.fdwacl) AS a
     UNION ALL
    SELECT 'foreign server', pg_catalog.quote_ident(s.srvname), s.srvowner, a.grantee, a.grantor, a.privilege_type, ''
      FROM pg_catalog.pg_foreign_server AS s
     CROSS JOIN LATERAL pg_catalog.aclexplode(s.srvacl) AS a
     UNION ALL
    SELECT CASE d.defaclobjtype::text WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'n' THEN 'schemas'
                                      ELSE 'large objects'
           END,
           pg_catalog.format('FOR ROLE %I', o.rolname) || coalesce(' IN SCHEMA ' || pg_catalog.quote_ident(n.nspname), ''),
           d.defaclrole, a.grantee, 0, a.privilege_type, ''
      FROM pg_catalog.pg_default_acl AS d
      JOIN pg_catalog.pg_roles AS o ON o.oid = d.defaclrole
      LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = d.defaclnamespace
     CROSS JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) AS a
     WHERE d.defaclobjtype::text IN ('r', 'S', 'n', 'L')
       AND NOT (a.privilege_type = 'SELECT' OR (a.privilege_type = 'USAGE' AND d.defaclobjtype::text = 'n'))
     UNION ALL
    SELECT 'routine', pg_catalog.string_agg(DISTINCT r.object, ', '), r.proowner, r.grantee, r.grantor, 'EXECUTE', r.remark
      FROM routine AS r
     WHERE r.remark IS NOT NULL
     GROUP BY r.proowner, r.grantee, r.grantor, r.remark
     UNION ALL
    SELECT 'routine', d.object, d.proowner, d.grantee, d.grantor, 'EXECUTE', 'SECURITY DEFINER'
      FROM (SELECT r.* FROM routine AS r WHERE r.remark IS NULL ORDER BY r.object, r.grantee, r.grantor LIMIT 20) AS d
), owned AS (
    SELECT i.type AS kind, i.identity AS object, d.refobjid AS owner
      FROM (SELECT s.classid, s.objid, s.refobjid
              FROM pg_catalog.pg_shdepend AS s
             WHERE s.dbid = (SELECT b.oid FROM pg_catalog.pg_database AS b WHERE b.datname = pg_catalog.current_database())
               AND s.refclassid = 'pg_catalog.pg_authid'::regclass
               AND s.refobjid IN (SELECT r.oid FROM reach AS r)
               AND s.deptype = 'o'
               AND s.classid NOT IN ('pg_catalog.pg_user_mapping'::regclass, 'pg_catalog.pg_default_acl'::regclass)
             ORDER BY s.classid, s.objid
             LIMIT 200) AS d
     CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS i
     UNION ALL
    -- What a predefined role owns has no entry there.
    SELECT p.kind, p.object, p.owner
      FROM (SELECT CASE r.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
                                  ELSE r.kind END AS kind,
                   r.object, r.relowner AS owner
              FROM relation AS r
             UNION ALL
            SELECT 'schema', pg_catalog.quote_ident(s.nspname), s.nspowner FROM schema AS s
             UNION ALL
            SELECT 'routine', f.oid::regprocedure::text, f.proowner FROM pg_catalog.pg_proc AS f) AS p
     WHERE p.owner <> 10
       AND p.owner < 16384
)
SELECT f.kind, f.privileges, f.object, pg_catalog.current_database()::text AS database, f.holder, f.grantor, f.leave, f.remark
  FROM (SELECT a.kind, pg_catalog.array_agg(a.privilege ORDER BY a.privilege) AS privileges, a.object, h.holder,
               coalesce(pg_catalog.quote_ident(g.rolname), '') AS grantor, h.leave, a.remark
          FROM acl AS a
          JOIN holder AS h ON h.oid = a.grantee
          LEFT JOIN pg_catalog.pg_roles AS g ON g.oid = a.grantor AND a.grantor <> a.owner
         WHERE a.grantee <> a.owner
         GROUP BY a.kind, a.object, h.holder, g.rolname, h.leave, a.remark
         UNION ALL
        SELECT o.kind, ARRAY['OWNER'], o.object, h.holder, '', h.leave, ''
          FROM owned AS o
          JOIN holder AS h ON h.oid = o.owner
         UNION ALL
        SELECT 'user mapping', ARRAY['USER MAPPING'], pg_catalog.quote_ident(u.srvname), h.holder, '', h.leave, ''
          FROM pg_catalog.pg_user_mappings AS u
          JOIN holder AS h ON h.oid = u.umuser AND h.oid <> 0
         UNION ALL
        SELECT 'extension', ARRAY['installed'], 'postgres_fdw', 'PUBLIC', '', '{}', ''
          FROM pg_catalog.pg_extension AS e
         WHERE e.extname = 'postgres_fdw') AS f
 ORDER BY f.remark <> '', f.kind, f.object, f.privileges, f.holder, f.grantor
 LIMIT 500
