"""What a rule's limits are for a column, and where a value stands against them: the one use of rules in pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pgmon.feature import Feature, columns
from pgmon.rule import Over, Rule, Under
from pgmon.web import marks
from pgmon.web.units import amount

AT = 200 / 3  # percent of the track at which the graver limit stands: the track is 1.5 times the limit


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one exported gauge: warning, then critical where there is one."""

    condition: Over
    values: tuple[float, ...]
    unit: str

    @property
    def under(self) -> bool:
        """Whether it is too little that is wrong."""
        return isinstance(self.condition, Under)

    @property
    def track(self) -> float:
        """What the whole track stands for: a share that may be nearly everything has its own end."""
        top = max(self.values)
        return 1.0 if self.unit == "ratio" and top > 2 / 3 and not self.under else 1.5 * top

    @property
    def words(self) -> str:
        """The limits as a heading; none where everything above 0 is too much."""
        if self.track <= 0:
            return "limit none"
        shown = ", ".join(str(amount(v, self.unit)) for v in self.values)
        return f"at least {shown}" if self.under else f"limit {shown}"

    def state(self, value: float | None) -> str:
        """Return 'crit', 'warn' or '' for a value; what is not known is neither."""
        if value is None or not self.condition.holds(value, self.values[0]):
            return ""
        if len(self.values) > 1:
            return "crit" if self.condition.holds(value, self.values[1]) else "warn"
        return "crit" if self.condition.warn is None else "warn"

    def share(self, value: float | None) -> float | None:
        """Return where a value stands, in percent of the track."""
        if value is None:
            return None
        return 100 * value / self.track if self.track > 0 else 100.0 * (value > 0)

    def nearness(self, value: float | None) -> float:
        """Return how near a value is to the first limit: 1 is at it, more is beyond; what is not known is far."""
        if value is None:
            return -1.0
        first = self.values[0]
        if self.under:
            return first / value if value > 0 else 2.0 + first
        return value / first if first > 0 else float(value > 0) * 2

    def bar(self, value: float | None, state: str | None = None) -> Markup:
        """Return the value as a bar with the limits' marks."""
        places = [100 * v / self.track for v in self.values] if self.track > 0 else []
        return marks.bar(self.share(value), places, self.state(value) if state is None else state)


def limits_of(rule: Rule, feature: Feature[Any, Any], thresholds: Mapping[str, float]) -> list[tuple[str, Limits]]:
    """Return the fields that a rule compares, each with its limits; the first is what the rule is about."""
    kinds = columns(feature.row)
    found = []
    for condition in rule.when:
        values = dict.fromkeys(condition.limit(severity, thresholds) for severity in reversed(rule.severities))
        found.append((condition.field, Limits(condition, tuple(values), kinds[condition.field].unit)))
    return found


def by_field(feature: Feature[Any, Any], thresholds: Mapping[str, float]) -> dict[str, Limits]:
    """Return the limits that the rules of a feature set for its fields; the first rule of a field counts."""
    found: dict[str, Limits] = {}
    for rule in feature.rules:
        for name, limits in limits_of(rule, feature, thresholds):
            found.setdefault(name, limits)
    return found
