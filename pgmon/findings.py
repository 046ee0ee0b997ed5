"""The verdict over a role's privileges: how grave each is, and the statement that takes it away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pgmon.config import Config
from pgmon.feature import Before, detail, row

SEVERITIES = ("refuse", "warn", "info")  # the gravest first

# How grave: by remark, by kind and privilege, or by kind. Whatever is not here lets the role write: refuse.
GRAVITY = {
    "no USAGE on the schema": "info",
    "no CONNECT on the database": "info",
    "not looked into by pgmon": "info",
    "everybody may": "info",
    "no privilege governs it": "info",
    "reads files of the server": "warn",
    "connects to other servers": "warn",
    "SECURITY DEFINER": "warn",
    "role BYPASSRLS": "warn",
    "membership pg_read_all_data": "info",
    "membership pg_read_server_files": "warn",
    "database TEMPORARY": "info",
    "parameter SET": "warn",
    "foreign data wrapper USAGE": "warn",
    "foreign server USAGE": "warn",
    "user mapping": "warn",
    "extension installed": "info",
    "tables": "warn",  # in the plural: privileges that an object to come will have
    "sequences": "warn",
    "schemas": "warn",
    "large objects": "warn",
}
DOING = {  # predefined roles that do something, and the administrators of clouds
    *("pg_write_all_data", "pg_write_server_files", "pg_execute_server_program", "pg_signal_backend"),
    *("pg_signal_autovacuum_worker", "pg_checkpoint", "pg_create_subscription", "pg_maintain", "pg_database_owner"),
    *("rds_superuser", "rds_replication", "cloudsqlsuperuser", "azure_pg_admin", "alloydbsuperuser", "neon_superuser"),
}

MADE_FOR_IT = "CREATE ROLE pgmon LOGIN PASSWORD '…' IN ROLE pg_monitor"
REVOKE = "REVOKE {privileges} ON {KIND} {object} FROM {holder}"
DEFAULT = "ALTER DEFAULT PRIVILEGES {object} REVOKE {privileges} ON {KIND} FROM {holder}"
ALTER_OWNER = "ALTER {KIND} {object} OWNER TO CURRENT_USER"
REASSIGN = "REASSIGN OWNED BY {holder} TO CURRENT_USER"
CURES = {  # by remark, by kind and privilege, or by kind; REVOKE for all others
    "made by initdb": MADE_FOR_IT,  # without it the cluster could have no superuser any more
    "role": "ALTER ROLE {holder} NO{privileges}",
    "database OWNER": ALTER_OWNER,
    "tablespace OWNER": ALTER_OWNER,
    "subscription OWNER": ALTER_OWNER,
    "objects GRANTS": REASSIGN + "; DROP OWNED BY {holder}",
    "user mapping": "DROP USER MAPPING FOR {holder} SERVER {object}",
    "extension installed": "DROP EXTENSION {object}",
    "tables": DEFAULT,
    "sequences": DEFAULT,
    "schemas": DEFAULT,
    "large objects": DEFAULT,
    "session": "",
}


@row
class Privilege:
    """Something that the role may do, by itself, through a role as which it can act, or as everybody."""

    kind: str = detail("What the object is, in the words of GRANT and ALTER; in the plural for default privileges.")
    privileges: list[str] = detail("What it may do: INSERT, SUPERUSER, OWNER, a role's name.")
    object: str = detail("To what, quoted.")
    database: str = detail("In which database; '' for the cluster.")
    holder: str = detail("Who has the privileges, quoted; PUBLIC is everybody.")
    grantor: str = detail("Who granted them, quoted; '' for the owner.")
    leave: list[str] = detail("Statements that end the memberships through which it has them; none to end for itself.")
    remark: str = detail("What else makes it more or less grave.")


@row
class Finding:
    """What the role can do besides reading, and the statement that takes it away."""

    severity: str = detail("refuse: it lets the role write; warn: it may; info: as every role has it, or tolerated.")
    what: str = detail("The privileges, and through whom the role has them.")
    object: str = detail("On what.")
    database: str = detail("In which database; empty when it concerns the whole cluster.")
    cure: str = detail("The statement to run in that database; empty where no privilege governs it.")


def judge(raw: Sequence[Privilege], before: Before[Privilege, Finding] | None, config: Config) -> list[Finding]:
    """Return the findings, the gravest first.

    >>> judge([Privilege("role", ["SUPERUSER"], "agent", "", "agent", "", [], "")], None, Config())[0].cure
    'ALTER ROLE agent NOSUPERUSER'
    """
    found = [finding for p in _elsewhere(raw, config) for finding in _judged(p, config.security.tolerate)]
    return sorted(found, key=lambda f: SEVERITIES.index(f.severity))


def _elsewhere(raw: Sequence[Privilege], config: Config) -> Iterator[Privilege]:
    """Yield the privileges; of what is inside of a database that is visited, that visit tells more."""
    open_to_us = sorted({p.database for p in raw if p.kind == "database" and "CONNECT" in p.privileges})
    visited = config.monitored(open_to_us)
    for p in raw:
        if p.kind == "database" and "CONNECT" in p.privileges:
            if p.database not in visited:
                yield replace(p, privileges=["CONNECT"], remark="not looked into by pgmon")
            yield replace(p, privileges=[each for each in p.privileges if each != "CONNECT"])
        elif p.kind != "objects":
            yield p
        elif p.database not in visited:
            usable = p.privileges == ["OWNER"] or p.database in open_to_us
            yield replace(p, remark="in a database that is not visited" if usable else "no CONNECT on the database")


def _judged(p: Privilege, tolerate: Sequence[str]) -> Iterator[Finding]:
    """Yield one finding for the privileges that are equally grave."""
    graded: dict[tuple[str, str], list[str]] = {}
    for privilege in p.privileges:
        graded.setdefault(_grade(p, privilege, tolerate), []).append(privilege)
    for (severity, remark), privileges in graded.items():
        if severity:
            what = _words(p, privileges) + (f": {remark}" if remark else "")
            yield Finding(severity, what, _object(p), p.database, _cure(p, privileges))


def _grade(p: Privilege, privilege: str, tolerate: Sequence[str]) -> tuple[str, str]:
    """Return the severity of a privilege, '' for none, and the remark to show."""
    if _is_tolerated(p, privilege, tolerate):
        return "info", "tolerated"
    if p.kind == "membership":
        return GRAVITY.get(f"membership {privilege}") or _gravity_of_role(privilege), ""
    by_kind = GRAVITY.get(f"{p.kind} {privilege}") or GRAVITY.get(p.kind) or "refuse"
    return GRAVITY.get(p.remark, by_kind), p.remark


def _is_tolerated(p: Privilege, privilege: str, tolerate: Sequence[str]) -> bool:
    if (p.kind, p.object, p.holder, privilege) == ("schema", "public", "PUBLIC", "CREATE"):
        return "public_schema_create" in tolerate
    return f"{p.object}:{privilege.partition(' (')[0]}" in tolerate  # a column's like its table's


def _gravity_of_role(role: str) -> str:
    """Return how grave a membership is in itself: what other roles hold is judged by itself."""
    if role in DOING:
        return "refuse"
    return "warn" if role.startswith("pg_") else ""


def _words(p: Privilege, privileges: Sequence[str]) -> str:
    words = ", ".join(privileges)
    if p.kind == "membership":
        return f"member of {words}"
    if p.holder == "PUBLIC":
        return words if p.remark in ("everybody may", "no privilege governs it") else f"{words} as everybody"
    return f"{words} through {p.holder}" if p.leave or p.holder.startswith("pg_") else words


def _object(p: Privilege) -> str:
    if p.kind == "membership":
        return f"role {p.object}"
    default = CURES.get(p.kind) == DEFAULT
    return f"default privileges {p.object}: {p.kind}" if default else f"{p.kind} {p.object}".strip()


def _cure(p: Privilege, privileges: Sequence[str]) -> str:
    """Return the statement that takes the privileges away, at no cost to others where it can be."""
    if p.leave:
        return "; ".join(p.leave)
    keys = (p.remark, f"{p.kind} {privileges[0]}", p.kind)
    template = next((CURES[key] for key in keys if key in CURES), REVOKE)
    if privileges == ["OWNER"] and template == REVOKE:
        template = ALTER_OWNER if p.holder.startswith("pg_") else REASSIGN  # which a predefined role is refused
    cure = template.format(privileges=", ".join(privileges), KIND=p.kind.upper(), object=p.object, holder=p.holder)
    return f"SET ROLE {p.grantor}; {cure}; RESET ROLE" if p.grantor else cure
