"""The agent as a tier like the others: its rows are made at every read, and nothing is carried forward."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgmon import __version__
from pgmon.alerts.engine import Engine
from pgmon.alerts.rows import counts, current, past
from pgmon.cache import Cache
from pgmon.changes import Incarnations
from pgmon.clock import Clock
from pgmon.db import Door
from pgmon.errors import Kind, QueryError
from pgmon.exposition import Exposition
from pgmon.feature import Feature, Tier
from pgmon.features import own
from pgmon.features.canary import PROBES
from pgmon.findings import SEVERITIES
from pgmon.guard import Guard
from pgmon.notify import Notifier
from pgmon.notify.sender import Sender
from pgmon.remedy import remedy
from pgmon.snapshot import NO_FAULT, Cadence, Reading, Snapshot

NEWEST = 18  # the newest major version that the tests run on
SHOWN = 20  # databases named where a feature could not be read
LATE = 2.0  # a loop is off its schedule when nothing has landed for so many intervals


@dataclass(frozen=True, slots=True)
class Own:
    """Reads the agent itself, without waiting for anything."""

    caches: Mapping[Tier, Cache[Snapshot]]
    cadences: Mapping[Tier, Cadence]
    door: Door
    guard: Guard
    enforced: bool
    exposition: Exposition
    clock: Clock
    incarnations: Incarnations
    engine: Engine
    notifier: Notifier
    started: float  # monotonic

    def read(self, wait: float = 0.0) -> Snapshot:
        """Return the agent as it is now."""
        now = self.clock.monotonic()
        latest = {tier: cache.latest for tier, cache in self.caches.items()}
        made = self._rows({tier: snapshot for tier, snapshot in latest.items() if snapshot}, now)
        readings = {(f.name, ""): Reading(f, "", raw=rows, rows=rows, taken=now, due=now) for f, rows in made}
        return Snapshot(taken=now, due=now, readings=readings)

    def _rows(
        self, latest: Mapping[Tier, Snapshot], now: float
    ) -> Iterator[tuple[Feature[Any, Any], Sequence[object]]]:
        by_feature = list(_by_feature(latest))
        role = next((s.facts.role for s in latest.values() if s.facts), "")
        yield own.UP, [own.Up(int(self.is_up(now)))]
        yield own.DOWN, list(self._down(now))
        yield own.CHANGED, [self._changed(now)]
        yield from self._server(latest.get(Tier.HOT_PATH), now)
        yield own.CONNECT_ERRORS, [own.ConnectError(t.kind, 1) for t in [self.door.trouble] if t]
        yield own.LOOPS, [self._loop(tier, latest.get(tier), now) for tier in self.caches]
        yield own.COLLECTORS, [_collector(feature, its) for feature, its in by_feature]
        yield own.CHECKS, [coverage(feature, its, role) for feature, its in by_feature]
        yield own.COVERAGE, [_lost([r for _, its in by_feature for r in its])]
        yield own.CONNECTS, [own.Connects(self.door.connects, self.door.kills)]
        yield own.DEGRADED, [own.Degraded(reason, 1) for reason in self.degraded()]
        yield own.SERIES, [own.Series(self.exposition.size)]
        dropped = self.exposition.dropped
        yield own.DROPPED, [own.Dropped(reason, dropped[reason]) for reason in ("cap", "duplicate", "value")]
        yield own.FINDINGS, [own.Findings(severity, n) for severity, n in self._findings()]
        alerts, wall = self.engine.alerts.values(), self.clock.wall()
        gravest_first = sorted(alerts, key=lambda a: (not a.fired, a.rank))
        yield own.ALERTS, [current(alert, wall, self.notifier.again(alert)) for alert in gravest_first]
        yield own.ALERT_COUNTS, counts(alerts)
        yield own.ALERT_HISTORY, [past(alert, wall) for alert in reversed(self.engine.history)]
        yield own.NOTIFICATIONS, [_channel(sender) for sender in self.notifier.senders]
        yield own.BUILD, [own.Build(__version__, platform.python_version(), 1)]

    def _server(self, hot: Snapshot | None, now: float) -> Iterator[tuple[Feature[Any, Any], Sequence[object]]]:
        """Yield what the latest flight saw of the server, unless that is too long ago."""
        seen = [hot.facts] if hot and hot.facts and self.is_up(now) else []
        yield own.SERVER, [own.Server(f.began, f.start_time, f.timeline, int(f.in_recovery)) for f in seen]
        yield own.SERVER_INFO, [own.ServerInfo(f"{f.version[0]}.{f.version[1]}", f.system_identifier, 1) for f in seen]
        answered = {r.feature: r.seconds for r in hot.readings.values() if r.failure is None} if hot and seen else {}
        yield own.CANARY, [own.Canary(probe, answered[f]) for probe, f in PROBES.items() if f in answered]

    def is_up(self, now: float) -> bool:
        """Tell whether the latest flight of the hot path met the server, and was not too long ago."""
        hot = self.caches[Tier.HOT_PATH].latest
        return hot is not None and hot.failure is None and now - hot.taken <= self.cadences[Tier.HOT_PATH].max_stale

    def on_schedule(self, tier: Tier, now: float) -> bool:
        """Tell whether a loop has landed lately; one that nobody has asked for yet is not late."""
        latest = self.caches[tier].latest
        return latest is None or now - latest.taken <= LATE * self.cadences[tier].ttl + self.cadences[tier].budget

    def degraded(self) -> list[str]:
        """Return what limits this agent, as words for a label."""
        facts = next((s.facts for cache in self.caches.values() if (s := cache.latest) and s.facts), None)
        snapshots = {tier: cache.latest for tier, cache in self.caches.items()}
        return [
            *(["not_shielded"] if facts and not facts.shielded else []),
            *(["not_enforced"] if not self.enforced else []),
            *(["privileges_unknown"] if self.guard.unknown else []),
            *(["untested_version"] if facts and facts.version[0] > NEWEST else []),
            *(f"over_budget_{t}" for t, s in snapshots.items() if s and s.seconds > self.cadences[t].budget),
        ]

    def _down(self, now: float) -> Iterator[own.Down]:
        """Yield why the server is not seen, if it is not."""
        hot = self.caches[Tier.HOT_PATH].latest
        if hot is None or self.is_up(now):
            return
        seen = max((r.taken for r in hot.readings.values() if r.taken is not None), default=self.started)
        failure = hot.failure or QueryError(Kind.TIMEOUT, "no refresh has come back lately")
        yield own.Down(str(failure.kind), now - seen, str(failure))

    def _changed(self, now: float) -> own.Changed:
        seen = self.incarnations
        restarted = None if seen.restarted is None else now - seen.restarted
        changed_role = None if seen.changed_role is None else now - seen.changed_role
        return own.Changed(restarted, changed_role, seen.how, seen.role)

    def _loop(self, tier: Tier, snapshot: Snapshot | None, now: float) -> own.Loop:
        budget, lost = self.cadences[tier].budget, self.caches[tier].lost
        if snapshot is None:
            return own.Loop(tier, None, None, 0, None, budget, 0.0, lost, 1)
        return own.Loop(
            tier,
            snapshot.seconds,
            int(snapshot.success),
            snapshot.errors,
            now - snapshot.taken,
            budget,
            snapshot.asked_seconds,
            lost,
            int(self.on_schedule(tier, now)),
        )

    def _findings(self) -> list[tuple[str, int]]:
        found = self.guard.findings
        return [] if found is None else [(s, sum(f.severity == s for f in found)) for s in SEVERITIES]


def _by_feature(latest: Mapping[Tier, Snapshot]) -> Iterator[tuple[Feature[Any, Any], list[Reading]]]:
    for snapshot in latest.values():
        found: dict[Feature[Any, Any], list[Reading]] = {}
        for reading in snapshot.readings.values():
            found.setdefault(reading.feature, []).append(reading)
        yield from found.items()


def status(readings: Sequence[Reading]) -> str:
    """Return 'ok', why a feature could not be read, or 'degraded' where that holds in some databases only.

    A database that waits for its first turn says nothing of the others.
    """
    found = {str(r.failure or "ok") for r in readings if r.failure is not Kind.WAITING} or {str(Kind.WAITING)}
    return found.pop() if len(found) == 1 else "degraded"


def coverage(feature: Feature[Any, Any], readings: Sequence[Reading], role: str) -> own.Check:
    """Return what was seen of a feature: where it was not, why, and what to do; the first failure stands for all."""
    failed = [r for r in readings if r.failure]
    first = next(iter(failed), None)
    return own.Check(
        check=feature.name,
        status=status(readings),
        present=1,
        databases=", ".join(sorted(r.db for r in failed)[:SHOWN]),
        why=first.message if first else "",
        remedy=remedy(first.failure, first.message, role, feature.tier) if first and first.failure else "",
    )


def _collector(feature: Feature[Any, Any], readings: Sequence[Reading]) -> own.Collector:
    worked = all(r.failure is None or r.failure in NO_FAULT for r in readings)
    read = [r.seconds for r in readings if r.taken is not None]
    return own.Collector(feature.name, int(worked), sum(read) if read else None)


def _lost(readings: Sequence[Reading]) -> own.Coverage:
    """Tell what could be read once and cannot be any more."""
    lost = [r for r in readings if r.taken is not None and r.failure in (Kind.DENIED, Kind.MISSING)]
    names = sorted({r.feature.name for r in lost})
    return own.Coverage(len(names), ", ".join(names), lost[0].message if lost else "")


def _channel(sender: Sender) -> own.Notifications:
    return own.Notifications(
        sender.channel.name,
        sender.sent,
        sender.failed,
        sender.errors,
        sender.waiting,
        int(sender.failing),
        sender.result,
    )
