"""What a rule is: conditions over the exported gauges of one row, read by our engine and by Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

Severity = Literal["critical", "warning"]
Threshold = str | float  # a key of `alerts:`, or a number


@dataclass(frozen=True, slots=True)
class Over:
    """A condition: an exported gauge above a threshold. Without `crit` it is the same at both severities."""

    field: str
    warn: Threshold
    crit: Threshold | None = None
    sign: ClassVar[str] = ">"

    def limit(self, severity: Severity, thresholds: Mapping[str, float]) -> float:
        """Return the number compared with at that severity."""
        threshold = self.crit if severity == "critical" and self.crit is not None else self.warn
        return thresholds[threshold] if isinstance(threshold, str) else threshold

    def holds(self, value: float | None, limit: float) -> bool:
        """Tell whether the condition is met; what is not known meets none."""
        return value is not None and value > limit


@dataclass(frozen=True, slots=True)
class Under(Over):
    """A condition: an exported gauge below a threshold."""

    sign: ClassVar[str] = "<"

    def holds(self, value: float | None, limit: float) -> bool:
        """Tell whether the condition is met; what is not known meets none."""
        return value is not None and value < limit


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert: all conditions hold for one row during `hold` seconds."""

    name: str
    when: tuple[Over, ...]
    hold: float
    message: str  # a format string over the row's fields

    @property
    def severities(self) -> tuple[Severity, ...]:
        """The graver first; critical only where a condition has a limit for it."""
        return ("critical", "warning") if any(c.crit is not None for c in self.when) else ("warning",)

    def severity(self, row: object, thresholds: Mapping[str, float]) -> Severity | None:
        """Return the gravest severity at which every condition holds for a row, None if at none."""
        for severity in self.severities:
            if all(c.holds(getattr(row, c.field), c.limit(severity, thresholds)) for c in self.when):
                return severity
        return None
