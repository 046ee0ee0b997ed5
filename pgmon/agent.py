"""The agent: everything put together from the configuration, started, judged and stopped."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import structlog

from pgmon.alerts.engine import Engine
from pgmon.cache import Cache, Patience, in_thread
from pgmon.changes import Changes, Incarnations
from pgmon.clock import Clock
from pgmon.config import Config
from pgmon.db import Door, limits_statement
from pgmon.dsn import named_hosts
from pgmon.exposition import Exposition, TierCollector
from pgmon.feature import Feature, Tier
from pgmon.features import FEATURES
from pgmon.guard import ADVICE, JUDGED, TIME, Guard
from pgmon.history import History
from pgmon.notify import Notifier
from pgmon.notify.notification import Place
from pgmon.own import Own
from pgmon.refresh import Refresher, Source
from pgmon.snapshot import Cadence, Snapshot

TIERS = (Tier.HOT_PATH, Tier.WORKLOAD, Tier.STORAGE, Tier.HOURLY)
QUICK = (Tier.HOT_PATH, Tier.WORKLOAD)  # what a reader waits for; the others follow by themselves
PATIENCE = 0.8  # seconds that a reader waits
GRACE = 10.0  # seconds over its budget after which a flight is lost: only name resolution has no deadline
MOST_LOST = 8  # flights that never came back, after which the process had better start anew
SIZING_LOCK_MS = 250  # lock_timeout where relations are sized: waiting for a lock, we would stand in others' way

log = structlog.get_logger(__name__)


class Agent:
    """The door, a cache per tier, what is exported of them, and the ticker that reads when nobody else does."""

    def __init__(
        self, config: Config, clock: Clock | None = None, features: Sequence[Feature[Any, Any]] = FEATURES
    ) -> None:
        self.config, self.clock, self.features = config, clock or Clock(), features
        self.exit_code: int | None = None  # set when the agent ended itself
        self._started, self._stopping = False, threading.Event()
        self.cadences = {tier: _cadence(config, tier) for tier in TIERS}
        self.door = Door(
            config.dsn.get_secret_value(),
            config.limits.connections,
            {tier: _limits(config, tier) for tier in TIERS},
            config.timeouts.connect_timeout_s,
            self.clock.monotonic,
            config.canary_table,
        )
        self.history = History(self.cadences)
        self.guard = Guard(
            self.door,
            self._refresher(Tier.HOURLY, JUDGED, self.door, replace(self.cadences[Tier.HOURLY], budget=TIME)),
            config.security.read_only_enforce,
            self.clock.monotonic,
            self._refused,
        )
        self.incarnations = Incarnations(self.clock.monotonic)
        self.caches = {tier: self._cache(tier) for tier in TIERS}
        self.patience = Patience(max(1, config.http.threads // 2), self.clock.monotonic)
        self.exposition = Exposition(config.limits.series, self.clock.monotonic)
        self.engine = Engine(features, config, lambda: self.door.home, self.clock)
        self.notifier = Notifier(config, self.place, self.clock)
        self.own = Own(
            self.caches,
            self.cadences,
            self.door,
            self.guard,
            config.security.read_only_enforce,
            self.exposition,
            self.clock,
            self.incarnations,
            self.engine,
            self.notifier,
            self.clock.monotonic(),
        )
        for tier in (*TIERS, Tier.AGENT):
            self.exposition.add(self._collector(tier))

    def _refresher(
        self, tier: Tier, features: Sequence[Feature[Any, Any]], source: Source, cadence: Cadence
    ) -> Refresher:
        return Refresher(tier, features, source, cadence, self.config, self.chosen, self.clock.monotonic, self.latest)

    def _cache(self, tier: Tier) -> Cache[Snapshot]:
        heard: list[Callable[[Snapshot], None]] = [Changes(tier), self.history]
        if tier is Tier.HOT_PATH:
            heard.append(self.incarnations)
        if tier is Tier.HOURLY:
            heard.append(self.guard)
        return Cache(self.flight(tier), self.clock.monotonic, self.cadences[tier].budget + GRACE, in_thread, heard)

    def flight(self, tier: Tier) -> Refresher:
        """Return what reads a tier; what it returns is heard by nobody but its caller."""
        features = [f for f in self.features if f.tier is tier]
        return self._refresher(tier, features, self.guard, self.cadences[tier])

    def _collector(self, tier: Tier) -> TierCollector:
        return TierCollector(
            tier,
            self.caches.get(tier, self.own),
            [f for f in self.features if f.tier is tier],
            self.cadences.get(tier),
            lambda: (self.config.cluster, self.door.home),
            self.clock.monotonic,
            self.exposition.room,
        )

    def latest(self, tier: Tier) -> Snapshot | None:
        """Return what a tier has read last."""
        return self.caches[tier].latest

    def chosen(self, databases: Sequence[str]) -> list[str]:
        """Return the databases to visit."""
        return self.config.monitored(databases)

    def settle(self, patience: float = PATIENCE, tiers: Sequence[Tier] = TIERS) -> None:
        """Start what is due in the tiers and wait for the quick ones, together at most `patience` seconds."""
        self.patience.settle(
            [self.caches[t] for t in tiers], [self.caches[t] for t in tiers if t in QUICK], min(patience, PATIENCE)
        )
        if sum(cache.lost for cache in self.caches.values()) >= MOST_LOST:
            log.error("too many refreshes never came back", lost=MOST_LOST)
            self.stop(1)

    def start(self) -> None:
        """Start the ticker: one more reader, so that alerts fire when nobody scrapes."""
        self._started = True
        if self.config.alerts.enabled:
            threading.Thread(target=self._run, daemon=True, name="pgmon-ticker").start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.tick()
            except Exception:  # a boundary: nobody would be told that nobody is told any more
                log.exception("a tick failed")
            self._stopping.wait(self.cadences[Tier.HOT_PATH].ttl)

    def tick(self) -> None:
        """Read what is due, judge it, tell what is new, and give a sign of life while all is well."""
        self.settle()
        snapshots = {tier: cache.latest for tier, cache in self.caches.items()}
        self.engine.evaluate({**snapshots, Tier.AGENT: self.own.read()})
        self.notifier.tell(self.engine.alerts.values())
        if self.health()["status"] != "failing":
            self.notifier.beat()

    def _refused(self) -> None:
        if self._started:  # else a command asks, which tells it itself
            log.error("refusing to run", reason="the role can write", findings=len(self.guard.refusals), advice=ADVICE)
            self.stop(3)

    def stop(self, exit_code: int) -> None:
        """End the process as SIGTERM does, with an exit code."""
        if self._started and self.exit_code is None:
            self.exit_code = exit_code
            os.kill(os.getpid(), signal.SIGTERM)

    def close(self) -> None:
        """Stop the ticker, cancel what runs, close every session, send what is to be told."""
        self._stopping.set()
        self.door.close()
        self.notifier.close()

    def place(self) -> Place:
        """Return where this is, for those who are told."""
        hot = self.caches[Tier.HOT_PATH].latest
        role = ("standby" if hot.facts.in_recovery else "primary") if hot and hot.facts else ""
        return Place(self.config.cluster, named_hosts(self.config.dsn.get_secret_value()), role)

    def health(self) -> dict[str, Any]:
        """Return what /healthz says; `status` is 'ok' only when everything is."""
        now = self.clock.monotonic()
        up = self.own.is_up(now)
        loops = {tier: self.own.on_schedule(tier, now) for tier in TIERS}
        failing = not up or not all(loops.values()) or self.guard.is_refused
        degraded = self.own.degraded()
        return {
            "status": "failing" if failing else "degraded" if degraded else "ok",
            "database": "up" if up else self._why(),
            "loops": {tier: "on schedule" if good else "late" for tier, good in loops.items()},
            "guard": self.guard.state,
            "degraded": degraded,
        }

    def _why(self) -> str:
        """Return why the server does not answer, for everybody to read."""
        hot = self.caches[Tier.HOT_PATH].latest
        if hot is None:
            return "not asked yet"
        return f"{hot.failure.kind}: {hot.failure}" if hot.failure else "no answer lately"


def _cadence(config: Config, tier: Tier) -> Cadence:
    return Cadence(
        getattr(config.sample_intervals, tier), getattr(config.budgets, tier), getattr(config.max_stale, tier)
    )


def _limits(config: Config, tier: Tier) -> str:
    """Return the statement that puts a tier's limits in force: the least of the settings and its budget."""
    budget = int(getattr(config.budgets, tier) * 1000)
    lock = min(config.timeouts.lock_timeout_ms, budget)
    if tier in (Tier.STORAGE, Tier.HOURLY):
        lock = min(lock, SIZING_LOCK_MS)
    return limits_statement(min(config.timeouts.statement_timeout_ms, budget), lock)
