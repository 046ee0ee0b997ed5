"""What one request sees: the snapshots of one moment, and what was asked for in the URL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from pgmon.agent import Agent
from pgmon.errors import Kind
from pgmon.facts import Facts
from pgmon.feature import Feature, R, Role, Tier
from pgmon.snapshot import Reading, Snapshot
from pgmon.web.limits import Judge
from pgmon.web.words import LENSES

LATE = 2.0  # what has not landed for so many intervals is stale
WINDOW = 3600.0  # seconds of history that are drawn


@dataclass(frozen=True, slots=True)
class View:
    """The agent at one moment; `asked` are the parameters of the URL, checked."""

    agent: Agent
    asked: Mapping[str, str]
    now: float  # monotonic
    wall: float  # seconds since 1970
    snapshots: Mapping[Tier, Snapshot | None]
    root: str = ""  # the way up from this page to the first: links work behind any prefix of a proxy
    anchors: set[str] = field(default_factory=set)  # ids that the page has by now

    @classmethod
    def of(cls, agent: Agent, asked: Mapping[str, str], root: str = "") -> View:
        """Look at an agent now."""
        snapshots: dict[Tier, Snapshot | None] = {tier: cache.latest for tier, cache in agent.caches.items()}
        snapshots[Tier.AGENT] = agent.own.read()
        return cls(agent, asked, agent.clock.monotonic(), agent.clock.wall(), snapshots, root)

    @property
    def facts(self) -> Facts | None:
        """What the server was, when it was last seen."""
        return next((s.facts for s in self.snapshots.values() if s and s.facts), None)

    @property
    def thresholds(self) -> Mapping[str, Any]:
        """What the rules compare with."""
        return self.agent.config.alerts.thresholds

    def judge(self, feature: Feature[Any, Any]) -> Judge:
        """Return the rules in force for a feature, with what they compare with."""
        return Judge(feature, self.agent.engine.catalogue.get(feature, ()), self.thresholds)

    @property
    def is_up(self) -> bool:
        """Whether the server answered lately."""
        return self.agent.own.is_up(self.now)

    @property
    def is_barred(self) -> bool:
        """Whether the server answers, and we may not ask."""
        hot = self.snapshots[Tier.HOT_PATH]
        return bool(hot and hot.failure and hot.failure.kind in (Kind.DENIED, Kind.REFUSED))

    def features(self, panel: str) -> list[Feature[Any, Any]]:
        """Return the features of a page that mean something on this server."""
        return [f for f in self.agent.features if f.panel == panel and self.applies(f)]

    def applies(self, feature: Feature[Any, Any]) -> bool:
        """Tell whether a feature means something on a server in the present role."""
        if feature.role is Role.ANY or self.facts is None:
            return True
        return (feature.role is Role.STANDBY) is self.facts.in_recovery

    def readings(self, feature: Feature[Any, Any]) -> list[Reading]:
        """Return what is known of a feature, by database; one that says nothing when it was never read."""
        snapshot = self.snapshots[feature.tier]
        found = [r for r in snapshot.readings.values() if r.feature is feature] if snapshot else []
        return found or [Reading(feature, "")]

    def rows(self, feature: Feature[Any, R]) -> Sequence[R]:
        """Return the rows of a feature in all databases."""
        return [row for reading in self.readings(feature) for row in reading.rows]

    def age(self, reading: Reading) -> float | None:
        """Return the seconds since a reading was taken, None if it never was."""
        return None if reading.taken is None else max(self.now - reading.taken, 0.0)

    def time(self, monotonic: float) -> datetime:
        """Return the time of day of a monotonic time."""
        return datetime.fromtimestamp(self.wall - (self.now - monotonic), UTC)

    def is_late(self, reading: Reading) -> bool:
        """Tell whether a reading is older than its loop allows for."""
        cadence = self.agent.cadences.get(reading.feature.tier)
        if cadence is None or reading.taken is None:
            return False
        return self.now - reading.taken > min(LATE * cadence.ttl + cadence.budget, cadence.max_stale)

    def link(self, **changed: str | None) -> str:
        """Return a link to this page with some parameters changed; None takes one away."""
        wanted = {k: v for k, v in {**self.asked, **changed}.items() if v is not None}
        return f"?{urlencode(wanted)}"

    def page(self, name: str) -> str:
        """Return the way to a page."""
        return self.root + name if name != "overview" else self.root or "./"

    def place(self, page: str, panel: str) -> str:
        """Return the way to a panel: its page, in the tab that shows it."""
        tabs = enumerate(LENSES.get(page, {}).items())
        tab = next((f"?tab={name}" for n, (name, (_, its)) in tabs if n and panel in its), "")
        return f"{self.page(page)}{tab}#{panel}"

    def anchor(self, name: str) -> str | None:
        """Return an id for an element, None where the page has it."""
        if name in self.anchors:
            return None
        self.anchors.add(name)
        return name
