"""A channel's own thread: what it is given is sent in order, tried again for a while, and counted."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable

import structlog

from pgmon.notify.notification import Channel, DeliveryError, Notification

WAITING = 100  # messages in a queue; what comes beyond is dropped, and counted
PATIENCE = 900.0  # seconds for which a message is tried
LONGEST = 300.0  # seconds between two attempts, unless the receiver asks for more

log = structlog.get_logger(__name__)


class Sender:
    """Sends through one channel. A receiver that hangs keeps only its own messages waiting."""

    def __init__(
        self,
        channel: Channel,
        monotonic: Callable[[], float],
        wait: Callable[[float], bool] | None = None,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.channel, self._now, self._jitter = channel, monotonic, jitter
        self._stopping, self._given = threading.Event(), threading.Condition()
        self._wait = wait or self._stopping.wait  # True: stop
        self._queue: deque[Notification] = deque()
        self.sent = self.failed = self.errors = 0  # messages that arrived, that were given up; attempts that failed
        self.result, self.failing = "nothing sent yet", False
        self._lost = ""  # why the latest message was given up
        self._thread = threading.Thread(target=self._work, daemon=True, name=f"pgmon-{channel.name}")
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Messages that were neither delivered nor given up, the one under way included."""
        return len(self._queue)

    def offer(self, notification: Notification) -> None:
        """Take a message, or drop it when too many wait. Never blocks."""
        with self._given:
            if len(self._queue) >= WAITING:
                self._give_up("too many messages wait")
                return
            self._queue.append(notification)
            self._given.notify()

    def close(self, seconds: float) -> None:
        """Send what waits, each message once more, and return after so many seconds at the latest."""
        self._stopping.set()
        with self._given:
            self._given.notify()
        self._thread.join(seconds)
        if left := self.waiting:
            log.warning("notifications are lost", channel=self.channel.name, messages=left)

    def _work(self) -> None:
        while True:
            with self._given:
                self._given.wait_for(lambda: self._queue or self._stopping.is_set())
                if not self._queue:
                    return
                notification = self._queue[0]
            self._send(notification)
            with self._given:
                self._queue.popleft()

    def _send(self, notification: Notification) -> None:
        until, attempt = self._now() + PATIENCE, 0
        while (pause := self._attempt(notification, attempt)) is not None:
            if self._stopping.is_set() or self._now() + pause > until:
                return self._give_up(self.result)
            self._wait(pause)
            attempt += 1

    def _attempt(self, notification: Notification, attempt: int) -> float | None:
        """Try once; return the seconds until the next try, None when there is nothing left to try."""
        try:
            self.result = self.channel.deliver(notification)
        except DeliveryError as exc:
            self._note(str(exc))
            if exc.again:
                return max(self._jitter(0.0, min(LONGEST, 2.0 ** (attempt + 2))), exc.after)
            self._give_up(str(exc))
        except Exception as exc:  # the boundary: a channel that is broken must not end the thread
            log.exception("a notification failed", channel=self.channel.name)
            self._note(f"pgmon failed on it ({type(exc).__name__}): please report")
            self._give_up(self.result)
        else:
            self.sent, self.failing, self._lost = self.sent + 1, False, ""
        return None

    def _note(self, reason: str) -> None:
        self.errors += 1
        if not self.failing:
            log.warning("a notification was not taken", channel=self.channel.name, reason=reason)
        self.result, self.failing = reason, True

    def _give_up(self, reason: str) -> None:
        self.failed += 1
        if reason != self._lost:
            log.error("notifications are given up", channel=self.channel.name, reason=reason)
        self._lost = reason
