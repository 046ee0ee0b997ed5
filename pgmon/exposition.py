"""Snapshots into families, and into bytes once per snapshot and format."""

from __future__ import annotations

import gzip
import math
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
MOMENT = 0.1  # seconds: who asks so soon after another gets the same answer, unless a snapshot came between
GZIP_LEVEL, GZIP_FORMAT = 4, 31  # 9 takes four times as long for one percent; the window with gzip's header


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
        self._bytes: dict[str, bytes] = {}

    def collect(self) -> list[Metric]:
        """Return the families."""
        return list(self.made.values())

    def encoded(self, fmt: str) -> bytes:
        """Return them in a format, without the end mark; the same bytes at every call."""
        if fmt not in self._bytes:
            self._bytes[fmt] = FORMATS[fmt](self).removesuffix(EOF_LINE)
        return self._bytes[fmt]

    def _family(self, column: Column, cadence: Cadence | None) -> Metric:
        every = f" Read every {cadence.ttl:g} s." if cadence else ""
        names = [*self._common(column, "cluster", "db"), *self._labels]
        family: Metric = FAMILY[column.role](column.metric, column.help + every, labels=names)
        return family

    def _common(self, column: Column, cluster: str, db: str) -> list[str]:
        """Return what every metric carries: its own are the agent's, which has no database."""
        return [cluster] if column.metric.startswith("pgmon_") or "db" in self._labels else [cluster, db]

    def add(self, rows: Iterable[object], db: str, first: First = None) -> None:
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


First = Mapping[tuple[str, ...], Any] | None  # by labels: the rows from which counters count
Content = list[tuple[str, Sequence[Any], First]]  # of a feature: of each database its rows, and the first ones


class Page(Collector):
    """The families of one snapshot, of which at most `room` samples; what is as it was `before` is not made again."""

    def __init__(
        self,
        readings: Mapping[Feature[Any, Any], Sequence[Reading]],
        cadence: Cadence | None,
        names: tuple[str, str],
        room: float = math.inf,
        before: Page | None = None,
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self._made: dict[Feature[Any, Any], tuple[Content, Families]] = {}
        whole = before._made if before and not before.dropped.total() else {}
        for feature, its in readings.items():
            content = [(reading.db or names[1], reading.rows, reading.first) for reading in its]
            known, families = whole.get(feature, (None, None))
            if families is None or known != content:
                families = Families(feature, cadence, names[0], self.dropped)
                for db, rows, first in content:
                    families.add(rows, db, first)
            self._made[feature] = content, families
        self._cap([families for _, families in self._made.values()], room)
        self.size = sum(len(family.samples) for family in self.collect())

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

    def collect(self) -> list[Metric]:
        """Return the families."""
        return [family for _, families in self._made.values() for family in families.collect()]

    def encoded(self, fmt: str) -> bytes:
        """Return this page in a format, without the end mark; the same bytes at every call."""
        return b"".join(families.encoded(fmt) for _, families in self._made.values())


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
        return until, Page(by_feature, self._cadence, self._names(), self._room(self), self._made[2])

    @property
    def size(self) -> int:
        """How many samples the latest page has."""
        return self._made[2].size

    def collect(self) -> list[Metric]:
        """Return the families of the latest page."""
        return self.page().collect()


@dataclass(slots=True)
class Answer:
    """What /metrics said in a format: `head` is of the tiers, the same until one of their pages is another."""

    pages: Sequence[Page]
    head: bytes
    packed: bytes  # the head with gzip, as far as `packer` has given it away
    packer: Any  # which has seen the head
    made: float = -math.inf
    whole: bytes = b""
    whole_packed: bytes = b""

    def end(self, tail: bytes, now: float) -> None:
        """Put what is made anew each time behind the head."""
        packer = self.packer.copy()
        self.whole, self.made = self.head + tail, now
        self.whole_packed = self.packed + packer.compress(tail) + packer.flush()


class Exposition:
    """All of /metrics."""

    def __init__(self, series: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._series, self._now = series, monotonic
        self._lock = threading.Lock()
        self._answers: dict[str, Answer] = {}
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
    def names(self) -> Collection[str]:
        """The names of all metrics, as `?name[]=` knows them."""
        return self._owners.keys()

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
        return b"".join(tier.page().encoded(fmt) for tier in self._tiers) + self._process_encoded(fmt)

    def _begun(self, fmt: str, pages: Sequence[Page]) -> Answer:
        """Return an answer of which the tiers' part is there."""
        head = b"".join(page.encoded(fmt) for page in pages)
        packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_FORMAT)
        return Answer(pages, head, packer.compress(head), packer)

    def _process_encoded(self, fmt: str) -> bytes:
        """Return what the process says of itself, and with it the end mark."""
        return FORMATS[fmt](self._process)

    def answer(self, fmt: str, packed: bool, names: Sequence[str] = ()) -> bytes:
        """Return everything as it is now or was a moment ago, or the families of some names; with gzip if `packed`."""
        if names:
            body = self.encoded(fmt, names)
            return gzip.compress(body, GZIP_LEVEL, mtime=0) if packed else body
        with self._lock:  # who comes meanwhile wants the same
            *tiers, agent = self._tiers
            pages = [tier.page() for tier in tiers]
            answer = self._answers.get(fmt)
            if answer is None or answer.pages != pages:
                answer = self._answers[fmt] = self._begun(fmt, pages)
            if (now := self._now()) - answer.made > MOMENT:
                answer.end(agent.page().encoded(fmt) + self._process_encoded(fmt), now)
            return answer.whole_packed if packed else answer.whole
