"""What readers read: the last good rows of every feature of a tier, and what failed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pgmon.errors import Kind, QueryError
from pgmon.facts import Facts, Incarnation
from pgmon.feature import Feature

Key = tuple[str, str]  # feature, database ('' for the cluster)

# What is not there is no failure of ours: it is said, and counted by nobody.
ABSENT = frozenset({Kind.UNSUPPORTED, Kind.MISSING, Kind.GONE})
NO_FAULT = ABSENT | {Kind.WAITING}  # nor is what has yet to come


@dataclass(frozen=True, slots=True)
class Reading:
    """The last good rows of a feature in a database, and the failure since, if any. Times are monotonic."""

    feature: Feature[Any, Any]
    db: str  # '' for the cluster
    sql: str = ""  # the very text that was sent
    raw: Sequence[Any] = ()  # what the statement returned
    rows: Sequence[Any] = ()  # what readers see
    taken: float | None = None  # None: never read
    seconds: float = 0.0  # that the statement took
    incarnation: Incarnation | None = None  # of the server, when `raw` was taken
    tried: Incarnation | None = None  # … at the last attempt
    # Where another server took the place of the first one, the rows as first seen of it, by their labels: what it had
    # counted before is no increase here.
    first: Mapping[tuple[str, ...], Any] | None = None
    failure: Kind | None = None
    message: str = ""
    failures: int = 0  # in a row
    due: float = 0.0

    def alive(self, now: float, max_stale: float) -> bool:
        """Tell whether the rows may still be exported."""
        return self.taken is not None and now - self.taken <= max_stale


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One tier after a flight. Totals are since the start of the agent."""

    taken: float  # monotonic, start of the flight
    due: float
    seconds: float = 0.0  # that the flight took
    readings: Mapping[Key, Reading] = field(default_factory=dict)
    facts: Facts | None = None  # the last ones seen
    failure: QueryError | None = None  # why this flight saw none
    errors: int = 0  # total of failed readings
    asked_seconds: float = 0.0  # total spent waiting for PostgreSQL

    @property
    def success(self) -> bool:
        """Whether everything worked that exists here."""
        return self.failure is None and all(r.failure is None or r.failure in NO_FAULT for r in self.readings.values())


@dataclass(frozen=True, slots=True)
class Cadence:
    """Seconds between readings, seconds a flight may take, and the age at which rows are no longer exported."""

    ttl: float
    budget: float
    max_stale: float

    @property
    def again(self) -> float:
        """Seconds after which a reading is due.

        A little before the TTL: a scraper at exactly the TTL would otherwise find it 14.99 s old every other time.
        """
        return self.ttl - min(1.0, self.ttl / 10)
