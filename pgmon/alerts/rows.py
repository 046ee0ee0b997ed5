"""Alerts as rows of the agent's own features, for pages, JSON and Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from pgmon.alerts.alert import Alert
from pgmon.features.own import AlertCount, CurrentAlert, PastAlert


def current(alert: Alert, wall: float, again: float | None) -> CurrentAlert:
    """Return what is wrong, or about to be; people are told again in `again` seconds."""
    return CurrentAlert(
        alert=alert.name,
        severity=alert.severity,
        state=alert.state,
        db=alert.labels.get("db", ""),
        object=alert.object,
        message=alert.message,
        paste=alert.paste,
        since_seconds=wall - alert.since,
        firing_seconds=None if alert.started is None else wall - alert.started,
        again_seconds=again,
        unknown=alert.unknown,
        inhibited_by=alert.inhibited_by,
        advisory=alert.advisory,
    )


def past(alert: Alert, wall: float) -> PastAlert:
    """Return what fired once."""
    started = wall if alert.started is None else alert.started
    return PastAlert(
        alert=alert.name,
        severity=alert.severity,
        state=alert.state,
        db=alert.labels.get("db", ""),
        object=alert.object,
        message=alert.message,
        started_seconds=wall - started,
        lasted_seconds=None if alert.ended is None else alert.ended - started,
    )


def counts(alerts: Collection[Alert]) -> list[AlertCount]:
    """Count by rule, severity and state."""
    counted = Counter((alert.name, alert.severity, alert.state) for alert in alerts)
    return [AlertCount(*which, n) for which, n in sorted(counted.items())]
