"""Alerts to people: Slack, e-mail, a webhook, and a sign of life."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection

from pgmon.alerts.alert import Alert
from pgmon.alerts.maintenance import is_maintenance
from pgmon.clock import Clock
from pgmon.config import Config, Notifiers
from pgmon.notify.dispatch import Dispatcher
from pgmon.notify.notification import Channel, Notification, Place
from pgmon.notify.sender import Sender

HEARTBEAT = 60.0
FLUSH = 2.0  # seconds at the end for what waits


def channels(config: Notifiers) -> list[Channel]:
    """Return the channels that are configured; where none is, nothing that they need is loaded."""
    urls = [url.get_secret_value() for url in (config.slack_webhook, config.email_smtp, config.webhook)]
    if not any(urls):
        return []
    from pgmon.notify.email import Email
    from pgmon.notify.slack import Slack
    from pgmon.notify.webhook import Webhook

    kinds: tuple[type[Slack] | type[Email] | type[Webhook], ...] = (Slack, Email, Webhook)
    return [kind(url, config.block_private) for kind, url in zip(kinds, urls, strict=True) if url]


def heart(config: Notifiers, monotonic: Callable[[], float]) -> Sender | None:
    """Return what calls the heartbeat's URL, None where there is none."""
    if not (url := config.heartbeat_url.get_secret_value()):
        return None
    from pgmon.notify.heartbeat import Heartbeat

    return Sender(Heartbeat(url, config.block_private), monotonic)


class Notifier:
    """Tells the channels what there is to tell, each in a thread of its own."""

    def __init__(self, config: Config, place: Callable[[], Place], clock: Clock) -> None:
        self._windows, self._clock = config.alerts.maintenance, clock
        self._dispatcher = Dispatcher(config.alerts, config.http.external_url, place, clock)
        self._channels = [Sender(channel, clock.monotonic) for channel in channels(config.notifiers)]
        self._heart = heart(config.notifiers, clock.monotonic)
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
