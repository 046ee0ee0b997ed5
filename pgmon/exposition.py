"""Snapshots into families, and into bytes once per snapshot and format."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, UnknownMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from pgmon.feature import Column, Feature, Tier, columns, labels
from pgmon.redact import plain
from pgmon.snapshot import Cadence, Reading, Snapshot

FAMILY: dict[str, type[Any]] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
    "untyped": UnknownMetricFamily,
}
EOF_LINE = b"# EOF\n"
FORMATS: dict[str, Callable[[Collector], bytes]] = {
    "text": generate_latest,  # it takes whatever can collect
    "openmetrics": generate_openmetrics,
}
LABEL_LENGTH = 128


def sanitised(value: object) -> str:
    """Return a label's value without controls and bidi marks, at most 128 characters; empty is '-'.

    An empty value would be no label at all to Prometheus.

    >>> sanitised("a\\nb"), sanitised("")
    ('a b', '-')
    """
    return plain(str(value), LABEL_LENGTH) or "-"


def _since(value: Any, first: Any) -> Any:
    """Return how much a counter grew; what was reset meanwhile is as it is.

    >>> _since(7, 5), _since(3, 5), _since(None, 5)
    (2, 3, None)
    """
    return value if value is None or first is None or value < first else value - first


class Readable(Protocol):
    """A cache of snapshots, or what reads like one."""

    def read(self, wait: float = 0.0) -> Snapshot | None:
        """Return the latest snapshot; wait at most so many seconds for a newer one that is due."""


class Families:
    """The families of one feature, and what had to be left out of them."""

    def __init__(
        self, feature: Feature[Any, Any], cadence: Cadence | None, cluster: str, dropped: Counter[str]
    ) -> None:
        self._columns, self._cluster, self._dropped = columns(feature.row), cluster, dropped
        self._labels = [name for name, column in self._columns.items() if column.role == "label"]
        self.alerting = bool(feature.rules)
        self.made = {name: self._family(column, cadence) for name, column in self._columns.items() if column.metric}
        self._seen: dict[tuple[str, ...], tuple[object, ...]] = {}

    def _family(self, column: Column, cadence: Cadence | None) -> Metric:
        every = f" Read every {cadence.ttl:g} s." if cadence else ""
        names = [*self._common(column, "cluster", "db"), *self._labels]
        family: Metric = FAMILY[column.role](column.metric, column.help + every, labels=names)
        return family

    def _common(self, column: Column, cluster: str, db: str) -> list[str]:
        """Return what every metric carries: its own are the agent's, which has no database."""
        return [cluster] if column.metric.startswith("pgmon_") or "db" in self._labels else [cluster, db]

    def add(self, rows: Iterable[object], db: str, first: Mapping[tuple[str, ...], object] | None = None) -> None:
        """Add the samples of a reading, counters as they grew since `first`; one bad value costs one sample."""
        for row in rows if self.made else ():  # rows without metrics are no duplicates of each other
            values = self._unique(row, db)
            if values is None:
                self._dropped["duplicate"] += 1
                continue
            origin = first.get(labels(row)) if first else None
            for name, family in self.made.items():
                column, value = self._columns[name], getattr(row, name)
                if origin is not None and column.role == "counter":
                    value = _since(value, getattr(origin, name))
                self._sample(family, [*self._common(column, self._cluster, db), *values], value)

    def _unique(self, row: object, db: str) -> tuple[str, ...] | None:
        """Return the row's labels, told apart from rows whose names became equal; None for the very same ones."""
        original = (db, *(getattr(row, name) for name in self._labels))
        values = tuple(sanitised(value) for value in original[1:])
        for nth in range(1, 100):
            named = values if nth == 1 else (*values[:-1], f"{values[-1]}~{nth}")
            taken = self._seen.setdefault((db, *named), original)
            if taken is original:
                return named
            if taken == original:
                return None
        return None

    def _sample(self, family: Any, labels: Sequence[str], value: Any) -> None:
        if value is None:
            return
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if math.isnan(number):
            self._dropped["value"] += 1
        else:
            family.add_metric(labels, number)


