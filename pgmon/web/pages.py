"""The pages and their JSON twins, of the same snapshot."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, abort, current_app, render_template

from pgmon.agent import Agent
from pgmon.alerts.rows import past
from pgmon.alerts.runbook import runbook
from pgmon.web import panels

blueprint = Blueprint("pages", __name__)

TWINS = {"queries": "top-queries"}  # the API's name of a panel, where the specification has another


@blueprint.app_template_filter()
def shown(value: object) -> object:
    """Return a value as people read it: four figures of a fraction, a dash for what is not known.

    >>> shown(0.10309278350515463), shown(None), shown(312)
    ('0.1031', '–', 312)
    """
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) and not value.is_integer() else value


def _agent() -> Agent:
    agent: Agent = current_app.extensions["pgmon"]
    agent.settle()
    return agent


@blueprint.get("/")
@blueprint.get("/<name>")
def page(name: str = "overview") -> str:
    """Show a panel: the rows of its features, each with the SQL behind it."""
    agent = _agent()
    known = panels.names(agent)
    if name not in known:
        abort(404)
    twin = f"/api/v1/{TWINS.get(name, name)}"
    return render_template("panel.html", name=name, names=known, parts=panels.panel(agent, name), twin=twin)


@blueprint.get("/api/v1/<name>")
def api(name: str) -> dict[str, Any]:
    """Return a panel as JSON."""
    agent = _agent()
    panel = next((p for p in panels.names(agent) if TWINS.get(p, p) == name), None)
    if panel is None:
        abort(404)
    return {"cluster": agent.config.cluster, "panel": panel, "parts": panels.panel(agent, panel)}


@blueprint.get("/alerts/<name>")
def runbook_page(name: str) -> str:
    """Show what an alert means, what to paste, and where it fires."""
    agent = _agent()
    return render_template("alert.html", names=panels.names(agent), **_told(agent, name))


@blueprint.get("/api/v1/alerts/<name>")
def runbook_api(name: str) -> dict[str, Any]:
    """Return the same as JSON, with the rows that were seen when each alert began to fire."""
    agent = _agent()
    return {"cluster": agent.config.cluster, **_told(agent, name)}


def _told(agent: Agent, name: str) -> dict[str, Any]:
    known = {rule.name for feature in agent.features for rule in feature.rules}
    if name not in known:
        abort(404)
    book, found = runbook(name), [alert for alert in reversed(agent.engine.history) if alert.name == name]
    shown = [
        {**asdict(past(alert, agent.clock.wall())), "evidence": {e.feature: e.data() for e in alert.evidence}}
        for alert in found
    ]
    return {"name": name, "meaning": book.meaning, "paste": book.paste, "alerts": shown}
