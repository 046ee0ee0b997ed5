"""The activity page: sessions as a bar, the blocking tree, and who is in a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from markupsafe import Markup, escape

from pgmon.features.connections import CONNECTIONS
from pgmon.features.locks import LOCKS, Node
from pgmon.snapshot import Reading
from pgmon.web import marks, tables, words
from pgmon.web.panels import Panel
from pgmon.web.units import count, duration
from pgmon.web.view import View

IDLE = "idle in transaction"
SESSION_TABS = {"all": "All", "active": "Active", "waiting": "Waiting", "idle": "Idle in transaction"}
ORDER = ("active", "fastpath function call", IDLE, f"{IDLE} (aborted)", "idle")
CLASSES = {"active": "s1", IDLE: "sw", f"{IDLE} (aborted)": "sc", "idle": "s3"}


@dataclass(slots=True)
class Branch:
    """A session in the tree, with those that wait for it; `more` others do the same behind the same one."""

    node: Node
    state: str  # crit, warn or ''
    bar: Markup
    anchor: str | None
    waiters: list[Branch] = field(default_factory=list)
    more: int = 0

    @property
    def who(self) -> str:
        """Database and application."""
        return " · ".join(filter(None, (self.node.db, self.node.application)))

    @property
    def name(self) -> str:
        """Its process id, or what has none."""
        return "prepared transaction" if self.node.pid == 0 else str(self.node.pid)

    @property
    def doing(self) -> str:
        """What it does, or waits for."""
        node = self.node
        if node.waited is None:
            return " ".join(filter(None, (node.state, self.age)))
        return f"wait{'' if self.more else 's'} for {node.mode or 'a lock'}"

    @property
    def age(self) -> str:
        """How long it waits; of a root, the age of its transaction."""
        seconds = self.node.xact_seconds if self.node.waited is None else self.node.waited
        return "" if seconds is None else duration(seconds)

    def is_like(self, other: Branch) -> bool:
        """Tell whether the two are one line: nobody waits for them, and they wait for the same with the same text."""
        mine, its = self.node, other.node
        alone = not self.waiters and not other.waiters and mine.blocks == its.blocks == 0
        return alone and (mine.query, mine.mode, mine.application) == (its.query, its.mode, its.application)


def tree(view: View, panel: Panel) -> Panel:
    """Show who waits for whom, roots first, longest waits first."""
    rows: Sequence[Node] = [row for r in panel.readings for row in r.rows]
    limits = view.judge(LOCKS).limits.get("longest")
    path: list[Branch] = []
    roots: list[Branch] = []
    for node in rows:
        state = limits.state(node.waited) if limits else ""
        bar = limits.bar(node.waited, state) if limits and node.waited is not None else Markup()
        branch = Branch(node, state, bar, view.anchor(f"pid-{node.pid}"))
        del path[node.depth :]
        (path[-1].waiters if path else roots).append(branch)
        path.append(branch)
    for root in roots:
        _folded(root)
    roots.sort(key=lambda b: (-_longest(b), b.node.pid))
    trees = f"{len(rows)} sessions in {len(roots)} tree{'s' * (len(roots) != 1)}"
    return panel.showing("tree", size=trees, roots=roots, table=panel.given["table"])


def _folded(branch: Branch) -> None:
    """Make one line of waiters that are alike, and give a root the state of the gravest wait behind it."""
    branch.waiters.sort(key=lambda b: (-b.node.blocks, -(b.node.waited or 0.0)))
    kept: list[Branch] = []
    for waiter in branch.waiters:
        _folded(waiter)
        like = next((k for k in kept if k.is_like(waiter)), None)
        if like:
            like.more += 1
        else:
            kept.append(waiter)
    branch.waiters = kept
    if branch.node.waited is None:
        found = {w.state for w in _all(branch)}
        branch.state = next((s for s in ("crit", "warn") if s in found), "")


def _all(branch: Branch) -> list[Branch]:
    return [w for waiter in branch.waiters for w in (waiter, *_all(waiter))]


def _longest(branch: Branch) -> float:
    return max((w.node.waited or 0.0 for w in _all(branch)), default=0.0)


def roots(view: View, panel: Panel) -> Panel:
    """Show the roots of the tree as a table."""
    made = tree(view, panel)
    limits = view.judge(LOCKS).limits.get("longest")
    heads = [
        tables.Head("Root"),
        tables.Head("Longest wait", kind="n"),
        tables.Head(limits.words if limits else "", kind="g"),
        tables.Head("Blocks", kind="n"),
        tables.Head("Doing"),
    ]
    lines = [
        tables.Line(
            [
                tables.Cell(tables.linked(view, "pid", b.node.pid), "id", header=True),
                tables.number(_longest(b), "seconds"),
                tables.Cell(limits.bar(_longest(b), b.state) if limits else Markup(), "g"),
                tables.number(b.node.blocks, ""),
                tables.Cell(escape(b.doing), "nw"),
            ],
            b.state,
        )
        for b in made.given["roots"]
    ]
    return made.showing("table", narrow=True, table=tables.Table(heads, lines, len(lines)))


def by_state(view: View, panel: Panel) -> Panel:
    """Show sessions by state as one bar of all usable connections."""
    total = view.rows(CONNECTIONS)
    if not total or not panel.readings[0].rows:
        return panel
    usable = total[0].usable_connections
    found: dict[str, int] = {}
    for row in panel.readings[0].rows:
        found[row.state or "unknown"] = found.get(row.state or "unknown", 0) + row.sessions
    ordered = sorted(found.items(), key=lambda kv: (ORDER.index(kv[0]) if kv[0] in ORDER else len(ORDER), kv[0]))
    parts = [(100 * n / max(usable, 1), CLASSES.get(state, "s2")) for state, n in ordered]
    limits = view.judge(CONNECTIONS).limits.get("used_ratio")
    places = [100 * v for v in limits.values.values()] if limits else []
    key = [(CLASSES.get(state, "s2"), state, str(count(n))) for state, n in ordered]
    free = max(usable - total[0].connections, 0)
    table = panel.given["table"]
    return panel.showing("sessions", stack=marks.stack(parts, places), key=key, free=free, usable=usable, table=table)


def sessions(view: View, panel: Panel) -> Panel:
    """Show who is in a transaction, all or some."""
    counts = {tab: sum(_belongs(row, tab) for row in panel.readings[0].rows) for tab in SESSION_TABS}
    tab = view.asked.get("tab", "all")
    tab = tab if tab in SESSION_TABS else "all"
    readings = [_only(r, tab) for r in panel.readings]
    made = tables.table(view, panel.feature, readings, words.ORDER[panel.id]) if tab != "all" else panel.given["table"]
    links = [(label, counts[t], view.link(tab=t), t == tab) for t, label in SESSION_TABS.items()]
    return panel.showing("tabs", table=made, tabs=links, label="Sessions")


def _only(reading: Reading, tab: str) -> Reading:
    return replace(reading, rows=[row for row in reading.rows if _belongs(row, tab)])


def _belongs(row: Any, tab: str) -> bool:
    kind = "idle" if row.state.startswith(IDLE) else "waiting" if row.wait else "active"
    return tab in ("all", kind)