class Page(Collector):
    """The families of one snapshot, of which at most `room` samples."""

    def __init__(
        self,
        readings: Mapping[Feature[Any, Any], Sequence[Reading]],
        cadence: Cadence | None,
        names: tuple[str, str],
        room: float = math.inf,
    ) -> None:
        self.dropped: Counter[str] = Counter()
        found = []
        for feature, its in readings.items():
            families = Families(feature, cadence, names[0], self.dropped)
            for reading in its:
                families.add(reading.rows, reading.db or names[1], reading.first)
            found.append(families)
        self._cap(found, room)
        self._families = [family for families in found for family in families.made.values()]
        self._bytes: dict[str, bytes] = {}

    def _cap(self, found: Sequence[Families], room: float) -> None:
        """Cut the longest families to one length that fits; what carries an alert stays whole."""
        cut = [family for families in found if not families.alerting for family in families.made.values()]
        fixed = sum(len(family.samples) for families in found if families.alerting for family in families.made.values())
        lengths = [len(family.samples) for family in cut]
        longest = max(lengths, default=0)
        while longest and fixed + sum(min(length, longest) for length in lengths) > room:
            longest -= max(1, longest // 20)
        for family in cut:
            self.dropped["cap"] += max(len(family.samples) - longest, 0)
            del family.samples[longest:]

    @property
    def size(self) -> int:
        """How many samples it has."""
        return sum(len(family.samples) for family in self._families)

    def collect(self) -> list[Metric]:
        """Return the families."""
        return self._families

    def encoded(self, fmt: str) -> bytes:
        """Return this page in a format, without the end mark; the same bytes at every call."""
        if fmt not in self._bytes:
            self._bytes[fmt] = FORMATS[fmt](self).removesuffix(EOF_LINE)
        return self._bytes[fmt]


class TierCollector(Collector):
    """One tier for Prometheus: reading it never waits, and never raises."""

    def __init__(
        self,
        tier: Tier,
        source: Readable,
        features: Sequence[Feature[Any, Any]],
        cadence: Cadence | None,
        names: Callable[[], tuple[str, str]],
        monotonic: Callable[[], float],
        room: Callable[[TierCollector], float],
    ) -> None:
        self.tier, self._source, self._features = tier, source, features
        self._cadence, self._names, self._now, self._room = cadence, names, monotonic, room
        self._made: tuple[Snapshot | None, float, Page] = (None, math.inf, self._empty())
        self.dropped: Counter[str] = Counter()

    def _empty(self) -> Page:
        return Page({f: () for f in self._features}, self._cadence, self._names())

    def describe(self) -> list[Metric]:
        """Return the families without samples: registering runs no SQL."""
        return self._empty().collect()

    def page(self) -> Page:
        """Return the page of the latest snapshot, made anew when that changes or a reading grows too old."""
        snapshot, now = self._source.read(), self._now()
        if snapshot is not self._made[0] or now > self._made[1]:
            self._made = snapshot, *self._paged(snapshot, now)
            self.dropped += self._made[2].dropped
        return self._made[2]

    def _paged(self, snapshot: Snapshot | None, now: float) -> tuple[float, Page]:
        """Return the page and until when it is true."""
        stale = self._cadence.max_stale if self._cadence else math.inf
        alive = [r for r in (snapshot.readings.values() if snapshot else ()) if r.alive(now, stale)]
        by_feature = {f: [r for r in alive if r.feature is f] for f in self._features}
        until = min((r.taken + stale for r in alive if r.taken is not None), default=math.inf)
        return until, Page(by_feature, self._cadence, self._names(), self._room(self))

    @property
    def size(self) -> int:
        """How many samples the latest page has."""
        return self._made[2].size

    def collect(self) -> list[Metric]:
        """Return the families of the latest page."""
        return self.page().collect()


class Exposition:
    """All of /metrics."""

    def __init__(self, series: int) -> None:
        self._series = series
        self.registry = CollectorRegistry(auto_describe=True)
        self._process = CollectorRegistry()
        self._tiers: list[TierCollector] = []
        self._owners: dict[str, Tier] = {}
        for registry in (self.registry, self._process):
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
        self._own(self._process.collect(), Tier.AGENT)

    def add(self, collector: TierCollector) -> None:
        """Register a tier."""
        self.registry.register(collector)
        self._tiers.append(collector)
        self._own(collector.describe(), collector.tier)

    def _own(self, families: Iterable[Metric], tier: Tier) -> None:
        for family in families:
            self._owners.update(dict.fromkeys((family.name, f"{family.name}_total"), tier))

    def room(self, asking: TierCollector) -> float:
        """Return how many samples a tier may have beside those of the others."""
        return max(self._series - sum(tier.size for tier in self._tiers if tier is not asking), 0)

    @property
    def names(self) -> frozenset[str]:
        """The names of all metrics, as `?name[]=` knows them."""
        return frozenset(self._owners)

    def owners(self, names: Iterable[str]) -> Iterator[Tier]:
        """Yield the tiers that metrics belong to."""
        yield from {self._owners[name] for name in names if name in self._owners}

    @property
    def size(self) -> int:
        """How many samples the latest pages have."""
        return sum(tier.size for tier in self._tiers)

    @property
    def dropped(self) -> Counter[str]:
        """Samples left out since the start, by reason."""
        return sum((tier.dropped for tier in self._tiers), Counter())

    def encoded(self, fmt: str, names: Sequence[str] = ()) -> bytes:
        """Return everything, or the families of some names, in a format."""
        if names:
            return FORMATS[fmt](self.registry.restricted_registry(names))
        pages = [tier.page().encoded(fmt) for tier in self._tiers]
        pages.append(FORMATS[fmt](self._process).removesuffix(EOF_LINE))
        return b"".join(pages) + (EOF_LINE if fmt == "openmetrics" else b"")
