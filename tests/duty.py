"""An agent on duty, whose time a test lets pass, and what the receiver of its messages has heard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pytest_httpserver import HTTPServer

import reading
from fakes import ShiftedTime
from pgmon.agent import TIERS, Agent
from pgmon.feature import Tier
from pgmon.rule import Rule
from servers import Server
from watching import eventually

# The versions on which most incidents are played; the middle one has its turn in tests/measure.
PLAYED = (12, pytest.param(16, marks=pytest.mark.slow), 18)
FIRED: set[Rule] = set()  # what fired in any agent on duty since the test began
ENDS = "[public.reading]"  # its last partition ends with a year, so that toward the end of it it is told


class Duty:
    """An agent whose ticker ticks when a test says so, and what its webhook has heard."""

    def __init__(self, agent: Agent, server: Server, time: ShiftedTime, receiver: HTTPServer) -> None:
        self.agent, self.server, self._time, self._receiver = agent, server, time, receiver
        self.after: Callable[[], None] = lambda: None  # what else happens at every tick
        self.still = threading.Lock()  # who scrapes holds it, and sees no time pushed without what is then read

    def watch(self, seconds: float, step: float = 15.0) -> list[str]:
        """Tick every 15 s for so long; return what was told meanwhile."""
        heard = len(self.payloads)
        for _ in range(int(seconds // step)):
            self.tick(step)
        return self.told(heard)

    def tick(self, step: float = 15.0) -> None:
        """Let time pass, read what is due and judge it."""
        with self.still:
            self._passes(step)
            self.agent.tick()
            FIRED.update(self._firing())
            reading.rest()
        self.after()

    def _firing(self) -> Iterator[Rule]:
        """Yield the rules that fire: an alert does not tell by which of those of its name."""
        for cases in self.agent.engine._cases.values():
            yield from (rule for (rule, _, _), met in cases.items() if met.fired is not None)

    def skip(self, seconds: float, *tiers: Tier) -> None:
        """Let time pass and read some tiers, all of them when none is named; nothing is judged."""
        caches = [self.agent.caches[tier] for tier in tiers or TIERS]
        before = [cache.latest for cache in caches]
        with self.still:
            self._passes(seconds)
            for cache, old in zip(caches, before, strict=True):
                eventually(lambda cache=cache, old=old: cache.read(1.0) is not old, 30)

    def _passes(self, seconds: float) -> None:
        reading.rest()  # who scrapes may have begun what is now not to be late
        self._time.ahead += seconds

    def told(self, since: int) -> list[str]:
        """Return what was told after so many messages, when all are sent."""
        eventually(lambda: not any(sender.waiting for sender in self.agent.notifier.senders))
        return [self._shown(payload) for payload in self.payloads[since:]]

    @property
    def payloads(self) -> list[dict]:
        return [request.get_json() for request, _ in self._receiver.log if request.path == "/hook"]

    @staticmethod
    def _shown(payload: dict) -> str:
        names = {f"{alert['labels']['severity']} {alert['labels']['alertname']}" for alert in payload["alerts"]}
        return f"{payload['status']} {', '.join(sorted(names))}"


@contextmanager
def on_duty(server: Server, receiver: HTTPServer, **environ: str) -> Iterator[Duty]:
    """Watch a server for a while in which nothing happens."""
    receiver.expect_request("/hook", method="POST").respond_with_data("ok")
    time = ShiftedTime()
    environ = {"NOTIFIERS_WEBHOOK": receiver.url_for("/hook"), "PARTITIONS_IGNORE": ENDS} | environ
    with reading.agent(server.dsn("monitor", "app"), time.clock(), **environ) as agent:
        duty = Duty(agent, server, time, receiver)
        assert duty.watch(45) == []
        yield duty
