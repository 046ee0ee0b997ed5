"""A channel's thread: order, patience, bounds, and what is counted."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from fakes import FakeTime
from pgmon.notify.notification import DeliveryError, Notification
from pgmon.notify.sender import PATIENCE, WAITING, Sender
from telling import notification
from watching import eventually


class Scripted:
    """A channel that does one thing after the other, then takes everything."""

    name = "scripted"

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.got = list(errors), []

    def deliver(self, message: Notification) -> str:
        """Take a message, or raise what is next."""
        if self.errors:
            raise self.errors.pop(0)
        self.got.append(message)
        return "taken"


class Held:
    """A channel that holds every message until it is let go."""

    name = "held"

    def __init__(self) -> None:
        self.begun, self.free, self.got = threading.Event(), threading.Event(), []

    def deliver(self, message: Notification) -> str:
        """Wait."""
        self.begun.set()
        self.free.wait(10)
        self.got.append(message)
        return "taken"


class Bench:
    """Senders whose pauses pass at once, on a clock."""

    def __init__(self) -> None:
        self.time, self.pauses, self.senders = FakeTime(), [], []

    def sender(self, channel) -> Sender:
        self.senders.append(Sender(channel, self.time, self._wait, lambda low, high: high))
        return self.senders[-1]

    def _wait(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.time.now += seconds
        return False

    def told(self, *errors: Exception) -> tuple[Sender, Scripted]:
        """Return a sender that was given a message, when it is done with it."""
        channel = Scripted(*errors)
        sender = self.sender(channel)
        sender.offer(notification())
        eventually(lambda: not sender.waiting)
        return sender, channel


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    for sender in made.senders:
        sender.close(5)


def counts(sender: Sender) -> tuple[int, int, int]:
    return sender.sent, sender.failed, sender.errors


LATER, NEVER = DeliveryError("HTTP 500", again=True), DeliveryError("HTTP 404", again=False)


def test_what_is_taken_is_counted(bench):
    sender, _ = bench.told()

    assert counts(sender) == (1, 0, 0)
    assert (sender.result, sender.failing) == ("taken", False)


def test_what_is_put_off_is_tried_again_ever_less_often(bench):
    sender, channel = bench.told(*[LATER] * 4)

    assert counts(sender) == (1, 0, 4)
    assert len(channel.got) == 1
    assert bench.pauses == [4, 8, 16, 32]


@pytest.mark.fault("F68")
def test_what_is_put_off_for_too_long_is_given_up(bench):
    sender, _ = bench.told(*[LATER] * 50)

    assert counts(sender)[:2] == (0, 1)
    assert PATIENCE - 300 < sum(bench.pauses) <= PATIENCE
    assert sender.failing


def test_what_is_refused_is_given_up_at_once(bench):
    sender, _ = bench.told(NEVER)

    assert (counts(sender), sender.result, bench.pauses) == ((0, 1, 1), "HTTP 404", [])


@pytest.mark.fault("F69")
def test_a_receiver_that_asks_for_time_gets_it(bench):
    sender, _ = bench.told(DeliveryError("HTTP 429", again=True, after=120.0))

    assert (counts(sender), bench.pauses) == ((1, 0, 1), [120.0])


def test_a_receiver_that_asks_for_too_much_time_is_left(bench):
    sender, _ = bench.told(DeliveryError("HTTP 429", again=True, after=86400.0))

    assert (counts(sender), bench.pauses) == ((0, 1, 1), [])


@pytest.mark.fault("F79")
def test_a_channel_that_is_broken_does_not_end_the_thread(bench):
    sender, channel = bench.told(KeyError("secret"))
    sender.offer(notification())
    eventually(lambda: not sender.waiting)

    assert counts(sender) == (1, 1, 1)
    assert len(channel.got) == 1


def test_pauses_are_jittered():
    jittered, sender = [], None
    channel = Scripted(LATER)
    sender = Sender(channel, FakeTime(), lambda seconds: False, lambda low, high: jittered.append((low, high)) or low)
    sender.offer(notification())
    eventually(lambda: not sender.waiting)
    sender.close(5)

    assert jittered == [(0.0, 4.0)]


def test_a_channel_that_hangs_keeps_neither_the_giver_nor_others_waiting(bench):
    held, scripted = Held(), Scripted()
    hanging, other = bench.sender(held), bench.sender(scripted)

    for sender in (hanging, other):
        sender.offer(notification())

    eventually(lambda: scripted.got)
    held.free.set()


@pytest.mark.fault("F68")
def test_the_queue_is_bounded_and_what_is_dropped_is_counted(bench):
    held = Held()
    sender = bench.sender(held)
    messages = [notification() for _ in range(WAITING + 7)]
    for message in messages:
        sender.offer(message)

    assert (sender.waiting, sender.failed) == (WAITING, 7)
    held.free.set()
    eventually(lambda: not sender.waiting)
    assert held.got == messages[:WAITING]


def test_at_the_end_what_waits_is_sent():
    held = Held()
    sender = Sender(held, FakeTime())
    for _ in range(3):
        sender.offer(notification())
    held.begun.wait(5)
    held.free.set()
    sender.close(5)

    assert len(held.got) == 3


def test_the_end_does_not_wait_for_a_receiver_that_puts_off():
    sender = Sender(Scripted(*[LATER] * 50), FakeTime())
    sender.offer(notification())
    eventually(lambda: sender.errors)
    sender.close(5)

    assert not sender.waiting
    assert sender.failed == 1


def test_the_end_does_not_wait_for_ever():
    held = Held()
    sender = Sender(held, FakeTime())
    sender.offer(notification())
    held.begun.wait(5)
    sender.close(0.05)

    assert sender.waiting == 1
    held.free.set()
    sender.close(5)
