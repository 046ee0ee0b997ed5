-- What the role could write. A member can SET ROLE, so NOINHERIT protects nothing.
WITH /* pgmon:privileges */ reach AS MATERIALIZED (
    SELECT r.*
      FROM pg_catalog.pg_roles AS r
     WHERE r.rolname = session_user
        OR (NOT (SELECT m.rolsuper FROM pg_catalog.pg_roles AS m WHERE m.rolname = session_user)
            AND pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER'))
), grantee AS (
    SELECT r.oid, r.rolname::text AS holder FROM reach AS r
     UNION ALL
    SELECT 0, 'PUBLIC'
), relation AS MATERIALIZED (
    SELECT c.relowner,
           c.relacl,
           pg_catalog.format('%I.%I', n.nspname, c.relname) AS object
      FROM pg_catalog.pg_class AS c
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
       AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
)
SELECT f.kind, f.privilege, f.object, f.holder, session_user::text AS role
  FROM (SELECT 'attribute' AS kind, v.privilege, '' AS object, r.rolname::text AS holder
          FROM reach AS r
         CROSS JOIN LATERAL (VALUES ('SUPERUSER', r.rolsuper), ('CREATEDB', r.rolcreatedb), ('CREATEROLE', r.rolcreaterole),
                                    ('REPLICATION', r.rolreplication), ('BYPASSRLS', r.rolbypassrls)) AS v(privilege, held)
         WHERE v.held
         UNION ALL
        SELECT 'role', r.rolname::text, '', r.rolname::text
          FROM reach AS r
         WHERE r.rolname <> session_user
           AND (r.rolname ~ '^pg_'
                OR r.rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin', 'alloydbsuperuser'))
         UNION ALL
        SELECT 'owner', 'OWNER', o.object, r.rolname::text
          FROM relation AS o
          JOIN reach AS r ON r.oid = o.relowner
         UNION ALL
        SELECT 'relation', a.privilege_type, o.object, g.holder
          FROM relation AS o
         CROSS JOIN LATERAL pg_catalog.aclexplode(o.relacl) AS a
          JOIN grantee AS g ON g.oid = a.grantee
         WHERE a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN')) AS f
 ORDER BY f.kind, f.object, f.privilege, f.holder
 LIMIT 200
