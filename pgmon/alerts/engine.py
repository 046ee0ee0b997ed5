"""The engine: judges the snapshots by the rules at every tick, with the states of Prometheus.

Each rule and severity has its own `for` and `keep_firing_for`, as the two have in Prometheus's file; an alert is the
gravest of them that fires for a row. A row that is gone from a good reading has resolved its alerts; of what could not
be read nothing is known, and what fired before fires on, unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from pgmon.alerts.alert import SHOWN, Alert, Evidence, Key
from pgmon.alerts.catalogue import INHIBITIONS, in_force
from pgmon.alerts.runbook import runbook
from pgmon.alerts.wording import worded
from pgmon.clock import Clock
from pgmon.config import Config, Ignore
from pgmon.feature import Feature, Tier, columns, labels
from pgmon.redact import plain
from pgmon.rule import Rule, Severity
from pgmon.snapshot import ABSENT, Reading, Snapshot

KEPT = 200  # alerts of the past

Snapshots = Mapping[Tier, Snapshot | None]
Case = tuple[Rule, Severity, Key]


@dataclass(frozen=True, slots=True)
class Met:
    """A case whose conditions hold, or held lately. Times are monotonic."""

    row: Any
    since: float
    first: float | None  # when the reading was taken that met it first
    last: float
    note: str  # what there is to say beside the message
    fired: float | None = None
    unknown: str = ""


class Look:
    """What a snapshot knows of a feature now."""

    def __init__(self, feature: Feature[Any, Any], snapshot: Snapshot | None, now: float, max_stale: float) -> None:
        self.feature, self.now = feature, now
        self._snapshot, self._max_stale = snapshot, max_stale
        readings = snapshot.readings.values() if snapshot else ()
        self._readings = {r.db: r for r in readings if r.feature is feature}
        marks = [name for name, column in columns(feature.row).items() if column.role == "mark"]
        self._marked = {
            (r.db, labels(row)): getattr(row, name)
            for name in marks
            for r in self._readings.values()
            for row in r.rows
            if getattr(row, name)
        }

    @property
    def databases(self) -> Set[str]:
        """The databases that are there, '' for the server itself."""
        return self._readings.keys()

    @property
    def known(self) -> list[str]:
        """The databases of which everything is known."""
        return [db for db in self._readings if not self.trouble(db)]

    def trouble(self, db: str) -> str:
        """Return why nothing is known of a database, '' when all is. What does not exist any more is known well."""
        reading = self._readings.get(db)
        if reading is None:
            failure = self._snapshot.failure if self._snapshot else None
            return "not read yet" if self._snapshot is None else str(failure.kind) if failure else ""
        if reading.failure is not None:
            return "" if reading.failure in ABSENT else str(reading.failure)
        return "" if reading.alive(self.now, self._max_stale) else "stale"

    def rows(self) -> Iterator[tuple[Reading, Any]]:
        """Yield the rows of good readings, without those that say that they could not be read themselves."""
        for db in self.known:
            if (reading := self._readings[db]).failure is None:
                for row in reading.rows:
                    if not self._marked or (db, labels(row)) not in self._marked:
                        yield reading, row

    def doubt(self, key: Key) -> str:
        """Return why nothing is known of a key, '' when it is known not to be met."""
        return self.trouble(key[1]) or self._marked.get(key[1:], "")


class Engine:
    """What fires. Only the ticker calls `evaluate`; `alerts` and `history` are replaced, never changed."""

    def __init__(
        self, features: Sequence[Feature[Any, Any]], config: Config, home: Callable[[], str], clock: Clock
    ) -> None:
        self._features, self._config, self._home, self._clock = features, config, home, clock
        self.catalogue = dict(in_force(features, config.alerts))
        self._thresholds: Mapping[str, float] = config.alerts.thresholds
        self._cases: dict[Feature[Any, Any], dict[Case, Met]] = {feature: {} for feature in self.catalogue}
        # The databases that were there at the first look, and of which there has been no good reading yet.
        self._awaited: dict[Feature[Any, Any], Set[str]] = {}
        self.alerts: Mapping[Key, Alert] = {}
        self.history: Sequence[Alert] = ()  # what fired, the oldest first

    def evaluate(self, snapshots: Snapshots) -> None:
        """Judge what is known now."""
        now, before = self._clock.monotonic(), self.alerts
        for feature, rules in self.catalogue.items():
            look = Look(feature, snapshots.get(feature.tier), now, self._max_stale(feature.tier))
            self._cases[feature] = dict(self._judged(rules, look, self._cases[feature]))
            if look.databases:
                awaited = self._awaited.get(feature, look.databases)
                self._awaited[feature] = awaited & look.databases - set(look.known)
        self.alerts = inhibited({alert.key: alert for alert in self._made(now, snapshots)})
        self._remember(before)

    def _max_stale(self, tier: Tier) -> float:
        return math.inf if tier is Tier.AGENT else float(getattr(self._config.max_stale, tier))

    def _judged(self, rules: Sequence[Rule], look: Look, before: Mapping[Case, Met]) -> Iterator[tuple[Case, Met]]:
        """Yield the cases of a feature that are met, and those that were and may not be dropped."""
        found = set()
        for reading, row in look.rows():
            for case in self._met(rules, look.feature, reading, row):
                found.add(case)
                yield case, self._continued(case, before.get(case), look, reading, row)
        for case, met in before.items():
            if case in found:
                continue
            if reason := look.doubt(case[2]):
                yield case, replace(met, unknown=reason)
            elif met.fired is not None and look.now - met.last < case[0].keep_firing_for:
                yield case, replace(met, unknown="")

    def _met(self, rules: Sequence[Rule], feature: Feature[Any, Any], reading: Reading, row: Any) -> Iterator[Case]:
        for rule in rules:
            key = rule.name, reading.db, labels(row)
            severities = [s for s in rule.severities if rule.holds(row, s, self._thresholds)]
            if severities and not self.overlooks(rule, key, row):
                yield from ((rule, severity, key) for severity in severities)

    def overlooks(self, rule: Rule, key: Key, row: Any) -> bool:
        """Tell whether `alerts.ignore` covers a row."""
        return any(self._fits(ignore, rule, key, row) for ignore in self._config.alerts.ignore)

    def _fits(self, ignore: Ignore, rule: Rule, key: Key, row: Any) -> bool:
        """Tell whether all that an entry of `alerts.ignore` says is true of a row."""
        if ignore.alert != rule.name or (ignore.until and self._clock.wall() >= ignore.until.timestamp()):
            return False
        patterns = (
            (ignore.application, [getattr(row, "application", "")]),
            (ignore.db, [getattr(row, "db", None) or key[1] or self._home()]),
            (ignore.object, [*key[2], getattr(row, "object", "")]),
        )
        age = getattr(row, rule.compared[0].field)
        return (ignore.under is None or age < ignore.under) and all(
            pattern is None or any(fnmatchcase(str(text), pattern) for text in texts) for pattern, texts in patterns
        )

    def _continued(self, case: Case, met: Met | None, look: Look, reading: Reading, row: Any) -> Met:
        """Return a case that is met once more; it fires after `for`, and when two readings agree."""
        rule = case[0]
        if met is None:
            # A restart forgets what was told: say so, rather than let it seem news.
            old = reading.db in self._awaited.get(look.feature, {reading.db}) and look.feature.tier is not Tier.AGENT
            met = Met(row, look.now, reading.taken, look.now, " (since before pgmon started to look)" if old else "")
        met = replace(met, row=row, last=look.now, unknown="")
        agreed = rule.hold == 0 or met.first != reading.taken
        if met.fired is None and agreed and look.now - met.since >= rule.hold:
            return replace(met, fired=look.now, note=met.note + self._before(rule))
        return met

    def _before(self, rule: Rule) -> str:
        """Return what fired before an alert that leaves nothing else to be known."""
        if not any(i.by == rule.name and not i.over for i in INHIBITIONS):
            return ""
        names = sorted({a.name for a in self.alerts.values() if a.fired and a.name != rule.name})
        return f"; before it fired {', '.join(names)}" if names else ""

    def _made(self, now: float, snapshots: Snapshots) -> Iterator[Alert]:
        """Yield an alert per key: the gravest of the cases that fire, else of those that are pending."""
        best: dict[Key, tuple[bool, bool, Feature[Any, Any], Rule, Severity, Met]] = {}
        for feature, cases in self._cases.items():
            for (rule, severity, key), met in cases.items():
                mine = met.fired is not None, severity == "critical", feature, rule, severity, met
                if key not in best or mine[:2] > best[key][:2]:
                    best[key] = mine
        for key, (_, _, feature, rule, severity, met) in best.items():
            alert = self._alert(key, feature, rule, severity, met, now)
            fresh = alert.fired and not alert.evidence
            yield replace(alert, evidence=_evidence(feature, key[1], snapshots)) if fresh else alert

    def _alert(
        self, key: Key, feature: Feature[Any, Any], rule: Rule, severity: Severity, met: Met, now: float
    ) -> Alert:
        before, wall = self.alerts.get(key), self._clock.wall()
        started = None if met.fired is None else wall - (now - met.fired)
        return Alert(
            key=key,
            severity=severity,
            state="pending" if met.fired is None else "unknown" if met.unknown else "firing",
            advisory=rule.advisory,
            labels=self._labels(key, feature),
            panel=feature.panel,
            message=worded(rule.message, met.row) + met.note,
            paste=worded(runbook(rule.name).paste, met.row),
            pids=frozenset(_pids(met.row, rule.pids)),
            since=before.since if before else wall - (now - met.since),
            started=before.started if before and before.fired and started else started,
            unknown=met.unknown,
            evidence=before.evidence if before else (),
        )

    def _labels(self, key: Key, feature: Feature[Any, Any]) -> Mapping[str, str]:
        names = [name for name, column in columns(feature.row).items() if column.role == "label"]
        db = {} if feature.tier is Tier.AGENT else {"db": key[1] or self._home()}
        own = {name: plain(value, 128) or "-" for name, value in zip(names, key[2], strict=True)}
        return {"cluster": self._config.cluster, **db, **own}

    def _remember(self, before: Mapping[Key, Alert]) -> None:
        """Keep what fires, and when it ended."""
        history = {(a.key, a.started): a for a in self.history}
        for key, alert in before.items():
            if alert.fired and (alert.key, alert.started) in history:
                history[key, alert.started] = replace(alert, state="resolved", ended=self._clock.wall())
        history |= {(a.key, a.started): a for a in self.alerts.values() if a.fired}
        self.history = tuple(history.values())[-KEPT:]


def _evidence(feature: Feature[Any, Any], db: str, snapshots: Snapshots) -> Sequence[Evidence]:
    """Return what the statement of a rule's feature showed: every view of it, in the same database."""
    snapshot, source = snapshots.get(feature.tier), feature.of or feature
    readings = snapshot.readings.values() if snapshot else ()
    return [
        Evidence(r.feature.name, r.rows[:SHOWN]) for r in readings if r.db == db and source in (r.feature, r.feature.of)
    ]


def inhibited(alerts: Mapping[Key, Alert]) -> Mapping[Key, Alert]:
    """Say of each alert which other explains it; what is unknown explains nothing."""
    firing = [(i, a) for i in INHIBITIONS for a in alerts.values() if a.name == i.by and a.state == "firing"]

    def cause(alert: Alert) -> str:
        causes = (
            by.name for i, by in firing if i.covers(alert.name) and (by.pids & alert.pids if i.same_process else True)
        )
        return next(causes, "")

    return {key: replace(alert, inhibited_by=cause(alert)) for key, alert in alerts.items()} if firing else alerts


def _pids(row: Any, names: Iterable[str]) -> Iterator[int]:
    """Yield the processes that fields name: one, several, or none."""
    for name in names:
        value = getattr(row, name)
        yield from () if value is None else value if isinstance(value, Sequence) else (value,)
