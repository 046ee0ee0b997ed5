"""Rows as a table: which column comes when, what is a number, what has a bar, what is sorted and filtered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from pgmon.feature import Column, Feature, columns
from pgmon.snapshot import Reading
from pgmon.web import highlight, marks
from pgmon.web.limits import Judge, Limits
from pgmon.web.states import why_unread
from pgmon.web.units import UNKNOWN, Amount, amount
from pgmon.web.view import View

FEW, MANY = 12, 50  # rows shown, and after a click: a page stays small, the API has them all
SHORT = 40  # characters of a text that stays in one line
WIDE = 9  # columns shown of a wide table
DRAWN = {  # features, and the field of which each row is drawn against the largest
    "sizes": "bytes",
    "partitioned_sizes": "bytes",
    "indexes": "bytes",
    "database_size": "bytes",
    "temp_files": "bytes",
    "waiting_sessions": "sessions",
    "slots": "retained_bytes",
}
TOLD = ("alerts", "privileges", "grants")  # features whose rows say how grave they are
GRAVE = {"critical": "crit", "refuse": "crit", "warning": "warn", "warn": "warn"}
NAMING = ("relation", "index", "sequence", "slot")  # labels that name their row, and come first
CODE = ("query", "query_plan", "task", "sql")  # fields that hold SQL
NAMES = {
    "db": "database",
    "pid": "pid",
    "relation": "relation",
    "wal": "WAL",
    "lsn": "LSN",
    "io": "I/O",
    "xmin": "xmin",
    "xact": "transaction",
    "xid": "xid",
    "tps": "transactions/s",
    "qps": "queries/s",
    "p95": "95th percentile",
    "blks": "blocks",
    "tup": "rows",
    "pct": "%",
    "fpi": "full page images",
    "max": "maximum",
}
FULL = {
    "xact_commit": "Commits",
    "xact_rollback": "Rollbacks",
    "stats_reset": "Since",
    "bytes": "Size",
    "toast_bytes": "TOAST",
    "index_bytes": "Indexes",
    "how": "How known",
}
SUFFIXES = ("_seconds", "_bytes", "_ratio")
KINDS = {"seconds": "time", "bytes": "size", "ratio": "share"}


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a cell; `title` is the exact value."""

    html: Markup
    kind: str = ""  # the class: n for numbers, g for bars, q for SQL, id for names
    title: str | None = None
    header: bool = False
    anchor: str | None = None
    key: object = None  # what it was made of, where it names the row


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a column: its words, its help, and the link that sorts by it."""

    words: str
    help: str = ""
    kind: str = ""
    link: str | None = None
    sorted: str | None = None  # ascending or descending
    hidden: bool = False  # for screen readers only


@dataclass(frozen=True, slots=True)
class Line:
    """A row: its cells, and 'crit' or 'warn' where it breaks a limit."""

    cells: Sequence[Cell]
    state: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Heads and lines; `total` rows there are, `more` leads to all of them, `wider` to all columns."""

    heads: Sequence[Head]
    lines: Sequence[Line]
    total: int
    more: str | None = None
    wider: str | None = None
    filters: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """A column as it is shown."""

    name: str
    column: Column
    limits: Limits | None = None
    shared: bool = False  # another field has the same words, in another unit
    largest: float | None = None  # of all rows, where each is drawn against it

    @property
    def names(self) -> bool:
        """Whether it names the row, beside its database."""
        return self.column.role == "label" or self.name == "pid"

    @property
    def is_flag(self) -> bool:
        """Whether it is a yes or a no that Prometheus has as a number."""
        return self.column.help.startswith(("1 when ", "1 while ", "1 for ", "1 on ", "1, "))

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit that can be drawn: not where everything above 0 is too much."""
        return self.limits is not None and self.limits.track > 0 and not self.is_flag

    @property
    def is_drawn(self) -> bool:
        """Whether there is a bar beside it."""
        return self.is_limited or self.unit == "ratio" or self.largest is not None

    def bar(self, value: float | None, state: str = "") -> Markup:
        """Return a bar; what a good reading does not have is not drawn, which is not the same as not known."""
        if value is None:
            return Markup()
        if self.limits and self.is_limited:
            return self.limits.bar(value, state)
        return marks.bar(100 * value / (self.largest or 1))

    @property
    def unit(self) -> str:
        """The unit; a metric that is called a percentage or a timestamp is one."""
        named = {"_pct": "percent", "_timestamp_seconds": "timestamp", "_start_time_seconds": "timestamp"}
        return next((unit for part, unit in named.items() if part in self.column.metric), self.column.unit)

    @property
    def per(self) -> str:
        """What is behind the unit of a rate."""
        return "/s" if "per second" in self.column.help else ""

    @property
    def words(self) -> str:
        """The name of the field as a heading.

        >>> Field("xact_seconds", Column("detail", "")).words
        'Transaction'
        """
        stem = next((self.name.removesuffix(s) for s in SUFFIXES if self.name.endswith(s)), self.name)
        if self.name in FULL:
            return FULL[self.name]
        words = " ".join(NAMES.get(word, word) for word in (stem or self.name).split("_"))
        return (
            words[:1].upper()
            + words[1:]
            + (f", {KINDS.get(self.unit, self.unit)}" if self.shared and self.unit else "")
        )


def shown_fields(feature: Feature[Any, Any], limits: Mapping[str, Limits]) -> list[Field]:
    """Return the columns of a feature: labels first, then what a rule compares, then the rest as declared."""
    kinds = {name: c for name, c in columns(feature.row).items() if c.role != "kept"}
    found = [Field(name, column, limits.get(name)) for name, column in kinds.items()]
    met = Counter(f.words for f in found)
    found = [replace(f, shared=met[f.words] > 1) for f in found]
    return sorted(found, key=lambda f: (f.name not in NAMING, f.column.role != "label", f.limits is None))


def is_facts(feature: Feature[Any, Any], rows: Sequence[object]) -> bool:
    """Tell whether a feature is one row without a name: its numbers stand below each other."""
    named = any(c.role == "label" for c in columns(feature.row).values())
    return len(rows) == 1 and not named and _is_number(feature, fields(feature.row)[0].name)


def table(view: View, feature: Feature[Any, Any], readings: Sequence[Reading], order: Sequence[str] = ()) -> Table:
    """Return the rows of a feature in all its databases, those of several with the database's name.

    `order` names the columns to be shown first, or alone where the table is wide.
    """
    judge = view.judge(feature)
    found = _arranged(shown_fields(feature, judge.limits), order)
    rows = _filtered(view, [(r.db, row) for r in readings for row in r.rows])
    rows = _sorted(view, feature, _failing_first(judge, rows, merge=len(readings) > 1))
    width = len(order) if order else WIDE
    narrow = len(found) > (width if order else width + 1) and view.asked.get("wide") != feature.name
    visible = _compared(found[:width] if narrow else found, [row for _, row in rows], feature.name)
    several = len(readings) > 1 and not any(f.name in ("db", "database") for f in found)
    limit = MANY if view.asked.get("n") == feature.name else FEW
    return Table(
        heads=[head for place, f in enumerate(visible) for head in _heads(view, feature, f, several and place == 0)],
        lines=aligned([_line(view, judge, visible, row, db if several else None) for db, row in rows[:limit]]),
        total=len(rows),
        more=view.link(n=feature.name) if limit == FEW and len(rows) > limit else None,
        wider=view.link(wide=feature.name) if narrow else None,
        filters=sum(len(r.rows) for r in readings) > FEW,
    )


def facts(view: View, feature: Feature[Any, Any], row: object) -> Table:
    """Return one row as lines of name, value and bar."""
    judge = view.judge(feature)
    found, states = shown_fields(feature, judge.limits), judge.states(row)
    barred = any(f.limits for f in found)
    heads = [Head("What", hidden=True), Head("Value", kind="n", hidden=True)]
    return Table(
        heads=[*heads, *([Head("Against the limit", kind="g", hidden=True)] if barred else [])],
        lines=aligned([_fact(view, f, getattr(row, f.name), states.get(f.name, ""), barred) for f in found]),
        total=1,
    )


def _fact(view: View, f: Field, value: Any, state: str, barred: bool) -> Line:
    name = Cell(escape(f.words), title=f.column.help, header=True)
    limit = (
        Markup("{}<small>{}</small>").format(f.bar(value, state), f.limits.words)
        if f.is_drawn and f.limits
        else Markup()
    )
    shown = _cell(view, f, value)
    shown = replace(shown, kind={"": "n", "nw": "n", "id": "id n"}.get(shown.kind, shown.kind))
    return Line([name, shown, *([Cell(limit, "g")] if barred else [])], state)


def _compared(found: Sequence[Field], rows: Sequence[Any], name: str) -> list[Field]:
    """Return the fields; the one that is drawn beside its largest value knows that value."""
    drawn = DRAWN.get(name)
    values = [v for row in rows if drawn and (v := getattr(row, drawn)) is not None]
    return [replace(f, largest=max(values, default=None)) if f.name == drawn else f for f in found]


def _arranged(found: Sequence[Field], order: Sequence[str]) -> list[Field]:
    places = {name: place for place, name in enumerate(order)}
    return sorted(found, key=lambda f: places.get(f.name, len(places)))


def _filtered(view: View, rows: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return the rows of which some text contains what is looked for."""
    wanted = view.asked.get("q", "").casefold()
    if not wanted:
        return list(rows)
    return [(db, row) for db, row in rows if any(wanted in text.casefold() for text in (db, *_texts(row)))]


