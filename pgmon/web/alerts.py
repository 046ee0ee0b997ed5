"""The alerts page: what fires, each with a line of the last day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

from pgmon.features.own import ALERT_HISTORY, ALERTS, CurrentAlert, PastAlert
from pgmon.web import marks, tables
from pgmon.web.panels import Panel
from pgmon.web.tables import FEW, GRAVE, MANY, Cell, Head, Line, Table
from pgmon.web.units import duration
from pgmon.web.view import View

DAY = 86400.0
TABS: Mapping[str, Sequence[str]] = {
    "open": ("firing", "pending", "unknown"),
    "firing": ("firing",),
    "pending": ("pending",),
    "unknown": ("unknown",),
}
HEADS = (
    Head("Alert"),
    Head("What is wrong"),
    Head("State"),
    Head("For", "Since it fires; pending: since its conditions hold.", "n"),
    Head("Told again in", "While nothing changes.", "n"),
    Head("Last 24 h", "When it fired, of what is remembered.", "g3"),
)


def headline(view: View) -> str:
    """Return how much fires.

    Unknown alerts fired before, and nothing tells that they do not any more.
    """
    firing = sum(row.state != "pending" for row in view.rows(ALERTS))
    return f"{firing} alert{'s' * (firing != 1)} firing" if firing else "No alert is firing"


def board(view: View, panel: Panel) -> Panel:
    """Show what is open, or one state of it."""
    tab = view.asked.get("tab", "open")
    tab = tab if tab in TABS else "open"
    rows: Sequence[CurrentAlert] = view.rows(ALERTS)
    found = [row for row in rows if row.state in TABS[tab] and _has(row, view.asked.get("q", ""))]
    limit = MANY if view.asked.get("n") == panel.id else FEW
    table = Table(
        heads=HEADS,
        lines=tables.aligned([_line(view, row) for row in found[:limit]]),
        total=len(found),
        more=view.link(n=panel.id) if len(found) > limit else None,
        filters=len(rows) > FEW,
    )
    counts = {name: sum(row.state in states for row in rows) for name, states in TABS.items()}
    tabs = [(name.capitalize(), n, view.link(tab=name), name == tab) for name, n in counts.items()]
    return panel.showing("tabs", table=table, tabs=tabs if rows else (), label="State")


def _has(row: CurrentAlert, wanted: str) -> bool:
    return wanted.casefold() in f"{row.alert} {row.db} {row.object} {row.message}".casefold()


def _line(view: View, row: CurrentAlert) -> Line:
    state = GRAVE.get(row.severity, "") if row.state == "firing" else ""
    since = row.since_seconds if row.firing_seconds is None else row.firing_seconds
    named = Markup("{} <small>{}</small>").format(tables.linked(view, "alert", row.alert), row.severity)
    told = tables.number(row.again_seconds, "seconds") if row.again_seconds is not None else Cell(Markup("–"), "n")
    why = f"explained by {row.inhibited_by}" if row.inhibited_by else f"cannot be read: {row.unknown}"
    said = Markup("{} <small>{}</small>").format(row.message, why) if row.inhibited_by or row.unknown else row.message
    return Line(
        [
            Cell(named, "id", header=True, anchor=view.anchor(f"alert-{len(view.anchors)}")),
            Cell(escape(said)),
            Cell(escape(row.state)),
            tables.number(since, "seconds"),
            told,
            Cell(_day(view, row), "g3"),
        ],
        state,
    )


def _day(view: View, row: CurrentAlert) -> Markup:
    """Draw when it fired within a day."""
    its = [p for p in view.rows(ALERT_HISTORY) if (p.alert, p.db, p.object) == (row.alert, row.db, row.object)]
    label = f"fired {len(its)} times, the first {duration(its[-1].started_seconds)} ago" if its else "has not fired"
    return marks.hist(filter(None, map(_span, its)), GRAVE.get(row.severity, ""), label)


def _span(past: PastAlert) -> tuple[float, float] | None:
    """Return where in the last day it fired, in percent; None before it."""
    end = 0.0 if past.lasted_seconds is None else past.started_seconds - past.lasted_seconds
    start = min(past.started_seconds, DAY)
    return (100 * (1 - start / DAY), 100 * (start - end) / DAY) if end < DAY else None
