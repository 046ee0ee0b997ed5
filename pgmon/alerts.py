"""Rules for Prometheus, derived from the same conditions that the engine compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pgmon.feature import Feature, columns
from pgmon.rule import Rule, Severity


def promql(feature: Feature[Any, Any], rule: Rule, severity: Severity, thresholds: Mapping[str, float]) -> str:
    """Return a rule as PromQL: one row has the same labels on all its metrics, so `and` matches them."""
    metrics = {name: column.metric for name, column in columns(feature.row).items()}
    conditions = (f"{metrics[c.field]} {c.sign} {c.limit(severity, thresholds):.15g}" for c in rule.when)
    return " and ".join(conditions)


def prometheus_rules(features: Sequence[Feature[Any, Any]], thresholds: Mapping[str, float]) -> dict[str, Any]:
    """Return a rule file as data: one group per feature that has rules."""
    groups = [
        {"name": f"pgmon_{f.name}", "rules": [r for rule in f.rules for r in _alerts(f, rule, thresholds)]}
        for f in features
        if f.rules
    ]
    return {"groups": groups}


def _alerts(feature: Feature[Any, Any], rule: Rule, thresholds: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    for severity in rule.severities:
        expression = promql(feature, rule, severity, thresholds)
        yield {
            "alert": f"Pg{rule.name}",
            "expr": expression,
            "for": f"{rule.hold:g}s",
            "labels": {"severity": severity},
            "annotations": {
                "summary": f"{rule.name} on {{{{ $labels.cluster }}}}: {expression}",
                "description": "{{ $labels.cluster }} {{ $labels.db }}: the value is {{ $value }}.",
            },
        }
