"""Tables: their rows, their way to the next autovacuum, their sizes (pg_stat_get_*(), pg_table_size)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pgmon.config import Config
from pgmon.feature import Before, Feature, Role, Scope, Tier, detail, feature, gauge, kept, label, row
from pgmon.rates import sticky
from pgmon.relations import RELATIONS, Table, measured
from pgmon.rule import Is, Over, Rule


@row
class Tuples:
    """Rows of the tables that have most dead ones, or are most in need of autovacuum."""

    relation: str = label("Table, as schema.name.")
    dead: int = gauge("pg_table_dead_tuples", "Estimated dead rows of a table.")
    pct_dead: float = gauge("pg_table_pct_dead", "Share of dead rows in all rows of a table, 0 to 100.")
    dead_ratio: float = gauge("pg_table_dead_ratio", "Share of dead rows in all rows of a table, 0 to 1.", "ratio")
    live: int = gauge("pg_table_live_tuples", "Estimated live rows of a table.")
    vacuumed_seconds: float | None = detail("Age of the last VACUUM, by whom ever.", "seconds")
    kept_by: str = detail("Who keeps the dead rows of before that VACUUM, so that it removed none.")


@row
class HeldBack:
    """The oldest xid that something holds in a database: VACUUM removes no row that died after it."""

    seconds: float = gauge(
        "pg_xmin_held_seconds", "For how long the oldest xid held in a database is seen to be the same.", "seconds"
    )
    tables_due: int = gauge("pg_autovacuum_tables_due", "Tables that autovacuum should visit for their dead rows.")
    holder: str = detail("Who holds it.")
    pid: int | None = detail("Process id of a session.")
    xid: int | None = kept("The xid.")


@row
class Due:
    """How far tables, with their TOAST tables, are on the way to what autovacuum does to them next."""

    reason: str = label("dead, insert (from 13 on), freeze and multixact lead to a VACUUM, analyze to an ANALYZE.")
    relation: str = label("Table, as schema.name.")  # last: it gets the suffix where two names become equal
    factor: float = gauge(
        "pg_autovacuum_due_factor",
        "What autovacuum compares, divided by the table's own threshold: above 1 the table is due. "
        "Absent where autovacuum does not look at it.",
    )
    overdue_seconds: float = gauge(
        "pg_autovacuum_overdue_seconds",
        "For how long a table is seen to be due without anybody vacuuming, or analyzing, it.",
        "seconds",
    )


@row
class Measured:
    """What one table takes on disk, or all partitions of one."""

    relkind: str = label("r for a table, m for a materialized view, p for a partitioned table.")
    relation: str = label("Table, as schema.name.")
    bytes: int | None = detail("Its size; of a partitioned table that of the partitions that were measured.", "bytes")
    toast_bytes: int | None = detail("What of it is TOAST; not told of a partitioned table.", "bytes")
    index_bytes: int | None = detail(
        "Size of its indexes; not told of a partitioned table, and of a locked index.", "bytes"
    )
    estimated_bytes: int = detail("Size by the catalogue; of a partitioned table that of the other ones.", "bytes")
    locked: bool = detail("It is locked ACCESS EXCLUSIVE, or somebody waits for such a lock.")


@row
class Size:
    """The largest tables and materialized views, with TOAST and maps, without indexes."""

    relkind: str = label("r for a table, m for a materialized view.")
    relation: str = label("Table, as schema.name.")  # last: it gets the suffix where two names become equal
    bytes: int = gauge("pg_relation_size_bytes", "Size of a table with TOAST and maps, without indexes.", "bytes")
    heap_bytes: int | None = detail("Size of its rows, without TOAST.", "bytes")
    toast_bytes: int | None = detail("Size of its TOAST table, with that one's index.", "bytes")
    index_bytes: int | None = detail("Size of its indexes; as last measured while one of them is locked.", "bytes")
    how: str = detail("Measured: exact; locked: as last measured; locked and never measured: estimated.")


@row
class PartitionedSize:
    """The largest partitioned tables: apart, as their partitions are tables too."""

    relation: str = label("Partitioned table, as schema.name.")
    bytes: int = gauge("pg_partitioned_size_bytes", "Size of all partitions of a table, without indexes.", "bytes")
    how: str = detail("All partitions measured: exact; the smaller ones by the catalogue: estimated.")


@row
class DatabaseSize:
    """How large the database is on disk."""

    bytes: int = gauge("pg_database_size_bytes", "Size of a database, with all that is in it.", "bytes")


def tuples(now: Sequence[Table], before: Before[Table, Tuples] | None, config: Config) -> list[Tuples]:
    """Return the tables with most dead rows and the most due ones; who is among them stays for a while."""
    members, alerts = {t.relation for t in before.rows} if before else set(), config.alerts
    chosen = sticky(
        now,
        lambda t: t.relation,
        (lambda t: t.dead, lambda t: t.most_due),
        members,
        config.limits.top_relations,
        lambda t: 100 * ratio(t) > alerts.dead_tuples_pct and t.dead > alerts.dead_tuples_min,
    )
    return [Tuples(t.relation, t.dead, 100 * ratio(t), ratio(t), t.live, t.vacuumed_seconds, t.kept_by) for t in chosen]


def ratio(t: Table) -> float:
    """Return the share of dead rows in all rows; of no rows none are dead."""
    return t.dead / (t.live + t.dead) if t.dead else 0.0


def held_back(now: Sequence[Table], before: Before[Table, HeldBack] | None, config: Config) -> list[HeldBack]:
    """Say who holds back a database's VACUUM, and for how long; without a table nothing is held back."""
    if not now:
        return []
    t, due = now[0], sum((t.dead_due or 0) > 1 for t in now)
    prior = before.rows[0] if before and before.rows else None
    seconds = 0.0
    if before and prior and prior.xid == t.held_xid is not None:
        seconds = prior.seconds + before.elapsed
    return [HeldBack(seconds, due, t.holder or "", t.holder_pid, t.held_xid)]


