"""What to ask Prometheus, which has the history that pgmon has not: made of the declarations of the metrics."""

from __future__ import annotations

import json
from typing import Any

from pgmon.feature import Feature, columns
from pgmon.web.view import View

LEAST = 300.0  # seconds that a rate spans at least: many scrapes, whatever their interval
READINGS = 4  # … and readings, of which there are few where pgmon reads less often than Prometheus scrapes


def selector(view: View, metric: str, **labels: str) -> str:
    """Return a metric of this agent's cluster, as PromQL: JSON's strings are its strings."""
    matchers = {"cluster": view.agent.config.cluster, **labels}
    shown = ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in matchers.items())
    return f"{metric}{{{shown}}}"


def rate(view: View, feature: Feature[Any, Any], metric: str, **labels: str) -> str:
    """Return how much a counter grows per second."""
    cadence = view.agent.cadences.get(feature.tier)
    minutes = max(LEAST, READINGS * cadence.ttl if cadence else 0.0) / 60
    return f"rate({selector(view, metric, **labels)}[{minutes:.0f}m])"


def queries(view: View, feature: Feature[Any, Any]) -> list[str]:
    """Return a query for each metric of a feature: of a counter its growth, of anything else itself."""
    return [
        rate(view, feature, column.metric) if column.role == "counter" else selector(view, column.metric)
        for column in columns(feature.row).values()
        if column.metric
    ]


def mean(view: View, feature: Feature[Any, Any], total: str, calls: str, **labels: str) -> str:
    """Return how much of one counter there is for each of another."""
    return f"{rate(view, feature, total, **labels)}\n  / {rate(view, feature, calls, **labels)}"
