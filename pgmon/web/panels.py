"""A panel as data: what its page and its JSON twin both show."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pgmon.agent import Agent
from pgmon.feature import Feature, Tier, columns
from pgmon.snapshot import Reading, Snapshot


def names(agent: Agent) -> list[str]:
    """Return the panels there are, in the order of their first feature."""
    return list(dict.fromkeys(f.panel for f in agent.features if f.panel))


def panel(agent: Agent, name: str) -> list[dict[str, Any]]:
    """Return the parts of a panel: one per feature and database, with the statement that was sent.

    A part: feature, db, title, what, status, message, sql, taken_at, age_seconds, took_seconds, columns, data.
    """
    snapshots = {tier: cache.latest for tier, cache in agent.caches.items()}
    snapshots[Tier.AGENT] = agent.own.read()
    features = [f for f in agent.features if f.panel == name]
    return [_part(agent, reading) for f in features for reading in _readings(f, snapshots[f.tier])]


def _readings(feature: Feature[Any, Any], snapshot: Snapshot | None) -> list[Reading]:
    found = [r for r in snapshot.readings.values() if r.feature is feature] if snapshot else []
    return found or [Reading(feature, "", message="not read yet")]


def _part(agent: Agent, reading: Reading) -> dict[str, Any]:
    """Return one reading for people: what is too old to be exported is said to be stale."""
    feature, now = reading.feature, agent.clock.monotonic()
    age = None if reading.taken is None else now - reading.taken
    shown = {name: column for name, column in columns(feature.row).items() if column.role != "kept"}
    return {
        "feature": feature.name,
        "db": reading.db or agent.door.home,
        "title": feature.name.replace("_", " ").capitalize(),
        "what": (feature.row.__doc__ or "").strip(),
        "status": _status(agent, reading, now),
        "message": reading.message,
        "sql": reading.sql,
        "taken_at": None if age is None else datetime.fromtimestamp(agent.clock.wall() - age, UTC).isoformat(),
        "age_seconds": age,
        "took_seconds": reading.seconds,
        "columns": [{"name": n, "help": c.help, "unit": c.unit, "metric": c.metric or None} for n, c in shown.items()],
        "data": [{name: getattr(row, name) for name in shown} for row in reading.rows],
    }


def _status(agent: Agent, reading: Reading, now: float) -> str:
    if reading.failure:
        return str(reading.failure)
    if reading.taken is None:
        return "loading"
    cadence = agent.cadences.get(reading.feature.tier)
    return "stale" if cadence and not reading.alive(now, cadence.max_stale) else "ok"
