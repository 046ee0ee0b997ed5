"""The catalogue of statements: all that may be sent to this server, and what became of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pgmon import sqlfiles
from pgmon.errors import QueryError
from pgmon.feature import Feature, Tier
from pgmon.web import states
from pgmon.web.panels import feeds
from pgmon.web.units import age, duration
from pgmon.web.view import View

# Sent beside those of the features: what each says comes first in its file.
OF_THE_DOOR = {
    "facts": "What the server is; the first statement of every refresh, in every database.",
    "session": "The limits of a loop, set when a session changes loops.",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of the catalogue."""

    name: str
    loop: str
    what: str
    sql: str  # as sent; before that as it would be sent, its parameters unfilled
    sent: bool
    status: str
    message: str
    took_seconds: float | None
    age_seconds: float | None
    rows: int | None
    timeout: str
    metrics: Sequence[str]
    page: str

    @property
    def took(self) -> str:
        """How long it took, in words."""
        return "–" if self.took_seconds is None else duration(self.took_seconds)

    @property
    def age(self) -> str:
        """How long ago it was read, in words."""
        return "–" if self.age_seconds is None else age(self.age_seconds)


def catalogue(view: View) -> list[Statement]:
    """Return every statement: the door's own, then those of the features."""
    return [*_of_the_door(), *(_of_feature(view, f) for f in view.agent.features if _has_statement(f))]


def _has_statement(feature: Feature[Any, Any]) -> bool:
    return feature.of is None and feature.tier is not Tier.AGENT


def _of_the_door() -> Iterator[Statement]:
    for name, what in OF_THE_DOOR.items():
        text = sqlfiles.variants(name)[0].text
        yield Statement(name, "every loop", what, text, False, "fresh", "", None, None, None, "", (), "")


def _of_feature(view: View, feature: Feature[Any, Any]) -> Statement:
    readings = view.readings(feature)
    state = states.of_readings(view, readings)
    taken = [r for r in readings if r.taken is not None]
    sent = next((r.sql for r in readings if r.sql), "")
    bad = state.name not in ("fresh", "empty")
    return Statement(
        name=feature.name,
        loop=feature.tier.replace("_", " "),
        what=(feature.row.__doc__ or "").strip(),
        sql=sent or _would_be(view, feature),
        sent=bool(sent),
        status=state.name,
        message=state.text if bad else "",
        took_seconds=sum(r.seconds for r in taken) if sent else None,
        age_seconds=max((view.now - (r.taken or 0.0) for r in taken), default=None),
        rows=sum(len(r.rows) for r in taken) if taken else None,
        timeout=duration(view.agent.cadences[feature.tier].budget),
        metrics=feeds(view, feature),
        page=feature.panel,
    )


def _would_be(view: View, feature: Feature[Any, Any]) -> str:
    """Return the text for this server with its parameters unfilled; '' where none would be sent."""
    if view.facts is None:
        return ""
    try:
        return sqlfiles.usable(feature.name, view.facts)
    except QueryError:
        return ""
