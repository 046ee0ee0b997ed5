"""What `pgmon check` finds, as data and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pgmon import sqlfiles
from pgmon.agent import GRACE, QUICK, TIERS, Agent
from pgmon.errors import GuardError, Kind, QueryError, StartError
from pgmon.facts import Facts
from pgmon.feature import Tier, columns
from pgmon.findings import SEVERITIES, Finding
from pgmon.guard import ADVICE, SHOWN
from pgmon.redact import plain
from pgmon.remedy import remedy

WIDTH = 60  # characters of a cell
UNSHIELDED = "a pooler drops what pgmon sets at the start of a session; name PostgreSQL's own address in the DSN"
CURE = 5000  # … and of a cure, which may name many routines


def judged(agent: Agent) -> Facts:
    """Connect, judge the role, and return what the server is.

    Raises StartError when there is no connection or no pg_monitor, GuardError when the role could not be judged.
    """
    try:
        facts = agent.door.facts("", Tier.HOT_PATH, agent.clock.monotonic() + GRACE)
    except QueryError as exc:
        raise StartError(_with_cure(exc.kind, str(exc), "", Tier.HOT_PATH)) from None
    if not facts.monitors:
        raise StartError(f'the role lacks pg_monitor: GRANT pg_monitor TO "{facts.role}"')
    try:
        agent.guard.judge(facts)
    except QueryError as exc:
        raise GuardError(f"{exc.kind}: {exc}") from None
    return facts


def report(agent: Agent) -> dict[str, Any]:
    """Return what was found, and what would run. Raises StartError, GuardError."""
    facts = judged(agent)
    failures = {} if agent.guard.is_refused else _failures(agent, facts.role)
    return {
        "configuration": "ok",
        "server": {
            "version": ".".join(map(str, facts.version)),
            "state": "standby" if facts.in_recovery else "primary",
            "role": facts.role,
            "shielded": facts.shielded,
        },
        "databases": agent.chosen(facts.databases),
        "privileges": agent.guard.state,
        "findings": [{name: getattr(f, name) for name in columns(Finding)} for f in agent.guard.findings or ()],
        "not_judged": [{"database": db, "reason": reason} for db, reason in agent.guard.unknown.items()],
        "plan": [
            {"loop": f.tier, "feature": f.name, "verdict": _verdict(f.name, facts, failures)}
            for tier in TIERS
            for f in agent.features
            if f.tier is tier and f.of is None
        ],
    }


def _verdict(name: str, facts: Facts, failures: Mapping[str, str]) -> str:
    expected = verdict(name, facts)
    return failures.get(name, expected) if expected == "ok" else expected


def _failures(agent: Agent, role: str) -> dict[str, str]:
    """Read the quick loops once; return why features could not be read, and what helps.

    The slow loops may take a minute, and fail for the same reasons.
    """
    snapshots = [agent.flight(tier)(None) for tier in QUICK]
    failed = [(r, r.failure) for s in snapshots for r in s.readings.values() if r.failure]
    return {
        r.feature.name: _with_cure(kind, r.message, role, r.feature.tier)
        for r, kind in failed
        if kind not in (Kind.SKIPPED, Kind.WAITING)  # its turn comes
    }


def _with_cure(kind: Kind, message: str, role: str, tier: Tier) -> str:
    cure = remedy(kind, message, role, tier)
    return f"{kind}: {message}" + (f"; {cure}" if cure else "")


def verdict(name: str, facts: Facts) -> str:
    """Return 'ok', or why a statement would not run on that server."""
    try:
        sqlfiles.usable(name, facts)
    except QueryError as exc:
        return f"{exc.kind}: {exc}"
    return "ok"


def text(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a report for people."""
    server = found["server"]
    yield f"PostgreSQL {server['version']}, {server['state']}, as {plain(server['role'])}"
    if not server["shielded"]:
        yield f"not read-only by itself: {UNSHIELDED}"
    yield f"databases: {', '.join(map(plain, found['databases']))}"
    yield f"privileges: {found['privileges']}"
    yield from _table(found["findings"])
    for each in found["not_judged"]:
        yield f"not judged: database {plain(each['database'])}: {each['reason']}"
    if any(f["severity"] == "refuse" for f in found["findings"]):
        yield f"Run each cure in its database, as a superuser or the owner, {ADVICE}"
    for each in found["plan"]:
        yield f"{each['loop']:9} {each['feature']:16} {each['verdict']}"


def _table(findings: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Yield findings as a table, of each severity the first, each with its cure below."""
    shown = [f for s in SEVERITIES for f in [f for f in findings if f["severity"] == s][:SHOWN]]
    rows = [[plain(f[name], WIDTH) or "-" for name in ("severity", "database", "object", "what")] for f in shown]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for f, cells in zip(shown, rows, strict=True):
        yield "  " + "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()
        if f["cure"]:
            yield f"          {plain(f['cure'], CURE)};"
    for severity, n in Counter(f["severity"] for f in findings).items():
        if n > SHOWN:
            yield f"  … and {n - SHOWN} more to {severity}"
