"""An agent in this process, read when a test says so, and what it then knows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import running
from pgmon.agent import Agent
from pgmon.clock import Clock
from pgmon.feature import Feature, R, Tier
from pgmon.snapshot import Snapshot
from running import Samples


@contextmanager
def agent(dsn: str, clock: Clock | None = None, **environ: str) -> Iterator[Agent]:
    """An agent in this process, closed when no refresh is under way."""
    with running.agent(dsn, clock, **environ) as made:
        try:
            yield made
        finally:
            rest()


def landed(agent: Agent) -> Agent:
    """Let every tier land, again where one waited for another; return the agent."""
    for cache in (*agent.caches.values(), *agent.caches.values()):
        cache.read(wait=30)
    return agent


def rest(patience: float = 10.0) -> None:
    """Wait until no refresh is under way."""
    deadline = time.monotonic() + patience
    while any(thread.name == "pgmon-flight" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, f"a refresh is under way for {patience} s"
        time.sleep(0.01)


def refreshed(agent: Agent, tier: Tier, patience: float = 30.0) -> Snapshot:
    """Read a tier that is due, or wait until it is; return the new snapshot."""
    cache, before = agent.caches[tier], agent.caches[tier].latest
    deadline = time.monotonic() + patience
    while (snapshot := cache.read(1.0)) is before:
        assert time.monotonic() < deadline, f"{tier} was not read within {patience} s"
        time.sleep(0.01)
    return snapshot


def samples(agent: Agent) -> Samples:
    """Return what the agent exposes now."""
    return running.parsed(agent.exposition.encoded("text").decode())


def rows(agent: Agent, feature: Feature[Any, R], db: str = "") -> Sequence[R]:
    """Return the rows that readers of a feature see now."""
    return agent.caches[feature.tier].latest.readings[feature.name, db].rows
