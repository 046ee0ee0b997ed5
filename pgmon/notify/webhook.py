"""A webhook that gets what Alertmanager would send (version 4)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pgmon.alerts.alert import Alert
from pgmon.alerts.runbook import runbook
from pgmon.notify.http import Post
from pgmon.notify.line import SECONDS
from pgmon.notify.notification import Notification

MOST = 100  # alerts in a payload; the others are counted
NEVER = "0001-01-01T00:00:00Z"


class Webhook:
    """One request per notification."""

    name = "webhook"

    def __init__(self, url: str, block_private: bool, seconds: float = SECONDS) -> None:
        self._post = Post(url, block_private, seconds)

    def deliver(self, notification: Notification) -> str:
        """Send it. Raises DeliveryError."""
        return self._post(payload(notification))


def payload(n: Notification) -> dict[str, Any]:
    """Return the payload."""
    everything = [*n.firing, *n.resolved]
    alerts = [_alert(alert, n.base) for alert in everything[:MOST]]
    group = {} if n.group in ("digest", "advisory") else {"alertname": n.group}
    return {
        "version": "4",
        "groupKey": f"{{}}:{json.dumps(group)}",
        "truncatedAlerts": max(len(everything) - MOST, 0),
        "status": "firing" if n.firing else "resolved",
        "receiver": "pgmon",
        "groupLabels": group,
        "commonLabels": _common([alert["labels"] for alert in alerts]),
        "commonAnnotations": _common([alert["annotations"] for alert in alerts]),
        "externalURL": n.base,
        "alerts": alerts,
    }


def _alert(alert: Alert, base: str) -> dict[str, Any]:
    labels = {**alert.labels, "alertname": alert.name, "severity": alert.severity}
    link = f"{base.rstrip('/')}/alerts/{alert.name}" if base else ""
    annotations = {
        "summary": alert.message,
        "description": runbook(alert.name).meaning,
        "paste": alert.paste,
        "runbook_url": link,
    }
    return {
        "status": "resolved" if alert.state == "resolved" else "firing",
        "labels": labels,
        "annotations": {name: text for name, text in annotations.items() if text},
        "startsAt": _moment(alert.started),
        "endsAt": _moment(alert.ended),
        "generatorURL": link,
        # Without the severity: a critical alert that becomes a warning is the same one.
        "fingerprint": hashlib.sha256(json.dumps([alert.name, alert.labels], sort_keys=True).encode()).hexdigest()[:16],
    }


def _moment(wall: float | None) -> str:
    return NEVER if wall is None else datetime.fromtimestamp(wall, UTC).isoformat().replace("+00:00", "Z")


def _common(maps: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return what all maps have in common."""
    return {name: value for name, value in maps[0].items() if all(m.get(name) == value for m in maps)} if maps else {}
