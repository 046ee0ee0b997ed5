"""The vocabulary: what the fields of a row mean, and what a feature is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Generic, Literal, Protocol, TypeVar, dataclass_transform

from pgmon.config import Config
from pgmon.rule import Rule

W = TypeVar("W")  # what the statement returns
R = TypeVar("R")  # what readers see
T = TypeVar("T")


class Tier(StrEnum):
    """How often a feature is read; the seconds are in the configuration."""

    HOT_PATH = "hot_path"
    WORKLOAD = "workload"
    STORAGE = "storage"
    HOURLY = "hourly"
    AGENT = "agent"  # pgmon about itself: made at every read, from no statement


class Scope(StrEnum):
    """Where a feature's statement runs."""

    CLUSTER = "cluster"  # once, in the DSN's database
    DATABASE = "database"  # in each monitored database


class Role(StrEnum):
    """On which servers a feature means something."""

    ANY = "any"
    PRIMARY = "primary"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class Column:
    """What a field is: its role, help sentence, metric and unit ('seconds', 'bytes', 'ratio' or '')."""

    role: Literal["label", "gauge", "counter", "untyped", "detail", "mark", "kept"]
    help: str
    metric: str = ""
    unit: str = ""


def _column(*column: Any) -> Any:
    return field(metadata={"column": Column(*column)})


def label(help: str) -> Any:
    """A field that becomes a label of the row's metrics."""
    return _column("label", help)


def gauge(metric: str, help: str, unit: str = "") -> Any:
    """A field exported as a gauge; None is not exported."""
    return _column("gauge", help, metric, unit)


def counter(metric: str, help: str, unit: str = "") -> Any:
    """A field exported as a counter, untouched by us: Prometheus sees the resets.

    Only where another server takes the place of the first one it begins at 0: see `Reading.first`.
    """
    return _column("counter", help, metric, unit)


def untyped(metric: str, help: str, unit: str = "") -> Any:
    """A field exported without a type, for a name that promises another one."""
    return _column("untyped", help, metric, unit)


def detail(help: str, unit: str = "") -> Any:
    """A field for pages and JSON only."""
    return _column("detail", help, "", unit)


def mark(help: str) -> Any:
    """A field that says why the row could not be read, '' when it was: its alerts neither fire nor are resolved."""
    return _column("mark", help)


def kept(help: str) -> Any:
    """A field that `derive` keeps for its next reading; no reader shows it."""
    return _column("kept", help)


@dataclass_transform(frozen_default=True, field_specifiers=(label, gauge, counter, untyped, detail, mark, kept))
def row(cls: type[T]) -> type[T]:
    """Make `cls` a frozen, slotted dataclass; type checkers know that no field has a default."""
    made = dataclass(frozen=True, slots=True)(cls)
    _COLUMNS[made] = {f.name: f.metadata["column"] for f in fields(made)}  # type: ignore[arg-type] # which it is now
    return made


_COLUMNS: dict[type, Mapping[str, Column]] = {}  # asked for every row that is read or shown


def columns(row: type) -> Mapping[str, Column]:
    """Return the columns of a row type by field name, in order."""
    return _COLUMNS[row]


def labels(row: object) -> tuple[str, ...]:
    """Return the values of a row's labels."""
    return tuple(str(getattr(row, name)) for name, column in columns(type(row)).items() if column.role == "label")


@dataclass(frozen=True, slots=True)
class Before(Generic[W, R]):
    """The previous good reading of the same feature and database, `elapsed` seconds ago."""

    raw: Sequence[W]
    rows: Sequence[R]
    elapsed: float


Params = Mapping[str, "int | Sequence[int]"]
Derive = Callable[[Sequence[W], "Before[W, R] | None", Config], Sequence[R]]


class Look(Protocol):
    """The rows that another feature of the database has now; of another tier they may be as old as it is slow."""

    def __call__(self, feature: Feature[Any, R], /) -> Sequence[R]: ...


@dataclass(frozen=True, slots=True, eq=False)  # a feature is itself: compared and hashed by identity
class Feature(Generic[W, R]):
    """One thing pgmon knows: sql/<name>.sql returns `raw`s, readers see the `row`s that `derive` makes of them."""

    name: str
    tier: Tier
    raw: type[W]
    row: type[R]
    derive: Derive[W, R]
    scope: Scope = Scope.CLUSTER
    role: Role = Role.ANY
    of: Feature[W, Any] | None = None  # no statement: another view of what that one's returned
    ask: Callable[[Look], Params | None] | None = None  # parameters; None: nothing to ask this time
    panel: str = ""
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        roles = {name: column.role for name, column in columns(self.row).items()}
        for rule in self.rules:
            if unknown := sorted({c.field for c in rule.compared if roles.get(c.field) != "gauge"}):
                raise ValueError(f"{rule.name} compares {unknown}: no gauge of {self.row.__name__}")
            if unknown := sorted({c.field for c in rule.chosen if roles.get(c.field) != "label"}):
                raise ValueError(f"{rule.name} chooses by {unknown}: no label of {self.row.__name__}")


def as_read(raw: Sequence[R], before: Before[R, R] | None, config: Config) -> Sequence[R]:
    """Derive nothing: the rows are what the statement returned."""
    return raw


def feature(name: str, tier: Tier, row: type[R], **rest: Any) -> Feature[R, R]:
    """The usual feature, whose readers see what its statement returned."""
    return Feature(name, tier, row, row, as_read, **rest)
