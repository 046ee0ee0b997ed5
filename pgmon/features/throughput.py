"""Transactions, rows, blocks and sessions of each database (pg_stat_database)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pgmon.config import Config
from pgmon.feature import Before, Feature, Tier, counter, detail, gauge, kept, label, row
from pgmon.rates import Trail, followed, increase, per_second
from pgmon.rule import Over, Rule

WINDOW = 600.0  # seconds in which deadlocks are counted

# In xact_commit, on 12 to 18: one to look up its database, one to restore the leader's state (ParallelWorkerMain).
COMMITS_OF_A_WORKER = 2


@row
class Throughput:
    """What each database does; '-shared-' stands for the catalogues that all have in common."""

    db: str = label("Database, or '-shared-'.")
    tps: float | None = gauge(
        "pg_tps",
        "Transactions per second since the previous reading, committed or not; before 18 each parallel worker counts "
        "as two, as the server has it.",
    )
    xact_commit: int = counter("pg_xact_commit_total", "Transactions committed.")
    xact_rollback: int = counter("pg_xact_rollback_total", "Transactions rolled back.")
    blks_hit: int = counter("pg_blks_hit_total", "Blocks found in the shared buffers.")
    blks_read: int = counter("pg_blks_read_total", "Blocks read from outside the shared buffers.")
    temp_bytes: int = counter("pg_temp_bytes_total", "Temporary files written, counted when a file is closed.", "bytes")
    temp_files: int = counter("pg_temp_files_total", "Temporary files written, counted when a file is closed.")
    deadlocks: int = counter("pg_deadlocks_total", "Deadlocks.")
    conflicts: int = counter("pg_conflicts_total", "Statements cancelled for a conflict with recovery.")
    checksum_failures: int | None = counter(
        "pg_checksum_failures_total", "Pages whose checksum was wrong; absent where checksums are off."
    )
    tup_returned: int = counter("pg_tup_returned_total", "Rows read by scans.")
    tup_fetched: int = counter("pg_tup_fetched_total", "Rows fetched by index scans.")
    tup_inserted: int = counter("pg_tup_inserted_total", "Rows inserted.")
    tup_updated: int = counter("pg_tup_updated_total", "Rows updated.")
    tup_deleted: int = counter("pg_tup_deleted_total", "Rows deleted.")
    blk_read_seconds: float = counter(
        "pg_blk_read_seconds_total", "Time spent reading blocks; 0 without track_io_timing.", "seconds"
    )
    blk_write_seconds: float = counter(
        "pg_blk_write_seconds_total", "Time spent writing blocks; 0 without track_io_timing.", "seconds"
    )
    session_seconds: float | None = counter("pg_session_seconds_total", "Time that sessions lasted (14+).", "seconds")
    active_seconds: float | None = counter(
        "pg_active_seconds_total", "Time that sessions executed statements (14+).", "seconds"
    )
    idle_in_transaction_seconds: float | None = counter(
        "pg_idle_in_transaction_seconds_total", "Time that sessions idled in a transaction (14+).", "seconds"
    )
    sessions_abandoned: int | None = counter(
        "pg_sessions_abandoned_total", "Sessions that ended because the client was lost (14+)."
    )
    sessions_fatal: int | None = counter("pg_sessions_fatal_total", "Sessions that ended by a fatal error (14+).")
    sessions_killed: int | None = counter("pg_sessions_killed_total", "Sessions terminated by an operator (14+).")
    parallel_workers: int | None = detail("Parallel workers launched (18+).")
    stats_reset: float | None = gauge(
        "pg_stats_reset_timestamp_seconds",
        "When the statistics of the database were reset; absent if never.",
        "seconds",
    )


@row
class Faults:
    """What should not happen in a database."""

    db: str = label("Database, or '-shared-'.")
    deadlocks: int = gauge("pg_deadlocks_recent", "Deadlocks of the last ten minutes.")
    corrupt: int | None = gauge(
        "pg_checksum_failed",
        "1 when a checksum was wrong since the statistics were reset; absent where checksums are off.",
    )
    checksum_failures: int | None = detail("Pages whose checksum was wrong.")
    trail: Trail = kept("Deadlocks in the past.")


def rates(now: Sequence[Throughput], before: Before[Throughput, Throughput] | None, config: Config) -> list[Throughput]:
    """Return the counters as read, with the transactions per second since the previous reading."""
    if before is None:
        return list(now)
    prior = {t.db: t for t in before.raw}
    return [replace(t, tps=_tps(t, prior.get(t.db), before.elapsed)) for t in now]


def _tps(now: Throughput, before: Throughput | None, elapsed: float) -> float | None:
    """Return the transactions per second, without those that parallel workers begin with where these are counted."""
    if before is None:
        return None
    tps = per_second(now.xact_commit + now.xact_rollback, before.xact_commit + before.xact_rollback, elapsed)
    if tps is None or now.parallel_workers is None or before.parallel_workers is None:
        return tps
    workers = now.parallel_workers - before.parallel_workers
    return max(tps - workers * COMMITS_OF_A_WORKER / elapsed, 0.0)


def faults(now: Sequence[Throughput], before: Before[Throughput, Faults] | None, config: Config) -> list[Faults]:
    """Return what went wrong in each database lately, or at all."""
    trails = {f.db: f.trail for f in before.rows} if before else {}
    elapsed = before.elapsed if before else 0.0
    found = []
    for t in now:
        trail = followed(trails.get(t.db, ()), elapsed, t.deadlocks, WINDOW)
        corrupt = None if t.checksum_failures is None else int(t.checksum_failures > 0)
        found.append(Faults(t.db, int(increase(trail)), corrupt, t.checksum_failures, trail))
    return found


THROUGHPUT = Feature("throughput", Tier.WORKLOAD, Throughput, Throughput, rates, panel="overview")
FAULTS = Feature(
    "database_faults",
    Tier.WORKLOAD,
    Throughput,
    Faults,
    faults,
    of=THROUGHPUT,
    panel="overview",
    rules=(
        Rule("Deadlocks", (Over("deadlocks", 4),), hold=0, message="{db}: {deadlocks} deadlocks in ten minutes"),
        Rule(
            "ChecksumFailure",
            (Over("corrupt", crit=0),),
            hold=0,
            message="{db}: {checksum_failures} pages had a wrong checksum",
        ),
    ),
)
