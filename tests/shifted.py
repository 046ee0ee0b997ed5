"""Time that passes as it does, plus what a test pushes it: caches fall due, and what elapses stays true between."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pgmon.agent import Agent
from pgmon.clock import Clock
from pgmon.feature import Tier
from pgmon.snapshot import Snapshot


@dataclass
class ShiftedTime:
    """The real monotonic time and `offset` seconds."""

    offset: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.offset

    def clock(self) -> Clock:
        """Return a clock whose durations can be pushed; its wall stays where it is."""
        return Clock(self, time.time)


def refreshed(agent: Agent, tier: Tier, patience: float = 30.0) -> Snapshot:
    """Read a tier that is due, or wait until it is; return the new snapshot."""
    cache, before = agent.caches[tier], agent.caches[tier].latest
    deadline = time.monotonic() + patience
    while (snapshot := cache.read(1.0)) is before:
        assert time.monotonic() < deadline, f"{tier} was not read within {patience} s"
        time.sleep(0.01)
    return snapshot