def _texts(row: Any) -> list[str]:
    return [str(v) for f in fields(row) if isinstance(v := getattr(row, f.name), (str, int))]


def sorting(view: View, feature: Feature[Any, Any]) -> tuple[str, bool]:
    """Return the field that a feature's table is sorted by, and whether ascending; '' for the order as read."""
    name, _, field = view.asked.get("sort", "").partition(".")
    return (
        (field, view.asked.get("dir") == "asc")
        if name == feature.name and field in columns(feature.row)
        else ("", False)
    )


def _failing_first(judge: Judge, rows: list[tuple[str, Any]], merge: bool) -> list[tuple[str, Any]]:
    """Return the rows that break a limit first; those of several databases by what they are judged or drawn by."""
    name, limits = next(iter(judge.limits.items()), (DRAWN.get(judge.feature.name), None))

    def rank(pair: tuple[str, Any]) -> tuple[int, float]:
        states = judge.states(pair[1]).values()
        grave = 0 if "crit" in states else 1 if states else 2
        value = getattr(pair[1], name) if name and merge else None
        return grave, 0.0 if value is None else -limits.nearness(value) if limits else -float(value)

    return sorted(rows, key=rank)


def _sorted(view: View, feature: Feature[Any, Any], rows: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return the rows in the order asked for; what is not known comes last either way."""
    field, ascending = sorting(view, feature)
    if not field:
        return rows
    known = [pair for pair in rows if getattr(pair[1], field) is not None]
    rest = [pair for pair in rows if getattr(pair[1], field) is None]
    return sorted(known, key=lambda pair: _rank(getattr(pair[1], field)), reverse=not ascending) + rest


def _rank(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else json.dumps(value) if isinstance(value, list) else value


def _heads(view: View, feature: Feature[Any, Any], f: Field, several: bool) -> list[Head]:
    by, ascending = sorting(view, feature)
    now = f.name == by
    link = view.link(sort=f"{feature.name}.{f.name}", dir="desc" if (now and ascending) or not now else "asc")
    kind = "n" if _is_number(feature, f.name) and not f.is_flag else ""
    head = Head(f.words, f.column.help, kind, link, ("ascending" if ascending else "descending") if now else None)
    bar = (
        Head(f.limits.words, kind="g")
        if f.is_limited and f.limits
        else Head(f"{f.words}, drawn", "", "g2", hidden=True)
    )
    db = [Head("Database")] if several else []
    return [*db * (not f.names), head, *([bar] if f.is_drawn else []), *db * f.names]


def _is_number(feature: Feature[Any, Any], name: str) -> bool:
    kind = str(next(f.type for f in fields(feature.row) if f.name == name))
    return name != "pid" and kind.partition(" ")[0] in ("int", "float")


def _line(view: View, judge: Judge, visible: Sequence[Field], row: Any, db: str | None) -> Line:
    """Return a row; its first cell names it, which is the database where it has no name of its own."""
    graded, unread = judge.states(row), why_unread(row)
    cells = []
    for f in visible:
        value = getattr(row, f.name)
        cells.append(_cell(view, f, value))
        if f.is_drawn:
            bar = f.bar(value, graded.get(f.name, "")) if value is not None or not unread else marks.bar(None)
            cells.append(Cell(bar, "g" if f.is_limited else "g2"))
    if db is not None:
        cells.insert(int(visible[0].names), Cell(escape(db), "nw"))
    name = getattr(row, visible[0].name) if db is None or visible[0].names else db
    cells[0] = _naming(view, visible[0], name, cells[0])
    found = [*graded.values(), *([GRAVE.get(row.severity, "")] if judge.feature.name in TOLD else [])]
    return Line(cells, next((s for s in ("crit", "warn") if s in found), ""))


def _naming(view: View, f: Field, value: Any, cell: Cell) -> Cell:
    """Return the cell that names its row, to be linked to."""
    anchor = view.anchor(f"{f.name}-{quote(str(value))}") if isinstance(value, (str, int)) else None
    return replace(cell, header=True, anchor=anchor, key=value)


def _cell(view: View, f: Field, value: Any) -> Cell:
    """Return a value by what it is: yes or no, a number, SQL, a name, a text."""
    if value is None:
        kind = "n" if (f.unit or f.column.metric) and not f.is_flag else ""
        return Cell(escape(UNKNOWN), kind, "not known, or there is none")
    if isinstance(value, bool) or (f.is_flag and value in (0, 1)):
        return Cell(escape("yes" if value else "no"), title=str(int(value)))
    if f.name in ("queryid", "alert") or f.name.endswith("pid"):
        return Cell(linked(view, f.name, value), "id")
    if f.column.role == "mark":
        return Cell(escape(value.partition(":")[0]), "nw", value or None)
    if f.name == "oid":
        return Cell(escape(value), "n")
    if isinstance(value, (int, float)):
        return number(value, f.unit, f.per)
    if f.name in CODE:
        return Cell(Markup("<code>{}</code>").format(highlight.sql(str(value))), "q") if value else Cell(Markup())
    if isinstance(value, (list, tuple)):
        return Cell(escape(", ".join(map(str, value))))
    named = f.column.role == "label" and f.name != "db"
    if named:
        return Cell(breakable(str(value)), "id")
    return Cell(escape(str(value)), "nw" if len(str(value)) < SHORT else "")


def number(value: float, unit: str, per: str = "") -> Cell:
    """Return a number with its unit in a column of its own."""
    return of_amount(amount(value, unit), per)


def of_amount(shown: Amount, per: str = "") -> Cell:
    """Return an amount as a cell."""
    unit = f"{shown.unit}{per}" if not shown.text.endswith("%") else ""
    html = Markup("{} <small>{}</small>").format(shown.text, unit) if unit else escape(shown.text)
    return Cell(html, "n", shown.exact or shown.text)


def aligned(lines: Sequence[Line]) -> list[Line]:
    """Return the lines with room for a unit in every number of a column that has one."""
    united = {i for line in lines for i, c in enumerate(line.cells) if c.kind == "n" and "<small>" in c.html}
    return [replace(line, cells=[_roomy(c) if i in united else c for i, c in enumerate(line.cells)]) for line in lines]


def _roomy(cell: Cell) -> Cell:
    bare = cell.kind == "n" and "<small>" not in cell.html
    return replace(cell, html=Markup("{} <small></small>").format(cell.html)) if bare else cell


def breakable(name: str) -> Markup:
    """Return a name that may break after its dots and underscores, where a phone needs it.

    >>> str(breakable("a.b_<c"))
    'a.<wbr>b_<wbr>&lt;c'
    """
    return escape(name).replace("_", Markup("_<wbr>")).replace(".", Markup(".<wbr>"))


def linked(view: View, name: str, value: Any) -> Markup:
    """Return a process, a statement or an alert with a link to what is known of it."""
    if value == "other":
        return Markup("all others")
    href = {"queryid": "queries/{}", "alert": "alerts/{}"}.get(name, "activity#pid-{}").format(value)
    return Markup('<a href="{}">{}</a>').format(view.root + href, value)
