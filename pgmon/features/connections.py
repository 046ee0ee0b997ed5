"""Client connections against what the server allows (pg_stat_activity)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

from pgmon.config import Config
from pgmon.feature import Before, Feature, Tier, detail, gauge, label, row
from pgmon.rule import Over, Rule

K = TypeVar("K")

STATES = ("active", "idle", "idle in transaction")  # shown as 0, too, for every database that has a session
WAITS = ("Lock", "LWLock", "IO", "IPC", "Client", "Timeout", "BufferPin", "Extension")


@row
class Backends:
    """Client backends that have state and wait in common."""

    db: str = label("Database they are connected to.")
    state: str = label("State as pg_stat_activity has it.")
    wait_event_type: str = label("What an active one waits for; '' when it does not.")
    sessions: int = detail("How many.")
    max_connections: int = detail("Setting.")
    usable_connections: int = detail("Without those reserved for superusers and pg_use_reserved_connections.")


@row
class Connections:
    """Client connections against what the server allows; background processes take no place."""

    connections: int = gauge("pg_connections", "Client backends connected, over all databases.")
    max_connections: int = gauge("pg_max_connections", "The setting max_connections.")
    usable_connections: int = gauge(
        "pg_usable_connections", "max_connections without the connections reserved for superusers and reserved roles."
    )
    used_ratio: float = gauge("pg_connections_used_ratio", "Client backends per usable connection.", "ratio")


@row
class ByState:
    """Client connections of each database by what they do."""

    db: str = label("Database.")
    state: str = label("State as pg_stat_activity has it.")
    sessions: int = gauge("pg_connections_by_state", "Client backends of a database in a state.")


@row
class Waiting:
    """Active sessions by what they wait for."""

    wait_event_type: str = label("Class of the wait event.")
    sessions: int = gauge("pg_waiting_sessions", "Active client backends that wait, by class of wait event.")


def total(now: Sequence[Backends], before: Before[Backends, Connections] | None, config: Config) -> list[Connections]:
    """Sum up over all databases."""
    sessions, usable = sum(b.sessions for b in now), now[0].usable_connections
    return [Connections(sessions, now[0].max_connections, usable, sessions / max(usable, 1))]


def by_state(now: Sequence[Backends], before: Before[Backends, ByState] | None, config: Config) -> list[ByState]:
    """Count by database and state."""
    zeros = ((db, state) for db in {b.db for b in now} for state in STATES)
    counted = _counted((((b.db, b.state), b.sessions) for b in now), zeros)
    return [ByState(db, state, n) for (db, state), n in sorted(counted.items())]


def waiting(now: Sequence[Backends], before: Before[Backends, Waiting] | None, config: Config) -> list[Waiting]:
    """Count the active ones by what they wait for."""
    waits = ((b.wait_event_type, b.sessions) for b in now if b.wait_event_type)
    return [Waiting(event, n) for event, n in sorted(_counted(waits, WAITS).items())]


def _counted(pairs: Iterable[tuple[K, int]], zeros: Iterable[K]) -> Counter[K]:
    counted = Counter(dict.fromkeys(zeros, 0))
    for key, n in pairs:
        counted[key] += n
    return counted


CONNECTIONS = Feature(
    "connections",
    Tier.HOT_PATH,
    Backends,
    Connections,
    total,
    panel="overview",
    rules=(
        Rule(
            "ConnectionSaturation",
            (Over("used_ratio", "connections_warn", "connections_crit"),),
            hold=120,
            message="Connections at {used_ratio:.0%} of max ({connections} of {usable_connections} usable)",
        ),
    ),
)
BY_STATE = Feature("connections_by_state", Tier.HOT_PATH, Backends, ByState, by_state, of=CONNECTIONS, panel="activity")
WAITING = Feature("waiting_sessions", Tier.HOT_PATH, Backends, Waiting, waiting, of=CONNECTIONS, panel="activity")
