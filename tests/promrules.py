"""The rules for Prometheus and promtool's unit tests of them, made from the catalogue: `python tests/promrules.py`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pgmon.alerts.catalogue import in_force
from pgmon.alerts.prometheus import prometheus_rules
from pgmon.config import Config
from pgmon.feature import Feature, Tier, columns
from pgmon.features import FEATURES
from pgmon.rule import Over, Rule, Severity, Under

FOLDER = Path(__file__).parent.parent / "examples" / "prometheus"
RULES, TESTS = FOLDER / "pgmon.rules.yaml", FOLDER / "pgmon.rules.test.yaml"
CONFIG = Config.model_validate({})
THRESHOLDS = CONFIG.alerts.thresholds


def rules() -> str:
    """Return what `pgmon rules` prints without a configuration."""
    return yaml.safe_dump(prometheus_rules(FEATURES, CONFIG), sort_keys=False, width=120)


def tests() -> str:
    """Return promtool's unit tests: each rule fires, and is over; at its very limits it does not fire."""
    made = {"rule_files": [RULES.name], "evaluation_interval": "1m", "tests": list(_tests())}
    return yaml.safe_dump(made, sort_keys=False, width=120)


def _tests() -> Iterator[dict[str, Any]]:
    for feature, found in in_force(FEATURES, CONFIG.alerts):
        for rule in found:
            for severity in rule.severities:
                yield _fires(feature, rule, severity)
                yield _does_not(feature, rule, severity)


def _fires(feature: Feature[Any, Any], rule: Rule, severity: Severity) -> dict[str, Any]:
    """The conditions hold for as long as they must and a minute, then no more."""
    hold = math.ceil(rule.hold / 60)
    over = hold + math.ceil(rule.keep_firing_for / 60) + 2
    early = [_expected(feature, rule, severity, hold - 1, 0)] if hold else []
    expected = [*early, _expected(feature, rule, severity, hold, 1), _expected(feature, rule, severity, over, 0)]
    return _test(feature, rule, severity, hold, expected)


def _does_not(feature: Feature[Any, Any], rule: Rule, severity: Severity) -> dict[str, Any]:
    return _test(feature, rule, severity, None, [_expected(feature, rule, severity, math.ceil(rule.hold / 60) + 1, 0)])


def _test(
    feature: Feature[Any, Any], rule: Rule, severity: Severity, hold: int | None, expected: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return a test on series that are beyond the limits for `hold` minutes (None: never), then at them."""
    metrics = {name: column.metric for name, column in columns(feature.row).items()}
    series = []
    for condition in rule.compared:
        limit = condition.limit(severity, THRESHOLDS)
        beyond = [] if hold is None else [f"{_beyond(condition, limit):.15g}x{hold}"]
        values = " ".join([*beyond, f"{limit:.15g}x{math.ceil(rule.hold / 60) + 3}"])
        series.append({"series": f"{metrics[condition.field]}{{{_labels(feature, rule)}}}", "values": values})
    name = f"{rule.name}, {severity}, {'fires' if hold is not None else 'does not fire'}: {feature.name}"
    return {"name": name, "interval": "1m", "input_series": series, "promql_expr_test": expected}


def _beyond(condition: Over, limit: float) -> float:
    return limit - 1 if isinstance(condition, Under) else limit + 1


def _labels(feature: Feature[Any, Any], rule: Rule) -> str:
    """Return the labels of a row that the rule chooses."""
    chosen = {c.field: c.values[0] for c in rule.chosen}
    names = [name for name, column in columns(feature.row).items() if column.role == "label"]
    common = ["cluster"] if feature.tier is Tier.AGENT or "db" in names else ["cluster", "db"]
    return ", ".join(f'{name}="{chosen.get(name, "a")}"' for name in (*common, *names))


def _expected(feature: Feature[Any, Any], rule: Rule, severity: str, minute: int, firing: int) -> dict[str, Any]:
    of = f'alertname="Pg{rule.name}", severity="{severity}", feature="{feature.name}", alertstate="firing"'
    samples = [{"labels": "{}", "value": firing}] if firing else []
    return {"expr": f"count(ALERTS{{{of}}})", "eval_time": f"{minute}m", "exp_samples": samples}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    RULES.write_text(rules(), encoding="utf-8")
    TESTS.write_text(tests(), encoding="utf-8")
