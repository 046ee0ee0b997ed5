"""The JSON API: each page's twin, of the same snapshots, described by an OpenAPI document made from the row types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, get_type_hints

from flask import Blueprint, abort, current_app
from pydantic import TypeAdapter

from pgmon import __version__, config
from pgmon.agent import Agent
from pgmon.alerts.alert import Alert
from pgmon.alerts.rows import past
from pgmon.alerts.runbook import runbook
from pgmon.feature import Feature, Scope, columns
from pgmon.web import panels, statements, subjects
from pgmon.web.checks import Check, checks
from pgmon.web.pages import look
from pgmon.web.parameters import checked
from pgmon.web.view import View
from pgmon.web.words import PAGES, TWINS

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")

STATES = ("fresh", "stale", "error", "degraded", "partial", "loading", "unsupported", "empty")
VERDICTS = {"crit": "critical", "warn": "warning", "unknown": "unknown", "": "ok"}
NAMES = {TWINS.get(page, page): page for page in PAGES}


@blueprint.get("/<name>")
def answer(name: str) -> dict[str, Any]:
    """Return a page as data."""
    checked()
    if name not in NAMES:
        abort(404, f"there is {', '.join(NAMES)}")
    return _answer(look({}), NAMES[name])


@blueprint.get("/alerts/<name>")
def alert(name: str) -> dict[str, Any]:
    """Return what an alert means, what to do, and when it fired, with the rows that were seen when it began."""
    checked()
    view = look({})
    if name not in {rule.name for feature in view.agent.features for rule in feature.rules}:
        abort(404, "there is no alert of that name")
    book = runbook(name)
    fired = [_past(view, a) for a in reversed(view.agent.engine.history) if a.name == name]
    return {"cluster": view.agent.config.cluster, "name": name, **asdict(book), "alerts": fired}


def _past(view: View, fired: Alert) -> dict[str, Any]:
    return asdict(past(fired, view.wall)) | {"evidence": {e.feature: e.data() for e in fired.evidence}}


@blueprint.get("/openapi.json")
def openapi() -> dict[str, Any]:
    """Return what the API is, for programs."""
    checked()
    agent: Agent = current_app.extensions["pgmon"]
    return document(agent)


def _answer(view: View, page: str) -> dict[str, Any]:
    found = checks(view)
    here = found if page in ("overview", "alerts") else [c for c in found if c.page == page]
    facts = view.facts
    data = {
        "cluster": view.agent.config.cluster,
        "page": page,
        "at": view.time(view.now).isoformat(),
        "database": "up" if view.is_up else view.agent.health()["database"],
        "version": ".".join(map(str, facts.version)) if facts else None,
        "role": ("standby" if facts.in_recovery else "primary") if facts else None,
        "checks": [_check(c) for c in here],
        "panels": {f.name: panels.as_data(view, panels.panel(view, f)) for f in subjects.features(view, page)},
    }
    return data | _extra(view, page)


def _extra(view: View, page: str) -> dict[str, Any]:
    if page == "sql":
        return {"statements": [_statement(s) for s in statements.catalogue(view)]}
    if page == "status":
        return {"configuration": config.describe(view.agent.config)}
    return {}


def _statement(statement: statements.Statement) -> dict[str, Any]:
    data = asdict(statement)
    return data | {"metrics": list(statement.metrics)}


def _check(check: Check) -> dict[str, Any]:
    worst = check.worst
    return {
        "name": check.name,
        "page": check.page,
        "status": VERDICTS[check.state],
        "message": check.say,
        "value": worst.value if worst else None,
        "limits": list(worst.limits.values.values()) if worst else [],
        "unit": worst.limits.unit if worst else "",
        "rows": len(check.failing),
    }


# The document.

TEXT, NUMBER = {"type": "string"}, {"type": "number"}
MAYBE_NUMBER, MAYBE_TEXT = {"type": ["number", "null"]}, {"type": ["string", "null"]}
STATUS = {"status": {"type": "string", "enum": list(STATES)}, "reason": TEXT, "message": TEXT, "remedy": TEXT}
READ = {"taken_at": {**MAYBE_TEXT, "format": "date-time"}, "age_seconds": MAYBE_NUMBER, "took_seconds": NUMBER}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


READING = _object(db=TEXT, **STATUS, **READ, sql=TEXT, rows={"type": "integer"})
CHECK = _object(
    name=TEXT,
    page=TEXT,
    status={"type": "string", "enum": list(VERDICTS.values())},
    message=TEXT,
    value=MAYBE_NUMBER,
    limits=_list(NUMBER),
    unit=TEXT,
    rows={"type": "integer"},
)
SENT = _object(
    name=TEXT,
    loop=TEXT,
    what=TEXT,
    sql=TEXT,
    sent={"type": "boolean"},
    status={"type": "string", "enum": list(STATES)},
    message=TEXT,
    took_seconds=MAYBE_NUMBER,
    age_seconds=MAYBE_NUMBER,
    rows={"type": ["integer", "null"]},
    timeout=TEXT,
    metrics=_list(TEXT),
    page=TEXT,
)
ERROR = _object(error=TEXT)


def row_schema(feature: Feature[Any, Any]) -> dict[str, Any]:
    """Return what a row of a feature is; each field with its help."""
    kinds = get_type_hints(feature.row)
    fields = {
        name: {**TypeAdapter(kinds[name]).json_schema(mode="serialization"), "description": column.help}
        for name, column in columns(feature.row).items()
        if column.role != "kept"
    }
    return _object(**({"db": TEXT} if feature.scope is Scope.DATABASE else {}), **fields)


def _panel(feature: Feature[Any, Any]) -> dict[str, Any]:
    return _object(
        title=TEXT,
        what=TEXT,
        loop=TEXT,
        **STATUS,
        **READ,
        sql=TEXT,
        metrics=_list(TEXT),
        promql=_list(TEXT),
        readings=_list(READING),
        data=_list({"$ref": f"#/components/schemas/{feature.name}"}),
    )


def document(agent: Agent) -> dict[str, Any]:
    """Return the OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "pgmon", "version": __version__, "description": "What pgmon knows of a PostgreSQL server."},
        "paths": {
            **{f"/api/v1/{name}": _path(agent, page) for name, page in NAMES.items()},
            "/api/v1/alerts/{name}": _alert_path(agent),
        },
        "components": {"schemas": {f.name: row_schema(f) for f in agent.features if f.panel}},
    }


