"""The last hour of a few features, as their readers saw them: what the pages draw. Prometheus has the rest."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgmon.feature import Feature, Tier
from pgmon.features.checkpoints import CHECKPOINTS
from pgmon.features.connections import CONNECTIONS
from pgmon.features.statements import LATENCY, STATEMENTS
from pgmon.features.temp import TEMP
from pgmon.features.throughput import THROUGHPUT
from pgmon.features.transactions import TRANSACTIONS
from pgmon.features.wal import WAL
from pgmon.snapshot import Cadence, Reading, Snapshot

KEPT: Collection[Feature[Any, Any]] = (
    CONNECTIONS,
    TRANSACTIONS,
    TEMP,
    THROUGHPUT,
    STATEMENTS,
    LATENCY,
    WAL,
    CHECKPOINTS,
)
SPAN = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows of a good reading. `taken` is monotonic."""

    taken: float
    incarnation: tuple[object, ...]
    rows: Sequence[Any]


class History:
    """Hears every snapshot, and keeps what is not older than an hour; it ends with the process."""

    def __init__(self, cadences: Mapping[Tier, Cadence]) -> None:
        self._cadences = cadences
        self._samples: dict[tuple[Feature[Any, Any], str], tuple[Sample, ...]] = {}
        self._lock = threading.Lock()

    def __call__(self, snapshot: Snapshot) -> None:
        """Keep what is new."""
        with self._lock:
            for reading in snapshot.readings.values():
                if reading.feature in KEPT and reading.taken is not None and reading.failure is None:
                    self._keep(reading, reading.taken)

    def _keep(self, reading: Reading, taken: float) -> None:
        key = reading.feature, reading.db
        samples = self._samples.get(key, ())
        if not samples or samples[-1].taken < taken:
            most = int(SPAN / self._cadences[reading.feature.tier].again) + 1
            new = Sample(taken, reading.incarnation, reading.rows)
            self._samples[key] = tuple(s for s in (*samples[-most:], new) if taken - s.taken <= SPAN)

    def of(self, feature: Feature[Any, Any], db: str = "") -> Sequence[Sample]:
        """Return the samples of a feature in a database, the oldest first."""
        return self._samples.get((feature, db), ())
