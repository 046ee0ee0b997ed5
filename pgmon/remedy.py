"""What an operator can do about a feature that could not be read."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pgmon.errors import Kind

_DENIED = re.compile(r"permission denied for (?P<kind>function|view|table|relation|schema) (?P<name>[\w.\"]+)")
_GRANTS = {"function": "EXECUTE ON FUNCTION", "schema": "USAGE ON SCHEMA"}  # all else is to be selected from

REMEDIES: Mapping[Kind, str] = {
    Kind.TIMEOUT: "raise timeouts.statement_timeout_ms or budgets.{loop}, or look at its statement with EXPLAIN",
    Kind.LOCKED: "find who holds a lock on the catalogue for long; it is tried again by itself",
    Kind.DENIED: 'GRANT pg_monitor TO "{role}"',
    Kind.MISSING: "add pg_stat_statements to shared_preload_libraries and restart the server",
    Kind.SATURATED: "raise max_connections, or set reserved_connections aside and GRANT pg_use_reserved_connections",
    Kind.REJECTED: "look at the password of the DSN, at pg_hba.conf and at sslmode",
    Kind.GONE: "look at the name of the database in the DSN",
    Kind.UNREACHABLE: "look whether the server runs, and at host and port of the DSN",
    Kind.STARTING: "wait: it is read as soon as the server is up",
    Kind.SKIPPED: "raise budgets.{loop}: the statements before it used it up; it comes first next time",
    Kind.WAITING: "wait: it is read as soon as that is known",
    Kind.FAILED: "look into the server's log; if the statement is wrong, report it",
    Kind.BUG: "report it: the statement and the server's version are on the page",
}

# A refused login, by the server's or libpq's words, where they are English.
LOGINS: Mapping[str, str] = {
    "password": "give the role's password in the DSN, in the file of PGMON_DSN_FILE or in that of PGPASSFILE",
    "pg_hba.conf": "let the role in by a line of pg_hba.conf, above any that rejects it, and reload the server: "
    "hostssl all pgmon ADDRESS/32 scram-sha-256",
    "not permitted to log in": "let the role log in: ALTER ROLE … LOGIN",
    "role": "make the role with examples/role.sql, or correct the user of the DSN",
    "certificate": "name the authority of the server's certificate by sslrootcert in the DSN, and the server as in it",
    "SSL": "set ssl = on in postgresql.conf; sslmode=disable in the DSN only where nobody can listen",
    "startup parameter": "a pooler is in front: name PostgreSQL's own address in the DSN; what makes a session "
    "read-only does not pass a pooler",
}


def remedy(kind: Kind, message: str, role: str, loop: str) -> str:
    """Return what to do about a failure of `kind`; '' where the message says it, or where nothing can be done.

    >>> remedy(Kind.DENIED, 'permission denied for function pg_ls_waldir', 'pgmon', 'workload')
    'GRANT EXECUTE ON FUNCTION pg_ls_waldir TO "pgmon"'
    >>> remedy(Kind.MISSING, 'the extension x is not in this database: CREATE EXTENSION x', 'pgmon', 'workload')
    ''
    """
    if "GRANT " in message or "CREATE EXTENSION " in message:
        return ""
    if kind is Kind.REJECTED and (found := next((cure for said, cure in LOGINS.items() if said in message), "")):
        return found
    role = role.replace('"', '""')
    if kind is Kind.DENIED and (denied := _DENIED.search(message)):
        return f'GRANT {_GRANTS.get(denied["kind"], "SELECT ON")} {denied["name"]} TO "{role}"'
    return REMEDIES.get(kind, "").format(role=role, loop=loop)
