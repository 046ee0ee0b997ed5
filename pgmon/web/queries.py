"""Top queries: what each statement did since the previous reading, its text and its last hour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from markupsafe import Markup, escape

from pgmon.feature import columns
from pgmon.features.statements import OTHER, STATEMENTS, TEXTS, Statement
from pgmon.history import Sample
from pgmon.rates import grown
from pgmon.web import highlight, marks, tables
from pgmon.web.panels import Panel
from pgmon.web.promql import mean
from pgmon.web.series import POINTS, Point, drawn
from pgmon.web.tables import FEW, MANY, Cell, Head, Line, Table
from pgmon.web.units import UNKNOWN, Amount, count, size
from pgmon.web.view import View

Key = tuple[str, str]  # database, queryid
BLOCK = 8192  # bytes; the default of PostgreSQL, which temp_blks count in
TABS: Mapping[str, str] = {
    "seconds": "Time",
    "calls": "Calls",
    "mean": "Mean",
    "rows": "Rows",
    "blks_read": "Blocks read",
    "temp_blks_written": "Temp",
    "wal_bytes": "WAL",
}
SUMS = tuple(name for name, column in columns(Statement).items() if column.role == "counter")


@dataclass(frozen=True, slots=True)
class Use:
    """What a statement did in a while of `elapsed` seconds; `elapsed` None: since the statistics began."""

    db: str
    queryid: str
    sums: Mapping[str, float | None]
    elapsed: float | None

    @property
    def key(self) -> Key:
        """Database and queryid."""
        return self.db, self.queryid

    def value(self, name: str) -> float:
        """Return what the tab of that name sorts by."""
        if name == "mean":
            calls = self.sums["calls"] or 0
            return (self.sums["seconds"] or 0) / calls if calls else 0.0
        return self.sums[name] or 0.0


def uses(view: View) -> list[Use]:
    """Return what each statement did since the previous reading; of the first reading, what it ever did."""
    samples = view.agent.history.of(STATEMENTS)
    if len(samples) >= 2 and samples[-2].incarnation == samples[-1].incarnation:
        return between(samples[-2], samples[-1])
    return [Use(s.db, s.queryid, {n: getattr(s, n) for n in SUMS}, None) for s in view.rows(STATEMENTS)]


def between(before: Sample, now: Sample) -> list[Use]:
    """Return what each statement of `now` did since `before`; of a new one nothing is known but its total."""
    prior = {(s.db, s.queryid): s for s in before.rows}
    return [
        Use(s.db, s.queryid, {n: _grown(getattr(s, n), getattr(p, n)) for n in SUMS}, now.taken - before.taken)
        for s in now.rows
        if (p := prior.get((s.db, s.queryid)))
    ]


def _grown(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else grown(now, before)


def top(view: View, panel: Panel, few: int = FEW, bare: bool = False) -> Panel:
    """Show the statements by their share of time, or by another tab; `bare` without tabs."""
    found = uses(view)
    if not found:
        return panel
    by = view.asked.get("sort", "").removeprefix("statements.")
    by = by if by in TABS and not bare else "seconds"
    texts = {t.queryid: t.query for t in view.rows(TEXTS)}
    listed = sorted((u for u in found if u.queryid != OTHER), key=lambda u: -u.value(by))
    listed = [u for u in listed if _has(view, u, texts) and (u.value("calls") or not bare)]
    limit = MANY if view.asked.get("n") == STATEMENTS.name and not bare else few
    total = sum(u.value("seconds") for u in found)
    trails = _trails(view)
    others = [u for u in found if u.queryid == OTHER and not view.asked.get("q")]
    lines = tables.aligned([_line(view, u, total, texts, trails) for u in (*listed[:limit], *others)])
    table = Table(
        heads=_heads(view, by),
        lines=lines,
        total=len(listed),
        more=view.link(n=STATEMENTS.name) if limit == few and len(listed) > limit and not bare else None,
        filters=len(found) > FEW and not bare,
    )
    size = f"{min(limit, len(listed))} of {len(listed)}"
    tabs = [(words, None, view.link(sort=f"statements.{name}"), name == by) for name, words in TABS.items()]
    since = _since(found[0], total)
    return panel.showing("tabs", size=size, table=table, tabs=() if bare else tabs, label="Order by", since=since)


def first(view: View, panel: Panel) -> Panel:
    """Show the five that take most time."""
    return top(view, panel, few=5, bare=True)


def _since(use: Use, total: float) -> str:
    """Return what there is to say of the time that is shown."""
    if use.elapsed is None:
        return "Since the statistics began: shares of now need a second reading."
    return "" if total else "Nothing has run since the previous reading."


def _has(view: View, use: Use, texts: Mapping[str, str]) -> bool:
    wanted = view.asked.get("q", "").casefold()
    return wanted in f"{use.queryid} {use.db} {texts.get(use.queryid, '')}".casefold()


def _heads(view: View, by: str) -> list[Head]:
    def head(name: str, words: str, help: str) -> Head:
        return Head(words, help, "n", view.link(sort=f"statements.{name}"), "descending" if name == by else None)

    return [
        Head("Query", "Its normalised text; literals are withheld."),
        head("seconds", "Time", "Share of the execution time of all statements."),
        Head("Share of time", kind="g", hidden=True),
        Head("Last hour", "Share of time, reading by reading.", "g2"),
        head("calls", "Calls", "Executions per second."),
        head("mean", "Mean", "Mean execution time."),
        head("rows", "Rows/call", "Rows returned or changed per call."),
        Head("Hit", "Blocks found in the shared buffers.", "n"),
        head("blks_read", "Read", "Blocks read from outside the shared buffers."),
        head("temp_blks_written", "Temp", "Temporary blocks written."),
        head("wal_bytes", "WAL", "WAL generated (from 13 on)."),
    ]


def _line(view: View, use: Use, total: float, texts: Mapping[str, str], trails: Mapping[Key, list[Point]]) -> Line:
    share = use.value("seconds") / total if total else 0.0
    calls, blocks = use.sums["calls"] or 0, (use.sums["blks_hit"] or 0) + (use.sums["blks_read"] or 0)
    ratio = Cell(escape(UNKNOWN), "n") if not blocks else tables.number((use.sums["blks_hit"] or 0) / blocks, "ratio")
    name = _other(use) if use.queryid == OTHER else _linked(view, use, texts.get(use.queryid))
    trail = drawn(trails.get(use.key, []), view.now, view.agent.cadences[STATEMENTS.tier].ttl)
    anchor = view.anchor(f"q-{use.queryid}-{len(view.anchors)}")
    return Line(
        [
            Cell(name, "q", header=True, anchor=anchor),
            tables.number(share, "ratio"),
            Cell(marks.bar(share * 100), "g"),
            Cell(marks.spark(trail, "Share of time in the last hour", height=20), "g2"),
            _rate(use, "calls", count),
            tables.number(use.value("mean"), "seconds") if calls else Cell(escape(UNKNOWN), "n"),
            Cell(escape(count((use.sums["rows"] or 0) / calls).text) if calls else escape(UNKNOWN), "n"),
            ratio,
            _rate(use, "blks_read", size, BLOCK),
            _rate(use, "temp_blks_written", size, BLOCK),
            _rate(use, "wal_bytes", size),
        ]
    )


def _other(use: Use) -> Markup:
    return Markup("all others <small>{}</small>").format(use.db)


def _linked(view: View, use: Use, text: str | None) -> Markup:
    shown = highlight.sql(text) if text else Markup("text not read yet ({})").format(use.queryid)
    return Markup('<a href="{}queries/{}"><code>{}</code></a> <small>{}</small>').format(
        view.root, use.queryid, shown, use.db
    )


def _rate(use: Use, name: str, shown: Callable[[float], Amount], each: int = 1) -> Cell:
    """Return a sum per second, or as it is where it is of no known time."""
    value = use.sums[name]
    if value is None:
        return Cell(escape(UNKNOWN), "n", "not known")
    made = shown(value * each / (use.elapsed or 1))
    return replace(tables.of_amount(made, "/s" if use.elapsed and value else ""), title=f"{value * each:,.0f}")


def _trails(view: View) -> dict[Key, list[Point]]:
    """Return the share of time of each statement, reading by reading."""
    found: dict[Key, list[Point]] = {}
    samples = view.agent.history.of(STATEMENTS)[-POINTS:]
    for a, b in pairwise(samples):
        window = between(a, b)
        total = sum(u.value("seconds") for u in window)
        for use in window:
            found.setdefault(use.key, []).append((b.taken, use.value("seconds") / total if total else None))
    return found


@dataclass(frozen=True, slots=True)
class Detail:
    """A statement with all that is known of it."""

    queryid: str
    text: str | None
    lines: Sequence[tuple[Statement, Table, Markup]]
    promql: str


def detail(view: View, queryid: str) -> Detail | None:
    """Return a statement in every database that has it; None where it is not among those read."""
    rows = [s for s in view.rows(STATEMENTS) if s.queryid == queryid]
    if not rows or queryid == OTHER:
        return None
    text = next((t.query for t in view.rows(TEXTS) if t.queryid == queryid), None)
    trails, every = _trails(view), view.agent.cadences[STATEMENTS.tier].ttl
    window = {u.key: u for u in uses(view)}
    time, calls = (columns(Statement)[name].metric for name in ("seconds", "calls"))
    promql = mean(view, STATEMENTS, time, calls, queryid=queryid)
    shown = [
        (
            row,
            _counters(row, window.get((row.db, queryid))),
            marks.spark(drawn(trails.get((row.db, queryid), []), view.now, every), "Share of time in the last hour"),
        )
        for row in rows
    ]
    return Detail(queryid, text, shown, promql)


def _counters(row: Statement, use: Use | None) -> Table:
    """Return every counter: since the statistics began, and since the previous reading."""
    known = {f.name: f for f in tables.shown_fields(STATEMENTS, {})}
    lines = [
        Line(
            [
                Cell(escape(known[name].words), title=known[name].column.help, header=True),
                _number(getattr(row, name), known[name].unit),
                _number(use.sums[name] if use and use.elapsed else None, known[name].unit),
            ]
        )
        for name in SUMS
    ]
    heads = [
        Head("Counter"),
        Head("Since the statistics began", kind="n"),
        Head("Since the previous reading", kind="n"),
    ]
    return Table(heads, lines, len(lines))


def _number(value: Any, unit: str) -> Cell:
    return Cell(escape(UNKNOWN), "n", "not known") if value is None else tables.number(value, unit)
