"""Indexes: their sizes and scans, and those that could go or are broken (pg_index, pg_stat_get_numscans)."""

from __future__ import annotations

from collections.abc import Sequence

from pgmon.config import Config
from pgmon.feature import Before, Feature, Scope, Tier, counter, detail, gauge, kept, label, row
from pgmon.rates import sticky
from pgmon.relations import measured
from pgmon.rule import Over, Rule

DAY = 86400.0


@row
class Found:
    """What the catalogue, the statistics and the disk say of an index."""

    index: str = label("Index, as schema.name.")
    relation: str = detail("Its table, as schema.name.")
    bytes: int | None = detail("Its size; absent when it is locked, or partitioned.", "bytes")
    estimated_bytes: int = detail("Size by the catalogue.", "bytes")
    locked: bool = detail("It or its table is locked ACCESS EXCLUSIVE, or somebody waits for such a lock.")
    scans: int = detail("Scans since the statistics were reset.")
    family_scans: int = detail("Scans of all partitions of the index that it is a partition of, else its own.")
    last_scan_seconds: float | None = detail("Age of the last one of these (from 16 on).", "seconds")
    droppable: bool = detail("It is not unique, no primary key, no exclusion and no replica identity.")
    invalid: bool = detail("Its build failed, and it is not being built.")
    beside: str | None = detail("Another index of the table that does all that it does.")
    evidence_seconds: float | None = detail("Since when scans are counted; absent on a standby.", "seconds")


@row
class Index:
    """The largest indexes, and how often they were scanned."""

    index: str = label("Index, as schema.name.")
    bytes: int = gauge("pg_index_size_bytes", "Size of an index.", "bytes")
    scans: int = counter("pg_index_scans_total", "Scans of an index on this server since the statistics were reset.")
    relation: str = detail("Its table, as schema.name.")
    how: str = detail("Measured: exact; locked: as last measured; locked and never measured: estimated.")


@row
class Verdict:
    """Indexes that could go or are broken, then the largest others."""

    index: str = label("Index, as schema.name.")
    unused: int | None = gauge(
        "pg_index_unused",
        "1 for an index that nothing needs and nobody scanned for alerts.unused_index_days, larger than "
        "alerts.unused_index_min_bytes. Standbys are not looked at; absent on one.",
    )
    unused_bytes: int | None = gauge("pg_index_unused_bytes", "Size of an index if it is unused, else 0.", "bytes")
    invalid: int = gauge("pg_index_invalid", "1 for an index whose build failed.")
    duplicate: int = gauge(
        "pg_index_duplicate", "1 for an index that does nothing that another one, the same or a longer, does not do."
    )
    relation: str = detail("Its table, as schema.name.")
    beside: str = detail("The other index.")
    idle_seconds: float | None = detail("For how long it is known not to have been scanned.", "seconds")
    size_bytes: int = detail("Its size.", "bytes")
    family_scans: int = kept("Scans so far, of all partitions of the index that it is a partition of.")


def indexes(now: Sequence[Found], before: Before[Found, Index] | None, config: Config) -> list[Index]:
    """Return the largest; who is among them stays for a while, and what is locked stays as large as it was."""
    prior = {i.index: i for i in before.rows} if before else {}
    found = [index(f, prior.get(f.index)) for f in now if f.locked or f.bytes is not None]
    return sticky(found, lambda i: i.index, (lambda i: i.bytes,), prior, config.limits.top_indexes)


def index(f: Found, prior: Index | None) -> Index:
    """Return an index with its size, measured now or earlier."""
    if f.bytes is not None:
        return Index(f.index, f.bytes, f.scans, f.relation, "exact")
    if prior is None or prior.how == "estimated":
        return Index(f.index, f.estimated_bytes, f.scans, f.relation, "estimated")
    return Index(f.index, prior.bytes, f.scans, f.relation, "locked")


def verdicts(now: Sequence[Found], before: Before[Found, Verdict] | None, config: Config) -> list[Verdict]:
    """Return those that could go or are broken, then those that may turn out so: the evidence of who leaves is lost."""
    prior = {v.index: v for v in before.rows} if before else {}
    elapsed = before.elapsed if before else 0.0
    droppable = {f.index for f in now if f.droppable}
    found = [verdict(f, prior.get(f.index), elapsed, config) for f in now]
    orders = (lambda v: (v.index in droppable) * v.size_bytes, lambda v: v.size_bytes)
    return sticky(
        found,
        lambda v: v.index,
        orders,
        prior,
        config.limits.top_indexes,
        lambda v: bool(v.unused or v.invalid or v.duplicate),
    )


def verdict(f: Found, prior: Verdict | None, elapsed: float, config: Config) -> Verdict:
    """Judge one index."""
    alerts, size = config.alerts, f.estimated_bytes if f.bytes is None else f.bytes
    still = idle(f, prior, elapsed)
    unused = None
    if still is not None:
        long = still >= alerts.unused_index_days * DAY
        never = f.family_scans == 0  # all that 0 days can ask for
        unused = int(f.droppable and long and size > alerts.unused_index_min_bytes and (never or still >= DAY))
    return Verdict(
        index=f.index,
        unused=unused,
        unused_bytes=None if unused is None else unused * size,
        invalid=int(f.invalid),
        duplicate=int(f.beside is not None),
        relation=f.relation,
        beside=f.beside or "",
        idle_seconds=still,
        size_bytes=size,
        family_scans=f.family_scans,
    )


def idle(f: Found, prior: Verdict | None, elapsed: float) -> float | None:
    """Return for how long an index is known not to have been scanned; None on a standby.

    Where the server does not know when it was scanned last, that is as long as we look, and as scans are counted.
    """
    if f.evidence_seconds is None:
        return None
    if f.last_scan_seconds is not None:
        return f.last_scan_seconds
    if prior is None or prior.idle_seconds is None or prior.family_scans != f.family_scans:
        return 0.0
    return min(prior.idle_seconds + elapsed, f.evidence_seconds)


UNUSED = Rule(
    "UnusedIndexes",
    (Over("unused", 0), Over("unused_bytes", "unused_index_min_bytes")),
    0.0,
    "{index} of {relation}: {unused_bytes:bytes}, not scanned for {idle_seconds:duration} (standbys not seen)",
    advisory=True,
)

INDEXES = Feature("indexes", Tier.STORAGE, Found, Index, indexes, scope=Scope.DATABASE, ask=measured, panel="storage")
INDEX_VERDICTS = Feature(
    "index_verdicts",
    Tier.STORAGE,
    Found,
    Verdict,
    verdicts,
    scope=Scope.DATABASE,
    of=INDEXES,
    panel="storage",
    rules=(UNUSED,),
)
