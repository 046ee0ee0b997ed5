"""Limits of rules as pictures: where they stand, and which rows they colour."""

from __future__ import annotations

import pytest

from pgmon.feature import Tier, feature, gauge, label, row
from pgmon.rule import Over, Rule, Under
from pgmon.web.limits import Judge, Limits


@row
class Table:
    """A table."""

    relation: str = label("Table.")
    pct: float = gauge("pg_x_pct_dead", "Percent.")
    dead: int = gauge("pg_x_dead", "Rows.")
    left: float | None = gauge("pg_x_left_seconds", "Time left.", "seconds")


DEAD = Rule("Dead", (Over("pct", "pct_limit"), Over("dead", 100)), 0, "{relation}")
SOON = Rule("Soon", (Under("left", warn=60),), 0, "{relation}")
NOW = Rule("Soon", (Under("left", crit=10),), 0, "{relation}")
TABLES = feature("tables", Tier.STORAGE, Table, rules=(DEAD, SOON, NOW))
JUDGE = Judge(TABLES, TABLES.rules, {"pct_limit": 20.0})


@pytest.mark.parametrize(
    ("pct", "dead", "left", "states"),
    [
        (50, 5, None, {}),
        (50, 500, None, {"pct": "warn", "dead": "warn"}),
        (0, 0, 30.0, {"left": "warn"}),
        (0, 0, 5.0, {"left": "crit"}),
    ],
)
def test_a_row_is_coloured_when_all_conditions_of_a_rule_hold(pct, dead, left, states):
    assert JUDGE.states(Table("t", pct, dead, left)) == states


def test_rules_that_share_a_field_share_its_limits():
    limits = JUDGE.limits["left"]

    assert limits.values == {"warning": 60, "critical": 10}
    assert limits.words.replace("\u00a0", " ") == "at least 1 m, 10 s"


def test_a_limit_stands_at_two_thirds_of_the_track():
    assert Limits(Over("pct", 20), {"warning": 20}, "percent").places == [pytest.approx(66.67, abs=0.01)]


def test_a_share_that_may_be_nearly_all_ends_at_all():
    assert Limits(Over("share", 0.8), {"warning": 0.8, "critical": 0.95}, "ratio").places == [80.0, 95.0]


def test_what_is_not_known_is_hatched_whatever_its_limit():
    assert "url(#hatch)" in JUDGE.limits["left"].bar(None)


def test_nearness_is_one_at_the_first_limit():
    pct, left = JUDGE.limits["pct"], JUDGE.limits["left"]

    assert [pct.nearness(v) for v in (None, 0, 20, 40)] == [-1, 0, 1, 2]
    assert [left.nearness(v) for v in (None, 120, 60, 30)] == [-1, 0.5, 1, 2]
    assert left.nearness(0) > left.nearness(1)
