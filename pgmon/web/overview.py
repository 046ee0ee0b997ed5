"""The overview's tiles: what is going on now, and in the last hour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup, escape

from pgmon.feature import Feature
from pgmon.features.checkpoints import CHECKPOINTS
from pgmon.features.connections import CONNECTIONS
from pgmon.features.statements import LATENCY
from pgmon.features.tables import DATABASE_SIZE
from pgmon.features.temp import TEMP
from pgmon.features.throughput import THROUGHPUT
from pgmon.features.transactions import TRANSACTIONS
from pgmon.features.wal import WAL
from pgmon.features.wraparound import WRAPAROUND
from pgmon.history import SPAN
from pgmon.web import marks, states, tables
from pgmon.web.limits import Limits
from pgmon.web.panels import Panel
from pgmon.web.series import Pick, Point, drawn, rates, values
from pgmon.web.units import NBSP, UNKNOWN, Amount, age, amount, count, duration, size
from pgmon.web.view import View

AGO = 900.0  # seconds: "in 15 m"

Shown = Callable[[float], Amount]


@dataclass(frozen=True, slots=True)
class Tile:
    """A number, its last hour, and how it changed."""

    id: str
    name: str
    href: str
    sub: str
    value: Amount | None
    spark: Markup
    change: str
    reach: str
    state: str = ""  # warn, crit or unknown


def tiles(view: View) -> list[Tile]:
    """Return the tiles."""
    usable, p95, oldest = _one(view, CONNECTIONS), _one(view, LATENCY), _one(view, TRANSACTIONS)
    who = f"pid {oldest.pid}, {oldest.application}" if oldest and oldest.pid else ""
    latency = f"mean; p95 {duration(p95.p95)}, estimated" if p95 and p95.p95 is not None else "mean"
    return [
        _tile(
            view,
            CONNECTIONS,
            "connections",
            "Connections",
            f"of {usable.usable_connections} usable" if usable else "",
            _first("connections"),
            count,
        ),
        _tile(view, THROUGHPUT, "tps", "Transactions", "", _sum("tps"), _rate),
        _tile(view, LATENCY, "qps", "Queries", "", _first("qps"), _rate),
        _tile(view, LATENCY, "latency", "Latency", latency, _first("mean"), _duration),
        _tile(
            view, TRANSACTIONS, "xact", "Oldest transaction", who, _first("unexpected"), _duration, field="unexpected"
        ),
        _tile(view, WAL, "wal", "WAL written", "", _first("rate"), _bytes),
        _checkpoints(view),
        _tile(view, TEMP, "temp", "Temporary files", "that exist now", _first("live_bytes"), size),
    ]


def _rate(x: float) -> Amount:
    shown = count(x)
    return Amount(shown.text, f"{shown.unit}/s", shown.exact)


def _bytes(x: float) -> Amount:
    shown = size(x)
    return Amount(shown.text, f"{shown.unit}/s", shown.exact)


def _duration(x: float) -> Amount:
    return amount(x, "seconds")


def _first(name: str) -> Pick:
    return lambda rows: getattr(rows[0], name) if rows else None


def _sum(name: str) -> Pick:
    def pick(rows: Sequence[Any]) -> float | None:
        known = [v for row in rows if (v := getattr(row, name)) is not None]
        return sum(known) if known else None

    return pick


def _one(view: View, feature: Feature[Any, Any]) -> Any:
    rows = view.rows(feature)
    return rows[0] if rows else None


def _tile(
    view: View, feature: Feature[Any, Any], id: str, name: str, sub: str, pick: Pick, shown: Shown, field: str = ""
) -> Tile:
    points = values(view, feature, pick)
    limits = view.judge(feature).limits.get(field)
    return _made(view, feature, id, name, sub, points, shown, limits)


def _made(
    view: View,
    feature: Feature[Any, Any],
    id: str,
    name: str,
    sub: str,
    points: Sequence[Point],
    shown: Shown,
    limits: Limits | None,
) -> Tile:
    reading = view.readings(feature)[0]
    known = [(at, v) for at, v in points if v is not None]
    value = known[-1][1] if known else None
    fresh = states.of_reading(view, reading).name in ("fresh", "empty")
    state = "unknown" if not fresh else limits.state(value) if limits else ""
    line = drawn(points, view.now, view.agent.cadences[feature.tier].ttl)
    reach = _reach(known, shown, view.now) if fresh or known else ""
    return Tile(
        id=id,
        name=name,
        href=view.place(feature.panel, feature.name) if feature.panel != "overview" else f"#{feature.name}",
        sub=sub,
        value=None if value is None else shown(value),
        spark=marks.spark(line, f"{name}: {reach}", limits.first if limits else None),
        change=_change(known, shown) if fresh else age(view.now - known[-1][0]) if known else "",
        reach=reach,
        state=state,
    )


def _reach(known: Sequence[tuple[float, float]], shown: Shown, now: float) -> str:
    """Return least and most, and in which time."""
    recent = [(at, v) for at, v in known if now - at <= SPAN]
    if not recent:
        return "needs a second reading"
    low, high = shown(min(v for _, v in recent)), shown(max(v for _, v in recent))
    span = _span(now - recent[0][0])
    return f"{low}–{high} in {span}" if str(low) != str(high) else f"{low} for {span}"


def _change(known: Sequence[tuple[float, float]], shown: Shown) -> str:
    """Return how much it changed in a quarter of an hour, or since the first reading."""
    if len(known) < 2:
        return ""
    end, now = known[-1]
    at, before = next(((at, v) for at, v in known if end - at <= AGO), known[0])
    if now == before:
        return f"unchanged for {_span(end - at)}"
    sign = "+" if now > before else "−"
    return f"{sign}{shown(abs(now - before))} in {_span(end - at)}"


def _span(seconds: float) -> str:
    """Return a span in its greatest unit; what is nearly an hour is one.

    >>> _span(7.2).replace(NBSP, " "), _span(899).replace(NBSP, " "), _span(3590).replace(NBSP, " ")
    ('7 s', '15 m', '1 h')
    """
    whole = round(seconds)
    step = 60 if whole >= 60 else 1
    return NBSP.join(duration(max(round(whole / step) * step, 1)).split(NBSP)[:2])


def _checkpoints(view: View) -> Tile:
    def total(rows: Sequence[Any]) -> float | None:
        return rows[0].checkpoints_timed + rows[0].checkpoints_requested if rows else None

    samples = view.agent.history.of(CHECKPOINTS)
    points = [
        (at, None if r is None else r * view.agent.cadences[CHECKPOINTS.tier].ttl)
        for at, r in rates(view, CHECKPOINTS, total)
    ]
    made = _made(view, CHECKPOINTS, "checkpoints", "Checkpoints", "", points, count, None)
    if len(samples) < 2 or samples[0].incarnation != samples[-1].incarnation:
        return Tile(**{**_fields(made), "value": None, "change": "", "reach": "needs a second reading"})
    first, last = samples[0].rows[0], samples[-1].rows[0]
    requested = last.checkpoints_requested - first.checkpoints_requested
    n = requested + last.checkpoints_timed - first.checkpoints_timed
    span = _span(samples[-1].taken - samples[0].taken)
    return Tile(
        **{
            **_fields(made),
            "value": Amount(str(n), f"in {span}"),
            "change": "",
            "reach": f"{requested} of {n} requested",
        }
    )


def _fields(tile: Tile) -> dict[str, Any]:
    return {name: getattr(tile, name) for name in Tile.__slots__}


def standbys(view: View, panel: Panel) -> Panel:
    """Show of the standbys what tells whether they keep up."""
    order = ("replica", "lag_seconds", "lag_bytes", "state")
    return panel.showing("table", narrow=True, table=tables.table(view, panel.feature, panel.readings, order))


def databases(view: View, panel: Panel) -> Panel:
    """Show of each database how large and how old it is, what it does, and which share of blocks it has at hand."""
    table = panel.given["table"]
    if view.asked.get("wide") == panel.id or not table.lines:
        return panel
    hits = {row.db: row.blks_hit / max(row.blks_hit + row.blks_read, 1) for row in view.rows(THROUGHPUT)}
    sizes = {r.db: row.bytes for r in view.readings(DATABASE_SIZE) for row in r.rows}
    ages = {row.db: row.tx_age for row in view.rows(WRAPAROUND)}
    limits = view.judge(WRAPAROUND).limits.get("tx_age")
    found = [
        (tables.Head("Size", kind="n"), _numbers(sizes, "bytes")),
        (tables.Head("Xid age", kind="n"), _numbers(ages, "")),
        (tables.Head(limits.words if limits else "", kind="g"), _bars(ages, limits)),
        (tables.Head("Cache hit", "Since the statistics began.", "n"), _numbers(hits, "ratio")),
    ]
    lines = [
        replace(line, cells=[line.cells[0], *(cell(str(line.cells[0].key)) for _, cell in found), *line.cells[1:]])
        for line in table.lines
    ]
    heads = [table.heads[0], *(head for head, _ in found), *table.heads[1:]]
    return panel.showing("table", table=replace(table, heads=heads, lines=tables.aligned(lines)))


def _numbers(values: Mapping[str, float], unit: str) -> Callable[[str], tables.Cell]:
    missing = tables.Cell(escape(UNKNOWN), "n", "not known, or there is none")
    return lambda db: tables.number(values[db], unit) if db in values else missing


def _bars(values: Mapping[str, float], limits: Limits | None) -> Callable[[str], tables.Cell]:
    return lambda db: tables.Cell(
        limits.bar(values[db], limits.state(values[db])) if limits and db in values else Markup(), "g"
    )
