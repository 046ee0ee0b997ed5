"""Whether the agent lives, is ready, and is well. None of these asks the database."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, current_app

blueprint = Blueprint("health", __name__)


@blueprint.get("/livez")
def livez() -> str:
    """The process answers. A database that is down must not get the agent killed."""
    return "ok\n"


@blueprint.get("/readyz")
def readyz() -> tuple[dict[str, Any], int]:
    """503 until the server was reached and the guard let us ask."""
    agent = current_app.extensions["pgmon"]
    ready = agent.own.is_up(agent.clock.monotonic()) and agent.guard.findings is not None
    return {"ready": ready}, 200 if ready else 503


@blueprint.get("/healthz")
def healthz() -> tuple[dict[str, Any], int]:
    """Status, database, loops on schedule, guard: 503 when one of them is failing."""
    health = current_app.extensions["pgmon"].health()
    return health, 503 if health["status"] == "failing" else 200
