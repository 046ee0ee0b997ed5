"""The last hour of a few features, as their readers saw them: what the pages draw. Prometheus has the rest."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgmon.facts import Incarnation
from pgmon.feature import Feature, Tier
from pgmon.features import FEATURES
from pgmon.snapshot import Cadence, Key, Reading, Snapshot

KEPT: Collection[str] = (
    "connections",
    "transactions",
    "temp",
    "throughput",
    "statements",
    "latency",
    "wal",
    "checkpoints",
    "sizes",
)
TIERS = {f.name: f.tier for f in FEATURES if f.name in KEPT}
SPAN = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows of a good reading. `taken` is monotonic."""

    taken: float
    incarnation: Incarnation | None
    rows: Sequence[Any]


class History:
    """Hears every snapshot, and keeps what is not older than an hour, and the first; it ends with the process."""

    def __init__(self, cadences: Mapping[Tier, Cadence]) -> None:
        self._cadences = cadences
        self._samples: dict[Key, tuple[Sample, ...]] = {}
        self._first: dict[Key, Sample] = {}
        self._lock = threading.Lock()

    def __call__(self, snapshot: Snapshot) -> None:
        """Keep what is new, and nothing of databases that are gone."""
        read = {reading.feature.tier for reading in snapshot.readings.values()}
        with self._lock:
            for key in [k for k in self._samples if TIERS[k[0]] in read and k not in snapshot.readings]:
                del self._samples[key], self._first[key]
            for reading in snapshot.readings.values():
                if reading.feature.name in KEPT and reading.taken is not None and reading.failure is None:
                    self._keep(reading, reading.taken)

    def _keep(self, reading: Reading, taken: float) -> None:
        key = reading.feature.name, reading.db
        samples = self._samples.get(key, ())
        if not samples or samples[-1].taken < taken:
            most = int(SPAN / self._cadences[reading.feature.tier].again) + 1
            new = Sample(taken, reading.incarnation, reading.rows)
            self._first.setdefault(key, new)
            self._samples[key] = tuple(s for s in (*samples[-most:], new) if taken - s.taken <= SPAN)

    def of(self, feature: Feature[Any, Any], db: str = "") -> Sequence[Sample]:
        """Return the samples of a feature in a database, the oldest first."""
        return self._samples.get((feature.name, db), ())

    def first(self, feature: Feature[Any, Any], db: str = "") -> Sample | None:
        """Return the first sample since the start of the agent, or since the database was there, however long ago."""
        return self._first.get((feature.name, db))
