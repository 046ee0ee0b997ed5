"""A value that is fresh for a while: one flight at a time, bounded patience, nothing held for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as Late
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from cachetools import TLRUCache


class Timed(Protocol):
    """What a cache can hold."""

    @property
    def due(self) -> float:
        """Monotonic time at which it must be read again."""


S = TypeVar("S", bound=Timed)
Spawn = Callable[[Callable[[], None]], object]


def in_thread(work: Callable[[], None]) -> None:
    """Run a flight in a daemon thread of its own: an executor's worker would hold the exit."""
    threading.Thread(target=work, daemon=True, name="pgmon-flight").start()


class Cache(Generic[S]):
    """The latest value of `refresh`. A flight older than `deadline` seconds is lost: another takes its place."""

    def __init__(
        self,
        refresh: Callable[[S | None], S],
        monotonic: Callable[[], float],
        deadline: float,
        spawn: Spawn = in_thread,
        published: Sequence[Callable[[S], None]] = (),
    ) -> None:
        self._refresh, self._now, self._deadline = refresh, monotonic, deadline
        self._spawn, self._published = spawn, published
        self._fresh: TLRUCache[str, S] = TLRUCache(1, ttu=lambda _key, value, _now: value.due, timer=monotonic)
        self._lock = threading.Lock()
        self._flight: Future[S] | None = None
        self._started = 0.0
        self.latest: S | None = None  # whatever landed last, however old
        self.lost = 0  # flights that never came back

    def read(self, wait: float = 0.0) -> S | None:
        """Return a fresh value; else start or join the flight, wait at most `wait` seconds, return the latest.

        None as long as no flight has landed.
        """
        with self._lock:
            if (fresh := self._fresh.get("latest")) is not None:
                return fresh
            flight, mine = self._join()
        if mine:
            self._spawn(lambda: self._fly(flight))
        if wait > 0:
            with suppress(Late, CancelledError):
                flight.result(wait)
        return self.latest

    def _join(self) -> tuple[Future[S], bool]:
        """Return the flight under way and False, or a new one and True when there is none or it is lost."""
        if self._flight and self._now() - self._started <= self._deadline:
            return self._flight, False
        self.lost += self._flight is not None
        self._flight, self._started = Future(), self._now()
        return self._flight, True

    def _fly(self, flight: Future[S]) -> None:
        try:
            self._land(flight, self._refresh(self.latest))
        finally:
            with self._lock:
                if self._flight is flight:
                    self._flight = None  # it failed, or a listener did: the next reader starts another
            flight.cancel()  # whoever still waits is told; no effect when it landed

    def _land(self, flight: Future[S], value: S) -> None:
        with self._lock:
            if self._flight is not flight:
                return  # lost: another flight took its place, this one's news is void
            self._flight = None
            self.latest = self._fresh["latest"] = value
        flight.set_result(value)
        for hear in self._published:
            hear(value)


class Patience:
    """How long readers wait: all caches together, and only so many readers at a time.

    With every HTTP thread waiting for a flight that does not come, /livez would wait too.
    """

    def __init__(self, waiting: int, monotonic: Callable[[], float]) -> None:
        self._places = threading.BoundedSemaphore(waiting)
        self._now = monotonic

    def settle(self, start: Iterable[Cache[S]], wait_for: Iterable[Cache[S]], seconds: float) -> None:
        """Start what is due in all of `start`, then wait for `wait_for` together at most `seconds`."""
        for cache in start:
            cache.read()
        if seconds <= 0 or not self._places.acquire(blocking=False):
            return
        try:
            until = self._now() + seconds
            for cache in wait_for:
                cache.read(max(until - self._now(), 0.0))
        finally:
            self._places.release()
