"""The pages. Each is made of the snapshots of one moment; none runs a statement of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, abort, current_app, render_template

from pgmon.agent import Agent
from pgmon.web import panels, subjects
from pgmon.web.checks import Check, checks
from pgmon.web.frame import frame
from pgmon.web.panels import Panel
from pgmon.web.parameters import PAGE, checked
from pgmon.web.view import View
from pgmon.web.words import PAGES

blueprint = Blueprint("pages", __name__)


def look(asked: dict[str, str]) -> View:
    """Start what is due, wait a moment for it, and look."""
    agent: Agent = current_app.extensions["pgmon"]
    agent.settle()
    return View.of(agent, asked)


def shown(view: View, page: str) -> list[Panel]:
    """Return the panels of a page: those of its subject that have no place of their own, and what it adds."""
    return subjects.arranged(view, page, [panels.panel(view, f) for f in subjects.features(view, page)])


@blueprint.get("/")
@blueprint.get("/<any(autovacuum, queries, storage, partitions, replication, activity, alerts, status):page>")
def page(page: str = "overview") -> str:
    """Show a page."""
    view = look(checked(PAGE))
    found = checks(view)
    return render_template(
        subjects.TEMPLATES.get(page, "page.html"),
        view=view,
        frame=frame(view, page, PAGES[page], found),
        checks=found if page in ("overview", "alerts") else [c for c in found if c.page == page],
        groups=grouped(shown(view, page)),
        **subjects.extra(view, page, found),
    )


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


def not_found(message: str) -> Any:
    """End a request for something that is not there."""
    abort(404, message)
