"""The state of a panel in words: what is the matter, since when, what it costs, what to run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pgmon.errors import Kind
from pgmon.feature import columns
from pgmon.remedy import remedy
from pgmon.snapshot import Reading
from pgmon.web.units import age, duration
from pgmon.web.view import View
from pgmon.web.words import title

NAMED = 5  # databases named where some could not be read
STATEMENT = re.compile(r"(?:GRANT|CREATE|ALTER|REVOKE) .+")

OF_KIND = {
    Kind.UNSUPPORTED: "unsupported",
    Kind.MISSING: "degraded",
    Kind.DENIED: "degraded",
    Kind.SKIPPED: "stale",
    Kind.WAITING: "stale",
    Kind.REFUSED: "error",
}
WORDS = {
    "stale": "Stale",
    "error": "Error",
    "degraded": "Degraded",
    "partial": "Partial",
    "loading": "Loading",
    "unsupported": "Unsupported",
    "empty": "None",
}


@dataclass(frozen=True, slots=True)
class State:
    """One of fresh, stale, error, degraded, unsupported, empty, loading and partial; why, and what to run."""

    name: str
    reason: str = ""  # the kind of failure
    text: str = ""
    code: str = ""  # a statement that cures it
    progress: float | None = None  # percent, of a first reading

    @property
    def word(self) -> str:
        """The word beside the icon."""
        return WORDS.get(self.name, "")


def of_reading(view: View, reading: Reading) -> State:
    """Return the state of a feature in one database."""
    if reading.failure:
        return _failed(view, reading, reading.failure)
    if reading.taken is None:
        return _loading(view, reading)
    if view.is_late(reading):
        return State("stale", "stale", _why_stale(view, reading))
    marked = [doubt for row in reading.rows if (doubt := why_unread(row))]
    return _partial(reading, marked) if marked else State("fresh" if reading.rows else "empty")


def why_unread(row: Any) -> str:
    """Return why a row could not be read itself, as its marks tell; '' where it was."""
    names = (name for name, column in columns(type(row)).items() if column.role == "mark")
    return next((reason for name in names if (reason := getattr(row, name))), "")


def _partial(reading: Reading, marked: Sequence[str]) -> State:
    why = Counter(reason.partition(":")[0] for reason in marked)
    words = ", ".join(f"{n} {reason}" for reason, n in why.items())
    cures = dict.fromkeys(f"{found[0]};" for reason in marked if (found := STATEMENT.search(reason)))
    text = f"{len(marked)} of {len(reading.rows)} {title(reading.feature.name).lower()} cannot be read: {words}."
    return State("partial", "unread", text, "\n".join(list(cures)[:NAMED]))


def of_readings(view: View, readings: Sequence[Reading]) -> State:
    """Return the state of a feature in all databases."""
    states = [of_reading(view, r) for r in readings]
    bad = [(r, s) for r, s in zip(readings, states, strict=True) if s.name not in ("fresh", "empty")]
    if not bad:
        return State("fresh" if any(r.rows for r in readings) else "empty")
    state = bad[0][1]
    if len(readings) == 1 or len({s.name for s in states}) == 1:
        return state
    dbs = ", ".join(r.db for r, _ in bad[:NAMED]) + (" …" if len(bad) > NAMED else "")
    text = f"{len(bad)} of {len(readings)} databases are not up to date ({dbs}). {state.text}"
    return State("partial", state.reason, text, state.code)


def _failed(view: View, reading: Reading, kind: Kind) -> State:
    name = OF_KIND.get(kind, "error")
    if name == "stale" and reading.taken is None:
        name = "loading"
    words, code = _cure(view, reading, kind)
    parts = [_sentence(words)]
    if name == "unsupported":
        parts.append("Nothing to do: the other panels do not depend on it.")
    elif name == "error":
        times = f" It failed {reading.failures} times in a row." if reading.failures > 1 else ""
        parts.append(f"{times} {_next(view, reading)}".strip())
    if reading.taken is not None:
        parts.append(f"Below is the reading of {view.time(reading.taken):%H:%M:%S} UTC.")
    return State(name, str(kind), " ".join(parts), code)


def _cure(view: View, reading: Reading, kind: Kind) -> tuple[str, str]:
    """Return why, and the statement that cures it; what is no statement is said with the why."""
    role = view.facts.role if view.facts else ""
    cure = remedy(kind, reading.message, role, reading.feature.tier)
    found = STATEMENT.search(reading.message)
    if found:  # the message itself ends with the statement
        return reading.message[: found.start()].rstrip(": "), f"{found[0].rstrip(';.')};"
    if STATEMENT.fullmatch(cure):
        return reading.message, f"{cure};"
    return f"{reading.message}. {_sentence(cure)}" if cure else reading.message, ""


def _loading(view: View, reading: Reading) -> State:
    cadence = view.agent.cadences.get(reading.feature.tier)
    if cadence is None:
        return State("loading", "loading", "Not made yet.")
    text = f"The first reading is under way; it may take {duration(cadence.budget)}. This page retries by itself."
    return State("loading", "loading", text, progress=0.0)


def _why_stale(view: View, reading: Reading) -> str:
    tier = reading.feature.tier
    cadence, snapshot = view.agent.cadences[tier], view.snapshots[tier]
    read = f"Read {age(view.age(reading) or 0)}, due every {duration(cadence.ttl)}."
    if snapshot and snapshot.seconds > cadence.budget:
        why = f"The {tier} loop ran over its budget of {duration(cadence.budget)}."
    else:
        why = f"The {tier} loop has not come back since."
    return f"{read} {why} {_next(view, reading)}"


def _next(view: View, reading: Reading) -> str:
    left = reading.due - view.now
    return f"Next try in {duration(round(left))}." if left >= 1 else "The next try is due now."


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."
