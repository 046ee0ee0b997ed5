"""What one flight does: look at the facts, ask what is due, derive, carry forward what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

import structlog

from pgmon.config import Config
from pgmon.errors import NO_CONNECTION, Kind, QueryError
from pgmon.facts import Facts
from pgmon.feature import Before, Feature, Look, Params, R, Role, Scope, Tier, columns, labels
from pgmon.snapshot import NO_FAULT, Cadence, Key, Reading, Snapshot

RETRY = 60.0  # seconds until a failed reading is tried again; doubles
RECONNECT = 15.0  # … until one is that failed for want of a connection: the door alone decides when to connect
OF_A_DATABASE = frozenset({Kind.REJECTED, Kind.SATURATED})  # one may be closed to us, or have its own limit
FIRST = 10_000  # rows remembered of a server that took another one's place: who leaves a Top-N may come back
LEAST_SHARE = 5  # rows of a Top-N that every database gets, however many there are

log = structlog.get_logger(__name__)


class Source(Protocol):
    """Where rows come from: the door to the database, behind the guard."""

    def facts(self, db: str, tier: Tier, deadline: float) -> Facts:
        """Return what the server is, seen from a database ('' for the DSN's). Raises QueryError."""

    def ask(self, feature: Feature[Any, Any], facts: Facts, params: Params, deadline: float) -> tuple[str, list[Any]]:
        """Return the text sent in the database of `facts`, and its rows. Raises QueryError."""


@dataclass(frozen=True, slots=True)
class Refresher:
    """Reads the features of one tier: call it with the previous snapshot to get the next."""

    tier: Tier
    features: Sequence[Feature[Any, Any]]
    source: Source
    cadence: Cadence
    config: Config
    chosen: Callable[[Sequence[str]], Sequence[str]]  # the databases to visit, of those there are
    monotonic: Callable[[], float]
    latest: Callable[[Tier], Snapshot | None]  # what another tier has read

    def __call__(self, latest: Snapshot | None) -> Snapshot:
        """Fly once."""
        return Flight(self, latest).fly()


class Flight:
    """One pass over a tier: one statement at a time, none after the budget."""

    def __init__(self, plan: Refresher, latest: Snapshot | None) -> None:
        self._plan, self._now, self._start = plan, plan.monotonic, plan.monotonic()
        self._deadline = self._start + plan.cadence.budget
        self._latest = latest or Snapshot(self._start, self._start)
        self._facts: dict[str, Facts] = {}
        self._readings: dict[Key, Reading] = {}
        self._cut: QueryError | None = None  # why nothing more is asked
        self._errors, self._asked = 0, 0.0

    def fly(self) -> Snapshot:
        """Return the snapshot after this flight."""
        try:
            self._look("")
        except QueryError as exc:
            self._cut = exc
        facts = self._facts.get("") or self._latest.facts
        for feature in self._plan.features:
            for key in self._keys(feature, facts):
                self._readings[key] = self._latest.readings.get(key) or Reading(feature, key[1])
        for key in sorted(self._readings, key=lambda k: self._readings[k].due):  # who waited longest goes first
            if self._readings[key].feature.of is None and self._is_due(self._readings[key]):
                self._turn(key)
        due = min((r.due for r in self._readings.values()), default=self._start + self._plan.cadence.again)
        return Snapshot(
            taken=self._start,
            due=due,
            seconds=self._now() - self._start,
            readings=self._readings,
            facts=facts,
            failure=self._cut,
            errors=self._latest.errors + self._errors,
            asked_seconds=self._latest.asked_seconds + self._asked,
        )

    def _look(self, db: str) -> Facts:
        """Return the facts seen from a database, read once in a flight."""
        if db not in self._facts:
            facts = self._timed(lambda: self._plan.source.facts(db, self._plan.tier, self._deadline))
            if not facts.monitors:
                raise QueryError(Kind.DENIED, f'the role lacks pg_monitor: GRANT pg_monitor TO "{facts.role}"')
            self._facts[db] = facts
        return self._facts[db]

    def _timed(self, work: Callable[[], Any]) -> Any:
        sent = self._now()
        try:
            return work()
        finally:
            self._asked += self._now() - sent

    def _keys(self, feature: Feature[Any, Any], facts: Facts | None) -> Iterator[Key]:
        """Yield where a feature is read; a database nobody has seen yet is ''."""
        cluster = feature.scope is Scope.CLUSTER or facts is None
        yield from ((feature.name, db) for db in ([""] if cluster or not facts else self._plan.chosen(facts.databases)))

    def _is_due(self, r: Reading) -> bool:
        facts = self._facts.get("")
        return r.due <= self._start or (facts is not None and r.tried != facts.incarnation)

    def _turn(self, key: Key) -> None:
        """Read one feature in one database, and derive every view of what its statement returned."""
        source = self._attempt(self._readings[key], self._read)
        for k, r in self._readings.items():
            if k == key or (r.feature.of is source.feature and k[1] == key[1]):
                self._readings[k] = new = self._attempt(r, lambda view: self._derived(view, source))
                self._errors += new.failure is not None and new.failure not in NO_FAULT

    def _attempt(self, r: Reading, work: Callable[[Reading], Reading]) -> Reading:
        """The boundary: whatever goes wrong with one reading stays with it."""
        try:
            return work(r)
        except QueryError as exc:
            return self._failed(r, exc)
        except Exception as exc:
            log.exception("a feature failed", feature=r.feature.name, tier=self._plan.tier)
            return self._failed(r, QueryError(Kind.BUG, f"pgmon failed on it ({type(exc).__name__}): please report"))

    def _read(self, r: Reading) -> Reading:
        """Return the reading with what its statement returned, or with what it had when there is nothing to ask."""
        if self._cut:
            raise self._cut
        if self._now() >= self._deadline:
            raise QueryError(Kind.SKIPPED, "the budget of this loop was spent before its turn")
        facts, feature = self._look(r.db), r.feature
        _require_role(feature, facts)
        sent = self._now()
        params = feature.ask(self._look_up(r.db)) if feature.ask else {}
        if params is None:
            return replace(r, failure=None, taken=sent, incarnation=facts.incarnation)
        everything = {**self._config(r).limits.model_dump(), **params}
        sql, raw = self._timed(lambda: self._plan.source.ask(feature, facts, everything, self._deadline))
        seconds = self._now() - sent
        return replace(r, failure=None, sql=sql, raw=raw, taken=sent, seconds=seconds, incarnation=facts.incarnation)

    def _look_up(self, db: str) -> Look:
        def look(feature: Feature[Any, R], /) -> Sequence[R]:
            if feature.tier is not self._plan.tier:
                return self._elsewhere(feature, db).rows
            found = self._readings.get((feature.name, db))
            return found.rows if found else ()

        return look

    def _elsewhere(self, feature: Feature[Any, Any], db: str) -> Reading:
        """Return what another tier has read, however old. Raises QueryError when it has yet to read it."""
        latest = self._plan.latest(feature.tier)
        found = latest.readings.get((feature.name, db)) if latest else None
        if found is None or found.taken is None:
            raise QueryError(Kind.WAITING, f"the {feature.tier} loop has yet to read {feature.name}")
        return found

    def _config(self, r: Reading) -> Config:
        """Return the configuration for one database: a Top-N is a server's, its databases share it."""
        config = self._plan.config
        if r.feature.scope is Scope.CLUSTER:
            return config
        share = max(1, sum(k[0] == r.feature.name for k in self._readings))
        tops = ("top_relations", "top_indexes", "top_queries")
        least = {name: max(LEAST_SHARE, getattr(config.limits, name) // share) for name in tops}
        return config.model_copy(update={"limits": config.limits.model_copy(update=least)})

    def _derived(self, r: Reading, source: Reading) -> Reading:
        """Return the reading with rows made of what was read."""
        if source.failure is not None:
            raise QueryError(source.failure, source.message)
        assert source.taken is not None
        _require_role(r.feature, self._look(r.db))
        before = None
        if r.taken is not None and r.incarnation == source.incarnation:
            before = Before(r.raw, r.rows, source.taken - r.taken)
        rows = r.feature.derive(source.raw, before, self._config(r)) if source.raw is not r.raw else r.rows
        return replace(
            r,
            rows=rows,
            first=_first(r, source, rows),
            sql=source.sql,
            raw=source.raw,
            taken=source.taken,
            seconds=source.seconds,
            incarnation=source.incarnation,
            tried=source.incarnation,
            failure=None,
            message="",
            failures=0,
            due=self._start + self._plan.cadence.again,
        )

    def _failed(self, r: Reading, exc: QueryError) -> Reading:
        """Keep the rows; try again soon, but ever less soon: a slow server is not asked more often than a well one."""
        if exc.kind in NO_CONNECTION - OF_A_DATABASE:
            self._cut = self._cut or exc  # nobody else tries
        facts = self._facts.get("")
        gone = replace(r, raw=(), rows=(), taken=None) if exc.kind is Kind.UNSUPPORTED else r
        return replace(
            gone,
            failure=exc.kind,
            message=str(exc),
            failures=r.failures + 1,
            tried=facts.incarnation if facts else r.tried,
            due=self._start + self._wait(exc, r.failures),
        )

    def _wait(self, exc: QueryError, failures: int) -> float:
        if exc.kind in (Kind.SKIPPED, Kind.WAITING):
            return 0.0
        # A flight that was cut says nothing of its readings.
        cut = exc.kind in NO_CONNECTION or (self._cut is not None and exc.kind is self._cut.kind)
        wait = RECONNECT if cut else RETRY * 2.0 ** min(failures, 20)
        return min(self._plan.cadence.again, wait)


def _first(r: Reading, source: Reading, rows: Sequence[Any]) -> Mapping[tuple[str, ...], Any] | None:
    """Return the rows as first seen of a server that took another one's place, None while that never happened."""
    replaced = r.incarnation and source.incarnation and source.incarnation.replaces(r.incarnation)
    first = {} if replaced else r.first
    if first is None or "counter" not in {column.role for column in columns(r.feature.row).values()}:
        return None
    return dict(islice(({labels(row): row for row in rows} | dict(first)).items(), FIRST))


def _require_role(feature: Feature[Any, Any], facts: Facts) -> None:
    """Raise QueryError where a feature means nothing: a view may mean less than what its statement returned."""
    if feature.role is not Role.ANY and (feature.role is Role.STANDBY) is not facts.in_recovery:
        raise QueryError(Kind.UNSUPPORTED, f"holds on a {feature.role} only")
