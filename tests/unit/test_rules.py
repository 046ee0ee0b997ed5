"""A rule: one condition, read by the engine and by Prometheus."""

from __future__ import annotations

import pytest

from pgmon.alerts import prometheus_rules, promql
from pgmon.feature import Tier, feature, gauge, row
from pgmon.rule import Over, Rule, Under


@row
class Dead:
    """Dead rows."""

    share: float | None = gauge("pg_share", "Share.")
    rows: int = gauge("pg_rows", "Rows.")


RULE = Rule("DeadRows", (Over("share", "share_warn", 40), Over("rows", "rows_min")), 600, "{rows} rows")
THRESHOLDS = {"share_warn": 20.0, "rows_min": 100_000.0}
DEAD = feature("dead", Tier.STORAGE, Dead, rules=(RULE,))


@pytest.mark.parametrize(
    ("row", "severity"),
    [
        (Dead(50.0, 200_000), "critical"),
        (Dead(30.0, 200_000), "warning"),
        (Dead(30.0, 100_000), None),
        (Dead(20.0, 200_000), None),
        (Dead(None, 200_000), None),
    ],
)
def test_a_rule_holds_when_all_its_conditions_do(row: Dead, severity: str | None):
    assert RULE.severity(row, THRESHOLDS) == severity


def test_under_holds_below_its_limit():
    rule = Rule("Low", (Under("share", 10, 5),), 0, "low")

    assert [rule.severity(Dead(x, 0), {}) for x in (4.0, 7.0, 10.0, None)] == ["critical", "warning", None, None]


def test_the_same_conditions_are_promql():
    assert promql(DEAD, RULE, "warning", THRESHOLDS) == "pg_share > 20 and pg_rows > 100000"
    assert promql(DEAD, RULE, "critical", THRESHOLDS) == "pg_share > 40 and pg_rows > 100000"


def test_a_large_limit_is_written_out():
    rule = Rule("Many", (Over("rows", 1_500_000_001),), 0, "many")

    assert promql(DEAD, rule, "warning", {}) == "pg_rows > 1500000001"


def test_each_severity_is_a_rule_of_its_own():
    group = prometheus_rules([DEAD], THRESHOLDS)["groups"][0]

    assert [(r["alert"], r["for"], r["labels"]["severity"]) for r in group["rules"]] == [
        ("PgDeadRows", "600s", "critical"),
        ("PgDeadRows", "600s", "warning"),
    ]


def test_a_rule_can_only_compare_exported_gauges():
    with pytest.raises(ValueError, match="compares \\['note'\\]"):
        feature("dead", Tier.STORAGE, Dead, rules=(Rule("X", (Over("note", 1),), 0, ""),))
