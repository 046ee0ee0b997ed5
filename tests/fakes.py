"""Plain stand-ins for what lies outside the code under test: time, threads, the door."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pgmon import sqlfiles
from pgmon.clock import Clock
from pgmon.facts import Facts
from pgmon.feature import Feature, Params, Tier


@dataclass
class FakeTime:
    """Time that passes when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def clock(self) -> Clock:
        """Return a clock on both of whose faces this time is."""
        return Clock(self, self)


@dataclass
class ShiftedTime:
    """Real time, plus what a test pushed it forward: it passes, so waiting for a socket ends."""

    ahead: float = 0.0
    wall_ahead: float = 0.0  # what the wall clock was set forward by, on top

    def __call__(self) -> float:
        return time.monotonic() + self.ahead

    def clock(self) -> Clock:
        """Return a clock on both of whose faces time is ahead."""
        return Clock(self, lambda: time.time() + self.ahead + self.wall_ahead)


class HaltingTime(ShiftedTime):
    """Real time that can be halted: from then on nothing is due, and ages stay."""

    halted: float | None = None

    def __call__(self) -> float:
        return super().__call__() if self.halted is None else self.halted

    def halt(self) -> None:
        """Let it stand still."""
        self.halted = self()


def inline(work: Callable[[], None]) -> None:
    """Spawn a flight in the caller's own thread."""
    work()


FACTS = replace(sqlfiles.assumed(16), system_identifier="7", db="app", databases=["app", "postgres"])


@dataclass
class FakeDoor:
    """A door that answers from a function of the feature's name, and remembers what it was asked."""

    answer: Callable[[str], list[Any]]
    seen: Facts = FACTS
    asked: list[tuple[str, str]] = field(default_factory=list)
    params: list[Params] = field(default_factory=list)

    def facts(self, db: str, tier: Tier, deadline: float) -> Facts:
        """Return the facts, as seen from a database."""
        return replace(self.seen, db=db or self.seen.db)

    def ask(self, feature: Feature[Any, Any], facts: Facts, params: Params, deadline: float) -> tuple[str, list[Any]]:
        """Return the answer's rows, or raise what the answer raises."""
        self.asked.append((feature.name, facts.db))
        self.params.append(params)
        return f"SELECT {feature.name}", self.answer(feature.name)
