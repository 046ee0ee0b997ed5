"""Tables on disk: how they grew since pgmon looks, and how partitions lie along time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise

from markupsafe import Markup, escape

from pgmon.features.partitions import PARTITION_RANGES, PARTITIONS, Partitioned, PartitionRange
from pgmon.features.tables import SIZES, Size
from pgmon.web import marks, tables
from pgmon.web.marks import Slice
from pgmon.web.panels import Panel
from pgmon.web.units import NBSP, UNKNOWN, count, duration, size
from pgmon.web.view import View

DAY = 86400.0
PARTS = (("s1", "heap", ""), ("s2", "TOAST", ""), ("s3", "indexes", ""))  # of a table, as they are drawn
ROOM = 0.03  # of an axis, behind its end


def sizes(view: View, panel: Panel) -> Panel:
    """Show of what each table is made, drawn against the largest, and how much it has grown since pgmon looks."""
    table = panel.given["table"]
    found = {(r.db, row.relation): row for r in panel.readings for row in r.rows}
    firsts = {r.db: sample for r in panel.readings if (sample := view.agent.history.first(SIZES, r.db))}
    first = {(db, row.relation): row.bytes for db, sample in firsts.items() for row in sample.rows}
    since = max((view.now - s.taken for s in firsts.values()), default=0.0)
    several = len(panel.readings) > 1
    most = max((row.bytes + (row.index_bytes or 0) for row in found.values()), default=0)
    place = next((n for n, head in enumerate(table.heads) if head.kind == "n"), 0) + 1  # the bar, behind the size
    lines = []
    for line in table.lines:
        db = str(line.cells[1].html) if several else panel.readings[0].db
        row = found[db, str(line.cells[0].key)]
        cells = [tables.Cell(_parts(row, most), "g"), _grown(row.bytes, first.get((db, row.relation)))]
        lines.append(replace(line, cells=[*line.cells[:place], *cells, *line.cells[place + 1 :]]))
    if not lines:
        return panel
    bar = tables.Head("With its indexes, drawn", kind="g", hidden=True)
    head = tables.Head("Grown", f"Since pgmon first looked, {duration(since)} ago.", "n")
    heads = [*table.heads[:place], bar, head, *table.heads[place + 1 :]]
    return panel.showing("table", table=replace(table, heads=heads, lines=tables.aligned(lines)), key=PARTS)


def _parts(row: Size, most: int) -> Markup:
    """Draw heap, TOAST and indexes; what is only estimated is not known to have parts."""
    sized = (row.bytes if row.heap_bytes is None else row.heap_bytes, row.toast_bytes, row.index_bytes)
    return marks.stack([(100 * (n or 0) / (most or 1), kind) for n, (kind, *_) in zip(sized, PARTS, strict=True)])


def _grown(now: int, first: int | None) -> tables.Cell:
    if first is None:
        return tables.Cell(escape(UNKNOWN), "n", "not known: it was not among the largest")
    shown = size(abs(now - first))
    sign = "+" if now > first else "−" if now < first else ""
    return tables.of_amount(replace(shown, text=f"{sign}{shown.text}"))


@dataclass(frozen=True, slots=True)
class Strip:
    """A partitioned table along its key."""

    name: Markup
    anchor: str | None
    state: str
    facts: Sequence[tuple[str, str]]
    drawn: Markup


def strips(view: View, panel: Panel) -> Panel:
    """Show each table with its facts and a timeline, then all as a table."""
    spans: dict[tuple[str, str], list[PartitionRange]] = {}
    for reading in view.readings(PARTITION_RANGES):
        for row in reading.rows:
            spans.setdefault((reading.db, row.relation), []).append(row)
    judge, found = view.judge(PARTITIONS), []
    for reading in panel.readings:
        for table in reading.rows:
            its = spans.get((reading.db, table.relation), [])
            if its:
                states = judge.states(table).values()
                state = next((s for s in ("crit", "warn") if s in states), "")
                found.append(_strip(view, table, its, state))
    return panel.showing("strips", strips=found, table=panel.given["table"])


def _strip(view: View, table: Partitioned, spans: Sequence[PartitionRange], state: str) -> Strip:
    ahead = view.judge(PARTITIONS).limits.get("runway_widths")
    width = table.width_seconds
    need = ahead.first * width if ahead and width and spans[0].kind == "times" else None
    words = f"{table.relation}: {table.partitions} partitions"
    if table.runway_seconds is not None:
        words += f"; the last one ends {duration(table.runway_seconds)} from now"
    return Strip(
        name=tables.breakable(table.relation),
        anchor=view.anchor(f"strip-{table.relation.replace(' ', '_')}"),
        state=state,
        facts=_facts(table),
        drawn=drawn(spans, words, need),
    )


def _facts(table: Partitioned) -> list[tuple[str, str]]:
    known: Mapping[str, object] = {
        "Key": table.strategy,
        "Partitions": count(table.partitions),
        "Rows": count(table.live),
        "Width": table.width_seconds and duration(table.width_seconds),
        "Runway": None if table.runway_seconds is None else duration(table.runway_seconds),
        "Empty ahead": table.empty_ahead,
        "Gaps": table.gaps,
        "DEFAULT": "none" if table.default_rows is None else f"{count(table.default_rows)} rows",
    }
    return [(name, str(value)) for name, value in known.items() if value is not None]


@dataclass(frozen=True, slots=True)
class Axis:
    """Where on a strip a bound stands; `now` is None where bounds are numbers."""

    first: float
    last: float  # end of the last partition
    end: float
    now: float | None

    @classmethod
    def of(cls, spans: Sequence[PartitionRange], need: float | None) -> Axis:
        """Return an axis for ranges in their order, with some room behind the last one and behind what is needed."""
        now = spans[0].now if spans[0].kind == "times" else None
        first, last = spans[0].start or 0.0, max(s.end or 0.0 for s in spans)
        reach = last if now is None else max(last, now + (need or 0.0))
        return cls(first, last, reach + (reach - first) * ROOM, now)

    def at(self, bound: float | None) -> float:
        """Return a place in percent."""
        length = self.end - self.first
        return max(0.0, min(100 * ((bound or 0.0) - self.first) / length, 100.0)) if length > 0 else 0.0


def drawn(spans: Sequence[PartitionRange], label: str, need: float | None) -> Markup:
    """Draw ranges in their order, as tall as their rows; `need` is how far ahead of now they have to reach."""
    closed = [s for s in spans if s.start is not None and s.end is not None]
    if not closed:
        return Markup()
    axis, timed = Axis.of(closed, need), closed[0].kind == "times"
    most = max(s.live for s in closed) or 1
    filled = max((s.start or 0.0 for s in closed if s.live), default=axis.first)
    slices = [
        Slice(
            x=axis.at(s.start) + 0.05,
            width=max(axis.at(s.end) - axis.at(s.start) - 0.1, 0.1),
            share=s.live / most,
            kind=_kind(s, axis.now, filled),
            title=f"{place(s.start, timed)} to {place(s.end, timed)}, {count(s.live)} rows",
        )
        for s in closed
    ]
    labels = [(0.0, "start", place(axis.first, timed)), (axis.at(axis.last), "end", place(axis.last, timed))]
    if axis.now is not None and 12 < axis.at(axis.now) < axis.at(axis.last) - 12:
        labels.insert(1, (axis.at(axis.now), "middle", "now"))
    now = None if axis.now is None else axis.at(axis.now)
    mark = None if axis.now is None or need is None else axis.at(axis.now + need)
    return marks.strip(slices, _holes(closed, axis, spans[-1].end is None), now, labels, label, mark)


def _kind(s: PartitionRange, now: float | None, filled: float) -> str:
    """Return whether a partition takes the rows of now, is made ahead, or holds rows."""
    start, end = s.start or 0.0, s.end or 0.0
    if start == filled if now is None else start <= now < end:
        return "p now"
    return "a" if start > (filled if now is None else now) and not s.live else "p"


def _holes(spans: Sequence[PartitionRange], axis: Axis, endless: bool) -> list[Slice]:
    """Return where there is no partition: between two, and behind the last one."""
    timed = axis.now is not None
    between = [(a.end or 0.0, b.start or 0.0) for a, b in pairwise(spans) if (b.start or 0.0) > (a.end or 0.0)]
    found = [(a, b, f"no partition from {place(a, timed)} to {place(b, timed)}") for a, b in between]
    if not endless:
        found.append((axis.last, axis.end, f"no partition from {place(axis.last, timed)}"))
    return [Slice(axis.at(a), axis.at(b) - axis.at(a), 1, "", words) for a, b, words in found]


def place(value: float | None, timed: bool) -> str:
    """Return a bound in words.

    >>> place(0.0, True), place(3600.0, True).replace(NBSP, " "), place(None, False)
    ('1970-01-01', '1970-01-01 01:00', 'open end')
    """
    if value is None:
        return "open end"
    if not timed:
        return str(count(value))
    moment = datetime.fromtimestamp(value, UTC)
    return f"{moment:%Y-%m-%d}" if value % DAY == 0 else f"{moment:%Y-%m-%d %H:%M}".replace(" ", NBSP)
