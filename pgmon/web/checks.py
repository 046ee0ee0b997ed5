"""The verdicts: every rule against the rows of now, failing ones first.

A check is a rule by its name. What it says comes of the rule's own conditions, limits and message: nothing is compared
here that Prometheus and the engine do not compare, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pgmon.alerts.alert import Alert
from pgmon.alerts.prometheus import promql
from pgmon.alerts.runbook import runbook
from pgmon.alerts.wording import worded
from pgmon.errors import Kind
from pgmon.feature import Feature, labels
from pgmon.rule import Rule
from pgmon.snapshot import Reading
from pgmon.web import marks, states
from pgmon.web.limits import Limits, limits_of, severity
from pgmon.web.units import amount, duration
from pgmon.web.view import View
from pgmon.web.words import check_title

NOT_HERE = frozenset({Kind.UNSUPPORTED, Kind.GONE})  # a check of what this server has not is no check
WORDS = {"crit": "Critical", "warn": "Warning", "unknown": "Unknown", "": "Passed"}
ORDER = ("crit", "warn", "unknown", "")


@dataclass(frozen=True, slots=True)
class Judged:
    """One row under one rule."""

    rule: Rule
    feature: Feature[Any, Any]
    reading: Reading
    row: Any
    state: str  # crit, warn or ''
    nearness: float  # to the limit: 1 is at it
    limits: Limits

    @property
    def value(self) -> float | None:
        """The number that the rule is about."""
        found: float | None = getattr(self.row, self.limits.condition.field)
        return found

    @property
    def message(self) -> str:
        """What the rule says of the row."""
        return worded(self.rule.message, self.row)


@dataclass(frozen=True, slots=True)
class Told:
    """A rule at one severity, as Prometheus has it."""

    severity: str
    promql: str
    hold: float  # seconds


@dataclass(frozen=True, slots=True)
class Check:
    """A rule and all rows under it; `worst` is the nearest to the limit, or the furthest beyond."""

    name: str
    feature: Feature[Any, Any]
    state: str  # crit, warn, unknown or ''
    failing: Sequence[Judged]
    worst: Judged | None
    unknown: states.State | None
    rules: Sequence[Told]
    alerts: Sequence[Alert]  # of the engine, which waits as long as the rule says
    wall: float

    @property
    def page(self) -> str:
        """The page of its feature."""
        return self.feature.panel

    @property
    def meaning(self) -> str:
        """What it means, by its runbook."""
        return runbook(self.name).meaning

    @property
    def paste(self) -> str:
        """What to do about the worst row, as lines to paste."""
        return worded(runbook(self.name).paste, self.failing[0].row) if self.failing else ""

    @property
    def since(self) -> str:
        """Since when it fires, or that it does not yet."""
        fired = [a.started for a in self.alerts if a.started is not None]
        if fired:
            return f"Fires for {duration(self.wall - min(fired))}."
        holds = [rule.hold for rule in self.rules if rule.hold]
        return f"It fires when it has held for {duration(holds[0])}." if self.failing and holds else ""

    @property
    def title(self) -> str:
        """Its name in words."""
        return check_title(self.name)

    @property
    def word(self) -> str:
        """The word for its state."""
        return WORDS[self.state]

    @property
    def say(self) -> str:
        """The sentence beside it."""
        if self.failing:
            more = len(self.failing) - 1
            return self.failing[0].message + (f", and {more} more" if more else "")
        return self.unknown.text if self.unknown else ""

    @property
    def now(self) -> str:
        """The number that judges it; 'none' where there is no row to judge."""
        if self.worst is None:
            return "not known" if self.unknown else "none"
        value = self.worst.value
        return "none" if value is None else str(amount(value, self.worst.limits.unit))

    @property
    def limit(self) -> str:
        """Its limits in words."""
        return "not known" if self.unknown and not self.worst else self.worst.limits.words if self.worst else ""

    @property
    def bar(self) -> Markup:
        """Where it stands against its limits."""
        if self.worst is None:
            return marks.bar(None) if self.unknown else marks.bar(0, [200 / 3])
        return self.worst.limits.bar(self.worst.value or 0.0, self.worst.state)


def checks(view: View) -> list[Check]:
    """Return every check that means something on this server, failing ones first."""
    rules: dict[str, list[tuple[Feature[Any, Any], Rule]]] = {}
    for feature, its in view.agent.engine.catalogue.items():
        for rule in its if view.applies(feature) else ():
            rules.setdefault(rule.name, []).append((feature, rule))
    found = [check for name, its in rules.items() if (check := _check(view, name, its))]
    return sorted(found, key=lambda c: ORDER.index(c.state))


def _check(view: View, name: str, rules: Sequence[tuple[Feature[Any, Any], Rule]]) -> Check | None:
    readings = [r for f in dict.fromkeys(f for f, _ in rules) for r in view.readings(f)]
    if all(r.failure in NOT_HERE for r in readings):
        return None
    judged = [j for feature, rule in rules for j in _judged(view, feature, rule)]
    failing = sorted((j for j in judged if j.state), key=lambda j: (j.state != "crit", -j.nearness))
    known = [states.of_reading(view, r) for r in readings if r.failure not in NOT_HERE]
    bad = next((s for s in known if s.name not in ("fresh", "empty")), None)
    valued = [j for j in judged if not bad or j.value is not None]  # what could not be read is not at 0
    worst = failing[0] if failing else max(valued, key=lambda j: j.nearness, default=None)
    told = [
        Told(each, promql(f, rule, each, view.thresholds), rule.hold) for f, rule in rules for each in rule.severities
    ]
    return Check(
        name=name,
        feature=worst.feature if worst else rules[0][0],
        state=failing[0].state if failing else "unknown" if bad else "",
        failing=failing,
        worst=worst,
        unknown=bad,
        rules=told,
        alerts=sorted((a for a in view.agent.engine.alerts.values() if a.name == name), key=lambda a: a.since),
        wall=view.wall,
    )


def _judged(view: View, feature: Feature[Any, Any], rule: Rule) -> Iterator[Judged]:
    """Yield the rows of what is known now; a row is as near as the furthest of its conditions."""
    limits = limits_of(rule, feature, view.thresholds)
    shown = view.judge(feature).limits  # with those of other rules for the same field
    for reading in view.readings(feature):
        if states.of_reading(view, reading).name not in ("fresh", "partial"):
            continue
        for row in reading.rows:
            key = rule.name, reading.db, labels(row)
            if limits and all(getattr(row, c.field) in c.values for c in rule.chosen):
                state = severity(rule, row, view.thresholds)
                if not state or not view.agent.engine.overlooks(rule, key, row):
                    nearness = min(its.nearness(getattr(row, name)) for name, its in limits.items())
                    yield Judged(rule, feature, reading, row, state, nearness, shown[next(iter(limits))])
