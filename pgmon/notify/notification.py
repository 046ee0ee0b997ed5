"""A message: what is told at once, before a channel gives it its form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pgmon.alerts.alert import Alert

MOST = 10  # alerts that are told in full; the others are counted


class DeliveryError(Exception):
    """A channel did not take a message. The text names neither address nor password."""

    def __init__(self, reason: str, again: bool, after: float = 0.0) -> None:
        super().__init__(reason)
        self.again = again  # it may do so later
        self.after = after  # … in so many seconds at the earliest


@dataclass(frozen=True, slots=True)
class Place:
    """Where it happens: the words for the one who is woken up."""

    cluster: str
    host: str
    role: str  # primary, standby, or '' before the server was seen

    def __str__(self) -> str:
        beside = ", ".join(part for part in (self.host, self.role) if part)
        return f"{self.cluster} ({beside})" if beside else self.cluster


@dataclass(frozen=True, slots=True)
class Notification:
    """The alerts of a group, the gravest and latest first; `group` is an alert's name, 'digest' or 'advisory'."""

    group: str
    firing: Sequence[Alert]
    resolved: Sequence[Alert]
    place: Place
    base: str = ""  # http.external_url

    @property
    def severity(self) -> str:
        """The gravest that fires, 'resolved' when nothing does."""
        return self.firing[0].severity if self.firing else "resolved"

    @property
    def title(self) -> str:
        """One line: how grave, what, where."""
        counted = [
            f"{len(part)} {word}" for part, word in ((self.firing, "firing"), (self.resolved, "resolved")) if part
        ]
        alone = len(self.firing) + len(self.resolved) == 1
        many = "" if alone else f" ({', '.join(counted)})"
        return f"{self.severity.upper()} {self.group}{many} on {self.place}"

    @property
    def shown(self) -> list[Alert]:
        """The alerts that are told in full."""
        return [*self.firing, *self.resolved][:MOST]

    @property
    def more(self) -> str:
        """A sentence for the others; '' when there are none."""
        left = len(self.firing) + len(self.resolved) - MOST
        return f"and {left} more" if left > 0 else ""

    @property
    def link(self) -> str:
        """Where to look further; '' without http.external_url, which alone is believed."""
        path = "alerts" if self.group in ("digest", "advisory") else f"alerts/{self.group}"
        return f"{self.base.rstrip('/')}/{path}" if self.base else ""


def line(alert: Alert, group: str) -> str:
    """Return an alert in one line: what the title has not said yet."""
    said = "" if alert.name == group else f"{alert.severity.upper()} {alert.name} "
    db = alert.labels.get("db", "")
    about = " ".join(
        part for part in (f"[{db}]" if db else "", alert.object if alert.object not in alert.message else "")
    )
    words = f"{about.strip()}: {alert.message}" if about.strip() else alert.message
    return f"{'resolved: ' if alert.state == 'resolved' else ''}{said}{words}"


class Channel(Protocol):
    """A way to people."""

    name: str

    def deliver(self, notification: Notification) -> str:
        """Send a message within seconds and return what came back. Raises DeliveryError."""
