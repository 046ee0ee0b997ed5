"""WAL: how much is generated, how much is kept (pg_stat_wal from 14, LSNs, pg_ls_waldir)."""

from __future__ import annotations

from collections.abc import Sequence

from pgmon.baseline import Baseline
from pgmon.config import Config
from pgmon.feature import Before, Feature, Tier, counter, detail, gauge, kept, row
from pgmon.rates import grown
from pgmon.rule import Over, Rule

WINDOW = 900.0  # seconds


@row
class Position:
    """Where the WAL is."""

    lsn_bytes: int = detail("Bytes since the beginning of the WAL.", "bytes")
    generated_bytes: int = detail("A measure that grows as WAL is generated.", "bytes")
    records: int | None = detail("Records.")
    fpi: int | None = detail("Full page images.")
    buffers_full: int | None = detail("Writes because wal_buffers were full.")
    directory_bytes: int = detail("Size of pg_wal.", "bytes")
    max_wal_size_bytes: int = detail("The setting max_wal_size.", "bytes")
    keep_bytes: int = detail("The setting wal_keep_size, before 13 wal_keep_segments.", "bytes")
    kept_by: str = detail("What keeps more than max_wal_size.")


@row
class Wal:
    """WAL generated (on a standby: replayed), and what pg_wal holds."""

    written_bytes: int = counter(
        "pg_wal_bytes_written_total",
        "WAL generated (a standby: replayed) since pgmon first looked at this server in its present life.",
        "bytes",
    )
    rate: float | None = detail("Bytes per second since the previous reading.", "bytes")
    lsn_bytes: int = gauge("pg_wal_lsn_bytes", "Present position in the WAL, as bytes since its beginning.", "bytes")
    records: int | None = counter("pg_wal_records_total", "WAL records generated (14+, primary).")
    fpi: int | None = counter("pg_wal_fpi_total", "Full page images generated (14+, primary).")
    buffers_full: int | None = counter(
        "pg_wal_buffers_full_total", "Times that WAL was written because wal_buffers were full (14+, primary)."
    )
    directory_bytes: int = gauge("pg_wal_directory_bytes", "Size of the files in pg_wal.", "bytes")
    max_wal_size_bytes: int = gauge("pg_max_wal_size_bytes", "The setting max_wal_size.", "bytes")
    directory_ratio: float = gauge(
        "pg_wal_directory_ratio",
        "Size of pg_wal per size that it may well have: twice max_wal_size, and what wal_keep_size adds.",
        "ratio",
    )
    kept_by: str = detail("What keeps more than max_wal_size: a slot, the archiver, or neither of them.")
    window_rate: float | None = gauge(
        "pg_wal_rate", "Bytes of WAL per second over the last quarter of an hour; absent until that was seen."
    )
    deviations: float | None = gauge(
        "pg_wal_rate_deviations",
        "By how many standard deviations that is above the mean, or above the usual peak of this hour of the day; "
        "absent until a day was learned.",
    )
    times_mean: float | None = gauge("pg_wal_rate_times_mean", "The same rate as a multiple of the mean.")
    learned_seconds: float = gauge(
        "pg_wal_rate_learned_seconds",
        "For how long it was learned what is usual; what is a week old has faded.",
        "seconds",
    )
    baseline: Baseline = kept("What is usual.")


def accumulated(now: Sequence[Position], before: Before[Position, Wal] | None, config: Config) -> list[Wal]:
    """Add what was generated since the previous reading; a failover or a promotion, where LSNs jump, adds nothing."""
    p = now[0]
    growth = grown(p.generated_bytes, before.raw[0].generated_bytes) if before else 0
    written = before.rows[0].written_bytes + int(growth) if before else 0
    rate = growth / before.elapsed if before and before.elapsed > 0 else None
    usual = before.rows[0].baseline if before else Baseline()
    usual = usual.followed(written, before.elapsed if before else 0.0, WINDOW)
    return [
        Wal(
            written_bytes=written,
            rate=rate,
            lsn_bytes=p.lsn_bytes,
            records=p.records,
            fpi=p.fpi,
            buffers_full=p.buffers_full,
            directory_bytes=p.directory_bytes,
            max_wal_size_bytes=p.max_wal_size_bytes,
            directory_ratio=p.directory_bytes / (2 * p.max_wal_size_bytes + p.keep_bytes),
            kept_by=p.kept_by,
            window_rate=usual.rate(WINDOW),
            deviations=usual.deviations(WINDOW),
            times_mean=usual.times_mean(WINDOW),
            learned_seconds=usual.learned,
            baseline=usual,
        )
    ]


WAL = Feature(
    "wal",
    Tier.WORKLOAD,
    Position,
    Wal,
    accumulated,
    panel="overview",
    rules=(
        Rule(
            "WalSurge",
            (
                Over("deviations", "surge_sigma"),
                Over("times_mean", 3),
                Over("window_rate", "wal_surge_min_bytes_per_s"),
            ),
            hold=0,
            message="{window_rate:bytes} of WAL per second for 15 min, {times_mean:.0f} times as much as usual",
        ),
        Rule(
            "WalDirectoryLarge",
            (Over("directory_ratio", 1),),
            hold=600,
            message="pg_wal has {directory_bytes:bytes}, max_wal_size is {max_wal_size_bytes:bytes}; kept by {kept_by}",
        ),
    ),
)
