"""An alert as people and programs are told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pgmon.feature import columns
from pgmon.rule import Severity

Key = tuple[str, str, tuple[str, ...]]  # alert, database ('' for the cluster), values of the row's labels
State = Literal["pending", "firing", "unknown", "resolved"]  # unknown: it fired, and cannot be looked at now
SHOWN = 50  # rows of evidence of each feature


@dataclass(frozen=True, slots=True)
class Evidence:
    """The rows of a feature when an alert began to fire, as its readers saw them."""

    feature: str
    rows: Sequence[Any]

    def data(self) -> list[dict[str, Any]]:
        """Return the rows for JSON."""
        shown = [(row, [n for n, c in columns(type(row)).items() if c.role != "kept"]) for row in self.rows]
        return [{name: getattr(row, name) for name in names} for row, names in shown]


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule, one row. Times are seconds since 1970."""

    key: Key
    severity: Severity
    state: State
    advisory: bool
    labels: Mapping[str, str]  # as Prometheus has them, without alertname and severity
    panel: str
    message: str
    paste: str  # what to do about it, as lines to paste
    pids: frozenset[int]
    since: float  # the conditions hold
    started: float | None = None  # it fires
    ended: float | None = None
    unknown: str = ""  # why it cannot be looked at
    inhibited_by: str = ""  # the alert that explains it
    evidence: Sequence[Evidence] = ()

    @property
    def name(self) -> str:
        """The name of its rule."""
        return self.key[0]

    @property
    def object(self) -> str:
        """What it is about, as its labels tell; '' when that is the server."""
        return ", ".join(self.key[2])

    @property
    def fired(self) -> bool:
        """Whether it fires, as far as is known."""
        return self.state in ("firing", "unknown")

    @property
    def rank(self) -> tuple[bool, float, Key]:
        """By what alerts are sorted: criticals first, then the latest."""
        return self.severity != "critical", -(self.started or self.since), self.key
