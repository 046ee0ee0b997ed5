"""When people are told: grouped, not twice, the graver sooner."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from pgmon.alerts.alert import Alert, Key
from pgmon.clock import Clock
from pgmon.config import Alerts
from pgmon.notify.notification import Notification, Place

DAY = 86400.0
SETTLING = 3600.0  # after the start, until the first advisory digest: by then every loop has been read
STORM, WITHIN = 10, 30.0  # more messages in so many seconds become one


@dataclass(slots=True)
class Told:
    """What a group was told, and when."""

    alerts: dict[Key, Alert] = field(default_factory=dict)  # that fire, as far as people know
    sent: float = -math.inf
    alarmed: float = -math.inf  # a message that began or ended something critical


class Dispatcher:
    """Compares at every tick what fires with what people know. It sends nothing itself."""

    def __init__(self, config: Alerts, base: str, place: Callable[[], Place], clock: Clock) -> None:
        self._config, self._base, self._place, self._clock = config, base, place, clock
        self._groups: dict[str, Told] = {}
        self._recent: deque[float] = deque()
        self._advised = clock.monotonic() + SETTLING - DAY

    def due(self, alerts: Collection[Alert]) -> list[Notification]:
        """Return the messages to send now; what they tell counts as told."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        fired = {alert.key: alert for alert in alerts if alert.fired}
        speaking = _grouped(a for a in fired.values() if a.state == "firing" and not a.inhibited_by)
        messages = []
        for group in sorted({*speaking, *self._groups}):
            told = self._groups.setdefault(group, Told(sent=self._advised if group == "advisory" else -math.inf))
            firing = speaking.get(group, {})
            over = [replace(a, state="resolved", ended=wall) for key, a in told.alerts.items() if key not in fired]
            if self._is_due(group, told, firing, over, now):
                messages.append(self._message(group, firing.values(), over if group != "advisory" else ()))
                self._tell(told, firing, over, now)
            elif not firing and not told.alerts and now - told.sent >= DAY:
                del self._groups[group]
        return self._calmed(sorted(messages, key=lambda m: m.severity != "critical"), now)

    def _is_due(self, group: str, told: Told, firing: Mapping[Key, Alert], over: Collection[Alert], now: float) -> bool:
        if group == "advisory":
            return bool(firing) and now - told.sent >= DAY
        known = {key: alert.severity for key, alert in told.alerts.items()}
        news = [alert for key, alert in firing.items() if known.get(key) != alert.severity]
        interval = self._config.group_interval
        if any(alert.severity == "critical" for alert in news) and now - told.alarmed >= interval:
            return True
        if (news or over) and now - told.sent >= interval:
            return True
        return bool(firing) and now - told.sent >= self._repeat(firing.values())

    def _repeat(self, firing: Collection[Alert]) -> float:
        repeat = self._config.repeat_interval
        return repeat.critical if any(alert.severity == "critical" for alert in firing) else repeat.warning

    def again(self, alert: Alert) -> float | None:
        """Return in how many seconds people are told again of what they know, if nothing changes; None of the rest."""
        told = self._groups.get(_group(alert))
        if told is None or alert.key not in told.alerts:
            return None
        interval = DAY if alert.advisory else self._repeat(told.alerts.values())
        return max(told.sent + interval - self._clock.monotonic(), 0.0)

    def _tell(self, told: Told, firing: Mapping[Key, Alert], over: Collection[Alert], now: float) -> None:
        for alert in over:
            del told.alerts[alert.key]
        told.alerts.update(firing)
        told.sent = now
        if any(alert.severity == "critical" for alert in (*firing.values(), *over)):
            told.alarmed = now

    def _message(self, group: str, firing: Iterable[Alert], over: Iterable[Alert]) -> Notification:
        ranked = [sorted(part, key=lambda alert: alert.rank) for part in (firing, over)]
        return Notification(group, ranked[0], ranked[1], self._place(), self._base)

    def _calmed(self, messages: list[Notification], now: float) -> list[Notification]:
        """Return the messages, as one digest when there would be too many of late."""
        while self._recent and now - self._recent[0] >= WITHIN:
            self._recent.popleft()
        if len(messages) > 1 and len(self._recent) + len(messages) > STORM:
            firing = [alert for message in messages for alert in message.firing]
            messages = [self._message("digest", firing, [alert for message in messages for alert in message.resolved])]
        self._recent.extend([now] * len(messages))
        return messages


def _grouped(alerts: Iterable[Alert]) -> Mapping[str, Mapping[Key, Alert]]:
    """Group what fires by alert, all advisories together."""
    groups: dict[str, dict[Key, Alert]] = {}
    for alert in alerts:
        groups.setdefault(_group(alert), {})[alert.key] = alert
    return groups


def _group(alert: Alert) -> str:
    return "advisory" if alert.advisory else alert.name
