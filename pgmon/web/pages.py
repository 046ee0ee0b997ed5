"""The pages. Each is made of the snapshots of one moment; none runs a statement of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, abort, current_app, render_template, request
from werkzeug.exceptions import HTTPException

from pgmon.agent import Agent
from pgmon.alerts.rows import past
from pgmon.features.statements import STATEMENTS
from pgmon.web import panels, queries, statements, subjects
from pgmon.web.checks import Check, checks
from pgmon.web.frame import frame
from pgmon.web.panels import Panel
from pgmon.web.parameters import PAGE, checked
from pgmon.web.subjects import Lens
from pgmon.web.view import View
from pgmon.web.words import PAGES, check_title

blueprint = Blueprint("pages", __name__)


def look(asked: Mapping[str, str], settle: bool = True) -> View:
    """Start what is due, wait a moment for it, and look."""
    agent: Agent = current_app.extensions["pgmon"]
    if settle:
        agent.settle()
    return View.of(agent, asked, "../" * (request.path.count("/") - 1))


def rendered(
    view: View, template: str, page: str, title: str, found: Sequence[Check], twin: str | None = None, **given: Any
) -> str:
    """Return a page in its frame."""
    return render_template(template, view=view, frame=frame(view, page, title, found, twin), **given)


def shown(view: View, page: str, lenses: Sequence[Lens]) -> list[Panel]:
    """Return the panels of a page, of its tabs those of the current one."""
    hidden = {name for lens in lenses if not lens.current for name in lens.panels}
    found = [f for f in subjects.features(view, page) if f.name not in hidden]
    return subjects.arranged(view, page, [panels.panel(view, f) for f in found])


@blueprint.get("/")
@blueprint.get("/<any(autovacuum, queries, storage, partitions, replication, activity, alerts, status):page>")
def page(page: str = "overview") -> str:
    """Show a page."""
    view = look(checked(PAGE))
    found = checks(view)
    here = found if page in ("overview", "alerts") else [c for c in found if c.page == page]
    template, extra = subjects.TEMPLATES.get(page, "page.html"), subjects.extra(view, page, found)
    lenses = subjects.lenses(view, page, found)
    tabbed = {name for lens in lenses for name in lens.panels}
    all_shown = shown(view, page, lenses)
    groups = grouped([p for p in all_shown if p.id not in tabbed])
    within = grouped([p for p in all_shown if p.id in tabbed])
    return rendered(
        view, template, page, PAGES[page], found, checks=here, groups=groups, lenses=lenses, within=within, **extra
    )


@blueprint.get("/queries/<queryid>")
def query(queryid: str) -> str:
    """Show one statement."""
    view = look(checked({"refresh": PAGE["refresh"]}))
    detail = queries.detail(view, queryid)
    if detail is None:
        abort(404, "That statement is not among those read now: it may have left the top, or pg_stat_statements.")
    panel = panels.panel(view, STATEMENTS)
    return rendered(view, "query.html", "queries", f"Query {queryid}", checks(view), detail=detail, panel=panel)


@blueprint.get("/alerts/<name>")
def alert(name: str) -> str:
    """Show a check: its rows, its limits, and what to do."""
    view = look(checked({"refresh": PAGE["refresh"]}))
    found = checks(view)
    check = next((c for c in found if c.name == name), None)
    if check is None:
        abort(404, "There is no check of that name on this server.")
    fired = [past(a, view.wall) for a in reversed(view.agent.engine.history) if a.name == name]
    given = {"check": check, "panel": panels.panel(view, check.feature), "past": fired}
    return rendered(view, "alert.html", "alerts", check_title(name), found, f"alerts/{name}", **given)


@blueprint.get("/sql")
def sql() -> str:
    """Show every statement that may be sent to this server."""
    view = look(checked({"refresh": PAGE["refresh"]}))
    return rendered(view, "sql.html", "sql", PAGES["sql"], checks(view), statements=statements.catalogue(view))


def grouped(found: Sequence[Panel]) -> list[list[Panel]]:
    """Return panels in rows of the page: narrow ones stand beside each other."""
    groups: list[list[Panel]] = []
    for panel in found:
        if panel.narrow and groups and groups[-1][0].narrow:
            groups[-1].append(panel)
        else:
            groups.append([panel])
    return groups


def lede(found: Sequence[Check]) -> str:
    """Return the sentence beside a page's title.

    >>> lede([])
    ''
    """
    if not found:
        return ""
    words = {"crit": "critical", "warn": "warning", "unknown": "unknown"}
    counts = {s: sum(c.state == s for c in found) for s in words}
    passed = len(found) - sum(counts.values())
    parts = [f"{n} {words[s]}{'s' * (s == 'warn' and n != 1)}" for s, n in counts.items() if n]
    return ", ".join([*parts, *([f"{passed} passed"] if passed else [])]) + "."


def fault(error: HTTPException) -> Any:
    """Return what is wrong with a request: as JSON from the API, in a page's frame from a page."""
    if error.response is not None:
        return error
    headers = [(k, v) for k, v in error.get_headers() if k not in ("Content-Type", "Content-Length")]
    code = error.code or 500
    if request.path.startswith("/api/"):
        return {"error": error.description}, code, headers
    if "text/html" not in request.accept_mimetypes.values() or code >= 500:
        return f"{error.description}\n", code, [*headers, ("Content-Type", "text/plain; charset=utf-8")]
    view = look({}, settle=False)
    return rendered(view, "error.html", "", error.name, checks(view), error=error), code, headers
