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
    Kind.UNREACHABLE: "look whether the server runs, and at host and port of the DSN",
    Kind.STARTING: "wait: it is read as soon as the server is up",
    Kind.SKIPPED: "raise budgets.{loop}: the statements before it used it up; it comes first next time",
    Kind.FAILED: "look into the server's log; if the statement is wrong, report it",
    Kind.BUG: "report it: the statement and the server's version are on the page",
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
    role = role.replace('"', '""')
    if kind is Kind.DENIED and (denied := _DENIED.search(message)):
        return f'GRANT {_GRANTS.get(denied["kind"], "SELECT ON")} {denied["name"]} TO "{role}"'
    return REMEDIES.get(kind, "").format(role=role, loop=loop)
