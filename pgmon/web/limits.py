"""What the rules of a feature say of its rows, and where a value stands against their limits: rules as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from pgmon.feature import Feature, columns
from pgmon.rule import Over, Rule, Severity, Under
from pgmon.web import marks
from pgmon.web.units import amount

STATES: Mapping[Severity | None, str] = {"critical": "crit", "warning": "warn", None: ""}

Thresholds = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one exported gauge by severity, warning first."""

    condition: Over
    values: Mapping[Severity, float]
    unit: str

    @property
    def under(self) -> bool:
        """Whether it is too little that is wrong."""
        return isinstance(self.condition, Under)

    @property
    def places(self) -> list[float]:
        """Where the limits stand, in percent of the track; the graver one last."""
        return [100 * v / self.track for v in dict.fromkeys(self.values.values())] if self.track > 0 else []

    @property
    def track(self) -> float:
        """What the whole track stands for: 1.5 times the limit; a share that may be nearly all has an end."""
        top = max(self.values.values())
        return 1.0 if self.unit == "ratio" and 2 / 3 < top <= 1 and not self.under else 1.5 * top

    @property
    def words(self) -> str:
        """The limits as a heading."""
        if self.track <= 0:
            return "limit none"
        shown = ", ".join(str(amount(v, self.unit)) for v in dict.fromkeys(self.values.values()))
        return f"at least {shown}" if self.under else f"limit {shown}"

    @property
    def first(self) -> float:
        """The limit that is met first."""
        return next(iter(self.values.values()))

    def state(self, value: float | None) -> str:
        """Return 'crit', 'warn' or '' for a value by this condition alone."""
        graver_first = sorted(self.values.items(), key=lambda limit: limit[0] != "critical")
        return next((STATES[s] for s, limit in graver_first if self.condition.holds(value, limit)), "")

    def with_more(self, other: Limits) -> Limits:
        """Return the limits with those of another rule for the severities that have none here."""
        if self.under != other.under:
            return self
        values = {**other.values, **self.values}
        return replace(self, values={s: values[s] for s in ("warning", "critical") if s in values})

    def nearness(self, value: float | None) -> float:
        """Return how near a value is to the first limit: 1 is at it, more is beyond; what is not known is far."""
        if value is None:
            return -1.0
        if self.under:
            return self.first / value if value > 0 else 2.0 + self.first
        return value / self.first if self.first > 0 else 2.0 * (value > 0)

    def bar(self, value: float | None, state: str = "") -> Markup:
        """Return the value as a bar with the limits' marks."""
        if value is None:
            return marks.bar(None)
        return marks.bar(100 * value / self.track if self.track > 0 else 100.0 * (value > 0), self.places, state)


def limits_of(rule: Rule, feature: Feature[Any, Any], thresholds: Thresholds) -> dict[str, Limits]:
    """Return the fields that a rule compares, each with its limits; the first is what the rule is about."""
    kinds, found = columns(feature.row), {}
    for condition in rule.compared:
        column = kinds[condition.field]
        unit = "percent" if "_pct" in column.metric else column.unit
        limits = {s: condition.limit(s, thresholds) for s in reversed(rule.severities)}
        found[condition.field] = Limits(condition, limits, unit)
    return found


def severity(rule: Rule, row: object, thresholds: Thresholds) -> str:
    """Return 'crit', 'warn' or '' for a row: all conditions of a rule together."""
    return next((STATES[s] for s in rule.severities if rule.holds(row, s, thresholds)), "")


@dataclass(frozen=True, slots=True)
class Judge:
    """The rules in force for a feature."""

    feature: Feature[Any, Any]
    rules: Sequence[Rule]
    thresholds: Thresholds

    @property
    def limits(self) -> dict[str, Limits]:
        """The limits of each field; where rules share one, the first that tells a severity counts."""
        found: dict[str, Limits] = {}
        for rule in self.rules:
            for name, limits in limits_of(rule, self.feature, self.thresholds).items():
                found[name] = found[name].with_more(limits) if name in found else limits
        return found

    def states(self, row: object) -> dict[str, str]:
        """Return the fields of a row that rules find too much, each 'crit' or 'warn'."""
        found: dict[str, str] = {}
        for rule in self.rules:
            if state := severity(rule, row, self.thresholds):
                for name in limits_of(rule, self.feature, self.thresholds):
                    found[name] = "crit" if "crit" in (state, found.get(name)) else state
        return found