def due(now: Sequence[Table], before: Before[Table, Due] | None, config: Config) -> list[Due]:
    """Return the most due tables, by reason; who is among them stays for a while."""
    prior = {(d.relation, d.reason): d for d in before.rows} if before else {}
    members = {relation for relation, _ in prior}
    chosen = sticky(now, lambda t: t.relation, (lambda t: t.most_due,), members, config.limits.top_relations)
    elapsed = before.elapsed if before else 0.0
    return [
        Due(reason, t.relation, factor, overdue(t, reason, prior.get((t.relation, reason)), elapsed))
        for t in chosen
        for reason, factor in t.due.items()
    ]


def overdue(t: Table, reason: str, prior: Due | None, elapsed: float) -> float:
    """Return for how long a table has been seen to be due, and nobody came."""
    if t.due[reason] <= 1 or prior is None or prior.factor <= 1:
        return 0.0
    done = t.analyzed_seconds if reason == "analyze" else t.vacuumed_seconds
    return 0.0 if done is not None and done < elapsed else prior.overdue_seconds + elapsed


def sizes(now: Sequence[Measured], before: Before[Measured, Size] | None, config: Config) -> list[Size]:
    """Return the largest tables; who is among them stays for a while, and what is locked stays as large as it was."""
    prior = {s.relation: s for s in before.rows} if before else {}
    found = [size(m, prior.get(m.relation)) for m in now if m.relkind != "p" and (m.locked or m.bytes is not None)]
    return sticky(found, lambda s: s.relation, (lambda s: s.bytes,), prior, config.limits.top_relations)


def size(m: Measured, prior: Size | None) -> Size:
    """Return a table's size, measured now or earlier."""
    if m.bytes is not None:
        heap = None if m.toast_bytes is None else m.bytes - m.toast_bytes
        indexes = prior.index_bytes if prior and m.index_bytes is None else m.index_bytes  # one of them is locked
        return Size(m.relkind, m.relation, m.bytes, heap, m.toast_bytes, indexes, "exact")
    if prior is None or prior.how == "estimated":
        return Size(m.relkind, m.relation, m.estimated_bytes, None, None, None, "estimated")
    return replace(prior, how="locked")


def partitioned(
    now: Sequence[Measured], before: Before[Measured, PartitionedSize] | None, config: Config
) -> list[PartitionedSize]:
    """Return the largest partitioned tables; who is among them stays for a while."""
    found = [
        PartitionedSize(m.relation, (m.bytes or 0) + m.estimated_bytes, "estimated" if m.estimated_bytes else "exact")
        for m in now
        if m.relkind == "p"
    ]
    members = {s.relation for s in before.rows} if before else set()
    return sticky(found, lambda s: s.relation, (lambda s: s.bytes,), members, config.limits.top_relations)


DEAD = Rule(
    "DeadTuples",
    (Over("pct_dead", "dead_tuples_pct"), Over("dead", "dead_tuples_min")),
    600.0,
    "{relation}: {pct_dead:.0f}% (~{dead} rows){kept_by:, kept by }",
)
BEHIND = Rule(
    "DeadTuples",
    # A small table that is always being updated is far beyond its threshold whenever autovacuum comes, once a minute.
    (Is("reason", ("dead",)), Over("factor", 2), Over("overdue_seconds", 0)),
    600.0,
    "{relation}: {factor:.1f} times the dead rows at which autovacuum comes, and nobody came",
)
STARVED = Rule(
    "AutovacuumStarvation",
    (Over("factor", 1), Over("overdue_seconds", "autovacuum_starved_s")),
    0.0,
    "{relation}: due ({reason}, {factor:.1f} times its threshold) for {overdue_seconds:duration}, and nobody came",
)

HELD = Rule(
    "XminHeld",
    (Over("seconds", "xmin_held_s"), Over("tables_due", 0)),
    300.0,
    "{holder} holds xmin for {seconds:duration}: VACUUM can clean none of the {tables_due} tables that are due",
    pids=("pid",),
)

# On a standby all table statistics are zero.
TUPLES = Feature(
    "tuples",
    Tier.STORAGE,
    Table,
    Tuples,
    tuples,
    scope=Scope.DATABASE,
    role=Role.PRIMARY,
    of=RELATIONS,
    panel="autovacuum",
    rules=(DEAD,),
)
HELD_BACK = Feature(
    "held_back",
    Tier.STORAGE,
    Table,
    HeldBack,
    held_back,
    scope=Scope.DATABASE,
    role=Role.PRIMARY,
    of=RELATIONS,
    panel="autovacuum",
    rules=(HELD,),
)
DUE = Feature(
    "autovacuum_due",
    Tier.STORAGE,
    Table,
    Due,
    due,
    scope=Scope.DATABASE,
    role=Role.PRIMARY,
    of=RELATIONS,
    panel="autovacuum",
    rules=(BEHIND, STARVED),
)
SIZES = Feature("sizes", Tier.STORAGE, Measured, Size, sizes, scope=Scope.DATABASE, ask=measured, panel="storage")
PARTITIONED_SIZES = Feature(
    "partitioned_sizes",
    Tier.STORAGE,
    Measured,
    PartitionedSize,
    partitioned,
    scope=Scope.DATABASE,
    of=SIZES,
    panel="storage",
)
DATABASE_SIZE = feature("database_size", Tier.STORAGE, DatabaseSize, scope=Scope.DATABASE, panel="storage")