def _path(agent: Agent, page: str) -> dict[str, Any]:
    borrowed = subjects.BORROWED.get(page, ())
    listed = {f.name: _panel(f) for f in agent.features if f.panel == page or f in borrowed}
    body = _object(
        cluster=TEXT,
        page=TEXT,
        at={**TEXT, "format": "date-time"},
        database=TEXT,
        version=MAYBE_TEXT,
        role=MAYBE_TEXT,
        checks=_list(CHECK),
        # Of another role there is no panel: a primary has no standby's.
        panels={"type": "object", "properties": listed, "additionalProperties": False},
        **({"statements": _list(SENT)} if page == "sql" else {}),
        **({"configuration": {"type": "object"}} if page == "status" else {}),
    )
    failures = {code: _response(words, ERROR) for code, words in (("400", "A parameter."), ("401", "Not logged in."))}
    return {"get": {"summary": PAGES[page], "responses": {"200": _response("As it is now.", body), **failures}}}


def _alert_path(agent: Agent) -> dict[str, Any]:
    """Describe a runbook with what fired."""
    names = sorted({rule.name for feature in agent.features for rule in feature.rules})
    body = _object(cluster=TEXT, name=TEXT, meaning=TEXT, paste=TEXT, alerts=_list({"type": "object"}))
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "enum": names}}
    failures = {code: _response(words, ERROR) for code, words in (("400", "A parameter."), ("404", "No such alert."))}
    responses = {"200": _response("What it means, and when it fired.", body), **failures}
    return {"get": {"summary": "An alert", "parameters": [name], "responses": responses}}


def _response(words: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": schema}}}
