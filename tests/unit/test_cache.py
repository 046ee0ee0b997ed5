"""The cache: one flight at a time, bounded patience, nothing held for ever."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass

import pytest

from fakes import FakeTime, inline
from pgmon.cache import Cache, Patience


@dataclass(frozen=True)
class Value:
    """What the tests cache: the nth reading, due at a time."""

    nth: int
    due: float


class Gate:
    """A refresh that stays on its way until it is let go."""

    def __init__(self, time: FakeTime, ttl: float = 15.0) -> None:
        self.open, self.entered, self.started = threading.Event(), threading.Semaphore(0), 0
        self._time, self._ttl = time, ttl

    def __call__(self, latest: Value | None) -> Value:
        self.started += 1
        nth = self.started
        self.entered.release()
        assert self.open.wait(10)
        return Value(nth, self._time() + self._ttl)


def counting(time: FakeTime, due_in: float) -> Cache[Value]:
    return Cache(lambda latest: Value((latest.nth if latest else 0) + 1, time() + due_in), time, 2.0, inline)


def test_a_fresh_value_is_served_without_a_refresh():
    time = FakeTime()
    cache = counting(time, due_in=14)
    cache.read(1)

    time.now += 13.9

    assert cache.read(1).nth == 1


def test_a_due_value_is_refreshed_by_the_next_reader():
    time = FakeTime()
    cache = counting(time, due_in=14)
    cache.read(1)

    time.now += 14

    assert cache.read(1).nth == 2


def test_a_scraper_at_the_ttl_gets_a_new_reading_each_time():
    time, jitter = FakeTime(), random.Random(3)
    cache = counting(time, due_in=14)

    for nth in range(400):
        time.now = 1000 + 15 * nth + jitter.gauss(0, 0.005)
        cache.read(1)

    assert cache.latest.nth == 400


def test_twenty_readers_share_one_flight():
    time = FakeTime()
    gate = Gate(time)
    cache, got = Cache(gate, time, 2.0), []
    readers = [threading.Thread(target=lambda: got.append(cache.read(10))) for _ in range(20)]

    for reader in readers:
        reader.start()
    gate.entered.acquire()
    gate.open.set()
    for reader in readers:
        reader.join()

    assert gate.started == 1
    assert {value.nth for value in got} == {1}


def test_a_reader_does_not_wait_longer_than_its_patience():
    time = FakeTime()
    gate = Gate(time)
    cache = Cache(gate, time, 2.0)

    assert cache.read(0.01) is None
    gate.open.set()


def test_a_reader_without_patience_starts_the_flight_and_leaves():
    time = FakeTime()
    gate = Gate(time)
    cache = Cache(gate, time, 2.0)

    assert cache.read() is None

    assert gate.entered.acquire(timeout=10)
    gate.open.set()


def test_the_latest_is_served_while_a_refresh_runs():
    time = FakeTime()
    gate = Gate(time)
    cache = Cache(gate, time, 2.0)
    gate.open.set()
    cache.read(10)
    gate.open.clear()

    time.now += 15

    assert cache.read().nth == 1
    gate.open.set()


@pytest.mark.fault("F83")
def test_a_lost_flight_is_replaced_and_its_news_is_void():
    time, heard = FakeTime(), []
    first, second = Gate(time), Gate(time)
    gates = iter((first, second))
    cache = Cache(lambda latest: next(gates)(latest), time, 2.0, published=[heard.append])
    cache.read()
    first.entered.acquire()

    time.now += 2.1
    second.open.set()
    value = cache.read(10)
    first.open.set()
    for thread in threading.enumerate():
        if thread.name == "pgmon-flight":
            thread.join(10)

    assert cache.lost == 1
    assert cache.read() is value
    assert heard == [value]


def test_a_flight_is_not_lost_before_its_deadline():
    time = FakeTime()
    gate = Gate(time)
    cache = Cache(gate, time, 2.0)
    cache.read()

    time.now += 2.0
    cache.read()

    assert gate.started == 1
    gate.open.set()


@pytest.mark.fault("F83")
def test_a_refresh_that_raises_frees_the_way_for_the_next():
    time = FakeTime()
    answers = iter((ZeroDivisionError, Value(1, 2000.0)))

    def refresh(latest: Value | None) -> Value:
        answer = next(answers)
        if isinstance(answer, Value):
            return answer
        raise answer

    cache = Cache(refresh, time, 2.0, inline)
    with pytest.raises(ZeroDivisionError):
        cache.read(1)

    assert cache.read(1).nth == 1


def test_whoever_waits_for_a_refresh_that_raises_is_told_at_once():
    time, go = FakeTime(), threading.Event()
    said = []

    def refresh(latest: Value | None) -> Value:
        assert go.wait(10)
        raise ZeroDivisionError

    def spawn(work):
        def quiet() -> None:
            with pytest.raises(ZeroDivisionError):
                work()

        threading.Thread(target=quiet).start()

    cache = Cache(refresh, time, 2.0, spawn)
    reader = threading.Thread(target=lambda: said.append(cache.read(60)))
    reader.start()
    go.set()
    reader.join(10)

    assert said == [None]


def test_patience_starts_every_cache_before_it_waits_for_one():
    time, started = FakeTime(), []

    class Noting:
        def __init__(self, name: str) -> None:
            self.name = name

        def read(self, wait: float = 0.0) -> None:
            started.append((self.name, wait > 0))

    quick, slow = Noting("quick"), Noting("slow")

    Patience(1, time).settle([quick, slow], [quick], 0.8)

    assert started == [("quick", False), ("slow", False), ("quick", True)]


def test_patience_is_one_for_all_caches_together():
    time, waits = FakeTime(), []

    class Slow:
        def read(self, wait: float = 0.0) -> None:
            waits.append(round(wait, 3))
            time.now += wait

    Patience(1, time).settle([], [Slow(), Slow()], 0.8)

    assert waits == [0.8, 0.0]


def test_when_the_waiting_places_are_taken_a_reader_goes_on_at_once():
    time, inside, leave, waits = FakeTime(), threading.Event(), threading.Event(), []

    class Slow:
        def read(self, wait: float = 0.0) -> None:
            inside.set()
            assert leave.wait(10)

    class Noting:
        def read(self, wait: float = 0.0) -> None:
            waits.append(wait)

    patience = Patience(1, time)
    first = threading.Thread(target=lambda: patience.settle([], [Slow()], 0.8))
    first.start()
    inside.wait(10)

    patience.settle([Noting()], [Noting()], 0.8)
    leave.set()
    first.join(10)

    assert waits == [0.0]
