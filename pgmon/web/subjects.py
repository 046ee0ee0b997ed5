"""Which page shows which features, and what shows a feature better than a table does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pgmon import config
from pgmon.feature import Feature
from pgmon.features.locks import BLOCKING
from pgmon.features.replicas import REPLICAS
from pgmon.features.statements import STATEMENTS
from pgmon.web import activity, alerts, overview, panels, queries, storage, tables, words
from pgmon.web.checks import Check
from pgmon.web.panels import Panel
from pgmon.web.view import View
from pgmon.web.words import LENSES

# What the overview borrows from other pages, before its own.
BORROWED: Mapping[str, Sequence[Feature[Any, Any]]] = {"overview": (BLOCKING, REPLICAS, STATEMENTS)}
# Shown within another panel, or counts of what another one lists.
WITHIN = (
    "statement_texts",
    "partition_ranges",
    "relations",
    "alert_counts",
    "autovacuum_phases",
    "replica_states",
    "sync_states",
)


@dataclass(frozen=True, slots=True)
class Lens:
    """A tab of a page: its words, how many rows there are beyond a limit, and its panels."""

    words: str
    failing: int
    link: str
    current: bool
    panels: Sequence[str]


def lenses(view: View, page: str, found: Sequence[Check]) -> list[Lens]:
    """Return the tabs of a page, none if it has none."""
    tabs = LENSES.get(page, {})
    current = view.asked.get("tab", "")
    current = current if current in tabs else next(iter(tabs), "")
    return [
        Lens(
            title,
            sum(j.feature.name in its for c in found for j in c.failing),
            f"{view.link(tab=tab)}#lenses",
            tab == current,
            its,
        )
        for tab, (title, its) in tabs.items()
    ]


def failing_first(view: View, panel: Panel) -> Panel:
    """Show what could not be read before what could."""
    readings = [replace(r, rows=sorted(r.rows, key=lambda row: row.status == "ok")) for r in panel.readings]
    table = tables.table(view, panel.feature, readings, words.ORDER[panel.id])
    return panel.showing("table", table=table)


BODIES: Mapping[tuple[str, str], Callable[[View, Panel], Panel]] = {
    ("overview", "blocking"): activity.roots,
    ("overview", "replicas"): overview.standbys,
    ("overview", "statements"): queries.first,
    ("overview", "throughput"): overview.databases,
    ("alerts", "alerts"): alerts.board,
    ("activity", "blocking"): activity.tree,
    ("activity", "connections_by_state"): activity.by_state,
    ("activity", "sessions"): activity.sessions,
    ("queries", "statements"): queries.top,
    ("status", "checks"): failing_first,
    ("storage", "sizes"): storage.sizes,
    ("partitions", "partitions"): storage.strips,
}
FIRST: Mapping[str, Sequence[str]] = {
    "overview": ("blocking", "replicas", "statements", "throughput"),
    "activity": ("connections_by_state", "blocking", "sessions"),
    "autovacuum": (
        "vacuum_jobs",
        "autovacuum",
        "xmin",
        "tuples",
        "autovacuum_due",
        "wraparound",
        "wraparound_limits",
        "freeze",
        "stale_stats",
    ),
    "storage": ("sizes", "partitioned_sizes", "indexes", "index_verdicts", "bloat", "sequences"),
    "partitions": ("partitions",),
    "queries": ("statements",),
    "status": ("loops", "checks"),
    "alerts": ("alerts", "alert_history", "notifications"),
}
TEMPLATES: Mapping[str, str] = {"overview": "overview.html", "status": "status.html"}


def features(view: View, page: str) -> list[Feature[Any, Any]]:
    """Return the features of a page, the most telling first."""
    found = [*(f for f in BORROWED.get(page, ()) if view.applies(f)), *view.features(page)]
    first = {name: place for place, name in enumerate(FIRST.get(page, ()))}
    return sorted(found, key=lambda f: first.get(f.name, len(first)))


def arranged(view: View, page: str, found: Sequence[Panel]) -> list[Panel]:
    """Return the panels with the bodies that they have on this page, wide ones before narrow ones."""
    shown = [_shown(view, page, p) for p in found if p.id not in WITHIN]
    lead = sum(p.id in FIRST.get(page, ()) for p in shown)
    return once(shown[:lead] + sorted(shown[lead:], key=lambda p: p.narrow))


def once(found: Sequence[Panel]) -> list[Panel]:
    """Return the panels with the text of each statement in the first of them that has it: pages stay small."""
    shown_in: dict[str, str] = {}
    made = []
    for panel in found:
        told = [
            s if shown_in.setdefault(s.text, panel.id) == panel.id else replace(s, shown_in=shown_in[s.text])
            for s in panel.statements
        ]
        made.append(replace(panel, statements=told))
    return made


def _shown(view: View, page: str, panel: Panel) -> Panel:
    body = BODIES.get((page, panel.id))
    return panels.careful(view, panel.feature, lambda: body(view, panel)) if body else panel


def extra(view: View, page: str, found: Sequence[Check]) -> dict[str, Any]:
    """Return what the template of a page needs beside checks and panels."""
    if page == "overview":
        return {"tiles": overview.tiles(view), "headline": headline(view, found)}
    if page == "alerts":
        return {"headline": alerts.headline(view)}
    if page == "status":
        return {"settings": flattened(config.describe(view.agent.config))}
    return {}


def headline(view: View, found: Sequence[Check]) -> tuple[str, str]:
    """Return the verdict over all, and the sentence beside it."""
    cluster, failing = view.agent.config.cluster, [c for c in found if c.failing]
    unknown = [c for c in found if c.state == "unknown"]
    if view.is_barred:
        return f"{cluster} cannot be read", view.agent.health()["database"]
    if view.facts is None and not view.is_up:
        return f"{cluster} was not seen yet", view.agent.health()["database"]
    if not view.is_up:
        return (
            f"{cluster} does not answer",
            f"{view.agent.health()['database']}. Below are the last readings; the checks are unknown, not resolved.",
        )
    if failing or unknown:
        n = len(failing) + len(unknown)
        return f"{n} of {len(found)} checks need{'s' * (n == 1)} attention", ""
    near = max((c for c in found if c.worst), key=lambda c: c.worst.nearness if c.worst else 0, default=None)
    closest = f"The closest to its limit is {near.title.lower()}: {near.now}, {near.limit}." if near else ""
    return f"All {len(found)} checks pass", closest


def flattened(values: Mapping[str, Any], path: str = "") -> list[tuple[str, str]]:
    """Return nested settings as dotted keys and texts.

    >>> flattened({"http": {"threads": 8}, "databases": []})
    [('http.threads', '8'), ('databases', '')]
    """
    found: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found += flattened(value, f"{path}{key}.")
        else:
            found.append(
                (f"{path}{key}", ", ".join(map(str, value)) if isinstance(value, (list, tuple, dict)) else str(value))
            )
    return found
