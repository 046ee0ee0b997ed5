"""Rules for Prometheus, derived from the same conditions that the engine compares."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pgmon.alerts.catalogue import in_force
from pgmon.alerts.runbook import runbook
from pgmon.config import Config
from pgmon.feature import Feature, Tier, columns
from pgmon.rule import Rule, Severity


def promql(feature: Feature[Any, Any], rule: Rule, severity: Severity, thresholds: Mapping[str, float]) -> str:
    """Return a rule as PromQL: one row has the same labels on all its metrics, so `and` matches them."""
    metrics = {name: column.metric for name, column in columns(feature.row).items()}
    chosen = ",".join(_matcher(c.field, c.values) for c in rule.chosen)
    where = f"{{{chosen}}}" if chosen else ""
    return " and ".join(
        f"{metrics[c.field]}{where} {c.sign} {c.limit(severity, thresholds):.15g}" for c in rule.compared
    )


def _matcher(label: str, values: Sequence[str]) -> str:
    """Return a matcher of words of ours, which need no escaping."""
    return f"{label}{'=' if len(values) == 1 else '=~'}{json.dumps('|'.join(values))}"


def prometheus_rules(features: Sequence[Feature[Any, Any]], config: Config) -> dict[str, Any]:
    """Return a rule file as data: one group per feature that has rules."""
    groups = [
        {"name": f"pgmon_{feature.name}", "rules": list(_alerts(feature, rules, config))}
        for feature, rules in in_force(features, config.alerts)
    ]
    return {"groups": groups}


def _alerts(feature: Feature[Any, Any], rules: Sequence[Rule], config: Config) -> Iterator[dict[str, Any]]:
    """Yield the alerts of a feature: the rules of one name are alternatives."""
    thresholds = config.alerts.thresholds
    alike: dict[tuple[object, ...], list[tuple[Rule, Severity]]] = {}
    for rule in rules:
        for severity in rule.severities:
            alike.setdefault((rule.name, severity, rule.hold, rule.keep_firing_for), []).append((rule, severity))
    for found in alike.values():
        (rule, severity), expression = found[0], " or ".join(promql(feature, r, s, thresholds) for r, s in found)
        keep = {"keep_firing_for": f"{rule.keep_firing_for:g}s"} if rule.keep_firing_for else {}
        advisory = {"class": "advisory"} if rule.advisory else {}
        yield {
            "alert": f"Pg{rule.name}",
            "expr": expression,
            "for": f"{rule.hold:g}s",
            **keep,
            "labels": {"severity": severity, "feature": feature.name, **advisory},
            "annotations": {**_words(feature, rule, expression), **_links(feature, rule, config.http.external_url)},
        }


def _words(feature: Feature[Any, Any], rule: Rule, expression: str) -> dict[str, str]:
    labels = [name for name, column in columns(feature.row).items() if column.role == "label"]
    common = () if feature.tier is Tier.AGENT or "db" in labels else ("db",)
    place = " ".join(f"{{{{ $labels.{name} }}}}" for name in ("cluster", *common, *labels))
    meaning = " ".join(runbook(rule.name).meaning.split())
    return {
        "summary": f"{rule.name} on {{{{ $labels.cluster }}}}: {expression}",
        "description": f"{place}: the value is {{{{ $value }}}}. {meaning}".strip(),
    }


def _links(feature: Feature[Any, Any], rule: Rule, base: str) -> dict[str, str]:
    base = base.rstrip("/")
    if not base:
        return {}
    return {"runbook_url": f"{base}/alerts/{rule.name}", "dashboard_url": f"{base}/{feature.panel}"}
