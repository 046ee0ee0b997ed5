"""What a rule is: conditions over one row's labels and exported gauges, read by our engine and by Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

Severity = Literal["critical", "warning"]
Threshold = str | float  # a key of `alerts:`, or a number


@dataclass(frozen=True, slots=True)
class Is:
    """A condition: a label that has one of these values."""

    field: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if isinstance(self.values, str):
            raise TypeError(f"{self.field}: write ({self.values!r},)")


@dataclass(frozen=True, slots=True)
class Over:
    """A condition: an exported gauge above a threshold.

    Without `crit` it is the same at both severities; without `warn` there is no warning, only a critical alert.
    """

    field: str
    warn: Threshold | None = None
    crit: Threshold | None = None
    sign: ClassVar[str] = ">"

    def __post_init__(self) -> None:
        if self.warn is None and self.crit is None:
            raise ValueError(f"{self.field} is compared with nothing")

    def limit(self, severity: Severity, thresholds: Mapping[str, float]) -> float:
        """Return the number compared with at that severity."""
        ours, other = (self.crit, self.warn) if severity == "critical" else (self.warn, self.crit)
        threshold = other if ours is None else ours
        assert threshold is not None  # see __post_init__
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
    """An alert: all conditions hold for one row during `hold` seconds. "Or" is a second rule of the same name.

    What it means and what to do about it is in runbooks/<name>.md.
    """

    name: str
    when: tuple[Over | Is, ...]
    hold: float
    message: str  # a format string over the row's fields
    keep_firing_for: float = 0.0  # seconds that it fires on after the last time the conditions held
    advisory: bool = False  # once a day is enough, and nobody waits to hear that it is over
    pids: tuple[str, ...] = ()  # fields with the processes that it is about: see Inhibition

    @property
    def compared(self) -> tuple[Over, ...]:
        """The conditions that compare a gauge."""
        return tuple(c for c in self.when if isinstance(c, Over))

    @property
    def chosen(self) -> tuple[Is, ...]:
        """The conditions that choose by a label."""
        return tuple(c for c in self.when if isinstance(c, Is))

    @property
    def severities(self) -> tuple[Severity, ...]:
        """The graver first; critical where a condition has a limit for it, warning unless one has none."""
        told: dict[Severity, bool] = {
            "critical": any(c.crit is not None for c in self.compared),
            "warning": all(c.warn is not None for c in self.compared),
        }
        return tuple(severity for severity, is_told in told.items() if is_told)

    def holds(self, row: object, severity: Severity, thresholds: Mapping[str, float]) -> bool:
        """Tell whether every condition holds for a row at a severity."""
        return all(getattr(row, c.field) in c.values for c in self.chosen) and all(
            c.holds(getattr(row, c.field), c.limit(severity, thresholds)) for c in self.compared
        )


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While `by` fires, nobody is told of what it explains: of alerts in `over`, where `over` is empty of all.

    With `same_process` only of those that are about one of the processes that it is about.
    """

    by: str
    over: tuple[str, ...] = ()
    same_process: bool = False

    def covers(self, name: str) -> bool:
        """Tell whether an alert may be explained."""
        return name != self.by and (not self.over or name in self.over)
