"""WAL: how much is generated, how much is kept (pg_stat_wal from 14, LSNs, pg_ls_waldir)."""

from __future__ import annotations

from collections.abc import Sequence

from pgmon.config import Config
from pgmon.feature import Before, Feature, Tier, counter, detail, gauge, row
from pgmon.rates import grown


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


def accumulated(now: Sequence[Position], before: Before[Position, Wal] | None, config: Config) -> list[Wal]:
    """Add what was generated since the previous reading; a failover or a promotion, where LSNs jump, adds nothing."""
    p = now[0]
    growth = grown(p.generated_bytes, before.raw[0].generated_bytes) if before else 0
    written = before.rows[0].written_bytes + int(growth) if before else 0
    rate = growth / before.elapsed if before and before.elapsed > 0 else None
    return [Wal(written, rate, p.lsn_bytes, p.records, p.fpi, p.buffers_full, p.directory_bytes, p.max_wal_size_bytes)]


WAL = Feature("wal", Tier.WORKLOAD, Position, Wal, accumulated, panel="overview")
