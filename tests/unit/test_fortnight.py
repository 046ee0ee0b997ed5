"""Fourteen days of a busy and healthy server in a few seconds: nobody is woken for them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from fakes import FACTS, FakeDoor, FakeTime
from pgmon.alerts.alert import Key
from pgmon.alerts.engine import Engine
from pgmon.config import Config
from pgmon.feature import Tier
from pgmon.features.checkpoints import CHECKPOINT_PACE, CHECKPOINTS, Checkpoints
from pgmon.features.connections import CONNECTIONS, Backends
from pgmon.features.replicas import EXPECTED, FAMILIAR, REPLICAS, Sender
from pgmon.features.temp import TEMP, Files
from pgmon.features.transactions import IDLEST, TRANSACTIONS, Open
from pgmon.features.wal import WAL, Position
from pgmon.refresh import Refresher
from pgmon.snapshot import Cadence, Snapshot

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
STEP = 2 * MINUTE
MIB, GIB = 2**20, 2**30
FEATURES = (
    *(CONNECTIONS, TRANSACTIONS, IDLEST, TEMP),
    *(WAL, CHECKPOINTS, CHECKPOINT_PACE, REPLICAS, FAMILIAR, EXPECTED),
)


class Life:
    """What a server counts: a daily curve, roll-ups every hour, a batch every night, VACUUM once a week, a failover."""

    FAILOVER = 9 * DAY + 13 * HOUR

    def __init__(self) -> None:
        self.at, self.wal, self.temp, self.timed = 0.0, 0.0, 0.0, 0

    def passes(self) -> None:
        """Let two minutes pass."""
        self.at += STEP
        self.wal += STEP * MIB * self.rate(curve=4, rollup=40, batch=120, vacuum=80)
        self.temp += STEP * MIB * self.rate(curve=1, rollup=50, batch=100, vacuum=0)
        self.timed += self.at % (6 * MINUTE) == 0
        if self.at == self.FAILOVER:  # to a server that has counted little so far
            self.temp, self.timed = 0.0, 0

    def rate(self, curve: float, rollup: float, batch: float, vacuum: float) -> float:
        """Return MiB per second. Whatever begins at a time begins some minutes earlier or later."""
        day, late = divmod(self.at, DAY)
        late -= 600 * math.sin(7 * day)
        total = curve * self.load
        total += rollup * (1 + 0.3 * math.sin(self.at)) * (self.at % HOUR < 5 * MINUTE)
        total += batch * (1 + 0.2 * math.sin(3 * day)) * (2 * HOUR <= late < 3.5 * HOUR)
        return total + vacuum * (day % 7 == 6 and 4 * HOUR <= late < 6 * HOUR)

    @property
    def load(self) -> float:
        """How busy people keep it, from 0 to 1."""
        return 0.5 - 0.45 * math.cos(2 * math.pi * (self.at % DAY) / DAY)

    def answer(self, feature: str) -> list[Any]:
        """Return what a statement would."""
        return list(getattr(self, f"_{feature}")())

    def _connections(self) -> Iterator[Backends]:
        yield Backends("app", "idle", "", int(70 * self.load), 100, 97)

    def _transactions(self) -> Iterator[Open]:
        yield self._open("app", 20 * self.load)
        if 3 * HOUR <= self.at % DAY < 6 * HOUR:
            yield self._open("pg_dump", self.at % DAY - 3 * HOUR)

    def _open(self, application: str, age: float) -> Open:
        return Open(7, "app", application, "active", "", age, age, age, 9, False, self.at, "SELECT 1")

    def _temp(self) -> Iterator[Files]:
        yield Files(None, 0, 0, 0, int(self.temp), "", "", None, "")

    def _wal(self) -> Iterator[Position]:
        lsn = int(self.wal)
        yield Position(lsn, lsn, None, None, None, 40 * GIB, 64 * GIB, 0, "neither a slot nor the archiver")

    def _checkpoints(self) -> Iterator[Checkpoints]:
        yield Checkpoints(self.timed, 0, 0.0, 0.0, 0, None, 360.0)

    def _replicas(self) -> Iterator[Sender]:
        lsn, lag = int(self.wal), 25.0 if 2 * HOUR <= self.at % DAY < 3.5 * HOUR else 0.1
        yield Sender("r1", "streaming", "async", self.at, lsn, lsn, lsn, lsn - MIB, lag)


def test_a_fortnight_of_a_healthy_server_is_quiet():
    life, time, config = Life(), FakeTime(0.0), Config.model_validate({})
    door = FakeDoor(life.answer)
    read = {
        tier: Refresher(
            tier,
            [f for f in FEATURES if f.tier is tier],
            door,
            Cadence(STEP, 5, 180),
            config,
            lambda dbs: dbs,
            time,
            {}.get,
        )
        for tier in (Tier.HOT_PATH, Tier.WORKLOAD)
    }
    engine = Engine(FEATURES, config, lambda: "app", time.clock())
    snapshots: dict[Tier, Snapshot | None] = dict.fromkeys(read)
    told: dict[tuple[Key, float | None], str] = {}

    while life.at < 14 * DAY:
        life.passes()
        if life.at == life.FAILOVER:
            door.seen = replace(FACTS, start_time=(FACTS.start_time or 0) + 1, system_identifier="8")
        time.now = life.at
        snapshots = {tier: refresh(snapshots[tier]) for tier, refresh in read.items()}
        engine.evaluate(snapshots)
        told |= {(a.key, a.started): f"{a.severity} {a.message}" for a in engine.alerts.values() if a.fired}

    # The failover itself is told, too: see tests/pg/test_alerts.py.
    assert not [message for message in told.values() if message.startswith("critical")]
    assert len(told) <= 1, list(told.values())
    assert all(s and not [r for r in s.readings.values() if r.failure] for s in snapshots.values())
