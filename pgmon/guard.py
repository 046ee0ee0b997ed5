"""The guard: refuses a role that can write, before anything else is asked of a server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from pgmon.errors import Kind, QueryError
from pgmon.facts import Facts
from pgmon.feature import Feature, Params, Tier
from pgmon.features.privileges import PRIVILEGES, Privilege
from pgmon.refresh import Source

TIME = 10.0  # seconds to judge a server nobody has seen: 1.6 million columns take 0.2 s
SHOWN = 20

# What the predefined roles are: part of the job, only reading, or doing something. One that nobody knows is a warning.
FINE = ("pg_monitor", "pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables", "pg_use_reserved_connections")
READING = {"pg_read_all_data": "info", "pg_read_server_files": "warn"}
DOING = (
    "pg_write_all_data",
    "pg_write_server_files",
    "pg_execute_server_program",
    "pg_signal_backend",
    "pg_signal_autovacuum_worker",
    "pg_checkpoint",
    "pg_create_subscription",
    "pg_maintain",
    "pg_database_owner",
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a read-only role should not have, and the statement that takes it away."""

    severity: str  # refuse, warn or info
    what: str
    cure: str


def judge(privileges: Sequence[Privilege]) -> list[Finding]:
    """Return the findings, the gravest first.

    >>> judge([Privilege("attribute", "SUPERUSER", "", "monitor", "monitor")])[0].cure
    'ALTER ROLE monitor NOSUPERUSER'
    """
    found = [finding for p in privileges if (finding := _judged(p))]
    return sorted(found, key=lambda f: ("refuse", "warn", "info").index(f.severity))


def _judged(p: Privilege) -> Finding | None:
    via = "" if p.holder == p.role else f" (through {p.holder})"
    if p.kind == "attribute":
        severity = "warn" if p.privilege == "BYPASSRLS" else "refuse"
        return Finding(severity, f"{p.privilege}{via}", _role_cure(p, f"NO{p.privilege}"))
    if p.kind == "role":
        return (
            None if p.privilege in FINE else Finding(_role_severity(p.privilege), f"member of {p.privilege}", _leave(p))
        )
    if p.kind == "owner":
        owner = "OWNER TO another_role"
        return Finding("refuse", f"owns {p.object}{via}", f"ALTER TABLE {p.object} {owner}" if not via else _leave(p))
    return Finding(
        "refuse", f"{p.privilege} on {p.object}{via}", f"REVOKE {p.privilege} ON {p.object} FROM {_quoted(p.holder)}"
    )


def _role_severity(role: str) -> str:
    """Return how grave a membership is; what is no role of PostgreSQL itself is a cloud's administrator."""
    if role in DOING or not role.startswith("pg_"):
        return "refuse"
    return READING.get(role, "warn")


def _role_cure(p: Privilege, attribute: str) -> str:
    return f"ALTER ROLE {_quoted(p.role)} {attribute}" if p.holder == p.role else _leave(p)


def _leave(p: Privilege) -> str:
    return f"REVOKE {_quoted(p.holder)} FROM {_quoted(p.role)}"


def _quoted(role: str) -> str:
    plain = role == "PUBLIC" or (role.isascii() and role.isidentifier() and role == role.lower())
    return role if plain else '"' + role.replace('"', '""') + '"'


class Guard:
    """The door, behind a look at what the role may do on every server it has not seen."""

    def __init__(
        self, door: Source, enforce: bool, monotonic: Callable[[], float], refused: Callable[[], None]
    ) -> None:
        self._door, self._enforce, self._now, self._refused = door, enforce, monotonic, refused
        self._lock = threading.Lock()
        self._judged: set[tuple[str, str]] = set()  # system identifier, role
        self.findings: Sequence[Finding] | None = None  # None: no server was seen yet

    def facts(self, db: str, tier: Tier, deadline: float) -> Facts:
        """Return what the server is. Raises QueryError, of kind 'refused' where the role can write."""
        facts = self._door.facts(db, tier, deadline)
        if facts.monitors and (facts.system_identifier, facts.role) not in self._judged:
            self._admit(facts, deadline)
        return facts

    def ask(self, feature: Feature[Any, Any], facts: Facts, params: Params, deadline: float) -> tuple[str, list[Any]]:
        """Ask the door."""
        return self._door.ask(feature, facts, params, deadline)

    def _admit(self, facts: Facts, deadline: float) -> None:
        """Judge a server once; the flights that come meanwhile wait for the verdict as long as they may."""
        if not self._lock.acquire(timeout=max(deadline - self._now(), 0.0)):
            raise QueryError(Kind.SKIPPED, "the privileges of the role are being looked at")
        try:
            if (facts.system_identifier, facts.role) in self._judged:
                return
            _, rows = self._door.ask(PRIVILEGES, facts, {}, self._now() + TIME)
            self.findings = judge(rows)
            if self._enforce and self.refusals:
                self._refused()
                raise QueryError(Kind.REFUSED, self.verdict)
            self._judged.add((facts.system_identifier, facts.role))
            self._say()
        finally:
            self._lock.release()

    def _say(self) -> None:
        for finding in self.findings or ():
            say = log.error if finding.severity == "refuse" else log.info
            say("privilege of a role that should only read", finding=finding.what, cure=finding.cure)

    @property
    def refusals(self) -> list[Finding]:
        """The findings for which pgmon does not run, unless read_only_enforce is off."""
        return [f for f in self.findings or () if f.severity == "refuse"]

    @property
    def verdict(self) -> str:
        """Return the refusals as text, one per line with its cure."""
        lines = [f"  {f.what}: {f.cure}" for f in self.refusals[:SHOWN]]
        more = len(self.refusals) - SHOWN
        return "\n".join(["the role can write; take that away, or use one made for monitoring:", *lines]) + (
            f"\n  … and {more} more" if more > 0 else ""
        )
