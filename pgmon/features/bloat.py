"""Space that large tables waste (pg_freespacemap, else pgstattuple, else the dead rows of the statistics).

Of indexes it is not known: a B-tree's free space map lists only pages that are entirely empty, and what its pages
hold too much is told by no statistic that pg_monitor may read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pgmon.config import Config
from pgmon.feature import Before, Feature, Look, Params, Role, Scope, Tier, detail, gauge, kept, label, row
from pgmon.relations import chosen

DEAD_SHARE = "dead_share"  # what is left for a table that pgstattuple would have to read for too long
DAY = 86400.0


@row
class Bloat:
    """Space that the largest tables waste. They take turns: a few are looked at in each refresh."""

    relation: str = label("Table, as schema.name.")
    wasted: int | None = gauge(
        "pg_table_bloat_bytes",
        "Free space in a table beyond what its fillfactor reserves, and dead rows; without its indexes and TOAST.",
        "bytes",
    )
    ratio: float | None = gauge("pg_table_bloat_ratio", "The same per byte of the table.", "ratio")
    method: str | None = detail("fsm_sample, pgstattuple_approx or dead_share (dead rows only); unset before its turn.")
    locked: bool = detail("Passed over: somebody holds, or waits for, an exclusive lock on it.")
    age: float | None = detail("Age of this estimate.", "seconds")
    vacuum_seconds: float | None = detail("Age of the last VACUUM, which free space is known from.", "seconds")
    size: int = detail("Size of the table, as of then.", "bytes")
    oid: int = kept("Its pg_class.oid.")


@row
class Method:
    """By which method the waste of each table is known."""

    relation: str = label("Table, as schema.name.")
    method: str = label("fsm_sample, pgstattuple_approx or dead_share.")
    present: int = gauge("pg_table_bloat_method_info", "1 for the method by which the waste of a table is known.")
    estimate: Bloat = kept("The estimate.")


def turns(look: Look) -> Params:
    """Return the tables, and whom the statement is to look at last: the latest estimates stand at the end."""
    known = [b for b in look(BLOAT) if b.age is not None]
    return {**chosen(look), "seen": [b.oid for b in sorted(known, key=lambda b: -(b.age or 0.0))]}


def estimates(now: Sequence[Bloat], before: Before[Bloat, Bloat] | None, config: Config) -> list[Bloat]:
    """Return all candidates, with the last estimate of those whose turn it was not, or that are locked."""
    prior = {b.oid: b for b in before.rows} if before else {}
    return [_latest(b, prior.get(b.oid), before.elapsed if before else 0.0) for b in now]


def _latest(now: Bloat, last: Bloat | None, elapsed: float) -> Bloat:
    """Return the estimate just made; where there is none, or only the dead rows are known now, the last one."""
    if last is None or last.age is None:
        return now
    age = last.age + elapsed
    poorer = now.method == DEAD_SHARE != last.method and age < DAY
    if now.method and not poorer:
        return now
    return replace(now, wasted=last.wasted, ratio=last.ratio, method=last.method, age=age)


def methods(now: Sequence[Bloat], before: Before[Bloat, Method] | None, config: Config) -> list[Method]:
    """Say of each estimate how it was made."""
    prior = Before(before.raw, [m.estimate for m in before.rows], before.elapsed) if before else None
    return [Method(b.relation, b.method, 1, b) for b in estimates(now, prior, config) if b.method]


BLOAT = Feature(
    "bloat",
    Tier.HOURLY,
    Bloat,
    Bloat,
    estimates,
    scope=Scope.DATABASE,
    role=Role.PRIMARY,  # a standby's free space map is not kept up to date
    ask=turns,
    panel="storage",
)
BLOAT_METHODS = Feature(
    "bloat_methods",
    Tier.HOURLY,
    Bloat,
    Method,
    methods,
    scope=Scope.DATABASE,
    role=Role.PRIMARY,
    of=BLOAT,
    panel="storage",
)
