"""A panel: the rows of a feature with their state and the statement behind them, for a page and for its JSON twin."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from pgmon.feature import Feature, Scope, Tier, columns
from pgmon.snapshot import Reading
from pgmon.web import promql, states, tables, words
from pgmon.web.states import State
from pgmon.web.tables import Table
from pgmon.web.units import age, count, duration
from pgmon.web.view import View

log = structlog.get_logger(__name__)

NARROW = 4  # columns up to which two panels stand beside each other


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as it was sent, and what became of it."""

    name: str
    text: str
    loop: str
    every: str
    took: str
    timeout: str
    metrics: Sequence[str]
    others: int = 0  # databases for which it differed
    shown_in: str = ""  # the panel above that has the text


@dataclass(frozen=True, slots=True)
class Panel:
    """What is shown of a feature; `body` is the template that shows it, with `given`."""

    feature: Feature[Any, Any]
    title: str
    why: str
    state: State
    readings: Sequence[Reading]
    meta: str
    statements: Sequence[Statement]
    promql: Sequence[str]  # what to ask Prometheus about it
    narrow: bool
    body: str = "table"
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Its id on the page, and its key in the JSON."""
        return self.feature.name

    def showing(self, body: str, narrow: bool = False, size: str = "", **given: Any) -> Panel:
        """Return the panel with another body, and another word for how much it shows."""
        meta = " · ".join([*self.meta.split(" · ")[:2], size]) if size and self.given["table"].lines else self.meta
        return replace(self, body=body, given=given, narrow=narrow, meta=meta)


def panel(view: View, feature: Feature[Any, Any]) -> Panel:
    """Return a feature as a panel with a table."""
    return careful(view, feature, lambda: _panel(view, feature))


def careful(view: View, feature: Feature[Any, Any], make: Callable[[], Panel]) -> Panel:
    """Return a panel as it is made, or one that says that pgmon failed on it: the page has others."""
    try:
        return make()
    except Exception as exc:  # a boundary, as in a refresh
        log.exception("a panel failed", feature=feature.name)
        said = State("error", "bug", f"pgmon failed to show it ({type(exc).__name__}): please report")
        table = tables.table(view, feature, ())
        return Panel(
            feature, words.title(feature.name), "", said, (), "not shown", (), (), True, given={"table": table}
        )


def _panel(view: View, feature: Feature[Any, Any]) -> Panel:
    readings = view.readings(feature)
    rows = [row for reading in readings for row in reading.rows]
    is_facts = tables.is_facts(feature, rows)
    table = (
        tables.facts(view, feature, rows[0])
        if is_facts
        else tables.table(view, feature, readings, words.ORDER.get(feature.name, ()))
    )
    state = states.of_readings(view, readings)
    if state.name == "empty":
        state = State("empty", text=words.NONE.get(feature.name, "There is none."))
    return Panel(
        feature=feature,
        title=words.title(feature.name),
        why=words.WHY.get(feature.name) or (feature.row.__doc__ or "").strip(),
        state=state,
        readings=readings,
        meta=_meta(view, readings, table, is_facts),
        statements=statements(view, feature, readings),
        promql=promql.queries(view, feature),
        narrow=is_facts or len(table.heads) <= NARROW or not rows,
        given={"table": table},
    )


def _meta(view: View, readings: Sequence[Reading], table: Table, is_facts: bool) -> str:
    """Return how old it is, how long it took, and how many of how many rows are shown."""
    taken = [r for r in readings if r.taken is not None]
    if not taken:
        return "not read"
    if taken[0].feature.tier is Tier.AGENT:
        return "now"
    parts = [age(max(view.now - (r.taken or 0) for r in taken)), duration(sum(r.seconds for r in taken))]
    if not is_facts:
        shown = len(table.lines)
        rows = f"{count(table.total)} row{'s' * (table.total != 1)}"
        parts.append(f"{shown} of {count(table.total)}" if shown < table.total else rows)
    return " · ".join(parts)


def statements(view: View, feature: Feature[Any, Any], readings: Sequence[Reading]) -> list[Statement]:
    """Return the text that was sent for a feature, none if none was; databases may have differed in parameters."""
    source, tier = feature.of or feature, feature.tier
    texts = {r.sql: r for r in reversed(readings) if r.sql}
    first = dict(list(texts.items())[-1:])
    return [
        Statement(
            name=source.name,
            text=text,
            loop=tier.replace("_", " "),
            every=duration(view.agent.cadences[tier].ttl),
            took=duration(r.seconds),
            timeout=duration(view.agent.cadences[tier].budget),
            metrics=feeds(view, source),
            others=len(texts) - 1,
        )
        for text, r in first.items()
    ]


def feeds(view: View, source: Feature[Any, Any]) -> list[str]:
    """Return the metrics that come of a statement, in all its views."""
    views = [f for f in view.agent.features if source in (f, f.of)]
    return [c.metric for f in views for c in columns(f.row).values() if c.metric]


def as_data(view: View, panel: Panel) -> dict[str, Any]:
    """Return a panel for JSON."""
    taken = [r.taken for r in panel.readings if r.taken is not None]
    oldest = min(taken, default=None)
    return {
        "title": panel.title,
        "what": (panel.feature.row.__doc__ or "").strip(),
        "loop": str(panel.feature.tier),
        **_status(panel.state),
        "taken_at": None if oldest is None else view.time(oldest).isoformat(),
        "age_seconds": None if oldest is None else view.now - oldest,
        "took_seconds": sum(r.seconds for r in panel.readings),
        "sql": panel.statements[0].text if panel.statements else "",
        "metrics": feeds(view, panel.feature.of or panel.feature),
        "promql": list(panel.promql),
        "readings": [_reading(view, r) for r in panel.readings],
        "data": [_row(view, r, row) for r in panel.readings for row in r.rows],
    }


def _status(state: State) -> dict[str, str]:
    return {"status": state.name, "reason": state.reason, "message": state.text, "remedy": state.code}


def _reading(view: View, reading: Reading) -> dict[str, Any]:
    return {
        "db": reading.db or view.agent.door.home,
        **_status(states.of_reading(view, reading)),
        "taken_at": None if reading.taken is None else view.time(reading.taken).isoformat(),
        "age_seconds": view.age(reading),
        "took_seconds": reading.seconds,
        "sql": reading.sql,
        "rows": len(reading.rows),
    }


def _row(view: View, reading: Reading, row: Any) -> dict[str, Any]:
    """Return a row by its fields; one of a database says which."""
    shown = {n: _plain(getattr(row, n)) for n, c in columns(type(row)).items() if c.role != "kept"}
    return {"db": reading.db, **shown} if reading.feature.scope is Scope.DATABASE else shown


def _plain(value: Any) -> Any:
    """Return a value that JSON has: it has no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
