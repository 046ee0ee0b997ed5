"""Alerts to people: Slack, e-mail, a webhook, and a sign of life."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection

from pydantic import SecretStr

from pgmon.alerts.alert import Alert
from pgmon.alerts.maintenance import is_maintenance
from pgmon.clock import Clock
from pgmon.config import Config, Notifiers
from pgmon.notify.dispatch import Dispatcher
from pgmon.notify.email import Email
from pgmon.notify.http import Post
from pgmon.notify.notification import Channel, DeliveryError, Notification, Place
from pgmon.notify.sender import Sender
from pgmon.notify.slack import Slack
from pgmon.notify.webhook import Webhook

HEARTBEAT = 60.0
FLUSH = 2.0  # seconds at the end for what waits


class Heartbeat:
    """Calls a URL, whatever it is given: a dead man's switch."""

    name = "heartbeat"

    def __init__(self, url: str, block_private: bool) -> None:
        self._call = Post(url, block_private)

    def deliver(self, notification: Notification) -> str:
        """Call it. Raises DeliveryError; the next minute is another try."""
        try:
            return self._call(None)
        except DeliveryError as exc:
            raise DeliveryError(str(exc), again=False) from None


def channels(config: Notifiers) -> list[Channel]:
    """Return the channels that are configured."""
    kinds: list[tuple[type[Slack] | type[Email] | type[Webhook], SecretStr]] = [
        (Slack, config.slack_webhook),
        (Email, config.email_smtp),
        (Webhook, config.webhook),
    ]
    return [kind(url.get_secret_value(), config.block_private) for kind, url in kinds if url.get_secret_value()]


class Notifier:
    """Tells the channels what there is to tell, each in a thread of its own."""

    def __init__(self, config: Config, place: Callable[[], Place], clock: Clock) -> None:
        self._windows, self._clock = config.alerts.maintenance, clock
        self._dispatcher = Dispatcher(config.alerts, config.http.external_url, place, clock)
        self._channels = [Sender(channel, clock.monotonic) for channel in channels(config.notifiers)]
        url = config.notifiers.heartbeat_url.get_secret_value()
        beat = Heartbeat(url, config.notifiers.block_private)
        self._heart = Sender(beat, clock.monotonic) if url else None
        self._alive = Notification("heartbeat", [], [], place())
        self._beaten = -math.inf

    @property
    def senders(self) -> list[Sender]:
        """Whatever sends."""
        return [*self._channels, *([self._heart] if self._heart else [])]

    def tell(self, alerts: Collection[Alert]) -> None:
        """Send what is due; in a maintenance window nothing is, and what lasts is told after it."""
        if is_maintenance(self._windows, self._clock.wall()):
            return
        for notification in self._dispatcher.due(alerts):
            for sender in self._channels:
                sender.offer(notification)

    def again(self, alert: Alert) -> float | None:
        """Return in how many seconds people are told again of an alert; None where nobody was told."""
        return self._dispatcher.again(alert) if self._channels else None

    def beat(self) -> None:
        """Call the heartbeat's URL if it is time to; call this while all is well."""
        now = self._clock.monotonic()
        if self._heart and now - self._beaten >= HEARTBEAT and not self._heart.waiting:
            self._beaten = now
            self._heart.offer(self._alive)

    def close(self) -> None:
        """Send what waits, within a moment."""
        until = time.monotonic() + FLUSH
        for sender in self.senders:
            sender.close(max(until - time.monotonic(), 0.0))


def sample(place: Place, base: str, wall: float) -> Notification:
    """Return a notification of nothing, to try the channels with."""
    alert = Alert(
        key=("Test", "", ()),
        severity="warning",
        state="firing",
        advisory=False,
        labels={"cluster": place.cluster},
        panel="alerts",
        message="pgmon notify --test was run: nothing is wrong",
        paste="",
        pids=frozenset(),
        since=wall,
        started=wall,
    )
    return Notification("Test", [alert], [], place, base)
